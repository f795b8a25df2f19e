//! Descriptors by number, for processes that are about to become something else.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::check;

/// Closes every descriptor from `first` to `last`, both included.
pub(crate) fn close_range(first: u32, last: u32) -> io::Result<()> {
    if first > last {
        return Ok(());
    }
    // SAFETY: callers keep no object that owns one of these descriptors and is used later.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) })?;
    Ok(())
}

/// Makes `number` a copy of `fd`, without close-on-exec.
pub(crate) fn dup_onto(fd: BorrowedFd<'_>, number: i32) -> io::Result<()> {
    // SAFETY: `number` is one of 0, 1, 2 in a process that is about to exec.
    check(i64::from(unsafe { libc::dup2(fd.as_raw_fd(), number) }))?;
    Ok(())
}

/// Makes a terminal the controlling one of this session.
pub(crate) fn set_controlling_terminal(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: TIOCSCTTY takes a number.
    check(i64::from(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCSCTTY, 0) }))?;
    Ok(())
}
