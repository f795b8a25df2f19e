//! The lock of a sandbox: who holds it may change what is in its directory, and nobody else.
//!
//! The lock is a file in that directory, so it goes with it. What was opened before a removal locks nothing after it:
//! whoever gets it looks whether it is still the one that is there.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::files;
use crate::identity::ProcessRef;

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

/// Writes into a lock who holds it: one that hangs before it wrote down its intent can be found, and ended.
pub(crate) fn sign(mut lock: &File, holder: &ProcessRef) -> io::Result<()> {
    let name = serde_json::to_vec(holder).unwrap_or_default();
    lock.set_len(0)?;
    lock.rewind()?;
    lock.write_all(&name)
}

/// Whether a keeper signed it before.
pub(crate) fn is_signed(lock: &File) -> io::Result<bool> {
    Ok(lock.metadata()?.len() > 0)
}

/// The keeper that signed it last. Whoever removes a sandbox holds the lock without signing it.
pub(crate) fn holder(path: &Path) -> Option<ProcessRef> {
    files::read_json(path).ok()
}

/// Whether this lock is the one that bears this name now.
pub(crate) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match std::fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (held.dev(), held.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
