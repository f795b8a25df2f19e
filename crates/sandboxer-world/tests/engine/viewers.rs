//! What a caller sees of what there is, who it is, and what it did.

use jiff::SignedDuration;
use sandboxer_api::identity::{Grant, NewKey, RotateKey, SetProject};
use sandboxer_engine::Cancel;
use sandboxer_engine::api::{AuditEntry, CreateRequest, PageFilter, Silent, Viewer};
use sandboxer_extension::Ended;
use sandboxer_model::error::ErrorCode;
use sandboxer_model::id::SandboxId;
use sandboxer_model::lifecycle::State;
use sandboxer_model::profile::Scope;
use sandboxer_model::sandbox::Actor;

use crate::lab::{Lab, Process, block_on, command, span};

async fn made(process: &Process, lab: &Lab, project: &str, owner: &str, scope: Scope) -> SandboxId {
    let mut request = CreateRequest {
        owner: Some(owner.to_owned()),
        scope: Some(scope),
        ..lab.request("profile.fake")
    };
    request.consumer.project = Some(project.to_owned());
    let created = process.engine.create(request, &Silent, &Cancel::new()).await.unwrap();
    created.sandbox.sandbox_id
}

fn viewer(project: Option<&str>, owner: Option<&str>) -> Viewer {
    Viewer {
        project: project.map(str::to_owned),
        owner: owner.map(str::to_owned),
    }
}

#[test]
fn a_viewer_sees_its_own_and_what_is_shared_and_the_rest_is_not_there() {
    block_on(async {
        let lab = Lab::new();
        let process = lab.start().await;
        let own = made(&process, &lab, "p", "bot", Scope::Session).await;
        let others = made(&process, &lab, "p", "cat", Scope::Session).await;
        let shared = made(&process, &lab, "p", "cat", Scope::Shared).await;
        let far = made(&process, &lab, "q", "bot", Scope::Session).await;
        let unknown: SandboxId = "sbx-00000000000000000000000000".parse().unwrap();
        for (who, sees) in [
            (viewer(None, None), vec![&own, &others, &shared, &far]),
            (viewer(Some("p"), None), vec![&own, &others, &shared]),
            (viewer(Some("p"), Some("bot")), vec![&own, &shared]),
            (viewer(Some("q"), Some("cat")), vec![]),
        ] {
            for id in [&own, &others, &shared, &far] {
                let (found, seen) = (process.engine.find(id, &who).await, process.engine.see(id, &who).await);
                assert_eq!(found, seen);
                match found {
                    Ok(found) => {
                        assert!(sees.contains(&id), "{who:?} sees {id}");
                        assert!(found.revision > 0);
                        let is_own = who.owner.is_none() || *id == own;
                        assert_eq!(found.is_own, is_own, "{who:?} {id}");
                    }
                    Err(error) => {
                        assert!(!sees.contains(&id), "{who:?} does not see {id}");
                        // To the last letter what is said of an id that nobody has.
                        let nobodys = process.engine.find(&unknown, &who).await.unwrap_err();
                        let same = nobodys.message.replace(unknown.as_str(), id.as_str());
                        assert_eq!(
                            (error.code, &error.message, &error.hints),
                            (nobodys.code, &same, &nobodys.hints)
                        );
                    }
                }
            }
            let filter = PageFilter {
                limit: 10,
                ..PageFilter::default()
            };
            let (page, more) = process.engine.page(&filter, &who).await.unwrap();
            assert!(!more);
            let listed: Vec<_> = page.iter().rev().map(|one| &one.sandbox_id).collect();
            assert_eq!(listed, sees, "{who:?}");
            let events = process.engine.events_after(0, 1_000, &who).await.unwrap();
            assert!(
                events.iter().all(|one| sees.contains(&&one.event.sandbox_id)),
                "{who:?}"
            );
            assert_eq!(events.is_empty(), sees.is_empty());
        }
        let (all, last) = (
            process
                .engine
                .events_after(0, 1_000, &viewer(None, None))
                .await
                .unwrap(),
            process.engine.last_position().await.unwrap(),
        );
        assert_eq!(last, all.len() as u64);
        let operations = process.store.operations(&own).await.unwrap();
        let operation = process.engine.operation(&operations[0].operation_id).await.unwrap();
        assert_eq!(operation.sandbox_id, own);
    });
}

