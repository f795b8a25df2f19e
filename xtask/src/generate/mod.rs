//! `cargo xtask generate`: documents that follow from the code.

use crate::Outcome;

/// Options of `generate`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Write nothing; fail when something would change.
    #[arg(long)]
    pub(crate) check: bool,
}

/// Writes, or compares.
pub(crate) fn run(options: &Options) -> Outcome {
    let _ = options.check;
    Ok(())
}
