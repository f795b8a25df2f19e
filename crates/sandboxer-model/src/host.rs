//! Hosts: how one is named, what was measured on it, and what a create changed there. Field names of the measurements
//! are a contract with sibling tools.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::SandboxId;

/// The name that means this machine, without SSH.
pub const LOCAL: &str = "local";
/// A host name on the wire is at most this long (RFC 1035), and so is an alias here.
const MOST_NAME: usize = 253;
/// Linux login names are at most this long (useradd(8)).
const MOST_USER: usize = 32;

/// A machine: `local`, or `[user@]name[:port]`, where the name is a host name, an IPv4 address, or an alias of the SSH
/// configuration. Nothing that constructs can be taken for an option or a shell word by anybody.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum HostAddress {
    /// This machine, without SSH.
    Local,
    /// Another, over SSH.
    Ssh {
        /// Login name; `None`: what the SSH configuration says.
        user: Option<String>,
        /// Host name, address or alias.
        name: String,
        /// Port; `None`: what the SSH configuration says.
        port: Option<u16>,
    },
}

/// Why a text is no host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{shown}` is not a host: {why}")]
pub struct HostAddressError {
    /// The text, shortened and without control characters.
    pub shown: String,
    /// Why.
    pub why: &'static str,
}

impl HostAddress {
    /// The name alone: `local`, or the host name or alias.
    pub fn name(&self) -> &str {
        match self {
            HostAddress::Local => LOCAL,
            HostAddress::Ssh { name, .. } => name,
        }
    }

    /// Whether it is this machine.
    pub fn is_local(&self) -> bool {
        matches!(self, HostAddress::Local)
    }
}

impl FromStr for HostAddress {
    type Err = HostAddressError;

    fn from_str(text: &str) -> Result<HostAddress, HostAddressError> {
        let refuse = |why| {
            Err(HostAddressError {
                shown: text.chars().filter(|c| !c.is_control()).take(60).collect(),
                why,
            })
        };
        if text == LOCAL {
            return Ok(HostAddress::Local);
        }
        let (user, rest) = match text.split_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, text),
        };
        let (name, port) = match rest.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (rest, None),
        };
        if let Some(user) = user {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
            if user.is_empty() || user.len() > MOST_USER || user.starts_with('-') || !user.bytes().all(plain) {
                return refuse("the user is letters, digits, `.`, `_`, `-`, at most 32, not starting with `-`");
            }
        }
        let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
        let inner = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if name.len() > MOST_NAME
            || !edge(name.bytes().next())
            || !edge(name.bytes().last())
            || !name.bytes().all(inner)
        {
            return refuse("write `[user@]name[:port]`, the name of letters, digits, `.`, `_`, `-`");
        }
        let port = match port {
            None => None,
            Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => match digits.parse() {
                Ok(port) if port != 0 => Some(port),
                _ => return refuse("the port is a number from 1 to 65535"),
            },
            Some(_) => return refuse("the port is a number from 1 to 65535"),
        };
        Ok(HostAddress::Ssh {
            user: user.map(str::to_owned),
            name: name.to_owned(),
            port,
        })
    }
}

impl TryFrom<String> for HostAddress {
    type Error = HostAddressError;

    fn try_from(text: String) -> Result<HostAddress, HostAddressError> {
        text.parse()
    }
}

impl From<HostAddress> for String {
    fn from(address: HostAddress) -> String {
        address.to_string()
    }
}

impl fmt::Display for HostAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostAddress::Local => f.write_str(LOCAL),
            HostAddress::Ssh { user, name, port } => {
                if let Some(user) = user {
                    write!(f, "{user}@")?;
                }
                f.write_str(name)?;
                match port {
                    Some(port) => write!(f, ":{port}"),
                    None => Ok(()),
                }
            }
        }
    }
}

/// What was measured on a host at one moment. A figure that could not be read is `null`, never zero.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HostSnapshot {
    /// Load average of the last minute.
    pub load_1m: Option<f64>,
    /// Load average of the last five minutes.
    pub load_5m: Option<f64>,
    /// Load average of the last fifteen minutes.
    pub load_15m: Option<f64>,
    /// Processors.
    pub cpu_count: Option<u32>,
    /// Memory in MiB.
    pub mem_total_mb: Option<u64>,
    /// Memory that programs could still get, in MiB.
    pub mem_available_mb: Option<u64>,
    /// Use of the file system that sandboxes are on, in percent.
    pub disk_root_used_pct: Option<f64>,
    /// What is free on it, in GiB.
    pub disk_root_avail_gb: Option<f64>,
    /// Containers that run.
    pub running_containers: Option<u32>,
    /// Those of them that belong to sandboxes.
    pub sandbox_containers: Option<u32>,
}

/// What a create (or a destroy) changed on its host.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ProvisionDelta {
    /// Before.
    pub before: HostSnapshot,
    /// After.
    pub after: HostSnapshot,
    /// Change of the load average of the last minute.
    pub load_1m_delta: Option<f64>,
    /// Change of available memory in MiB.
    pub mem_available_mb_delta: Option<i64>,
    /// Change of the number of running containers.
    pub running_containers_delta: Option<i64>,
}

