//! The verbs about sandboxes that are there: looking at them, keeping and ending them.

use clap::{Args, Subcommand};

// One sandbox.
#[derive(Debug, Args)]
pub(crate) struct IdArg {
    /// Id of the sandbox, or any unique beginning of it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
}

// `list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only in this state; may be repeated
    #[arg(long = "state", value_name = "STATE")]
    pub(crate) states: Vec<String>,
    /// Only made from this profile
    #[arg(long, value_name = "PROFILE")]
    pub(crate) profile: Option<String>,
    /// Only of this project
    #[arg(long, value_name = "ID")]
    pub(crate) project: Option<String>,
    /// Only with this label; may be repeated
    #[arg(short, long = "label", value_name = "KEY=VALUE")]
    pub(crate) labels: Vec<String>,
    /// Destroyed ones too
    #[arg(short, long)]
    pub(crate) all: bool,
}

// `wait`.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// Id of the sandbox, or any unique beginning of it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// The state to wait for
    #[arg(long = "for", value_name = "STATE", default_value = "ready")]
    pub(crate) state: String,
    /// How long to wait
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    pub(crate) timeout: String,
}

// `destroy`.
#[derive(Debug, Args)]
pub(crate) struct DestroyArgs {
    /// Ids of sandboxes, or any unique beginnings of them
    #[arg(value_name = "ID", required = true)]
    pub(crate) ids: Vec<String>,
}

// `extend-ttl`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("deadline").required(true).args(["duration", "until"]))]
pub(crate) struct ExtendTtlArgs {
    /// Id of the sandbox, or any unique beginning of it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// This much later than its deadline, or than now if that has passed
    #[arg(long, value_name = "DURATION")]
    pub(crate) duration: Option<String>,
    /// At this time, such as 2031-05-04T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
}

// `expire`.
#[derive(Debug, Args)]
pub(crate) struct ExpireArgs {
    /// Remove them; without this they are only shown
    #[arg(long)]
    pub(crate) apply: bool,
}

// `label`.
#[derive(Debug, Args)]
pub(crate) struct LabelArgs {
    /// Id of the sandbox, or any unique beginning of it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// `key=value` sets, `key-` removes
    #[arg(value_name = "CHANGE", required = true)]
    pub(crate) changes: Vec<String>,
}

// `reachability …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ReachabilityVerb {
    /// Show how a sandbox is reached
    #[command(after_help = "Example:\n  sandboxer reachability show sbx-01k")]
    Show(IdArg),
}
