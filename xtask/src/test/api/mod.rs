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
    let mut cargo = workspace::cargo();
    process::run(cargo.args(["build", "--locked", "--quiet", "--package", "sandboxer-cli"]))?;
    let mut total = Tally::default();
    let mut skipped = BTreeSet::new();
    for part in [fuzz::run, python::run] {
        let (tally, names) = part(run)?;
        total += tally;
        skipped.extend(names);
    }
    Ok((total, skipped))
}
