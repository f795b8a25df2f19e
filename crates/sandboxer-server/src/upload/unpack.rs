//! Every entry in its turn, within the limits.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tar::Archive;

use super::entry::{Described, Said, What};
use super::links::leads_out;
use super::path::bytes;
use super::refusal::Refusal;
use super::tree::{Copied, Tree};

/// What an archive may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Files, directories and links, and what only speaks of them.
    pub(super) entries: u64,
    /// Bytes of all files.
    pub(super) bytes: u64,
    /// Bytes of all paths and of where links lead: what is held in memory until the end.
    pub(super) names: u64,
}

impl Limits {
    /// What a tree may be.
    pub(super) const USUAL: Limits = Limits {
        entries: 200_000,
        bytes: 2 << 30,
        names: 32 << 20,
    };
}

/// What was unpacked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Unpacked {
    /// Files, directories and links.
    pub(super) entries: u64,
    /// Bytes of files.
    pub(super) bytes: u64,
}

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A directory that no entry was about yet.
    Implied,
    Directory,
    File,
    Link,
}

/// Unpacks an archive into a directory that is made for it. What went wrong may have left a part of it there.
///
/// # Errors
/// Why the archive is not taken.
pub(super) fn unpack(archive: impl Read, into: &Path, limits: Limits) -> Result<Unpacked, Refusal> {
    let mut archive = Archive::new(Ended::of(archive));
    let mut work = Work {
        tree: Tree::make(into).map_err(Refusal::Unwritten)?,
        limits,
        done: Unpacked::default(),
        names: 0,
        seen: HashMap::new(),
        links: HashMap::new(),
        modes: Vec::new(),
    };
    let (mut said, mut count) = (Said::default(), 0);
    // As they are in the archive: what speaks of others is read here, and bounded.
    for entry in archive.entries().map_err(malformed)?.raw(true) {
        let mut entry = entry.map_err(malformed)?;
        count += 1;
        if count > limits.entries {
            return Err(Refusal::TooMuch("200000 entries"));
        }
        if let Some(described) = said.describe(&mut entry)? {
            work.take(described, &mut entry)?;
        }
    }
    if said.is_something() {
        return Err(Refusal::Archive("it speaks of an entry that does not follow"));
    }
    archive.into_inner().check()?;
    work.finish()
}

/// A failure of the reader is one of what it reads.
fn malformed(error: io::Error) -> Refusal {
    match error.kind() {
        // What the library says of bytes that are no archive.
        io::ErrorKind::Other | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            Refusal::Archive("it is no tar archive, or a damaged one")
        }
        _ => Refusal::BrokenOff(error),
    }
}

struct Work {
    tree: Tree,
    limits: Limits,
    done: Unpacked,
    names: u64,
    seen: HashMap<PathBuf, Kind>,
    /// Made last, so that nothing is ever written through one.
    links: HashMap<PathBuf, Vec<u8>>,
    /// Given last, so that a directory that is to be read only can be filled.
    modes: Vec<(PathBuf, u32)>,
}

