//! What is still to be sent: who sends it, and how far that got. Per sink and sandbox in order, and never more than one
//! process at a time.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Row, Transaction, params};
use sandboxer_model::event::Event;
use sandboxer_model::id::SandboxId;

use crate::commit::Durability;
use crate::damage;
use crate::error::StoreError;
use crate::open::Store;
use crate::sink::{FAR, is_there, micros, no_such_sink};
use crate::write::signed;

/// For how long whoever sends is believed to be at it, when nobody can say whether it lives.
pub(crate) const LEASE: Duration = Duration::from_secs(60);
/// Sandboxes of the outbox that are spread at a time.
const SPREAD: u32 = 1000;

/// The events of one sandbox for one sink, held by whoever has this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// To where.
    pub sink_id: String,
    /// Of which sandbox.
    pub sandbox_id: SandboxId,
    /// Everything up to this number was sent.
    pub delivered: u64,
    /// Everything up to this number is to be sent.
    pub target: u64,
    /// Tries that the next event has had.
    pub attempts: u32,
    /// When the first of these was.
    pub failed_since: Option<Timestamp>,
    owner: String,
}

/// What becomes of a claim once an event was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// It is kept.
    Keep,
    /// Somebody else may go on.
    Release,
}

/// What an advance came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advance {
    /// There is more.
    More,
    /// Everything that was to be sent was.
    Done,
    /// Somebody else holds it now: nothing more may be sent.
    Lost,
}

/// What becomes of a claim whose next event could not be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setback {
    /// It counts as a try; the next one is due then.
    TryAgain {
        /// When.
        at: Timestamp,
        /// Why it failed.
        why: String,
    },
    /// It does not count; anybody may go on at once.
    LetGo,
    /// It is given up until somebody brings it back.
    GiveUp {
        /// Why it failed.
        why: String,
    },
}

/// Events of one sandbox that one sink does not have yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    /// To where.
    pub sink_id: String,
    /// Of which sandbox.
    pub sandbox_id: SandboxId,
    /// Everything up to this number was sent.
    pub delivered: u64,
    /// Whether it was given up.
    pub dead: bool,
    /// Why the next one could not be sent.
    pub error: Option<String>,
}

/// Notes that a sandbox has events from this number on, if anybody is to be told.
pub(crate) fn note_in_outbox(transaction: &Transaction<'_>, sandbox: &SandboxId, since: i64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO outbox (sandbox_id, since) SELECT $1, $2 WHERE EXISTS (SELECT 1 FROM sink) \
             ON CONFLICT (sandbox_id) DO NOTHING",
        )?
        .execute(params![sandbox.as_str(), since])?;
    Ok(())
}

/// Turns the whole outbox into work for every sink.
pub(crate) fn spread_all(store: &Store, transaction: &Transaction<'_>) -> Result<(), StoreError> {
    while spread(store, transaction)? {}
    Ok(())
}

/// Turns a part of the outbox into work for every sink; whether there may be more. A sink that has work of the sandbox
/// already gets a later target; one that has none begins where the outbox does.
fn spread(store: &Store, transaction: &Transaction<'_>) -> Result<bool, StoreError> {
    let wrong = |error: rusqlite::Error| store.classify(&error);
    let now = micros(store.clock().now());
    transaction
        .execute(
            "INSERT INTO delivery (sink_id, sandbox_id, delivered, target, due_at, lease_owner, attempts) \
             SELECT sink.id, fresh.sandbox_id, fresh.since - 1, \
             (SELECT MAX(seq) FROM event WHERE event.sandbox_id = fresh.sandbox_id), $1, '', 0 \
             FROM (SELECT sandbox_id, since FROM outbox ORDER BY sandbox_id LIMIT $2) AS fresh, sink \
             WHERE typeof(fresh.since) = 'integer' AND EXISTS (SELECT 1 FROM event WHERE event.sandbox_id = fresh.sandbox_id) \
             ON CONFLICT (sink_id, sandbox_id) DO UPDATE SET target = excluded.target",
            params![now, SPREAD],
        )
        .map_err(wrong)?;
    let rows = transaction
        .execute(
            "DELETE FROM outbox WHERE sandbox_id IN (SELECT sandbox_id FROM outbox ORDER BY sandbox_id LIMIT $1)",
            [SPREAD],
        )
        .map_err(wrong)?;
    Ok(rows == SPREAD as usize)
}

