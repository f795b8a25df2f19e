//! The reconcilers: one process at a time, two looks before anything is called lost, nothing on the strength of what cannot
//! be told, nothing of anybody else.

use std::io::Write as _;
use std::time::Duration;

use jiff::SignedDuration;
use sandboxer_engine::api::{Extend, RunReport, Silent};
use sandboxer_engine::{Effort, Reconciler, reconcilers};
use sandboxer_extension::port::{Clock as _, IdSource as _};
use sandboxer_extension::{Ended, ProvisionRequest};
use sandboxer_model::id::{InstallationId, SandboxId};
use sandboxer_model::lifecycle::{Reason, State};
use sandboxer_model::profile::Profile;
use sandboxer_world::{CallName, Fault, Gate, Reach, TestIds, When, hosted};

use crate::lab::{Fuse, Lab, Process, block_on, command, span};

const ALPHA: &str = "root@alpha.example";

fn one(name: &str) -> &'static Reconciler {
    reconcilers().iter().find(|one| one.name == name).unwrap()
}

/// Runs it as if its period were over.
async fn run(lab: &Lab, process: &Process, name: &str) -> RunReport {
    lab.clock.advance(one(name).period);
    let report = process.engine.reconcile(one(name), &Silent).await.unwrap();
    let report = report.unwrap_or_else(|| panic!("{name} was not due"));
    assert_eq!(report.error, None, "{name}");
    report
}

fn done(report: &RunReport, what: &str) -> usize {
    report.did.actions.iter().filter(|action| action.what == what).count()
}

