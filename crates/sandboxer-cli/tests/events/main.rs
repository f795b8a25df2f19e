//! The real binary tells real servers what happened: whatever they do, and whenever it dies.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::allow_attributes,
    reason = "a test fails by it, and reads real files"
)]

mod killed;
#[path = "../../../sandboxer-outbound/tests/support/mod.rs"]
mod receiver;
#[path = "../support/mod.rs"]
mod support;
mod webhooks;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use receiver::{Reply, Request, Server};
use serde_json::Value;
use support::{Answer, PATIENCE, World, wait_until};

/// Worlds that are made at most until a command has told everything itself: where it is held up, it leaves the rest to a process
/// of its own, which begins anew.
const WORLDS: usize = 5;

/// A world whose commands know a hub.
struct Told {
    world: World,
    env: Vec<(String, String)>,
}

impl Told {
    fn by(hub: &str) -> Told {
        Told {
            world: World::new(),
            env: vec![("SANDBOXER_STATE_HUB_URL".to_owned(), hub.to_owned())],
        }
    }

    fn run(&self, args: &[&str]) -> Answer {
        self.run_with(args, &[])
    }

    fn run_with(&self, args: &[&str], more: &[(&str, &str)]) -> Answer {
        let mut env: Vec<(&str, &str)> = self
            .env
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        env.extend(more);
        self.world.run_with(args, &env)
    }

    fn sinks(&self) -> Vec<Value> {
        self.run(&["events", "sinks"]).json().as_array().unwrap().clone()
    }

    /// Sends again what waits, until nothing does.
    fn settle(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.sinks().iter().any(|sink| sink["waiting"] != 0) {
            assert!(Instant::now() < deadline, "{:#?}", self.sinks());
            self.run(&["events", "redeliver"]).json();
        }
    }

    /// Waits until no process of this world delivers any more.
    fn quiet(&self) {
        wait_until("nobody delivers", || {
            let working = self.world.processes();
            if working.is_empty() {
                Ok(())
            } else {
                Err(working.join("\n"))
            }
        });
    }

    /// The only sink, once it is so.
    fn sink(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        wait_until(what, || {
            let sink = self.sinks().pop().unwrap();
            if is_so(&sink) { Ok(sink) } else { Err(sink.to_string()) }
        })
    }

    /// Waits until the only sink is known to have failed, and that for one of these reasons.
    fn trouble(&self, reasons: &[&str]) {
        self.sink("its failure is on record", |sink| {
            let told = sink["last_error"].as_str().unwrap_or_default();
            reasons.iter().any(|reason| told.contains(reason))
        });
    }

    fn events(&self) -> Vec<Value> {
        self.run(&["events"]).json().as_array().unwrap().clone()
    }

    /// What a receiver knows, once it has dropped what it had seen, is exactly what happened.
    fn assert_exact(&self, requests: &[Request]) {
        let mut told: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for request in requests {
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            if body["type"] == "webhook.test" {
                continue;
            }
            let facts = if body["data"].is_null() {
                &body["detail"]
            } else {
                &body["data"]
            };
            let seqs = told
                .entry(facts["sandbox_id"].as_str().unwrap().to_owned())
                .or_default();
            let seq = facts["seq"].as_u64().unwrap();
            if !seqs.contains(&seq) {
                seqs.push(seq);
            }
        }
        let mut happened: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for event in self.events() {
            let seqs = happened
                .entry(event["sandbox_id"].as_str().unwrap().to_owned())
                .or_default();
            seqs.push(event["seq"].as_u64().unwrap());
            assert_eq!(*seqs.last().unwrap(), seqs.len() as u64);
        }
        for seqs in happened.values_mut() {
            seqs.sort_unstable();
        }
        assert_eq!(told, happened);
    }

    fn life(&self) -> String {
        let created = self.run(&["create", "--profile", "profile.native"]).json();
        let id = created["sandbox_id"].as_str().unwrap().to_owned();
        assert_eq!(self.run(&["destroy", &id]).json()["state"], "destroyed");
        id
    }
}

#[test]
fn a_hub_knows_everything_whatever_it_does_in_between() {
    let hub = Server::start(|_, _| Reply::Status(201));
    let told = Told::by(&hub.url());
    told.life();
    told.settle();
    let first = hub.requests();
    assert!(
        first.len() >= 5 && first.iter().all(|one| one.line == "POST /progress/ HTTP/1.1"),
        "{first:#?}"
    );
    told.assert_exact(&first);
    type Manner = fn(usize, &Request) -> Reply;
    let manners: [(&str, Manner); 6] = [
        ("fails after it took something", |count, _| {
            Reply::Status(if count % 2 == 0 { 500 } else { 201 })
        }),
        ("closes after it took something", |count, _| {
            if count % 2 == 0 { Reply::Cut } else { Reply::Status(201) }
        }),
        ("breaks off its answer", |count, _| {
            if count % 3 == 0 {
                Reply::Half
            } else {
                Reply::Status(201)
            }
        }),
        ("has it already", |_, _| {
            Reply::Full(409, Vec::new(), b"{\"detail\":\"conflict\"}".to_vec())
        }),
        ("keeps it for later", |_, _| {
            Reply::Full(202, Vec::new(), b"{\"queued\":true}".to_vec())
        }),
        ("answers nonsense", |_, _| {
            Reply::Full(200, Vec::new(), vec![0xff; 5000])
        }),
    ];
    for (what, manner) in manners {
        hub.set(manner);
        told.life();
        told.settle();
        println!("a hub that {what}: {} requests", hub.requests().len());
        told.assert_exact(&hub.requests());
    }
}

