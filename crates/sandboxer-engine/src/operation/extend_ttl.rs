//! Move the deadline of a sandbox later.
//!
//! | step | do | undo | probe |
//! |---|---|---|---|
//! | `intend` | store the new deadline with the operation, under a new epoch | — | nothing outside is touched |
//! | `move_guard` | have the backend's guard keep the new deadline | — | asked again: the same deadline is no change |
//! | `settle` | store the deadline; only now is it acknowledged | — | nothing outside is touched |
//!
//! The guard moves before anybody is told, so an acknowledged deadline is one the guard keeps. The new epoch shuts out
//! an expirer that read the old deadline; an expirer that came first shuts out `settle`, and nobody was told.

use jiff::{SignedDuration, Timestamp};
use sandboxer_extension::{ErrorKind, ExtensionError};
use sandboxer_model::duration::Span;
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::operation::{OperationKind, OperationStatus};
use sandboxer_model::sandbox::Sandbox;
use sandboxer_store::SandboxRecord;
use serde_json::json;

use super::job::Job;
use super::params::Params;
use super::step::{Act, Commit, Fact, Step, Stop, nothing, stopped};
use crate::api::{Extend, Meant, Silent};
use crate::engine::Engine;
use crate::faults::Safeguard;
use crate::query::wrong_state;

pub(crate) const STEPS: &[&str] = &["intend", "move_guard", "settle"];

const INTEND: Step = Step {
    name: "intend",
    act: nothing,
    apply: intend,
    commit: Commit::Now,
};
const MOVE_GUARD: Step = Step {
    name: "move_guard",
    act: ask,
    apply: guarded,
    commit: Commit::WithNext,
};
const SETTLE: Step = Step {
    name: "settle",
    act: nothing,
    apply: settle,
    commit: Commit::Now,
};

impl Engine {
    pub(crate) async fn do_extend(&self, meant: Meant<'_>, by: Extend) -> Result<Sandbox, UserError> {
        let record = self.ports.store.find_sandbox(meant.id).await?;
        meant.check(&record)?;
        let record = self.settle_first(record, &Silent).await?;
        let record = self.compared(record, &Silent).await?;
        meant.check(&record)?;
        let sandbox = &record.sandbox;
        let (Some(ready_at), Some(expires_at), true) =
            (sandbox.ready_at, sandbox.expires_at, sandbox.state.is_usable())
        else {
            return Err(wrong_state(sandbox, "extend the time of"));
        };
        let deadline = self.new_deadline(&record, ready_at, expires_at, by).await?;
        if deadline <= expires_at {
            // Already kept at least that long; saying so twice is safe.
            return Ok(record.sandbox);
        }
        let params = Params {
            deadline: Some(deadline),
            ..Params::default()
        };
        let mut job = self.begin(record, OperationKind::ExtendTtl, params, &Silent).await?;
        job.is_exact = meant.revisions.is_some();
        // Until the guard was asked, going on after a crash would move a deadline nobody was told of: so it does not
        // matter whether this survives a loss of power.
        match job.forward(&[&INTEND]).await {
            Ok(()) => {}
            Err(stop) => return Err(meant.overtaken(give_up(&mut job, stop).await)),
        }
        match job.forward(&[&MOVE_GUARD, &SETTLE]).await {
            Ok(()) => Ok(job.record.sandbox),
            Err(stop) => Err(give_up(&mut job, stop).await),
        }
    }

    async fn new_deadline(
        &self,
        record: &SandboxRecord,
        ready_at: Timestamp,
        expires_at: Timestamp,
        by: Extend,
    ) -> Result<Timestamp, UserError> {
        let frozen = self.ports.store.frozen(&record.sandbox.sandbox_id).await?;
        let now = self.ports.clock.now();
        let max = frozen.profile.ttl.max;
        let deadline = match by {
            Extend::By(span) => self
                .time_of(record)
                .max(expires_at)
                .checked_add(span.as_signed())
                .unwrap_or(Timestamp::MAX),
            Extend::Until(at) => self.drift_of(record).map_or(at, |drift| plus(at, drift)),
        };
        if let Extend::Until(at) = by
            && at <= now
        {
            let what = format!("cannot move the deadline to {at}: that is in the past");
            return Err(UserError::new(ErrorCode::InvalidTtl, what).hint("to end it now, destroy it"));
        }
        let latest = ready_at.checked_add(max.as_signed()).unwrap_or(Timestamp::MAX);
        if deadline > latest {
            let total =
                Span::from_secs(deadline.duration_since(ready_at).as_secs().unsigned_abs()).unwrap_or(Span::MAX);
            let what = format!(
                "cannot extend to {deadline}: {total} since ready is over the maximum of {}, {max}",
                frozen.profile.id
            );
            return Err(
                UserError::new(ErrorCode::InvalidTtl, what).hint(format!("the latest possible is --until {latest}"))
            );
        }
        Ok(deadline)
    }
}

fn plus(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_add(by).unwrap_or(at)
}

fn intend(_: &mut Job<'_>, _: Fact) {}

fn ask<'j>(job: &'j Job<'_>) -> Act<'j> {
    Box::pin(async move {
        let deadline = job.params.deadline.ok_or_else(|| {
            ExtensionError::new(ErrorKind::Invalid, "the operation does not say which deadline to keep")
        })?;
        let extension = job.extension()?;
        if extension.capabilities().ttl_guard && !job.engine.is_off(Safeguard::GuardFirst) {
            let call = job.call(job.engine.settings.timeouts.other);
            // The guard reckons from what the calendar says now.
            let drift = job.engine.drift_of(&job.record);
            let told = drift.map_or(deadline, |drift| plus(deadline, -drift));
            extension.set_deadline(&call, &job.target(), told).await?;
        }
        Ok(Fact::Guarded(deadline))
    })
}

fn guarded(job: &mut Job<'_>, fact: Fact) {
    if let Fact::Guarded(deadline) = fact {
        let before = job.record.sandbox.expires_at;
        if job.record.facts.idle_reap.is_some() {
            job.record.facts.last_used_at = Some(job.engine.time_of(&job.record));
        }
        // Monotone: a late answer never takes time away.
        job.record.sandbox.expires_at = Some(before.map_or(deadline, |before| before.max(deadline)));
        job.tell(
            "ttl.extended",
            format!("lives until {deadline}"),
            json!({ "from": before, "expires_at": deadline }),
        );
    }
}

fn settle(job: &mut Job<'_>, _: Fact) {
    job.acknowledge();
    job.close(OperationStatus::Succeeded, None);
}

/// The deadline stays as it was: closes the operation and says why.
async fn give_up(job: &mut Job<'_>, stop: Stop) -> UserError {
    let error = stopped(&stop, job);
    let Stop::Failed { .. } = stop else { return error };
    if job.record.sandbox.operation_id.is_none() || !job.began() {
        return error;
    }
    job.close(OperationStatus::Failed, Some(error.message.clone()));
    match job.commit().await {
        Ok(()) => error,
        Err(stop) => stopped(&stop, job),
    }
}

/// Goes on with an extension that another process left. Its guard may have moved already: going on makes the two agree.
pub(crate) async fn resume(job: &mut Job<'_>) -> Result<(), UserError> {
    if !job.record.sandbox.state.is_usable() {
        job.close(OperationStatus::Failed, Some("the sandbox ended meanwhile".to_owned()));
        return job.commit().await.map_err(|stop| stopped(&stop, job));
    }
    match job.forward(&[&MOVE_GUARD, &SETTLE]).await {
        Ok(()) => Ok(()),
        Err(stop) => Err(give_up(job, stop).await),
    }
}
