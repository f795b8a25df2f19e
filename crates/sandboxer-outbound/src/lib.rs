//! Calls to other services over HTTP: where they may go, one pinned connection each, bounded answers.
//!
//! | module | holds |
//! |---|---|
//! | `address` | which addresses belong to the public internet |
//! | `allow` | what the operator lets through beside them |
//! | `place` | an address as written, taken apart |
//! | `connection` | TCP and TLS to one checked address |
//! | `client` | the port: resolve once, check, connect, one request, a bounded answer |

mod address;
mod allow;
mod client;
mod connection;
mod place;

pub use address::is_public;
pub use allow::{Allow, AllowError};
pub use client::{HttpOutbound, MOST_BODY, Resolver};
