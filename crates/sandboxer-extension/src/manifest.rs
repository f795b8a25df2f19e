//! `ext.<name>.yaml`: what an extension says of itself.

use std::collections::BTreeMap;

use sandboxer_model::document::{Diagnostic, Findings, is_extension_id, read};
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

impl Manifest {
    /// Reads `ext.<name>.yaml`.
    ///
    /// # Errors
    /// Every problem that could be found, in the order of the text. A manifest without
    /// `capabilities.isolation_levels` or `capabilities.pricing_model` is refused.
    pub fn parse(file: &str, text: &str) -> Result<Manifest, Vec<Diagnostic>> {
        read(file, text, rules)
    }
}

fn rules(manifest: &Manifest, found: &mut Findings) {
    if !is_extension_id(&manifest.id) {
        found.add_with_help(
            &["id"],
            "this is not an extension id",
            "write `ext.<name>`, the name of a-z, 0-9 and `-`",
        );
    }
    if manifest.title.trim().is_empty() {
        found.add(&["title"], "the title is empty");
    }
    let levels = &manifest.capabilities.isolation_levels;
    if levels.is_empty() {
        let message = "`capabilities.isolation_levels` is empty: nothing could be routed to it";
        found.add(&["capabilities", "isolation_levels"], message);
    }
    for (at, level) in levels.iter().enumerate() {
        if levels[..at].contains(level) {
            found.add(
                &["capabilities", "isolation_levels", &at.to_string()],
                "this level is listed twice",
            );
        }
    }
}
