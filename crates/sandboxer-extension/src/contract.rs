//! The contract every backend fulfils.
//!
//! Rules that hold for every call, and that the conformance suite tries:
//! - it is idempotent by sandbox id: twice is once;
//! - it carries a fencing epoch; an effect under an older epoch than the backend has seen is refused as `Fenced`;
//! - it returns within [`Call::timeout`];
//! - it reports facts; the engine alone decides the state.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use sandboxer_model::cleanup::{CleanupReport, Presence};
use sandboxer_model::duration::Span;
use sandboxer_model::host::{HostSnapshot, ProvisionDelta};
use sandboxer_model::id::{InstallationId, OperationId, SandboxId};
use sandboxer_model::isolation::{IsolationReport, Limit};
use sandboxer_model::money::{Quote, Usage};
use sandboxer_model::operation::Epoch;
use sandboxer_model::profile::Profile;
use sandboxer_model::reachability::Reachability;
use serde::{Deserialize, Serialize};

use crate::capability::Capabilities;
use crate::error::ExtensionError;
use crate::exec::{ExecRequest, ExecSession, LogsRequest};
use crate::inventory::Inventory;
use crate::manifest::Manifest;

/// What a backend needs to find its sandbox again: an opaque map, stored with the record. Never a secret.
pub type Handle = BTreeMap<String, String>;

/// What every call carries.
#[derive(Debug, Clone)]
pub struct Call {
    /// The owner written on everything that is created.
    pub installation_id: InstallationId,
    /// The operation this call belongs to, if any.
    pub operation_id: Option<OperationId>,
    /// Fencing number of the caller.
    pub epoch: Epoch,
    /// The call returns within this time, with `Timeout` if need be.
    pub timeout: Duration,
}

/// What to make.
#[derive(Debug, Clone)]
pub struct ProvisionRequest {
    /// Fixed and stored before this call.
    pub sandbox_id: SandboxId,
    /// Frozen recipe.
    pub profile: Profile,
    /// Validated inputs; directories are absolute.
    pub inputs: BTreeMap<String, String>,
    /// Where, for extensions that need a host.
    pub host: Option<String>,
    /// Time to live, counted from ready.
    pub ttl: Span,
}

/// Which sandbox. After a crash the handle may be unknown: the sandbox id must then be enough.
#[derive(Debug, Clone)]
pub struct Target {
    /// The sandbox.
    pub sandbox_id: SandboxId,
    /// Where it was put.
    pub host: Option<String>,
    /// What provision returned, if the answer was stored.
    pub handle: Option<Handle>,
}

/// What a dry run learns: what would be enforced, and by what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// Each limit as it would be enforced.
    pub limits: Vec<Limit>,
    /// What else a reader of the plan should see, such as the document that would be emitted.
    #[serde(default)]
    pub detail: serde_json::Value,
}

/// The sandbox is reachable.
#[derive(Debug, Clone, PartialEq)]
pub struct Ready {
    /// How.
    pub reachability: Reachability,
    /// How it is isolated.
    pub isolation: IsolationReport,
    /// The deadline its own guard keeps, where there is one.
    pub guard_deadline: Option<Timestamp>,
    /// What making it changed on its host, for backends that have hosts.
    pub delta: Option<ProvisionDelta>,
}

/// What a host is like, for a backend that has hosts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostProbe {
    /// What was measured.
    pub snapshot: HostSnapshot,
    /// Stable name → what is there, such as `docker` → `20.10.24`.
    pub facts: BTreeMap<String, String>,
    /// What sandboxes of this backend would lack on this host; empty: nothing. Each with what to do about it.
    pub missing: Vec<String>,
}

/// What is known of one sandbox right now.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// Whether anything of it exists.
    pub presence: Presence,
    /// Whether it can be used. `None`: could not be told.
    pub usable: Option<bool>,
    /// How it ended, if its guard or keeper wrote that down.
    pub ended: Option<Ended>,
    /// Whether a command runs inside. `None`: could not be told.
    pub busy: Option<bool>,
    /// For people.
    pub detail: String,
}

/// How a sandbox ended without the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Its guard saw the deadline pass.
    Deadline,
    /// It was killed, or its keeper died.
    Killed,
    /// It exhausted its memory limit.
    OutOfMemory,
    /// It broke its disk limit.
    OutOfDisk,
}

/// What a removal came to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Removal {
    /// What was looked for, what was found, and what of it is still there.
    pub report: CleanupReport,
    /// What the sandbox used in its whole life, where the backend could still tell.
    pub usage: Option<Usage>,
    /// How the sandbox had ended by itself before the removal, where that is known.
    pub ended: Option<Ended>,
}

