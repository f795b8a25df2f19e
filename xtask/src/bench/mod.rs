//! `cargo xtask bench`: whole commands as separate processes, interleaved in random order with their peers, so that a
//! figure always has a figure of the same minute beside it.

mod cases;
mod compose;
mod compose_report;
mod crun;
mod docker;
mod figures;
mod http;
mod machine;
mod memory;
mod place;
mod report;
pub(crate) mod timer;

use crate::test::{Need, Supervisor, bring_up};
use crate::{Outcome, workspace};
use figures::Figures;

/// Options of `bench`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Interleaved runs of each case.
    #[arg(long, default_value_t = 40)]
    runs: usize,
    /// Only what needs no Docker (native), only what a command of ours costs by itself (cli), or only Compose stacks on a
    /// host (compose), or only the HTTP API (http), which a run of everything leaves out.
    #[arg(long, value_name = "PART")]
    only: Option<Part>,
    /// Sandboxes that are alive at once when memory is measured; 0 leaves it out.
    #[arg(long, default_value_t = 200)]
    live: usize,
    /// Interleaved runs of each Compose stack; 0 leaves them out.
    #[arg(long, default_value_t = 15)]
    stacks: usize,
    /// Write bench/RESULTS.md.
    #[arg(long)]
    write: bool,
}

/// A part of the benchmark.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Everything but Docker.
    Native,
    /// What our commands cost beside the work.
    Cli,
    /// Compose stacks on a host over SSH.
    Compose,
    /// The HTTP API under load.
    Http,
}

/// What becomes of figures beside being printed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writes {
    /// They go into the result.
    Result,
    /// Nothing.
    Nothing,
}

/// Builds the release binary, brings up the peers, measures, and takes everything down again.
pub(crate) fn run(options: &Options) -> Outcome {
    if options.only == Some(Part::Http) {
        return http::run(if options.write { Writes::Result } else { Writes::Nothing });
    }
    crate::process::run(workspace::cargo().args(["build", "--release", "--locked", "--package", "sandboxer-cli"]))?;
    let missing = bring_up(Need::Bench);
    for name in &missing {
        eprintln!("SKIPPED: {name}");
    }
    let supervisor = Supervisor::new()?;
    let place = place::Place::make()?;
    let machine_before = machine::describe(&place);
    if options.only == Some(Part::Compose) {
        let measured = compose::measure(&place, options.stacks);
        place.remove();
        return compose_section(&measured?, options);
    }

    let mut cases = cases::ours(&place, options.only)?;
    let mut crun = None;
    let mut docker = None;
    if options.only != Some(Part::Cli) {
        cases.extend(cases::peers(&place));
        crun = note(crun::Crun::start(&place));
        if let Some(crun) = &crun {
            cases.extend(crun.cases());
        }
    }
    if options.only.is_none() {
        docker = note(docker::Docker::start(&place, &supervisor));
        if let Some(docker) = &docker {
            cases.extend(docker.cases());
        }
    }

    let measured = measure(&cases, options.runs, crun.as_mut(), &supervisor);
    let budget = cases::time_budget(&place, options.runs.min(20));
    drop(cases);
    if let Some(crun) = crun {
        crun.stop();
    }
    if let Some(docker) = docker {
        docker.stop(&supervisor);
    }
    let tidied = place.destroy_running();
    let memory = match options.live {
        0 => Ok(None),
        live => memory::measure(&place, live).map(Some),
    };
    let stacks = match options.stacks {
        1.. if options.only.is_none() => note(compose::measure(&place, options.stacks)),
        _ => None,
    };
    let left = supervisor.left_over(std::time::Duration::from_secs(10));
    for (pid, line) in &left {
        eprintln!("LEFT BEHIND: process {pid}: {line}");
        supervisor.end(*pid);
    }
    place.remove();

    let report = report::Report {
        machine: machine_before,
        runs: options.runs,
        folder: place.folder.display().to_string(),
        cases: measured?,
        budget: budget?,
        memory: memory?,
        stacks,
        missing,
        left: left.len(),
    };
    let text = report.render();
    println!("{text}");
    if options.write {
        workspace::write(&workspace::root().join("bench/RESULTS.md"), &text)?;
    }
    tidied
}

/// Prints the section about Compose stacks, and puts it into the result where that is wanted.
fn compose_section(measured: &compose::Measured, options: &Options) -> Outcome {
    let section = measured.render();
    println!("{section}");
    if options.write {
        let file = workspace::root().join("bench/RESULTS.md");
        let text = compose_report::put(&section, &workspace::read("bench/RESULTS.md")?);
        workspace::write(&file, &text)?;
    }
    Ok(())
}

/// A peer that does not come up is a hole in the table, and said.
fn note<T>(peer: Outcome<T>) -> Option<T> {
    peer.map_err(|error| eprintln!("SKIPPED: {error}")).ok()
}

/// Runs every case once per round, in an order of its own each round. The first round warms up and does not count.
fn measure(
    cases: &[cases::Case],
    runs: usize,
    mut elsewhere: Option<&mut crun::Crun>,
    supervisor: &Supervisor,
) -> Outcome<Vec<(cases::Case, Figures)>> {
    let mut samples: Vec<Vec<u64>> = vec![Vec::with_capacity(runs); cases.len()];
    let mut dice = figures::Dice::seeded();
    for round in 0..=runs {
        let mut order: Vec<usize> = (0..cases.len()).collect();
        dice.shuffle(&mut order);
        for index in order {
            let Some(case) = cases.get(index) else { continue };
            let took = case.run(elsewhere.as_deref_mut())?;
            // Outside the timed stretch: keepers that have ended are ours to reap here.
            supervisor.reap();
            if round > 0
                && let Some(samples) = samples.get_mut(index)
            {
                samples.push(took);
            }
        }
        eprint!("\rround {round} of {runs} ");
    }
    eprintln!();
    Ok(cases
        .iter()
        .cloned()
        .zip(samples.into_iter().map(Figures::of))
        .collect())
}
