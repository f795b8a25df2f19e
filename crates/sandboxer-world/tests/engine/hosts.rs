//! Sandboxes on hosts: where they are put and why, that no host is overbooked, and what becomes of what is left there.

use sandboxer_engine::api::{AddHost, CreateRequest, ReapResult, Silent};
use sandboxer_engine::{Cancel, Engine};
use sandboxer_extension::port::IdSource as _;
use sandboxer_extension::{ErrorKind, ProvisionRequest, Retry};
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::host::{StaleAction, StaleKind};
use sandboxer_model::id::{InstallationId, SandboxId};
use sandboxer_model::lifecycle::State;
use sandboxer_model::profile::Profile;
use sandboxer_model::registry::{Capacity, HostState};
use sandboxer_model::sandbox::Sandbox;
use sandboxer_world::{CallName, Fault, Gate, Reach, TestIds, When, hosted};

use crate::lab::{Lab, Process, block_on};

fn lab_of(hosts: &[(&str, Option<u64>)]) -> Lab {
    let mut lab = Lab::with(vec![hosted("ext.fake")]);
    for (name, slots) in hosts {
        lab.add_host(name, *slots);
    }
    lab
}

async fn create(lab: &Lab, engine: &Engine, host: Option<&str>) -> Result<Sandbox, UserError> {
    let request = CreateRequest {
        host: host.map(str::to_owned),
        ..lab.request("profile.fake")
    };
    engine
        .create(request, &Silent, &Cancel::new())
        .await
        .map(|made| made.sandbox)
}

/// Host, whether it was accepted, and why, for every candidate of a sandbox.
async fn route(engine: &Engine, id: &SandboxId) -> Vec<(String, bool, String)> {
    let explanation = engine.explain(id.as_str()).await.unwrap();
    let candidates = explanation.backend.candidates.into_iter();
    candidates
        .map(|one| (one.host.unwrap_or_default(), one.accepted, one.reason))
        .collect()
}

fn write_profile(lab: &Lab, name: &str, placement: &str) {
    let text = format!("id: {name}\nextension: ext.fake\n{placement}\n");
    let mut file = std::fs::File::create(lab.dir.path().join(format!("{name}.yaml"))).unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
}

#[test]
fn hosts_are_taken_in_the_order_of_the_profile_then_by_room_then_by_name() {
    block_on(async {
        let lab = lab_of(&[
            ("a", Some(1)),
            ("b", Some(5)),
            ("c", Some(5)),
            ("d", None),
            ("e", Some(9)),
        ]);
        write_profile(
            &lab,
            "profile.placed",
            "placement: { prefer: [nowhere, e], fallback: [c.example] }",
        );
        let engine = lab.start().await.engine;
        let plan = engine.plan(&lab.request("profile.placed")).await.unwrap();
        let hosts: Vec<_> = plan
            .route
            .candidates
            .iter()
            .map(|one| one.host.clone().unwrap())
            .collect();
        // `c` is meant by the name in its address.
        assert_eq!(hosts, ["nowhere", "e", "c", "d", "b", "a"]);
        assert_eq!(plan.host.as_deref(), Some("e"));
        let first = &plan.route.candidates[0];
        assert!(!first.accepted && first.reason.contains("not registered"), "{first:?}");
        assert_eq!(plan.route.candidates[1].address.as_deref(), Some("root@e.example"));
    });
}

#[test]
fn the_callers_choice_goes_first_and_need_not_be_registered() {
    block_on(async {
        let lab = lab_of(&[("a", None), ("b", None)]);
        lab.world.add_host("me@elsewhere:2222", None);
        let process = lab.start().await;
        let made = create(&lab, &process.engine, Some("me@elsewhere:2222")).await.unwrap();
        assert_eq!(made.host.as_deref(), Some("me@elsewhere:2222"));
        let usual = CreateRequest {
            default_host: Some("b".to_owned()),
            ..lab.request("profile.fake")
        };
        let plan = engine_plan(&process, &usual).await;
        assert_eq!(plan.as_deref(), Some("b"));
        let both = CreateRequest {
            host: Some("a".to_owned()),
            ..usual
        };
        assert_eq!(engine_plan(&process, &both).await.as_deref(), Some("a"));
        for wrong in ["-oProxyCommand=x", "a b", "$(x)", "me@"] {
            let refused = create(&lab, &process.engine, Some(wrong)).await.unwrap_err();
            assert_eq!(refused.code, ErrorCode::InvalidInput, "{wrong}: {refused}");
        }
        lab.expect_sound(&process, "named").await;
    });
}

