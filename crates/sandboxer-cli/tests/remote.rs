//! Verbs against a server print what they print on the server's machine, and end with the same code.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by it, and starts the real program"
)]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Stdio};

use support::{Answer, FAREWELL, World, wait_until, wait_within};

/// A server of a world, and a key for it.
struct Server<'a> {
    world: &'a World,
    child: Child,
    address: String,
    /// Every address it listens at.
    listens: Vec<String>,
    key: String,
}

impl Server<'_> {
    fn start(world: &World) -> Server<'_> {
        Server::start_with(world, &[])
    }

    fn start_with<'a>(world: &'a World, more: &[&str]) -> Server<'a> {
        let key = world
            .run(&["keys", "create", "test", "--role", "adm", "--output", "json"])
            .json();
        let mut child = world
            .command(&[&["serve", "--output", "json"], more].concat())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let serving = lines.find_map(|line| line.ok().filter(|line| line.contains(r#""what":"serving""#)));
        let serving: serde_json::Value = serde_json::from_str(&serving.expect("it serves")).unwrap();
        let listens = serving["api"].as_str().unwrap().split(' ').map(str::to_owned).collect();
        // It must not wait for somebody who reads.
        std::thread::spawn(move || lines.for_each(drop));
        Server {
            world,
            child,
            address: format!("unix:{}/api.sock", world.data.display()),
            listens,
            key: key["token"].as_str().unwrap().to_owned(),
        }
    }

    fn env(&self) -> [(&str, &str); 2] {
        [("SANDBOXER_API", &self.address), ("SANDBOXER_API_KEY", &self.key)]
    }

    /// Through the server.
    fn there(&self, args: &[&str]) -> Answer {
        self.world.run_with(args, &self.env())
    }

    /// Through the server, with its output piped.
    fn start_there(&self, args: &[&str]) -> Child {
        self.world
            .command(args)
            .envs(self.env())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Through the server, feeding it `input`.
    fn feed(&self, args: &[&str], input: &[u8]) -> std::process::Output {
        let mut child = self
            .world
            .command(args)
            .envs(self.env())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
        let feeder = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().unwrap();
        feeder.join().unwrap();
        output
    }

    /// Both ways; they must come to the same.
    #[track_caller]
    fn same(&self, args: &[&str], how: How) {
        for output in ["json", "table"] {
            let args = [args, &["--output", output]].concat();
            let (here, there) = (self.world.run(&args), self.there(&args));
            let told = |answer: &Answer| {
                let shown = match how {
                    How::Exactly if output == "json" => answer.stdout.clone(),
                    _ => blurred(&answer.stdout),
                };
                (answer.code, shown, blurred(&answer.stderr))
            };
            assert_eq!(told(&here), told(&there), "{args:?}\nhere: {here:?}\nthere: {there:?}");
        }
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        let _ = std::process::Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        if std::thread::panicking() {
            let _ = self.child.wait();
            return;
        }
        wait_within(FAREWELL, "the server ends", || match self.child.try_wait().unwrap() {
            Some(_) => Ok(()),
            None => Err("it runs".to_owned()),
        });
    }
}

/// How alike two outputs are to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// JSON to the last character; tables but for what a moment changes.
    Exactly,
    /// But for ids, times and figures.
    Roughly,
}

/// The text without ids, figures and times.
fn blurred(text: &str) -> String {
    let mut words = Vec::new();
    for line in text.lines() {
        let mut shown = String::new();
        let mut rest = line.chars().peekable();
        while let Some(c) = rest.next() {
            if c.is_ascii_digit() {
                while rest.next_if(|c| c.is_ascii_digit() || *c == '.').is_some() {}
                shown.push('#');
            } else {
                shown.push(c);
            }
        }
        let line: Vec<String> = shown.split_whitespace().map(without_id).collect();
        words.push(without_minor_unit(&line.join(" ")));
    }
    words.join("\n")
}

fn without_id(word: &str) -> String {
    for prefix in ["sbx-", "op-", "evt-"] {
        if let Some(at) = word.find(prefix) {
            let end = word[at + prefix.len()..].find(|c: char| !c.is_ascii_alphanumeric() && c != '#');
            let end = end.map_or(word.len(), |end| at + prefix.len() + end);
            return format!("{}{prefix}#{}", &word[..at], &word[end..]);
        }
    }
    word.to_owned()
}

/// `#m #s` and `#m` are the same a second later, and so are `in #s` and `due`.
fn without_minor_unit(line: &str) -> String {
    let mut line = line.to_owned();
    for (two, one) in [("#d #h", "#d"), ("#h #m", "#h"), ("#m #s", "#m"), ("in #s", "due")] {
        line = line.replace(two, one);
    }
    line
}

#[test]
fn what_is_looked_at_is_the_same() {
    let world = World::new();
    let server = Server::start(&world);
    let id = world.create(&["--label", "team=blue"]);
    for args in [
        &["list"][..],
        &["list", "--all"],
        &["list", "--label", "team=blue", "--state", "ready"],
        &["list", "--profile", "profile.nope"],
        &["get", &id],
        &["get", &id[..12]],
        &["reachability", "show", &id],
        &["profiles", "list"],
        &["profiles", "show", "profile.native"],
        &["extensions", "list"],
        &["hosts", "list"],
        &["webhooks", "list"],
        &["events", "sinks"],
        &["events", &id],
        &["inspect", "stale"],
        &["reap-stale"],
        &["expire"],
        &["projects", "list"],
        &["projects", "show", "blue"],
        &["wait", &id, "--for", "ready"],
    ] {
        server.same(args, How::Exactly);
    }
    for args in [
        &["explain", id.as_str()][..],
        &["status"],
        &["keys", "list"],
        &["create", "--profile", "profile.native", "--dry-run"],
    ] {
        server.same(args, How::Roughly);
    }
    world.destroy(&id);
}

#[test]
fn what_is_wrong_is_wrong_in_the_same_way() {
    let world = World::new();
    let server = Server::start(&world);
    let id = world.create(&[]);
    for args in [
        &["get", "sbx-7zz"][..],
        &["get", "sbx-7zzzzzzzzzzzzzzzzzzzzzzzzz"],
        &["get", "sb"],
        &["get", "no such"],
        &["explain", "sbx-7zz"],
        &["destroy", "sbx-7zz"],
        &["extend-ttl", "sbx-7zz", "--duration", "1h"],
        &["wait", &id, "--for", "destroyed", "--timeout", "1s"],
        &["wait", &id, "--for", "requested", "--timeout", "1s"],
        &["wait", &id, "--for", "nope"],
        &["create", "--ttl", "0s"],
        &["create", "--profile", "profile.nope"],
        &["create", "--profile", "profile.native", "--ttl", "9999d"],
        &["create", "--profile", "profile.native", "--input", "nope=1"],
        &["label", &id, "x"],
        &["profiles", "show", "profile.nope"],
        &["hosts", "show", "nope"],
        &["hosts", "drain", "nope"],
        &["keys", "create", "x", "--role", "agt"],
        &["keys", "create", "x", "--role", "boss"],
        &[
            "keys",
            "create",
            "x",
            "--role",
            "agt",
            "--project",
            "p",
            "--grant",
            "keys:admin",
        ],
        &["keys", "show", "nope"],
    ] {
        let (here, there) = (world.run(args), server.there(args));
        assert_ne!(here.code, 0, "{args:?}: {here:?}");
        assert_eq!(here.code, there.code, "{args:?}\nhere: {here:?}\nthere: {there:?}");
        assert!(there.stderr.starts_with("error: "), "{there:?}");
    }
    world.destroy(&id);
}

#[test]
fn what_is_made_and_changed_is_the_same() {
    let world = World::new();
    let server = Server::start(&world);
    // Quiet, what works on sandboxes: where that takes long it would say how far it is.
    let create = ["--quiet", "create", "--profile", "profile.native"];
    for more in [&["--label", "a=b", "--ttl", "1h"][..], &["--idempotency-key", "k-1"]] {
        server.same(&[&create[..], more].concat(), How::Roughly);
    }
    let listed = world.run(&["list", "--output", "json"]).json();
    let ids: Vec<&str> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["sandbox_id"].as_str().unwrap())
        .collect();
    // A key of idempotency is one for each subject: there is none here, and `test` there.
    assert_eq!(ids.len(), 6, "four, and two for the key: {ids:?}");
    let id = ids[0];
    for args in [
        &["--quiet", "label", id, "x=1", "a-"][..],
        &["--quiet", "extend-ttl", id, "--until", "2999-01-01T00:00:00Z"],
        &["--quiet", "activate", id],
        &["projects", "set", "blue", "--max-live", "7", "--burst", "9"],
    ] {
        server.same(args, How::Exactly);
    }
    let again = world.create(&[]);
    let args = ["recreate", &again, "--output", "json"];
    let (here, there) = (world.run(&args), server.there(&args));
    assert_eq!((here.code, blurred(&here.stdout)), (there.code, blurred(&there.stdout)));
    world.destroy(&again);
    let gone = server.there(&["destroy", id]).json();
    assert_eq!(
        (gone["state"].as_str(), gone["cleanup"]["verified"].as_str()),
        (Some("destroyed"), Some("absent"))
    );
    server.same(&["--quiet", "destroy", id], How::Exactly);
    let accepted = server
        .there(&["create", "--profile", "profile.native", "--no-wait"])
        .json();
    let late = accepted["sandbox_id"].as_str().unwrap();
    assert_eq!(server.there(&["wait", late, "--for", "ready"]).code, 0);
    for id in ids[1..].iter().copied().chain([late]) {
        assert_eq!(server.there(&["destroy", id]).code, 0);
    }
}

