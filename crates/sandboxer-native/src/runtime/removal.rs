//! Removing a sandbox: by its keeper, or in its place.

use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
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

/// Who is to remove a sandbox.
enum Turn {
    /// Its keeper, which says what came of it.
    Keepers(FromShim),
    /// We do, under its lock.
    Ours(File),
    /// There is no directory to hold.
    Nobodys,
}

/// What is left of a removal's time when whoever holds the lock is ended, so that the rest can be done without it.
const FOR_OURSELVES: Duration = Duration::from_secs(2);

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
        let mut answer = keeper.and_then(|keeper| ask_keeper(&keeper.socket, epoch, timeout / 2));
        let mut is_asked = false;
        // The one that was held may have kept an earlier life of the sandbox, which another process ended: then it is gone, or
        // tells of that end. Whoever keeps the sandbox now answers here.
        if matches!(answer, None | Some(FromShim::Destroyed { .. }))
            && let Ok(socket) = socket::connect(&home.path, "shim.sock")
        {
            is_asked = true;
            answer = ask_keeper(&socket, epoch, timeout / 2);
        }
        if let Some(answer) = answer {
            return self.removed_by_keeper(id, answer);
        }
        fence::check(&self.layout, id, epoch)?;
        loop {
            match self.turn(id, &home, epoch, deadline, is_asked)? {
                Turn::Keepers(answer) => return self.removed_by_keeper(id, answer),
                Turn::Ours(lock) => return self.remove_in_its_place(id, epoch, &home, lock),
                Turn::Nobodys => {}
            }
            // There is no directory: it was removed whole, was never made, or somebody took it from under the sandbox.
            self.leave_fence(id, epoch)?;
            let groups = cgroup::groups_of(&self.machine().hierarchies, id);
            let report = reap::remove_without_directory(&self.layout, &home, id, &groups);
            let report = self.verified(id, report);
            // A launch that looked before the number was left may make the directory, and finds out under its lock.
            if report.leftovers().iter().any(|item| item.kind == "directory") && identity::monotonic() < deadline {
                is_asked = false;
                continue;
            }
            return Ok(Removed {
                report,
                usage: None,
                ended: None,
            });
        }
    }

    fn removed_by_keeper(&self, id: &str, answer: FromShim) -> Result<Removed, NativeError> {
        match answer {
            FromShim::Destroyed { report, usage, ended } => Ok(Removed {
                report: self.verified(id, report),
                usage: Some(usage),
                ended,
            }),
            FromShim::Refused(error) => Err(error),
            FromShim::Launched(_) | FromShim::Usage(_) => Err(nonsense()),
        }
    }

    fn remove_in_its_place(&self, id: &str, epoch: u64, home: &Home, _lock: File) -> Result<Removed, NativeError> {
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

    /// Waits until it is clear who removes the sandbox. Whoever holds its lock may still be making it, and is asked as soon
    /// as that is possible. One that was asked and did not answer, or that holds the lock until the deadline, is ended.
    fn turn(
        &self,
        id: &str,
        home: &Home,
        epoch: u64,
        deadline: Duration,
        mut is_asked: bool,
    ) -> Result<Turn, NativeError> {
        let mut is_ended = false;
        loop {
            match lock::attempt(&home.lock()).tried("take the sandbox's lock")? {
                Attempt::Held(lock) => return Ok(Turn::Ours(lock)),
                Attempt::Gone => return Ok(Turn::Nobodys),
                Attempt::Busy => {}
            }
            let left = deadline.saturating_sub(identity::monotonic());
            if left.is_zero() {
                return Err(
                    NativeError::new(Kind::Busy, "another process works on this sandbox").hint("try again in a moment")
                );
            }
            if !is_asked && let Ok(socket) = socket::connect(&home.path, "shim.sock") {
                is_asked = true;
                if let Some(answer) = ask_keeper(&socket, epoch, left / 2) {
                    return Ok(Turn::Keepers(answer));
                }
                continue;
            }
            if !is_ended && (is_asked || left < FOR_OURSELVES) {
                is_ended = true;
                fence::check(&self.layout, id, epoch)?;
                end_keeper(home);
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

/// Has a keeper remove its sandbox. `None`: it is gone, or did not answer in time.
fn ask_keeper(socket: &OwnedFd, epoch: u64, timeout: Duration) -> Option<FromShim> {
    // A keeper that was told before may have done it and be gone: then its answer waits.
    let _ = wire::send_json(socket.as_fd(), &ToShim::Destroy { epoch });
    let answer = answer(socket.as_fd(), timeout).ok()?;
    if matches!(answer, FromShim::Destroyed { .. }) {
        // It ends right after its answer; its end of the socket closes with it.
        let _ = wire::wait_readable(socket.as_fd(), Duration::from_secs(1));
    }
    Some(answer)
}
