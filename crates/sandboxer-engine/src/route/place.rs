//! On which hosts an extension could be used.

use std::collections::BTreeMap;

use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::profile::Profile;

use super::{Wanted, rules};
use crate::engine::Engine;

/// One place, and whether the rules let it be asked.
pub(super) type Place = (Option<String>, Result<(), UserError>);

impl Engine {
    /// Every place an extension could be used at, best first; one refused place when there is none.
    pub(super) fn places(
        &self,
        extension_id: &str,
        profile: &Profile,
        inputs: &BTreeMap<String, String>,
        wanted: Wanted<'_>,
    ) -> Vec<Place> {
        let Some(extension) = self.ports.extensions.get(extension_id) else {
            return vec![(None, Err(rules::not_built(extension_id)))];
        };
        let capabilities = extension.capabilities();
        if let Err(refusal) = rules::check(extension_id, &capabilities, profile, inputs) {
            return vec![(None, Err(refusal))];
        }
        if !capabilities.needs_host {
            return match wanted.host {
                None => vec![(None, Ok(()))],
                Some(host) => {
                    let what = format!("{extension_id} does not run on hosts, so it cannot run on `{host}`");
                    let error = UserError::new(ErrorCode::InvalidInput, what).hint("leave --host out");
                    vec![(Some(host.to_owned()), Err(error))]
                }
            };
        }
        let hosts = self.hosts(profile, wanted.host.or(wanted.default_host));
        if hosts.is_empty() {
            let what = format!("{extension_id} needs a host, and none is configured");
            let error = UserError::new(ErrorCode::NoRoute, what).hint("name one with --host");
            return vec![(None, Err(error))];
        }
        hosts.into_iter().map(|host| (Some(host), Ok(()))).collect()
    }

    /// The one that was asked for; else the configured ones, those the profile prefers first.
    fn hosts(&self, profile: &Profile, asked: Option<&str>) -> Vec<String> {
        if let Some(host) = asked {
            return vec![host.to_owned()];
        }
        let configured = &self.settings.hosts;
        let wanted = profile.placement.prefer.iter().chain(&profile.placement.fallback);
        let mut hosts: Vec<String> = Vec::new();
        for host in wanted.filter(|host| configured.contains(host)).chain(configured) {
            if !hosts.contains(host) {
                hosts.push(host.clone());
            }
        }
        hosts
    }
}
