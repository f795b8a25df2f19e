//! Where each millisecond went.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// One stretch of time, counted from the start of the program.
#[derive(Debug, Clone)]
struct Stretch {
    name: String,
    from: Duration,
    to: Duration,
}

/// Stretches of time, in the order they ended.
#[derive(Debug, Default)]
pub(crate) struct Timings {
    stretches: Mutex<Vec<Stretch>>,
}

impl Timings {
    /// Notes a stretch.
    pub(crate) fn note(&self, name: impl Into<String>, from: Duration, to: Duration) {
        self.stretches
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Stretch {
                name: name.into(),
                from,
                to,
            });
    }

    /// The budget as a table; what no stretch covers is shown as `between`.
    pub(crate) fn budget(&self, total: Duration) -> String {
        let mut stretches = self.stretches.lock().unwrap_or_else(PoisonError::into_inner).clone();
        stretches.sort_by_key(|stretch| stretch.from);
        let mut text = String::from("      at ms     took ms  step\n");
        let mut line = |at: Duration, took: Duration, name: &str| {
            text.push_str(&format!("{:>11.3} {:>11.3}  {name}\n", millis(at), millis(took)));
        };
        let mut reached = Duration::ZERO;
        let mut last = String::new();
        for stretch in &stretches {
            if stretch.from > reached + Duration::from_micros(20) {
                line(reached, stretch.from - reached, after(&last));
            }
            line(stretch.from, stretch.to.saturating_sub(stretch.from), &stretch.name);
            if stretch.to >= reached {
                reached = stretch.to;
                last.clone_from(&stretch.name);
            }
        }
        if total > reached {
            line(reached, total - reached, after(&last));
        }
        line(Duration::ZERO, total, "total, from the first line of main");
        text
    }
}

/// What happens between two stretches, told by the one before.
fn after(stretch: &str) -> &'static str {
    match stretch {
        "open the database" => "  look up this process",
        "look for what was left undone" => "  read the profile, choose a backend, ask it whether it would",
        "place" => "  commit the intent",
        "settle" => "  commit the end, synced to disk",
        _ => "  (between)",
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uncovered_time_is_shown() {
        let timings = Timings::default();
        let ms = Duration::from_millis;
        timings.note("b", ms(3), ms(4));
        timings.note("a", ms(0), ms(1));
        let budget = timings.budget(ms(5));
        let names: Vec<&str> = budget.lines().skip(1).map(|line| line[25..].trim()).collect();
        assert_eq!(
            names,
            ["a", "(between)", "b", "(between)", "total, from the first line of main"]
        );
    }
}
