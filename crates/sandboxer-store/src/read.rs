//! The ways to ask the store.

use jiff::Timestamp;
use sandboxer_model::event::Event;
use sandboxer_model::id::{OperationId, SandboxId};
use sandboxer_model::lifecycle::State;
use sandboxer_model::operation::{Epoch, OperationKind, OperationStatus};
use serde::de::DeserializeOwned;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite};

use crate::error::StoreError;
use crate::open::Store;
use crate::record::{Frozen, MeterRow, OperationRecord, SandboxRecord, StepPhase, StepRecord, StepStatus, Stored};

/// Characters of the body an id prefix needs at least.
const PREFIX_LEN: usize = 3;
/// Matches an ambiguous prefix is answered with at most.
const MATCHES: usize = 5;
const SANDBOX: &str = "SELECT record, epoch, revision, state FROM sandbox";
const OPERATION: &str = "SELECT id, kind, sandbox_id, params, status, step, lease_owner, lease_until, epoch, \
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

/// Something that waits for a process to take it up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// An operation that another process holds or held, or that nobody holds and whose time has come.
    Operation {
        /// Which.
        operation_id: OperationId,
        /// Who holds it; empty: nobody.
        lease_owner: String,
        /// Until when an owner that cannot be asked is believed.
        lease_until: Timestamp,
    },
    /// A sandbox whose deadline passed.
    Deadline(SandboxId),
}

impl Store {
    /// The sandbox of this id.
    ///
    /// # Errors
    /// `NotFound`, and those of the file.
    pub async fn sandbox(&self, id: &SandboxId) -> Result<SandboxRecord, StoreError> {
        let sql = format!("{SANDBOX} WHERE id = $1");
        let row = self.one(sql, id.as_str().to_owned()).await?;
        let row = row.ok_or_else(|| StoreError::NotFound {
            what: "sandbox",
            name: id.to_string(),
        })?;
        self.read_sandbox(&row)
    }

