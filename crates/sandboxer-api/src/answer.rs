//! What the engine answers, and every server and client passes on.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sandboxer_model::cleanup::CleanupReport;
use sandboxer_model::duration::Span;
use sandboxer_model::event::Event;
use sandboxer_model::id::{OperationId, SandboxId};
use sandboxer_model::isolation::{IsolationReport, Limit};
use sandboxer_model::lifecycle::{Reason, State};
use sandboxer_model::money::{Meter, Quote};
use sandboxer_model::operation::OperationKind;
use sandboxer_model::profile::Profile;
use sandboxer_model::reachability::Reachability;
use sandboxer_model::route::RouteDecision;
use sandboxer_model::sandbox::{Failure, Sandbox};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A sandbox, new or found. It is the caller's own unless it was reused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Created {
    /// The sandbox.
    #[serde(flatten)]
    pub sandbox: Sandbox,
    /// Whether it was alive already and fits the scope.
    pub reused: bool,
    /// Whether an earlier request with the same idempotency key made it.
    #[serde(default)]
    pub replayed: bool,
}

impl Created {
    /// One that this request made.
    pub fn new(sandbox: Sandbox) -> Created {
        Created {
            sandbox,
            reused: false,
            replayed: false,
        }
    }

    /// One that was alive already and fits the scope.
    pub fn reused(sandbox: Sandbox) -> Created {
        Created {
            reused: true,
            ..Created::new(sandbox)
        }
    }

    /// One that an earlier request with the same key made.
    pub fn replayed(sandbox: Sandbox) -> Created {
        Created {
            replayed: true,
            ..Created::new(sandbox)
        }
    }
}

/// What a create would do. Touches nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// The fully resolved profile.
    pub profile: Profile,
    /// Its digest.
    pub profile_digest: String,
    /// Where the profile came from: `shipped`, or a file.
    pub profile_source: String,
    /// The candidates and what was thought of them.
    pub route: RouteDecision,
    /// The backend that would be asked first.
    pub extension_id: String,
    /// The host it would run on.
    pub host: Option<String>,
    /// What it would cost.
    pub quote: Quote,
    /// Time to live.
    pub ttl: Span,
    /// Validated inputs.
    pub inputs: BTreeMap<String, String>,
    /// Each limit as it would be enforced.
    pub limits: Vec<Limit>,
    /// What else the extension shows.
    pub detail: serde_json::Value,
}

/// What a destroy came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Destroyed {
    /// The sandbox.
    pub sandbox_id: SandboxId,
    /// `destroyed`, or `destroying` when absence could not be proven.
    pub state: State,
    /// Why it ended.
    pub reason: Option<Reason>,
    /// Whether it was gone before this call.
    pub already: bool,
    /// The receipt.
    pub cleanup: Option<CleanupReport>,
    /// What is in the way.
    pub error: Option<Failure>,
}

/// What `expire` did, or would do, to one sandbox. `result` is a contract with sibling tools.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExpireAction {
    /// The sandbox.
    pub sandbox_id: SandboxId,
    /// When its time passed.
    #[schemars(with = "String")]
    pub expired_at: Timestamp,
    /// `ttl` or `idle`.
    pub reason: Reason,
    /// `dry-run`, `destroyed` or `failed`.
    pub result: ExpireResult,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What `expire` did to one sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExpireResult {
    /// Nothing was touched.
    DryRun,
    /// It is gone, proven.
    Destroyed,
    /// It could not be removed; it stays on the list.
    Failed,
}

/// The seven questions, each with its evidence. Complete for any sandbox, alive or gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// Which sandbox.
    pub sandbox_id: SandboxId,
    /// Its state.
    pub state: State,
    /// 1 · Which recipe: profile, version, digest, resolved text.
    pub recipe: Recipe,
    /// 2 · Which backend, and why the others lost.
    pub backend: RouteDecision,
    /// 3 · Where it runs.
    pub location: Location,
    /// 4 · How isolation is enforced, and what was tried from inside.
    pub isolation: Option<IsolationReport>,
    /// 5 · How it is reached.
    pub reachability: Option<Reachability>,
    /// 6 · What happened.
    pub history: History,
    /// 7 · What it cost.
    pub cost: Cost,
}

/// Which recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Recipe {
    /// The frozen profile, whole.
    pub profile: Profile,
    /// Its digest.
    pub digest: String,
    /// Where it came from.
    pub source: String,
    /// What was passed in.
    pub inputs: BTreeMap<String, String>,
}

/// Where it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Location {
    /// The host; `None`: this machine.
    pub host: Option<String>,
    /// What the backend calls it.
    pub handle: BTreeMap<String, String>,
    /// What the backend says of it at this moment; `None` once destroyed.
    pub observed: Option<String>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct History {
    /// Events in order.
    pub events: Vec<Event>,
    /// Operations and their steps in order.
    pub operations: Vec<OperationTrace>,
    /// Why it ended.
    pub reason: Option<Reason>,
    /// What went wrong last.
    pub error: Option<Failure>,
    /// The receipt of its teardown.
    pub cleanup: Option<CleanupReport>,
}

/// One operation and its steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OperationTrace {
    /// Its id.
    pub operation_id: OperationId,
    /// What it does.
    pub kind: OperationKind,
    /// How far it got.
    pub status: String,
    /// Its steps.
    pub steps: Vec<StepTrace>,
}

/// One step of an operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepTrace {
    /// Its name.
    pub name: String,
    /// `done`, `failed`, `undone` …
    pub status: String,
    /// Tries.
    pub attempt: u32,
    /// Milliseconds.
    pub duration_ms: Option<f64>,
    /// Why it failed.
    pub error: Option<String>,
}

/// What it cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// What was quoted.
    pub quote: Option<Quote>,
    /// What was metered.
    pub meter: Meter,
}

/// What recovery did before a command's own work.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Recovered {
    /// Operations that were finished.
    pub finished: Vec<OperationId>,
    /// Operations that were undone.
    pub undone: Vec<OperationId>,
    /// Operations that are stuck, each with why.
    pub stuck: Vec<(OperationId, String)>,
    /// Sandboxes whose deadline had passed and that were removed.
    pub expired: Vec<SandboxId>,
    /// Sandboxes that turned out to have ended by themselves.
    pub lost: Vec<SandboxId>,
}
