//! A crash at each place where an operation waits: the next control plane finishes or undoes it, and nothing leaks.

use sandboxer_engine::api::Silent;
use sandboxer_model::id::SandboxId;
use sandboxer_model::lifecycle::{Reason, State};

use crate::lab::{Lab, Process, Verb, block_on, killed_after, later};

/// More than any operation waits.
const MOST: u64 = 2000;

/// What may have become of the sandbox when everything has come to rest after a crash.
async fn expect_outcome(verb: Verb, lab: &Lab, process: &Process, id: Option<&SandboxId>, case: &str) {
    let read = lab.read(process).await;
    let Some(sandbox) = read.sandboxes.first() else {
        assert!(id.is_none(), "{case}: the record is gone");
        return;
    };
    assert_eq!(read.sandboxes.len(), 1, "{case}");
    let (state, reason) = (sandbox.state, sandbox.reason);
    let fine = match verb {
        // Ready only if the caller could have been told so.
        Verb::Create => state == State::Ready || (state == State::Destroyed && reason == Some(Reason::Interrupted)),
        Verb::Accepted => state == State::Ready,
        Verb::Run => state == State::Destroyed && matches!(reason, Some(Reason::Interrupted | Reason::RunFinished)),
        Verb::Destroy => {
            state == State::Ready || (state == State::Destroyed && reason == Some(Reason::DestroyedByRequest))
        }
        Verb::Recreate => state == State::Ready && sandbox.generation <= 2,
        Verb::Extend => state == State::Ready,
        Verb::Expire => state == State::Destroyed && reason == Some(Reason::Ttl),
    };
    assert!(
        fine,
        "{case}: it ends {state} because of {reason:?}, generation {}",
        sandbox.generation
    );
    if verb == Verb::Extend {
        // What the guard keeps is at least what the record says.
        let kept = lab.world.of(&sandbox.sandbox_id)[0].deadline;
        let said = sandbox.expires_at;
        assert!(
            kept.is_none_or(|kept| said.is_some_and(|said| kept >= said)),
            "{case}: {kept:?} {said:?}"
        );
        assert!(said.is_some_and(|said| said <= later(lab)), "{case}");
    }
}

/// Kills the operation after so many waits, and each recovery but the last after so many. `None`: it ended before.
async fn crash(verb: Verb, lab: Lab, polls: u64, recovery: Option<u64>) -> Option<bool> {
    let case = format!("{verb:?} killed after {polls} waits, its recovery after {recovery:?}");
    let id = verb.prepare(&lab).await;
    let process = lab.start().await;
    let outcome = killed_after(polls, verb.perform(&lab, &process, id.as_ref())).await;
    let ended = outcome.is_some();
    process.die();
    lab.wait_for_the_dead();
    let mut recovery_ended = true;
    if let Some(polls) = recovery {
        let process = lab.start().await;
        recovery_ended = killed_after(polls, process.engine.recover(&Silent)).await.is_some();
        process.die();
        lab.wait_for_the_dead();
    }
    let process = lab.converge(&case).await;
    expect_outcome(verb, &lab, &process, id.as_ref(), &case).await;
    (!ended).then_some(recovery_ended)
}

fn crash_everywhere(lab: fn() -> Lab) -> u64 {
    let mut cases = 0;
    for verb in Verb::ALL {
        let waits = (1..MOST)
            .take_while(|polls| block_on(crash(verb, lab(), *polls, None)).is_some())
            .count() as u64;
        assert!(waits >= 3 && waits < MOST - 1, "{verb:?} waits {waits} times");
        println!("{verb:?}: {waits} crashes");
        cases += waits;
    }
    cases
}

#[test]
fn a_crash_anywhere_is_recovered_from() {
    let cases = crash_everywhere(Lab::new);
    println!("{cases} cases");
}

#[test]
fn a_crash_anywhere_is_recovered_from_where_sandboxes_outlive_the_machine() {
    let cases = crash_everywhere(Lab::unguarded);
    println!("{cases} cases");
}

/// Again during the recovery: each place of the operation with each place of the recovery.
#[test]
fn a_crash_during_recovery_is_recovered_from() {
    let mut cases = 0;
    for verb in Verb::ALL {
        let mut polls = 1;
        loop {
            let mut ended = false;
            let mut recovery = 1;
            loop {
                match block_on(crash(verb, Lab::new(), polls, Some(recovery))) {
                    None => ended = true,
                    Some(recovery_ended) => {
                        cases += 1;
                        if !recovery_ended && recovery < MOST {
                            recovery += 1;
                            continue;
                        }
                    }
                }
                break;
            }
            if ended {
                break;
            }
            polls += 1;
        }
    }
    println!("{cases} cases");
}
