//! Where a store's time goes in a fresh process: `cargo run --release --example timing -p sandboxer-store -- DIR`.

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::time::Duration;

use sandboxer_extension::port::{Clock as _, SystemClock};
use sandboxer_model::cleanup::{CleanupItem, CleanupReport, Presence};
use sandboxer_model::isolation::{Attestation, IsolationReport, Mechanism, MechanismState};
use sandboxer_model::lifecycle::State;
use sandboxer_model::operation::OperationStatus;
use sandboxer_model::profile::IsolationLevel;
use sandboxer_store::{Change, Durability, MeterRow};
use support::{event, first, open, operation, record, step};

/// Does to the store what one `sandboxer run` on this machine does to it, with records of the same size.
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let dir = PathBuf::from(
        std::env::args()
            .nth(1)
            .unwrap_or_else(|| "/tmp/sandboxer-timing".to_owned()),
    );
    let mut last = SystemClock.monotonic();
    let mut lap = |name: &str| {
        let now = SystemClock.monotonic();
        println!("{name:<28} {:>8.1} us", us(now.saturating_sub(last)));
        last = SystemClock.monotonic();
    };
    let Ok(store) = open(&dir).await else {
        return println!("cannot open {}", dir.display());
    };
    lap("open");
    let _ = store.due("me", 256).await;
    lap("due");
    let _ = store.outstanding(false).await;
    lap("ask what is to be sent");
    let mut record = record();
    let mut operation = operation(&record.sandbox.sandbox_id, "me", SystemClock.now());
    let id = operation.operation_id.clone();
    let change = Change {
        operations: vec![operation.clone()],
        steps: vec![step(&id, 1), step(&id, 2)],
        events: vec![event(State::Requested), event(State::Provisioning)],
        durability: Durability::CrashOnly,
        ..first()
    };
    record.sandbox.state = State::Provisioning;
    lap("(build)");
    let accepted = store.commit(&mut record, &change).await;
    lap("accept, crash only");
    record.sandbox.state = State::Active;
    record.sandbox.isolation = Some(isolation());
    let change = Change {
        operations: vec![operation.clone()],
        steps: vec![step(&id, 2), step(&id, 3), step(&id, 4)],
        events: vec![event(State::Ready), event(State::Active)],
        durability: Durability::CrashOnly,
        ..Change::default()
    };
    lap("(build)");
    let published = store.commit(&mut record, &change).await;
    lap("publish, crash only");
    record.sandbox.state = State::Destroyed;
    record.sandbox.cleanup = Some(cleanup());
    operation.status = OperationStatus::Succeeded;
    let mut told = event(State::Destroyed);
    told.detail = serde_json::json!({ "cleanup": cleanup() });
    let change = Change {
        operations: vec![operation],
        steps: vec![step(&id, 5), step(&id, 6)],
        events: vec![event(State::Destroying), told],
        meters: vec![MeterRow {
            meter: "duration_ms".to_owned(),
            period: 1,
            quantity: 5,
            cost_micros: 0,
        }],
        durability: Durability::Acknowledged,
        ..Change::default()
    };
    lap("(build)");
    let settled = store.commit(&mut record, &change).await;
    lap("settle, acknowledged");
    let found = store.find_sandbox(record.sandbox.sandbox_id.as_str()).await;
    lap("find");
    drop(store);
    lap("drop");
    for error in [accepted, published, settled, found.map(|_| ())]
        .into_iter()
        .filter_map(Result::err)
    {
        println!("failed: {error}");
    }
    // Like the command line.
    std::process::exit(0);
}

fn isolation() -> IsolationReport {
    let mechanism = |name: &str| Mechanism {
        name: name.to_owned(),
        state: MechanismState::Enforced,
        detail: "what it does here, in about the sixty letters it takes to say".to_owned(),
    };
    let attestation = |to: &str| Attestation {
        probe: format!("connect to {to}"),
        expected: "no route".to_owned(),
        observed: "no route".to_owned(),
        held: true,
    };
    IsolationReport {
        level: IsolationLevel::Container,
        mechanisms: [
            "user", "pid", "mount", "network", "ipc", "uts", "cgroup", "landlock", "seccomp", "caps",
        ]
        .map(mechanism)
        .to_vec(),
        limits: Vec::new(),
        attestations: [
            "203.0.113.1:443",
            "10.0.0.1:22",
            "169.254.169.254:80",
            "[2001:db8::1]:443",
        ]
        .map(attestation)
        .to_vec(),
    }
}

fn cleanup() -> CleanupReport {
    let item = |kind: &str| CleanupItem {
        kind: kind.to_owned(),
        name: "/sys/fs/cgroup/memory/sandboxer/sbx-01m7y7zb7teaja2j6jnnxx7y3d".to_owned(),
        found: true,
        now: Presence::Absent,
        detail: String::new(),
    };
    CleanupReport {
        items: ["process", "cgroup", "cgroup", "cgroup", "uid_lease", "directory"]
            .map(item)
            .to_vec(),
        verified: Presence::Absent,
    }
}

fn us(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
