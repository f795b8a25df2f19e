//! Remove a sandbox, with proof, and make it again under the same id from its frozen profile and inputs.
//!
//! | step | do | undo | probe |
//! |---|---|---|---|
//! | `intend` | store that it is to be made again, under a new epoch | — | nothing outside is touched |
//! | `teardown` | have the backend remove it and verify | — | asked again: not found is success |
//! | `place` | store the next generation on the same backend and host, under another new epoch | — | nothing outside is touched |
//! | `provision`, `wait_ready`, `publish` | as in create | `teardown` | as in create |

use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::lifecycle::State;
use sandboxer_model::money::Meter;
use sandboxer_model::operation::OperationKind;
use sandboxer_model::sandbox::Sandbox;
use sandboxer_store::StoreError;
use serde_json::json;

use super::create::{self, Undriven};
use super::job::Job;
use super::params::Params;
use super::step::{Commit, Fact, Step, Stop, nothing, stopped};
use super::teardown;
use crate::api::{Meant, Progress};
use crate::cancel::Cancel;
use crate::engine::Engine;
use crate::error::interrupted;
use crate::query::wrong_state;

pub(crate) const STEPS: &[&str] = &["intend", "teardown", "place", "provision", "wait_ready", "publish"];

const INTEND: Step = Step {
    name: "intend",
    act: nothing,
    apply: intend,
    commit: Commit::Now,
};
const PLACE: Step = Step {
    name: "place",
    act: nothing,
    apply: place,
    commit: Commit::Now,
};

impl Engine {
    pub(crate) async fn do_recreate(
        &self,
        meant: Meant<'_>,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<Sandbox, UserError> {
        let record = self.ports.store.find_sandbox(meant.id).await?;
        meant.check(&record)?;
        let record = self.settle_first(record, progress).await?;
        meant.check(&record)?;
        if record.sandbox.extension_id.is_none() {
            return Err(wrong_state(&record.sandbox, "make again"));
        }
        let mut job = self
            .begin(record, OperationKind::Recreate, Params::default(), progress)
            .await?;
        job.cancel = Some(cancel);
        job.is_exact = meant.revisions.is_some();
        match job.step(&INTEND).await {
            Ok(()) => {}
            // Nothing was stored or touched.
            Err(Stop::Cancelled) => {
                return Err(UserError::new(
                    ErrorCode::Interrupted,
                    "interrupted before anything was changed",
                ));
            }
            Err(stop) => return Err(meant.overtaken(stopped(&stop, &job))),
        }
        again(&mut job, Some(cancel)).await?;
        Ok(job.record.sandbox)
    }
}

/// From a stored intent to `ready`.
async fn again<'e>(job: &mut Job<'e>, cancel: Option<&'e Cancel>) -> Result<(), UserError> {
    if !job.params.torn_down {
        match teardown::tear_down(job).await {
            Ok(()) => {}
            Err(Stop::Failed { step, error }) => return Err(teardown::stuck(job, step, &error).await),
            Err(stop) => return Err(stopped(&stop, job)),
        }
        if cancel.is_some_and(Cancel::is_cancelled) {
            // Half way: the old one is gone, so what is left to undo is to say so.
            job.params.undo = Some(sandboxer_model::lifecycle::Reason::Interrupted);
            job.record.sandbox.reason = job.params.undo;
            if job.record.sandbox.state != State::Destroyed {
                teardown::gone(job);
            }
            job.close(
                sandboxer_model::operation::OperationStatus::Failed,
                Some("interrupted".to_owned()),
            );
            job.acknowledge();
            return Err(match job.commit().await {
                Ok(()) => interrupted(),
                Err(stop) => stopped(&stop, job),
            });
        }
        match job.step(&PLACE).await {
            Ok(()) => {}
            Err(Stop::Store(StoreError::ScopeTaken(_))) => return Err(scope_taken(job).await),
            Err(Stop::Store(error @ (StoreError::NoRoom { .. } | StoreError::QuotaExceeded { .. }))) => {
                return Err(stays_gone(job, error.into()).await);
            }
            Err(Stop::Failed { step, error }) => return Err(teardown::stuck(job, step, &error).await),
            Err(stop) => return Err(stopped(&stop, job)),
        }
    }
    job.cancel = None;
    let outcome = match cancel {
        None => create::drive(job).await,
        Some(cancel) => create::drive_interruptibly(job, cancel).await,
    };
    match outcome {
        Ok(()) => Ok(()),
        Err(Undriven::Ended(error)) => Err(error),
        Err(Undriven::Scope) => Err(StoreError::ScopeTaken(String::new()).into()),
        Err(Undriven::Key) => Err(StoreError::KeyTaken.into()),
        Err(Undriven::NoRoom { host, why }) => Err(StoreError::NoRoom { host, why }.into()),
    }
}

