//! One service, as far as it is harmless: what it is made of, and the walk over its keys.
//!
//! | module | takes |
//! |---|---|
//! | `environment` | variables, from the file and from others of the project |
//! | `dependencies` | what it waits for, and the names it knows others by |
//! | `health` | when it counts as healthy |
//! | `networks` | the networks it is on |
//! | `labels` | its labels |
//! | `stopping` | how it stops, and whether it starts again |
//! | `limits` | how much of the host it may take |
//! | `rights` | what it may do: capabilities, security options, the user |

mod dependencies;
mod environment;
mod health;
mod labels;
mod limits;
mod networks;
mod rights;
mod stopping;

use std::collections::BTreeMap;
use std::path::Path;

use super::build::{self, Build};
use super::fields::At;
use super::mount::{self, Mount};
use super::port::{self, Port};
use super::project::Project;
use super::value::{self, is_name};
use dependencies::dependencies;
use environment::environment;
use health::health_check;
use labels::own_labels;
use limits::limits;
use networks::networks;
pub(super) use rights::CAPABILITIES;
use rights::{harmless_rights, plain_user};
use stopping::{restart_policy, stopping};

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
    service.command = fields.take("command").and_then(|command| value::words(&command));
    service.entrypoint = fields
        .take("entrypoint")
        .and_then(|entrypoint| value::words(&entrypoint));
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
    dependencies(&mut fields, &mut service);
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
    stopping(&mut fields, &mut service);
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
