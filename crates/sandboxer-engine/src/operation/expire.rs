//! Remove a sandbox because its time passed.
//!
//! | step | do | undo | probe |
//! |---|---|---|---|
//! | `intend` | store `expired`, if the deadline that was read is still the deadline | — | nothing outside is touched |
//! | `teardown` | have the backend remove what its guard left and verify | — | asked again |
//! | `settle` | say `destroyed`, settle the meter | — | nothing outside is touched |

use jiff::Timestamp;
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::lifecycle::{Reason, State};
use sandboxer_model::operation::OperationKind;
use sandboxer_model::sandbox::Sandbox;
use sandboxer_store::{Due, SandboxRecord, StoreError};
use serde_json::json;

use super::job::Job;
use super::params::Params;
use super::step::{Commit, Fact, Step, nothing, stopped};
use super::teardown;
use crate::api::{ExpireAction, ExpireResult, Progress, Viewer};
use crate::engine::Engine;
use crate::faults::Safeguard;

pub(crate) const STEPS: &[&str] = &["intend", "teardown", "settle"];

const INTEND: Step = Step {
    name: "intend",
    act: nothing,
    apply: intend,
    commit: Commit::Now,
};

/// Sandboxes one `expire` looks at.
const MOST: u32 = 10_000;

impl Engine {
    pub(crate) async fn do_expire(
        &self,
        apply: bool,
        viewer: &Viewer,
        progress: &dyn Progress,
    ) -> Result<Vec<ExpireAction>, UserError> {
        let mut actions = Vec::new();
        for due in self.ports.store.due(self.me(), MOST).await? {
            let Due::Deadline(id) = due else { continue };
            let record = match self.ports.store.sandbox(&id).await {
                // The store remembers it; the others are not kept waiting for it.
                Err(StoreError::Damaged { .. }) => continue,
                record => record?,
            };
            if !viewer.sees(&record) {
                continue;
            }
            let Some(expired_at) = self.past_deadline(&record) else {
                continue;
            };
            let (result, error) = match apply {
                false => (ExpireResult::DryRun, None),
                true => match self.expire_one(record, Reason::Ttl, progress).await {
                    Ok(Some(_)) => (ExpireResult::Destroyed, None),
                    Ok(None) => continue,
                    Err(error) => (ExpireResult::Failed, Some(error.message)),
                },
            };
            actions.push(ExpireAction {
                sandbox_id: id,
                expired_at,
                reason: Reason::Ttl,
                result,
                error,
            });
        }
        Ok(actions)
    }

    /// The deadline of a usable sandbox, if it passed.
    pub(crate) fn past_deadline(&self, record: &SandboxRecord) -> Option<Timestamp> {
        let sandbox = &record.sandbox;
        let mut deadline = sandbox.state.is_usable().then_some(sandbox.expires_at).flatten()?;
        if self.is_off(Safeguard::StoredDeadline) {
            deadline = sandbox.ready_at?.checked_add(sandbox.ttl.as_signed()).ok()?;
        }
        (deadline <= self.time_of(record)).then_some(deadline)
    }

    /// Expires the sandbox of this record. `None`: it was extended, destroyed or is being worked on meanwhile, and
    /// was left alone. An extension moves the epoch this write is fenced by, so the two cannot both win.
    pub(crate) async fn expire_one(
        &self,
        record: SandboxRecord,
        reason: Reason,
        progress: &dyn Progress,
    ) -> Result<Option<Sandbox>, UserError> {
        if let Some(id) = &record.sandbox.operation_id {
            let operation = self.ports.store.operation(id).await?;
            if !operation.status.is_terminal() && !self.is_free(&operation) {
                return Ok(None);
            }
        }
        let params = Params {
            reason: Some(reason),
            ..Params::default()
        };
        let mut job = self.begin(record, OperationKind::Expire, params, progress).await?;
        match job.step(&INTEND).await {
            Ok(()) => {}
            Err(super::step::Stop::Fenced) => return Ok(None),
            Err(stop) => return Err(stopped(&stop, &job)),
        }
        match teardown::remove(&mut job).await {
            Ok(()) => Ok(Some(job.record.sandbox)),
            Err(error) if error.code == ErrorCode::Fenced => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn intend(job: &mut Job<'_>, _: Fact) {
    job.record.facts.scope_key = None;
    job.record.sandbox.reason = job.params.reason;
    let deadline = job.record.sandbox.expires_at;
    let why = match job.params.reason {
        Some(Reason::Idle) => "nobody used it for as long as its profile says",
        _ => "its time passed",
    };
    job.enter(
        State::Expired,
        why,
        json!({ "ttl": job.record.sandbox.ttl, "expires_at": deadline, "last_used_at": job.record.facts.last_used_at }),
    );
    job.enter(State::Destroying, "being removed", json!({}));
}

/// Goes on with an expiry that another process left.
pub(crate) async fn resume(job: &mut Job<'_>) -> Result<(), UserError> {
    teardown::remove(job).await
}
