//! Removing a sandbox: by its keeper, or in its place.

use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::Signal;
use sandboxer_model::cleanup::{CleanupItem, CleanupReport, Presence};
use sandboxer_model::money::Usage;

use super::{Keeper, Runtime, answer, nonsense};
use crate::error::{Kind, NativeError, Tried};
use crate::fence;
use crate::files;
use crate::identity::{self, ProcessRef};
use crate::layout::Home;
use crate::lock::{self, Attempt};
use crate::reap;
use crate::socket;
use crate::spec::{EndedRecord, FromShim, How, ToShim};
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
    /// We do.
    Ours(Hold),
}

/// The lock of a sandbox's directory.
struct Hold {
    _lock: File,
    /// Whether the directory was made for this removal, so that no launch makes another meanwhile: it is no find.
    is_new: bool,
}

/// What is left of a removal's time when a keeper that holds the lock and cannot be asked is ended, so that the rest can be
/// done without it.
const FOR_OURSELVES: Duration = Duration::from_secs(2);
/// What the lock of a keeper that was ended may take to come free.
const RELEASE: Duration = Duration::from_secs(1);

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
        let answer = keeper.and_then(|keeper| ask_keeper(&keeper.socket, epoch, timeout / 2));
        // The one that was held may have kept an earlier life of the sandbox, which another process ended: then it is gone, or
        // tells of that end. Whoever keeps the sandbox now is asked in its turn.
        match answer {
            Some(answer @ FromShim::Destroyed { .. }) if !home.path.exists() => self.removed_by_keeper(id, answer),
            None | Some(FromShim::Destroyed { .. }) => {
                fence::check(&self.layout, id, epoch)?;
                match self.turn(id, &home, epoch, deadline)? {
                    Turn::Keepers(answer) => self.removed_by_keeper(id, answer),
                    Turn::Ours(hold) => self.remove_in_its_place(id, epoch, &home, &hold),
                }
            }
            Some(answer) => self.removed_by_keeper(id, answer),
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

    fn remove_in_its_place(&self, id: &str, epoch: u64, home: &Home, hold: &Hold) -> Result<Removed, NativeError> {
        if let Err(fenced) = fence::check(&self.layout, id, epoch) {
            if home.is_untouched() {
                reap::remove_directory(&self.layout, home, id);
            }
            return Err(fenced);
        }
        let usage = self.usage(id).ok();
        let note = files::read_json::<EndedRecord>(&home.ended()).ok();
        fence::leave(&self.layout, id, epoch)?;
        let mut report = reap::remove_all(&self.layout, &self.machine().hierarchies, home, id);
        if hold.is_new {
            for item in report.items.iter_mut().filter(|item| item.kind == "directory") {
                item.found = false;
            }
        }
        Ok(Removed {
            report: self.verified(id, report),
            usage,
            ended: note.map(|note| note.how),
        })
    }

    /// Waits until it is clear who removes the sandbox. Whoever holds its lock may still be making it, and is asked as soon
    /// as that is possible. A keeper that was asked and did not answer, or that holds the lock until the time is nearly up, is
    /// ended. What is not there is locked all the same: no launch may come between the removal and its proof.
    fn turn(&self, id: &str, home: &Home, epoch: u64, mut deadline: Duration) -> Result<Turn, NativeError> {
        let (mut asked, mut ended) = (None, None);
        let mut is_new = false;
        loop {
            match lock::attempt(&home.lock()).tried("take the sandbox's lock")? {
                Attempt::Held(lock) => return Ok(Turn::Ours(Hold { _lock: lock, is_new })),
                Attempt::Gone => {
                    self.layout.prepare().tried("make the runtime's directory")?;
                    is_new = files::make_private_dir(&home.path).tried("make the sandbox's directory")?;
                    continue;
                }
                Attempt::Busy => is_new = false,
            }
            let keeper = lock::holder(&home.lock());
            let left = deadline.saturating_sub(identity::monotonic());
            if keeper.is_some() && asked != keeper {
                match socket::connect_now(&home.path, "shim.sock") {
                    Ok(socket) => {
                        asked = keeper;
                        if let Some(answer) = ask_keeper(&socket, epoch, left / 2) {
                            return Ok(Turn::Keepers(answer));
                        }
                        continue;
                    }
                    // So many wait to be taken in that one more would not be heard.
                    Err(Errno::AGAIN) => asked.clone_from(&keeper),
                    // It does not listen yet.
                    Err(_) => {}
                }
            }
            if let Some(keeper) = keeper
                && ended.as_ref() != Some(&keeper)
                && (asked.as_ref() == Some(&keeper) || left < FOR_OURSELVES)
            {
                // Its epoch was on record before its name.
                fence::check(&self.layout, id, epoch)?;
                end(&keeper);
                ended = Some(keeper);
                deadline = deadline.max(identity::monotonic() + RELEASE);
                continue;
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

/// Ends a keeper that hangs.
fn end(keeper: &ProcessRef) {
    if let Ok(Some(fd)) = keeper.open(&identity::boot_id()) {
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
