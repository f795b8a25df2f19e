//! Small bounded file operations: the runtime's own port to the file system.
#![expect(clippy::disallowed_methods, reason = "this module is the port; reads are bounded")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What nearly every text read here fits in.
const MOST_TEXTS: usize = 4096;

/// Reads at most `limit` bytes of text.
pub(crate) fn read_text(path: impl AsRef<Path>, limit: u64) -> io::Result<String> {
    // The kernel's own files do not tell their size, and each read of one costs.
    let mut text = String::with_capacity(usize::try_from(limit).unwrap_or(MOST_TEXTS).min(MOST_TEXTS));
    File::open(path)?.take(limit).read_to_string(&mut text)?;
    Ok(text)
}

/// Reads the last `limit` bytes of text.
pub(crate) fn read_end(path: &Path, limit: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(io::SeekFrom::Start(length.saturating_sub(limit)))?;
    let mut text = String::new();
    file.take(limit).read_to_string(&mut text)?;
    Ok(text)
}

/// Reads a file of one line.
pub(crate) fn read_line(path: impl AsRef<Path>) -> io::Result<String> {
    Ok(read_text(path, 4096)?.trim_end().to_owned())
}

/// Writes to a file that exists, such as a kernel control file.
pub(crate) fn write_control(path: impl AsRef<Path>, text: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes())
}

/// Writes a new file of ours, readable by nobody else.
pub(crate) fn write_new(path: impl AsRef<Path>, bytes: &[u8], mode: u32) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)?
        .write_all(bytes)
}

/// Replaces a file of ours so that readers see the old or the new one, whole.
pub(crate) fn replace_json<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    draft_json(path, value)?.publish()
}

/// The next content of a file of ours, written beside it.
pub(crate) struct Draft<'a> {
    path: &'a Path,
    temporary: PathBuf,
}

/// Writes the next content of a file of ours, which nobody sees until it is published.
pub(crate) fn draft_json<'a, T: Serialize>(path: &'a Path, value: &T) -> io::Result<Draft<'a>> {
    let temporary = path.with_extension("new");
    write_new(&temporary, &serde_json::to_vec(value)?, 0o600)?;
    Ok(Draft { path, temporary })
}

impl Draft<'_> {
    /// Puts it in its place: readers see the old or the new one, whole.
    pub(crate) fn publish(self) -> io::Result<()> {
        fs::rename(&self.temporary, self.path)
    }
}

/// Reads a JSON file of ours.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    let text = read_text(path, 1 << 20)?;
    serde_json::from_str(&text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// The same for one that need not be there, and that its writer may not have finished. What cannot be read now stays an
/// error, so that unreadable is never taken for absent.
pub(crate) fn read_json_if_any<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match read_json(path) {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Adds to the end of a file of ours, and makes it if it is not there.
pub(crate) fn append(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?
        .write_all(text.as_bytes())
}

/// Makes a directory only we can enter; whether it was made now.
pub(crate) fn make_private_dir(path: &Path) -> io::Result<bool> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Opens or makes a lock file.
pub(crate) fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

/// The names in a directory; `NotFound` stays an error, so that unreadable is never taken for empty.
pub(crate) fn names(path: &Path) -> io::Result<Vec<String>> {
    fs::read_dir(path)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}
