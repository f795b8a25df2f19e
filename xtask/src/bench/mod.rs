//! `cargo xtask bench`.

pub(crate) mod store_floor;
pub(crate) mod timer;

use crate::Outcome;

/// Options of `bench`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Interleaved runs of each case.
    #[arg(long, default_value_t = 40)]
    runs: usize,
}

pub(crate) fn run(options: &Options) -> Outcome {
    Err(format!("not measured yet: {} runs", options.runs))
}
