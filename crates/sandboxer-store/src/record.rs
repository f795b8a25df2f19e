//! What is stored.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sandboxer_extension::port::Uptime;
use sandboxer_model::duration::Span;
use sandboxer_model::id::{EventId, OperationId, SandboxId};
use sandboxer_model::lifecycle::{Reason, State};
use sandboxer_model::money::Quote;
use sandboxer_model::operation::{Epoch, OperationKind, OperationStatus};
use sandboxer_model::profile::Profile;
use sandboxer_model::registry::Reservation;
use sandboxer_model::route::RouteDecision;
use sandboxer_model::sandbox::Sandbox;
use serde::{Deserialize, Serialize};

/// One sandbox as stored: its public record and what only the engine needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SandboxRecord {
    /// The public record.
    pub sandbox: Sandbox,
    /// What only the engine needs.
    pub facts: Facts,
    /// What the row held when it was read or last written; `None`: it is not stored yet.
    #[serde(skip)]
    pub(crate) stored: Option<Stored>,
}

/// The fence of a row: a write under another one is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) epoch: Epoch,
    pub(crate) revision: i64,
    pub(crate) state: State,
    pub(crate) reservation: Option<Reservation>,
}

impl SandboxRecord {
    /// A record that is not stored yet.
    pub fn new(sandbox: Sandbox, facts: Facts) -> SandboxRecord {
        SandboxRecord {
            sandbox,
            facts,
            stored: None,
        }
    }

    /// Counts the changes of its row, as far as this value knows: 1, 2, 3 …; 0 before it is stored.
    pub fn revision(&self) -> u64 {
        self.stored
            .as_ref()
            .map_or(0, |stored| u64::try_from(stored.revision).unwrap_or(0))
    }

    /// Whether a row of it exists, as far as this value knows.
    pub fn is_stored(&self) -> bool {
        self.stored.is_some()
    }

    /// The epoch of its row, as far as this value knows.
    pub fn stored_epoch(&self) -> Option<Epoch> {
        self.stored.as_ref().map(|stored| stored.epoch)
    }

    /// The state of its row, as far as this value knows.
    pub fn stored_state(&self) -> Option<State> {
        self.stored.as_ref().map(|stored| stored.state)
    }

    /// Takes the fence of a fresher read of the same row, so that the next commit replaces what that read saw.
    /// The caller must have merged what it wants to keep of it.
    pub fn adopt_fence(&mut self, fresh: &SandboxRecord) {
        self.stored.clone_from(&fresh.stored);
    }
}

/// What calendar and stopwatch said at the same moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The calendar, which somebody may set.
    pub at: Timestamp,
    /// How long the machine had been up.
    pub uptime: Uptime,
}

/// What only the engine needs of a sandbox.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Facts {
    /// What provision returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handle: Option<BTreeMap<String, String>>,
    /// What was quoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote: Option<Quote>,
    /// Unique among live sandboxes; cleared when it may not be handed out any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope_key: Option<String>,
    /// Which candidate of the route is being tried or was taken.
    #[serde(default)]
    pub candidate: usize,
    /// How its host is reached, if that was a registered one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// When it was put where it is, before anything was asked for there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placed: Option<Reading>,
    /// How long this machine had been up when it became ready: a time to live is counted by this, not by a calendar that
    /// somebody may set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_uptime: Option<Uptime>,
    /// What it holds of a host. Each commit makes the table of reservations agree with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reservation: Option<Reservation>,
    /// Without use for this long it is removed. Copied from the profile, so that each use need not read that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_reap: Option<Span>,
    /// When it was last used; kept only where somebody looks at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
    /// The subject of the key it was made with; none: it was made on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// What never changes after a sandbox was accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Frozen {
    /// The fully resolved profile.
    pub profile: Profile,
    /// Where it came from.
    pub profile_source: String,
    /// The candidates and what was thought of them.
    pub route: RouteDecision,
}

/// One operation as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct OperationRecord {
    /// Its id.
    pub operation_id: OperationId,
    /// What it does.
    pub kind: OperationKind,
    /// To which sandbox.
    pub sandbox_id: SandboxId,
    /// Every choice that was fixed before the first effect.
    pub params: serde_json::Value,
    /// How far it got.
    pub status: OperationStatus,
    /// The step it is at.
    pub step: Option<String>,
    /// The process that works on it; empty: nobody.
    pub lease_owner: String,
    /// Until when an owner that cannot be asked is believed, or when nobody's operation is due.
    pub lease_until: Timestamp,
    /// The epoch it runs under.
    pub epoch: Epoch,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// Why it failed or is stuck.
    pub error: Option<String>,
}

/// One step of an operation, in one direction.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRecord {
    /// The operation.
    pub operation_id: OperationId,
    /// 1, 2, 3 … per operation. Writing the same number again replaces the row.
    pub seq: u32,
    /// Its name.
    pub name: String,
    /// In which direction.
    pub phase: StepPhase,
    /// Tries.
    pub attempt: u32,
    /// How it went.
    pub status: StepStatus,
    /// What later steps need of it.
    pub output: serde_json::Value,
    /// Why it failed.
    pub error: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took.
    pub duration_us: Option<u64>,
}

/// The direction of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepPhase {
    /// Forward.
    Do,
    /// Back.
    Undo,
}

impl StepPhase {
    /// The name used in the store.
    pub fn name(self) -> &'static str {
        match self {
            StepPhase::Do => "do",
            StepPhase::Undo => "undo",
        }
    }
}

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepStatus {
    /// It was begun; whether it had an effect is not known yet.
    Started,
    /// It was done.
    Done,
    /// It failed.
    Failed,
}

impl StepStatus {
    /// The name used in the store and in traces.
    pub fn name(self) -> &'static str {
        match self {
            StepStatus::Started => "started",
            StepStatus::Done => "done",
            StepStatus::Failed => "failed",
        }
    }
}

/// An event to be written; its sequence number is given by the transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// Its id.
    pub event_id: EventId,
    /// When.
    pub at: Timestamp,
    /// What, such as `state.ready`.
    pub kind: String,
    /// The state after it.
    pub state: State,
    /// Why, when the sandbox is ending.
    pub reason: Option<Reason>,
    /// One human line.
    pub summary: String,
    /// Facts. Never a secret.
    pub detail: serde_json::Value,
}

/// One figure of use. The first row for a sandbox, meter and period stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeterRow {
    /// What is measured, such as `duration_ms`.
    pub meter: String,
    /// Which stretch of life: the generation.
    pub period: u32,
    /// How much.
    pub quantity: i64,
    /// What it cost, in micro-units.
    pub cost_micros: i64,
}