async fn engine_plan(process: &Process, request: &CreateRequest) -> Option<String> {
    process.engine.plan(request).await.unwrap().host
}

#[test]
fn a_host_that_was_asked_for_nothing_makes_room_for_the_next() {
    block_on(async {
        let lab = lab_of(&[("a", None), ("b", None)]);
        let process = lab.start().await;
        // Nobody knows yet that it is away.
        lab.world.set_reach("root@a.example", Reach::Out);
        let made = create(&lab, &process.engine, None).await.unwrap();
        assert_eq!(made.host.as_deref(), Some("b"));
        let why = process.engine.explain(made.sandbox_id.as_str()).await.unwrap();
        assert!(format!("{why:?}").contains("cannot reach root@a.example"), "{why:?}");
        // With nobody left it has failed, with the proof that nothing is anywhere; nothing is stuck.
        lab.world.set_reach("root@b.example", Reach::Out);
        let error = create(&lab, &process.engine, None).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Unavailable, "{error}");
        assert!(
            error.message.contains("ext.fake on a") && error.message.contains("ext.fake on b"),
            "{error}"
        );
        lab.expect_sound(&process, "all away").await;
    });
}

#[test]
fn a_host_that_may_have_heard_is_not_left_behind_unproven() {
    block_on(async {
        let lab = lab_of(&[("a", None), ("b", None)]);
        let process = lab.start().await;
        // It does what it was asked, its answer is lost, and then it is away.
        let gate = Gate::closed();
        lab.world.inject(
            None,
            CallName::Provision,
            When::Nth(1),
            Fault::LostReply(ErrorKind::Unavailable, Retry::Temporary),
        );
        lab.world.inject(
            None,
            CallName::Provision,
            When::Nth(2),
            Fault::PauseBefore(gate.clone()),
        );
        let engine = &process.engine;
        let (outcome, ()) = tokio::join!(create(&lab, engine, None), async {
            gate.reached().await;
            lab.world.set_reach("root@a.example", Reach::Out);
            gate.open();
        });
        let error = outcome.unwrap_err();
        assert_eq!(error.code, ErrorCode::Stuck, "{error}");
        lab.world.set_reach("root@a.example", Reach::In);
        lab.converge("it is back").await;
    });
}

#[test]
fn hosts_that_drain_are_down_full_or_lack_something_are_passed_over_with_the_reason() {
    block_on(async {
        let lab = lab_of(&[
            ("draining", None),
            ("down", None),
            ("full", Some(1)),
            ("lacking", None),
            ("nodisk", None),
            ("good", Some(1)),
        ]);
        let process = lab.start().await;
        let engine = &process.engine;
        create(&lab, engine, Some("full")).await.unwrap();
        engine.drain_host("draining").await.unwrap();
        lab.world.set_reach("root@down.example", Reach::Out);
        lab.world.set_lacks("root@lacking.example", &["no compose: install it"]);
        lab.world.set_free_disk("root@nodisk.example", 14.0);
        for name in ["down", "lacking", "nodisk"] {
            engine.probe_host(name).await.unwrap();
        }
        let made = create(&lab, engine, None).await.unwrap();
        assert_eq!(made.host.as_deref(), Some("good"));
        let routed = route(engine, &made.sandbox_id).await;
        let reason = |host: &str| {
            let found = routed.iter().find(|(name, ..)| name == host).unwrap();
            assert_eq!(found.1, host == "good", "{found:?}");
            found.2.clone()
        };
        for (host, word) in [
            ("draining", "draining"),
            ("down", "down: cannot reach"),
            ("full", "1 of 1 slots"),
            ("lacking", "no compose"),
            ("nodisk", "14 % was free"),
            ("good", "with room"),
            ("sandboxer01", "not registered"),
        ] {
            assert!(reason(host).contains(word), "{host}: {}", reason(host));
        }
        // Named, draining and full still hold; having been down does not.
        for (host, word) in [
            ("draining", "hosts activate draining"),
            ("full", "inspect host full"),
            ("nodisk", "hosts probe nodisk"),
        ] {
            let refused = create(&lab, engine, Some(host)).await.unwrap_err();
            assert_eq!(refused.code, ErrorCode::NoRoute);
            assert!(refused.hints.iter().any(|hint| hint.contains(word)), "{refused:?}");
        }
        lab.world.set_reach("root@down.example", Reach::In);
        create(&lab, engine, Some("down")).await.unwrap();
        engine.activate_host("draining").await.unwrap();
        create(&lab, engine, Some("draining")).await.unwrap();
        assert_eq!(engine.probe_host("down").await.unwrap().host.state, HostState::Active);
        // A dry run says the same, and everybody is full now.
        let refused = engine
            .plan(&CreateRequest {
                host: Some("good".to_owned()),
                ..lab.request("profile.fake")
            })
            .await
            .unwrap_err();
        assert!(refused.message.contains("1 of 1 slots"), "{refused}");
        lab.expect_sound(&process, "passed over").await;
    });
}

