//! Uploads on disk: `<data directory>/uploads/<id>/tree`, and beside it whose it is and until when it is kept. What is not
//! complete is called `<id>.part`. The disk is the truth; nothing is remembered beside it. No disk is waited for: what was made
//! before the machine last started may have lost something, and is found no more.
#![expect(
    clippy::disallowed_methods,
    reason = "what is kept here is this module's own, as the database is the store's"
)]

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use sandboxer_engine::api::Viewer;
use sandboxer_extension::port::Clock;
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::id::UploadId;
use serde::{Deserialize, Serialize};

use super::unpack::Unpacked;

/// How long an upload is kept that no sandbox names.
const KEPT: SignedDuration = SignedDuration::from_hours(1);
/// How long one that is past its time is left alone: a create that found it may be under way.
const SPARED: SignedDuration = SignedDuration::from_mins(15);
/// Bytes of the uploads of one project at most.
const MOST_OF_PROJECT: u64 = 16 << 30;
/// Uploads of one project at most.
const MOST_UPLOADS: usize = 200;
/// Bytes of a record at most.
const MOST_RECORD: u64 = 64 * 1024;
const RECORD: &str = "upload.json";
const PART: &str = ".part";

/// Whose an upload is, and until when it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// Its id.
    pub(crate) upload_id: UploadId,
    /// The project of who made it.
    pub(crate) project: Option<String>,
    /// The subject of who made it.
    pub(crate) owner: String,
    /// Files, directories and links in it.
    pub(crate) entries: u64,
    /// Bytes of its files.
    pub(crate) bytes: u64,
    /// From when on it is removed unless a sandbox names it.
    pub(crate) expires_at: Timestamp,
    /// The start of the machine in which it was made.
    boot: String,
}

/// The time of a machine.
#[derive(Debug, Clone)]
pub(crate) struct Moment {
    /// What the calendar says.
    pub(crate) now: Timestamp,
    /// Which start of the machine this is.
    boot: String,
}

impl Moment {
    /// This one.
    pub(crate) fn of(clock: &dyn Clock) -> Moment {
        Moment {
            now: clock.now(),
            boot: clock.uptime().boot,
        }
    }
}

/// Who makes an upload.
#[derive(Debug, Clone)]
pub(crate) struct Maker {
    /// The project.
    pub(crate) project: Option<String>,
    /// The subject.
    pub(crate) owner: String,
}

/// The uploads of a data directory.
#[derive(Debug, Clone)]
pub(crate) struct Keep {
    root: PathBuf,
}

impl Keep {
    /// Those below this data directory. Touches nothing.
    pub(crate) fn new(data_dir: &Path) -> Keep {
        Keep {
            root: data_dir.join("uploads"),
        }
    }

    /// The directory of an upload that a viewer may see, to be an input of a create.
    ///
    /// # Errors
    /// `NotFound`: there is none, it is another's, or it is past its time.
    pub(crate) fn resolve(&self, viewer: &Viewer, id: &str, at: &Moment) -> Result<PathBuf, UserError> {
        let kept = id
            .parse()
            .ok()
            .and_then(|id: UploadId| self.read(&self.root.join(id.as_str())));
        match kept {
            Some(kept) if kept.is_seen_by(viewer) && kept.is_good(at) => Ok(self.tree(&kept.upload_id)),
            _ => Err(UserError::new(
                ErrorCode::NotFound,
                "there is no such upload, or it is not yours to see",
            )
            .hint(
                "upload the directory again with `POST /v1/uploads`; one is kept for an hour unless a sandbox uses it",
            )),
        }
    }

    /// Whether a project may make one more upload.
    ///
    /// # Errors
    /// `QuotaExceeded`.
    pub(crate) fn admit(&self, maker: &Maker) -> Result<(), UserError> {
        let (mut count, mut bytes) = (0, 0u64);
        for kept in self.all().filter(|kept| kept.project == maker.project) {
            count += 1;
            bytes = bytes.saturating_add(kept.bytes);
        }
        if count < MOST_UPLOADS && bytes < MOST_OF_PROJECT {
            return Ok(());
        }
        let what = format!("the project has {count} uploads of {} MiB together", bytes >> 20);
        Err(UserError::new(ErrorCode::QuotaExceeded, what)
            .hint("they are removed an hour after they were made, or with the last sandbox that uses them"))
    }

