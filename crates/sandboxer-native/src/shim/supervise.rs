//! The keeper's loop: waits for pid 1 to end or for a caller to ask, and cleans up when either happens.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, pidfd_send_signal};
use sandboxer_model::cleanup::CleanupItem;
use sandboxer_model::cleanup::Presence;
use sandboxer_model::money::Usage;

use crate::cgroup;
use crate::exec_wire::{self, ExecReply, ToInit};
use crate::fence;
use crate::files;
use crate::identity;
use crate::lock;
use crate::reap;
use crate::shim::launch::Kept;
use crate::socket;
use crate::spec::{EXIT_DEADLINE, EndedRecord, FromShim, How, ToShim};
use crate::sys::{self, ChildEnd};
use crate::watchdog;
use crate::wire;

/// Most callers at once.
const MAX_CALLERS: usize = 64;

/// Keeps the sandbox until it ends; the exit code of the keeper.
pub(crate) fn run(caller: OwnedFd, kept: Kept) -> i32 {
    let mut callers = vec![caller];
    let mut watch = watchdog::Watch::new(&kept);
    let mut at_end = None;
    let mut backstop = Backstop::new(&kept);
    loop {
        let mut fds = vec![
            PollFd::new(&kept.init_fd, PollFlags::IN),
            PollFd::new(&kept.listener, accept_flags(callers.len())),
        ];
        fds.extend(callers.iter().map(|caller| PollFd::new(caller, PollFlags::IN)));
        let timeout = [watch.period(), Some(backstop.left())]
            .into_iter()
            .flatten()
            .min()
            .map(timespec);
        let polled = poll(&mut fds, timeout.as_ref());
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        if polled.is_err() {
            continue;
        }
        if ready[0] {
            return match at_end {
                Some(epoch) => removed_at_end(&kept, epoch, &callers, watch.verdict()),
                None => ended_by_itself(&kept, watch.verdict()),
            };
        }
        if backstop.is_overdue(&kept) {
            watch.overrule(How::Deadline);
            let _ = pidfd_send_signal(&kept.init_fd, Signal::KILL);
            continue;
        }
        if watch.is_over_limit(&kept) {
            let _ = pidfd_send_signal(&kept.init_fd, Signal::KILL);
            continue;
        }
        let mut index = 0;
        for is_ready in ready.iter().skip(2) {
            if !is_ready {
                index += 1;
                continue;
            }
            match wire::recv_json::<ToShim>(callers[index].as_fd()) {
                // What is there now is not ours to remove. Whoever asks does it, under the lock that is there.
                Ok(Some(ToShim::Destroy { .. })) if !is_ours(&kept) => {
                    end(&kept);
                    return 0;
                }
                Ok(Some(ToShim::Destroy { epoch })) => match destroy(&kept, epoch, EndWas::NotSeen, watch.verdict()) {
                    Ok(answer) => {
                        let _ = wire::send_json(callers[index].as_fd(), &answer);
                        return 0;
                    }
                    Err(refusal) => {
                        let _ = wire::send_json(callers[index].as_fd(), &refusal);
                        index += 1;
                    }
                },
                Ok(Some(ToShim::DestroyAtEnd { epoch })) => {
                    at_end = Some(epoch);
                    index += 1;
                }
                Ok(Some(ToShim::Usage)) => {
                    let _ = wire::send_json(callers[index].as_fd(), &FromShim::Usage(usage_now(&kept)));
                    index += 1;
                }
                Ok(Some(ToShim::Launch { .. })) => index += 1,
                Ok(None) | Err(_) => {
                    callers.swap_remove(index);
                    // The list changed under the flags that were read from it: the next turn sees the rest.
                    break;
                }
            }
        }
        if ready[1]
            && let Ok(socket) = rustix::net::accept_with(&kept.listener, rustix::net::SocketFlags::CLOEXEC)
        {
            callers.push(socket);
        }
    }
}

/// A second guard of the deadline, for a pid 1 that cannot act on its own, stopped from outside say. It knows no deadline
/// but what pid 1 told it last, so it asks before it acts.
struct Backstop {
    /// Time since boot.
    look_at: Duration,
}

/// What pid 1 may be late by.
const GRACE: Duration = Duration::from_secs(5);
/// What its answer may take.
const ANSWER: Duration = Duration::from_secs(2);

impl Backstop {
    fn new(kept: &Kept) -> Backstop {
        Backstop {
            look_at: identity::boottime() + until(kept.answer.deadline_ms) + GRACE,
        }
    }

    fn left(&self) -> Duration {
        self.look_at.saturating_sub(identity::boottime())
    }

    /// Whether its time passed and pid 1 does not answer; moves on when the deadline was moved.
    fn is_overdue(&mut self, kept: &Kept) -> bool {
        if !self.left().is_zero() {
            return false;
        }
        match ask_deadline(kept) {
            Some(deadline_ms) => {
                self.look_at = identity::boottime() + until(deadline_ms) + GRACE;
                false
            }
            None => true,
        }
    }
}

fn until(deadline_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(deadline_ms.saturating_sub(identity::unix_ms())).unwrap_or(0))
}

fn ask_deadline(kept: &Kept) -> Option<i64> {
    let socket = socket::connect_now(&kept.home.path, "init.sock").ok()?;
    exec_wire::send(socket.as_fd(), &ToInit::Ping, &[]).ok()?;
    if !wire::wait_readable(socket.as_fd(), ANSWER).ok()? {
        return None;
    }
    match wire::recv_json::<ExecReply>(socket.as_fd()) {
        Ok(Some(ExecReply::Alive { deadline_ms })) => Some(deadline_ms),
        _ => None,
    }
}