impl Store {
    /// Turns what commits noted into work for every sink; whether there may be more.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn spread_outbox(&self) -> Result<bool, StoreError> {
        self.transact(Durability::CrashOnly, |transaction| spread(self, transaction))
    }

    /// Takes up to `most` sandboxes with something due for a sink, those first that waited longest. What a process holds
    /// that is gone is taken from it.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn claim(
        &self,
        sink: &str,
        me: &str,
        most: u32,
        is_gone: &(dyn Fn(&str) -> bool + Sync),
    ) -> Result<Vec<Claim>, StoreError> {
        let now = self.clock().now();
        let (until, far) = (micros(now + LEASE), micros(now + FAR));
        let now = micros(now);
        self.transact(Durability::CrashOnly, |transaction| {
            let wrong = |error: rusqlite::Error| self.classify(&error);
            transaction
                .prepare_cached("UPDATE delivery SET due_at = $1 WHERE sink_id = $2 AND due_at > $3")
                .and_then(|mut statement| statement.execute(params![now, sink, far]))
                .map_err(wrong)?;
            let mut due = transaction
                .prepare_cached(
                    "SELECT sink_id, sandbox_id, delivered, target, attempts, failed_since, lease_owner, due_at FROM delivery \
                     WHERE sink_id = $1 AND due_at <= $2 AND (due_at <= $3 OR lease_owner <> '') \
                     ORDER BY due_at LIMIT $4",
                )
                .map_err(wrong)?;
            let mut take = transaction
                .prepare_cached(
                    "UPDATE delivery SET lease_owner = $1, due_at = $2 WHERE sink_id = $3 AND sandbox_id = $4",
                )
                .map_err(wrong)?;
            let mut claims = Vec::new();
            let mut rows = due
                // Live processes may hold some of them.
                .query(params![sink, until, now, most.saturating_mul(2)])
                .map_err(wrong)?;
            while let Some(row) = rows.next().map_err(wrong)? {
                let read = self.read_claim(row, sink, me);
                // A damaged row keeps nobody else's events.
                let Some((owner, due_at, claim)) = self.unless_damaged(&damage::DELIVERIES, row, read)? else {
                    continue;
                };
                let is_held = !owner.is_empty() && due_at > now;
                if claims.len() < most as usize && (!is_held || is_gone(&owner)) {
                    claims.push(claim);
                }
            }
            drop(rows);
            for claim in &claims {
                take.execute(params![me, until, sink, claim.sandbox_id.as_str()])
                    .map_err(wrong)?;
            }
            Ok(claims)
        })
    }

    /// The next events of a claim.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn next_events(&self, claim: &Claim, most: u32) -> Result<Vec<Event>, StoreError> {
        let sql = "SELECT sandbox_id, seq, record FROM event WHERE sandbox_id = $1 AND seq > $2 AND seq <= $3 ORDER BY seq \
             LIMIT $4";
        let range = params![
            claim.sandbox_id.as_str(),
            signed(claim.delivered),
            signed(claim.target),
            most
        ];
        self.all_of(&damage::EVENTS, sql, range, |row| self.read_event(row))
    }

    /// Everything up to `seq` was sent. The row goes once there is nothing more to send.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn advance(&self, claim: &mut Claim, seq: u64, hold: Hold) -> Result<Advance, StoreError> {
        let now = self.clock().now();
        let (owner, due_at) = match hold {
            Hold::Keep => (claim.owner.as_str(), now + LEASE),
            Hold::Release => ("", now),
        };
        let Claim {
            sink_id, sandbox_id, ..
        } = &*claim;
        let advance = self.transact(Durability::CrashOnly, |transaction| {
            let wrong = |error: rusqlite::Error| self.classify(&error);
            // A target only grows: before the one that is known, there is more in any case.
            if seq >= claim.target {
                let rows = transaction
                    .prepare_cached(
                        "DELETE FROM delivery WHERE sink_id = $1 AND sandbox_id = $2 AND lease_owner = $3 \
                         AND target <= $4",
                    )
                    .and_then(|mut statement| {
                        statement.execute(params![sink_id, sandbox_id.as_str(), claim.owner, signed(seq)])
                    })
                    .map_err(wrong)?;
                if rows == 1 {
                    return Ok(Advance::Done);
                }
            }
            let rows = transaction
                .prepare_cached(
                    "UPDATE delivery SET delivered = $1, attempts = 0, failed_since = NULL, error = NULL, \
                     lease_owner = $2, due_at = $3 WHERE sink_id = $4 AND sandbox_id = $5 AND lease_owner = $6",
                )
                .and_then(|mut statement| {
                    statement.execute(params![
                        signed(seq),
                        owner,
                        micros(due_at),
                        sink_id,
                        sandbox_id.as_str(),
                        claim.owner
                    ])
                })
                .map_err(wrong)?;
            Ok(if rows == 1 { Advance::More } else { Advance::Lost })
        })?;
        claim.delivered = seq;
        claim.attempts = 0;
        claim.failed_since = None;
        Ok(advance)
    }

    /// The next event of a claim could not be sent; the claim is let go.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn set_back(&self, claim: &Claim, setback: &Setback) -> Result<(), StoreError> {
        let now = self.clock().now();
        let failed_since = Some(micros(claim.failed_since.unwrap_or(now)));
        let (counted, due_at, failed_since, why) = match setback {
            Setback::TryAgain { at, why } => (1, Some(micros(*at)), failed_since, Some(why)),
            Setback::LetGo => (0, Some(micros(now)), claim.failed_since.map(micros), None),
            Setback::GiveUp { why } => (1, None, failed_since, Some(why)),
        };
        self.transact(Durability::CrashOnly, |transaction| {
            transaction
                .prepare_cached(
                    "UPDATE delivery SET lease_owner = '', attempts = attempts + $1, due_at = $2, failed_since = $3, \
                     error = COALESCE($4, error) WHERE sink_id = $5 AND sandbox_id = $6 AND lease_owner = $7",
                )
                .and_then(|mut statement| {
                    statement.execute(params![
                        counted,
                        due_at,
                        failed_since,
                        why,
                        claim.sink_id,
                        claim.sandbox_id.as_str(),
                        claim.owner
                    ])
                })
                .map_err(|error| self.classify(&error))?;
            Ok(())
        })
    }

    /// Brings back what was given up, and makes due what waits for another try: for one sink or all, of one sandbox or all.
    /// Returns how many sandboxes that are, counted once for each sink.
    ///
    /// # Errors
    /// `NotFound` for the sink, and those of the file.
    pub async fn bring_back(&self, sink: Option<&str>, sandbox: Option<&SandboxId>) -> Result<u64, StoreError> {
        let now = micros(self.clock().now());
        self.transact(Durability::Acknowledged, |transaction| {
            let wrong = |error: rusqlite::Error| self.classify(&error);
            if let Some(sink) = sink
                && !is_there(transaction, sink).map_err(wrong)?
            {
                return Err(no_such_sink(sink));
            }
            spread_all(self, transaction)?;
            let rows = transaction
                .execute(
                    "UPDATE delivery SET due_at = $1, attempts = 0, failed_since = NULL WHERE lease_owner = '' \
                     AND ($2 IS NULL OR sink_id = $2) AND ($3 IS NULL OR sandbox_id = $3)",
                    params![now, sink, sandbox.map(SandboxId::as_str)],
                )
                .map_err(wrong)?;
            transaction
                .execute(
                    "UPDATE sink SET paused_until = 0 WHERE $1 IS NULL OR id = $1",
                    params![sink],
                )
                .map_err(wrong)?;
            Ok(rows as u64)
        })
    }

    /// What is still to be sent, of one sandbox or of all.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn undelivered(&self, sandbox: Option<&SandboxId>) -> Result<Vec<Undelivered>, StoreError> {
        let sql = "SELECT sink_id, sandbox_id, delivered, due_at IS NULL AS dead, error FROM delivery \
                   WHERE $1 IS NULL OR sandbox_id = $1 \
                   UNION ALL SELECT id, sandbox_id, since - 1, 0, NULL FROM outbox, sink WHERE ($1 IS NULL OR sandbox_id = $1) \
                   AND NOT EXISTS (SELECT 1 FROM delivery WHERE sink_id = sink.id AND sandbox_id = outbox.sandbox_id)";
        self.readable(
            &damage::DELIVERIES,
            sql,
            params![sandbox.map(SandboxId::as_str)],
            |row| {
                Ok(Undelivered {
                    sink_id: self.text(row, "sink_id")?,
                    sandbox_id: self.sandbox_id(&self.text(row, "sandbox_id")?)?,
                    delivered: u64::try_from(self.number(row, "delivered")?).unwrap_or(0),
                    dead: self.number(row, "dead")? != 0,
                    error: self.optional(row, "error")?,
                })
            },
        )
    }

    /// Who holds a row and until when, and the claim on it once `me` has it.
    pub(crate) fn read_claim(&self, row: &Row<'_>, sink: &str, me: &str) -> Result<(String, i64, Claim), StoreError> {
        let failed_since: Option<i64> = self.column(row, "failed_since")?;
        let claim = Claim {
            sink_id: sink.to_owned(),
            sandbox_id: self.sandbox_id(&self.text(row, "sandbox_id")?)?,
            delivered: self.unsigned(row, "delivered")?,
            target: self.unsigned(row, "target")?,
            attempts: u32::try_from(self.number(row, "attempts")?).unwrap_or(u32::MAX),
            failed_since: failed_since.and_then(|at| Timestamp::from_microsecond(at).ok()),
            owner: me.to_owned(),
        };
        Ok((self.text(row, "lease_owner")?, self.number(row, "due_at")?, claim))
    }

    pub(crate) fn sandbox_id(&self, text: &str) -> Result<SandboxId, StoreError> {
        text.parse()
            .map_err(|_| self.corrupt(format!("`{text}` is no sandbox id")))
    }
}
