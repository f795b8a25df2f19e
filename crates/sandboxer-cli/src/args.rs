//! The command line: what can be written, and its help. Parsing only; values with rules of their own (durations,
//! labels, states) stay text here, so that a wrong one is answered in the same shape as every other error.

mod hosts;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use hosts::{AddHostArgs, HostsVerb, InspectVerb, ProbeArgs, ReapStaleArgs, StaleArgs};

const EXIT_CODES: &str = "\
Exit codes:
    0  done
    1  a bug of ours
    2  the command line makes no sense
    3  a profile, input, label or ttl is wrong
    4  not found, or a beginning that fits several ids
    5  wrong state, or somebody else is working on it
    6  cannot be enforced or done here
    7  the backend failed
    8  the database cannot be used
    9  a deadline passed
   10  absence could not be proven
  130  interrupted, and undone
`run` and `exec` return the command's own code, and 125 for every error of sandboxer itself.";

/// Isolated environments by name: created in milliseconds, kept to their time, removed with proof.
#[derive(Debug, Parser)]
#[command(name = "sandboxer", version, after_help = EXIT_CODES, max_term_width = 110)]
#[command(disable_help_subcommand = true, infer_long_args = false)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

// Options every verb takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// What to print: JSON, a table for people, or whichever fits where the output goes
    #[arg(long, global = true, value_enum, default_value_t = OutputMode::Auto, value_name = "MODE", hide_possible_values = true, help = "What to print: json, table, or auto (table on a terminal, JSON otherwise)", hide_default_value = true)]
    pub(crate) output: OutputMode,
    /// No progress and no notes, only data and errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Where records and sandboxes are kept [env: SANDBOXER_DATA_DIR] [default: ~/.local/share/sandboxer]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// When to use color: auto, always or never
    #[arg(long, global = true, value_enum, default_value_t = ColorMode::Auto, value_name = "WHEN", hide_possible_values = true, hide_default_value = true)]
    pub(crate) color: ColorMode,
}

/// What to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputMode {
    /// A table on a terminal, JSON otherwise
    Auto,
    /// JSON
    Json,
    /// A table for people
    Table,
}

/// When to use color.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorMode {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

// What to do.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum Verb {
    /// Create a sandbox and wait until it is ready
    #[command(after_help = "\
Examples:
  sandboxer create
  sandboxer create --profile profile.native --input repo=. --ttl 2h
  sandboxer create --profile ./my-profile.yaml --dry-run")]
    Create(CreateArgs),
    /// Create a sandbox, run one command in it, destroy it; returns the command's exit code
    #[command(after_help = "\
The exit code is the command's own (128 + n when signal n killed it), and 125 when sandboxer
itself failed.

Examples:
  sandboxer run -- uname -a
  sandboxer run --profile profile.native --input repo=. -- make test
  sandboxer run --timings -- true")]
    Run(RunArgs),
    /// Run a command in a sandbox; returns its exit code
    #[command(after_help = "\
The command starts in the workspace. The exit code is the command's own (128 + n when signal n
killed it), and 125 when sandboxer itself failed.

Examples:
  sandboxer exec sbx-01k -- ls -l
  tar c src | sandboxer exec sbx-01k -- tar x
  sandboxer exec -t sbx-01k -- bash")]
    Exec(ExecArgs),
    /// Show what the services of a sandbox print
    #[command(after_help = "Example:\n  sandboxer logs sbx-01k --service web --tail 20")]
    Logs(LogsArgs),
    /// Show one sandbox
    #[command(after_help = "Example:\n  sandboxer get sbx-01k")]
    Get(IdArg),
    /// List sandboxes, newest first
    #[command(after_help = "\
Examples:
  sandboxer list
  sandboxer list --state ready --label team=blue
  sandboxer list --all --output json")]
    List(ListArgs),
    /// Wait until a sandbox is in a state
    #[command(after_help = "Example:\n  sandboxer wait sbx-01k --for ready --timeout 60s")]
    Wait(WaitArgs),
    /// Destroy sandboxes and prove that nothing is left; doing it again is no error
    #[command(after_help = "\
Prints one receipt for one id, and a list of receipts for several: what was found, removed and verified.

Examples:
  sandboxer destroy sbx-01k
  sandboxer destroy sbx-01k sbx-02m")]
    Destroy(DestroyArgs),
    /// Destroy a sandbox and make it again from its frozen profile and inputs, under the same id
    #[command(after_help = "Example:\n  sandboxer recreate sbx-01k")]
    Recreate(IdArg),
    /// Move the deadline of a sandbox later
    #[command(after_help = "\
`--until` names a point in time and is therefore safe to repeat.

