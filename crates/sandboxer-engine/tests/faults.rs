//! Every step of every operation: repeated, failing before its effect, and with its reply lost.

#![expect(clippy::unwrap_used, reason = "a test may stop")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sandboxer_engine::api::{Extend, ListFilter, Silent};
use sandboxer_engine::faults::{Fault, Faults, Moment, Point};
use sandboxer_engine::{Cancel, Engine, operation};
use sandboxer_extension::{ErrorKind, ExtensionError};
use sandboxer_model::cleanup::Presence;
use sandboxer_model::error::UserError;
use sandboxer_model::lifecycle::State;
use sandboxer_model::operation::OperationKind;
use sandboxer_model::sandbox::Sandbox;
use support::Bench;

const KINDS: [OperationKind; 5] = [
    OperationKind::Create,
    OperationKind::Destroy,
    OperationKind::Recreate,
    OperationKind::ExtendTtl,
    OperationKind::Expire,
];

/// One fault at one step of one operation, as often as it comes by.
struct At {
    kind: OperationKind,
    step: &'static str,
    moment: Moment,
    fault: Fault,
    hits: AtomicU32,
}

impl Faults for At {
    fn at(&self, point: &Point<'_>) -> Fault {
        if point.operation == self.kind && point.step == self.step && point.moment == self.moment && !point.undoing {
            self.hits.fetch_add(1, Ordering::SeqCst);
            return self.fault.clone();
        }
        Fault::Continue
    }
}

async fn perform(engine: &Engine, bench: &Bench, kind: OperationKind, id: Option<&str>) -> Result<Sandbox, UserError> {
    let id = id.unwrap_or_default();
    match kind {
        OperationKind::Create => engine
            .create(bench.request("profile.native"), &Silent, &Cancel::new())
            .await
            .map(|created| created.sandbox),
        OperationKind::Destroy => match engine.destroy(id, &Silent).await {
            Ok(_) => engine.get(id).await,
            Err(error) => Err(error),
        },
        OperationKind::Recreate => engine.recreate(id, &Silent, &Cancel::new()).await,
        OperationKind::ExtendTtl => engine.extend_ttl(id, Extend::By("1h".parse().unwrap())).await,
        OperationKind::Expire => {
            bench.clock.advance(Duration::from_secs(5 * 3600));
            engine.recover(&Silent).await?;
            engine.get(id).await
        }
    }
}

/// Performs the operation with this fault and returns its outcome, the record, and how often the fault struck.
async fn with_fault(bench: &Bench, fault: At) -> (Result<Sandbox, UserError>, Option<Sandbox>, u32) {
    let plain = bench.engine();
    let id = match fault.kind {
        OperationKind::Create => None,
        _ => Some(
            perform(&plain, bench, OperationKind::Create, None)
                .await
                .unwrap()
                .sandbox_id
                .to_string(),
        ),
    };
    let (kind, fault) = (fault.kind, Arc::new(fault));
    let engine = bench.engine().with_faults(fault.clone());
    let outcome = perform(&engine, bench, kind, id.as_deref()).await;
    let record = engine
        .list(&ListFilter {
            all: true,
            ..ListFilter::default()
        })
        .await
        .unwrap()
        .pop();
    (outcome, record, fault.hits.load(Ordering::SeqCst))
}

#[tokio::test]
async fn each_step_twice_is_once() {
    for kind in KINDS {
        for &step in operation::steps(kind) {
            let bench = Bench::new().await;
            let fault = At {
                kind,
                step,
                moment: Moment::AfterEffect,
                fault: Fault::Repeat,
                hits: AtomicU32::new(0),
            };
            let (outcome, record, hits) = with_fault(&bench, fault).await;
            let (sandbox, record) = (outcome.unwrap(), record.unwrap());
            assert!(hits > 0, "{kind:?} {step} was never reached");
            assert_eq!(sandbox.state, record.state, "{kind:?} {step}");
            assert_eq!(
                bench.world.resources().len(),
                usize::from(record.state.is_usable()),
                "{kind:?} {step}"
            );
            bench.history(&bench.engine(), record.sandbox_id.as_str()).await;
        }
    }
}

#[tokio::test]
async fn a_failure_at_each_step_leaves_nothing_and_an_honest_record() {
    for kind in KINDS {
        for &step in operation::steps(kind) {
            for moment in [Moment::BeforeEffect, Moment::AfterEffect] {
                for error in [ErrorKind::Failed, ErrorKind::Timeout] {
                    let what = format!("{kind:?} {step} {moment:?} {error:?}");
                    let bench = Bench::new().await;
                    let fault = Fault::Fail(ExtensionError::new(error, "injected"));
                    let (outcome, record, hits) = with_fault(
                        &bench,
                        At {
                            kind,
                            step,
                            moment,
                            fault,
                            hits: AtomicU32::new(0),
                        },
                    )
                    .await;
                    assert!(hits > 0, "{what} was never reached");
                    // `recover` reports what it could not do; the others fail.
                    assert_eq!(outcome.is_ok(), kind == OperationKind::Expire, "{what}: {outcome:?}");
                    let record = record.unwrap();
                    let engine = bench.engine_of(bench.owners.clone());
                    if record.state == State::Failed {
                        assert_eq!(record.cleanup.as_ref().unwrap().verified, Presence::Absent, "{what}");
                        assert!(bench.world.resources().is_empty(), "{what}");
                    }
                    // Whatever was left open is ended by the next command, without the fault.
                    bench.owners.die();
                    let next = bench.engine_of(bench.owners.another("next"));
                    bench.clock.advance(Duration::from_secs(31));
                    next.recover(&Silent).await.unwrap();
                    let after = next.get(record.sandbox_id.as_str()).await.unwrap();
                    assert_eq!(after.operation_id, None, "{what}: {after:?}");
                    assert_eq!(
                        bench.world.resources().len(),
                        usize::from(after.state.is_usable()),
                        "{what}: {}",
                        after.state
                    );
                    if matches!(kind, OperationKind::Create) {
                        assert!(!after.state.is_usable(), "{what}");
                    }
                    next.destroy(record.sandbox_id.as_str(), &Silent).await.unwrap();
                    assert!(bench.world.resources().is_empty(), "{what}");
                    bench.history(&engine, record.sandbox_id.as_str()).await;
                }
            }
        }
    }
}
