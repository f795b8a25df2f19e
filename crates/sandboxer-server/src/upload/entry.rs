//! What one entry of an archive says it is.

use std::io::{self, Read};
use std::path::PathBuf;

use tar::{Entry, EntryType, Header};

use super::path::taken;
use super::pax::{self, Records};
use super::refusal::Refusal;

/// Bytes of the records about one entry at most.
const MOST_RECORDS: u64 = 64 * 1024;
/// Bytes of a path that does not fit a header, and of what ends it.
const MOST_LONG: u64 = 4096 + 2;

/// Something to unpack.
#[derive(Debug)]
pub(super) struct Described {
    /// Relative to the top; empty: the top itself.
    pub(super) path: PathBuf,
    /// What it is.
    pub(super) what: What,
    /// Permission bits and nothing else.
    pub(super) mode: u32,
    /// Seconds since 1970.
    pub(super) mtime: u64,
}

/// What is to be unpacked.
#[derive(Debug)]
pub(super) enum What {
    Directory,
    /// Its bytes follow.
    File {
        bytes: u64,
    },
    Link {
        target: Vec<u8>,
    },
    /// Another name of a file that was there before.
    HardLink {
        target: PathBuf,
    },
}

/// What was said about the next entry so far.
#[derive(Debug, Default)]
pub(super) struct Said {
    records: Option<Records>,
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl Said {
    /// Whether an entry has to follow.
    pub(super) fn is_something(&self) -> bool {
        self.records.is_some() || self.path.is_some() || self.link.is_some()
    }

    /// Takes in an entry; `None`: it only speaks of others.
    ///
    /// # Errors
    /// It is not one that is taken.
    pub(super) fn describe<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> Result<Option<Described>, Refusal> {
        let kind = entry.header().entry_type();
        match kind {
            EntryType::XHeader => {
                let records = pax::read(&whole(entry, MOST_RECORDS)?)?;
                said_once(&mut self.records, records)?;
                return Ok(None);
            }
            EntryType::XGlobalHeader => {
                let records = pax::read(&whole(entry, MOST_RECORDS)?)?;
                if records.path.is_some() || records.link.is_some() || records.size.is_some() {
                    return Err(Refusal::Archive("it has a path, link or size for all entries"));
                }
                return Ok(None);
            }
            EntryType::GNULongName => {
                let path = long(entry)?;
                said_once(&mut self.path, path)?;
                return Ok(None);
            }
            EntryType::GNULongLink => {
                let link = long(entry)?;
                said_once(&mut self.link, link)?;
                return Ok(None);
            }
            _ => {}
        }
        std::mem::take(self).about(entry.header()).map(Some)
    }

    fn about(self, header: &Header) -> Result<Described, Refusal> {
        let records = self.records.unwrap_or_default();
        let raw = agreed(records.path, self.path)?.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = agreed(records.link, self.link)?.or_else(|| header.link_name_bytes().map(|name| name.into_owned()));
        let refused = |why| Err(Refusal::entry(&raw, why));
        let Ok(size) = header.entry_size() else {
            return refused("has a size that cannot be read");
        };
        if records.size.is_some_and(|other| other != size) {
            return refused("has two sizes");
        }
        let path = taken(&raw)?;
        let is_named_directory = raw.last() == Some(&b'/');
        let what = match header.entry_type() {
            EntryType::Directory => What::Directory,
            EntryType::Regular if is_named_directory => What::Directory,
            EntryType::Regular => What::File { bytes: size },
            EntryType::Symlink => What::Link {
                target: link.unwrap_or_default(),
            },
            EntryType::Link => What::HardLink {
                target: taken(&link.unwrap_or_default())?,
            },
            EntryType::Block | EntryType::Char => return refused("is a device"),
            EntryType::Fifo => return refused("is a named pipe"),
            EntryType::GNUSparse => return refused("is a sparse file"),
            _ => return refused("is neither a file nor a directory nor a link"),
        };
        if size > 0 && !matches!(what, What::File { .. }) {
            return refused("has contents and is no file");
        }
        if path.as_os_str().is_empty() && !matches!(what, What::Directory) {
            return refused("takes the place of the top");
        }
        let (Ok(mode), Ok(mtime)) = (header.mode(), header.mtime()) else {
            return refused("has a mode or a time that cannot be read");
        };
        Ok(Described {
            path,
            what,
            mode: mode & 0o777,
            mtime,
        })
    }
}

/// What one of two ways says; both together are one too many.
fn agreed(one: Option<Vec<u8>>, other: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, Refusal> {
    match (one, other) {
        (Some(_), Some(_)) => Err(Refusal::Archive("it says the same thing about an entry twice")),
        (one, other) => Ok(one.or(other)),
    }
}

fn said_once<T>(slot: &mut Option<T>, value: T) -> Result<(), Refusal> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Refusal::Archive("it says the same thing about an entry twice")),
    }
}

/// A path that does not fit a header: up to its first NUL.
fn long<R: Read>(entry: &mut Entry<'_, R>) -> Result<Vec<u8>, Refusal> {
    let mut bytes = whole(entry, MOST_LONG)?;
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    if bytes.get(end..).is_some_and(|rest| rest.iter().any(|byte| *byte != 0)) {
        return Err(Refusal::Archive("it has a path with a NUL byte"));
    }
    bytes.truncate(end);
    Ok(bytes)
}

fn whole<R: Read>(entry: &mut Entry<'_, R>, most: u64) -> Result<Vec<u8>, Refusal> {
    let size = entry.size();
    if size > most {
        return Err(Refusal::Archive(
            "it has more to say about an entry than is ever needed",
        ));
    }
    let mut bytes = Vec::new();
    entry.take(most).read_to_end(&mut bytes).map_err(Refusal::BrokenOff)?;
    if bytes.len() as u64 != size {
        return Err(Refusal::BrokenOff(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(bytes)
}