#[test]
fn what_does_not_answer_when_it_is_needed_is_left_for_the_next() {
    block_on(async {
        let lab = lab_of(&[("near", Some(9)), ("far", Some(10))]);
        let process = lab.start().await;
        lab.world.set_reach("root@far.example", Reach::Out);
        // It was asked for nothing, so nothing needs to be proven there, and nothing is held of it.
        let made = create(&lab, &process.engine, None).await.unwrap();
        assert_eq!(made.host.as_deref(), Some("near"));
        assert_eq!(process.engine.host("far").await.unwrap().sandboxes, 0);
        process.engine.destroy(made.sandbox_id.as_str(), &Silent).await.unwrap();
        lab.world.set_reach("root@far.example", Reach::In);
        // What failed there and is proven gone is made on the next.
        lab.world
            .inject(None, CallName::Provision, When::Nth(1), Fault::permanent());
        let made = create(&lab, &process.engine, None).await.unwrap();
        assert_eq!(made.host.as_deref(), Some("near"));
        let held = process.store.reservations().await.unwrap();
        assert_eq!(held.len(), 1);
        assert_eq!(held[0].1.host, "near");
        lab.expect_sound(&process, "next").await;
    });
}

#[test]
fn the_next_host_is_passed_over_when_it_filled_up_meanwhile() {
    block_on(async {
        let lab = lab_of(&[("a", Some(3)), ("b", Some(2)), ("c", Some(1))]);
        let (one, two) = (lab.start().await, lab.start().await);
        let gate = Gate::closed();
        lab.world.inject(
            None,
            CallName::Provision,
            When::Nth(1),
            Fault::PauseBefore(gate.clone()),
        );
        lab.world
            .inject(None, CallName::Provision, When::Nth(1), Fault::permanent());
        let first = create(&lab, &one.engine, None);
        let others = async {
            gate.reached().await;
            for _ in 0..2 {
                create(&lab, &two.engine, Some("b")).await.unwrap();
            }
            gate.open();
        };
        let (made, ()) = tokio::join!(first, others);
        let made = made.unwrap();
        assert_eq!(made.host.as_deref(), Some("c"));
        let events = one.store.events(Some(&made.sandbox_id)).await.unwrap();
        assert!(
            events
                .iter()
                .any(|event| event.kind == "step.failed" && event.summary.contains("2 of 2 slots"))
        );
        lab.expect_sound(&one, "filled up").await;
        // With nowhere left to go it is the first that stays on the record, and nothing is held.
        lab.world
            .inject(None, CallName::Provision, When::Always, Fault::permanent());
        let failed = create(&lab, &one.engine, None).await.unwrap_err();
        assert!(failed.message.contains("injected"), "{failed}");
        assert_eq!(one.store.reservations().await.unwrap().len(), 3);
        lab.expect_sound(&one, "nowhere left").await;
    });
}

