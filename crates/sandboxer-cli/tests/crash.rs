//! The real binary kills itself with SIGKILL at every place of every operation where that could matter; the next command
//! finishes or undoes what was begun, and nothing is left of it. The places are found by a run that reaches them all.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by it, and reads real files"
)]

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use support::{Answer, World};

const KILLED: i32 = -9;

/// The verbs, with what each needs to be there and what may be true of the sandbox once a later command has looked.
struct Verb {
    name: &'static str,
    args: &'static [&'static str],
    on: Sandbox,
    /// States it may have come to; `gone` stands for `destroyed`, `failed` and for never having been stored.
    ends: &'static [&'static str],
    /// Fewest places it must have.
    places: usize,
}

#[derive(PartialEq)]
enum Sandbox {
    None,
    Made,
}

const VERBS: [Verb; 5] = [
    Verb {
        name: "create",
        args: &["create", "--profile", "profile.native"],
        on: Sandbox::None,
        ends: &["ready", "gone"],
        places: 10,
    },
    Verb {
        name: "run",
        args: &["run", "--", "true"],
        on: Sandbox::None,
        ends: &["gone"],
        places: 14,
    },
    Verb {
        name: "destroy",
        args: &["destroy"],
        on: Sandbox::Made,
        ends: &["ready", "gone"],
        places: 8,
    },
    Verb {
        name: "recreate",
        args: &["recreate"],
        on: Sandbox::Made,
        ends: &["ready", "gone"],
        places: 14,
    },
    Verb {
        name: "extend-ttl",
        args: &["extend-ttl", "--duration", "1h"],
        on: Sandbox::Made,
        ends: &["ready"],
        places: 8,
    },
];

fn invoke(world: &World, verb: &Verb, id: Option<&str>, env: &[(&str, &str)]) -> Answer {
    let mut args = verb.args.to_vec();
    args.extend(id);
    world.run_with(&args, env)
}

fn target(world: &World, verb: &Verb) -> Option<String> {
    (verb.on == Sandbox::Made).then(|| world.create(&[]))
}

/// Every place that a command reaches, in the form `SBX_CRASH_AT` takes.
fn places(verb: &Verb) -> BTreeSet<String> {
    let world = World::new();
    let id = target(&world, verb);
    let log = world.path().join("cuts");
    let answer = invoke(&world, verb, id.as_deref(), &[("SBX_CUT_LOG", log.to_str().unwrap())]);
    assert_eq!(answer.code, 0, "{answer:?}");
    let reached = lines(&log);
    assert!(
        reached.len() >= verb.places,
        "{} has places nobody reaches: {reached:?}",
        verb.name
    );
    clean_up(&world);
    reached
}

fn lines(log: &Path) -> BTreeSet<String> {
    std::fs::read_to_string(log)
        .unwrap_or_default()
        .lines()
        .map(str::to_owned)
        .collect()
}

/// Looks, as any command does, and says what became of everything.
fn look(world: &World) -> Vec<String> {
    world
        .run(&["list", "--all"])
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|sandbox| match sandbox["state"].as_str().unwrap() {
            "destroyed" | "failed" => "gone".to_owned(),
            state => state.to_owned(),
        })
        .collect()
}

/// Removes what is still there; the world then checks that nothing is left on the machine.
fn clean_up(world: &World) {
    for sandbox in world.run(&["list"]).json().as_array().unwrap() {
        world.run(&["destroy", sandbox["sandbox_id"].as_str().unwrap()]).json();
    }
}

#[test]
fn killed_at_every_place() {
    let mut cases = 0;
    for verb in &VERBS {
        for place in places(verb) {
            let world = World::new();
            let id = target(&world, verb);
            let killed = invoke(&world, verb, id.as_deref(), &[("SBX_CRASH_AT", &place)]);
            assert_eq!(killed.code, KILLED, "{place}: {killed:?}");
            for state in look(&world) {
                assert!(verb.ends.contains(&state.as_str()), "after {place} it is {state}");
            }
            clean_up(&world);
            cases += 1;
        }
    }
    println!("{cases} deaths");
    assert!(cases >= 50, "only {cases} deaths");
}

/// The command that finishes or undoes is itself killed at every place it reaches.
#[test]
fn killed_again_while_it_is_undone() {
    let mut cases = 0;
    for verb in &VERBS {
        let world = World::new();
        // In the middle: something is there, and not all of it is on record.
        let place = places(verb)
            .into_iter()
            .find(|place| place.ends_with("provision.after_effect"));
        let place = place.unwrap_or_else(|| format!("{}.intend.after_commit", verb.name.replace('-', "_")));
        let log = world.path().join("cuts");
        let id = target(&world, verb);
        invoke(&world, verb, id.as_deref(), &[("SBX_CRASH_AT", &place)]);
        world
            .run_with(&["list"], &[("SBX_CUT_LOG", log.to_str().unwrap())])
            .json();
        clean_up(&world);
        let second = lines(&log);
        assert!(!second.is_empty(), "{place}: there was nothing to do");
        for again in second {
            let world = World::new();
            let id = target(&world, verb);
            invoke(&world, verb, id.as_deref(), &[("SBX_CRASH_AT", &place)]);
            let killed = world.run_with(&["list"], &[("SBX_CRASH_AT", &again)]);
            assert_eq!(killed.code, KILLED, "{place}, then {again}: {killed:?}");
            for state in look(&world) {
                assert!(
                    verb.ends.contains(&state.as_str()),
                    "after {place}, then {again} it is {state}"
                );
            }
            clean_up(&world);
            cases += 1;
        }
    }
    println!("{cases} double deaths");
    assert!(cases >= 15, "only {cases} double deaths");
}