    /// The sandbox whose id is this or starts with it, with or without `sbx-`.
    ///
    /// # Errors
    /// `NotFound`, `TooShort`, `Ambiguous`, and those of the file.
    pub async fn find_sandbox(&self, id_or_prefix: &str) -> Result<SandboxRecord, StoreError> {
        if let Ok(id) = id_or_prefix.parse::<SandboxId>() {
            return self.sandbox(&id).await;
        }
        let missing = || StoreError::NotFound {
            what: "sandbox",
            name: id_or_prefix.to_owned(),
        };
        let lower = id_or_prefix.trim().to_ascii_lowercase();
        let body = lower.strip_prefix("sbx-").unwrap_or(&lower);
        if !body.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(missing());
        }
        if body.len() < PREFIX_LEN {
            return Err(StoreError::TooShort(id_or_prefix.to_owned()));
        }
        let mut query = QueryBuilder::<Sqlite>::new(SANDBOX);
        query.push(" WHERE id >= ").push_bind(format!("sbx-{body}"));
        // `{` follows `z`: the first string that no longer starts with the prefix.
        query.push(" AND id < ").push_bind(format!("sbx-{body}{{"));
        query
            .push(" ORDER BY id LIMIT ")
            .push_bind(i64::try_from(MATCHES).unwrap_or(5));
        let rows = self.rows(query).await?;
        match rows.as_slice() {
            [] => Err(missing()),
            [row] => self.read_sandbox(row),
            several => {
                let records: Result<Vec<_>, _> = several.iter().map(|row| self.read_sandbox(row)).collect();
                let matches = records?.into_iter().map(|record| record.sandbox.sandbox_id).collect();
                Err(StoreError::Ambiguous {
                    prefix: id_or_prefix.to_owned(),
                    matches,
                })
            }
        }
    }

    /// The live sandbox that has this scope.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn sandbox_of_scope(&self, scope_key: &str) -> Result<Option<SandboxRecord>, StoreError> {
        let row = self
            .one(format!("{SANDBOX} WHERE scope_key = $1"), scope_key.to_owned())
            .await?;
        row.map(|row| self.read_sandbox(&row)).transpose()
    }

    /// Sandboxes, newest first.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn sandboxes(&self, filter: &SandboxFilter) -> Result<Vec<SandboxRecord>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(SANDBOX);
        query.push(" WHERE 1 = 1");
        if !filter.states.is_empty() {
            query.push(" AND state IN (");
            let mut names = query.separated(", ");
            for state in &filter.states {
                names.push_bind(state.name());
            }
            query.push(")");
        } else if !filter.destroyed {
            query.push(" AND state <> 'destroyed'");
        }
        if let Some(profile) = &filter.profile {
            query.push(" AND profile_id = ").push_bind(profile.clone());
        }
        if let Some(project) = &filter.project {
            query.push(" AND project = ").push_bind(project.clone());
        }
        query.push(" ORDER BY created_at DESC, id DESC");
        self.rows(query)
            .await?
            .iter()
            .map(|row| self.read_sandbox(row))
            .collect()
    }

    /// What never changes of a sandbox.
    ///
    /// # Errors
    /// `NotFound`, and those of the file.
    pub async fn frozen(&self, id: &SandboxId) -> Result<Frozen, StoreError> {
        let row = self
            .one(
                "SELECT record FROM frozen WHERE sandbox_id = $1".to_owned(),
                id.as_str().to_owned(),
            )
            .await?;
        let row = row.ok_or_else(|| StoreError::NotFound {
            what: "sandbox",
            name: id.to_string(),
        })?;
        self.parse(&self.text(&row, "record")?)
    }

    /// The operation of this id.
    ///
    /// # Errors
    /// `NotFound`, and those of the file.
    pub async fn operation(&self, id: &OperationId) -> Result<OperationRecord, StoreError> {
        let row = self
            .one(format!("{OPERATION} WHERE id = $1"), id.as_str().to_owned())
            .await?;
        let row = row.ok_or_else(|| StoreError::NotFound {
            what: "operation",
            name: id.to_string(),
        })?;
        self.read_operation(&row)
    }

    /// Every operation on a sandbox, oldest first.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn operations(&self, sandbox: &SandboxId) -> Result<Vec<OperationRecord>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(OPERATION);
        query
            .push(" WHERE sandbox_id = ")
            .push_bind(sandbox.as_str().to_owned())
            .push(" ORDER BY created_at, id");
        self.rows(query)
            .await?
            .iter()
            .map(|row| self.read_operation(row))
            .collect()
    }

    /// The steps of an operation, in order.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn steps(&self, operation: &OperationId) -> Result<Vec<StepRecord>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT seq, name, phase, attempt, status, output, error, started_at, duration_us FROM operation_step",
        );
        query
            .push(" WHERE operation_id = ")
            .push_bind(operation.as_str().to_owned())
            .push(" ORDER BY seq");
        self.rows(query)
            .await?
            .iter()
            .map(|row| self.read_step(operation, row))
            .collect()
    }

    /// What happened: to one sandbox in its order, or to all in order of time.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn events(&self, sandbox: Option<&SandboxId>) -> Result<Vec<Event>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT seq, record FROM event");
        match sandbox {
            Some(id) => query
                .push(" WHERE sandbox_id = ")
                .push_bind(id.as_str().to_owned())
                .push(" ORDER BY seq"),
            None => query.push(" ORDER BY at, sandbox_id, seq"),
        };
        let rows = self.rows(query).await?;
        rows.iter()
            .map(|row| {
                let mut event: Event = self.parse(&self.text(row, "record")?)?;
                event.seq = u64::try_from(self.number(row, "seq")?).unwrap_or(0);
                Ok(event)
            })
            .collect()
    }

    /// What was metered of a sandbox.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn meters(&self, sandbox: &SandboxId) -> Result<Vec<MeterRow>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT meter, period, quantity, cost_micros FROM meter");
        query
            .push(" WHERE sandbox_id = ")
            .push_bind(sandbox.as_str().to_owned())
            .push(" ORDER BY period, meter");
        let rows = self.rows(query).await?;
        rows.iter()
            .map(|row| {
                Ok(MeterRow {
                    meter: self.text(row, "meter")?,
                    period: u32::try_from(self.number(row, "period")?).unwrap_or(0),
                    quantity: self.number(row, "quantity")?,
                    cost_micros: self.number(row, "cost_micros")?,
                })
            })
            .collect()
    }

    /// What waits for a process to take it up, apart from what `me` is doing itself: one indexed query.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn due(&self, me: &str, limit: u32) -> Result<Vec<Due>, StoreError> {
        let now = self.clock().now().as_microsecond();
        let mut query =
            QueryBuilder::<Sqlite>::new("SELECT id, lease_owner, lease_until FROM operation WHERE is_open = 1");
        query.push(" AND lease_owner <> ").push_bind(me.to_owned());
        query
            .push(" AND (lease_owner <> '' OR lease_until <= ")
            .push_bind(now)
            .push(")");
        query.push(" UNION ALL SELECT id, NULL, deadline FROM sandbox WHERE deadline IS NOT NULL AND deadline <= ");
        query.push_bind(now).push(" LIMIT ").push_bind(i64::from(limit));
        let rows = self.rows(query).await?;
        rows.iter()
            .map(|row| {
                let id = self.text(row, "id")?;
                Ok(match self.optional(row, "lease_owner")? {
                    Some(lease_owner) => Due::Operation {
                        operation_id: id
                            .parse()
                            .map_err(|_| self.corrupt(format!("`{id}` is no operation id")))?,
                        lease_owner,
                        lease_until: self.time(row, "lease_until")?,
                    },
                    None => Due::Deadline(
                        id.parse()
                            .map_err(|_| self.corrupt(format!("`{id}` is no sandbox id")))?,
                    ),
                })
            })
            .collect()
    }

    async fn one(&self, sql: String, key: String) -> Result<Option<SqliteRow>, StoreError> {
        let mut connection = self.connection().await?;
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(key);
        query
            .fetch_optional(&mut connection.sqlite)
            .await
            .map_err(|error| self.classify(&error))
    }

    async fn rows(&self, mut query: QueryBuilder<Sqlite>) -> Result<Vec<SqliteRow>, StoreError> {
        let mut connection = self.connection().await?;
        query
            .build()
            .fetch_all(&mut connection.sqlite)
            .await
            .map_err(|error| self.classify(&error))
    }

    fn read_sandbox(&self, row: &SqliteRow) -> Result<SandboxRecord, StoreError> {
        let mut record: SandboxRecord = self.parse(&self.text(row, "record")?)?;
        let state = self.text(row, "state")?;
        let state = State::from_name(&state).ok_or_else(|| self.corrupt(format!("`{state}` is no state")))?;
        let epoch = Epoch(u64::try_from(self.number(row, "epoch")?).unwrap_or(0));
        record.stored = Some(Stored {
            epoch,
            revision: self.number(row, "revision")?,
            state,
        });
        Ok(record)
    }

    fn read_operation(&self, row: &SqliteRow) -> Result<OperationRecord, StoreError> {
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
            epoch: Epoch(u64::try_from(self.number(row, "epoch")?).unwrap_or(0)),
            created_at: self.time(row, "created_at")?,
            error: self.optional(row, "error")?,
        })
    }

    fn read_step(&self, operation: &OperationId, row: &SqliteRow) -> Result<StepRecord, StoreError> {
        let duration: Option<i64> = row.try_get("duration_us").map_err(|error| self.classify(&error))?;
        let small = |value: i64| u32::try_from(value).unwrap_or(0);
        Ok(StepRecord {
            operation_id: operation.clone(),
            seq: small(self.number(row, "seq")?),
            name: self.text(row, "name")?,
            phase: match self.text(row, "phase")?.as_str() {
                "undo" => StepPhase::Undo,
                _ => StepPhase::Do,
            },
            attempt: small(self.number(row, "attempt")?),
            status: match self.text(row, "status")?.as_str() {
                "done" => StepStatus::Done,
                "failed" => StepStatus::Failed,
                _ => StepStatus::Started,
            },
            output: self.parse(&self.text(row, "output")?)?,
            error: self.optional(row, "error")?,
            started_at: self.time(row, "started_at")?,
            duration_us: duration.and_then(|value| u64::try_from(value).ok()),
        })
    }

    fn parse<T: DeserializeOwned>(&self, json: &str) -> Result<T, StoreError> {
        serde_json::from_str(json).map_err(|error| self.corrupt(format!("a record cannot be read: {error}")))
    }

    fn text(&self, row: &SqliteRow, column: &str) -> Result<String, StoreError> {
        row.try_get(column)
            .map_err(|error| self.corrupt(format!("column {column}: {error}")))
    }

    fn optional(&self, row: &SqliteRow, column: &str) -> Result<Option<String>, StoreError> {
        row.try_get(column)
            .map_err(|error| self.corrupt(format!("column {column}: {error}")))
    }

    fn number(&self, row: &SqliteRow, column: &str) -> Result<i64, StoreError> {
        row.try_get(column)
            .map_err(|error| self.corrupt(format!("column {column}: {error}")))
    }

    fn time(&self, row: &SqliteRow, column: &str) -> Result<Timestamp, StoreError> {
        let at = self.number(row, column)?;
        Timestamp::from_microsecond(at).map_err(|error| self.corrupt(format!("column {column}: {error}")))
    }
}
