//! What a service waits for, and the names it knows others by.

use std::collections::BTreeMap;

use sandboxer_model::document::Value;

use super::Service;
use crate::policy::fields::{At, Fields};
use crate::policy::value::is_name;

/// Takes `depends_on` and `links`; a link waits for its service as well.
pub(super) fn dependencies(fields: &mut Fields<'_>, service: &mut Service) {
    if let Some(depends_on) = fields.take("depends_on") {
        service.depends_on = conditions(&depends_on);
    }
    if let Some(links) = fields.take("links") {
        for link in links.items().unwrap_or_default() {
            if let Some(text) = link.text() {
                let (name, alias) = text.split_once(':').unwrap_or((&text, ""));
                if !is_name(name) || !(alias.is_empty() || is_name(alias)) {
                    link.refuse::<()>(format!("is `{text}`, not a service or service:alias"));
                    continue;
                }
                service.depends_on.entry(name.to_owned()).or_insert("service_started");
                if !alias.is_empty() {
                    service.link_aliases.push((name.to_owned(), alias.to_owned()));
                }
            }
        }
    }
}

/// Service → when it is waited for no longer.
fn conditions(at: &At<'_>) -> BTreeMap<String, &'static str> {
    let mut all = BTreeMap::new();
    match &at.node.value {
        Value::Map(_) => {
            for (name, item) in at.entries().unwrap_or_default() {
                let Some(mut fields) = item.fields() else { continue };
                let condition = fields.take("condition").and_then(|condition| {
                    condition.one_of(&["service_started", "service_healthy", "service_completed_successfully"])
                });
                for key in ["restart", "required"] {
                    if let Some(truth) = fields.take(if key == "restart" { "restart" } else { "required" }) {
                        truth.truth();
                    }
                }
                fields.finish();
                all.insert(name.to_owned(), condition.unwrap_or("service_started"));
            }
        }
        _ => {
            for item in at.items().unwrap_or_default() {
                if let Some(name) = item.text() {
                    all.insert(name, "service_started");
                }
            }
        }
    }
    all
}
