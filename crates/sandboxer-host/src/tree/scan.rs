//! Looking at a tree: what goes, in which order, and its digest.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use sha2::{Digest as _, Sha256};

use super::links::leads_out;
use super::walk::{Found, walk};
use super::{TreeError, archive};

/// What is sent at most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Files, directories and links.
    pub entries: usize,
    /// Bytes of all files.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            entries: 200_000,
            bytes: 8 << 30,
        }
    }
}

/// One thing of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Relative to the root.
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    /// Permission bits without set-user-id and set-group-id.
    pub(super) mode: u32,
    /// Seconds since 1970.
    pub(super) mtime: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    File { bytes: u64 },
    Link { target: OsString },
}

/// A tree that was looked at.
#[derive(Debug)]
pub struct Tree {
    pub(super) root: PathBuf,
    pub(super) entries: Vec<Entry>,
    skipped: Vec<PathBuf>,
    digest: String,
    byte_len: u64,
}

impl Tree {
    /// Looks at a tree: `.gitignore`, `.ignore` and `.sandboxerignore` leave out what they name, and `.git` stays here.
    ///
    /// # Errors
    /// Unreadable, too large, a link leads out of it, or one of those three is no file that rules are read from.
    pub fn scan(root: &Path, limits: Limits) -> Result<Tree, TreeError> {
        let mut tree = Tree {
            root: root.to_owned(),
            entries: Vec::new(),
            skipped: Vec::new(),
            digest: String::new(),
            byte_len: 0,
        };
        let mut bytes = 0u64;
        walk(root, &mut |found| {
            let path = found.path.clone();
            let Some(entry) = entry(found) else {
                tree.skipped.push(path);
                return Ok(());
            };
            if let Kind::File { bytes: size } = entry.kind {
                bytes = bytes.saturating_add(size);
            }
            tree.entries.push(entry);
            if tree.entries.len() > limits.entries {
                return Err(TreeError::TooLarge {
                    what: "too many files".to_owned(),
                    most: limits.entries.to_string(),
                });
            }
            if bytes > limits.bytes {
                return Err(TreeError::TooLarge {
                    what: "too many bytes".to_owned(),
                    most: format!("{} MiB", limits.bytes >> 20),
                });
            }
            Ok(())
        })?;
        check_links(&tree)?;
        let mut hasher = Hashing {
            hasher: Sha256::new(),
            bytes: 0,
        };
        archive::write(&tree, &mut hasher)?;
        tree.byte_len = hasher.bytes;
        for byte in hasher.hasher.finalize() {
            use std::fmt::Write as _;
            let _ = write!(tree.digest, "{byte:02x}");
        }
        Ok(tree)
    }

    /// SHA-256 of the archive, in hexadecimal.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Bytes of the archive.
    pub fn byte_len(&self) -> u64 {
        self.byte_len
    }

    /// What is no file, directory or link, and stays here.
    pub fn skipped(&self) -> &[PathBuf] {
        &self.skipped
    }

    /// Copies the tree into a directory of this machine, which must not be there yet.
    ///
    /// # Errors
    /// It is there, or cannot be written; a file is another than when it was looked at.
    pub fn copy_to(&self, to: &Path) -> Result<(), TreeError> {
        archive::copy(self, to)
    }

    /// Writes the archive.
    ///
    /// # Errors
    /// A file is another than when it was looked at, or the other side stopped listening.
    pub fn write(&self, to: &mut dyn Write) -> Result<(), TreeError> {
        archive::write(self, to)
    }
}

fn entry(found: Found) -> Option<Entry> {
    let kind = match found.kind() {
        FileType::Directory => Kind::Directory,
        FileType::RegularFile => Kind::File {
            bytes: u64::try_from(found.stat.st_size).unwrap_or(0),
        },
        FileType::Symlink => Kind::Link {
            target: found.target.unwrap_or_default(),
        },
        _ => return None,
    };
    Some(Entry {
        path: found.path,
        kind,
        mode: found.stat.st_mode & 0o777,
        mtime: u64::try_from(found.stat.st_mtime).unwrap_or(0),
    })
}

/// No link may lead out, be it by others; those that stay here count as well, since whoever reads the tree here follows
/// them.
fn check_links(tree: &Tree) -> Result<(), TreeError> {
    let links: HashMap<&Path, &OsString> = tree
        .entries
        .iter()
        .filter_map(|entry| match &entry.kind {
            Kind::Link { target } => Some((entry.path.as_path(), target)),
            _ => None,
        })
        .collect();
    let going: HashSet<&Path> = tree.entries.iter().map(|entry| entry.path.as_path()).collect();
    let at = |path: &Path| match links.get(path) {
        Some(target) => Some((*target).clone()),
        None if going.contains(path) => None,
        None => std::fs::read_link(tree.root.join(path))
            .ok()
            .map(PathBuf::into_os_string),
    };
    let out = tree.entries.iter().find_map(|entry| match &entry.kind {
        Kind::Link { target } if leads_out(&entry.path, target, &at) => Some((&entry.path, target)),
        _ => None,
    });
    match out {
        Some((link, target)) => Err(TreeError::LeadsOut {
            path: link.display().to_string(),
            target: target.display().to_string(),
        }),
        None => Ok(()),
    }
}

struct Hashing {
    hasher: Sha256,
    bytes: u64,
}

impl Write for Hashing {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        self.hasher.update(buffer);
        self.bytes += buffer.len() as u64;
        Ok(buffer.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
