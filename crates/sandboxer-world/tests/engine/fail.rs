//! A failure at each step of each operation, of each kind: nothing is left, or what is left is visibly stuck and goes
//! once the cause is gone; and the record says what happened.

use std::sync::atomic::Ordering;

use sandboxer_engine::faults::{Fault, Moment};
use sandboxer_engine::operation::steps;
use sandboxer_extension::{ErrorKind, ExtensionError, Retry};
use sandboxer_model::error::ErrorCode;
use sandboxer_model::lifecycle::{Reason, State};
use sandboxer_model::operation::OperationStatus;

use crate::lab::{At, Lab, Verb, block_on, later};

/// More than any step is tried.
const ALWAYS: u32 = 1000;

fn failure(kind: ErrorKind, retry: Retry) -> Fault {
    let mut error = ExtensionError::new(kind, "injected");
    error.retry = retry;
    Fault::Fail(error)
}

/// What can happen at a step: name, moment, fault, how often.
fn troubles() -> Vec<(&'static str, Moment, Fault, u32)> {
    let permanent = failure(ErrorKind::Failed, Retry::Permanent);
    let timeout = failure(ErrorKind::Timeout, Retry::Temporary);
    vec![
        (
            "fails for good before its effect",
            Moment::BeforeEffect,
            permanent.clone(),
            ALWAYS,
        ),
        ("loses its reply for good", Moment::AfterEffect, permanent, ALWAYS),
        (
            "times out for ever before its effect",
            Moment::BeforeEffect,
            timeout.clone(),
            ALWAYS,
        ),
        (
            "times out for ever after its effect",
            Moment::AfterEffect,
            timeout,
            ALWAYS,
        ),
        (
            "has no room",
            Moment::BeforeEffect,
            failure(ErrorKind::Capacity, Retry::Capacity),
            ALWAYS,
        ),
    ]
}

async fn case(verb: Verb, lab: Lab, step: &str, (name, moment, fault, times): (&str, Moment, Fault, u32)) {
    let case = format!("{verb:?}: {step} {name}");
    let id = verb.prepare(&lab).await;
    let before = match &id {
        Some(id) => {
            let process = lab.start().await;
            Some((lab.stored(&process, id).await, lab.world.of(id).len()))
        }
        None => None,
    };
    let faults = At::new(verb.kind(), step, moment, fault, times);
    let process = lab.start_with(Some(faults.clone())).await;
    let answer = verb.perform(&lab, &process, id.as_ref()).await;
    assert!(faults.reached() > 0, "{case}: the step was never reached");
    let error = match answer {
        Err(error) => error,
        Ok(sandbox) => panic!("{case}: it succeeds with {}", sandbox.state),
    };
    // Its guard has ended it, and the one step that would say so is the one that is kept from saying it.
    if (verb, step) != (Verb::Expire, "intend") {
        lab.expect_sound(&process, &case).await;
    }
    let read = lab.read(&process).await;
    assert!(read.sandboxes.len() <= 1, "{case}");
    let Some(sandbox) = read.sandboxes.first() else {
        assert!(
            lab.world.resources().is_empty(),
            "{case}: nothing is on record and something exists"
        );
        return;
    };
    // The record is honest: the step is named, or the state is what it was.
    let untouched = before.as_ref().is_some_and(|(before, _)| before.state == sandbox.state);
    let noted = sandbox.error.as_ref();
    if !untouched {
        let noted = noted.unwrap_or_else(|| panic!("{case}: {} without a failure", sandbox.state));
        assert_eq!(noted.step.as_deref(), Some(step), "{case}: {noted:?}");
        assert!(noted.message.contains("injected"), "{case}: {noted:?}");
    }
    match (verb, sandbox.state) {
        (Verb::Create | Verb::Accepted, State::Failed) | (Verb::Run, State::Destroyed) => {
            assert_eq!(sandbox.reason, Some(Reason::FailedAtStep), "{case}");
            assert!(lab.world.resources().is_empty(), "{case}");
        }
        (Verb::Extend, State::Ready) => {
            let was = before.as_ref().and_then(|(before, _)| before.expires_at);
            let kept = lab.world.of(&sandbox.sandbox_id)[0].deadline;
            // Once the guard has moved the record may follow it, never lead it.
            let follows = step == "settle" && sandbox.expires_at == Some(later(&lab));
            assert!(
                sandbox.expires_at == was || follows,
                "{case}: a refused extension moved the deadline"
            );
            assert!(
                kept.is_none() || kept >= sandbox.expires_at,
                "{case}: the guard keeps {kept:?}"
            );
        }
        // Stopped before its effect: the guard of a sandbox whose time passed may have ended it already.
        (Verb::Destroy | Verb::Recreate | Verb::Expire, State::Ready | State::Active) => {
            assert_eq!(
                lab.world.resources().len(),
                before.map_or(0, |(_, count)| count),
                "{case}"
            );
        }
        (Verb::Recreate, State::Failed) => assert!(lab.world.resources().is_empty(), "{case}"),
        (Verb::Destroy | Verb::Expire | Verb::Recreate, State::Destroying) => {
            assert_eq!(noted.map(|noted| noted.code), Some(ErrorCode::Stuck), "{case}");
            assert_eq!(error.code, ErrorCode::Stuck, "{case}");
            let stuck = |one: &&sandboxer_model::operation::Operation| one.status == OperationStatus::Stuck;
            assert_eq!(read.operations.iter().filter(stuck).count(), 1, "{case}");
        }
        (verb, state) => panic!("{case}: {verb:?} ends in {state} with {error:?}"),
    }
    // The cause goes away: what was stuck comes to its end by itself.
    faults.times.store(0, Ordering::SeqCst);
    process.die();
    let process = lab.converge(&case).await;
    let after = lab.stored(&process, &sandbox.sandbox_id).await;
    if sandbox.state == State::Destroying {
        let goal = verb.goal();
        assert_eq!(after.state, goal, "{case}");
    }
    // And what is left can be destroyed.
    process
        .engine
        .destroy(sandbox.sandbox_id.as_str(), &sandboxer_engine::api::Silent)
        .await
        .unwrap();
    assert!(lab.world.resources().is_empty(), "{case}");
    lab.expect_sound(&process, &case).await;
}

