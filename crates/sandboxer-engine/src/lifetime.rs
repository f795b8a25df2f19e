//! What time it is for a sandbox. Its deadline is a date, reckoned when it became ready; somebody may set this machine's
//! calendar since. So its time is counted from then by how long the machine has been up, as long as it has not been started
//! again.

use jiff::{SignedDuration, Timestamp};
use sandboxer_store::SandboxRecord;

use crate::engine::Engine;

/// What two readings of a calendar that nobody set may differ by: it is slewed a little all the time.
const SLACK: SignedDuration = SignedDuration::from_secs(2);

impl Engine {
    /// The date as this sandbox counts it.
    pub(crate) fn time_of(&self, record: &SandboxRecord) -> Timestamp {
        let now = self.ports.clock.now();
        let drift = self.drift_of(record);
        drift.map_or(now, |drift| now.saturating_add(drift).unwrap_or(now))
    }

    /// By how much the date of this sandbox is ahead of the calendar; `None`: they agree, or it cannot be told.
    pub(crate) fn drift_of(&self, record: &SandboxRecord) -> Option<SignedDuration> {
        let (ready_at, then) = (record.sandbox.ready_at?, record.facts.ready_uptime.as_ref()?);
        let uptime = self.ports.clock.uptime();
        if uptime.boot.is_empty() || uptime.boot != then.boot {
            return None;
        }
        let lived = SignedDuration::try_from(uptime.since.checked_sub(then.since)?).ok()?;
        let counted = ready_at.checked_add(lived).ok()?;
        let drift = counted.duration_since(self.ports.clock.now());
        (drift.abs() > SLACK).then_some(drift)
    }
}
