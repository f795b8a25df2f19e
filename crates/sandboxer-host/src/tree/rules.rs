//! What stays here: the rules of `.sandboxerignore`, `.ignore` and `.gitignore`, read as files of somebody else's.

use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use super::TreeError;

/// A file of rules; the first that has a say on something decides, before one of the next kind in any directory.
const FILES: [&str; 3] = [".sandboxerignore", ".ignore", ".gitignore"];
/// Nobody writes so many rules by hand.
const MOST_BYTES: u64 = 1 << 20;

/// The rules of a directory and of those above it.
#[derive(Debug)]
pub(super) struct Rules {
    own: [Option<Gitignore>; 3],
    above: Option<Rc<Rules>>,
}

impl Rules {
    /// Reads those of a directory; `entries` are what is in it.
    pub(super) fn read(
        root: &impl AsFd,
        place: &Place<'_>,
        entries: &[(std::ffi::OsString, FileType)],
        above: Option<&Rc<Rules>>,
    ) -> Result<Rc<Rules>, TreeError> {
        let mut own = [None, None, None];
        for (rules, name) in own.iter_mut().zip(FILES) {
            let kind = entries.iter().find(|(found, _)| found == name).map(|(_, kind)| *kind);
            let path = place.beneath.join(name);
            *rules = match kind {
                None | Some(FileType::Directory) => None,
                Some(FileType::RegularFile) => Some(parse(place, &read(root, &path)?)),
                // Rules that are not read would let go what is to stay here, so there is no going on without them.
                Some(FileType::Symlink) => return Err(unread(&path, "it is a link")),
                Some(_) => return Err(unread(&path, "it is no regular file")),
            };
        }
        Ok(Rc::new(Rules {
            own,
            above: above.map(Rc::clone),
        }))
    }

    /// Whether something in this directory stays here. `path`: its whole path.
    pub(super) fn keep_here(&self, path: &Path, kind: FileType) -> bool {
        let is_dir = kind == FileType::Directory;
        for which in 0..FILES.len() {
            let mut rules = Some(self);
            while let Some(here) = rules {
                let file = here.own.get(which).and_then(Option::as_ref);
                match file.map_or(Match::None, |file| file.matched(path, is_dir)) {
                    Match::Ignore(_) => return true,
                    Match::Whitelist(_) => return false,
                    Match::None => rules = here.above.as_deref(),
                }
            }
        }
        false
    }
}

/// A directory of a tree.
#[derive(Debug)]
pub(super) struct Place<'a> {
    /// Its whole path.
    pub(super) whole: &'a Path,
    /// Its path beneath the root.
    pub(super) beneath: &'a Path,
}

/// Beneath the root, through no link, and waiting for nobody, whatever it has become since it was looked at.
fn read(root: &impl AsFd, path: &Path) -> Result<String, TreeError> {
    let failed = |error: std::io::Error| unread(path, &error.to_string());
    let file: OwnedFd = openat2(
        root,
        path,
        OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK,
        Mode::empty(),
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    )
    .map_err(|error| match error {
        Errno::LOOP => unread(path, "it is a link"),
        error => failed(error.into()),
    })?;
    let file = std::fs::File::from(file);
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(unread(path, "it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(unread(path, "it is larger than 1 MiB"));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A line that is no pattern has no say, as with git.
fn parse(place: &Place<'_>, text: &str) -> Gitignore {
    let mut builder = GitignoreBuilder::new(place.whole);
    for line in text.trim_start_matches('\u{feff}').lines() {
        let _ = builder.add_line(None, line);
    }
    builder.build().unwrap_or_else(|_| Gitignore::empty())
}

fn unread(path: &Path, why: &str) -> TreeError {
    TreeError::Rules {
        path: path.display().to_string(),
        why: why.to_owned(),
    }
}
