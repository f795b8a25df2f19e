//! The manifest, and what a profile means to the runtime.

use std::path::Path;

use sandboxer_extension::capability::PricingModel;
use sandboxer_extension::{Capabilities, ErrorKind, ExtensionError, Manifest, ProvisionRequest};
use sandboxer_model::profile::{IsolationLevel, NetworkDefault, Profile, WorkspaceAccess, WorkspaceMode};
use sandboxer_native::spec::{Access, LaunchSpec, Limits, Workspace};

/// The same as `ext.native.yaml` beside this crate, in code: a test compares them. Reading YAML at each start of the
/// command line would cost more than starting a process.
pub(crate) fn manifest() -> Manifest {
    let capabilities = Capabilities {
        exec: true,
        exec_tty: true,
        exec_signals: true,
        exec_detach: true,
        network_deny: true,
        limit_cpu: true,
        limit_memory: true,
        limit_disk: true,
        limit_pids: true,
        workspace_directory: true,
        usage: true,
        ttl_guard: true,
        inventory_complete: true,
        dies_with_machine: true,
        activity: true,
        ..Capabilities::new(vec![IsolationLevel::Container], PricingModel::SelfHosted)
    };
    Manifest {
        id: "ext.native".to_owned(),
        title: "Native Linux runtime".to_owned(),
        description: "Sandboxes from kernel features alone: namespaces, control groups, seccomp, Landlock. On this \
                      machine, in milliseconds, without a daemon or an image. The kernel is shared with the host."
            .to_owned(),
        capabilities,
        config: std::collections::BTreeMap::new(),
    }
}

/// Refuses what the runtime would not hold.
pub(crate) fn check(profile: &Profile) -> Result<(), ExtensionError> {
    let refuse = |kind, message: &str, hint: &str| Err(ExtensionError::new(kind, message).hint(hint));
    if profile.isolation.level == IsolationLevel::Microvm {
        return refuse(
            ErrorKind::CannotEnforce,
            "ext.native shares the host's kernel: it cannot give `isolation.level: microvm`",
            "use an extension with its own kernel, or `isolation.level: container`",
        );
    }
    if !profile.network.egress.is_empty() {
        return refuse(
            ErrorKind::CannotEnforce,
            "ext.native cannot open single destinations yet (`network.egress`): its sandboxes have no network at all",
            "remove `network.egress`, or use an extension with the capability `network_egress`",
        );
    }
    if profile.network.default == NetworkDefault::Allow {
        return refuse(
            ErrorKind::CannotEnforce,
            "ext.native has no open network (`network.default: allow`): its sandboxes have no network at all",
            "use `network.default: deny`, or an extension with the capability `network_allow`",
        );
    }
    if profile.resources.gpu.is_some_and(|count| count > 0) {
        return refuse(
            ErrorKind::Unsupported,
            "ext.native has no GPUs (`resources.gpu`)",
            "use an extension with the capability `gpu`",
        );
    }
    if !profile.setup.secret_refs.is_empty() {
        return refuse(
            ErrorKind::Unsupported,
            "ext.native does not deliver secrets yet (`setup.secret_refs`)",
            "remove `setup.secret_refs`, or use an extension with the capability `secrets`",
        );
    }
    if profile.workspace.mode == WorkspaceMode::Mirror {
        return refuse(
            ErrorKind::Unsupported,
            "ext.native does not bring changes back yet (`workspace.mode: mirror`)",
            "use `workspace.mode: remote-canonical`",
        );
    }
    if let Some(key) = profile.config.keys().next() {
        return Err(
            ExtensionError::new(ErrorKind::Invalid, format!("ext.native has no setting `config.{key}`"))
                .hint("remove it"),
        );
    }
    Ok(())
}

/// What to launch.
pub(crate) fn launch_spec(request: &ProvisionRequest, installation: &str, epoch: u64, root: &Path) -> LaunchSpec {
    let resources = &request.profile.resources;
    LaunchSpec {
        id: request.sandbox_id.to_string(),
        installation: installation.to_owned(),
        epoch,
        root: root.to_owned(),
        ttl_secs: request.ttl.as_secs(),
        limits: Limits {
            cpu: resources.cpu,
            memory_mb: resources.memory_mb,
            disk_mb: resources.disk_mb,
            pids: resources.pids,
        },
        strict: resources.strict,
        workspace: Workspace {
            source: request.inputs.get("repo").map(Into::into),
            access: match request.profile.workspace.access {
                WorkspaceAccess::None => Access::None,
                WorkspaceAccess::Ro => Access::Ro,
                WorkspaceAccess::Rw => Access::Rw,
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_file_says_the_same() {
        let file: Manifest = Manifest::parse("ext.native.yaml", include_str!("../ext.native.yaml")).expect("reads");
        assert_eq!(file, manifest());
    }
}
