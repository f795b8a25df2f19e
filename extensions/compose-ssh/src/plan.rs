//! What was decided when a sandbox was made, kept in its handle: enough to say how it is reached and isolated later, by
//! another process.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use jiff::SignedDuration;
use sandboxer_extension::{ErrorKind, ExtensionError, Handle, Ready, Target};
use sandboxer_host::Machine;
use sandboxer_model::host::{HostAddress, ProvisionDelta};
use sandboxer_model::isolation::{Attestation, IsolationReport, Limit, Mechanism};
use sandboxer_model::profile::IsolationLevel;
use sandboxer_model::reachability::{Endpoint, Reachability};
use serde::{Deserialize, Serialize};

use crate::extension::{PLAN, PROJECT, REMOTE_DIR, Settings};
use crate::network::{METADATA, PUBLIC};
use sandboxer_host::reply::Reply;

/// What was decided when it was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Service → its ports and where they answer on the host.
    pub(crate) services: BTreeMap<String, Vec<Endpoint>>,
    /// The service that commands run in when none is named; `None` where the choice is the caller's.
    pub(crate) default_service: Option<String>,
    /// Each wall.
    pub(crate) mechanisms: Vec<Mechanism>,
    /// Each limit.
    pub(crate) limits: Vec<Limit>,
    /// What the ready program takes: seconds to wait, what counts as ready, seconds to live, what to try from inside.
    pub(crate) ready: ReadyWords,
    pub(crate) remote_dir: String,
    pub(crate) project: String,
}

/// Words of the program `ready`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ReadyWords {
    pub(crate) wait_s: u64,
    pub(crate) when: String,
    pub(crate) ttl_s: u64,
    pub(crate) targets: Vec<String>,
}

impl ReadyWords {
    /// In the order the program takes them.
    pub(crate) fn words(&self) -> Vec<String> {
        vec![
            self.wait_s.to_string(),
            self.when.clone(),
            self.ttl_s.to_string(),
            self.targets.join(","),
        ]
    }
}

/// What is tried from inside when nothing may leave.
pub(crate) fn targets_under_deny() -> Vec<String> {
    vec![PUBLIC.to_owned(), METADATA.to_owned()]
}

impl Plan {
    /// The plan in a stored handle.
    ///
    /// # Errors
    /// `NotFound` when making it was not finished.
    pub(crate) fn of(target: &Target) -> Result<Plan, ExtensionError> {
        target
            .handle
            .as_ref()
            .and_then(|handle| handle.get(PLAN))
            .and_then(|text| serde_json::from_str(text).ok())
            .ok_or_else(|| {
                ExtensionError::new(ErrorKind::NotFound, format!("{} was never finished", target.sandbox_id))
            })
    }

    /// Writes it into a handle.
    pub(crate) fn store(&self, handle: &mut Handle) {
        handle.insert(PLAN.to_owned(), serde_json::to_string(self).unwrap_or_default());
        handle.insert(PROJECT.to_owned(), self.project.clone());
        handle.insert(REMOTE_DIR.to_owned(), self.remote_dir.clone());
    }

    /// The words of the program `ready`.
    pub(crate) fn ready_words(&self) -> Vec<String> {
        self.ready.words()
    }

    /// The service that is meant.
    ///
    /// # Errors
    /// `Invalid` when there is none of this name, or several and none was named.
    pub(crate) fn service<'a>(&'a self, named: Option<&'a str>) -> Result<&'a str, ExtensionError> {
        let all: Vec<&str> = self.services.keys().map(String::as_str).collect();
        let there = format!("there are: {}", all.join(", "));
        match named.or(self.default_service.as_deref()) {
            Some(name) if self.services.contains_key(name) => Ok(name),
            Some(name) => {
                Err(ExtensionError::new(ErrorKind::Invalid, format!("the sandbox has no service `{name}`")).hint(there))
            }
            None => Err(ExtensionError::new(
                ErrorKind::Invalid,
                "the sandbox has several services, and none was named",
            )
            .hint(format!("name one with --service; {there}"))),
        }
    }

