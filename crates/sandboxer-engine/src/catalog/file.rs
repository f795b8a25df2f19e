//! Reading profile files: regular files of bounded size; nothing a repository holds may lead out of it.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use sandboxer_model::document::MAX_BYTES;

use super::layer::{REPOSITORY_DIR, Shelf};

/// Most entries of one directory that are looked at.
const MAX_ENTRIES: usize = 1000;

const OUTSIDE: &str = "it is a link that leads out of the repository";

/// The bytes of a file the user named; `None` when there is none.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
    match rustix::fs::open(path, flags(), Mode::empty()) {
        Ok(fd) => bounded(File::from(fd)).map(Some),
        Err(errno) => absent_or(errno),
    }
}

/// The bytes of the file `name` on a shelf; `None` when there is none.
pub(super) fn read_on(shelf: &Shelf, name: &str, working_dir: &Path) -> Result<Option<Vec<u8>>, String> {
    let bytes = match &shelf.root {
        Some(root) => read_beneath(root, name, working_dir)?,
        None => read(&shelf.dir.join(name))?,
    };
    // A link to nothing must not make way for a farther profile of the same name.
    if bytes.is_none() && is_on(shelf, name) {
        return Err("it is a link that leads nowhere".to_owned());
    }
    Ok(bytes)
}

fn read_beneath(root: &Path, name: &str, working_dir: &Path) -> Result<Option<Vec<u8>>, String> {
    let directory = match rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(directory) => directory,
        Err(errno) => return absent_or(errno),
    };
    let inside = Path::new(REPOSITORY_DIR).join(name);
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let file = match rustix::fs::openat2(&directory, &inside, flags(), Mode::empty(), resolve) {
        Ok(fd) => File::from(fd),
        Err(Errno::XDEV) => return Err(OUTSIDE.to_owned()),
        Err(Errno::LOOP) => return Err("it is a link that runs in a circle".to_owned()),
        // Kernels before 5.6, and filters that do not know the call: resolve first, then compare.
        Err(Errno::NOSYS | Errno::PERM) => {
            let path = root.join(&inside);
            match (path.canonicalize(), root.canonicalize()) {
                (Ok(real), Ok(root)) if real.starts_with(&root) => {
                    match rustix::fs::open(&real, flags() | OFlags::NOFOLLOW, Mode::empty()) {
                        Ok(fd) => File::from(fd),
                        Err(errno) => return absent_or(errno),
                    }
                }
                (Ok(_), Ok(_)) => return Err(OUTSIDE.to_owned()),
                _ => return Ok(None),
            }
        }
        Err(errno) => return absent_or(errno),
    };
    owned_by_trusted(&file, working_dir)?;
    bounded(file).map(Some)
}

/// Whether a file of this name is on a shelf, whatever it is.
pub(super) fn is_on(shelf: &Shelf, name: &str) -> bool {
    shelf.dir.join(name).symlink_metadata().is_ok()
}

/// The names in a directory, in order. None when it is not there.
pub(super) fn names(shelf: &Shelf) -> Result<Vec<String>, String> {
    let entries = match std::fs::read_dir(&shelf.dir) {
        Ok(entries) => entries,
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error.to_string()),
    };
    let mut names = Vec::new();
    for entry in entries.take(MAX_ENTRIES) {
        let entry = entry.map_err(|error| error.to_string())?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// NONBLOCK: a pipe put in the place of a file must not make the command wait.
fn flags() -> OFlags {
    OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY
}

fn absent_or(errno: Errno) -> Result<Option<Vec<u8>>, String> {
    match errno {
        Errno::NOENT | Errno::NOTDIR => Ok(None),
        errno => Err(std::io::Error::from(errno).to_string()),
    }
}

/// A repository's profile decides what runs where and at what cost, so a stranger must not be able to plant one in a
/// directory shared with others. Trusted are this user, root, and whoever owns the directory one works in.
fn owned_by_trusted(file: &File, working_dir: &Path) -> Result<(), String> {
    let owner = file.metadata().map_err(|error| error.to_string())?.uid();
    let trusted = owner == 0
        || owner == rustix::process::geteuid().as_raw()
        || working_dir.metadata().is_ok_and(|metadata| metadata.uid() == owner);
    if trusted {
        Ok(())
    } else {
        Err(format!("it belongs to another user (uid {owner})"))
    }
}

fn bounded(file: File) -> Result<Vec<u8>, String> {
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    if metadata.is_dir() {
        return Err("it is a directory".to_owned());
    }
    if !metadata.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let limit = MAX_BYTES as u64;
    if metadata.len() > limit {
        return Err(format!("it has {} bytes; at most {limit} are read", metadata.len()));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.len() > MAX_BYTES {
        return Err(format!("it has more than {limit} bytes"));
    }
    Ok(bytes)
}
