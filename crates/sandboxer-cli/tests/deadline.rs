//! The time to live holds with everybody of ours dead: pid 1 of a sandbox keeps it, with a command running inside, and
//! with its keeper killed as well.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by it, and keeps its own time"
)]

mod support;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::Value;
use support::World;

const SANDBOXES: usize = 20;
const TTL: &str = "20s";
const GRACE: Duration = Duration::from_secs(60);

/// A sandbox as the machine knows it.
struct Made {
    id: String,
    deadline: Timestamp,
    first: OwnedFd,
    keeper: OwnedFd,
}

fn make(world: &World) -> Made {
    let created = world
        .run(&["create", "--profile", "profile.native", "--ttl", TTL])
        .json();
    let id = created["sandbox_id"].as_str().unwrap().to_owned();
    assert_eq!(
        world.run(&["exec", "--detach", &id, "--", "sleep", "1000"]).code,
        0,
        "something runs inside"
    );
    let state = File::open(world.data.join("native/sb").join(&id).join("state.json")).unwrap();
    let state: Value = serde_json::from_reader(state).unwrap();
    Made {
        deadline: created["expires_at"].as_str().unwrap().parse().unwrap(),
        first: process(&state["init"]),
        keeper: process(&state["shim"]),
        id,
    }
}

fn process(known: &Value) -> OwnedFd {
    let pid = i32::try_from(known["pid"].as_i64().unwrap()).unwrap();
    pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap()
}

/// Waits for the end of these processes, each with the time it came at.
fn ends_of(processes: &[&OwnedFd], patience: Duration) -> Vec<Option<Timestamp>> {
    let until = Instant::now() + patience;
    let mut ends = vec![None; processes.len()];
    loop {
        let waiting: Vec<usize> = (0..ends.len()).filter(|&index| ends[index].is_none()).collect();
        let left = until.saturating_duration_since(Instant::now());
        if waiting.is_empty() || left.is_zero() {
            return ends;
        }
        let of = |&index: &usize| PollFd::new(processes[index], PollFlags::IN);
        let mut polled: Vec<PollFd<'_>> = waiting.iter().map(of).collect();
        poll(&mut polled, Some(&Timespec::try_from(left).unwrap())).unwrap();
        for (index, process) in waiting.iter().zip(polled) {
            if !process.revents().is_empty() {
                ends[*index] = Some(Timestamp::now());
            }
        }
    }
}

#[test]
fn twenty_of_twenty_are_gone_in_time_with_nobody_left_to_remove_them() {
    let world = World::new();
    let made: Vec<Made> = (0..SANDBOXES).map(|_| make(&world)).collect();
    // Nobody but the keepers is left of us, and of every other sandbox not even that one.
    let killed: Vec<&OwnedFd> = made.iter().step_by(2).map(|one| &one.keeper).collect();
    for keeper in &killed {
        pidfd_send_signal(keeper, Signal::KILL).unwrap();
    }
    assert!(ends_of(&killed, GRACE).iter().all(Option::is_some), "a keeper lives on");
    let first: Vec<&OwnedFd> = made.iter().map(|one| &one.first).collect();
    let alive = ends_of(&first, Duration::from_millis(1));
    assert!(alive.iter().all(Option::is_none), "it ended with its keeper: {alive:?}");

    let last = made.iter().map(|one| one.deadline).max().unwrap();
    let left = Duration::try_from(last.duration_since(Timestamp::now())).unwrap();
    let late: Vec<Duration> = ends_of(&first, left + GRACE)
        .into_iter()
        .zip(&made)
        .map(|(end, one)| {
            let end = end.unwrap_or_else(|| panic!("{} lives on {GRACE:?} after its deadline", one.id));
            // Deadlines are kept to the millisecond.
            let early = one.deadline.duration_since(end).as_millis();
            assert!(early <= 1, "{} ended {early} ms before its deadline", one.id);
            Duration::try_from(end.duration_since(one.deadline)).unwrap_or_default()
        })
        .collect();
    let worst = late.iter().max().unwrap();
    assert!(*worst < GRACE, "{worst:?}");
    eprintln!(
        "{SANDBOXES} of {SANDBOXES} gone, {} of them without a keeper, the last {worst:?} after its deadline",
        killed.len()
    );

    let listed = world.run(&["list", "--all"]).json();
    for one in &made {
        let mut records = listed.as_array().unwrap().iter();
        let record = records.find(|record| record["sandbox_id"] == one.id.as_str()).unwrap();
        assert_eq!(
            (&record["state"], &record["reason"]),
            (&"destroyed".into(), &"ttl".into()),
            "{record}"
        );
    }
    // The world looks for what is left when it goes.
}
