//! A repository's Compose stack on a host over SSH: ours and two scripts, on the same host, in the same rounds.
//!
//! Scripts of a person build with what the engine kept of the last build, and so do ours; images that were built are
//! removed between runs, outside of the timed stretch.

use std::path::PathBuf;
use std::time::Duration;

use sandboxer_testbed::{Host, Plan, Proxy, fixture};

use super::figures::{Dice, Figures};
use super::place::{Place, id_of};
use super::timer::Spec;
use crate::{Outcome, workspace};

/// The added time each way, for the second half of the cases.
pub(super) const DELAY: Duration = Duration::from_millis(25);

/// Who does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// `sandboxer create` and `sandboxer destroy`, ready when health checks pass, as the scripts wait for it.
    Ours,
    /// The same with the shipped profile: ready when everything runs.
    OursRunning,
    /// One connection for each.
    Best,
    /// A connection for each step.
    Usual,
}

/// What is brought up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stack {
    /// A page.
    One,
    /// A page, a database with a volume, a cache.
    Three,
    /// The same, and the page is built and has a health check.
    Built,
}

/// What is brought up, by whom, how far away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) who: Who,
    pub(super) stack: Stack,
    pub(super) is_far: bool,
}

/// What one kind took.
pub(super) struct Row {
    pub(super) kind: Kind,
    pub(super) create: Figures,
    pub(super) destroy: Figures,
    /// Medians of connections and round trips of a create, and of a destroy.
    pub(super) create_traffic: Traffic,
    pub(super) destroy_traffic: Traffic,
}

/// What went over the network.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Traffic {
    pub(super) connections: u64,
    pub(super) turns: u64,
}

/// Everything that was measured.
pub(super) struct Measured {
    pub(super) rows: Vec<Row>,
    pub(super) runs: usize,
    /// Why ours is not among them.
    pub(super) without_ours: Option<String>,
}

/// The host, two ways to it, and two repositories.
struct Bench<'a> {
    place: &'a Place,
    host: Host,
    near: Proxy,
    far: Proxy,
    one: PathBuf,
    three: PathBuf,
    built: PathBuf,
}

/// One create and one destroy; nanoseconds and traffic of each.
type Life = ((u64, Traffic), (u64, Traffic));

/// Measures so many rounds; each does every kind once, in an order of its own. The first round does not count.
pub(super) fn measure(place: &Place, runs: usize) -> Outcome<Measured> {
    let said = |error: sandboxer_testbed::Unavailable| format!("Compose over SSH: {error}");
    let host = Host::start(Plan::new().disk_mib(2048)).map_err(said)?;
    let bench = Bench {
        place,
        near: Proxy::count(&host).map_err(said)?,
        far: Proxy::delay(&host, DELAY).map_err(said)?,
        one: place.sub("repository-one"),
        three: place.sub("repository-three"),
        built: place.sub("repository-built"),
        host,
    };
    for folder in [&bench.one, &bench.three, &bench.built] {
        std::fs::create_dir_all(folder).map_err(|error| format!("cannot make a repository: {error}"))?;
    }
    fixture::plain_one(&bench.one).map_err(said)?;
    fixture::plain_three(&bench.three).map_err(said)?;
    fixture::web_db_cache(&bench.built).map_err(said)?;

    let ours = Kind {
        who: Who::Ours,
        stack: Stack::One,
        is_far: false,
    };
    let without_ours = bench.life(ours).err();
    let mut kinds = Vec::new();
    for (stack, is_far) in [
        (Stack::One, false),
        (Stack::Three, false),
        (Stack::Built, false),
        (Stack::One, true),
        (Stack::Three, true),
    ] {
        for who in [Who::Ours, Who::OursRunning, Who::Best, Who::Usual] {
            let is_ours = matches!(who, Who::Ours | Who::OursRunning);
            // Without health checks the two are the same.
            let is_double = who == Who::OursRunning && stack != Stack::Built;
            if !is_double && (!is_ours || without_ours.is_none()) {
                kinds.push(Kind { who, stack, is_far });
            }
        }
    }
    let mut lives: Vec<Vec<Life>> = vec![Vec::new(); kinds.len()];
    let mut dice = Dice::seeded();
    for round in 0..=runs {
        let mut order: Vec<usize> = (0..kinds.len()).collect();
        dice.shuffle(&mut order);
        for index in order {
            let (Some(kind), Some(lives)) = (kinds.get(index), lives.get_mut(index)) else {
                continue;
            };
            let life = bench.life(*kind)?;
            if round > 0 {
                lives.push(life);
            }
        }
        eprint!("\rCompose over SSH: round {round} of {runs} ");
    }
    eprintln!();
    let rows = kinds.into_iter().zip(lives).map(|(kind, lives)| row(kind, &lives));
    Ok(Measured {
        rows: rows.collect(),
        runs,
        without_ours,
    })
}

