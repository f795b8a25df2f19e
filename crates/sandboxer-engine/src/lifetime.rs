//! What time it is for a sandbox. Its deadline is a date, reckoned when it became ready; somebody may set this machine's
//! calendar since. So its time is counted from then by how long the machine has been up, as long as it has not been started
//! again.

use jiff::{SignedDuration, Timestamp};
use sandboxer_extension::port::Clock;
use sandboxer_model::duration::Span;
use sandboxer_store::{Reading, SandboxRecord};

use crate::engine::Engine;

/// What two readings of a calendar that nobody set may differ by: it is slewed a little all the time.
const SLACK: SignedDuration = SignedDuration::from_secs(2);

/// The deadline of what was put in its place at `placed` and is ready now. Where a guard `kept` one, its figure is the true
/// one, and never later than was asked for. When the calendar was set in between, nobody can tell on which of the two it was
/// reckoned, nor when: then it is the earliest that the guard can mean.
pub(crate) fn deadline(
    ttl: Span,
    kept: Option<Timestamp>,
    placed: Option<&Reading>,
    now: &Reading,
) -> Option<Timestamp> {
    let latest = now.at.checked_add(ttl.as_signed()).ok();
    let Some(kept) = kept else { return latest };
    match placed.and_then(|placed| set_while(placed, now)) {
        Some(passed) => latest?.checked_sub(passed).ok(),
        None => Some(latest.map_or(kept, |latest| kept.min(latest))),
    }
}

/// How long it was between two readings between which somebody set the calendar; `None`: nobody did, or it cannot be told.
fn set_while(before: &Reading, after: &Reading) -> Option<SignedDuration> {
    if before.uptime.boot != after.uptime.boot {
        return None;
    }
    let passed = SignedDuration::try_from(after.uptime.since.checked_sub(before.uptime.since)?).ok()?;
    let set = after.at.duration_since(before.at) - passed;
    (set.abs() > SLACK).then_some(passed)
}

impl Engine {
    /// What both clocks say.
    pub(crate) fn reading(&self) -> Reading {
        Reading {
            at: self.ports.clock.now(),
            uptime: self.ports.clock.uptime(),
        }
    }

    /// The date as this sandbox counts it.
    pub(crate) fn time_of(&self, record: &SandboxRecord) -> Timestamp {
        time_of(record, self.ports.clock.as_ref())
    }

    /// By how much the date of this sandbox is ahead of the calendar; `None`: they agree, or it cannot be told.
    pub(crate) fn drift_of(&self, record: &SandboxRecord) -> Option<SignedDuration> {
        drift_of(record, self.ports.clock.as_ref())
    }
}

/// The date as a sandbox counts it.
pub(crate) fn time_of(record: &SandboxRecord, clock: &dyn Clock) -> Timestamp {
    let now = clock.now();
    let drift = drift_of(record, clock);
    drift.map_or(now, |drift| now.saturating_add(drift).unwrap_or(now))
}

fn drift_of(record: &SandboxRecord, clock: &dyn Clock) -> Option<SignedDuration> {
    let (ready_at, then) = (record.sandbox.ready_at?, record.facts.ready_uptime.as_ref()?);
    let uptime = clock.uptime();
    if uptime.boot.is_empty() || uptime.boot != then.boot {
        return None;
    }
    let lived = SignedDuration::try_from(uptime.since.checked_sub(then.since)?).ok()?;
    let counted = ready_at.checked_add(lived).ok()?;
    let drift = counted.duration_since(clock.now());
    (drift.abs() > SLACK).then_some(drift)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sandboxer_extension::port::Uptime;

    use super::*;

    fn reading(date: i64, since: u64) -> Reading {
        Reading {
            at: Timestamp::from_second(1_800_000_000 + date).unwrap(),
            uptime: Uptime {
                boot: "one".to_owned(),
                since: Duration::from_secs(since),
            },
        }
    }

    fn date(seconds: i64) -> Option<Timestamp> {
        Some(reading(seconds, 0).at)
    }

    #[test]
    fn the_guard_is_believed_while_nobody_sets_the_calendar() {
        let (ttl, placed, now) = (Span::from_secs(100).unwrap(), reading(0, 50), reading(10, 60));
        let reckoned = |kept| deadline(ttl, kept, Some(&placed), &now);
        assert_eq!(reckoned(date(103)), date(103));
        assert_eq!(reckoned(date(500)), date(110), "no later than asked for");
        assert_eq!(reckoned(None), date(110));
    }

    #[test]
    fn a_calendar_that_was_set_meanwhile_promises_the_least() {
        let (ttl, placed) = (Span::from_secs(100).unwrap(), reading(0, 50));
        // Ten seconds passed, and the calendar went a day back or forward.
        for now in [reading(-86_390, 60), reading(86_410, 60)] {
            let promised = deadline(ttl, date(103), Some(&placed), &now).unwrap();
            assert_eq!(promised.duration_since(now.at), SignedDuration::from_secs(90));
        }
    }
}
