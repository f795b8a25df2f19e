//! One caller misbehaves in every way that costs nothing, and another does not notice: the limits hold, each is answered with its
//! code, and afterwards the server holds no more than before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::attack::{Answers, Attack, FROM, drip, endless, say};
use crate::http::{Ask, Line, runtime_elsewhere};
use crate::server::{Holds, Server, key, may_open, unbound};
use crate::support::{World, skip, wait_until};
use crate::victim::{Figures, Victim};

/// Connections that one address tries to have; it may have 2048.
const CROWD: usize = 10_000;
/// Of those, how many come at once.
const AT_ONCE: usize = 8;
/// From one such group to the next: with no pause, the machine would be busy with the crowd itself.
const BETWEEN: Duration = Duration::from_millis(12);
/// How long a server may keep one that says nothing, and some.
const HELD: Duration = Duration::from_secs(20);
/// A connection that the kernel let its peer believe in when too many wanted one, and that no server ever had.
const UNHEARD: &str = "unheard";
/// How a connection ends whose place was taken.
const LATE: [&str; 4] = ["503", "unexpected end of file", "connection reset", "broken pipe"];
/// How long one of a crowd may take from wanting a connection to having said what it has to say.
const OWN_TIME: Duration = Duration::from_secs(3);
/// One whose connection came to nothing, and who took longer than that: nobody waits for whom the machine has held up.
const HELD_UP: &str = "held up";
/// Connections whose requests never end.
const SLOW: usize = 500;
/// Streams that one project may follow at once.
const STREAMS: usize = 50;
/// Sandboxes on a page.
const ON_A_PAGE: usize = 10;
/// Who asks for them at once.
const READERS: usize = 8;
/// Sandboxes on record of the one who asks for them.
const RECORDS: usize = 24;
/// Files that this process needs for all that.
const FILES: u64 = 16_384;
/// What a server may hold more than before: threads that still wait for work, memory that is not given back.
const MORE: Holds = Holds {
    files: 16,
    threads: 64,
    resident_kib: 64 * 1024,
};

struct Scene {
    world: World,
    server: Server,
    bad: String,
    victim: Victim,
    /// A server that is left alone, and somebody who uses it.
    beside: (World, Server, Victim),
    runtime: tokio::runtime::Runtime,
    before: Holds,
}

impl Scene {
    fn new() -> Scene {
        let world = World::new();
        let runtime = runtime_elsewhere();
        let (good, bad) = (
            key(&world, "good", "agt", Some("a")),
            key(&world, "bad", "agt", Some("b")),
        );
        let server = Server::start(&world, &[]);
        let victim = user_of(&server, good, &runtime);
        let elsewhere = World::new();
        let token = key(&elsewhere, "good", "agt", Some("a"));
        let left_alone = Server::start(&elsewhere, &[]);
        let bystander = user_of(&left_alone, token, &runtime);
        // What is made once is made by now.
        runtime.block_on(async { tokio::join!(victim.measure(), bystander.measure()) });
        let before = server.holds();
        Scene {
            world,
            server,
            bad,
            victim,
            beside: (elsewhere, left_alone, bystander),
            runtime,
            before,
        }
    }

    /// The victim's figures without and with an attack, and what the attackers were answered.
    fn under(&self, what: &str, begin: impl FnOnce() -> Attack) -> BTreeMap<String, usize> {
        self.runtime.block_on(async {
            let before = self.victim.measure().await;
            let attack = begin();
            self.victim.compare(what, before, &self.beside.2).await;
            let answers = attack.stop().await.all();
            eprintln!("{what}: {answers:?}");
            answers
        })
    }

