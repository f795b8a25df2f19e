//! The one way to change the store: everything about one sandbox in one transaction, fenced.

use rusqlite::{Transaction, TransactionBehavior, params};
use sandboxer_extension::cut;
use sandboxer_model::event::Event;
use sandboxer_model::id::SandboxId;
use sandboxer_model::lifecycle::State;

use crate::error::StoreError;
use crate::group::LOCK_ATTEMPTS;
use crate::host::{Refused, write_reservation};
use crate::open::{Connection, Store, sqlite_code};
use crate::outbox::note_in_outbox;
use crate::project::{count_live, most_live};
use crate::record::{Frozen, MeterRow, NewEvent, OperationRecord, SandboxRecord, StepRecord, Stored};

/// What a commit must survive. A later `Acknowledged` commit makes every earlier one durable too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// A loss of power: for all that a user is told, and intents whose effects outlive this machine.
    #[default]
    Acknowledged,
    /// The death of any process: for intermediate steps on backends that die with this machine.
    CrashOnly,
}

/// What is written together with a sandbox's row.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// What never changes; required with a record that is not stored yet, ignored otherwise.
    pub frozen: Option<Frozen>,
    /// Operations, new or changed.
    pub operations: Vec<OperationRecord>,
    /// Steps, new or changed.
    pub steps: Vec<StepRecord>,
    /// Events in order; their sequence numbers are given here.
    pub events: Vec<NewEvent>,
    /// Figures of use.
    pub meters: Vec<MeterRow>,
    /// What becomes of the sandbox's idempotency key.
    pub key: KeyChange,
    /// Live sandboxes its project may have with this one; of a record that is not stored yet. (What somebody with a key
    /// makes again is held to what is set for the project.)
    pub max_live: Option<u32>,
    /// What the commit must survive.
    pub durability: Durability,
}

/// What a change does about the idempotency key a sandbox was made with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum KeyChange {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is the sandbox's from now on.
    Take(KeyRecord),
    /// It is free again.
    Release,
}

/// An idempotency key and the request it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// The key, with whatever keeps callers apart.
    pub key: String,
    /// Digest of the request.
    pub digest: String,
}

/// SQLite's extended code for a row that is there already.
const CONSTRAINT_UNIQUE: i32 = 2067;
/// The same where it is the primary key that is there.
const CONSTRAINT_KEY: i32 = 1555;

impl Store {
    /// Writes a sandbox's row and everything that belongs to the same change, or nothing at all.
    /// Afterwards `record` knows what is stored, so that it can be changed and committed again.
    ///
    /// # Errors
    /// `Fenced` and `Stale` when the row is not as it was read, `ScopeTaken`, `KeyTaken`, `QuotaExceeded`, `NoRoom`,
    /// `IllegalMove`, and those of the file.
    pub async fn commit(&self, record: &mut SandboxRecord, change: &Change) -> Result<(), StoreError> {
        let Some(faults) = &self.faults else {
            return self.commit_now(record, change).await;
        };
        faults.before().await?;
        let mut written = record.clone();
        self.commit_now(&mut written, change).await?;
        faults.after()?;
        *record = written;
        Ok(())
    }

