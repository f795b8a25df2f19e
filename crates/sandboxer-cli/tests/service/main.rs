//! The real binary as a service, seen from outside: killed and stopped under load, abused, overheard, bound to addresses. What
//! each operation answers is tried in `sandboxer-server`, over fake backends; here everything is real.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by it, and looks at real processes, files and times"
)]

mod abuse;
mod attack;
mod binding;
mod canary;
mod drained;
mod http;
mod killed;
mod load;
mod server;
#[path = "../support/mod.rs"]
mod support;
mod usable;
mod victim;
