//! Where events are sent: the State Hub and webhooks.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The id of the State Hub among sinks: there is one at most.
pub const STATE_HUB: &str = "state-hub";

/// One place events are sent to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sink {
    /// `state-hub`, or the id of a webhook.
    pub sink_id: String,
    /// What is spoken there.
    pub kind: SinkKind,
    /// Where it is.
    pub url: String,
    /// Kinds of events that are sent, such as `state.ready` or `state.*`; empty: all.
    #[serde(default)]
    pub events: Vec<String>,
    /// Whether anything is sent.
    pub state: SinkState,
    /// Why nothing is sent, when it is disabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when events are kept for it.
    #[schemars(with = "String")]
    pub added_at: Timestamp,
}

impl Sink {
    /// Whether events of this kind are sent there.
    pub fn wants(&self, kind: &str) -> bool {
        self.events.is_empty() || self.events.iter().any(|wanted| fits(wanted, kind))
    }
}

fn fits(wanted: &str, kind: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(family) => kind.starts_with(family),
        None => wanted == kind,
    }
}

/// A sink and how delivery to it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SinkStatus {
    /// The sink.
    #[serde(flatten)]
    pub sink: Sink,
    /// Sandboxes of which some event is still to be delivered.
    pub waiting: u64,
    /// Sandboxes whose next event was given up after too many tries; `events redeliver` takes them up again.
    pub dead: u64,
    /// Until when nothing is sent there because it failed.
    #[schemars(with = "Option<String>")]
    pub paused_until: Option<Timestamp>,
    /// What went wrong last, until something is delivered.
    pub last_error: Option<String>,
}

/// What is spoken to a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SinkKind {
    /// Progress entries of the State Hub.
    StateHub,
    /// Signed messages of the Standard Webhooks specification.
    Webhook,
}

impl SinkKind {
    /// The name used in JSON and the store.
    pub fn name(self) -> &'static str {
        match self {
            SinkKind::StateHub => "state_hub",
            SinkKind::Webhook => "webhook",
        }
    }

    /// The kind with this name.
    pub fn from_name(name: &str) -> Option<SinkKind> {
        [SinkKind::StateHub, SinkKind::Webhook]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// Whether anything is sent to a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SinkState {
    /// Events are sent.
    Active,
    /// Events are kept, and none is sent.
    Disabled,
}

impl SinkState {
    /// The name used in JSON and the store.
    pub fn name(self) -> &'static str {
        match self {
            SinkState::Active => "active",
            SinkState::Disabled => "disabled",
        }
    }

    /// The state with this name.
    pub fn from_name(name: &str) -> Option<SinkState> {
        [SinkState::Active, SinkState::Disabled]
            .into_iter()
            .find(|state| state.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_chosen_one_by_one_or_by_family() {
        for (wanted, kind, fit) in [
            ("state.ready", "state.ready", true),
            ("state.ready", "state.ready2", false),
            ("state.*", "state.ready", true),
            ("state.*", "step.failed", false),
            ("*", "step.failed", true),
        ] {
            assert_eq!(fits(wanted, kind), fit, "{wanted} {kind}");
        }
    }
}
