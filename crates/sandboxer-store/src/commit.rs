//! The one way to change the store: everything about one sandbox in one transaction, fenced.

use sandboxer_model::event::Event;
use sandboxer_model::id::SandboxId;
use sandboxer_model::lifecycle::State;
use sandboxer_model::operation::OperationStatus;
use sqlx::{Executor as _, QueryBuilder, Sqlite};

use crate::error::StoreError;
use crate::open::{Connection, Store, sqlite_code};
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
    /// What the commit must survive.
    pub durability: Durability,
}

/// SQLite's extended codes for a row that breaks a rule.
const CONSTRAINT_CHECK: i64 = 275;
const CONSTRAINT_UNIQUE: i64 = 2067;
/// Attempts to get the write lock, each of which waits for the busy timeout.
const LOCK_ATTEMPTS: u32 = 3;

type Batch = QueryBuilder<Sqlite>;

impl Store {
    /// Writes a sandbox's row and everything that belongs to the same change, or nothing at all.
    /// Afterwards `record` knows what is stored, so that it can be changed and committed again.
    ///
    /// # Errors
    /// `Fenced` and `Stale` when the row is not as it was read, `ScopeTaken`, `IllegalMove`, and those of the file.
    pub async fn commit(&self, record: &mut SandboxRecord, change: &Change) -> Result<(), StoreError> {
        check_moves(record, &change.events)?;
        let revision = record.stored.map_or(1, |stored| stored.revision + 1);
        let mut connection = self.connection().await?;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let batch = self.batch(record, change, revision, &connection)?;
            match self.run(&mut connection, batch, change.durability).await {
                Ok(()) => break,
                Err(Failed::Locked(_)) if attempt < LOCK_ATTEMPTS => {}
                Err(Failed::Fence) => return Err(self.why_fenced(&mut connection, record).await),
                Err(Failed::Scope) => {
                    return Err(StoreError::ScopeTaken(
                        record.facts.scope_key.clone().unwrap_or_default(),
                    ));
                }
                Err(Failed::Locked(error) | Failed::Other(error)) => return Err(error),
            }
        }
        let sandbox = &record.sandbox;
        record.stored = Some(Stored {
            epoch: sandbox.epoch,
            revision,
            state: sandbox.state,
        });
        Ok(())
    }

    /// Everything as one text, so that the connection's thread is woken once.
    fn batch(
        &self,
        record: &SandboxRecord,
        change: &Change,
        revision: i64,
        connection: &Connection,
    ) -> Result<Batch, StoreError> {
        let mut batch = Batch::new("");
        if connection.durability != change.durability {
            batch.push(match change.durability {
                Durability::Acknowledged => "PRAGMA synchronous = FULL; ",
                Durability::CrashOnly => "PRAGMA synchronous = NORMAL; ",
            });
        }
        batch.push("BEGIN IMMEDIATE; ");
        self.push_sandbox(&mut batch, record, change, revision)?;
        for operation in &change.operations {
            self.push_operation(&mut batch, operation)?;
        }
        self.push_steps(&mut batch, &change.steps)?;
        for event in &change.events {
            self.push_event(&mut batch, &record.sandbox.sandbox_id, event)?;
        }
        for meter in &change.meters {
            push_meter(&mut batch, &record.sandbox.sandbox_id, meter);
        }
        batch.push("COMMIT");
        Ok(batch)
    }

    async fn run(&self, connection: &mut Connection, mut batch: Batch, durability: Durability) -> Result<(), Failed> {
        connection.in_doubt = true;
        // Not kept as a prepared statement: the text is different each time.
        let result = connection.sqlite.execute(batch.build().persistent(false)).await;
        match result {
            Ok(_) => {
                connection.in_doubt = false;
                connection.durability = durability;
                Ok(())
            }
            Err(error) => {
                // Refused when the transaction never began, which is as good.
                let _ = (&mut connection.sqlite).execute("ROLLBACK").await;
                // Whether the pragma took effect before the failure is not known: say it again.
                let _ = (&mut connection.sqlite).execute("PRAGMA synchronous = NORMAL").await;
                connection.durability = Durability::CrashOnly;
                connection.in_doubt = false;
                Err(match sqlite_code(&error) {
                    Some(CONSTRAINT_CHECK) => Failed::Fence,
                    Some(CONSTRAINT_UNIQUE) if error.to_string().contains("scope") => Failed::Scope,
                    _ => match self.classify(&error) {
                        locked @ StoreError::Locked { .. } => Failed::Locked(locked),
                        other => Failed::Other(other),
                    },
                })
            }
        }
    }

    fn push_sandbox(
        &self,
        batch: &mut Batch,
        record: &SandboxRecord,
        change: &Change,
        revision: i64,
    ) -> Result<(), StoreError> {
        let sandbox = &record.sandbox;
        let id = sandbox.sandbox_id.as_str().to_owned();
        let json = self.json(record)?;
        let deadline = deadline(record);
        let epoch = signed(sandbox.epoch.0);
        let created = sandbox.created_at.as_microsecond();
        let project = sandbox.consumer.project.clone();
        let scope = record.facts.scope_key.clone();
        let Some(stored) = record.stored else {
            batch.push(
                "INSERT INTO sandbox (id, state, profile_id, project, extension_id, host, scope_key, deadline, epoch, \
                 revision, created_at, record) VALUES (",
            );
            let mut values = batch.separated(", ");
            values
                .push_bind(id.clone())
                .push_bind(sandbox.state.name())
                .push_bind(sandbox.profile_id.clone());
            values
                .push_bind(project)
                .push_bind(sandbox.extension_id.clone())
                .push_bind(sandbox.host.clone());
            values
                .push_bind(scope)
                .push_bind(deadline)
                .push_bind(epoch)
                .push_bind(revision);
            values.push_bind(created).push_bind(json);
            batch.push("); ");
            if let Some(frozen) = &change.frozen {
                batch
                    .push("INSERT INTO frozen (sandbox_id, record) VALUES (")
                    .push_bind(id);
                batch.push(", ").push_bind(self.json(frozen)?).push("); ");
            }
            return Ok(());
        };
        batch.push("INSERT INTO fence (held) SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM sandbox WHERE id = ");
        batch
            .push_bind(id.clone())
            .push(" AND epoch = ")
            .push_bind(signed(stored.epoch.0));
        batch.push(" AND revision = ").push_bind(stored.revision).push("); ");
        batch
            .push("UPDATE sandbox SET state = ")
            .push_bind(sandbox.state.name());
        batch.push(", extension_id = ").push_bind(sandbox.extension_id.clone());
        batch.push(", host = ").push_bind(sandbox.host.clone());
        batch
            .push(", scope_key = ")
            .push_bind(scope)
            .push(", deadline = ")
            .push_bind(deadline);
        batch
            .push(", epoch = ")
            .push_bind(epoch)
            .push(", revision = ")
            .push_bind(revision);
        batch
            .push(", record = ")
            .push_bind(json)
            .push(" WHERE id = ")
            .push_bind(id)
            .push("; ");
        Ok(())
    }

    fn push_operation(&self, batch: &mut Batch, operation: &OperationRecord) -> Result<(), StoreError> {
        batch.push(
            "INSERT INTO operation (id, kind, sandbox_id, params, status, step, lease_owner, lease_until, epoch, \
             created_at, error, is_open) VALUES (",
        );
        let mut values = batch.separated(", ");
        values
            .push_bind(operation.operation_id.as_str().to_owned())
            .push_bind(operation.kind.name());
        values
            .push_bind(operation.sandbox_id.as_str().to_owned())
            .push_bind(self.json(&operation.params)?);
        values
            .push_bind(operation.status.name())
            .push_bind(operation.step.clone());
        values
            .push_bind(operation.lease_owner.clone())
            .push_bind(operation.lease_until.as_microsecond());
        values
            .push_bind(signed(operation.epoch.0))
            .push_bind(operation.created_at.as_microsecond());
        values.push_bind(operation.error.clone());
        values.push_bind(i64::from(is_open(operation.status)));
        batch.push(
            ") ON CONFLICT (id) DO UPDATE SET params = excluded.params, status = excluded.status, step = excluded.step, \
             lease_owner = excluded.lease_owner, lease_until = excluded.lease_until, epoch = excluded.epoch, \
             error = excluded.error, is_open = excluded.is_open; ",
        );
        Ok(())
    }

    fn push_steps(&self, batch: &mut Batch, steps: &[StepRecord]) -> Result<(), StoreError> {
        if steps.is_empty() {
            return Ok(());
        }
        batch.push(
            "INSERT INTO operation_step (operation_id, seq, name, phase, attempt, status, output, error, started_at, \
             duration_us) VALUES ",
        );
        for (index, step) in steps.iter().enumerate() {
            batch.push(if index == 0 { "(" } else { ", (" });
            let mut values = batch.separated(", ");
            values
                .push_bind(step.operation_id.as_str().to_owned())
                .push_bind(i64::from(step.seq));
            values
                .push_bind(step.name.clone())
                .push_bind(step.phase.name())
                .push_bind(i64::from(step.attempt));
            values
                .push_bind(step.status.name())
                .push_bind(self.json(&step.output)?)
                .push_bind(step.error.clone());
            values
                .push_bind(step.started_at.as_microsecond())
                .push_bind(step.duration_us.map(signed));
            batch.push(")");
        }
        batch.push(
            " ON CONFLICT (operation_id, seq) DO UPDATE SET attempt = excluded.attempt, status = excluded.status, \
             output = excluded.output, error = excluded.error, duration_us = excluded.duration_us; ",
        );
        Ok(())
    }

    fn push_event(&self, batch: &mut Batch, sandbox: &SandboxId, event: &NewEvent) -> Result<(), StoreError> {
        let whole = Event {
            event_id: event.event_id.clone(),
            sandbox_id: sandbox.clone(),
            seq: 0,
            at: event.at,
            kind: event.kind.clone(),
            state: event.state,
            reason: event.reason,
            summary: event.summary.clone(),
            detail: event.detail.clone(),
        };
        let id = sandbox.as_str().to_owned();
        batch.push("INSERT INTO event (sandbox_id, seq, id, at, kind, state, record, delivered) SELECT ");
        batch.push_bind(id.clone()).push(", COALESCE(MAX(seq), 0) + 1, ");
        let mut values = batch.separated(", ");
        values
            .push_bind(event.event_id.as_str().to_owned())
            .push_bind(event.at.as_microsecond());
        values
            .push_bind(event.kind.clone())
            .push_bind(event.state.name())
            .push_bind(self.json(&whole)?);
        batch
            .push(", 0 FROM event WHERE sandbox_id = ")
            .push_bind(id)
            .push("; ");
        Ok(())
    }

    fn json<T: serde::Serialize>(&self, value: &T) -> Result<String, StoreError> {
        serde_json::to_string(value)
            .map_err(|error| self.corrupt(format!("a record cannot be written as JSON: {error}")))
    }

    /// Tells a change of owner from any other change.
    async fn why_fenced(&self, connection: &mut Connection, record: &SandboxRecord) -> StoreError {
        use sqlx::Row as _;
        let id = record.sandbox.sandbox_id.clone();
        let query = sqlx::query("SELECT epoch FROM sandbox WHERE id = $1").bind(id.as_str().to_owned());
        let row = match query.fetch_optional(&mut connection.sqlite).await {
            Ok(row) => row,
            Err(error) => return self.classify(&error),
        };
        let epoch = row.and_then(|row| row.try_get::<i64, _>(0).ok());
        match (epoch, record.stored) {
            (Some(epoch), Some(stored)) if epoch == signed(stored.epoch.0) => StoreError::Stale(id),
            _ => StoreError::Fenced(id),
        }
    }
}

