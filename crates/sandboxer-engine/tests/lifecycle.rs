//! What each operation promises, over an in-memory backend.

mod support;

use std::time::Duration;

use sandboxer_engine::Cancel;
use sandboxer_engine::api::{ExpireResult, Extend, IfAbandoned, ListFilter, Silent};
use sandboxer_extension::ExecExit;
use sandboxer_model::cleanup::Presence;
use sandboxer_model::error::ErrorCode;
use sandboxer_model::lifecycle::{Reason, State};
use sandboxer_model::profile::Scope;
use sandboxer_world::{CallName, Fault, Gate, When, capable};
use support::{Bench, command, kinds, one};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_sandbox_lives_and_ends_and_is_explained_afterwards() {
    let bench = Bench::new().await;
    let engine = bench.engine();
    let created = engine
        .create(bench.request("profile.native"), &Silent, &Cancel::new())
        .await
        .unwrap();
    let sandbox = created.sandbox;
    assert!(!created.reused);
    assert_eq!(sandbox.state, State::Ready);
    assert_eq!(sandbox.operation_id, None);
    assert!(sandbox.expires_at.is_some() && sandbox.reachability.is_some() && sandbox.isolation.is_some());
    let id = sandbox.sandbox_id.as_str().to_owned();

    let mut session = engine.exec(&id[..12], command(&["true"])).await.unwrap();
    assert_eq!(session.wait().await.unwrap(), ExecExit::Code(0));
    assert_eq!(engine.get(&id).await.unwrap().state, State::Active);
    assert!(engine.reachability(&id).await.unwrap().exec.is_some());

    let destroyed = engine.destroy(&id, &Silent).await.unwrap();
    assert!(!destroyed.already);
    assert_eq!(destroyed.cleanup.unwrap().verified, Presence::Absent);
    assert!(engine.destroy(&id, &Silent).await.unwrap().already);
    assert!(bench.world.resources().is_empty());

    let events = bench.history(&engine, &id).await;
    let expected = [
        "state.requested",
        "state.provisioning",
        "state.ready",
        "state.active",
        "state.destroying",
        "state.destroyed",
    ];
    assert_eq!(kinds(&events), expected);
    let explained = engine.explain(&id).await.unwrap();
    assert_eq!(explained.state, State::Destroyed);
    assert_eq!(explained.history.reason, Some(Reason::DestroyedByRequest));
    assert_eq!(explained.history.operations.len(), 2);
    let steps: Vec<&str> = explained.history.operations[0]
        .steps
        .iter()
        .map(|step| step.name.as_str())
        .collect();
    assert_eq!(steps, ["place", "provision", "wait_ready", "publish"]);
    assert!(explained.isolation.is_some() && explained.cost.meter.actual.is_some());
    assert_eq!(bench.store.meters(&sandbox.sandbox_id).await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_canary_runs_natively_where_no_host_is_configured() {
    let bench = Bench::new().await;
    let engine = bench.engine();
    let plan = engine.plan(&bench.request("profile.sandbox-canary")).await.unwrap();
    assert_eq!(plan.extension_id, "ext.native");
    let reasons: Vec<(bool, &str)> = plan
        .route
        .candidates
        .iter()
        .map(|one| (one.accepted, one.reason.as_str()))
        .collect();
    assert_eq!(reasons[0], (false, "ext.compose-ssh is not part of this build"));
    assert!(reasons[1].0);
    assert!(bench.world.log().is_empty(), "a plan touches nothing");
    assert!(bench.store.sandboxes(&Default::default()).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_cannot_be_enforced_is_refused_with_its_own_code() {
    let bench = Bench::new().await;
    let engine = bench.engine();
    let egress = "id: profile.x\nextension: ext.native\nnetwork:\n  egress: [example.org:443]\n";
    let error = engine.plan(&bench.request_for(egress)).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::CannotEnforce, "{error}");
    let same = engine
        .create(bench.request_for(egress), &Silent, &Cancel::new())
        .await
        .unwrap_err();
    assert_eq!(same, error, "a create refuses exactly what the plan refuses");
    let unknown = "id: profile.x\nextension: ext.nowhere\n";
    assert_eq!(
        engine.plan(&bench.request_for(unknown)).await.unwrap_err().code,
        ErrorCode::NoRoute
    );
    let mut long = bench.request("profile.native");
    long.ttl = "25h".parse().ok();
    let error = engine.plan(&long).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidTtl);
    assert!(error.message.contains("25h") && error.message.contains("1d"), "{error}");
}

#[tokio::test]
async fn a_failing_candidate_is_proven_gone_before_the_next_is_tried() {
    let bench = Bench::with(vec![capable("ext.one"), capable("ext.two")]).await;
    let engine = bench.engine();
    let yaml =
        "id: profile.x\nextension: ext.one\nroute:\n  strategy: prefer-self-hosted\n  extensions: [ext.one, ext.two]\n";
    bench
        .world
        .inject(Some("ext.one"), CallName::Provision, When::Always, Fault::lost_reply());
    let sandbox = engine
        .create(bench.request_for(yaml), &Silent, &Cancel::new())
        .await
        .unwrap()
        .sandbox;
    assert_eq!(sandbox.extension_id.as_deref(), Some("ext.two"));
    assert_eq!(bench.world.resources().len(), 1);
    let events = bench.history(&engine, sandbox.sandbox_id.as_str()).await;
    assert_eq!(
        kinds(&events),
        [
            "state.requested",
            "state.provisioning",
            "step.failed",
            "route.next",
            "state.ready"
        ]
    );
    engine.destroy(sandbox.sandbox_id.as_str(), &Silent).await.unwrap();
    assert!(bench.world.resources().is_empty());
}

#[tokio::test]
async fn an_exhausted_route_ends_failed_with_nothing_left() {
    let bench = Bench::new().await;
    let engine = bench.engine();
    bench
        .world
        .inject(None, CallName::WaitReady, When::Always, Fault::permanent());
    let error = engine
        .create(bench.request("profile.native"), &Silent, &Cancel::new())
        .await
        .unwrap_err();
    assert_eq!(error.code, ErrorCode::BackendFailed);
    assert!(bench.world.resources().is_empty());
    let [sandbox] = engine.list(&ListFilter::default()).await.unwrap().try_into().unwrap();
    assert_eq!(
        (sandbox.state, sandbox.reason),
        (State::Failed, Some(Reason::FailedAtStep))
    );
    assert_eq!(sandbox.error.unwrap().step.as_deref(), Some("wait_ready"));
    assert_eq!(sandbox.cleanup.unwrap().verified, Presence::Absent);
    let gone = engine.destroy(sandbox.sandbox_id.as_str(), &Silent).await.unwrap();
    assert_eq!(
        (gone.state, gone.reason),
        (State::Destroyed, Some(Reason::FailedAtStep))
    );
}

#[tokio::test]
async fn a_passing_failure_is_waited_out() {
    let bench = Bench::new().await;
    let engine = bench.engine();
    bench
        .world
        .inject(None, CallName::Provision, When::First(2), Fault::temporary());
    bench
        .world
        .inject(None, CallName::Teardown, When::First(2), Fault::RefuseRemoval);
    let sandbox = engine
        .create(bench.request("profile.native"), &Silent, &Cancel::new())
        .await
        .unwrap()
        .sandbox;
    assert_eq!(bench.world.calls(CallName::Provision), 3);
    engine.destroy(sandbox.sandbox_id.as_str(), &Silent).await.unwrap();
    assert!(bench.world.resources().is_empty());
}

#[tokio::test]
async fn a_teardown_without_proof_is_stuck_and_visible_until_it_succeeds() {
    for fault in [Fault::RefuseRemoval, Fault::Unknown, Fault::permanent()] {
        let bench = Bench::new().await;
        let engine = bench.engine();
        let sandbox = engine
            .create(bench.request("profile.native"), &Silent, &Cancel::new())
            .await
            .unwrap()
            .sandbox;
        let id = sandbox.sandbox_id.as_str();
        bench.world.inject(None, CallName::Teardown, When::Always, fault);
        let error = engine.destroy(id, &Silent).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Stuck, "{error}");
        let stuck = engine.get(id).await.unwrap();
        assert_eq!(stuck.state, State::Destroying);
        assert_eq!(stuck.error.unwrap().code, ErrorCode::Stuck);
        bench.world.clear_faults();
        // Nothing before its pause is over; then any command finishes it.
        assert_eq!(engine.recover(&Silent).await.unwrap(), Default::default());
        bench.clock.advance(Duration::from_secs(31));
        assert_eq!(engine.recover(&Silent).await.unwrap().finished.len(), 1);
        let gone = engine.get(id).await.unwrap();
        assert_eq!((gone.state, gone.error), (State::Destroyed, None));
        assert!(bench.world.resources().is_empty());
        bench.history(&engine, id).await;
    }
}

#[tokio::test]
async fn an_interrupted_create_is_undone() {
    for call in [CallName::Provision, CallName::WaitReady] {
        let bench = Bench::new().await;
        let engine = bench.engine();
        let (gate, cancel) = (Gate::closed(), Cancel::new());
        bench
            .world
            .inject(None, call, When::Nth(1), Fault::PauseAfter(gate.clone()));
        let (created, ()) = tokio::join!(
            engine.create(bench.request("profile.native"), &Silent, &cancel),
            async {
                gate.reached().await;
                cancel.cancel();
            }
        );
        assert_eq!(created.unwrap_err().code, ErrorCode::Interrupted);
        assert!(bench.world.resources().is_empty());
        let [sandbox] = engine
            .list(&ListFilter {
                all: true,
                ..ListFilter::default()
            })
            .await
            .unwrap()
            .try_into()
            .unwrap();
        assert_eq!(
            (sandbox.state, sandbox.reason),
            (State::Destroyed, Some(Reason::Interrupted))
        );
    }
}

#[tokio::test]
async fn an_abandoned_create_is_undone_or_finished() {
    for (if_abandoned, expected) in [
        (IfAbandoned::Undo, State::Destroyed),
        (IfAbandoned::Finish, State::Ready),
    ] {
        let bench = Bench::new().await;
        let engine = bench.engine();
        let mut request = bench.request("profile.native");
        request.if_abandoned = if_abandoned;
        let gate = Gate::closed();
        bench
            .world
            .inject(None, CallName::Provision, When::Nth(1), Fault::PauseAfter(gate.clone()));
        let cancel = Cancel::new();
        tokio::select! {
            _ = engine.create(request, &Silent, &cancel) => panic!("the gate is closed"),
            () = gate.reached() => {}
        }
        assert_eq!(bench.world.resources().len(), 1);
        let second = bench.engine_of(bench.owners.another("second"));
        assert_eq!(
            second.recover(&Silent).await.unwrap(),
            Default::default(),
            "its owner lives"
        );
        bench.owners.die();
        second.recover(&Silent).await.unwrap();
        let [sandbox] = second
            .list(&ListFilter {
                all: true,
                ..ListFilter::default()
            })
            .await
            .unwrap()
            .try_into()
            .unwrap();
        assert_eq!(sandbox.state, expected);
        assert_eq!(bench.world.resources().len(), usize::from(expected == State::Ready));
        bench.history(&second, sandbox.sandbox_id.as_str()).await;
    }
}

#[tokio::test]
async fn an_accepted_create_is_finished_by_whoever_resumes_it() {
    let bench = Bench::new().await;
    let engine = bench.engine();
    let accepted = engine.accept(bench.request("profile.native")).await.unwrap().sandbox;
    assert_eq!(accepted.state, State::Requested);
    assert!(bench.world.log().is_empty());
    let other = bench.engine_of(bench.owners.another("second"));
    let operation = accepted.operation_id.unwrap();
    let (resumed, waited) = tokio::join!(
        other.resume(&operation, &Silent),
        engine.wait(accepted.sandbox_id.as_str(), State::Ready, HOUR)
    );
    resumed.unwrap();
    assert_eq!(waited.unwrap().state, State::Ready);
    // Without anybody, the next command does it after a while.
    let second = engine.accept(bench.request("profile.native")).await.unwrap().sandbox;
    bench.clock.advance(Duration::from_secs(11));
    other.recover(&Silent).await.unwrap();
    assert_eq!(
        engine.get(second.sandbox_id.as_str()).await.unwrap().state,
        State::Ready
    );
}

#[tokio::test]
async fn destroy_wins_over_a_running_create() {
    let bench = Bench::new().await;
    let engine = bench.engine();
    let other = bench.engine_of(bench.owners.another("second"));
    let gate = Gate::closed();
    bench.world.inject(
        None,
        CallName::Provision,
        When::Nth(1),
        Fault::PauseBefore(gate.clone()),
    );
    let cancel = Cancel::new();
    let (created, destroyed) = tokio::join!(
        engine.create(bench.request("profile.native"), &Silent, &cancel),
        async {
            gate.reached().await;
            let [sandbox] = bench
                .store
                .sandboxes(&Default::default())
                .await
                .unwrap()
                .try_into()
                .unwrap();
            let destroyed = other.destroy(sandbox.sandbox.sandbox_id.as_str(), &Silent).await;
            gate.open();
            destroyed
        }
    );
    assert_eq!(destroyed.unwrap().state, State::Destroyed);
    assert_eq!(created.unwrap_err().code, ErrorCode::Fenced);
    assert!(bench.world.resources().is_empty(), "the late provision was refused");
}

#[tokio::test]
async fn two_destroys_at_once_both_succeed() {
    let bench = Bench::new().await;
    let engine = bench.engine();
    let other = bench.engine_of(bench.owners.another("second"));
    let sandbox = engine
        .create(bench.request("profile.native"), &Silent, &Cancel::new())
        .await
        .unwrap()
        .sandbox;
    let id = sandbox.sandbox_id.as_str();
    let (one, two) = tokio::join!(engine.destroy(id, &Silent), other.destroy(id, &Silent));
    assert_eq!(
        (one.unwrap().state, two.unwrap().state),
        (State::Destroyed, State::Destroyed)
    );
    assert_eq!(
        kinds(&bench.history(&engine, id).await)
            .iter()
            .filter(|kind| **kind == "state.destroyed")
            .count(),
        1
    );
}

#[tokio::test]
async fn a_run_leaves_nothing_but_its_record() {
    let bench = Bench::new().await;
    let engine = bench.engine();
    let mut pid = 0;
    let mut on_started = |session: &mut dyn sandboxer_extension::ExecSession| pid = session.pid();
    let outcome = engine
        .run(
            bench.request("profile.native"),
            command(&["true"]),
            &Silent,
            &mut on_started,
            &Cancel::new(),
        )
        .await
        .unwrap();
    assert_eq!(outcome.exit, ExecExit::Code(0));
    assert!(pid != 0);
    assert_eq!(
        (outcome.sandbox.state, outcome.sandbox.reason),
        (State::Destroyed, Some(Reason::RunFinished))
    );
    assert_eq!(outcome.cleanup.verified, Presence::Absent);
    assert!(bench.world.resources().is_empty());
    let events = bench.history(&engine, outcome.sandbox.sandbox_id.as_str()).await;
    assert_eq!(events.len(), 6, "{:?}", kinds(&events));
}

#[tokio::test]
async fn a_run_that_fails_leaves_nothing_either() {
    for (call, fault) in [
        (CallName::Provision, Fault::lost_reply()),
        (CallName::WaitReady, Fault::permanent()),
        (CallName::Exec, Fault::permanent()),
    ] {
        let bench = Bench::new().await;
        let engine = bench.engine();
        bench.world.inject(None, call, When::Always, fault);
        let failed = engine
            .run(
                bench.request("profile.native"),
                command(&["true"]),
                &Silent,
                &mut |_| {},
                &Cancel::new(),
            )
            .await;
        assert_eq!(failed.unwrap_err().code, ErrorCode::BackendFailed, "{call:?}");
        assert!(bench.world.resources().is_empty());
        let [sandbox] = engine
            .list(&ListFilter {
                all: true,
                ..ListFilter::default()
            })
            .await
            .unwrap()
            .try_into()
            .unwrap();
        assert_eq!(sandbox.state, State::Destroyed, "{call:?}");
        bench.history(&engine, sandbox.sandbox_id.as_str()).await;
    }
}

#[tokio::test]
async fn a_run_whose_process_died_is_undone() {
    let bench = Bench::new().await;
    let engine = bench.engine();
    let gate = Gate::closed();
    bench
        .world
        .inject(None, CallName::Exec, When::Nth(1), Fault::PauseAfter(gate.clone()));
    let (cancel, mut started) = (Cancel::new(), |_: &mut dyn sandboxer_extension::ExecSession| {});
    tokio::select! {
        _ = engine.run(bench.request("profile.native"), command(&["true"]), &Silent, &mut started, &cancel) => panic!("closed"),
        () = gate.reached() => {}
    }
    bench.owners.die();
    let second = bench.engine_of(bench.owners.another("second"));
    assert_eq!(second.recover(&Silent).await.unwrap().undone.len(), 1);
    assert!(bench.world.resources().is_empty());
}

#[tokio::test]
async fn recreate_keeps_the_id_and_counts_generations() {
    let bench = Bench::new().await;
    let engine = bench.engine();
    let first = engine
        .create(bench.request("profile.native"), &Silent, &Cancel::new())
        .await
        .unwrap()
        .sandbox;
    let id = first.sandbox_id.as_str();
    let second = engine.recreate(id, &Silent, &Cancel::new()).await.unwrap();
    assert_eq!(
        (second.state, second.generation, &second.sandbox_id),
        (State::Ready, 2, &first.sandbox_id)
    );
    assert_eq!(bench.world.resources().len(), 1);
    engine.destroy(id, &Silent).await.unwrap();
    let third = engine.recreate(id, &Silent, &Cancel::new()).await.unwrap();
    assert_eq!((third.state, third.generation, third.reason), (State::Ready, 3, None));
    engine.destroy(id, &Silent).await.unwrap();
    assert!(bench.world.resources().is_empty());
    assert_eq!(bench.store.meters(&first.sandbox_id).await.unwrap().len(), 3);
    bench.history(&engine, id).await;
}

#[tokio::test]
async fn extending_moves_guard_and_record_together_and_never_over_the_maximum() {
    let bench = Bench::new().await;
    let engine = bench.engine();
    let sandbox = engine
        .create(bench.request("profile.native"), &Silent, &Cancel::new())
        .await
        .unwrap()
        .sandbox;
    let (id, before) = (sandbox.sandbox_id.as_str(), sandbox.expires_at.unwrap());
    let extended = engine.extend_ttl(id, Extend::By("2h".parse().unwrap())).await.unwrap();
    let deadline = extended.expires_at.unwrap();
    assert_eq!(deadline.duration_since(before).as_secs(), 7200);
    assert_eq!(bench.world.of(&sandbox.sandbox_id)[0].deadline, Some(deadline));
    // The same absolute time twice is once.
    assert_eq!(
        engine.extend_ttl(id, Extend::Until(deadline)).await.unwrap().expires_at,
        Some(deadline)
    );
    let error = engine
        .extend_ttl(id, Extend::By("20h".parse().unwrap()))
        .await
        .unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidTtl);
    // A guard that does not answer leaves the deadline as it was.
    bench
        .world
        .inject(None, CallName::SetDeadline, When::Always, Fault::permanent());
    let failed = engine
        .extend_ttl(id, Extend::By("1h".parse().unwrap()))
        .await
        .unwrap_err();
    assert_eq!(failed.code, ErrorCode::BackendFailed);
    let sandbox = engine.get(id).await.unwrap();
    assert_eq!((sandbox.expires_at, sandbox.operation_id), (Some(deadline), None));
    engine.destroy(id, &Silent).await.unwrap();
    assert_eq!(
        engine
            .extend_ttl(id, Extend::By("1h".parse().unwrap()))
            .await
            .unwrap_err()
            .code,
        ErrorCode::WrongState
    );
}

