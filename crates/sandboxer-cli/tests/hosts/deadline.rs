//! The time to live holds with everybody of ours dead, and a move of it that was acknowledged is never lost.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sandboxer_testbed::{Plan, or_skip};
use serde_json::Value;

use crate::lab::{Lab, SINGLE, id};

/// Made in batches: all of one have to be there before the first of them is over.
const BATCHES: usize = 2;
const IN_A_BATCH: usize = 10;
/// Creates that run at the same time.
const HANDS: usize = 3;
/// Shortest times to live: on a slow machine they are longer.
const TTL: Duration = Duration::from_secs(20);
const TTL_OF_RACES: Duration = Duration::from_secs(16);
const GRACE: Duration = Duration::from_secs(60);

/// The deadline of a sandbox.
fn deadline(sandbox: &Value) -> Timestamp {
    let text = sandbox["expires_at"].as_str().expect("a deadline");
    text.parse().expect("a time")
}

/// How long a stack takes to make here, and its deadline to move: measured once, as one that is removed again.
fn measured(lab: &Lab, repository: &Path) -> (Duration, Duration) {
    let began = Instant::now();
    let one = id(&lab.created(repository, &[]));
    let create = began.elapsed();
    let began = Instant::now();
    lab.run(&["extend-ttl", &one, "--duration", "10m"]).json();
    let extend = began.elapsed();
    lab.destroy(&one);
    eprintln!("making one takes {create:.1?}, moving its deadline {extend:.1?}");
    (create, extend)
}

/// A time to live in whole seconds.
fn seconds(ttl: Duration) -> String {
    format!("{}s", ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0))
}

/// Makes some stacks a few at a time: their ids and deadlines.
fn made(lab: &Lab, repository: &Path, number: usize, ttl: Duration) -> BTreeMap<String, Timestamp> {
    let ttl = seconds(ttl);
    let next = AtomicUsize::new(0);
    let one_after_another = || {
        let mut mine = Vec::new();
        while next.fetch_add(1, Ordering::Relaxed) < number {
            let created = lab.created(repository, &["--ttl", &ttl]);
            mine.push((id(&created), deadline(&created)));
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
    let ttl = TTL.max(measured(&lab, &repository).0 * 8);
    for _ in 0..BATCHES {
        let made = made(&lab, &repository, IN_A_BATCH, ttl);
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
            std::thread::park_timeout(Duration::from_millis(5));
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
    let (create, extend) = measured(&lab, &repository);
    let ttl = seconds(TTL_OF_RACES.max(create * 14));
    let mut lead = Duration::from_millis(1500).max(extend * 3);
    for _ in 0..ROUNDS {
        let before = moved;
        let made: Vec<(String, Timestamp)> = (0..AT_ONCE)
            .map(|_| {
                let created = lab.created(&repository, &["--ttl", &ttl]);
                (id(&created), deadline(&created))
            })
            .collect();
        let mut outcomes = Vec::new();
        for (number, (one, deadline)) in made.iter().enumerate() {
            let left = lead * u32::try_from(AT_ONCE - number).expect("a few") / u32::try_from(AT_ONCE).expect("a few");
            let until_aim = || {
                let until_deadline = Duration::try_from(deadline.duration_since(Timestamp::now()));
                until_deadline.ok()?.checked_sub(left).filter(|wait| !wait.is_zero())
            };
            while let Some(wait) = until_aim() {
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
