//! The real binary tells real servers what happened: whatever they do, and whenever it dies.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::allow_attributes,
    reason = "a test fails by it, and reads real files"
)]

#[path = "../../sandboxer-outbound/tests/support/mod.rs"]
mod receiver;
mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use receiver::{Reply, Request, Server};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use support::{Answer, PATIENCE, World, wait_until};

const KILLED: i32 = -9;
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

/// HMAC-SHA256 as RFC 2104 writes it, independent of what the product uses.
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    assert!(key.len() <= 64);
    let pad = |byte: u8| -> Vec<u8> {
        (0..64)
            .map(|index| key.get(index).copied().unwrap_or(0) ^ byte)
            .collect()
    };
    let inner = Sha256::digest([pad(0x36), text.to_vec()].concat());
    Sha256::digest([pad(0x5c), inner.to_vec()].concat()).to_vec()
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn decode(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.trim_end_matches('=').bytes().collect();
    let bits: Vec<u8> = digits
        .iter()
        .flat_map(|digit| {
            let value = DIGITS.iter().position(|known| known == digit).unwrap() as u8;
            (0..6).rev().map(move |bit| value >> bit & 1)
        })
        .collect();
    bits.chunks_exact(8)
        .map(|byte| byte.iter().fold(0, |value, bit| value << 1 | bit))
        .collect()
}

fn is_signed(request: &Request, secret: &str) -> bool {
    let key = decode(secret.strip_prefix("whsec_").unwrap());
    assert_eq!(key.len(), 32);
    let (id, at) = (request.header("webhook-id"), request.header("webhook-timestamp"));
    let text = [format!("{id}.{at}.").into_bytes(), request.body.clone()].concat();
    let signature = request.header("webhook-signature").strip_prefix("v1,").unwrap();
    decode(signature) == hmac(&key, &text)
}

#[test]
fn webhooks_are_signed_and_their_secret_is_shown_once() {
    let hook = Server::start(|count, _| Reply::Status(if count % 3 == 0 { 500 } else { 204 }));
    let mut told = Told::by("http://127.0.0.1:1");
    told.env = vec![("SANDBOXER_OUTBOUND_ALLOW".to_owned(), hook.address.to_string())];
    let url = format!("{}/hooks?x=1", hook.url());
    let added = told.run(&["webhooks", "add", &url]).json();
    let (id, secret) = (added["sink_id"].as_str().unwrap(), added["secret"].as_str().unwrap());
    told.life();
    told.settle();
    let requests = hook.requests();
    told.assert_exact(&requests);
    for request in &requests {
        assert!(is_signed(request, secret), "{request:?}");
        assert!(!is_signed(
            request,
            "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
        ));
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(
            (&body["type"], &body["data"]["event_id"]),
            (&body["data"]["kind"], &request.header("webhook-id").into())
        );
        assert_eq!(request.line, "POST /hooks?x=1 HTTP/1.1");
        assert!(request.header("webhook-timestamp").parse::<u64>().is_ok());
    }
    hook.set(|_, _| Reply::Status(200));
    let tested = told.run(&["webhooks", "test", &id[..12]]).json();
    assert_eq!((&tested["accepted"], &tested["status"]), (&true.into(), &200.into()));
    assert!(is_signed(hook.requests().last().unwrap(), secret));
    for args in [
        &["webhooks", "list"][..],
        &["events", "sinks"],
        &["events"],
        &["webhooks", "remove", id],
    ] {
        for mode in ["json", "table"] {
            let answer = told.run(&[args, &["--output", mode]].concat());
            assert!(!format!("{answer:?}").contains(&secret[6..]), "{args:?}");
        }
    }
    assert_eq!(told.run(&["webhooks", "list"]).json(), serde_json::json!([]));
}

