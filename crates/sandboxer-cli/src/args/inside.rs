//! The verbs about what runs inside a sandbox.

use std::ffi::OsString;

use clap::Args;

// A command to run inside.
#[derive(Debug, Args)]
pub(crate) struct CommandArgs {
    /// Give the command a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Accepted for habit's sake: standard input is always passed on
    #[arg(id = "interactive", short = 'i', long, hide = true)]
    pub(crate) _interactive: bool,
    /// Variable for the command; may be repeated
    #[arg(short, long = "env", value_name = "KEY=VALUE")]
    pub(crate) env: Vec<String>,
    /// Where the command starts [default: the workspace]
    #[arg(short = 'w', long, value_name = "DIR")]
    pub(crate) cwd: Option<String>,
    /// In which service, where the sandbox has several
    #[arg(long, value_name = "NAME")]
    pub(crate) service: Option<String>,
    /// The command and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) argv: Vec<OsString>,
}

// `exec`.
#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    /// Id of the sandbox, or any unique beginning of it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) command: CommandArgs,
    /// Leave it running inside and return at once
    #[arg(short, long, conflicts_with = "tty")]
    pub(crate) detach: bool,
}

// `cp`.
#[derive(Debug, Args)]
pub(crate) struct CopyArgs {
    /// What to copy: a path here, or ID:PATH
    #[arg(value_name = "FROM")]
    pub(crate) from: String,
    /// Where to: a path here, or ID:PATH
    #[arg(value_name = "TO")]
    pub(crate) to: String,
}

// `logs`.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Id of the sandbox, or any unique beginning of it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Only of this service
    #[arg(long, value_name = "NAME")]
    pub(crate) service: Option<String>,
    /// How many of the last lines of each
    #[arg(long, value_name = "LINES", default_value_t = 100)]
    pub(crate) tail: u32,
    /// Go on as more is printed
    #[arg(short, long)]
    pub(crate) follow: bool,
}
