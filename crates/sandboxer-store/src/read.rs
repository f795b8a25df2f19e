//! The ways to ask the store.

use jiff::Timestamp;
use rusqlite::types::{FromSql, Value};
use rusqlite::{Params, Row, params, params_from_iter};
use sandboxer_model::event::Event;
use sandboxer_model::id::{OperationId, SandboxId};
use sandboxer_model::lifecycle::State;
use sandboxer_model::operation::{Epoch, OperationKind, OperationStatus};
use serde::de::DeserializeOwned;

use crate::damage;
use crate::error::StoreError;
use crate::open::Store;
use crate::record::{Frozen, MeterRow, OperationRecord, SandboxRecord, StepPhase, StepRecord, StepStatus, Stored};

/// Characters of the body an id prefix needs at least.
const PREFIX_LEN: usize = 3;
/// Matches an ambiguous prefix is answered with at most.
const MATCHES: u32 = 5;
pub(crate) const SANDBOX: &str = "SELECT id, record, epoch, revision, state FROM sandbox";
pub(crate) const OPERATION: &str = "SELECT id, kind, sandbox_id, params, status, step, lease_owner, lease_until, epoch, \
                         created_at, error FROM operation";

/// Which sandboxes to list.
#[derive(Debug, Clone, Default)]
pub struct SandboxFilter {
    /// Only these states; empty: every state that is not `destroyed`.
    pub states: Vec<State>,
    /// Destroyed ones too, when `states` is empty.
    pub destroyed: bool,
    /// Only this profile.
    pub profile: Option<String>,
    /// Only this project.
    pub project: Option<String>,
}

impl Store {
    /// The sandbox of this id.
    ///
    /// # Errors
    /// `NotFound`, and those of the file.
    pub async fn sandbox(&self, id: &SandboxId) -> Result<SandboxRecord, StoreError> {
        let sql = format!("{SANDBOX} WHERE id = $1");
        let found = self.one_of(&damage::SANDBOXES, &sql, [id.as_str()], |row| self.read_sandbox(row))?;
        found.ok_or_else(|| missing("sandbox", id.as_str()))
    }