fn accept_flags(callers: usize) -> PollFlags {
    if callers < MAX_CALLERS {
        PollFlags::IN
    } else {
        PollFlags::empty()
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(0),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

fn usage_now(kept: &Kept) -> Usage {
    let accounted = cgroup::usage(&kept.intent.cgroups);
    if accounted.cpu_us.is_some() {
        accounted
    } else {
        watchdog::sample(kept.init_pid)
    }
}

/// Kills pid 1, waits for it, and says what the sandbox used.
fn end(kept: &Kept) -> (Usage, Option<ChildEnd>) {
    let _ = pidfd_send_signal(&kept.init_fd, Signal::KILL);
    let reaped = sys::reap(kept.init_pid, true).ok().flatten();
    let mut usage = cgroup::usage(&kept.intent.cgroups);
    if usage.cpu_us.is_none() {
        usage.cpu_us = reaped.as_ref().map(|reaped| reaped.cpu_us);
        usage.memory_peak_bytes = reaped.as_ref().map(|reaped| reaped.max_rss_kib * 1024);
        usage.estimated = true;
    }
    (usage, reaped.map(|reaped| reaped.end))
}

/// Whether the directory is still the one this keeper made. Somebody may have taken it away, and the next life of the
/// sandbox may be in its place: nothing there is to be touched.
fn is_ours(kept: &Kept) -> bool {
    lock::is_at(&kept.lock, &kept.home.lock()).unwrap_or(false)
}

/// Whether its end was seen before its removal.
#[derive(Clone, Copy)]
enum EndWas {
    Seen,
    NotSeen,
}

/// Removes it, and tells how it had ended before that, if it had.
fn destroy(kept: &Kept, epoch: u64, end_was: EndWas, verdict: Option<How>) -> Result<FromShim, FromShim> {
    fence::check(&kept.layout, &kept.intent.spec.id, epoch).map_err(FromShim::Refused)?;
    let oom = cgroup::oom_kills(&kept.intent.cgroups);
    let (usage, exit) = end(kept);
    let ended = match (end_was, exit) {
        (EndWas::Seen, exit) => how(exit, verdict, oom),
        // It was on its way out when its end was asked for: it closes its doors before it is seen to end.
        (EndWas::NotSeen, Some(ChildEnd::Code(EXIT_DEADLINE))) => Some(How::Deadline),
        (EndWas::NotSeen, _) => verdict,
    };
    fence::leave(&kept.layout, &kept.intent.spec.id, epoch).map_err(FromShim::Refused)?;
    // It was ended and reaped here.
    let process = reap::process_item(Some(kept.init_pid), true);
    let (home, id) = (&kept.home, &kept.intent.spec.id);
    let mut report = reap::remove_ended(&kept.layout, home, id, &kept.intent, process);
    report.items.push(namespaces_gone());
    Ok(FromShim::Destroyed { report, usage, ended })
}

/// Pid 1 ended, and its removal was asked for already. Everyone who is connected hears of it: whoever asked waits.
fn removed_at_end(kept: &Kept, epoch: u64, callers: &[OwnedFd], verdict: Option<How>) -> i32 {
    if !is_ours(kept) {
        return ended_by_itself(kept, verdict);
    }
    match destroy(kept, epoch, EndWas::Seen, verdict) {
        Ok(answer) => {
            for caller in callers {
                let _ = wire::send_json(caller.as_fd(), &answer);
            }
            0
        }
        // Whoever has taken over finds it ended, and removes it: a refusal is for nobody who waits here.
        Err(_) => ended_by_itself(kept, verdict),
    }
}

/// Mounts, network and the rest live in namespaces that only the sandbox's processes held.
fn namespaces_gone() -> CleanupItem {
    CleanupItem {
        kind: "namespaces".to_owned(),
        name: "mount, network, pid, ipc, uts, user, cgroup".to_owned(),
        found: true,
        now: Presence::Absent,
        detail: "ended with the last process, which was waited for".to_owned(),
    }
}

/// How pid 1 came to end by itself; `None`: its last command had ended.
fn how(exit: Option<ChildEnd>, verdict: Option<How>, oom: u64) -> Option<How> {
    match (exit, verdict) {
        (_, Some(how)) => Some(how),
        (Some(ChildEnd::Code(EXIT_DEADLINE)), None) => Some(How::Deadline),
        (Some(ChildEnd::Code(0)), None) => None,
        (_, None) if oom > 0 => Some(How::OutOfMemory),
        _ => Some(How::Killed),
    }
}

/// Pid 1 ended without a caller: removes what is left, and leaves a note of how it ended for the next one who looks.
fn ended_by_itself(kept: &Kept, verdict: Option<How>) -> i32 {
    let oom = cgroup::oom_kills(&kept.intent.cgroups);
    let (usage, exit) = end(kept);
    let note = EndedRecord {
        how: how(exit, verdict, oom).unwrap_or(How::Killed),
        usage,
    };
    if !is_ours(kept) {
        return 0;
    }
    // The note first: whoever sees the sandbox gone finds out why.
    let _ = files::replace_json(&kept.home.ended(), &note);
    reap::remove_contents_after_end(&kept.home, &kept.intent.spec.id, &kept.intent);
    0
}
