//! One sandbox from its creation to its proven end, through the real binary.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by it, and keeps its own time"
)]

mod support;

use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Answer, World, finish, wait_until};

/// What a record looks like, without what differs from machine to machine.
fn shape(value: &Value) -> String {
    fn walk(value: &Value, path: &str, lines: &mut Vec<String>) {
        match value {
            Value::Object(map) => map
                .iter()
                .for_each(|(key, value)| walk(value, &format!("{path}.{key}"), lines)),
            Value::Array(_) => lines.push(format!("{path} = […]")),
            // Sizes and durations differ from run to run; that there is a figure does not.
            Value::Number(_) => lines.push(format!("{path} = [NUMBER]")),
            other => lines.push(format!("{path} = {other}")),
        }
    }
    let mut lines = Vec::new();
    walk(value, "", &mut lines);
    lines.join("\n")
}

/// What is slower than this says how far it is.
const FAST: Duration = Duration::from_secs(1);

/// A world in which a sandbox was made fast, and what its maker was told: a machine may stand still for some time, but not each
/// time.
fn made_fast() -> (World, Answer) {
    let words = [
        "create",
        "--profile",
        "profile.native",
        "--label",
        "team=blue",
        "--project",
        "demo",
    ];
    let make = || {
        let (world, asked) = (World::new(), Instant::now());
        let created = world.run(&words);
        if asked.elapsed() < FAST {
            return Some((world, created));
        }
        world.destroy(created.json()["sandbox_id"].as_str().unwrap());
        None
    };
    (0..5).find_map(|_| make()).unwrap()
}

#[test]
fn from_creation_to_proven_absence() {
    let (world, created) = made_fast();
    assert_eq!(
        created.stderr, "",
        "nothing but data when it is fast and nobody watches"
    );
    let created = created.json();
    assert_eq!(created["state"], "ready");
    assert_eq!(created["reused"], false);
    let id = created["sandbox_id"].as_str().unwrap();
    snapshot!(world, "created", shape(&created));

    let got = world.run(&["get", id]).json();
    assert_eq!(got["sandbox_id"], created["sandbox_id"]);
    let listed = world
        .run(&["list", "--state", "ready", "--label", "team=blue", "--project", "demo"])
        .json();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(world.run(&["list", "--project", "other"]).json(), serde_json::json!([]));
    assert_eq!(world.run(&["wait", id, "--for", "ready"]).json()["state"], "ready");
    assert!(
        world.run(&["reachability", "show", id]).json()["exec"]
            .as_str()
            .unwrap()
            .contains(id)
    );

    let executed = world.run(&["exec", id, "--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!(
        (executed.code, executed.stdout.as_str(), executed.stderr.as_str()),
        (7, "out\n", "err\n")
    );
    assert_eq!(world.run(&["get", id]).json()["state"], "active");

    let explained = world.run(&["explain", id]).json();
    for question in [
        "recipe",
        "backend",
        "location",
        "isolation",
        "reachability",
        "history",
        "cost",
    ] {
        assert!(
            !explained[question].is_null(),
            "{question} is not answered: {explained}"
        );
    }

    let destroyed = world.run(&["destroy", id]).json();
    assert_eq!(destroyed["state"], "destroyed");
    assert_eq!(destroyed["reason"], "destroyed_by_request");
    assert_eq!(destroyed["cleanup"]["verified"], "absent");
    assert_eq!(destroyed["already"], false);
    snapshot!(world, "destroyed", shape(&destroyed));

    let again = world.run(&["destroy", id]).json();
    assert_eq!(
        (&again["state"], &again["already"]),
        (&"destroyed".into(), &true.into())
    );
    assert_eq!(world.run(&["list"]).json(), serde_json::json!([]));
    assert_eq!(world.run(&["list", "--all"]).json().as_array().unwrap().len(), 1);
    let explained = world.run(&["explain", id]).json();
    assert_eq!(explained["history"]["cleanup"]["verified"], "absent");

    let events = world.run(&["events", id]).json();
    let numbers: Vec<u64> = events
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["seq"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
}

#[test]
fn tables_for_people() {
    let world = World::new();
    let id = world.create(&["--project", "demo"]);
    let table = |args: &[&str]| {
        let answer = world.run(&[args, &["--output", "table"]].concat());
        assert_eq!(answer.code, 0, "{answer:?}");
        answer.stdout
    };
    let listed = table(&["list"]);
    let headlines: Vec<&str> = listed.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(
        headlines,
        [
            "ID", "STATE", "PROFILE", "BACKEND", "HOST", "AGE", "TTL-LEFT", "PROJECT"
        ]
    );
    assert!(
        listed.contains(&id) && listed.contains("ext.native") && listed.contains("demo"),
        "{listed}"
    );
    assert!(table(&["get", &id]).starts_with(&format!("{id}  ready\n")));
    let explained = table(&["explain", &id]);
    let questions: Vec<&str> = explained
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_digit()))
        .collect();
    assert_eq!(
        questions,
        [
            "1  Which recipe",
            "2  Which backend, and why the others lost",
            "3  Where it runs",
            "4  How isolation is enforced, and what was tried from inside",
            "5  How it is reached",
            "6  What happened",
            "7  What it cost",
        ]
    );
    let destroyed = table(&["destroy", &id]);
    assert!(destroyed.starts_with(&format!("{id}  destroyed\n")), "{destroyed}");
    assert!(!listed.contains('\u{1b}'), "no color where nobody watches");
    assert!(
        world
            .run(&["list", "--all", "--output", "table", "--color", "always"])
            .stdout
            .contains('\u{1b}')
    );
}

