//! Rows of the audit log: who did what, with which outcome, each bound to the one before it by a digest.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditRow {
    /// 1, 2, 3 … without gaps.
    pub seq: u64,
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// What was asked for, such as `sandbox.create`: the operation's id in the API document.
    pub action: String,
    /// On what; null where there is none.
    pub object: Option<String>,
    /// With which key; null: on the server's machine, or none that is known.
    pub key_id: Option<String>,
    /// The subject of the key.
    pub name: Option<String>,
    /// The project of the key.
    pub project: Option<String>,
    /// From where; null: through a local socket or on the server's machine.
    pub address: Option<String>,
    /// The request.
    pub request_id: Option<String>,
    /// The status that was answered, as HTTP says it.
    pub status: u16,
    /// Digest of the row before; of nothing for the first.
    pub previous: String,
    /// Digest of this row with `previous`.
    pub digest: String,
}

/// Whether the log is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditVerdict {
    /// Whether every row is there, unchanged.
    pub intact: bool,
    /// Rows that were looked at.
    pub rows: u64,
    /// Digest of the last row: kept elsewhere, it shows later whether rows were cut off at the end.
    pub last: Option<String>,
    /// The first row that is not as it was written, and why.
    pub broken: Option<BrokenRow>,
}

/// A row that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BrokenRow {
    /// Its number.
    pub seq: u64,
    /// What is wrong with it.
    pub why: String,
}
