//! Making, checking and opening the database.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rusqlite::OpenFlags;
use rusqlite::config::DbConfig;
use sandboxer_extension::port::{Clock, IdSource};
use sandboxer_model::id::InstallationId;

use crate::commit::Durability;
use crate::damage::Noticed;
use crate::error::StoreError;
use crate::fault::WriteFaults;
use crate::group::Queue;
use crate::lane::{Lane, Turn};
use crate::pepper::{self, Pepper};
use crate::readers::{Reader, Readers};
use crate::schema;

/// How long one attempt waits for other processes.
const BUSY: Duration = Duration::from_secs(10);
/// Connections of a shared store that read.
const READERS: usize = 4;
/// Statements that each connection of a shared store keeps ready.
const STATEMENTS: usize = 128;
/// Attempts to open before giving up on other processes.
const OPEN_ATTEMPTS: u32 = 5;
const FILE: &str = "sandboxer.db";
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
        turn.sqlite.set_prepared_statement_cache_capacity(STATEMENTS);
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
            let sqlite = rusqlite::Connection::open_in_memory_with_flags(FLAGS)?;
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

/// One user at a time (our mutex sees to it), nothing shared with other connections of the process.
const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE
    .union(OpenFlags::SQLITE_OPEN_NO_MUTEX)
    .union(OpenFlags::SQLITE_OPEN_PRIVATE_CACHE);

/// What a connection needs before its first statement.
fn set_up(sqlite: &rusqlite::Connection) -> rusqlite::Result<()> {
    sqlite.busy_timeout(BUSY)?;
    sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true)?;
    sqlite.execute_batch(schema::SET_UP)
}

fn open_file(path: &Path, flags: OpenFlags) -> rusqlite::Result<rusqlite::Connection> {
    // A relative name that starts with `file:` would be read as an address.
    let sqlite = rusqlite::Connection::open_with_flags(Path::new(".").join(path), flags)?;
    set_up(&sqlite)?;
    Ok(sqlite)
}

/// A connection that only reads.
fn open_reader(path: &Path) -> rusqlite::Result<rusqlite::Connection> {
    let sqlite = open_file(path, FLAGS)?;
    sqlite.execute_batch(schema::SHARED_READER)?;
    sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    sqlite.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(sqlite)
}

/// Opens an existing file and makes sure that it is ours, whole and of this version.
fn connect(path: &Path) -> Result<(rusqlite::Connection, InstallationId), StoreError> {
    let name = path.display().to_string();
    let wrong = |error: rusqlite::Error| classify(&error, &name);
    let mut sqlite = open_file(path, FLAGS).map_err(wrong)?;
    // The last process to leave would otherwise fold the log into the file and remove it: half a millisecond or more, at
    // every exit of a command.
    sqlite
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map_err(wrong)?;
    if number(&sqlite, "PRAGMA application_id").map_err(wrong)? != schema::APPLICATION_ID {
        return Err(StoreError::Foreign {
            path: name,
            why: "another program made it".to_owned(),
            newer: false,
        });
    }
    let version = number(&sqlite, VERSION).map_err(wrong)?;
    if version > schema::VERSION {
        let why = format!(
            "a newer release wrote it (tables of version {version}, this one knows {})",
            schema::VERSION
        );
        return Err(StoreError::Foreign {
            path: name,
            why,
            newer: true,
        });
    }
    if version < schema::VERSION {
        migrate(&mut sqlite).map_err(wrong)?;
    }
    let id = sqlite.query_row("SELECT value FROM meta WHERE key = 'installation_id'", (), |row| {
        row.get::<_, String>(0)
    });
    let id = match id {
        Err(error @ (rusqlite::Error::SqliteFailure(..) | rusqlite::Error::SqlInputError { .. })) => {
            return Err(wrong(error));
        }
        other => other.ok().and_then(|text| text.parse().ok()),
    };
    match id {
        Some(id) => Ok((sqlite, id)),
        None => Err(StoreError::Corrupt {
            path: name,
            why: "it does not name its installation".to_owned(),
        }),
    }
}

const VERSION: &str = "PRAGMA user_version";

fn number(sqlite: &rusqlite::Connection, sql: &str) -> rusqlite::Result<i64> {
    sqlite.query_row(sql, (), |row| row.get(0))
}

/// Leads the tables of an older release to this one's, all of it or nothing. Another process may do so at the same time:
/// whoever comes second finds nothing left to do.
fn migrate(sqlite: &mut rusqlite::Connection) -> rusqlite::Result<()> {
    let transaction = sqlite.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let version = number(&transaction, VERSION)?;
    // One without version never was whole: reading it will say what is missing.
    if version > 0 && version < schema::VERSION {
        for step in schema::STEPS
            .iter()
            .skip(usize::try_from(version).unwrap_or(usize::MAX))
        {
            transaction.execute_batch(step)?;
        }
        transaction.pragma_update(None, "user_version", schema::VERSION)?;
    }
    transaction.commit()
}

