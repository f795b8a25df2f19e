//! One operation being worked on: takes steps, retries, commits, tells of progress.

use std::sync::Arc;
use std::time::Duration;

use sandboxer_extension::{Call, Ended, ErrorKind, Extension, ExtensionError, ProvisionRequest, Retry, Target, cut};
use sandboxer_model::id::{EventId, OperationId};
use sandboxer_model::lifecycle::{Reason, State};
use sandboxer_model::operation::OperationStatus;
use sandboxer_model::registry::{Reservation, Share};
use sandboxer_model::route::Candidate;
use sandboxer_store::{
    Change, Durability, Frozen, NewEvent, OperationRecord, SandboxRecord, StepPhase, StepRecord, StepStatus, StoreError,
};

use super::hold::Hold;
use super::params::Params;
use super::step::{Commit, Fact, Step, Stop};
use crate::api::Progress;
use crate::cancel::Cancel;
use crate::engine::Engine;
use crate::faults::{Fault, Moment, Point, Safeguard};

/// How long an owner that cannot be asked is believed.
pub(crate) const LEASE: Duration = Duration::from_secs(300);
/// Tries of a step whose failure may pass.
const ATTEMPTS: u32 = 3;
/// The pause after the first failure; doubles.
const PAUSE: Duration = Duration::from_millis(100);

/// One operation being worked on by this process.
pub(crate) struct Job<'e> {
    pub(crate) engine: &'e Engine,
    pub(crate) progress: &'e dyn Progress,
    /// `None`: it may not be interrupted (any more).
    pub(crate) cancel: Option<&'e Cancel>,
    /// The first commit is for the version that was read: not even labels may have changed since.
    pub(crate) is_exact: bool,
    pub(crate) record: SandboxRecord,
    pub(crate) frozen: Frozen,
    pub(crate) operation: OperationRecord,
    pub(crate) params: Params,
    /// The number of the last step row.
    pub(crate) seq: u32,
    /// Whether the backend may hold anything of this candidate: it was asked by us, or may have been by a process before us.
    pub(crate) touched: bool,
    /// How a `run`'s sandbox ended under its command.
    pub(crate) ended: Option<Ended>,
    change: Change,
    /// The next commit tells a user something.
    told: bool,
    /// The operation the row named when it was last read or written.
    base: Option<OperationId>,
    hold: Hold<'e>,
}

