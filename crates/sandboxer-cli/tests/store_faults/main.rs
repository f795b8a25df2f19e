//! What goes wrong with the database: rows that are damaged, files that are, a disk that is full, calls that fail. Each
//! command says so clearly or does without; no other sandbox is harmed; once it is well again, everything comes to rest.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by it, and starts real programs and reads real files"
)]

mod calls;
mod disk;
mod doctor;
mod file;
mod full;
mod power;
mod rows;
mod sane;
mod serving;
mod stage;
#[path = "../support/mod.rs"]
mod support;
