//! Others' programs against a real server: schemathesis, which makes requests from the API document, and the tests of the client
//! for Python.

mod fuzz;
mod python;
mod server;

use std::collections::BTreeSet;

use super::Run;
use super::tally::Tally;
use crate::{Outcome, process, workspace};

/// What came of it, and what could not be tried.
pub(super) fn stage(run: &Run) -> Outcome<(Tally, BTreeSet<String>)> {
    eprintln!("── api");
    if !process::is_root() {
        let skipped = ["fuzzing of the API: needs root", "client for Python: needs root"];
        return Ok((Tally::default(), skipped.map(str::to_owned).into()));
    }
    // The binary as the tests drive it: chosen as a package of its own it would be built anew.
    let mut cargo = workspace::cargo();
    let binary_of_a_test = ["--workspace", "--test", "help", "--no-run"];
    process::run(cargo.args(["test", "--locked", "--quiet"]).args(binary_of_a_test))?;
    let mut total = Tally::default();
    let mut skipped = BTreeSet::new();
    for part in [fuzz::run, python::run] {
        let (tally, names) = part(run)?;
        total += tally;
        skipped.extend(names);
    }
    Ok((total, skipped))
}
