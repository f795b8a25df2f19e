//! Run a command inside.

use sandboxer_extension::{ErrorKind, ExecSession, LogsRequest};
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::id::EventId;
use sandboxer_model::lifecycle::{Reason, State};
use sandboxer_model::sandbox::Sandbox;
use sandboxer_store::{Change, Durability, NewEvent, SandboxRecord, StoreError};

use super::wrong_state;
use crate::api::{ExecCommand, Meant, Silent};
use crate::engine::Engine;
use crate::error::user_error;
use crate::operation::job::target;
use crate::operation::request;

impl Engine {
    pub(crate) async fn do_exec(&self, id: &str, cmd: ExecCommand) -> Result<Box<dyn ExecSession>, UserError> {
        let mut record = self.ports.store.find_sandbox(id).await?;
        if self.past_deadline(&record).is_some() {
            let id = record.sandbox.sandbox_id.clone();
            self.expire_one(record, Reason::Ttl, &Silent).await?;
            record = self.ports.store.sandbox(&id).await?;
        }
        if !record.sandbox.state.is_usable() {
            return Err(wrong_state(&record.sandbox, "run a command in"));
        }
        if cmd.argv.is_empty() {
            return Err(UserError::new(ErrorCode::Usage, "there is no command to run").hint("put it after `--`"));
        }
        let extension_id = record.sandbox.extension_id.clone().unwrap_or_default();
        let Some(extension) = self.ports.extensions.get(&extension_id) else {
            let what = format!("{extension_id}, which has the sandbox, is not part of this build");
            return Err(UserError::new(ErrorCode::MissingPrerequisite, what));
        };
        record = self.note_use(record).await?;
        if !record.sandbox.state.is_usable() {
            return Err(wrong_state(&record.sandbox, "run a command in"));
        }
        let call = self.call_for(&record, self.settings.timeouts.other);
        match extension.exec(&call, &target(&record), request(cmd, false)).await {
            Ok(session) => {
                // Written while the command already runs.
                let session = self.used_until_its_end(&record, session);
                // Nobody is told of it, so it need not survive a loss of power.
                self.mark_active(record, "first command", Durability::CrashOnly).await?;
                Ok(session)
            }
            // The sandbox may have ended without us: the record says so from now on, and the caller hears why.
            Err(error)
                if matches!(
                    error.kind,
                    ErrorKind::NotFound | ErrorKind::Unavailable | ErrorKind::Fenced
                ) =>
            {
                let fresh = self.ports.store.sandbox(&record.sandbox.sandbox_id).await?;
                let fresh = self.compared(fresh, &Silent).await?;
                match fresh.sandbox.state.is_usable() {
                    true => Err(user_error(&error)),
                    false => Err(wrong_state(&fresh.sandbox, "run a command in")),
                }
            }
            Err(error) => Err(user_error(&error)),
        }
    }

    pub(crate) async fn do_logs(&self, id: &str, request: LogsRequest) -> Result<Box<dyn ExecSession>, UserError> {
        let record = self.ports.store.find_sandbox(id).await?;
        if !record.sandbox.state.is_usable() {
            return Err(wrong_state(&record.sandbox, "show the logs of"));
        }
        let extension_id = record.sandbox.extension_id.clone().unwrap_or_default();
        let Some(extension) = self.ports.extensions.get(&extension_id) else {
            let what = format!("{extension_id}, which has the sandbox, is not part of this build");
            return Err(UserError::new(ErrorCode::MissingPrerequisite, what));
        };
        let call = self.call_for(&record, self.settings.timeouts.other);
        extension
            .logs(&call, &target(&record), request)
            .await
            .map_err(|error| user_error(&error))
    }

    /// Being active is not given back, so it does not matter who says it first: only what was read is compared.
    pub(crate) async fn do_activate(&self, meant: Meant<'_>) -> Result<Sandbox, UserError> {
        let mut record = self.ports.store.find_sandbox(meant.id).await?;
        meant.check(&record)?;
        if self.past_deadline(&record).is_some() {
            let id = record.sandbox.sandbox_id.clone();
            self.expire_one(record, Reason::Ttl, &Silent).await?;
            record = self.ports.store.sandbox(&id).await?;
        }
        if record.sandbox.state.is_usable() {
            record = self.note_use(record).await?;
            record = self.mark_active(record, "activated", Durability::Acknowledged).await?;
        }
        match record.sandbox.state.is_usable() {
            true => Ok(record.sandbox),
            false => Err(wrong_state(&record.sandbox, "activate")),
        }
    }

    /// The first use makes a ready sandbox active.
    async fn mark_active(
        &self,
        mut record: SandboxRecord,
        why: &str,
        durability: Durability,
    ) -> Result<SandboxRecord, UserError> {
        while record.sandbox.state == State::Ready {
            let now = self.ports.clock.now();
            record.sandbox.state = State::Active;
            record.sandbox.active_at = Some(now);
            record.sandbox.updated_at = now;
            let event = NewEvent {
                event_id: EventId::from_uuid(self.ports.ids.uuid()),
                at: now,
                kind: "state.active".to_owned(),
                state: State::Active,
                reason: None,
                summary: why.to_owned(),
                detail: serde_json::Value::Null,
            };
            let change = Change {
                events: vec![event],
                durability,
                ..Change::default()
            };
            match self.ports.store.commit(&mut record, &change).await {
                Ok(()) => break,
                Err(StoreError::Stale(id) | StoreError::Fenced(id)) => record = self.ports.store.sandbox(&id).await?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(record)
    }
}
