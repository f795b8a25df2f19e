//! Safeguards that are switched off on purpose, one at a time: some seed must notice each, or the checks are worth nothing.

use sandboxer_engine::faults::Safeguard;
use sandboxer_world::Mutant;

use crate::play::play;
use crate::schedule::Schedule;
use crate::stage::Recipes;

/// What is broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// A safeguard of the engine is off.
    Engine(Safeguard),
    /// The backends break their contract.
    Backend(Mutant),
}

/// Breaches of contract by backends that an engine cannot make good and that must show.
const BACKENDS: [Mutant; 6] = [
    Mutant::IgnoresEpochs,
    Mutant::ForgetsIdempotency,
    Mutant::TeardownLies,
    Mutant::TeardownLeavesDirectory,
    Mutant::GuardIsEarly,
    Mutant::ForgetsLaterDeadline,
];

/// All that is tried.
pub fn all() -> impl Iterator<Item = Sabotage> {
    let engine = Safeguard::ALL.iter().copied().map(Sabotage::Engine);
    engine.chain(BACKENDS.into_iter().map(Sabotage::Backend))
}

/// The first of these seeds that notices, and what it noticed first.
///
/// # Errors
/// A stage could not be built.
pub fn hunt(
    sabotage: Sabotage,
    seeds: impl Iterator<Item = u64>,
    recipes: &Recipes,
) -> Result<Option<(u64, String)>, String> {
    for seed in seeds {
        let outcome = play(&Schedule::draw(seed), recipes, Some(sabotage))?;
        if let Some(first) = outcome.broken.into_iter().next() {
            return Ok(Some((seed, first)));
        }
    }
    Ok(None)
}
