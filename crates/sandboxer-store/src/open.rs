//! The store: opening it, alone or to be shared, and what everything in it reaches the database by.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sandboxer_extension::port::{Clock, IdSource};
use sandboxer_model::id::InstallationId;

use crate::commit::Durability;
use crate::damage::Noticed;
use crate::error::StoreError;
use crate::fault::WriteFaults;
use crate::file::{FILE, connect, create, is_missing, lay_tables, open_reader, set_up};
use crate::group::Queue;
use crate::lane::{Lane, Turn};
use crate::pepper::{self, Pepper};
use crate::readers::{Reader, Readers};
use crate::schema;
use crate::sqlite_error::classify;

/// Connections of a shared store that read.
const READERS: usize = 4;
/// Attempts to open before giving up on other processes.
const OPEN_ATTEMPTS: u32 = 5;
const IN_MEMORY: &str = ":memory:";

/// The durable memory of one installation. Cheap to clone; clones share what they are connected by.
///
/// SQLite works on the caller's thread: methods never pause, and each is one short transaction, so a caller that goes away
/// cannot leave one open; while another process writes, a call may block its thread for up to ten seconds.
///
/// A shared store ([`open_shared`](Store::open_shared)) is for a process that does many things at once: what is written is
/// gathered and synced to disk together by a thread of its own, and reads do not wait behind that.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    pub(crate) faults: Option<Arc<dyn WriteFaults>>,
}

struct Inner {
    lane: Arc<Lane>,
    /// What a shared store has beside it.
    shared: Option<Shared>,
    clock: Arc<dyn Clock>,
    installation_id: InstallationId,
    path: String,
    noticed: Noticed,
    /// Where the file is; `None`: it is in memory.
    data_dir: Option<PathBuf>,
    ids: Arc<dyn IdSource>,
    pepper: OnceLock<Pepper>,
    /// The version of the data that was said last.
    said_version: AtomicI64,
}

/// What a shared store has beside the connection that writes.
struct Shared {
    queue: Queue,
    readers: Readers,
}

/// The connection and what it was left with.
pub(crate) struct Connection {
    pub(crate) sqlite: rusqlite::Connection,
    pub(crate) durability: Durability,
}

