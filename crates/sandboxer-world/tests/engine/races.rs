//! Two at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sandboxer_engine::Cancel;
use sandboxer_engine::api::{Extend, Silent};
use sandboxer_engine::faults::{self, Faults, Point};
use sandboxer_extension::{ErrorKind, ExecSession};
use sandboxer_model::error::ErrorCode;
use sandboxer_model::lifecycle::{Reason, State};
use sandboxer_world::{CallName, Fault, Gate, When};

use crate::lab::{Lab, block_on, cancelled_after, command, span};

/// A destroy while another live process creates: the destroy wins, and the create's late effects are refused.
#[test]
fn destroy_wins_over_a_running_create() {
    for (call, before) in [
        (CallName::Provision, true),
        (CallName::Provision, false),
        (CallName::WaitReady, true),
        (CallName::WaitReady, false),
    ] {
        let case = format!("create held at {call:?}, {}", if before { "before" } else { "after" });
        block_on(async {
            let lab = Lab::new();
            let gate = Gate::closed();
            let pause = if before {
                Fault::PauseBefore(gate.clone())
            } else {
                Fault::PauseAfter(gate.clone())
            };
            lab.world.inject(None, call, When::Nth(1), pause);
            let (creator, destroyer) = (lab.start().await, lab.start().await);
            let cancel = Cancel::new();
            let creation = creator.engine.create(lab.request("profile.fake"), &Silent, &cancel);
            let destruction = async {
                gate.reached().await;
                let read = lab.read(&destroyer).await;
                let id = read.sandboxes[0].sandbox_id.clone();
                let gone = destroyer.engine.destroy(id.as_str(), &Silent).await.unwrap();
                assert_eq!(gone.state, State::Destroyed, "{case}");
                gate.open();
                id
            };
            let (created, id) = tokio::join!(creation, destruction);
            let error = created.unwrap_err();
            assert_eq!(error.code, ErrorCode::Fenced, "{case}: {error}");
            assert!(lab.world.resources().is_empty(), "{case}: the create left something");
            lab.expect_sound(&destroyer, &case).await;
            let after = lab.stored(&destroyer, &id).await;
            assert_eq!(
                (after.state, after.reason),
                (State::Destroyed, Some(Reason::DestroyedByRequest)),
                "{case}"
            );
        });
    }
}

#[test]
fn two_destroys_at_once_both_succeed() {
    for held in [None, Some(CallName::Teardown)] {
        block_on(async {
            let lab = Lab::new();
            let id = lab.make("profile.fake").await;
            let gate = Gate::closed();
            if let Some(call) = held {
                lab.world
                    .inject(None, call, When::Nth(1), Fault::PauseBefore(gate.clone()));
            }
            let (one, two) = (lab.start().await, lab.start().await);
            let open = async {
                if held.is_some() {
                    gate.reached().await;
                    gate.open();
                }
            };
            let (first, second, ()) = tokio::join!(
                one.engine.destroy(id.as_str(), &Silent),
                two.engine.destroy(id.as_str(), &Silent),
                open
            );
            for gone in [first.unwrap(), second.unwrap()] {
                assert_eq!(gone.state, State::Destroyed);
                assert_eq!(gone.reason, Some(Reason::DestroyedByRequest));
            }
            lab.expect_sound(&one, "two destroys").await;
            assert!(lab.world.resources().is_empty());
            let again = two.engine.destroy(id.as_str(), &Silent).await.unwrap();
            assert!(again.already);
        });
    }
}

/// Eight creates of one scope at once, each in a process of its own: one sandbox, and everybody gets it.
#[test]
fn one_scope_is_one_sandbox() {
    block_on(async {
        let lab = Lab::new();
        let mut processes = Vec::new();
        for _ in 0..8 {
            processes.push(lab.start().await);
        }
        let cancel = Cancel::new();
        let mut creations = Vec::new();
        for process in &processes {
            creations.push(Box::pin(process.engine.create(
                lab.request("profile.shared"),
                &Silent,
                &cancel,
            )));
        }
        let mut made = Vec::new();
        for creation in join_all(creations).await {
            made.push(creation.unwrap());
        }
        assert_eq!(made.iter().filter(|one| !one.reused).count(), 1);
        assert!(
            made.iter()
                .all(|one| one.sandbox.sandbox_id == made[0].sandbox.sandbox_id)
        );
        assert!(
            made.iter().all(|one| one.sandbox.state == State::Ready),
            "everybody gets a sandbox that is ready"
        );
        assert_eq!(lab.world.resources().len(), 1);
        lab.expect_sound(&processes[0], "one scope").await;
        // Once it is gone, the scope is free.
        processes[0]
            .engine
            .destroy(made[0].sandbox.sandbox_id.as_str(), &Silent)
            .await
            .unwrap();
        let next = processes[1]
            .engine
            .create(lab.request("profile.shared"), &Silent, &cancel)
            .await
            .unwrap();
        assert!(!next.reused);
        assert_ne!(next.sandbox.sandbox_id, made[0].sandbox.sandbox_id);
    });
}