#[test]
fn a_webhook_that_is_gone_or_redirects_is_said_to() {
    let inner = Server::start(|_, _| Reply::Status(200));
    let to = inner.url();
    let hook = Server::start(move |_, _| Reply::Full(307, vec![("location", to.clone())], Vec::new()));
    let mut told = Told::by("http://127.0.0.1:1");
    told.env = vec![("SANDBOXER_OUTBOUND_ALLOW".to_owned(), "127.0.0.0/8".to_owned())];
    let added = told.run(&["webhooks", "add", &hook.url(), "--event", "state.*"]).json();
    told.life();
    told.trouble(&["redirect"]);
    assert_eq!(inner.connections(), 0);
    assert_eq!(
        told.run(&["webhooks", "test", added["sink_id"].as_str().unwrap()]).code,
        7
    );
    told.quiet();
    hook.set(|_, _| Reply::Status(410));
    told.run(&["events", "redeliver"]).json();
    let sink = told.sink("it is switched off", |sink| sink["state"] == "disabled");
    assert!(sink["reason"].as_str().unwrap().contains("410"), "{sink}");
    told.quiet();
    let so_far = hook.requests().len();
    told.life();
    told.quiet();
    assert_eq!(hook.requests().len(), so_far);
    hook.set(|_, _| Reply::Status(200));
    let back = told
        .run(&["events", "redeliver", "--sink", added["sink_id"].as_str().unwrap()])
        .json();
    assert_eq!(back["enabled"], serde_json::json!([added["sink_id"]]));
    told.settle();
    told.assert_exact(&hook.requests());
}

#[test]
fn a_webhook_over_tls_is_known_by_its_certificate() {
    // Made for this test, for 127.0.0.1, and good for a hundred years.
    let (certificate, key) = (
        include_str!("support/tls/cert.pem"),
        include_str!("support/tls/key.pem"),
    );
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = std::sync::Arc::new(config);
    let hook = Server::wrapped(
        |_, _| Reply::Status(200),
        Box::new(move |stream| {
            let session = rustls::ServerConnection::new(config.clone()).ok()?;
            Some(Box::new(rustls::StreamOwned::new(session, stream)))
        }),
    );
    let mut told = Told::by("http://127.0.0.1:1");
    let trusted = told.world.write("trusted.pem", certificate);
    let allow = ("SANDBOXER_OUTBOUND_ALLOW".to_owned(), hook.address.to_string());
    told.env = vec![allow];
    told.run(&["webhooks", "add", &format!("https://{}/", hook.address)])
        .json();
    let id = told.life();
    told.trouble(&["TLS", "certificate"]);
    assert_eq!(hook.requests().len(), 0);
    told.env
        .push(("SSL_CERT_FILE".to_owned(), trusted.to_str().unwrap().to_owned()));
    told.run(&["events", "redeliver", &id]).json();
    told.settle();
    told.assert_exact(&hook.requests());
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

/// The places of a delivery that a command reaches.
fn places() -> Vec<String> {
    let hub = Server::start(|_, _| Reply::Status(201));
    let told = Told::by(&hub.url());
    let log = told.world.path().join("cuts");
    let created = told
        .run_with(
            &["create", "--profile", "profile.native"],
            &[("SBX_CUT_LOG", log.to_str().unwrap())],
        )
        .json();
    told.run(&["destroy", created["sandbox_id"].as_str().unwrap()]).json();
    told.quiet();
    let text = std::fs::read_to_string(&log).unwrap();
    let mut hits: BTreeMap<String, usize> = BTreeMap::new();
    text.lines()
        .filter(|name| name.starts_with("deliver."))
        .map(|name| {
            let hit = hits.entry(name.to_owned()).or_default();
            *hit += 1;
            format!("{name}:{hit}")
        })
        .collect()
}

/// A command that is to die at a place, and what others make of it: nothing is lost. Whether it was that command which died, and
/// nothing but what it had under way was sent twice.
fn dies_at(place: &str) -> bool {
    let hub = Server::start(|_, _| Reply::Status(201));
    let told = Told::by(&hub.url());
    let killed = told.run_with(&["create", "--profile", "profile.native"], &[("SBX_CRASH_AT", place)]);
    assert!([KILLED, 0].contains(&killed.code), "{place}: {killed:?}");
    // Its own work was done and told before.
    let id = serde_json::from_str::<Value>(&killed.stdout).unwrap()["sandbox_id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(told.run(&["get", &id]).json()["state"], "ready", "{place}");
    told.run(&["destroy", &id]).json();
    told.settle();
    told.assert_exact(&hub.requests());
    // One event is sent again at most.
    killed.code == KILLED && hub.requests().len() <= told.events().len() + 1
}

#[test]
fn killed_at_every_place_of_a_delivery_nothing_is_lost() {
    // Two that reach the same have reached all in one process: where it is left and taken up again differs from one to the next.
    let mut reached = places();
    let is_whole = (0..WORLDS).any(|_| {
        let before = std::mem::replace(&mut reached, places());
        before == reached && reached.len() >= 11
    });
    assert!(is_whole, "{reached:?}");
    for place in reached {
        let is_proven = (0..WORLDS).any(|_| dies_at(&place));
        assert!(is_proven, "{place}: it did not die there, or too much was sent again");
    }
}
