//! Who gets the sandbox of a scope: however many ask for it at once, in however many processes, there is one.

use std::collections::BTreeSet;
use std::sync::Arc;

use sandboxer_engine::Cancel;
use sandboxer_engine::api::{Caller, CreateRequest, Silent};
use sandboxer_model::id::SandboxId;
use sandboxer_model::lifecycle::State;
use sandboxer_model::profile::Scope;
use sandboxer_model::sandbox::{Actor, Consumer};

use crate::lab::{Lab, block_on};

/// Who asks at once.
const CALLERS: usize = 64;

fn asking(scope: Scope, owner: &str) -> CreateRequest {
    CreateRequest {
        profile: Some("profile.fake".to_owned()),
        consumer: Consumer {
            actor: Actor::Agt,
            project: Some("p".to_owned()),
            run_id: Some("r".to_owned()),
        },
        scope: Some(scope),
        owner: Some(owner.to_owned()),
        caller: Caller::Tenant,
        max_live: Some(10),
        ..CreateRequest::default()
    }
}

/// The ids that all who ask are told, and how many were told that theirs is new.
fn told(answers: Vec<(SandboxId, bool)>) -> (BTreeSet<SandboxId>, usize) {
    let new = answers.iter().filter(|(_, reused)| !reused).count();
    (answers.into_iter().map(|(id, _)| id).collect(), new)
}

#[test]
fn of_many_processes_that_ask_at_once_one_makes_it() {
    for scope in [Scope::Session, Scope::Agent, Scope::Shared] {
        block_on(async {
            let lab = Lab::new();
            let mut processes = Vec::new();
            for _ in 0..4 {
                processes.push(Arc::new(lab.start().await));
            }
            let set = tokio::task::LocalSet::new();
            let asked: Vec<_> = (0..CALLERS)
                .map(|at| {
                    let process = processes[at % processes.len()].clone();
                    set.spawn_local(async move {
                        let created = process
                            .engine
                            .create(asking(scope, "bot"), &Silent, &Cancel::new())
                            .await
                            .unwrap();
                        assert_eq!(created.sandbox.state, State::Ready);
                        (created.sandbox.sandbox_id, created.reused)
                    })
                })
                .collect();
            let answers = set
                .run_until(async {
                    let mut answers = Vec::new();
                    for one in asked {
                        answers.push(one.await.unwrap());
                    }
                    answers
                })
                .await;
            let (ids, new) = told(answers);
            assert_eq!((ids.len(), new), (1, 1), "{scope:?}");
            assert_eq!(lab.world.resources().len(), 1, "{scope:?}");
            lab.expect_sound(&processes[0], "many ask at once").await;
        });
    }
}

#[test]
fn of_many_threads_of_a_server_that_ask_at_once_one_makes_it() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .unwrap();
    for scope in [Scope::Session, Scope::Agent, Scope::Shared] {
        let lab = Lab::new();
        let server = Arc::new(runtime.block_on(lab.start_server()));
        let answers = runtime.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..CALLERS {
                let server = server.clone();
                tasks.spawn(async move {
                    let created = server
                        .engine
                        .create(asking(scope, "bot"), &Silent, &Cancel::new())
                        .await
                        .unwrap();
                    (created.sandbox.sandbox_id, created.reused)
                });
            }
            tasks.join_all().await
        });
        let (ids, new) = told(answers);
        assert_eq!((ids.len(), new), (1, 1), "{scope:?}");
        assert_eq!(lab.world.resources().len(), 1, "{scope:?}");
        runtime.block_on(lab.expect_sound(&server, "many threads ask at once"));
    }
}

#[test]
fn what_has_no_scope_in_common_is_made_for_each() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .unwrap();
    let lab = Lab::new();
    let server = Arc::new(runtime.block_on(lab.start_server()));
    let answers = runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for at in 0..CALLERS {
            let server = server.clone();
            tasks.spawn(async move {
                let mut request = asking(Scope::Session, &format!("bot-{}", at % 8));
                request.max_live = None;
                let created = server.engine.create(request, &Silent, &Cancel::new()).await.unwrap();
                (created.sandbox.sandbox_id, created.reused)
            });
        }
        tasks.join_all().await
    });
    let (ids, new) = told(answers);
    assert_eq!((ids.len(), new), (8, 8));
    runtime.block_on(lab.expect_sound(&server, "many owners"));
}

#[test]
fn tenants_of_the_same_names_do_not_meet() {
    block_on(async {
        let lab = Lab::new();
        let process = lab.start().await;
        let create = async |request: CreateRequest| {
            let created = process.engine.create(request, &Silent, &Cancel::new()).await.unwrap();
            created.sandbox.sandbox_id
        };
        for scope in [Scope::Session, Scope::Agent] {
            let one = create(asking(scope, "one")).await;
            assert_eq!(create(asking(scope, "one")).await, one, "{scope:?}");
            assert_ne!(create(asking(scope, "two")).await, one, "{scope:?}: another owner");
            let mut elsewhere = asking(scope, "one");
            elsewhere.consumer.project = Some("q".to_owned());
            assert_ne!(create(elsewhere).await, one, "{scope:?}: another project");
            // Somebody on the machine is nobody's namesake.
            let here = CreateRequest {
                owner: None,
                ..asking(scope, "")
            };
            assert_ne!(create(here).await, one, "{scope:?}: no owner");
        }
        // Shared is shared, within its project.
        let shared = create(asking(Scope::Shared, "one")).await;
        assert_eq!(create(asking(Scope::Shared, "two")).await, shared);
        let mut elsewhere = asking(Scope::Shared, "one");
        elsewhere.consumer.project = Some("q".to_owned());
        assert_ne!(create(elsewhere).await, shared);
        // Neither do keys of theirs.
        let keyed = |owner: &str| CreateRequest {
            idempotency_key: Some("k".to_owned()),
            scope: Some(Scope::Session),
            consumer: Consumer {
                run_id: None,
                ..asking(Scope::Session, owner).consumer
            },
            ..asking(Scope::Session, owner)
        };
        let one = create(keyed("one")).await;
        assert_eq!(create(keyed("one")).await, one);
        assert_ne!(create(keyed("two")).await, one);
        lab.expect_sound(&process, "namesakes").await;
    });
}
