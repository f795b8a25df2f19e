//! What callers get back about drift: where what is stored and what is true differ.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// In which way what is stored and what is true differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DriftClass {
    /// A host has sandboxes and does not answer.
    HostUnreachable,
    /// An operation could not go on by itself.
    StuckOperation,
    /// An operation whose process is dead, or that nobody ever took up.
    DroppedOperation,
    /// A sandbox that is there although its time passed.
    PastDeadline,
    /// A sandbox that is on record as usable and gone at its backend.
    ZombieRecord,
    /// Something at a backend that belongs to no life any more.
    Leftover,
    /// Room on a host that is held for a sandbox that is over.
    HeldCapacity,
    /// A row of the database that cannot be understood.
    DamagedRow,
    /// A sink that nothing is sent to any more.
    SinkDisabled,
    /// Events that were given up after too many tries.
    DeadLetters,
    /// A reconciler that did not run when it was due, or whose last run broke off.
    ReconcilerLate,
}

impl DriftClass {
    /// Every class, in the order they are looked for and fixed in.
    pub const ALL: [DriftClass; 11] = [
        DriftClass::HostUnreachable,
        DriftClass::StuckOperation,
        DriftClass::DroppedOperation,
        DriftClass::PastDeadline,
        DriftClass::ZombieRecord,
        DriftClass::Leftover,
        DriftClass::HeldCapacity,
        DriftClass::DamagedRow,
        DriftClass::SinkDisabled,
        DriftClass::DeadLetters,
        DriftClass::ReconcilerLate,
    ];

    /// Its name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            DriftClass::HostUnreachable => "host_unreachable",
            DriftClass::StuckOperation => "stuck_operation",
            DriftClass::DroppedOperation => "dropped_operation",
            DriftClass::PastDeadline => "past_deadline",
            DriftClass::ZombieRecord => "zombie_record",
            DriftClass::Leftover => "leftover",
            DriftClass::HeldCapacity => "held_capacity",
            DriftClass::DamagedRow => "damaged_row",
            DriftClass::SinkDisabled => "sink_disabled",
            DriftClass::DeadLetters => "dead_letters",
            DriftClass::ReconcilerLate => "reconciler_late",
        }
    }
}

/// Who can do something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Remedy {
    /// `doctor --fix`.
    Doctor,
    /// Somebody who decides.
    Person,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DriftResult {
    /// Nothing was tried yet.
    Proposed,
    /// It is as it should be.
    Fixed,
    /// It is still as it was found.
    Left,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Drift {
    /// In which way.
    pub class: DriftClass,
    /// What: the id of a sandbox or operation, the name of a host, sink or reconciler, a row.
    pub on: String,
    /// What was found.
    pub found: String,
    /// What is to be done about it.
    pub action: String,
    /// By whom.
    pub by: Remedy,
    /// What came of it.
    pub result: DriftResult,
    /// That in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
}

impl Drift {
    /// Whether nothing happens about it unless a person does something.
    pub fn needs_a_person(&self) -> bool {
        match self.result {
            DriftResult::Proposed => self.by == Remedy::Person,
            DriftResult::Fixed => false,
            DriftResult::Left => true,
        }
    }
}

/// Everything that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DriftReport {
    /// When this was looked for.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// One entry for each thing.
    pub drifts: Vec<Drift>,
    /// What could not be seen, so that there may be more.
    pub unseen: Vec<String>,
}
