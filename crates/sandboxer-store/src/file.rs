//! The file: making it whole, checking that it is ours, and leading the tables of an older release up.

use std::path::{Path, PathBuf};

use rusqlite::OpenFlags;
use rusqlite::config::DbConfig;
use sandboxer_extension::port::IdSource;
use sandboxer_model::id::InstallationId;

use crate::error::StoreError;
use crate::schema;
use crate::sqlite_error::{BUSY, classify};

/// Its name.
pub(crate) const FILE: &str = "sandboxer.db";
/// Statements that each connection keeps ready.
pub(crate) const STATEMENTS: usize = 128;

/// One user at a time (our mutex sees to it), nothing shared with other connections of the process.
pub(crate) const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE
    .union(OpenFlags::SQLITE_OPEN_NO_MUTEX)
    .union(OpenFlags::SQLITE_OPEN_PRIVATE_CACHE);

/// What a connection needs before its first statement.
pub(crate) fn set_up(sqlite: &rusqlite::Connection) -> rusqlite::Result<()> {
    sqlite.busy_timeout(BUSY)?;
    sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true)?;
    // A statement that is kept stays as it was prepared, whatever values it is given.
    sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    sqlite.set_prepared_statement_cache_capacity(STATEMENTS);
    sqlite.execute_batch(schema::SET_UP)
}

pub(crate) fn open_file(path: &Path, flags: OpenFlags) -> rusqlite::Result<rusqlite::Connection> {
    // A relative name that starts with `file:` would be read as an address.
    let sqlite = rusqlite::Connection::open_with_flags(Path::new(".").join(path), flags)?;
    set_up(&sqlite)?;
    Ok(sqlite)
}

/// A connection that only reads.
pub(crate) fn open_reader(path: &Path) -> rusqlite::Result<rusqlite::Connection> {
    let sqlite = open_file(path, FLAGS)?;
    sqlite.execute_batch(schema::SHARED_READER)?;
    sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(sqlite)
}

/// Opens an existing file and makes sure that it is ours, whole and of this version.
pub(crate) fn connect(path: &Path) -> Result<(rusqlite::Connection, InstallationId), StoreError> {
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
pub(crate) fn create(data_dir: &Path, path: &Path, ids: &dyn IdSource) -> Result<(), StoreError> {
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

pub(crate) fn lay_tables(sqlite: &rusqlite::Connection, id: &InstallationId) -> rusqlite::Result<()> {
    sqlite.execute_batch(&format!(
        "BEGIN IMMEDIATE; {} INSERT INTO meta (key, value) VALUES ('installation_id', '{id}'); \
         PRAGMA application_id = {}; PRAGMA user_version = {}; COMMIT",
        schema::STEPS.concat(),
        schema::APPLICATION_ID,
        schema::VERSION
    ))
}

pub(crate) fn is_missing(path: &Path) -> bool {
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
