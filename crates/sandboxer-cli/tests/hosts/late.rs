//! Late effects of a process that somebody acted past: a `create` on a host is stopped at a moment of its own, alone or
//! with its connection, its sandbox is destroyed meanwhile, and when it goes on it changes nothing on the host any more.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Pid;
use sandboxer_testbed::{Plan, or_skip};

use crate::lab::{Lab, SINGLE, id};
use crate::still::{Stopped, What, is_writing, stop, wait_for};
use crate::support::{Answer, finish, wait_until};

/// Trials in which there was something to destroy.
const TRIALS: usize = 30;
/// Creates at most.
const CREATES: usize = 90;
/// Trials at the same time, each with records of its own.
const AT_ONCE: usize = 3;

/// Who refused what came late.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
enum Refused {
    /// By the epoch that it keeps.
    ByHost,
    /// By the records, or there was nothing late.
    NotByHost,
}

/// What a trial came to.
type Came = (Stopped, What, Refused);

/// One installation of several on the host.
struct Records<'l> {
    lab: &'l Lab,
    create: Vec<&'l str>,
    data: PathBuf,
}

impl Records<'_> {
    fn words<'w>(&'w self, words: &[&'w str]) -> Vec<&'w str> {
        [&["--data-dir", self.data.to_str().expect("a path")], words].concat()
    }

    fn run(&self, words: &[&str]) -> Answer {
        self.lab.run(&self.words(words))
    }

    #[track_caller]
    fn destroy(&self, one: &str) {
        let receipt = self.run(&["destroy", one]).json();
        assert_eq!(receipt["state"], "destroyed", "{receipt}");
        assert_eq!(receipt["cleanup"]["verified"], "absent", "{receipt}");
    }

    fn ids(&self) -> BTreeSet<String> {
        let listed = self.run(&["list", "--all"]).json();
        listed.as_array().expect("a list").iter().map(id).collect()
    }

    /// How long a create takes; it makes the records, too.
    fn measured(&self) -> Duration {
        self.destroy(&id(&self.run(&self.create).json()));
        let started = Instant::now();
        let made = self.run(&self.create).json();
        let whole = started.elapsed();
        self.destroy(&id(&made));
        whole
    }

    /// What it came to, and whether it was the host that refused what came late, rather than the records.
    fn trial(&self, moment: Duration, what: What) -> (Stopped, Refused) {
        let before = self.ids();
        let started = Instant::now();
        let child = self
            .lab
            .command(&self.words(&self.create))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let pid = Pid::from_child(&child);
        wait_for(started + moment);
        let standing = stop(pid, what);
        let mut made = BTreeSet::new();
        let stopped = if standing.0.first() != Some(&pid) {
            Stopped::TooLate
        } else if is_writing(&self.data, pid) {
            Stopped::Writing
        } else {
            made = self.ids().difference(&before).cloned().collect();
            made.first().map_or(Stopped::TooEarly, |_| Stopped::InTime)
        };
        for one in &made {
            self.destroy(one);
            self.nothing_is_there(one);
        }
        drop(standing);
        let output = finish(child);
        assert!(output.status.code().is_some(), "{moment:?}: {output:?}");
        if stopped != Stopped::InTime {
            made = self.ids().difference(&before).cloned().collect();
            made.iter().for_each(|one| self.destroy(one));
        }
        for one in &made {
            self.nothing_is_there(one);
            let record = self.run(&["get", one]).json();
            assert_eq!(record["state"], "destroyed", "{moment:?}: {output:?}: {record}");
        }
        let refused = String::from_utf8_lossy(&output.stderr)
            .lines()
            .any(|line| line.starts_with("provision ") && line.ends_with("another process took over"));
        let by_host = stopped == Stopped::InTime && refused;
        (stopped, if by_host { Refused::ByHost } else { Refused::NotByHost })
    }

    fn nothing_is_there(&self, one: &str) {
        let filter = format!("label=dev.sandboxer.sandbox={one}");
        wait_until("nothing of it is there", || {
            let listed = self.lab.host.docker(&["ps", "-aq", "--filter", &filter]);
            let listed = listed.map_err(|error| error.to_string())?;
            if listed.trim().is_empty() { Ok(()) } else { Err(listed) }
        });
    }
}

#[test]
fn a_create_that_goes_on_after_its_sandbox_was_destroyed_changes_nothing() {
    let lab = or_skip!("late effects on a host", Lab::start(Plan::new()));
    let repository = lab.repository_of("one", SINGLE);
    let (next, in_time) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let trials = |thread: usize| trials(&lab, &repository, thread, &next, &in_time);
    let counts = std::thread::scope(|scope| {
        let running: Vec<_> = (0..AT_ONCE).map(|thread| scope.spawn(move || trials(thread))).collect();
        let mut counts = BTreeMap::new();
        for came in running
            .into_iter()
            .flat_map(|thread| thread.join().expect("its trials"))
        {
            *counts.entry(came).or_insert(0) += 1;
        }
        counts
    });
    eprintln!("stopped: {counts:?}");
    for what in [What::Itself, What::WithChildren] {
        let refused = (Stopped::InTime, what, Refused::ByHost);
        assert!(counts.contains_key(&refused), "{counts:?}");
    }
    assert!(in_time.load(Ordering::Relaxed) >= TRIALS, "{counts:?}");
    lab.nothing_is_left();
    lab.host.down();
}

/// One trial after another, until there were enough of all threads together.
fn trials(lab: &Lab, repository: &Path, thread: usize, next: &AtomicUsize, in_time: &AtomicUsize) -> Vec<Came> {
    let repo = format!("repo={}", repository.display());
    let records = Records {
        lab,
        create: lab.create_words(&repo).to_vec(),
        data: lab.world.path().join(format!("records-{thread}")),
    };
    let whole = records.measured();
    let mut came = Vec::new();
    while in_time.load(Ordering::Relaxed) < TRIALS {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= CREATES {
            break;
        }
        // Spread evenly, and every moment both ways.
        let moment = whole * u32::try_from(number / 2 * 7 % 15 + 1).expect("a few") / 16;
        let what = if number.is_multiple_of(2) {
            What::Itself
        } else {
            What::WithChildren
        };
        let (stopped, refused) = records.trial(moment, what);
        if stopped == Stopped::InTime {
            in_time.fetch_add(1, Ordering::Relaxed);
        }
        came.push((stopped, what, refused));
    }
    came
}
