//! The verbs people never see, so that neither help, completions nor manual name them.

use clap::{Parser, Subcommand, ValueEnum};

use super::Globals;

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
    /// Deliver events; started by a command whose own time for it was too short
    #[command(name = "__deliver")]
    Deliver,
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
