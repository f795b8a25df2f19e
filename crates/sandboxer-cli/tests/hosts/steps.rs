//! Faults at every step of a creation and a removal: the cable is cut each way or comes and goes, the engine dies. Each
//! call comes back, and when the machine is well again everything can be removed and nothing is left.
//!
//! A step is known by the file that its program leaves on the host, so a fault strikes where it is meant to, not after a
//! time that differs from machine to machine.

use std::collections::VecDeque;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sandboxer_testbed::{Direction, Plan, Unavailable, or_skip};

use crate::breakage::converges;
use crate::lab::{Lab, id};

/// What shows on the host that a creation came so far; `*` is one name.
const MAKING: &[(&str, &str)] = &[
    ("begun", ".sbx/sbx-*/epoch"),
    ("addressed", ".sbx/sbx-*/subnet"),
    ("guarded", ".sbx/sbx-*/guard"),
    ("the tree comes", ".sbx/incoming/*"),
    ("the tree is placed", "sbx-*"),
    ("the wall goes up", ".sbx/sbx-*/wall.log"),
    ("an image is built", ".sbx/sbx-*/build.log"),
    ("the stack comes up", ".sbx/sbx-*/up.log"),
    ("it is looked at", ".sbx/sbx-*/ids"),
    ("it is proven", ".sbx/sbx-*/ready"),
];
/// The same of a removal.
const REMOVING: &[(&str, &str)] = &[
    ("it is listed", ".sbx/sbx-*/list.container"),
    ("containers go", ".sbx/sbx-*/removed.container"),
    ("the rest is found", ".sbx/sbx-*/removed.network"),
];

/// What happens at a step.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// Cut until the call is back.
    Cut,
    /// One direction is cut for longer than a connection outlives.
    Deaf(Direction),
    /// The cable comes and goes.
    Flapping,
    /// The engine dies and stays dead until the call is back.
    EngineDies,
}

const FAULTS: &[Fault] = &[
    Fault::Cut,
    Fault::Deaf(Direction::ToHost),
    Fault::Deaf(Direction::FromHost),
    Fault::Flapping,
    Fault::EngineDies,
];

/// Three tries and three of the way back, each of which notices a dead cable within 9 s (3 questions, 3 s apart), or that
/// nobody lets it in within 6 s; and what a busy machine adds.
const LIMIT: Duration = Duration::from_secs(90);
/// Longer than an idle connection outlives a cut.
const DEAF: Duration = Duration::from_secs(12);
const MACHINES: usize = 6;
/// Machines whose engine may be beyond help after its death. Docker 20.10 panics over its own files now and then.
const WRECKS: u32 = 3;

struct Case {
    is_removal: bool,
    step: (&'static str, &'static str),
    fault: Fault,
}

#[test]
fn a_fault_at_any_step_ends_the_call_in_time_and_leaves_nothing() {
    let mut labs = Vec::new();
    for _ in 0..MACHINES {
        labs.push(or_skip!("faults at every step", Lab::start(Plan::new())));
    }
    let steps = MAKING.iter().map(|step| (false, *step));
    let steps = steps.chain(REMOVING.iter().map(|step| (true, *step)));
    let cases: VecDeque<Case> = steps
        .flat_map(|(is_removal, step)| {
            FAULTS.iter().map(move |&fault| Case {
                is_removal,
                step,
                fault,
            })
        })
        .collect();
    let many = cases.len();
    let (waiting, slowest) = (Mutex::new(cases), Mutex::new(Duration::ZERO));
    let wrecked = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for mut lab in labs {
            let (waiting, slowest, wrecked) = (&waiting, &slowest, &wrecked);
            scope.spawn(move || {
                let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                let mut number = 0;
                while let Some(case) = next() {
                    number += 1;
                    match strike(&lab, &case, number) {
                        Ok(took) => {
                            let mut slowest = slowest.lock().unwrap_or_else(PoisonError::into_inner);
                            *slowest = took.max(*slowest);
                        }
                        Err(wreck) => {
                            eprintln!(
                                "{} ({:?}): its engine cannot start any more: {wreck}",
                                case.step.0, case.fault
                            );
                            wrecked.fetch_add(1, Ordering::Relaxed);
                            lab.host.down();
                            lab = Lab::start(Plan::new()).expect("another machine");
                            waiting.lock().unwrap_or_else(PoisonError::into_inner).push_back(case);
                        }
                    }
                }
                lab.host.down();
            });
        }
    });
    let slowest = slowest.into_inner().unwrap_or_else(PoisonError::into_inner);
    let wrecked = wrecked.into_inner();
    eprintln!(
        "{many} faults, each at its step; the slowest call was back {slowest:?} after its fault; nothing is left; \
         {wrecked} machines replaced"
    );
    assert!(wrecked <= WRECKS, "{wrecked} engines fell over their own files");
}