#[test]
fn a_failure_at_each_step_leaves_nothing() {
    let mut cases = 0;
    for lab in [Lab::new, Lab::unguarded, Lab::hosted] {
        for verb in Verb::ALL {
            for step in steps(verb.kind()) {
                for trouble in troubles() {
                    block_on(case(verb, lab(), step, trouble));
                    cases += 1;
                }
            }
        }
    }
    println!("{cases} cases");
    assert!(cases >= 250, "{cases}");
}

#[test]
fn a_failure_that_passes_is_not_seen() {
    let mut cases = 0;
    for verb in Verb::ALL {
        for step in steps(verb.kind()) {
            for moment in [Moment::BeforeEffect, Moment::AfterEffect] {
                let case = format!("{verb:?}: {step} fails once at {moment:?}");
                block_on(async {
                    let lab = Lab::new();
                    let id = verb.prepare(&lab).await;
                    let faults = At::new(
                        verb.kind(),
                        step,
                        moment,
                        failure(ErrorKind::Unavailable, Retry::Temporary),
                        1,
                    );
                    let process = lab.start_with(Some(faults.clone())).await;
                    let sandbox = verb.perform(&lab, &process, id.as_ref()).await;
                    let sandbox = sandbox.unwrap_or_else(|error| panic!("{case}: {error}"));
                    assert_eq!(faults.reached(), 2, "{case}");
                    assert_eq!(sandbox.state, verb.goal(), "{case}");
                    if verb == Verb::Extend {
                        assert_eq!(sandbox.expires_at, Some(later(&lab)), "{case}");
                    }
                    lab.expect_sound(&process, &case).await;
                });
                cases += 1;
            }
        }
    }
    println!("{cases} cases");
}

/// A failed create whose removal fails too is visibly stuck, and goes once the cause is gone.
#[test]
fn a_failure_on_the_way_back_is_stuck_and_recovers() {
    use sandboxer_world::{CallName, When};
    for (name, fault) in [
        ("refuses", sandboxer_world::Fault::RefuseRemoval),
        ("cannot tell", sandboxer_world::Fault::Unknown),
        ("fails for good", sandboxer_world::Fault::permanent()),
        ("is out of reach", sandboxer_world::Fault::temporary()),
        ("loses its reply", sandboxer_world::Fault::lost_reply()),
        ("hangs", sandboxer_world::Fault::HangBefore),
        ("hangs when it is done", sandboxer_world::Fault::HangAfter),
    ] {
        for verb in [
            Verb::Create,
            Verb::Accepted,
            Verb::Run,
            Verb::Destroy,
            Verb::Recreate,
            Verb::Expire,
        ] {
            let case = format!("{verb:?}: teardown {name}");
            block_on(async {
                let lab = Lab::unguarded();
                let id = verb.prepare(&lab).await;
                if id.is_none() {
                    lab.world.inject(
                        None,
                        CallName::WaitReady,
                        When::Always,
                        sandboxer_world::Fault::permanent(),
                    );
                }
                lab.world.inject(None, CallName::Teardown, When::Always, fault.clone());
                let process = lab.start().await;
                let error = match verb.perform(&lab, &process, id.as_ref()).await {
                    Err(error) => error,
                    Ok(sandbox) => panic!("{case}: it succeeds with {}", sandbox.state),
                };
                assert_eq!(error.code, ErrorCode::Stuck, "{case}: {error}");
                lab.expect_sound(&process, &case).await;
                let read = lab.read(&process).await;
                assert_eq!(read.sandboxes[0].state, State::Destroying, "{case}");
                assert!(
                    read.operations.iter().any(|one| one.status == OperationStatus::Stuck),
                    "{case}"
                );
                // Asking again does not make it true.
                let again = process
                    .engine
                    .destroy(read.sandboxes[0].sandbox_id.as_str(), &sandboxer_engine::api::Silent);
                assert_eq!(again.await.unwrap_err().code, ErrorCode::Stuck, "{case}");
                lab.world.clear_faults();
                process.die();
                let process = lab.converge(&case).await;
                let after = lab.stored(&process, &read.sandboxes[0].sandbox_id).await;
                assert_eq!(after.state, State::Destroyed, "{case}");
                assert!(lab.world.resources().is_empty(), "{case}");
            });
        }
    }
}
