//! Going from one candidate to the next when one failed.

use sandboxer_extension::{ErrorKind, ExtensionError};
use sandboxer_model::lifecycle::{Reason, State};
use sandboxer_model::operation::{OperationKind, OperationStatus};
use sandboxer_store::StoreError;
use serde_json::json;

use super::create;
use super::job::Job;
use super::params::CandidateFailure;
use super::step::{Fact, Stop};
use crate::error::failure;

/// Goes to the next candidate that has room; it is on record before it is asked. `false`: there is none.
pub(super) async fn move_on(job: &mut Job<'_>) -> Result<bool, Stop> {
    let before = job.record.clone();
    while next_candidate(job) {
        let (host, why) = match job.commit().await {
            Ok(()) => return Ok(true),
            Err(Stop::Store(StoreError::NoRoom { host, why })) => (host, why),
            Err(stop) => return Err(stop),
        };
        let full = ExtensionError::new(ErrorKind::Capacity, format!("cannot use host `{host}`: {why}"));
        note_failure(job, create::PLACE.name, &full);
        job.params.undo = Some(Reason::FailedAtStep);
        job.operation.status = OperationStatus::Undoing;
    }
    // Those that had no room were never its place.
    job.record.sandbox.extension_id = before.sandbox.extension_id;
    job.record.sandbox.host = before.sandbox.host;
    job.record.facts.address = before.facts.address;
    job.record.facts.quote = before.facts.quote;
    job.record.facts.reservation = before.facts.reservation;
    Ok(false)
}

/// Goes to the next candidate, if the last one failed by itself, is proven gone, and there is another.
fn next_candidate(job: &mut Job<'_>) -> bool {
    let is_creation = job.operation.kind == OperationKind::Create;
    let failed_by_itself =
        job.params.undo == Some(Reason::FailedAtStep) && job.record.sandbox.state == State::Provisioning;
    let next = job.record.facts.candidate + 1;
    if !is_creation || !failed_by_itself || job.frozen.route.accepted().nth(next).is_none() {
        return false;
    }
    job.params.undo = None;
    job.params.untouched = false;
    job.touched = false;
    job.operation.status = OperationStatus::Running;
    // Nothing that was asked of the one before may meet this one.
    job.record.sandbox.epoch = job.record.sandbox.epoch.next();
    job.record.facts.candidate = next;
    job.record.facts.handle = None;
    job.record.sandbox.ready_at = None;
    job.record.sandbox.expires_at = None;
    create::place(job, Fact::Nothing);
    let backend = job.record.sandbox.extension_id.clone().unwrap_or_default();
    job.tell(
        "route.next",
        format!("trying {backend}"),
        json!({ "extension_id": backend }),
    );
    true
}

/// Keeps why a candidate failed.
pub(super) fn note_failure(job: &mut Job<'_>, step: &str, error: &ExtensionError) {
    let sandbox = &mut job.record.sandbox;
    let mut noted = failure(step, error);
    // A backend that lost what it was making is a failed backend, not a wrong name.
    if error.kind == ErrorKind::NotFound {
        noted.code = sandboxer_model::error::ErrorCode::BackendFailed;
    }
    sandbox.error = Some(noted.clone());
    let extension_id = sandbox.extension_id.clone().unwrap_or_default();
    let detail = json!({ "extension_id": extension_id, "host": sandbox.host, "error": noted });
    job.params.failures.push(CandidateFailure {
        extension_id: extension_id.clone(),
        host: sandbox.host.clone(),
        failure: noted,
    });
    job.tell(
        "step.failed",
        format!("{step} failed on {extension_id}: {}", error.message),
        detail,
    );
}
