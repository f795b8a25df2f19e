//! Making a sandbox: write down what will exist, make it, start pid 1, write down that it is there.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use sandboxer_model::isolation::MechanismState;

use crate::cgroup::Groups;
use crate::error::{Kind, NativeError, Tried};
use crate::fence;
use crate::files;
use crate::identity::{self, ProcessRef};
use crate::idmap::{self, Lease};
use crate::init::{Admission, Birth, rootfs::Sources};
use crate::layout::{Home, Layout};
use crate::lock::{self, Attempt};
use crate::reap;
use crate::shim::Prepared;
use crate::shim::embryo::Embryo;
use crate::shim::limits::{self, Watched};
use crate::socket;
use crate::spec::{FromInit, Intent, LaunchSpec, Launched};
use crate::sys;
use crate::wire;

/// A sandbox that is ready, as its keeper holds it.
pub(crate) struct Kept {
    pub(crate) answer: Launched,
    pub(crate) intent: Intent,
    pub(crate) layout: Layout,
    pub(crate) home: Home,
    /// Held for the keeper's life.
    pub(crate) lock: File,
    pub(crate) listener: OwnedFd,
    pub(crate) init_pid: i32,
    pub(crate) init_fd: OwnedFd,
    /// Pid 1 waits at the other end until it is let serve, and does not mind afterwards.
    pub(crate) link: OwnedFd,
    pub(crate) watched: Watched,
}

/// How long pid 1 may take to set itself up.
const SETUP_TIMEOUT: Duration = Duration::from_secs(20);

/// Makes the sandbox. What was made before a failure is removed before the failure is reported.
pub(crate) fn launch(spec: &LaunchSpec, prepared: &Prepared, early: Option<Embryo>) -> Result<Kept, NativeError> {
    #[cfg(feature = "weaken")]
    let spec = &crate::weaken::without_limits(spec);
    let layout = Layout::new(&spec.root);
    layout
        .prepare()
        .tried(&format!("make the directory {}", spec.root.display()))?;
    let plan = limits::plan(spec, &prepared.hierarchies)?;
    fence::check(&layout, &spec.id, spec.epoch)?;
    let home = layout.home(&spec.id);
    let claim = claim(&layout, &home, &spec.id, spec.epoch, &prepared.me)?;
    if claim.is_inherited {
        // Half-made by a keeper that died. (A whole one is found by the caller, who does not ask us then.)
        reap::remove_contents(&layout, &prepared.hierarchies, &home, &spec.id).map_err(|left| {
            NativeError::new(
                Kind::Busy,
                format!(
                    "{} {} of an earlier launch is not gone: {}",
                    left.kind, left.name, left.detail
                ),
            )
            .hint("try again in a moment")
        })?;
    }
    let result = make(spec, prepared, early, &layout, &home, plan);
    match result {
        Ok(made) => Ok(Kept {
            answer: made.answer,
            intent: made.intent,
            layout,
            home,
            lock: claim.lock,
            listener: made.listener,
            init_pid: made.embryo.pid,
            init_fd: made.embryo.fd,
            link: made.embryo.link,
            watched: made.watched,
        }),
        Err(error) => {
            // The epoch stays on record: with the directory, where it cannot be left behind.
            if fence::leave(&layout, &spec.id, spec.epoch).is_ok() {
                reap::remove_all(&layout, &prepared.hierarchies, &home, &spec.id);
            } else {
                let _ = reap::remove_contents(&layout, &prepared.hierarchies, &home, &spec.id);
            }
            Err(error)
        }
    }
}

/// A sandbox's directory that this keeper may fill.
#[derive(Debug)]
struct Claim {
    lock: File,
    /// Somebody began to fill it before.
    is_inherited: bool,
}

/// Makes the sandbox's directory and takes its lock for this keeper. If a newer epoch has come between, what was made
/// for nobody is removed again.
fn claim(layout: &Layout, home: &Home, id: &str, epoch: u64, keeper: &ProcessRef) -> Result<Claim, NativeError> {
    let lock = take_lock(home)?;
    let is_inherited = home.intent().exists() || lock::is_signed(&lock).tried(SIGNATURE)?;
    // The caller looked before anything was made; a removal may have come between that and the lock.
    if let Err(fenced) = fence::check(layout, id, epoch) {
        if home.is_untouched() {
            reap::remove_directory(layout, home, id);
        }
        return Err(fenced);
    }
    // The epoch first: whoever reads the signature finds out whether it may end this keeper.
    fence::note(home, epoch)?;
    lock::sign(&lock, keeper).tried(SIGNATURE)?;
    Ok(Claim { lock, is_inherited })
}

