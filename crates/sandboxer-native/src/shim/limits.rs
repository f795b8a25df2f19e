//! Which mechanism holds each limit on this machine.

use sandboxer_model::isolation::{EnforcedBy, Limit, Resource};

use crate::cgroup::Hierarchies;
use crate::error::{Kind, NativeError};
use crate::init::harden::ProcessLimits;
use crate::spec::LaunchSpec;

/// Disk limits up to this many MiB are kept by a memory file system.
const MOST_TMPFS_MB: u64 = 512;

/// How the limits of a sandbox are held.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LimitPlan {
    pub(crate) report: Vec<Limit>,
    pub(crate) process: ProcessLimits,
    /// Writable files are kept in memory, capped at this many MiB.
    pub(crate) tmpfs_mb: Option<u64>,
    /// The keeper measures these.
    pub(crate) watched: Watched,
}

/// What the keeper measures and kills for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Watched {
    pub(crate) memory_mb: Option<u64>,
    pub(crate) disk_mb: Option<u64>,
}

/// Decides what holds each limit.
///
/// # Errors
/// `CannotEnforce` under `strict` when one would only be watched or not be held at all.
pub(crate) fn plan(spec: &LaunchSpec, hierarchies: &Hierarchies) -> Result<LimitPlan, NativeError> {
    let limits = &spec.limits;
    let mut process = ProcessLimits::default();
    let mut watched = Watched::default();
    let mut report = Vec::new();
    #[expect(clippy::cast_precision_loss, reason = "limits are far below 2^52")]
    let mut say = |resource, value: Option<u64>, enforced_by, detail: &str| {
        report.push(Limit {
            resource,
            value: value.map(|v| v as f64),
            enforced_by,
            detail: detail.to_owned(),
        });
    };

    let (memory_by, memory_detail) = match (limits.memory_mb, hierarchies.holder("memory")) {
        (None, _) => (EnforcedBy::None, "no limit was asked for"),
        (Some(mb), EnforcedBy::None) => {
            watched.memory_mb = Some(mb);
            (
                EnforcedBy::Watchdog,
                "no memory controller is available: what processes have mapped is measured four times a second, and ended when over; \
                 what none has mapped, such as a memory file or a full socket, is not seen",
            )
        }
        (Some(_), holder) => (holder, "files kept in memory count too"),
    };
    say(Resource::MemoryMb, limits.memory_mb, memory_by, memory_detail);

    let (pids_by, pids_detail) = match (limits.pids, hierarchies.holder("pids")) {
        (None, _) => (EnforcedBy::None, "no limit was asked for"),
        (Some(pids), EnforcedBy::None) => {
            process.processes = Some(pids);
            (EnforcedBy::Rlimit, "counted per user namespace")
        }
        (Some(_), holder) => (holder, ""),
    };
    say(Resource::Pids, limits.pids, pids_by, pids_detail);

    let mut tmpfs_mb = None;
    let (disk_by, disk_detail) = match limits.disk_mb {
        None => (
            EnforcedBy::None,
            "no limit was asked for: writable files share the host's disk",
        ),
        Some(mb) if mb <= MOST_TMPFS_MB || spec.strict => {
            tmpfs_mb = Some(mb);
            (EnforcedBy::Tmpfs, "writable files are kept in memory")
        }
        Some(mb) => {
            watched.disk_mb = Some(mb);
            (
                EnforcedBy::Watchdog,
                "measured every second, ended when over; up to 512 MiB, or with `strict`, memory holds the limit exactly",
            )
        }
    };
    say(Resource::DiskMb, limits.disk_mb, disk_by, disk_detail);

    let (cpu_by, cpu_detail) = match (limits.cpu, hierarchies.holder("cpu")) {
        (None, _) => (EnforcedBy::None, "no limit was asked for"),
        (Some(cpu), EnforcedBy::None) if cpu.fract() == 0.0 && cpu >= 1.0 => {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "1 to 1024 by validation"
            )]
            let whole = cpu as usize;
            process.cpus = Some(whole);
            (
                EnforcedBy::Affinity,
                "no cpu controller is available: bound to as many CPUs",
            )
        }
        (Some(_), EnforcedBy::None) => (
            EnforcedBy::None,
            "no cpu controller is available; whole CPUs could be held",
        ),
        (Some(_), holder) => (holder, ""),
    };
    report.push(Limit {
        resource: Resource::Cpu,
        value: limits.cpu,
        enforced_by: cpu_by,
        detail: cpu_detail.to_owned(),
    });

    if spec.strict
        && let Some(weak) = report
            .iter()
            .find(|limit| limit.value.is_some() && !limit.enforced_by.is_strict())
    {
        let name = serde_json::to_string(&weak.resource)
            .unwrap_or_default()
            .replace('"', "");
        return Err(NativeError::new(
            Kind::CannotEnforce,
            format!(
                "the limit `resources.{}` cannot be held strictly on this machine: {}",
                name, weak.detail
            ),
        )
        .hint("run `sandboxer doctor` for what is missing, run as root, or use a profile without `resources.strict`"));
    }
    Ok(LimitPlan {
        report,
        process,
        tmpfs_mb,
        watched,
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::spec::{Access, Limits, Workspace};

    fn spec(strict: bool, limits: Limits) -> LaunchSpec {
        LaunchSpec {
            id: "sbx-a".into(),
            installation: "inst-a".into(),
            epoch: 1,
            root: PathBuf::from("/nowhere"),
            ttl_secs: 60,
            limits,
            strict,
            workspace: Workspace {
                source: None,
                access: Access::Rw,
            },
        }
    }

    fn all() -> Limits {
        Limits {
            cpu: Some(1.5),
            memory_mb: Some(64),
            disk_mb: Some(64),
            pids: Some(32),
        }
    }

    #[test]
    fn without_controllers_each_limit_says_what_holds_it() {
        let plan = plan(&spec(false, all()), &Hierarchies::default()).expect("planned");
        let by: Vec<_> = plan
            .report
            .iter()
            .map(|limit| (limit.resource, limit.enforced_by))
            .collect();
        assert_eq!(
            by,
            [
                (Resource::MemoryMb, EnforcedBy::Watchdog),
                (Resource::Pids, EnforcedBy::Rlimit),
                (Resource::DiskMb, EnforcedBy::Tmpfs),
                (Resource::Cpu, EnforcedBy::None)
            ]
        );
        assert_eq!(plan.watched.memory_mb, Some(64));
    }

    #[test]
    fn strict_refuses_what_is_only_watched() {
        let error = plan(&spec(true, all()), &Hierarchies::default()).expect_err("refused");
        assert_eq!(error.kind, Kind::CannotEnforce);
        assert!(error.message.contains("memory_mb"), "{}", error.message);
    }

    #[test]
    fn controllers_hold_what_they_can() {
        let v1 = ["memory", "pids", "cpu"]
            .map(|name| (name.to_owned(), PathBuf::from("/x").join(name)))
            .to_vec();
        let plan = plan(&spec(true, all()), &Hierarchies { v2: None, v1 }).expect("planned");
        assert!(plan.report.iter().all(|limit| limit.enforced_by.is_strict()));
    }
}
