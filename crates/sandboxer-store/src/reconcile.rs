//! Whose turn it is to look, what each look came to, and what was seen once.
//!
//! None of it is the truth about a sandbox: it may be lost with the power of the machine, and is then found again.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use rusqlite::{Row, Transaction, TransactionBehavior, params};
use sandboxer_model::id::SandboxId;

use crate::commit::Durability;
use crate::damage;
use crate::error::StoreError;
use crate::open::{Connection, Store};

pub(crate) const TURN: &str = "SELECT name, lease_owner, lease_until, due_at, revision, report FROM reconciler";

/// One reconciler as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Its name.
    pub name: String,
    /// The process that runs it now; empty: nobody.
    pub lease_owner: String,
    /// Until when an owner that cannot be asked is believed.
    pub lease_until: Timestamp,
    /// When it is to run again.
    pub due_at: Timestamp,
    /// What its last run came to, as JSON; `None`: it never ended one.
    pub report: Option<String>,
    revision: i64,
}

/// The right to run a reconciler, held until it is given back or its lease ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnLease {
    name: String,
    revision: i64,
}

/// Something that was seen, and must be seen again before anybody acts on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// What, by a name that stays the same from look to look.
    pub thing: String,
    /// When it was first seen.
    pub first_at: Timestamp,
    /// When it was last seen.
    pub last_at: Timestamp,
    /// In how many looks.
    pub times: u64,
    /// What was seen of it last.
    pub why: String,
}

