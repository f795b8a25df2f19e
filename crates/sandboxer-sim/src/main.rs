//! `cargo xtask sim` runs this: many seeds, one seed again, or the hunt for broken safeguards.
#![expect(clippy::disallowed_methods, reason = "a test program: it measures its own time")]

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use clap::Parser;
use sandboxer_sim::day;
use sandboxer_sim::hunt::{self, Sabotage};
use sandboxer_sim::play::{Figures, Outcome, play};
use sandboxer_sim::schedule::Schedule;
use sandboxer_sim::shrink::shrink;
use sandboxer_sim::stage::Recipes;

/// Plays seeded schedules of operations, faults and crashes, and checks every promise.
#[derive(Parser)]
#[command(name = "cargo xtask sim", bin_name = "cargo xtask sim")]
struct Arguments {
    /// How many seeds, beginning with `--first`.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, value_name = "S", default_value_t = 1)]
    first: u64,
    /// Only this seed, played twice, with its schedule.
    #[arg(long, value_name = "S", conflicts_with_all = ["seeds", "first", "mutants"])]
    seed: Option<u64>,
    /// One long day instead of many short schedules.
    #[arg(long, conflicts_with_all = ["seeds", "seed", "mutants"])]
    day: bool,
    /// Break one safeguard after the other; each must be noticed by one of the seeds.
    #[arg(long)]
    mutants: bool,
    /// Schedules at the same time; 0: as many as there are processors.
    #[arg(long, value_name = "N", default_value_t = 0)]
    jobs: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = Recipes::write()
        .map_err(|error| format!("cannot write the recipes: {error}"))
        .and_then(|recipes| match (arguments.seed, arguments.mutants) {
            _ if arguments.day => day(arguments.first, &recipes),
            (Some(seed), _) => one(seed, &recipes),
            (None, true) => mutants(&arguments, &recipes),
            (None, false) => many(&arguments, &recipes),
        });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn jobs(arguments: &Arguments) -> usize {
    match arguments.jobs {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        jobs => jobs,
    }
}

/// One seed, twice: the same must come of it.
fn one(seed: u64, recipes: &Recipes) -> Result<(), String> {
    let schedule = Schedule::draw(seed);
    println!("{schedule:#?}");
    let first = play(&schedule, recipes, None)?;
    let second = play(&schedule, recipes, None)?;
    println!("{:#?}", first.figures);
    println!("hash {:016x}, again {:016x}", first.hash, second.hash);
    if (first.hash, &first.broken, first.figures) != (second.hash, &second.broken, second.figures) {
        return Err(format!("seed {seed} does not come to the same twice"));
    }
    tell(seed, &schedule, &first, recipes, None)
}

/// Says what is broken and the smallest schedule that breaks it.
fn tell(
    seed: u64,
    schedule: &Schedule,
    outcome: &Outcome,
    recipes: &Recipes,
    sabotage: Option<Sabotage>,
) -> Result<(), String> {
    if outcome.broken.is_empty() {
        return Ok(());
    }
    for line in &outcome.broken {
        println!("seed {seed}: {line}");
    }
    for line in &outcome.story {
        println!("  {line}");
    }
    let small = shrink(schedule, recipes, sabotage)?;
    println!("the smallest part of it that breaks a promise: {small:#?}");
    for line in play(&small, recipes, sabotage)?.broken {
        println!("  {line}");
    }
    Err(format!(
        "seed {seed} breaks a promise; play it again with `cargo xtask sim --seed {seed}`"
    ))
}

/// A day with more of everything than anybody promised to bear.
fn day(seed: u64, recipes: &Recipes) -> Result<(), String> {
    let started = Instant::now();
    let schedule = day::draw(seed);
    let outcome = play(&schedule, recipes, None)?;
    println!("{} in {:.1?}", day::tell(&schedule, &outcome), started.elapsed());
    for line in outcome.broken.iter().take(50) {
        println!("{line}");
    }
    for line in outcome.story.iter().take(200) {
        println!("  {line}");
    }
    let missing = day::shortfalls(&schedule, &outcome);
    match (outcome.broken.len(), missing.is_empty()) {
        (0, true) => Ok(()),
        (0, false) => Err(missing.join("; ")),
        (broken, _) => Err(format!("the day of seed {seed} broke {broken} promises")),
    }
}

fn many(arguments: &Arguments, recipes: &Recipes) -> Result<(), String> {
    let started = Instant::now();
    let next = AtomicU64::new(arguments.first);
    let end = arguments.first.saturating_add(arguments.seeds);
    let stop = AtomicBool::new(false);
    let total = Mutex::new(Figures::default());
    let failed: Mutex<Vec<(u64, Result<Outcome, String>)>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..jobs(arguments) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end || stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let _patience = Patience::with(seed);
                    let outcome = play(&Schedule::draw(seed), recipes, None);
                    match outcome {
                        Ok(outcome) if outcome.broken.is_empty() => {
                            let mut total = total.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                            add(&mut total, outcome.figures);
                        }
                        bad => {
                            let mut failed = failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                            failed.push((seed, bad));
                            if failed.len() >= 5 {
                                stop.store(true, Ordering::Relaxed);
                            }
                        }
                    }
                }
            });
        }
    });
    let total = total.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut failed = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    failed.sort_by_key(|(seed, _)| *seed);
    println!(
        "{} seeds in {:.1?}: {} sandboxes, {} operations, {} changes of the world, {} crashes, {} virtual hours, {} broken",
        arguments.seeds,
        started.elapsed(),
        total.sandboxes,
        total.operations,
        total.effects,
        total.crashes,
        total.seconds / 3600,
        failed.len()
    );
    for (seed, outcome) in &failed {
        for line in outcome
            .as_ref()
            .map_or_else(|error| vec![error.clone()], |one| one.broken.clone())
        {
            println!("seed {seed}: {line}");
        }
    }
    match failed.into_iter().next() {
        None => Ok(()),
        Some((seed, outcome)) => tell(seed, &Schedule::draw(seed), &outcome?, recipes, None),
    }
}

