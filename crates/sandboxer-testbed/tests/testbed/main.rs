//! Test hosts are machines: they can be reached, run containers, can be cut off and broken, and are gone afterwards.
#![expect(
    clippy::disallowed_methods,
    reason = "these tests measure time and start programs themselves"
)]
#![expect(clippy::unwrap_used, reason = "a test fails by it")]

mod breakage;
mod facts;
mod life;
mod proxy;
mod stack;
