//! Pid 1 seals itself before it serves anybody: what it gives up, every command lacks too, with nothing to forget.

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope,
};
use sandboxer_model::isolation::{Mechanism, MechanismState};
use serde::{Deserialize, Serialize};

use crate::cgroup;
use crate::error::{Kind, NativeError, Tried};
use crate::idmap::INSIDE_UID;
use crate::init::rootfs;
use crate::seccomp::Filter;
use crate::sys;
use crate::weaken;

/// Limits that are set on the process itself, where no control group holds them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessLimits {
    /// Processes of the user namespace.
    pub(crate) processes: Option<u64>,
    /// Whole CPUs.
    pub(crate) cpus: Option<usize>,
}

const SECUREBITS_ALL_LOCKED: u64 = 0xff & !(1 << 4);

/// Gives up everything commands must not have, but for what [`install_filter`] takes. Any failure ends the sandbox.
pub(crate) fn give_up(limits: &ProcessLimits, rootful: bool) -> Result<Vec<Mechanism>, NativeError> {
    let mut report = Vec::new();
    let mut enforced = |name: &str, detail: &str| {
        report.push(Mechanism {
            name: name.to_owned(),
            state: MechanismState::Enforced,
            detail: detail.to_owned(),
        });
    };
    process_limits(limits)?;
    if !weaken::is_off("capabilities") {
        // Bits 0-3, 5-7: no root magic, no set-uid fix-up, no keep-caps, no ambient, all locked. (Bit 4 is KEEP_CAPS.)
        sys::prctl(libc::PR_SET_SECUREBITS, SECUREBITS_ALL_LOCKED, 0, 0, 0).tried("lock the secure bits")?;
    }
    // Changing the user takes a capability, so it comes before they go.
    if rootful && !weaken::is_off("user") {
        sys::become_user(INSIDE_UID, INSIDE_UID, false).tried("become the sandbox's user")?;
    }
    if !weaken::is_off("capabilities") {
        sys::drop_capabilities().tried("drop capabilities")?;
        enforced("capabilities", "none, and none can be had");
    }
    #[cfg(feature = "weaken")]
    if weaken::is_off("capabilities") {
        sys::pass_on_capabilities().tried("pass capabilities on to commands")?;
    }
    if !weaken::is_off("no_new_privs") {
        sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0).tried("set no_new_privs")?;
        enforced("no_new_privs", "set-user-id programs gain nothing");
    }
    sys::set_not_dumpable().tried("close pid 1 to its children")?;
    #[cfg(feature = "weaken")]
    if weaken::is_off("dumpable") {
        sys::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0).tried("open pid 1 to its children")?;
    }
    if !weaken::is_off("landlock") {
        report.push(landlock_rules()?);
    }
    Ok(report)
}

/// The wall that [`install_filter`] puts up.
pub(crate) fn filter_mechanism() -> Option<Mechanism> {
    let detail = "namespaces, mounts, devices, keys, kernel interfaces, raw and exotic sockets are refused";
    (!weaken::is_off("seccomp")).then(|| Mechanism {
        name: "seccomp".to_owned(),
        state: MechanismState::Enforced,
        detail: detail.to_owned(),
    })
}

/// The last wall, after which nothing can be set up any more.
pub(crate) fn install_filter(limits: &ProcessLimits, filter: &Filter) -> Result<(), NativeError> {
    if weaken::is_off("seccomp") {
        return Ok(());
    }
    if limits.cpus.is_some() {
        let bound = Filter::keep_affinity();
        bound.install().tried("keep the limit of CPUs")?;
    }
    filter.install().tried("install the seccomp filter")
}

/// Commands get the number of open files of a usual system, and dump no core.
pub(crate) fn limit_open_files() -> Result<(), NativeError> {
    sys::set_rlimit(libc::RLIMIT_CORE, 0, 0).tried("forbid core dumps")?;
    if let Ok((_, hard)) = sys::rlimit(libc::RLIMIT_NOFILE) {
        let hard = hard.min(524_288);
        sys::set_rlimit(libc::RLIMIT_NOFILE, hard.min(4096), hard).tried("limit open files")?;
    }
    Ok(())
}

fn process_limits(limits: &ProcessLimits) -> Result<(), NativeError> {
    if let Some(processes) = limits.processes {
        let processes = processes + cgroup::OWN_TASKS;
        sys::set_rlimit(libc::RLIMIT_NPROC, processes, processes).tried("limit processes")?;
    }
    if let Some(cpus) = limits.cpus {
        sys::restrict_cpus(cpus).tried("limit CPUs")?;
    }
    Ok(())
}

/// A second wall behind the mounts: what may be written at all, and no signals or abstract sockets out.
fn landlock_rules() -> Result<Mechanism, NativeError> {
    let newest = ABI::V6;
    let failed =
        |error: landlock::RulesetError| NativeError::new(Kind::Failed, format!("cannot set up Landlock: {error}"));
    let read = AccessFs::from_read(newest);
    let write: BitFlags<AccessFs> = AccessFs::from_all(newest) & !AccessFs::MakeChar & !AccessFs::MakeBlock;
    let file_write = AccessFs::from_read(newest) | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::IoctlDev;

    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(newest))
        .and_then(|rules| rules.scope(Scope::AbstractUnixSocket | Scope::Signal))
        .and_then(Ruleset::create)
        .map_err(failed)?;
    let everywhere: &[(&str, BitFlags<AccessFs>)] = &[
        ("/", read),
        ("/proc", file_write),
        ("/dev", file_write),
        ("/dev/shm", write),
        ("/tmp", write),
        (rootfs::HOME, write),
        (rootfs::WORKSPACE, write),
    ];
    for (path, access) in everywhere {
        // The workspace may be absent by profile.
        let Ok(fd) = PathFd::new(path) else { continue };
        ruleset = ruleset.add_rule(PathBeneath::new(fd, *access)).map_err(failed)?;
    }
    let status = ruleset.restrict_self().map_err(failed)?;
    let (state, detail) = match status.ruleset {
        RulesetStatus::FullyEnforced => (
            MechanismState::Enforced,
            "writes outside the workspace, /tmp and home are refused a second time; no signals or abstract sockets out",
        ),
        RulesetStatus::PartiallyEnforced => (
            MechanismState::Degraded,
            "this kernel knows only a part of the rules; mounts and namespaces enforce them all",
        ),
        RulesetStatus::NotEnforced => (
            MechanismState::Missing,
            "this kernel has no Landlock; mounts and namespaces enforce the same rules",
        ),
    };
    Ok(Mechanism {
        name: "landlock".to_owned(),
        state,
        detail: detail.to_owned(),
    })
}
