//! Eight clients at once, whose commands are killed at random moments: nothing that was acknowledged is lost, and nothing
//! is left.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{World, wait_within};

const CLIENTS: u64 = 8;
const KILLS: usize = 500;
/// How long everything may take to come to rest: a removal that is stuck is tried again after half a minute.
const REST: Duration = Duration::from_secs(120);
/// Live sandboxes that are known at most: with more, some are destroyed.
const KNOWN: usize = 40;

/// Everything a client was told of, and whether anybody asked for its end since.
type Known = Mutex<BTreeMap<String, bool>>;

fn lock(known: &Known) -> MutexGuard<'_, BTreeMap<String, bool>> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn five_hundred_kills_lose_nothing_and_leave_nothing() {
    let world = World::new();
    let known = Known::default();
    let kills = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (world, known, kills) = (&world, &known, &kills);
            scope.spawn(move || client(world, known, kills, &mut fastrand::Rng::with_seed(number)));
        }
    });
    let known = known.into_inner().unwrap_or_else(PoisonError::into_inner);
    let records = comes_to_rest(&world);
    for (id, is_ending) in &known {
        let state = records.get(id);
        assert!(state.is_some(), "{id} was acknowledged and is not on record");
        let lives = state.is_some_and(|state| state == "ready" || state == "active");
        assert!(lives || *is_ending, "{id} was acknowledged and is {state:?}");
    }
    let live = records
        .values()
        .filter(|state| *state == "ready" || *state == "active")
        .count();
    eprintln!(
        "{} kills, {} sandboxes on record, {} acknowledged, {live} alive at the end, none lost",
        kills.into_inner(),
        records.len(),
        known.len()
    );
    for (id, state) in &records {
        if state == "ready" || state == "active" {
            world.destroy(id);
        }
    }
}

/// Commands of one client until enough were killed.
fn client(world: &World, known: &Known, kills: &AtomicUsize, rng: &mut fastrand::Rng) {
    while kills.load(Ordering::Relaxed) < KILLS {
        let mut words: Vec<String> = Vec::new();
        let some = {
            let known = lock(known);
            let alive: Vec<&String> = known.iter().filter(|(_, ending)| !**ending).map(|(id, _)| id).collect();
            let some = rng.choice(alive.iter()).map(|id| (*id).clone());
            some.map(|id| (id, alive.len()))
        };
        let end = |words: &mut Vec<String>, verb: &str, id: String| {
            lock(known).insert(id.clone(), true);
            words.extend([verb.to_owned(), id]);
        };
        match (rng.u8(..10), some) {
            (0..=3, Some((_, many))) if many < KNOWN => create(&mut words),
            (_, None) => create(&mut words),
            (0..=5, Some((id, _))) => end(&mut words, "destroy", id),
            (6, Some((id, _))) => end(&mut words, "recreate", id),
            (7, Some((id, _))) => words.extend(["extend-ttl", &id, "--duration", "5m"].map(str::to_owned)),
            (8, Some((id, _))) => words.extend(["exec", &id, "--", "true"].map(str::to_owned)),
            _ => words.push("list".to_owned()),
        }
        let output = run(world, kills, &words, rng);
        if words.first().is_some_and(|verb| verb == "create")
            && let Ok(sandbox) = serde_json::from_slice::<Value>(&output)
        {
            // Who is told the id holds it, whatever became of the process after.
            lock(known).insert(sandbox["sandbox_id"].as_str().unwrap().to_owned(), false);
        }
    }
}

fn create(words: &mut Vec<String>) {
    words.extend(["create", "--profile", "profile.native"].map(str::to_owned));
}

/// Runs a command, and kills it at some moment if it has not ended by then. What it said.
fn run(world: &World, kills: &AtomicUsize, words: &[String], rng: &mut fastrand::Rng) -> Vec<u8> {
    let mut child = world
        .command(words)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let moment = Instant::now() + Duration::from_micros(rng.u64(..120_000));
    while let Some(left) = moment.checked_duration_since(Instant::now()) {
        if child.try_wait().unwrap().is_some() {
            break;
        }
        std::thread::park_timeout(left.min(Duration::from_millis(1)));
    }
    if child.try_wait().unwrap().is_none() {
        child.kill().unwrap();
        kills.fetch_add(1, Ordering::Relaxed);
    }
    child.wait_with_output().unwrap().stdout
}

/// Commands take over what dead ones left, some at a time, until nothing is under way. Every state on record.
fn comes_to_rest(world: &World) -> BTreeMap<String, String> {
    wait_within(REST, "everything comes to rest", || {
        let listed = world.run(&["list", "--all"]).json();
        let records: BTreeMap<String, String> = listed
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (text(&one["sandbox_id"]), text(&one["state"])))
            .collect();
        let open: Vec<_> = records
            .iter()
            .filter(|(_, state)| !["ready", "active", "destroyed", "failed"].contains(&state.as_str()))
            .collect();
        if open.is_empty() {
            Ok(records)
        } else {
            Err(format!("{open:?}"))
        }
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