impl<'e> Job<'e> {
    pub(crate) fn new(
        engine: &'e Engine,
        progress: &'e dyn Progress,
        record: SandboxRecord,
        frozen: Frozen,
        operation: OperationRecord,
        params: Params,
    ) -> Job<'e> {
        let base = record.sandbox.operation_id.clone();
        let hold = Hold::new(engine, operation.operation_id.clone());
        Job {
            engine,
            progress,
            cancel: None,
            is_exact: false,
            record,
            frozen,
            operation,
            params,
            seq: 0,
            touched: true,
            ended: None,
            change: Change::default(),
            told: false,
            base,
            hold,
        }
    }

    pub(crate) fn is_undoing(&self) -> bool {
        self.params.undo.is_some()
    }

    /// The backend the sandbox was put on; an error that names it when this build lacks it.
    pub(crate) fn extension(&self) -> Result<Arc<dyn Extension>, ExtensionError> {
        let id = self.record.sandbox.extension_id.as_deref().unwrap_or("(none)");
        self.engine.ports.extensions.get(id).ok_or_else(|| {
            ExtensionError::new(
                ErrorKind::MissingPrerequisite,
                format!("extension {id} is not part of this build"),
            )
            .hint(format!("use a build that has {id}"))
        })
    }

    /// Whether what the backend makes is gone after a loss of power, so that intents need only survive our own death.
    pub(crate) fn dies_with_machine(&self) -> bool {
        self.extension()
            .is_ok_and(|extension| extension.capabilities().dies_with_machine)
    }

    pub(crate) fn call(&self, timeout: Duration) -> Call {
        Call {
            installation_id: self.engine.ports.store.installation_id().clone(),
            operation_id: Some(self.operation.operation_id.clone()),
            epoch: self.record.sandbox.epoch,
            timeout,
        }
    }

    pub(crate) fn target(&self) -> Target {
        target(&self.record)
    }

    pub(crate) fn request(&self) -> ProvisionRequest {
        let sandbox = &self.record.sandbox;
        ProvisionRequest {
            sandbox_id: sandbox.sandbox_id.clone(),
            profile: self.frozen.profile.clone(),
            inputs: sandbox.inputs.clone(),
            host: reached_by(&self.record),
            ttl: sandbox.ttl,
        }
    }

    /// Moves the state and tells of it. A stored state is not entered, nor told of, again.
    pub(crate) fn enter(&mut self, state: State, summary: impl Into<String>, detail: serde_json::Value) {
        if self.record.sandbox.state == state && self.record.is_stored() {
            return;
        }
        self.record.sandbox.state = state;
        if state == State::Ready && self.engine.is_off(Safeguard::Told) {
            return;
        }
        self.tell(format!("state.{}", state.name()), summary, detail);
    }

    /// Adds an event to the next commit.
    pub(crate) fn tell(&mut self, kind: impl Into<String>, summary: impl Into<String>, detail: serde_json::Value) {
        let sandbox = &self.record.sandbox;
        self.change.events.push(NewEvent {
            event_id: EventId::from_uuid(self.engine.ports.ids.uuid()),
            at: self.engine.ports.clock.now(),
            kind: kind.into(),
            state: sandbox.state,
            reason: sandbox.reason,
            summary: summary.into(),
            detail,
        });
    }

    /// What the next commit writes, for whoever adds to it.
    pub(crate) fn change(&mut self) -> &mut Change {
        &mut self.change
    }

    /// The next commit tells a user something: it must survive a loss of power.
    pub(crate) fn acknowledge(&mut self) {
        self.told = true;
    }

    /// Takes these steps in order.
    pub(crate) async fn forward(&mut self, steps: &[&Step]) -> Result<(), Stop> {
        for step in steps {
            self.step(step).await?;
        }
        Ok(())
    }

    /// Takes one step: asks, applies, commits.
    pub(crate) async fn step(&mut self, step: &Step) -> Result<(), Stop> {
        if self.cancel.is_some_and(Cancel::is_cancelled) {
            return Err(Stop::Cancelled);
        }
        let ports = &self.engine.ports;
        let sandbox = self.record.sandbox.sandbox_id.clone();
        self.progress.step_started(&sandbox, step.name);
        let (started_at, started) = (ports.clock.now(), ports.clock.monotonic());
        let mut attempt = 1;
        let outcome = loop {
            let outcome = self.ask(step).await;
            self.touched |= may_have_touched(&outcome);
            match &outcome {
                Err(Stop::Failed { error, .. }) if error.retry == Retry::Temporary && attempt < ATTEMPTS => {
                    self.pause(attempt).await?;
                    attempt += 1;
                }
                _ => break outcome,
            }
        };
        let took = ports.clock.monotonic().saturating_sub(started);
        let message = match &outcome {
            Ok(_) => None,
            Err(Stop::Failed { error, .. }) => Some(error.message.clone()),
            Err(Stop::Cancelled) => Some("interrupted".to_owned()),
            Err(Stop::Fenced) => Some("another process took over".to_owned()),
            Err(Stop::Store(error)) => Some(error.to_string()),
        };
        self.progress
            .step_finished(&sandbox, step.name, took, message.as_deref());
        self.seq += 1;
        let row = StepRecord {
            operation_id: self.operation.operation_id.clone(),
            seq: self.seq,
            name: step.name.to_owned(),
            phase: if self.is_undoing() {
                StepPhase::Undo
            } else {
                StepPhase::Do
            },
            attempt,
            status: if message.is_none() {
                StepStatus::Done
            } else {
                StepStatus::Failed
            },
            output: serde_json::Value::Null,
            error: message,
            started_at,
            duration_us: u64::try_from(took.as_micros()).ok(),
        };
        self.change.steps.push(row);
        self.operation.step = Some(step.name.to_owned());
        (step.apply)(self, outcome?);
        let wait = match step.commit {
            Commit::Now => false,
            Commit::MayWait => self.dies_with_machine(),
            Commit::WithNext => true,
        };
        let intends = matches!(step.name, "place" | "intend");
        let wait = wait || (intends && self.engine.is_off(Safeguard::IntentFirst));
        if !wait {
            self.commit().await?;
            cut!("{}.{}.after_commit", self.operation.kind.name(), step.name);
        }
        Ok(())
    }

    /// One try of a step's effect, with the places where tests make it crash, fail or repeat.
    async fn ask(&self, step: &Step) -> Result<Fact, Stop> {
        let failed = |error: ExtensionError| match error.kind {
            ErrorKind::Fenced => Stop::Fenced,
            _ => Stop::Failed { step: step.name, error },
        };
        let kind = self.operation.kind;
        cut!("{}.{}.before_effect", kind.name(), step.name);
        if let Fault::Fail(error) = self.fault(step, Moment::BeforeEffect) {
            return Err(failed(error));
        }
        let mut outcome = self.effect(step).await?;
        cut!("{}.{}.after_effect", kind.name(), step.name);
        match self.fault(step, Moment::AfterEffect) {
            Fault::Continue => {}
            Fault::Repeat => {
                // The first of the two may have done something.
                outcome = self.effect(step).await?.map_err(|error| ExtensionError {
                    untouched: false,
                    ..error
                });
            }
            Fault::Fail(error) => return Err(failed(error)),
        }
        outcome.map_err(failed)
    }

    async fn effect(&self, step: &Step) -> Result<Result<Fact, ExtensionError>, Stop> {
        let act = (step.act)(self);
        match self.cancel {
            None => Ok(act.await),
            // What was begun is not waited for: undoing it runs under a newer epoch, which shuts out its late effects.
            Some(cancel) => tokio::select! {
                biased;
                outcome = act => Ok(outcome),
                () = cancel.cancelled() => Err(Stop::Cancelled),
            },
        }
    }

    fn fault(&self, step: &Step, moment: Moment) -> Fault {
        self.engine.faults.as_ref().map_or(Fault::Continue, |faults| {
            faults.at(&Point {
                operation: self.operation.kind,
                step: step.name,
                undoing: self.is_undoing(),
                moment,
            })
        })
    }

    /// Waits before another try, with jitter so that many do not come back at once.
    pub(crate) async fn pause(&self, attempt: u32) -> Result<(), Stop> {
        let ports = &self.engine.ports;
        let pause = PAUSE * 2u32.pow(attempt.saturating_sub(1).min(6));
        let wait = ports.clock.sleep(pause + ports.ids.jitter(pause));
        match self.cancel {
            None => wait.await,
            Some(cancel) => tokio::select! {
                () = wait => {}
                () = cancel.cancelled() => return Err(Stop::Cancelled),
            },
        }
        Ok(())
    }

    /// Writes the record, the operation and everything that was added since the last commit. Where a host has no room, what
    /// was added is kept for the next try.
    pub(crate) async fn commit(&mut self) -> Result<(), Stop> {
        let now = self.engine.ports.clock.now();
        self.record.sandbox.updated_at = now;
        if !self.operation.status.is_terminal() && !self.operation.lease_owner.is_empty() {
            self.operation.lease_until = now + LEASE;
        }
        self.operation.epoch = self.record.sandbox.epoch;
        self.operation.params = serde_json::to_value(&self.params).unwrap_or_default();
        self.change.operations.push(self.operation.clone());
        let mut change = std::mem::take(&mut self.change);
        // An intent must outlive a loss of power only if its effect does.
        let told = std::mem::take(&mut self.told);
        change.durability = if told || !self.dies_with_machine() {
            Durability::Acknowledged
        } else {
            Durability::CrashOnly
        };
        if !self.record.is_stored() {
            change.frozen = Some(self.frozen.clone());
        }
        let before = std::mem::replace(&mut self.hold.is_ours, true);
        loop {
            match self.engine.ports.store.commit(&mut self.record, &change).await {
                Ok(()) => {
                    self.is_exact = false;
                    self.base = self.record.sandbox.operation_id.clone();
                    let status = self.operation.status;
                    self.hold.is_ours = !status.is_terminal() && !self.operation.lease_owner.is_empty();
                    return Ok(());
                }
                Err(StoreError::Stale(id)) => {
                    let fresh = self.engine.ports.store.sandbox(&id).await?;
                    if self.is_exact || !self.only_touched(&fresh) {
                        self.hold.is_ours = false;
                        return Err(Stop::Fenced);
                    }
                    rebase(&mut self.record, fresh);
                }
                Err(error @ StoreError::NoRoom { .. }) => {
                    change.operations.pop();
                    self.change = change;
                    self.hold.is_ours = before;
                    return Err(error.into());
                }
                Err(StoreError::Fenced(_)) => {
                    self.hold.is_ours = false;
                    return Err(Stop::Fenced);
                }
                Err(error @ (StoreError::ScopeTaken(_) | StoreError::KeyTaken | StoreError::QuotaExceeded { .. })) => {
                    self.hold.is_ours = before;
                    return Err(error.into());
                }
                // It may have been written or not.
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether a fresher row differs by no more than labels and use, which anybody may change under an operation. An
    /// operation that ended meanwhile is more: what this job concluded from the row before no longer holds.
    fn only_touched(&self, fresh: &SandboxRecord) -> bool {
        if self.engine.is_off(Safeguard::Fence) {
            return true;
        }
        let (before, now) = (self.record.stored_state(), fresh.sandbox.state);
        if self.params.reason == Some(Reason::Idle)
            && !self.began()
            && fresh.facts.last_used_at != self.record.facts.last_used_at
        {
            // It was used before this could end it for not being used.
            return false;
        }
        let same = before == Some(now) || (before == Some(State::Ready) && now == State::Active);
        same && fresh.sandbox.operation_id == self.base
    }

    /// Forgets what was added since the last commit.
    pub(crate) fn discard(&mut self) {
        self.change = Change::default();
    }

    /// Whether the operation itself is on record.
    pub(crate) fn began(&self) -> bool {
        self.record.stored_epoch() == Some(self.operation.epoch)
    }

    /// Puts the sandbox on this candidate's place: what it takes of the host is its own from the next commit on, until its
    /// absence is proven.
    pub(crate) fn put_on(&mut self, candidate: &Candidate) {
        self.record.sandbox.extension_id = Some(candidate.extension_id.clone());
        self.record.sandbox.host.clone_from(&candidate.host);
        self.record.facts.address.clone_from(&candidate.address);
        self.record.facts.quote.clone_from(&candidate.quote);
        self.reserve();
    }

    /// Holds what the sandbox takes of its host.
    pub(crate) fn reserve(&mut self) {
        self.record.facts.reservation = self.record.sandbox.host.clone().map(|host| Reservation {
            host,
            share: Share::of(&self.frozen.profile.resources),
        });
    }

    /// Goes back: everything under way belongs to an older epoch from here on.
    pub(crate) fn turn_back(&mut self, reason: sandboxer_model::lifecycle::Reason) {
        self.cancel = None;
        self.params.undo = Some(reason);
        self.operation.status = OperationStatus::Undoing;
        self.record.sandbox.epoch = self.record.sandbox.epoch.next();
    }

    /// Ends the operation.
    pub(crate) fn close(&mut self, status: OperationStatus, error: Option<String>) {
        self.operation.status = status;
        self.operation.error = error;
        self.record.sandbox.operation_id = None;
    }
}

/// Whether a backend may have been asked for something.
fn may_have_touched(outcome: &Result<Fact, Stop>) -> bool {
    match outcome {
        Ok(Fact::Nothing) => false,
        Err(Stop::Failed { error, .. }) => !error.untouched,
        _ => true,
    }
}

/// Where a record's sandbox is.
pub(crate) fn target(record: &SandboxRecord) -> Target {
    Target {
        sandbox_id: record.sandbox.sandbox_id.clone(),
        host: reached_by(record),
        handle: record.facts.handle.clone(),
    }
}

/// What its backend calls the host: the address, where the host was registered under a name of its own.
pub(crate) fn reached_by(record: &SandboxRecord) -> Option<String> {
    record.facts.address.clone().or_else(|| record.sandbox.host.clone())
}

/// Takes over what others may change while an operation runs: labels, and that the sandbox was used.
fn rebase(mine: &mut SandboxRecord, mut fresh: SandboxRecord) {
    if fresh.sandbox.state == State::Active && mine.sandbox.state == State::Ready {
        mine.sandbox.state = State::Active;
    }
    mine.sandbox.active_at = mine.sandbox.active_at.or(fresh.sandbox.active_at);
    mine.facts.last_used_at = mine.facts.last_used_at.max(fresh.facts.last_used_at);
    mine.sandbox.labels = std::mem::take(&mut fresh.sandbox.labels);
    mine.adopt_fence(&fresh);
}
