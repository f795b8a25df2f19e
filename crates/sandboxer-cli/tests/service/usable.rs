//! A sandbox that was asked for over HTTP is a sandbox like any other: ready, then active, and gone in time whoever is dead.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http::{Ask, runtime};
use crate::load::{is_alive, on_the_machine};
use crate::server::{Server, key};
use crate::support::{World, wait_until};

const TTL: Duration = Duration::from_secs(4);
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

#[test]
fn its_time_ends_although_the_server_is_dead() {
    let world = World::new();
    let runtime = runtime();
    let token = key(&world, "user", "agt", Some("p"));
    let server = Server::start(&world, &[]);
    let body = json!({ "profile": "profile.native", "ttl": format!("{}s", TTL.as_secs()) });
    let ask = Ask::new("POST", "/v1/sandboxes?wait=ready").key(&token).json(&body);
    let asked = Instant::now();
    let id = id(&runtime.block_on(server.ask(&ask)).expect(201).json());
    server.kill();
    let state = std::fs::read(world.data.join("native/sb").join(&id).join("state.json")).unwrap();
    let state: Value = serde_json::from_slice(&state).unwrap();
    let first = state["init"]["pid"].as_i64().unwrap();
    assert!(is_alive(first), "it ended with the server");
    let ended = wait_until("it ends by itself", || match is_alive(first) {
        false => Ok(asked.elapsed()),
        true => Err(first.to_string()),
    });
    assert!(ended >= TTL, "it ended after {ended:?}");
    assert!(ended <= TTL + LATE, "it ended after {ended:?}");
    eprintln!("{TTL:?} were given, and it ended after {ended:.2?} with the server dead");
    let server = Server::start(&world, &[]);
    let look = Ask::get(&format!("/v1/sandboxes/{id}")).key(&token);
    wait_until("it is on record that it is gone", || {
        match runtime.block_on(server.ask(&look)).expect(200).json()["state"].as_str() {
            Some("destroyed") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    assert!(on_the_machine(&world).is_empty());
    server.stop();
}
