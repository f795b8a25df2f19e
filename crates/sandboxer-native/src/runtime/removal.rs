//! Removing a sandbox: by its keeper, or in its place.

use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::process::Signal;
use sandboxer_model::cleanup::{CleanupItem, CleanupReport, Presence};
use sandboxer_model::money::Usage;

use super::{Keeper, Runtime, answer, nonsense};
use crate::cgroup;
use crate::error::{Kind, NativeError, Tried};
use crate::fence;
use crate::files;
use crate::identity::{self, ProcessRef};
use crate::layout::Home;
use crate::lock::{self, Attempt};
use crate::reap;
use crate::socket;
use crate::spec::{EndedRecord, FromShim, How, Intent, ToShim};
use crate::wire;

/// What a removal came to.
#[derive(Debug)]
pub struct Removed {
    /// What was looked for, found and removed.
    pub report: CleanupReport,
    /// What the sandbox used, where that could still be told.
    pub usage: Option<Usage>,
    /// How it had ended by itself before.
    pub ended: Option<How>,
}

impl Runtime {
    /// Removes everything of a sandbox, from any half-done state, and looks again to prove it.
    ///
    /// # Errors
    /// `Fenced`, `Busy` when somebody else works on it for longer than `timeout`.
    pub fn destroy(
        &self,
        id: &str,
        epoch: u64,
        keeper: Option<Keeper>,
        timeout: Duration,
    ) -> Result<Removed, NativeError> {
        let home = self.layout.home(id);
        let deadline = identity::monotonic() + timeout;
        // The other half is for doing it without a keeper that hangs.
        let ask = |socket: OwnedFd| {
            let answer = ask_keeper(socket.as_fd(), epoch, timeout / 2)?;
            if matches!(answer, FromShim::Destroyed { .. }) {
                wait_for_end(socket.as_fd());
            }
            Some(answer)
        };
        let mut answer = keeper.and_then(|keeper| ask(keeper.socket));
        // The one that was held may have kept an earlier life of the sandbox, which another process ended: then it is gone, or
        // tells of that end. Whoever keeps the sandbox now answers here.
        if matches!(answer, None | Some(FromShim::Destroyed { .. }))
            && let Ok(socket) = socket::connect(&home.path, "shim.sock")
        {
            answer = ask(socket);
        }
        if let Some(answer) = answer {
            return match answer {
                FromShim::Destroyed { report, usage, ended } => Ok(Removed {
                    report: self.verified(id, report),
                    usage: Some(usage),
                    ended,
                }),
                FromShim::Refused(error) => Err(error),
                FromShim::Launched(_) | FromShim::Usage(_) => Err(nonsense()),
            };
        }
        self.destroy_without_keeper(id, epoch, &home, deadline)
    }

    fn destroy_without_keeper(
        &self,
        id: &str,
        epoch: u64,
        home: &Home,
        deadline: Duration,
    ) -> Result<Removed, NativeError> {
        fence::check(&self.layout, id, epoch)?;
        let lock = match self.lock(home, deadline)? {
            None => {
                // A launch that looked before the number was left may have made the directory since. None does after it.
                self.leave_fence(id, epoch)?;
                self.lock(home, deadline)?
            }
            held => held,
        };
        let Some(_lock) = lock else {
            // There is no directory: it was removed whole, or somebody took its directory from under it.
            let groups = cgroup::groups_of(&self.machine().hierarchies, id);
            let report = reap::remove_without_directory(&self.layout, home, id, &groups);
            return Ok(Removed {
                report: self.verified(id, report),
                usage: None,
                ended: None,
            });
        };
        fence::check(&self.layout, id, epoch)?;
        let usage = self.usage(id).ok();
        let note = files::read_json::<EndedRecord>(&home.ended()).ok();
        if epoch > fence::highest(&self.layout, id) || !home.intent().exists() {
            self.leave_fence(id, epoch)?;
        }
        let report = reap::remove_all(&self.layout, home, id);
        Ok(Removed {
            report: self.verified(id, report),
            usage,
            ended: note.map(|note| note.how),
        })
    }

    fn leave_fence(&self, id: &str, epoch: u64) -> Result<(), NativeError> {
        self.layout.prepare().tried("make the runtime's directory")?;
        fence::leave(&self.layout, id, epoch)
    }

    /// The sandbox's lock; `None` when it is gone. A keeper that holds it past the deadline is ended.
    fn lock(&self, home: &Home, deadline: Duration) -> Result<Option<File>, NativeError> {
        let mut keeper_told = false;
        loop {
            match lock::attempt(&home.lock()).tried("take the sandbox's lock")? {
                Attempt::Held(lock) => return Ok(Some(lock)),
                Attempt::Gone => return Ok(None),
                Attempt::Busy => {}
            }
            let left = deadline.saturating_sub(identity::monotonic());
            if left < Duration::from_secs(2) && !keeper_told {
                keeper_told = true;
                end_keeper(home);
            }
            if left.is_zero() {
                return Err(
                    NativeError::new(Kind::Busy, "another process works on this sandbox").hint("try again in a moment")
                );
            }
            let nap = rustix::time::Timespec {
                tv_sec: 0,
                tv_nsec: 2_000_000,
            };
            let _ = rustix::thread::nanosleep(&nap);
        }
    }

    /// Adds the last look to a report: from here, after everything.
    fn verified(&self, id: &str, report: CleanupReport) -> CleanupReport {
        let observed = self.observe(id);
        let mut items = report.items;
        if observed.presence != Presence::Absent && items.iter().all(|item| item.now == Presence::Absent) {
            items.push(CleanupItem {
                kind: "directory".to_owned(),
                name: id.to_owned(),
                found: true,
                now: observed.presence,
                detail: observed.detail,
            });
        }
        CleanupReport::new(items)
    }
}

/// Ends a keeper that hangs: the one of the intent, or, where there is none yet, the one that holds the lock.
fn end_keeper(home: &Home) {
    let of_intent = || files::read_json::<Intent>(&home.intent()).ok()?.shim;
    let of_lock = || files::read_json::<ProcessRef>(&home.lock()).ok();
    if let Some(fd) = of_intent()
        .or_else(of_lock)
        .and_then(|keeper| keeper.open(&identity::boot_id()))
    {
        let _ = rustix::process::pidfd_send_signal(&fd, Signal::KILL);
    }
}

fn ask_keeper(socket: BorrowedFd<'_>, epoch: u64, timeout: Duration) -> Option<FromShim> {
    // A keeper that was told before may have done it and be gone: then its answer waits.
    let _ = wire::send_json(socket, &ToShim::Destroy { epoch });
    answer(socket, timeout).ok()
}

/// The keeper ends right after its answer; its end of the socket closes with it.
fn wait_for_end(socket: BorrowedFd<'_>) {
    let _ = wire::wait_readable(socket, Duration::from_secs(1));
}
