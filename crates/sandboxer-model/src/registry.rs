//! The registered hosts: what each may carry, what of that is taken, and how it was when it was last looked at.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::host::{HostAddress, HostSnapshot};
use crate::profile::Resources;

/// A registered host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Host {
    /// Its name here.
    pub name: String,
    /// How it is reached: `local`, or `[user@]name[:port]`.
    #[schemars(with = "String")]
    pub address: HostAddress,
    /// Whether it takes new sandboxes.
    pub state: HostState,
    /// Free labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// What sandboxes may take of it altogether.
    #[serde(default)]
    pub capacity: Capacity,
    /// Free disk below which it takes no new sandboxes.
    #[serde(default)]
    pub watermarks: Watermarks,
    /// What was seen when it last answered.
    #[serde(default)]
    pub probe: Option<Probed>,
    /// Why it did not answer the last time it was asked; `null`: it did.
    #[serde(default)]
    pub unreachable: Option<String>,
    /// Since when it does not answer; `null`: it does.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub unreachable_since: Option<Timestamp>,
    /// When it is to be asked again by itself.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub probe_after: Option<Timestamp>,
    /// When it was registered.
    #[schemars(with = "String")]
    pub added_at: Timestamp,
}

/// Whether a host takes new sandboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HostState {
    /// It does.
    Active,
    /// It keeps what it has and takes nothing new.
    Draining,
    /// It did not answer when it was last probed.
    Down,
}

impl HostState {
    /// The name used in JSON and the store.
    pub fn name(self) -> &'static str {
        match self {
            HostState::Active => "active",
            HostState::Draining => "draining",
            HostState::Down => "down",
        }
    }

    /// The state of this name.
    pub fn from_name(name: &str) -> Option<HostState> {
        [HostState::Active, HostState::Draining, HostState::Down]
            .into_iter()
            .find(|state| state.name() == name)
    }
}

/// What sandboxes may take of a host altogether. What is `null` is not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Capacity {
    /// Sandboxes at once.
    pub slots: Option<u64>,
    /// Thousandths of a processor.
    pub cpu_milli: Option<u64>,
    /// Memory in MiB.
    pub memory_mb: Option<u64>,
    /// Disk in MiB.
    pub disk_mb: Option<u64>,
}

/// What one sandbox takes of its host, or all of them together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Share {
    /// Slots.
    pub slots: u64,
    /// Thousandths of a processor.
    pub cpu_milli: u64,
    /// Memory in MiB.
    pub memory_mb: u64,
    /// Disk in MiB.
    pub disk_mb: u64,
}

/// A share of one host, kept for one sandbox until its absence is proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reservation {
    /// The host's name.
    pub host: String,
    /// How much.
    #[serde(flatten)]
    pub share: Share,
}

/// Free disk below which a host takes no new sandboxes, measured at its last probe.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Watermarks {
    /// Percent of the file system.
    pub disk_free_pct: f64,
    /// GiB.
    pub disk_free_gb: f64,
}

impl Default for Watermarks {
    fn default() -> Self {
        Watermarks {
            disk_free_pct: 15.0,
            disk_free_gb: 5.0,
        }
    }
}

/// What was seen of a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Probed {
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// What was measured.
    pub snapshot: HostSnapshot,
    /// What each backend found there.
    pub backends: BTreeMap<String, BackendView>,
}

/// What one backend found on a host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct BackendView {
    /// Stable name → what is there, such as `docker` → `20.10.24`.
    pub facts: BTreeMap<String, String>,
    /// What its sandboxes would lack there, each with what to do about it; empty: nothing.
    pub missing: Vec<String>,
}

/// A registered host and what is taken of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HostStatus {
    /// The host.
    #[serde(flatten)]
    pub host: Host,
    /// What its sandboxes hold.
    pub reserved: Share,
    /// Sandboxes that hold something of it.
    pub sandboxes: u64,
}

impl Host {
    /// Whether people may mean this host by `text`: its name, its address, or the name in its address.
    pub fn answers_to(&self, text: &str) -> bool {
        self.name == text || self.address.name() == text || self.address.to_string() == text
    }
}

