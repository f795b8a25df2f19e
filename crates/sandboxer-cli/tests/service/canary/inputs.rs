//! Every input that there is, each with a secret of its own.

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

    /// Bodies that are refused.
    fn bodies(&mut self) {
        let wrong = [
            "*",
            "\"*\"",
            "[\"*\"]",
            "{\"*\"",
            "{\"*\":",
            "{\"*\": 1}",
            "{\"profile\": \"*\"",
            "{\"profile\": \"*",
            "{} *",
            "{\"profile\": *}",
            "{\"profile\": [\"*\"]}",
            "{\"profile\": {\"*\": \"*\"}}",
            "{\"ttl\": \"*\"}",
            "{\"ttl\": 1, \"*\": 2}",
            "{\"labels\": \"*\"}",
            "{\"labels\": {\"*\": [1]}}",
            "{\"labels\": {\"a\": [\"*\"]}}",
            "{\"labels\": {\"*!\": \"a\"}}",
            "{\"labels\": {\"a\": \"*\\n\"}}",
            "{\"scope\": \"*\"}",
            "{\"consumer\": \"*\"}",
            "{\"consumer\": {\"actor\": \"*\"}}",
            "{\"consumer\": {\"*\": 1}}",
            "{\"consumer\": {\"project\": \"*\"}}",
            "{\"inputs\": [\"*\"]}",
            "{\"inputs\": {\"*\": \"a\"}}",
            "{\"inputs\": {\"repo\": \"*\"}}",
            "{\"inputs\": {\"repo\": \"/*\"}}",
            "{\"inputs\": {\"repo\": \"upload:*\"}}",
            "{\"host\": \"*\"}",
            "{\"profile\": \"*\"}",
            "{\"profile\": \"profile.*\"}",
            "{\"profile\": \"/*.yaml\"}",
            "{\"a\": \"\\u0000*\"}",
            "{\"profile\": \"profile.native\", \"profile\": \"*\"}",
        ];
        for text in wrong {
            let name = format!("body `{text}`");
            let mark = self.mark(&name);
            let body = text.replace('*', &mark);
            for path in ["/v1/sandboxes", "/v1/plans"] {
                self.as_agt(&name, Ask::new("POST", path).bytes("application/json", body.clone()));
            }
        }
        let of_others = [
            ("PATCH", "SANDBOX", "{\"labels\": {\"*!\": \"*\"}}"),
            ("PATCH", "SANDBOX", "{\"labels\": \"*\"}"),
            ("PATCH", "SANDBOX", "{\"*\": 1}"),
            ("PATCH", "SANDBOX/ttl", "{\"duration\": \"*\"}"),
            ("PATCH", "SANDBOX/ttl", "{\"expires_at\": \"*\"}"),
            ("POST", "SANDBOX/exec", "{\"argv\": \"*\"}"),
            ("POST", "SANDBOX/exec", "{\"argv\": [], \"env\": {\"*\": 1}}"),
            ("POST", "SANDBOX/exec", "{\"*\": 1}"),
            (
                "POST",
                "SANDBOX/exec",
                "{\"argv\": [\"true\"], \"env\": {\"*=*\": \"*\"}}",
            ),
            (
                "POST",
                "SANDBOX/exec",
                "{\"argv\": [\"true\"], \"stdin_base64\": \"*\"}",
            ),
            ("POST", "SANDBOX/exec", "{\"argv\": [\"true\"], \"service\": \"*\"}"),
            ("POST", "SANDBOX/exec", "{\"argv\": [\"true\"], \"timeout\": \"*\"}"),
            ("POST", "/v1/keys", "{\"name\": \"* *\", \"role\": \"adm\"}"),
            ("POST", "/v1/keys", "{\"name\": \"a\", \"role\": \"*\"}"),
            (
                "POST",
                "/v1/keys",
                "{\"name\": \"a\", \"role\": \"agt\", \"project\": \"*\\n\"}",
            ),
            (
                "POST",
                "/v1/keys",
                "{\"name\": \"a\", \"role\": \"agt\", \"grants\": [\"*\"]}",
            ),
            ("POST", "/v1/hosts", "{\"name\": \"* *\"}"),
            ("POST", "/v1/hosts", "{\"name\": \"a\", \"address\": \"-o*\"}"),
            ("POST", "/v1/hosts", "{\"name\": \"*\", \"a\": 1}"),
            ("POST", "/v1/webhooks", "{\"url\": \"*\"}"),
            ("POST", "/v1/webhooks", "{\"url\": \"ftp://h/*\"}"),
            ("POST", "/v1/webhooks", "{\"url\": \"https://u:*@h/\"}"),
            ("POST", "/v1/webhooks", "{\"url\": \"http://192.0.2.1/*\"}"),
            (
                "POST",
                "/v1/webhooks",
                "{\"url\": \"https://127.0.0.1/\", \"events\": [\"*\"]}",
            ),
            ("PUT", "/v1/projects/a", "{\"max_live\": \"*\"}"),
            ("POST", "/v1/uploads", "*"),
        ];
        for (method, path, text) in of_others {
            let name = format!("body of {method} {path} `{text}`");
            let mark = self.mark(&name);
            let path = path.replace("SANDBOX", &self.sandbox(""));
            self.as_adm(
                &name,
                Ask::new(method, &path).bytes("application/json", text.replace('*', &mark)),
            );
        }
    }

    /// What is taken, and is part of the record of a sandbox from then on.
    fn kept(&mut self) {
        let label = self.given("value of a label", &["sandbox.record", "label.value"]);
        let key = self.given("key of a label", &["sandbox.record", "label.key"]);
        let run = self.given("run id", &RUN);
        let idempotency = self.given("idempotency key of a create", &["idempotency.key"]);
        let body = native(json!({ "labels": { "a": label, key: "b" }, "consumer": { "run_id": run } }));
        let create = Ask::new("POST", "/v1/sandboxes?wait=ready").header("idempotency-key", &idempotency);
        let made = self.as_agt("create", create.json(&body)).expect(201).json();
        self.sent.made.push(id(&made));

        let label = self.given(
            "value of a changed label",
            &["sandbox.record", "label.value", "request.body"],
        );
        let path = self.sandbox("");
        self.as_agt(
            "label",
            Ask::new("PATCH", &path).json(&json!({ "labels": { "c": label } })),
        )
        .expect(200);

        let input = self.given("directory that is an input", RECORD);
        let dir = self.scene.world.work.join(input);
        std::fs::create_dir(&dir).unwrap();
        let body = native(json!({ "inputs": { "repo": dir.to_str().unwrap() } }));
        let made = self
            .as_adm(
                "create with an input",
                Ask::new("POST", "/v1/sandboxes?wait=ready").json(&body),
            )
            .expect(201)
            .json();
        self.sent.made.push(id(&made));

        let again = self.given("idempotency key of another request", &["request.key"]);
        let path = self.sandbox("/activate");
        self.as_agt("activate", Ask::new("POST", &path).header("idempotency-key", &again))
            .expect(200);
    }

    /// Names of things other than sandboxes.
    fn named(&mut self) {
        let subject = self.given(
            "name of a key",
            &[
                "api_key.record",
                "sandbox.record",
                "listing.owner",
                "audit.name",
                "GET /v1/audit",
            ],
        );
        let body = json!({ "name": subject, "role": "atm", "project": "p" });
        let made = self
            .as_adm("key", Ask::new("POST", "/v1/keys").json(&body))
            .expect(201)
            .json();
        let token = made["token"].as_str().unwrap().to_owned();
        let create = Ask::new("POST", "/v1/sandboxes?wait=ready")
            .key(&token)
            .json(&native(json!({})));
        let made = self.send("create of that key", create).expect(201).json();
        self.sent.made.push(id(&made));
        let project = self.given(
            "name of a project",
            &["project.name", "audit.object", "GET /v1/audit", "the log"],
        );
        self.as_adm(
            "project",
            Ask::new("PUT", &format!("/v1/projects/{project}")).json(&json!({ "max_live": 1 })),
        )
        .expect(200);
        let url = self.given("address of a webhook", &["sink.record"]);
        let body = json!({ "url": format!("http://127.0.0.1:9/{url}"), "events": ["state.*"] });
        let added = self
            .as_adm("webhook", Ask::new("POST", "/v1/webhooks").json(&body))
            .expect(201)
            .json();
        let webhook = format!("/v1/webhooks/{}", text_of(&added, "sink_id"));
        self.as_adm("test of the webhook", Ask::new("POST", &format!("{webhook}/test")));
    }

    /// Keys that the server makes, asked for with and without a name for the request.
    fn secrets_of_the_server(&mut self) {
        let body = json!({ "name": "other", "role": "agt", "project": "p" });
        for name in ["key that was made", "key that was made with an idempotency key"] {
            let mut ask = Ask::new("POST", "/v1/keys");
            if name.ends_with("idempotency key") {
                ask = ask.header("idempotency-key", "k-1");
            }
            let made = self.as_adm(name, ask.json(&body)).expect(201).json();
            self.keep_token(name, &made);
            let rotate = format!("/v1/keys/{}/rotate", text_of(&made, "key_id"));
            let ask = Ask::new("POST", &rotate)
                .header("idempotency-key", "k-2")
                .json(&json!({}));
            let rotated = self.as_adm("rotate", ask).expect(201).json();
            self.keep_token("key that was rotated", &rotated);
            // Whoever revokes a key may give all of it instead of its id.
            let whole = text_of(&rotated, "token");
            self.as_adm("revoke by token", Ask::new("DELETE", &format!("/v1/keys/{whole}")));
            self.as_adm("rotate by token", Ask::new("POST", &format!("/v1/keys/{whole}/rotate")));
        }
        for (name, key) in [
            ("key of an agent", self.scene.agt.clone()),
            ("key of an administrator", self.scene.adm.clone()),
        ] {
            self.keep_token(name, &json!({ "token": key }));
        }
    }

    fn keep_token(&mut self, name: &str, made: &Value) {
        let token = text_of(made, "token");
        let secret = token.rsplit('_').next().unwrap().to_owned();
        assert!(secret.len() >= 32, "{token}");
        self.sent.tokens.push((name.to_owned(), secret));
    }

    /// What is for the inside of a sandbox only.
    fn inside(&mut self) {
        let marks: Vec<String> = ["argv", "name of a variable", "value of a variable", "stdin"]
            .iter()
            .map(|name| self.mark(name))
            .collect();
        let body = json!({
            // It is there for long enough to be looked at.
            "argv": ["sh", "-c", "sleep 1; cat >/dev/null", marks[0]],
            "env": { marks[1].to_uppercase(): "a", "A": marks[2] },
            "stdin": marks[3],
        });
        let exec = self.sandbox("/exec");
        self.may_be_without("exec", Ask::new("POST", &exec).json(&body), 200);
        for (name, member) in [("directory to start in", "cwd"), ("program that is not there", "argv")] {
            let mark = self.mark(name);
            let mut body = json!({ "argv": ["true"] });
            body[member] = if member == "argv" { json!([mark]) } else { json!(mark) };
            self.as_agt(name, Ask::new("POST", &exec).json(&body));
        }
        let (file, content) = (self.mark("name of a file"), self.mark("content of a file"));
        let path = self.sandbox(&format!("/files?path={file}"));
        self.may_be_without(
            "file",
            Ask::new("PUT", &path).bytes("application/octet-stream", content),
            200,
        );
        self.as_agt("read", Ask::get(&path));
        self.as_agt("remove", Ask::new("DELETE", &path));
        for path in ["missing/*", "*\0", "../*", "/*"] {
            let name = format!("file `{path:?}`");
            let mark = self.mark(&name);
            let path = path.replace('*', &mark).replace('\0', "%00");
            let path = self.sandbox(&format!("/files?path={path}"));
            self.as_agt(&name, Ask::get(&path));
            self.as_agt(&name, Ask::new("PUT", &path).bytes("application/octet-stream", "x"));
        }
        let upload = self.mark("upload that is no archive");
        self.as_agt(
            "upload",
            Ask::new("POST", "/v1/uploads").bytes("application/x-tar", upload.repeat(100)),
        );
    }

    fn may_be_without(&mut self, name: &str, ask: Ask, status: u16) {
        let reply = self.as_agt(name, ask);
        if matches!(reply.status, 404 | 405) && !reply.text().contains("file") {
            self.sent.without.push(name.to_owned());
        } else {
            assert!(
                reply.status == status || reply.status == status + 1,
                "{name}: {}{}",
                reply.head,
                reply.text()
            );
        }
    }

    /// A WebSocket: messages that make no sense, and some that do.
    fn messages(&mut self) {
        let path = self.sandbox("/exec");
        let texts = [
            ("message that is no JSON", "*"),
            ("message with a member too many", "{\"argv\": [\"true\"], \"*\": 1}"),
            ("message with the wrong type", "{\"argv\": \"*\"}"),
            (
                "message with a command",
                "{\"argv\": [\"sh\", \"-c\", \"sleep 0.3\", \"*\"], \"env\": {\"A\": \"*\"}}",
            ),
        ];
        for (name, text) in texts {
            let mark = self.mark(name);
            let ask = Ask::get(&path)
                .key(&self.scene.agt)
                .header("connection", "Upgrade")
                .header("upgrade", "websocket")
                .header("sec-websocket-version", "13")
                .header("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==");
            let (to, text) = (self.scene.server.address, text.replace('*', &mark));
            let told = self.scene.runtime.block_on(async {
                let mut line = Line::open(to, HOME).await.unwrap();
                line.write(&ask.wire()).await.unwrap();
                let mut reply = line.read_head().await.unwrap();
                if reply.status == 101 {
                    for text in [text.as_str(), "{\"type\": \"MARK\"}".replace("MARK", &mark).as_str()] {
                        // Who was refused is not listened to any more.
                        let _ = line.write(&frame(text)).await;
                    }
                    reply.body = line.rest().await;
                    // What is shown to the one who sent it must not repeat it either.
                    reply.status = 499;
                }
                reply
            });
            if told.status == 404 || told.status == 405 {
                self.sent.without.push(name.to_owned());
            }
            self.sent.replies.push((name.to_owned(), told));
        }
    }
}

/// A text message of a client, masked with nothing.
fn frame(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap();
    let head = if length < 126 {
        vec![0x81, 0x80 | u8::try_from(length).unwrap()]
    } else {
        [&[0x81, 0xfe], length.to_be_bytes().as_slice()].concat()
    };
    [head, vec![0; 4], text.as_bytes().to_vec()].concat()
}

fn text_of(value: &Value, member: &str) -> String {
    value[member]
        .as_str()
        .unwrap_or_else(|| panic!("no `{member}` in {value}"))
        .to_owned()
}
