//! A server that is killed at every place of what it does by itself.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::support::{World, wait_until};
use crate::verbs::{CREATE, ended};
use crate::{KILLED, clean_up, hits, states};

/// Sweeps that a server makes within its first second.
const SWEEPS: [&str; 4] = ["idle_reap", "observe_backends", "reap_orphans", "probe_hosts"];
const PLACES: usize = 20;

/// Something a dead command left, and something that is past its time.
fn left_to_do() -> World {
    let make = || {
        let world = World::new();
        let id = world.create(&["--ttl", "2s"]);
        let killed = CREATE.invoke(&world, None, &[("SBX_CRASH_AT", "create.provision.after_effect:1")]);
        assert_eq!(killed.code, KILLED, "{killed:?}");
        ended(&world, &id);
        // Where that command came to look only after its time, it has removed it itself.
        if state_of(&world, &id) == "ready" {
            return Some(world);
        }
        clean_up(&world);
        None
    };
    (0..5).find_map(|_| make()).unwrap()
}

/// The state that is on record, without anybody who would change it by looking.
fn state_of(world: &World, id: &str) -> String {
    let connection = rusqlite::Connection::open(world.data.join("sandboxer.db")).unwrap();
    connection.busy_timeout(Duration::from_secs(10)).unwrap();
    let found = connection.query_row("SELECT state FROM sandbox WHERE id = ?1", [id], |row| row.get(0));
    found.unwrap()
}

/// A server that does not outlive a test that fails.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(world: &World, log: &Path, place: Option<&str>) -> Server {
    let child = world
        .command(&["serve"])
        .env("SBX_CUT_LOG", log)
        .envs(place.map(|place| ("SBX_CRASH_AT", place)))
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
    let server = serve(&world, &log, None);
    wait_until("every sweep is made", || match missing(&log) {
        None => Ok(()),
        Some(missing) => Err(missing),
    });
    drop(server);
    clean_up(&world);
    let mut reached = hits(&log);
    // The same sweep again is the same place.
    reached.retain(|hit| !hit.starts_with("reconcile.") || hit.ends_with(":1"));
    reached
}

/// What of a server's work is not done yet.
fn missing(log: &Path) -> Option<String> {
    let reached = hits(log);
    let has = |name: &str| reached.iter().any(|hit| hit.starts_with(name));
    let sweeps = SWEEPS.map(|sweep| format!("reconcile.{sweep}.done:1"));
    let ends = [
        "expire.settle.after_commit",
        "takeover.create.after_commit",
        "create.teardown.after_effect",
    ];
    let wanted = sweeps.iter().map(String::as_str).chain(ends);
    let missing = wanted.into_iter().find(|name| !has(name))?;
    Some(format!("{missing} is missing of {reached:?}"))
}

#[test]
fn a_server_that_is_killed_anywhere_leaves_nothing_undone() {
    let places = places();
    assert!(places.len() >= PLACES, "only {places:?}");
    let mut deaths = 0;
    for place in &places {
        let world = left_to_do();
        let log = world.path().join("cuts");
        let mut server = serve(&world, &log, Some(place));
        let is_dead = wait_until("it dies", || match server.0.try_wait().unwrap() {
            Some(_) => Ok(true),
            // Who meets whom, and so how often they come by, is different each time; that they come by once is not.
            None if !place.ends_with(":1") && missing(&log).is_none() => Ok(false),
            None => Err(place.clone()),
        });
        drop(server);
        deaths += usize::from(is_dead);
        world.run(&["list"]).json();
        for state in states(&world) {
            assert_eq!(state, "gone", "after {place}");
        }
        clean_up(&world);
    }
    assert!(deaths >= PLACES, "{deaths} deaths at {places:?}");
    eprintln!("{deaths} deaths of a server at {} places", places.len());
}
