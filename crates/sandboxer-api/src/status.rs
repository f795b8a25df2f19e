//! What reconcilers did, and how the whole stands.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sandboxer_model::id::{OperationId, SandboxId};
use sandboxer_model::registry::HostState;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What one run of a reconciler came to. It is kept in the store, so that other processes can show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunReport {
    /// When it began.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// The process that ran it.
    pub by: String,
    /// What it did.
    pub did: Did,
    /// Why it broke off; `null`: it did not.
    pub error: Option<String>,
    /// Runs that are on record, this one included.
    pub runs: u64,
    /// The last time it broke off.
    #[schemars(with = "Option<String>")]
    pub last_error_at: Option<Timestamp>,
    /// Why it broke off then.
    pub last_error: Option<String>,
}

/// What one run did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Did {
    /// Things that were looked at.
    pub looked_at: u64,
    /// What was changed, one entry for each thing.
    pub actions: Vec<Action>,
    /// What could not be done or told, and is tried again.
    pub open: Vec<String>,
    /// Whether there is more to do than one run may.
    pub more: bool,
}

/// One thing that a reconciler changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Action {
    /// What was done, such as `expired`.
    pub what: String,
    /// To what.
    pub on: String,
}

impl Did {
    /// Adds something that was changed.
    pub fn add(&mut self, what: &str, on: impl ToString) {
        self.actions.push(Action {
            what: what.to_owned(),
            on: on.to_string(),
        });
    }

    /// Whether anything is worth telling of.
    pub fn is_worth_telling(&self) -> bool {
        !self.actions.is_empty() || !self.open.is_empty()
    }
}

/// How one reconciler stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReconcilerStatus {
    /// Its name.
    pub name: String,
    /// What it does.
    pub does: String,
    /// Seconds from one run to the next.
    pub period_s: u64,
    /// The process that runs it at this moment.
    pub running_by: Option<String>,
    /// When it is due again; `null`: nobody ever ran it.
    #[schemars(with = "Option<String>")]
    pub due_at: Option<Timestamp>,
    /// Whether it should have run long ago. Without a server that is usual and no fault.
    pub overdue: bool,
    /// Its last run that ended.
    pub last: Option<RunReport>,
}

/// How the whole stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// When this was read.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// The process that serves this data directory; `null`: none is known to.
    pub served_by: Option<String>,
    /// Each reconciler, in the order of the table.
    pub reconcilers: Vec<ReconcilerStatus>,
    /// Sandboxes by state.
    pub sandboxes: BTreeMap<String, u64>,
    /// Operations that are not at their end, by status.
    pub operations: BTreeMap<String, u64>,
    /// Operations that are stuck, each with why.
    pub stuck: Vec<StuckOperation>,
    /// Registered hosts.
    pub hosts: Vec<HostBrief>,
    /// Events that nobody was told of yet.
    pub undelivered_events: u64,
    /// The oldest deadline that passed while its sandbox is still there.
    #[schemars(with = "Option<String>")]
    pub overdue_since: Option<Timestamp>,
    /// What an operator should look at; empty: all is well.
    pub problems: Vec<String>,
}

/// One operation that is stuck.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StuckOperation {
    /// Which.
    pub operation_id: OperationId,
    /// On which sandbox.
    pub sandbox_id: SandboxId,
    /// Why.
    pub why: String,
    /// When it is tried again.
    #[schemars(with = "String")]
    pub next_at: Timestamp,
}

/// One host in a few words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostBrief {
    /// Its name.
    pub name: String,
    /// Whether it takes new sandboxes.
    pub state: HostState,
    /// Sandboxes that hold something of it.
    pub sandboxes: u64,
    /// Since when it does not answer.
    #[schemars(with = "Option<String>")]
    pub unreachable_since: Option<Timestamp>,
}

/// What became of giving a host up for good.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct HostLoss {
    /// The host.
    pub host: String,
    /// Sandboxes that ended with it.
    pub ended: Vec<SandboxId>,
    /// Whether it was registered, and is not any more.
    pub forgotten: bool,
}