/// Many come at once for few places, and many of them fail on the way: each place is taken once, none is lost.
#[test]
fn no_host_is_overbooked_and_no_place_is_lost() {
    for wave in 0..4 {
        block_on(async {
            let lab = lab_of(&[("a", Some(2)), ("b", Some(3))]);
            if wave % 2 == 1 {
                for nth in [2, 3, 7, 8] {
                    lab.world
                        .inject(None, CallName::WaitReady, When::Nth(nth), Fault::permanent());
                }
            }
            let mut processes = Vec::new();
            for _ in 0..12 {
                processes.push(lab.start().await);
            }
            let comers = processes.iter().map(|process| create(&lab, &process.engine, None));
            let mut answers = Vec::new();
            let mut running: Vec<_> = comers.map(Box::pin).collect();
            std::future::poll_fn(|context| {
                running.retain_mut(|one| match one.as_mut().poll(context) {
                    std::task::Poll::Ready(answer) => {
                        answers.push(answer);
                        false
                    }
                    std::task::Poll::Pending => true,
                });
                if running.is_empty() {
                    std::task::Poll::Ready(())
                } else {
                    std::task::Poll::Pending
                }
            })
            .await;
            drop(running);
            let made: Vec<&Sandbox> = answers.iter().filter_map(|answer| answer.as_ref().ok()).collect();
            for refused in answers.iter().filter_map(|answer| answer.as_ref().err()) {
                assert!(
                    refused.message.contains("slots are taken") || refused.message.contains("injected"),
                    "{refused}"
                );
            }
            if wave % 2 == 0 {
                assert_eq!(made.len(), 5);
            }
            assert!(lab.world.peak("root@a.example") <= 2 && lab.world.peak("root@b.example") <= 3);
            let process = &processes[0];
            assert_eq!(process.store.reservations().await.unwrap().len(), made.len());
            lab.expect_sound(process, "many").await;
            for sandbox in made {
                process
                    .engine
                    .destroy(sandbox.sandbox_id.as_str(), &Silent)
                    .await
                    .unwrap();
            }
            assert_eq!(process.store.reservations().await.unwrap(), []);
            lab.expect_sound(process, "drained").await;
            process.engine.remove_host("a").await.unwrap();
        });
    }
}

#[test]
fn what_is_accepted_keeps_its_place_until_it_is_taken_up() {
    block_on(async {
        let lab = lab_of(&[("a", Some(1))]);
        let process = lab.start().await;
        let accepted = process
            .engine
            .accept(lab.request("profile.fake"))
            .await
            .unwrap()
            .sandbox;
        let refused = create(&lab, &process.engine, None).await.unwrap_err();
        assert!(refused.message.contains("1 of 1 slots"), "{refused}");
        assert_eq!(
            process.engine.remove_host("a").await.unwrap_err().code,
            ErrorCode::WrongState
        );
        // Drained meanwhile: what was accepted was accepted.
        process.engine.drain_host("a").await.unwrap();
        process
            .engine
            .resume(accepted.operation_id.as_ref().unwrap(), &Silent)
            .await
            .unwrap();
        lab.expect_sound(&process, "accepted").await;
        let id = accepted.sandbox_id;
        // Made again where it is; once it is gone, it needs a place like any other.
        process
            .engine
            .recreate(id.as_str(), &Silent, &Cancel::new())
            .await
            .unwrap();
        process.engine.destroy(id.as_str(), &Silent).await.unwrap();
        let refused = process
            .engine
            .recreate(id.as_str(), &Silent, &Cancel::new())
            .await
            .unwrap_err();
        assert!(refused.message.contains("draining"), "{refused}");
        let stays = lab.stored(&process, &id).await;
        assert_eq!((stays.state, stays.operation_id), (State::Destroyed, None));
        process.engine.activate_host("a").await.unwrap();
        process
            .engine
            .recreate(id.as_str(), &Silent, &Cancel::new())
            .await
            .unwrap();
        assert_eq!(process.engine.host("a").await.unwrap().sandboxes, 1);
        lab.expect_sound(&process, "made again").await;
    });
}

