//! How an operation begins on an existing sandbox, and how it changes hands when its owner died.

use std::time::Duration;

use sandboxer_model::cleanup::Presence;
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::id::OperationId;
use sandboxer_model::operation::{OperationKind, OperationStatus};
use sandboxer_model::profile::{Profile, Strategy};
use sandboxer_model::route::RouteDecision;
use sandboxer_store::{Frozen, OperationRecord, SandboxRecord, StoreError};

use super::job::{Job, LEASE};
use super::params::Params;
use super::step::stopped;
use super::{create, destroy, expire, extend_ttl, recreate};
use crate::api::Progress;
use crate::engine::Engine;
use crate::faults::Safeguard;

/// How long somebody else's operation is waited for.
const PATIENCE: Duration = Duration::from_secs(600);

/// What became of an operation that was taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It came to its end.
    Finished(OperationId),
    /// It was undone.
    Undone(OperationId),
    /// It cannot go on by itself.
    Stuck(OperationId, String),
    /// Somebody else has it.
    Elsewhere,
}

impl Engine {
    /// A new operation on a stored sandbox, under a new epoch. Nothing is written yet; the first commit closes the
    /// operation that was open before.
    pub(crate) async fn begin<'e>(
        &'e self,
        mut record: SandboxRecord,
        kind: OperationKind,
        params: Params,
        progress: &'e dyn Progress,
    ) -> Result<Job<'e>, UserError> {
        let id = record.sandbox.sandbox_id.clone();
        let frozen = self.frozen_for(&record, kind).await?;
        let prior = match &record.sandbox.operation_id {
            Some(prior) => Some(self.ports.store.operation(prior).await?),
            None => None,
        };
        let now = self.ports.clock.now();
        let operation_id = OperationId::from_uuid(self.ports.ids.uuid());
        if !self.is_off(Safeguard::Epoch) {
            record.sandbox.epoch = record.sandbox.epoch.next();
        }
        record.sandbox.operation_id = Some(operation_id.clone());
        let operation = OperationRecord {
            operation_id,
            kind,
            sandbox_id: id,
            params: serde_json::Value::Null,
            status: OperationStatus::Running,
            step: None,
            lease_owner: self.me().to_owned(),
            lease_until: now + LEASE,
            epoch: record.sandbox.epoch,
            created_at: now,
            error: None,
        };
        let mut job = Job::new(self, progress, record, frozen, operation, params);
        if let Some(mut prior) = prior.filter(|prior| !prior.status.is_terminal()) {
            destroy::supersede(&mut prior, kind);
            job.change().operations.push(prior);
        }
        Ok(job)
    }

    /// What never changes of a sandbox. Removing it needs none of that: where the row is damaged, the record says enough.
    async fn frozen_for(&self, record: &SandboxRecord, kind: OperationKind) -> Result<Frozen, StoreError> {
        let sandbox = &record.sandbox;
        match self.ports.store.frozen(&sandbox.sandbox_id).await {
            Err(StoreError::Damaged { .. }) if matches!(kind, OperationKind::Destroy | OperationKind::Expire) => {
                let extension_id = sandbox.extension_id.as_deref().unwrap_or_default();
                Ok(Frozen {
                    profile: Profile::new(&sandbox.profile_id, extension_id),
                    profile_source: "damaged".to_owned(),
                    route: RouteDecision {
                        strategy: Strategy::Explicit,
                        candidates: Vec::new(),
                    },
                })
            }
            frozen => frozen,
        }
    }

    /// Whether nobody works on this operation, so that anybody may.
    pub(crate) fn is_free(&self, operation: &OperationRecord) -> bool {
        (operation.lease_owner == self.me() && self.dropped.has(&operation.operation_id))
            || self.owner_is_gone(&operation.lease_owner, operation.lease_until)
    }

    pub(crate) fn owner_is_gone(&self, owner: &str, lease_until: jiff::Timestamp) -> bool {
        if owner.is_empty() || self.is_off(Safeguard::Lease) {
            return true;
        }
        match self.ports.owners.is_alive(owner) {
            Presence::Present => false,
            Presence::Absent => true,
            Presence::Unknown => lease_until <= self.ports.clock.now(),
        }
    }

    /// Takes over an operation that nobody works on, and takes it to its end.
    pub(crate) async fn take_over(&self, id: &OperationId, progress: &dyn Progress) -> Result<Taken, UserError> {
        let mut operation = match self.ports.store.operation(id).await {
            // Its first write failed: there is nothing to take over.
            Err(StoreError::NotFound { .. }) if self.dropped.pick_up(id) => return Ok(Taken::Elsewhere),
            operation => operation?,
        };
        let is_free = self.is_free(&operation);
        if operation.status.is_terminal() || !is_free {
            self.dropped.pick_up(id);
            return Ok(Taken::Elsewhere);
        }
        let mut record = self.ports.store.sandbox(&operation.sandbox_id).await?;
        if record.sandbox.operation_id.as_ref() != Some(id) {
            // Closed with a record that moved on; only its row was left behind.
            destroy::supersede(&mut operation, OperationKind::Destroy);
            let change = sandboxer_store::Change {
                operations: vec![operation],
                ..Default::default()
            };
            self.ports.store.commit(&mut record, &change).await?;
            return Ok(Taken::Undone(id.clone()));
        }
        let frozen = self.frozen_for(&record, operation.kind).await?;
        let params: Params = serde_json::from_value(operation.params.clone()).map_err(|error| {
            UserError::new(
                ErrorCode::StoreCorrupt,
                format!("the parameters of {id} cannot be read: {error}"),
            )
        })?;
        record.sandbox.epoch = record.sandbox.epoch.next();
        operation.lease_owner = self.me().to_owned();
        operation.error = None;
        operation.status = if params.undo.is_some() {
            OperationStatus::Undoing
        } else {
            OperationStatus::Running
        };
        let kind = operation.kind;
        let mut job = Job::new(self, progress, record, frozen, operation, params);
        job.seq = u32::try_from(self.ports.store.steps(id).await?.len()).unwrap_or(u32::MAX);
        self.dropped.pick_up(id);
        match job.commit().await {
            Ok(()) => {}
            Err(super::step::Stop::Fenced) => return Ok(Taken::Elsewhere),
            Err(stop) => return Err(stopped(&stop, &job)),
        }
        sandboxer_extension::cut!("takeover.{}.after_commit", kind.name());
        let outcome = match kind {
            OperationKind::Create => create::resume(&mut job).await,
            OperationKind::Destroy => destroy::resume(&mut job).await,
            OperationKind::Expire => expire::resume(&mut job).await,
            OperationKind::Recreate => recreate::resume(&mut job).await,
            OperationKind::ExtendTtl => extend_ttl::resume(&mut job).await,
        };
        match (job.operation.status, outcome) {
            (OperationStatus::Succeeded, _) => Ok(Taken::Finished(id.clone())),
            (OperationStatus::Failed, _) => Ok(Taken::Undone(id.clone())),
            (OperationStatus::Stuck, outcome) => {
                let why = outcome.err().map(|error| error.message).unwrap_or_default();
                Ok(Taken::Stuck(id.clone(), why))
            }
            (_, Err(error)) if error.code == ErrorCode::Fenced => Ok(Taken::Elsewhere),
            (_, Err(error)) => Err(error),
            (_, Ok(())) => Ok(Taken::Finished(id.clone())),
        }
    }

    /// Makes sure that nobody is at work on a sandbox: finishes what a dead process left.
    ///
    /// # Errors
    /// `Busy` when a live process is at work.
    pub(crate) async fn settle_first(
        &self,
        record: SandboxRecord,
        progress: &dyn Progress,
    ) -> Result<SandboxRecord, UserError> {
        let Some(id) = record.sandbox.operation_id.clone() else {
            return Ok(record);
        };
        let operation = self.ports.store.operation(&id).await?;
        let sandbox = &record.sandbox.sandbox_id;
        if self.take_over(&id, progress).await? == Taken::Elsewhere {
            let fresh = self.ports.store.sandbox(sandbox).await?;
            if fresh.sandbox.operation_id.is_some() {
                let what = format!("cannot start: {} is at work on {sandbox}", operation.kind.name());
                return Err(UserError::new(ErrorCode::Busy, what).hint("wait for it to end, or destroy the sandbox"));
            }
            return Ok(fresh);
        }
        Ok(self.ports.store.sandbox(sandbox).await?)
    }

    /// Waits for a removal that a live process runs. `false`: there is none.
    pub(crate) async fn removal_under_way(
        &self,
        record: &SandboxRecord,
        progress: &dyn Progress,
    ) -> Result<bool, UserError> {
        let Some(id) = &record.sandbox.operation_id else {
            return Ok(false);
        };
        let operation = self.ports.store.operation(id).await?;
        let removes = matches!(operation.kind, OperationKind::Destroy | OperationKind::Expire);
        if !removes || operation.status != OperationStatus::Running || self.is_free(&operation) {
            return Ok(false);
        }
        self.outlast(id, progress).await?;
        Ok(true)
    }

    /// Waits until an operation is at its end or stuck, or takes it over when its owner dies meanwhile.
    pub(crate) async fn outlast(&self, id: &OperationId, progress: &dyn Progress) -> Result<(), UserError> {
        let mut pause = Pause::new(self);
        loop {
            let operation = self.ports.store.operation(id).await?;
            if operation.status.is_terminal() || operation.status == OperationStatus::Stuck {
                return Ok(());
            }
            if !operation.lease_owner.is_empty() && self.is_free(&operation) {
                self.take_over(id, progress).await?;
                continue;
            }
            if !pause.wait(PATIENCE).await {
                let what = format!(
                    "{} on {} goes on for too long",
                    operation.kind.name(),
                    operation.sandbox_id
                );
                return Err(UserError::new(ErrorCode::Busy, what).hint("see `sandboxer explain` for the step it is at"));
            }
        }
    }
}

