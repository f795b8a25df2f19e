//! A process of ours that is watched by a thread of its own: it ends at its deadline or when nobody wants it any more,
//! with everything it started, and is always reaped.

use std::ffi::OsString;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use sandboxer_extension::port::{Clock as _, SystemClock};
use tokio::sync::oneshot;

use super::client_log::ClientLog;

/// How a watched process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By itself, with this code; 128 + signal when it was killed.
    Code(i32),
    /// We ended it at its deadline.
    Deadline,
    /// We ended it since nobody waited for it any more.
    Unwanted,
}

/// Starts a program in a process group of its own, with an empty environment but for these variables.
#[expect(clippy::disallowed_methods, reason = "this is the port")]
pub(crate) fn spawn(
    argv: &[OsString],
    environment: &[(String, String)],
    stdio: [Stdio; 3],
) -> Result<Child, std::io::Error> {
    let (program, arguments) = argv
        .split_first()
        .ok_or_else(|| std::io::Error::other("no program was named"))?;
    let [stdin, stdout, stderr] = stdio;
    let mut builder = Command::new(program);
    builder.args(arguments).env_clear().process_group(0);
    if !environment.iter().any(|(name, _)| name == "PATH") {
        builder.env("PATH", crate::local_exec::SAFE_PATH);
    }
    builder.envs(environment.iter().map(|(name, value)| (name, value)));
    builder.env("LANG", "C");
    builder.stdin(stdin).stdout(stdout).stderr(stderr).spawn()
}

/// Keeps a process wanted: when it goes, the process is ended.
#[derive(Debug)]
pub(crate) struct Wanted {
    _held: OwnedFd,
}

/// Watches a process until its end. `deadline`: `None` when it has none. Its log is kept for as long as it lives.
pub(super) fn watch(
    mut child: Child,
    deadline: Option<Duration>,
    log: Option<ClientLog>,
) -> Result<(Wanted, oneshot::Receiver<Ended>), std::io::Error> {
    let (gone, held) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let (tell, told) = oneshot::channel();
    let pid = Pid::from_child(&child);
    let watcher = std::thread::Builder::new().name("watch".to_owned());
    watcher.spawn(move || {
        let early = wait(pid, &gone, deadline);
        // Not reaped yet, so its id still names this group and no other.
        let _ = kill_process_group(pid, Signal::KILL);
        let status = child.wait();
        drop(log);
        let ended = early.unwrap_or_else(|| {
            Ended::Code(status.map_or(-1, |status| status.code().unwrap_or(128 + status.signal().unwrap_or(0))))
        });
        let _ = tell.send(ended);
    })?;
    Ok((Wanted { _held: held }, told))
}

/// `None`: it ended by itself.
fn wait(pid: Pid, gone: &OwnedFd, deadline: Option<Duration>) -> Option<Ended> {
    let Ok(ended) = pidfd_open(pid, PidfdFlags::empty()) else {
        return Some(Ended::Unwanted);
    };
    let until = deadline.map(|deadline| SystemClock.monotonic().saturating_add(deadline));
    loop {
        let left = until.map(|until| until.saturating_sub(SystemClock.monotonic()));
        if left.is_some_and(|left| left.is_zero()) {
            return Some(Ended::Deadline);
        }
        let mut fds = [
            PollFd::from_borrowed_fd(ended.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(gone.as_fd(), PollFlags::IN),
        ];
        let timeout = left.map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return Some(Ended::Unwanted),
        }
        if !fds[0].revents().is_empty() {
            return None;
        }
        if !fds[1].revents().is_empty() {
            return Some(Ended::Unwanted);
        }
    }
}
