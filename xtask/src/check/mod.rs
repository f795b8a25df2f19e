//! `cargo xtask check`: everything that can be said about the code without running the product.

mod bans;
mod words;

use crate::{Outcome, generate, process, workspace};

/// Options of `check`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only the check of this name.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
}

type Check = fn() -> Outcome<Vec<String>>;

/// Name and body of each check. A body returns notes; an error fails the check and the rest still run.
const CHECKS: &[(&str, Check)] = &[
    ("words", words::forbidden),
    ("map", words::crates_are_on_the_map),
    ("length", words::long_files),
    ("bans", bans::banned_crates),
    ("licences", bans::licences),
    ("cargo-deny", bans::cargo_deny),
    ("fmt", formatting),
    ("clippy", lints),
    ("rustdoc", documentation),
    ("generated", generated),
];

/// Runs every check and fails when one did.
pub(crate) fn run(options: &Options) -> Outcome {
    let chosen: Vec<_> = CHECKS
        .iter()
        .filter(|(name, _)| options.only.as_deref().is_none_or(|only| only == *name))
        .collect();
    if chosen.is_empty() {
        let names: Vec<_> = CHECKS.iter().map(|(name, _)| *name).collect();
        return Err(format!("no check of this name; there are: {}", names.join(", ")));
    }
    let mut failed = Vec::new();
    for (name, check) in &chosen {
        eprintln!("── {name}");
        match check() {
            Ok(notes) => notes.iter().for_each(|note| eprintln!("   {note}")),
            Err(message) => {
                eprintln!("   FAILED: {message}");
                failed.push(*name);
            }
        }
    }
    eprintln!("check: {} of {} fine", chosen.len() - failed.len(), chosen.len());
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("failed: {}", failed.join(", ")))
    }
}

fn formatting() -> Outcome<Vec<String>> {
    process::run(workspace::cargo().args(["fmt", "--all", "--check"]))?;
    Ok(Vec::new())
}

fn lints() -> Outcome<Vec<String>> {
    let clippy = |which: &[&str]| {
        let rest = ["--all-targets", "--locked", "--quiet", "--", "-D", "warnings"];
        process::run(workspace::cargo().arg("clippy").args(which).args(rest))
    };
    clippy(&["--workspace"])?;
    let metadata = workspace::Metadata::read()?;
    for package in metadata
        .members()
        .filter(|package| package.weakened_tests().next().is_some())
    {
        clippy(&["--package", &package.name, "--features", workspace::WEAKEN])?;
    }
    Ok(Vec::new())
}

fn documentation() -> Outcome<Vec<String>> {
    let mut cargo = workspace::cargo();
    cargo.env("RUSTDOCFLAGS", "-D warnings");
    process::run(cargo.args(["doc", "--workspace", "--no-deps", "--locked", "--quiet"]))?;
    Ok(Vec::new())
}

fn generated() -> Outcome<Vec<String>> {
    generate::run(&generate::Options { check: true })?;
    Ok(Vec::new())
}
