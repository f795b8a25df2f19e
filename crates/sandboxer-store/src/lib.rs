//! The store of sand-boxer: records, journal, leases and outbox on SQLite.
//!
//! | module | holds |
//! |---|---|
//! | `open` | making, checking and opening the database |
//! | `schema` | its tables |
//! | `record` | what is stored |
//! | `commit` | the one way to change it: one transaction, fenced |
//! | `read` | the ways to ask it |
//! | `host` | registered hosts, and what sandboxes hold of them |
//! | `error` | what can go wrong |

mod commit;
mod error;
mod host;
mod open;
mod read;
mod record;
mod schema;

pub use commit::{Change, Durability, KeyChange, KeyRecord};
pub use error::StoreError;
pub use open::Store;
pub use read::{Due, SandboxFilter};
pub use record::{
    Facts, Frozen, MeterRow, NewEvent, OperationRecord, SandboxRecord, StepPhase, StepRecord, StepStatus,
};
