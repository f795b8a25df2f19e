//! Make a sandbox.
//!
//! | step | do | undo | probe |
//! |---|---|---|---|
//! | `place` | take the next accepted candidate; store it with the sandbox and the operation | — | nothing outside is touched |
//! | `provision` | have the backend make it | `teardown`, absence proven | asked again: it finds what it made for the id |
//! | `wait_ready` | have the backend prove that it is reachable | `teardown` | asked again |
//! | `publish` | say `ready` | — | nothing outside is touched |
//!
//! Commits for a backend that dies with this machine: one before the first effect, one at `publish`. In between,
//! the sandbox is found and removed by its id alone, so the handle need not be stored; after a loss of power there is
//! nothing to find.

use sandboxer_model::error::UserError;
use sandboxer_model::id::{OperationId, SandboxId};
use sandboxer_model::lifecycle::{Reason, State};
use sandboxer_model::money::Meter;
use sandboxer_model::operation::{Epoch, OperationKind, OperationStatus};
use sandboxer_model::sandbox::Sandbox;
use sandboxer_store::{Facts, Frozen, KeyChange, OperationRecord, SandboxRecord, StoreError};
use serde_json::json;

use super::idempotent::{self, Wait};
use super::job::{Job, LEASE};
use super::params::Params;
use super::step::{Act, Commit, Fact, Step, Stop, nothing, stopped};
use super::teardown::{self, tear_down};
use super::{candidate, telemetry};
use crate::api::{CreateRequest, Created, IfAbandoned, Progress};
use crate::cancel::Cancel;
use crate::engine::Engine;
use crate::error::{from_failure, interrupted};
use crate::faults::Safeguard;
use crate::lifetime::deadline;
use crate::prepare::Prepared;

pub(crate) const STEPS: &[&str] = &["place", "provision", "wait_ready", "publish"];

pub(super) const PLACE: Step = Step {
    name: "place",
    act: nothing,
    apply: place,
    commit: Commit::Now,
};
const PROVISION: Step = Step {
    name: "provision",
    act: ask_provision,
    apply: provisioned,
    commit: Commit::MayWait,
};
const WAIT_READY: Step = Step {
    name: "wait_ready",
    act: ask_ready,
    apply: reachable,
    commit: Commit::WithNext,
};
const PUBLISH: Step = Step {
    name: "publish",
    act: nothing,
    apply: publish,
    commit: Commit::Now,
};
/// `run` writes this while its command is already running.
const PUBLISH_LATER: Step = Step {
    name: "publish",
    act: nothing,
    apply: publish,
    commit: Commit::WithNext,
};

/// Times another process may win the same scope before this is called busy.
const SCOPE_ATTEMPTS: u32 = 20;

