//! On which hosts an extension could be used, best first: the one that was asked for; else those the profile prefers,
//! those it falls back on, and whatever else is registered, the most free slots first. A host that is passed over is
//! kept with the reason.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use sandboxer_extension::Extension;
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::host::HostAddress;
use sandboxer_model::profile::Profile;
use sandboxer_model::registry::{HostState, HostStatus, Share};

use super::{Wanted, rules};
use crate::api::Caller;
use crate::engine::Engine;

/// One place, and whether the rules let it be asked.
pub(super) struct Place {
    /// The host; `None`: the extension has none.
    pub(super) host: Option<String>,
    /// How the host is reached, if it is registered.
    pub(super) address: Option<String>,
    /// Why it stands where it stands.
    pub(super) why: &'static str,
    /// Whether it may be asked.
    pub(super) outcome: Result<(), UserError>,
}

impl Place {
    fn nowhere(outcome: Result<(), UserError>) -> Place {
        Place {
            host: None,
            address: None,
            why: "",
            outcome,
        }
    }

    fn at(status: &HostStatus, why: &'static str, outcome: Result<(), UserError>) -> Place {
        Place {
            host: Some(status.host.name.clone()),
            address: Some(status.host.address.to_string()),
            why,
            outcome,
        }
    }

    fn unregistered(name: &str, why: &'static str, outcome: Result<(), UserError>) -> Place {
        Place {
            host: Some(name.to_owned()),
            address: None,
            why,
            outcome,
        }
    }
}

impl Engine {
    /// Every place an extension could be used at, best first; one refused place when there is none. `known`: the
    /// registered hosts, read when the first extension needs them.
    pub(super) async fn places(
        &self,
        extension_id: &str,
        profile: &Profile,
        inputs: &BTreeMap<String, String>,
        wanted: Wanted<'_>,
        known: &mut Option<Vec<HostStatus>>,
    ) -> Result<Vec<Place>, UserError> {
        let Some(extension) = self.ports.extensions.get(extension_id) else {
            return Ok(vec![Place::nowhere(Err(rules::not_built(extension_id)))]);
        };
        let capabilities = extension.capabilities();
        if let Err(refusal) = rules::check(extension_id, &capabilities, profile, inputs) {
            return Ok(vec![Place::nowhere(Err(refusal))]);
        }
        if !capabilities.needs_host {
            return Ok(vec![match wanted.host {
                None => match extension.host_of(profile, inputs) {
                    None => Place::nowhere(Ok(())),
                    Some(host) => {
                        let outcome = self
                            .check_said(extension.as_ref(), &host, profile, wanted.caller)
                            .await?;
                        Place::unregistered(&host, "where the inputs say", outcome)
                    }
                },
                Some(host) => {
                    let what = format!("{extension_id} does not run on hosts, so it cannot run on `{host}`");
                    let error = UserError::new(ErrorCode::InvalidInput, what).hint("leave --host out");
                    Place::unregistered(host, "", Err(error))
                }
            }]);
        }
        let hosts = match known {
            Some(hosts) => hosts,
            None => known.insert(self.ports.store.hosts().await?),
        };
        let share = Share::of(&profile.resources);
        if let Some(text) = wanted.host {
            return Ok(vec![match (wanted.caller, find(hosts, text)) {
                (Caller::Tenant, None) => Place::unregistered(
                    text,
                    "",
                    Err(not_registered(text, "see what is with `sandboxer hosts list`")),
                ),
                _ => named(text, "on the host that was asked for", hosts, &share),
            }]);
        }
        if let Some(text) = wanted.default_host {
            return Ok(vec![named(text, "on the caller's usual host", hosts, &share)]);
        }
        let places = in_order(extension_id, profile, hosts, &share);
        if places.is_empty() {
            let what = format!("{extension_id} needs a host, and none is registered");
            let error = UserError::new(ErrorCode::NoRoute, what)
                .hint("name a host with --host, or register one with `sandboxer hosts add NAME`");
            return Ok(vec![Place::nowhere(Err(error))]);
        }
        Ok(places)
    }
}

impl Engine {
    /// Whether the caller may have the machine that the inputs say. A tenant may where the profile itself says it, and where
    /// it is registered.
    async fn check_said(
        &self,
        extension: &dyn Extension,
        host: &str,
        profile: &Profile,
        caller: Caller,
    ) -> Result<Result<(), UserError>, UserError> {
        if caller == Caller::Operator {
            return Ok(Ok(()));
        }
        let own = profile.inputs.iter();
        let own = own.filter_map(|(name, spec)| Some((name.clone(), spec.default.clone()?)));
        let own: BTreeMap<_, _> = own.collect();
        if extension.host_of(profile, &own).as_deref() == Some(host) {
            return Ok(Ok(()));
        }
        let hosts = self.ports.store.hosts().await?;
        Ok(match find(&hosts, host) {
            Some(_) => Ok(()),
            None => Err(not_registered(host, "name a machine that is a registered host")),
        })
    }
}