impl Work {
    fn take(&mut self, entry: Described, contents: &mut dyn Read) -> Result<(), Refusal> {
        let path = entry.path;
        let refused = |why| Err(Refusal::entry(bytes(&path), why));
        self.done.entries += 1;
        self.names = self.names.saturating_add(bytes(&path).len() as u64);
        if let What::Link { target } = &entry.what {
            self.names = self.names.saturating_add(target.len() as u64);
        }
        if self.names > self.limits.names {
            return Err(Refusal::TooMuch("32 MiB of paths"));
        }
        if path.as_os_str().is_empty() {
            return match self.seen.insert(path, Kind::Directory) {
                None => Ok(()),
                Some(_) => Err(Refusal::Archive("it has its top twice")),
            };
        }
        self.imply(&path)?;
        let kind = match entry.what {
            What::Directory => Kind::Directory,
            What::Link { .. } => Kind::Link,
            What::File { .. } | What::HardLink { .. } => Kind::File,
        };
        let before = self.seen.insert(path.clone(), kind);
        match (before, kind) {
            (None | Some(Kind::Implied), Kind::Directory) | (None, _) => {}
            _ => return refused("is there twice"),
        }
        let unwritten = Refusal::Unwritten;
        match entry.what {
            What::Directory => {
                if before.is_none() {
                    self.tree.directory(&path).map_err(unwritten)?;
                }
                self.modes.push((path, entry.mode));
            }
            What::File { bytes } => {
                self.done.bytes = self.done.bytes.saturating_add(bytes);
                if self.done.bytes > self.limits.bytes {
                    return Err(Refusal::TooMuch("2 GiB in its files"));
                }
                let copied = self.tree.file(&path, entry.mode, entry.mtime, contents, bytes);
                if let Copied::Short(error) = copied.map_err(unwritten)? {
                    return Err(Refusal::BrokenOff(error));
                }
            }
            What::Link { target } => {
                if target.is_empty() || target.len() > 4095 {
                    return refused("is a link to nowhere");
                }
                self.links.insert(path, target);
            }
            What::HardLink { target } => {
                if self.seen.get(&target) != Some(&Kind::File) || target == path {
                    return refused("is another name of what was not unpacked before");
                }
                self.tree.hard_link(&path, &target).map_err(unwritten)?;
            }
        }
        Ok(())
    }

    /// Sees to it that the directory of a path is there and is one.
    fn imply(&mut self, path: &Path) -> Result<(), Refusal> {
        let mut missing = Vec::new();
        for above in path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()) {
            match self.seen.get(above) {
                None => missing.push(above.to_owned()),
                Some(Kind::Implied | Kind::Directory) => break,
                Some(Kind::File | Kind::Link) => {
                    return Err(Refusal::entry(bytes(path), "is below what is no directory"));
                }
            }
        }
        for above in missing.into_iter().rev() {
            self.names = self.names.saturating_add(bytes(&above).len() as u64);
            if self.names > self.limits.names {
                return Err(Refusal::TooMuch("32 MiB of paths"));
            }
            self.tree.directory(&above).map_err(Refusal::Unwritten)?;
            self.seen.insert(above, Kind::Implied);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Unpacked, Refusal> {
        for (link, target) in &self.links {
            if leads_out(link, target, &self.links) {
                return Err(Refusal::entry(bytes(link), "is a link that leads out of the tree"));
            }
        }
        for (link, target) in &self.links {
            self.tree.link(link, target).map_err(Refusal::Unwritten)?;
        }
        // The deepest first: what is above may forbid to look below.
        for (path, mode) in self.modes.iter().rev() {
            self.tree.permit(path, *mode).map_err(Refusal::Unwritten)?;
        }
        Ok(self.done)
    }
}

/// A stream that is watched for its end: an archive ends with zeros, and nothing else follows.
struct Ended<R> {
    from: R,
    /// Zeros that came last.
    zeros: u64,
}

/// Zeros that end an archive: two blocks. Some programs write only one.
const END: u64 = 512;
/// Zeros that may follow: programs fill up to a multiple of some block.
const MOST_FILLED: u64 = 16 << 20;

impl<R: Read> Ended<R> {
    fn of(from: R) -> Ended<R> {
        Ended { from, zeros: 0 }
    }

    /// Reads what is left, which has to be zeros.
    fn check(mut self) -> Result<(), Refusal> {
        if self.zeros < END {
            return Err(Refusal::Archive("it ends before its end"));
        }
        let mut buffer = [0; 16 * 1024];
        let mut filled: u64 = 0;
        loop {
            let count = self.from.read(&mut buffer).map_err(Refusal::BrokenOff)?;
            let rest = buffer.get(..count).unwrap_or_default();
            filled = filled.saturating_add(count as u64);
            if count == 0 {
                return Ok(());
            }
            if rest.iter().any(|byte| *byte != 0) || filled > MOST_FILLED {
                return Err(Refusal::Archive("something follows behind its end"));
            }
        }
    }
}

impl<R: Read> Read for Ended<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        let read = buffer.get(..count).unwrap_or_default();
        let trailing = read.iter().rev().take_while(|byte| **byte == 0).count();
        self.zeros = if trailing == count { self.zeros } else { 0 } + trailing as u64;
        Ok(count)
    }
}
