//! How a sandbox is reached. Field names are a contract with sibling tools.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a sandbox is reached: every way that exists, absent ones left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Reachability {
    /// `user@host` for ssh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh: Option<String>,
    /// The sandbox's directory on the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_dir: Option<String>,
    /// The host's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The compose project's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compose_project: Option<String>,
    /// `localhost:PORT` or the alias of a tunnel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<String>,
    /// The name that its owner knows the tunnel by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnel_name: Option<String>,
    /// Whether the tunnel answered when this was shown: `up`, `down` or `unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnel_status: Option<String>,
    /// Who owns the tunnel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnel_via: Option<String>,
    /// Who signs identities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// The command that runs something inside, such as `sandboxer exec sbx-… --`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exec: Option<String>,
    /// Where the workspace is, as seen inside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// Service name → how to reach each port.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<String, Vec<Endpoint>>,
}

/// One reachable port of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Endpoint {
    /// Port inside.
    pub port: u16,
    /// `address:port` on the host.
    pub address: String,
    /// `tcp` or `udp`.
    pub protocol: String,
}