const SIGNATURE: &str = "write down who keeps the sandbox";

/// How often a directory is made that a removal takes away before it is locked.
const TRIES: u32 = 10;

fn take_lock(home: &Home) -> Result<File, NativeError> {
    for _ in 0..TRIES {
        files::make_private_dir(&home.path).tried("make the sandbox's directory")?;
        match lock::attempt(&home.lock()).tried("take the sandbox's lock")? {
            Attempt::Held(lock) => return Ok(lock),
            Attempt::Busy => break,
            Attempt::Gone => {}
        }
    }
    Err(
        NativeError::new(Kind::Busy, "another process keeps or removes this sandbox already")
            .hint("try again in a moment"),
    )
}

struct Made {
    answer: Launched,
    listener: OwnedFd,
    embryo: Embryo,
    intent: Intent,
    watched: Watched,
}

fn make(
    spec: &LaunchSpec,
    prepared: &Prepared,
    early: Option<Embryo>,
    layout: &Layout,
    home: &Home,
    plan: limits::LimitPlan,
) -> Result<Made, NativeError> {
    let groups = Groups::plan(&prepared.hierarchies, &spec.id, &spec.limits);
    // A lease names its owner, so it can be found and ended without any record of it.
    let (mut early, lease) = with_lease(early, prepared, layout, &spec.id)?;
    let mut intent = Intent {
        installation: spec.installation.clone(),
        epoch: spec.epoch,
        boot: prepared.boot.clone(),
        cgroups: groups.dirs(),
        uid_lease: lease.as_ref().map(|lease| lease.path.clone()),
        shim: Some(prepared.me.clone()),
        first: early
            .as_mut()
            .map(|embryo| embryo.identify(&prepared.boot))
            .transpose()?,
        spec: spec.clone(),
    };
    files::replace_json(&home.intent(), &intent).tried("write down the intent")?;

    let mut sources = Sources {
        tmpfs_mb: plan.tmpfs_mb,
        ..Sources::default()
    };
    if plan.tmpfs_mb.is_none() {
        open_disk(home, lease.as_ref(), &mut sources)?;
    }
    if let (Some(source), Some(lease)) = (&spec.workspace.source, &lease)
        && spec.workspace.access != crate::spec::Access::None
    {
        sources.workspace = Some(idmap::mapped_tree(source, lease)?);
    }
    let embryo = match early {
        Some(embryo) => embryo,
        None => {
            // Where a process has to be born into its group, the group comes first.
            groups.create(&prepared.hierarchies, &spec.limits).tried(GROUPS)?;
            let cgroup = groups.open_v2().tried("open the control group")?;
            let block = lease.as_ref().map(|lease| lease.block);
            let mut embryo = Embryo::start(block, cgroup.as_ref().map(AsFd::as_fd), prepared.cpus.as_ref())?;
            intent.first = Some(embryo.identify(&prepared.boot)?);
            files::replace_json(&home.intent(), &intent).tried("write down the intent")?;
            embryo
        }
    };
    let birth = Birth {
        spec: spec.clone(),
        workspace: sources.workspace.is_some(),
        disk: sources.disk.is_some(),
        disk_path: sources.disk_path.clone(),
        tmpfs_mb: sources.tmpfs_mb,
        process_limits: plan.process,
    };
    match bring_up(&birth, &sources, &groups, prepared, home, &embryo, plan.report) {
        Ok((answer, listener)) => Ok(Made {
            answer,
            listener,
            embryo,
            intent,
            watched: plan.watched,
        }),
        Err(error) => {
            embryo.end();
            Err(error)
        }
    }
}

const GROUPS: &str = "make the control groups";