/// Finding says what is on record, seeing what is true.
#[test]
fn what_was_lost_is_seen_and_not_found() {
    block_on(async {
        let lab = Lab::new();
        let process = lab.start().await;
        let id = made(&process, &lab, "p", "bot", Scope::Session).await;
        lab.world.vanish(&id, Ended::Killed);
        let who = viewer(Some("p"), Some("bot"));
        let found = process.engine.find(&id, &who).await.unwrap();
        assert_eq!(found.sandbox.state, State::Ready);
        let seen = process.engine.see(&id, &who).await.unwrap();
        assert_ne!(seen.sandbox.state, State::Ready);
    });
}

#[test]
fn use_makes_it_active_by_a_command_or_a_word() {
    block_on(async {
        let lab = Lab::new();
        let process = lab.start().await;
        let (one, other) = (lab.make("profile.fake").await, lab.make("profile.fake").await);
        process.engine.exec(one.as_str(), command(&["true"])).await.unwrap();
        let active = process.engine.activate(other.as_str()).await.unwrap();
        assert_eq!(active.state, State::Active);
        assert!(active.active_at.is_some());
        assert_eq!(
            process.engine.activate(other.as_str()).await.unwrap(),
            active,
            "again changes nothing"
        );
        for id in [&one, &other] {
            assert_eq!(lab.stored(&process, id).await.state, State::Active);
            let events = process.engine.events(Some(id.as_str())).await.unwrap();
            assert_eq!(events.iter().filter(|event| event.kind == "state.active").count(), 1);
        }
        process.engine.destroy(one.as_str(), &Silent).await.unwrap();
        let refused = process.engine.activate(one.as_str()).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::WrongState);
        lab.expect_sound(&process, "use").await;
    });
}

fn new_key(role: Actor) -> NewKey {
    NewKey {
        name: "bot".to_owned(),
        role,
        project: (role != Actor::Adm).then(|| "p".to_owned()),
        grants: None,
        expires_in: None,
    }
}

#[test]
fn keys_are_made_used_replaced_and_revoked() {
    block_on(async {
        let lab = Lab::new();
        let process = lab.start().await;
        let engine = &process.engine;
        let made = engine.make_key(&new_key(Actor::Agt), None).await.unwrap();
        let who = engine.authenticate(&made.token).await.unwrap();
        assert_eq!(
            (who.key_id.as_str(), who.name.as_str(), who.role),
            (made.key.key_id.as_str(), "bot", Actor::Agt)
        );
        assert_eq!(who.project.as_deref(), Some("p"));
        assert_eq!(who.grants, Grant::all_of(Actor::Agt));

        let overlap = RotateKey {
            overlap: Some(span("10m")),
        };
        let next = engine
            .rotate_key(&made.key.key_id, &overlap, Some("boss"))
            .await
            .unwrap();
        assert_eq!(next.key.rotated_from.as_ref(), Some(&made.key.key_id));
        assert_eq!(
            (next.key.grants.clone(), next.key.created_by.as_deref()),
            (who.grants, Some("boss"))
        );
        engine.authenticate(&made.token).await.unwrap();
        engine.authenticate(&next.token).await.unwrap();
        lab.clock.advance(std::time::Duration::from_secs(601));
        let over = engine.authenticate(&made.token).await.unwrap_err();
        let unknown = engine
            .authenticate("sbx_live_00000000_00000000000000000000000000000000")
            .await
            .unwrap_err();
        let revoked = {
            engine.revoke_key(&next.key.key_id).await.unwrap();
            engine.authenticate(&next.token).await.unwrap_err()
        };
        let malformed = engine.authenticate("x").await.unwrap_err();
        assert_eq!(over.code, ErrorCode::Unauthenticated);
        assert_eq!(
            [&over, &unknown, &revoked],
            [&malformed; 3],
            "whatever is wrong is said in the same words"
        );

        let refused = engine
            .rotate_key(&next.key.key_id, &RotateKey::default(), None)
            .await
            .unwrap_err();
        assert_eq!(refused.code, ErrorCode::WrongState);
        let when = engine.key(&next.key.key_id).await.unwrap().revoked_at;
        lab.clock.advance(std::time::Duration::from_secs(5));
        assert_eq!(engine.revoke_key(&next.key.key_id).await.unwrap().revoked_at, when);
        assert_eq!(
            engine.revoke_key("zzzzzzzz").await.unwrap_err().code,
            ErrorCode::NotFound
        );
        assert_eq!(engine.keys().await.unwrap().len(), 2);
        // Its secret is nowhere.
        let shown = format!("{:?}", engine.keys().await.unwrap());
        assert!(!shown.contains(&made.token[18..]), "{shown}");
    });
}