impl Store {
    /// Every reconciler that ever ran, in order of name.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn turns(&self) -> Result<Vec<Turn>, StoreError> {
        self.readable(&damage::RECONCILERS, &format!("{TURN} ORDER BY name"), (), |row| {
            self.read_turn(row)
        })
    }

    /// One reconciler; `None`: it never ran.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn turn(&self, name: &str) -> Result<Option<Turn>, StoreError> {
        let read = self.one_of(
            &damage::RECONCILERS,
            &format!("{TURN} WHERE name = $1"),
            [name],
            |row| self.read_turn(row),
        );
        if !matches!(read, Err(StoreError::Damaged { .. })) {
            return read;
        }
        // It says nothing that cannot be found out again, and in the way it would keep everybody from looking.
        self.change_looks(|transaction| transaction.execute("DELETE FROM reconciler WHERE name = $1", [name]))?;
        Ok(None)
    }

    pub(crate) fn read_turn(&self, row: &Row<'_>) -> Result<Turn, StoreError> {
        Ok(Turn {
            name: self.text(row, "name")?,
            lease_owner: self.text(row, "lease_owner")?,
            lease_until: self.time(row, "lease_until")?,
            due_at: self.time(row, "due_at")?,
            report: self.optional(row, "report")?,
            revision: self.number(row, "revision")?,
        })
    }

    /// Writes down what a run came to that needed no lease, unless somebody wrote since `seen` was read; `seen`: `None`
    /// where there was no row.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn note_run(
        &self,
        name: &str,
        seen: Option<&Turn>,
        report: &str,
        due_at: Timestamp,
    ) -> Result<(), StoreError> {
        self.change_looks(|transaction| match seen {
            None => transaction.execute(
                "INSERT INTO reconciler (name, lease_owner, lease_until, due_at, revision, report) \
                 VALUES ($1, '', 0, $2, 1, $3) ON CONFLICT (name) DO NOTHING",
                params![name, due_at.as_microsecond(), report],
            ),
            Some(turn) => transaction.execute(
                "UPDATE reconciler SET due_at = $1, report = $2, revision = revision + 1 \
                 WHERE name = $3 AND revision = $4",
                params![due_at.as_microsecond(), report, name, turn.revision],
            ),
        })?;
        Ok(())
    }

    /// Takes the turn that was read, if nobody else did meanwhile; `seen`: `None` where there was no row.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn claim_turn(
        &self,
        name: &str,
        seen: Option<&Turn>,
        me: &str,
        until: Timestamp,
    ) -> Result<Option<TurnLease>, StoreError> {
        let revision = seen.map_or(1, |turn| turn.revision + 1);
        let rows = self.change_looks(|transaction| match seen {
            None => transaction.execute(
                "INSERT INTO reconciler (name, lease_owner, lease_until, due_at, revision, report) \
                 VALUES ($1, $2, $3, 0, 1, NULL) ON CONFLICT (name) DO NOTHING",
                params![name, me, until.as_microsecond()],
            ),
            Some(turn) => transaction.execute(
                "UPDATE reconciler SET lease_owner = $1, lease_until = $2, revision = $3 \
                 WHERE name = $4 AND revision = $5",
                params![me, until.as_microsecond(), revision, name, turn.revision],
            ),
        })?;
        Ok((rows == 1).then(|| TurnLease {
            name: name.to_owned(),
            revision,
        }))
    }

    /// Gives a turn back with what came of it. `false`: the lease had ended and somebody else took the turn; nothing was
    /// written.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn give_back(&self, claim: TurnLease, report: &str, due_at: Timestamp) -> Result<bool, StoreError> {
        let rows = self.change_looks(|transaction| {
            transaction.execute(
                "UPDATE reconciler SET lease_owner = '', lease_until = 0, due_at = $1, report = $2, \
                 revision = revision + 1 WHERE name = $3 AND revision = $4",
                params![due_at.as_microsecond(), report, claim.name, claim.revision],
            )
        })?;
        Ok(rows == 1)
    }

    /// What was seen about one topic.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn sightings(&self, topic: &str) -> Result<Vec<Sighting>, StoreError> {
        let sql = "SELECT topic, thing, first_at, last_at, times, why FROM sighting WHERE topic = $1 ORDER BY thing";
        self.readable(&damage::SIGHTINGS, sql, [topic], |row| self.read_sighting(row))
    }

    pub(crate) fn read_sighting(&self, row: &Row<'_>) -> Result<Sighting, StoreError> {
        Ok(Sighting {
            thing: self.text(row, "thing")?,
            first_at: self.time(row, "first_at")?,
            last_at: self.time(row, "last_at")?,
            times: self.unsigned(row, "times")?,
            why: self.text(row, "why")?,
        })
    }

    /// Notes what one look saw, as `(thing, why)`, and forgets what it proved to be otherwise. A first look that a clock
    /// set back since has put into the future counts from now.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn note_sightings(
        &self,
        topic: &str,
        seen: &[(String, String)],
        otherwise: &[String],
    ) -> Result<(), StoreError> {
        if seen.is_empty() && otherwise.is_empty() {
            return Ok(());
        }
        let now = self.clock().now().as_microsecond();
        self.change_looks(|transaction| {
            for thing in otherwise {
                transaction
                    .prepare_cached("DELETE FROM sighting WHERE topic = $1 AND thing = $2")?
                    .execute(params![topic, thing])?;
            }
            for (thing, why) in seen {
                transaction
                    .prepare_cached(
                        "INSERT INTO sighting (topic, thing, first_at, last_at, times, why) VALUES ($1, $2, $3, $3, 1, $4) \
                         ON CONFLICT (topic, thing) DO UPDATE SET first_at = MIN(first_at, excluded.first_at), \
                         last_at = excluded.last_at, times = times + 1, why = excluded.why",
                    )?
                    .execute(params![topic, thing, now, why])?;
            }
            Ok(())
        })
    }

    /// Notes that these sandboxes were seen alive at this time. It never moves back.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn note_alive(&self, ids: &[SandboxId], at: Timestamp) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        self.change_looks(|transaction| {
            for id in ids {
                transaction
                    .prepare_cached(
                        "INSERT INTO alive (sandbox_id, at) VALUES ($1, $2) \
                         ON CONFLICT (sandbox_id) DO UPDATE SET at = MAX(at, excluded.at)",
                    )?
                    .execute(params![id.as_str(), at.as_microsecond()])?;
            }
            Ok(())
        })
    }

    /// When a sweep last saw this sandbox alive.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn last_seen_alive(&self, id: &SandboxId) -> Result<Option<Timestamp>, StoreError> {
        let sql = "SELECT sandbox_id, at FROM alive WHERE sandbox_id = $1";
        let seen = self.readable(&damage::ALIVE, sql, [id.as_str()], |row| self.time(row, "at"))?;
        Ok(seen.into_iter().next())
    }

    /// When each usable sandbox was last seen alive by a sweep.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn seen_alive(&self) -> Result<BTreeMap<SandboxId, Timestamp>, StoreError> {
        let sql = "SELECT sandbox_id, at FROM sandbox JOIN alive ON sandbox_id = id \
                   WHERE state <> 'destroyed' AND state IN ('ready', 'active')";
        let pairs = self.readable(&damage::ALIVE, sql, (), |row| {
            let id = self.text(row, "sandbox_id")?;
            let id = id
                .parse()
                .map_err(|_| self.corrupt(format!("`{id}` is no sandbox id")))?;
            Ok((id, self.time(row, "at")?))
        })?;
        Ok(pairs.into_iter().collect())
    }

    /// A number that is another one after another process wrote something: the cheapest way to be nudged. While this process
    /// writes, it is the one that was said last.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn data_version(&self) -> Result<i64, StoreError> {
        let said = self.said_version();
        // Only the connection that writes does not take its own writes for another's.
        if let Some(turn) = self.writing_if_free() {
            let version = turn
                .sqlite
                .prepare_cached("PRAGMA data_version")
                .and_then(|mut statement| statement.query_row((), |row| row.get(0)))
                .map_err(|error| self.classify(&error))?;
            said.store(version, Ordering::Relaxed);
        }
        Ok(said.load(Ordering::Relaxed))
    }

    /// One transaction about looks.
    fn change_looks<T>(&self, work: impl Fn(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let mut turn = self.writing();
        let connection: &mut Connection = &mut turn;
        let done = (|| {
            connection.keep(Durability::CrashOnly)?;
            let transaction = connection
                .sqlite
                .transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        })();
        done.map_err(|error| self.classify(&error))
    }
}
