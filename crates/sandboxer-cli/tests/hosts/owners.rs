//! Two installations on one host: both clear up again and again while the other creates and destroys, and neither touches
//! anything of the other.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sandboxer_testbed::{Plan, or_skip};
use serde_json::Value;

use crate::lab::{Lab, SINGLE, id};
use crate::registry::copy_records;
use crate::support::Answer;

/// Of each installation.
const SWEEPS: usize = 10;

/// One installation: its records, a sandbox that lives, and one that its records have forgotten.
struct Installation<'l> {
    lab: &'l Lab,
    repository: &'l Path,
    data: PathBuf,
    live: String,
    lost: String,
}

impl<'l> Installation<'l> {
    fn new(lab: &'l Lab, repository: &'l Path, name: &str) -> Installation<'l> {
        let mut one = Installation {
            lab,
            repository,
            data: lab.world.path().join(name),
            live: String::new(),
            lost: String::new(),
        };
        one.live = one.created();
        one.lose();
        one
    }

    /// Makes a sandbox and forgets it, as after a backup was brought back.
    fn lose(&mut self) {
        let backup = self.data.with_extension("backup");
        copy_records(&self.data, &backup);
        self.lost = self.created();
        copy_records(&backup, &self.data);
    }

    fn run(&self, words: &[&str]) -> Answer {
        let data = self.data.to_str().expect("a path");
        self.lab.run(&[&["--data-dir", data], words].concat())
    }

    #[track_caller]
    fn created(&self) -> String {
        let repo = format!("repo={}", self.repository.display());
        let created = self.run(&self.lab.create_words(&repo)).json();
        assert_eq!(created["state"], "ready", "{created}");
        id(&created)
    }

    #[track_caller]
    fn destroy(&self, one: &str) {
        let receipt = self.run(&["destroy", one]).json();
        assert_eq!(receipt["cleanup"]["verified"], "absent", "{receipt}");
    }

    #[track_caller]
    fn is_usable(&self, one: &str) {
        let said = self.run(&["exec", one, "--service", "one", "--", "echo", "here"]);
        assert_eq!(said.stdout, "here\n", "{one}: {said:?}");
    }

    /// Creates, uses and destroys until told to stop; how often.
    fn churn(&self, stop: &AtomicBool) -> usize {
        let mut times = 0;
        while !stop.load(Ordering::Relaxed) {
            let one = self.created();
            self.is_usable(&one);
            self.destroy(&one);
            times += 1;
        }
        times
    }

    /// Clears up once; what it removed. Whatever bears the other's mark is told of, and left.
    fn sweep(&self, other: &Installation<'_>) -> Vec<String> {
        let seen = self.run(&["inspect", "stale"]).json();
        let candidates = seen["stale_candidates"].as_array().expect("a list");
        for theirs in [&other.live, &other.lost] {
            let mut of_it = about(candidates, theirs).peekable();
            assert!(of_it.peek().is_some(), "{theirs} is not told of: {seen}");
            assert!(
                of_it.all(|one| (&one["kind"], &one["action"]) == (&"foreign".into(), &"ignore".into())),
                "{seen}"
            );
        }
        let report = self.run(&["reap-stale", "--apply"]).json();
        let actions = report["actions"].as_array().expect("a list");
        assert_eq!(about(actions, &self.live).count(), 0, "it lives: {report}");
        for theirs in [&other.live, &other.lost] {
            assert!(about(actions, theirs).all(|one| one["result"] == "kept"), "{report}");
        }
        let removed = actions.iter().filter(|one| one["result"] != "kept");
        removed
            .map(|one| one["sandbox_id"].as_str().expect("an id").to_owned())
            .collect()
    }
}

/// Everything on the host that bears this name. The engine tells labels in any order.
fn everything_of(lab: &Lab, sandbox: &str) -> Vec<BTreeSet<String>> {
    let lines = lab.host.audit().expect("an audit").of(sandbox);
    let words = |line: String| line.split([' ', ',']).map(str::to_owned).collect();
    lines.into_iter().map(words).collect()
}

/// Ends a loop of another thread, however this one ends.
struct StopsAtEnd<'s>(&'s AtomicBool);

impl Drop for StopsAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Those that speak of this sandbox.
fn about<'v>(list: &'v [Value], sandbox: &'v str) -> impl Iterator<Item = &'v Value> {
    list.iter()
        .filter(move |one| one["why"].as_str().is_some_and(|why| why.contains(sandbox)))
}

#[test]
fn nothing_of_the_other_is_touched_while_both_clear_up() {
    let lab = or_skip!("two installations on a host", Lab::start(Plan::new()));
    let repository = lab.repository_of("one", SINGLE);
    let mut both = ["one", "other"].map(|name| Installation::new(&lab, &repository, name));
    let mut churned = 0;
    for _ in 0..2 {
        let [other, sweeper] = &both;
        let their_lost = everything_of(&lab, &other.lost);
        let stop = AtomicBool::new(false);
        let removed: Vec<String> = std::thread::scope(|scope| {
            let churning = scope.spawn(|| other.churn(&stop));
            let removed = {
                let _stops = StopsAtEnd(&stop);
                (0..SWEEPS).flat_map(|_| sweeper.sweep(other)).collect()
            };
            churned += churning.join().expect("nothing got in its way");
            removed
        });
        assert!(!removed.is_empty(), "it left what its records have forgotten");
        assert!(removed.iter().all(|one| *one == sweeper.lost), "{removed:?}");
        let left = lab.host.leftovers_of(&sweeper.lost, Duration::from_secs(10));
        assert_eq!(left.expect("an audit"), Vec::<String>::new());
        sweeper.is_usable(&sweeper.live);
        other.is_usable(&other.live);
        assert_eq!(everything_of(&lab, &other.lost), their_lost);
        // The other way round.
        both.reverse();
        both[0].lose();
    }
    assert!(churned >= 2, "nothing was made and removed meanwhile");
    eprintln!("{} sweeps while {churned} sandboxes came and went", 2 * SWEEPS);
    for one in &both {
        one.run(&["reap-stale", "--apply"]).json();
        one.destroy(&one.live);
    }
    lab.nothing_is_left();
    lab.host.down();
}
