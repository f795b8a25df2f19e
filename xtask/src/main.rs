//! Developer tasks: `cargo xtask check | test | generate | bench | sim`.
//!
//! This program drives cargo, package managers and peers from outside; it is no part of the product, so it stands
//! beside the ports and not behind them.
#![expect(
    clippy::disallowed_methods,
    reason = "a developer tool: it starts programs, measures time and writes generated files itself"
)]

mod bench;
mod check;
mod generate;
mod process;
mod sim;
mod test;
mod workspace;

use clap::{Parser, Subcommand};

/// What a task comes to. The error is a sentence for the person at the terminal.
type Outcome<T = ()> = Result<T, String>;

/// Developer tasks of sand-boxer.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Formatting, lints, documentation, generated files, dependency rules and house rules.
    Check(check::Options),
    /// All tests, rootful and rootless, then an audit of what they left behind.
    Test(test::Options),
    /// Write what is generated: schemas, command-line reference, error codes, bad-input table.
    Generate(generate::Options),
    /// Measure, with peers beside each figure in the same run.
    Bench(bench::Options),
    /// Seeded schedules of operations, faults and crashes over a world of backends; every promise checked.
    Sim(sim::Options),
    /// Times commands for `bench` inside another mount namespace.
    #[command(name = "__timer", hide = true)]
    Timer,
}

fn main() -> std::process::ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Check(options) => check::run(&options),
        Task::Test(options) => test::run(&options),
        Task::Generate(options) => generate::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Sim(options) => sim::run(&options),
        Task::Timer => bench::timer::serve(),
    };
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            std::process::ExitCode::FAILURE
        }
    }
}
