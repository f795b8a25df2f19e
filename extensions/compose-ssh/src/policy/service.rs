//! One service, as far as it is harmless.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sandboxer_model::document::Value;
use serde_json::json;

use super::build::{self, Build};
use super::fields::{At, Fields};
use super::mount::{self, Mount};
use super::port::{self, Port};
use super::project::{Project, inside};
use super::value::{self, is_name};

/// Capabilities that a container keeps when a file says nothing, and the most that it can ask for: what images need that
/// start as root, make their directories, and go on as somebody else. None of them reaches beyond the container.
pub(super) const CAPABILITIES: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "KILL",
    "NET_BIND_SERVICE",
    "SETGID",
    "SETUID",
];
/// Longest time a service has to stop.
const MOST_GRACE_MS: u64 = 30_000;
/// Shared memory at most.
const MOST_SHM: u64 = 1 << 30;

/// One service.
#[derive(Debug, Clone, Default)]
pub(super) struct Service {
    pub(super) image: Option<String>,
    pub(super) build: Option<Build>,
    pub(super) command: Option<serde_json::Value>,
    pub(super) entrypoint: Option<serde_json::Value>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) working_dir: Option<String>,
    pub(super) user: Option<String>,
    pub(super) hostname: Option<String>,
    pub(super) ports: Vec<Port>,
    pub(super) depends_on: BTreeMap<String, &'static str>,
    pub(super) healthcheck: Option<serde_json::Value>,
    pub(super) mounts: Vec<Mount>,
    /// Network → aliases; `None`: the file names none, so it is the default one.
    pub(super) networks: Option<BTreeMap<String, Vec<String>>>,
    pub(super) no_network: bool,
    /// Other services, and the names that this one knows them by.
    pub(super) link_aliases: Vec<(String, String)>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) restart: Option<String>,
    pub(super) init: bool,
    pub(super) read_only: bool,
    pub(super) tty: bool,
    pub(super) stdin_open: bool,
    pub(super) stop_signal: Option<String>,
    pub(super) stop_grace_ms: Option<u64>,
    pub(super) shm_size: Option<u64>,
    pub(super) nofile: Option<u64>,
    pub(super) cpus: Option<f64>,
    pub(super) memory: Option<u64>,
    pub(super) pids: Option<u64>,
    pub(super) profiles: bool,
}

/// Why well-known keys are refused; others are simply not known.
pub(super) fn reason(key: &str) -> Option<&'static str> {
    Some(match key {
        "privileged" | "cap_add" | "devices" | "device_cgroup_rules" | "security_opt" | "sysctls" | "gpus" => {
            "would give the container rights on the host"
        }
        "pid" | "ipc" | "uts" | "userns_mode" | "cgroup" | "cgroup_parent" | "network_mode" => {
            "would take a wall between the container and the host away"
        }
        "provider" | "develop" | "post_start" | "pre_stop" => "would run programs on the host",
        "include" | "extends" | "label_file" | "credential_spec" | "content" | "environment" | "template_driver" => {
            "would bring in files that are not looked at here"
        }
        "volumes_from" | "external_links" | "use_api_socket" => {
            "would reach into containers that are not the sandbox's"
        }
        "dns" | "dns_search" | "dns_opt" | "extra_hosts" | "mac_address" => {
            "would decide about the network, which the profile does"
        }
        "driver_opts" | "driver" | "external" | "ipam" => {
            "could make it something else than a volume or network of the sandbox"
        }
        "additional_contexts" | "ssh" | "network" | "entitlements" | "cache_from" | "cache_to" | "platforms" => {
            "would give the build more than its context"
        }
        _ => return None,
    })
}