#[test]
fn hosts_are_registered_once_they_were_seen() {
    block_on(async {
        let lab = lab_of(&[]);
        lab.world.add_host("me@box:22", None);
        let process = lab.start().await;
        let new = AddHost {
            name: "box".to_owned(),
            address: Some("me@box:22".to_owned()),
            capacity: Capacity {
                slots: Some(2),
                ..Capacity::default()
            },
            ..AddHost::default()
        };
        let added = process.engine.add_host(&new).await.unwrap();
        let probe = added.host.probe.clone().unwrap();
        assert_eq!(probe.snapshot.cpu_count, Some(4));
        assert_eq!(probe.backends["ext.fake"].facts["imagination"], "1");
        assert_eq!(process.engine.host("me@box:22").await.unwrap(), added);
        for (name, address, code) in [
            ("box", None, ErrorCode::WrongState),
            ("me@box:22", None, ErrorCode::WrongState),
            ("me@box", Some("box"), ErrorCode::InvalidInput),
            ("-o", None, ErrorCode::InvalidInput),
            ("other", Some("a b"), ErrorCode::InvalidInput),
            ("other", Some("nobody"), ErrorCode::Unavailable),
        ] {
            let new = AddHost {
                name: name.to_owned(),
                address: address.map(str::to_owned),
                ..AddHost::default()
            };
            assert_eq!(
                process.engine.add_host(&new).await.unwrap_err().code,
                code,
                "{name} {address:?}"
            );
        }
        assert_eq!(process.engine.hosts().await.unwrap().len(), 1);
        lab.world.set_reach("me@box:22", Reach::Out);
        let down = process.engine.probe_host("box").await.unwrap().host;
        assert_eq!((down.state, down.probe.is_some()), (HostState::Down, true));
        assert!(down.unreachable.unwrap().contains("cannot reach"));
        assert_eq!(
            process.engine.inspect_host("box").await.unwrap_err().code,
            ErrorCode::Unavailable
        );
        process.engine.remove_host("box").await.unwrap();
        assert_eq!(process.engine.host("box").await.unwrap_err().code, ErrorCode::NotFound);
    });
}

#[test]
fn a_create_on_a_host_tells_what_it_changed_there() {
    block_on(async {
        let lab = lab_of(&[("a", None)]);
        write_profile(&lab, "profile.sandbox-canary", "");
        let process = lab.start().await;
        let plain = create(&lab, &process.engine, None).await.unwrap();
        let report = plain.telemetry.unwrap();
        assert_eq!((report.schema_version.as_str(), report.host.as_str()), ("0.1", "a"));
        assert_eq!(report.provision_delta.mem_available_mb_delta, Some(-100));
        assert!(report.inventory.is_none() && lab.world.calls(CallName::Inventory) == 0);
        let left = leave(&lab, &process, "root@a.example", None);
        let canary = process
            .engine
            .create(lab.request("profile.sandbox-canary"), &Silent, &Cancel::new())
            .await
            .unwrap();
        let report = canary.sandbox.telemetry.unwrap();
        let inventory = report.inventory.unwrap();
        assert_eq!(inventory.host, "a");
        assert_eq!(inventory.entries.len(), 6, "{inventory:?}");
        assert_eq!(report.stale_candidates.len(), 2);
        assert!(
            report
                .stale_candidates
                .iter()
                .all(|one| one.sandbox_id.as_ref() == Some(&left))
        );
        // A look that fails costs no sandbox.
        lab.world
            .inject(None, CallName::Inventory, When::Always, Fault::permanent());
        let blind = process
            .engine
            .create(lab.request("profile.sandbox-canary"), &Silent, &Cancel::new())
            .await
            .unwrap();
        assert!(blind.sandbox.telemetry.unwrap().inventory.unwrap().incomplete.is_some());
    });
}

/// Something of a sandbox that has no record, of this installation or another.
fn leave(lab: &Lab, process: &Process, address: &str, owner: Option<InstallationId>) -> SandboxId {
    let sandbox_id = SandboxId::from_uuid(TestIds::new(lab.world.resources().len() as u64 + 77).uuid());
    let request = ProvisionRequest {
        sandbox_id: sandbox_id.clone(),
        profile: Profile::new("profile.fake", "ext.fake"),
        inputs: Default::default(),
        host: Some(address.to_owned()),
        ttl: "1h".parse().unwrap(),
    };
    let owner = owner.unwrap_or_else(|| process.store.installation_id().clone());
    lab.world.add_foreign("ext.fake", request, owner);
    sandbox_id
}

