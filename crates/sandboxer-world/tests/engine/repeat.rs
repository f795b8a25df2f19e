//! Each step of each operation taken twice: the outcome is the same.

use sandboxer_engine::faults::{Fault, Moment};
use sandboxer_engine::operation::steps;
use sandboxer_model::lifecycle::State;
use sandboxer_model::sandbox::Sandbox;

use crate::lab::{At, Lab, Verb, block_on};

/// What a caller can tell of an outcome, without what the clock or the ids put in.
#[derive(Debug, PartialEq)]
struct Outcome {
    state: State,
    reason: Option<String>,
    generation: u32,
    expires_in_hours: Option<i64>,
    events: Vec<String>,
    resources: usize,
    error: Option<String>,
}

async fn outcome(lab: &Lab, process: &crate::lab::Process, sandbox: &Sandbox) -> Outcome {
    let events = process.store.events(Some(&sandbox.sandbox_id)).await.unwrap();
    Outcome {
        state: sandbox.state,
        reason: sandbox.reason.map(|reason| reason.to_string()),
        generation: sandbox.generation,
        expires_in_hours: sandbox.expires_at.map(|at| at.as_second() / 3600),
        events: events.into_iter().map(|event| event.kind).collect(),
        resources: lab.world.of(&sandbox.sandbox_id).len(),
        error: sandbox.error.as_ref().map(|error| error.message.clone()),
    }
}

async fn run_once(verb: Verb, lab: Lab, twice: Option<&str>) -> Outcome {
    let faults = twice.map(|step| At::new(verb.kind(), step, Moment::AfterEffect, Fault::Repeat, 1));
    let case = format!("{verb:?}, {twice:?} twice");
    let id = verb.prepare(&lab).await;
    let process = lab.start_with(faults.clone().map(|at| at as _)).await;
    let sandbox = verb
        .perform(&lab, &process, id.as_ref())
        .await
        .unwrap_or_else(|error| panic!("{case}: {error}"));
    if let Some(faults) = faults {
        assert!(faults.reached() > 0, "{case}: the step was never reached");
    }
    lab.expect_sound(&process, &case).await;
    outcome(&lab, &process, &sandbox).await
}

#[test]
fn each_step_twice_is_each_step_once() {
    let mut cases = 0;
    for lab in [Lab::new, Lab::unguarded, Lab::hosted] {
        for verb in Verb::ALL {
            let once = block_on(run_once(verb, lab(), None));
            assert_eq!(once.state, verb.goal(), "{verb:?}");
            for step in steps(verb.kind()) {
                assert_eq!(
                    block_on(run_once(verb, lab(), Some(step))),
                    once,
                    "{verb:?}, {step} twice"
                );
                cases += 1;
            }
        }
    }
    println!("{cases} cases");
    assert!(cases >= 50, "{cases}");
}
