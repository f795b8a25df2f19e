//! The real binary as a server over real sandboxes: commands, files and uploads, as clients see them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by it, starts the real program and looks at real files"
)]

#[path = "../support/mod.rs"]
mod support;

mod attach;
mod exec;
mod files;
mod served;
mod uploads;
