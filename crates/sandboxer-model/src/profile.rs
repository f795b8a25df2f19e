//! A profile: the named, versioned recipe of a sandbox. A sandbox freezes its fully resolved profile and the digest of it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::Span;

/// The recipe of a sandbox. Every field except `id` and `extension` has a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// `profile.<slug>`, slug of `a-z0-9-`.
    #[schemars(regex(pattern = r"^profile\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"))]
    pub id: String,
    /// Version of the recipe, `MAJOR.MINOR.PATCH`.
    #[serde(default = "default_version")]
    #[schemars(regex(pattern = r"^[0-9]+\.[0-9]+\.[0-9]+$"))]
    pub version: String,
    /// What it is for, one line.
    #[serde(default)]
    pub description: String,
    /// The backend it is written for, `ext.<name>`.
    #[schemars(regex(pattern = r"^ext\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"))]
    pub extension: String,
    /// How strongly it must be isolated.
    #[serde(default)]
    pub isolation: Isolation,
    /// What it may reach.
    #[serde(default)]
    pub network: Network,
    /// The tree it works on.
    #[serde(default)]
    pub workspace: Workspace,
    /// When a create returns a sandbox that is already alive.
    #[serde(default)]
    pub scope_default: Scope,
    /// How long it lives.
    #[serde(default)]
    pub ttl: Ttl,
    /// Limits.
    #[serde(default)]
    pub resources: Resources,
    /// What happens once, at provision.
    #[serde(default)]
    pub setup: Setup,
    /// Which hosts, in which order.
    #[serde(default)]
    pub placement: Placement,
    /// How consumers get in.
    #[serde(default)]
    pub reachability: ReachabilityHints,
    /// What it costs and how fast it is, roughly.
    #[serde(default)]
    pub metadata: Metadata,
    /// How a backend is chosen; without it, `extension` is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<Route>,
    /// What a create may or must pass in.
    #[serde(default)]
    pub inputs: BTreeMap<String, InputSpec>,
    /// Whether what it runs may reach the host's own configuration (see the security guide).
    #[serde(default)]
    pub trust: Trust,
    /// Extension-specific settings, checked by the extension.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, serde_json::Value>,
}

fn default_version() -> String {
    "1.0.0".to_owned()
}

/// How strongly a sandbox must be isolated.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Isolation {
    /// The kind of wall.
    pub level: IsolationLevel,
}

/// The kind of wall between a sandbox and its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IsolationLevel {
    /// Rules laid over a runtime that somebody else isolates.
    Policy,
    /// Kernel namespaces; the kernel is shared with the host.
    #[default]
    Container,
    /// Its own kernel.
    Microvm,
}

/// What a sandbox may reach.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// What holds for destinations that `egress` does not list. Enforced, or the create is refused.
    pub default: NetworkDefault,
    /// Destinations allowed under `deny`: names, CIDRs, each with an optional `:port`.
    pub egress: Vec<String>,
}

/// What holds for destinations that are not listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NetworkDefault {
    /// Nothing is reachable.
    #[default]
    Deny,
    /// Everything is reachable.
    Allow,
}

/// The tree a sandbox works on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Workspace {
    /// Which copy is the truth.
    pub mode: WorkspaceMode,
    /// What commands inside may do with it.
    pub access: WorkspaceAccess,
}

/// Which copy of the workspace is the truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WorkspaceMode {
    /// The copy in the sandbox.
    #[default]
    RemoteCanonical,
    /// The caller's copy; changes are brought back.
    Mirror,
}

/// What commands inside may do with the workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WorkspaceAccess {
    /// It is not there.
    None,
    /// Read only.
    Ro,
    /// Read and write.
    #[default]
    Rw,
}

/// When a create returns a sandbox that is already alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// One per session or run id; without one, every create makes a new sandbox.
    #[default]
    Session,
    /// One per agent or project identity.
    Agent,
    /// One per profile and project.
    Shared,
}

impl Scope {
    /// The name used in JSON, the store and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Scope::Session => "session",
            Scope::Agent => "agent",
            Scope::Shared => "shared",
        }
    }
}

/// How long a sandbox lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ttl {
    /// When the create does not say.
    pub default: Span,
    /// The most that create and extend-ttl together may give, counted from ready.
    pub max: Span,
    /// End it after this long without use.
    pub idle_reap: Option<Span>,
}

impl Default for Ttl {
    fn default() -> Self {
        Ttl {
            default: Span::hours(4),
            max: Span::hours(24),
            idle_reap: None,
        }
    }
}