#[test]
fn keys_are_made_used_and_refused() {
    let world = World::new();
    let server = Server::start(&world);
    let made = server
        .there(&[
            "keys",
            "create",
            "bot",
            "--role",
            "agt",
            "--project",
            "blue",
            "--expires-in",
            "1h",
        ])
        .json();
    let (id, token) = (made["key_id"].as_str().unwrap(), made["token"].as_str().unwrap());
    let as_bot = |args: &[&str]| {
        world.run_with(
            args,
            &[("SANDBOXER_API", &server.address), ("SANDBOXER_API_KEY", token)],
        )
    };
    assert_eq!(as_bot(&["whoami"]).json()["project"], "blue");
    let refused = as_bot(&["keys", "list"]);
    assert_eq!(refused.code, 11, "{refused:?}");
    assert_eq!(as_bot(&["hosts", "list"]).code, 11);
    let rotated = server.there(&["keys", "rotate", id, "--overlap", "1h"]).json();
    assert_eq!(rotated["rotated_from"], id);
    assert_eq!(as_bot(&["whoami"]).code, 0, "both are taken for an hour");
    assert_eq!(server.there(&["keys", "revoke", id]).code, 0);
    let revoked = as_bot(&["whoami"]);
    assert_eq!(revoked.code, 11, "{revoked:?}");
    assert!(!revoked.stderr.contains(token) && !revoked.stdout.contains(token));
    let nobody = world.run_with(&["list"], &[("SANDBOXER_API", &server.address)]);
    assert_eq!(nobody.code, 11, "{nobody:?}");
    assert_eq!(server.there(&["audit", "verify"]).json()["intact"], true);
    let rows = server.there(&["audit", "list", "--limit", "2"]).json();
    assert_eq!(rows.as_array().unwrap().len(), 2);
}