impl Share {
    /// What a sandbox with these limits takes: a slot, and what it is limited to.
    pub fn of(limits: &Resources) -> Share {
        // A fraction of a thousandth counts as a whole one; a limit beyond all reason as all there is.
        let milli = limits.cpu.map_or(0.0, |cpu| (cpu * 1000.0).ceil());
        Share {
            slots: 1,
            cpu_milli: if milli.is_finite() { milli as u64 } else { u64::MAX },
            memory_mb: limits.memory_mb.unwrap_or(0),
            disk_mb: limits.disk_mb.unwrap_or(0),
        }
    }
}

impl Capacity {
    /// Whether there is room for one more share beside those that are taken.
    ///
    /// # Errors
    /// What there is not enough of, in words.
    pub fn room_for(&self, taken: &Share, more: &Share) -> Result<(), String> {
        let figures = [
            ("slots", "", self.slots, taken.slots, more.slots),
            ("processors", "/1000", self.cpu_milli, taken.cpu_milli, more.cpu_milli),
            ("memory", " MiB", self.memory_mb, taken.memory_mb, more.memory_mb),
            ("disk", " MiB", self.disk_mb, taken.disk_mb, more.disk_mb),
        ];
        for (what, unit, most, taken, more) in figures {
            let Some(most) = most else { continue };
            if taken.saturating_add(more) > most {
                return Err(match what {
                    "slots" => format!("full: {taken} of {most} slots are taken"),
                    _ => {
                        format!("full: {taken}{unit} of {most}{unit} {what} are taken, and {more}{unit} are asked for")
                    }
                });
            }
        }
        Ok(())
    }

    /// Slots that are free; `None`: they are not counted.
    pub fn free_slots(&self, taken: &Share) -> Option<u64> {
        self.slots.map(|slots| slots.saturating_sub(taken.slots))
    }
}

impl Watermarks {
    /// Whether the disk has enough free; what was not measured is not held against a host.
    ///
    /// # Errors
    /// How little is free, in words.
    pub fn allow(&self, seen: &HostSnapshot) -> Result<(), String> {
        if let Some(free) = seen.disk_root_used_pct.map(|used| 100.0 - used)
            && free < self.disk_free_pct
        {
            return Err(format!(
                "its disk is full: {free:.0} % was free at the last probe, less than {} %",
                self.disk_free_pct
            ));
        }
        if let Some(free) = seen.disk_root_avail_gb
            && free < self.disk_free_gb
        {
            return Err(format!(
                "its disk is full: {free:.1} GiB were free at the last probe, less than {} GiB",
                self.disk_free_gb
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_share_fits_and_one_more_does_not() {
        let capacity = Capacity {
            slots: Some(2),
            memory_mb: Some(2048),
            ..Capacity::default()
        };
        let share = |slots, memory_mb| Share {
            slots,
            memory_mb,
            ..Share::default()
        };
        assert_eq!(capacity.room_for(&share(1, 1024), &share(1, 1024)), Ok(()));
        assert!(
            capacity
                .room_for(&share(2, 0), &share(1, 0))
                .is_err_and(|why| why.contains("2 of 2 slots"))
        );
        assert!(
            capacity
                .room_for(&share(0, 1025), &share(1, 1024))
                .is_err_and(|why| why.contains("memory"))
        );
        assert!(capacity.room_for(&share(1, 0), &share(u64::MAX, 0)).is_err());
        assert_eq!(
            Capacity::default().room_for(&share(99, 99), &share(u64::MAX, 1)),
            Ok(())
        );
    }

    #[test]
    fn a_little_over_the_watermark_is_enough_and_the_unknown_is_no_reason() {
        let seen = |used, free| HostSnapshot {
            disk_root_used_pct: used,
            disk_root_avail_gb: free,
            ..HostSnapshot::default()
        };
        let marks = Watermarks::default();
        assert_eq!(marks.allow(&seen(Some(85.0), Some(5.0))), Ok(()));
        assert_eq!(marks.allow(&seen(None, None)), Ok(()));
        assert!(marks.allow(&seen(Some(85.1), None)).is_err());
        assert!(marks.allow(&seen(Some(10.0), Some(4.9))).is_err());
    }

    #[test]
    fn limits_become_shares() {
        let limits = Resources {
            cpu: Some(0.0005),
            memory_mb: Some(7),
            ..Resources::default()
        };
        let share = Share::of(&limits);
        assert_eq!(
            (share.slots, share.cpu_milli, share.memory_mb, share.disk_mb),
            (1, 1, 7, 0)
        );
    }
}