    /// The sandbox whose id is this or starts with it, with or without `sbx-`.
    ///
    /// # Errors
    /// `NotFound`, `TooShort`, `Ambiguous`, and those of the file.
    pub async fn find_sandbox(&self, id_or_prefix: &str) -> Result<SandboxRecord, StoreError> {
        if let Ok(id) = id_or_prefix.parse::<SandboxId>() {
            return self.sandbox(&id).await;
        }
        let lower = id_or_prefix.trim().to_ascii_lowercase();
        let body = lower.strip_prefix("sbx-").unwrap_or(&lower);
        if !body.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(missing("sandbox", id_or_prefix));
        }
        if body.len() < PREFIX_LEN {
            return Err(StoreError::TooShort(id_or_prefix.to_owned()));
        }
        let sql = format!("{SANDBOX} WHERE id >= $1 AND id < $2 ORDER BY id LIMIT $3");
        // `{` follows `z`: the first string that no longer starts with the prefix.
        let range = params![format!("sbx-{body}"), format!("sbx-{body}{{"), MATCHES];
        let mut found = self.rows(&sql, range, |row| {
            let read = self.read_sandbox(row);
            Ok((
                self.text(row, "id")?,
                read.map_err(|error| self.in_row(&damage::SANDBOXES, row, error)),
            ))
        })?;
        match (found.pop(), found.is_empty()) {
            (None, _) => Err(missing("sandbox", id_or_prefix)),
            (Some((_, read)), true) => read,
            (Some(last), false) => {
                found.push(last);
                Err(StoreError::Ambiguous {
                    prefix: id_or_prefix.to_owned(),
                    matches: found.iter().filter_map(|(id, _)| id.parse().ok()).collect(),
                })
            }
        }
    }

    /// The live sandbox that has this scope.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn sandbox_of_scope(&self, scope_key: &str) -> Result<Option<SandboxRecord>, StoreError> {
        let sql = format!("{SANDBOX} WHERE scope_key = $1");
        self.one_of(&damage::SANDBOXES, &sql, [scope_key], |row| self.read_sandbox(row))
    }

    /// Sandboxes, newest first.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn sandboxes(&self, filter: &SandboxFilter) -> Result<Vec<SandboxRecord>, StoreError> {
        let (sql, values) = select(filter);
        self.readable(&damage::SANDBOXES, &sql, params_from_iter(values), |row| {
            self.read_sandbox(row)
        })
    }

    /// The digest of the request and the sandbox that an idempotency key stands for.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn key(&self, key: &str) -> Result<Option<(String, SandboxId)>, StoreError> {
        let sql = "SELECT key, digest, sandbox_id FROM idempotency WHERE key = $1";
        self.one_of(&damage::KEYS, sql, [key], |row| {
            Ok((
                self.text(row, "digest")?,
                self.sandbox_id(&self.text(row, "sandbox_id")?)?,
            ))
        })
    }

    /// What never changes of a sandbox.
    ///
    /// # Errors
    /// `NotFound`, and those of the file.
    pub async fn frozen(&self, id: &SandboxId) -> Result<Frozen, StoreError> {
        let sql = "SELECT sandbox_id, record FROM frozen WHERE sandbox_id = $1";
        let found = self.one_of(&damage::FROZEN, sql, [id.as_str()], |row| self.read_frozen(row))?;
        found.ok_or_else(|| missing("sandbox", id.as_str()))
    }

    /// The operation of this id.
    ///
    /// # Errors
    /// `NotFound`, and those of the file.
    pub async fn operation(&self, id: &OperationId) -> Result<OperationRecord, StoreError> {
        let sql = format!("{OPERATION} WHERE id = $1");
        let found = self.one_of(&damage::OPERATIONS, &sql, [id.as_str()], |row| self.read_operation(row))?;
        found.ok_or_else(|| missing("operation", id.as_str()))
    }

    /// Every operation on a sandbox, oldest first.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn operations(&self, sandbox: &SandboxId) -> Result<Vec<OperationRecord>, StoreError> {
        let sql = format!("{OPERATION} WHERE sandbox_id = $1 ORDER BY created_at, id");
        self.all_of(&damage::OPERATIONS, &sql, [sandbox.as_str()], |row| {
            self.read_operation(row)
        })
    }

    /// The steps of an operation, in order.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn steps(&self, operation: &OperationId) -> Result<Vec<StepRecord>, StoreError> {
        let sql = "SELECT operation_id, seq, name, phase, attempt, status, output, error, started_at, duration_us \
                   FROM operation_step WHERE operation_id = $1 ORDER BY seq";
        self.all_of(&damage::STEPS, sql, [operation.as_str()], |row| {
            self.read_step(operation, row)
        })
    }

    /// What happened: to one sandbox in its order, or to all in order of time.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn events(&self, sandbox: Option<&SandboxId>) -> Result<Vec<Event>, StoreError> {
        let read = |row: &Row<'_>| self.read_event(row);
        match sandbox {
            Some(id) => {
                let sql = "SELECT sandbox_id, seq, record FROM event WHERE sandbox_id = $1 ORDER BY seq";
                self.all_of(&damage::EVENTS, sql, [id.as_str()], read)
            }
            None => {
                let sql = "SELECT sandbox_id, seq, record FROM event ORDER BY at, sandbox_id, seq";
                self.readable(&damage::EVENTS, sql, (), read)
            }
        }
    }

    /// What was metered of a sandbox.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn meters(&self, sandbox: &SandboxId) -> Result<Vec<MeterRow>, StoreError> {
        let sql = "SELECT sandbox_id, meter, period, quantity, cost_micros FROM meter WHERE sandbox_id = $1 \
                   ORDER BY period, meter";
        self.all_of(&damage::METERS, sql, [sandbox.as_str()], |row| self.read_meter(row))
    }

    /// Operations that are stuck, oldest first.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn stuck(&self, limit: u32) -> Result<Vec<OperationRecord>, StoreError> {
        let sql = format!("{OPERATION} WHERE is_open = 1 AND status = 'stuck' ORDER BY created_at, id LIMIT $1");
        self.readable(&damage::OPERATIONS, &sql, [limit], |row| self.read_operation(row))
    }

    /// The first row, read.
    pub(crate) fn one<T>(
        &self,
        sql: &str,
        values: impl Params,
        read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let connection = self.reading();
        let wrong = |error: rusqlite::Error| self.classify(&error);
        let mut statement = connection.prepare_cached(sql).map_err(wrong)?;
        let mut rows = statement.query(values).map_err(wrong)?;
        rows.next().map_err(wrong)?.map(read).transpose()
    }

    /// Every row, read.
    pub(crate) fn rows<T>(
        &self,
        sql: &str,
        values: impl Params,
        read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let connection = self.reading();
        let wrong = |error: rusqlite::Error| self.classify(&error);
        let mut statement = connection.prepare_cached(sql).map_err(wrong)?;
        let mut rows = statement.query(values).map_err(wrong)?;
        let mut all = Vec::new();
        while let Some(row) = rows.next().map_err(wrong)? {
            all.push(read(row)?);
        }
        Ok(all)
    }

    pub(crate) fn read_sandbox(&self, row: &Row<'_>) -> Result<SandboxRecord, StoreError> {
        let mut record: SandboxRecord = self.parse(&self.text(row, "record")?)?;
        let state = self.text(row, "state")?;
        let state = State::from_name(&state).ok_or_else(|| self.corrupt(format!("`{state}` is no state")))?;
        let epoch = Epoch(self.unsigned(row, "epoch")?);
        let sandbox = &record.sandbox;
        // Whoever acts on a row acts on the sandbox its record names.
        if self.text(row, "id")? != sandbox.sandbox_id.as_str() || state != sandbox.state || epoch != sandbox.epoch {
            return Err(self.corrupt(format!(
                "its record is of {}, {}, at epoch {}, and its columns say otherwise",
                sandbox.sandbox_id, sandbox.state, sandbox.epoch.0
            )));
        }
        record.stored = Some(Stored {
            epoch,
            revision: self.number(row, "revision")?,
            state,
            reservation: record.facts.reservation.clone(),
        });
        Ok(record)
    }

    pub(crate) fn read_frozen(&self, row: &Row<'_>) -> Result<Frozen, StoreError> {
        self.parse(&self.text(row, "record")?)
    }

    pub(crate) fn read_meter(&self, row: &Row<'_>) -> Result<MeterRow, StoreError> {
        Ok(MeterRow {
            meter: self.text(row, "meter")?,
            period: u32::try_from(self.unsigned(row, "period")?).unwrap_or(0),
            quantity: self.number(row, "quantity")?,
            cost_micros: self.number(row, "cost_micros")?,
        })
    }

    pub(crate) fn read_event(&self, row: &Row<'_>) -> Result<Event, StoreError> {
        let mut event: Event = self.parse(&self.text(row, "record")?)?;
        event.seq = self.unsigned(row, "seq")?;
        if self.text(row, "sandbox_id")? != event.sandbox_id.as_str() {
            return Err(self.corrupt(format!("its record is of {}", event.sandbox_id)));
        }
        Ok(event)
    }

    pub(crate) fn read_operation(&self, row: &Row<'_>) -> Result<OperationRecord, StoreError> {
        let (id, sandbox) = (self.text(row, "id")?, self.text(row, "sandbox_id")?);
        let (kind, status) = (self.text(row, "kind")?, self.text(row, "status")?);
        let wrong = |what: &str, text: &str| self.corrupt(format!("`{text}` is no {what}"));
        Ok(OperationRecord {
            operation_id: id.parse().map_err(|_| wrong("operation id", &id))?,
            kind: OperationKind::from_name(&kind).ok_or_else(|| wrong("operation kind", &kind))?,
            sandbox_id: sandbox.parse().map_err(|_| wrong("sandbox id", &sandbox))?,
            params: self.parse(&self.text(row, "params")?)?,
            status: OperationStatus::from_name(&status).ok_or_else(|| wrong("operation status", &status))?,
            step: self.optional(row, "step")?,
            lease_owner: self.text(row, "lease_owner")?,
            lease_until: self.time(row, "lease_until")?,
            epoch: Epoch(self.unsigned(row, "epoch")?),
            created_at: self.time(row, "created_at")?,
            error: self.optional(row, "error")?,
        })
    }

    pub(crate) fn read_step(&self, operation: &OperationId, row: &Row<'_>) -> Result<StepRecord, StoreError> {
        let duration: Option<i64> = self.column(row, "duration_us")?;
        let small = |value: i64| u32::try_from(value).unwrap_or(0);
        Ok(StepRecord {
            operation_id: operation.clone(),
            seq: small(self.number(row, "seq")?),
            name: self.text(row, "name")?,
            phase: match self.text(row, "phase")?.as_str() {
                "do" => StepPhase::Do,
                "undo" => StepPhase::Undo,
                other => return Err(self.corrupt(format!("`{other}` is no direction of a step"))),
            },
            attempt: small(self.number(row, "attempt")?),
            status: match self.text(row, "status")?.as_str() {
                "done" => StepStatus::Done,
                "failed" => StepStatus::Failed,
                "started" => StepStatus::Started,
                other => return Err(self.corrupt(format!("`{other}` is no status of a step"))),
            },
            output: self.parse(&self.text(row, "output")?)?,
            error: self.optional(row, "error")?,
            started_at: self.time(row, "started_at")?,
            duration_us: duration.and_then(|value| u64::try_from(value).ok()),
        })
    }

    pub(crate) fn parse<T: DeserializeOwned>(&self, json: &str) -> Result<T, StoreError> {
        serde_json::from_str(json).map_err(|error| self.corrupt(format!("a record cannot be read: {error}")))
    }

    pub(crate) fn text(&self, row: &Row<'_>, column: &str) -> Result<String, StoreError> {
        self.column(row, column)
    }

    pub(crate) fn optional(&self, row: &Row<'_>, column: &str) -> Result<Option<String>, StoreError> {
        self.column(row, column)
    }

    pub(crate) fn number(&self, row: &Row<'_>, column: &str) -> Result<i64, StoreError> {
        self.column(row, column)
    }

    pub(crate) fn unsigned(&self, row: &Row<'_>, column: &str) -> Result<u64, StoreError> {
        let number = self.number(row, column)?;
        u64::try_from(number).map_err(|_| self.corrupt(format!("column {column}: `{number}` is negative")))
    }

    pub(crate) fn column<T: FromSql>(&self, row: &Row<'_>, column: &str) -> Result<T, StoreError> {
        row.get(column).map_err(|error| match error {
            rusqlite::Error::InvalidColumnType(_, _, kind) => {
                self.corrupt(format!("column {column}: {kind} does not belong there"))
            }
            error => self.corrupt(format!("column {column}: {error}")),
        })
    }

    pub(crate) fn time(&self, row: &Row<'_>, column: &str) -> Result<Timestamp, StoreError> {
        let at = self.number(row, column)?;
        Timestamp::from_microsecond(at).map_err(|error| self.corrupt(format!("column {column}: {error}")))
    }
}

