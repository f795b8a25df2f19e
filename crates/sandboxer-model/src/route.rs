//! The routing decision: every candidate, and why it was taken or not.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::money::Quote;
use crate::profile::Strategy;

/// Answers "which backend": stored with the sandbox before any backend is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RouteDecision {
    /// The rule that ordered the candidates.
    pub strategy: Strategy,
    /// Every candidate, best first; the accepted ones are tried in this order.
    pub candidates: Vec<Candidate>,
}

/// One backend on one host, and what the router thinks of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Candidate {
    /// The extension.
    pub extension_id: String,
    /// The host, where the extension needs one.
    pub host: Option<String>,
    /// How that host is reached, if it is registered; otherwise its name says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Whether it may be tried.
    pub accepted: bool,
    /// Why, in words.
    pub reason: String,
    /// What it asks, where it could be asked.
    pub quote: Option<Quote>,
}

impl RouteDecision {
    /// The candidates that may be tried, in order.
    pub fn accepted(&self) -> impl Iterator<Item = &Candidate> {
        self.candidates.iter().filter(|candidate| candidate.accepted)
    }
}
