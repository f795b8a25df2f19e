//! Remove a sandbox, with proof.
//!
//! | step | do | undo | probe |
//! |---|---|---|---|
//! | `intend` | store that it is to go, under a new epoch | — | nothing outside is touched |
//! | `teardown` | have the backend remove it and verify | — | asked again: not found is success |
//! | `settle` | say `destroyed`, settle the meter | — | nothing outside is touched |
//!
//! Two commits: the intent, which from then on shuts out whoever was at work on the sandbox, and the outcome.

use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::lifecycle::{Reason, State};
use sandboxer_model::operation::{OperationKind, OperationStatus};
use sandboxer_model::sandbox::{Failure, Sandbox};
use sandboxer_store::{SandboxRecord, StoreError};
use serde_json::json;

use super::job::Job;
use super::params::{Ending, Params};
use super::step::{Commit, Fact, Step, nothing, stopped};
use super::teardown;
use crate::api::{Destroyed, Meant, Progress};
use crate::engine::Engine;

pub(crate) const STEPS: &[&str] = &["intend", "teardown", "settle"];

const INTEND: Step = Step {
    name: "intend",
    act: nothing,
    apply: intend,
    commit: Commit::Now,
};

/// Times another process may change the sandbox between reading and writing before this is called busy.
const ATTEMPTS: u32 = 50;

