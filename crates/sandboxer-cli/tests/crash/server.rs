//! A server that is killed at every place of what it does by itself.

use std::path::Path;
use std::process::{Child, Stdio};

use crate::support::{World, wait_until};
use crate::verbs::{CREATE, ended};
use crate::{KILLED, clean_up, hits, states};

/// Sweeps that a server makes within its first second.
const SWEEPS: [&str; 4] = ["idle_reap", "observe_backends", "reap_orphans", "probe_hosts"];
const PLACES: usize = 20;

/// Something a dead command left, and something that is past its time.
fn left_to_do() -> World {
    let world = World::new();
    let id = world.create(&["--ttl", "2s"]);
    let killed = CREATE.invoke(&world, None, &[("SBX_CRASH_AT", "create.provision.after_effect:1")]);
    assert_eq!(killed.code, KILLED, "{killed:?}");
    ended(&world, &id);
    world
}

/// A server that does not outlive a test that fails.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(world: &World, variable: &str, value: &str) -> Server {
    let child = world
        .command(&["serve"])
        .env(variable, value)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Server(child)
}

/// Every place that is reached until each sweep was made and nothing is left to do.
fn places() -> Vec<String> {
    let world = left_to_do();
    let log = world.path().join("cuts");
    let server = serve(&world, "SBX_CUT_LOG", log.to_str().unwrap());
    wait_until("every sweep is made", || {
        let reached = hits(&log);
        let is_made = |sweep: &&str| reached.contains(&format!("reconcile.{sweep}.done:1"));
        match SWEEPS.iter().find(|sweep| !is_made(sweep)) {
            None if has_settled(&log) => Ok(()),
            missing => Err(format!("{missing:?} is missing of {reached:?}")),
        }
    });
    drop(server);
    clean_up(&world);
    let mut reached = hits(&log);
    // The same sweep again is the same place.
    reached.retain(|hit| !hit.starts_with("reconcile.") || hit.ends_with(":1"));
    reached
}

fn has_settled(log: &Path) -> bool {
    let reached = hits(log);
    let has = |name: &str| reached.iter().any(|hit| hit.starts_with(name));
    has("expire.settle.after_commit") && has("takeover.create.after_commit") && has("create.teardown.after_effect")
}

#[test]
fn a_server_that_is_killed_anywhere_leaves_nothing_undone() {
    let places = places();
    assert!(places.len() >= PLACES, "only {places:?}");
    for place in &places {
        let world = left_to_do();
        let mut server = serve(&world, "SBX_CRASH_AT", place);
        wait_until("it dies", || match server.0.try_wait().unwrap() {
            Some(_) => Ok(()),
            None => Err(place.clone()),
        });
        world.run(&["list"]).json();
        for state in states(&world) {
            assert_eq!(state, "gone", "after {place}");
        }
        clean_up(&world);
    }
    eprintln!("{} deaths of a server", places.len());
}