/// Polls all in turn until all are done.
async fn join_all<F: Future + Unpin>(mut futures: Vec<F>) -> Vec<F::Output> {
    let mut done: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, slot) in futures.iter_mut().zip(&mut done) {
            if slot.is_none()
                && let std::task::Poll::Ready(output) = std::pin::Pin::new(future).poll(context)
            {
                *slot = Some(output);
            }
        }
        if done.iter().all(Option::is_some) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// An extension that was acknowledged is kept, whichever moment the expirer chose.
#[test]
fn extend_and_expire_do_not_both_win() {
    for held in [None, Some(CallName::SetDeadline), Some(CallName::Teardown)] {
        for guarded in [true, false] {
            let case = format!("held at {held:?}, guarded: {guarded}");
            block_on(async {
                let lab = if guarded { Lab::new() } else { Lab::unguarded() };
                let id = lab.make("profile.fake").await;
                lab.clock.advance(Duration::from_secs(3590));
                let gate = Gate::closed();
                if let Some(call) = held {
                    lab.world
                        .inject(None, call, When::Nth(1), Fault::PauseAfter(gate.clone()));
                }
                let (one, two) = (lab.start().await, lab.start().await);
                let extension = one.engine.extend_ttl(id.as_str(), Extend::By(span("2h")));
                let expiry = async {
                    tokio::task::yield_now().await;
                    lab.clock.advance(Duration::from_secs(11));
                    let expired = two.engine.expire(true, &Silent).await.unwrap();
                    gate.open();
                    expired
                };
                let open = async {
                    for _ in 0..20_000 {
                        tokio::task::yield_now().await;
                    }
                    gate.open();
                };
                let (extended, _expired, ()) = tokio::join!(extension, expiry, open);
                let process = lab.converge(&case).await;
                let after = lab.stored(&process, &id).await;
                match extended {
                    Ok(extended) => {
                        assert_eq!(
                            after.state,
                            State::Ready,
                            "{case}: it was extended to {:?}",
                            extended.expires_at
                        );
                        assert_eq!(lab.world.of(&id).len(), 1, "{case}");
                    }
                    Err(error) => assert_eq!(after.state, State::Destroyed, "{case}: {error}"),
                }
            });
        }
    }
}

/// Ctrl-C at each boundary of each step, and at each wait, of a create, a run or a recreate: what it made is gone before
/// it answers.
#[test]
fn an_interrupted_operation_undoes_itself() {
    let mut cases = 0;
    for verb in ["create", "run", "recreate"] {
        let interrupted = (1..100)
            .take_while(|nth| !block_on(interrupt(verb, Moment::Boundary(*nth))))
            .count();
        assert!(interrupted >= 6, "only {interrupted} interruptions of {verb}");
        cases += interrupted;
        for polls in 1..=24 {
            block_on(interrupt(verb, Moment::Wait(polls)));
        }
    }
    println!("{cases} boundaries");
}

/// When somebody presses Ctrl-C.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// At the n-th boundary of a step.
    Boundary(u64),
    /// After so many waits; how many there are depends on how fast the disk is.
    Wait(u64),
}

/// Presses Ctrl-C at a boundary.
struct Press {
    left: AtomicU64,
    cancel: Cancel,
}

impl Faults for Press {
    fn at(&self, _: &Point<'_>) -> faults::Fault {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.cancel.cancel();
        }
        faults::Fault::Continue
    }
}

/// Whether it came to its end all the same.
async fn interrupt(verb: &str, moment: Moment) -> bool {
    let case = format!("{verb} interrupted at {moment:?}");
    let lab = Lab::new();
    let id = if verb == "recreate" {
        Some(lab.make("profile.fake").await)
    } else {
        None
    };
    let cancel = Cancel::new();
    let (boundary, polls) = match moment {
        Moment::Boundary(nth) => (nth, u64::MAX),
        Moment::Wait(polls) => (u64::MAX, polls),
    };
    let press = Press {
        left: AtomicU64::new(boundary),
        cancel: cancel.clone(),
    };
    let process = lab.start_with(Some(Arc::new(press))).await;
    let engine = &process.engine;
    let request = lab.request("profile.fake");
    let outcome = match (verb, &id) {
        ("create", _) => {
            let creation = engine.create(request, &Silent, &cancel);
            cancelled_after(polls, &cancel, creation).await.map(|made| made.sandbox)
        }
        (_, Some(id)) => cancelled_after(polls, &cancel, engine.recreate(id.as_str(), &Silent, &cancel)).await,
        _ => {
            let mut started = |_: &mut dyn ExecSession| {};
            let run = engine.run(request, command(&["true"]), &Silent, &mut started, &cancel);
            cancelled_after(polls, &cancel, run)
                .await
                .map(|outcome| outcome.sandbox)
        }
    };
    lab.expect_sound(&process, &case).await;
    match outcome {
        Ok(sandbox) => {
            assert_eq!(
                sandbox.state,
                if verb == "run" { State::Destroyed } else { State::Ready },
                "{case}"
            );
            true
        }
        Err(error) => {
            assert_eq!(error.code, ErrorCode::Interrupted, "{case}: {error}");
            let untouched = match &id {
                Some(id) => lab.stored(&process, id).await.state == State::Ready,
                None => false,
            };
            assert_eq!(lab.world.resources().len(), usize::from(untouched), "{case}");
            false
        }
    }
}