impl Engine {
    pub(crate) async fn do_destroy(
        &self,
        mut meant: Meant<'_>,
        progress: &dyn Progress,
    ) -> Result<Destroyed, UserError> {
        let mut record = self.ports.store.find_sandbox(meant.id).await?;
        let already = record.sandbox.state == State::Destroyed;
        for _ in 0..ATTEMPTS {
            meant.check(&record)?;
            if record.sandbox.state == State::Destroyed {
                return Ok(receipt(record.sandbox, already));
            }
            // Somebody else's removal is as good as ours: wait for it, and take it over only if that process dies.
            if self.removal_under_way(&record, progress).await? {
                meant.revisions = None;
                record = self.ports.store.sandbox(&record.sandbox.sandbox_id).await?;
                continue;
            }
            let params = Params {
                reason: Some(Reason::DestroyedByRequest),
                ..Params::default()
            };
            match self.remove(record.clone(), params, meant, progress).await {
                Ok(sandbox) => return Ok(receipt(sandbox, false)),
                // What was meant is on its way out, or any version was.
                Err(error) if error.code == ErrorCode::Fenced => {
                    meant.revisions = None;
                    record = self.ports.store.sandbox(&record.sandbox.sandbox_id).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Stale(record.sandbox.sandbox_id).into())
    }

    /// Removes a sandbox as a new operation that supersedes whatever runs on it.
    async fn remove(
        &self,
        record: SandboxRecord,
        params: Params,
        meant: Meant<'_>,
        progress: &dyn Progress,
    ) -> Result<Sandbox, UserError> {
        let mut job = self.begin(record, OperationKind::Destroy, params, progress).await?;
        job.is_exact = meant.revisions.is_some();
        match job.step(&INTEND).await {
            Ok(()) => {}
            Err(stop) => return Err(meant.overtaken(stopped(&stop, &job))),
        }
        teardown::remove(&mut job).await?;
        Ok(job.record.sandbox)
    }

    /// Records that a sandbox ended by itself, removes what is left of it, and leaves it `failed` for people to see.
    pub(crate) async fn lose(
        &self,
        record: SandboxRecord,
        message: String,
        progress: &dyn Progress,
    ) -> Result<Sandbox, UserError> {
        let params = Params {
            reason: Some(Reason::ProviderLost),
            ending: Ending::Failed,
            ..Params::default()
        };
        let mut job = self.begin(record, OperationKind::Destroy, params, progress).await?;
        let hint = format!(
            "remove the record with `sandboxer destroy {0}`, or make it again with `sandboxer recreate {0}`",
            job.record.sandbox.sandbox_id
        );
        job.record.sandbox.error = Some(Failure {
            code: ErrorCode::BackendFailed,
            step: None,
            message,
            hint: Some(hint),
        });
        match job.step(&INTEND).await {
            Ok(()) => {}
            Err(stop) => return Err(stopped(&stop, &job)),
        }
        teardown::remove(&mut job).await?;
        Ok(job.record.sandbox)
    }
}

/// do: store that it ended with its host; nobody can be asked · undo: none · probe: none, nothing outside is touched.
const GIVE_UP: Step = Step {
    name: "intend",
    act: nothing,
    apply: given_up,
    commit: Commit::Now,
};

impl Engine {
    /// Ends a sandbox whose host is gone for good: one commit, which shuts out whoever is at work on it.
    pub(crate) async fn give_up(
        &self,
        record: SandboxRecord,
        host: &str,
        lived_until: Option<jiff::Timestamp>,
        progress: &dyn Progress,
    ) -> Result<(), UserError> {
        let params = Params {
            reason: Some(Reason::HostLost),
            ending: Ending::Failed,
            lived_until,
            ..Params::default()
        };
        let mut job = self.begin(record, OperationKind::Destroy, params, progress).await?;
        job.record.sandbox.error = Some(Failure {
            code: ErrorCode::Unavailable,
            step: None,
            message: format!("its host {host} is gone for good; whether anything of it is left there cannot be told"),
            hint: Some(format!(
                "make it again on another host with `sandboxer create`; should {host} come back, what is left is removed"
            )),
        });
        match job.step(&GIVE_UP).await {
            Ok(()) => Ok(()),
            Err(stop) => Err(stopped(&stop, &job)),
        }
    }
}

fn given_up(job: &mut Job<'_>, _: Fact) {
    job.acknowledge();
    job.record.facts.scope_key = None;
    job.record.facts.reservation = None;
    // What ended it first stays the reason; that it ended with its host is what the error says.
    job.record.sandbox.reason = job.record.sandbox.reason.or(job.params.reason);
    teardown::bill(job);
    let error = job.record.sandbox.error.clone();
    let message = error.as_ref().map(|error| error.message.clone()).unwrap_or_default();
    if job.record.sandbox.state == State::Failed {
        job.tell("host.lost", message, json!({ "error": error }));
    } else {
        job.enter(
            State::Failed,
            message,
            json!({ "error": error, "meter": job.record.sandbox.meter }),
        );
    }
    job.close(OperationStatus::Succeeded, None);
}

fn intend(job: &mut Job<'_>, _: Fact) {
    job.record.facts.scope_key = None;
    // What ended it first stays the reason.
    job.record.sandbox.reason = job.record.sandbox.reason.or(job.params.reason);
    match job.params.ending {
        Ending::Destroyed => job.enter(State::Destroying, "being removed", json!({})),
        Ending::Failed => {
            let message = job
                .record
                .sandbox
                .error
                .as_ref()
                .map(|error| error.message.clone())
                .unwrap_or_default();
            let detail = json!({ "error": job.record.sandbox.error });
            job.enter(State::Failed, message, detail);
        }
    }
}

/// Goes on with a removal that another process left.
pub(crate) async fn resume(job: &mut Job<'_>) -> Result<(), UserError> {
    // A lost sandbox whose removal got stuck is `destroying`, and ends destroyed.
    if job.record.sandbox.state == State::Destroying {
        job.params.ending = Ending::Destroyed;
    }
    teardown::remove(job).await
}

fn receipt(sandbox: Sandbox, already: bool) -> Destroyed {
    Destroyed {
        sandbox_id: sandbox.sandbox_id,
        state: sandbox.state,
        reason: sandbox.reason,
        already,
        cleanup: sandbox.cleanup,
        error: sandbox.error,
    }
}

/// Marks an operation as superseded by a newer one.
pub(crate) fn supersede(operation: &mut sandboxer_store::OperationRecord, by: OperationKind) {
    operation.status = OperationStatus::Failed;
    operation.error = Some(format!("superseded by {}", by.name()));
}
