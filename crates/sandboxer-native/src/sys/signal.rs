//! Signals of this process.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use super::check;

/// Blocks every signal and returns a descriptor that reports SIGCHLD.
pub(crate) fn child_signal_fd() -> io::Result<OwnedFd> {
    // SAFETY: the sets are initialised by the calls before they are read.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        check(i64::from(libc::sigprocmask(
            libc::SIG_SETMASK,
            &raw const all,
            std::ptr::null_mut(),
        )))?;
        let mut child: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut child);
        libc::sigaddset(&raw mut child, libc::SIGCHLD);
        let fd = check(i64::from(libc::signalfd(
            -1,
            &raw const child,
            libc::SFD_CLOEXEC | libc::SFD_NONBLOCK,
        )))?;
        Ok(OwnedFd::from_raw_fd(i32::try_from(fd).unwrap_or(-1)))
    }
}

/// Blocks no signal.
pub(crate) fn unblock_signals() {
    // SAFETY: an empty mask has no preconditions.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// Ignores a signal.
pub(crate) fn ignore_signal(signal: i32) {
    // SAFETY: ignoring a signal has no preconditions.
    unsafe {
        libc::signal(signal, libc::SIG_IGN);
    }
}

/// Gives these signals their default effects.
pub(crate) fn default_signals(signals: impl IntoIterator<Item = i32>) {
    for signal in signals {
        // SAFETY: the default disposition has no preconditions.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
        }
    }
}
