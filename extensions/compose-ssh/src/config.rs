//! The manifest, and what a profile means to this backend.

use std::collections::BTreeMap;

use sandboxer_extension::capability::PricingModel;
use sandboxer_extension::{Capabilities, ErrorKind, ExtensionError, Manifest, ProvisionRequest};
use sandboxer_model::profile::{IsolationLevel, NetworkDefault, Profile, Trust, WorkspaceAccess, WorkspaceMode};

/// Where a Compose file is looked for when the profile names none: the end-to-end convention first, then Compose's own
/// names in its order of preference.
pub(crate) const COMPOSE_FILES: &[&str] = &[
    "e2e/compose.yml",
    "compose.yaml",
    "compose.yml",
    "docker-compose.yaml",
    "docker-compose.yml",
];

/// The image of the one service there is where nobody brings a repository or names an image: small, and on most hosts already.
const DEFAULT_IMAGE: &str = "busybox:stable";

/// The input that names a Compose file, relative to the repository.
const COMPOSE_FILE_INPUT: &str = "compose_file";

/// The same as `ext.compose-ssh.yaml` beside this crate, in code: a test compares them.
pub(crate) fn manifest() -> Manifest {
    let capabilities = Capabilities {
        needs_host: true,
        exec: true,
        exec_tty: true,
        logs: true,
        network_deny: true,
        network_egress: true,
        network_allow: true,
        limit_cpu: true,
        limit_memory: true,
        limit_pids: true,
        workspace_directory: true,
        ttl_guard: true,
        ..Capabilities::new(vec![IsolationLevel::Container], PricingModel::SelfHosted)
    };
    let config = BTreeMap::from([
        ("base_dir".to_owned(), "/tmp/sandboxer".into()),
        ("compose_timeout_s".to_owned(), 180.into()),
        ("image".to_owned(), DEFAULT_IMAGE.into()),
    ]);
    Manifest {
        id: "ext.compose-ssh".to_owned(),
        title: "Docker Compose on a host".to_owned(),
        description: "The Compose stack of a repository on a machine reached over SSH, or on this one: reconstructed \
                      from what is known to be harmless, walled off, and kept to its time by the host itself."
            .to_owned(),
        capabilities,
        config,
    }
}

/// What makes a sandbox ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ReadyWhen {
    /// Every service runs, or ended well.
    #[default]
    Running,
    /// And those with a health check pass it.
    Healthy,
}

impl ReadyWhen {
    /// The word the host's program knows it by.
    pub(crate) fn word(self) -> &'static str {
        match self {
            ReadyWhen::Running => "running",
            ReadyWhen::Healthy => "healthy",
        }
    }
}

/// `config` of a profile, as this backend reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// The Compose file, relative to the repository; `None`: one of [`COMPOSE_FILES`].
    pub(crate) compose_file: Option<String>,
    /// Without a repository: the image of the one service there is, which waits to be used.
    pub(crate) image: Option<String>,
    /// What makes it ready.
    pub(crate) ready: ReadyWhen,
    /// How long services may take to become ready, in seconds.
    pub(crate) timeout_s: u64,
    /// The service that commands run in when none is named.
    pub(crate) service: Option<String>,
    /// The name of the tunnel to the host, as its owner knows it.
    pub(crate) tunnel: Option<String>,
}