#[test]
fn keys_that_cannot_be_are_refused() {
    block_on(async {
        let lab = Lab::new();
        let engine = lab.start().await.engine;
        let base = new_key(Actor::Agt);
        let long = "x".repeat(65);
        for (why, wrong) in [
            (
                "no name",
                NewKey {
                    name: String::new(),
                    ..base.clone()
                },
            ),
            (
                "a name of two words",
                NewKey {
                    name: "a b".to_owned(),
                    ..base.clone()
                },
            ),
            (
                "a long name",
                NewKey {
                    name: long,
                    ..base.clone()
                },
            ),
            (
                "no project",
                NewKey {
                    project: None,
                    ..base.clone()
                },
            ),
            (
                "an empty project",
                NewKey {
                    project: Some(String::new()),
                    ..base.clone()
                },
            ),
            (
                "a project for an administrator",
                NewKey {
                    role: Actor::Adm,
                    ..base.clone()
                },
            ),
            (
                "a grant over its role",
                NewKey {
                    grants: Some(vec![Grant::KeysAdmin]),
                    ..base.clone()
                },
            ),
        ] {
            let refused = engine.make_key(&wrong, None).await.unwrap_err();
            assert_eq!(refused.code, ErrorCode::InvalidInput, "{why}");
        }
        let few = NewKey {
            grants: Some(vec![Grant::SandboxesRead, Grant::SandboxesRead]),
            expires_in: Some(span("1h")),
            ..base
        };
        let made = engine.make_key(&few, None).await.unwrap().key;
        assert_eq!(made.grants, [Grant::SandboxesRead]);
        assert_eq!(made.expires_at, Some(made.created_at + SignedDuration::from_hours(1)));
        for wrong in [(Some(0), None), (None, Some(0))] {
            let set = SetProject {
                creates_per_second: wrong.0,
                burst: wrong.1,
                ..SetProject::default()
            };
            assert_eq!(
                engine.set_project("p", &set).await.unwrap_err().code,
                ErrorCode::InvalidInput
            );
        }
    });
}

#[test]
fn what_was_done_is_on_record() {
    block_on(async {
        let lab = Lab::new();
        let engine = lab.start().await.engine;
        for at in 0..5u16 {
            let entry = AuditEntry {
                action: "sandbox.create".to_owned(),
                status: 200 + at,
                ..AuditEntry::default()
            };
            engine.record(entry).await.unwrap();
        }
        let rows = engine.audit(None, 2).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.status).collect::<Vec<_>>(), [204, 203]);
        let older = engine.audit(Some(rows[1].seq), 10).await.unwrap();
        assert_eq!(older.len(), 3);
        assert!(engine.verify_audit().await.unwrap().intact);
    });
}
