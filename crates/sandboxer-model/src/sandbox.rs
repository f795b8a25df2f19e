//! The public record of one sandbox. Field names are a contract with sibling tools.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cleanup::CleanupReport;
use crate::duration::Span;
use crate::error::ErrorCode;
use crate::host::IntrospectionReport;
use crate::id::{OperationId, SandboxId};
use crate::isolation::IsolationReport;
use crate::lifecycle::{Reason, State};
use crate::money::Meter;
use crate::operation::Epoch;
use crate::profile::Scope;
use crate::reachability::Reachability;

/// One sandbox, as `get`, `list` and `create` print it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sandbox {
    /// Its id: also the name of everything that belongs to it.
    pub sandbox_id: SandboxId,
    /// Where it is in its life.
    pub state: State,
    /// Why it ended or is ending.
    pub reason: Option<Reason>,
    /// The recipe.
    pub profile_id: String,
    /// The recipe's version.
    pub profile_version: String,
    /// Digest of the frozen recipe.
    pub profile_digest: String,
    /// The backend that has it.
    pub extension_id: Option<String>,
    /// The host it is on.
    pub host: Option<String>,
    /// On whose behalf.
    pub consumer: Consumer,
    /// When a create returns it again.
    pub scope: Scope,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// What was passed in.
    pub inputs: BTreeMap<String, String>,
    /// How it is reached.
    pub reachability: Option<Reachability>,
    /// How it is isolated.
    pub isolation: Option<IsolationReport>,
    /// Time to live that was asked for.
    pub ttl: Span,
    /// When its time ends, once it is ready.
    #[schemars(with = "Option<String>")]
    pub expires_at: Option<Timestamp>,
    /// What it costs.
    pub meter: Meter,
    /// What making it changed on its host, where it has one.
    pub telemetry: Option<IntrospectionReport>,
    /// When it was accepted.
    #[schemars(with = "String")]
    pub created_at: Timestamp,
    /// When its reachability was proven.
    #[schemars(with = "Option<String>")]
    pub ready_at: Option<Timestamp>,
    /// When it was first used.
    #[schemars(with = "Option<String>")]
    pub active_at: Option<Timestamp>,
    /// When its absence was proven.
    #[schemars(with = "Option<String>")]
    pub destroyed_at: Option<Timestamp>,
    /// When anything of this last changed.
    #[schemars(with = "String")]
    pub updated_at: Timestamp,
    /// What went wrong last.
    pub error: Option<Failure>,
    /// The receipt of its teardown.
    pub cleanup: Option<CleanupReport>,
    /// The operation that works on it now.
    pub operation_id: Option<OperationId>,
    /// How many times it was made: 1, then one more for each recreate.
    pub generation: u32,
    /// Fencing number of the last writer.
    pub epoch: Epoch,
}

/// What went wrong, kept on the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// Machine-readable kind.
    pub code: ErrorCode,
    /// The step that failed.
    pub step: Option<String>,
    /// What was tried, on what, and why it failed.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

/// On whose behalf a sandbox exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Consumer {
    /// What kind of caller.
    pub actor: Actor,
    /// The calling project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The run, session or job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
}

impl Default for Consumer {
    fn default() -> Self {
        Consumer {
            actor: Actor::Adm,
            project: None,
            run_id: None,
        }
    }
}

/// What kind of caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Actor {
    /// A person.
    #[default]
    Adm,
    /// An agent.
    Agt,
    /// An automation.
    Atm,
}

impl Actor {
    /// The name used in JSON, the store and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Actor::Adm => "adm",
            Actor::Agt => "agt",
            Actor::Atm => "atm",
        }
    }
}
