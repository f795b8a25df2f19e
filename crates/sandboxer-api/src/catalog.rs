//! The profiles there are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a profile comes from. Nearer layers win over farther ones: each is nearer than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Layer {
    /// Inside the binary.
    Shipped,
    /// For everybody on this machine.
    System,
    /// For this user.
    User,
    /// `.sandboxer/profiles` of the repository one works in.
    Repository,
}

impl Layer {
    /// The name used in JSON and tables.
    pub fn name(self) -> &'static str {
        match self {
            Layer::Shipped => "shipped",
            Layer::System => "system",
            Layer::User => "user",
            Layer::Repository => "repository",
        }
    }
}

/// One line of the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Listed {
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: String,
    /// What it is for.
    pub description: String,
    /// The backend it is written for.
    pub extension: String,
    /// The layer it is in.
    pub layer: Layer,
    /// `shipped`, or its file.
    pub source: String,
    /// Where profiles of the same name are that it hides, nearest first.
    pub shadowed: Vec<String>,
}
