//! A schedule of twenty-four hours: so many sandboxes, restarts, outages and set clocks that what grows or drifts slowly
//! shows.

use std::time::Duration;

use crate::network::Weather;
use crate::play::Outcome;
use crate::schedule::{Action, HOSTS, How, Memory, Schedule};
use crate::writes::Trouble;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Sandboxes that must come to be.
const SANDBOXES: u64 = 10_000;
/// Operations that must come to be.
const OPERATIONS: u64 = 40_000;
const OUTAGES: u64 = 24;
const HOST_OUTAGES: u64 = 6;
const JUMPS: u64 = 4;
/// By how much memory may grow in the second half of the day, in bytes: the checker keeps a line about each sandbox.
const GROWTH: u64 = 8 << 20;

/// Draws one thing of a kind.
type Draw = fn(&mut fastrand::Rng) -> Action;

/// How often each thing is tried, in a day: more than must come of it, for much of it is refused or meets what is gone.
const MIX: [(u32, Draw); 9] = [
    (11_500, |rng| Action::Create {
        recipe: [0, 0, 0, 1, 1, 3, 3, 4, 4, 2][rng.usize(..10)],
        how: match rng.u8(..20) {
            0 => How::Cancel(rng.u32(..60)),
            1..=3 => How::Accept,
            _ => How::Wait,
        },
        ttl: rng.u32(120..3600),
    }),
    (5_000, |rng| Action::Destroy(rng.usize(..64))),
    (4_500, |rng| Action::Recreate(rng.usize(..64))),
    (20_000, |rng| Action::Extend(rng.usize(..64), rng.u32(1..600))),
    (2_000, |rng| Action::Get(rng.usize(..64))),
    (1_000, |rng| Action::Label(rng.usize(..64))),
    (100, |_| Action::List),
    (300, |rng| Action::Vanish(rng.usize(..64))),
    (50, |_| Action::Reap),
];

/// The day of a seed.
pub fn draw(seed: u64) -> Schedule {
    let mut rng = fastrand::Rng::with_seed(seed);
    let span = u64::try_from(DAY.as_millis()).unwrap_or(u64::MAX);
    let mut timed: Vec<(u64, Action)> = Vec::new();
    for (many, make) in MIX {
        timed.extend((0..many).map(|_| (rng.u64(..span), make(&mut rng))));
    }
    let hour = span / OUTAGES;
    timed.extend((0..OUTAGES).map(|number| (number * hour + rng.u64(..hour), Action::Outage)));
    for which in 0..HOST_OUTAGES {
        let seconds = rng.u32(600..1800);
        let host = usize::try_from(which).unwrap_or(0) % HOSTS;
        timed.push((rng.u64(..span), Action::HostDown(host, seconds)));
    }
    timed.extend((0..JUMPS).map(|_| (rng.u64(..span), Action::Jump(rng.i32(-100_000..100_000)))));
    timed.sort_by_key(|(at, _)| *at);
    let mut before = 0;
    let actions = timed
        .into_iter()
        .map(|(at, action)| {
            let pause = Duration::from_millis(at - before);
            before = at;
            (pause, action)
        })
        .collect();
    Schedule {
        seed,
        planes: 2,
        weather: Weather {
            refused: 5,
            lost: 5,
            hung: 2,
            doubled: 3,
            slow: 5,
        },
        writes: Trouble {
            late: 20,
            lost: 1,
            unheard: 1,
        },
        looks: Duration::from_secs(15),
        slots: 100,
        memory: Memory::File,
        actions,
    }
}

fn count(schedule: &Schedule, is: impl Fn(&Action) -> bool) -> usize {
    schedule.actions.iter().filter(|(_, action)| is(action)).count()
}

/// What happened on a day, in a line.
pub fn tell(schedule: &Schedule, outcome: &Outcome) -> String {
    let figures = &outcome.figures;
    let mib = |bytes: Option<&u64>| bytes.copied().unwrap_or_default() >> 20;
    let memory = &outcome.memory;
    format!(
        "{} virtual hours, {} sandboxes, {} operations, {} changes of the world, {} outages, {} outages of hosts, {} jumps \
         of the calendar, {} broken; memory {} MiB after two outages, {} MiB at half, {} MiB after the last one",
        figures.seconds / 3600,
        figures.sandboxes,
        figures.operations,
        figures.effects,
        count(schedule, |action| matches!(action, Action::Outage)),
        count(schedule, |action| matches!(action, Action::HostDown(..))),
        count(schedule, |action| matches!(action, Action::Jump(_))),
        outcome.broken.len(),
        mib(memory.get(1)),
        mib(half(memory)),
        mib(last(memory)),
    )
}

fn half(memory: &[u64]) -> Option<&u64> {
    memory.get(memory.len() / 2)
}

/// At the last outage: the look at everything after it needs memory of its own.
fn last(memory: &[u64]) -> Option<&u64> {
    memory.iter().rev().nth(1)
}

/// What a day must come to and did not.
pub fn shortfalls(schedule: &Schedule, outcome: &Outcome) -> Vec<String> {
    let figures = &outcome.figures;
    let mut missing = Vec::new();
    for (what, is, least) in [
        ("sandboxes", figures.sandboxes, SANDBOXES),
        ("operations", figures.operations, OPERATIONS),
        ("virtual seconds", figures.seconds, DAY.as_secs() * 99 / 100),
    ] {
        if is < least {
            missing.push(format!("only {is} {what} of {least}"));
        }
    }
    if schedule.memory == Memory::File
        && let (Some(half), Some(last)) = (half(&outcome.memory), last(&outcome.memory))
        && *last > half + GROWTH
    {
        missing.push(format!("memory grew from {half} to {last} bytes in the second half"));
    }
    missing
}