#[test]
fn ids_may_be_shortened_while_they_are_unique() {
    let world = World::new();
    let (first, second) = (world.create(&[]), world.create(&[]));
    let common = first.bytes().zip(second.bytes()).take_while(|(a, b)| a == b).count();
    assert_eq!(
        world.run(&["get", &first[..=common]]).json()["sandbox_id"],
        first.as_str()
    );
    assert_eq!(
        world.run(&["get", &first["sbx-".len()..]]).json()["sandbox_id"],
        first.as_str()
    );
    let ambiguous = world.run(&["get", &first[..common]]);
    assert_eq!(ambiguous.code, 4);
    assert!(
        ambiguous.stderr.contains(&first) && ambiguous.stderr.contains(&second),
        "{ambiguous:?}"
    );
    let receipts = world.run(&["destroy", &first, &second]).json();
    assert_eq!(receipts.as_array().unwrap().len(), 2);
}

#[test]
fn a_dry_run_touches_nothing() {
    let world = World::new();
    let plan = world
        .run(&["create", "--profile", "profile.native", "--ttl", "90s", "--dry-run"])
        .json();
    assert!(!world.data.exists(), "a dry run made a data directory");
    assert_eq!(plan["extension_id"], "ext.native");
    assert_eq!(plan["ttl"], "90s");
    assert!(plan["profile_digest"].as_str().unwrap().starts_with("blake3:"));
    assert_eq!(world.run(&["list", "--all"]).json(), serde_json::json!([]));
    assert!(!world.data.join("native/sb").exists());
    let people = world.run(&["create", "--dry-run", "--output", "table"]);
    assert!(
        people.stdout.contains("candidate ext.native") && people.stdout.contains("ext.compose-ssh"),
        "{people:?}"
    );
}

#[test]
fn a_bare_create_runs_natively_where_no_host_is_configured() {
    let world = World::new();
    let created = world.run::<&str>(&["create"]).json();
    assert_eq!(created["profile_id"], "profile.sandbox-canary");
    assert_eq!(created["extension_id"], "ext.native");
    world.destroy(created["sandbox_id"].as_str().unwrap());
}

#[test]
fn what_is_not_waited_for_becomes_ready_by_itself() {
    let world = World::new();
    let accepted = world
        .run(&["create", "--profile", "profile.native", "--no-wait"])
        .json();
    let id = accepted["sandbox_id"].as_str().unwrap();
    assert!(
        ["requested", "provisioning"].contains(&accepted["state"].as_str().unwrap()),
        "{accepted}"
    );
    assert_eq!(
        world.run(&["wait", id, "--for", "ready", "--timeout", "20s"]).json()["state"],
        "ready"
    );
    world.destroy(id);
}

#[test]
fn deadlines_move_later_and_labels_change() {
    let world = World::new();
    let id = world.create(&["--ttl", "1h", "--label", "a=1", "--label", "b=2"]);
    let time = |value: &Value| value["expires_at"].as_str().unwrap().to_owned();
    let before = time(&world.run(&["get", &id]).json());
    let after = time(&world.run(&["extend-ttl", &id, "--duration", "1h"]).json());
    assert!(after > before, "{before} {after}");
    let labels = world.run(&["label", &id, "a-", "b=3", "c=4"]).json()["labels"].clone();
    assert_eq!(labels, serde_json::json!({"b": "3", "c": "4"}));
    world.destroy(&id);
}

#[test]
fn recreate_keeps_the_id_and_forgets_the_files() {
    let world = World::new();
    let id = world.create(&[]);
    assert_eq!(world.run(&["exec", &id, "--", "touch", "mark"]).code, 0);
    let again = world.run(&["recreate", &id]).json();
    assert_eq!(
        (&again["sandbox_id"], &again["generation"]),
        (&id.as_str().into(), &2.into())
    );
    assert_ne!(world.run(&["exec", &id, "--", "test", "-e", "mark"]).code, 0);
    world.destroy(&id);
}

#[test]
fn a_repository_is_seen_and_stays_untouched() {
    let world = World::new();
    world.write("repo/file.txt", "from outside\n");
    let id = world.create(&["--input", "repo=repo"]);
    assert_eq!(
        world.run(&["exec", &id, "--", "cat", "file.txt"]).stdout,
        "from outside\n"
    );
    assert_eq!(
        world
            .run(&["exec", &id, "--", "sh", "-c", "echo inside > file.txt; touch new"])
            .code,
        0
    );
    assert_eq!(world.run(&["exec", &id, "--", "cat", "file.txt"]).stdout, "inside\n");
    assert_eq!(std::fs::read_dir(world.work.join("repo")).unwrap().count(), 1);
    let kept = std::fs::File::open(world.work.join("repo/file.txt")).unwrap();
    assert_eq!(std::io::read_to_string(kept).unwrap(), "from outside\n");
    world.destroy(&id);
}

#[test]
fn time_runs_out() {
    let world = World::new();
    let id = world.create(&["--ttl", "1s"]);
    let ended = wait_until("it ends by itself", || {
        let record = world.run(&["get", &id]).json();
        if record["state"] == "destroyed" {
            Ok(record)
        } else {
            Err(record["state"].to_string())
        }
    });
    assert_eq!(ended["reason"], "ttl");
}

#[test]
fn twenty_at_once() {
    let world = World::new();
    let mut creating: Vec<_> = (0..20)
        .map(|_| world.start(&["create", "--profile", "profile.native", "--quiet"]))
        .collect();
    for child in creating.drain(..) {
        let output = finish(child);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let listed = world.run(&["list", "--state", "ready"]).json();
    let ids: Vec<&str> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["sandbox_id"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), 20);
    let receipts = world.run(&[&["destroy"], &ids[..]].concat()).json();
    assert!(
        receipts
            .as_array()
            .unwrap()
            .iter()
            .all(|one| one["state"] == "destroyed"),
        "{receipts}"
    );
}
