//! Making a sandbox: write down what will exist, make it, start pid 1, write down that it is there.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::fs::FlockOperation;
use sandboxer_model::isolation::MechanismState;

use crate::cgroup::Groups;
use crate::error::{Kind, NativeError, Tried};
use crate::fence;
use crate::files;
use crate::identity::ProcessRef;
use crate::idmap;
use crate::init::{self, Birth, rootfs::Sources};
use crate::layout::{Home, Layout};
use crate::reap;
use crate::seccomp::Filter;
use crate::shim::Prepared;
use crate::shim::limits::{self, Watched};
use crate::socket;
use crate::spec::{FromInit, Intent, LaunchSpec, Launched};
use crate::sys::{self, Cloned};
use crate::wire;

/// A sandbox that is ready, as its keeper holds it.
pub(crate) struct Kept {
    pub(crate) answer: Launched,
    pub(crate) spec: LaunchSpec,
    pub(crate) layout: Layout,
    pub(crate) home: Home,
    /// Held for the keeper's life.
    pub(crate) _lock: File,
    pub(crate) listener: OwnedFd,
    pub(crate) init_pid: i32,
    pub(crate) init_fd: OwnedFd,
    /// Keeps pid 1 from thinking we died; it does not mind once it serves.
    pub(crate) _link: OwnedFd,
    pub(crate) cgroups: Vec<std::path::PathBuf>,
    pub(crate) watched: Watched,
}

/// How long pid 1 may take to set itself up.
const SETUP_TIMEOUT: Duration = Duration::from_secs(20);

/// Makes the sandbox. What was made before a failure is removed before the failure is reported.
pub(crate) fn launch(spec: &LaunchSpec, prepared: &Prepared, filter: Filter) -> Result<Kept, NativeError> {
    let layout = Layout::new(&spec.root);
    layout
        .prepare()
        .tried(&format!("make the directory {}", spec.root.display()))?;
    let plan = limits::plan(spec, &prepared.hierarchies)?;
    fence::check(&layout, &spec.id, spec.epoch)?;
    let home = layout.home(&spec.id);
    files::make_private_dir(&home.path).tried("make the sandbox's directory")?;
    let lock = take_lock(&home)?;
    // A second look under the lock: a removal may have come between.
    fence::check(&layout, &spec.id, spec.epoch)?;
    if home.intent().exists() {
        // Half-made by a keeper that died. (A whole one is found by the caller, who does not ask us then.)
        reap::remove_contents(&layout, &home, &spec.id);
    }
    let result = make(spec, prepared, filter, &layout, &home, plan);
    match result {
        Ok(made) => Ok(Kept {
            answer: made.answer,
            spec: spec.clone(),
            layout,
            home,
            _lock: lock,
            listener: made.listener,
            init_pid: made.init_pid,
            init_fd: made.init_fd,
            _link: made.link,
            cgroups: made.cgroups,
            watched: made.watched,
        }),
        Err(error) => {
            reap::remove_all(&layout, &home, &spec.id);
            Err(error)
        }
    }
}

fn take_lock(home: &Home) -> Result<File, NativeError> {
    let lock = files::open_lock(&home.lock()).tried("open the sandbox's lock")?;
    rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        NativeError::new(Kind::Busy, "another process keeps this sandbox already").hint("try again in a moment")
    })?;
    Ok(lock)
}

struct Made {
    answer: Launched,
    listener: OwnedFd,
    init_pid: i32,
    init_fd: OwnedFd,
    link: OwnedFd,
    cgroups: Vec<std::path::PathBuf>,
    watched: Watched,
}