fn intend(job: &mut Job<'_>, _: Fact) {
    job.tell(
        "operation.recreate",
        "being made again",
        json!({ "generation": job.record.sandbox.generation }),
    );
    if !matches!(job.record.sandbox.state, State::Destroying | State::Destroyed) {
        job.enter(State::Destroying, "being removed, to be made again", json!({}));
    }
}

fn place(job: &mut Job<'_>, _: Fact) {
    teardown::bill(job);
    job.params.torn_down = true;
    // Nothing new where it was alive until now; one that was gone needs room like any other.
    job.reserve();
    job.record.facts.placed = Some(job.engine.reading());
    job.record.facts.handle = None;
    job.record.facts.scope_key = crate::prepare::scope_key(
        job.record.sandbox.scope,
        &job.record.sandbox.consumer,
        job.record.facts.owner.as_deref(),
        &job.record.sandbox.profile_id,
    );
    let sandbox = &mut job.record.sandbox;
    sandbox.generation += 1;
    // A removal of the one before that is still on its way somewhere must not meet this one.
    sandbox.epoch = sandbox.epoch.next();
    sandbox.reason = None;
    sandbox.error = None;
    sandbox.ready_at = None;
    sandbox.active_at = None;
    sandbox.expires_at = None;
    sandbox.destroyed_at = None;
    sandbox.reachability = None;
    sandbox.isolation = None;
    sandbox.telemetry = None;
    sandbox.meter = Meter::default();
    let detail =
        json!({ "extension_id": sandbox.extension_id, "host": sandbox.host, "generation": sandbox.generation });
    job.enter(State::Provisioning, "being made again", detail);
}

/// Another sandbox serves the scope meanwhile: this one stays gone.
async fn scope_taken(job: &mut Job<'_>) -> UserError {
    let key = job.record.facts.scope_key.take().unwrap_or_default();
    let what = format!("cannot make it again: another live sandbox has its scope `{key}`");
    let error = UserError::new(ErrorCode::WrongState, what).hint("destroy that one first, or use that one");
    stays_gone(job, error).await
}

/// It is gone, and cannot be made again now.
async fn stays_gone(job: &mut Job<'_>, error: UserError) -> UserError {
    job.params.torn_down = false;
    job.discard();
    let cleanup = job.record.sandbox.cleanup.take();
    match job.engine.ports.store.sandbox(&job.record.sandbox.sandbox_id).await {
        Ok(fresh) => job.record = fresh,
        Err(error) => return error.into(),
    }
    job.record.sandbox.cleanup = cleanup;
    if job.record.sandbox.state != State::Destroyed {
        teardown::gone(job);
    }
    job.close(
        sandboxer_model::operation::OperationStatus::Failed,
        Some(error.message.clone()),
    );
    job.acknowledge();
    match job.commit().await {
        Ok(()) => error,
        Err(stop) => stopped(&stop, job),
    }
}

/// Goes on with a recreate that another process left.
pub(crate) async fn resume(job: &mut Job<'_>) -> Result<(), UserError> {
    again(job, None).await
}
