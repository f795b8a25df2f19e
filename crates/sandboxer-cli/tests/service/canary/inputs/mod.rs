//! Every input that there is, each with a secret of its own.

mod bodies;
mod inside;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::marks::Marks;
use super::{Scene, id, native};
use crate::http::{Ask, HOME, Line, Reply};

/// What was given to be kept, and the places that it is kept in.
#[derive(Default)]
pub(super) struct Given(BTreeMap<String, &'static [&'static str]>);

impl Given {
    pub(super) fn allows(&self, mark: &str, place: &str) -> bool {
        self.0.get(mark).is_some_and(|places| places.contains(&place))
    }

    pub(super) fn is_kept(&self, mark: &str) -> bool {
        self.0.contains_key(mark)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&String, &'static [&'static str])> {
        self.0.iter().map(|(mark, places)| (mark, *places))
    }
}

/// What came of it all.
#[derive(Default)]
pub(super) struct Sent {
    /// What each request was answered.
    pub(super) replies: Vec<(String, Reply)>,
    pub(super) given: Given,
    /// Secrets that the server made, by what they are.
    pub(super) tokens: Vec<(String, String)>,
    /// Sandboxes.
    pub(super) made: Vec<String>,
    /// Operations that the server does not have.
    pub(super) without: Vec<String>,
}

/// Sends.
struct Sender<'a> {
    scene: &'a Scene,
    marks: &'a mut Marks,
    sent: Sent,
}

/// Sends everything.
pub(super) fn send_all(scene: &Scene, marks: &mut Marks) -> Sent {
    let sent = Sent::default();
    let mut sender = Sender { scene, marks, sent };
    sender.heads();
    sender.paths_and_queries();
    sender.bodies();
    sender.kept();
    sender.named();
    sender.secrets_of_the_server();
    sender.inside();
    sender.messages();
    sender.sent
}

/// Where a sandbox's record is, and the rows that lists are read from.
const RECORD: &[&str] = &["sandbox.record"];
/// The first event of a sandbox says for whom it was made.
const RUN: [&str; 6] = [
    "sandbox.record",
    "listing.run_id",
    "sandbox.scope_key",
    "event.record",
    "GET /v1/events",
    "GET events of the sandbox",
];