#[test]
fn what_is_about_this_machine_stays_here() {
    let world = World::new();
    let nowhere = format!("unix:{}/none.sock", world.path().display());
    for verb in ["serve", "doctor", "completions"] {
        let args = match verb {
            "completions" => vec![verb, "bash", "--api", &nowhere],
            _ => vec![verb, "--api", &nowhere],
        };
        let answer = world.run(&args);
        assert_eq!(answer.code, 2, "{answer:?}");
        assert!(answer.stderr.contains("about this machine"), "{answer:?}");
    }
    let away = world.run_with(&["list"], &[("SANDBOXER_API", &nowhere)]);
    assert_eq!(away.code, 7, "{away:?}");
    assert!(
        away.stderr.contains("sandboxer serve") && away.stdout.is_empty(),
        "{away:?}"
    );
    let open = world.run_with(
        &["list", "--api", "http://192.0.2.1:80"],
        &[("SANDBOXER_API_KEY", "sbx_live_x_secret")],
    );
    assert_eq!(open.code, 3, "{open:?}");
    assert!(!open.stderr.contains("secret"), "{open:?}");
    assert_eq!(world.run(&["whoami"]).code, 2);
    assert!(!world.data.join("sandboxer.db").exists(), "nothing was opened here");
}

#[test]
fn commands_inside_have_their_streams_signals_and_ends() {
    let world = World::new();
    let server = Server::start(&world);
    let id = world.create(&[]);
    for args in [
        &["exec", &id, "--", "sh", "-c", "echo out; echo err >&2; exit 7"][..],
        &[
            "exec",
            &id,
            "--env",
            "A=b c",
            "--cwd",
            "/tmp",
            "--",
            "sh",
            "-c",
            "echo $A; pwd",
        ],
        &["exec", &id, "--", "sh", "-c", "kill -9 $$"],
        &["exec", &id, "--", "no-such-program"],
        &["exec", &id, "--"],
        &["exec", "sbx-7zz", "--", "true"],
        // Quiet: one that takes long would say how far it is.
        &[
            "--quiet",
            "run",
            "--profile",
            "profile.native",
            "--",
            "sh",
            "-c",
            "echo $((6*7)); exit 3",
        ],
        &["run", "--profile", "profile.nope", "--", "true"],
    ] {
        let (here, there) = (world.run(args), server.there(args));
        assert_eq!(
            (here.code, &here.stdout),
            (there.code, &there.stdout),
            "{args:?}: {here:?} {there:?}"
        );
        if here.code < 125 {
            assert_eq!(here.stderr, there.stderr, "{args:?}");
        }
    }
    let detached = server.there(&["exec", "--detach", &id, "--", "true"]);
    assert_eq!(detached.code, 125, "{detached:?}");

    let much: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
    let echoed = server.feed(&["exec", &id, "--", "cat"], &much);
    assert!(echoed.stdout == much, "{} bytes came back", echoed.stdout.len());
    // What is not read is no reason to wait.
    assert_eq!(server.feed(&["exec", &id, "--", "true"], &much).status.code(), Some(0));

    let trap = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done";
    let mut child = server.start_there(&["exec", &id, "--", "sh", "-c", trap]);
    until_said(&mut child, "ready");
    signal(&child, "TERM");
    assert_eq!(support::finish(child).status.code(), Some(9));

    let mut child = server.start_there(&[
        "run",
        "--profile",
        "profile.native",
        "--",
        "sh",
        "-c",
        "echo ready; exec sleep 1000",
    ]);
    until_said(&mut child, "ready");
    signal(&child, "INT");
    assert_eq!(support::finish(child).status.code(), Some(130));

    let stubborn = "trap 'echo no' INT; echo ready; while :; do sleep 0.05; done";
    let mut child = server.start_there(&["run", "--profile", "profile.native", "--", "sh", "-c", stubborn]);
    until_said(&mut child, "ready");
    signal(&child, "INT");
    until_said(&mut child, "no");
    // The second one is for us.
    signal(&child, "INT");
    assert_eq!(support::finish(child).status.code(), Some(130));
    world.destroy(&id);
    let left = world.run(&["list", "--output", "json"]).json();
    assert_eq!(left, serde_json::json!([]), "a run leaves nothing");
}

