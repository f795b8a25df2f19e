//! The first process of a sandbox before it knows which: namespaces and the unchanging part of its root are made while
//! the caller is still writing down its intent. It holds nothing that outlives it, and ends when its keeper does.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::thread::CpuSet;

use crate::error::{Kind, NativeError, Tried};
use crate::identity::ProcessRef;
use crate::idmap::{self, Block};
use crate::init;
use crate::sys::{self, Cloned};
use crate::wire;

/// Closes every descriptor above the standard ones but this.
fn keep_only(link: &OwnedFd) {
    if crate::weaken::is_off("close_fds") {
        return;
    }
    let number = link.as_raw_fd().cast_unsigned();
    let _ = sys::close_range(3, number.saturating_sub(1));
    let _ = sys::close_range(number + 1, u32::MAX);
}

/// The first process of a sandbox, waiting for its birth.
pub(crate) struct Embryo {
    pub(crate) pid: i32,
    pub(crate) fd: OwnedFd,
    pub(crate) link: OwnedFd,
    /// The block of host ids it was mapped to.
    pub(crate) block: Option<Block>,
    /// Tells it from another process of its number, once that was looked up.
    pub(crate) reference: Option<ProcessRef>,
}

impl Embryo {
    /// Starts one. A version-2 group must be known now, since only a new process joins one cheaply.
    pub(crate) fn start(
        block: Option<Block>,
        cgroup: Option<BorrowedFd<'_>>,
        cpus: Option<&CpuSet>,
    ) -> Result<Embryo, NativeError> {
        let (link, theirs) = wire::pair().tried("make a socket pair")?;
        let mut namespaces = libc::CLONE_NEWUSER | libc::CLONE_NEWNS;
        for (name, flag) in [
            ("pid_namespace", libc::CLONE_NEWPID),
            ("network_namespace", libc::CLONE_NEWNET),
            ("ipc_namespace", libc::CLONE_NEWIPC),
            ("uts_namespace", libc::CLONE_NEWUTS),
        ] {
            if !crate::weaken::is_off(name) {
                namespaces |= flag;
            }
        }
        let cloned = sys::clone_process(u64::from(namespaces.cast_unsigned()), cgroup).map_err(|error| {
            NativeError::new(
                Kind::MissingPrerequisite,
                format!("cannot make namespaces for a sandbox: {error}"),
            )
            .hint("run `sandboxer doctor`: it says what forbids user namespaces here and how to allow them")
        })?;
        match cloned {
            Cloned::Child => {
                drop(link);
                // Nothing of the keeper's: whoever waits for its end must see it.
                keep_only(&theirs);
                // Its parent may be on the way to another processor, which narrows what it may use for a moment.
                if let Some(cpus) = cpus {
                    let _ = rustix::thread::sched_setaffinity(None, cpus);
                }
                init::run(theirs, block.is_some())
            }
            Cloned::Parent(pid, fd) => {
                drop(theirs);
                let embryo = Embryo {
                    pid,
                    fd,
                    link,
                    block,
                    reference: None,
                };
                match embryo.open_eyes() {
                    Ok(()) => Ok(embryo),
                    Err(error) => {
                        embryo.end();
                        Err(error)
                    }
                }
            }
        }
    }

    fn open_eyes(&self) -> Result<(), NativeError> {
        idmap::write_maps(self.pid, self.block)?;
        wire::send(self.link.as_fd(), b"go", &[]).tried("start the sandbox's first process")
    }

    /// Looks up what tells it from another process of its number.
    pub(crate) fn identify(&mut self, boot: &str) -> Result<ProcessRef, NativeError> {
        let reference = ProcessRef::of(self.pid, boot)
            .ok_or_else(|| NativeError::new(Kind::Failed, "the sandbox's first process ended at once"))?;
        self.reference = Some(reference.clone());
        Ok(reference)
    }

    /// Ends it.
    pub(crate) fn end(&self) {
        let _ = rustix::process::pidfd_send_signal(&self.fd, rustix::process::Signal::KILL);
        let _ = sys::reap(self.pid, true);
    }
}
