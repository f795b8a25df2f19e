//! The API over a world of fake backends: real sockets, real database, no machine needed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by it, and plays the client"
)]

mod client;
mod create;
mod document;
mod events;
mod http;
mod keys;
mod matrix;
mod server;
mod uploads;
mod wait;