    /// Begins an upload: where it is to be unpacked. The directory is not there yet, and its parent is.
    pub(super) fn begin(&self, id: &UploadId) -> io::Result<PathBuf> {
        let private = || {
            let mut builder = DirBuilder::new();
            builder.mode(0o700);
            builder
        };
        private().recursive(true).create(&self.root)?;
        let part = self.part(id);
        private().create(&part)?;
        Ok(part.join("tree"))
    }

    /// An upload that was begun is complete from now on.
    pub(super) fn complete(&self, id: UploadId, maker: Maker, what: Unpacked, at: &Moment) -> io::Result<Kept> {
        let kept = Kept {
            upload_id: id,
            project: maker.project,
            owner: maker.owner,
            entries: what.entries,
            bytes: what.bytes,
            expires_at: at.now.saturating_add(KEPT).map_err(io::Error::other)?,
            boot: at.boot.clone(),
        };
        let part = self.part(&kept.upload_id);
        let mut file = File::create_new(part.join(RECORD))?;
        file.write_all(&serde_json::to_vec(&kept)?)?;
        fs::rename(&part, self.root.join(kept.upload_id.as_str()))?;
        Ok(kept)
    }

    /// Nothing of an upload that was begun stays.
    pub(super) fn abandon(&self, id: &UploadId) {
        // What cannot be removed now is removed by the next sweep.
        let _ = fs::remove_dir_all(self.part(id));
    }

    /// Where the tree of an upload is.
    pub(crate) fn tree(&self, id: &UploadId) -> PathBuf {
        self.root.join(id.as_str()).join("tree")
    }

    /// The upload that an input of a sandbox names, if it does.
    pub(super) fn named_by(&self, input: &str) -> Option<UploadId> {
        // Inputs are stored without links on their way.
        let whole = fs::canonicalize(&self.root).unwrap_or_else(|_| self.root.clone());
        let input = Path::new(input);
        let rest = input
            .strip_prefix(&self.root)
            .or_else(|_| input.strip_prefix(whole))
            .ok()?;
        rest.iter().next()?.to_str()?.parse().ok()
    }

    /// Removes what is past its time and not in `used`, and what was begun and is not being made any more. What was removed.
    pub(super) fn remove_unused(&self, used: &dyn Fn(&UploadId) -> bool, now: Timestamp) -> Vec<String> {
        let is_old = |since: Timestamp| now.duration_since(since) > SPARED;
        let mut removed = Vec::new();
        for entry in fs::read_dir(&self.root).into_iter().flatten().flatten() {
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let is_over = match name.strip_suffix(PART).map_or((name.as_str(), false), |id| (id, true)) {
                (id, true) => id
                    .parse()
                    .is_ok_and(|id| is_old(made_at(&id).saturating_add(KEPT).unwrap_or(now))),
                (id, false) => match id.parse::<UploadId>() {
                    Err(_) => false,
                    Ok(id) if used(&id) => false,
                    // One whose record cannot be read is as old as its id says.
                    Ok(id) => is_old(self.read(&entry.path()).map_or_else(
                        || made_at(&id).saturating_add(KEPT).unwrap_or(now),
                        |kept| kept.expires_at,
                    )),
                },
            };
            if is_over && fs::remove_dir_all(entry.path()).is_ok() {
                removed.push(name);
            }
        }
        removed
    }

    /// Whether there is anything that could be removed.
    pub(super) fn is_empty(&self) -> bool {
        fs::read_dir(&self.root).map_or(true, |mut entries| entries.next().is_none())
    }

    fn all(&self) -> impl Iterator<Item = Kept> {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        entries.filter_map(|entry| self.read(&entry.path()))
    }

    fn read(&self, at: &Path) -> Option<Kept> {
        let file = File::open(at.join(RECORD)).ok()?;
        let mut text = Vec::new();
        file.take(MOST_RECORD).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }

    fn part(&self, id: &UploadId) -> PathBuf {
        self.root.join(format!("{id}{PART}"))
    }
}

