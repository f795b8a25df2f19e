//! The command line: what can be written, and its help. Parsing only; values with rules of their own (durations,
//! labels, states) stay text here, so that a wrong one is answered in the same shape as every other error.
//!
//! | module | holds |
//! |---|---|
//! | `access` | verbs about who may do what: `keys`, `projects`, `audit` |
//! | `globals` | options every verb takes |
//! | `make` | verbs that make sandboxes: `create`, `run` |
//! | `inside` | verbs about what runs inside: `exec`, `logs` |
//! | `sandboxes` | verbs about sandboxes that are there: `list`, `wait`, `destroy`, `extend-ttl` … |
//! | `catalog` | verbs about profiles and extensions |
//! | `events` | verbs about what happened, and who is told |
//! | `hosts` | verbs about hosts |
//! | `serve` | verbs about the whole: `serve`, `status` |
//! | `internal` | verbs people never see |

mod access;
mod catalog;
mod events;
mod globals;
mod hosts;
mod inside;
mod internal;
mod make;
mod sandboxes;
mod serve;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub(crate) use access::{AuditVerb, CreateKeyArgs, KeysVerb, ProjectsVerb, RotateKeyArgs, SetProjectArgs};
pub(crate) use catalog::{ExtensionsVerb, ProfilesVerb};
pub(crate) use events::{AddWebhookArgs, EventsArgs, EventsVerb, RedeliverArgs, WebhooksVerb};
pub(crate) use globals::{ColorMode, Globals, OutputMode};
pub(crate) use hosts::{AddHostArgs, HostsVerb, InspectVerb, ProbeArgs, ReapStaleArgs, RemoveHostArgs, StaleArgs};
pub(crate) use inside::{CommandArgs, CopyArgs, ExecArgs, LogsArgs};
pub(crate) use internal::{DocsPage, Internal, InternalVerb};
pub(crate) use make::{CreateArgs, RecipeArgs, RunArgs};
pub(crate) use sandboxes::{
    DestroyArgs, ExpireArgs, ExtendTtlArgs, IdArg, LabelArgs, ListArgs, ReachabilityVerb, WaitArgs,
};
pub(crate) use serve::{DoctorArgs, ServeArgs, StatusArgs};

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
    /// Copy files and directories into a sandbox or out of it
    #[command(after_help = "\
One of the two is ID:PATH, below the workspace of a sandbox. A directory is copied with what is in
it. What is there already under the same name is replaced. `-` is standard input or output.

Examples:
  sandboxer cp report.csv sbx-01k:in/report.csv
  sandboxer cp sbx-01k:out ./out
  sandboxer cp sbx-01k:log.txt -")]
    Cp(CopyArgs),
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
    /// Say that a sandbox is in use, where that does not happen through a command
    #[command(after_help = "Example:\n  sandboxer activate sbx-01k")]
    Activate(IdArg),
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
    /// Show what happened, to one sandbox or to all; who is told, and what is still to be sent
    #[command(
        after_help = "Examples:\n  sandboxer events\n  sandboxer events sbx-01k\n  sandboxer events --follow\n  sandboxer events sinks"
    )]
    Events(EventsArgs),
    /// Addresses that are told what happens
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Webhooks {
        #[command(subcommand)]
        verb: WebhooksVerb,
    },
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
    /// Who may do what at a server
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Keys {
        #[command(subcommand)]
        verb: KeysVerb,
    },
    /// What projects may use
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Projects {
        #[command(subcommand)]
        verb: ProjectsVerb,
    },
    /// Who did what at a server
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Audit {
        #[command(subcommand)]
        verb: AuditVerb,
    },
    /// Show who you are at a server, and what you may do there
    #[command(after_help = "Example:\n  sandboxer whoami --api https://box.example")]
    Whoami,
    /// Answer the HTTP API, and keep everything true, until told to stop: expiry, recovery, comparison with backends, leftovers,
    /// hosts
    #[command(after_help = "\
It serves one data directory, beside whatever commands run there, and looks at once when one of them
wrote something. What it does not do, the next command or the next server does.

The API is answered on the socket `api.sock` of the data directory, and at each `--listen`. An address
that others can reach needs TLS, or a proxy that has it. Keys are made with `sandboxer keys create`;
`/docs` of the server shows every operation.

SIGTERM or SIGINT lets work at hand come to its end; a second one leaves at once. A service manager
is told when it is ready (sd_notify).

Examples:
  sandboxer serve
  sandboxer serve --listen 127.0.0.1:8600
  sandboxer serve --listen 0.0.0.0:443 --tls-cert chain.pem --tls-key key.pem
  sandboxer serve --once")]
    Serve(ServeArgs),
    /// Show how everything stands: what keeps it true, sandboxes, operations, hosts
    #[command(after_help = "Examples:\n  sandboxer status\n  sandboxer status --check --output json")]
    Status(StatusArgs),
    /// Say what this machine can enforce and what is not as it should be, and fix it
    #[command(after_help = "Examples:\n  sandboxer doctor\n  sandboxer doctor --fix\n  sandboxer doctor --output json")]
    Doctor(DoctorArgs),
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
