//! What a caller from elsewhere may name: profiles of the catalog, registered hosts, directories that a server resolved; and
//! how many sandboxes its project may have.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;

use sandboxer_engine::Cancel;
use sandboxer_engine::api::{Caller, CreateRequest, SetProject, Silent};
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::lifecycle::State;
use sandboxer_model::sandbox::{Actor, Consumer};
use sandboxer_store::Begun;

use crate::lab::{Lab, Process, block_on};

fn tenant(profile: &str) -> CreateRequest {
    CreateRequest {
        profile: Some(profile.to_owned()),
        consumer: Consumer {
            actor: Actor::Agt,
            project: Some("p".to_owned()),
            run_id: None,
        },
        owner: Some("bot".to_owned()),
        caller: Caller::Tenant,
        ..CreateRequest::default()
    }
}

fn with_profile(lab: &Lab, name: &str, text: &str) {
    let path = lab.dir.path().join(format!("{name}.yaml"));
    std::fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
}

async fn refusal(process: &Process, request: &CreateRequest) -> UserError {
    let refused = process.engine.plan(request).await.unwrap_err();
    let same = process.engine.create(request.clone(), &Silent, &Cancel::new()).await;
    assert_eq!(same.unwrap_err(), refused, "the plan says what the create does");
    refused
}

#[test]
fn profiles_are_named_and_never_paths() {
    block_on(async {
        let lab = Lab::new();
        let process = lab.start().await;
        process.engine.plan(&tenant("profile.fake")).await.unwrap();
        for path in ["./profile.fake.yaml", "/etc/passwd", "../x", "profile.fake.yaml", "a/b"] {
            let mut request = tenant(path);
            request.working_dir = lab.dir.path().to_owned();
            let refused = refusal(&process, &request).await;
            assert_eq!(refused.code, ErrorCode::InvalidInput, "{path}: {refused}");
        }
        // What lies in a repository around the server's own directory is not the operator's.
        let own = lab.dir.path().join("repository/.sandboxer/profiles");
        std::fs::create_dir_all(&own).unwrap();
        with_profile(
            &lab,
            "repository/.sandboxer/profiles/profile.near",
            "id: profile.near\nextension: ext.fake\n",
        );
        let mut request = tenant("profile.near");
        request.working_dir = lab.dir.path().join("repository");
        assert_eq!(refusal(&process, &request).await.code, ErrorCode::NotFound);
        request.caller = Caller::Operator;
        process.engine.plan(&request).await.unwrap();
    });
}

#[test]
fn directories_are_those_that_a_server_resolved() {
    block_on(async {
        let lab = Lab::new();
        let text = "id: profile.repo\nextension: ext.fake\ninputs:\n  repo: { type: directory, required: false }\n  \
                    word: { type: string, required: false }\n";
        with_profile(&lab, "profile.repo", text);
        let process = lab.start().await;
        let home = lab.dir.path().to_str().unwrap().to_owned();
        let mut request = tenant("profile.repo");
        request.inputs = BTreeMap::from([("repo".to_owned(), home.clone())]);
        let refused = refusal(&process, &request).await;
        assert_eq!(refused.code, ErrorCode::InvalidInput);
        assert!(!refused.to_string().contains(&home), "{refused}");

        request.inputs = BTreeMap::from([("word".to_owned(), home.clone())]);
        request.directories = BTreeMap::from([("repo".to_owned(), lab.dir.path().to_owned())]);
        let plan = process.engine.plan(&request).await.unwrap();
        assert_eq!(
            plan.inputs["repo"],
            lab.dir.path().canonicalize().unwrap().to_str().unwrap()
        );

        request.directories = BTreeMap::from([("word".to_owned(), PathBuf::from("/"))]);
        assert_eq!(refusal(&process, &request).await.code, ErrorCode::InvalidInput);
        request.directories = BTreeMap::from([("repo".to_owned(), PathBuf::from("/nowhere/at/all"))]);
        assert_eq!(refusal(&process, &request).await.code, ErrorCode::InvalidInput);

        // What the operator wrote into the profile is the operator's word.
        let text =
            format!("id: profile.own\nextension: ext.fake\ninputs:\n  repo: {{ type: directory, default: {home} }}\n");
        with_profile(&lab, "profile.own", &text);
        process.engine.plan(&tenant("profile.own")).await.unwrap();
    });
}

#[test]
fn hosts_are_those_that_are_registered() {
    block_on(async {
        let lab = Lab::hosted();
        let process = lab.start().await;
        let on = |host: &str| CreateRequest {
            host: Some(host.to_owned()),
            ..tenant("profile.fake")
        };
        process.engine.plan(&on("alpha")).await.unwrap();
        for host in ["root@elsewhere.example", "local", "-oProxyCommand=x"] {
            let refused = refusal(&process, &on(host)).await;
            assert_eq!(refused.code, ErrorCode::InvalidInput, "{host}: {refused}");
        }
        let here = CreateRequest {
            caller: Caller::Operator,
            ..on("root@elsewhere.example")
        };
        process.engine.plan(&here).await.unwrap();
    });
}

