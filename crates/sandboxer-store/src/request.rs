//! Requests that were answered, so that the same request with the same key gets the same answer: for everything that is
//! asked for with an idempotency key, apart from creates, whose key belongs to their sandbox.

use rusqlite::{OptionalExtension as _, Row, params};

use crate::commit::Durability;
use crate::damage;
use crate::error::StoreError;
use crate::open::Store;

/// How long an answer is kept, in microseconds: a day.
const KEPT: i64 = 24 * 3_600 * 1_000_000;
const REQUEST: &str = "SELECT key, digest, owner, started_at, status, body FROM request";

/// An idempotency key and the request it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestKey {
    /// The key, with whatever keeps callers and operations apart.
    pub key: String,
    /// Digest of the request.
    pub digest: String,
}

/// What is known of a request that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// Nothing: it is the caller's to do, and to end or drop.
    New,
    /// It was done; this was answered.
    Answered {
        /// The status, as HTTP says it.
        status: u16,
        /// The body.
        body: String,
    },
    /// A process that lives is doing it.
    InFlight,
    /// A process that is dead began it; whether it was done cannot be told.
    InDoubt,
    /// The key stands for another request.
    Conflict,
}

/// A request as stored.
pub(crate) struct Stored {
    digest: String,
    owner: String,
    answer: Option<(u16, String)>,
}

impl Store {
    /// Begins a request for this process, unless it was begun before. Forgets those of more than a day ago.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn begin_request(
        &self,
        request: &RequestKey,
        me: &str,
        is_gone: &(dyn Fn(&str) -> bool + Sync),
    ) -> Result<Begun, StoreError> {
        let (asked, me) = (request.clone(), me.to_owned());
        let found = self
            .change(Durability::Acknowledged, move |store, transaction| {
                let wrong = |error: rusqlite::Error| store.classify(&error);
                let now = store.clock().now().as_microsecond();
                transaction
                    .prepare_cached("DELETE FROM request WHERE started_at < $1")
                    .and_then(|mut statement| statement.execute([now - KEPT]))
                    .map_err(wrong)?;
                let found = transaction
                    .prepare_cached(&format!("{REQUEST} WHERE key = $1"))
                    .and_then(|mut statement| {
                        statement
                            .query_row([&asked.key], |row| {
                                let read = store.read_request(row);
                                Ok(read.map_err(|error| store.in_row(&damage::REQUESTS, row, error)))
                            })
                            .optional()
                    })
                    .map_err(wrong)?
                    .transpose()?;
                if found.is_none() {
                    transaction
                        .prepare_cached("INSERT INTO request (key, digest, owner, started_at) VALUES ($1, $2, $3, $4)")
                        .and_then(|mut statement| statement.execute(params![asked.key, asked.digest, me, now]))
                        .map_err(wrong)?;
                }
                Ok(found)
            })
            .await?;
        Ok(match found {
            None => Begun::New,
            Some(stored) if stored.digest != request.digest => Begun::Conflict,
            Some(Stored {
                answer: Some((status, body)),
                ..
            }) => Begun::Answered { status, body },
            Some(stored) if is_gone(&stored.owner) => Begun::InDoubt,
            Some(_) => Begun::InFlight,
        })
    }

    /// Keeps the answer to a request that was begun.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn end_request(&self, key: &str, status: u16, body: &str) -> Result<(), StoreError> {
        let (key, body) = (key.to_owned(), body.to_owned());
        self.change(Durability::Acknowledged, move |store, transaction| {
            transaction
                .prepare_cached("UPDATE request SET status = $1, body = $2 WHERE key = $3 AND status IS NULL")
                .and_then(|mut statement| statement.execute(params![status, body, key]))
                .map_err(|error| store.classify(&error))?;
            Ok(())
        })
        .await
    }

    /// Forgets a request that was begun and did nothing: it may be made again.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn drop_request(&self, key: &str) -> Result<(), StoreError> {
        let key = key.to_owned();
        self.change(Durability::CrashOnly, move |store, transaction| {
            transaction
                .prepare_cached("DELETE FROM request WHERE key = $1 AND status IS NULL")
                .and_then(|mut statement| statement.execute([key]))
                .map_err(|error| store.classify(&error))?;
            Ok(())
        })
        .await
    }

    pub(crate) fn read_request(&self, row: &Row<'_>) -> Result<Stored, StoreError> {
        let status: Option<i64> = self.column(row, "status")?;
        let answer = match status {
            None => None,
            Some(status) => {
                let status = u16::try_from(status).map_err(|_| self.corrupt(format!("`{status}` is no status")))?;
                Some((status, self.optional(row, "body")?.unwrap_or_default()))
            }
        };
        Ok(Stored {
            digest: self.text(row, "digest")?,
            owner: self.text(row, "owner")?,
            answer,
        })
    }
}