impl Sender<'_> {
    fn mark(&mut self, name: &str) -> String {
        self.marks.mark(name)
    }

    /// A secret that is to be kept there.
    fn given(&mut self, name: &str, places: &'static [&'static str]) -> String {
        self.sent.given.0.insert(name.to_owned(), places);
        self.marks.mark(name)
    }

    fn send(&mut self, name: &str, ask: Ask) -> Reply {
        let reply = self.scene.ask(ask);
        self.sent.replies.push((name.to_owned(), reply.clone()));
        reply
    }

    fn as_agt(&mut self, name: &str, ask: Ask) -> Reply {
        let key = self.scene.agt.clone();
        self.send(name, ask.key(&key))
    }

    fn as_adm(&mut self, name: &str, ask: Ask) -> Reply {
        let key = self.scene.adm.clone();
        self.send(name, ask.key(&key))
    }

    fn sandbox(&self, rest: &str) -> String {
        format!("/v1/sandboxes/{}{rest}", self.scene.sandbox)
    }

    fn heads(&mut self) {
        for value in [
            "Bearer ",
            "Bearer sbx_live_",
            "Basic ",
            "Bearer sbx_live_00000000_",
            "",
            "Bearer a ",
        ] {
            let name = format!("authorization `{value}…`");
            let mark = self.mark(&name);
            self.send(
                &name,
                Ask::get("/v1/me").header("authorization", &format!("{value}{mark}")),
            );
        }
        for header in [
            "user-agent",
            "cookie",
            "referer",
            "accept",
            "x-forwarded-for",
            "forwarded",
            "origin",
            "if-match",
            "if-none-match",
            "last-event-id",
            "range",
            "content-type",
            "content-encoding",
            "expect",
            "x-anything",
            "accept-encoding",
        ] {
            let name = format!("header `{header}`");
            let mark = self.mark(&name);
            self.as_agt(&name, Ask::get("/v1/sandboxes").header(header, &mark));
            let path = self.sandbox("/ttl");
            let body = json!({ "duration": "1s" });
            self.as_agt(&name, Ask::new("PATCH", &path).header(header, &mark).json(&body));
        }
        // A name for a request is written down; what is none is not.
        let name = "request id that is none";
        let mark = self.mark(name);
        self.as_agt(
            name,
            Ask::new("POST", "/v1/sandboxes").header("x-request-id", &format!("{mark} {mark}")),
        );
        let name = "idempotency key that is none";
        let mark = self.mark(name);
        let path = self.sandbox("/activate");
        self.as_agt(
            name,
            Ask::new("POST", &path).header("idempotency-key", &format!("{mark} {mark}")),
        );
        self.as_agt(
            name,
            Ask::new("POST", "/v1/sandboxes")
                .header("idempotency-key", &format!("{mark} {mark}"))
                .json(&native(json!({}))),
        );
    }

    fn paths_and_queries(&mut self) {
        for (method, path) in [
            ("GET", "/"),
            ("GET", "/v1/"),
            ("DELETE", "/v1/"),
            ("GET", "/v1/sandboxes/"),
            ("DELETE", "/v1/sandboxes/"),
            ("GET", "/v1/operations/"),
            ("GET", "/v1/profiles/"),
            ("GET", "/v1/extensions/"),
            ("GET", "/v1/hosts/"),
            ("DELETE", "/v1/hosts/"),
            ("DELETE", "/v1/webhooks/"),
            ("GET", "/v1/keys/"),
            ("DELETE", "/v1/keys/"),
            ("PUT", "/v1/projects/%01"),
        ] {
            let name = format!("path `{method} {path}…`");
            let mark = self.mark(&name);
            self.as_adm(&name, Ask::new(method, &format!("{path}{mark}")).json(&json!({})));
        }
        for path in [
            "/v1/webhooks/*/test",
            "/v1/keys/*/rotate",
            "/v1/hosts/*/probe",
            "/v1/hosts/*/drain",
            "/v1/hosts/*/activate",
            "/v1/sandboxes/*/recreate",
        ] {
            let name = format!("path `POST {path}`");
            let mark = self.mark(&name);
            self.as_adm(&name, Ask::new("POST", &path.replace('*', &mark)));
        }
        for query in [
            "*=1",
            "state=*",
            "state=ready&state=*",
            "all=*",
            "profile=*",
            "project=*",
            "actor=*",
            "run_id=*",
            "label=*",
            "label=*=*",
            "id_prefix=*",
            "limit=*",
            "cursor=*",
            "limit=1&limit=*",
        ] {
            let name = format!("query of a list `{query}`");
            let mark = self.mark(&name);
            self.as_adm(&name, Ask::get(&format!("/v1/sandboxes?{}", query.replace('*', &mark))));
        }
        for (method, path) in [
            ("POST", "/v1/sandboxes?wait=*"),
            ("POST", "/v1/sandboxes?timeout=*"),
            ("POST", "/v1/sandboxes?*"),
            ("GET", "/v1/events?after=*"),
            ("GET", "/v1/audit?cursor=*"),
            ("GET", "/v1/stale?host=*"),
            ("GET", "/v1/stale?older_than=*"),
            ("POST", "/v1/stale/reap?host=*"),
            ("POST", "/v1/events/redeliver?sink=*"),
            ("POST", "/v1/events/redeliver?sandbox=*"),
            ("POST", "/v1/sandboxes/expire?apply=*"),
            ("GET", "/healthz?*"),
            ("GET", "/docs?*"),
        ] {
            let name = format!("query `{method} {path}`");
            let mark = self.mark(&name);
            self.as_adm(&name, Ask::new(method, &path.replace('*', &mark)).json(&json!({})));
        }
        for path in [
            "/wait?state=*",
            "/wait?timeout=*",
            "/logs?service=*",
            "/logs?tail=*",
            "/files?path=/*",
            "/files?path=../*",
            "/files/list?path=*",
            "/files?*",
        ] {
            let name = format!("query of a sandbox `{path}`");
            let mark = self.mark(&name);
            let path = self.sandbox(&path.replace('*', &mark));
            self.as_agt(&name, Ask::get(&path));
        }
    }
}

fn text_of(value: &Value, member: &str) -> String {
    value[member]
        .as_str()
        .unwrap_or_else(|| panic!("no `{member}` in {value}"))
        .to_owned()
}