#[test]
fn a_hub_that_is_away_is_in_nobodys_way_and_hears_of_it_later() {
    let (hub, told) = (0..WORLDS)
        .find_map(|_| {
            let hub = Server::start(|_, _| Reply::Full(429, vec![("retry-after", "3600".to_owned())], Vec::new()));
            let told = Told::by(&hub.url());
            told.life();
            told.sink("its wish is on record", |sink| !sink["paused_until"].is_null());
            told.quiet();
            // A try that was cut short was made again, before anybody knew of the wish.
            (hub.requests().len() == 1).then_some((hub, told))
        })
        .unwrap();
    for _ in 0..2 {
        told.life();
    }
    told.quiet();
    // It asked for an hour.
    assert_eq!(hub.requests().len(), 1);
    let sink = told.sinks().pop().unwrap();
    assert_eq!((&sink["waiting"], &sink["dead"]), (&Value::from(3), &Value::from(0)));
    assert!(
        sink["last_error"].as_str().unwrap().contains("429") && !sink["paused_until"].is_null(),
        "{sink}"
    );
    let events = told.events();
    assert_eq!(events.last().unwrap()["undelivered"]["state-hub"], "waiting");
    hub.set(|_, _| Reply::Status(201));
    told.run(&["list"]).json();
    told.quiet();
    assert_eq!(hub.requests().len(), 1);
    told.run(&["events", "redeliver"]).json();
    told.settle();
    let heard: Vec<Request> = hub.requests().into_iter().skip(1).collect();
    told.assert_exact(&heard);
    assert!(told.events().iter().all(|event| event["undelivered"].is_null()));
}

#[test]
fn a_hub_that_does_not_exist_costs_nothing_but_a_try() {
    let gone = Server::start(|_, _| Reply::Status(201)).url();
    let told = Told::by(&gone);
    told.life();
    told.trouble(&["connection refused"]);
    assert_eq!(told.run(&["run", "--", "sh", "-c", "exit 7"]).code, 7);
}

#[test]
fn a_hub_that_says_nothing_is_left_to_a_process_of_its_own() {
    let hub = Server::start(|count, _| if count == 0 { Reply::Hang } else { Reply::Status(201) });
    let told = Told::by(&hub.url());
    let started = Instant::now();
    let created = told.run(&["create", "--profile", "profile.native"]).json();
    // It waited for a quarter of a second, and not for the ten that a request may take.
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    hub.wait_for(|requests| requests.len() >= 4);
    told.run(&["destroy", created["sandbox_id"].as_str().unwrap()]).json();
    let deadline = Instant::now() + PATIENCE;
    while told.sinks()[0]["waiting"] != 0 {
        assert!(Instant::now() < deadline, "{:#?}", told.sinks());
    }
    told.assert_exact(&hub.requests());
}

#[test]
fn what_makes_no_sense_or_leads_inside_is_refused() {
    let told = Told::by("http://127.0.0.1:1");
    let inside = Server::start(|_, _| Reply::Status(200));
    let local = inside.address.port();
    let urls = [
        "",
        "x",
        "example.org",
        "ftp://example.org/",
        "http://example.org/",
        "https://example.org:8443/",
        "https://user:secret@example.org/",
        "https://example.org/#x",
        "https://127.0.0.1/",
        "https://localhost/",
        "https://[::1]/",
        "https://169.254.169.254/latest/meta-data/",
        "https://10.0.0.1/",
        "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::a00:1]/",
        "https://0.0.0.0/",
        &format!("http://127.0.0.1:{local}/"),
        "https://example.org/\n",
        "https://exa mple.org/",
        &format!("https://example.org/{}", "x".repeat(5000)),
    ];
    for url in urls {
        let answer = told.run(&["webhooks", "add", "--", url]);
        assert_eq!(answer.code, 3, "{url:?}: {answer:?}");
    }
    for kind in ["", "state", "*", "a b"] {
        let answer = told.run(&["webhooks", "add", "https://example.org/", "--event", kind]);
        assert_eq!(answer.code, 3, "{kind:?}: {answer:?}");
    }
    for (name, value) in [
        ("SANDBOXER_STATE_HUB_URL", "hub"),
        ("SANDBOXER_STATE_HUB_URL", "http://a:b@hub/"),
        ("SANDBOXER_OUTBOUND_ALLOW", "everything"),
        ("SANDBOXER_OUTBOUND_ALLOW", "10.0.0.0/99"),
    ] {
        let answer = told.run_with(&["list"], &[(name, value)]);
        assert_eq!(answer.code, 3, "{name}={value}: {answer:?}");
        assert!(answer.stderr.contains(name), "{answer:?}");
    }
    assert_eq!(told.run(&["webhooks", "remove", "hook-1"]).code, 4);
    assert_eq!(told.run(&["events", "redeliver", "--sink", "nope"]).code, 4);
    assert_eq!(
        told.run(&["events", "redeliver", "sbx-00000000000000000000000000"])
            .code,
        4
    );
    assert_eq!(
        (told.run(&["webhooks", "list"]).json(), inside.connections()),
        (serde_json::json!([]), 0)
    );
}
