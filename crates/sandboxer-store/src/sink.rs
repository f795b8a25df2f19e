//! Where events are sent, and how each of these places does.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Row, Transaction, params};
use sandboxer_model::sink::{STATE_HUB, Sink, SinkKind, SinkState, SinkStatus};

use crate::commit::Durability;
use crate::damage;
use crate::error::StoreError;
use crate::open::Store;
use crate::outbox::{LEASE, spread_all};

/// A time further away than this was written under another calendar: no pause is that long.
pub(crate) const FAR: Duration = Duration::from_secs(25 * 3600);
pub(crate) const SINK: &str =
    "SELECT id, kind, state, secret, failures, paused_until, slow_until, last_error, record FROM sink";

/// What messages to a webhook are signed with. Never printed by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A sink, and what whoever sends there needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueSink {
    /// The sink.
    pub sink: Sink,
    /// What messages are signed with.
    pub secret: Option<Secret>,
    /// How it did.
    pub breaker: Breaker,
}

/// How a sink did: what keeps a dead one from being asked for each event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breaker {
    /// Failures since something was last delivered.
    pub failures: u32,
    /// Until when nothing is sent.
    pub paused_until: Timestamp,
    /// Until when nobody who is in a hurry sends anything.
    pub slow_until: Timestamp,
}

/// What delivery finds to do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outstanding {
    /// Sinks that something is due for, or may be once the outbox is spread.
    pub sinks: Vec<DueSink>,
    /// Whether the outbox holds anything.
    pub fresh: bool,
}

