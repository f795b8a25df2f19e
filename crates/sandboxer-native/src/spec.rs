//! What the caller asks of the shim, and what the shim answers.

use std::path::PathBuf;

use sandboxer_model::cleanup::CleanupReport;
use sandboxer_model::isolation::{Attestation, Limit, Mechanism};
use sandboxer_model::money::Usage;
use serde::{Deserialize, Serialize};

use crate::cgroup::Hierarchies;
use crate::error::NativeError;
use crate::identity::ProcessRef;

/// A sandbox to make.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LaunchSpec {
    /// Its id: names its directory and cgroups.
    pub id: String,
    /// The installation it belongs to.
    pub installation: String,
    /// Fencing number of the caller.
    pub epoch: u64,
    /// The runtime's directory.
    pub root: PathBuf,
    /// Seconds it may live, counted from ready.
    pub ttl_secs: u64,
    /// Limits.
    pub limits: Limits,
    /// Refuse when a limit that is asked for would only be watched or not be enforced.
    pub strict: bool,
    /// Its tree.
    pub workspace: Workspace,
}

/// Limits; `None`: none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// CPUs, may be a fraction.
    pub cpu: Option<f64>,
    /// MiB.
    pub memory_mb: Option<u64>,
    /// MiB.
    pub disk_mb: Option<u64>,
    /// Processes and threads, without the sandbox's own first process.
    pub pids: Option<u64>,
}

/// The tree a sandbox works on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workspace {
    /// A directory of the caller, absolute; stays untouched. `None`: empty.
    pub source: Option<PathBuf>,
    /// What commands inside may do with it.
    pub access: Access,
}

/// What commands may do with the workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// It is not there.
    None,
    /// Read.
    Ro,
    /// Read and write.
    Rw,
}

/// A sandbox that is ready.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Launched {
    /// Its first process.
    pub(crate) init: ProcessRef,
    /// Its keeper on the host.
    pub(crate) shim: ProcessRef,
    /// When its first process ends it, in milliseconds since 1970.
    pub deadline_ms: i64,
    /// Whether commands see a workspace.
    pub has_workspace: bool,
    /// Its walls.
    pub mechanisms: Vec<Mechanism>,
    /// Its limits.
    pub limits: Vec<Limit>,
    /// What was tried from inside.
    pub attestations: Vec<Attestation>,
}

impl Launched {
    /// The number of its first process on the host.
    pub fn init_pid(&self) -> i32 {
        self.init.pid
    }

    /// The number of its keeper.
    pub fn shim_pid(&self) -> i32 {
        self.shim.pid
    }
}

/// What is written down before anything is made, so that any later process can remove it by id alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Intent {
    pub(crate) installation: String,
    pub(crate) epoch: u64,
    pub(crate) boot: String,
    pub(crate) cgroups: Vec<PathBuf>,
    pub(crate) uid_lease: Option<PathBuf>,
    pub(crate) shim: Option<ProcessRef>,
    /// Its first process, once there is one.
    pub(crate) first: Option<ProcessRef>,
    pub(crate) spec: LaunchSpec,
}

/// How a sandbox ended without being asked to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct EndedRecord {
    pub(crate) how: How,
    pub(crate) usage: Usage,
}

/// How a sandbox ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Its first process saw the deadline pass.
    Deadline,
    /// Something killed its first process.
    Killed,
    /// It used more memory than it may.
    OutOfMemory,
    /// It used more disk than it may.
    OutOfDisk,
}

/// What has to be known of the machine to make a sandbox on it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) hierarchies: Hierarchies,
    pub(crate) boot: String,
}

/// What a caller sends the shim.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToShim {
    Launch {
        spec: Box<LaunchSpec>,
        /// What the caller found out of this machine already.
        machine: Machine,
    },
    Destroy {
        epoch: u64,
    },
    /// The same, once it has ended by itself; the answer comes then.
    DestroyAtEnd {
        epoch: u64,
    },
    Usage,
}

/// What the shim answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromShim {
    Launched(Box<Launched>),
    Refused(NativeError),
    Destroyed {
        report: CleanupReport,
        usage: Usage,
        /// How it had ended by itself before that, if it had, other than by its last command.
        ended: Option<How>,
    },
    Usage(Usage),
}

/// What pid 1 tells the shim while it sets itself up.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromInit {
    /// All but the last wall stands, which is counted among the mechanisms already.
    Built {
        deadline_ms: i64,
        mechanisms: Vec<Mechanism>,
        attestations: Vec<Attestation>,
    },
    /// The last wall stands.
    Sealed,
    Refused(NativeError),
}

/// Exit code of pid 1 when its deadline passed. Commands cannot forge it: they cannot make pid 1 exit.
pub(crate) const EXIT_DEADLINE: u8 = 77;
