//! A crash at each place where an operation waits: the next control plane finishes or undoes it, and nothing leaks.

use sandboxer_engine::api::Silent;
use sandboxer_model::id::SandboxId;
use sandboxer_model::lifecycle::{Reason, State};

use crate::lab::{Fuse, Lab, Process, Verb, block_on, killed_after, later};

/// More than any operation burns.
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

/// Dropped while it waits, after so many waits. A commit that was handed to the store may still land.
async fn dropped(verb: Verb, lab: Lab, polls: u64) {
    let case = format!("{verb:?} dropped after {polls} waits");
    let id = verb.prepare(&lab).await;
    let process = lab.start().await;
    let _ = killed_after(polls, verb.perform(&lab, &process, id.as_ref())).await;
    process.die();
    lab.wait_for_the_dead();
    let process = lab.converge(&case).await;
    expect_outcome(verb, &lab, &process, id.as_ref(), &case).await;
}

#[test]
fn dropped_at_each_wait() {
    for lab in [Lab::new, Lab::unguarded, Lab::hosted] {
        for verb in Verb::ALL {
            // How often it waits depends on how fast the disk is; this is more than it ever does.
            for polls in 1..=24 {
                block_on(dropped(verb, lab(), polls));
            }
        }
    }
}

/// Burns through the operation, and then, if asked, through its recovery. Which of the two ended before that.
async fn burnt(verb: Verb, lab: Lab, length: u64, recovery: Option<u64>) -> (bool, bool) {
    let case = format!("{verb:?} dead at {length}, its recovery at {recovery:?}");
    let id = verb.prepare(&lab).await;
    let fuse = Fuse::new();
    let process = lab.start_fused(&fuse).await;
    let ended = fuse
        .run(length, verb.perform(&lab, &process, id.as_ref()))
        .await
        .is_some();
    process.die();
    lab.wait_for_the_dead();
    let mut recovered = true;
    if let Some(length) = recovery {
        let process = lab.start_fused(&fuse).await;
        recovered = fuse.run(length, process.engine.recover(&Silent)).await.is_some();
        process.die();
        lab.wait_for_the_dead();
    }
    let process = lab.converge(&case).await;
    expect_outcome(verb, &lab, &process, id.as_ref(), &case).await;
    (ended, recovered)
}

fn length_of(verb: Verb, lab: fn() -> Lab) -> u64 {
    let ended = |length: &u64| block_on(burnt(verb, lab(), *length, None)).0;
    (1..MOST).find(ended).unwrap_or_else(|| panic!("{verb:?} never ends"))
}

#[test]
fn dead_at_each_place() {
    let mut cases = 0;
    for lab in [Lab::new, Lab::unguarded, Lab::hosted] {
        for verb in Verb::ALL {
            let length = length_of(verb, lab);
            println!("{verb:?}: {} places", length - 1);
            assert!(length > 10, "{verb:?} dies at {length} places only");
            cases += length - 1;
        }
    }
    println!("{cases} cases");
    assert!(cases >= 270, "{cases}");
}

/// Again during the recovery: a spread of places of the operation with each place of the recovery.
#[test]
fn dead_again_during_recovery() {
    let mut cases = 0;
    for verb in Verb::ALL {
        let mut length = 1;
        loop {
            let mut ended = false;
            for recovery in (1..MOST).step_by(2) {
                let (operation_ended, recovered) = block_on(burnt(verb, Lab::new(), length, Some(recovery)));
                ended = operation_ended;
                cases += 1;
                if recovered {
                    break;
                }
            }
            if ended {
                break;
            }
            length += 2;
        }
    }
    println!("{cases} cases");
    assert!(cases >= 800, "{cases}");
}