#[test]
fn what_is_interrupted_before_its_id_is_known_is_undone() {
    let world = World::new();
    let server = Server::start(&world);
    for (number, args) in [
        &["create", "--profile", "profile.native"][..],
        &["run", "--profile", "profile.native", "--", "sleep", "1000"],
    ]
    .into_iter()
    .enumerate()
    {
        let socket = world.path().join(format!("deaf-{number}.sock"));
        let heard = deaf_at_first(&socket, &world.data.join("api.sock"));
        let address = format!("unix:{}", socket.display());
        let child = world
            .command(args)
            .envs([("SANDBOXER_API", address.as_str()), ("SANDBOXER_API_KEY", &server.key)])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        heard.recv_timeout(support::PATIENCE).unwrap();
        wait_until("it is made", || {
            match world
                .run(&["list", "--state", "ready", "--output", "json"])
                .json()
                .as_array()
            {
                Some(made) if made.len() == 1 => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        signal(&child, "INT");
        let ended = support::finish(child);
        assert_eq!(ended.status.code(), Some(130), "{ended:?}");
        assert_eq!(world.run(&["list", "--output", "json"]).json(), serde_json::json!([]));
    }
}

/// A way to a server on which the first request goes through and its answer gets lost. Says when the request is through.
fn deaf_at_first(at: &std::path::Path, to: &std::path::Path) -> std::sync::mpsc::Receiver<()> {
    use std::os::unix::net::{UnixListener, UnixStream};
    let listener = UnixListener::bind(at).unwrap();
    let to = to.to_owned();
    let (tell, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for (number, client) in listener.incoming().map_while(Result::ok).enumerate() {
            let server = UnixStream::connect(&to).unwrap();
            let (mut from, mut into) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            let tell = tell.clone();
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(count @ 1..) = from.read(&mut bytes) {
                    if into.write_all(&bytes[..count]).is_err() {
                        return;
                    }
                    let _ = tell.send(());
                }
            });
            if number == 0 {
                held.push((client, server));
                continue;
            }
            std::thread::spawn(move || {
                let (mut server, mut client) = (server, client);
                let _ = std::io::copy(&mut server, &mut client);
            });
        }
    });
    heard
}

