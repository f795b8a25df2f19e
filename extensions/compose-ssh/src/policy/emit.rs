//! The fresh file. It says only what Compose 1.29, Compose 2 and later and podman-compose 1.0 read alike, and has no `$` that
//! any of them would fill in.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::{Map, Value, json};

use super::file::{File, on};
use super::mount::MountKind;
use super::port::Protocol;
use super::refusal::Refusal;
use super::service::{CAPABILITIES, Service};
use super::{Egress, Request, ServicePlan, Stack, TreeAccess};

/// Addresses of one network.
const NETWORK_SIZE: u32 = 16;
/// Processes of a service where the profile limits none: enough for anything, too few for a fork bomb to hurt.
const MOST_PIDS: u64 = 4096;
/// A service cannot do with less.
const LEAST_MEMORY: u64 = 16 << 20;
/// Logs that the host keeps of one service: 2 files of this size.
const LOG_SIZE: &str = "10m";

/// Writes the fresh file.
pub(super) fn emit(request: &Request<'_>, file: &File) -> Result<Stack, Vec<Refusal>> {
    let shares = Shares::of(request, file)?;
    let mut notes = file.notes.clone();
    let mut services = Map::new();
    let mut plans = BTreeMap::new();
    let mut builds = Vec::new();
    for (name, service) in &file.services {
        let addresses = addresses(request, file, name, service);
        services.insert(name.clone(), emit_service(request, service, &addresses, &shares));
        builds.extend(service.build.clone());
        if !service.labels.is_empty() {
            notes.push(format!(
                "`services.{name}.labels` is not used: programs on the host could act on them"
            ));
        }
        if !service.ports.is_empty() && request.network.egress == Egress::Nothing {
            notes.push(format!(
                "`services.{name}.ports`: under `network.default: deny` nothing is published; the ports answer at the \
                 service's own address on the host"
            ));
        }
        plans.insert(
            name.clone(),
            ServicePlan {
                ports: service.ports.clone(),
                address: addresses.first().map(|(_, address)| *address),
                has_health_check: service.healthcheck.is_some(),
            },
        );
    }
    let mut document = Map::new();
    document.insert("services".to_owned(), services.into());
    if !file.networks.is_empty() {
        document.insert("networks".to_owned(), networks(request, file));
    }
    if !file.volumes.is_empty() {
        let volumes: Map<String, Value> = file
            .volumes
            .iter()
            .map(|name| (name.clone(), json!({ "labels": request.labels })))
            .collect();
        document.insert("volumes".to_owned(), volumes.into());
    }
    let mut document = Value::Object(document);
    double_dollars(&mut document);
    notes.sort();
    notes.dedup();
    Ok(Stack {
        document,
        services: plans,
        builds,
        copies: file.copies.clone(),
        notes,
    })
}

/// What each service gets that the file gives no limit of its own, so that all together stay within the sandbox's.
struct Shares {
    cpus: Option<f64>,
    memory: Option<u64>,
    pids: Option<u64>,
}

impl Shares {
    fn of(request: &Request<'_>, file: &File) -> Result<Shares, Vec<Refusal>> {
        let refuse = |key: &str, why: String| {
            let path = ["resources".to_owned(), key.to_owned()];
            Err(vec![Refusal::new(
                request.compose_file,
                sandboxer_model::document::Place::default(),
                &path,
                why,
            )])
        };
        let services = file.services.values();
        let memory = match request.limits.memory_mb {
            None => None,
            Some(mib) => {
                let asked: u64 = services.clone().filter_map(|service| service.memory).sum();
                let rest =
                    u64::try_from(services.clone().filter(|service| service.memory.is_none()).count()).unwrap_or(1);
                let total = mib.saturating_mul(1 << 20);
                let left = total.saturating_sub(asked);
                if asked > total || (rest > 0 && left / rest < LEAST_MEMORY) {
                    return refuse(
                        "memory_mb",
                        format!(
                            "gives the sandbox {mib} MiB, and its {} services need more",
                            file.services.len()
                        ),
                    );
                }
                Some(left / rest.max(1))
            }
        };
        let cpus = match request.limits.cpu {
            None => None,
            Some(total) => {
                let asked: f64 = services.clone().filter_map(|service| service.cpus).sum();
                let rest = services.clone().filter(|service| service.cpus.is_none()).count();
                // Hundredths of a processor are the finest that every engine takes.
                let share = ((total - asked) / rest.max(1) as f64 * 100.0).floor() / 100.0;
                if asked > total + 1e-9 || (rest > 0 && share < 0.01) {
                    return refuse(
                        "cpu",
                        format!("gives the sandbox {total} processors, and its services ask for more"),
                    );
                }
                Some(share)
            }
        };
        let pids = match request.limits.pids {
            None => None,
            Some(total) => {
                let asked: u64 = services.clone().filter_map(|service| service.pids).sum();
                let rest =
                    u64::try_from(services.clone().filter(|service| service.pids.is_none()).count()).unwrap_or(1);
                let left = total.saturating_sub(asked);
                if asked > total || (rest > 0 && left / rest < 4) {
                    return refuse(
                        "pids",
                        format!("gives the sandbox {total} processes, and its services need more"),
                    );
                }
                Some(left / rest.max(1))
            }
        };
        Ok(Shares { cpus, memory, pids })
    }
}

