//! The steps every removal shares: tear down, then say `destroyed` only if absence was proven.

use sandboxer_extension::{Ended, ErrorKind, ExtensionError, Removal};
use sandboxer_model::cleanup::{CleanupItem, CleanupReport, Presence};
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::lifecycle::{Reason, State};
use sandboxer_model::operation::OperationStatus;
use sandboxer_model::sandbox::Failure;
use sandboxer_store::MeterRow;
use serde_json::json;

use super::job::Job;
use super::params::Ending;
use super::step::{Act, Commit, Fact, Step, Stop, nothing, stopped};
use crate::faults::Safeguard;

/// Tries to prove absence before the operation is called stuck: what was killed may take a moment to go.
const PROOFS: u32 = 3;
/// When a stuck operation is tried again by itself; doubles each time, up to about an hour, so that one that stays stuck
/// neither fills the journal nor slows every command.
const STUCK_PAUSE: std::time::Duration = std::time::Duration::from_secs(30);
/// Times the pause doubles.
const DOUBLINGS: u32 = 7;

/// do: remove everything, verify · undo: none · probe: asked again, not found is success. Its outcome is written with
/// the step that draws the conclusion: until then the sandbox is `destroying`, which is true.
pub(crate) const TEARDOWN: Step = Step {
    name: "teardown",
    act: ask,
    apply: note,
    commit: Commit::WithNext,
};

/// do: say what the removal came to · undo: none · probe: none, nothing outside is touched.
pub(crate) const SETTLE: Step = Step {
    name: "settle",
    act: nothing,
    apply: settle,
    commit: Commit::Now,
};

fn ask<'j>(job: &'j Job<'_>) -> Act<'j> {
    Box::pin(async move {
        if job.record.sandbox.extension_id.is_none() || job.params.untouched {
            return Ok(Fact::TornDown(Box::new(nothing_there(job))));
        }
        let extension = job.extension()?;
        let call = job.call(job.engine.settings.timeouts.teardown);
        let target = job.target();
        let removal = match extension.teardown(&call, &target).await {
            Err(_) if job.engine.is_off(Safeguard::ErrorIsNotAbsence) => nothing_there(job),
            outcome => outcome?,
        };
        Ok(Fact::TornDown(Box::new(removal)))
    })
}

fn nothing_there(job: &Job<'_>) -> Removal {
    let item = CleanupItem {
        kind: "backend".to_owned(),
        name: job.record.sandbox.sandbox_id.to_string(),
        found: false,
        now: Presence::Absent,
        detail: "the backend was asked for nothing".to_owned(),
    };
    Removal {
        report: CleanupReport::new(vec![item]),
        ..Removal::default()
    }
}

fn note(job: &mut Job<'_>, fact: Fact) {
    if let Fact::TornDown(removal) = fact {
        let sandbox = &mut job.record.sandbox;
        sandbox.cleanup = Some(removal.report);
        sandbox.meter.usage = removal.usage.or(sandbox.meter.usage.take());
        // A `run` whose sandbox ended under its command learns only here why.
        if job.params.run && sandbox.reason.is_none() {
            sandbox.reason = removal.ended.map(|ended| match ended {
                Ended::Deadline => Reason::Ttl,
                Ended::Killed | Ended::OutOfMemory | Ended::OutOfDisk => Reason::ProviderLost,
            });
            job.ended = removal.ended;
        }
    }
}

/// Tears down until absence is proven, a few times.
pub(crate) async fn tear_down(job: &mut Job<'_>) -> Result<(), Stop> {
    job.cancel = None;
    let mut proof = 1;
    loop {
        job.step(&TEARDOWN).await?;
        let report = job.record.sandbox.cleanup.clone().unwrap_or_default();
        let unknown = report.verified == Presence::Unknown;
        if report.verified == Presence::Absent || (unknown && job.engine.is_off(Safeguard::UnknownIsNotAbsence)) {
            return Ok(());
        }
        if proof == PROOFS {
            return Err(Stop::Failed {
                step: TEARDOWN.name,
                error: not_proven(&report),
            });
        }
        job.pause(proof).await?;
        proof += 1;
    }
}

fn not_proven(report: &CleanupReport) -> ExtensionError {
    let left: Vec<String> = report
        .leftovers()
        .into_iter()
        .map(|item| match item.detail.as_str() {
            "" => format!("{} {}", item.kind, item.name),
            why => format!("{} {} ({why})", item.kind, item.name),
        })
        .collect();
    let what = if left.is_empty() {
        "the backend listed nothing it looked for".to_owned()
    } else {
        left.join(", ")
    };
    ExtensionError::new(ErrorKind::Failed, format!("absence is not proven: {what}"))
}