/// A command that would go on for ever ends by the interruption, and its sandbox with it.
#[test]
fn an_interrupted_command_ends() {
    block_on(async {
        let lab = Lab::new();
        let process = lab.start().await;
        let cancel = Cancel::new();
        let mut started = |_: &mut dyn ExecSession| cancel.cancel();
        let request = lab.request("profile.fake");
        let run = process
            .engine
            .run(request, command(&["sleep"]), &Silent, &mut started, &cancel);
        assert_eq!(run.await.unwrap_err().code, ErrorCode::Interrupted);
        assert!(lab.world.resources().is_empty());
        lab.expect_sound(&process, "an interrupted command").await;
    });
}

/// Exec in a sandbox that is being destroyed either ran or says why not; it never revives it.
#[test]
fn exec_does_not_revive_what_is_destroyed() {
    block_on(async {
        let lab = Lab::new();
        let id = lab.make("profile.fake").await;
        let gate = Gate::closed();
        lab.world
            .inject(None, CallName::Exec, When::Nth(1), Fault::PauseBefore(gate.clone()));
        let (user, destroyer) = (lab.start().await, lab.start().await);
        let execution = user.engine.exec(id.as_str(), command(&["true"]));
        let destruction = async {
            gate.reached().await;
            destroyer.engine.destroy(id.as_str(), &Silent).await.unwrap();
            gate.open();
        };
        let (executed, ()) = tokio::join!(execution, destruction);
        assert!(executed.is_err());
        assert_eq!(lab.stored(&user, &id).await.state, State::Destroyed);
        lab.expect_sound(&user, "exec and destroy").await;
    });
}

/// The first backend fails and is proven gone before the second is asked; if that cannot be proven, nobody is asked.
#[test]
fn the_next_backend_is_asked_only_when_the_last_is_proven_gone() {
    use sandboxer_world::capable;
    block_on(async {
        let lab = Lab::with(vec![capable("ext.fake"), capable("ext.other")]);
        let failure = Fault::LostReply(ErrorKind::Capacity, sandboxer_extension::Retry::Capacity);
        lab.world
            .inject(Some("ext.fake"), CallName::Provision, When::Always, failure);
        let process = lab.start().await;
        let made = process
            .engine
            .create(lab.request("profile.two"), &Silent, &Cancel::new())
            .await
            .unwrap();
        assert_eq!(made.sandbox.extension_id.as_deref(), Some("ext.other"));
        let resources = lab.world.resources();
        assert_eq!(resources.len(), 1);
        assert_eq!(resources[0].extension_id, "ext.other");
        lab.expect_sound(&process, "second backend").await;
        // Now the first one cannot prove that it removed its half.
        lab.world
            .inject(Some("ext.fake"), CallName::Teardown, When::Always, Fault::RefuseRemoval);
        let error = process
            .engine
            .create(lab.request("profile.two"), &Silent, &Cancel::new())
            .await
            .unwrap_err();
        assert_eq!(error.code, ErrorCode::Stuck, "{error}");
        let others = lab
            .world
            .resources()
            .into_iter()
            .filter(|one| one.extension_id == "ext.other")
            .count();
        assert_eq!(others, 1, "two backends at once");
        lab.world.clear_faults();
        lab.converge("the first backend lets go").await;
    });
}

/// Somebody works on the sandbox of a scope while its time passes: whoever wants one of that scope waits, and does not ask
/// over and over.
#[test]
fn an_overdue_sandbox_of_a_scope_that_is_worked_on_is_waited_for() {
    block_on(async {
        let lab = Lab::new();
        let id = lab.make("profile.shared").await;
        let gate = Gate::closed();
        let held = Fault::PauseBefore(gate.clone());
        lab.world.inject(None, CallName::SetDeadline, When::Nth(1), held);
        let (one, two) = (lab.start().await, lab.start().await);
        let extension = one.engine.extend_ttl(id.as_str(), Extend::By(span("1h")));
        let creation = async {
            gate.reached().await;
            lab.clock.advance(Duration::from_secs(3700));
            let cancel = Cancel::new();
            let asked = two.engine.create(lab.request("profile.shared"), &Silent, &cancel);
            let error = asked.await.unwrap_err();
            assert_eq!(error.code, ErrorCode::Busy, "{error}");
            gate.open();
        };
        let _ = tokio::join!(extension, creation);
        two.engine.recover(&Silent).await.unwrap();
        let cancel = Cancel::new();
        let made = two.engine.create(lab.request("profile.shared"), &Silent, &cancel);
        assert!(!made.await.unwrap().reused, "its guard ended the one before");
        lab.expect_sound(&two, "after the wait").await;
    });
}
