//! `cargo xtask generate`: documents that follow from the code.
//!
//! What a crate can say about itself is written by a test of that crate (with `SBX_WRITE_DOCS=1`; without, the same
//! test compares). The rest comes from the binary and from the list of error codes.

mod errors;

use std::path::PathBuf;

use crate::{Outcome, process, workspace};

/// Options of `generate`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Write nothing; fail when something would change.
    #[arg(long)]
    pub(crate) check: bool,
}

/// Tests that write documents.
const WRITERS: &[&str] = &["generated", "schemas", "bad_input", "document"];

/// Writes, or compares.
pub(crate) fn run(options: &Options) -> Outcome {
    let mut stale = Vec::new();
    // One call for the whole workspace, as for the tests: what is chosen package by package is built for each anew.
    let mut cargo = workspace::cargo();
    cargo.args(["test", "--quiet", "--locked", "--no-fail-fast", "--workspace"]);
    cargo.args(WRITERS.iter().flat_map(|test| ["--test", test]));
    if options.check {
        cargo.env_remove("SBX_WRITE_DOCS");
    } else {
        cargo.env("SBX_WRITE_DOCS", "1");
    }
    if let Err(error) = process::capture(&mut cargo) {
        stale.push(format!("what the tests {} write ({error})", WRITERS.join(", ")));
    }
    for (path, text) in pages()? {
        let full = workspace::root().join(&path);
        if std::fs::read_to_string(&full).is_ok_and(|present| present == text) {
            continue;
        }
        if options.check {
            stale.push(path.display().to_string());
        } else {
            workspace::write(&full, &text)?;
            eprintln!("wrote {}", path.display());
        }
    }
    match (stale.is_empty(), options.check) {
        (true, _) => Ok(()),
        (false, true) => Err(format!("out of date: {}; run `cargo xtask generate`", stale.join(", "))),
        (false, false) => Err(format!("could not be written: {}", stale.join(", "))),
    }
}

/// The pages this task writes itself. The binary was built for the tests that drive it.
fn pages() -> Outcome<Vec<(PathBuf, String)>> {
    let reference = PathBuf::from("docs/reference");
    let mut pages = vec![(reference.join("errors.md"), errors::page())];
    let binary = workspace::target_dir().join("debug/sandboxer");
    for page in ["cli", "env"] {
        let mut command = process::command(&binary);
        command.args(["__docs", page]).env("COLUMNS", "100");
        pages.push((reference.join(format!("{page}.md")), process::capture(&mut command)?));
    }
    Ok(pages)
}
