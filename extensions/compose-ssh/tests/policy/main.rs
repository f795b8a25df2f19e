//! What a stranger's Compose file can ask for, and what it cannot.

#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "tests make files and read the clock"
)]

mod compared;
mod hostile;
mod ordinary;
mod running;
mod support;
