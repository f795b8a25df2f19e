//! Drift of every class: made, found without changing anything, and fixed or left with a reason.

use std::time::Duration;

use sandboxer_engine::api::{Drift, DriftClass, DriftResult, Extend, Remedy, Silent};
use sandboxer_engine::reconcilers;
use sandboxer_extension::port::Clock as _;
use sandboxer_extension::{Ended, ProvisionRequest};
use sandboxer_model::id::SandboxId;
use sandboxer_model::lifecycle::{Reason, State};
use sandboxer_model::profile::Profile;
use sandboxer_model::sink::{Sink, SinkKind, SinkState};
use sandboxer_store::{Claim, Setback};
use sandboxer_world::{CallName, Fault, Reach, When, hosted};

use crate::lab::{Lab, Process, block_on, killed_after, span};

const ALPHA: &str = "root@alpha.example";
const HOOK: &str = "hook-0000000000000000000000000a";

fn sql(lab: &Lab, text: &str) {
    let file = lab.dir.path().join("data/sandboxer.db");
    let connection = rusqlite::Connection::open(file).unwrap();
    connection
        .execute_batch(&format!("PRAGMA foreign_keys = OFF; {text}"))
        .unwrap();
}

fn lab() -> Lab {
    let mut lab = Lab::with(vec![hosted("ext.fake")]);
    lab.add_host("alpha", Some(4));
    lab
}

/// Makes drift of a class. Returns what it is on, as far as that is known, and whether it can be fixed.
async fn make(lab: &Lab, class: DriftClass) -> (Option<String>, Remedy) {
    let id = lab.make("profile.fake").await;
    let process = lab.start().await;
    let engine = &process.engine;
    match class {
        DriftClass::HostUnreachable => {
            lab.world.set_reach(ALPHA, Reach::Out);
            engine.probe_host("alpha").await.unwrap();
            (Some("alpha".to_owned()), Remedy::Doctor)
        }
        DriftClass::StuckOperation => {
            lab.world
                .inject(None, CallName::Teardown, When::Always, Fault::RefuseRemoval);
            engine.destroy(id.as_str(), &Silent).await.unwrap_err();
            (None, Remedy::Doctor)
        }
        DriftClass::DroppedOperation => {
            for polls in 1.. {
                let killed = killed_after(polls, engine.destroy(id.as_str(), &Silent)).await;
                assert!(killed.is_none(), "it ended before it could be killed");
                if lab.stored(&process, &id).await.state == State::Destroying {
                    break;
                }
            }
            process.die();
            (None, Remedy::Doctor)
        }
        DriftClass::PastDeadline => {
            lab.clock.advance(Duration::from_secs(3601));
            (Some(id.to_string()), Remedy::Doctor)
        }
        DriftClass::ZombieRecord => {
            lab.world.vanish(&id, Ended::Killed);
            (Some(id.to_string()), Remedy::Doctor)
        }
        DriftClass::Leftover => {
            engine.destroy(id.as_str(), &Silent).await.unwrap();
            left_over(lab, &process, &id);
            (None, Remedy::Doctor)
        }
        DriftClass::HeldCapacity => {
            engine.destroy(id.as_str(), &Silent).await.unwrap();
            sql(
                lab,
                &format!("INSERT INTO reservation VALUES ('{id}', 'alpha', 1, 0, 0, 0)"),
            );
            (Some(id.to_string()), Remedy::Doctor)
        }
        DriftClass::DamagedRow => {
            sql(
                lab,
                &format!("UPDATE frozen SET record = '{{' WHERE sandbox_id = '{id}'"),
            );
            (Some(format!("frozen {id}")), Remedy::Person)
        }
        DriftClass::SinkDisabled => {
            sink(lab, &process).await;
            process
                .store
                .switch_sink(HOOK, SinkState::Disabled, Some("it answered 410"))
                .await
                .unwrap();
            (Some(HOOK.to_owned()), Remedy::Person)
        }
        DriftClass::DeadLetters => {
            sink(lab, &process).await;
            engine.extend_ttl(id.as_str(), Extend::By(span("1h"))).await.unwrap();
            while process.store.spread_outbox().await.unwrap() {}
            let claims: Vec<Claim> = process.store.claim(HOOK, "me", 8, &|_| true).await.unwrap();
            assert_eq!(claims.len(), 1);
            for claim in &claims {
                let why = "it answered 500".to_owned();
                process.store.set_back(claim, &Setback::GiveUp { why }).await.unwrap();
            }
            (Some(HOOK.to_owned()), Remedy::Doctor)
        }
        DriftClass::ReconcilerLate => {
            let one = reconcilers().iter().find(|one| one.name == "observe_backends").unwrap();
            engine.reconcile(one, &Silent).await.unwrap();
            lab.clock.advance(one.period + Duration::from_secs(120));
            // A server lives: it looks, and the sweep is not made.
            let server = reconcilers().iter().find(|one| one.name == "expire_ttl").unwrap();
            engine.reconcile(server, &Silent).await.unwrap();
            (Some(one.name.to_owned()), Remedy::Doctor)
        }
    }
}

