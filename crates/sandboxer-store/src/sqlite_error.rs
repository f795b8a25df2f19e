//! What SQLite says went wrong, as callers hear it.

use std::time::Duration;

use crate::error::StoreError;

/// How long one attempt waits for other processes.
pub(crate) const BUSY: Duration = Duration::from_secs(10);

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