    async fn commit_now(&self, record: &mut SandboxRecord, change: &Change) -> Result<(), StoreError> {
        check_moves(record, &change.events)?;
        let revision = record.stored.as_ref().map_or(1, |stored| stored.revision + 1);
        match self.queue() {
            None => self.commit_here(record, change, revision)?,
            Some(queue) => {
                let (durability, record, change) = (change.durability, record.clone(), change.clone());
                let write = move |store: &Store, transaction: &Transaction<'_>| {
                    let written = store.write(transaction, &record, &change, revision);
                    written.map_err(|why| store.refusal(transaction, &record, why))
                };
                queue.put(self, durability, write).await?;
                cut!("store.commit.after");
            }
        }
        let sandbox = &record.sandbox;
        record.stored = Some(Stored {
            epoch: sandbox.epoch,
            revision,
            state: sandbox.state,
            reservation: record.facts.reservation.clone(),
        });
        Ok(())
    }

    /// On the caller's thread.
    fn commit_here(&self, record: &SandboxRecord, change: &Change, revision: i64) -> Result<(), StoreError> {
        let mut turn = self.writing();
        let mut attempt = 0;
        loop {
            attempt += 1;
            let Err(why) = self.write_alone(&mut turn, record, change, revision) else {
                return Ok(());
            };
            match self.refusal(&turn.sqlite, record, why) {
                StoreError::Locked { .. } if attempt < LOCK_ATTEMPTS => {}
                StoreError::Locked { path, seconds } => {
                    return Err(StoreError::Locked {
                        path,
                        seconds: seconds * u64::from(LOCK_ATTEMPTS),
                    });
                }
                error => return Err(error),
            }
        }
    }

    fn write_alone(
        &self,
        connection: &mut Connection,
        record: &SandboxRecord,
        change: &Change,
        revision: i64,
    ) -> Result<(), Failed> {
        connection.keep(change.durability)?;
        // Dropped before its commit, it is rolled back.
        let transaction = connection
            .sqlite
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        self.write(&transaction, record, change, revision)?;
        transaction.commit()?;
        cut!("store.commit.after");
        Ok(())
    }

    fn write(
        &self,
        transaction: &Transaction<'_>,
        record: &SandboxRecord,
        change: &Change,
        revision: i64,
    ) -> Result<(), Failed> {
        match &record.stored {
            None => self.insert_sandbox(transaction, record, change, revision)?,
            Some(stored) => self.update_sandbox(transaction, record, stored, revision)?,
        }
        write_reservation(transaction, record)?;
        write_key(transaction, record, &change.key)?;
        for operation in &change.operations {
            self.write_operation(transaction, operation)?;
        }
        for step in &change.steps {
            self.write_step(transaction, step)?;
        }
        self.write_events(transaction, &record.sandbox.sandbox_id, &change.events)?;
        for meter in &change.meters {
            write_meter(transaction, &record.sandbox.sandbox_id, meter)?;
        }
        // Last, since a create that finds a sandbox of its scope or key takes no place.
        check_quota(transaction, record, change)?;
        cut!("store.commit.before");
        Ok(())
    }

    /// Why nothing was written, as callers hear it.
    fn refusal(&self, connection: &rusqlite::Connection, record: &SandboxRecord, why: Failed) -> StoreError {
        match why {
            Failed::Fence => self.why_fenced(connection, record),
            Failed::Store(error) => error,
            Failed::Sqlite(error) => match sqlite_code(&error) {
                Some((CONSTRAINT_KEY, message)) if message.contains("idempotency") => StoreError::KeyTaken,
                Some((CONSTRAINT_UNIQUE, message)) if message.contains("scope") => {
                    StoreError::ScopeTaken(record.facts.scope_key.clone().unwrap_or_default())
                }
                _ => self.classify(&error),
            },
        }
    }

    fn insert_sandbox(
        &self,
        transaction: &Transaction<'_>,
        record: &SandboxRecord,
        change: &Change,
        revision: i64,
    ) -> Result<(), Failed> {
        let sandbox = &record.sandbox;
        let (boot, uptime) = deadline_uptime(record).unzip();
        transaction
            .prepare_cached(
                "INSERT INTO sandbox (id, state, profile_id, project, extension_id, host, scope_key, deadline, epoch, \
                 revision, created_at, record, boot, deadline_uptime) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
            )?
            .execute(params![
                sandbox.sandbox_id.as_str(),
                sandbox.state.name(),
                sandbox.profile_id,
                sandbox.consumer.project,
                sandbox.extension_id,
                sandbox.host,
                record.facts.scope_key,
                deadline(record),
                signed(sandbox.epoch.0),
                revision,
                sandbox.created_at.as_microsecond(),
                self.json(record)?,
                boot,
                uptime,
            ])?;
        if let Some(frozen) = &change.frozen {
            transaction
                .prepare_cached("INSERT INTO frozen (sandbox_id, record) VALUES ($1, $2)")?
                .execute(params![sandbox.sandbox_id.as_str(), self.json(frozen)?])?;
        }
        Ok(())
    }

    fn update_sandbox(
        &self,
        transaction: &Transaction<'_>,
        record: &SandboxRecord,
        stored: &Stored,
        revision: i64,
    ) -> Result<(), Failed> {
        let sandbox = &record.sandbox;
        let (boot, uptime) = deadline_uptime(record).unzip();
        let rows = transaction
            .prepare_cached(
                "UPDATE sandbox SET state = $1, extension_id = $2, host = $3, scope_key = $4, deadline = $5, epoch = $6, \
                 revision = $7, record = $8, boot = $9, deadline_uptime = $10 \
                 WHERE id = $11 AND epoch = $12 AND revision = $13",
            )?
            .execute(params![
                sandbox.state.name(),
                sandbox.extension_id,
                sandbox.host,
                record.facts.scope_key,
                deadline(record),
                signed(sandbox.epoch.0),
                revision,
                self.json(record)?,
                boot,
                uptime,
                sandbox.sandbox_id.as_str(),
                signed(stored.epoch.0),
                stored.revision,
            ])?;
        if rows == 1 { Ok(()) } else { Err(Failed::Fence) }
    }

    fn write_operation(&self, transaction: &Transaction<'_>, operation: &OperationRecord) -> Result<(), Failed> {
        transaction
            .prepare_cached(
                "INSERT INTO operation (id, kind, sandbox_id, params, status, step, lease_owner, lease_until, epoch, \
                 created_at, error, is_open) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
                 ON CONFLICT (id) DO UPDATE SET params = excluded.params, status = excluded.status, \
                 step = excluded.step, lease_owner = excluded.lease_owner, lease_until = excluded.lease_until, \
                 epoch = excluded.epoch, error = excluded.error, is_open = excluded.is_open",
            )?
            .execute(params![
                operation.operation_id.as_str(),
                operation.kind.name(),
                operation.sandbox_id.as_str(),
                self.json(&operation.params)?,
                operation.status.name(),
                operation.step,
                operation.lease_owner,
                operation.lease_until.as_microsecond(),
                signed(operation.epoch.0),
                operation.created_at.as_microsecond(),
                operation.error,
                i64::from(!operation.status.is_terminal()),
            ])?;
        Ok(())
    }

    fn write_step(&self, transaction: &Transaction<'_>, step: &StepRecord) -> Result<(), Failed> {
        transaction
            .prepare_cached(
                "INSERT INTO operation_step (operation_id, seq, name, phase, attempt, status, output, error, \
                 started_at, duration_us) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
                 ON CONFLICT (operation_id, seq) DO UPDATE SET attempt = excluded.attempt, status = excluded.status, \
                 output = excluded.output, error = excluded.error, duration_us = excluded.duration_us",
            )?
            .execute(params![
                step.operation_id.as_str(),
                i64::from(step.seq),
                step.name,
                step.phase.name(),
                i64::from(step.attempt),
                step.status.name(),
                self.json(&step.output)?,
                step.error,
                step.started_at.as_microsecond(),
                step.duration_us.map(signed),
            ])?;
        Ok(())
    }

    /// Numbers them from the last one on; the write lock is held, so nobody else does at the same time.
    fn write_events(
        &self,
        transaction: &Transaction<'_>,
        sandbox: &SandboxId,
        events: &[NewEvent],
    ) -> Result<(), Failed> {
        if events.is_empty() {
            return Ok(());
        }
        let last: i64 = transaction
            .prepare_cached("SELECT COALESCE(MAX(seq), 0) FROM event WHERE sandbox_id = $1")?
            .query_row([sandbox.as_str()], |row| row.get(0))?;
        let mut insert = transaction.prepare_cached(
            "INSERT INTO event (sandbox_id, seq, id, at, kind, state, record, delivered) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, 0)",
        )?;
        for (seq, event) in (last + 1..).zip(events) {
            let whole = Event {
                event_id: event.event_id.clone(),
                sandbox_id: sandbox.clone(),
                seq: u64::try_from(seq).unwrap_or(0),
                at: event.at,
                kind: event.kind.clone(),
                state: event.state,
                reason: event.reason,
                summary: event.summary.clone(),
                detail: event.detail.clone(),
            };
            insert.execute(params![
                sandbox.as_str(),
                seq,
                event.event_id.as_str(),
                event.at.as_microsecond(),
                event.kind,
                event.state.name(),
                self.json(&whole)?,
            ])?;
        }
        note_in_outbox(transaction, sandbox, last + 1)?;
        Ok(())
    }

    pub(crate) fn json<T: serde::Serialize>(&self, value: &T) -> Result<String, StoreError> {
        serde_json::to_string(value)
            .map_err(|error| self.corrupt(format!("a record cannot be written as JSON: {error}")))
    }

    /// Tells a change of owner from any other change.
    fn why_fenced(&self, connection: &rusqlite::Connection, record: &SandboxRecord) -> StoreError {
        let id = record.sandbox.sandbox_id.clone();
        let epoch = connection.query_row("SELECT epoch FROM sandbox WHERE id = $1", [id.as_str()], |row| {
            row.get::<_, i64>(0)
        });
        match (epoch, &record.stored) {
            (Ok(epoch), Some(stored)) if epoch == signed(stored.epoch.0) => StoreError::Stale(id),
            (Ok(_) | Err(rusqlite::Error::QueryReturnedNoRows), _) => StoreError::Fenced(id),
            (Err(error), _) => self.classify(&error),
        }
    }
}