/// The service's address on each of its networks, in the order of the networks.
fn addresses(request: &Request<'_>, file: &File, name: &str, service: &Service) -> Vec<(String, Ipv4Addr)> {
    let mut all = Vec::new();
    for (number, network) in file.networks.iter().enumerate() {
        if !on(service, network) {
            continue;
        }
        let place = file
            .services
            .iter()
            .filter(|(_, other)| on(other, network))
            .position(|(other, _)| other == name)
            .unwrap_or(0);
        let first = first_of(request, number);
        // The first address is the network's own, the second the bridge's.
        let address = u32::from(first) + 2 + u32::try_from(place).unwrap_or(0);
        all.push((network.clone(), address.into()));
    }
    all
}

fn first_of(request: &Request<'_>, number: usize) -> Ipv4Addr {
    let offset = NETWORK_SIZE.saturating_mul(u32::try_from(number).unwrap_or(0));
    u32::from(request.network.block).wrapping_add(offset).into()
}

fn networks(request: &Request<'_>, file: &File) -> Value {
    let mut all = Map::new();
    for (number, name) in file.networks.iter().enumerate() {
        let first = first_of(request, number);
        all.insert(
            name.clone(),
            json!({
                "driver": "bridge",
                "internal": request.network.egress == Egress::Nothing,
                "driver_opts": { "com.docker.network.bridge.name": format!("{}{number}", request.network.bridge) },
                "ipam": { "config": [ { "subnet": format!("{first}/28") } ] },
                "labels": request.labels,
            }),
        );
    }
    all.into()
}

fn emit_service(request: &Request<'_>, service: &Service, addresses: &[(String, Ipv4Addr)], shares: &Shares) -> Value {
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| {
        out.insert(key.to_owned(), value);
    };
    match (&service.build, &service.image) {
        (Some(build), _) => put("image", json!(build.tag)),
        (None, image) => put("image", json!(image)),
    }
    for (key, value) in [
        ("command", &service.command),
        ("entrypoint", &service.entrypoint),
        ("healthcheck", &service.healthcheck),
    ] {
        if let Some(value) = value {
            put(key, value.clone());
        }
    }
    for (key, value) in [
        ("working_dir", &service.working_dir),
        ("user", &service.user),
        ("hostname", &service.hostname),
        ("stop_signal", &service.stop_signal),
        ("restart", &service.restart),
    ] {
        if let Some(value) = value {
            put(key, json!(value));
        }
    }
    if !service.environment.is_empty() {
        put("environment", json!(service.environment));
    }
    // Programs on the host act on labels of containers they see: a stranger's are not put there.
    put("labels", json!(request.labels));
    for (key, on) in [
        ("init", service.init),
        ("read_only", service.read_only),
        ("tty", service.tty),
        ("stdin_open", service.stdin_open),
    ] {
        if on {
            put(key, json!(true));
        }
    }
    if let Some(ms) = service.stop_grace_ms {
        // Whole seconds: engines count them.
        put(
            "stop_grace_period",
            json!(super::value::written(ms.div_ceil(1000) * 1000)),
        );
    }
    if let Some(bytes) = service.shm_size {
        put("shm_size", json!(bytes));
    }
    if let Some(nofile) = service.nofile {
        put("ulimits", json!({ "nofile": { "soft": nofile, "hard": nofile } }));
    }
    if !service.depends_on.is_empty() {
        let all: Map<String, Value> = service
            .depends_on
            .iter()
            .map(|(name, condition)| (name.clone(), json!({ "condition": condition })))
            .collect();
        put("depends_on", all.into());
    }
    emit_network(request, service, addresses, &mut put);
    emit_mounts(request, service, &mut put);
    put("cap_drop", json!(["ALL"]));
    put("cap_add", json!(CAPABILITIES));
    put("security_opt", json!(["no-new-privileges:true"]));
    put("pids_limit", json!(service.pids.or(shares.pids).unwrap_or(MOST_PIDS)));
    if let Some(bytes) = service.memory.or(shares.memory) {
        put("mem_limit", json!(bytes));
        put("memswap_limit", json!(bytes));
    }
    if let Some(cpus) = service.cpus.or(shares.cpus) {
        put("cpus", json!(cpus));
    }
    put(
        "logging",
        json!({ "driver": "json-file", "options": { "max-size": LOG_SIZE, "max-file": "2" } }),
    );
    out.into()
}