fn left_over(lab: &Lab, process: &Process, id: &SandboxId) {
    let request = ProvisionRequest {
        sandbox_id: id.clone(),
        profile: Profile::new("profile.fake", "ext.fake"),
        inputs: Default::default(),
        host: Some(ALPHA.to_owned()),
        ttl: span("1h"),
    };
    lab.world
        .add_foreign("ext.fake", request, process.store.installation_id().clone());
}

async fn sink(lab: &Lab, process: &Process) {
    let sink = Sink {
        sink_id: HOOK.to_owned(),
        kind: SinkKind::Webhook,
        url: "https://hook.example".to_owned(),
        events: Vec::new(),
        state: SinkState::Active,
        reason: None,
        added_at: lab.clock.now(),
    };
    process.store.keep_sink(&sink, None).await.unwrap();
}

#[test]
fn every_class_is_found_and_fixed_or_left_with_a_reason() {
    block_on(async {
        for class in DriftClass::ALL {
            let lab = lab();
            let bystander = lab.make("profile.fake").await;
            {
                let process = lab.start().await;
                let more = Extend::By(span("9h"));
                process.engine.extend_ttl(bystander.as_str(), more).await.unwrap();
                let report = process.engine.drift().await.unwrap();
                assert_eq!((report.drifts, report.unseen), (Vec::new(), Vec::new()));
            }
            let (on, by) = make(&lab, class).await;
            let process = lab.start().await;
            let before = (lab.read(&process).await.events, lab.world.take_log());
            let report = process.engine.drift().await.unwrap();
            assert_eq!(
                lab.read(&process).await.events,
                before.0,
                "{class:?}: a look changed something"
            );
            assert_eq!(lab.world.take_log(), [], "{class:?}: a look had an effect");
            let found: Vec<&Drift> = report.drifts.iter().collect();
            // The directory of a sandbox and the rest of it are two things.
            let things = if class == DriftClass::Leftover { 2 } else { 1 };
            assert_eq!(found.len(), things, "{class:?}: {found:?}");
            assert!(
                found.iter().all(|one| one.class == class && one.on == found[0].on),
                "{found:?}"
            );
            assert_eq!(
                (found[0].class, found[0].by, found[0].result),
                (class, by, DriftResult::Proposed)
            );
            assert!(on.is_none_or(|on| on == found[0].on), "{class:?}: {found:?}");
            assert!(!found[0].found.is_empty() && !found[0].action.is_empty(), "{found:?}");

            // What is in the way is still there: it is left, with why.
            if matches!(class, DriftClass::StuckOperation | DriftClass::HostUnreachable) {
                let report = process.engine.fix_drift(&Silent).await.unwrap();
                assert_eq!(report.drifts[0].result, DriftResult::Left, "{report:?}");
                assert!(report.drifts[0].needs_a_person() && report.drifts[0].outcome.is_some());
                lab.world.clear_faults();
                lab.world.set_reach(ALPHA, Reach::In);
            }
            let report = process.engine.fix_drift(&Silent).await.unwrap();
            assert_eq!(report.drifts.len(), things, "{class:?}: {report:?}");
            let left = process.engine.drift().await.unwrap().drifts;
            if by == Remedy::Doctor {
                let fixed = |one: &Drift| one.result == DriftResult::Fixed && one.outcome.is_some();
                assert!(report.drifts.iter().all(fixed), "{report:?}");
                assert_eq!(left, [], "{class:?}");
                lab.expect_sound(&process, "fixed").await;
            } else {
                assert_eq!(report.drifts[0].result, DriftResult::Left, "{report:?}");
                assert!(report.drifts[0].needs_a_person());
                assert_eq!(left.len(), 1, "{class:?}");
            }
            assert_eq!(
                lab.stored(&process, &bystander).await.state,
                State::Ready,
                "{class:?} harmed another"
            );
        }
    });
}