#[test]
fn what_is_left_over_is_reaped_and_nothing_else_is() {
    block_on(async {
        let lab = lab_of(&[("a", None), ("b", None)]);
        let process = lab.start().await;
        let engine = &process.engine;
        let live = create(&lab, engine, Some("a")).await.unwrap().sandbox_id;
        let orphan = leave(&lab, &process, "root@a.example", None);
        let foreign = leave(
            &lab,
            &process,
            "root@a.example",
            Some(InstallationId::from_uuid(uuid::Uuid::max())),
        );
        let report = engine.stale(None, None).await.unwrap();
        assert!(report.hosts.iter().all(|sight| sight.incomplete.is_none()) && report.hosts.len() == 2);
        let seen: Vec<_> = report
            .stale_candidates
            .iter()
            .map(|one| (one.kind, one.action))
            .collect();
        assert_eq!(
            seen,
            [
                (StaleKind::OrphanDir, StaleAction::Reap),
                (StaleKind::OrphanCompose, StaleAction::Reap),
                (StaleKind::Foreign, StaleAction::Ignore),
                (StaleKind::Foreign, StaleAction::Ignore),
            ]
        );
        // Saying what would be done does nothing.
        let said = engine.reap_stale(false, None, None).await.unwrap();
        assert_eq!(
            said.actions
                .iter()
                .filter(|one| one.result == ReapResult::DryRun)
                .count(),
            2
        );
        assert_eq!(lab.world.resources().len(), 3);
        let done = engine.reap_stale(true, None, None).await.unwrap();
        let results: Vec<_> = done.actions.iter().map(|one| one.result).collect();
        assert_eq!(
            results,
            [
                ReapResult::Reaped,
                ReapResult::Reaped,
                ReapResult::Kept,
                ReapResult::Kept
            ]
        );
        assert!(done.actions[0].cleanup.is_some());
        assert!(lab.world.of(&orphan).is_empty());
        assert_eq!((lab.world.of(&live).len(), lab.world.of(&foreign).len()), (1, 1));
        assert_eq!(lab.world.calls(CallName::Teardown), 1);
    });
}

#[test]
fn leftovers_of_a_sandbox_that_is_gone_are_reaped_under_a_newer_epoch() {
    block_on(async {
        let lab = lab_of(&[("a", Some(1)), ("b", None)]);
        let process = lab.start().await;
        let engine = &process.engine;
        let id = create(&lab, engine, Some("a")).await.unwrap().sandbox_id;
        let request = lab.world.of(&id)[0].request.clone();
        engine.destroy(id.as_str(), &Silent).await.unwrap();
        // It comes back by itself.
        lab.world
            .add_foreign("ext.fake", request.clone(), process.store.installation_id().clone());
        let before = lab.stored(&process, &id).await.epoch;
        // Made again between the two looks, or under the very hands of the removal: it lives.
        for (call, nth, result) in [
            (CallName::Inventory, 3, ReapResult::Kept),
            (CallName::Teardown, 1, ReapResult::Failed),
        ] {
            let gate = Gate::closed();
            lab.world.clear_faults();
            lab.world
                .inject(None, call, When::Nth(nth), Fault::PauseBefore(gate.clone()));
            let other = lab.start().await;
            let reaping = engine.reap_stale(true, None, None);
            let remaking = async {
                gate.reached().await;
                other
                    .engine
                    .recreate(id.as_str(), &Silent, &Cancel::new())
                    .await
                    .unwrap();
                gate.open();
            };
            let (report, ()) = tokio::join!(reaping, remaking);
            let actions = report.unwrap().actions;
            assert!(
                !actions.is_empty() && actions.iter().all(|one| one.result == result),
                "{actions:?}"
            );
            assert_eq!(lab.world.of(&id).len(), 1);
            lab.expect_sound(&process, "made again").await;
            engine.destroy(id.as_str(), &Silent).await.unwrap();
            lab.world
                .add_foreign("ext.fake", request.clone(), process.store.installation_id().clone());
        }
        lab.world.clear_faults();
        let report = engine.reap_stale(true, Some("a"), None).await.unwrap();
        assert!(
            report.actions.iter().all(|one| one.result == ReapResult::Reaped),
            "{report:?}"
        );
        assert!(lab.stored(&process, &id).await.epoch > before);
        assert!(lab.world.of(&id).is_empty());
        lab.expect_sound(&process, "reaped").await;
        let events = process.store.events(Some(&id)).await.unwrap();
        assert_eq!(events.last().unwrap().kind, "stale.reaped");
        // And it can be made again.
        engine.recreate(id.as_str(), &Silent, &Cancel::new()).await.unwrap();
        lab.expect_sound(&process, "made again after").await;
    });
}

