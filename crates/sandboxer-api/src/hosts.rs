//! What callers pass in and get back about hosts.

use std::collections::BTreeMap;

use sandboxer_model::cleanup::CleanupReport;
use sandboxer_model::host::{HostSnapshot, SandboxInventory, StaleCandidate};
use sandboxer_model::registry::{BackendView, Capacity};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A host to register.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddHost {
    /// Its name here.
    pub name: String,
    /// How it is reached; `None`: its name says it.
    #[serde(default)]
    pub address: Option<String>,
    /// Free labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// What sandboxes may take of it altogether.
    #[serde(default, deserialize_with = "crate::object::only")]
    pub capacity: Capacity,
}

/// What a host is like right now, and what looks like a sandbox there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HostInspection {
    /// Its name, or its address where it is not registered.
    pub host: String,
    /// How it is reached.
    pub address: String,
    /// Whether it is registered.
    pub registered: bool,
    /// What was measured.
    pub snapshot: HostSnapshot,
    /// What each backend found there.
    pub backends: BTreeMap<String, BackendView>,
    /// What looks like a sandbox.
    pub inventory: SandboxInventory,
}

/// What may be left over on hosts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct StaleReport {
    /// What may be left over.
    pub stale_candidates: Vec<StaleCandidate>,
    /// The hosts that were looked at.
    pub hosts: Vec<Sight>,
}

/// How well a host could be seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sight {
    /// Which host.
    pub host: String,
    /// Why more may be there than was seen; `null`: everything was seen.
    pub incomplete: Option<String>,
}

/// What a reaping did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ReapReport {
    /// One entry for everything that may be left over.
    pub actions: Vec<ReapAction>,
    /// The hosts that were looked at.
    pub hosts: Vec<Sight>,
}

/// What a reaping did about one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReapAction {
    /// What may be left over.
    #[serde(flatten)]
    pub candidate: StaleCandidate,
    /// What was done.
    pub result: ReapResult,
    /// The receipt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cleanup: Option<CleanupReport>,
    /// Why it failed, or why it was left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What a reaping did about one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReapResult {
    /// It would be removed; nothing was touched.
    DryRun,
    /// It is not for us to remove, or turned out not to be left over.
    Kept,
    /// It is gone, proven.
    Reaped,
    /// It could not be removed; it stays on the list.
    Failed,
}