enum Failed {
    Fence,
    Scope,
    Locked(StoreError),
    Other(StoreError),
}

fn push_meter(batch: &mut Batch, sandbox: &SandboxId, meter: &MeterRow) {
    batch.push("INSERT INTO meter (sandbox_id, meter, period, quantity, cost_micros) VALUES (");
    let mut values = batch.separated(", ");
    values
        .push_bind(sandbox.as_str().to_owned())
        .push_bind(meter.meter.clone())
        .push_bind(i64::from(meter.period));
    values.push_bind(meter.quantity).push_bind(meter.cost_micros);
    batch.push(") ON CONFLICT (sandbox_id, meter, period) DO NOTHING; ");
}

fn is_open(status: OperationStatus) -> bool {
    !status.is_terminal()
}

/// The deadline as a work list sees it: only sandboxes that can still expire have one.
fn deadline(record: &SandboxRecord) -> Option<i64> {
    let sandbox = &record.sandbox;
    sandbox
        .state
        .is_usable()
        .then_some(sandbox.expires_at)
        .flatten()
        .map(|at| at.as_microsecond())
}

pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Follows the states the events tell of, from the stored one to the record's: each move must be in the table.
fn check_moves(record: &SandboxRecord, events: &[NewEvent]) -> Result<(), StoreError> {
    let mut at = record.stored.map(|stored| stored.state);
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