/// How long one schedule may take: some hundred times what it does.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(120);

/// Ends everything when a schedule does not end: one that never lets others run cannot be stopped otherwise.
struct Patience {
    /// Dropped with this: the other side hears of it.
    _done: std::sync::mpsc::Sender<()>,
}

impl Patience {
    fn with(seed: u64) -> Patience {
        let (done, wait) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            if wait.recv_timeout(LONGEST) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                eprintln!("error: seed {seed} does not end: somebody in it never waits");
                std::process::exit(1);
            }
        });
        Patience { _done: done }
    }
}

fn add(total: &mut Figures, one: Figures) {
    total.sandboxes += one.sandboxes;
    total.operations += one.operations;
    total.effects += one.effects;
    total.crashes += one.crashes;
    total.seconds += one.seconds;
}

fn mutants(arguments: &Arguments, recipes: &Recipes) -> Result<(), String> {
    let all: Vec<Sabotage> = hunt::all().collect();
    let next = AtomicU64::new(0);
    let found: Mutex<Vec<(usize, String)>> = Mutex::default();
    let missed = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..jobs(arguments) {
            scope.spawn(|| {
                loop {
                    let index = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap_or(usize::MAX);
                    let Some(sabotage) = all.get(index) else { return };
                    let seeds = arguments.first..arguments.first.saturating_add(arguments.seeds);
                    let line = match hunt::hunt(*sabotage, seeds, recipes) {
                        Ok(Some((seed, why))) => format!("{sabotage:?} is noticed by seed {seed}: {why}"),
                        Ok(None) => {
                            missed.fetch_add(1, Ordering::Relaxed);
                            format!("{sabotage:?} IS NOT NOTICED by {} seeds", arguments.seeds)
                        }
                        Err(error) => {
                            missed.fetch_add(1, Ordering::Relaxed);
                            format!("{sabotage:?}: {error}")
                        }
                    };
                    found
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                        .push((index, line));
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    found.sort();
    for (_, line) in &found {
        println!("{line}");
    }
    match missed.into_inner() {
        0 => Ok(()),
        missed => Err(format!(
            "{missed} of {} safeguards can be missing unnoticed",
            found.len()
        )),
    }
}
