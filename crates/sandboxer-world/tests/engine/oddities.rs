//! Backends that cannot tell, sandboxes that end by themselves, clocks that jump.

use std::time::Duration;

use jiff::SignedDuration;
use sandboxer_engine::Cancel;
use sandboxer_engine::api::{ListFilter, Recovered, Silent};
use sandboxer_extension::Ended;
use sandboxer_model::error::ErrorCode;
use sandboxer_model::id::{InstallationId, SandboxId};
use sandboxer_model::lifecycle::{Reason, State};
use sandboxer_world::{CallName, Fault, When};

use crate::lab::{Lab, Verb, block_on, command};

/// Being unable to tell is not absence: not for get, list, exec, recover or time.
#[test]
fn unknown_is_never_absent() {
    block_on(async {
        let lab = Lab::new();
        let id = lab.make("profile.fake").await;
        for fault in [
            Fault::Unknown,
            Fault::permanent(),
            Fault::temporary(),
            Fault::HangBefore,
        ] {
            lab.world.inject(None, CallName::Observe, When::Always, fault);
            let process = lab.start().await;
            assert_eq!(process.engine.get(id.as_str()).await.unwrap().state, State::Ready);
            let listed = process.engine.list(&ListFilter::default()).await.unwrap();
            assert_eq!(listed[0].state, State::Ready);
            assert_eq!(process.engine.recover(&Silent).await.unwrap(), Recovered::default());
            assert_eq!(lab.world.of(&id).len(), 1);
            lab.world.clear_faults();
            process.die();
        }
        // A teardown that cannot tell does not make it destroyed.
        lab.world.inject(None, CallName::Teardown, When::Always, Fault::Unknown);
        let process = lab.start().await;
        let error = process.engine.destroy(id.as_str(), &Silent).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Stuck);
        assert_eq!(lab.stored(&process, &id).await.state, State::Destroying);
        lab.expect_sound(&process, "a teardown that cannot tell").await;
        lab.world.clear_faults();
        process.die();
        let process = lab.converge("it can tell again").await;
        assert_eq!(lab.stored(&process, &id).await.state, State::Destroyed);
    });
}

/// A removal that is refused a few times and then works is no failure.
#[test]
fn a_removal_that_takes_a_moment_is_waited_for() {
    block_on(async {
        let lab = Lab::new();
        let id = lab.make("profile.fake").await;
        lab.world
            .inject(None, CallName::Teardown, When::First(2), Fault::RefuseRemoval);
        let process = lab.start().await;
        let gone = process.engine.destroy(id.as_str(), &Silent).await.unwrap();
        assert_eq!(gone.state, State::Destroyed);
        lab.expect_sound(&process, "refused twice").await;
    });
}

#[test]
fn a_sandbox_that_ended_by_itself_is_told_of_and_removed() {
    for how in [Ended::Killed, Ended::OutOfMemory, Ended::OutOfDisk] {
        for verb in ["get", "list", "exec"] {
            let case = format!("{how:?}, noticed by {verb}");
            block_on(async {
                let lab = Lab::new();
                let id = lab.make("profile.fake").await;
                lab.world.vanish(&id, how);
                let process = lab.start().await;
                match verb {
                    "get" => assert_eq!(
                        process.engine.get(id.as_str()).await.unwrap().state,
                        State::Failed,
                        "{case}"
                    ),
                    "list" => {
                        let listed = process.engine.list(&ListFilter::default()).await.unwrap();
                        assert_eq!(listed[0].state, State::Failed, "{case}");
                    }
                    _ => {
                        let error = process
                            .engine
                            .exec(id.as_str(), command(&["true"]))
                            .await
                            .err()
                            .unwrap();
                        assert_eq!(error.code, ErrorCode::WrongState, "{case}: {error}");
                    }
                }
                let sandbox = lab.stored(&process, &id).await;
                assert_eq!(
                    (sandbox.state, sandbox.reason),
                    (State::Failed, Some(Reason::ProviderLost)),
                    "{case}"
                );
                lab.expect_sound(&process, &case).await;
                let gone = process.engine.destroy(id.as_str(), &Silent).await.unwrap();
                assert_eq!(gone.state, State::Destroyed, "{case}");
                lab.expect_sound(&process, &case).await;
            });
        }
    }
}

/// The guard acted while no control plane ran.
#[test]
fn what_its_guard_ended_is_expired() {
    for verb in ["get", "list", "recover", "expire"] {
        block_on(async {
            let lab = Lab::new();
            let id = lab.make("profile.fake").await;
            lab.clock.advance(Duration::from_secs(3600));
            assert!(lab.world.resources().is_empty(), "the guard did not act");
            let process = lab.start().await;
            match verb {
                "get" => drop(process.engine.get(id.as_str()).await.unwrap()),
                "list" => drop(process.engine.list(&ListFilter::default()).await.unwrap()),
                "recover" => assert_eq!(
                    process.engine.recover(&Silent).await.unwrap().expired,
                    std::slice::from_ref(&id)
                ),
                _ => assert_eq!(process.engine.expire(true, &Silent).await.unwrap().len(), 1),
            }
            let sandbox = lab.stored(&process, &id).await;
            assert_eq!(
                (sandbox.state, sandbox.reason),
                (State::Destroyed, Some(Reason::Ttl)),
                "{verb}"
            );
            lab.expect_sound(&process, verb).await;
        });
    }
}