impl Engine {
    pub(crate) async fn do_create(
        &self,
        req: &CreateRequest,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<Created, UserError> {
        let key = self.key_of(req)?;
        if let Some(answered) = self.answered(key.as_ref(), Wait::Yes, progress).await? {
            return Ok(answered);
        }
        let mut prepared = self.prepare(req).await?;
        let mut scope_attempts = 0;
        while scope_attempts < SCOPE_ATTEMPTS {
            if let Some(sandbox) = self.live_of_scope(&prepared, progress).await? {
                return Ok(Created::reused(sandbox));
            }
            let mut job = self.new_creation(&prepared, req, false, progress);
            job.change().key = idempotent::take(key.as_ref());
            match drive_interruptibly(&mut job, cancel).await {
                Ok(()) => {
                    return Ok(Created::new(job.record.sandbox));
                }
                Err(Undriven::Scope) => scope_attempts += 1,
                Err(Undriven::Key) => {
                    scope_attempts += 1;
                    if let Some(answered) = self.answered(key.as_ref(), Wait::Yes, progress).await? {
                        return Ok(answered);
                    }
                }
                // One candidate fewer each time.
                Err(Undriven::NoRoom { host, why }) => prepared.rule_out_first(&host, &why)?,
                Err(Undriven::Ended(error)) => return Err(error),
            }
        }
        Err(StoreError::ScopeTaken(prepared.scope_key.unwrap_or_default()).into())
    }

    pub(crate) async fn do_accept(&self, req: &CreateRequest) -> Result<Created, UserError> {
        let (key, progress) = (self.key_of(req)?, &crate::api::Silent);
        if let Some(answered) = self.answered(key.as_ref(), Wait::No, progress).await? {
            return Ok(answered);
        }
        let mut prepared = self.prepare(req).await?;
        let mut scope_attempts = 0;
        while scope_attempts < SCOPE_ATTEMPTS {
            if let Some(sandbox) = self.live_of_scope(&prepared, progress).await? {
                return Ok(Created::reused(sandbox));
            }
            let mut job = self.new_creation(&prepared, req, false, progress);
            job.change().key = idempotent::take(key.as_ref());
            job.params.if_abandoned = IfAbandoned::Finish;
            // Nobody's yet: whoever resumes it first has it; after a while the next command does.
            job.operation.lease_owner = String::new();
            job.operation.lease_until = self.ports.clock.now() + UNCLAIMED;
            // Accepted is accepted: its place is kept until somebody takes it up.
            job.record.facts.address.clone_from(&prepared.first.address);
            job.record.sandbox.host.clone_from(&prepared.first.host);
            job.reserve();
            job.acknowledge();
            match job.commit().await {
                Ok(()) => {
                    return Ok(Created::new(job.record.sandbox));
                }
                Err(Stop::Store(StoreError::ScopeTaken(_))) => scope_attempts += 1,
                Err(Stop::Store(StoreError::KeyTaken)) => {
                    scope_attempts += 1;
                    if let Some(answered) = self.answered(key.as_ref(), Wait::No, progress).await? {
                        return Ok(answered);
                    }
                }
                Err(Stop::Store(StoreError::NoRoom { host, why })) => prepared.rule_out_first(&host, &why)?,
                Err(stop) => return Err(stopped(&stop, &job)),
            }
        }
        Err(StoreError::ScopeTaken(prepared.scope_key.unwrap_or_default()).into())
    }

    /// A sandbox and its operation, with every choice fixed, not stored yet.
    pub(crate) fn new_creation<'e>(
        &'e self,
        prepared: &Prepared,
        req: &CreateRequest,
        run: bool,
        progress: &'e dyn Progress,
    ) -> Job<'e> {
        let now = self.ports.clock.now();
        let sandbox_id = SandboxId::from_uuid(self.ports.ids.uuid());
        let operation_id = OperationId::from_uuid(self.ports.ids.uuid());
        let sandbox = Sandbox {
            sandbox_id: sandbox_id.clone(),
            state: State::Requested,
            reason: None,
            profile_id: prepared.profile.id.clone(),
            profile_version: prepared.profile.version.clone(),
            profile_digest: prepared.digest.clone(),
            extension_id: None,
            host: None,
            consumer: req.consumer.clone(),
            scope: prepared.scope,
            labels: req.labels.clone(),
            inputs: prepared.inputs.clone(),
            reachability: None,
            isolation: None,
            ttl: prepared.ttl,
            expires_at: None,
            meter: Meter::default(),
            telemetry: None,
            created_at: now,
            ready_at: None,
            active_at: None,
            destroyed_at: None,
            updated_at: now,
            error: None,
            cleanup: None,
            operation_id: Some(operation_id.clone()),
            generation: 1,
            epoch: Epoch(1),
        };
        let facts = Facts {
            scope_key: prepared.scope_key.clone(),
            idle_reap: prepared.profile.ttl.idle_reap,
            owner: req.owner.clone(),
            ..Facts::default()
        };
        let params = Params {
            // Whoever has a key can ask again, and must find it.
            if_abandoned: match req.idempotency_key {
                Some(_) => IfAbandoned::Finish,
                None => req.if_abandoned,
            },
            run,
            ..Params::default()
        };
        let operation = OperationRecord {
            operation_id,
            kind: OperationKind::Create,
            sandbox_id,
            params: serde_json::Value::Null,
            status: OperationStatus::Running,
            step: None,
            lease_owner: self.me().to_owned(),
            lease_until: now + LEASE,
            epoch: Epoch(1),
            created_at: now,
            error: None,
        };
        let frozen = Frozen {
            profile: prepared.profile.clone(),
            profile_source: prepared.source.clone(),
            route: prepared.route.clone(),
        };
        let record = SandboxRecord::new(sandbox, facts);
        let mut job = Job::new(self, progress, record, frozen, operation, params);
        job.touched = false;
        job.change().max_live = req.max_live;
        let detail = json!({ "profile_id": prepared.profile.id, "consumer": req.consumer });
        job.enter(State::Requested, format!("accepted: {}", prepared.profile.id), detail);
        job
    }
}

/// How long an accepted creation waits for the process that was started for it.
const UNCLAIMED: std::time::Duration = std::time::Duration::from_secs(10);

/// Why a creation did not come to `ready`.
pub(crate) enum Undriven {
    /// A live sandbox has the scope; nothing was stored.
    Scope,
    /// The idempotency key made another sandbox meanwhile; nothing was stored.
    Key,
    /// The host of the first candidate has no room any more; nothing was stored.
    NoRoom { host: String, why: String },
    /// It ended otherwise.
    Ended(UserError),
}

/// The same as [`drive`], but undone when it is told to stop.
pub(crate) async fn drive_interruptibly<'e>(job: &mut Job<'e>, cancel: &'e Cancel) -> Result<(), Undriven> {
    job.cancel = Some(cancel);
    drive(job).await
}

