//! Who may do what: roles, grants, API keys and projects.
//!
//! A key belongs to one subject (`name`) of one project and has one role. The role bounds what it may be granted; the project
//! bounds what it can see. Attribution of everything it does comes from the key.

use jiff::Timestamp;
use sandboxer_model::duration::Span;
use sandboxer_model::sandbox::Actor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A right that a key can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Grant {
    /// See sandboxes and what became of them.
    #[serde(rename = "sandboxes:read")]
    SandboxesRead,
    /// Make sandboxes.
    #[serde(rename = "sandboxes:create")]
    SandboxesCreate,
    /// Run commands and move files inside, change labels.
    #[serde(rename = "sandboxes:exec")]
    SandboxesExec,
    /// Give sandboxes more time.
    #[serde(rename = "sandboxes:extend")]
    SandboxesExtend,
    /// Remove sandboxes.
    #[serde(rename = "sandboxes:destroy")]
    SandboxesDestroy,
    /// See the catalog of profiles and extensions.
    #[serde(rename = "profiles:read")]
    ProfilesRead,
    /// See events as they happen.
    #[serde(rename = "events:read")]
    EventsRead,
    /// See hosts and what is left over on them.
    #[serde(rename = "hosts:read")]
    HostsRead,
    /// Add, drain, probe and remove hosts, and clear them up.
    #[serde(rename = "hosts:admin")]
    HostsAdmin,
    /// See and change where events are sent.
    #[serde(rename = "sinks:admin")]
    SinksAdmin,
    /// Make, rotate and revoke keys, and set what projects may use.
    #[serde(rename = "keys:admin")]
    KeysAdmin,
    /// Read the audit log, the status of the server and its metrics.
    #[serde(rename = "server:read")]
    ServerRead,
}

/// Every grant, in documentation order.
pub const GRANTS: &[Grant] = &[
    Grant::SandboxesRead,
    Grant::SandboxesCreate,
    Grant::SandboxesExec,
    Grant::SandboxesExtend,
    Grant::SandboxesDestroy,
    Grant::ProfilesRead,
    Grant::EventsRead,
    Grant::HostsRead,
    Grant::HostsAdmin,
    Grant::SinksAdmin,
    Grant::KeysAdmin,
    Grant::ServerRead,
];

impl Grant {
    /// The name used in JSON and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Grant::SandboxesRead => "sandboxes:read",
            Grant::SandboxesCreate => "sandboxes:create",
            Grant::SandboxesExec => "sandboxes:exec",
            Grant::SandboxesExtend => "sandboxes:extend",
            Grant::SandboxesDestroy => "sandboxes:destroy",
            Grant::ProfilesRead => "profiles:read",
            Grant::EventsRead => "events:read",
            Grant::HostsRead => "hosts:read",
            Grant::HostsAdmin => "hosts:admin",
            Grant::SinksAdmin => "sinks:admin",
            Grant::KeysAdmin => "keys:admin",
            Grant::ServerRead => "server:read",
        }
    }

    /// The grant with this name.
    pub fn from_name(name: &str) -> Option<Grant> {
        GRANTS.iter().copied().find(|grant| grant.name() == name)
    }

    /// Whether a key of this role can have it. Only administrators see or change what all projects share.
    pub fn is_open_to(self, role: Actor) -> bool {
        match self {
            Grant::SandboxesRead
            | Grant::SandboxesCreate
            | Grant::SandboxesExec
            | Grant::SandboxesExtend
            | Grant::SandboxesDestroy
            | Grant::ProfilesRead
            | Grant::EventsRead => true,
            Grant::HostsRead | Grant::HostsAdmin | Grant::SinksAdmin | Grant::KeysAdmin | Grant::ServerRead => {
                role == Actor::Adm
            }
        }
    }

    /// Everything a key of this role can have.
    pub fn all_of(role: Actor) -> Vec<Grant> {
        GRANTS.iter().copied().filter(|grant| grant.is_open_to(role)).collect()
    }
}

/// An API key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Key {
    /// The public part: eight characters of `0-9a-z`, also in the key itself.
    pub key_id: String,
    /// The subject it speaks for. Keys of one subject of one project own the same sandboxes.
    pub name: String,
    /// What kind of caller.
    pub role: Actor,
    /// The project it is bound to. None for administrators, who see all.
    pub project: Option<String>,
    /// What it may do.
    pub grants: Vec<Grant>,
    /// When it was made.
    #[schemars(with = "String")]
    pub created_at: Timestamp,
    /// The key it was made with; null: on the server's machine.
    pub created_by: Option<String>,
    /// From when on it is refused.
    #[schemars(with = "Option<String>")]
    pub expires_at: Option<Timestamp>,
    /// Since when it is refused.
    #[schemars(with = "Option<String>")]
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    #[schemars(with = "Option<String>")]
    pub last_used_at: Option<Timestamp>,
    /// The key it took the place of.
    pub rotated_from: Option<String>,
}

/// What key to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// The subject it speaks for: 1 to 64 letters, digits, `.`, `_`, `-`.
    pub name: String,
    /// What kind of caller.
    pub role: Actor,
    /// The project it is bound to: required unless the role is `adm`, which has none.
    #[serde(default)]
    pub project: Option<String>,
    /// What it may do; left out: all that the role allows.
    #[serde(default)]
    pub grants: Option<Vec<Grant>>,
    /// How long it is good for; left out: until it is revoked.
    #[serde(default)]
    pub expires_in: Option<Span>,
}

/// A key that was just made. The only time its secret is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MadeKey {
    /// The key.
    #[serde(flatten)]
    pub key: Key,
    /// What to send as `Authorization: Bearer …`: `sbx_live_<key id>_<32 characters>`.
    pub token: String,
}

/// How to replace a key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateKey {
    /// How long the old one is still taken; left out: it is refused at once.
    #[serde(default)]
    pub overlap: Option<Span>,
}

/// Who the caller is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Identity {
    /// The key.
    pub key_id: String,
    /// The subject it speaks for.
    pub name: String,
    /// What kind of caller.
    pub role: Actor,
    /// The project it is bound to.
    pub project: Option<String>,
    /// What it may do.
    pub grants: Vec<Grant>,
}

/// What a project may use. One that was never set has the defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Project {
    /// Its name.
    pub project: String,
    /// Sandboxes that are not destroyed, at most.
    pub max_live: u32,
    /// Creates per second, over time.
    pub creates_per_second: u32,
    /// Creates at once, at most.
    pub burst: u32,
    /// Sandboxes that are not destroyed now.
    pub live: u32,
}

/// What to let a project use; what is left out stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetProject {
    /// Sandboxes that are not destroyed, at most.
    #[serde(default)]
    pub max_live: Option<u32>,
    /// Creates per second, over time; at least 1.
    #[serde(default)]
    pub creates_per_second: Option<u32>,
    /// Creates at once, at most; at least 1.
    #[serde(default)]
    pub burst: Option<u32>,
}
