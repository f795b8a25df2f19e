//! How a sandbox is limited, walled and reached, as its record tells it.

use std::collections::BTreeMap;

use sandboxer_model::isolation::{EnforcedBy, Limit, Mechanism, MechanismState, Resource};
use sandboxer_model::profile::{Profile, Trust};
use sandboxer_model::reachability::Endpoint;

use crate::config::Config;
use crate::inventory::lack;
use crate::network::Leaves;
use crate::policy::Stack;
use sandboxer_host::reply::Reply;

/// Each limit, and what holds it.
pub(crate) fn limits(profile: &Profile) -> Vec<Limit> {
    let asked = &profile.resources;
    let by_engine = |resource, value: Option<f64>| Limit {
        resource,
        value,
        enforced_by: if value.is_some() {
            EnforcedBy::Backend
        } else {
            EnforcedBy::None
        },
        detail: if value.is_some() {
            "held by the container engine's control groups, shared out among the services".to_owned()
        } else {
            String::new()
        },
    };
    let mut limits = vec![
        by_engine(Resource::Cpu, asked.cpu),
        by_engine(Resource::MemoryMb, asked.memory_mb.map(|mib| mib as f64)),
        by_engine(Resource::Pids, asked.pids.map(|pids| pids as f64)),
    ];
    limits.push(Limit {
        resource: Resource::DiskMb,
        value: asked.disk_mb.map(|mib| mib as f64),
        enforced_by: EnforcedBy::None,
        detail: "the container engine's storage has no quota: the host's free space is the limit".to_owned(),
    });
    if profile.trust == Trust::Full {
        for limit in &mut limits {
            limit.enforced_by = EnforcedBy::None;
            limit.detail = "`trust: full`: the Compose file decides".to_owned();
        }
    }
    limits
}

fn stands(name: &str, detail: impl Into<String>) -> Mechanism {
    Mechanism {
        name: name.to_owned(),
        state: MechanismState::Enforced,
        detail: detail.into(),
    }
}

/// Each wall.
pub(crate) fn mechanisms(profile: &Profile, leaves: &Leaves, reply: &Reply) -> Vec<Mechanism> {
    let mut all = Vec::new();
    if profile.trust == Trust::Full {
        all.push(Mechanism {
            name: "compose_file".to_owned(),
            state: MechanismState::Missing,
            detail: "`trust: full`: the file was taken as it is, and may reach the host".to_owned(),
        });
    } else {
        all.push(stands(
            "compose_file",
            "reconstructed from what is known to be harmless; every container was compared with it after the start",
        ));
        all.push(stands(
            "capabilities",
            "all dropped but seven that stay inside; no new privileges; the engine's system-call filter",
        ));
        all.push(match leaves {
            Leaves::Nothing => stands(
                "network",
                "internal networks of its own addresses, and a packet filter that lets nothing out to the host, its \
                 neighbours or anywhere else; no name of the world resolves",
            ),
            Leaves::Listed(_) => stands(
                "network",
                "a packet filter that lets out only what is listed; names were resolved when it was made, and no other \
                 name resolves",
            ),
            Leaves::Anything => stands(
                "network",
                "open, but for the host, its neighbours and link-local addresses, which a packet filter keeps it from",
            ),
        });
    }
    all.push(Mechanism {
        name: "container".to_owned(),
        state: MechanismState::Degraded,
        detail: "namespaces of the container engine; the host's kernel is shared".to_owned(),
    });
    all.push(if reply.lacks.iter().any(|what| what == "guard") {
        Mechanism {
            name: "ttl_guard".to_owned(),
            state: MechanismState::Degraded,
            detail: lack("guard"),
        }
    } else {
        stands(
            "ttl_guard",
            "a process on the host removes it at its deadline, whatever becomes of us; it does not outlive a restart of \
             the host, and neither do the services",
        )
    });
    all
}

/// Service → its ports and where they answer on the host.
pub(crate) fn services(stack: &Stack) -> BTreeMap<String, Vec<Endpoint>> {
    stack
        .services
        .iter()
        .map(|(name, plan)| {
            let endpoints = plan
                .ports
                .iter()
                .map(|port| Endpoint {
                    port: port.port,
                    address: plan
                        .address
                        .map_or_else(String::new, |address| format!("{address}:{}", port.port)),
                    protocol: port.protocol.name().to_owned(),
                })
                .collect();
            (name.clone(), endpoints)
        })
        .collect()
}

/// The service that commands run in when none is named: the profile's choice, else the only one.
pub(crate) fn default_service(stack: &Stack, config: &Config) -> Option<String> {
    config
        .service
        .clone()
        .filter(|name| stack.services.contains_key(name))
        .or_else(|| match stack.services.len() {
            1 => stack.services.keys().next().cloned(),
            _ => None,
        })
}
