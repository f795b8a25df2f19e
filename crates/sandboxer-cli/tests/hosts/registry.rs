//! The registry of hosts against a real machine: registered with its keys, filled, drained, cut off, and cleared of what
//! no record knows.

use std::time::Duration;

use sandboxer_testbed::{Direction, Plan, or_skip};
use serde_json::Value;

use crate::lab::{Lab, SINGLE};
use crate::support::Answer;

impl Lab {
    /// `create` without a word about where.
    fn create_anywhere(&self, more: &[&str]) -> Answer {
        let repository = self.repository_of("single", SINGLE);
        let repo = format!("repo={}", repository.display());
        let words = ["create", "--profile", "profile.compose-e2e", "--input", &repo];
        self.run(&[&words, more].concat())
    }

    fn reserved(&self) -> u64 {
        self.run(&["hosts", "show", "box"]).json()["reserved"]["slots"]
            .as_u64()
            .expect("a figure")
    }
}

#[test]
fn a_registered_host_is_found_filled_drained_and_forgotten() {
    let lab = or_skip!("the registry of hosts", Lab::start(Plan::new().disk_mib(65_536)));
    let added = lab.run(&[
        "hosts",
        "add",
        "box",
        "--address",
        lab.host.alias(),
        "--slots",
        "1",
        "-l",
        "rack=7",
    ]);
    let added = added.json();
    assert_eq!(
        (&added["state"], &added["capacity"]["slots"]),
        (&Value::from("active"), &Value::from(1))
    );
    let probe = &added["probe"];
    assert!(
        probe["snapshot"]["mem_total_mb"].as_u64().is_some_and(|mib| mib > 0),
        "{added}"
    );
    assert!(
        probe["backends"]["ext.compose-ssh"]["facts"]["engine"].is_string(),
        "{added}"
    );

    // Nobody says where: it is found, and told of.
    let created = lab.create_anywhere(&[]);
    assert!(created.stderr.contains("Telemetry: load Δ"), "{created:?}");
    let created = created.json();
    let id = created["sandbox_id"].as_str().expect("an id").to_owned();
    assert_eq!(created["host"], "box", "{created}");
    assert_eq!(created["telemetry"]["schema_version"], "0.1", "{created}");
    let copy = std::fs::read(lab.world.data.join("telemetry").join(format!("{id}.json"))).expect("a copy");
    assert_eq!(
        serde_json::from_slice::<Value>(&copy).expect("JSON"),
        created["telemetry"]
    );
    assert_eq!(lab.reserved(), 1);

    // It is full for the next, and a dry run says the same.
    for more in [&[][..], &["--dry-run"], &["--host", "box"]] {
        let refused = lab.create_anywhere(more);
        assert_eq!(refused.code, 6, "{more:?}: {refused:?}");
        assert!(refused.stderr.contains("1 of 1 slots are taken"), "{refused:?}");
    }
    let removal = lab.run(&["hosts", "remove", "box"]);
    assert_eq!(removal.code, 5, "{removal:?}");

    // What is there is seen, and agrees with the records.
    let seen = lab.run(&["inspect", "host", "box"]).json();
    let entries = seen["inventory"]["entries"].as_array().expect("a list");
    assert!(
        entries
            .iter()
            .any(|entry| entry["id"] == id.as_str() && entry["type"] == "directory"),
        "{seen}"
    );
    assert!(
        entries
            .iter()
            .any(|entry| entry["id"] == id.as_str() && entry["type"] == "compose_project"),
        "{seen}"
    );
    assert!(
        entries
            .iter()
            .all(|entry| entry["profile_hint"] == "profile.compose-e2e"),
        "{seen}"
    );
    let stale = lab.run(&["inspect", "stale"]).json();
    assert_eq!(stale["stale_candidates"], Value::Array(Vec::new()), "{stale}");
    assert_eq!(stale["hosts"][0]["incomplete"], Value::Null, "{stale}");

    // Drained, it takes nothing, even when there is room.
    lab.run(&["hosts", "drain", "box"]).json();
    lab.destroy(&id);
    assert_eq!(lab.reserved(), 0);
    let refused = lab.create_anywhere(&["--host", "box"]);
    assert!(
        refused.code == 6 && refused.stderr.contains("hosts activate box"),
        "{refused:?}"
    );
    lab.run(&["hosts", "activate", "box"]).json();
    let again = lab.create_anywhere(&[]).json();
    lab.destroy(again["sandbox_id"].as_str().expect("an id"));

    // A bare `create` is the canary: it takes the host there is, and tells what it found there.
    let canary = lab.run(&["create"]);
    assert!(canary.stderr.contains("Telemetry: load Δ"), "{canary:?}");
    let canary = canary.json();
    assert_eq!(
        (&canary["profile_id"], &canary["host"]),
        (&"profile.sandbox-canary".into(), &"box".into())
    );
    assert!(
        canary["telemetry"]["provision_delta"]["after"]["load_1m"].is_number(),
        "{canary}"
    );
    let canary = canary["sandbox_id"].as_str().expect("an id").to_owned();
    let said = lab.run(&[
        "exec",
        &canary,
        "-e",
        "WORD=it's $x",
        "--",
        "sh",
        "-c",
        "echo \"$WORD\"",
    ]);
    assert_eq!(said.stdout, "it's $x\n", "{said:?}");
    lab.destroy(&canary);

    // Out of reach it is down, and back when it answers.
    lab.host.partition(Direction::Both).expect("it is cut");
    let silent = lab.run(&["hosts", "probe", "--all"]);
    assert_eq!(silent.code, 7, "{silent:?}");
    assert!(silent.stdout.contains("\"down\""), "{silent:?}");
    let refused = lab.create_anywhere(&[]);
    assert!(refused.code == 6 && refused.stderr.contains("down"), "{refused:?}");
    lab.host.heal().expect("it heals");
    assert_eq!(lab.run(&["hosts", "probe", "box"]).json()["state"], "active");
    lab.run(&["hosts", "remove", "box"]).json();
    assert_eq!(lab.run(&["hosts", "list"]).json(), Value::Array(Vec::new()));
    lab.nothing_is_left();
}