fn row(kind: Kind, lives: &[Life]) -> Row {
    let middle = |pick: &dyn Fn(&Life) -> u64| {
        let mut all: Vec<u64> = lives.iter().map(pick).collect();
        all.sort_unstable();
        all.get(all.len() / 2).copied().unwrap_or(0)
    };
    Row {
        kind,
        create: Figures::of(lives.iter().map(|life| life.0.0).collect()),
        destroy: Figures::of(lives.iter().map(|life| life.1.0).collect()),
        create_traffic: Traffic {
            connections: middle(&|life| life.0.1.connections),
            turns: middle(&|life| life.0.1.turns),
        },
        destroy_traffic: Traffic {
            connections: middle(&|life| life.1.1.connections),
            turns: middle(&|life| life.1.1.turns),
        },
    }
}

impl Bench<'_> {
    /// Brings one stack up and takes it down again; what is left of it is removed outside of the timed stretch.
    fn life(&self, kind: Kind) -> Outcome<Life> {
        let proxy = if kind.is_far { &self.far } else { &self.near };
        let profile = workspace::root().join("bench/profile.compose-healthy.yaml");
        let profile = profile.to_string_lossy();
        let life = match kind.who {
            Who::Ours => self.ours(kind, proxy, &profile),
            Who::OursRunning => self.ours(kind, proxy, "profile.compose-e2e"),
            Who::Best => self.script("compose-best.sh", kind, proxy),
            Who::Usual => self.script("compose-usual.sh", kind, proxy),
        };
        // A stack that did not come up may be half there, and in the way of the next.
        let tidy = "ids=$(docker ps -aq); [ -z \"$ids\" ] || docker rm -f $ids
                    docker images --format '{{.Repository}}:{{.Tag}}' | grep -v '^busybox:' | xargs -r docker rmi
                    docker network prune -f; docker volume prune -f; rm -rf /root/bench";
        self.host.sh(tidy).map_err(|error| error.to_string())?;
        life
    }

    fn repository(&self, kind: Kind) -> String {
        let folder = match kind.stack {
            Stack::One => &self.one,
            Stack::Three => &self.three,
            Stack::Built => &self.built,
        };
        folder.to_string_lossy().into_owned()
    }

    fn ours(&self, kind: Kind, proxy: &Proxy, profile: &str) -> Outcome<Life> {
        let caller = self.place.callers.first().ok_or("nobody to create sandboxes")?;
        let config = proxy.ssh_config(&self.host).map_err(|error| error.to_string())?;
        let us = |words: &[&str]| {
            let mut spec = self.place.sandboxer(caller, words);
            let config = config.to_string_lossy().into_owned();
            spec.env.push(("SANDBOXER_SSH_CONFIG".into(), config));
            spec
        };
        let input = format!("repo={}", self.repository(kind));
        let words = ["create", "--profile", profile, "--input", &input];
        let (created, printed) = timed(&us(&[&words[..], &["--host", self.host.alias()]].concat()), proxy)?;
        let id = id_of(&printed)?;
        let (destroyed, _) = timed(&us(&["destroy", &id]), proxy)?;
        Ok((created, destroyed))
    }

    fn script(&self, name: &str, kind: Kind, proxy: &Proxy) -> Outcome<Life> {
        let script = workspace::root().join("bench/peers").join(name);
        let script = script.to_string_lossy().into_owned();
        let config = proxy.ssh_config(&self.host).map_err(|error| error.to_string())?;
        let step = |step: &str| {
            let mut spec = Spec::new(&["sh", &script, step]);
            let variables = [
                ("CONFIG", config.to_string_lossy().into_owned()),
                ("HOST", self.host.alias().to_owned()),
                ("REPO", self.repository(kind)),
                ("NAME", "stack".to_owned()),
                ("HOME", self.place.folder.to_string_lossy().into_owned()),
            ];
            spec.env.extend(variables.map(|(name, value)| (name.to_owned(), value)));
            timed(&spec, proxy).map(|(taken, _)| taken)
        };
        Ok((step("create")?, step("destroy")?))
    }
}

/// Runs a command; what it took, what went over the network meanwhile, and what it printed.
fn timed(spec: &Spec, proxy: &Proxy) -> Outcome<((u64, Traffic), String)> {
    let before = proxy.counts();
    let sample = spec.time();
    if let Some(error) = sample.error {
        return Err(format!("`{}`: {error}", spec.argv.join(" ")));
    }
    let after = proxy.counts();
    let traffic = Traffic {
        connections: after.connections - before.connections,
        turns: after.turns - before.turns,
    };
    Ok(((sample.nanoseconds, traffic), sample.stdout))
}