/// Makes the whole database beside its place and links it there in one step, so that of many processes that come first
/// at once exactly one wins and none sees a half-made file.
fn create(data_dir: &Path, path: &Path, ids: &dyn IdSource) -> Result<(), StoreError> {
    let unavailable = |why: std::io::Error| match why.kind() {
        std::io::ErrorKind::StorageFull => StoreError::Full {
            path: path.display().to_string(),
        },
        _ => StoreError::Unavailable {
            path: path.display().to_string(),
            why: reason(&why),
        },
    };
    {
        use std::os::unix::fs::DirBuilderExt as _;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(data_dir)
            .map_err(unavailable)?;
    }
    let id = InstallationId::from_uuid(ids.uuid());
    let draft = Draft(data_dir.join(format!("{FILE}.{id}.new")));
    // What SQLite adds beside it gets the same mode.
    private_file(&draft.0).map_err(unavailable)?;
    let made = (|| {
        let sqlite = open_file(&draft.0, FLAGS | OpenFlags::SQLITE_OPEN_CREATE)?;
        sqlite.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")?;
        lay_tables(&sqlite, &id)?;
        // What is linked is complete. Closing would fold the log into the file too, and not say when it cannot.
        sqlite.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))?;
        sqlite.close().map_err(|(_, error)| error)
    })();
    made.map_err(|error| classify(&error, &path.display().to_string()))?;
    match std::fs::hard_link(&draft.0, path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(unavailable(error)),
        _ => {}
    }
    std::fs::File::open(data_dir)
        .and_then(|dir| dir.sync_all())
        .map_err(unavailable)
}

/// Makes a file that only its owner can read, whatever directory it is in.
#[expect(clippy::disallowed_methods, reason = "this crate is the port")]
fn private_file(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map(drop)
}

/// A database in the making; its names go when it is dropped, whether it was linked to its place or not.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let mut name = self.0.clone().into_os_string();
            name.push(suffix);
            let _ = std::fs::remove_file(name);
        }
    }
}

fn lay_tables(sqlite: &rusqlite::Connection, id: &InstallationId) -> rusqlite::Result<()> {
    sqlite.execute_batch(&format!(
        "BEGIN IMMEDIATE; {} INSERT INTO meta (key, value) VALUES ('installation_id', '{id}'); \
         PRAGMA application_id = {}; PRAGMA user_version = {}; COMMIT",
        schema::STEPS.concat(),
        schema::APPLICATION_ID,
        schema::VERSION
    ))
}

fn is_missing(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

fn reason(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        ErrorKind::ReadOnlyFilesystem => "the file system is read-only".to_owned(),
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => "its directory is not a directory".to_owned(),
        _ => error.to_string(),
    }
}

/// SQLite's primary result codes, from its documentation.
mod code {
    pub(super) const PERM: i32 = 3;
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const READONLY: i32 = 8;
    pub(super) const IOERR: i32 = 10;
    pub(super) const IOERR_SHMSIZE: i32 = IOERR | (19 << 8);
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANTOPEN: i32 = 14;
    pub(super) const NOTADB: i32 = 26;
}

/// The extended result code of SQLite and its words, where the error has them.
pub(crate) fn sqlite_code(error: &rusqlite::Error) -> Option<(i32, &str)> {
    match error {
        rusqlite::Error::SqliteFailure(code, message) => {
            Some((code.extended_code, message.as_deref().unwrap_or_default()))
        }
        rusqlite::Error::SqlInputError { error, msg, .. } => Some((error.extended_code, msg)),
        _ => None,
    }
}

pub(crate) fn classify(error: &rusqlite::Error, path: &str) -> StoreError {
    let path = path.to_owned();
    let unavailable = |path, why: &str| StoreError::Unavailable {
        path,
        why: why.to_owned(),
    };
    let Some((code, message)) = sqlite_code(error) else {
        return unavailable(path, &error.to_string());
    };
    match code & 0xff {
        code::BUSY | code::LOCKED => StoreError::Locked {
            path,
            seconds: BUSY.as_secs(),
        },
        code::CORRUPT => StoreError::Corrupt {
            path,
            why: "its pages do not fit together".to_owned(),
        },
        code::NOTADB => StoreError::Corrupt {
            path,
            why: "the file is not a database".to_owned(),
        },
        // Without room for the pages that processes share, SQLite says that these cannot be made.
        code::FULL => StoreError::Full { path },
        code::IOERR if code == code::IOERR_SHMSIZE => StoreError::Full { path },
        code::IOERR => StoreError::Failed {
            path,
            why: message.to_owned(),
        },
        code::READONLY | code::PERM => unavailable(path, "it cannot be written"),
        code::CANTOPEN => unavailable(path, "it cannot be opened"),
        // A file that says it is ours but lacks a table or column is damaged.
        _ if message.starts_with("no such") => StoreError::Corrupt {
            path,
            why: message.to_owned(),
        },
        _ => unavailable(path, message),
    }
}
