//! What is measured: our commands, and the peers that need nothing brought up.

use super::crun::Crun;
use super::place::{Caller, Place, id_of};
use super::timer::{Sample, Spec};
use super::{Part, figures::Figures};
use crate::{Outcome, process};

/// One thing that is measured.
#[derive(Clone)]
pub(super) struct Case {
    /// Its name in the tables and in the targets.
    pub(super) name: String,
    body: Body,
}

#[derive(Clone)]
enum Body {
    /// One command.
    One(Spec),
    /// One command, timed in the mount namespace where crun can work.
    Elsewhere(Spec),
    /// Create, then exec and destroy with the id it printed.
    Life { create: Spec, exec: Spec, destroy: Spec },
}

/// Stands for the id in the later commands of a life.
const ID: &str = "{id}";

impl Case {
    /// One command.
    pub(super) fn one(name: &str, spec: Spec) -> Case {
        Case {
            name: name.to_owned(),
            body: Body::One(spec),
        }
    }

    /// One command where crun can work.
    pub(super) fn elsewhere(name: &str, spec: Spec) -> Case {
        Case {
            name: name.to_owned(),
            body: Body::Elsewhere(spec),
        }
    }

    /// The command as a reader could type it.
    pub(super) fn command(&self) -> String {
        let line = |spec: &Spec| spec.argv.join(" ");
        match &self.body {
            Body::One(spec) | Body::Elsewhere(spec) => line(spec),
            Body::Life { create, exec, destroy } => format!("{}; {}; {}", line(create), line(exec), line(destroy)),
        }
    }

    /// Runs it once; nanoseconds.
    pub(super) fn run(&self, elsewhere: Option<&mut Crun>) -> Outcome<u64> {
        let checked = |sample: Sample| match sample.error {
            None => Ok(sample),
            Some(error) => Err(format!("case `{}`: {error}", self.name)),
        };
        match &self.body {
            Body::One(spec) => Ok(checked(spec.time())?.nanoseconds),
            Body::Elsewhere(spec) => {
                let there = elsewhere.ok_or("crun is not up")?;
                Ok(checked(there.time(spec)?)?.nanoseconds)
            }
            Body::Life { create, exec, destroy } => {
                let created = checked(create.time())?;
                let id = id_of(&created.stdout)?;
                let with_id = |spec: &Spec| {
                    let mut spec = spec.clone();
                    spec.argv
                        .iter_mut()
                        .filter(|word| *word == ID)
                        .for_each(|word| word.clone_from(&id));
                    spec
                };
                let (exec, destroy) = (with_id(exec), with_id(destroy));
                let rest = [checked(exec.time())?, checked(destroy.time())?];
                Ok(created.nanoseconds + rest.iter().map(|sample| sample.nanoseconds).sum::<u64>())
            }
        }
    }
}

/// Our commands, for each caller.
pub(super) fn ours(place: &Place, only: Option<Part>) -> Outcome<Vec<Case>> {
    let mut cases = vec![Case::one("floor: fork+exec true", Spec::new(&["/bin/true"]))];
    for caller in &place.callers {
        let id = place.create(caller)?;
        let us = |words: &[&str]| place.sandboxer(caller, words);
        let mut add = |name: &str, spec: Spec| cases.push(Case::one(&named(name, caller), spec));
        add("sandboxer --version", us(&["--version"]));
        add("sandboxer get", us(&["get", &id]));
        add("sandboxer label", us(&["label", &id, "bench=yes"]));
        add("sandboxer exec", us(&["exec", &id, "--", "true"]));
        if only == Some(Part::Cli) {
            continue;
        }
        add(
            "sandboxer run",
            us(&["run", "--profile", "profile.native", "--", "true"]),
        );
        let life = Body::Life {
            create: us(&["create", "--profile", "profile.native"]),
            exec: us(&["exec", ID, "--", "true"]),
            destroy: us(&["destroy", ID]),
        };
        cases.push(Case {
            name: named("sandboxer create+exec+destroy", caller),
            body: life,
        });
    }
    Ok(cases)
}

/// The name of a case of one caller.
pub(super) fn named(name: &str, caller: &Caller) -> String {
    format!("{name} ({})", caller.name)
}

/// bubblewrap's one-shot: no overlay, no limits, no seccomp filter.
pub(super) fn peers(place: &Place) -> Vec<Case> {
    if !process::is_installed("bwrap") {
        return Vec::new();
    }
    let words = "bwrap --unshare-all --die-with-parent --ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/lib \
                 /lib --symlink usr/lib64 /lib64 --proc /proc --dev /dev --tmpfs /tmp -- true";
    let argv: Vec<_> = words.split_whitespace().collect();
    let case = |caller: &Caller| {
        let mut spec = Spec::new(&argv);
        spec.user = caller.user;
        Case::one(&named("bwrap", caller), spec)
    };
    place.callers.iter().map(case).collect()
}

/// Where the time of `run` goes: the median of each row of its own account.
pub(super) fn time_budget(place: &Place, runs: usize) -> Outcome<Vec<(String, Vec<Row>)>> {
    let mut budgets = Vec::new();
    for caller in &place.callers {
        let mut tables = Vec::new();
        for _ in 0..runs.max(1) {
            // The account goes to stderr; here it is wanted as output.
            let mut spec = place.sandboxer(
                caller,
                &["run", "--profile", "profile.native", "--timings", "--", "true"],
            );
            let line = format!("exec {} 2>&1", spec.argv.join(" "));
            spec.argv = ["sh", "-c", &line].map(str::to_owned).to_vec();
            tables.push(rows(&spec.output()?));
        }
        budgets.push((caller.name.to_owned(), medians(&tables)));
    }
    Ok(budgets)
}

/// One row of the account: milliseconds from the start, milliseconds taken, step.
pub(super) type Row = (f64, f64, String);

fn rows(text: &str) -> Vec<Row> {
    let row = |line: &str| {
        let mut words = line.split_whitespace();
        let at = words.next()?.parse().ok()?;
        let took = words.next()?.parse().ok()?;
        Some((at, took, words.collect::<Vec<_>>().join(" ")))
    };
    text.lines().filter_map(row).collect()
}

fn medians(tables: &[Vec<Row>]) -> Vec<Row> {
    // Gaps of a few microseconds come and go: the shape most tables have is the one that is averaged.
    let steps = |table: &Vec<Row>| table.iter().map(|row| row.2.clone()).collect::<Vec<_>>();
    let popular = tables
        .iter()
        .max_by_key(|table| tables.iter().filter(|other| steps(other) == steps(table)).count());
    let Some(shape) = popular.map(steps) else {
        return Vec::new();
    };
    let same: Vec<_> = tables.iter().filter(|table| steps(table) == shape).collect();
    let median = |pick: &dyn Fn(&Row) -> f64, index: usize| {
        let values = same
            .iter()
            .filter_map(|table| table.get(index))
            .map(|row| (pick(row) * 1e6) as u64);
        Figures::of(values.collect()).p50
    };
    let row = |(index, step): (usize, String)| (median(&|row| row.0, index), median(&|row| row.1, index), step);
    shape.into_iter().enumerate().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_read_and_averaged() {
        let table = |ms: f64| {
            rows(&format!(
                "  at ms  took ms  step\n  0.000 {ms:.3}  provision\n  0.0 9.0 total, all"
            ))
        };
        let result = medians(&[table(1.0), table(3.0), table(2.0), rows("0.0 1.0 other")]);
        assert_eq!(
            result,
            [(0.0, 2.0, "provision".to_owned()), (0.0, 9.0, "total, all".to_owned())]
        );
    }
}
