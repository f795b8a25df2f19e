//! What callers of the engine pass in and get back. The CLI and every server speak these.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
pub use sandboxer_api::answer::{
    Cost, Created, Destroyed, ExpireAction, ExpireResult, Explanation, History, Location, OperationTrace, Plan, Recipe,
    Recovered, StepTrace,
};
pub use sandboxer_api::audit::{AuditRow, AuditVerdict};
pub use sandboxer_api::drift::{Drift, DriftClass, DriftReport, DriftResult, Remedy};
pub use sandboxer_api::hosts::{AddHost, HostInspection, ReapAction, ReapReport, ReapResult, Sight, StaleReport};
pub use sandboxer_api::identity::{Identity, Key, MadeKey, NewKey, Project, RotateKey, SetProject};
pub use sandboxer_api::request::Operation;
pub use sandboxer_api::sinks::{AddWebhook, AddedWebhook, Delivered, ListedEvent, Redelivered, TestedWebhook, Waiting};
pub use sandboxer_api::status::{
    Action, Did, HostBrief, HostLoss, ReconcilerStatus, RunReport, Status, StuckOperation,
};
use sandboxer_extension::{Ended, ExecExit, ExecStdio};
use sandboxer_model::cleanup::CleanupReport;
use sandboxer_model::duration::Span;
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::id::SandboxId;
use sandboxer_model::lifecycle::State;
use sandboxer_model::profile::Scope;
use sandboxer_model::sandbox::{Consumer, Sandbox};
use sandboxer_store::SandboxRecord;
pub use sandboxer_store::{AuditEntry, Begun, PageFilter, PlacedEvent, ProjectLimits, RequestKey, Viewer};
use serde::{Deserialize, Serialize};

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
    /// characters, for each project and owner apart.
    pub idempotency_key: Option<String>,
    /// The subject it is made for, which it then belongs to; none: whoever works on this machine.
    pub owner: Option<String>,
    /// How far the caller is trusted.
    pub caller: Caller,
    /// Directories for inputs that are one, each absolute: what a server was sent, or an operator allowed.
    pub directories: BTreeMap<String, std::path::PathBuf>,
    /// Sandboxes its project may have that are not destroyed, with this one.
    pub max_live: Option<u32>,
}

/// How far a caller is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Caller {
    /// Works on this machine: may name files and directories of it, and any host.
    #[default]
    Operator,
    /// Works elsewhere: may name profiles of the catalog and registered hosts, and no path.
    Tenant,
}

/// A sandbox as a viewer sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// The sandbox.
    pub sandbox: Sandbox,
    /// Counts the changes of its record.
    pub revision: u64,
    /// Whether the viewer's subject made it, or the viewer is not bound to a subject.
    pub is_own: bool,
}

/// The sandbox that a change is meant for.
#[derive(Debug, Clone, Copy)]
pub struct Meant<'a> {
    /// Its id, or so much of the id's beginning that only one is left.
    pub id: &'a str,
    /// The versions it may be at when the change is written, as [`Seen::revision`] counts them; `None`: any. At another one
    /// nothing is changed, and the answer is `PreconditionFailed`.
    pub revisions: Option<&'a [u64]>,
}

impl<'a> From<&'a str> for Meant<'a> {
    fn from(id: &'a str) -> Meant<'a> {
        Meant { id, revisions: None }
    }
}

impl<'a> From<&'a String> for Meant<'a> {
    fn from(id: &'a String) -> Meant<'a> {
        Meant::from(id.as_str())
    }
}

impl Meant<'_> {
    /// Whether this is a version that is meant. Whoever writes on top of `record` afterwards writes on that version or not at
    /// all.
    ///
    /// # Errors
    /// `PreconditionFailed`.
    pub(crate) fn check(&self, record: &SandboxRecord) -> Result<(), UserError> {
        match self.revisions {
            Some(revisions) if !revisions.contains(&record.revision()) => Err(changed(record.revision())),
            _ => Ok(()),
        }
    }

    /// Why a change was not begun, where that is because somebody else changed the sandbox first.
    pub(crate) fn overtaken(&self, error: UserError) -> UserError {
        match error.code {
            ErrorCode::Fenced | ErrorCode::Busy if self.revisions.is_some() => UserError::new(
                ErrorCode::PreconditionFailed,
                "the sandbox was changed by somebody else at the same time",
            )
            .hint(READ_AGAIN),
            _ => error,
        }
    }
}

fn changed(revision: u64) -> UserError {
    let what = format!("the sandbox is at version \"{revision}\", not at the one that is meant");
    UserError::new(ErrorCode::PreconditionFailed, what).hint(READ_AGAIN)
}

const READ_AGAIN: &str = "read it again and decide anew";

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

/// How much one call of [`Engine::deliver`](crate::Engine::deliver) may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliverLimits {
    /// Requests at most.
    pub requests: u32,
    /// Time at most, whatever the other side does.
    pub time: Duration,
    /// Whether somebody waits for it.
    pub hurry: Hurry,
}

/// Whether somebody waits for a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hurry {
    /// Somebody does: a sink that was too slow of late is left to others.
    Yes,
    /// Nobody does: a request has all the time that one may take.
    No,
}

impl DeliverLimits {
    /// For a command that has done its own work: a quarter of a second.
    pub fn brief() -> DeliverLimits {
        DeliverLimits {
            requests: 64,
            time: Duration::from_millis(250),
            hurry: Hurry::Yes,
        }
    }

    /// For a process of its own, or one turn of a loop: half a minute.
    pub fn patient() -> DeliverLimits {
        DeliverLimits {
            requests: 10_000,
            time: Duration::from_secs(30),
            hurry: Hurry::No,
        }
    }
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
