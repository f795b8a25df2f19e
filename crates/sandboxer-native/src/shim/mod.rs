//! The keeper of one sandbox on the host: starts pid 1, watches it, cleans up after it. It outlives its caller.

mod embryo;
pub(crate) mod launch;
mod limits;
mod supervise;

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::thread::CpuSet;

use crate::cgroup::Hierarchies;
use crate::error::{Kind, NativeError, Tried};
use crate::identity::ProcessRef;
use crate::idmap::Block;
use crate::shim::embryo::Embryo;
use crate::spec::{FromShim, Machine, ToShim};
use crate::sys;
use crate::wire;

pub(crate) use launch::Kept;
pub(crate) use limits::plan as plan_limits;

/// What can be prepared before it is known what to make.
pub(crate) struct Prepared {
    pub(crate) root: bool,
    pub(crate) hierarchies: Hierarchies,
    pub(crate) boot: String,
    pub(crate) me: ProcessRef,
    /// What the sandbox may run on, where the keeper's own is changed for a moment.
    pub(crate) cpus: Option<CpuSet>,
}

/// The life of a keeper that was started as a program of its own. Its standard input is a socket to the caller.
pub(crate) fn main() -> i32 {
    // The caller must not have to wait for us: our parent ends at once, so nobody's child is left behind.
    match sys::fork() {
        Ok(None) => {}
        Ok(Some(_)) => return 0,
        Err(_) => return 1,
    }
    detach(sys::take_stdin()).map_or(1, |caller| keep(caller, None))
}

/// Starts a keeper as a copy of this process: a third of the time of a program start. Only for a process with one
/// thread that ends soon itself; the copy forgets its arguments and environment. The socket to it is returned.
pub(crate) fn fork_keeper() -> Result<OwnedFd, NativeError> {
    sys::require_one_thread().tried("make sure that this process has one thread")?;
    let (ours, theirs) = wire::pair().tried("make a socket pair")?;
    let arguments = crate::identity::argument_area().ok_or_else(|| {
        NativeError::new(
            Kind::Failed,
            "cannot find this process's arguments, which a copy has to forget",
        )
    })?;
    let cpus = rustix::thread::sched_getaffinity(None).ok();
    match sys::fork().tried("start the sandbox's keeper")? {
        Some(keeper) => {
            send_elsewhere(keeper);
            Ok(ours)
        }
        None => {
            drop(ours);
            sys::forget_arguments(arguments, c"sandboxer-keeper");
            sys::exit_now(detach(theirs).map_or(1, |caller| keep(caller, cpus)))
        }
    }
}

/// Moves a new process to another processor. It is often queued on the one of its parent, even beside an idle one, until
/// the parent first waits: here both have a millisecond of work to do at the same time.
fn send_elsewhere(child: i32) {
    use rustix::thread::{sched_getaffinity, sched_getcpu, sched_setaffinity};
    let Ok(allowed) = sched_getaffinity(None) else { return };
    let mut others = allowed;
    others.unset(sched_getcpu());
    let child = rustix::process::Pid::from_raw(child);
    if others.count() > 0 && sched_setaffinity(child, &others).is_ok() {
        let _ = sched_setaffinity(child, &allowed);
    }
}

/// What the keeper and pid 1 ignore. Commands ignore nothing.
pub(crate) const IGNORED: [i32; 2] = [libc::SIGPIPE, libc::SIGHUP];

/// Waits for something to keep, makes it, keeps it.
fn keep(caller: OwnedFd, cpus: Option<CpuSet>) -> i32 {
    let root = rustix::process::geteuid().is_root();
    // Where a process has to be born into its group, there is nothing to start ahead.
    let mut early = match Hierarchies::is_unified() {
        false => Embryo::start(root.then(Block::any), None, cpus.as_ref()).ok(),
        true => None,
    };
    // Nothing was touched so far. A caller that goes away now leaves nothing. (Our own preparations come after this: the
    // first process has more to do, and would have to wait for us where there are few processors.)
    let Ok(Some(ToShim::Launch { spec, machine })) = wire::recv_json(caller.as_fd()) else {
        return 0;
    };
    let Machine { hierarchies, boot } = machine;
    if hierarchies.v2.is_some()
        && let Some(embryo) = early.take()
    {
        embryo.end();
    }
    let Some(me) = ProcessRef::of(rustix::process::getpid().as_raw_nonzero().get(), &boot) else {
        return 1;
    };
    let prepared = Prepared {
        root,
        hierarchies,
        boot,
        me,
        cpus,
    };
    match launch::launch(&spec, &prepared, early) {
        Ok(launched) => {
            // It is on record, so it may outlive us, and must from the moment somebody is told of it.
            let _ = wire::send(launched.link.as_fd(), b"kept", &[]);
            let answer = FromShim::Launched(Box::new(launched.answer.clone()));
            let _ = wire::send_json(caller.as_fd(), &answer);
            // Only now: the id maps of a child of a closed process could not be written without root.
            let _ = sys::set_not_dumpable();
            supervise::run(caller, launched)
        }
        Err(error) => {
            let _ = wire::send_json(caller.as_fd(), &FromShim::Refused(error));
            1
        }
    }
}

/// Leaves the caller's session, terminal and directory, and holds nothing of it but the socket.
fn detach(socket: OwnedFd) -> Option<OwnedFd> {
    rustix::process::setsid().ok()?;
    rustix::process::chdir("/").ok()?;
    rustix::process::umask(Mode::from_raw_mode(0o077));
    sys::default_signals(1..=64);
    for signal in IGNORED {
        sys::ignore_signal(signal);
    }
    let socket = rustix::io::fcntl_dupfd_cloexec(socket, 10).ok()?;
    let number = socket.as_raw_fd().cast_unsigned();
    if !crate::weaken::is_off("close_fds") {
        sys::close_range(3, number - 1).ok()?;
        sys::close_range(number + 1, u32::MAX).ok()?;
    }
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).ok()?;
    for standard in 0..3 {
        sys::dup_onto(null.as_fd(), standard).ok()?;
    }
    Some(socket)
}
