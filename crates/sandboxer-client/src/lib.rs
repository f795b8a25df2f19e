//! A typed client of the HTTP API: one method for each operation, the types of `sandboxer-api` in and out.
//!
//! | module | holds |
//! |---|---|
//! | `address` | where a server is, and whether a key may be sent there |
//! | `call`, `answer` | one request as it is to be sent, one answer as it comes |
//! | `transport` | sending requests: time-outs, tries, keys of idempotency |
//! | `retry` | which failures are tried again, and when |
//! | `connection`, `tls` | the way to a server for what is no plain request |
//! | `error` | what failed, as users see it |
//! | `sandboxes` | making, finding, keeping and ending sandboxes |
//! | `exec` | commands inside, over a WebSocket |
//! | `files` | files of a workspace, uploads, logs |
//! | `events`, `sse` | what happened and happens |
//! | `catalog`, `hosts`, `sinks` | profiles and extensions, machines, webhooks |
//! | `admin` | keys, projects, the audit log, the state of the server |
//!
//! Errors are [`UserError`](sandboxer_model::error::UserError)s: what the server says, or `Unavailable` where none could be asked.
//! Every request has a time limit but those that stream; what was not done for sure, or can be asked for twice, is tried again.

mod address;
mod admin;
mod answer;
mod call;
mod catalog;
mod connection;
mod error;
mod events;
mod exec;
mod files;
mod hosts;
mod retry;
mod sandboxes;
mod sinks;
mod sse;
mod tls;
mod transport;

pub use address::Address;
pub use catalog::ShownExtension;
pub use events::Events;
pub use exec::{Exec, Input, Output, Outputs};
pub use files::{ByteStream, MakeBody, made_by};
pub use sandboxes::{Listing, Revision};
pub use transport::{ApiKey, Client, Settings};