#[tokio::test]
async fn what_is_past_its_time_is_expired_by_anybody_who_looks() {
    for by in ["expire", "recover", "get", "wait"] {
        let bench = Bench::new().await;
        let engine = bench.engine();
        let sandbox = engine
            .create(bench.request("profile.native"), &Silent, &Cancel::new())
            .await
            .unwrap()
            .sandbox;
        let id = sandbox.sandbox_id.as_str();
        bench.clock.advance(HOUR * 3);
        assert!(
            engine.expire(true, &Silent).await.unwrap().is_empty(),
            "nothing is early"
        );
        bench.clock.advance(HOUR * 2);
        match by {
            "expire" => {
                let dry = engine.expire(false, &Silent).await.unwrap();
                assert_eq!(dry[0].result, ExpireResult::DryRun);
                assert_eq!(
                    engine.expire(true, &Silent).await.unwrap()[0].result,
                    ExpireResult::Destroyed
                );
            }
            "recover" => assert_eq!(engine.recover(&Silent).await.unwrap().expired.len(), 1),
            "wait" => assert_eq!(
                engine.wait(id, State::Destroyed, HOUR).await.unwrap().state,
                State::Destroyed
            ),
            _ => {}
        }
        let gone = engine.get(id).await.unwrap();
        assert_eq!((gone.state, gone.reason), (State::Destroyed, Some(Reason::Ttl)), "{by}");
        let events = bench.history(&engine, id).await;
        assert_eq!(
            kinds(&events)[3..],
            ["state.expired", "state.destroying", "state.destroyed"]
        );
        assert!(bench.world.resources().is_empty());
    }
}

