//! Telling a process from another that later got its number, and a boot from another.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

use crate::files;

/// A process, told apart from any other that had or gets its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessRef {
    /// Number in the host's process namespace.
    pub(crate) pid: i32,
    /// Clock ticks between boot and its start.
    pub(crate) start: u64,
    /// The boot it belongs to.
    pub(crate) boot: String,
}

/// The time since boot, including sleep of the machine.
pub(crate) fn boottime() -> Duration {
    duration(rustix::time::clock_gettime(rustix::time::ClockId::Boottime))
}

/// A stopwatch.
pub(crate) fn monotonic() -> Duration {
    duration(rustix::time::clock_gettime(rustix::time::ClockId::Monotonic))
}

/// Milliseconds since 1970.
pub(crate) fn unix_ms() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    now.tv_sec * 1000 + now.tv_nsec / 1_000_000
}

fn duration(spec: rustix::time::Timespec) -> Duration {
    Duration::new(
        u64::try_from(spec.tv_sec).unwrap_or(0),
        u32::try_from(spec.tv_nsec).unwrap_or(0),
    )
}

/// Names this boot of the machine.
pub(crate) fn boot_id() -> String {
    files::read_line("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

/// State letter and start time of a process; `None`: there is none of this number.
fn stat(pid: i32) -> io::Result<Option<(char, u64)>> {
    let text = match files::read_text(format!("/proc/{pid}/stat"), 4096) {
        Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH) => {
            return Ok(None);
        }
        other => other?,
    };
    let read = || {
        // The name may hold spaces and brackets: fields are counted from its closing one.
        let rest = text.get(text.rfind(')')? + 2..)?;
        let mut fields = rest.split(' ');
        let state = fields.next()?.chars().next()?;
        let start = fields.nth(18)?.parse().ok()?;
        Some((state, start))
    };
    Ok(read())
}

impl ProcessRef {
    /// The process that has this number now.
    pub(crate) fn of(pid: i32, boot: &str) -> Option<ProcessRef> {
        stat(pid).ok().flatten().map(|(_, start)| ProcessRef {
            pid,
            start,
            boot: boot.to_owned(),
        })
    }

    /// A descriptor of it, if it still runs (a zombie does not); an error where that cannot be told.
    pub(crate) fn open(&self, boot: &str) -> io::Result<Option<OwnedFd>> {
        if self.boot != boot {
            return Ok(None);
        }
        let Some(pid) = Pid::from_raw(self.pid.max(0)) else {
            return Ok(None);
        };
        // Descriptor first, check second: the number cannot be reused between the two without the check seeing it.
        let fd = match pidfd_open(pid, PidfdFlags::empty()) {
            // No process has this number; or a thread of some process has it by now.
            Err(Errno::SRCH | Errno::INVAL) => return Ok(None),
            other => other?,
        };
        let runs = stat(self.pid)?.is_some_and(|(state, start)| start == self.start && !matches!(state, 'Z' | 'X'));
        Ok(runs.then_some(fd))
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&self, boot: &str) -> io::Result<bool> {
        Ok(self.open(boot)?.is_some())
    }
}

/// Where this process's arguments and environment are in its memory: first address, and the one after the last.
pub(crate) fn argument_area() -> Option<(usize, usize)> {
    let text = files::read_text("/proc/self/stat", 4096).ok()?;
    let mut fields = text
        .get(text.rfind(')')? + 2..)?
        .split(' ')
        .skip(45)
        .map(|field| field.trim().parse::<usize>().ok());
    let (arguments, _, _, environment_end) = (fields.next()??, fields.next()??, fields.next()??, fields.next()??);
    (arguments != 0 && environment_end > arguments).then_some((arguments, environment_end))
}
