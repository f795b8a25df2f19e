//! Secrets for the inside of a sandbox: commands, files, messages.

use super::*;

impl Sender<'_> {
    /// What is for the inside of a sandbox only.
    pub(super) fn inside(&mut self) {
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
    pub(super) fn messages(&mut self) {
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
