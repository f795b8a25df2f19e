//! Removing trees that their owner may have made to be hard to remove: deeper than a path can be long, without rights
//! on directories, with links to elsewhere.
//!
//! A directory that holds another is emptied by moving the inner one up to the top, so that nothing is ever more than
//! one step away, and three descriptors are enough for any depth. No link is followed.

use std::collections::VecDeque;
use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fchmod, fstat, openat, renameat, statat, unlinkat};
use rustix::io::Errno;

/// Removes a file or a whole tree. What is not there is removed already.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    if crate::weaken::is_off("removal") {
        return Ok(());
    }
    let mut again = TRIES;
    loop {
        match open_directory(CWD, path.as_os_str()) {
            Ok(top) => empty(&top)?,
            Err(Errno::NOENT) => return Ok(()),
            Err(Errno::NOTDIR | Errno::LOOP) => return gone(unlinkat(CWD, path, AtFlags::empty())),
            Err(error) => return Err(error.into()),
        }
        match unlinkat(CWD, path, AtFlags::REMOVEDIR) {
            // Somebody else removes the same tree, and moved something up meanwhile.
            Err(Errno::NOTEMPTY | Errno::EXIST) if again > 0 => {
                again -= 1;
                rustix::thread::sched_yield();
            }
            removed => return gone(removed),
        }
    }
}

/// How often a directory is emptied again that was not empty when it was to go.
const TRIES: u32 = 1000;

fn gone(result: Result<(), Errno>) -> io::Result<()> {
    match result {
        Err(Errno::NOENT) => Ok(()),
        other => other.map_err(Into::into),
    }
}

/// Opens a directory so that it can be emptied, giving its owner the rights to do so.
fn open_directory(parent: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = match openat(parent, name, flags, Mode::empty()) {
        Err(Errno::ACCESS) => {
            allow_all(parent, name)?;
            openat(parent, name, flags, Mode::empty())?
        }
        other => other?,
    };
    if fstat(&directory)?.st_mode & 0o700 != 0o700 {
        fchmod(&directory, Mode::RWXU)?;
    }
    Ok(directory)
}

fn allow_all(parent: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
    // A link in place of the directory is not followed: nothing changes names here but us.
    let is_directory = FileType::from_raw_mode(statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode).is_dir();
    if is_directory {
        rustix::fs::chmodat(parent, name, Mode::RWXU, AtFlags::empty())
    } else {
        Err(Errno::NOTDIR)
    }
}

fn empty(top: &OwnedFd) -> io::Result<()> {
    let (mut moved, mut again) = (0u64, TRIES);
    let mut todo = VecDeque::new();
    for name in names(top)? {
        if let Some(directory) = remove_unless_full(top.as_fd(), name)? {
            todo.push_back(directory);
        }
    }
    while let Some(name) = todo.pop_front() {
        let name = OsStr::from_bytes(name.as_bytes()).to_owned();
        let directory = match open_directory(top.as_fd(), &name) {
            // Somebody else removes the same tree.
            Err(Errno::NOENT) => continue,
            other => other?,
        };
        for inner in names(&directory)? {
            if let Some(full) = remove_unless_full(directory.as_fd(), inner)? {
                todo.extend(move_up(&directory, &full, top, &mut moved)?);
            }
        }
        match unlinkat(top, &name, AtFlags::REMOVEDIR) {
            // Who reads a directory that somebody else empties may miss a name.
            Err(Errno::NOTEMPTY | Errno::EXIST) if again > 0 => {
                again -= 1;
                todo.push_back(CString::new(name.into_encoded_bytes())?);
            }
            removed => gone(removed)?,
        }
    }
    Ok(())
}

/// Removes a name; gives it back when it is a directory with something in it.
fn remove_unless_full(parent: BorrowedFd<'_>, name: CString) -> io::Result<Option<CString>> {
    match unlinkat(parent, &name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(None),
        // A directory, said in one of two ways.
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    match unlinkat(parent, &name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(None),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(Some(name)),
        Err(error) => Err(error.into()),
    }
}

/// Moves a directory to the top, under a name that is free there; `None`: it is gone.
fn move_up(from: &OwnedFd, name: &CString, top: &OwnedFd, moved: &mut u64) -> io::Result<Option<CString>> {
    let mut opened = false;
    loop {
        *moved += 1;
        // Named by who moves it: somebody else may remove the same tree.
        let who = rustix::thread::gettid().as_raw_nonzero();
        let free = crate::sys::cstring(format!(".removed-{who}-{moved}"))?;
        match renameat(from, name, top, &free) {
            Ok(()) => return Ok(Some(free)),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {}
            // Its entry for its parent changes, which is a write to it.
            Err(Errno::ACCESS) if !opened => {
                opened = true;
                allow_all(from.as_fd(), OsStr::from_bytes(name.as_bytes()))?;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn names(directory: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_owned();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn deep_tree(depth: usize) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().expect("a directory");
        let top = dir.path().join("top");
        std::fs::create_dir(&top).expect("made");
        let mut at = rustix::fs::open(&top, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).expect("opened");
        for _ in 0..depth {
            rustix::fs::mkdirat(&at, "deep", Mode::RWXU).expect("made");
            at = openat(&at, "deep", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).expect("opened");
        }
        (dir, top)
    }

    #[test]
    fn a_tree_deeper_than_any_path_goes() {
        let (_dir, top) = deep_tree(1100);
        remove_tree(&top).expect("removed");
        assert!(!top.exists());
    }

    #[test]
    fn several_may_remove_the_same_tree() {
        for _ in 0..20 {
            let (_dir, top) = deep_tree(60);
            for branch in 0..20 {
                std::fs::create_dir_all(top.join(format!("{branch}/a/b/c"))).expect("made");
            }
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| remove_tree(&top).expect("removed"));
                }
            });
            assert!(!top.exists());
        }
    }

    #[test]
    fn closed_directories_go_and_links_are_not_followed() {
        let (dir, top) = deep_tree(3);
        let outside = dir.path().join("outside");
        std::fs::create_dir(&outside).expect("made");
        std::fs::File::create(outside.join("file")).expect("made");
        symlink(&outside, top.join("deep/link")).expect("linked");
        symlink(&outside, top.join("link")).expect("linked");
        std::fs::create_dir(top.join(".removed-1")).expect("made");
        std::fs::File::create(top.join(".removed-1/file")).expect("made");
        for closed in ["deep/deep", "deep", ".removed-1"] {
            let mode = if closed == "deep" { 0o500 } else { 0 };
            std::fs::set_permissions(top.join(closed), std::fs::Permissions::from_mode(mode)).expect("closed");
        }
        remove_tree(&top).expect("removed");
        assert!(!top.exists());
        assert!(outside.join("file").exists());
        remove_tree(&top).expect("gone already");
        remove_tree(&outside.join("file")).expect("a file goes too");
    }
}
