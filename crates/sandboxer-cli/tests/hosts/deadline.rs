//! The time to live holds with everybody of ours dead, and a move of it that was acknowledged is never lost.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sandboxer_testbed::{Plan, or_skip};

use crate::lab::{Lab, SINGLE, id};

/// Made in batches: all of one have to be there before the first of them is over.
const BATCHES: usize = 2;
const IN_A_BATCH: usize = 10;
/// Creates that run at the same time.
const HANDS: usize = 3;
const TTL: Duration = Duration::from_secs(20);
const TTL_OF_RACES: Duration = Duration::from_secs(16);
const GRACE: Duration = Duration::from_secs(60);

/// Makes some stacks a few at a time: their ids and deadlines.
fn made(lab: &Lab, repository: &Path, number: usize) -> BTreeMap<String, Timestamp> {
    let ttl = format!("{}s", TTL.as_secs());
    let next = AtomicUsize::new(0);
    let one_after_another = || {
        let mut mine = Vec::new();
        while next.fetch_add(1, Ordering::Relaxed) < number {
            let created = lab.created(repository, &["--ttl", &ttl]);
            let deadline = created["expires_at"].as_str().expect("a deadline");
            mine.push((id(&created), deadline.parse().expect("a time")));
        }
        mine
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..HANDS).map(|_| scope.spawn(one_after_another)).collect();
        let made = running.into_iter().map(|thread| thread.join().expect("it made them"));
        made.flatten().collect()
    })
}

/// The sandboxes that have containers.
fn there(lab: &Lab) -> BTreeSet<String> {
    let format = "{{.Label \"dev.sandboxer.sandbox\"}}";
    let listed = lab.host.docker(&["ps", "-a", "--format", format]);
    let listed = listed.expect("docker answers");
    listed.lines().map(str::to_owned).collect()
}

#[test]
fn twenty_of_twenty_are_gone_in_time_with_nobody_left_to_remove_them() {
    let lab = or_skip!("deadlines without us", Lab::start(Plan::new()));
    let repository = lab.repository_of("one", SINGLE);
    let mut late = Vec::new();
    for _ in 0..BATCHES {
        let made = made(&lab, &repository, IN_A_BATCH);
        // No process of ours runs, and no connection is open: only what is on the host can act.
        lab.host.kill_sshd().expect("sshd ends");
        let left = there(&lab);
        assert_eq!(left.len(), IN_A_BATCH, "it ended while we were there: {left:?}");
        let mut waiting = made.clone();
        while !waiting.is_empty() {
            let left = there(&lab);
            let now = Timestamp::now();
            waiting.retain(|one, deadline| {
                let past = Duration::try_from(now.duration_since(*deadline)).unwrap_or_default();
                let is_there = left.contains(one);
                assert!(!is_there || past < GRACE, "{one} is there {past:?} after its deadline");
                assert!(is_there || now >= *deadline, "{one} ended at {now}, before {deadline}");
                if !is_there {
                    late.push(past);
                }
                is_there
            });
            std::thread::yield_now();
        }
        lab.nothing_is_left();
        lab.host.start_sshd().expect("sshd starts");
        for one in made.keys() {
            let gone = lab.run(&["destroy", one]).json();
            assert_eq!(
                (&gone["state"], &gone["reason"]),
                (&"destroyed".into(), &"ttl".into()),
                "{gone}"
            );
        }
    }
    assert_eq!(late.len(), BATCHES * IN_A_BATCH);
    let worst = late.iter().max().expect("some");
    eprintln!("{0} of {0} gone, the last {worst:?} after its deadline", late.len());
    lab.host.down();
}

#[test]
fn a_move_that_was_acknowledged_is_never_lost() {
    const ROUNDS: usize = 5;
    const AT_ONCE: usize = 10;
    let lab = or_skip!("deadlines that move", Lab::start(Plan::new()));
    let repository = lab.repository_of("one", SINGLE);
    let (mut moved, mut late) = (0, 0);
    // How long before the deadline the first of a round sets off; the last does at the deadline. Fitted from round to round,
    // since what a move takes differs from machine to machine: some are to come in time, and some too late.
    let mut lead = Duration::from_millis(1500);
    for _ in 0..ROUNDS {
        let before = moved;
        let made: Vec<(String, Instant)> = (0..AT_ONCE)
            .map(|_| {
                let created = lab.created(&repository, &["--ttl", "16s"]);
                (id(&created), Instant::now())
            })
            .collect();
        let mut outcomes = Vec::new();
        for (number, (one, ready)) in made.iter().enumerate() {
            let left = lead * u32::try_from(AT_ONCE - number).expect("a few") / u32::try_from(AT_ONCE).expect("a few");
            let aim = *ready + TTL_OF_RACES - left;
            while let Some(wait) = aim.checked_duration_since(Instant::now()) {
                std::thread::park_timeout(wait);
            }
            let child = lab
                .command(&["extend-ttl", one, "--duration", "10m"])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("it starts");
            outcomes.push((one, child));
        }
        let outcomes: Vec<(&String, bool)> = outcomes
            .into_iter()
            .map(|(one, child)| (one, child.wait_with_output().expect("it ends").status.success()))
            .collect();
        // Long enough for every guard to have looked.
        let settled = Instant::now() + Duration::from_secs(7);
        while let Some(wait) = settled.checked_duration_since(Instant::now()) {
            std::thread::park_timeout(wait);
        }
        for (one, acknowledged) in outcomes {
            let runs = lab
                .host
                .docker(&["ps", "-q", "--filter", &format!("label=dev.sandboxer.sandbox={one}")]);
            let runs = !runs.expect("docker answers").trim().is_empty();
            assert!(
                !acknowledged || runs,
                "{one}: its move was acknowledged, and it is gone: {:?} {:?}",
                lab.run(&["events", one]).stdout,
                lab.host.sh("cat /tmp/sandboxer/.sbx/ended")
            );
            if acknowledged {
                moved += 1;
            } else {
                late += 1;
            }
            lab.destroy(one);
        }
        match moved - before {
            0..=3 => lead += Duration::from_millis(1000),
            7.. => lead = lead.saturating_sub(Duration::from_millis(500)),
            _ => {}
        }
    }
    assert_eq!(moved + late, ROUNDS * AT_ONCE);
    assert!(moved > 0, "no move came in time, so nothing was tried");
    lab.nothing_is_left();
    eprintln!("{moved} moved in time, {late} too late, none lost");
    lab.host.down();
}
