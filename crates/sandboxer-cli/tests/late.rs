//! Late effects of a process that somebody acted past: a `create` is stopped at a moment of its own, its sandbox is
//! destroyed meanwhile, and when it goes on it changes nothing any more.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by it, and keeps its own time"
)]

#[path = "support/still.rs"]
mod still;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rustix::process::Pid;
use still::{Stopped, What, is_writing, stop, wait_for};
use support::{World, finish, wait_until};

/// Trials in which there was something to destroy.
const TRIALS: usize = 70;
/// The same with the keeper stopped as well, all at the same time: a removal waits for a keeper before it acts in its place.
const WITH_KEEPER: u32 = 8;
/// Creates in one world, whose list of what was gets longer.
const IN_ONE_WORLD: u32 = 40;
/// Moments that the life of a create is cut into, evenly.
const MOMENTS: u32 = 35;
/// Creates at most.
const CREATES: u32 = 500;

const CREATE: [&str; 3] = ["create", "--profile", "profile.native"];

fn ids(world: &World) -> BTreeSet<String> {
    let listed = world.run(&["list", "--all"]).json();
    let all = listed.as_array().unwrap().iter();
    all.map(|one| one["sandbox_id"].as_str().unwrap().to_owned()).collect()
}

fn nothing_is_left(world: &World) {
    wait_until("nothing is left", || {
        let left = world.leftovers();
        if left.is_empty() { Ok(()) } else { Err(left.join("\n")) }
    });
}

fn trial(world: &World, moment: Duration, what: What) -> Stopped {
    let before = ids(world);
    let started = Instant::now();
    let child = world.start(&CREATE);
    let pid = Pid::from_child(&child);
    wait_for(started + moment);
    let standing = stop(pid, what);
    let mut made = BTreeSet::new();
    let stopped = if standing.0.first() != Some(&pid) {
        Stopped::TooLate
    } else if is_writing(&world.data, pid) {
        Stopped::Writing
    } else {
        made = ids(world).difference(&before).cloned().collect();
        made.first().map_or(Stopped::TooEarly, |_| Stopped::InTime)
    };
    for one in &made {
        world.destroy(one);
    }
    drop(standing);
    let output = finish(child);
    assert!(output.status.code().is_some(), "{moment:?}: {output:?}");
    if stopped != Stopped::InTime {
        made = ids(world).difference(&before).cloned().collect();
        made.iter().for_each(|one| world.destroy(one));
    }
    nothing_is_left(world);
    for one in &made {
        let record = world.run(&["get", one]).json();
        assert_eq!(record["state"], "destroyed", "{moment:?}: {output:?}: {record}");
    }
    stopped
}

/// A world whose database is made.
fn settled() -> World {
    let world = World::new();
    world.destroy(&world.create(&[]));
    world
}

/// How long a create takes here.
fn measured() -> Duration {
    let world = settled();
    let started = Instant::now();
    let one = world.create(&[]);
    let whole = started.elapsed();
    world.destroy(&one);
    whole
}

/// How long a create takes, given what a moment of it came to: the machine may be slower or faster than when it was
/// measured.
fn fitted(whole: Duration, came: Stopped) -> Duration {
    match came {
        Stopped::TooLate => whole * 95 / 100,
        Stopped::TooEarly => whole * 105 / 100,
        Stopped::InTime | Stopped::Writing => whole,
    }
}

/// The moments of the part in which there is something to destroy.
fn moment(whole: Duration, number: u32) -> Duration {
    whole / 4 + whole * (number % MOMENTS) / MOMENTS
}

#[test]
fn a_create_that_goes_on_after_its_sandbox_was_destroyed_changes_nothing() {
    let mut whole = measured();
    let mut world = settled();
    let mut counts = BTreeMap::new();
    for number in 0..CREATES {
        if number % IN_ONE_WORLD == 0 {
            world = settled();
        }
        let came = trial(&world, moment(whole, number), What::Itself);
        whole = fitted(whole, came);
        *counts.entry(came).or_insert(0) += 1;
        if counts.get(&Stopped::InTime) == Some(&TRIALS) {
            break;
        }
    }
    eprintln!("a create takes {whole:?}; stopped: {counts:?}");
    assert_eq!(counts.get(&Stopped::InTime), Some(&TRIALS), "{counts:?}");
}

#[test]
fn neither_does_a_keeper_that_goes_on() {
    let whole = measured();
    let one = |number: u32| {
        let world = settled();
        let mut first = whole / 2 + whole * number / WITH_KEEPER;
        let mut moment = first;
        // So many at once take longer, nobody knows by how much.
        for _ in 0..CREATES {
            match trial(&world, moment, What::WithChildren) {
                Stopped::InTime => return,
                Stopped::TooEarly | Stopped::Writing => moment += whole / 5,
                Stopped::TooLate => {
                    first = first * 9 / 10;
                    moment = first;
                }
            }
        }
        panic!("it was never stopped in time");
    };
    std::thread::scope(|scope| {
        for number in 0..WITH_KEEPER {
            scope.spawn(move || one(number));
        }
    });
    eprintln!("{WITH_KEEPER} of {WITH_KEEPER} stopped with their keepers changed nothing");
}
