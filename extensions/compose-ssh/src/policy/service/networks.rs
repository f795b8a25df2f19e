//! The networks of the sandbox that a service is on.

use std::collections::BTreeMap;

use sandboxer_model::document::Value;

use super::Service;
use crate::policy::fields::Fields;
use crate::policy::refusal::reason;
use crate::policy::value::is_name;

/// Takes `network_mode`, as far as it names no network of the host, and `networks`.
pub(super) fn networks(fields: &mut Fields<'_>, service: &mut Service) {
    if let Some(mode) = fields.take("network_mode") {
        match mode.text().as_deref() {
            Some("none") => service.no_network = true,
            Some("bridge" | "default") => {}
            Some(other) => {
                mode.refuse::<()>(format!(
                    "is `{other}`: it {}",
                    reason("network_mode").unwrap_or_default()
                ));
            }
            None => {}
        }
    }
    let Some(networks) = fields.take("networks") else {
        return;
    };
    let mut all = BTreeMap::new();
    match &networks.node.value {
        Value::Map(_) => {
            for (name, item) in networks.entries().unwrap_or_default() {
                let Some(mut fields) = item.fields() else { continue };
                let mut aliases = Vec::new();
                if let Some(given) = fields.take("aliases") {
                    for alias in given.items().unwrap_or_default() {
                        match alias.text() {
                            Some(text) if is_name(&text) => aliases.push(text),
                            Some(text) => alias.refuse(format!("is `{text}`, not a name")).unwrap_or(()),
                            None => {}
                        }
                    }
                }
                fields.drop_keys(&["priority", "gw_priority"], "is not used");
                fields.drop_keys(
                    &["ipv4_address", "ipv6_address"],
                    "is not used: the sandbox gives out its own addresses",
                );
                fields.finish();
                all.insert(name.to_owned(), aliases);
            }
        }
        _ => {
            for item in networks.items().unwrap_or_default() {
                if let Some(name) = item.text() {
                    all.insert(name, Vec::new());
                }
            }
        }
    }
    service.networks = Some(all);
}