/// A backend: makes sandboxes, reports facts about them, removes them.
#[async_trait::async_trait]
pub trait Extension: Send + Sync {
    /// Its manifest.
    fn manifest(&self) -> &Manifest;

    /// What it can do here and now; at most what the manifest declares.
    fn capabilities(&self) -> Capabilities {
        self.manifest().capabilities.clone()
    }

    /// Where a sandbox with these inputs is, for a backend whose inputs say so: it is told this host again for as long as
    /// the sandbox is on record.
    fn host_of(&self, _profile: &Profile, _inputs: &BTreeMap<String, String>) -> Option<String> {
        None
    }

    /// Refuses what `provision` would refuse, and touches nothing.
    ///
    /// # Errors
    /// `Invalid`, `CannotEnforce`, `Unsupported`, `MissingPrerequisite`.
    async fn validate(&self, request: &ProvisionRequest) -> Result<Validation, ExtensionError>;

    /// What this profile costs for this long.
    ///
    /// # Errors
    /// `Unavailable` when the price cannot be asked.
    async fn estimate_cost(&self, profile: &Profile, ttl: Span) -> Result<Quote, ExtensionError>;

    /// Makes the sandbox, or finds the one it made before for the same id.
    ///
    /// # Errors
    /// Any kind. After an error or a lost reply, `observe` tells what exists and `teardown` removes it; after one that is
    /// [`ExtensionError::untouched`] there is nothing to remove, and `teardown` is not asked.
    async fn provision(&self, call: &Call, request: &ProvisionRequest) -> Result<Handle, ExtensionError>;

    /// Waits until the sandbox is reachable.
    ///
    /// # Errors
    /// `Timeout`, `NotFound`, `Policy` when what came up is not what was asked for, or any other kind.
    async fn wait_ready(&self, call: &Call, target: &Target) -> Result<Ready, ExtensionError>;

    /// Removes everything of the sandbox, from any half-done state, and verifies its absence.
    /// Not found is success.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, `Fenced`. What could be reached but not removed is in the report instead.
    async fn teardown(&self, call: &Call, target: &Target) -> Result<Removal, ExtensionError>;

    /// What is known of one sandbox right now. Being unable to tell is `Presence::Unknown`, not an error.
    async fn observe(&self, call: &Call, target: &Target) -> Observation;

    /// Everything this backend has, ours and foreign. A backend with hosts answers per host instead.
    async fn inventory(&self, call: &Call) -> Inventory;

    /// Everything this backend has on one host, ours and foreign.
    async fn inventory_at(&self, call: &Call, _host: &str) -> Inventory {
        self.inventory(call).await
    }

    /// Measures a host and tells whether this backend could use it.
    ///
    /// # Errors
    /// `Unsupported` without hosts, `Invalid`, `Unavailable`, `Timeout`.
    async fn probe_host(&self, _call: &Call, _host: &str) -> Result<HostProbe, ExtensionError> {
        Err(ExtensionError::unsupported(&self.manifest().id, "needs_host"))
    }

    /// Starts a command inside.
    ///
    /// # Errors
    /// `Unsupported` without the capability, `NotFound`, `Invalid`, `Unavailable`.
    async fn exec(
        &self,
        _call: &Call,
        _target: &Target,
        _request: ExecRequest,
    ) -> Result<Box<dyn ExecSession>, ExtensionError> {
        Err(ExtensionError::unsupported(&self.manifest().id, "exec"))
    }

    /// Shows what the sandbox's services print.
    ///
    /// # Errors
    /// `Unsupported` without the capability, `NotFound`, `Invalid`, `Unavailable`.
    async fn logs(
        &self,
        _call: &Call,
        _target: &Target,
        _request: LogsRequest,
    ) -> Result<Box<dyn ExecSession>, ExtensionError> {
        Err(ExtensionError::unsupported(&self.manifest().id, "logs"))
    }

    /// Moves the deadline its guard keeps. Only later, unless the guard's deadline is unknown.
    ///
    /// # Errors
    /// `Unsupported` without a guard, `NotFound`, `Fenced`, `Unavailable`.
    async fn set_deadline(&self, _call: &Call, _target: &Target, _deadline: Timestamp) -> Result<(), ExtensionError> {
        Err(ExtensionError::unsupported(&self.manifest().id, "ttl_guard"))
    }

    /// What a sandbox that lives used so far; `None` where the backend cannot tell.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    async fn usage(&self, _call: &Call, _target: &Target) -> Result<Option<Usage>, ExtensionError> {
        Ok(None)
    }
}