/// Lets a call come to its step, strikes, and sees everything converge. How long the call took to come back; an error when
/// the engine of the machine falls over what its own death left on its disk, each time it is started: nothing that is asked
/// of it can show anything then.
fn strike(lab: &Lab, case: &Case, number: u32) -> Result<Duration, Unavailable> {
    // A tree that the host has not seen, which takes a moment to send.
    let repository = lab.repository_of(
        "steps",
        "services:\n  one:\n    build: .\n    init: true\n    command: [\"sleep\", \"100000\"]\n",
    );
    let dockerfile = format!("FROM busybox:stable\nRUN echo {number} > /number\n");
    std::fs::write(repository.join("Dockerfile"), dockerfile).expect("a file");
    std::fs::write(repository.join("noise"), vec![number.to_le_bytes()[0]; 8_000_000]).expect("a file");
    let repo = format!("repo={}", repository.display());
    let create = lab.create_words(&repo);
    let mut child = if case.is_removal {
        let created = lab.created(&repository, &[]);
        lab.command(&["destroy", &id(&created)])
    } else {
        lab.command(&create)
    }
    .stdout(Stdio::null())
    .stderr(Stdio::null())
    .spawn()
    .expect("it starts");
    let at = format!("{} ({:?})", case.step.0, case.fault);
    assert!(comes_to(lab, case.step.1, &mut child), "{at}: it ended before");
    let struck = Instant::now();
    happen(lab, case.fault, &mut child).expect("the fault");
    child.wait().expect("it ends");
    let took = struck.elapsed();
    assert!(took < LIMIT, "{at}: back after {took:?}");
    lab.host.heal().expect("it is mended");
    if matches!(case.fault, Fault::EngineDies) {
        // One that was killed while it wrote may fall over its own files once before it comes back.
        let first = lab.host.start_dockerd();
        first.or_else(|_| again(lab))?;
    }
    converges(lab);
    eprintln!("{at}: back after {took:?}");
    Ok(took)
}

/// Starts the engine once more, with nothing left of the first try.
fn again(lab: &Lab) -> Result<(), Unavailable> {
    let _ = lab.host.kill_dockerd();
    lab.host.start_dockerd()
}

fn happen(lab: &Lab, fault: Fault, child: &mut Child) -> Result<(), Unavailable> {
    match fault {
        Fault::Cut => lab.host.partition(Direction::Both),
        Fault::Deaf(direction) => {
            lab.host.partition(direction)?;
            lasts(DEAF, child);
            lab.host.heal()
        }
        Fault::Flapping => {
            for _ in 0..6 {
                lab.host.partition(Direction::Both)?;
                lasts(Duration::from_millis(700), child);
                lab.host.heal()?;
                lasts(Duration::from_millis(500), child);
            }
            Ok(())
        }
        Fault::EngineDies => lab.host.kill_dockerd(),
    }
}

/// Whether something of this name appears below the sandboxes' directory before the call ends.
fn comes_to(lab: &Lab, step: &str, child: &mut Child) -> bool {
    let base = lab.host.file("/tmp/sandboxer");
    loop {
        if exists(&base, step) {
            return true;
        }
        if child.try_wait().expect("a child").is_some() {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// Whether there is such a path; one part of it may have a `*`.
fn exists(base: &std::path::Path, step: &str) -> bool {
    let Some((before, after)) = step.split_once('*') else {
        return base.join(step).exists();
    };
    let (folder, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let after = after.trim_start_matches('/');
    let names = std::fs::read_dir(base.join(folder)).into_iter().flatten().flatten();
    let mut meant = names.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    meant.any(|entry| after.is_empty() || entry.path().join(after).exists())
}

/// A fault lasts so long, or until the call is back.
fn lasts(time: Duration, child: &mut Child) {
    let until = Instant::now() + time;
    while Instant::now() < until && child.try_wait().expect("a child").is_none() {
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
