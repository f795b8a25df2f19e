//! The rows that a commit writes.

use rusqlite::{Transaction, params};
use sandboxer_model::event::Event;
use sandboxer_model::id::SandboxId;

use crate::commit::{Change, Failed, KeyChange};
use crate::error::StoreError;
use crate::open::Store;
use crate::outbox::note_in_outbox;
use crate::project::{count_live, most_live};
use crate::record::{MeterRow, NewEvent, OperationRecord, SandboxRecord, StepRecord, Stored};

impl Store {
    pub(crate) fn insert_sandbox(
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

    pub(crate) fn update_sandbox(
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

    pub(crate) fn write_operation(
        &self,
        transaction: &Transaction<'_>,
        operation: &OperationRecord,
    ) -> Result<(), Failed> {
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

    pub(crate) fn write_step(&self, transaction: &Transaction<'_>, step: &StepRecord) -> Result<(), Failed> {
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
    pub(crate) fn write_events(
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
}

/// The write lock is held, so nobody takes the last place at the same time.
pub(crate) fn check_quota(
    transaction: &Transaction<'_>,
    record: &SandboxRecord,
    change: &Change,
) -> Result<(), Failed> {
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

pub(crate) fn write_key(
    transaction: &Transaction<'_>,
    record: &SandboxRecord,
    change: &KeyChange,
) -> Result<(), Failed> {
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

pub(crate) fn write_meter(transaction: &Transaction<'_>, sandbox: &SandboxId, meter: &MeterRow) -> Result<(), Failed> {
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