/// Limits. `null` means the extension's own default, which is reported too.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Resources {
    /// CPUs, may be a fraction. Between 0.01 and 1024.
    #[schemars(range(min = 0.01, max = 1024))]
    pub cpu: Option<f64>,
    /// Memory in MiB.
    pub memory_mb: Option<u64>,
    /// Writable disk in MiB.
    pub disk_mb: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// GPUs.
    pub gpu: Option<u32>,
    /// Refuse to start when a limit that is asked for here can only be watched, or not be enforced at all.
    pub strict: bool,
}

/// What happens once, at provision.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Setup {
    /// Natural-language instructions for the extension or the consumer.
    pub instructions: String,
    /// Names of secrets delivered as files inside.
    pub secret_refs: Vec<String>,
}

/// Which hosts, in which order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Placement {
    /// First choice.
    pub prefer: Vec<String>,
    /// Second choice.
    pub fallback: Vec<String>,
}

impl Default for Placement {
    fn default() -> Self {
        Placement {
            prefer: vec!["sandboxer01".to_owned()],
            fallback: vec!["coulombcore".to_owned()],
        }
    }
}

/// How consumers get in: hints copied into the reachability of every sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReachabilityHints {
    /// Who owns tunnels.
    pub tunnel: String,
    /// Who signs identities.
    pub identity: String,
}

impl Default for ReachabilityHints {
    fn default() -> Self {
        ReachabilityHints {
            tunnel: "ops-bridge".to_owned(),
            identity: "ops-warden".to_owned(),
        }
    }
}

/// What a profile costs and how fast it is, roughly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Metadata {
    /// Who is paid.
    pub cost_class: CostClass,
    /// Free text, `standard` by default.
    pub latency_class: String,
}

impl Default for Metadata {
    fn default() -> Self {
        Metadata {
            cost_class: CostClass::SelfHosted,
            latency_class: "standard".to_owned(),
        }
    }
}

/// Who is paid for a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CostClass {
    /// Only the owner's own hosts.
    #[default]
    SelfHosted,
    /// A metered provider.
    SaasMetered,
}

/// How a backend is chosen.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Route {
    /// The rule that orders candidates.
    pub strategy: Strategy,
    /// Candidates, in order of preference; the profile's `extension` when empty.
    pub extensions: Vec<String>,
    /// Candidates tried after those.
    pub fallback: Vec<String>,
    /// What a candidate must fulfil.
    pub constraints: Constraints,
}

/// The rule that orders candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// The profile's extension, nothing else.
    #[default]
    Explicit,
    /// Own hosts first, then the others in the order written.
    PreferSelfHosted,
}

impl Strategy {
    /// The name used in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Strategy::Explicit => "explicit",
            Strategy::PreferSelfHosted => "prefer-self-hosted",
        }
    }
}

/// What a candidate must fulfil.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Constraints {
    /// Most it may cost, in USD per hour, as a decimal string such as "1.00".
    pub max_cost_per_hour: Option<String>,
    /// Least isolation.
    pub require_isolation: Option<IsolationLevel>,
    /// Where.
    pub region: Option<String>,
}

/// One thing a create may or must pass in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// What values look like.
    #[serde(rename = "type")]
    pub kind: InputKind,
    /// Whether a create without it is refused.
    #[serde(default)]
    pub required: bool,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// Used when it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

/// What the value of an input looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InputKind {
    /// Any text of at most 64 KiB without NUL.
    String,
    /// A directory on the caller's machine, stored as an absolute path.
    Directory,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// A TCP port.
    Port,
}

/// Whether what a profile runs may reach the host's own configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    /// Anything the workload brings is hostile.
    #[default]
    None,
    /// The operator's own repositories; audited.
    Full,
}

impl Profile {
    /// A profile with every default.
    pub fn new(id: impl Into<String>, extension: impl Into<String>) -> Profile {
        Profile {
            id: id.into(),
            version: default_version(),
            description: String::new(),
            extension: extension.into(),
            isolation: Isolation::default(),
            network: Network::default(),
            workspace: Workspace::default(),
            scope_default: Scope::default(),
            ttl: Ttl::default(),
            resources: Resources::default(),
            setup: Setup::default(),
            placement: Placement::default(),
            reachability: ReachabilityHints::default(),
            metadata: Metadata::default(),
            route: None,
            inputs: BTreeMap::new(),
            trust: Trust::default(),
            config: BTreeMap::new(),
        }
    }

    /// `blake3:<hex>` of the fully resolved profile as canonical JSON (keys in schema order, defaults filled in).
    pub fn digest(&self) -> String {
        let json = serde_json::to_vec(self).unwrap_or_default();
        format!("blake3:{}", blake3::hash(&json).to_hex())
    }
}
