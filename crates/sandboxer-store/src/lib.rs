//! The store of sand-boxer: records, journal, leases and outbox on SQLite.
//!
//! | module | holds |
//! |---|---|
//! | `open` | the store, alone or to be shared |
//! | `file` | making and checking the file, leading older tables up |
//! | `schema` | its tables |
//! | `record` | what is stored |
//! | `commit` | the one way to change it: one transaction, fenced |
//! | `write` | the rows it writes |
//! | `due` | what waits for a process to take it up |
//! | `read` | the ways to ask it |
//! | `host` | registered hosts, and what sandboxes hold of them |
//! | `sink` | where events are sent, and how each of these places does |
//! | `outbox` | what is still to be sent: who sends it, how far that got |
//! | `reconcile` | whose turn it is to look, what each look came to, what was seen once |
//! | `api_key` | keys of callers |
//! | `pepper` | what their secrets are hashed with |
//! | `project` | what projects may use |
//! | `audit` | who did what |
//! | `request` | requests that were answered, so that they can be answered again |
//! | `listing` | pages of sandboxes |
//! | `follow` | events in the order of their commits |
//! | `count` | figures over all records |
//! | `examine` | every row of every table, read |
//! | `damage` | rows that cannot be understood |
//! | `transact` | one transaction about anything but a sandbox |
//! | `lane`, `readers` | the connection that writes and who has it next; those that read |
//! | `group`, `ticket` | many commits, one sync to disk; what their callers wait with |
//! | `fault` | where tests make writes fail |
//! | `error`, `sqlite_error` | what can go wrong, and what SQLite says of it |

mod api_key;
mod audit;
mod commit;
mod count;
mod damage;
mod due;
mod error;
mod examine;
mod fault;
mod file;
mod follow;
mod group;
mod host;
mod lane;
mod listing;
mod open;
mod outbox;
mod pepper;
mod project;
mod read;
mod readers;
mod reconcile;
mod record;
mod request;
mod schema;
mod sink;
mod sqlite_error;
mod ticket;
mod transact;
mod write;

pub use api_key::Replaced;
pub use audit::AuditEntry;
pub use commit::{Change, Durability, KeyChange, KeyRecord};
pub use count::Counts;
pub use damage::Damage;
pub use due::Due;
pub use error::StoreError;
pub use fault::WriteFaults;
pub use follow::PlacedEvent;
pub use listing::{Page, PageFilter, Viewer};
pub use open::Store;
pub use outbox::{Advance, Claim, Hold, Setback, Undelivered};
pub use project::ProjectLimits;
pub use read::SandboxFilter;
pub use reconcile::{Sighting, Turn, TurnLease};
pub use record::{
    Facts, Frozen, MeterRow, NewEvent, OperationRecord, Reading, SandboxRecord, StepPhase, StepRecord, StepStatus,
};
pub use request::{Begun, RequestKey};
pub use sink::{Breaker, DueSink, Outstanding, Secret};
