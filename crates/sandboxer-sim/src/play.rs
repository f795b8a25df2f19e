//! Plays one schedule to its end: callers, crashes, faults; then everything is healed, control planes look until there is
//! nothing left to do, and every promise must hold.

use std::sync::atomic::Ordering;
use std::time::Duration;

use sandboxer_extension::port::Clock as _;
use sandboxer_world::Books;

use crate::executor::{Owner, Unended};
use crate::hunt::Sabotage;
use crate::schedule::Schedule;
use crate::stage::{self, Recipes, lock};

/// Polls that a schedule may take at most: far more than any needs.
const POLLS: u64 = 5_000_000;
/// The same for each of its actions.
const POLLS_AN_ACTION: u64 = 5_000;

/// What a schedule came to.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Promises that were broken.
    pub broken: Vec<String>,
    /// A figure of everything that happened, in order: the same for the same schedule.
    pub hash: u64,
    /// How much happened.
    pub figures: Figures,
    /// What this process held of memory at each outage and at the end, in bytes. Says nothing about the schedule.
    pub memory: Vec<u64>,
    /// What happened to the sandboxes that broken promises name, in order.
    pub story: Vec<String>,
}

/// How much happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Sandboxes on record at the end.
    pub sandboxes: u64,
    /// Operations on record at the end.
    pub operations: u64,
    /// Changes of the world.
    pub effects: u64,
    /// Control planes that died.
    pub crashes: u64,
    /// Virtual seconds.
    pub seconds: u64,
}

/// Plays a schedule, with a safeguard switched off or with all of them.
///
/// # Errors
/// The stage could not be built: no promise is said to hold or to be broken.
pub fn play(schedule: &Schedule, recipes: &Recipes, sabotage: Option<Sabotage>) -> Result<Outcome, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|error| format!("cannot start a runtime: {error}"))?;
    runtime.block_on(async {
        let stage = stage::build(schedule, recipes, sabotage).await?;
        let mut order = fastrand::Rng::with_seed(schedule.seed ^ 0x5eed);
        let script = stage.clone();
        let actions = schedule.actions.clone();
        let planes = schedule.planes;
        stage.executor.spawn(Owner::World, async move {
            for _ in 0..planes {
                script.start();
            }
            for (pause, action) in actions {
                script.clock.sleep(pause).await;
                script.act(action);
            }
            // Whatever is still on its way may arrive.
            script.clock.sleep(Duration::from_secs(600)).await;
            script.settle().await;
        });
        let most = schedule.actions.len() as u64 * POLLS_AN_ACTION + POLLS;
        let over = || stage.is_over.load(Ordering::Relaxed);
        let run = stage
            .executor
            .run(&mut order, most, over, |number| stage.died(number))
            .await;
        let outcome = match run {
            Ok(()) => lock(&stage.end).take(),
            Err(unended) => {
                let what = match unended {
                    Unended::Panic(why) => format!("a task panicked: {why}"),
                    Unended::Deadlock => "nobody can go on".to_owned(),
                    Unended::Livelock => "it goes on for ever".to_owned(),
                };
                stage.watch.broken(format!("P8: {what}"));
                Some(stage.outcome(&Books {
                    sandboxes: &[],
                    events: &[],
                    operations: &[],
                    reservations: &[],
                }))
            }
        };
        // Tasks hold the stage, and the stage holds them.
        stage.executor.clear();
        outcome.ok_or_else(|| "the schedule ended without an outcome".to_owned())
    })
}
