//! Writing beneath a directory, through no link, over nothing that is there.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, ResolveFlags, Timespec, Timestamps, UTIME_OMIT, fchmod, futimens, linkat, mkdirat,
    openat2, symlinkat,
};

/// Never out of the directory and through no link, whatever is there.
const CONFINED: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS);

/// A directory that is being filled.
pub(super) struct Tree {
    root: OwnedFd,
    /// The directory that was written into last.
    last: Option<(PathBuf, OwnedFd)>,
}

impl Tree {
    /// A new, empty directory at a place of our own.
    pub(super) fn make(at: &Path) -> io::Result<Tree> {
        mkdirat(CWD, at, Mode::from_raw_mode(0o755))?;
        let root = rustix::fs::open(at, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Tree { root, last: None })
    }

    /// Makes a directory whose parent is there.
    pub(super) fn directory(&mut self, path: &Path) -> io::Result<()> {
        let (parent, name) = self.place(path)?;
        Ok(mkdirat(parent, name, Mode::from_raw_mode(0o755))?)
    }

    /// Gives a directory its permissions; whoever owns it can always use it.
    pub(super) fn permit(&mut self, path: &Path, mode: u32) -> io::Result<()> {
        let directory = open(&self.root, path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        Ok(fchmod(directory, Mode::from_raw_mode(mode | 0o700))?)
    }

    /// Writes a file whose directory is there: exactly so many bytes.
    pub(super) fn file(
        &mut self,
        path: &Path,
        mode: u32,
        mtime: u64,
        from: &mut dyn Read,
        bytes: u64,
    ) -> io::Result<Copied> {
        let (parent, name) = self.place(path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat2(parent, name, flags, Mode::from_raw_mode(0o600), CONFINED)?;
        let mut file = File::from(file);
        let copied = copy(from, &mut file, bytes)?;
        fchmod(&file, Mode::from_raw_mode(mode | 0o600))?;
        let at = Timespec {
            tv_sec: i64::try_from(mtime).unwrap_or(0),
            tv_nsec: 0,
        };
        let unchanged = Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        };
        // A time that the file system cannot hold is no loss.
        let _ = futimens(
            &file,
            &Timestamps {
                last_access: unchanged,
                last_modification: at,
            },
        );
        Ok(copied)
    }

    /// Makes a link whose directory is there. It is not followed here, ever.
    pub(super) fn link(&mut self, path: &Path, target: &[u8]) -> io::Result<()> {
        let (parent, name) = self.place(path)?;
        Ok(symlinkat(target, parent, name)?)
    }

    /// Gives a file of the tree another name in it.
    pub(super) fn hard_link(&mut self, path: &Path, target: &Path) -> io::Result<()> {
        let from = target.parent().unwrap_or(Path::new(""));
        let from = open(&self.root, from, OFlags::PATH | OFlags::DIRECTORY)?;
        let old = target.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
        let (parent, name) = self.place(path)?;
        Ok(linkat(from, old.as_os_str(), parent, name, AtFlags::empty())?)
    }

    /// The directory that holds a path, and its name in there.
    fn place<'p>(&mut self, path: &'p Path) -> io::Result<(&OwnedFd, &'p Path)> {
        let name = path.file_name().map(Path::new).ok_or(io::ErrorKind::InvalidInput)?;
        let parent = path.parent().unwrap_or(Path::new(""));
        if parent.as_os_str().is_empty() {
            return Ok((&self.root, name));
        }
        let known = self.last.take().filter(|(known, _)| known == parent);
        let kept = match known {
            Some(known) => known,
            None => (
                parent.to_owned(),
                open(&self.root, parent, OFlags::PATH | OFlags::DIRECTORY)?,
            ),
        };
        Ok((&self.last.insert(kept).1, name))
    }
}

fn open(root: &OwnedFd, path: &Path, how: OFlags) -> io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    Ok(openat2(root, path, how | OFlags::CLOEXEC, Mode::empty(), CONFINED)?)
}

/// What copying came to, where writing went well.
#[derive(Debug)]
pub(super) enum Copied {
    /// All of it.
    Whole,
    /// There was less to read than was said.
    Short(io::Error),
}

fn copy(from: &mut dyn Read, to: &mut File, bytes: u64) -> io::Result<Copied> {
    let mut buffer = vec![0; 64 * 1024];
    let mut left = bytes;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let count = match from.read(buffer.get_mut(..most).unwrap_or_default()) {
            Ok(0) => return Ok(Copied::Short(io::ErrorKind::UnexpectedEof.into())),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Ok(Copied::Short(error)),
        };
        to.write_all(buffer.get(..count).unwrap_or_default())?;
        left -= count as u64;
    }
    Ok(Copied::Whole)
}