    /// The victim's figures while a crowd connects from one address, none of whom hangs up, and what the crowd was answered. From
    /// the same address, somebody who has something to ask is let in and answered each time. Each of the crowd is told when it wanted
    /// its connection.
    fn crowd<F>(
        &self,
        before: Figures,
        what: &str,
        behave: impl Fn(Line, Instant, Answers) -> F + Clone + Send + 'static,
    ) -> BTreeMap<String, usize>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let to = self.server.address;
        self.runtime.block_on(async {
            let answers = Answers::default();
            let mut crowd = JoinSet::new();
            let (counted, behave) = (answers.clone(), behave);
            crowd.spawn(async move {
                let mut inside = JoinSet::new();
                let mut ticks = tokio::time::interval(BETWEEN);
                for number in 0..CROWD {
                    if number % AT_ONCE == 0 {
                        ticks.tick().await;
                    }
                    let (answers, behave) = (counted.clone(), behave.clone());
                    inside.spawn(async move {
                        let wanted = Instant::now();
                        let line = Line::open(to, FROM).await.unwrap();
                        behave(line, wanted, answers).await;
                    });
                }
                while let Some(one) = inside.join_next().await {
                    one.unwrap();
                }
            });
            self.victim.compare(what, before, &self.beside.2).await;
            let mut let_in = 0;
            let came = loop {
                if let Some(came) = crowd.try_join_next() {
                    break came;
                }
                let status = self.victim.knock(FROM).await;
                assert_eq!(status, 200, "{what}: after {let_in} connections");
                let_in += 1;
            };
            came.unwrap();
            assert!(let_in > 0, "{what}: the crowd was through before anybody else came");
            let answers = answers.all();
            eprintln!("{what}: {answers:?}; {let_in} connections from the same address were answered");
            assert_eq!(answers.values().sum::<usize>(), CROWD, "{answers:?}");
            let held_up = answers.get(HELD_UP).copied().unwrap_or(0);
            assert!(held_up <= CROWD / 4, "{answers:?}");
            answers
        })
    }

    /// The server is as before, and so is the victim's sandbox.
    fn end(self) {
        let (before, server) = (self.before, &self.server);
        let after = wait_until("it holds no more than before", || {
            let now = server.holds();
            let is_less = now.files <= before.files + MORE.files
                && now.threads <= before.threads + MORE.threads
                && now.resident_kib <= before.resident_kib + MORE.resident_kib;
            if is_less {
                Ok(now)
            } else {
                Err(format!("{now:?}; before: {before:?}"))
            }
        });
        eprintln!("before: {before:?}; after: {after:?}");
        let (elsewhere, left_alone, bystander) = self.beside;
        for (server, user) in [(server, &self.victim), (&left_alone, &bystander)] {
            let gone = Ask::new("DELETE", &format!("/v1/sandboxes/{}", user.sandbox)).key(&user.token);
            let receipt = self.runtime.block_on(server.ask(&gone)).expect(200).json();
            assert_eq!(receipt["state"], "destroyed", "{receipt}");
        }
        left_alone.stop();
        drop(elsewhere);
        let lines = self.server.says();
        assert!(!lines.contains("\"level\":\"error\""), "{lines}");
        self.server.stop();
        drop(self.world);
    }
}

/// Somebody with a sandbox.
fn user_of(server: &Server, token: String, runtime: &tokio::runtime::Runtime) -> Victim {
    let ask = Ask::new("POST", "/v1/sandboxes?wait=ready").key(&token);
    let made = runtime.block_on(server.ask(&ask.json(&json!({ "profile": "profile.native" }))));
    Victim {
        to: server.address,
        sandbox: made.expect(201).json()["sandbox_id"].as_str().unwrap().to_owned(),
        token,
    }
}

/// Nothing but these was answered, and the first of them.
fn only(answers: &BTreeMap<String, usize>, allowed: &[&str]) {
    assert!(answers.contains_key(allowed[0]), "no {} in {answers:?}", allowed[0]);
    for answer in answers.keys() {
        assert!(allowed.contains(&answer.as_str()), "{answer} in {answers:?}");
    }
}

#[test]
fn requests_that_are_too_large_too_packed_or_never_end() {
    let scene = Scene::new();
    let (to, post) = (scene.server.address, Ask::new("POST", "/v1/sandboxes").key(&scene.bad));

    let large = post
        .clone()
        .bytes("application/json", vec![b' '; 1024 * 1024 + 1])
        .wire();
    let large = Arc::new(large);
    let answers = scene.under("bodies of 1 MiB and one byte", || {
        Attack::start(8, move |answers| {
            let large = Arc::clone(&large);
            async move { say(to, &large, &answers).await }
        })
    });
    only(&answers, &["413", "429"]);

    let token = scene.bad.clone();
    let answers = scene.under("bodies that never end", || {
        Attack::start(4, move |answers| endless(to, token.clone(), answers))
    });
    only(&answers, &["413", "429"]);

    let packed = post
        .header("content-encoding", "gzip")
        .bytes("application/json", packed());
    let answers = scene.under("packed bodies", || {
        Attack::start(16, move |answers| {
            let wire = packed.wire();
            async move { say(to, &wire, &answers).await }
        })
    });
    only(&answers, &["415", "429"]);

    let head = Ask::get("/v1/sandboxes").header("x-large", &"b".repeat(64 * 1024));
    let answers = scene.under("large heads", || {
        Attack::start(16, move |answers| {
            let wire = head.wire();
            async move { say(to, &wire, &answers).await }
        })
    });
    only(&answers, &["431"]);

    let stranger = "sbx_live_00000000_00000000000000000000000000000000".to_owned();
    let answers = scene.under("bodies that never end, of strangers", || {
        Attack::start(4, move |answers| endless(to, stranger.clone(), answers))
    });
    only(&answers, &["401"]);
    scene.end();
}