/// Takes a creation from wherever its journal stands to `ready`, or back to nothing.
pub(crate) async fn drive(job: &mut Job<'_>) -> Result<(), Undriven> {
    loop {
        if !job.is_undoing() {
            let outcome = job.forward(&remaining(job)).await;
            match outcome {
                Ok(()) => return Ok(()),
                Err(Stop::Store(StoreError::ScopeTaken(_))) if !job.record.is_stored() => return Err(Undriven::Scope),
                Err(Stop::Store(StoreError::KeyTaken)) if !job.record.is_stored() => return Err(Undriven::Key),
                Err(Stop::Store(StoreError::NoRoom { host, why })) if !job.record.is_stored() => {
                    return Err(Undriven::NoRoom { host, why });
                }
                // Nothing was stored and no backend was asked.
                Err(Stop::Cancelled) if !job.record.is_stored() => return Err(Undriven::Ended(interrupted())),
                Err(Stop::Cancelled) => turn_back(job, Reason::Interrupted),
                Err(Stop::Failed { step, error }) => {
                    candidate::note_failure(job, step, &error);
                    turn_back(job, Reason::FailedAtStep);
                }
                Err(stop) => return Err(Undriven::Ended(stopped(&stop, job))),
            }
            job.commit()
                .await
                .map_err(|stop| Undriven::Ended(stopped(&stop, job)))?;
        }
        match tear_down(job).await {
            Ok(()) => {}
            Err(Stop::Failed { step, error }) => return Err(Undriven::Ended(teardown::stuck(job, step, &error).await)),
            Err(stop) => return Err(Undriven::Ended(stopped(&stop, job))),
        }
        match candidate::move_on(job).await {
            Ok(true) => {}
            Ok(false) => return Err(Undriven::Ended(finish_undo(job).await)),
            Err(stop) => return Err(Undriven::Ended(stopped(&stop, job))),
        }
    }
}

