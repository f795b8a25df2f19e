//! The server is killed while hundreds of sandboxes are being made, at random moments and at named places. Who asks again with
//! the same key gets the one sandbox of that key, and nothing is left half done.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Instant;

use serde_json::json;

use crate::http::{Ask, runtime};
use crate::load::{Crowd, count, listed, on_the_machine, remove_all, until};
use crate::server::{FREE, Server, key, unbound};
use crate::support::{World, wait_until};

/// Clients of a round that ends at a random moment.
const MANY: usize = 240;
/// Of those, how many must be without their sandbox when the server dies.
const IN_FLIGHT: usize = 200;
/// Rounds that end at a random moment.
const ROUNDS: usize = 2;
/// Clients of a round that ends at a place.
const FEW: usize = 40;
/// How often a place is passed at most before the server dies there.
const PASSES: u32 = 30;
/// Places on the way to a sandbox that a server is killed at.
const PLACES: [&str; 8] = [
    "store.commit.before",
    "store.commit.after",
    "create.place.after_commit",
    "create.provision.before_effect",
    "native.provision.asked",
    "create.provision.after_effect",
    "create.wait_ready.after_effect",
    "create.publish.after_commit",
];

const LISTEN: [&str; 4] = ["--listen", "127.0.0.1:0", FREE[0], FREE[1]];

/// When a server dies.
enum Death {
    /// When so many clients have their sandbox.
    Answered(usize),
    /// At a place, when it is passed for so many times.
    At(String),
}

struct Scene {
    world: World,
    token: String,
    runtime: tokio::runtime::Runtime,
}

impl Scene {
    fn new() -> Scene {
        let world = World::new();
        let token = key(&world, "crowd", "atm", Some("p"));
        unbound(&world, "p");
        Scene {
            world,
            token,
            runtime: runtime(),
        }
    }

    fn server(&self, env: &[(&str, &str)]) -> Server {
        Server::start_with(&self.world, &LISTEN, env)
    }

    /// Clients ask, the server dies and comes back, and each client has its own. How many were without when it died.
    fn round(&self, name: &str, many: usize, death: &Death) -> usize {
        let began = Instant::now();
        let env = match death {
            Death::At(place) => vec![("SBX_CRASH_AT", place.as_str())],
            Death::Answered(_) => Vec::new(),
        };
        let mut server = self.server(&env);
        let crowd = self
            .runtime
            .block_on(async { Crowd::start(&server, &self.token, name, many) });
        let tally = std::sync::Arc::clone(&crowd.tally);
        let load = |number: &std::sync::atomic::AtomicUsize| number.load(Ordering::Relaxed);
        match death {
            Death::Answered(number) => {
                let is_time = || load(&tally.asked) == many && load(&tally.answered) >= *number;
                self.runtime.block_on(until("it is time", is_time));
                server.kill();
            }
            Death::At(place) => {
                self.runtime.block_on(until(place, || server.has_ended()));
            }
        }
        let made = count(
            &self.world,
            &format!(
                "SELECT COUNT(*) FROM sandbox JOIN label ON sandbox_id = id WHERE state = 'ready' AND value LIKE '{name}-%'"
            ),
        );
        let in_flight = load(&tally.asked) - made;
        let accepted = count(&self.world, "SELECT COUNT(*) FROM operation WHERE is_open = 1");
        let server = self.server(&[]);
        crowd.moved_to(&server);
        let (again, had) = (std::sync::Arc::clone(&tally), began.elapsed());
        let of_keys = self.runtime.block_on(crowd.all());
        let whole = began.elapsed();
        self.check(&server, name, many, &of_keys.into_values().collect());
        server.stop();
        eprintln!(
            "{name}: {many} clients, killed with {in_flight} in flight ({accepted} accepted and open), {} asked again; back after \
             {had:.1?}, all have theirs after {whole:.1?}, all removed after {:.1?}",
            load(&again.again),
            began.elapsed(),
        );
        in_flight
    }

    /// One sandbox for each key, on record and on the machine; then none.
    fn check(&self, server: &Server, name: &str, many: usize, ids: &BTreeSet<String>) {
        assert_eq!(ids.len(), many, "{name}: keys share sandboxes");
        let of_round = format!("{name}-");
        let is_of_round = |one: &&serde_json::Value| {
            one["labels"]["key"]
                .as_str()
                .is_some_and(|key| key.starts_with(&of_round))
        };
        // Those that nobody waits for are still being made.
        let states = || {
            let all = self.runtime.block_on(listed(server, &self.token));
            let of_round = all.iter().filter(is_of_round);
            let pair = |one: &serde_json::Value| (text(&one["sandbox_id"]), text(&one["state"]));
            of_round.map(pair).collect::<Vec<_>>()
        };
        let records = wait_until("all are ready", || {
            let records = states();
            let other: Vec<_> = records.iter().filter(|(_, state)| state != "ready").collect();
            if other.is_empty() {
                Ok(records)
            } else {
                Err(format!("{name}: {other:?}"))
            }
        });
        let on_record: BTreeSet<String> = records.iter().map(|(id, _)| id.clone()).collect();
        assert_eq!(records.len(), many, "{name}: a key has two sandboxes, or none");
        assert_eq!(
            &on_record, ids,
            "{name}: what clients were told is not what is on record"
        );
        assert_eq!(
            &on_the_machine(&self.world),
            ids,
            "{name}: what is on the machine is not what is on record"
        );
        wait_until("no operation is open", || {
            match count(&self.world, "SELECT COUNT(*) FROM operation WHERE is_open = 1") {
                0 => Ok(()),
                open => Err(format!("{name}: {open}")),
            }
        });
        self.runtime
            .block_on(remove_all(server, &self.token, ids.iter().cloned()));
        assert_eq!(on_the_machine(&self.world), BTreeSet::new(), "{name}");
    }
}

fn text(value: &serde_json::Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[test]
fn killed_at_random_with_hundreds_in_flight() {
    let scene = Scene::new();
    let mut rng = fastrand::Rng::new();
    let fewest = (0..ROUNDS).map(|number| {
        let moment = Death::Answered(rng.usize(..(MANY - IN_FLIGHT) / 2));
        scene.round(&format!("random-{number}"), MANY, &moment)
    });
    let in_flight: Vec<usize> = fewest.collect();
    assert!(
        in_flight.iter().any(|number| *number >= IN_FLIGHT),
        "too few were in flight: {in_flight:?}"
    );
}

#[test]
fn killed_at_places_on_the_way_to_a_sandbox() {
    let scene = Scene::new();
    let mut rng = fastrand::Rng::new();
    for place in PLACES {
        let place = format!("{place}:{}", rng.u32(1..PASSES));
        scene.round(&place.replace(':', "-"), FEW, &Death::At(place));
    }
}

#[test]
fn the_places_are_on_the_way() {
    let scene = Scene::new();
    let log = scene.world.path().join("cuts");
    let server = scene.server(&[("SBX_CUT_LOG", log.to_str().unwrap())]);
    let ask = Ask::new("POST", "/v1/sandboxes?wait=ready").key(&scene.token);
    let made = scene
        .runtime
        .block_on(server.ask(&ask.json(&json!({ "profile": "profile.native" }))));
    let id = text(&made.expect(201).json()["sandbox_id"]);
    let passed = std::fs::read_to_string(&log).unwrap();
    for place in PLACES {
        assert!(
            passed.lines().any(|line| line == place),
            "{place} is not among {passed}"
        );
    }
    scene.runtime.block_on(remove_all(&server, &scene.token, [id]));
    server.stop();
}
