//! The repository, read beneath an open directory and through no link.

use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

/// Most bytes of a file that is read here: Compose, environment and Docker files are small.
const MOST_BYTES: u64 = 256 * 1024;

/// A repository that was opened.
#[derive(Debug)]
pub struct Project {
    root: OwnedFd,
}

/// What a path of a project is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Directory,
    File,
    Missing,
}

impl Project {
    /// Opens a repository.
    ///
    /// # Errors
    /// It cannot be opened, or is no directory.
    pub fn open(root: &Path) -> std::io::Result<Project> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(root, flags, Mode::empty())?;
        Ok(Project { root })
    }

    /// The first of these files that is there.
    pub fn first_of<'a>(&self, files: &[&'a str]) -> Option<&'a str> {
        files
            .iter()
            .copied()
            .find(|file| matches!(self.find(Path::new(file)), Ok(Found::File)))
    }

    /// What there is at a path. A link on the way is an error: where it leads may be another place on the host.
    pub(super) fn find(&self, path: &Path) -> Result<Found, String> {
        match self.open_beneath(path, OFlags::PATH) {
            Ok(found) => {
                let stat = rustix::fs::fstat(&found).map_err(|error| error.to_string())?;
                match FileType::from_raw_mode(stat.st_mode) {
                    FileType::Directory => Ok(Found::Directory),
                    FileType::RegularFile => Ok(Found::File),
                    _ => Err("is neither a file nor a directory".to_owned()),
                }
            }
            Err(Errno::NOENT) => Ok(Found::Missing),
            Err(error) => Err(said(error)),
        }
    }

    /// The text of a small file; `None` when there is none.
    pub(super) fn text(&self, path: &Path) -> Result<Option<String>, String> {
        if self.find(path)? != Found::File {
            return Ok(None);
        }
        let file = self
            .open_beneath(path, OFlags::RDONLY | OFlags::NONBLOCK)
            .map_err(said)?;
        let mut bytes = Vec::new();
        std::fs::File::from(file)
            .take(MOST_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| format!("cannot be read: {error}"))?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(format!("is larger than {} KiB", MOST_BYTES / 1024));
        }
        String::from_utf8(bytes)
            .map(Some)
            .map_err(|_| "is not UTF-8 text".to_owned())
    }

    fn open_beneath(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
    }
}

fn said(error: Errno) -> String {
    match error {
        Errno::LOOP => "leads through a link".to_owned(),
        Errno::XDEV => "leads out of the project".to_owned(),
        Errno::NOTDIR => "leads through a file".to_owned(),
        other => format!("cannot be looked at: {other}"),
    }
}

/// A path as written in a file that lies in `from`, relative to the project's root; an error when it leaves it.
pub(super) fn inside(from: &Path, written: &str) -> Result<PathBuf, String> {
    if written.is_empty() {
        return Err("is empty".to_owned());
    }
    if written.contains('\0') || written.contains('\\') || written.chars().any(char::is_control) {
        return Err("holds characters that no path of a project needs".to_owned());
    }
    if written.starts_with('~') {
        return Err("is in somebody's home, not in the project".to_owned());
    }
    let mut path = from.to_owned();
    for part in Path::new(written).components() {
        match part {
            Component::RootDir | Component::Prefix(_) => return Err("is absolute: it is not in the project".to_owned()),
            Component::CurDir => {}
            Component::ParentDir => {
                if !path.pop() {
                    return Err("leaves the project".to_owned());
                }
            }
            Component::Normal(name) => path.push(name),
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        let inside = |from: &str, path: &str| {
            super::inside(Path::new(from), path)
                .ok()
                .map(|p| p.display().to_string())
        };
        assert_eq!(inside("", "./a/../b"), Some("b".to_owned()));
        assert_eq!(inside("e2e", ".."), Some(String::new()));
        assert_eq!(inside("e2e", "../src"), Some("src".to_owned()));
        for bad in ["/etc", "..", "a/../../b", "~/x", "~root", "a\0b", "", "a\\b", "C:\\x"] {
            assert_eq!(inside("", bad), None, "{bad:?}");
        }
    }
}