#[test]
fn directories_go_along_without_what_is_ignored() {
    let world = World::new();
    let server = Server::start(&world);
    world.write("repo/a.txt", "hello");
    world.write("repo/sub/b.txt", "there");
    world.write("repo/secret.env", "no");
    world.write("repo/.gitignore", "*.env\n");
    let args = [
        "run",
        "--profile",
        "profile.native",
        "--input",
        "repo=repo",
        "--",
        "sh",
        "-c",
        "cat a.txt sub/b.txt; ls *.env",
    ];
    let there = server.there(&args);
    assert_eq!(there.stdout, "hellothere", "{there:?}");
    let none = server.there(&["create", "--profile", "profile.native", "--input", "repo=none"]);
    assert_eq!(none.code, 3, "{none:?}");
    let file = server.there(&["create", "--profile", "./x.yaml"]);
    assert_eq!(file.code, 6, "{file:?}");
}

#[test]
fn files_are_copied_both_ways() {
    let world = World::new();
    let server = Server::start(&world);
    let id = world.create(&[]);
    world.write("one.txt", "one");
    world.write("tree/x/two.txt", "two");
    let inside = |path: &str| format!("{id}:{path}");
    for (side, name) in [(false, "here"), (true, "there")] {
        let run = |args: &[&str]| if side { server.there(args) } else { world.run(args) };
        let file = format!("in/{name}.txt");
        let written = run(&["cp", "one.txt", &inside(&file)]).json();
        assert_eq!(
            (written["path"].as_str(), written["bytes"].as_u64()),
            (Some(file.as_str()), Some(3))
        );
        assert_eq!(run(&["cp", "one.txt", &inside(&format!("{name}-dir/"))]).code, 0);
        assert_eq!(run(&["cp", &inside(&file), "-"]).stdout, "one");
        let tree = format!("tree-{name}");
        assert_eq!(run(&["cp", "tree", &inside(&tree)]).code, 0);
        let out = format!("out-{name}");
        let back = run(&["cp", &inside(&tree), &out]);
        assert_eq!(back.code, 0, "{back:?}");
        assert_eq!(
            std::fs::read_to_string(world.work.join(&out).join("x/two.txt")).unwrap(),
            "two"
        );
        let missing = run(&["cp", &inside("nope"), "nope"]);
        assert_eq!(missing.code, 4, "{missing:?}");
        assert!(!world.work.join("nope").exists());
        assert_eq!(run(&["cp", &inside("../../etc/passwd"), "x"]).code, 3);
        assert_eq!(run(&["cp", "a", "b"]).code, 2);
    }
    let listed = world.run(&["exec", &id, "--", "sh", "-c", "find . -type f | sort"]);
    assert_eq!(
        listed.stdout.lines().collect::<Vec<_>>(),
        [
            "./here-dir/one.txt",
            "./in/here.txt",
            "./in/there.txt",
            "./there-dir/one.txt",
            "./tree-here/x/two.txt",
            "./tree-there/x/two.txt"
        ]
    );
    world.destroy(&id);
}

