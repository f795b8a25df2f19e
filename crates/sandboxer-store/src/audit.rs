//! Who did what: a log that is only added to. Each row is bound to the one before it by a digest, so that a row that was
//! changed, taken out or put in later shows.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Row, params};
use sandboxer_api::audit::{AuditRow, AuditVerdict, BrokenRow};
use serde::Serialize;

use crate::commit::Durability;
use crate::damage;
use crate::error::StoreError;
use crate::open::Store;

/// Rows that are read at once while the log is verified.
const AT_ONCE: u32 = 5_000;
const ROW: &str = "SELECT seq, at, action, object, key_id, name, project, address, request_id, status, previous, digest \
                   FROM audit";

/// What is to be written down: everything of a row that the log itself does not give.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditEntry {
    /// What was asked for, such as `sandbox.create`.
    pub action: String,
    /// On what.
    pub object: Option<String>,
    /// With which key; none: on the server's machine, or none that is known.
    pub key_id: Option<String>,
    /// The subject of the key.
    pub name: Option<String>,
    /// The project of the key.
    pub project: Option<String>,
    /// From where.
    pub address: Option<String>,
    /// The request.
    pub request_id: Option<String>,
    /// The status that was answered, as HTTP says it.
    pub status: u16,
}

impl Store {
    /// Adds a row to the audit log.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn record(&self, entry: AuditEntry) -> Result<(), StoreError> {
        self.change(Durability::Acknowledged, move |store, transaction| {
            let wrong = |error: rusqlite::Error| store.classify(&error);
            let last = transaction
                .prepare_cached("SELECT seq, digest FROM audit ORDER BY seq DESC LIMIT 1")
                .and_then(|mut statement| {
                    statement
                        .query_row((), |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))
                        .optional()
                })
                .map_err(wrong)?;
            let (seq, previous) = last.unwrap_or_else(|| (0, digest_of_nothing()));
            // As precise as it is stored, or the digest would not fit.
            let at = Timestamp::from_microsecond(store.clock().now().as_microsecond()).unwrap_or_default();
            let mut row = AuditRow {
                seq: u64::try_from(seq).unwrap_or(0) + 1,
                at,
                action: entry.action,
                object: entry.object,
                key_id: entry.key_id,
                name: entry.name,
                project: entry.project,
                address: entry.address,
                request_id: entry.request_id,
                status: entry.status,
                previous,
                digest: String::new(),
            };
            row.digest = store.digest(&row)?;
            transaction
                .prepare_cached(
                    "INSERT INTO audit (seq, at, action, object, key_id, name, project, address, request_id, status, \
                     previous, digest) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
                )
                .and_then(|mut statement| {
                    statement.execute(params![
                        seq + 1,
                        row.at.as_microsecond(),
                        row.action,
                        row.object,
                        row.key_id,
                        row.name,
                        row.project,
                        row.address,
                        row.request_id,
                        row.status,
                        row.previous,
                        row.digest,
                    ])
                })
                .map_err(wrong)?;
            Ok(())
        })
        .await
    }

    /// Rows of the audit log before this number, or the last ones, newest first.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn audit(&self, before: Option<u64>, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        let before = before.and_then(|seq| i64::try_from(seq).ok()).unwrap_or(i64::MAX);
        let sql = format!("{ROW} WHERE seq < $1 ORDER BY seq DESC LIMIT $2");
        self.readable(&damage::AUDIT, &sql, params![before, limit], |row| self.read_audit(row))
    }

    /// Reads the whole log and says whether each row is as it was written. Rows that were cut off at the end leave no trace
    /// in it: compare the last digest with one that was kept elsewhere.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn verify_audit(&self) -> Result<AuditVerdict, StoreError> {
        let sql = format!("{ROW} WHERE seq > $1 ORDER BY seq LIMIT $2");
        let (mut rows, mut last, mut read_to) = (0, None, i64::MIN);
        loop {
            let some = self.rows(&sql, params![read_to, AT_ONCE], |row| {
                let seq: i64 = self.number(row, "seq")?;
                match self.read_audit(row) {
                    Ok(read) => Ok((seq, Ok(read))),
                    Err(StoreError::Corrupt { why, .. }) => Ok((seq, Err(why))),
                    Err(error) => Err(error),
                }
            })?;
            if some.is_empty() {
                return Ok(AuditVerdict {
                    intact: true,
                    rows,
                    last,
                    broken: None,
                });
            }
            for (seq, read) in some {
                rows += 1;
                read_to = seq;
                if let Err(why) = read.and_then(|row| self.check(&row, rows, &mut last)) {
                    return Ok(AuditVerdict {
                        intact: false,
                        rows,
                        last,
                        broken: Some(BrokenRow {
                            seq: u64::try_from(seq).unwrap_or(0),
                            why,
                        }),
                    });
                }
            }
        }
    }

    /// Whether this is the row that belongs here, after one with the digest `last`.
    fn check(&self, row: &AuditRow, seq: u64, last: &mut Option<String>) -> Result<(), String> {
        if row.seq != seq {
            return Err(format!("row {seq} is missing before it"));
        }
        if row.previous != last.take().unwrap_or_else(digest_of_nothing) {
            return Err("it does not follow the row before it".to_owned());
        }
        match self.digest(row) {
            Ok(digest) if digest == row.digest => {
                *last = Some(digest);
                Ok(())
            }
            Ok(_) => Err("its digest is not that of what it says".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The digest over the one before and what the row says.
    fn digest(&self, row: &AuditRow) -> Result<String, StoreError> {
        /// What a row says, in a fixed order.
        #[derive(Serialize)]
        struct Said<'a> {
            seq: u64,
            at: i64,
            action: &'a str,
            object: &'a Option<String>,
            key_id: &'a Option<String>,
            name: &'a Option<String>,
            project: &'a Option<String>,
            address: &'a Option<String>,
            request_id: &'a Option<String>,
            status: u16,
        }
        let said = self.json(&Said {
            seq: row.seq,
            at: row.at.as_microsecond(),
            action: &row.action,
            object: &row.object,
            key_id: &row.key_id,
            name: &row.name,
            project: &row.project,
            address: &row.address,
            request_id: &row.request_id,
            status: row.status,
        })?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(row.previous.as_bytes()).update(said.as_bytes());
        Ok(format!("blake3:{}", hasher.finalize().to_hex()))
    }

    pub(crate) fn read_audit(&self, row: &Row<'_>) -> Result<AuditRow, StoreError> {
        let status = self.unsigned(row, "status")?;
        Ok(AuditRow {
            seq: self.unsigned(row, "seq")?,
            at: self.time(row, "at")?,
            action: self.text(row, "action")?,
            object: self.optional(row, "object")?,
            key_id: self.optional(row, "key_id")?,
            name: self.optional(row, "name")?,
            project: self.optional(row, "project")?,
            address: self.optional(row, "address")?,
            request_id: self.optional(row, "request_id")?,
            status: u16::try_from(status).map_err(|_| self.corrupt(format!("`{status}` is no status")))?,
            previous: self.text(row, "previous")?,
            digest: self.text(row, "digest")?,
        })
    }
}

fn digest_of_nothing() -> String {
    format!("blake3:{}", blake3::hash(b"").to_hex())
}
