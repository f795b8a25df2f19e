//! Where a store's time goes in a fresh process: `cargo run --release --example timing -p sandboxer-store -- DIR`.

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::time::Duration;

use sandboxer_extension::port::{Clock as _, SystemClock};
use sandboxer_model::lifecycle::State;
use sandboxer_store::{Change, Durability};
use support::{event, first, open, operation, record, step};

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
    for durability in [Durability::CrashOnly, Durability::Acknowledged] {
        let mut record = record();
        let operation = operation(&record.sandbox.sandbox_id, "me", SystemClock.now());
        let change = Change {
            operations: vec![operation.clone()],
            steps: vec![step(&operation.operation_id, 1)],
            events: vec![event(State::Requested), event(State::Provisioning)],
            durability,
            ..first()
        };
        record.sandbox.state = State::Provisioning;
        lap("(build)");
        let _ = store.commit(&mut record, &change).await;
        lap(if durability == Durability::CrashOnly {
            "insert, crash only"
        } else {
            "insert, acknowledged"
        });
        record.sandbox.state = State::Ready;
        let mut done = operation.clone();
        done.status = sandboxer_model::operation::OperationStatus::Succeeded;
        let change = Change {
            operations: vec![done],
            steps: vec![step(&operation.operation_id, 2), step(&operation.operation_id, 3)],
            events: vec![event(State::Ready)],
            durability,
            ..Change::default()
        };
        lap("(build)");
        let _ = store.commit(&mut record, &change).await;
        lap(if durability == Durability::CrashOnly {
            "update, crash only"
        } else {
            "update, acknowledged"
        });
        let _ = store.find_sandbox(record.sandbox.sandbox_id.as_str()).await;
        lap("find");
    }
    std::process::exit(0);
}

fn us(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