impl Kept {
    fn is_good(&self, at: &Moment) -> bool {
        at.now < self.expires_at && at.boot == self.boot
    }

    /// Administrators see all, automations what is of their project, agents what is their own.
    fn is_seen_by(&self, viewer: &Viewer) -> bool {
        let of_project = viewer.project.is_none() || viewer.project == self.project;
        of_project && viewer.owner.as_ref().is_none_or(|owner| *owner == self.owner)
    }
}

fn made_at(id: &UploadId) -> Timestamp {
    let ms = i64::try_from(id.made_at_ms()).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use sandboxer_extension::port::SystemClock;
    use uuid::Uuid;

    use super::*;

    fn maker(project: &str, owner: &str) -> Maker {
        Maker {
            project: Some(project.to_owned()),
            owner: owner.to_owned(),
        }
    }

    fn id_of(at: Timestamp) -> UploadId {
        let ms = u128::try_from(at.as_millisecond()).unwrap();
        UploadId::from_uuid(Uuid::from_u128(ms << 80 | 7))
    }

    fn later(at: &Moment, minutes: i64) -> Moment {
        Moment {
            now: at.now + SignedDuration::from_mins(minutes),
            boot: at.boot.clone(),
        }
    }

    #[test]
    fn an_upload_stays_its_time_and_longer_where_it_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let keep = Keep::new(dir.path());
        let at = Moment::of(&SystemClock);
        let id = id_of(at.now);
        fs::create_dir(keep.begin(&id).unwrap()).unwrap();
        let all = Viewer::default();
        assert!(keep.resolve(&all, id.as_str(), &at).is_err(), "it is not complete");
        keep.complete(id.clone(), maker("p", "o"), Unpacked::default(), &at)
            .unwrap();
        let tree = keep.resolve(&all, id.as_str(), &at).unwrap();
        assert!(tree.is_dir());
        assert_eq!(keep.named_by(tree.to_str().unwrap()), Some(id.clone()));
        assert_eq!(keep.named_by("/elsewhere"), None);
        assert!(
            keep.resolve(&all, id.as_str(), &later(&at, 61)).is_err(),
            "it is past its time"
        );
        let rebooted = Moment {
            boot: "another".to_owned(),
            ..at.clone()
        };
        assert!(
            keep.resolve(&all, id.as_str(), &rebooted).is_err(),
            "nobody waited for the disk"
        );
        let sweep = |used: bool, minutes| keep.remove_unused(&|_| used, later(&at, minutes).now);
        assert_eq!(sweep(false, 74), [] as [&str; 0]);
        assert_eq!(sweep(true, 10_000), [] as [&str; 0]);
        assert_eq!(sweep(false, 76), [id.as_str()]);
        assert!(keep.is_empty());
    }

    #[test]
    fn what_a_dead_server_began_is_removed_and_what_is_being_made_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let keep = Keep::new(dir.path());
        let at = Moment::of(&SystemClock);
        keep.begin(&id_of(at.now)).unwrap();
        fs::create_dir(dir.path().join("uploads/not-ours")).unwrap();
        let sweep = |minutes| keep.remove_unused(&|_| true, later(&at, minutes).now);
        assert_eq!(sweep(30).len(), 0);
        assert_eq!(sweep(76).len(), 1);
        assert!(dir.path().join("uploads/not-ours").exists());
    }

    #[test]
    fn only_those_see_it_whose_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let keep = Keep::new(dir.path());
        let at = Moment::of(&SystemClock);
        let id = id_of(at.now);
        keep.begin(&id).unwrap();
        keep.complete(id.clone(), maker("p", "o"), Unpacked::default(), &at)
            .unwrap();
        for (project, owner, sees) in [
            (None, None, true),
            (Some("p"), None, true),
            (Some("p"), Some("o"), true),
            (Some("p"), Some("x"), false),
            (Some("q"), Some("o"), false),
            (Some("q"), None, false),
        ] {
            let viewer = Viewer {
                project: project.map(str::to_owned),
                owner: owner.map(str::to_owned),
            };
            let found = keep.resolve(&viewer, id.as_str(), &at).is_ok();
            assert_eq!(found, sees, "{project:?} {owner:?}");
        }
    }
}