impl ProvisionDelta {
    /// The difference of two snapshots; what is unknown in either stays unknown.
    pub fn between(before: HostSnapshot, after: HostSnapshot) -> ProvisionDelta {
        let signed = |a: Option<u64>, b: Option<u64>| {
            let (a, b) = (i64::try_from(a?).ok()?, i64::try_from(b?).ok()?);
            Some(b - a)
        };
        ProvisionDelta {
            load_1m_delta: before.load_1m.zip(after.load_1m).map(|(a, b)| b - a),
            mem_available_mb_delta: signed(before.mem_available_mb, after.mem_available_mb),
            running_containers_delta: signed(
                before.running_containers.map(u64::from),
                after.running_containers.map(u64::from),
            ),
            before,
            after,
        }
    }
}

/// One thing on a host that looks like a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InventoryEntry {
    /// Its name.
    pub id: String,
    /// `directory`, `compose_project` or another kind the backend reports.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its path, for directories.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// How long it has been there.
    pub age_hours: Option<u64>,
    /// The profile it was made from, where that is written on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile_hint: Option<String>,
}

/// Everything on a host that looks like a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct SandboxInventory {
    /// The host.
    pub host: String,
    /// What was seen.
    pub entries: Vec<InventoryEntry>,
    /// Why more may be there; `None`: this is all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incomplete: Option<String>,
}

/// Something that may be left over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StaleCandidate {
    /// Its name.
    pub id: String,
    /// Which kind of drift.
    pub kind: StaleKind,
    /// What would be done about it.
    pub action: StaleAction,
    /// The host it is on.
    pub host: String,
    /// How long it has been there.
    pub age_hours: Option<u64>,
    /// Why it is taken for stale.
    pub why: String,
    /// The sandbox it names, where it names one of this installation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox_id: Option<SandboxId>,
}

/// Kinds of drift between records and a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StaleKind {
    /// A directory without a live record.
    OrphanDir,
    /// Containers, networks, volumes or images without a live record.
    OrphanCompose,
    /// A live record without anything on the host.
    ZombieRecord,
    /// A directory that is older than asked for, of a sandbox that lives.
    AgedDir,
    /// Something of another installation, or without an owner's mark.
    Foreign,
}

/// What is done about drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StaleAction {
    /// Remove it, with proof.
    Reap,
    /// Look at it.
    Inspect,
    /// Leave it.
    Ignore,
}

/// What a create learned about its host; kept as the sandbox's `telemetry`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IntrospectionReport {
    /// Version of this report's form: `0.1`.
    pub schema_version: String,
    /// The host.
    pub host: String,
    /// The sandbox.
    pub sandbox_id: SandboxId,
    /// Its recipe.
    pub profile_id: String,
    /// When it was collected.
    #[schemars(with = "String")]
    pub collected_at: Timestamp,
    /// What the create changed.
    pub provision_delta: ProvisionDelta,
    /// What else is on the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inventory: Option<SandboxInventory>,
    /// What on the host may be left over.
    pub stale_candidates: Vec<StaleCandidate>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_and_written_back() {
        for text in [
            "local",
            "box",
            "me@box",
            "me@box:2222",
            "10.1.2.3:22",
            "a.b-c.example",
            "Box_1",
        ] {
            let host: HostAddress = text.parse().expect(text);
            assert_eq!(host.to_string(), text);
        }
    }

    #[test]
    fn what_could_be_an_option_or_a_command_is_no_host() {
        let long = "a".repeat(254);
        for text in [
            "",
            "-oProxyCommand=x",
            "a b",
            "a;b",
            "a\nb",
            "a\0b",
            "@a",
            "-u@a",
            "u@",
            "u@-a",
            "a:",
            "a:0",
            "a:70000",
            "a:+1",
            "a:1:2",
            "$(x)",
            "`x`",
            "a/b",
            "a@b@c",
            "höst",
            "a-",
            ".a",
            "u v@a",
            "a'b",
            "a\"b",
            "a\\b",
            "a|b",
            "a&b",
            "a>b",
            "[::1]",
            "%h",
            &long,
        ] {
            assert!(text.parse::<HostAddress>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_is_unknown_stays_unknown() {
        let known = HostSnapshot {
            load_1m: Some(1.0),
            mem_available_mb: Some(100),
            running_containers: Some(2),
            ..HostSnapshot::default()
        };
        let delta = ProvisionDelta::between(HostSnapshot::default(), known.clone());
        assert_eq!(delta.mem_available_mb_delta, None);
        let delta = ProvisionDelta::between(
            known.clone(),
            HostSnapshot {
                mem_available_mb: Some(40),
                running_containers: Some(5),
                ..known
            },
        );
        assert_eq!(delta.mem_available_mb_delta, Some(-60));
        assert_eq!(delta.running_containers_delta, Some(3));
    }
}
