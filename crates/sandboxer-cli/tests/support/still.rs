//! Processes that are made to stand still at a moment, as those of a machine that was put to sleep.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests look at real processes and keep their own time"
)]

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::wait_until;

/// What a create was at when it was stopped.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
pub(crate) enum Stopped {
    /// Its sandbox was not on record: there was nothing to destroy.
    TooEarly,
    /// It had ended.
    TooLate,
    /// It was writing, and nobody else can until it goes on: a lock of the database is not taken from a live process.
    Writing,
    /// In the middle of it: its sandbox was destroyed while it stood still.
    InTime,
}

/// Waits for a moment.
pub(crate) fn wait_for(aim: Instant) {
    while let Some(left) = aim.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
}

/// The state letter of a process.
fn state_of(pid: Pid) -> String {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    let (_, rest) = stat.rsplit_once(") ").unwrap_or_default();
    rest.chars().take(1).collect()
}

/// Whether a process holds a lock on the database that keeps others from writing.
pub(crate) fn is_writing(data: &Path, pid: Pid) -> bool {
    let files = std::fs::read_dir(data).into_iter().flatten().flatten();
    let inodes: Vec<String> = files
        .map(|file| format!(":{}", file.metadata().unwrap().ino()))
        .collect();
    // proc_locks(5): `1: POSIX  ADVISORY  WRITE 1234 08:01:567 120 120`
    let locks = std::fs::read_to_string("/proc/locks").unwrap();
    locks.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.contains(&"WRITE")
            && words.contains(&pid.as_raw_nonzero().to_string().as_str())
            && words
                .iter()
                .any(|word| inodes.iter().any(|inode| word.ends_with(inode)))
    })
}

/// What of a create is stopped.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
pub(crate) enum What {
    Itself,
    WithChildren,
}

/// Processes that stand still until this is gone.
pub(crate) struct Standing(pub(crate) Vec<Pid>);

impl Drop for Standing {
    fn drop(&mut self) {
        for pid in &self.0 {
            let _ = kill_process(*pid, Signal::CONT);
        }
    }
}

/// Stops a process, then its children and theirs.
pub(crate) fn stop(first: Pid, what: What) -> Standing {
    let mut stopped = vec![first];
    let mut index = 0;
    while let Some(&pid) = stopped.get(index) {
        index += 1;
        let _ = kill_process(pid, Signal::STOP);
        let is_there = wait_until("it stands still", || match state_of(pid).as_str() {
            "T" => Ok(true),
            "Z" | "" => Ok(false),
            other => Err(other.to_owned()),
        });
        if !is_there {
            index -= 1;
            stopped.remove(index);
        } else if what == What::WithChildren {
            let number = pid.as_raw_nonzero();
            let children =
                std::fs::read_to_string(format!("/proc/{number}/task/{number}/children")).unwrap_or_default();
            let pids = children.split_whitespace().filter_map(|child| child.parse().ok());
            stopped.extend(pids.filter_map(Pid::from_raw));
        }
    }
    Standing(stopped)
}