#[tokio::test]
async fn a_sandbox_that_vanished_is_failed_and_unknown_is_never_absent() {
    let bench = Bench::new().await;
    let engine = bench.engine();
    let sandbox = engine
        .create(bench.request("profile.native"), &Silent, &Cancel::new())
        .await
        .unwrap()
        .sandbox;
    let id = sandbox.sandbox_id.as_str();
    bench
        .world
        .inject(None, CallName::Observe, When::Always, Fault::Unknown);
    bench
        .world
        .vanish(&sandbox.sandbox_id, sandboxer_extension::Ended::Killed);
    assert_eq!(
        engine.get(id).await.unwrap().state,
        State::Ready,
        "unknown changes nothing"
    );
    bench.world.clear_faults();
    let [lost] = engine.list(&ListFilter::default()).await.unwrap().try_into().unwrap();
    assert_eq!((lost.state, lost.reason), (State::Failed, Some(Reason::ProviderLost)));
    assert_eq!(lost.cleanup.unwrap().verified, Presence::Absent);
    let refused = engine.exec(id, command(&["true"])).await.err().unwrap();
    assert_eq!(refused.code, ErrorCode::WrongState);
    assert!(refused.message.contains("killed"), "{refused}");
    assert_eq!(
        engine.recreate(id, &Silent, &Cancel::new()).await.unwrap().state,
        State::Ready
    );
}

