//! The section of the result about Compose stacks.

use std::fmt::Write as _;

use super::compose::{DELAY, Kind, Measured, Row, Stack, Who};

/// The heading, by which the section is found again.
pub(super) const HEADING: &str = "## Compose stacks over SSH";

impl Kind {
    fn name(self) -> String {
        let who = match self.who {
            Who::Ours => "sandboxer",
            Who::OursRunning => "sandboxer as shipped",
            Who::Best => "best script",
            Who::Usual => "usual script",
        };
        let stack = match self.stack {
            Stack::One => "one service",
            Stack::Three => "three services",
            Stack::Built => "three services, built and healthy",
        };
        let far = if self.is_far { ", far" } else { "" };
        format!("{who}, {stack}{far}")
    }
}

impl Measured {
    /// As Markdown, from its heading on.
    pub(super) fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "{HEADING}\n\nA repository with a page (one service), or with a database on a volume and a cache beside it (three), \
             brought up and taken down, on one host with Docker Compose 5 over real SSH; and once more with a page that is \
             built and has a health check of one second, which everybody waits for alike. {} interleaved runs of each, after \
             one that does not count. The peers are `bench/peers/compose-best.sh` (one connection: tar, `up -d --wait`) and \
             `bench/peers/compose-usual.sh` (rsync and a connection for each step). Those wait until health checks pass, and \
             so does ours, with `bench/profile.compose-healthy.yaml`; the shipped profile is ready when everything runs. The \
             scripts' destroy is `down -v` and the removal of the folder, with nothing proven and the built image left; ours \
             removes that, too. Far: a proxy adds {} ms each \
             way. Milliseconds. Round trips are changes from client to host and back within a connection, as the proxy sees \
             them.\n",
            self.runs,
            DELAY.as_millis()
        )?;
        if let Some(why) = &self.without_ours {
            writeln!(
                out,
                "Not measured: sandboxer: {}\n",
                why.lines().next().unwrap_or_default()
            )?;
        }
        for (step, pick) in [("create", create as Pick), ("destroy", destroy)] {
            writeln!(
                out,
                "| {step} | runs | p50 | p90 | slowest | fastest | connections | round trips |\n|---|---:|---:|---:|---:|---:|---:|---:|"
            )?;
            for row in &self.rows {
                let (figures, traffic) = pick(row);
                writeln!(
                    out,
                    "| {} | {} | {:.0} | {:.0} | {:.0} | {:.0} | {} | {} |",
                    row.kind.name(),
                    figures.count,
                    figures.p50,
                    figures.p90,
                    figures.p99,
                    figures.min,
                    traffic.connections,
                    traffic.turns
                )?;
            }
            writeln!(out)?;
        }
        self.write_ratios(out)
    }

    fn write_ratios(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "| ratio of medians | ours ÷ peer | ratio | target | |\n|---|---|---:|---:|---|"
        )?;
        for Target {
            step,
            ours,
            peer,
            stacks,
            is_far,
            at_most,
        } in TARGETS
        {
            for &stack in *stacks {
                let find = |who| {
                    let kind = Kind {
                        who,
                        stack,
                        is_far: *is_far,
                    };
                    self.rows.iter().find(|row| row.kind == kind)
                };
                let (Some(us), Some(them)) = (find(*ours), find(*peer)) else {
                    continue;
                };
                let pick: Pick = if *step == "create" { create } else { destroy };
                let ratio = pick(us).0.p50 / pick(them).0.p50;
                writeln!(
                    out,
                    "| {step} | {} ÷ {} | {ratio:.3} | {}",
                    us.kind.name(),
                    them.kind.name(),
                    super::report::verdict(ratio, *at_most)
                )?;
            }
        }
        Ok(())
    }
}

struct Target {
    step: &'static str,
    ours: Who,
    peer: Who,
    stacks: &'static [Stack],
    is_far: bool,
    at_most: Option<f64>,
}

const PLAIN: &[Stack] = &[Stack::One, Stack::Three];
const BUILT: &[Stack] = &[Stack::Built];

const fn target(step: &'static str, peer: Who, stacks: &'static [Stack], is_far: bool, at_most: Option<f64>) -> Target {
    Target {
        step,
        ours: Who::Ours,
        peer,
        stacks,
        is_far,
        at_most,
    }
}

/// The same with the shipped profile.
const fn shipped(target: Target) -> Target {
    Target {
        ours: Who::OursRunning,
        ..target
    }
}

const TARGETS: &[Target] = &[
    target("create", Who::Best, PLAIN, false, Some(1.15)),
    target("create", Who::Usual, PLAIN, false, Some(0.6)),
    target("destroy", Who::Best, PLAIN, false, Some(1.25)),
    target("create", Who::Best, PLAIN, true, Some(1.0)),
    target("create", Who::Usual, PLAIN, true, None),
    target("destroy", Who::Best, PLAIN, true, None),
    target("create", Who::Best, BUILT, false, Some(1.15)),
    target("create", Who::Usual, BUILT, false, None),
    target("destroy", Who::Best, BUILT, false, Some(1.25)),
    shipped(target("create", Who::Best, BUILT, false, None)),
    shipped(target("create", Who::Usual, BUILT, false, None)),
];

type Pick = fn(&Row) -> (&super::figures::Figures, &super::compose::Traffic);

fn create(row: &Row) -> (&super::figures::Figures, &super::compose::Traffic) {
    (&row.create, &row.create_traffic)
}

fn destroy(row: &Row) -> (&super::figures::Figures, &super::compose::Traffic) {
    (&row.destroy, &row.destroy_traffic)
}

/// A whole result with this section in place of the one it had.
pub(super) fn put(section: &str, result: &str) -> String {
    put_at(HEADING, section, result)
}

/// The same for the section with this heading.
pub(super) fn put_at(heading: &str, section: &str, result: &str) -> String {
    let (before, rest) = result.split_once(heading).unwrap_or((result, ""));
    let after = rest.find("\n## ").and_then(|at| rest.get(at + 1..)).unwrap_or("");
    let mut text = format!("{}\n\n{}\n", before.trim_end(), section.trim_end());
    if !after.is_empty() {
        text.push('\n');
        text.push_str(after);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_replaces_itself_and_nothing_else() {
        let section = format!("{HEADING}\n\nnew");
        assert_eq!(put(&section, "# A\n\ntext\n"), format!("# A\n\ntext\n\n{section}\n"));
        let old = format!("# A\n\n{HEADING}\n\nold\n\n| x |\n\n## Commands\n\nc\n");
        assert_eq!(put(&section, &old), format!("# A\n\n{section}\n\n## Commands\n\nc\n"));
    }
}