fn make(
    spec: &LaunchSpec,
    prepared: &Prepared,
    filter: Filter,
    layout: &Layout,
    home: &Home,
    plan: limits::LimitPlan,
) -> Result<Made, NativeError> {
    let me = ProcessRef::of(rustix::process::getpid().as_raw_nonzero().get(), &prepared.boot)
        .ok_or_else(|| NativeError::new(Kind::Failed, "cannot read /proc/self/stat"))?;
    let groups = Groups::plan(&prepared.hierarchies, &spec.id, &spec.limits);
    // A lease names its owner, so it can be found and ended without any record of it.
    let lease = if prepared.root {
        Some(idmap::lease(layout, &spec.id)?)
    } else {
        None
    };
    let intent = Intent {
        installation: spec.installation.clone(),
        epoch: spec.epoch,
        boot: prepared.boot.clone(),
        cgroups: groups.dirs(),
        uid_lease: lease.as_ref().map(|lease| lease.path.clone()),
        shim: Some(me.clone()),
        spec: spec.clone(),
    };
    files::replace_json(&home.intent(), &intent).tried("write down the intent")?;

    groups
        .create(&prepared.hierarchies, &spec.limits)
        .tried("make the control groups")?;
    let cgroup = groups.open_v2().tried("open the control group")?;
    let doors = groups.open_doors().tried("open the control groups")?;
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
    let commands = socket::listen(&home.path, "init.sock").tried("listen for commands")?;
    let listener = socket::listen(&home.path, "shim.sock").tried("listen for callers")?;
    let (link, theirs) = wire::pair().tried("make a socket pair")?;

    let mut namespaces = libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWPID;
    for (name, flag) in [
        ("network_namespace", libc::CLONE_NEWNET),
        ("ipc_namespace", libc::CLONE_NEWIPC),
        ("uts_namespace", libc::CLONE_NEWUTS),
    ] {
        if !crate::weaken::is_off(name) {
            namespaces |= flag;
        }
    }
    let birth = Birth {
        spec: spec.clone(),
        link: theirs,
        listener: commands,
        doors,
        sources,
        filter,
        rootful: prepared.root,
        process_limits: plan.process,
    };
    let cloned = sys::clone_process(u64::from(namespaces.cast_unsigned()), cgroup.as_ref().map(AsFd::as_fd)).map_err(
        |error| {
            NativeError::new(
                Kind::MissingPrerequisite,
                format!("cannot make namespaces for a sandbox: {error}"),
            )
            .hint("run `sandboxer doctor`: it says what forbids user namespaces here and how to allow them")
        },
    )?;
    let (init_pid, init_fd) = match cloned {
        Cloned::Child => {
            drop(link);
            init::run(birth)
        }
        Cloned::Parent(pid, fd) => (pid, fd),
    };
    drop(birth);
    let process = Process {
        pid: init_pid,
        link: &link,
    };
    match bring_up(spec, prepared, home, &process, lease.as_ref(), plan.report, me) {
        Ok(answer) => Ok(Made {
            answer,
            listener,
            init_pid,
            init_fd,
            link,
            cgroups: intent.cgroups,
            watched: plan.watched,
        }),
        Err(error) => {
            let _ = rustix::process::pidfd_send_signal(&init_fd, rustix::process::Signal::KILL);
            let _ = sys::reap(init_pid, true);
            Err(error)
        }
    }
}

/// The new process, as the keeper sees it.
struct Process<'a> {
    pid: i32,
    link: &'a OwnedFd,
}

/// Takes the new process from its first breath to being on record.
fn bring_up(
    spec: &LaunchSpec,
    prepared: &Prepared,
    home: &Home,
    process: &Process<'_>,
    lease: Option<&idmap::Lease>,
    limits: Vec<sandboxer_model::isolation::Limit>,
    me: ProcessRef,
) -> Result<Launched, NativeError> {
    let link = process.link;
    idmap::write_maps(process.pid, lease)?;
    wire::send(link.as_fd(), b"go", &[]).tried("start the sandbox's first process")?;
    if !wire::wait_readable(link.as_fd(), SETUP_TIMEOUT).tried("wait for the sandbox's first process")? {
        return Err(NativeError::new(
            Kind::Timeout,
            format!("the sandbox's first process was not ready within {SETUP_TIMEOUT:?}"),
        ));
    }
    let ready = wire::recv_json::<FromInit>(link.as_fd()).tried("hear from the sandbox's first process")?;
    let (deadline_ms, mechanisms, attestations) = match ready {
        Some(FromInit::Ready {
            deadline_ms,
            mechanisms,
            attestations,
        }) => (deadline_ms, mechanisms, attestations),
        Some(FromInit::Refused(error)) => return Err(error),
        None => {
            return Err(NativeError::new(
                Kind::Failed,
                "the sandbox's first process ended while it set itself up",
            ));
        }
    };
    if let Some(broken) = attestations.iter().find(|attestation| !attestation.held) {
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
    let init = ProcessRef::of(process.pid, &prepared.boot)
        .ok_or_else(|| NativeError::new(Kind::Failed, "the sandbox's first process ended at once"))?;
    let has_workspace = spec.workspace.access != crate::spec::Access::None;
    let answer = Launched {
        init,
        shim: me,
        deadline_ms,
        has_workspace,
        mechanisms,
        limits,
        attestations,
    };
    files::replace_json(&home.state(), &answer).tried("write down the sandbox")?;
    // Told only now: until it is on record, pid 1 dies with us.
    wire::send(link.as_fd(), b"kept", &[]).tried("release the sandbox's first process")?;
    Ok(answer)
}

/// A directory on the host for writable files.
fn open_disk(home: &Home, lease: Option<&idmap::Lease>, sources: &mut Sources) -> Result<(), NativeError> {
    let disk = home.disk();
    files::make_private_dir(&disk).tried("make the writable directory")?;
    if let Some(lease) = lease {
        std::os::unix::fs::chown(&disk, Some(lease.first()), Some(lease.first()))
            .tried("hand over the writable directory")?;
        let path = sys::cpath(&disk).tried("read the path of the writable directory")?;
        sources.disk = Some(sys::clone_tree(&path, sys::Recursive::No).tried("open the writable directory")?);
    } else {
        // Without rights over mounts on the host, the new process opens it by itself.
        sources.disk_path = Some(disk);
    }
    Ok(())
}