/// The records as they were, as after a backup was brought back.
#[test]
fn a_host_that_went_away_unnoticed_makes_room_for_the_next() {
    let mut lab = or_skip!("a host that is away", Lab::start(Plan::new().disk_mib(65_536)));
    // The same machine under a second name, which is tried first since it has more room.
    let known = std::fs::read_to_string(lab.host.ssh_config()).expect("a configuration");
    let alias = format!("Host {}", lab.host.alias());
    let both = format!("{known}{}", known.replacen(&alias, "Host away", 1));
    let file = lab.world.write("ssh_config", &both);
    lab.through(file.clone());
    for (name, address, slots) in [("box", lab.host.alias(), "2"), ("away", "away", "5")] {
        lab.run(&["hosts", "add", name, "--address", address, "--slots", slots])
            .json();
    }
    // Nobody listens at this port.
    let (front, back) = both.split_at(both.find("Host away").expect("the second name"));
    std::fs::write(&file, format!("{front}{}", back.replacen("Port 2222", "Port 9", 1))).expect("a file");
    let created = lab.create_anywhere(&[]);
    let answer = created.json();
    assert_eq!((&answer["state"], &answer["host"]), (&"ready".into(), &"box".into()));
    let id = answer["sandbox_id"].as_str().expect("an id").to_owned();
    let why = lab.run(&["explain", &id]);
    assert!(why.stdout.contains("cannot reach away"), "{why:?}");
    // Asked for by name it is an error, and nothing is stuck.
    let refused = lab.create_anywhere(&["--host", "away"]);
    assert_eq!(refused.code, 7, "{refused:?}");
    assert!(refused.stderr.contains("cannot reach away"), "{refused:?}");
    lab.destroy(&id);
    lab.nothing_is_left();
    lab.host.down();
}

pub(crate) fn copy_records(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for name in ["sandboxer.db", "sandboxer.db-wal", "sandboxer.db-shm"] {
        let _ = std::fs::remove_file(to.join(name));
        if from.join(name).exists() {
            std::fs::copy(from.join(name), to.join(name)).expect("a copy");
        }
    }
}

