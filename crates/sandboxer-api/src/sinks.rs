//! Delivery of events, and the places they are sent to.

use std::collections::BTreeMap;

use sandboxer_model::event::Event;
use sandboxer_model::sink::Sink;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a delivery came to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Delivered {
    /// Events that were taken.
    pub sent: u64,
    /// Tries that failed; each is made again later.
    pub failed: u64,
    /// Sandboxes whose next event was given up.
    pub given_up: u64,
    /// Whether something that is due was left for want of time: call again, or let somebody who has more.
    pub unfinished: bool,
}

/// A webhook to add.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddWebhook {
    /// Where messages go.
    pub url: String,
    /// Kinds of events, such as `state.ready` or `state.*`; empty: all.
    #[serde(default)]
    pub events: Vec<String>,
}

/// A webhook that was added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AddedWebhook {
    /// The webhook.
    #[serde(flatten)]
    pub sink: Sink,
    /// What its messages are signed with (`whsec_…`). Not shown again.
    pub secret: String,
}

/// What the other side said to a message that was sent as a test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TestedWebhook {
    /// The webhook.
    pub sink_id: String,
    /// The id of the message.
    pub message_id: String,
    /// HTTP status.
    pub status: u16,
    /// Milliseconds until the answer.
    pub took_ms: u64,
    /// Whether that counts as delivered.
    pub accepted: bool,
}

/// What was brought back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Redelivered {
    /// Sandboxes whose events are due again, counted once for each sink.
    pub due: u64,
    /// Webhooks that were disabled and are not any more.
    pub enabled: Vec<String>,
}

/// An event, and who does not have it yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ListedEvent {
    /// The event.
    #[serde(flatten)]
    pub event: Event,
    /// Sinks that it is still to be delivered to.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub undelivered: BTreeMap<String, Waiting>,
}

/// An event, and its place among all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FollowedEvent {
    /// Where it stands in the order of commits: what to begin behind to miss nothing after it.
    pub position: u64,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}

/// Why a sink does not have an event yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Waiting {
    /// It will be sent.
    Waiting,
    /// It was given up after too many tries, or waits behind one that was; `events redeliver` sends it.
    GivenUp,
}