/// A lease that fits the early process. One whose block was taken meanwhile is of no use.
fn with_lease(
    early: Option<Embryo>,
    prepared: &Prepared,
    layout: &Layout,
    id: &str,
) -> Result<(Option<Embryo>, Option<Lease>), NativeError> {
    if !prepared.root {
        return Ok((early, None));
    }
    if let Some(embryo) = early {
        if let Some(block) = embryo.block
            && let Some(lease) = idmap::lease_block(layout, id, block)?
        {
            return Ok((Some(embryo), Some(lease)));
        }
        embryo.end();
    }
    Ok((None, Some(idmap::lease(layout, id)?)))
}

/// Takes the new process from its first breath to being on record. The callers' door is returned with the answer.
fn bring_up(
    birth: &Birth,
    sources: &Sources,
    groups: &Groups,
    prepared: &Prepared,
    home: &Home,
    embryo: &Embryo,
    limits: Vec<sandboxer_model::isolation::Limit>,
) -> Result<(Launched, OwnedFd), NativeError> {
    let (link, spec) = (&embryo.link, &birth.spec);
    let until = identity::monotonic() + SETUP_TIMEOUT;
    let trees = sources.workspace.iter().chain(&sources.disk).map(AsFd::as_fd);
    tell(link, birth, &trees.collect::<Vec<_>>())?;
    // The groups are made while it builds its root.
    groups.create(&prepared.hierarchies, &spec.limits).tried(GROUPS)?;
    let doors = groups.open_doors().tried("open the control groups")?;
    let commands = socket::listen(&home.path, "init.sock").tried("listen for commands")?;
    let admission = Admission { doors: doors.len() };
    let fds = std::iter::once(commands.as_fd()).chain(doors.iter().map(AsFd::as_fd));
    tell(link, &admission, &fds.collect::<Vec<_>>())?;
    drop((commands, doors));
    let listener = socket::listen(&home.path, "shim.sock").tried("listen for callers")?;

    let (deadline_ms, mechanisms, attestations) = match hear(link, until)? {
        FromInit::Built {
            deadline_ms,
            mechanisms,
            attestations,
        } => (deadline_ms, mechanisms, attestations),
        FromInit::Refused(error) => return Err(error),
        FromInit::Sealed => return Err(out_of_turn()),
    };
    if let Some(broken) = attestations.iter().find(|attestation| !attestation.held)
        && !crate::weaken::is_off("attestation")
    {
        return Err(NativeError::new(
            Kind::CannotEnforce,
            format!(
                "the denied network is not closed: {} came to `{}`",
                broken.probe, broken.observed
            ),
        ));
    }
    if spec.strict
        && let Some(weak) = mechanisms
            .iter()
            .find(|mechanism| mechanism.state == MechanismState::Missing)
    {
        return Err(NativeError::new(
            Kind::CannotEnforce,
            format!("`{}` is missing: {}", weak.name, weak.detail),
        ));
    }
    let has_workspace = spec.workspace.access != crate::spec::Access::None;
    let answer = Launched {
        init: embryo.reference.clone().ok_or_else(out_of_turn)?,
        shim: prepared.me.clone(),
        deadline_ms,
        has_workspace,
        mechanisms,
        limits,
        attestations,
    };
    let state = home.state();
    let draft = files::draft_json(&state, &answer).tried("write down the sandbox")?;
    match hear(link, until)? {
        FromInit::Sealed => {}
        FromInit::Refused(error) => return Err(error),
        FromInit::Built { .. } => return Err(out_of_turn()),
    }
    draft.publish().tried("write down the sandbox")?;
    Ok((answer, listener))
}

