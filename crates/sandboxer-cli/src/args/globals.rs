//! Options every verb takes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

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
    /// Work against this server instead of this machine: https://…, http://127.0.0.1:…, unix:/… [env: SANDBOXER_API]
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub(crate) api: Option<String>,
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
