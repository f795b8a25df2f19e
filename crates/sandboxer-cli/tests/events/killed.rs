//! A command that dies at every place of a delivery.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::receiver::{Reply, Server};
use crate::{Told, WORLDS};

const KILLED: i32 = -9;

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