Examples:
  sandboxer extend-ttl sbx-01k --duration 2h
  sandboxer extend-ttl sbx-01k --until 2031-05-04T12:00:00Z")]
    ExtendTtl(ExtendTtlArgs),
    /// Show the sandboxes whose time has passed, or remove them
    #[command(after_help = "Examples:\n  sandboxer expire\n  sandboxer expire --apply")]
    Expire(ExpireArgs),
    /// Answer seven questions about a sandbox, alive or gone: recipe, backend, place, isolation, access, history, cost
    #[command(after_help = "Example:\n  sandboxer explain sbx-01k")]
    Explain(IdArg),
    /// How a sandbox is reached
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Reachability {
        #[command(subcommand)]
        verb: ReachabilityVerb,
    },
    /// Set (`key=value`) and remove (`key-`) labels of a sandbox
    #[command(after_help = "Example:\n  sandboxer label sbx-01k team=blue old-")]
    Label(LabelArgs),
    /// Show what happened, to one sandbox or to all
    #[command(after_help = "Examples:\n  sandboxer events\n  sandboxer events sbx-01k")]
    Events(EventsArgs),
    /// The recipes sandboxes are made from
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Profiles {
        #[command(subcommand)]
        verb: ProfilesVerb,
    },
    /// The backends sandboxes are made by
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Extensions {
        #[command(subcommand)]
        verb: ExtensionsVerb,
    },
    /// The machines sandboxes are put on
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Hosts {
        #[command(subcommand)]
        verb: HostsVerb,
    },
    /// Look at hosts: how they are, and what is left over there
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Inspect {
        #[command(subcommand)]
        verb: InspectVerb,
    },
    /// Show what is left over on hosts, or remove it with proof
    #[command(after_help = "\
Only what bears the mark of this installation and the name of a sandbox that is gone is removed, and
only if a second look still finds it. What belongs to others is shown and never touched.

Examples:
  sandboxer reap-stale
  sandboxer reap-stale --apply --older-than 48")]
    ReapStale(ReapStaleArgs),
    /// Say what this machine can enforce, and how to fix what it cannot
    #[command(after_help = "Example:\n  sandboxer doctor")]
    Doctor,
    /// Print the completion script of a shell
    #[command(after_help = "\
Example:
  sandboxer completions bash > ~/.local/share/bash-completion/completions/sandboxer")]
    Completions {
        /// bash, zsh, fish, elvish or powershell
        #[arg(value_enum, hide_possible_values = true)]
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write one page for each verb
    #[command(after_help = "Examples:\n  sandboxer man | man -l -\n  sandboxer man --dir ~/.local/share/man/man1")]
    Man {
        /// Write one page per verb into this directory instead
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

/// Verbs people never see, so that neither help, completions nor manual name them.
#[derive(Debug, Parser)]
#[command(name = "sandboxer", hide = true)]
pub(crate) struct Internal {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) verb: InternalVerb,
}

// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum InternalVerb {
    /// Carry out an accepted operation; started by `create --no-wait`
    #[command(name = "__operate")]
    Operate {
        /// The operation
        operation: String,
    },
    /// Print reference documentation as Markdown
    #[command(name = "__docs")]
    Docs {
        /// Which page
        #[arg(value_enum)]
        page: DocsPage,
    },
}

/// Pages of the reference that are made from this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DocsPage {
    /// Every verb and option
    Cli,
    /// Every environment variable
    Env,
}

// One sandbox.
#[derive(Debug, Args)]
pub(crate) struct IdArg {
    /// Id of the sandbox, or any unique beginning of it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
}

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
    #[arg(long, value_name = "ACTOR", default_value = "adm", hide_default_value = true)]
    pub(crate) actor: String,
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

// `events`.
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Id of the sandbox, or any unique beginning of it; all of them when left out
    #[arg(value_name = "ID")]
    pub(crate) id: Option<String>,
}

// `reachability …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ReachabilityVerb {
    /// Show how a sandbox is reached
    #[command(after_help = "Example:\n  sandboxer reachability show sbx-01k")]
    Show(IdArg),
}

// `profiles …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ProfilesVerb {
    /// List profiles, and the files that are broken
    #[command(after_help = "Example:\n  sandboxer profiles list")]
    List,
    /// Show one profile with every default filled in
    #[command(after_help = "Example:\n  sandboxer profiles show profile.native")]
    Show {
        /// Profile id, or path of a profile file
        profile: String,
    },
    /// Check profile files: every problem with file, line and column
    #[command(after_help = "Example:\n  sandboxer profiles check ./profile.mine.yaml")]
    Check {
        /// Profile files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

// `extensions …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ExtensionsVerb {
    /// List extensions
    #[command(after_help = "Example:\n  sandboxer extensions list")]
    List,
    /// Show what an extension says of itself
    #[command(after_help = "Example:\n  sandboxer extensions show ext.native")]
    Show {
        /// Extension id
        id: String,
    },
}
