//! What happened to a sandbox, in order: rows of the outbox, written in the transaction of the change they tell of.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{EventId, SandboxId};
use crate::lifecycle::{Reason, State};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Its id: consumers drop an event they have seen.
    pub event_id: EventId,
    /// To which sandbox.
    pub sandbox_id: SandboxId,
    /// 1, 2, 3 … per sandbox, without gaps.
    pub seq: u64,
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// What, such as `state.ready`, `step.failed`, `ttl.extended`.
    pub kind: String,
    /// The state after it.
    pub state: State,
    /// Why, when the sandbox is ending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// One human line.
    pub summary: String,
    /// Facts. Never a secret.
    #[serde(default)]
    pub detail: serde_json::Value,
}