/// What the journal says is left to do. A step that may have had its effect is taken again: each finds what it did.
fn remaining(job: &Job<'_>) -> Vec<&'static Step> {
    let publish: &'static Step = if job.params.run { &PUBLISH_LATER } else { &PUBLISH };
    match (job.record.sandbox.state, &job.record.facts.handle) {
        (State::Requested, _) => vec![&PLACE, &PROVISION, &WAIT_READY, publish],
        (_, None) => vec![&PROVISION, &WAIT_READY, publish],
        (_, Some(_)) => vec![&WAIT_READY, publish],
    }
}

pub(super) fn place(job: &mut Job<'_>, _: Fact) {
    let candidate = job.frozen.route.accepted().nth(job.record.facts.candidate).cloned();
    if let Some(candidate) = candidate {
        job.put_on(&candidate);
    }
    job.record.facts.placed = Some(job.engine.reading());
    let detail = json!({ "extension_id": job.record.sandbox.extension_id, "host": job.record.sandbox.host });
    let backend = job.record.sandbox.extension_id.clone().unwrap_or_default();
    job.enter(State::Provisioning, format!("being made by {backend}"), detail);
}

fn ask_provision<'j>(job: &'j Job<'_>) -> Act<'j> {
    Box::pin(async move {
        let call = job.call(job.engine.settings.timeouts.provision);
        job.extension()?.provision(&call, &job.request()).await.map(Fact::Made)
    })
}

fn provisioned(job: &mut Job<'_>, fact: Fact) {
    if let Fact::Made(handle) = fact {
        job.record.facts.handle = Some(handle);
    }
}

fn ask_ready<'j>(job: &'j Job<'_>) -> Act<'j> {
    Box::pin(async move {
        let call = job.call(job.engine.settings.timeouts.ready);
        let extension = job.extension()?;
        let ready = extension.wait_ready(&call, &job.target()).await?;
        let around = telemetry::look_around(job, extension.as_ref(), &ready).await;
        Ok(Fact::Ready(Box::new(ready), Box::new(around)))
    })
}

fn reachable(job: &mut Job<'_>, fact: Fact) {
    let Fact::Ready(ready, around) = fact else { return };
    job.record.sandbox.telemetry = ready.delta.clone().map(|delta| telemetry::report(job, delta, *around));
    let now = job.engine.reading();
    let deadline = deadline(
        job.record.sandbox.ttl,
        ready.guard_deadline,
        job.record.facts.placed.as_ref(),
        &now,
    );
    job.record.facts.ready_uptime = Some(now.uptime);
    let can_exec = job.extension().is_ok_and(|extension| extension.capabilities().exec);
    let hints = job.frozen.profile.reachability.clone();
    let sandbox = &mut job.record.sandbox;
    let mut reachability = ready.reachability;
    reachability.tunnel_via.get_or_insert(hints.tunnel);
    reachability.identity.get_or_insert(hints.identity);
    if can_exec {
        reachability
            .exec
            .get_or_insert_with(|| format!("sandboxer exec {} --", sandbox.sandbox_id));
    }
    sandbox.reachability = Some(reachability);
    sandbox.isolation = Some(ready.isolation);
    sandbox.ready_at = Some(now.at);
    sandbox.expires_at = deadline;
}

fn publish(job: &mut Job<'_>, _: Fact) {
    let sandbox = &mut job.record.sandbox;
    sandbox.meter.estimate = job.record.facts.quote.as_ref().map(|quote| quote.worst_case);
    sandbox.error = None;
    sandbox.cleanup = None;
    let detail = json!({ "reachability": sandbox.reachability, "ttl": sandbox.ttl, "expires_at": sandbox.expires_at });
    job.enter(State::Ready, "reachable", detail);
    if job.params.run {
        job.record.sandbox.active_at = Some(job.engine.ports.clock.now());
        job.enter(State::Active, "in use by the command of `run`", json!({}));
    } else {
        job.acknowledge();
        job.close(OperationStatus::Succeeded, None);
    }
}

/// Begins the way back. The intent is stored before the teardown, under a new epoch.
pub(crate) fn turn_back(job: &mut Job<'_>, reason: Reason) {
    job.turn_back(reason);
    job.params.untouched = !job.touched || job.engine.is_off(Safeguard::Undo);
    // After a failure another candidate may still serve the scope.
    if reason != Reason::FailedAtStep {
        job.record.facts.scope_key = None;
        job.record.sandbox.reason = Some(reason);
        job.enter(State::Destroying, "being undone", json!({}));
    }
}

/// Everything is undone, proven: says how the sandbox ended. Returns what the caller is told.
async fn finish_undo(job: &mut Job<'_>) -> UserError {
    let reason = job.params.undo.unwrap_or(Reason::Interrupted);
    job.record.sandbox.reason = Some(job.record.sandbox.reason.unwrap_or(reason));
    job.record.facts.scope_key = None;
    job.record.facts.reservation = None;
    job.record.sandbox.ready_at = None;
    job.record.sandbox.expires_at = None;
    let error = told(job, reason);
    let detail = json!({ "failures": job.params.failures, "cleanup": job.record.sandbox.cleanup });
    if reason == Reason::FailedAtStep && job.record.sandbox.state != State::Destroying {
        job.enter(State::Failed, error.message.clone(), detail);
    }
    // `run` promises that nothing but a record is left to clean up; and what was `destroying` cannot become `failed`.
    if job.params.run || job.record.sandbox.state == State::Destroying {
        teardown::gone(job);
    }
    job.close(OperationStatus::Failed, Some(error.message.clone()));
    job.change().key = KeyChange::Release;
    job.acknowledge();
    match job.commit().await {
        Ok(()) => error,
        Err(stop) => stopped(&stop, job),
    }
}

fn told(job: &Job<'_>, reason: Reason) -> UserError {
    if reason != Reason::FailedAtStep {
        return interrupted();
    }
    let id = &job.record.sandbox.sandbox_id;
    let explain = format!("see what was tried with `sandboxer explain {id}`");
    match job.params.failures.as_slice() {
        [only] => from_failure(&only.failure).hint(explain),
        several => {
            let causes: Vec<String> = several
                .iter()
                .map(|one| match &one.host {
                    Some(host) => format!("{} on {host}: {}", one.extension_id, one.failure.message),
                    None => format!("{}: {}", one.extension_id, one.failure.message),
                })
                .collect();
            let code = several
                .last()
                .map_or(sandboxer_model::error::ErrorCode::BackendFailed, |one| one.failure.code);
            UserError::new(code, format!("no backend could make it: {}", causes.join("; "))).hint(explain)
        }
    }
}

/// Goes on with a creation that another process left.
pub(crate) async fn resume(job: &mut Job<'_>) -> Result<(), UserError> {
    if !job.is_undoing() && (job.params.run || job.params.if_abandoned == IfAbandoned::Undo) {
        turn_back(job, Reason::Interrupted);
        job.commit().await.map_err(|stop| stopped(&stop, job))?;
    }
    match drive(job).await {
        Ok(()) => Ok(()),
        Err(Undriven::Ended(error)) => Err(error),
        Err(Undriven::NoRoom { host, why }) => Err(StoreError::NoRoom { host, why }.into()),
        // The scope was taken when it was stored first; it cannot be taken by another now.
        Err(Undriven::Scope) => {
            Err(StoreError::ScopeTaken(job.record.facts.scope_key.clone().unwrap_or_default()).into())
        }
        Err(Undriven::Key) => Err(StoreError::KeyTaken.into()),
    }
}
