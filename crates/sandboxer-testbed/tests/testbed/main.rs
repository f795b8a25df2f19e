//! Test hosts are machines: they can be reached, run containers, can be cut off and broken, and are gone afterwards.
#![expect(
    clippy::disallowed_methods,
    reason = "these tests measure time and start programs themselves"
)]

mod breakage;
mod facts;
mod life;
mod proxy;
mod stack;