/// Reads one service.
pub(super) fn service(
    at: &At<'_>,
    name: &str,
    tag: &str,
    project: Option<(&Project, &Path)>,
    files: &mount::Files,
) -> Option<Service> {
    let mut fields = at.fields()?;
    let mut service = Service {
        image: fields.take("image").and_then(|image| value::image(&image)),
        ..Service::default()
    };
    if let Some(build) = fields.take("build") {
        service.build = build::build(&build, name, tag.to_owned(), project);
    }
    service.command = fields.take("command").and_then(|command| words(&command));
    service.entrypoint = fields.take("entrypoint").and_then(|entrypoint| words(&entrypoint));
    environment(&mut fields, &mut service, project);
    service.working_dir = fields.take("working_dir").and_then(|dir| value::working_dir(&dir));
    service.user = fields.take("user").and_then(|user| plain_user(&user));
    service.hostname = fields.take("hostname").and_then(|hostname| {
        let text = hostname.text()?;
        if is_name(&text) {
            Some(text)
        } else {
            hostname.refuse(format!("is `{text}`, not a name"))
        }
    });
    if let Some(ports) = fields.take("ports") {
        service.ports = port::ports(&ports);
    }
    if let Some(expose) = fields.take("expose") {
        service.ports.extend(port::expose(&expose));
        service.ports.sort_unstable();
        service.ports.dedup();
    }
    if let Some(depends_on) = fields.take("depends_on") {
        service.depends_on = dependencies(&depends_on);
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
    service.healthcheck = fields.take("healthcheck").and_then(|check| health_check(&check));
    if let Some(volumes) = fields.take("volumes") {
        service.mounts = mount::volumes(&volumes, project);
    }
    for (kind, target) in [("secrets", "/run/secrets/"), ("configs", "/")] {
        if let Some(given) = fields.take(kind) {
            service.mounts.extend(mount::files(&given, kind, target, files));
        }
    }
    if let Some(tmpfs) = fields.take("tmpfs") {
        service.mounts.extend(mount::tmpfs(&tmpfs));
    }
    networks(&mut fields, &mut service);
    if let Some(labels) = fields.take("labels") {
        service.labels = own_labels(&labels).unwrap_or_default();
    }
    service.restart = fields.take("restart").and_then(|restart| restart_policy(&restart));
    service.init = fields.take("init").and_then(|init| init.truth()).unwrap_or(false);
    service.read_only = fields
        .take("read_only")
        .and_then(|read_only| read_only.truth())
        .unwrap_or(false);
    service.tty = fields.take("tty").and_then(|tty| tty.truth()).unwrap_or(false);
    service.stdin_open = fields.take("stdin_open").and_then(|open| open.truth()).unwrap_or(false);
    service.stop_signal = fields.take("stop_signal").and_then(|signal| {
        let text = signal.text()?;
        let good = !text.is_empty() && text.len() <= 12 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+');
        if good {
            Some(text)
        } else {
            signal.refuse(format!("is `{text}`, not a signal"))
        }
    });
    service.stop_grace_ms = fields.take("stop_grace_period").and_then(|grace| {
        let given = value::duration(&grace)?;
        if given > MOST_GRACE_MS {
            grace.refuse("is more than 30s")
        } else {
            Some(given)
        }
    });
    service.shm_size = fields.take("shm_size").and_then(|size| {
        let bytes = value::size(&size)?;
        if bytes > MOST_SHM {
            size.refuse("is more than 1g")
        } else {
            Some(bytes)
        }
    });
    limits(&mut fields, &mut service);
    harmless_rights(&mut fields);
    if let Some(profiles) = fields.take("profiles") {
        service.profiles = !profiles.items().unwrap_or_default().is_empty();
    }
    if let Some(policy) = fields.take("pull_policy") {
        policy.one_of(&["missing", "if_not_present", "never", "always", "build"]);
    }
    fields.drop_keys(
        &["container_name"],
        "is not used: containers are named after the sandbox",
    );
    fields.drop_keys(&["domainname"], "is not used");
    fields.drop_keys(&["logging"], "is not used: the host keeps a bounded log");
    fields.drop_keys(&["platform", "annotations", "attach"], "is not used");
    fields.drop_extensions();
    fields.finish();
    if service.image.is_none() && service.build.is_none() {
        return at.refuse("has neither an image nor a build");
    }
    Some(service)
}

/// A command: one text, split as a shell splits it by Compose itself, or a list of words.
fn words(at: &At<'_>) -> Option<serde_json::Value> {
    match &at.node.value {
        Value::List(_) => {
            let items: Option<Vec<String>> = at.items()?.iter().map(At::text).collect();
            items.map(|items| json!(items))
        }
        _ => at.text().map(|text| json!(text)),
    }
}

fn environment(fields: &mut Fields<'_>, service: &mut Service, project: Option<(&Project, &Path)>) {
    if let Some(files) = fields.take("env_file") {
        for item in files.one_or_more().unwrap_or_default() {
            read_env_file(&item, service, project);
        }
    }
    if let Some(environment) = fields.take("environment")
        && let Some(pairs) = pairs(&environment)
    {
        service.environment.extend(pairs);
    }
}

fn read_env_file(at: &At<'_>, service: &mut Service, project: Option<(&Project, &Path)>) -> Option<()> {
    let (path, required) = match &at.node.value {
        Value::Map(_) => {
            let mut fields = at.fields()?;
            let path = fields.take("path").and_then(|path| path.text());
            let required = fields
                .take("required")
                .is_none_or(|required| required.truth() != Some(false));
            if let Some(format) = fields.take("format") {
                format.one_of(&["raw"])?;
            }
            fields.finish();
            match path {
                Some(path) => (path, required),
                None => return at.refuse("names no path"),
            }
        }
        _ => (at.text()?, true),
    };
    let Some((project, directory)) = project else {
        return at.refuse("names a file, and there is no project");
    };
    let inside = match inside(directory, &path) {
        Ok(inside) => inside,
        Err(why) => return at.refuse(format!("is `{path}`, which {why}")),
    };
    match project.text(&inside) {
        Ok(Some(text)) => {
            service.environment.extend(super::read::variables(&text));
            Some(())
        }
        Ok(None) if !required => Some(()),
        Ok(None) => at.refuse(format!("is `{path}`, which is not in the project")),
        Err(why) => at.refuse(format!("is `{path}`, which {why}")),
    }
}

/// `NAME=value` items or a mapping. A name without a value would be filled in from the caller's environment: it is left
/// out.
pub(super) fn pairs(at: &At<'_>) -> Option<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    let mut put = |at: &At<'_>, name: &str, value: Option<String>| -> Option<()> {
        let plain = !name.is_empty() && !name.chars().any(|c| c.is_control() || c == '=' || c.is_whitespace());
        if !plain || name.len() > 256 {
            return at.refuse("is not the name of a variable");
        }
        match value {
            Some(value) => {
                all.insert(name.to_owned(), value);
            }
            None => at.found.note(format!(
                "`{}` has no value: nothing of the caller's environment is passed on",
                at.path.join(".")
            )),
        }
        Some(())
    };
    match &at.node.value {
        Value::List(_) => {
            for item in at.items()? {
                let text = item.text()?;
                match text.split_once('=') {
                    Some((name, value)) => put(&item, name, Some(value.to_owned()))?,
                    None => put(&item, &text, None)?,
                }
            }
        }
        _ => {
            for (name, item) in at.entries()? {
                let value = if item.is_null() { None } else { Some(item.text()?) };
                put(&item, name, value)?;
            }
        }
    }
    Some(all)
}

fn plain_user(at: &At<'_>) -> Option<String> {
    let text = at.text()?;
    let plain = |part: &str| {
        !part.is_empty() && part.len() <= 32 && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    if text.splitn(2, ':').all(plain) {
        Some(text)
    } else {
        at.refuse(format!("is `{text}`, not a user"))
    }
}

fn dependencies(at: &At<'_>) -> BTreeMap<String, &'static str> {
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

fn health_check(at: &At<'_>) -> Option<serde_json::Value> {
    let mut fields = at.fields()?;
    let mut check = serde_json::Map::new();
    if let Some(disable) = fields.take("disable")
        && disable.truth()?
    {
        check.insert("disable".to_owned(), json!(true));
    }
    if let Some(test) = fields.take("test") {
        let test_words = words(&test)?;
        if let Some(list) = test_words.as_array() {
            let first = list.first().and_then(|first| first.as_str());
            if !matches!(first, Some("CMD" | "CMD-SHELL" | "NONE")) {
                return test.refuse("begins with neither CMD, CMD-SHELL nor NONE");
            }
        }
        check.insert("test".to_owned(), test_words);
    }
    for key in ["interval", "timeout", "start_period"] {
        if let Some(given) = fields.take(key) {
            let ms = value::duration(&given)?;
            check.insert(key.to_owned(), json!(value::written(ms)));
        }
    }
    if let Some(retries) = fields.take("retries") {
        check.insert("retries".to_owned(), json!(retries.count()?));
    }
    fields.drop_keys(&["start_interval"], "is not used: not every host knows it");
    fields.finish();
    if check.is_empty() { None } else { Some(check.into()) }
}

fn networks(fields: &mut Fields<'_>, service: &mut Service) {
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

/// Labels, but none that Compose, the engine or we go by.
fn own_labels(at: &At<'_>) -> Option<BTreeMap<String, String>> {
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

/// A reboot must not bring back what its time has ended, so nothing restarts always.
fn restart_policy(at: &At<'_>) -> Option<String> {
    let text = at.text()?;
    match text.as_str() {
        "no" | "false" => Some("no".to_owned()),
        "on-failure" => Some(text),
        "always" | "unless-stopped" => {
            at.found.note(format!(
                "`{}: {text}` becomes on-failure: nothing outlives a restart of the host",
                at.path.join(".")
            ));
            Some("on-failure".to_owned())
        }
        _ => match text.strip_prefix("on-failure:") {
            Some(times) if !times.is_empty() && times.len() <= 3 && times.bytes().all(|b| b.is_ascii_digit()) => {
                Some(text.clone())
            }
            _ => at.refuse(format!(
                "is `{text}`; accepted: no, on-failure[:times], always, unless-stopped"
            )),
        },
    }
}

fn limits(fields: &mut Fields<'_>, service: &mut Service) {
    service.cpus = fields.take("cpus").and_then(|cpus| value::cpus(&cpus));
    service.memory = fields.take("mem_limit").and_then(|memory| value::size(&memory));
    service.pids = fields.take("pids_limit").and_then(|pids| pids.count());
    fields.drop_keys(
        &["mem_reservation", "memswap_limit", "cpu_shares"],
        "is not used: the profile limits the sandbox",
    );
    if let Some(scale) = fields.take("scale")
        && scale.count() != Some(1)
    {
        scale.refuse::<()>("is not 1: a service has one container");
    }
    if let Some(ulimits) = fields.take("ulimits")
        && let Some(mut kinds) = ulimits.fields()
    {
        if let Some(nofile) = kinds.take("nofile") {
            service.nofile = open_files(&nofile);
        }
        kinds.drop_keys(
            &["nproc", "core", "memlock"],
            "is not used: the profile limits the sandbox",
        );
        kinds.finish();
    }
    if let Some(deploy) = fields.take("deploy")
        && let Some(mut deploy) = deploy.fields()
    {
        if let Some(replicas) = deploy.take("replicas")
            && replicas.count() != Some(1)
        {
            replicas.refuse::<()>("is not 1: a service has one container");
        }
        if let Some(resources) = deploy.take("resources")
            && let Some(mut resources) = resources.fields()
        {
            if let Some(limits) = resources.take("limits")
                && let Some(mut limits) = limits.fields()
            {
                service.cpus = limits.take("cpus").and_then(|cpus| value::cpus(&cpus)).or(service.cpus);
                service.memory = limits
                    .take("memory")
                    .and_then(|memory| value::size(&memory))
                    .or(service.memory);
                service.pids = limits.take("pids").and_then(|pids| pids.count()).or(service.pids);
                limits.finish();
            }
            if let Some(reservations) = resources.take("reservations")
                && let Some(mut reservations) = reservations.fields()
            {
                reservations.drop_keys(&["cpus", "memory"], "is not used: nothing is reserved for a service");
                reservations.finish();
            }
            resources.finish();
        }
        deploy.drop_keys(
            &[
                "restart_policy",
                "update_config",
                "rollback_config",
                "mode",
                "endpoint_mode",
                "labels",
                "placement",
            ],
            "is not used: there is no swarm",
        );
        deploy.finish();
    }
}

fn open_files(at: &At<'_>) -> Option<u64> {
    const MOST: u64 = 1 << 20;
    let given = match &at.node.value {
        Value::Map(_) => {
            let mut fields = at.fields()?;
            let soft = fields.take("soft").and_then(|soft| soft.count());
            let hard = fields.take("hard").and_then(|hard| hard.count());
            fields.finish();
            hard.or(soft)?
        }
        _ => at.count()?,
    };
    Some(given.min(MOST))
}

/// What takes rights away, or asks for no more than every container has.
fn harmless_rights(fields: &mut Fields<'_>) {
    fields.drop_keys(&["cap_drop"], "is not used: every capability is dropped but a few");
    if let Some(given) = fields.take("cap_add") {
        let kept: BTreeSet<&str> = CAPABILITIES.iter().copied().collect();
        for item in given.items().unwrap_or_default() {
            if let Some(text) = item.text() {
                let upper = text.to_ascii_uppercase();
                let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
                if !kept.contains(bare) {
                    item.refuse::<()>(format!(
                        "asks for {text}, which {}",
                        reason("cap_add").unwrap_or_default()
                    ));
                }
            }
        }
    }
    if let Some(given) = fields.take("security_opt") {
        for item in given.items().unwrap_or_default() {
            match item.text().as_deref() {
                Some("no-new-privileges" | "no-new-privileges:true" | "no-new-privileges=true") | None => {}
                Some(_) => {
                    item.refuse::<()>(reason("security_opt").unwrap_or_default());
                }
            }
        }
    }
    if let Some(privileged) = fields.take("privileged")
        && privileged.truth() != Some(false)
    {
        privileged.refuse::<()>(reason("privileged").unwrap_or_default());
    }
}
