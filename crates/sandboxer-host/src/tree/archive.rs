//! The archive of a tree: GNU tar, in the order of the scan, owned by nobody in particular.

use std::io::Write;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use super::TreeError;
use super::scan::{Kind, Tree};

/// Writes the archive; a file that is not what was looked at stops it.
pub(super) fn write(tree: &Tree, to: &mut dyn Write) -> Result<(), TreeError> {
    let root = rustix::fs::open(
        &tree.root,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|error| unreadable(&tree.root, &error.to_string()))?;
    let unsent = |error: std::io::Error| TreeError::Unsent(error.to_string());
    let mut archive = tar::Builder::new(to);
    for entry in &tree.entries {
        let mut header = tar::Header::new_gnu();
        header.set_mode(entry.mode);
        header.set_mtime(entry.mtime);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        match &entry.kind {
            Kind::Directory => {
                header.set_entry_type(tar::EntryType::Directory);
                archive
                    .append_data(&mut header, &entry.path, std::io::empty())
                    .map_err(unsent)?;
            }
            Kind::Link { target } => {
                header.set_entry_type(tar::EntryType::Symlink);
                archive.append_link(&mut header, &entry.path, target).map_err(unsent)?;
            }
            Kind::File { bytes } => {
                header.set_entry_type(tar::EntryType::Regular);
                header.set_size(*bytes);
                // Beneath the root and through no link, whatever became of the way to it since.
                let file = openat2(
                    &root,
                    &entry.path,
                    OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK,
                    Mode::empty(),
                    ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
                )
                .map_err(|error| unreadable(&entry.path, &error.to_string()))?;
                let file = std::fs::File::from(file);
                let meta = file
                    .metadata()
                    .map_err(|error| unreadable(&entry.path, &error.to_string()))?;
                if !meta.is_file() || meta.len() != *bytes {
                    return Err(changed(&entry.path));
                }
                let mut whole = Exactly {
                    from: file,
                    left: *bytes,
                };
                archive
                    .append_data(&mut header, &entry.path, &mut whole)
                    .map_err(unsent)?;
                if whole.left != 0 {
                    return Err(changed(&entry.path));
                }
            }
        }
    }
    archive.finish().map_err(unsent)
}

/// Copies the entries, each read as for the archive.
pub(super) fn copy(tree: &Tree, to: &Path) -> Result<(), TreeError> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut bytes = Vec::new();
    write(tree, &mut bytes)?;
    let failed = |error: std::io::Error| TreeError::Unsent(format!("{}: {error}", to.display()));
    std::fs::create_dir_all(to).map_err(failed)?;
    // The archive is our own, of entries that were checked: nothing in it leads out.
    let mut archive = tar::Archive::new(bytes.as_slice());
    archive.set_preserve_permissions(true);
    archive.unpack(to).map_err(failed)?;
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o700)).map_err(failed)
}

fn unreadable(path: &Path, why: &str) -> TreeError {
    TreeError::Unreadable {
        path: path.display().to_string(),
        why: why.to_owned(),
    }
}

fn changed(path: &Path) -> TreeError {
    TreeError::Changed {
        path: path.display().to_string(),
    }
}

/// So many bytes of a file; what it grew by meanwhile is not read.
struct Exactly {
    from: std::fs::File,
    left: u64,
}

impl std::io::Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.from.read(buffer.get_mut(..most).unwrap_or_default())?;
        self.left -= count as u64;
        Ok(count)
    }
}