fn emit_network(
    request: &Request<'_>,
    service: &Service,
    addresses: &[(String, Ipv4Addr)],
    put: &mut impl FnMut(&str, Value),
) {
    if service.no_network {
        put("network_mode", json!("none"));
        return;
    }
    let networks: Map<String, Value> = addresses
        .iter()
        .map(|(name, address)| {
            let mut network = Map::from_iter([("ipv4_address".to_owned(), json!(address))]);
            let aliases = service.networks.as_ref().and_then(|named| named.get(name));
            if let Some(aliases) = aliases.filter(|aliases| !aliases.is_empty()) {
                network.insert("aliases".to_owned(), json!(aliases));
            }
            (name.clone(), network.into())
        })
        .collect();
    put("networks", networks.into());
    match &request.network.egress {
        // Nobody listens there: the engine's own resolver answers for the services and has nobody to ask for the rest.
        Egress::Nothing => put("dns", json!(["127.0.0.1"])),
        Egress::Listed(names) => {
            put("dns", json!(["127.0.0.1"]));
            let hosts: Vec<String> = names
                .iter()
                .map(|(name, address)| format!("{name}:{address}"))
                .collect();
            if !hosts.is_empty() {
                put("extra_hosts", json!(hosts));
            }
        }
        Egress::Open => {}
    }
    if request.network.egress != Egress::Nothing && !service.ports.is_empty() {
        let ports: Vec<String> = service
            .ports
            .iter()
            .map(|port| match port.protocol {
                Protocol::Tcp => format!("127.0.0.1::{}", port.port),
                Protocol::Udp => format!("127.0.0.1::{}/udp", port.port),
            })
            .collect();
        put("ports", json!(ports));
    }
}

fn emit_mounts(request: &Request<'_>, service: &Service, put: &mut impl FnMut(&str, Value)) {
    let mut volumes: Vec<Value> = Vec::new();
    let mut memory = Vec::new();
    for mount in &service.mounts {
        let suffix = |read_only: bool| if read_only { ":ro" } else { "" };
        match &mount.kind {
            // In the short form one letter is a drive of Windows.
            MountKind::Named(name) if name.len() == 1 => volumes.push(json!({
                "type": "volume",
                "source": name,
                "target": mount.target,
                "read_only": mount.read_only,
            })),
            MountKind::Named(name) => {
                volumes.push(format!("{name}:{}{}", mount.target, suffix(mount.read_only)).into());
            }
            MountKind::Anonymous => volumes.push(mount.target.clone().into()),
            MountKind::Bind(path) => {
                let source = if path.as_os_str().is_empty() {
                    request.remote_dir.to_owned()
                } else {
                    format!("{}/{}", request.remote_dir, path.display())
                };
                let read_only = mount.read_only || request.tree == TreeAccess::ReadOnly;
                volumes.push(format!("{source}:{}{}", mount.target, suffix(read_only)).into());
            }
            MountKind::Copy(number) => {
                let read_only = mount.read_only;
                let copies = request.copies_dir;
                volumes.push(format!("{copies}/{number}:{}{}", mount.target, suffix(read_only)).into());
            }
            MountKind::Memory(bytes) => memory.push(format!("{}:size={bytes},mode=1777", mount.target)),
        }
    }
    if !volumes.is_empty() {
        put("volumes", json!(volumes));
    }
    if !memory.is_empty() {
        put("tmpfs", json!(memory));
    }
}

/// Compose fills in `$NAME` in every text; `$$` is a plain `$`.
fn double_dollars(value: &mut Value) {
    match value {
        Value::String(text) if text.contains('$') => *text = text.replace('$', "$$"),
        Value::Array(items) => items.iter_mut().for_each(double_dollars),
        Value::Object(entries) => entries.values_mut().for_each(double_dollars),
        _ => {}
    }
}