/// Waiting for what another process writes: short pauses first, longer ones later.
pub(crate) struct Pause<'e> {
    engine: &'e Engine,
    started: Duration,
    next: Duration,
}

impl<'e> Pause<'e> {
    pub(crate) fn new(engine: &'e Engine) -> Pause<'e> {
        Pause {
            engine,
            started: engine.ports.clock.monotonic(),
            next: Duration::from_millis(2),
        }
    }

    /// Waits a little; `false` when `most` has passed since the beginning.
    pub(crate) async fn wait(&mut self, most: Duration) -> bool {
        let clock = &self.engine.ports.clock;
        let passed = clock.monotonic().saturating_sub(self.started);
        if passed >= most {
            return false;
        }
        clock.sleep(self.next.min(most - passed)).await;
        // A clock that does not really wait must still let others run.
        tokio::task::yield_now().await;
        self.next = (self.next * 2).min(Duration::from_millis(100));
        true
    }
}

impl Engine {
    pub(crate) async fn do_resume(&self, id: &OperationId, progress: &dyn Progress) -> Result<(), UserError> {
        let operation = self.ports.store.operation(id).await?;
        if operation.status.is_terminal() {
            return Ok(());
        }
        match self.take_over(id, progress).await? {
            Taken::Finished(_) => Ok(()),
            Taken::Undone(_) | Taken::Stuck(..) => {
                let sandbox = self.ports.store.sandbox(&operation.sandbox_id).await?.sandbox;
                Err(sandbox
                    .error
                    .as_ref()
                    .map_or_else(crate::error::interrupted, crate::error::from_failure))
            }
            Taken::Elsewhere => {
                let what = format!("another process is at work on {}", operation.sandbox_id);
                Err(UserError::new(ErrorCode::Busy, what).hint("wait for it with `sandboxer wait`"))
            }
        }
    }
}
