//! The real binary kills itself with SIGKILL at every place of every operation where that could matter; the next command
//! finishes or undoes what was begun, in time, and nothing is left of it. The places are found by a run that reaches them
//! all: each is as often a place as it is reached.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by it, and reads real files"
)]

mod clients;
mod complete;
mod server;
#[path = "../support/mod.rs"]
mod support;
mod verbs;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use support::World;
use verbs::Verb;

const KILLED: i32 = -9;
/// How long the command that finishes or undoes may take.
const RECOVERY: Duration = Duration::from_secs(2);
/// How often the same death is died at most until that holds: what takes long by itself takes long each time, and what only the
/// machine held up does not.
const TRIES: usize = 3;

/// Every place that was reached, in order, in the form that `SBX_CRASH_AT` takes.
fn hits(log: &Path) -> Vec<String> {
    let mut count: BTreeMap<&str, u32> = BTreeMap::new();
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let mut hits = Vec::new();
    for name in text.lines() {
        let number = count.entry(name).or_default();
        *number += 1;
        hits.push(format!("{name}:{number}"));
    }
    hits
}

/// Every place of a verb.
fn places(verb: &Verb) -> Vec<String> {
    let world = World::new();
    let id = verb.prepare(&world);
    let log = world.path().join("cuts");
    verb.invoke(&world, id.as_deref(), &[("SBX_CUT_LOG", log.to_str().unwrap())]);
    let reached = hits(&log);
    assert!(
        reached.len() >= verb.places,
        "it has {} places, and not {}: {reached:?}",
        reached.len(),
        verb.places
    );
    clean_up(&world);
    reached
}

/// What became of everything.
fn states(world: &World) -> Vec<String> {
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

/// A world in which a verb was killed at a place.
fn killed_at(verb: &Verb, place: &str) -> World {
    let world = World::new();
    let id = verb.prepare(&world);
    let killed = verb.invoke(&world, id.as_deref(), &[("SBX_CRASH_AT", place)]);
    assert_eq!(killed.code, KILLED, "{place}: {killed:?}");
    world
}

/// Looks, as any command does, and what was begun is at an end. How long that took.
fn recovers(world: &World, verb: &Verb, env: &[(&str, &str)], what: &str) -> Duration {
    let started = Instant::now();
    world.run_with(&["list"], env).json();
    let took = started.elapsed();
    for state in states(world) {
        assert!(verb.ends.contains(&state.as_str()), "after {what} it is {state}");
    }
    clean_up(world);
    took
}

/// Dies and recovers, which must be done in time once.
fn in_time(what: &str, mut die_and_recover: impl FnMut() -> Duration) {
    let mut least = Duration::MAX;
    for _ in 0..TRIES {
        least = least.min(die_and_recover());
        if least <= RECOVERY {
            break;
        }
    }
    assert!(least <= RECOVERY, "{what}: it took {least:?} to recover, at best");
}

/// Killed at every place.
fn once(verb: &Verb) {
    let places = places(verb);
    for place in &places {
        in_time(place, || recovers(&killed_at(verb, place), verb, &[], place));
    }
    eprintln!("{} deaths", places.len());
}

/// Killed at a place, and the command that finishes or undoes it killed at another. Whether that one was: whom it meets, and so
/// how often it comes by, is different each time; that it comes by once is not.
fn dies_again(verb: &Verb, place: &str, again: &str) -> bool {
    let what = format!("{place}, then {again}");
    let mut has_died = false;
    in_time(&what, || {
        let world = killed_at(verb, place);
        let killed = world.run_with(&["list"], &[("SBX_CRASH_AT", again)]);
        let need_not_die = killed.code == 0 && !again.ends_with(":1");
        assert!(killed.code == KILLED || need_not_die, "{what}: {killed:?}");
        has_died = killed.code == KILLED;
        recovers(&world, verb, &[], &what)
    });
    has_died
}

/// Killed at every place, and the command that finishes or undoes it killed at several.
fn twice(verb: &Verb) {
    let mut pairs = 0;
    for place in places(verb) {
        let mut seconds = Vec::new();
        in_time(&place, || {
            let world = killed_at(verb, &place);
            let log = world.path().join("cuts");
            let took = recovers(&world, verb, &[("SBX_CUT_LOG", log.to_str().unwrap())], &place);
            seconds = hits(&log);
            took
        });
        let many = seconds.len().min(verb.seconds());
        for number in 0..many {
            let again = &seconds[number * seconds.len() / many];
            pairs += usize::from((0..TRIES).any(|_| dies_again(verb, &place, again)));
        }
    }
    eprintln!("{pairs} double deaths");
    assert!(
        pairs >= verb.pairs,
        "only {pairs} double deaths, and not {}",
        verb.pairs
    );
}

/// Two tests of each verb, so that they run side by side.
macro_rules! killed {
    ($($name:ident: $verb:ident,)*) => {
        mod killed_at_every_place {
            $(#[test] fn $name() { super::once(&super::verbs::$verb) })*
        }

        mod killed_again_during_recovery {
            $(#[test] fn $name() { super::twice(&super::verbs::$verb) })*
        }

        const VERBS: &[&Verb] = &[$(&verbs::$verb,)*];
        /// What all of them come to at least.
        const DEATHS: usize = 0 $(+ verbs::$verb.places)*;
        const PAIRS: usize = 0 $(+ verbs::$verb.pairs)*;
    };
}

killed! {
    create: CREATE,
    create_with_a_key: CREATE_WITH_KEY,
    create_for_a_scope: CREATE_SHARED,
    create_in_vain: CREATE_IN_VAIN,
    run: RUN,
    run_what_fails: RUN_WHAT_FAILS,
    run_in_vain: RUN_IN_VAIN,
    destroy: DESTROY,
    destroy_what_is_lost: DESTROY_LOST,
    recreate: RECREATE,
    recreate_what_is_lost: RECREATE_LOST,
    recreate_what_is_gone: RECREATE_DESTROYED,
    extend_ttl: EXTEND,
    expire: EXPIRE,
    exec: EXEC,
    label: LABEL,
}

const _: () = assert!(DEATHS >= 200 && PAIRS >= 500);
