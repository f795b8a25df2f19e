//! The verbs that make sandboxes, and what these are made from.

use clap::Args;

use super::CommandArgs;

// What a sandbox is made from.
#[derive(Debug, Args)]
pub(crate) struct RecipeArgs {
    /// Profile id, or path of a profile file [default: profile.sandbox-canary]
    #[arg(short, long, value_name = "PROFILE")]
    pub(crate) profile: Option<String>,
    /// Input of the profile; may be repeated
    #[arg(long = "input", value_name = "KEY=VALUE")]
    pub(crate) inputs: Vec<String>,
    /// On whose behalf: adm (a person), agt (an agent) or atm (an automation)
    #[arg(long, value_name = "ACTOR")]
    pub(crate) actor: Option<String>,
    /// The calling project
    #[arg(long, value_name = "ID")]
    pub(crate) project: Option<String>,
    /// The calling run, session or job
    #[arg(long, value_name = "ID")]
    pub(crate) run_id: Option<String>,
    /// Where to put it, instead of where the profile says [env: SANDBOXER_HOST]
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Option<String>,
    /// How long it lives, such as 90s, 30m, 4h or 2d [default: the profile's]
    #[arg(long, value_name = "DURATION")]
    pub(crate) ttl: Option<String>,
    /// When a sandbox that is alive is returned again: session, agent or shared [default: the profile's]
    #[arg(long, value_name = "SCOPE")]
    pub(crate) scope: Option<String>,
    /// Label; may be repeated
    #[arg(short, long = "label", value_name = "KEY=VALUE")]
    pub(crate) labels: Vec<String>,
}

// `create`.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    #[command(flatten)]
    pub(crate) recipe: RecipeArgs,
    /// Key of this request: asked again with the same key, the same sandbox is returned
    #[arg(long, value_name = "KEY", conflicts_with = "dry_run")]
    pub(crate) idempotency_key: Option<String>,
    /// Return as soon as it is accepted; it is made in the background
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) no_wait: bool,
    /// Print the plan and touch nothing; refuses exactly what create refuses
    #[arg(long)]
    pub(crate) dry_run: bool,
}

// `run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) recipe: RecipeArgs,
    #[command(flatten)]
    pub(crate) command: CommandArgs,
    /// Print where each millisecond went, on standard error
    #[arg(long)]
    pub(crate) timings: bool,
}
