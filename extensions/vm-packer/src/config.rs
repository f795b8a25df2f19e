//! The manifest, and what a profile means to this backend.

use std::collections::BTreeMap;

use sandboxer_extension::capability::PricingModel;
use sandboxer_extension::{Capabilities, ErrorKind, ExtensionError, Manifest};
use sandboxer_model::profile::{IsolationLevel, NetworkDefault, Profile, WorkspaceMode};

/// Workspaces are below this directory of a machine.
pub(crate) const WORKSPACE_BASE: &str = "/build";
/// Login name behind a tunnel.
pub(crate) const TUNNEL_USER: &str = "build";
/// The port a tunnel to a machine usually has.
const TUNNEL_PORT: &str = "12222";

/// The same as `ext.vm-packer.yaml` beside this crate, in code: a test compares them.
pub(crate) fn manifest() -> Manifest {
    let capabilities = Capabilities {
        persistence: true,
        exec: true,
        network_allow: true,
        workspace_directory: true,
        ttl_guard: true,
        ..Capabilities::new(vec![IsolationLevel::Microvm], PricingModel::SelfHosted)
    };
    let config = BTreeMap::from([
        ("workspace_base".to_owned(), WORKSPACE_BASE.into()),
        ("ssh_user".to_owned(), TUNNEL_USER.into()),
        ("ready_timeout_s".to_owned(), 30.into()),
    ]);
    Manifest {
        id: "ext.vm-packer".to_owned(),
        title: "Virtual machines".to_owned(),
        description: "Attach: a workspace on a virtual machine that runs already and outlives the sandbox. Build: a \
                      machine image, made with Packer on this machine and kept."
            .to_owned(),
        capabilities,
        config,
    }
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A workspace on a machine that runs.
    Attach,
    /// An image.
    Build,
}

/// Reads `config` and refuses what this backend would not hold.
///
/// # Errors
/// `Invalid`, `CannotEnforce`, `Unsupported`.
pub(crate) fn mode(profile: &Profile, inputs: &BTreeMap<String, String>) -> Result<Mode, ExtensionError> {
    let refuse = |kind, message: String, hint: &str| Err(ExtensionError::new(kind, message).hint(hint));
    if profile.network.default == NetworkDefault::Deny || !profile.network.egress.is_empty() {
        return refuse(
            ErrorKind::CannotEnforce,
            "ext.vm-packer does not change the network of a machine that is not its own".to_owned(),
            "set `network.default: allow` in the profile",
        );
    }
    if profile.workspace.mode == WorkspaceMode::Mirror {
        return refuse(
            ErrorKind::Unsupported,
            "ext.vm-packer does not bring changes back yet (`workspace.mode: mirror`)".to_owned(),
            "use `workspace.mode: remote-canonical`",
        );
    }
    if !profile.setup.secret_refs.is_empty() {
        return refuse(
            ErrorKind::Unsupported,
            "ext.vm-packer does not deliver secrets yet (`setup.secret_refs`)".to_owned(),
            "remove `setup.secret_refs`",
        );
    }
    for key in profile.config.keys() {
        if key != "mode" {
            return refuse(
                ErrorKind::Invalid,
                format!("ext.vm-packer has no setting `config.{key}`"),
                "it has mode: attach or build",
            );
        }
    }
    let written = inputs
        .get("mode")
        .map(String::as_str)
        .or_else(|| profile.config.get("mode").and_then(|mode| mode.as_str()));
    match written {
        None | Some("attach") => Ok(Mode::Attach),
        Some("build") if inputs.contains_key("packer_template") => Ok(Mode::Build),
        Some("build") => refuse(
            ErrorKind::Invalid,
            "ext.vm-packer has nothing to build".to_owned(),
            "pass `--input packer_template=DIR`",
        ),
        Some(other) => refuse(
            ErrorKind::Invalid,
            format!("`{other}` is no mode of ext.vm-packer"),
            "use attach or build",
        ),
    }
}

/// The machine that these inputs name, as a host.
pub(crate) fn machine(inputs: &BTreeMap<String, String>, tunnel_port: Option<&str>) -> String {
    if let Some(target) = inputs.get("ssh_target") {
        return target.clone();
    }
    let port = tunnel_port
        .or_else(|| inputs.get("tunnel_port").map(String::as_str))
        .or_else(|| inputs.get("ssh_port").map(String::as_str))
        .unwrap_or(TUNNEL_PORT);
    format!("{TUNNEL_USER}@localhost:{port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_file_says_the_same() {
        let file = Manifest::parse("ext.vm-packer.yaml", include_str!("../ext.vm-packer.yaml")).expect("reads");
        assert_eq!(file, manifest());
    }

    #[test]
    fn machines_are_named_by_target_or_tunnel() {
        let inputs = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        assert_eq!(machine(&inputs(&[("ssh_target", "me@vm:22")]), Some("1")), "me@vm:22");
        assert_eq!(machine(&inputs(&[("vm", "x")]), None), "build@localhost:12222");
        assert_eq!(machine(&inputs(&[("tunnel_port", "9")]), None), "build@localhost:9");
        assert_eq!(
            machine(&inputs(&[("tunnel_port", "9")]), Some("8")),
            "build@localhost:8"
        );
    }
}