impl Config {
    /// Reads it, and refuses what this backend would not hold.
    ///
    /// # Errors
    /// `Invalid`, `CannotEnforce`, `Unsupported`.
    pub(crate) fn of(request: &ProvisionRequest) -> Result<Config, ExtensionError> {
        check(&request.profile)?;
        let mut config = Config {
            compose_file: None,
            image: None,
            ready: ReadyWhen::Running,
            timeout_s: 180,
            service: None,
            tunnel: None,
        };
        for (key, value) in &request.profile.config {
            let wrong = |what: &str| {
                Err(ExtensionError::new(
                    ErrorKind::Invalid,
                    format!("`config.{key}` of {} is not {what}", request.profile.id),
                ))
            };
            match (key.as_str(), value.as_str(), value.as_u64()) {
                ("compose_file", Some(file), _) => config.compose_file = Some(file.to_owned()),
                ("image", Some(image), _) => config.image = Some(image.to_owned()),
                ("service", Some(service), _) => config.service = Some(service.to_owned()),
                ("tunnel", Some(tunnel), _) => config.tunnel = Some(tunnel.to_owned()),
                ("ready", Some("running"), _) => config.ready = ReadyWhen::Running,
                ("ready", Some("healthy"), _) => config.ready = ReadyWhen::Healthy,
                ("ready", ..) => return wrong("`running` or `healthy`"),
                ("compose_timeout_s", _, Some(seconds @ 1..=3600)) => config.timeout_s = seconds,
                ("compose_timeout_s", ..) => return wrong("a number of seconds from 1 to 3600"),
                ("compose_file" | "image" | "service" | "tunnel", ..) => return wrong("a text"),
                _ => {
                    return Err(ExtensionError::new(
                        ErrorKind::Invalid,
                        format!("ext.compose-ssh has no setting `config.{key}`"),
                    )
                    .hint("it has compose_file, image, service, tunnel, ready and compose_timeout_s"));
                }
            }
        }
        if let Some(file) = request.inputs.get(COMPOSE_FILE_INPUT) {
            config.compose_file = Some(file.clone());
        }
        if !request.inputs.contains_key("repo") {
            config.image.get_or_insert_with(|| DEFAULT_IMAGE.to_owned());
        }
        Ok(config)
    }
}

/// Refuses what this backend would not hold, whatever the host.
fn check(profile: &Profile) -> Result<(), ExtensionError> {
    let refuse = |kind, message: &str, hint: &str| Err(ExtensionError::new(kind, message).hint(hint));
    if profile.isolation.level != IsolationLevel::Container {
        return refuse(
            ErrorKind::CannotEnforce,
            "ext.compose-ssh makes containers: it cannot give another `isolation.level`",
            "use `isolation.level: container`, or another extension",
        );
    }
    if profile.resources.gpu.is_some_and(|count| count > 0) {
        return refuse(
            ErrorKind::Unsupported,
            "ext.compose-ssh hands out no GPUs (`resources.gpu`)",
            "use an extension with the capability `gpu`",
        );
    }
    if !profile.setup.secret_refs.is_empty() {
        return refuse(
            ErrorKind::Unsupported,
            "ext.compose-ssh does not deliver secrets yet (`setup.secret_refs`)",
            "remove `setup.secret_refs`",
        );
    }
    if profile.workspace.mode == WorkspaceMode::Mirror {
        return refuse(
            ErrorKind::Unsupported,
            "ext.compose-ssh does not bring changes back yet (`workspace.mode: mirror`)",
            "use `workspace.mode: remote-canonical` and copy what you need over SSH",
        );
    }
    if profile.workspace.access == WorkspaceAccess::None {
        return refuse(
            ErrorKind::Unsupported,
            "ext.compose-ssh needs its tree: it cannot give `workspace.access: none`",
            "use `workspace.access: ro` or `rw`",
        );
    }
    let asked = &profile.resources;
    if asked.strict && asked.disk_mb.is_some() {
        return refuse(
            ErrorKind::CannotEnforce,
            "the storage of container engines has no quota: ext.compose-ssh cannot hold `resources.disk_mb` strictly",
            "leave out `resources.disk_mb` or `resources.strict`, or use an extension with the capability `limit_disk`",
        );
    }
    let is_limited = asked.cpu.is_some() || asked.memory_mb.is_some() || asked.pids.is_some();
    if asked.strict && is_limited && profile.trust == Trust::Full {
        return refuse(
            ErrorKind::CannotEnforce,
            "under `trust: full` the Compose file decides about limits, so `resources.strict` would be a promise that \
             nothing keeps",
            "leave out `resources.strict`, or `trust`",
        );
    }
    if profile.trust == Trust::Full && profile.network.default == NetworkDefault::Deny {
        return refuse(
            ErrorKind::CannotEnforce,
            "under `trust: full` the Compose file decides about the network, so `network.default: deny` would be a \
             promise that nothing keeps",
            "set `network.default: allow` as well, or leave `trust` out",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_file_says_the_same() {
        let file = Manifest::parse("ext.compose-ssh.yaml", include_str!("../ext.compose-ssh.yaml")).expect("reads");
        assert_eq!(file, manifest());
    }
}
