//! What podman-compose 1.0 does not pass on to podman: networks with addresses, limits of processes, resolvers, health checks
//! of several words. The fresh file is put into the words it knows, and the rest goes to podman beside it.
//!
//! Facts, from its source (1.0.3): `container_to_args` knows no `pids_limit`, `dns`, `memswap_limit` or addresses; networks are made without
//! a subnet unless they are external; a `CMD` health check is joined into one word.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

/// The fresh file for podman-compose, and what goes beside it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ForPodman {
    /// The file.
    pub(crate) document: Value,
    /// Lines `NAME SUBNET MODE BRIDGE`: networks to be made before, and what the wall calls their bridges.
    pub(crate) networks: String,
    /// Lines `CONTAINER ARGUMENT`: what podman gets more for a container.
    pub(crate) arguments: String,
}

/// Puts a fresh file into the words of podman-compose.
pub(crate) fn translate(document: &Value, project: &str) -> ForPodman {
    let mut document = document.clone();
    let mut networks = String::new();
    if let Some(all) = document.get_mut("networks").and_then(Value::as_object_mut) {
        for (name, network) in all.iter_mut() {
            let text = |pointer: &str| {
                network
                    .pointer(pointer)
                    .and_then(Value::as_str)
                    .unwrap_or("")
                    .to_owned()
            };
            let mode = if network.get("internal") == Some(&Value::Bool(true)) {
                "internal"
            } else {
                "open"
            };
            let _ = writeln!(
                networks,
                "{project}_{name} {} {mode} {}",
                text("/ipam/config/0/subnet"),
                text("/driver_opts/com.docker.network.bridge.name")
            );
            *network = json!({ "external": true, "name": format!("{project}_{name}") });
        }
    }
    let services = document
        .get("services")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    // Nobody resolves names on an internal network there: the services are told of each other.
    let hosts: Vec<String> = services
        .iter()
        .flat_map(|(name, service)| {
            let aliases = names(name, service);
            let address = addresses(service).first().map(|(_, address)| address.clone());
            aliases
                .into_iter()
                .filter_map(move |alias| Some(format!("{alias}:{}", address.clone()?)))
        })
        .collect();
    let mut arguments = String::new();
    for (name, service) in &services {
        let container = format!("{project}_{name}_1");
        let mut add = |argument: String| {
            let _ = writeln!(arguments, "{container} {argument}");
        };
        for (network, address) in addresses(service) {
            add(format!("--network={project}_{network}:ip={address}"));
        }
        for (key, option) in [("pids_limit", "pids-limit"), ("memswap_limit", "memory-swap")] {
            if let Some(value) = service.get(key).and_then(Value::as_u64) {
                add(format!("--{option}={value}"));
            }
        }
        for server in service
            .get("dns")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            add(format!("--dns={server}"));
        }
    }
    if let Some(all) = document.get_mut("services").and_then(Value::as_object_mut) {
        for service in all.values_mut().filter_map(Value::as_object_mut) {
            rewrite(service, &hosts);
        }
    }
    ForPodman {
        document,
        networks,
        arguments,
    }
}

/// What containers are compared with: the fresh file, and the names the services are told of each other by.
pub(crate) fn expected(document: &Value, made: &ForPodman) -> Value {
    let mut expected = document.clone();
    for (name, service) in expected
        .get_mut("services")
        .and_then(Value::as_object_mut)
        .into_iter()
        .flatten()
    {
        let hosts = made
            .document
            .pointer("/services")
            .and_then(|all| all.get(name))
            .and_then(|one| one.get("extra_hosts"));
        if let (Some(service), Some(hosts)) = (service.as_object_mut(), hosts) {
            service.insert("extra_hosts".to_owned(), hosts.clone());
        }
    }
    expected
}

fn rewrite(service: &mut Map<String, Value>, hosts: &[String]) {
    if let Some(networks) = service.get("networks").and_then(Value::as_object) {
        let names: Vec<String> = networks.keys().cloned().collect();
        service.insert("networks".to_owned(), json!(names));
        let mut all: Vec<Value> = service
            .get("extra_hosts")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        all.extend(hosts.iter().map(|host| json!(host)));
        service.insert("extra_hosts".to_owned(), all.into());
    }
    service.remove("dns");
    service.insert(
        "logging".to_owned(),
        json!({ "driver": "k8s-file", "options": { "max-size": "10m" } }),
    );
    let words = service
        .get("healthcheck")
        .and_then(|check| check.get("test"))
        .and_then(Value::as_array)
        .cloned();
    if let Some([Value::String(kind), rest @ ..]) = words.as_deref()
        && kind == "CMD"
    {
        let line: Vec<String> = rest.iter().filter_map(Value::as_str).map(quoted).collect();
        if let Some(check) = service.get_mut("healthcheck").and_then(Value::as_object_mut) {
            check.insert("test".to_owned(), json!(["CMD-SHELL", line.join(" ")]));
        }
    }
}

/// One word of a shell. Dollars are doubled already.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn names(name: &str, service: &Value) -> Vec<String> {
    let mut all = vec![name.to_owned()];
    for network in service
        .get("networks")
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(|all| all.values())
    {
        let aliases = network.get("aliases").and_then(Value::as_array);
        all.extend(
            aliases
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(str::to_owned),
        );
    }
    all.sort();
    all.dedup();
    all
}

fn addresses(service: &Value) -> Vec<(String, String)> {
    let networks = service.get("networks").and_then(Value::as_object);
    networks
        .into_iter()
        .flatten()
        .filter_map(|(name, network)| Some((name.clone(), network.get("ipv4_address")?.as_str()?.to_owned())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_podman_compose_drops_goes_beside_the_file() {
        let document = json!({
            "services": { "web": {
                "networks": { "default": { "ipv4_address": "10.64.0.2", "aliases": ["www"] } },
                "pids_limit": 9, "dns": ["127.0.0.1"],
                "healthcheck": { "test": ["CMD", "a", "b'c"] },
            } },
            "networks": { "default": { "internal": true, "driver_opts": { "com.docker.network.bridge.name": "sbxn0" },
                "ipam": { "config": [{ "subnet": "10.64.0.0/28" }] } } },
        });
        let made = translate(&document, "sbx-1");
        assert_eq!(made.networks, "sbx-1_default 10.64.0.0/28 internal sbxn0\n");
        assert_eq!(
            made.arguments,
            "sbx-1_web_1 --network=sbx-1_default:ip=10.64.0.2\nsbx-1_web_1 --pids-limit=9\nsbx-1_web_1 --dns=127.0.0.1\n"
        );
        let web = &made.document["services"]["web"];
        assert_eq!(web["networks"], json!(["default"]));
        assert_eq!(web["extra_hosts"], json!(["web:10.64.0.2", "www:10.64.0.2"]));
        assert_eq!(web["healthcheck"]["test"], json!(["CMD-SHELL", r"'a' 'b'\''c'"]));
        assert_eq!(made.document["networks"]["default"]["external"], true);
    }
}
