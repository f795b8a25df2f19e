//! `ext.<name>.yaml`: what an extension says of itself.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::capability::Capabilities;

/// What an extension says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// `ext.<name>`.
    pub id: String,
    /// For people.
    pub title: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Its settings with their defaults.
    #[serde(default)]
    pub config: BTreeMap<String, serde_json::Value>,
}
