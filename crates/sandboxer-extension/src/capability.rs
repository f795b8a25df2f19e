//! What a backend can do, as one flat struct.

use sandboxer_model::profile::IsolationLevel;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a backend can do. Declared in its manifest; the conformance suite runs a trial for each that is claimed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Capabilities {
    /// Walls it can put up. Required.
    pub isolation_levels: Vec<IsolationLevel>,
    /// Who is paid, and how. Required.
    pub pricing_model: PricingModel,
    /// Where it runs; empty means wherever its host is.
    #[serde(default)]
    pub regions: Vec<String>,
    /// Workspace outlives a restart of the host.
    #[serde(default)]
    pub persistence: bool,
    /// Needs a registered host; without it, it runs on this machine or at a provider.
    #[serde(default)]
    pub needs_host: bool,
    /// Runs commands inside.
    #[serde(default)]
    pub exec: bool,
    /// Runs commands on a terminal inside.
    #[serde(default)]
    pub exec_tty: bool,
    /// Signals reach commands inside, and a death by one is told apart from an exit code.
    #[serde(default)]
    pub exec_signals: bool,
    /// Shows what its services print.
    #[serde(default)]
    pub logs: bool,
    /// Leaves commands running inside when the caller goes away.
    #[serde(default)]
    pub exec_detach: bool,
    /// Enforces `network.default: deny`.
    #[serde(default)]
    pub network_deny: bool,
    /// Enforces an allow-list under deny.
    #[serde(default)]
    pub network_egress: bool,
    /// Can leave the network open (`network.default: allow`).
    #[serde(default)]
    pub network_allow: bool,
    /// Enforces a CPU limit.
    #[serde(default)]
    pub limit_cpu: bool,
    /// Enforces a memory limit.
    #[serde(default)]
    pub limit_memory: bool,
    /// Enforces a disk limit.
    #[serde(default)]
    pub limit_disk: bool,
    /// Enforces a process limit.
    #[serde(default)]
    pub limit_pids: bool,
    /// Tells what a sandbox used.
    #[serde(default)]
    pub usage: bool,
    /// Has GPUs.
    #[serde(default)]
    pub gpu: bool,
    /// Accepts a directory of the caller as workspace (`inputs.repo`).
    #[serde(default)]
    pub workspace_directory: bool,
    /// Brings changes back to the caller's copy.
    #[serde(default)]
    pub workspace_mirror: bool,
    /// Keeps the deadline itself when every process of ours is dead.
    #[serde(default)]
    pub ttl_guard: bool,
    /// Its inventory names everything it has, so a name that is missing is gone.
    #[serde(default)]
    pub inventory_complete: bool,
    /// What it makes dies with this machine, so an intent must survive a crash of ours but not a loss of power.
    #[serde(default)]
    pub dies_with_machine: bool,
    /// Tells whether a command runs inside, so that idle time can be counted.
    #[serde(default)]
    pub activity: bool,
    /// Takes snapshots.
    #[serde(default)]
    pub snapshot: bool,
    /// Delivers secrets inside.
    #[serde(default)]
    pub secrets: bool,
}

impl Capabilities {
    /// Nothing but these levels and this pricing.
    pub fn new(isolation_levels: Vec<IsolationLevel>, pricing_model: PricingModel) -> Capabilities {
        Capabilities {
            isolation_levels,
            pricing_model,
            regions: Vec::new(),
            persistence: false,
            needs_host: false,
            exec: false,
            exec_tty: false,
            exec_signals: false,
            logs: false,
            exec_detach: false,
            network_deny: false,
            network_egress: false,
            network_allow: false,
            limit_cpu: false,
            limit_memory: false,
            limit_disk: false,
            limit_pids: false,
            usage: false,
            gpu: false,
            workspace_directory: false,
            workspace_mirror: false,
            ttl_guard: false,
            inventory_complete: false,
            dies_with_machine: false,
            activity: false,
            snapshot: false,
            secrets: false,
        }
    }
}

/// Who is paid, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PricingModel {
    /// The owner's own hosts.
    SelfHosted,
    /// A provider's meter.
    SaasMetered,
}
