//! The keeper of one sandbox on the host: starts pid 1, watches it, cleans up after it. It outlives its caller.

mod embryo;
pub(crate) mod launch;
mod limits;
mod supervise;

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

use crate::cgroup::Hierarchies;
use crate::idmap::Block;
use crate::seccomp::Filter;
use crate::shim::embryo::Embryo;
use crate::spec::{FromShim, ToShim};
use crate::sys;
use crate::wire;

pub(crate) use launch::Kept;
pub(crate) use limits::plan as plan_limits;

/// What can be prepared before it is known what to make.
pub(crate) struct Prepared {
    pub(crate) root: bool,
    pub(crate) hierarchies: Hierarchies,
    pub(crate) boot: String,
    pub(crate) filter: Filter,
}

/// The shim's whole life. Its standard input is a socket to the caller.
pub(crate) fn main() -> i32 {
    // The caller must not have to wait for us: our parent ends at once, so nobody's child is left behind.
    match sys::fork() {
        Ok(None) => {}
        Ok(Some(_)) => return 0,
        Err(_) => return 1,
    }
    let Some(caller) = detach() else { return 1 };
    let filter = Filter::compile();
    let root = rustix::process::geteuid().is_root();
    let hierarchies = Hierarchies::detect(root);
    // Where the group must be known at birth, there is nothing to start ahead.
    let early = match &filter {
        Ok(filter) if hierarchies.v2.is_none() => Embryo::start(filter, root.then(Block::any), None).ok(),
        _ => None,
    };
    let boot = crate::identity::boot_id();
    // Nothing was touched so far. A caller that goes away now leaves nothing.
    let Ok(Some(ToShim::Launch(spec))) = wire::recv_json(caller.as_fd()) else {
        return 0;
    };
    let launched = filter.and_then(|filter| {
        let prepared = Prepared {
            root,
            hierarchies,
            boot,
            filter,
        };
        launch::launch(&spec, &prepared, early)
    });
    match launched {
        Ok(launched) => {
            // Only now: the id maps of a child of a closed process could not be written without root.
            let _ = sys::set_not_dumpable();
            let answer = FromShim::Launched(Box::new(launched.answer.clone()));
            let _ = wire::send_json(caller.as_fd(), &answer);
            supervise::run(caller, launched)
        }
        Err(error) => {
            let _ = wire::send_json(caller.as_fd(), &FromShim::Refused(error));
            1
        }
    }
}

/// Leaves the caller's session, terminal and directory, and holds nothing of it but the socket.
fn detach() -> Option<OwnedFd> {
    rustix::process::setsid().ok()?;
    rustix::process::chdir("/").ok()?;
    rustix::process::umask(Mode::from_raw_mode(0o077));
    sys::ignore_signal(libc::SIGPIPE);
    sys::ignore_signal(libc::SIGHUP);
    let _ = sys::close_range(3, u32::MAX);
    let socket = rustix::io::fcntl_dupfd_cloexec(sys::take_stdin(), 3).ok()?;
    // Descriptor 0 is free again: it must not become something else.
    let null = rustix::fs::open("/dev/null", OFlags::RDWR, Mode::empty()).ok()?;
    if std::os::fd::AsRawFd::as_raw_fd(&null) == 0 {
        std::mem::forget(null);
    }
    Some(socket)
}
