//! The verbs about hosts.

use clap::{Args, Subcommand};

// `hosts …`.
#[derive(Debug, Subcommand)]
pub(crate) enum HostsVerb {
    /// List hosts, what is taken of each, and how each was when it was last looked at
    #[command(after_help = "Example:\n  sandboxer hosts list")]
    List,
    /// Show one host
    #[command(after_help = "Example:\n  sandboxer hosts show box")]
    Show(HostArg),
    /// Look at a host and register it
    #[command(after_help = "\
What is not given a figure is not counted. A host takes no new sandboxes either while less than 15 %
or 5 GiB of its disk are free.

Examples:
  sandboxer hosts add box --slots 8 --memory-mb 16000
  sandboxer hosts add box --address me@10.0.0.7:2222 --pin
  sandboxer hosts add local")]
    Add(AddHostArgs),
    /// Look at hosts again: one that does not answer takes nothing new until it does
    #[command(after_help = "Examples:\n  sandboxer hosts probe box\n  sandboxer hosts probe --all")]
    Probe(ProbeArgs),
    /// Let nothing new on a host; what is there stays
    #[command(after_help = "Example:\n  sandboxer hosts drain box")]
    Drain(HostArg),
    /// Let a host take sandboxes again
    #[command(after_help = "Example:\n  sandboxer hosts activate box")]
    Activate(HostArg),
    /// Forget a host on which no sandbox is
    #[command(after_help = "\
With --lost a host that is gone for good is forgotten together with what was on it: its sandboxes
end as failed (host_lost), without proof, and their meters stop when they were last seen alive.
Should it come back, what is left on it is removed.

Examples:
  sandboxer hosts remove box
  sandboxer hosts remove box --lost")]
    Remove(RemoveHostArgs),
}

// One registered host.
#[derive(Debug, Args)]
pub(crate) struct HostArg {
    /// Name or address of a registered host
    #[arg(value_name = "HOST")]
    pub(crate) host: String,
}

// `hosts remove`.
#[derive(Debug, Args)]
pub(crate) struct RemoveHostArgs {
    /// Name or address of a host
    #[arg(value_name = "HOST")]
    pub(crate) host: String,
    /// It is gone for good: end its sandboxes, too
    #[arg(long)]
    pub(crate) lost: bool,
}

// `hosts add`.
#[derive(Debug, Args)]
pub(crate) struct AddHostArgs {
    /// Its name here
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// How it is reached: `local`, or `[user@]name[:port]` [default: NAME]
    #[arg(
        long,
        value_name = "ADDRESS",
        help = "How it is reached: local, or [user@]name[:port] [default: NAME]"
    )]
    pub(crate) address: Option<String>,
    /// Sandboxes it takes at once
    #[arg(long, value_name = "N")]
    pub(crate) slots: Option<String>,
    /// Processors that sandboxes may ask for altogether
    #[arg(long, value_name = "N")]
    pub(crate) cpu: Option<String>,
    /// Memory that sandboxes may ask for altogether, in MiB
    #[arg(long, value_name = "N")]
    pub(crate) memory_mb: Option<String>,
    /// Disk that sandboxes may ask for altogether, in MiB
    #[arg(long, value_name = "N")]
    pub(crate) disk_mb: Option<String>,
    /// Label; may be repeated
    #[arg(short, long = "label", value_name = "KEY=VALUE")]
    pub(crate) labels: Vec<String>,
    /// Show the fingerprints of its host keys, and trust them from now on
    #[arg(long)]
    pub(crate) pin: bool,
}

// `hosts probe`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["host", "all"]))]
pub(crate) struct ProbeArgs {
    /// Name or address of a registered host
    #[arg(value_name = "HOST")]
    pub(crate) host: Option<String>,
    /// Every registered host
    #[arg(short, long)]
    pub(crate) all: bool,
}

// `inspect …`.
#[derive(Debug, Subcommand)]
pub(crate) enum InspectVerb {
    /// Measure a host, and list what looks like a sandbox there
    #[command(after_help = "\
Without HOST: the one that SANDBOXER_HOST names, else every registered one.

Examples:
  sandboxer inspect host
  sandboxer inspect host me@box")]
    Host {
        /// A registered host, or any address
        #[arg(value_name = "HOST")]
        host: Option<String>,
    },
    /// Compare what is on hosts with the records: what may be left over, and what is missing
    #[command(after_help = "Examples:\n  sandboxer inspect stale\n  sandboxer inspect stale --older-than 24")]
    Stale(StaleArgs),
}

// Which leftovers.
#[derive(Debug, Args)]
pub(crate) struct StaleArgs {
    /// Only on this host [default: all that are registered or have sandboxes]
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Option<String>,
    /// Only what has been there for so many hours; then directories of live sandboxes, too
    #[arg(long, value_name = "HOURS")]
    pub(crate) older_than: Option<String>,
}

// `reap-stale`.
#[derive(Debug, Args)]
pub(crate) struct ReapStaleArgs {
    /// Remove it; without this it is only shown
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) apply: bool,
    /// Only show it, as without --apply
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) stale: StaleArgs,
}
