//! Records to store.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    reason = "each user has its own part"
)]

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use sandboxer_extension::port::{Clock as _, IdSource as _, SystemClock, SystemIds};
use sandboxer_model::id::{EventId, OperationId, SandboxId};
use sandboxer_model::lifecycle::State;
use sandboxer_model::money::Meter;
use sandboxer_model::operation::{Epoch, OperationKind, OperationStatus};
use sandboxer_model::profile::{Profile, Scope, Strategy};
use sandboxer_model::route::RouteDecision;
use sandboxer_model::sandbox::{Consumer, Sandbox};
use sandboxer_store::{
    Change, Facts, Frozen, NewEvent, OperationRecord, SandboxRecord, StepPhase, StepRecord, StepStatus, Store,
    StoreError,
};

pub async fn open(dir: &Path) -> Result<Store, StoreError> {
    Store::open(dir, Arc::new(SystemClock), Arc::new(SystemIds)).await
}

pub async fn memory() -> Store {
    Store::open_in_memory(Arc::new(SystemClock), Arc::new(SystemIds))
        .await
        .unwrap()
}

pub fn frozen() -> Frozen {
    Frozen {
        profile: Profile::new("profile.test", "ext.test"),
        profile_source: "test".to_owned(),
        route: RouteDecision {
            strategy: Strategy::Explicit,
            candidates: Vec::new(),
        },
    }
}

pub fn record() -> SandboxRecord {
    record_of(SandboxId::from_uuid(SystemIds.uuid()))
}

pub fn record_of(sandbox_id: SandboxId) -> SandboxRecord {
    let now = SystemClock.now();
    let sandbox = Sandbox {
        sandbox_id,
        state: State::Requested,
        reason: None,
        profile_id: "profile.test".to_owned(),
        profile_version: "1.0.0".to_owned(),
        profile_digest: "blake3:0".to_owned(),
        extension_id: None,
        host: None,
        consumer: Consumer::default(),
        scope: Scope::Session,
        labels: Default::default(),
        inputs: Default::default(),
        reachability: None,
        isolation: None,
        ttl: "4h".parse().unwrap(),
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
        operation_id: None,
        generation: 1,
        epoch: Epoch(1),
    };
    SandboxRecord::new(sandbox, Facts::default())
}

pub fn event(state: State) -> NewEvent {
    NewEvent {
        event_id: EventId::from_uuid(SystemIds.uuid()),
        at: SystemClock.now(),
        kind: format!("state.{state}"),
        state,
        reason: None,
        summary: "told".to_owned(),
        detail: serde_json::Value::Null,
    }
}

pub fn operation(sandbox_id: &SandboxId, owner: &str, until: Timestamp) -> OperationRecord {
    OperationRecord {
        operation_id: OperationId::from_uuid(SystemIds.uuid()),
        kind: OperationKind::Create,
        sandbox_id: sandbox_id.clone(),
        params: serde_json::json!({ "a": 1 }),
        status: OperationStatus::Running,
        step: Some("place".to_owned()),
        lease_owner: owner.to_owned(),
        lease_until: until,
        epoch: Epoch(1),
        created_at: SystemClock.now(),
        error: None,
    }
}

pub fn step(operation_id: &OperationId, seq: u32) -> StepRecord {
    StepRecord {
        operation_id: operation_id.clone(),
        seq,
        name: "place".to_owned(),
        phase: StepPhase::Do,
        attempt: 1,
        status: StepStatus::Done,
        output: serde_json::Value::Null,
        error: None,
        started_at: SystemClock.now(),
        duration_us: Some(7),
    }
}

/// What a first commit of a creation looks like.
pub fn first() -> Change {
    Change {
        frozen: Some(frozen()),
        events: vec![event(State::Requested)],
        ..Change::default()
    }
}