#[test]
fn what_lives_what_cannot_be_told_and_what_others_own_is_no_drift() {
    block_on(async {
        let lab = lab();
        let id = lab.make("profile.fake").await;
        let process = lab.start().await;
        for fault in [Fault::Unknown, Fault::permanent()] {
            lab.world.inject(None, CallName::Observe, When::Always, Fault::Unknown);
            lab.world.inject(None, CallName::Inventory, When::Always, fault);
            let report = process.engine.fix_drift(&Silent).await.unwrap();
            assert_eq!(report.drifts, []);
            assert!(!report.unseen.is_empty());
            lab.world.clear_faults();
        }
        assert_eq!(lab.stored(&process, &id).await.state, State::Ready);
        lab.expect_sound(&process, "untold").await;
    });
}

#[test]
fn a_thing_without_a_record_or_with_a_damaged_one_is_left_to_a_person() {
    block_on(async {
        let lab = lab();
        let id = lab.make("profile.fake").await;
        let process = lab.start().await;
        sql(&lab, &format!("UPDATE sandbox SET record = '{{' WHERE id = '{id}'"));
        for _ in 0..2 {
            let report = process.engine.fix_drift(&Silent).await.unwrap();
            let classes: Vec<DriftClass> = report.drifts.iter().map(|drift| drift.class).collect();
            assert_eq!(classes, [DriftClass::DamagedRow], "{report:?}");
            assert!(report.drifts.iter().all(Drift::needs_a_person));
        }
        assert_eq!(lab.world.of(&id).len(), 1, "it may live");
        // The sweep of leftovers does not touch it either, however long it waits.
        let sweep = reconcilers().iter().find(|one| one.name == "reap_orphans").unwrap();
        for _ in 0..4 {
            lab.clock.advance(Duration::from_secs(12 * 3600));
            process.engine.reconcile(sweep, &Silent).await.unwrap();
        }
        let torn_down = lab.world.calls(CallName::Teardown);
        assert_eq!(torn_down, 0);
    });
}

#[test]
fn what_cannot_be_made_again_can_still_be_removed() {
    block_on(async {
        let lab = Lab::unguarded();
        let (destroyed, expired, lost) = (
            lab.make("profile.fake").await,
            lab.make("profile.fake").await,
            lab.make("profile.fake").await,
        );
        sql(&lab, "UPDATE frozen SET record = '{'");
        let process = lab.start().await;
        let engine = &process.engine;
        engine.destroy(destroyed.as_str(), &Silent).await.unwrap();
        lab.world.vanish(&lost, Ended::Killed);
        let report = engine.fix_drift(&Silent).await.unwrap();
        assert_eq!(report.drifts[0].class, DriftClass::ZombieRecord);
        assert_eq!(report.drifts[0].result, DriftResult::Fixed, "{report:?}");
        lab.clock.advance(Duration::from_secs(3601));
        engine.recover(&Silent).await.unwrap();
        for (id, state) in [
            (&destroyed, State::Destroyed),
            (&expired, State::Destroyed),
            (&lost, State::Failed),
        ] {
            assert_eq!(lab.stored(&process, id).await.state, state);
            assert!(lab.world.of(id).is_empty());
        }
        let again = engine
            .recreate(lost.as_str(), &Silent, &sandboxer_engine::Cancel::new())
            .await;
        assert!(again.unwrap_err().message.contains("table `frozen`"));
        lab.expect_sound(&process, "removed").await;
    });
}

#[test]
fn sixteen_damaged_sandboxes_past_their_time_do_not_keep_the_others() {
    block_on(async {
        let lab = Lab::unguarded();
        let mut ids = Vec::new();
        for _ in 0..40 {
            ids.push(lab.make("profile.fake").await);
        }
        for id in &ids[..35] {
            sql(&lab, &format!("UPDATE sandbox SET record = '{{' WHERE id = '{id}'"));
        }
        lab.clock.advance(Duration::from_secs(3601));
        let process = lab.start().await;
        let one = reconcilers().iter().find(|one| one.name == "expire_ttl").unwrap();
        process.engine.reconcile(one, &Silent).await.unwrap();
        for id in &ids[35..] {
            let sandbox = lab.stored(&process, id).await;
            assert_eq!((sandbox.state, sandbox.reason), (State::Destroyed, Some(Reason::Ttl)));
        }
        // A command does the same.
        let recovered = process.engine.recover(&Silent).await.unwrap();
        assert_eq!(recovered.expired, []);
        assert_eq!(process.engine.list(&Default::default()).await.unwrap().len(), 0);
        assert_eq!(process.engine.noticed_damage().len(), 35);
    });
}