/// Tears down and settles; ends as `stuck` when absence cannot be proven.
pub(crate) async fn remove(job: &mut Job<'_>) -> Result<(), UserError> {
    let outcome = match tear_down(job).await {
        Ok(()) => job.step(&SETTLE).await,
        Err(stop) => Err(stop),
    };
    match outcome {
        Ok(()) => Ok(()),
        Err(Stop::Failed { step, error }) => Err(stuck(job, step, &error).await),
        Err(stop) => Err(stopped(&stop, job)),
    }
}

fn settle(job: &mut Job<'_>, _: Fact) {
    job.acknowledge();
    match job.params.ending {
        Ending::Destroyed => gone(job),
        Ending::Failed => {
            bill(job);
            job.record.facts.reservation = None;
            let detail = json!({ "cleanup": job.record.sandbox.cleanup });
            job.tell("cleanup.proven", "nothing of it is left", detail);
        }
    }
    job.close(OperationStatus::Succeeded, None);
}

/// Absence is proven: says so, and settles the meter.
pub(crate) fn gone(job: &mut Job<'_>) {
    let reason = job
        .record
        .sandbox
        .reason
        .or(job.params.reason)
        .or(job.params.undo)
        .unwrap_or(Reason::DestroyedByRequest);
    job.record.sandbox.reason = Some(reason).filter(|_| !job.engine.is_off(Safeguard::Reason));
    job.record.facts.scope_key = None;
    if !job.engine.is_off(Safeguard::Release) {
        job.record.facts.reservation = None;
    }
    job.enter(State::Destroying, "being removed", json!({}));
    bill(job);
    job.record.sandbox.destroyed_at = Some(job.engine.ports.clock.now());
    if job.params.undo.is_none()
        && job
            .record
            .sandbox
            .error
            .as_ref()
            .is_some_and(|e| e.code == ErrorCode::Stuck)
    {
        job.record.sandbox.error = None;
    }
    let detail = json!({ "cleanup": job.record.sandbox.cleanup, "meter": job.record.sandbox.meter });
    job.enter(State::Destroyed, format!("gone, proven; {reason}"), detail);
}

/// Settles the meter of this stretch of life; once, however often it is called.
pub(crate) fn bill(job: &mut Job<'_>) {
    let Some(ready_at) = job.record.sandbox.ready_at else {
        return;
    };
    if job.record.sandbox.meter.actual.is_some() {
        return;
    }
    let until = job
        .params
        .lived_until
        .unwrap_or_else(|| job.engine.time_of(&job.record));
    let lived = until.duration_since(ready_at).as_millis().max(0);
    let lived = u64::try_from(lived).unwrap_or(u64::MAX);
    let rate = job
        .record
        .facts
        .quote
        .as_ref()
        .map(|quote| quote.per_hour)
        .unwrap_or_default();
    let cost = rate.per_hour_for(lived.div_ceil(1000));
    let sandbox = &mut job.record.sandbox;
    sandbox.meter.duration_ms = Some(lived);
    sandbox.meter.actual = Some(cost);
    let period = sandbox.generation;
    let quantity = i64::try_from(lived).unwrap_or(i64::MAX);
    job.change().meters.push(MeterRow {
        meter: "duration_ms".to_owned(),
        period,
        quantity,
        cost_micros: cost.0,
    });
}

/// Absence could not be proven: the sandbox stays `destroying`, visibly stuck, and the operation waits for its next try.
pub(crate) async fn stuck(job: &mut Job<'_>, step: &str, error: &ExtensionError) -> UserError {
    let id = job.record.sandbox.sandbox_id.clone();
    let message = format!("cannot remove {id}: {}", error.message);
    let hint = error
        .hint
        .clone()
        .unwrap_or_else(|| format!("clear what is in the way, then `sandboxer destroy {id}` again"));
    let failure = Failure {
        code: ErrorCode::Stuck,
        step: Some(step.to_owned()),
        message: message.clone(),
        hint: Some(hint.clone()),
    };
    let detail = json!({ "error": failure, "cleanup": job.record.sandbox.cleanup });
    let told = job.record.sandbox.error.replace(failure.clone()) == Some(failure);
    job.record.facts.scope_key = None;
    if job.record.sandbox.reason.is_none() {
        job.record.sandbox.reason = job.params.reason.or(job.params.undo);
    }
    job.enter(State::Destroying, "being removed", json!({}));
    if !told {
        job.tell("operation.stuck", message.clone(), detail);
    }
    job.operation.status = OperationStatus::Stuck;
    job.operation.error = Some(message.clone());
    job.operation.lease_owner = String::new();
    job.operation.lease_until = job.engine.ports.clock.now() + STUCK_PAUSE * 2u32.pow(job.params.stuck.min(DOUBLINGS));
    job.params.stuck += 1;
    job.acknowledge();
    match job.commit().await {
        Ok(()) => UserError::new(ErrorCode::Stuck, message).hint(hint),
        Err(stop) => stopped(&stop, job),
    }
}
