//! The live sandbox a create returns instead of a new one.

use std::time::Duration;

use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::lifecycle::Reason;
use sandboxer_model::sandbox::Sandbox;

use crate::api::Progress;
use crate::engine::Engine;
use crate::operation::Pause;
use crate::prepare::Prepared;

/// How long the making of it by somebody else is waited for.
const PATIENCE: Duration = Duration::from_secs(600);

impl Engine {
    /// The usable sandbox of this scope: waits while another process makes it, takes over when that process died, and
    /// makes sure that it is still there. `None`: there is none, so one may be made.
    pub(crate) async fn live_of_scope(
        &self,
        prepared: &Prepared,
        progress: &dyn Progress,
    ) -> Result<Option<Sandbox>, UserError> {
        let Some(key) = &prepared.scope_key else {
            return Ok(None);
        };
        let mut pause = Pause::new(self);
        loop {
            let Some(mut record) = self.ports.store.sandbox_of_scope(key).await? else {
                return Ok(None);
            };
            if self.past_deadline(&record).is_some() {
                if self.expire_one(record.clone(), Reason::Ttl, progress).await?.is_some() {
                    continue;
                }
                // Somebody is at work on it, who may give it more time or end it: that is waited for like its making.
            } else {
                record = self.compared(record, progress).await?;
                if record.sandbox.state.is_usable() {
                    record = self.note_use(record).await?;
                    if record.sandbox.state.is_usable() {
                        return Ok(Some(record.sandbox));
                    }
                }
                if let Some(id) = &record.sandbox.operation_id {
                    let operation = self.ports.store.operation(id).await?;
                    if !operation.status.is_terminal() && !operation.lease_owner.is_empty() && self.is_free(&operation)
                    {
                        self.take_over(id, progress).await?;
                        continue;
                    }
                }
            }
            if record.facts.scope_key.is_some() && !pause.wait(PATIENCE).await {
                let what = format!(
                    "{}, which has this scope, is still {}",
                    record.sandbox.sandbox_id, record.sandbox.state
                );
                return Err(UserError::new(ErrorCode::Busy, what).hint("destroy it to start afresh"));
            }
        }
    }
}
