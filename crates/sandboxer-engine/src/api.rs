//! What callers of the engine pass in and get back. The CLI and every server speak these.

mod drift;
mod hosts;
mod sinks;
mod status;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use sandboxer_extension::{Ended, ExecExit, ExecStdio};
use sandboxer_model::cleanup::CleanupReport;
use sandboxer_model::duration::Span;
use sandboxer_model::event::Event;
use sandboxer_model::id::{OperationId, SandboxId};
use sandboxer_model::isolation::{IsolationReport, Limit};
use sandboxer_model::lifecycle::{Reason, State};
use sandboxer_model::money::{Meter, Quote};
use sandboxer_model::operation::OperationKind;
use sandboxer_model::profile::{Profile, Scope};
use sandboxer_model::reachability::Reachability;
use sandboxer_model::route::RouteDecision;
use sandboxer_model::sandbox::{Consumer, Failure, Sandbox};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use sinks::{
    AddWebhook, AddedWebhook, DeliverLimits, Delivered, Hurry, ListedEvent, Redelivered, TestedWebhook, Waiting,
};

pub use drift::{Drift, DriftClass, DriftReport, DriftResult, Remedy};
pub use hosts::{AddHost, HostInspection, ReapAction, ReapReport, ReapResult, Sight, StaleReport};
pub use status::{Action, Did, HostBrief, HostLoss, ReconcilerStatus, RunReport, Status, StuckOperation};

/// What to create.
#[derive(Debug, Clone, Default)]
pub struct CreateRequest {
    /// A profile's id, or a path to a profile file (anything with a `/` or ending in `.yaml`/`.yml`).
    /// `None`: `profile.sandbox-canary`.
    pub profile: Option<String>,
    /// Inputs as written; relative directories are relative to [`CreateRequest::working_dir`].
    pub inputs: BTreeMap<String, String>,
    /// On whose behalf.
    pub consumer: Consumer,
    /// Overrides the profile's scope.
    pub scope: Option<Scope>,
    /// Overrides the profile's time to live, up to its maximum.
    pub ttl: Option<Span>,
    /// Overrides placement.
    pub host: Option<String>,
    /// Goes before the profile's placement, for backends that have hosts.
    pub default_host: Option<String>,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// Where relative paths start, absolute.
    pub working_dir: std::path::PathBuf,
    /// What becomes of a creation whose caller died before it was told the id. One with an idempotency key is finished: its
    /// caller can ask again.
    pub if_abandoned: IfAbandoned,
    /// The same key with the same request comes to the same sandbox, however often it is asked for; 1 to 255 visible ASCII
    /// characters, for each project apart.
    pub idempotency_key: Option<String>,
}

/// What becomes of a creation whose caller died.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IfAbandoned {
    /// Nobody knows the id: undo it.
    #[default]
    Undo,
    /// The caller was told the id: finish it.
    Finish,
}

/// A sandbox, new or found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Created {
    /// The sandbox.
    #[serde(flatten)]
    pub sandbox: Sandbox,
    /// Whether it was alive already and fits the scope.
    pub reused: bool,
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

/// Which sandboxes to list.
#[derive(Debug, Clone, Default)]
pub struct ListFilter {
    /// Only these states; empty: every state that is not `destroyed`.
    pub states: Vec<State>,
    /// Destroyed ones too.
    pub all: bool,
    /// Only this profile.
    pub profile: Option<String>,
    /// Only this project.
    pub project: Option<String>,
    /// Only with all of these labels.
    pub labels: BTreeMap<String, String>,
}

/// The command of `exec` and `run`.
#[derive(Debug)]
pub struct ExecCommand {
    /// Program and arguments.
    pub argv: Vec<Vec<u8>>,
    /// Variables on top of the sandbox's own.
    pub env: Vec<(String, String)>,
    /// Where to start; the workspace when `None`.
    pub cwd: Option<String>,
    /// In which service, where a sandbox has several.
    pub service: Option<String>,
    /// Where input and output go.
    pub stdio: ExecStdio,
}

/// How a new deadline is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extend {
    /// This much later than now or than the present deadline, whichever is later.
    By(Span),
    /// At this time; safe to repeat.
    Until(Timestamp),
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

/// What `run` came to.
#[derive(Debug)]
pub struct RunOutcome {
    /// The sandbox's record after its end.
    pub sandbox: Sandbox,
    /// How the command ended.
    pub exit: ExecExit,
    /// The receipt.
    pub cleanup: CleanupReport,
    /// How the sandbox ended under its command, where it did and that is known.
    pub ended: Option<Ended>,
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

/// Told of each step while it happens; for progress lines. Must not block.
pub trait Progress: Send + Sync {
    /// A step starts.
    fn step_started(&self, sandbox: &SandboxId, step: &str);
    /// A step ended.
    fn step_finished(&self, sandbox: &SandboxId, step: &str, took: Duration, error: Option<&str>);
}

/// Says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn step_started(&self, _: &SandboxId, _: &str) {}
    fn step_finished(&self, _: &SandboxId, _: &str, _: Duration, _: Option<&str>) {}
}