#[tokio::test]
async fn a_scope_has_one_live_sandbox_however_many_ask_at_once() {
    let bench = Bench::new().await;
    let mut request = bench.request("profile.native");
    request.consumer.run_id = Some("run-1".to_owned());
    let engines: Vec<_> = (0..8)
        .map(|n| bench.engine_of(bench.owners.another(&format!("process-{n}"))))
        .collect();
    let cancel = Cancel::new();
    let mut tasks = tokio::task::JoinSet::new();
    for engine in engines {
        let (request, cancel) = (request.clone(), cancel.clone());
        tasks.spawn(async move { engine.create(request, &Silent, &cancel).await.unwrap() });
    }
    let all = tasks.join_all().await;
    assert_eq!(all.iter().filter(|created| !created.reused).count(), 1);
    let first = &all[0].sandbox.sandbox_id;
    assert!(all.iter().all(|created| created.sandbox.sandbox_id == *first));
    assert_eq!(bench.world.resources().len(), 1);
    let engine = bench.engine();
    engine.destroy(first.as_str(), &Silent).await.unwrap();
    assert!(
        !engine.create(request.clone(), &Silent, &cancel).await.unwrap().reused,
        "a gone one is not handed out"
    );
    request.scope = Some(Scope::Shared);
    assert!(!engine.create(request.clone(), &Silent, &cancel).await.unwrap().reused);
    assert!(engine.create(request, &Silent, &cancel).await.unwrap().reused);
}