/// 64 KiB that would be 64 MiB: the head of a gzip file, and stored nonsense; nobody is to look inside.
fn packed() -> Vec<u8> {
    let mut bytes = b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec();
    bytes.resize(64 * 1024, 0);
    bytes
}

#[test]
fn connections_that_send_slowly_or_nothing() {
    if let Err(files) = may_open(FILES) {
        return skip(
            "connections_that_send_slowly_or_nothing",
            &format!("only {files} files may be open"),
        );
    }
    let scene = Scene::new();
    let to = scene.server.address;
    let answers = scene.under("heads that never end", || {
        Attack::start(SLOW, move |answers| drip(to, answers))
    });
    only(&answers, &["closed", "408"]);
    assert!(answers.values().sum::<usize>() >= SLOW, "{answers:?}");

    let before = scene.runtime.block_on(scene.victim.measure());
    let answers = scene.crowd(before, "idle connections", |mut line, wanted, answers| async move {
        let is_held_up = wanted.elapsed() >= OWN_TIME;
        match tokio::time::timeout(HELD, line.rest()).await {
            Ok(bytes) if bytes.starts_with(b"HTTP/1.1 503") => answers.add("503"),
            Ok(bytes) if bytes.is_empty() => answers.add("closed"),
            Ok(bytes) => answers.add(String::from_utf8_lossy(&bytes)),
            Err(_) if is_held_up => answers.add(HELD_UP),
            Err(_) => answers.add(UNHEARD),
        }
    });
    only(&answers, &["closed", "503", UNHEARD, HELD_UP]);
    assert!(answers.get(UNHEARD).copied().unwrap_or(0) <= CROWD / 20, "{answers:?}");
    scene.end();
}

#[test]
fn one_who_reads_lists_all_the_time() {
    let scene = Scene::new();
    unbound(&scene.world, "b");
    let to = scene.server.address;
    scene.runtime.block_on(async {
        let make = Ask::new("POST", "/v1/sandboxes?wait=ready")
            .key(&scene.bad)
            .json(&json!({ "profile": "profile.native", "labels": { "much": "x".repeat(60) } }));
        for _ in 0..RECORDS {
            let made = scene.server.ask(&make).await.expect(201).json();
            let gone = format!("/v1/sandboxes/{}", made["sandbox_id"].as_str().unwrap());
            scene
                .server
                .ask(&Ask::new("DELETE", &gone).key(&scene.bad))
                .await
                .expect(200);
        }
    });
    let ask = Ask::get(&format!("/v1/sandboxes?all=true&limit={ON_A_PAGE}")).key(&scene.bad);
    let answers = scene.under("pages of lists", || {
        Attack::start(READERS, move |answers| {
            let ask = ask.clone();
            async move {
                let mut line = Line::open(to, FROM).await.unwrap();
                answers.add(line.ask(&ask).await.unwrap().status);
            }
        })
    });
    only(&answers, &["200", "429"]);
    scene.end();
}

#[test]
fn more_streams_than_one_project_may_follow() {
    if let Err(files) = may_open(FILES) {
        return skip(
            "more_streams_than_one_project_may_follow",
            &format!("only {files} files may be open"),
        );
    }
    let scene = Scene::new();
    let ask = Ask::get("/v1/events")
        .key(&scene.bad)
        .header("accept", "text/event-stream");
    let held = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&held);
    let before = scene.runtime.block_on(scene.victim.measure());
    let answers = scene.crowd(before, "streams of events", move |mut line, wanted, answers| {
        let (ask, keep) = (ask.wire(), Arc::clone(&keep));
        async move {
            let said = line.write(&ask).await;
            let is_held_up = wanted.elapsed() >= OWN_TIME;
            let answered = match said {
                Ok(()) => line.read_head().await,
                Err(error) => Err(error),
            };
            let answer = match answered {
                Ok(head) => head.status.to_string(),
                Err(error) => error.kind().to_string(),
            };
            if is_held_up && LATE.contains(&answer.as_str()) {
                answers.add(HELD_UP);
            } else {
                answers.add(answer);
            }
            // Whatever was answered: nobody hangs up.
            keep.lock().await.push(line);
        }
    });
    // Whoever comes faster than they are answered may find their place taken.
    let (late, rest): (BTreeMap<_, _>, _) = answers
        .iter()
        .map(|(answer, count)| (answer.clone(), *count))
        .partition(|(answer, _)| LATE.contains(&answer.as_str()));
    assert!(late.values().sum::<usize>() <= CROWD / 20, "{answers:?}");
    only(&rest, &["429", "200", HELD_UP]);
    assert_eq!(answers.get("200"), Some(&STREAMS), "{answers:?}");
    scene.runtime.block_on(async { held.lock().await.clear() });
    scene.end();
}
