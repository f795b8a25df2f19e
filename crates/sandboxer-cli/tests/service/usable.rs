//! A sandbox that was asked for over HTTP is a sandbox like any other: ready, then active, and gone in time whoever is dead.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::http::{Ask, runtime};
use crate::load::{is_alive, on_the_machine};
use crate::server::{Server, key};
use crate::support::{World, wait_until, wait_within};

const TTL: Duration = Duration::from_secs(10);
/// How late its end may be on a machine that has much else to do.
const LATE: Duration = Duration::from_secs(10);

fn id(sandbox: &Value) -> String {
    sandbox["sandbox_id"].as_str().unwrap().to_owned()
}

#[test]
fn what_is_made_over_http_is_ready_and_active_once_it_is_used() {
    let world = World::new();
    let runtime = runtime();
    let token = key(&world, "user", "agt", Some("p"));
    let server = Server::start(&world, &[]);
    let ask = |ask: Ask| runtime.block_on(server.ask(&ask.key(&token)));
    let body = json!({ "profile": "profile.native" });
    let make = || {
        id(&ask(Ask::new("POST", "/v1/sandboxes?wait=ready").json(&body))
            .expect(201)
            .json())
    };
    let state = |id: &str| ask(Ask::get(&format!("/v1/sandboxes/{id}"))).expect(200).json()["state"].clone();
    let (used, told) = (make(), make());
    assert_eq!((state(&used), state(&told)), (json!("ready"), json!("ready")));

    let said = world.run(&["exec", &used, "--", "echo", "inside"]);
    assert_eq!((said.code, said.stdout.as_str()), (0, "inside\n"), "{said:?}");
    assert_eq!(state(&used), "active");
    let activated = ask(Ask::new("POST", &format!("/v1/sandboxes/{told}/activate")))
        .expect(200)
        .json();
    assert_eq!(activated["state"], "active");
    assert_eq!(state(&told), "active");

    for id in [used, told] {
        let receipt = ask(Ask::new("DELETE", &format!("/v1/sandboxes/{id}")))
            .expect(200)
            .json();
        assert_eq!(receipt["cleanup"]["verified"], "absent", "{receipt}");
        assert_eq!(state(&id), "destroyed");
    }
    server.stop();
}

/// The first process of a sandbox, if anything of it is on the machine.
fn first_process(world: &World, id: &str) -> Option<i64> {
    let state = std::fs::read(world.data.join("native/sb").join(id).join("state.json")).ok()?;
    let state: Value = serde_json::from_slice(&state).unwrap();
    state["init"]["pid"].as_i64()
}

#[test]
fn its_time_ends_although_the_server_is_dead() {
    let world = World::new();
    let runtime = runtime();
    let token = key(&world, "user", "agt", Some("p"));
    let body = json!({ "profile": "profile.native", "ttl": format!("{}s", TTL.as_secs()) });
    let ask = Ask::new("POST", "/v1/sandboxes?wait=ready").key(&token).json(&body);
    // One whose server is dead while it has time left; where the machine stood still for too long, another one.
    let outlives_its_server = || {
        let server = Server::start(&world, &[]);
        let asked = Instant::now();
        let made = runtime.block_on(server.ask(&ask)).expect(201).json();
        server.kill();
        let first = first_process(&world, &id(&made));
        let is_alive = first.is_some_and(is_alive);
        if asked.elapsed() >= TTL {
            return None;
        }
        assert!(is_alive, "it ended with the server");
        Some((asked, made, first.unwrap()))
    };
    let (asked, made, first) = (0..5).find_map(|_| outlives_its_server()).unwrap();
    let id = id(&made);
    let ended = wait_within(TTL + LATE * 2, "it ends by itself", || match is_alive(first) {
        false => Ok(Timestamp::now()),
        true => Err(first.to_string()),
    });
    assert!(asked.elapsed() >= TTL, "it ended after {:?}", asked.elapsed());
    let deadline: Timestamp = made["expires_at"].as_str().unwrap().parse().unwrap();
    let late = Duration::try_from(ended.duration_since(deadline)).unwrap_or_default();
    assert!(late <= LATE, "it ended {late:?} after its deadline");
    eprintln!("{TTL:?} were given, and it ended {late:.2?} after its deadline with the server dead");
    let server = Server::start(&world, &[]);
    let look = Ask::get(&format!("/v1/sandboxes/{id}")).key(&token);
    wait_until("it is on record that it is gone", || {
        match runtime.block_on(server.ask(&look)).expect(200).json()["state"].as_str() {
            Some("destroyed") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    // Those before it are over for longer.
    wait_until("nothing is on the machine", || match on_the_machine(&world) {
        left if left.is_empty() => Ok(()),
        left => Err(format!("{left:?}")),
    });
    server.stop();
}
