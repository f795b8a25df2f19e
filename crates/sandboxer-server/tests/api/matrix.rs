//! Who may do what, walked from the API document: every operation, every kind of caller, every kind of thing it may be about.
//! An operation that this test has no example for fails it.

use std::collections::BTreeMap;

use sandboxer_api::identity::{Grant, SetProject};
use sandboxer_model::sandbox::Actor;
use sandboxer_server::{openapi, routes};
use serde_json::{Value, json};

use crate::client::Reply;
use crate::server::{Running, id};

/// An id of the right form that nothing has.
const UNKNOWN: &str = "sbx-00000000000000000000000000";

/// A caller and what its key is like.
struct Who {
    name: &'static str,
    token: Option<String>,
    role: Option<Actor>,
    is_valid: bool,
    grants: Vec<Grant>,
}

/// One operation of the document.
struct Operation {
    id: String,
    method: String,
    path: String,
    grant: Option<Grant>,
    is_public: bool,
}

fn operations() -> Vec<Operation> {
    let document = openapi::document(&routes::all());
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let grant = operation["x-grant"].as_str();
            operations.push(Operation {
                id: operation["operationId"].as_str().unwrap().to_owned(),
                method: method.to_ascii_uppercase(),
                path: path.clone(),
                grant: grant.map(|name| Grant::from_name(name).unwrap()),
                is_public: operation["security"].as_array().is_some_and(Vec::is_empty),
            });
        }
    }
    operations
}

/// A body and query that the operation takes; none for what is not known here.
fn example(operation: &str) -> Option<(&'static str, Option<Value>)> {
    let nothing = ("", None);
    Some(match operation {
        "sandbox.create" | "sandbox.plan" => ("", Some(json!({ "profile": "profile.native" }))),
        "sandbox.label" => ("", Some(json!({ "labels": { "a": "b" } }))),
        "sandbox.extend" => ("", Some(json!({ "duration": "1m" }))),
        "sandbox.wait" => ("?timeout=1s&state=ready", None),
        "sandbox.exec" => ("", Some(json!({ "argv": ["true"] }))),
        "file.read" | "file.list" | "file.remove" => ("?path=a", None),
        "file.write" => ("?path=a", Some(Value::Null)),
        "upload.create" => ("", Some(Value::Null)),
        "host.add" => ("", Some(json!({ "name": "h1", "address": "root@127.0.0.1:1" }))),
        "webhook.add" => ("", Some(json!({ "url": "http://127.0.0.1:1/" }))),
        "key.create" => ("", Some(json!({ "name": "n", "role": "agt", "project": "alpha" }))),
        "project.set" => ("", Some(json!({ "max_live": 1000 }))),
        "sandbox.list"
        | "sandbox.expire"
        | "sandbox.get"
        | "sandbox.destroy"
        | "sandbox.recreate"
        | "sandbox.activate"
        | "sandbox.reachability"
        | "sandbox.explain"
        | "sandbox.events"
        | "sandbox.logs"
        | "sandbox.attach"
        | "operation.get"
        | "profile.list"
        | "profile.get"
        | "extension.list"
        | "extension.get"
        | "host.list"
        | "host.inspect"
        | "host.remove"
        | "host.probe"
        | "host.drain"
        | "host.activate"
        | "stale.list"
        | "stale.reap"
        | "sink.list"
        | "sink.redeliver"
        | "webhook.list"
        | "webhook.remove"
        | "webhook.test"
        | "key.whoami"
        | "key.list"
        | "key.get"
        | "key.revoke"
        | "key.rotate"
        | "project.list"
        | "project.get"
        | "audit.list"
        | "audit.verify"
        | "server.status"
        | "server.health"
        | "server.readiness"
        | "server.metrics"
        | "server.document"
        | "server.docs"
        | "server.errors" => nothing,
        "event.stream" => ("?after=0&limit=10", None),
        _ => return None,
    })
}

/// What an operation may do to a sandbox: only to one's own, or also to one that is shared.
fn wants_own(operation: &str) -> bool {
    matches!(operation, "sandbox.destroy" | "sandbox.extend" | "sandbox.recreate")
}