#[test]
fn a_record_of_nothing_is_told_of_only_where_everything_was_seen() {
    block_on(async {
        let lab = lab_of(&[("a", None)]);
        let process = lab.start().await;
        let engine = &process.engine;
        let id = create(&lab, engine, Some("a")).await.unwrap().sandbox_id;
        lab.world.vanish(&id, sandboxer_extension::Ended::Killed);
        let found = engine.stale(None, None).await.unwrap().stale_candidates;
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].kind, found[0].action),
            (StaleKind::ZombieRecord, StaleAction::Inspect)
        );
        for fault in [Fault::PartialInventory, Fault::Unknown, Fault::permanent()] {
            lab.world.clear_faults();
            lab.world.inject(None, CallName::Inventory, When::Always, fault);
            let blind = engine.stale(None, None).await.unwrap();
            assert_eq!(blind.stale_candidates, []);
            assert!(blind.hosts[0].incomplete.is_some());
        }
        lab.world.clear_faults();
        let report = engine.reap_stale(true, None, None).await.unwrap();
        assert_eq!(report.actions[0].result, ReapResult::Kept);
        assert_eq!(lab.stored(&process, &id).await.state, State::Ready);
    });
}

#[test]
fn a_removal_that_cannot_be_proven_is_no_reaping_and_is_tried_again() {
    block_on(async {
        let lab = lab_of(&[("a", None)]);
        let process = lab.start().await;
        let engine = &process.engine;
        let orphan = leave(&lab, &process, "root@a.example", None);
        for fault in [Fault::RefuseRemoval, Fault::Unknown, Fault::permanent()] {
            lab.world.clear_faults();
            lab.world.inject(None, CallName::Teardown, When::Always, fault);
            let report = engine.reap_stale(true, None, None).await.unwrap();
            assert!(
                report
                    .actions
                    .iter()
                    .all(|one| one.result == ReapResult::Failed || one.result == ReapResult::Kept)
            );
            assert!(report.actions.iter().any(|one| one.error.is_some()) || report.actions.is_empty());
            if lab.world.of(&orphan).is_empty() {
                leave(&lab, &process, "root@a.example", None);
            }
        }
        lab.world.clear_faults();
        engine.reap_stale(true, None, None).await.unwrap();
        assert!(lab.world.resources().is_empty());
    });
}

#[test]
fn what_is_younger_than_asked_for_is_left() {
    block_on(async {
        let lab = lab_of(&[("a", None)]);
        let process = lab.start().await;
        let engine = &process.engine;
        let id = create(&lab, engine, Some("a")).await.unwrap().sandbox_id;
        assert_eq!(engine.stale(None, Some(1)).await.unwrap().stale_candidates, []);
        engine
            .extend_ttl(id.as_str(), sandboxer_engine::api::Extend::By("5h".parse().unwrap()))
            .await
            .unwrap();
        lab.clock.advance(std::time::Duration::from_secs(2 * 3600));
        let aged = engine.stale(None, Some(2)).await.unwrap().stale_candidates;
        assert_eq!(aged.len(), 1);
        assert_eq!(
            (aged[0].kind, aged[0].action, aged[0].age_hours),
            (StaleKind::AgedDir, StaleAction::Inspect, Some(2))
        );
        assert_eq!(engine.stale(None, Some(3)).await.unwrap().stale_candidates, []);
        assert_eq!(
            engine.reap_stale(true, None, Some(2)).await.unwrap().actions[0].result,
            ReapResult::Kept
        );
        assert_eq!(lab.world.of(&id).len(), 1);
    });
}
