//! The verbs about who may do what at a server: keys, projects, the audit log.

use clap::{Args, Subcommand};

// `keys …`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysVerb {
    /// Make a key for a server; prints it, once
    #[command(after_help = "\
A key of role agt sees the sandboxes that its name made and those that are shared, within its
project; one of role atm all of its project; one of role adm everything, and has no project.

Examples:
  sandboxer keys create ada --role adm
  sandboxer keys create coder-7 --role agt --project blue --expires-in 30d
  sandboxer keys create ci --role atm --project blue --grant sandboxes:read --grant sandboxes:destroy")]
    Create(CreateKeyArgs),
    /// List keys, without their secrets
    #[command(after_help = "Example:\n  sandboxer keys list")]
    List,
    /// Show one key, without its secret
    #[command(after_help = "Example:\n  sandboxer keys show 3k9x2m7q")]
    Show(KeyArg),
    /// Make a key that takes the place of another; prints it, once
    #[command(after_help = "\
Examples:
  sandboxer keys rotate 3k9x2m7q
  sandboxer keys rotate 3k9x2m7q --overlap 1h")]
    Rotate(RotateKeyArgs),
    /// Refuse a key from now on
    #[command(after_help = "Example:\n  sandboxer keys revoke 3k9x2m7q")]
    Revoke(KeyArg),
}

// One key.
#[derive(Debug, Args)]
pub(crate) struct KeyArg {
    /// Id of the key: the eight characters after `sbx_live_`
    #[arg(value_name = "ID")]
    pub(crate) id: String,
}

// `keys create`.
#[derive(Debug, Args)]
pub(crate) struct CreateKeyArgs {
    /// Whom it speaks for; keys of one name own the same sandboxes
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// What kind of caller: adm (a person), agt (an agent) or atm (an automation)
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: String,
    /// The project it is bound to; required unless the role is adm
    #[arg(long, value_name = "ID")]
    pub(crate) project: Option<String>,
    /// Something it may do, such as sandboxes:read; may be repeated [default: all that its role may]
    #[arg(long = "grant", value_name = "GRANT")]
    pub(crate) grants: Vec<String>,
    /// How long it is good for, such as 12h or 90d [default: until it is revoked]
    #[arg(long, value_name = "DURATION")]
    pub(crate) expires_in: Option<String>,
}

// `keys rotate`.
#[derive(Debug, Args)]
pub(crate) struct RotateKeyArgs {
    #[command(flatten)]
    pub(crate) key: KeyArg,
    /// How long the old one is still taken [default: not at all]
    #[arg(long, value_name = "DURATION")]
    pub(crate) overlap: Option<String>,
}

// `projects …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ProjectsVerb {
    /// List projects, what each may use, and what it uses
    #[command(after_help = "Example:\n  sandboxer projects list")]
    List,
    /// Show one project
    #[command(after_help = "Example:\n  sandboxer projects show blue")]
    Show(ProjectArg),
    /// Set what a project may use; what is left out stays as it is
    #[command(after_help = "Example:\n  sandboxer projects set blue --max-live 200 --creates-per-second 20")]
    Set(SetProjectArgs),
}

// One project.
#[derive(Debug, Args)]
pub(crate) struct ProjectArg {
    /// Name of the project
    #[arg(value_name = "PROJECT")]
    pub(crate) project: String,
}

// `projects set`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true).args(["max_live", "creates_per_second", "burst"]))]
pub(crate) struct SetProjectArgs {
    #[command(flatten)]
    pub(crate) project: ProjectArg,
    /// Sandboxes that are not destroyed, at most
    #[arg(long, value_name = "N")]
    pub(crate) max_live: Option<u32>,
    /// Creates per second, over time
    #[arg(long, value_name = "N")]
    pub(crate) creates_per_second: Option<u32>,
    /// Creates at once, at most
    #[arg(long, value_name = "N")]
    pub(crate) burst: Option<u32>,
}

// `audit …`.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditVerb {
    /// Show who did what at a server, newest first
    #[command(after_help = "Example:\n  sandboxer audit list --limit 20")]
    List(ListAuditArgs),
    /// Look whether every row of the audit log is there, unchanged
    #[command(after_help = "\
The digest of the last row, kept elsewhere, shows later whether rows were cut off at the end.

Example:
  sandboxer audit verify")]
    Verify,
}

// `audit list`.
#[derive(Debug, Args)]
pub(crate) struct ListAuditArgs {
    /// How many rows
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) limit: u32,
}
