//! A pipe to or from a process of ours that nobody else can hold open: it is over when that process is, although one that
//! it started and that left its group may still have the other end.

use std::io::{Error, ErrorKind, Read, Write};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::Child;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// Read after the end: more than a pipe can hold, of which 1 MiB is the most an unprivileged process can set. What is left
/// in it was written before, and who writes on and on is not waited for.
const MOST_AFTER: usize = 2 << 20;

/// Our end of a pipe.
#[derive(Debug)]
pub(super) struct Pipe {
    pipe: OwnedFd,
    process: OwnedFd,
    after: Option<usize>,
}

impl Pipe {
    /// Of this process, which was not waited for yet.
    pub(super) fn of(child: &Child, pipe: impl Into<OwnedFd>) -> std::io::Result<Pipe> {
        let pipe = pipe.into();
        rustix::io::ioctl_fionbio(&pipe, true)?;
        Ok(Pipe {
            pipe,
            process: pidfd_open(Pid::from_child(child), PidfdFlags::empty())?,
            after: None,
        })
    }

    /// Waits until the pipe can be used, or the process has ended. Whether the pipe can be used.
    fn wait(&mut self, what: PollFlags) -> std::io::Result<bool> {
        loop {
            let mut both = [
                PollFd::from_borrowed_fd(self.pipe.as_fd(), what),
                PollFd::from_borrowed_fd(self.process.as_fd(), PollFlags::IN),
            ];
            let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
            match poll(&mut both, self.after.map(|_| &at_once)) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            if self.after.is_none() && !both[1].revents().is_empty() {
                // What it wrote came before its end, and may have come after the pipe was looked at.
                self.after = Some(MOST_AFTER);
                continue;
            }
            return Ok(!both[0].revents().is_empty());
        }
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            if !self.wait(PollFlags::IN)? {
                return Ok(0);
            }
            let most = self.after.unwrap_or(usize::MAX).min(buffer.len());
            match rustix::io::read(&self.pipe, buffer.get_mut(..most).unwrap_or_default()) {
                Ok(count) => {
                    self.after = self.after.map(|left| left.saturating_sub(count));
                    return Ok(count);
                }
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        loop {
            // Nobody who is left is meant by what is written after the end.
            if !self.wait(PollFlags::OUT)? || self.after.is_some() {
                return Err(Error::from(ErrorKind::BrokenPipe));
            }
            match rustix::io::write(&self.pipe, bytes) {
                Ok(count) => return Ok(count),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
