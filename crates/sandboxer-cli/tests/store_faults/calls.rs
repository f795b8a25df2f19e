//! A call of the kernel fails: the n-th write, sync or truncation of the process, for each n until there is none left.

use std::process::{Command, Stdio};

use crate::sane::{checked, works};
use crate::stage::{Stage, VERBS};
use crate::support::{Answer, World, finish, skip};

/// Calls and how each may fail.
const FAULTS: [(&str, &str); 7] = [
    ("pwrite64", "EIO"),
    ("pwrite64", "ENOSPC"),
    ("fsync", "EIO"),
    ("fdatasync", "EIO"),
    ("fdatasync", "ENOSPC"),
    ("ftruncate", "EIO"),
    ("ftruncate", "ENOSPC"),
];
/// No command makes so many of these calls.
const MOST: u32 = 400;

/// Whether processes can be watched here.
pub(crate) fn can_trace() -> bool {
    let tried = Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    tried.is_ok_and(|status| status.success())
}

/// Runs the binary with one call of it failing. `None`: there is no such call. Only its first thread is watched, which is
/// where the database is written: a watched keeper would die with whoever watches it.
fn with_fault(world: &World, args: &[&str], call: &str, error: &str, nth: u32) -> Option<Answer> {
    let log = world.path().join("calls");
    let mut command = Command::new("strace");
    world.settle(&mut command);
    command.arg("-o").arg(&log);
    command.arg(format!("--inject={call}:error={error}:when={nth}"));
    command.arg(format!("--trace={call}"));
    command.arg("--").arg(env!("CARGO_BIN_EXE_sandboxer")).args(args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let answer = Answer::of(finish(command.spawn().unwrap()));
    let calls = std::fs::read_to_string(&log).unwrap();
    calls.contains("(INJECTED)").then_some(answer)
}

#[test]
fn each_write_fails_in_turn() {
    each_fails("writes", &["pwrite64"]);
}

#[test]
fn each_sync_fails_in_turn() {
    each_fails("syncs", &["fsync", "fdatasync"]);
}

#[test]
fn each_truncation_fails_in_turn() {
    each_fails("truncations", &["ftruncate"]);
}

fn each_fails(what: &str, calls: &[&str]) {
    if !can_trace() {
        return skip(
            &format!("store_faults: failing {what}"),
            "strace is not installed, or may not watch processes",
        );
    }
    let world = World::new();
    let stage = Stage::new(world);
    let (mut cases, mut failed) = (0, 0);
    for (call, error) in FAULTS.into_iter().filter(|(call, _)| calls.contains(call)) {
        for verb in VERBS {
            for nth in 1.. {
                assert!(nth < MOST, "{call} of {verb:?} never ends");
                let case = format!("{verb:?}: {call} {nth} fails with {error}");
                let target = stage.prepare(verb);
                let args = Stage::args(verb, &target);
                let Some(answer) = with_fault(&stage.world, &args, call, error, nth) else {
                    stage.world.run(&["list"]).json();
                    stage.clear();
                    break;
                };
                let answer = stage.meanwhile(verb, &target, answer, &case);
                stage.comes_to_rest(verb, &target, &answer, &case);
                cases += 1;
                failed += usize::from(answer.code != 0);
            }
        }
    }
    println!("{cases} failing {what}, {failed} commands failed");
    assert!(cases > 0, "none failed");
    works(&stage.world, &stage.bystander, "at the end");
    stage.end();
}

/// There is no database yet, and a call fails while it is made.
#[test]
fn each_call_fails_while_a_database_is_made() {
    if !can_trace() {
        return skip(
            "store_faults: failing calls of a new database",
            "strace is not installed, or may not watch processes",
        );
    }
    let world = World::new();
    let mut cases = 0;
    for (call, error) in FAULTS {
        for nth in 1.. {
            assert!(nth < MOST, "{call} never ends");
            let case = format!("a new database: {call} {nth} fails with {error}");
            let dir = world.path().join("new");
            let dir = dir.to_str().unwrap();
            let args = ["create", "--profile", "profile.native", "--data-dir", dir];
            let answer = with_fault(&world, &args, call, error, nth);
            let listed = world.run(&["list", "--data-dir", dir]).json();
            let listed = listed.as_array().unwrap();
            let made = answer.as_ref().is_none_or(|answer| answer.code == 0);
            assert!(!made || listed.len() == 1, "{case}: {answer:?}: {listed:?}");
            for one in listed {
                let id = one["sandbox_id"].as_str().unwrap();
                let gone = world.run(&["destroy", id, "--data-dir", dir]).json();
                assert_eq!(gone["state"], "destroyed", "{case}");
            }
            std::fs::remove_dir_all(dir).unwrap();
            let Some(answer) = answer else { break };
            checked(answer, &args, &case);
            cases += 1;
        }
    }
    println!("{cases} failing calls while a database is made");
    assert!(cases >= 50, "only {cases} failing calls");
}