#[test]
fn events_are_told_as_they_happen() {
    let world = World::new();
    let server = Server::start(&world);
    let first = world.create(&[]);
    server.same(&["events"], How::Exactly);
    let followers = [
        world.start(&["events", "--follow"]),
        server.start_there(&["events", "--follow"]),
    ];
    // Which moment they begin at is theirs: what happens after a sign of life is told.
    for mut child in followers {
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            while let Some(Ok(line)) = lines.next() {
                let _ = tell.send(line);
            }
        });
        let mut count = 0;
        wait_until("it is told", || {
            // What changes nothing is no event.
            count += 1;
            assert_eq!(world.run(&["label", &first, &format!("count={count}")]).code, 0);
            match told.try_recv() {
                Ok(line) => {
                    let event: serde_json::Value = serde_json::from_str(&line).unwrap();
                    assert_eq!(event["sandbox_id"], first.as_str());
                    Ok(())
                }
                Err(error) => Err(error.to_string()),
            }
        });
        child.kill().unwrap();
        child.wait().unwrap();
    }
    world.destroy(&first);
}

#[test]
fn over_tls_the_authorities_of_a_file_are_trusted_and_no_others() {
    let world = World::new();
    let [cert, key] =
        ["cert", "key"].map(|name| format!("{}/tests/support/tls/{name}.pem", env!("CARGO_MANIFEST_DIR")));
    let server = Server::start_with(
        &world,
        &["--listen", "127.0.0.1:0", "--tls-cert", &cert, "--tls-key", &key],
    );
    let address = server
        .listens
        .iter()
        .find(|address| address.starts_with("https://"))
        .unwrap();
    let id = world.create(&[]);
    let env = [("SANDBOXER_API", address.as_str()), ("SANDBOXER_API_KEY", &server.key)];
    let with = |args: &[&str], ca: &str| world.run_with(args, &[&env[..], &[("SANDBOXER_API_CA", ca)]].concat());
    assert_eq!(with(&["whoami"], &cert).json()["name"], "test");
    let echoed = with(&["exec", &id, "--", "echo", "hello"], &cert);
    assert_eq!((echoed.code, echoed.stdout.as_str()), (0, "hello\n"), "{echoed:?}");
    assert_eq!(with(&["whoami"], &key).code, 3, "a key is no authority");
    let strange = world.run_with(&["whoami"], &env);
    // A machine without any authority says so.
    assert!(matches!(strange.code, 6 | 7), "{strange:?}");
    assert!(
        !strange.stderr.contains("times"),
        "what is not trusted is not tried again: {strange:?}"
    );
    world.destroy(&id);
}

fn until_said(child: &mut Child, word: &str) {
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line.trim_end(), word);
    child.stdout = Some(stdout.into_inner());
}

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    let _ = std::process::Command::new("kill").args(["-s", name, &pid]).status();
}
