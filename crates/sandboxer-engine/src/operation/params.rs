//! Every choice of an operation that is fixed before the first effect, and what it learned since: stored with it.

use jiff::Timestamp;
use sandboxer_model::lifecycle::Reason;
use sandboxer_model::sandbox::Failure;
use serde::{Deserialize, Serialize};

use crate::api::IfAbandoned;

/// What is stored with an operation.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Params {
    /// What becomes of a creation whose caller died.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) if_abandoned: IfAbandoned,
    /// The creation is the first part of a `run`, so the operation stays open until the sandbox is gone.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) run: bool,
    /// Why the sandbox ends, for removals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<Reason>,
    /// Where its life ends for the meter, when that is earlier than now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lived_until: Option<Timestamp>,
    /// What the sandbox ends as, for removals.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) ending: Ending,
    /// The new deadline, for extend-ttl.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deadline: Option<Timestamp>,
    /// Why each candidate failed so far.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) failures: Vec<CandidateFailure>,
    /// Set once the operation goes back: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) undo: Option<Reason>,
    /// Going back, it is certain that the candidate was asked for nothing: there is nothing of it to remove.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) untouched: bool,
    /// Times it got stuck.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) stuck: u32,
    /// Whether the teardown that `recreate` begins with was proven.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) torn_down: bool,
}

/// What a removed sandbox ends as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ending {
    /// `destroyed`.
    #[default]
    Destroyed,
    /// `failed`: it was lost; the record says so until somebody destroys it.
    Failed,
}

/// Why one candidate failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CandidateFailure {
    pub(crate) extension_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) host: Option<String>,
    pub(crate) failure: Failure,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