/// Tells pid 1 something, with copies of these descriptors.
fn tell<T: serde::Serialize>(link: &OwnedFd, message: &T, fds: &[BorrowedFd<'_>]) -> Result<(), NativeError> {
    let message = serde_json::to_vec(message).map_err(|error| NativeError::new(Kind::Failed, error.to_string()))?;
    wire::send(link.as_fd(), &message, fds).tried("tell the sandbox's first process what it is")
}

/// What pid 1 says next.
fn hear(link: &OwnedFd, until: Duration) -> Result<FromInit, NativeError> {
    let left = until.saturating_sub(identity::monotonic());
    if !wire::wait_readable(link.as_fd(), left).tried("wait for the sandbox's first process")? {
        return Err(NativeError::new(
            Kind::Timeout,
            format!("the sandbox's first process was not ready within {SETUP_TIMEOUT:?}"),
        ));
    }
    wire::recv_json(link.as_fd())
        .tried("hear from the sandbox's first process")?
        .ok_or_else(|| NativeError::new(Kind::Failed, "the sandbox's first process ended while it set itself up"))
}

fn out_of_turn() -> NativeError {
    NativeError::new(Kind::Failed, "the sandbox's first process spoke out of turn")
}

/// A directory on the host for writable files.
fn open_disk(home: &Home, lease: Option<&Lease>, sources: &mut Sources) -> Result<(), NativeError> {
    let disk = home.disk();
    files::make_private_dir(&disk).tried("make the writable directory")?;
    if let Some(lease) = lease {
        std::os::unix::fs::chown(&disk, Some(lease.block.first()), Some(lease.block.first()))
            .tried("hand over the writable directory")?;
        let path = sys::cpath(&disk).tried("read the path of the writable directory")?;
        sources.disk = Some(sys::clone_tree(&path, sys::Recursive::No).tried("open the writable directory")?);
    } else {
        // Without rights over mounts on the host, the new process opens it by itself.
        sources.disk_path = Some(disk);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A runtime's directory and a process that keeps something.
    fn bench() -> (tempfile::TempDir, Layout, Home, ProcessRef) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        layout.prepare().unwrap();
        let home = layout.home("sbx");
        let keeper = ProcessRef::of(rustix::process::getpid().as_raw_nonzero().get(), &identity::boot_id()).unwrap();
        (dir, layout, home, keeper)
    }

    #[test]
    fn a_launch_that_a_removal_overtook_leaves_nothing() {
        let (_dir, layout, home, keeper) = bench();
        fence::leave(&layout, "sbx", 2).unwrap();
        let refused = claim(&layout, &home, "sbx", 1, &keeper).unwrap_err();
        assert_eq!(refused.kind, Kind::Fenced);
        assert!(!home.path.exists(), "an empty directory stays");
        assert_eq!(files::names(&layout.trash()).unwrap(), Vec::<String>::new());
        assert!(!claim(&layout, &home, "sbx", 2, &keeper).unwrap().is_inherited);
    }

    #[test]
    fn a_launch_that_a_newer_one_overtook_leaves_what_is_not_its_own() {
        let (_dir, layout, home, keeper) = bench();
        drop(claim(&layout, &home, "sbx", 2, &keeper).unwrap());
        // The newer one died before it wrote anything else, and stays on record however often an older one comes.
        for _ in 0..2 {
            let refused = claim(&layout, &home, "sbx", 1, &keeper).unwrap_err();
            assert_eq!(refused.kind, Kind::Fenced);
        }
        assert!(claim(&layout, &home, "sbx", 2, &keeper).unwrap().is_inherited);
    }

    #[test]
    fn a_lock_that_was_removed_meanwhile_holds_nobody_up() {
        let (_dir, layout, home, keeper) = bench();
        let old = claim(&layout, &home, "sbx", 1, &keeper).unwrap();
        assert_eq!(claim(&layout, &home, "sbx", 1, &keeper).unwrap_err().kind, Kind::Busy);
        assert!(lock::is_at(&old.lock, &home.lock()).unwrap());
        reap::remove_directory(&layout, &home, "sbx");
        assert!(!lock::is_at(&old.lock, &home.lock()).unwrap());
        let new = claim(&layout, &home, "sbx", 1, &keeper).unwrap();
        assert!(!lock::is_at(&old.lock, &home.lock()).unwrap());
        assert!(lock::is_at(&new.lock, &home.lock()).unwrap());
    }

    #[test]
    fn what_a_dead_keeper_left_is_freed_before_the_next_begins() {
        let (_dir, layout, home, keeper) = bench();
        let hierarchies = crate::cgroup::Hierarchies::default();
        drop(claim(&layout, &home, "sbx", 1, &keeper).unwrap());
        let lease = layout.uid_leases().join("7");
        std::os::unix::fs::symlink("sbx", &lease).unwrap();
        assert!(claim(&layout, &home, "sbx", 1, &keeper).unwrap().is_inherited);
        reap::remove_contents(&layout, &hierarchies, &home, "sbx").unwrap();
        assert_eq!(files::names(&layout.uid_leases()).unwrap(), Vec::<String>::new());
        assert_eq!(files::names(&home.path).unwrap(), ["lock"]);
    }
}
