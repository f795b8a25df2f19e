//! The store of sand-boxer: records, journal, leases and outbox on SQLite.

mod error;
mod open;

pub use error::StoreError;
pub use open::Store;
