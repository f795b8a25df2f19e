//! Looking at a tree: what goes, in which order, and its digest.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest as _, Sha256};

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

/// Longest path, as in PATH_MAX of Linux.
const MOST_PATH: usize = 4096;

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
    /// Unreadable, too large, or a link leads out of it.
    pub fn scan(root: &Path, limits: Limits) -> Result<Tree, TreeError> {
        let mut tree = Tree {
            root: root.to_owned(),
            entries: Vec::new(),
            skipped: Vec::new(),
            digest: String::new(),
            byte_len: 0,
        };
        let mut bytes = 0u64;
        for found in walk(root) {
            let found = found.map_err(|error| TreeError::Unreadable {
                path: root.display().to_string(),
                why: error.to_string(),
            })?;
            let path = found.path().strip_prefix(root).unwrap_or(found.path()).to_owned();
            if path.as_os_str().is_empty() {
                continue;
            }
            let Some(entry) = entry(root, &path)? else {
                tree.skipped.push(path);
                continue;
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
        }
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

fn walk(root: &Path) -> ignore::Walk {
    let mut builder = ignore::WalkBuilder::new(root);
    builder
        .hidden(false)
        .parents(false)
        .git_global(false)
        .git_exclude(false)
        .require_git(false)
        .follow_links(false)
        .add_custom_ignore_filename(".sandboxerignore")
        .filter_entry(|entry| entry.file_name() != ".git")
        .sort_by_file_name(std::cmp::Ord::cmp);
    builder.build()
}

fn entry(root: &Path, path: &Path) -> Result<Option<Entry>, TreeError> {
    let whole = root.join(path);
    let unreadable = |error: std::io::Error| TreeError::Unreadable {
        path: whole.display().to_string(),
        why: error.to_string(),
    };
    if path.as_os_str().len() > MOST_PATH {
        return Err(TreeError::TooLarge {
            what: "a longer path".to_owned(),
            most: format!("{MOST_PATH} bytes"),
        });
    }
    let meta = std::fs::symlink_metadata(&whole).map_err(unreadable)?;
    let kind = meta.file_type();
    let kind = if kind.is_dir() {
        Kind::Directory
    } else if kind.is_file() {
        Kind::File { bytes: meta.len() }
    } else if kind.is_symlink() {
        let target = std::fs::read_link(&whole).map_err(unreadable)?;
        if leads_out(path, &target) {
            return Err(TreeError::LeadsOut {
                path: path.display().to_string(),
                target: target.display().to_string(),
            });
        }
        Kind::Link {
            target: target.into_os_string(),
        }
    } else {
        debug_assert!(kind.is_fifo() || kind.is_socket() || kind.is_block_device() || kind.is_char_device());
        return Ok(None);
    };
    Ok(Some(Entry {
        path: path.to_owned(),
        kind,
        mode: meta.mode() & 0o777,
        mtime: u64::try_from(meta.mtime()).unwrap_or(0),
    }))
}

/// Whether a link leaves the tree at any point on its way, however it comes back.
fn leads_out(link: &Path, target: &Path) -> bool {
    if target.as_os_str().as_bytes().contains(&0) {
        return true;
    }
    let mut depth = link.components().count().saturating_sub(1);
    for part in target.components() {
        match part {
            Component::RootDir | Component::Prefix(_) => return true,
            Component::ParentDir if depth == 0 => return true,
            Component::ParentDir => depth -= 1,
            Component::CurDir => {}
            Component::Normal(_) => depth += 1,
        }
    }
    false
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_may_go_up_but_not_out() {
        for (link, target, out) in [
            ("a", "b", false),
            ("a/b", "../c", false),
            ("a/b", "../../c", true),
            ("a", "..", true),
            ("a", "../x/a", true),
            ("a/b/c", "../../d/e", false),
            ("a", "/etc", true),
            ("a/b", "x/../../c", false),
            ("a/b", "x/../../../c", true),
        ] {
            assert_eq!(leads_out(Path::new(link), Path::new(target)), out, "{link} -> {target}");
        }
    }
}