#[test]
fn machines_that_inputs_name_are_registered_or_the_operators() {
    block_on(async {
        let mut lab = Lab::new();
        lab.add_host("alpha", None);
        let text =
            "id: profile.machine\nextension: ext.fake\ninputs:\n  machine: { type: string, default: mine.example }\n";
        with_profile(&lab, "profile.machine", text);
        let process = lab.start().await;
        let at = |machine: Option<&str>| {
            let mut request = tenant("profile.machine");
            request
                .inputs
                .extend(machine.map(|name| ("machine".to_owned(), name.to_owned())));
            request
        };
        for allowed in [None, Some("mine.example"), Some("alpha")] {
            process.engine.plan(&at(allowed)).await.unwrap();
        }
        let refused = refusal(&process, &at(Some("victim.example"))).await;
        assert_eq!(refused.code, ErrorCode::InvalidInput, "{refused}");
        let here = CreateRequest {
            caller: Caller::Operator,
            ..at(Some("victim.example"))
        };
        process.engine.plan(&here).await.unwrap();
    });
}

#[test]
fn a_project_has_no_more_than_it_may_however_many_ask_at_once() {
    block_on(async {
        let lab = Lab::new();
        let process = lab.start().await;
        let limited = || CreateRequest {
            max_live: Some(3),
            ..tenant("profile.fake")
        };
        let cancel = Cancel::new();
        let (mut made, mut refused) = (Vec::new(), 0);
        let ask = || process.engine.create(limited(), &Silent, &cancel);
        for answers in [
            tokio::join!(ask(), ask(), ask(), ask()),
            tokio::join!(ask(), ask(), ask(), ask()),
        ] {
            for answer in [answers.0, answers.1, answers.2, answers.3] {
                match answer {
                    Ok(created) => made.push(created.sandbox.sandbox_id),
                    Err(error) => {
                        assert_eq!(error.code, ErrorCode::QuotaExceeded, "{error}");
                        assert!(!error.hints.is_empty());
                        refused += 1;
                    }
                }
            }
        }
        assert_eq!((made.len(), refused), (3, 5));
        assert_eq!(process.engine.project("p").await.unwrap().live, 3);
        let refusal = process.engine.accept(limited()).await.unwrap_err();
        assert_eq!(refusal.code, ErrorCode::QuotaExceeded);

        process.engine.destroy(made[0].as_str(), &Silent).await.unwrap();
        let again = ask().await.unwrap().sandbox.sandbox_id;
        // Nor is what was destroyed made again over it.
        let set = SetProject {
            max_live: Some(3),
            ..SetProject::default()
        };
        process.engine.set_project("p", &set).await.unwrap();
        let refused = process.engine.recreate(made[0].as_str(), &Silent, &cancel).await;
        assert_eq!(refused.unwrap_err().code, ErrorCode::QuotaExceeded);
        assert_eq!(lab.stored(&process, &made[0]).await.state, State::Destroyed);
        process.engine.destroy(again.as_str(), &Silent).await.unwrap();
        process
            .engine
            .recreate(made[0].as_str(), &Silent, &cancel)
            .await
            .unwrap();
        lab.expect_sound(&process, "quota").await;
    });
}

#[test]
fn what_is_there_already_takes_no_place() {
    block_on(async {
        let lab = Lab::new();
        let process = lab.start().await;
        let limited = |key: Option<&str>| CreateRequest {
            max_live: Some(1),
            idempotency_key: key.map(str::to_owned),
            ..tenant("profile.shared")
        };
        let first = process
            .engine
            .create(limited(Some("k")), &Silent, &Cancel::new())
            .await
            .unwrap();
        for key in [Some("k"), Some("other"), None] {
            let again = process
                .engine
                .create(limited(key), &Silent, &Cancel::new())
                .await
                .unwrap();
            assert_eq!((again.reused, again.replayed), (key != Some("k"), key == Some("k")));
            assert_eq!(again.sandbox.sandbox_id, first.sandbox.sandbox_id);
        }
        lab.expect_sound(&process, "reuse").await;
    });
}

#[test]
fn a_request_of_a_dead_process_is_in_doubt() {
    block_on(async {
        let lab = Lab::new();
        let (first, second) = (lab.start().await, lab.start().await);
        let asked = sandboxer_engine::api::RequestKey {
            key: "k".to_owned(),
            digest: "d".to_owned(),
        };
        assert_eq!(first.engine.begin_request(&asked).await.unwrap(), Begun::New);
        for process in [&first, &second] {
            assert_eq!(process.engine.begin_request(&asked).await.unwrap(), Begun::InFlight);
        }
        first.die();
        assert_eq!(second.engine.begin_request(&asked).await.unwrap(), Begun::InDoubt);
    });
}
