//! How isolation is enforced, mechanism by mechanism and limit by limit, as the backend reports it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::profile::IsolationLevel;

/// Answers "how is it isolated": what enforces each wall and limit, and what was tried from inside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IsolationReport {
    /// The kind of wall that stands.
    pub level: IsolationLevel,
    /// Each wall.
    pub mechanisms: Vec<Mechanism>,
    /// Each limit.
    pub limits: Vec<Limit>,
    /// What was tried from inside at ready, and what came of it.
    pub attestations: Vec<Attestation>,
}

/// One wall: what stands, by which kernel or backend feature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Mechanism {
    /// Stable name, such as `user_namespace` or `seccomp`.
    pub name: String,
    /// Whether it stands.
    pub state: MechanismState,
    /// What it does here, or why it is missing, and what to do about it.
    pub detail: String,
}

/// Whether a wall stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MechanismState {
    /// It stands.
    Enforced,
    /// It stands with a documented weakness.
    Degraded,
    /// It does not stand.
    Missing,
}

/// One limit: what was asked for and what enforces it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Limit {
    /// What is limited.
    pub resource: Resource,
    /// How much: CPUs, MiB or a count. `None`: no limit was asked for and none is set.
    pub value: Option<f64>,
    /// What holds it.
    pub enforced_by: EnforcedBy,
    /// What a reader should know, such as the resolution of a watchdog.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// What can be limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// CPUs.
    Cpu,
    /// MiB of memory.
    MemoryMb,
    /// MiB of writable disk.
    DiskMb,
    /// Processes and threads.
    Pids,
}

/// What holds a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EnforcedBy {
    /// The unified cgroup hierarchy.
    Cgroup2,
    /// A version-1 cgroup controller.
    Cgroup1,
    /// A per-process or per-user resource limit.
    Rlimit,
    /// The size of a memory file system.
    Tmpfs,
    /// A file-system quota.
    Quota,
    /// The set of CPUs the processes may run on: whole CPUs only.
    Affinity,
    /// Our own process measures and kills; it can be overshot for a moment.
    Watchdog,
    /// A backend outside this machine.
    Backend,
    /// Nothing.
    None,
}

impl EnforcedBy {
    /// Whether the kernel or the backend holds the limit at every moment.
    pub fn is_strict(self) -> bool {
        !matches!(self, EnforcedBy::Watchdog | EnforcedBy::None)
    }
}

/// One thing tried from inside a sandbox when it became ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Attestation {
    /// What was tried, such as `connect 169.254.169.254:80`.
    pub probe: String,
    /// What must come of it.
    pub expected: String,
    /// What came of it.
    pub observed: String,
    /// Whether the two agree.
    pub held: bool,
}
