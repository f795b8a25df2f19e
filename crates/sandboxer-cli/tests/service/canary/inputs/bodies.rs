//! Secrets in bodies: of what is refused, of what is kept, and of what has a name.

use super::*;

impl Sender<'_> {
    /// Bodies that are refused.
    pub(super) fn bodies(&mut self) {
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
    pub(super) fn kept(&mut self) {
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
    pub(super) fn named(&mut self) {
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
    pub(super) fn secrets_of_the_server(&mut self) {
        let body = json!({ "name": "other", "role": "agt", "project": "p" });
        for (name, of_rotation) in [
            ("key that was made", "k-2"),
            ("key that was made with an idempotency key", "k-3"),
        ] {
            let mut ask = Ask::new("POST", "/v1/keys");
            if name.ends_with("idempotency key") {
                ask = ask.header("idempotency-key", "k-1");
            }
            let made = self.as_adm(name, ask.json(&body)).expect(201).json();
            self.keep_token(name, &made);
            let rotate = format!("/v1/keys/{}/rotate", text_of(&made, "key_id"));
            let ask = Ask::new("POST", &rotate)
                .header("idempotency-key", of_rotation)
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
}