/// Everything of an answer that a caller can tell, but for what differs from one request to the next anyway.
fn told(reply: &Reply) -> (u16, BTreeMap<String, String>, Vec<u8>) {
    let headers = reply
        .headers
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "date" | "x-request-id" | "ratelimit-remaining"))
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    (reply.status, headers, reply.bytes.clone())
}

struct Matrix {
    server: Running,
    cells: usize,
    wrong: Vec<String>,
}

impl Matrix {
    async fn ask(&self, operation: &Operation, path: &str, token: Option<&str>) -> Reply {
        let (query, body) = example(&operation.id).unwrap_or_else(|| panic!("no example for {}", operation.id));
        let mut ask = self.server.ask(&operation.method, &format!("{path}{query}"));
        if operation.id == "event.stream" {
            ask = ask.header("accept", "application/json");
        }
        if operation.id == "sandbox.attach" {
            for (name, value) in [
                ("connection", "upgrade"),
                ("upgrade", "websocket"),
                ("sec-websocket-version", "13"),
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ] {
                ask = ask.header(name, value);
            }
        }
        if let Some(token) = token {
            ask = ask.key(token);
        }
        ask = match body {
            Some(Value::Null) if operation.id == "upload.create" => ask.bytes("application/x-tar", &[0; 1024]),
            Some(Value::Null) => ask.bytes("application/octet-stream", b"data"),
            Some(body) => ask.json(&body),
            None => ask,
        };
        ask.send().await
    }

    fn cell(&mut self, operation: &Operation, who: &str, what: &str, is_right: bool, reply: &Reply) {
        self.cells += 1;
        if !is_right {
            let text: String = reply.text().chars().take(160).collect();
            self.wrong
                .push(format!("{} by {who} on {what}: {} {text}", operation.id, reply.status));
        }
        if reply.status >= 500 {
            self.wrong
                .push(format!("{} by {who} on {what}: {}", operation.id, reply.status));
        }
    }

