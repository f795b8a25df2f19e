//! What happens when: everything drawn from a seed, as plain data, so that parts can be left out.

use std::time::Duration;

use crate::network::Weather;
use crate::writes::Trouble;

/// What a caller or the world does. Sandboxes are named by a number that is taken modulo how many there are then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Somebody wants a sandbox.
    Create {
        /// Which recipe, of [`RECIPES`].
        recipe: usize,
        /// How.
        how: How,
        /// Time to live in seconds.
        ttl: u32,
    },
    /// Somebody wants it gone.
    Destroy(usize),
    /// Somebody wants it new.
    Recreate(usize),
    /// Somebody wants it longer, by so many seconds.
    Extend(usize, u32),
    /// Somebody wants it longer so many milliseconds before its time has passed, and somebody else sweeps so many after.
    Brink(usize, u8, u8),
    /// Somebody sweeps.
    Expire,
    /// Somebody looks at one.
    Get(usize),
    /// Somebody looks at all.
    List,
    /// Somebody labels one.
    Label(usize),
    /// Nobody uses one for as long as its profile bears; then somebody does, and somebody looks who is idle, within so many
    /// milliseconds of each other.
    Idle(usize, u8, u8),
    /// Somebody removes what is left over on hosts.
    Reap,
    /// A process dies after so many more of its boundaries.
    Crash(u32),
    /// A process dies where it waits.
    Kill,
    /// A process stands still for so many seconds, and nobody can tell whether it lives.
    Stall(u32),
    /// A sandbox ends by itself.
    Vanish(usize),
    /// A host goes out of reach for so many seconds.
    HostDown(usize, u32),
    /// The next so many removals remove nothing.
    Stubborn(u8),
    /// The next so many removals remove nothing and cannot tell.
    Murky(u8),
    /// The next so many looks cannot tell.
    Blind(u8),
    /// The next so many inventories are incomplete.
    Partial(u8),
    /// Somebody else puts something on a host.
    Foreign(usize),
    /// Somebody sets the calendar of the control planes forward or back, by seconds.
    Jump(i32),
    /// Every control plane dies where it waits.
    Outage,
}

/// How a sandbox is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// The caller waits for it.
    Wait,
    /// It is accepted, and some process takes it up.
    Accept,
    /// The caller changes its mind after so many milliseconds.
    Cancel(u32),
}

/// Where control planes keep what they know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// In this process: fast.
    Ram,
    /// In a file: nothing of it stays in this process.
    File,
}

/// The recipes of a schedule, by file name.
pub const RECIPES: [&str; 6] = ["fake", "two", "shared", "far", "hosted", "idle"];
/// Hosts of a schedule.
pub const HOSTS: usize = 2;

/// All that happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// What it was drawn from; also decides the order of tasks and what becomes of calls.
    pub seed: u64,
    /// Control planes at the same time.
    pub planes: u32,
    /// How often calls go wrong.
    pub weather: Weather,
    /// How often writes go wrong.
    pub writes: Trouble,
    /// From one look of a control plane to the next.
    pub looks: Duration,
    /// Sandboxes that each host has room for.
    pub slots: u8,
    /// Where the store is.
    pub memory: Memory,
    /// What happens, each after the one before by so much time.
    pub actions: Vec<(Duration, Action)>,
}

impl Schedule {
    /// The schedule of a seed.
    pub fn draw(seed: u64) -> Schedule {
        let mut rng = fastrand::Rng::with_seed(seed);
        let foul = |rng: &mut fastrand::Rng, most: u16| if rng.u8(..3) == 0 { 0 } else { rng.u16(..most) };
        let weather = Weather {
            refused: foul(&mut rng, 120),
            lost: foul(&mut rng, 120),
            hung: foul(&mut rng, 60),
            doubled: foul(&mut rng, 60),
            slow: foul(&mut rng, 120),
        };
        let writes = Trouble {
            late: foul(&mut rng, 400),
            lost: foul(&mut rng, 30),
            unheard: foul(&mut rng, 30),
        };
        let looks = Duration::from_secs([15, 30, 60, 120][rng.usize(..4)]);
        let crashes = rng.u8(..3);
        let count = rng.usize(4..36);
        let actions = (0..count)
            .map(|_| {
                let pause = match rng.u8(..10) {
                    0..=3 => Duration::from_millis(rng.u64(..30)),
                    4..=7 => Duration::from_secs(rng.u64(..20)),
                    _ => Duration::from_secs(rng.u64(..900)),
                };
                (pause, action(&mut rng, crashes))
            })
            .collect();
        Schedule {
            seed,
            planes: rng.u32(1..=3),
            weather,
            writes,
            looks,
            slots: 3,
            memory: Memory::Ram,
            actions,
        }
    }
}

fn action(rng: &mut fastrand::Rng, crashes: u8) -> Action {
    let some = rng.usize(..64);
    match rng.u8(..100) {
        0..=29 => Action::Create {
            recipe: rng.usize(..RECIPES.len()),
            how: match rng.u8(..10) {
                0..=6 => How::Wait,
                7..=8 => How::Accept,
                _ => How::Cancel(rng.u32(..60)),
            },
            ttl: rng.u32(60..3600),
        },
        30..=43 => Action::Destroy(some),
        44..=50 => Action::Recreate(some),
        51..=57 => Action::Extend(some, rng.u32(1..1200)),
        58..=60 => Action::Brink(some, rng.u8(..80), rng.u8(..80)),
        61..=63 => Action::Expire,
        64..=68 => Action::Get(some),
        69..=71 => Action::List,
        72 => Action::Label(some),
        73 => Action::Idle(some, rng.u8(..80), rng.u8(..80)),
        74..=76 => Action::Reap,
        77..=86 if crashes > 0 => Action::Crash(rng.u32(1..60)),
        77..=86 => Action::List,
        87..=88 => Action::Kill,
        89 => Action::Stall(rng.u32(1..900)),
        90..=91 => Action::Vanish(some),
        92..=94 => Action::HostDown(some, rng.u32(1..900)),
        95 => match rng.bool() {
            true => Action::Stubborn(rng.u8(1..5)),
            false => Action::Murky(rng.u8(1..5)),
        },
        96..=97 => Action::Blind(rng.u8(1..5)),
        98 => match rng.bool() {
            true => Action::Partial(rng.u8(1..5)),
            false => Action::Jump(rng.i32(-100_000..100_000)),
        },
        _ => Action::Foreign(some),
    }
}