fn missing(what: &'static str, name: &str) -> StoreError {
    StoreError::NotFound {
        what,
        name: name.to_owned(),
    }
}

/// The question for sandboxes of a kind, and its values. What is destroyed has no part in the index of the live, so a
/// question about the live says so: what it costs must not grow with history.
fn select(filter: &SandboxFilter) -> (String, Vec<Value>) {
    let mut sql = format!("{SANDBOX} WHERE 1 = 1");
    let mut values = Vec::new();
    let mut bind = |value: &str| {
        values.push(Value::Text(value.to_owned()));
        format!("${}", values.len())
    };
    let asks_for_destroyed = match filter.states.is_empty() {
        true => filter.destroyed,
        false => filter.states.contains(&State::Destroyed),
    };
    if !asks_for_destroyed {
        sql += " AND state <> 'destroyed'";
    }
    if !filter.states.is_empty() {
        let names: Vec<_> = filter.states.iter().map(|state| bind(state.name())).collect();
        sql += &format!(" AND state IN ({})", names.join(", "));
    }
    if let Some(profile) = &filter.profile {
        sql += &format!(" AND profile_id = {}", bind(profile));
    }
    if let Some(project) = &filter.project {
        sql += &format!(" AND project = {}", bind(project));
    }
    sql += " ORDER BY created_at DESC, id DESC";
    (sql, values)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sandboxer_extension::port::{SystemClock, SystemIds};

    use super::*;

    #[tokio::test]
    async fn what_is_asked_of_the_live_does_not_read_the_dead() {
        let store = Store::open_in_memory(Arc::new(SystemClock), Arc::new(SystemIds))
            .await
            .unwrap();
        let usable = SandboxFilter {
            states: vec![State::Ready, State::Active],
            ..SandboxFilter::default()
        };
        for filter in [usable, SandboxFilter::default()] {
            let (sql, values) = select(&filter);
            let plan = store
                .rows(&format!("EXPLAIN QUERY PLAN {sql}"), params_from_iter(values), |row| {
                    store.text(row, "detail")
                })
                .unwrap();
            assert!(plan.iter().any(|line| line.contains("sandbox_live")), "{sql}: {plan:?}");
        }
    }
}
