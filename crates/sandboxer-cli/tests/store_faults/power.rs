//! The power fails before each sync of a command, and right after its end: what was acknowledged is on record, and the next
//! command finds a database that makes sense.
//!
//! An approximation: no machine loses its power here. A process is watched, and the files are made as its calls leave them
//! on a disk that keeps what was synced; they are looked at as a machine does that has started again, where no native
//! sandbox lives. That the machine has another boot id then is not part of it, and neither is a torn sector.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::calls::can_trace;
use crate::disk::{self, Call, Files, UNSYNCED};
use crate::sane::{checked, sane};
use crate::support::{Answer, World, finish, skip};

/// What is done, and what of it was acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verb {
    /// The first of all: there is no database yet.
    First,
    Create,
    Destroy,
    Extend,
    Label,
    Recreate,
}

/// One command as it was, and everything needed to look at it again.
struct Run {
    verb: Verb,
    base: Files,
    calls: Vec<Call>,
    /// The record that was printed.
    told: Value,
    /// Records that were there before.
    before: Vec<Value>,
}

/// Has a command watched while everything is well. Afterwards the sandboxes are gone, as after a loss of power.
fn watch(verb: Verb, earlier: usize) -> Run {
    let world = World::new();
    let mut ids = Vec::new();
    if verb != Verb::First {
        ids.push(world.create(&[]));
        ids.push(world.create(&["--ttl", "1h"]));
        // So that the log is folded into the database at some other place.
        for nth in 0..earlier {
            world.run(&["label", &ids[0], &format!("n={nth}")]).json();
        }
    }
    let before = ids.iter().map(|id| world.run(&["get", id]).json()).collect();
    let target = ids.last().map_or("", String::as_str);
    let args = match verb {
        Verb::First | Verb::Create => vec!["create", "--profile", "profile.native"],
        Verb::Destroy => vec!["destroy", target],
        Verb::Extend => vec!["extend-ttl", target, "--duration", "2h"],
        Verb::Label => vec!["label", target, "told=yes"],
        Verb::Recreate => vec!["recreate", target],
    };
    let base = disk::synced(&world.data);
    let log = world.path().join("calls");
    let mut command = Command::new("strace");
    world.settle(&mut command);
    command.arg("-o").arg(&log).args(["-xx", "-y", "-s", "1000000"]);
    command.arg("--trace=pwrite64,fsync,fdatasync,ftruncate,link,linkat");
    command.arg("--").arg(env!("CARGO_BIN_EXE_sandboxer")).args(&args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let told = Answer::of(finish(command.spawn().unwrap())).json();
    let calls = disk::calls(&std::fs::read_to_string(&log).unwrap(), &world.data);
    for one in world.run(&["list"]).json().as_array().unwrap() {
        world.destroy(one["sandbox_id"].as_str().unwrap());
    }
    Run {
        verb,
        base,
        calls,
        told,
        before,
    }
}

/// The machine has started again, with these files.
fn look(run: &Run, files: &Files, acknowledged: bool, case: &str) {
    let world = World::new();
    std::fs::create_dir(&world.data).unwrap();
    for (name, content) in files {
        std::fs::write(world.data.join(name), content).unwrap();
    }
    let listed = checked(world.run(&["list", "--all"]), &["list", "--all"], case);
    let listed = listed.json();
    let record = |id: &Value| listed.as_array().unwrap().iter().find(|one| one["sandbox_id"] == *id);
    for one in listed.as_array().unwrap() {
        // What was to be made again may have been: by the look, on the machine that has started again.
        let may_live = run.verb == Verb::Recreate && one["sandbox_id"] == run.told["sandbox_id"];
        match one["state"].as_str().unwrap() {
            "failed" | "destroyed" => {}
            "ready" if may_live => {
                world.destroy(one["sandbox_id"].as_str().unwrap());
            }
            _ => panic!("{case}: not at rest: {one}"),
        }
    }
    let expires = |one: &Value| one["expires_at"].as_str().unwrap_or_default().to_owned();
    for one in &run.before {
        let now = record(&one["sandbox_id"]).unwrap_or_else(|| panic!("{case}: lost: {one}"));
        assert!(expires(now) >= expires(one), "{case}: its deadline went back");
    }
    if acknowledged {
        let now = record(&run.told["sandbox_id"]).unwrap_or_else(|| panic!("{case}: an acknowledged record is lost"));
        match run.verb {
            Verb::Destroy => assert_eq!(now["state"], "destroyed", "{case}"),
            Verb::Extend => assert_eq!(expires(now), expires(&run.told), "{case}"),
            Verb::Label => assert_eq!(now["labels"], run.told["labels"], "{case}"),
            Verb::Recreate => assert_eq!(now["generation"], run.told["generation"], "{case}"),
            Verb::First | Verb::Create => assert!(now["ready_at"].is_string(), "{case}: {now}"),
        }
    }
    // It can be gone on with.
    let events = sane(&world, &["events"], case);
    assert_eq!(events.code, 0, "{case}: {events:?}");
}

#[test]
fn the_power_fails_before_each_sync_and_at_the_end() {
    if !can_trace() {
        return skip(
            "store_faults: loss of power",
            "strace is not installed, or may not watch processes",
        );
    }
    let (mut cases, mut folded) = (0, 0);
    for verb in [
        Verb::First,
        Verb::Create,
        Verb::Destroy,
        Verb::Extend,
        Verb::Label,
        Verb::Recreate,
    ] {
        for earlier in [0, 5, 10, 15] {
            let run = watch(verb, earlier);
            let syncs = run
                .calls
                .iter()
                .enumerate()
                .filter(|(_, call)| matches!(call, Call::Sync(_)));
            let mut cuts: Vec<usize> = syncs.map(|(nth, _)| nth).collect();
            cuts.push(run.calls.len());
            let is_fold = |call: &Call| matches!(call, Call::Write { file, .. } if file == disk::DATABASE);
            folded += usize::from(verb != Verb::First && run.calls.iter().any(is_fold));
            for cut in cuts {
                for unsynced in UNSYNCED {
                    let case = format!("{verb:?} after {earlier} labels: power fails at call {cut}, {unsynced:?}");
                    let files = disk::after(&run.base, &run.calls[..cut], unsynced);
                    look(&run, &files, cut == run.calls.len(), &case);
                    cases += 1;
                }
            }
            if verb == Verb::First {
                break;
            }
        }
    }
    println!("{cases} losses of power, {folded} commands folded the log into the database");
    assert!(cases >= 60, "only {cases} losses of power");
    assert!(folded > 0, "the log was never folded into the database");
}
