//! Cases of what happens to a sandbox.

use super::outcome::Outcome;
use super::world::World;

/// One case.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    run: fn(&World) -> Result<(), String>,
}

/// All of them.
pub(crate) const CASES: &[Case] = &[];

/// Runs one case.
pub(crate) fn run(name: &str, world: &World) -> Outcome {
    match CASES
        .iter()
        .find(|case| case.name == name)
        .map(|case| (case.run)(world))
    {
        Some(Ok(())) => Outcome::Held("as it should".to_owned()),
        Some(Err(error)) => Outcome::Broken(error),
        None => Outcome::Unclear(format!("no case `{name}`")),
    }
}