    /// What the host's answer means.
    ///
    /// # Errors
    /// `Policy` when something was reached that must not be.
    pub(crate) fn ready(&self, settings: &Settings, machine: &Machine, reply: &Reply) -> Result<Ready, ExtensionError> {
        let attestations = attestations(reply);
        if let Some(broken) = attestations.iter().find(|one| !one.held) {
            return Err(ExtensionError::new(
                ErrorKind::Policy,
                format!("the network of the sandbox is not closed: {} succeeded", broken.probe),
            )
            .hint("see what else changes the packet filter of the host"));
        }
        let address = machine.address();
        let mut services = self.services.clone();
        published(&mut services, reply);
        let (before, after) = reply.before_and_after();
        let guard_deadline = reply
            .guard
            .and_then(|left| i64::try_from(left).ok())
            .and_then(|left| settings.clock.now().checked_add(SignedDuration::from_secs(left)).ok());
        Ok(Ready {
            reachability: Reachability {
                ssh: ssh_target(address, reply.user.as_deref()),
                remote_dir: Some(self.remote_dir.clone()),
                host: Some(address.name().to_owned()),
                compose_project: Some(self.project.clone()),
                identity: machine.identity().map(|identity| identity.key_id),
                services,
                ..Reachability::default()
            },
            isolation: IsolationReport {
                level: IsolationLevel::Container,
                mechanisms: self.mechanisms.clone(),
                limits: self.limits.clone(),
                attestations,
            },
            guard_deadline,
            delta: Some(ProvisionDelta::between(before, after)),
        })
    }
}

/// `user@name`; as an URI where the port is not the SSH configuration's to say.
fn ssh_target(address: &HostAddress, user_there: Option<&str>) -> Option<String> {
    let HostAddress::Ssh { user, name, port } = address else {
        return None;
    };
    let user = user.as_deref().or(user_there);
    let login = user.map_or_else(|| name.clone(), |user| format!("{user}@{name}"));
    Some(match port {
        Some(port) => format!("ssh://{login}:{port}"),
        None => login,
    })
}

fn attestations(reply: &Reply) -> Vec<Attestation> {
    reply
        .probes
        .iter()
        .map(|probe| Attestation {
            probe: format!(
                "connect from {} to {} ({})",
                probe.service,
                probe.target.replace('_', " "),
                probe.address
            ),
            expected: "refused".to_owned(),
            observed: if probe.reached { "connected" } else { "refused" }.to_owned(),
            held: !probe.reached,
        })
        .collect()
}

/// Every port the engine published, where the file was taken as it is and nothing is known beforehand.
fn seen(container: &serde_json::Value) -> Vec<Endpoint> {
    let ports = container
        .pointer("/NetworkSettings/Ports")
        .and_then(|ports| ports.as_object());
    ports
        .into_iter()
        .flatten()
        .filter_map(|(key, bindings)| {
            let (port, protocol) = key.split_once('/')?;
            let binding = bindings.get(0)?;
            let ip = binding
                .get("HostIp")?
                .as_str()
                .filter(|ip| !ip.is_empty())
                .unwrap_or("0.0.0.0");
            Some(Endpoint {
                port: port.parse().ok()?,
                address: format!("{ip}:{}", binding.get("HostPort")?.as_str()?),
                protocol: protocol.to_owned(),
            })
        })
        .collect()
}

/// Ports that the engine published on the host's loopback, read from what it says of the containers.
fn published(services: &mut BTreeMap<String, Vec<Endpoint>>, reply: &Reply) {
    let containers = reply.inspected.as_ref().and_then(|all| all.as_array());
    for container in containers.into_iter().flatten() {
        let label = container.pointer("/Config/Labels/com.docker.compose.service");
        let Some(endpoints) = label
            .and_then(|name| name.as_str())
            .and_then(|name| services.get_mut(name))
        else {
            continue;
        };
        if endpoints.is_empty() {
            endpoints.extend(seen(container));
            continue;
        }
        for endpoint in endpoints {
            let key = format!("{}/{}", endpoint.port, endpoint.protocol);
            let binding = container
                .pointer("/NetworkSettings/Ports")
                .and_then(|ports| ports.get(&key))
                .and_then(|bindings| bindings.get(0));
            let port = binding
                .and_then(|one| one.get("HostPort"))
                .and_then(|port| port.as_str());
            let ip = binding.and_then(|one| one.get("HostIp")).and_then(|ip| ip.as_str());
            if let (Some(Ok(port)), Some(Ok(ip))) = (port.map(str::parse::<u16>), ip.map(str::parse::<Ipv4Addr>)) {
                endpoint.address = format!("{ip}:{port}");
            }
        }
    }
}