fn idle_profile(lab: &Lab) {
    let text = "id: profile.idle\nextension: ext.fake\nttl: { default: 4h, max: 24h, idle_reap: 10m }\n";
    let mut file = std::fs::File::create(lab.dir.path().join("profile.idle.yaml")).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn hosted_lab() -> Lab {
    let mut lab = Lab::with(vec![hosted("ext.fake")]);
    lab.add_host("alpha", Some(4));
    lab
}

#[test]
fn every_reconciler_finds_nothing_to_do_where_all_is_well() {
    block_on(async {
        let lab = hosted_lab();
        lab.make("profile.fake").await;
        let process = lab.start().await;
        for one in reconcilers() {
            let report = run(&lab, &process, one.name).await;
            assert_eq!(report.did.actions, [], "{}", one.name);
            assert_eq!(report.did.open, Vec::<String>::new(), "{}", one.name);
        }
        let status = process.engine.status().await.unwrap();
        assert_eq!(status.problems, Vec::<String>::new());
        assert!(
            status
                .reconcilers
                .iter()
                .all(|one| one.last.is_some() && one.running_by.is_none())
        );
        assert_eq!(status.sandboxes["ready"], 1);
        lab.expect_sound(&process, "well").await;
    });
}

#[test]
fn a_sweep_is_made_by_one_process_once_in_a_period_and_by_another_when_that_one_dies() {
    block_on(async {
        let lab = hosted_lab();
        lab.make("profile.fake").await;
        let (first, second) = (lab.start().await, lab.start().await);
        let sweep = one("observe_backends");
        let gate = Gate::closed();
        lab.world.inject(
            None,
            CallName::Inventory,
            When::Nth(1),
            Fault::PauseBefore(gate.clone()),
        );
        let (ran, ()) = tokio::join!(first.engine.reconcile(sweep, &Silent), async {
            gate.reached().await;
            // The first is in the middle of it.
            assert!(second.engine.reconcile(sweep, &Silent).await.unwrap().is_none());
            let status = second.engine.status().await.unwrap();
            assert!(
                status
                    .reconcilers
                    .iter()
                    .any(|one| one.name == sweep.name && one.running_by.is_some())
            );
            gate.open();
        });
        assert!(ran.unwrap().is_some());
        assert!(
            second.engine.reconcile(sweep, &Silent).await.unwrap().is_none(),
            "within its period"
        );
        lab.clock.advance(sweep.period);
        // The next owner dies in the middle of its turn.
        let gate = Gate::closed();
        lab.world.inject(
            None,
            CallName::Inventory,
            When::Nth(1),
            Fault::PauseBefore(gate.clone()),
        );
        {
            let turn = first.engine.reconcile(sweep, &Silent);
            tokio::select! {
                _ = turn => panic!("it went on"),
                () = gate.reached() => {}
            }
        }
        assert!(
            second.engine.reconcile(sweep, &Silent).await.unwrap().is_none(),
            "it may still live"
        );
        first.die();
        let report = second.engine.reconcile(sweep, &Silent).await.unwrap().unwrap();
        assert_eq!(report.runs, 2);
    });
}

#[test]
fn a_calendar_that_is_set_back_or_forward_stops_no_reconciler() {
    block_on(async {
        let lab = Lab::new();
        let process = lab.start().await;
        for one in reconcilers().iter().filter(|one| one.effort == Effort::Sweep) {
            run(&lab, &process, one.name).await;
        }
        lab.clock.jump(SignedDuration::from_hours(-48));
        for one in reconcilers() {
            assert!(
                process.engine.reconcile(one, &Silent).await.unwrap().is_some(),
                "{}",
                one.name
            );
        }
        lab.clock.jump(SignedDuration::from_hours(96));
        for one in reconcilers() {
            assert!(
                process.engine.reconcile(one, &Silent).await.unwrap().is_some(),
                "{}",
                one.name
            );
        }
    });
}

#[test]
fn what_is_gone_is_lost_at_the_second_look_and_not_before() {
    block_on(async {
        for lab in [Lab::new(), Lab::unguarded(), hosted_lab()] {
            let id = lab.make("profile.fake").await;
            let process = lab.start().await;
            assert_eq!(run(&lab, &process, "observe_backends").await.did.actions, []);
            lab.world.vanish(&id, Ended::Killed);
            let first = run(&lab, &process, "observe_backends").await;
            assert_eq!((first.did.actions.len(), first.did.open.len()), (0, 1), "{first:?}");
            assert_eq!(lab.stored(&process, &id).await.state, State::Ready);
            // Another process sees it again: what the first saw is on record.
            let other = lab.start().await;
            let second = run(&lab, &other, "observe_backends").await;
            assert_eq!(done(&second, "lost"), 1, "{second:?}");
            let sandbox = lab.stored(&process, &id).await;
            assert_eq!(
                (sandbox.state, sandbox.reason),
                (State::Failed, Some(Reason::ProviderLost))
            );
            lab.expect_sound(&process, "lost").await;
        }
    });
}

#[test]
fn what_cannot_be_told_changes_nothing_however_often_it_is_asked() {
    block_on(async {
        let lab = hosted_lab();
        let id = lab.make("profile.fake").await;
        let process = lab.start().await;
        // Nothing of this is to end by its deadline.
        process
            .engine
            .extend_ttl(id.as_str(), Extend::By(span("22h")))
            .await
            .unwrap();
        for fault in [
            Fault::Unknown,
            Fault::PartialInventory,
            Fault::permanent(),
            Fault::HangBefore,
        ] {
            lab.world.inject(None, CallName::Inventory, When::Always, fault.clone());
            lab.world.inject(None, CallName::Observe, When::Always, Fault::Unknown);
            for _ in 0..5 {
                for name in ["observe_backends", "reap_orphans", "idle_reap"] {
                    let report = run(&lab, &process, name).await;
                    assert_eq!(report.did.actions, [], "{fault:?}");
                }
            }
            lab.world.clear_faults();
        }
        lab.world.set_reach(ALPHA, Reach::Out);
        for _ in 0..5 {
            for name in ["observe_backends", "reap_orphans"] {
                assert_eq!(run(&lab, &process, name).await.did.actions, []);
            }
        }
        lab.world.set_reach(ALPHA, Reach::In);
        assert_eq!(lab.stored(&process, &id).await.state, State::Ready);
        lab.expect_sound(&process, "untold").await;
    });
}

#[test]
fn one_look_at_absence_is_taken_back_by_a_look_at_presence() {
    block_on(async {
        let lab = Lab::new();
        let id = lab.make("profile.fake").await;
        let process = lab.start().await;
        lab.world.vanish(&id, Ended::Killed);
        assert_eq!(run(&lab, &process, "observe_backends").await.did.open.len(), 1);
        // Made again meanwhile: what was seen of its first life says nothing about the second.
        process
            .engine
            .recreate(id.as_str(), &Silent, &sandboxer_engine::Cancel::new())
            .await
            .unwrap();
        for _ in 0..3 {
            assert_eq!(run(&lab, &process, "observe_backends").await.did.actions, []);
        }
        assert_eq!(lab.stored(&process, &id).await.state, State::Ready);
        lab.expect_sound(&process, "again").await;
    });
}

#[test]
fn deadlines_are_kept_and_what_is_extended_meanwhile_is_left_alone() {
    block_on(async {
        let lab = Lab::unguarded();
        let id = lab.make("profile.fake").await;
        let kept = lab.make("profile.fake").await;
        let process = lab.start().await;
        process
            .engine
            .extend_ttl(kept.as_str(), Extend::By(span("3h")))
            .await
            .unwrap();
        assert_eq!(run(&lab, &process, "expire_ttl").await.did.actions, []);
        lab.clock.advance(Duration::from_secs(3601));
        let (a, b) = (lab.start().await, lab.start().await);
        let (first, second) = tokio::join!(
            a.engine.reconcile(one("expire_ttl"), &Silent),
            b.engine.reconcile(one("expire_ttl"), &Silent)
        );
        let both = done(&first.unwrap().unwrap(), "expired") + done(&second.unwrap().unwrap(), "expired");
        assert_eq!(both, 1);
        assert_eq!(lab.stored(&process, &id).await.reason, Some(Reason::Ttl));
        assert_eq!(lab.stored(&process, &kept).await.state, State::Ready);
        lab.expect_sound(&process, "expired").await;
    });
}

#[test]
fn one_that_hangs_does_not_hold_up_the_expiry_of_the_others() {
    block_on(async {
        let lab = Lab::unguarded();
        let mut ids = Vec::new();
        for _ in 0..5 {
            ids.push(lab.make("profile.fake").await);
        }
        lab.clock.advance(Duration::from_secs(3600));
        let process = lab.start().await;
        let gate = Gate::closed();
        lab.world
            .inject(None, CallName::Teardown, When::Nth(1), Fault::PauseBefore(gate.clone()));
        let (report, ()) = tokio::join!(process.engine.reconcile(one("expire_ttl"), &Silent), async {
            gate.reached().await;
            let other = lab.start().await;
            let mut gone = 0;
            while gone < 4 {
                gone = 0;
                for id in &ids {
                    gone += usize::from(lab.stored(&other, id).await.state == State::Destroyed);
                }
                tokio::task::yield_now().await;
            }
            gate.open();
        });
        assert_eq!(done(&report.unwrap().unwrap(), "expired"), 5);
    });
}

#[test]
fn the_unused_is_removed_and_use_of_every_kind_keeps_it() {
    block_on(async {
        let lab = Lab::new();
        idle_profile(&lab);
        let process = lab.start().await;
        let engine = &process.engine;
        let idle = lab.make("profile.idle").await;
        let without = lab.make("profile.fake").await;
        lab.clock.advance(Duration::from_secs(9 * 60));
        assert_eq!(run(&lab, &process, "idle_reap").await.did.actions, []);
        engine
            .exec(idle.as_str(), command(&["exit", "0"]))
            .await
            .unwrap()
            .wait()
            .await
            .unwrap();
        lab.clock.advance(Duration::from_secs(9 * 60));
        assert_eq!(run(&lab, &process, "idle_reap").await.did.actions, []);
        engine
            .label(idle.as_str(), [("a".to_owned(), "b".to_owned())].into(), Vec::new())
            .await
            .unwrap();
        lab.clock.advance(Duration::from_secs(9 * 60));
        assert_eq!(run(&lab, &process, "idle_reap").await.did.actions, []);
        engine.extend_ttl(idle.as_str(), Extend::By(span("1h"))).await.unwrap();
        lab.clock.advance(Duration::from_secs(9 * 60));
        engine.get(idle.as_str()).await.unwrap();
        assert_eq!(run(&lab, &process, "idle_reap").await.did.actions, []);
        // Looking is no use.
        lab.clock.advance(Duration::from_secs(60));
        let report = run(&lab, &process, "idle_reap").await;
        assert_eq!(done(&report, "reaped idle"), 1, "{report:?}");
        let sandbox = lab.stored(&process, &idle).await;
        assert_eq!((sandbox.state, sandbox.reason), (State::Destroyed, Some(Reason::Idle)));
        assert_eq!(lab.stored(&process, &without).await.state, State::Ready);
        lab.expect_sound(&process, "idle").await;
    });
}

#[test]
fn a_command_that_runs_is_use_and_so_is_its_end_and_not_being_able_to_tell_removes_nothing() {
    block_on(async {
        let lab = Lab::new();
        idle_profile(&lab);
        let process = lab.start().await;
        let id = lab.make("profile.idle").await;
        let mut session = process
            .engine
            .exec(id.as_str(), command(&["sleep", "100000"]))
            .await
            .unwrap();
        for _ in 0..3 {
            lab.clock.advance(Duration::from_secs(11 * 60));
            assert_eq!(run(&lab, &process, "idle_reap").await.did.actions, []);
        }
        lab.clock.advance(Duration::from_secs(9 * 60));
        session.signal(9).unwrap();
        session.wait().await.unwrap();
        lab.clock.advance(Duration::from_secs(9 * 60));
        assert_eq!(run(&lab, &process, "idle_reap").await.did.actions, []);
        lab.clock.advance(Duration::from_secs(2 * 60));
        lab.world.inject(None, CallName::Observe, When::Always, Fault::Unknown);
        let untold = run(&lab, &process, "idle_reap").await;
        assert_eq!((untold.did.actions.len(), untold.did.open.len()), (0, 1));
        lab.world.clear_faults();
        assert_eq!(done(&run(&lab, &process, "idle_reap").await, "reaped idle"), 1);
        lab.expect_sound(&process, "busy").await;
    });
}

#[test]
fn whoever_uses_it_in_the_last_moment_keeps_it() {
    block_on(async {
        let lab = Lab::new();
        idle_profile(&lab);
        let (reaper, user) = (lab.start().await, lab.start().await);
        let id = lab.make("profile.idle").await;
        lab.clock.advance(Duration::from_secs(11 * 60));
        let gate = Gate::closed();
        lab.world
            .inject(None, CallName::Observe, When::Nth(1), Fault::PauseAfter(gate.clone()));
        let (report, ()) = tokio::join!(reaper.engine.reconcile(one("idle_reap"), &Silent), async {
            // It was seen idle, and is used before it is ended.
            gate.reached().await;
            user.engine.exec(id.as_str(), command(&["exit", "0"])).await.unwrap();
            gate.open();
        });
        assert_eq!(report.unwrap().unwrap().did.actions, []);
        assert_eq!(lab.stored(&user, &id).await.state, State::Active);
        lab.expect_sound(&user, "kept").await;
    });
}

/// Leaves something of a sandbox on its host that its record says is gone.
async fn left_over(lab: &Lab, process: &Process) -> SandboxId {
    let id = lab.make("profile.fake").await;
    lab.world.set_reach(ALPHA, Reach::Out);
    process.engine.lose_host("alpha", &Silent).await.unwrap();
    lab.world.set_reach(ALPHA, Reach::In);
    id
}

#[test]
fn a_host_that_is_gone_ends_its_sandboxes_at_their_last_proof_of_life_and_releases_what_they_held() {
    block_on(async {
        let lab = hosted_lab();
        let (id, second) = (lab.make("profile.fake").await, lab.make("profile.fake").await);
        let process = lab.start().await;
        let made = lab.stored(&process, &id).await;
        lab.clock.advance(Duration::from_secs(600));
        run(&lab, &process, "observe_backends").await;
        let seen = lab.clock.now();
        lab.world.set_reach(ALPHA, Reach::Out);
        lab.clock.advance(Duration::from_secs(1200));
        run(&lab, &process, "observe_backends").await;
        // One of them is being removed, and that is stuck for good.
        process.engine.destroy(second.as_str(), &Silent).await.unwrap_err();
        assert_eq!(lab.stored(&process, &second).await.state, State::Destroying);
        let loss = process.engine.lose_host("alpha", &Silent).await.unwrap();
        assert_eq!((loss.ended.len(), loss.forgotten), (2, true));
        let sandbox = lab.stored(&process, &id).await;
        assert_eq!((sandbox.state, sandbox.reason), (State::Failed, Some(Reason::HostLost)));
        let lived = seen.duration_since(made.ready_at.unwrap()).as_millis();
        assert_eq!(sandbox.meter.duration_ms.map(i128::from), Some(lived));
        assert_eq!(lab.stored(&process, &second).await.state, State::Failed);
        assert_eq!(process.store.reservations().await.unwrap(), []);
        assert_eq!(process.engine.hosts().await.unwrap(), []);
        // Again: it is neither registered nor is anything there that did not end.
        assert_eq!(
            process
                .engine
                .lose_host("root@alpha.example", &Silent)
                .await
                .unwrap()
                .ended,
            []
        );
    });
}

#[test]
fn what_comes_back_from_the_dead_is_quarantined_then_removed_and_nothing_of_anybody_else() {
    block_on(async {
        let lab = hosted_lab();
        let process = lab.start().await;
        let id = left_over(&lab, &process).await;
        let ids = TestIds::new(77);
        let foreign = foreign_on_alpha(&lab, &ids);
        assert_eq!(lab.world.of(&id).len(), 1);
        let first = run(&lab, &process, "reap_orphans").await;
        assert_eq!(done(&first, "quarantined"), lab_groups(), "{first:?}");
        // Within the grace period, nothing; after an incomplete look, nothing.
        let second = run(&lab, &process, "reap_orphans").await;
        assert_eq!(second.did.actions, []);
        lab.clock.advance(Duration::from_secs(900));
        lab.world
            .inject(None, CallName::Inventory, When::First(1), Fault::PartialInventory);
        assert_eq!(run(&lab, &process, "reap_orphans").await.did.actions, []);
        let (a, b) = (lab.start().await, lab.start().await);
        lab.clock.advance(one("reap_orphans").period);
        let (ran, other) = tokio::join!(
            a.engine.reconcile(one("reap_orphans"), &Silent),
            b.engine.reconcile(one("reap_orphans"), &Silent)
        );
        let reports: Vec<RunReport> = [ran.unwrap(), other.unwrap()].into_iter().flatten().collect();
        assert_eq!(reports.len(), 1, "one of them had the turn");
        assert!(done(&reports[0], "reaped") > 0, "{reports:?}");
        assert_eq!(lab.world.of(&id).len(), 0);
        assert_eq!(
            lab.world.of(&foreign).len(),
            1,
            "nothing of another installation is touched"
        );
    });
}

/// Things of a sandbox that are told apart: its directory, and the rest.
fn lab_groups() -> usize {
    2
}

fn foreign_on_alpha(lab: &Lab, ids: &TestIds) -> SandboxId {
    let foreign = SandboxId::from_uuid(ids.uuid());
    let request = ProvisionRequest {
        sandbox_id: foreign.clone(),
        profile: Profile::new("profile.fake", "ext.fake"),
        inputs: Default::default(),
        host: Some(ALPHA.to_owned()),
        ttl: span("1h"),
    };
    lab.world
        .add_foreign("ext.fake", request, InstallationId::from_uuid(ids.uuid()));
    foreign
}

#[test]
fn leftovers_that_go_by_themselves_leave_the_quarantine() {
    block_on(async {
        let lab = hosted_lab();
        let process = lab.start().await;
        let id = left_over(&lab, &process).await;
        run(&lab, &process, "reap_orphans").await;
        assert!(!process.store.sightings("orphan").await.unwrap().is_empty());
        lab.world.vanish(&id, Ended::Killed);
        run(&lab, &process, "reap_orphans").await;
        assert_eq!(process.store.sightings("orphan").await.unwrap(), []);
    });
}

#[test]
fn a_host_that_does_not_answer_is_marked_with_since_when_and_asked_ever_more_rarely() {
    block_on(async {
        let lab = hosted_lab();
        let process = lab.start().await;
        run(&lab, &process, "probe_hosts").await;
        lab.world.set_reach(ALPHA, Reach::Out);
        lab.clock.advance(Duration::from_secs(300));
        assert_eq!(done(&run(&lab, &process, "probe_hosts").await, "does not answer"), 1);
        let since = process.engine.host("alpha").await.unwrap().host.unreachable_since;
        assert!(since.is_some());
        let before = lab.world.calls(CallName::ProbeHost);
        for _ in 0..(6 * 3600 / 30) {
            run(&lab, &process, "probe_hosts").await;
        }
        let asked = lab.world.calls(CallName::ProbeHost) - before;
        assert!((6..=16).contains(&asked), "asked {asked} times in six hours");
        assert_eq!(
            process.engine.host("alpha").await.unwrap().host.unreachable_since,
            since
        );
        lab.world.set_reach(ALPHA, Reach::In);
        lab.clock.advance(Duration::from_secs(3600));
        assert_eq!(done(&run(&lab, &process, "probe_hosts").await, "answers again"), 1);
        assert_eq!(process.engine.host("alpha").await.unwrap().host.unreachable_since, None);
    });
}

/// Kills a process at every place of a sweep that it asks for the time, an id or a step at; another goes on.
#[test]
fn a_sweep_that_dies_anywhere_is_finished_by_the_next() {
    for (name, expected) in [("observe_backends", State::Failed), ("expire_ttl", State::Destroyed)] {
        let mut length = 1;
        loop {
            let survived = block_on(async {
                let lab = Lab::unguarded();
                let id = lab.make("profile.fake").await;
                let process = lab.start().await;
                if name == "expire_ttl" {
                    lab.clock.advance(Duration::from_secs(3601));
                } else {
                    lab.world.vanish(&id, Ended::Killed);
                    run(&lab, &process, name).await;
                    lab.clock.advance(one(name).period);
                }
                let fuse = Fuse::new();
                let fused = lab.start_fused(&fuse).await;
                let survived = fuse
                    .run(length, fused.engine.reconcile(one(name), &Silent))
                    .await
                    .is_some();
                fused.die();
                for _ in 0..3 {
                    run(&lab, &process, "recover_operations").await;
                    run(&lab, &process, name).await;
                }
                assert_eq!(
                    lab.stored(&process, &id).await.state,
                    expected,
                    "{name} died at {length}"
                );
                lab.expect_sound(&process, &format!("{name} died at {length}")).await;
                survived
            });
            if survived {
                break;
            }
            length += 1;
        }
        assert!(length > 5, "{name}: {length}");
    }
}

#[test]
fn a_sweep_of_leftovers_that_dies_anywhere_leaves_no_more_than_another_turn() {
    let mut length = 1;
    loop {
        let survived = block_on(async {
            let lab = hosted_lab();
            let process = lab.start().await;
            let id = left_over(&lab, &process).await;
            run(&lab, &process, "reap_orphans").await;
            lab.clock.advance(Duration::from_secs(900));
            let fuse = Fuse::new();
            let fused = lab.start_fused(&fuse).await;
            let survived = fuse
                .run(length, fused.engine.reconcile(one("reap_orphans"), &Silent))
                .await
                .is_some();
            fused.die();
            run(&lab, &process, "reap_orphans").await;
            assert_eq!(lab.world.of(&id).len(), 0, "died at {length}");
            assert_eq!(lab.stored(&process, &id).await.state, State::Failed);
            lab.expect_sound(&process, &format!("died at {length}")).await;
            survived
        });
        if survived {
            break;
        }
        length += 1;
    }
    assert!(length > 5, "{length}");
}

#[test]
fn an_idle_limit_is_refused_where_nobody_can_tell_idle_from_at_work() {
    block_on(async {
        let mut manifest = sandboxer_world::capable("ext.fake");
        manifest.capabilities.activity = false;
        let lab = Lab::with(vec![manifest]);
        idle_profile(&lab);
        let process = lab.start().await;
        let refused = process.engine.plan(&lab.request("profile.idle")).await.unwrap_err();
        assert_eq!(
            refused.code,
            sandboxer_model::error::ErrorCode::CannotEnforce,
            "{refused}"
        );
    });
}

#[test]
fn status_names_what_is_stuck_and_what_is_overdue() {
    block_on(async {
        let lab = Lab::unguarded();
        let (stuck, late) = (lab.make("profile.fake").await, lab.make("profile.fake").await);
        let process = lab.start().await;
        lab.world
            .inject(None, CallName::Teardown, When::Always, Fault::RefuseRemoval);
        process.engine.destroy(stuck.as_str(), &Silent).await.unwrap_err();
        let status = process.engine.status().await.unwrap();
        assert_eq!(status.stuck.len(), 1);
        assert_eq!((&status.stuck[0].sandbox_id, status.problems.len()), (&stuck, 1));
        lab.clock.advance(Duration::from_secs(3700));
        let status = process.engine.status().await.unwrap();
        let deadline = lab.stored(&process, &late).await.expires_at;
        assert_eq!(
            (status.overdue_since, status.problems.len()),
            (deadline, 2),
            "{status:?}"
        );
        lab.world.clear_faults();
        run(&lab, &process, "expire_ttl").await;
        run(&lab, &process, "recover_operations").await;
        assert_eq!(process.engine.status().await.unwrap().problems, Vec::<String>::new());
    });
}
