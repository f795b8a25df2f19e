//! The labels of a service.

use std::collections::BTreeMap;

use crate::policy::fields::At;
use crate::policy::value::pairs;

/// Labels, but none that Compose, the engine or we go by.
pub(super) fn own_labels(at: &At<'_>) -> Option<BTreeMap<String, String>> {
    let labels = pairs(at)?;
    for name in labels.keys() {
        let lower = name.to_ascii_lowercase();
        let taken = [
            "com.docker.",
            "io.docker.",
            "org.dockerproject.",
            "io.podman.",
            "dev.sandboxer.",
            "desktop.docker.",
        ];
        if taken.iter().any(|prefix| lower.starts_with(prefix)) {
            return at.refuse(format!("has the label `{name}`, which says whose a container is"));
        }
    }
    Some(labels)
}
