//! Durable operations: multi-step jobs with a journal.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{OperationId, SandboxId};

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// Make a sandbox.
    Create,
    /// Remove it, with proof.
    Destroy,
    /// Remove it and make it again from the frozen profile.
    Recreate,
    /// Move its deadline.
    ExtendTtl,
    /// Remove it because its time passed.
    Expire,
}

impl OperationKind {
    /// The name used in JSON and the store.
    pub fn name(self) -> &'static str {
        match self {
            OperationKind::Create => "create",
            OperationKind::Destroy => "destroy",
            OperationKind::Recreate => "recreate",
            OperationKind::ExtendTtl => "extend_ttl",
            OperationKind::Expire => "expire",
        }
    }

    /// The kind with this name.
    pub fn from_name(name: &str) -> Option<OperationKind> {
        use OperationKind::{Create, Destroy, Expire, ExtendTtl, Recreate};
        [Create, Destroy, Recreate, ExtendTtl, Expire]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// How far an operation got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperationStatus {
    /// Steps are being taken, or wait for somebody to take them.
    Running,
    /// A step failed; what was done is being undone.
    Undoing,
    /// Done.
    Succeeded,
    /// Undone, with the cause kept.
    Failed,
    /// It cannot go on by itself; the error says what is needed.
    Stuck,
}

impl OperationStatus {
    /// The name used in JSON and the store.
    pub fn name(self) -> &'static str {
        match self {
            OperationStatus::Running => "running",
            OperationStatus::Undoing => "undoing",
            OperationStatus::Succeeded => "succeeded",
            OperationStatus::Failed => "failed",
            OperationStatus::Stuck => "stuck",
        }
    }

    /// The status with this name.
    pub fn from_name(name: &str) -> Option<OperationStatus> {
        use OperationStatus::{Failed, Running, Stuck, Succeeded, Undoing};
        [Running, Undoing, Succeeded, Failed, Stuck]
            .into_iter()
            .find(|status| status.name() == name)
    }

    /// Whether nothing more will happen without somebody asking.
    pub fn is_terminal(self) -> bool {
        matches!(self, OperationStatus::Succeeded | OperationStatus::Failed)
    }
}

/// A fencing number: grows each time an operation on a sandbox changes hands. An effect or a save that carries an
/// older one is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The next owner's number.
    #[must_use]
    pub fn next(self) -> Epoch {
        Epoch(self.0.saturating_add(1))
    }
}

/// The public face of an operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Operation {
    /// Its id.
    pub operation_id: OperationId,
    /// What it does.
    pub kind: OperationKind,
    /// To which sandbox.
    pub sandbox_id: SandboxId,
    /// How far it got.
    pub status: OperationStatus,
    /// The step it is at.
    pub step: Option<String>,
    /// Why it failed or is stuck.
    pub error: Option<String>,
}