    /// A new sandbox of this caller, since operations may end it.
    async fn fresh(&self, token: &str, is_shared: bool, run: usize) -> String {
        // A shared one is the same for all of a profile and project, and whoever made it owns it.
        let scope = if is_shared { "shared" } else { "session" };
        let body = json!({ "scope": scope, "consumer": { "run_id": format!("run-{run}") } });
        id(&self.server.make(token, body).await)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_asks_who_calls_and_shows_nobody_what_is_not_theirs() {
    let server = Running::start().await;
    for project in ["alpha", "beta"] {
        let plenty = SetProject {
            max_live: Some(100_000),
            creates_per_second: Some(100_000),
            burst: Some(100_000),
        };
        server.engine.set_project(project, &plenty).await.unwrap();
    }
    let (alpha, beta) = (Some("alpha"), Some("beta"));
    let agt = server.key("one", Actor::Agt, alpha, None).await;
    let other = server.key("two", Actor::Agt, alpha, None).await;
    let atm = server.key("auto", Actor::Atm, alpha, None).await;
    let foreign_agt = server.key("one", Actor::Agt, beta, None).await;
    let foreign_atm = server.key("auto", Actor::Atm, beta, None).await;
    let bare = server.key("bare", Actor::Agt, alpha, Some(vec![])).await;
    let revoked = server.key("gone", Actor::Adm, None, None).await;
    let key_id = revoked.split('_').nth(2).unwrap();
    server.engine.revoke_key(key_id).await.unwrap();
    let adm = server.adm.clone();
    let valid = |name, token: &str, role, grants| Who {
        name,
        token: Some(token.to_owned()),
        role: Some(role),
        is_valid: true,
        grants,
    };
    let invalid = |name, token: Option<String>| Who {
        name,
        token,
        role: None,
        is_valid: false,
        grants: vec![],
    };
    let callers = [
        valid("adm", &adm, Actor::Adm, Grant::all_of(Actor::Adm)),
        valid("atm", &atm, Actor::Atm, Grant::all_of(Actor::Atm)),
        valid("agt", &agt, Actor::Agt, Grant::all_of(Actor::Agt)),
        valid("another agt", &other, Actor::Agt, Grant::all_of(Actor::Agt)),
        valid(
            "agt of another project",
            &foreign_agt,
            Actor::Agt,
            Grant::all_of(Actor::Agt),
        ),
        valid(
            "atm of another project",
            &foreign_atm,
            Actor::Atm,
            Grant::all_of(Actor::Atm),
        ),
        valid("agt without grants", &bare, Actor::Agt, vec![]),
        invalid("nobody", None),
        invalid("revoked", Some(revoked.clone())),
        invalid("wrong secret", Some(format!("{}x", &agt[..agt.len() - 1]))),
        invalid("garbage", Some("sbx_live_".to_owned())),
    ];
    let mut matrix = Matrix {
        server,
        cells: 0,
        wrong: Vec::new(),
    };
    let mut run = 0;
    for operation in operations() {
        for who in &callers {
            let token = who.token.as_deref();
            let has_grant = operation.grant.is_none_or(|grant| who.grants.contains(&grant));
            let on_sandbox = operation.path.starts_with("/v1/sandboxes/{id}");
            if !on_sandbox {
                let path = operation
                    .path
                    .replace("/v1/operations/{id}", "/v1/operations/op-00000000000000000000000000")
                    .replace("{name}", "nohost")
                    .replace("{project}", "alpha")
                    .replace("{id}", "none");
                let reply = matrix.ask(&operation, &path, token).await;
                let is_right = match (operation.is_public, who.is_valid, has_grant) {
                    (true, ..) => reply.status < 400,
                    (_, false, _) => reply.status == 401 && reply.header("www-authenticate").is_some(),
                    (_, true, false) => reply.status == 403,
                    (_, true, true) => {
                        !matches!(reply.status, 401) && (reply.status != 403 || operation.id == "sandbox.expire")
                    }
                };
                matrix.cell(&operation, who.name, "-", is_right, &reply);
                continue;
            }
            // The same for what does not exist and for what others have.
            let unknown = matrix
                .ask(&operation, &operation.path.replace("{id}", UNKNOWN), token)
                .await;
            let hidden = match (who.is_valid, has_grant) {
                (false, _) => 401,
                (true, false) => 403,
                (true, true) => 404,
            };
            matrix.cell(&operation, who.name, "unknown", unknown.status == hidden, &unknown);
            for (what, owner, is_shared) in [
                ("one's", &agt, false),
                ("shared", &agt, true),
                ("foreign", &foreign_agt, false),
            ] {
                run += 1;
                let sandbox = matrix.fresh(owner, is_shared, run).await;
                let reply = matrix
                    .ask(&operation, &operation.path.replace("{id}", &sandbox), token)
                    .await;
                let sees = match (who.name, what) {
                    ("adm", _) => true,
                    ("atm" | "agt", "foreign") => false,
                    ("atm" | "agt", _) | ("another agt", "shared") => true,
                    ("agt of another project" | "atm of another project", "foreign") => true,
                    _ => false,
                };
                let is_right = if !who.is_valid {
                    reply.status == 401 && told(&reply) == told(&unknown)
                } else if !has_grant {
                    reply.status == 403 && told(&reply) == told(&unknown)
                } else if !sees {
                    told(&reply) == told(&unknown)
                } else if wants_own(&operation.id) && who.name == "another agt" {
                    reply.status == 403
                } else {
                    !matches!(reply.status, 401 | 403) && (reply.status != 404 || operation.id.starts_with("file."))
                };
                assert!(who.role.is_some() || !who.is_valid);
                matrix.cell(&operation, who.name, what, is_right, &reply);
                let path = format!("/v1/sandboxes/{sandbox}");
                matrix.server.ask("DELETE", &path).key(&adm).send().await.expect(200);
            }
        }
    }
    println!("{} cells, {} wrong", matrix.cells, matrix.wrong.len());
    assert!(matrix.wrong.is_empty(), "{}", matrix.wrong.join("\n"));
    assert!(matrix.cells >= 400, "only {} cells", matrix.cells);
}