impl Connection {
    /// From here on, commits survive this.
    pub(crate) fn keep(&mut self, durability: Durability) -> rusqlite::Result<()> {
        if self.durability != durability {
            self.sqlite.execute_batch(match durability {
                Durability::Acknowledged => "PRAGMA synchronous = FULL",
                Durability::CrashOnly => "PRAGMA synchronous = NORMAL",
            })?;
            self.durability = durability;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.inner.path)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens `sandboxer.db` in this directory; makes both (the directory with mode 0700) when they are missing.
    ///
    /// # Errors
    /// `Unavailable`, `Locked`, `Corrupt`, `Foreign`.
    pub async fn open(data_dir: &Path, clock: Arc<dyn Clock>, ids: Arc<dyn IdSource>) -> Result<Store, StoreError> {
        let path = data_dir.join(FILE);
        let mut attempt = 0;
        loop {
            attempt += 1;
            match connect(&path) {
                Ok((sqlite, installation_id)) => {
                    return Ok(Store::over(sqlite, clock, ids, installation_id, Some(data_dir)));
                }
                Err(_) if attempt < OPEN_ATTEMPTS && is_missing(&path) => create(data_dir, &path, ids.as_ref())?,
                // It was made between the two looks; or a process that closes the last connection holds it for a moment
                // in which waiting is not offered. A file that really cannot be opened costs a few short tries.
                Err(StoreError::Unavailable { .. } | StoreError::Locked { .. }) if attempt < OPEN_ATTEMPTS => {
                    clock.sleep(Duration::from_millis(5)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The same for a process that does many things at once: what they write is synced to disk together, and what they read
    /// does not wait for that. A read after a commit was acknowledged sees it.
    ///
    /// # Errors
    /// `Unavailable`, `Locked`, `Corrupt`, `Foreign`.
    pub async fn open_shared(
        data_dir: &Path,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Result<Store, StoreError> {
        let store = Store::open(data_dir, clock, ids).await?;
        let path = data_dir.join(FILE);
        let wrong = |error: rusqlite::Error| store.classify(&error);
        let reader = || open_reader(&path).map_err(wrong);
        let (first, mut more) = (reader()?, Vec::new());
        for _ in 1..READERS {
            more.push(reader()?);
        }
        let turn = store.writing();
        turn.sqlite.execute_batch(schema::SHARED_WRITER).map_err(wrong)?;
        drop(turn);
        let queue = Queue::start(Arc::clone(&store.inner.lane), store.inner.path.clone()).map_err(|error| {
            StoreError::Unavailable {
                path: store.inner.path.clone(),
                why: error.to_string(),
            }
        })?;
        let inner = &store.inner;
        Ok(Store {
            inner: Arc::new(Inner {
                lane: Arc::clone(&inner.lane),
                shared: Some(Shared {
                    queue,
                    readers: Readers::new(first, more),
                }),
                clock: Arc::clone(&inner.clock),
                installation_id: inner.installation_id.clone(),
                path: inner.path.clone(),
                noticed: Noticed::default(),
                data_dir: inner.data_dir.clone(),
                ids: Arc::clone(&inner.ids),
                pepper: OnceLock::new(),
                said_version: AtomicI64::new(0),
            }),
            faults: None,
        })
    }

    /// Whether there is a database in this directory. One that cannot be looked for is not said to be missing.
    pub fn exists(data_dir: &Path) -> bool {
        !is_missing(&data_dir.join(FILE))
    }

    /// A store that lives as long as the value, for tests and for plans that touch nothing.
    ///
    /// # Errors
    /// Those of SQLite.
    pub async fn open_in_memory(clock: Arc<dyn Clock>, ids: Arc<dyn IdSource>) -> Result<Store, StoreError> {
        let id = InstallationId::from_uuid(ids.uuid());
        let made = (|| {
            let sqlite = rusqlite::Connection::open_in_memory_with_flags(crate::file::FLAGS)?;
            set_up(&sqlite)?;
            lay_tables(&sqlite, &id)?;
            Ok(sqlite)
        })();
        let sqlite = made.map_err(|error| classify(&error, IN_MEMORY))?;
        Ok(Store::over(sqlite, clock, ids, id, None))
    }

    fn over(
        sqlite: rusqlite::Connection,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
        installation_id: InstallationId,
        data_dir: Option<&Path>,
    ) -> Store {
        let lane = Lane::new(Connection {
            sqlite,
            durability: Durability::CrashOnly,
        });
        Store {
            inner: Arc::new(Inner {
                lane: Arc::new(lane),
                shared: None,
                clock,
                installation_id,
                path: data_dir.map_or_else(|| IN_MEMORY.to_owned(), |dir| dir.join(FILE).display().to_string()),
                noticed: Noticed::default(),
                data_dir: data_dir.map(Path::to_owned),
                ids,
                pepper: OnceLock::new(),
                said_version: AtomicI64::new(0),
            }),
            faults: None,
        }
    }

    /// The same store with faults around its commits, for tests.
    #[must_use]
    pub fn with_faults(mut self, faults: Arc<dyn WriteFaults>) -> Store {
        self.faults = Some(faults);
        self
    }

    /// The owner written on everything this installation creates.
    pub fn installation_id(&self) -> &InstallationId {
        &self.inner.installation_id
    }

    /// The file, for messages.
    pub fn path(&self) -> &str {
        &self.inner.path
    }

    /// What secrets of callers are hashed with; made when it is first asked for.
    pub(crate) fn pepper(&self) -> Result<Pepper, StoreError> {
        if let Some(pepper) = self.inner.pepper.get() {
            return Ok(*pepper);
        }
        let ids = self.inner.ids.as_ref();
        let pepper = match &self.inner.data_dir {
            Some(dir) => pepper::read_or_make(dir, ids)?,
            None => ids.key().map_err(|error| StoreError::Unavailable {
                path: self.inner.path.clone(),
                why: error.to_string(),
            })?,
        };
        Ok(*self.inner.pepper.get_or_init(|| pepper))
    }

    pub(crate) fn said_version(&self) -> &AtomicI64 {
        &self.inner.said_version
    }

    pub(crate) fn noticed(&self) -> &Noticed {
        &self.inner.noticed
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        self.inner.clock.as_ref()
    }

    /// The connection that writes; blocks while somebody else has it.
    pub(crate) fn writing(&self) -> Turn<'_> {
        self.inner.lane.take()
    }

    /// The same, if nobody else has it.
    pub(crate) fn writing_if_free(&self) -> Option<Turn<'_>> {
        self.inner.lane.take_if_free()
    }

    /// A connection to read with.
    pub(crate) fn reading(&self) -> Reader<'_> {
        match &self.inner.shared {
            Some(shared) => shared.readers.take(),
            None => Reader::Writer(self.writing()),
        }
    }

    /// Where a shared store puts what is to be written.
    pub(crate) fn queue(&self) -> Option<&Queue> {
        self.inner.shared.as_ref().map(|shared| &shared.queue)
    }

    pub(crate) fn classify(&self, error: &rusqlite::Error) -> StoreError {
        classify(error, &self.inner.path)
    }

    pub(crate) fn corrupt(&self, why: impl Into<String>) -> StoreError {
        StoreError::Corrupt {
            path: self.inner.path.clone(),
            why: why.into(),
        }
    }
}
