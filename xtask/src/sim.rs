//! `cargo xtask sim`: builds the simulator for speed and runs it.

use crate::{Outcome, workspace};

/// Options of `sim`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Passed on; see `cargo xtask sim -- --help`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTION")]
    options: Vec<String>,
}

/// Runs it.
pub(crate) fn run(options: &Options) -> Outcome {
    let mut cargo = workspace::cargo();
    cargo.args([
        "run",
        "--locked",
        "--quiet",
        "--profile",
        "sim",
        "--package",
        "sandboxer-sim",
        "--",
    ]);
    cargo.args(&options.options);
    let status = cargo.status().map_err(|error| format!("cannot start cargo: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err("the simulation did not come off".into())
    }
}