#[test]
fn what_no_record_knows_is_reaped_and_what_is_of_others_is_not() {
    let lab = or_skip!("reaping on a host", Lab::start(Plan::new().disk_mib(65_536)));
    lab.run(&["hosts", "add", lab.host.alias()]).json();
    let backup = lab.world.path().join("backup");
    copy_records(&lab.world.data, &backup);
    let [lost, lost_too] = [0, 1].map(|_| {
        let created = lab.create_anywhere(&[]).json();
        created["sandbox_id"].as_str().expect("an id").to_owned()
    });
    copy_records(&backup, &lab.world.data);
    // Another installation's, on the same host.
    let elsewhere = lab.world.path().join("elsewhere");
    let elsewhere = elsewhere.to_str().expect("a path");
    let theirs = lab
        .create_anywhere(&["--host", lab.host.alias(), "--data-dir", elsewhere])
        .json();
    let theirs = theirs["sandbox_id"].as_str().expect("an id").to_owned();
    let live = lab.create_anywhere(&[]).json()["sandbox_id"]
        .as_str()
        .expect("an id")
        .to_owned();

    let stale = lab.run(&["inspect", "stale"]).json();
    let candidates = stale["stale_candidates"].as_array().expect("a list");
    let of = |id: &str| -> Vec<(&str, &str)> {
        let mine = candidates
            .iter()
            .filter(|one| one["why"].as_str().is_some_and(|why| why.contains(id)));
        mine.map(|one| (one["kind"].as_str().unwrap_or(""), one["action"].as_str().unwrap_or("")))
            .collect()
    };
    let mut orphans = of(&lost);
    orphans.sort_unstable();
    assert_eq!(orphans, [("orphan_compose", "reap"), ("orphan_dir", "reap")], "{stale}");
    assert!(
        !of(&theirs).is_empty() && of(&theirs).iter().all(|one| *one == ("foreign", "ignore")),
        "{stale}"
    );
    assert!(of(&live).is_empty(), "{stale}");

    let shown = lab.run(&["reap-stale"]).json();
    assert!(
        shown["actions"]
            .as_array()
            .is_some_and(|all| all.iter().any(|one| one["result"] == "dry-run")),
        "{shown}"
    );
    let young = lab.run(&["reap-stale", "--apply", "--older-than", "1"]).json();
    assert!(!young.to_string().contains("\"reaped\""), "{young}");
    // Killed before it has removed anything, and after it has removed the first of the two: the next goes on.
    for (place, left) in [("reap.before_effect", 2), ("reap.after_effect", 1)] {
        let killed = lab.run_with(&["reap-stale", "--apply"], &[("SBX_CRASH_AT", place)]);
        assert_eq!(killed.code, -9, "{place}: {killed:?}");
        let things = |id: &&String| !lab.host.leftovers_of(id, Duration::ZERO).expect("an audit").is_empty();
        assert_eq!(
            [&lost, &lost_too].iter().filter(|id| things(id)).count(),
            left,
            "{place}"
        );
    }
    let reaped = lab.run(&["reap-stale", "--apply"]).json();
    for action in reaped["actions"].as_array().expect("a list") {
        let expected = if [&lost, &lost_too].iter().any(|id| action["sandbox_id"] == id.as_str()) {
            "reaped"
        } else {
            "kept"
        };
        assert_eq!(action["result"], expected, "{reaped}");
    }
    for id in [&lost, &lost_too] {
        let left = lab.host.leftovers_of(id, Duration::from_secs(10)).expect("an audit");
        assert!(left.is_empty(), "{left:?}");
    }
    for id in [&live, &theirs] {
        assert!(
            !lab.host.leftovers_of(id, Duration::ZERO).expect("an audit").is_empty(),
            "{id} is gone"
        );
    }
    lab.destroy(&live);
    lab.run(&["destroy", &theirs, "--data-dir", elsewhere]).json();
    lab.nothing_is_left();
}
