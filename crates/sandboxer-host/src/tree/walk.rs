//! Walking a tree in the order of names: beneath its root, through no link, without what its rules keep here.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, openat2, readlinkat, statat};

use super::TreeError;
use super::rules::{Place, Rules};

/// Longest path, as in PATH_MAX of Linux.
const MOST_PATH: usize = 4096;

/// One thing that was found.
#[derive(Debug)]
pub(super) struct Found {
    /// Relative to the root.
    pub(super) path: PathBuf,
    /// What the kernel says of it.
    pub(super) stat: Stat,
    /// Where it leads, if it is a link.
    pub(super) target: Option<OsString>,
}

impl Found {
    pub(super) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }
}

/// A directory that is being walked.
struct Level {
    path: PathBuf,
    rules: Rc<Rules>,
    // The last comes first.
    left: Vec<(OsString, FileType)>,
}

/// Shows everything that goes, directories before what is in them.
pub(super) fn walk(root: &Path, see: &mut dyn FnMut(Found) -> Result<(), TreeError>) -> Result<(), TreeError> {
    let whole = std::path::absolute(root).map_err(|error| unreadable(root, &error.to_string()))?;
    let top = rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| unreadable(root, &error.to_string()))?;
    let mut levels = vec![level(&top, &whole, PathBuf::new(), None)?];
    while let Some(here) = levels.last_mut() {
        let Some((name, kind)) = here.left.pop() else {
            levels.pop();
            continue;
        };
        let path = here.path.join(&name);
        if name == ".git" || here.rules.keep_here(&whole.join(&path), kind) {
            continue;
        }
        if path.as_os_str().len() > MOST_PATH {
            return Err(TreeError::TooLarge {
                what: "a longer path".to_owned(),
                most: format!("{MOST_PATH} bytes"),
            });
        }
        let rules = Rc::clone(&here.rules);
        let found = look(&top, &here.path, &name, path)?;
        let (kind, path) = (found.kind(), found.path.clone());
        see(found)?;
        if kind == FileType::Directory {
            levels.push(level(&top, &whole, path, Some(&rules))?);
        }
    }
    Ok(())
}

fn level(top: &OwnedFd, whole: &Path, path: PathBuf, above: Option<&Rc<Rules>>) -> Result<Level, TreeError> {
    let failed = |error: rustix::io::Errno| unreadable(&whole.join(&path), &error.to_string());
    let directory = open(top, &path, OFlags::RDONLY).map_err(failed)?;
    let mut left = Vec::new();
    for entry in Dir::read_from(&directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let kind = match entry.file_type() {
            // Not every file system tells.
            FileType::Unknown => statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)
                .map(|stat| FileType::from_raw_mode(stat.st_mode))
                .map_err(failed)?,
            kind => kind,
        };
        left.push((name.to_owned(), kind));
    }
    let place = Place {
        whole: &whole.join(&path),
        beneath: &path,
    };
    let rules = Rules::read(top, &place, &left, above)?;
    left.sort_by(|a, b| b.0.cmp(&a.0));
    Ok(Level { path, rules, left })
}

fn look(top: &OwnedFd, directory: &Path, name: &OsStr, path: PathBuf) -> Result<Found, TreeError> {
    let failed = |error: rustix::io::Errno| unreadable(&path, &error.to_string());
    let directory = open(top, directory, OFlags::PATH).map_err(failed)?;
    let stat = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
    let target = if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
        let target = readlinkat(&directory, name, Vec::new()).map_err(failed)?;
        Some(OsStr::from_bytes(target.as_bytes()).to_owned())
    } else {
        None
    };
    Ok(Found { path, stat, target })
}

fn open(top: &OwnedFd, path: &Path, how: OFlags) -> rustix::io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    openat2(
        top,
        path,
        how | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    )
}

fn unreadable(path: &Path, why: &str) -> TreeError {
    TreeError::Unreadable {
        path: path.display().to_string(),
        why: why.to_owned(),
    }
}