#[tokio::test]
async fn waiting_ends_at_once_when_the_state_cannot_come() {
    let bench = Bench::new().await;
    let engine = bench.engine();
    let sandbox = engine
        .create(bench.request("profile.native"), &Silent, &Cancel::new())
        .await
        .unwrap()
        .sandbox;
    let id = sandbox.sandbox_id.as_str();
    assert_eq!(engine.wait(id, State::Ready, HOUR).await.unwrap().state, State::Ready);
    let late = engine
        .wait(id, State::Destroyed, Duration::from_secs(60))
        .await
        .unwrap_err();
    assert_eq!(late.code, ErrorCode::Timeout);
    engine.destroy(id, &Silent).await.unwrap();
    assert_eq!(
        engine.wait(id, State::Ready, HOUR).await.unwrap_err().code,
        ErrorCode::WrongState
    );
}

#[tokio::test]
async fn labels_are_set_removed_and_listed_by() {
    let bench = Bench::new().await;
    let engine = bench.engine();
    let sandbox = engine
        .create(bench.request("profile.native"), &Silent, &Cancel::new())
        .await
        .unwrap()
        .sandbox;
    let id = sandbox.sandbox_id.as_str();
    let labelled = engine.label(id, one("team", "blue"), vec![]).await.unwrap();
    assert_eq!(labelled.labels, one("team", "blue"));
    let by = |labels| ListFilter {
        labels,
        ..ListFilter::default()
    };
    assert_eq!(engine.list(&by(one("team", "blue"))).await.unwrap().len(), 1);
    assert_eq!(engine.list(&by(one("team", "red"))).await.unwrap().len(), 0);
    assert!(engine.label(id, one("a b", "x"), vec![]).await.is_err());
    assert!(
        engine
            .label(id, Default::default(), vec!["team".to_owned()])
            .await
            .unwrap()
            .labels
            .is_empty()
    );
}

#[tokio::test]
async fn a_backend_that_needs_secrets_or_mirrors_it_lacks_is_refused() {
    let bench = Bench::new().await;
    let engine = bench.engine();
    for yaml in [
        "id: profile.x\nextension: ext.native\nsetup:\n  secret_refs: [TOKEN]\n",
        "id: profile.x\nextension: ext.native\nworkspace:\n  mode: mirror\n",
    ] {
        assert_eq!(
            engine.plan(&bench.request_for(yaml)).await.unwrap_err().code,
            ErrorCode::Unsupported
        );
    }
    let idle = "id: profile.x\nextension: ext.native\nttl:\n  idle_reap: 5m\n";
    assert!(
        engine.plan(&bench.request_for(idle)).await.is_ok(),
        "it tells idle from at work"
    );
    let open = "id: profile.x\nextension: ext.native\nnetwork:\n  default: allow\n";
    assert_eq!(
        engine.plan(&bench.request_for(open)).await.unwrap_err().code,
        ErrorCode::CannotEnforce
    );
}