#[test]
fn nothing_live_is_expired() {
    block_on(async {
        let lab = Lab::unguarded();
        let id = lab.make("profile.fake").await;
        lab.clock.advance(Duration::from_secs(3599));
        let process = lab.start().await;
        assert_eq!(process.engine.recover(&Silent).await.unwrap(), Recovered::default());
        assert!(process.engine.expire(true, &Silent).await.unwrap().is_empty());
        // A dry run touches nothing even when it is time.
        lab.clock.advance(Duration::from_secs(2));
        assert_eq!(process.engine.expire(false, &Silent).await.unwrap().len(), 1);
        assert_eq!(lab.world.of(&id).len(), 1);
        assert_eq!(lab.stored(&process, &id).await.state, State::Ready);
        assert_eq!(process.engine.expire(true, &Silent).await.unwrap().len(), 1);
        assert!(lab.world.resources().is_empty());
        lab.expect_sound(&process, "expired").await;
    });
}

/// Somebody sets the date back by a day: a dead owner is still dead, a live one still alive, and nothing is torn down.
#[test]
fn a_date_that_jumps_back_kills_nothing() {
    block_on(async {
        let lab = Lab::new();
        let id = lab.make("profile.fake").await;
        lab.clock.jump(SignedDuration::from_hours(-24));
        let process = lab.start().await;
        assert_eq!(process.engine.recover(&Silent).await.unwrap(), Recovered::default());
        assert_eq!(process.engine.get(id.as_str()).await.unwrap().state, State::Ready);
        process.engine.destroy(id.as_str(), &Silent).await.unwrap();
        lab.expect_sound(&process, "destroyed in the past").await;
    });
}

/// A live process is not taken over, however long it takes.
#[test]
fn a_live_owner_keeps_its_operation() {
    block_on(async {
        let lab = Lab::new();
        let gate = sandboxer_world::Gate::closed();
        lab.world.inject(
            None,
            CallName::Provision,
            When::Nth(1),
            Fault::PauseBefore(gate.clone()),
        );
        let (creator, other) = (lab.start().await, lab.start().await);
        let cancel = Cancel::new();
        let creation = creator.engine.create(lab.request("profile.fake"), &Silent, &cancel);
        let meddling = async {
            gate.reached().await;
            lab.clock.advance(Duration::from_secs(3600));
            assert_eq!(other.engine.recover(&Silent).await.unwrap(), Recovered::default());
            gate.open();
        };
        let (created, ()) = tokio::join!(creation, meddling);
        assert_eq!(created.unwrap().sandbox.state, State::Ready);
        lab.expect_sound(&other, "a slow create").await;
    });
}

/// What belongs to others is never touched, whatever is created, crashed and destroyed beside it.
#[test]
fn foreign_resources_are_left_alone() {
    block_on(async {
        let lab = Lab::new();
        let id = lab.make("profile.fake").await;
        let mut request = lab.world.of(&id)[0].request.clone();
        request.sandbox_id = SandboxId::from_uuid(uuid::Uuid::from_u128(7));
        let foreign = request.sandbox_id.clone();
        lab.world
            .add_foreign("ext.fake", request, InstallationId::from_uuid(uuid::Uuid::from_u128(9)));
        let process = lab.start().await;
        process.engine.recover(&Silent).await.unwrap();
        process.engine.destroy(id.as_str(), &Silent).await.unwrap();
        process.engine.recover(&Silent).await.unwrap();
        assert_eq!(lab.world.of(&foreign).len(), 1);
        assert_eq!(lab.world.resources().len(), 1);
    });
}

/// Every fault of every backend call, for every verb: the promises hold, and once the faults are gone all comes to rest.
#[test]
fn every_fault_of_every_call() {
    use CallName::{EstimateCost, Exec, Observe, Provision, SetDeadline, Teardown, Usage, Validate, WaitReady};
    let mut cases = 0;
    for verb in Verb::ALL {
        for call in [
            Validate,
            EstimateCost,
            Provision,
            WaitReady,
            Teardown,
            Observe,
            Exec,
            SetDeadline,
            Usage,
        ] {
            for fault in [
                Fault::permanent(),
                Fault::temporary(),
                Fault::lost_reply(),
                Fault::HangBefore,
                Fault::HangAfter,
                Fault::Twice,
                Fault::Unknown,
                Fault::RefuseRemoval,
                Fault::Vanish(Ended::Killed),
            ] {
                for when in [When::Nth(1), When::Always] {
                    let case = format!("{verb:?}: {call:?} {fault:?} {when:?}");
                    block_on(async {
                        let lab = Lab::new();
                        let id = verb.prepare(&lab).await;
                        lab.world.inject(None, call, when, fault.clone());
                        let process = lab.start().await;
                        // Whatever it answers must be true.
                        let answer = verb.perform(&lab, &process, id.as_ref()).await;
                        lab.world.clear_faults();
                        if matches!(fault, Fault::Vanish(_)) {
                            // Nobody can know before somebody looks.
                            process.engine.list(&ListFilter::default()).await.unwrap();
                        }
                        lab.expect_sound(&process, &case).await;
                        if let Ok(sandbox) = answer
                            && sandbox.state == State::Destroyed
                        {
                            assert!(lab.world.resources().is_empty(), "{case}");
                        }
                        process.die();
                        lab.converge(&case).await;
                    });
                    cases += 1;
                }
            }
        }
    }
    println!("{cases} cases");
    assert!(cases > 1000);
}

/// The table of steps is what the fault suites walk; an operation without steps would be walked in vain.
#[test]
fn every_operation_has_its_steps() {
    for verb in Verb::ALL {
        assert!(sandboxer_engine::operation::steps(verb.kind()).len() >= 3, "{verb:?}");
    }
}
