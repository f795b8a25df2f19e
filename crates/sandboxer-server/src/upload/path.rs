//! Which paths are taken: relative, without `..`, empty components or bytes that end a name.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::refusal::Refusal;

/// Bytes of a path at most.
const MOST_PATH: usize = 4096;
/// Bytes of a name at most.
const MOST_NAME: usize = 255;

/// The path of an entry, without what only says that it begins at the top; empty: the top itself.
pub(super) fn taken(raw: &[u8]) -> Result<PathBuf, Refusal> {
    let refused = |why| Err(Refusal::entry(raw, why));
    if raw.is_empty() {
        return refused("has no name");
    }
    if raw.len() > MOST_PATH {
        return refused("has a path of more than 4096 bytes");
    }
    if raw.contains(&0) {
        return refused("has a NUL byte in its path");
    }
    if raw.first() == Some(&b'/') {
        return refused("has an absolute path");
    }
    let mut path = PathBuf::new();
    let mut parts = raw.split(|byte| *byte == b'/').peekable();
    let mut at_top = true;
    while let Some(part) = parts.next() {
        match part {
            // `a/` is a directory.
            b"" if parts.peek().is_none() => {}
            b"" => return refused("has an empty component in its path"),
            b"." if at_top => {}
            b"." => return refused("has `.` in the middle of its path"),
            b".." => return refused("has `..` in its path"),
            part if part.len() > MOST_NAME => return refused("has a name of more than 255 bytes"),
            part => {
                at_top = false;
                path.push(OsStr::from_bytes(part));
            }
        }
    }
    Ok(path)
}

/// The bytes of a path.
pub(super) fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}