impl Store {
    /// Makes a sink known: from here on events are kept for it. One that is known keeps its place in the history, whatever
    /// its address.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn keep_sink(&self, sink: &Sink, secret: Option<&Secret>) -> Result<(), StoreError> {
        let known = self.one_of(
            &damage::SINKS,
            "SELECT id, record FROM sink WHERE id = $1",
            [&sink.sink_id],
            |row| self.parse::<Sink>(&self.text(row, "record")?),
        );
        let is_damaged = matches!(known, Err(StoreError::Damaged { .. }));
        if !is_damaged && known?.is_some_and(|known| known.url == sink.url) {
            return Ok(());
        }
        self.transact(Durability::Acknowledged, |transaction| {
            // What is in the outbox happened before it came.
            spread_all(self, transaction)?;
            if is_damaged {
                // Everything about it is known here, and in the way it would keep its caller from any work.
                transaction
                    .execute("DELETE FROM sink WHERE id = $1", [&sink.sink_id])
                    .map_err(|error| self.classify(&error))?;
            }
            transaction
                .execute(
                    "INSERT INTO sink (id, kind, state, secret, failures, paused_until, slow_until, record) \
                     VALUES ($1, $2, $3, $4, 0, 0, 0, $5) ON CONFLICT (id) DO UPDATE SET failures = 0, paused_until = 0, \
                     slow_until = 0, last_error = NULL, record = excluded.record",
                    params![
                        sink.sink_id,
                        sink.kind.name(),
                        sink.state.name(),
                        secret.map(|secret| &secret.0),
                        self.json(sink)?
                    ],
                )
                .map_err(|error| self.classify(&error))?;
            Ok(())
        })
    }

    /// Every sink in order of id, and how delivery stands.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn sinks(&self) -> Result<Vec<SinkStatus>, StoreError> {
        let sql = "SELECT id, record, state, paused_until, last_error, \
                   (SELECT COUNT(*) FROM delivery WHERE sink_id = id AND due_at IS NOT NULL) AS waiting, \
                   (SELECT COUNT(*) FROM delivery WHERE sink_id = id AND due_at IS NULL) AS dead, \
                   (SELECT COUNT(*) FROM outbox WHERE NOT EXISTS (SELECT 1 FROM delivery WHERE sink_id = sink.id \
                   AND sandbox_id = outbox.sandbox_id)) AS fresh FROM sink ORDER BY id";
        let now = self.clock().now();
        self.readable(&damage::SINKS, sql, (), |row| {
            let count = |column| self.number(row, column).map(|n| u64::try_from(n).unwrap_or(0));
            let paused_until = self.time(row, "paused_until")?;
            Ok(SinkStatus {
                sink: self.read_sink(row)?,
                // What was not spread yet waits for every sink.
                waiting: count("waiting")? + count("fresh")?,
                dead: count("dead")?,
                paused_until: (paused_until > now).then_some(paused_until),
                last_error: self.optional(row, "last_error")?,
            })
        })
    }

    /// One sink, with its secret.
    ///
    /// # Errors
    /// `NotFound`, and those of the file.
    pub async fn sink(&self, id: &str) -> Result<DueSink, StoreError> {
        let found = self.one_of(&damage::SINKS, &format!("{SINK} WHERE id = $1"), [id], |row| {
            self.read_due_sink(row)
        })?;
        found.ok_or_else(|| no_such_sink(id))
    }

    /// Changes whether anything is sent to a sink.
    ///
    /// # Errors
    /// `NotFound`, and those of the file.
    pub async fn switch_sink(&self, id: &str, state: SinkState, reason: Option<&str>) -> Result<Sink, StoreError> {
        self.transact(Durability::Acknowledged, |transaction| {
            let wrong = |error: rusqlite::Error| self.classify(&error);
            let record: Option<String> = transaction
                .query_row("SELECT record FROM sink WHERE id = $1", [id], |row| row.get(0))
                .optional()
                .map_err(wrong)?;
            let mut sink: Sink = self.parse(&record.ok_or_else(|| no_such_sink(id))?)?;
            sink.state = state;
            sink.reason = reason.map(str::to_owned);
            transaction
                .execute(
                    "UPDATE sink SET state = $1, record = $2, failures = 0, paused_until = 0 WHERE id = $3",
                    params![state.name(), self.json(&sink)?, id],
                )
                .map_err(wrong)?;
            Ok(sink)
        })
    }

    /// Forgets a sink and what was still to be sent there.
    ///
    /// # Errors
    /// `NotFound`, and those of the file.
    pub async fn remove_sink(&self, id: &str) -> Result<(), StoreError> {
        self.transact(Durability::Acknowledged, |transaction| {
            let wrong = |error: rusqlite::Error| self.classify(&error);
            if transaction
                .execute("DELETE FROM sink WHERE id = $1", [id])
                .map_err(wrong)?
                == 0
            {
                return Err(no_such_sink(id));
            }
            transaction
                .execute("DELETE FROM delivery WHERE sink_id = $1", [id])
                .map_err(wrong)?;
            // Nobody waits for it: the next sink begins with what happens after it came.
            transaction
                .execute("DELETE FROM outbox WHERE NOT EXISTS (SELECT 1 FROM sink)", ())
                .map_err(wrong)?;
            Ok(())
        })
    }

    /// What there is to deliver: one query, whose answer is empty where nothing is to be sent. A hub that this process does not
    /// know is left to those that do.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn outstanding(&self, hub: bool) -> Result<Outstanding, StoreError> {
        // Where nobody listens, not even the question is worth its parsing.
        if self.one("SELECT 1 FROM sink LIMIT 1", (), |_| Ok(()))?.is_none() {
            return Ok(Outstanding::default());
        }
        let now = self.clock().now();
        let (now, soon, far) = (micros(now), micros(now + LEASE), micros(now + FAR));
        let sql = "SELECT id, kind, state, secret, failures, paused_until, slow_until, last_error, record, \
                   EXISTS (SELECT 1 FROM outbox) AS fresh FROM sink \
                   WHERE state = 'active' AND (paused_until <= $1 OR paused_until > $2) AND (id <> $3 OR $4) \
                   AND (EXISTS (SELECT 1 FROM outbox) \
                   OR EXISTS (SELECT 1 FROM delivery WHERE sink_id = sink.id AND due_at <= $5 \
                   AND (due_at <= $1 OR lease_owner <> '')) \
                   OR EXISTS (SELECT 1 FROM delivery WHERE sink_id = sink.id AND due_at > $2)) ORDER BY id";
        let rows = self.readable(&damage::SINKS, sql, params![now, far, STATE_HUB, hub, soon], |row| {
            Ok((self.read_due_sink(row)?, self.number(row, "fresh")?))
        })?;
        let fresh = rows.iter().any(|(_, fresh)| *fresh != 0);
        let sinks = rows.into_iter().map(|(sink, _)| sink).collect();
        Ok(Outstanding { sinks, fresh })
    }

    /// A sink failed: nothing is sent there until `until`.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn pause_sink(&self, id: &str, until: Timestamp, error: &str) -> Result<(), StoreError> {
        self.note_on_sink(
            "UPDATE sink SET failures = failures + 1, paused_until = $1, last_error = $2 WHERE id = $3",
            params![micros(until), error, id],
        )
    }

    /// A sink failed over one event; others may do better.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn count_failure(&self, id: &str, error: &str) -> Result<(), StoreError> {
        self.note_on_sink(
            "UPDATE sink SET failures = failures + 1, last_error = $1 WHERE id = $2",
            params![error, id],
        )
    }

    /// A sink takes events again.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn trust_sink(&self, id: &str) -> Result<(), StoreError> {
        self.note_on_sink(
            "UPDATE sink SET failures = 0, paused_until = 0, last_error = NULL WHERE id = $1",
            params![id],
        )
    }

    /// A sink is too slow for whoever is in a hurry.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn call_slow(&self, id: &str, until: Timestamp) -> Result<(), StoreError> {
        self.note_on_sink(
            "UPDATE sink SET slow_until = $1 WHERE id = $2",
            params![micros(until), id],
        )
    }

    /// Of all who find that a sink's pause is over, one may try: whoever this says yes to. The others find it paused.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn may_try(&self, sink: &DueSink, until: Timestamp) -> Result<bool, StoreError> {
        let Breaker {
            failures, paused_until, ..
        } = &sink.breaker;
        self.transact(Durability::CrashOnly, |transaction| {
            let rows = transaction
                .execute(
                    "UPDATE sink SET paused_until = $1 WHERE id = $2 AND paused_until = $3 AND failures = $4",
                    params![micros(until), sink.sink.sink_id, micros(*paused_until), failures],
                )
                .map_err(|error| self.classify(&error))?;
            Ok(rows == 1)
        })
    }

    fn note_on_sink(&self, sql: &str, values: impl rusqlite::Params) -> Result<(), StoreError> {
        self.transact(Durability::CrashOnly, |transaction| {
            transaction
                .execute(sql, values)
                .map_err(|error| self.classify(&error))?;
            Ok(())
        })
    }

    fn read_sink(&self, row: &Row<'_>) -> Result<Sink, StoreError> {
        let mut sink: Sink = self.parse(&self.text(row, "record")?)?;
        if self.text(row, "id")? != sink.sink_id {
            return Err(self.corrupt(format!("its record is of `{}`", sink.sink_id)));
        }
        let state = self.text(row, "state")?;
        sink.state = SinkState::from_name(&state).ok_or_else(|| self.corrupt(format!("`{state}` is no sink state")))?;
        Ok(sink)
    }

    pub(crate) fn read_due_sink(&self, row: &Row<'_>) -> Result<DueSink, StoreError> {
        let kind = self.text(row, "kind")?;
        if SinkKind::from_name(&kind).is_none() {
            return Err(self.corrupt(format!("`{kind}` is no kind of sink")));
        }
        Ok(DueSink {
            sink: self.read_sink(row)?,
            secret: self.optional(row, "secret")?.map(Secret),
            breaker: Breaker {
                failures: u32::try_from(self.number(row, "failures")?).unwrap_or(0),
                paused_until: self.time(row, "paused_until")?,
                slow_until: self.time(row, "slow_until")?,
            },
        })
    }
}

pub(crate) fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

pub(crate) fn no_such_sink(id: &str) -> StoreError {
    StoreError::NotFound {
        what: "sink",
        name: id.to_owned(),
    }
}

/// Whether there is such a sink.
pub(crate) fn is_there(transaction: &Transaction<'_>, id: &str) -> rusqlite::Result<bool> {
    transaction.query_row("SELECT EXISTS (SELECT 1 FROM sink WHERE id = $1)", [id], |row| {
        row.get(0)
    })
}
