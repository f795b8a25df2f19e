//! Making, checking and opening the database.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sandboxer_extension::port::{Clock, IdSource};
use sandboxer_model::id::InstallationId;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, Row as _, SqliteConnection};
use tokio::sync::{Mutex, MutexGuard};

use crate::commit::Durability;
use crate::error::StoreError;
use crate::schema;

/// How long one attempt waits for other processes.
const BUSY: Duration = Duration::from_secs(10);
/// Attempts to open before giving up on other processes.
const OPEN_ATTEMPTS: u32 = 5;
const FILE: &str = "sandboxer.db";

/// The durable memory of one installation. Cheap to clone; clones share one connection.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    connection: Mutex<Connection>,
    clock: Arc<dyn Clock>,
    installation_id: InstallationId,
    path: String,
}

/// The connection and what it was left with.
pub(crate) struct Connection {
    pub(crate) sqlite: SqliteConnection,
    /// A transaction was begun and its end was not seen: a caller went away in the middle.
    pub(crate) in_doubt: bool,
    pub(crate) durability: Durability,
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
        let name = path.display().to_string();
        let mut attempt = 0;
        loop {
            attempt += 1;
            match connect(&path).await {
                Ok((sqlite, installation_id)) => return Ok(Store::over(sqlite, clock, installation_id, name)),
                Err(_) if attempt < OPEN_ATTEMPTS && is_missing(&path) => create(data_dir, &path, ids.as_ref()).await?,
                // It was made between the two looks; or a process that closes the last connection holds it for a moment
                // in which waiting is not offered. A file that really cannot be opened costs a few short tries.
                Err(StoreError::Unavailable { .. } | StoreError::Locked { .. }) if attempt < OPEN_ATTEMPTS => {
                    clock.sleep(Duration::from_millis(5)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// A store that lives as long as the value, for tests.
    ///
    /// # Errors
    /// Those of SQLite.
    pub async fn open_in_memory(clock: Arc<dyn Clock>, ids: Arc<dyn IdSource>) -> Result<Store, StoreError> {
        let name = ":memory:".to_owned();
        let options = options().filename(&name).create_if_missing(true);
        let mut sqlite = SqliteConnection::connect_with(&options)
            .await
            .map_err(|error| classify(&error, &name))?;
        let id = InstallationId::from_uuid(ids.uuid());
        lay_tables(&mut sqlite, &id)
            .await
            .map_err(|error| classify(&error, &name))?;
        Ok(Store::over(sqlite, clock, id, name))
    }

    fn over(sqlite: SqliteConnection, clock: Arc<dyn Clock>, installation_id: InstallationId, path: String) -> Store {
        let connection = Mutex::new(Connection {
            sqlite,
            in_doubt: false,
            durability: Durability::CrashOnly,
        });
        Store {
            inner: Arc::new(Inner {
                connection,
                clock,
                installation_id,
                path,
            }),
        }
    }

    /// The owner written on everything this installation creates.
    pub fn installation_id(&self) -> &InstallationId {
        &self.inner.installation_id
    }

    /// The file, for messages.
    pub fn path(&self) -> &str {
        &self.inner.path
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        self.inner.clock.as_ref()
    }

    /// The connection, with no transaction open on it.
    pub(crate) async fn connection(&self) -> Result<MutexGuard<'_, Connection>, StoreError> {
        let mut connection = self.inner.connection.lock().await;
        if connection.in_doubt {
            // Refused when the transaction did end, which is as good.
            let _ = (&mut connection.sqlite).execute("ROLLBACK").await;
            connection.in_doubt = false;
        }
        Ok(connection)
    }

    pub(crate) fn classify(&self, error: &sqlx::Error) -> StoreError {
        classify(error, &self.inner.path)
    }

    pub(crate) fn corrupt(&self, why: impl Into<String>) -> StoreError {
        StoreError::Corrupt {
            path: self.inner.path.clone(),
            why: why.into(),
        }
    }
}

fn options() -> SqliteConnectOptions {
    use sqlx::ConnectOptions as _;
    SqliteConnectOptions::new()
        .busy_timeout(BUSY)
        .synchronous(SqliteSynchronous::Normal)
        .pragma("wal_autocheckpoint", schema::LOG_PAGES.to_string())
        .disable_statement_logging()
}

/// Opens an existing file and makes sure that it is ours, whole and of this version.
async fn connect(path: &Path) -> Result<(SqliteConnection, InstallationId), StoreError> {
    let name = path.display().to_string();
    let wrong = |error: &sqlx::Error| classify(error, &name);
    let mut sqlite = SqliteConnection::connect_with(&options().filename(path))
        .await
        .map_err(|e| wrong(&e))?;
    // One round trip on the hot path. When the last part fails, the first two are asked alone to tell why.
    let whole = sqlx::raw_sql(
        "PRAGMA application_id; PRAGMA user_version; SELECT value FROM meta WHERE key = 'installation_id'",
    );
    let (rows, failure) = match whole.fetch_all(&mut sqlite).await {
        Ok(rows) => (rows, None),
        Err(error) => {
            let header = sqlx::raw_sql("PRAGMA application_id; PRAGMA user_version");
            (
                header.fetch_all(&mut sqlite).await.map_err(|e| wrong(&e))?,
                Some(wrong(&error)),
            )
        }
    };
    let number = |index: usize| {
        rows.get(index)
            .and_then(|row| row.try_get::<i64, _>(0).ok())
            .unwrap_or(0)
    };
    let (application, version) = (number(0), number(1));
    if application != schema::APPLICATION_ID {
        return Err(StoreError::Foreign {
            path: name,
            why: "another program made it".to_owned(),
            newer: false,
        });
    }
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
    if let Some(error) = failure {
        return Err(error);
    }
    let id = rows
        .get(2)
        .and_then(|row| row.try_get::<String, _>(0).ok())
        .and_then(|text| text.parse().ok());
    match id {
        Some(id) => Ok((sqlite, id)),
        None => Err(StoreError::Corrupt {
            path: name,
            why: "it does not name its installation".to_owned(),
        }),
    }
}

/// Makes the whole database beside its place and links it there in one step, so that of many processes that come first
/// at once exactly one wins and none sees a half-made file.
async fn create(data_dir: &Path, path: &Path, ids: &dyn IdSource) -> Result<(), StoreError> {
    let unavailable = |why: std::io::Error| StoreError::Unavailable {
        path: path.display().to_string(),
        why: reason(&why),
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
    let options = options()
        .filename(&draft.0)
        .create_if_missing(true)
        .synchronous(SqliteSynchronous::Full)
        .journal_mode(SqliteJournalMode::Wal);
    let name = path.display().to_string();
    let wrong = |error: sqlx::Error| classify(&error, &name);
    let mut sqlite = SqliteConnection::connect_with(&options).await.map_err(wrong)?;
    lay_tables(&mut sqlite, &id).await.map_err(wrong)?;
    // Closing folds the log into the file: what is linked is complete.
    sqlite.close().await.map_err(wrong)?;
    match std::fs::hard_link(&draft.0, path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(unavailable(error)),
        _ => {}
    }
    std::fs::File::open(data_dir)
        .and_then(|dir| dir.sync_all())
        .map_err(unavailable)
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

async fn lay_tables(sqlite: &mut SqliteConnection, id: &InstallationId) -> Result<(), sqlx::Error> {
    let sql = format!(
        "BEGIN IMMEDIATE; {} INSERT INTO meta (key, value) VALUES ('installation_id', '{id}'); \
         PRAGMA application_id = {}; PRAGMA user_version = {}; COMMIT",
        schema::TABLES,
        schema::APPLICATION_ID,
        schema::VERSION
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(sqlite).await.map(|_| ())
}

fn is_missing(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

fn reason(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        ErrorKind::ReadOnlyFilesystem => "the file system is read-only".to_owned(),
        ErrorKind::StorageFull => "the disk is full".to_owned(),
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => "its directory is not a directory".to_owned(),
        _ => error.to_string(),
    }
}

/// SQLite's primary result codes, from its documentation.
mod code {
    pub(super) const PERM: i64 = 3;
    pub(super) const BUSY: i64 = 5;
    pub(super) const LOCKED: i64 = 6;
    pub(super) const READONLY: i64 = 8;
    pub(super) const CORRUPT: i64 = 11;
    pub(super) const FULL: i64 = 13;
    pub(super) const CANTOPEN: i64 = 14;
    pub(super) const NOTADB: i64 = 26;
}

/// The primary result code of SQLite, where the error has one.
pub(crate) fn sqlite_code(error: &sqlx::Error) -> Option<i64> {
    error
        .as_database_error()
        .and_then(|error| error.code())
        .and_then(|code| code.parse().ok())
}

fn classify(error: &sqlx::Error, path: &str) -> StoreError {
    let path = path.to_owned();
    let primary = sqlite_code(error).map(|code| code & 0xff);
    let unavailable = |path, why: &str| StoreError::Unavailable {
        path,
        why: why.to_owned(),
    };
    match primary {
        Some(code::BUSY | code::LOCKED) => StoreError::Locked {
            path,
            seconds: BUSY.as_secs(),
        },
        Some(code::CORRUPT) => StoreError::Corrupt {
            path,
            why: "its pages do not fit together".to_owned(),
        },
        Some(code::NOTADB) => StoreError::Corrupt {
            path,
            why: "the file is not a database".to_owned(),
        },
        Some(code::FULL) => unavailable(path, "the disk is full"),
        Some(code::READONLY | code::PERM) => unavailable(path, "it cannot be written"),
        Some(code::CANTOPEN) => unavailable(path, "it cannot be opened"),
        _ => match error.as_database_error() {
            // A file that says it is ours but lacks a table or column is damaged.
            Some(database) if database.message().starts_with("no such") => StoreError::Corrupt {
                path,
                why: database.message().to_owned(),
            },
            Some(database) => unavailable(path, database.message()),
            None => unavailable(path, &error.to_string()),
        },
    }
}