/// A tenant named a machine that is none of ours.
fn not_registered(host: &str, hint: &str) -> UserError {
    let shown: String = host.chars().take(80).filter(|c| !c.is_control()).collect();
    UserError::new(ErrorCode::InvalidInput, format!("no host `{shown}` is registered")).hint(hint)
}

/// The host that the caller named. It need not be registered, nor have answered lately; but if it is registered, what is
/// taken of it counts.
fn named(text: &str, why: &'static str, hosts: &[HostStatus], share: &Share) -> Place {
    match find(hosts, text) {
        Some(status) => Place::at(status, why, takes_more(status).and_then(|()| has_room(status, share))),
        None => Place::unregistered(
            text,
            why,
            text.parse::<HostAddress>().map(drop).map_err(|error| {
                UserError::new(ErrorCode::InvalidInput, error.to_string())
                    .hint("write `local` or `[user@]name[:port]`, such as me@box")
            }),
        ),
    }
}

/// Hosts by the profile's preference, then by room; equals by name.
fn in_order(extension_id: &str, profile: &Profile, hosts: &[HostStatus], share: &Share) -> Vec<Place> {
    let judge = |status: &HostStatus| {
        takes_more(status)
            .and_then(|()| answers(status))
            .and_then(|()| lacks_nothing(status, extension_id))
            .and_then(|()| has_room(status, share))
    };
    let mut places = Vec::new();
    let mut placed: Vec<&str> = Vec::new();
    let wanted = [
        (&profile.placement.prefer, "on a host the profile prefers"),
        (&profile.placement.fallback, "on a host the profile falls back on"),
    ];
    for (names, why) in wanted {
        for name in names {
            match find(hosts, name) {
                Some(status) if placed.contains(&status.host.name.as_str()) => {}
                Some(status) => {
                    placed.push(&status.host.name);
                    places.push(Place::at(status, why, judge(status)));
                }
                None if placed.contains(&name.as_str()) => {}
                None => {
                    placed.push(name);
                    let refusal = cannot(name, "not registered")
                        .hint("name a host with --host, or register one with `sandboxer hosts add NAME`");
                    places.push(Place::unregistered(name, why, Err(refusal)));
                }
            }
        }
    }
    let mut others: Vec<&HostStatus> = hosts
        .iter()
        .filter(|status| !placed.contains(&status.host.name.as_str()))
        .collect();
    let free = |status: &HostStatus| status.host.capacity.free_slots(&status.reserved).unwrap_or(u64::MAX);
    others.sort_by_key(|status| (Reverse(free(status)), status.host.name.clone()));
    places.extend(
        others
            .into_iter()
            .map(|status| Place::at(status, "on a registered host with room", judge(status))),
    );
    places
}

/// The host people mean by this: its own name goes before an address.
pub(crate) fn find<'h>(hosts: &'h [HostStatus], text: &str) -> Option<&'h HostStatus> {
    hosts
        .iter()
        .find(|status| status.host.name == text)
        .or_else(|| hosts.iter().find(|status| status.host.answers_to(text)))
}

fn cannot(name: &str, why: &str) -> UserError {
    UserError::new(ErrorCode::NoRoute, format!("cannot use host `{name}`: {why}"))
}

fn takes_more(status: &HostStatus) -> Result<(), UserError> {
    let name = &status.host.name;
    match status.host.state {
        HostState::Draining => Err(cannot(name, "draining").hint(format!(
            "let it take sandboxes again with `sandboxer hosts activate {name}`, or name another with --host"
        ))),
        HostState::Active | HostState::Down => Ok(()),
    }
}

fn answers(status: &HostStatus) -> Result<(), UserError> {
    let name = &status.host.name;
    if status.host.state != HostState::Down {
        return Ok(());
    }
    let why = status.host.unreachable.as_deref().unwrap_or("it did not answer");
    Err(cannot(name, &format!("down: {why}")).hint(format!("ask it again with `sandboxer hosts probe {name}`")))
}

fn lacks_nothing(status: &HostStatus, extension_id: &str) -> Result<(), UserError> {
    let seen = status
        .host
        .probe
        .as_ref()
        .and_then(|probe| probe.backends.get(extension_id));
    match seen.map(|view| view.missing.as_slice()) {
        None | Some([]) => Ok(()),
        Some(missing) => Err(cannot(&status.host.name, &missing.join("; ")).hint(format!(
            "once that is mended: `sandboxer hosts probe {}`",
            status.host.name
        ))),
    }
}

fn has_room(status: &HostStatus, share: &Share) -> Result<(), UserError> {
    let host = &status.host;
    let full = |why: String| {
        cannot(&host.name, &why).hint(format!("see what is there with `sandboxer inspect host {}`", host.name))
    };
    host.capacity.room_for(&status.reserved, share).map_err(full)?;
    match &host.probe {
        Some(probe) => host
            .watermarks
            .allow(&probe.snapshot)
            .map_err(|why| full(why).hint(format!("once there is more: `sandboxer hosts probe {}`", host.name))),
        None => Ok(()),
    }
}
