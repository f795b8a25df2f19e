//! The smallest part of a schedule that still breaks a promise.

use crate::hunt::Sabotage;
use crate::play::play;
use crate::schedule::Schedule;
use crate::stage::Recipes;

/// Leaves out actions, control planes and bad weather as long as the promise that `schedule` breaks first is still broken.
///
/// # Errors
/// A stage could not be built.
pub fn shrink(schedule: &Schedule, recipes: &Recipes, sabotage: Option<Sabotage>) -> Result<Schedule, String> {
    let before = play(schedule, recipes, sabotage)?.broken;
    let promise = before
        .first()
        .and_then(|line| line.split(':').next())
        .unwrap_or_default();
    let breaks = |candidate: &Schedule| -> Result<bool, String> {
        let broken = play(candidate, recipes, sabotage)?.broken;
        Ok(broken.iter().any(|line| line.split(':').next() == Some(promise)))
    };
    let mut smallest = schedule.clone();
    for planes in 1..smallest.planes {
        let fewer = Schedule {
            planes,
            ..smallest.clone()
        };
        if breaks(&fewer)? {
            smallest = fewer;
            break;
        }
    }
    let calm: [fn(&mut Schedule); 8] = [
        |schedule| schedule.weather.refused = 0,
        |schedule| schedule.weather.lost = 0,
        |schedule| schedule.weather.hung = 0,
        |schedule| schedule.weather.doubled = 0,
        |schedule| schedule.weather.slow = 0,
        |schedule| schedule.writes.late = 0,
        |schedule| schedule.writes.lost = 0,
        |schedule| schedule.writes.unheard = 0,
    ];
    for change in calm {
        let mut calmer = smallest.clone();
        change(&mut calmer);
        if calmer != smallest && breaks(&calmer)? {
            smallest = calmer;
        }
    }
    let mut size = smallest.actions.len().div_ceil(2).max(1);
    loop {
        let mut start = 0;
        let mut fewer = false;
        while start < smallest.actions.len() {
            let end = (start + size).min(smallest.actions.len());
            let mut candidate = smallest.clone();
            // The time they took still passes.
            let passed = candidate.actions.drain(start..end).map(|(pause, _)| pause).sum();
            if let Some((pause, _)) = candidate.actions.get_mut(start) {
                *pause = pause.saturating_add(passed);
            }
            if breaks(&candidate)? {
                smallest = candidate;
                fewer = true;
            } else {
                start = end;
            }
        }
        if size == 1 && !fewer {
            return Ok(smallest);
        }
        size = (size / 2).max(1);
    }
}
