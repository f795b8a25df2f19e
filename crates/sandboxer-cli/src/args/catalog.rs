//! The verbs about what sandboxes are made from and by: profiles and extensions.

use std::path::PathBuf;

use clap::Subcommand;

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
