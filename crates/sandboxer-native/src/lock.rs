//! The lock of a sandbox: who holds it may change what is in its directory, and nobody else.
//!
//! The lock is a file in that directory, so it goes with it. What was opened before a removal locks nothing after it:
//! whoever gets it looks whether it is still the one that is there.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::files;

/// What an attempt to take a lock came to.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// It is held until the file is closed.
    Held(File),
    /// Somebody else holds it.
    Busy,
    /// Its directory is not there.
    Gone,
}

/// Tries to take the lock, without waiting for anybody.
pub(crate) fn attempt(path: &Path) -> io::Result<Attempt> {
    loop {
        let lock = match files::open_lock(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Attempt::Gone),
            other => other?,
        };
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Ok(Attempt::Busy),
            other => other?,
        }
        if is_at(&lock, path)? {
            return Ok(Attempt::Held(lock));
        }
    }
}

/// Whether this file is the one that bears this name now.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match std::fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (held.dev(), held.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