/// The write lock is held, so nobody takes the last place at the same time.
fn check_quota(transaction: &Transaction<'_>, record: &SandboxRecord, change: &Change) -> Result<(), Failed> {
    let Some(project) = &record.sandbox.consumer.project else {
        return Ok(());
    };
    let most = match &record.stored {
        None => change.max_live,
        // What is made again takes a place like what is new.
        Some(stored) if stored.state.is_gone() && !record.sandbox.state.is_gone() && record.facts.owner.is_some() => {
            Some(most_live(transaction, project)?)
        }
        Some(_) => None,
    };
    let Some(most) = most else { return Ok(()) };
    let with_it = count_live(transaction, project)?;
    if with_it <= u64::from(most) {
        return Ok(());
    }
    Err(Failed::Store(StoreError::QuotaExceeded {
        project: project.clone(),
        live: with_it.saturating_sub(1),
        most,
    }))
}

/// Why nothing was written.
enum Failed {
    Fence,
    Sqlite(rusqlite::Error),
    Store(StoreError),
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Failed {
        Failed::Sqlite(error)
    }
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Failed {
        match refused {
            Refused::NoRoom(error) => Failed::Store(error),
            Refused::Sqlite(error) => Failed::Sqlite(error),
        }
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Failed {
        Failed::Store(error)
    }
}

fn write_key(transaction: &Transaction<'_>, record: &SandboxRecord, change: &KeyChange) -> Result<(), Failed> {
    let sandbox = &record.sandbox;
    match change {
        KeyChange::Keep => {}
        KeyChange::Take(taken) => {
            transaction
                .prepare_cached(
                    "INSERT INTO idempotency (key, digest, sandbox_id, created_at) VALUES ($1, $2, $3, $4)",
                )?
                .execute(params![
                    taken.key,
                    taken.digest,
                    sandbox.sandbox_id.as_str(),
                    sandbox.created_at.as_microsecond(),
                ])?;
        }
        KeyChange::Release => {
            transaction
                .prepare_cached("DELETE FROM idempotency WHERE sandbox_id = $1")?
                .execute([sandbox.sandbox_id.as_str()])?;
        }
    }
    Ok(())
}

fn write_meter(transaction: &Transaction<'_>, sandbox: &SandboxId, meter: &MeterRow) -> Result<(), Failed> {
    transaction
        .prepare_cached(
            "INSERT INTO meter (sandbox_id, meter, period, quantity, cost_micros) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (sandbox_id, meter, period) DO NOTHING",
        )?
        .execute(params![
            sandbox.as_str(),
            meter.meter,
            i64::from(meter.period),
            meter.quantity,
            meter.cost_micros,
        ])?;
    Ok(())
}

/// The deadline as a work list sees it: only sandboxes that can still expire have one.
pub(crate) fn deadline(record: &SandboxRecord) -> Option<i64> {
    let sandbox = &record.sandbox;
    sandbox
        .state
        .is_usable()
        .then_some(sandbox.expires_at)
        .flatten()
        .map(|at| at.as_microsecond())
}

/// The same as a start of the machine and its uptime then; `None` where that is not known.
fn deadline_uptime(record: &SandboxRecord) -> Option<(&str, i64)> {
    deadline(record)?;
    let sandbox = &record.sandbox;
    let ready = record.facts.ready_uptime.as_ref()?;
    let lives = sandbox.expires_at?.duration_since(sandbox.ready_at?).as_micros();
    let at = i128::try_from(ready.since.as_micros()).ok()?.checked_add(lives)?;
    Some((ready.boot.as_str(), i64::try_from(at).ok()?))
}

pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Follows the states the events tell of, from the stored one to the record's: each move must be in the table.
fn check_moves(record: &SandboxRecord, events: &[NewEvent]) -> Result<(), StoreError> {
    let mut at = record.stored_state();
    let told = events.iter().map(|event| event.state).chain([record.sandbox.state]);
    for next in told {
        let legal = match at {
            None => next == State::Requested,
            Some(from) => from == next || from.may_become(next),
        };
        if !legal {
            let from = at.unwrap_or(State::Requested);
            return Err(StoreError::IllegalMove {
                sandbox_id: record.sandbox.sandbox_id.clone(),
                from,
                to: next,
            });
        }
        at = Some(next);
    }
    Ok(())
}
