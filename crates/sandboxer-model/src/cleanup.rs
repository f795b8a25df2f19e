//! What a teardown found, removed and verified: the receipt behind the word `destroyed`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The receipt of a teardown.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct CleanupReport {
    /// One line per thing that was looked for.
    pub items: Vec<CleanupItem>,
    /// Whether the absence of everything was proven.
    pub verified: Presence,
}

/// One thing a teardown looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CleanupItem {
    /// What kind of thing, such as `process`, `cgroup`, `directory`, `mount`, `container`.
    pub kind: String,
    /// Which one.
    pub name: String,
    /// Whether it was there when the teardown came.
    pub found: bool,
    /// What is known of it now.
    pub now: Presence,
    /// Why it is still there or unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// Tri-state truth: unreadable is not empty, an error is not absence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// Proven to be gone.
    Absent,
    /// Seen.
    Present,
    /// Could not be told.
    #[default]
    Unknown,
}

impl CleanupReport {
    /// The report of these items; `verified` is the least certain of them, and an empty report proves absence
    /// only if the caller says so by listing what it looked for.
    pub fn new(items: Vec<CleanupItem>) -> CleanupReport {
        let verified = if items.is_empty() {
            Presence::Unknown
        } else if items.iter().any(|item| item.now == Presence::Present) {
            Presence::Present
        } else if items.iter().any(|item| item.now == Presence::Unknown) {
            Presence::Unknown
        } else {
            Presence::Absent
        };
        CleanupReport { items, verified }
    }

    /// What keeps the word `destroyed` from being said, for people.
    pub fn leftovers(&self) -> Vec<&CleanupItem> {
        self.items.iter().filter(|item| item.now != Presence::Absent).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(now: Presence) -> CleanupItem {
        CleanupItem {
            kind: "cgroup".into(),
            name: "a".into(),
            found: true,
            now,
            detail: String::new(),
        }
    }

    #[test]
    fn the_least_certain_item_decides() {
        use Presence::{Absent, Present, Unknown};
        for (items, verified) in [
            (vec![], Unknown),
            (vec![Absent, Absent], Absent),
            (vec![Absent, Unknown], Unknown),
            (vec![Unknown, Present], Present),
        ] {
            let report = CleanupReport::new(items.into_iter().map(item).collect());
            assert_eq!(report.verified, verified);
        }
    }
}
