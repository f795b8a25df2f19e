//! The result as text: figures, ratios beside their targets, memory, and where the time goes.

use std::fmt::Write as _;

use super::cases::{Case, Row};
use super::compose::Measured;
use super::figures::Figures;
use super::memory::Memory;

/// Everything that was measured in one run.
pub(super) struct Report {
    pub(super) machine: Vec<(String, String)>,
    pub(super) runs: usize,
    /// The folder of the run: its name means nothing to a reader.
    pub(super) folder: String,
    pub(super) cases: Vec<(Case, Figures)>,
    pub(super) budget: Vec<(String, Vec<Row>)>,
    pub(super) memory: Option<Memory>,
    pub(super) stacks: Option<Measured>,
    pub(super) missing: Vec<String>,
    pub(super) left: usize,
}

struct Target {
    what: &'static str,
    ours: &'static str,
    peer: &'static str,
    at_most: Option<f64>,
}

const TARGETS: &[Target] = &[
    target("one-shot run, root", "sandboxer run (root)", "bwrap (root)", Some(1.6)),
    target(
        "one-shot run, rootless",
        "sandboxer run (rootless)",
        "bwrap (rootless)",
        Some(1.6),
    ),
    target(
        "one-shot run, root",
        "sandboxer run (root)",
        "docker run --rm",
        Some(0.06),
    ),
    target(
        "one-shot run, rootless",
        "sandboxer run (rootless)",
        "docker run --rm",
        None,
    ),
    target(
        "three calls, root",
        "sandboxer create+exec+destroy (root)",
        "docker run --rm",
        Some(0.15),
    ),
    target(
        "three calls, rootless",
        "sandboxer create+exec+destroy (rootless)",
        "docker run --rm",
        None,
    ),
    target("exec, root", "sandboxer exec (root)", "crun exec", Some(0.4)),
    target("exec, rootless", "sandboxer exec (rootless)", "crun exec", None),
    target("exec, root", "sandboxer exec (root)", "docker exec", None),
    target("exec, root", "sandboxer exec (root)", "floor: fork+exec true", None),
];

/// Cases whose slowest run is held against their median.
const STEADY: &[&str] = &[
    "sandboxer run (root)",
    "sandboxer run (rootless)",
    "sandboxer exec (root)",
];
const STEADY_AT_MOST: f64 = 4.0;

const fn target(what: &'static str, ours: &'static str, peer: &'static str, at_most: Option<f64>) -> Target {
    Target {
        what,
        ours,
        peer,
        at_most,
    }
}

impl Report {
    /// As Markdown.
    pub(super) fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "# Benchmark\n\nMade by `cargo xtask bench --runs {} --write`.\n",
            self.runs
        )?;
        for (name, value) in &self.machine {
            writeln!(out, "- {name}: {value}")?;
        }
        for name in &self.missing {
            writeln!(out, "- not measured: {name}")?;
        }
        writeln!(
            out,
            "\nEach case is a whole command in a process of its own, from just before it is started until it was reaped. \
             Every round runs every case once, in random order; the first round is not counted. Milliseconds; \
             percentiles by nearest rank, so below 100 runs p99 is the slowest.\n"
        )?;
        self.write_figures(out)?;
        self.write_ratios(out)?;
        self.write_budget(out)?;
        self.write_memory(out)?;
        writeln!(out, "\nProcesses left behind: {}.", self.left)?;
        if let Some(stacks) = &self.stacks {
            writeln!(out, "\n{}", stacks.render().trim_end())?;
        }
        writeln!(
            out,
            "\n## Commands\n\n`$BENCH` is the folder of the run, on the disk named above.\n"
        )?;
        for (case, _) in &self.cases {
            writeln!(
                out,
                "- {}: `{}`",
                case.name,
                case.command().replace(&self.folder, "$BENCH")
            )?;
        }
        writeln!(
            out,
            "\nWhat is compared: bubblewrap makes namespaces and a read-only root; ours adds a writable overlay, control \
             groups, seccomp, Landlock, a guard for its time to live, and a record on disk that survives power loss. \
             Docker pulls nothing here: its image is one static busybox, without a network. crun runs where the second \
             kind of control groups is hidden from it, timed from inside."
        )
    }

    fn write_figures(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "| case | runs | p50 | p90 | p99 | p99 ÷ p50 | fastest |\n|---|---:|---:|---:|---:|---:|---:|"
        )?;
        for (case, figures) in &self.cases {
            let Figures {
                count,
                p50,
                p90,
                p99,
                min,
            } = figures;
            let spread = p99 / p50;
            writeln!(
                out,
                "| {} | {count} | {p50:.2} | {p90:.2} | {p99:.2} | {spread:.1} | {min:.2} |",
                case.name
            )?;
        }
        Ok(())
    }

    fn figures(&self, name: &str) -> Option<&Figures> {
        self.cases
            .iter()
            .find(|(case, _)| case.name == name)
            .map(|(_, figures)| figures)
    }

    fn write_ratios(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "\n## Ratios of medians\n\n| what | ours ÷ peer | ratio | target | |\n|---|---|---:|---:|---|"
        )?;
        for Target {
            what,
            ours,
            peer,
            at_most,
        } in TARGETS
        {
            let (Some(us), Some(them)) = (self.figures(ours), self.figures(peer)) else {
                continue;
            };
            let ratio = us.p50 / them.p50;
            writeln!(
                out,
                "| {what} | {ours} ÷ {peer} | {ratio:.3} | {}",
                verdict(ratio, *at_most)
            )?;
        }
        for name in STEADY {
            let Some(figures) = self.figures(name) else { continue };
            let ratio = figures.p99 / figures.p50;
            writeln!(
                out,
                "| steadiness | {name}: p99 ÷ p50 | {ratio:.2} | {}",
                verdict(ratio, Some(STEADY_AT_MOST))
            )?;
        }
        Ok(())
    }

    fn write_budget(&self, out: &mut String) -> std::fmt::Result {
        for (caller, rows) in &self.budget {
            writeln!(
                out,
                "\n## Where the time of `run` goes ({caller}), medians\n\n| at ms | took ms | step |\n|---:|---:|---|"
            )?;
            for (at, took, step) in rows {
                writeln!(out, "| {at:.2} | {took:.2} | {step} |")?;
            }
        }
        Ok(())
    }

    fn write_memory(&self, out: &mut String) -> std::fmt::Result {
        let Some(memory) = &self.memory else { return Ok(()) };
        let (pss, uss) = memory.total();
        writeln!(
            out,
            "\n## Memory: {} idle sandboxes at once ({})\n\nCreated one after the other in {:.1} s, destroyed by one \
             command in {:.1} s; {} processes in all.\n\n| process | proportional (PSS) KiB per sandbox | private (USS) KiB \
             per sandbox |\n|---|---:|---:|",
            memory.live, memory.caller, memory.create_seconds, memory.destroy_seconds, memory.processes
        )?;
        for (name, (pss, uss)) in &memory.by_name {
            writeln!(out, "| {name} | {pss:.0} | {uss:.0} |")?;
        }
        writeln!(out, "| **all** | **{pss:.0}** | **{uss:.0}** |")
    }
}

/// The rest of a table's line: the target, and whether it is met.
pub(super) fn verdict(ratio: f64, at_most: Option<f64>) -> String {
    match at_most {
        Some(limit) if ratio <= limit => format!("≤ {limit} | met |"),
        Some(limit) => format!("≤ {limit} | **NOT met** |"),
        None => "– | |".into(),
    }
}
