//! Fencing: the highest epoch seen for a sandbox, kept while it exists and for a while after.
//!
//! While it exists the number is in its directory. A removal leaves the number behind: an older owner may still be on
//! its way to make it. Only the first epoch leaves none, for nothing is older.
//!
//! Numbers are only ever added to a file, so nobody who is late can take a higher one back.

use std::io;
use std::path::Path;
use std::time::Duration;

use crate::error::{Kind, NativeError, Tried};
use crate::files;
use crate::identity;
use crate::layout::{Home, Layout};
use crate::spec::Intent;

/// The epoch a sandbox is first made under.
const FIRST: u64 = 1;
/// Longer than any call of an owner that lost its right can still be on its way.
const KEEP: Duration = Duration::from_secs(3600);
/// How often numbers that were kept for long enough are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// What is read of a file: the highest number is among the last ones, even if several were added at once.
const LAST_ONES: u64 = 4096;

/// The highest number in a file; 0: none.
fn number(path: &Path) -> io::Result<u64> {
    let text = match files::read_end(path, LAST_ONES) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => return Ok(0),
        other => other?,
    };
    Ok(text.lines().filter_map(|line| line.parse().ok()).max().unwrap_or(0))
}

/// Adds a number to a file, unless it holds one as high.
fn add(path: &Path, epoch: u64) -> io::Result<()> {
    if number(path)? >= epoch {
        return Ok(());
    }
    // The line begins with its end, so that one that was broken off spoils none after it.
    files::append(path, &format!("\n{epoch}"))
}

/// The highest epoch on record; an error where that cannot be told.
fn highest(layout: &Layout, id: &str) -> io::Result<u64> {
    let home = layout.home(id);
    let made = files::read_json_if_any::<Intent>(&home.intent())?.map_or(0, |intent| intent.epoch);
    Ok(made.max(number(&home.epoch())?).max(number(&layout.fence(id))?))
}

/// Refuses an epoch that is older than one seen before.
pub(crate) fn check(layout: &Layout, id: &str, epoch: u64) -> Result<(), NativeError> {
    let seen = highest(layout, id).tried("read the epochs seen so far")?;
    if epoch < seen {
        return Err(NativeError::new(
            Kind::Fenced,
            format!("epoch {epoch} of {id} is over: epoch {seen} has taken over"),
        ));
    }
    Ok(())
}

/// Records an epoch on a sandbox that exists, unless a newer one was seen.
pub(crate) fn raise(layout: &Layout, id: &str, epoch: u64) -> Result<(), NativeError> {
    check(layout, id, epoch)?;
    let home = layout.home(id);
    if home.path.is_dir() {
        note(&home, epoch)?;
    }
    Ok(())
}

/// Writes an epoch down in a sandbox's directory.
pub(crate) fn note(home: &Home, epoch: u64) -> Result<(), NativeError> {
    if epoch > FIRST {
        add(&home.epoch(), epoch).tried("write down the epoch")?;
    }
    Ok(())
}

/// Leaves the highest number behind for a sandbox whose directory goes. Whoever calls holds its lock.
pub(crate) fn leave(layout: &Layout, id: &str, epoch: u64) -> Result<(), NativeError> {
    let epoch = highest(layout, id).tried("read the epochs seen so far")?.max(epoch);
    if epoch > FIRST {
        add(&layout.fence(id), epoch).tried("leave the epoch behind")?;
        forget_old(layout);
    }
    Ok(())
}

/// How long ago a file was written.
fn age(path: &Path) -> Option<Duration> {
    use std::os::unix::fs::MetadataExt as _;
    let written = std::fs::metadata(path).ok()?.mtime() * 1000;
    Some(Duration::from_millis(
        u64::try_from(identity::unix_ms() - written).ok()?,
    ))
}

fn forget_old(layout: &Layout) {
    let looked = layout.fences_looked_at();
    if age(&looked).is_some_and(|age| age < LOOK_EVERY) || files::write_new(&looked, b"", 0o600).is_err() {
        return;
    }
    let dir = layout.fences();
    for path in files::names(&dir)
        .unwrap_or_default()
        .into_iter()
        .map(|name| dir.join(name))
    {
        if age(&path).is_some_and(|age| age > KEEP) {
            let _ = std::fs::remove_file(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_only_rise() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("epoch");
        assert_eq!(number(&path).unwrap(), 0);
        for (epoch, highest) in [(5, 5), (3, 5), (12, 12), (7, 12)] {
            add(&path, epoch).unwrap();
            assert_eq!(number(&path).unwrap(), highest);
        }
        files::append(&path, "\n1").unwrap();
        add(&path, 13).unwrap();
        assert_eq!(number(&path).unwrap(), 13, "a line that was broken off");
    }

    #[test]
    fn what_cannot_be_read_is_not_taken_for_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        layout.prepare().unwrap();
        std::fs::create_dir_all(layout.fence("sbx")).unwrap();
        assert_eq!(check(&layout, "sbx", 9).unwrap_err().kind, Kind::Failed);
    }

    #[test]
    fn a_number_is_kept_for_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        layout.prepare().unwrap();
        leave(&layout, "sbx", FIRST).unwrap();
        assert!(!layout.fence("sbx").exists(), "nothing is older than the first");
        leave(&layout, "sbx", 2).unwrap();
        leave(&layout, "other", 2).unwrap();
        assert_eq!(check(&layout, "sbx", 1).unwrap_err().kind, Kind::Fenced);
        let set = |path: &Path, ago: Duration| {
            let then = rustix::fs::Timespec {
                tv_sec: identity::unix_ms() / 1000 - i64::try_from(ago.as_secs()).unwrap(),
                tv_nsec: 0,
            };
            let times = rustix::fs::Timestamps {
                last_access: then,
                last_modification: then,
            };
            rustix::fs::utimensat(rustix::fs::CWD, path, &times, rustix::fs::AtFlags::empty()).unwrap();
        };
        set(&layout.fence("sbx"), KEEP * 2);
        set(&layout.fences_looked_at(), LOOK_EVERY * 2);
        leave(&layout, "other", 3).unwrap();
        assert!(!layout.fence("sbx").exists());
        assert_eq!(check(&layout, "other", 2).unwrap_err().kind, Kind::Fenced);
    }
}
