//! The file of host keys that somebody vouched for: no entry is lost, whoever writes at the same time.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::{MachineError, ShownKey, SshSettings, cert, ssh};

/// Some hundred thousand entries. A larger file is left alone, not cut off.
const MOST_BYTES: u64 = 64 << 20;

/// Keeps a key from now on, instead of what was kept for the same name before.
///
/// # Errors
/// The file cannot be read or written; it is as it was then.
pub fn pin(keys: &[ShownKey], settings: &SshSettings) -> Result<(), MachineError> {
    cert::make_private(&settings.state_dir)?;
    let file = ssh::pins(settings);
    let failed = |error: std::io::Error| MachineError::keys(&file, &error.to_string());
    // Held from reading to renaming, by a file that is never renamed itself.
    let _lock = lock(&file.with_extension("lock")).map_err(failed)?;
    let before = read(&file).map_err(failed)?;
    replace(&file, &merged(&before, keys)).map_err(failed)
}

/// The entries that were there without those of the same names, and the new ones. Bytes: names are not ours.
fn merged(before: &[u8], keys: &[ShownKey]) -> Vec<u8> {
    let name = |line: &[u8]| line.split(|byte| *byte == b' ').next().map(<[u8]>::to_vec);
    let names: Vec<_> = keys.iter().filter_map(|key| name(key.line.as_bytes())).collect();
    let mut after = Vec::with_capacity(before.len());
    let kept = before
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty() && name(line).is_none_or(|name| !names.contains(&name)));
    for line in kept.chain(keys.iter().map(|key| key.line.as_bytes())) {
        after.extend_from_slice(line);
        after.push(b'\n');
    }
    after
}

#[expect(clippy::disallowed_methods, reason = "this is a port")]
fn lock(file: &Path) -> std::io::Result<OwnedFd> {
    let mut options = std::fs::OpenOptions::new();
    let lock = options
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(file)?;
    flock(&lock, FlockOperation::LockExclusive)?;
    Ok(lock.into())
}

/// Nothing, if there is no file yet; what cannot be read is never taken for nothing.
fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    let open = match std::fs::File::open(file) {
        Ok(open) => open,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    open.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(std::io::Error::other("it is larger than 64 MiB"));
    }
    Ok(bytes)
}

/// As one, and on the disk before it counts.
#[expect(clippy::disallowed_methods, reason = "this is a port")]
fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let new = file.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    let mut to = options.create(true).truncate(true).write(true).mode(0o600).open(&new)?;
    to.write_all(bytes)?;
    to.sync_all()?;
    std::fs::rename(&new, file)?;
    match file.parent() {
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
