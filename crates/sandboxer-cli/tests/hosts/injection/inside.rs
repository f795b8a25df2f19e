//! Commands, variables and folders of `exec`: each arrives inside as it was written.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use sandboxer_testbed::{Plan, or_skip};

use super::canary::Canary;
use super::tally::{Tally, each};
use crate::lab::{Lab, SINGLE, id};

/// Bytes of payloads in one command: a shell on the way takes 128 KiB as one line, and quoting may make four of one.
const BATCH: usize = 20_000;
/// Payloads in one command.
const MOST: usize = 60;

/// Payloads by batches that fit into a command.
fn batches(payloads: &[Vec<u8>]) -> Vec<Vec<&[u8]>> {
    let mut all: Vec<Vec<&[u8]>> = vec![Vec::new()];
    let mut size = 0;
    for payload in payloads {
        if size + payload.len() > BATCH || all.last().is_some_and(|batch| batch.len() == MOST) {
            all.push(Vec::new());
            size = 0;
        }
        size += payload.len();
        if let Some(batch) = all.last_mut() {
            batch.push(payload);
        }
    }
    all.retain(|batch| !batch.is_empty());
    all
}

fn ended_by_nul(words: &[&[u8]]) -> Vec<u8> {
    words.iter().flat_map(|word| word.iter().copied().chain([0])).collect()
}

/// What differs, and how the command ended.
fn differs(what: &str, batch: &[&[u8]], output: &std::process::Output) -> String {
    let came = output.stdout.split(|b| *b == 0);
    let first = batch.iter().zip(came).find(|(went, came)| *went != came);
    let stderr = String::from_utf8_lossy(&output.stderr);
    format!("{what}, {}: {first:?} {stderr}", output.status)
}

#[test]
fn words_and_variables_of_commands_arrive_as_they_were_written() {
    let lab = or_skip!("injection into commands", Lab::start(Plan::new()));
    let made = id(&lab.created(&lab.repository_of("plain", SINGLE), &[]));
    let canary = Canary::new("inside");
    let tally = Tally::default();
    let all = canary.payloads();
    let (with_nul, payloads): (Vec<_>, Vec<_>) = all.iter().cloned().partition(|payload| payload.contains(&0));
    let (payloads, no_text): (Vec<_>, Vec<_>) = payloads.into_iter().partition(|one| std::str::from_utf8(one).is_ok());
    // No system passes on a NUL byte, and no engine passes on what is no text.
    for payload in with_nul.iter().chain(&no_text) {
        let mut command = lab.command(&["exec", &made, "--", "echo"]);
        let taken = tally.run("exec", payload, command.arg(OsStr::from_bytes(payload)));
        assert!(taken.is_none(), "{payload:?} was taken: {taken:?}");
    }

    each(&batches(&payloads), |batch| {
        let mut command = lab.command(&["exec", &made, "--", "printf", "%s\\0"]);
        command.args(batch.iter().map(|payload| OsStr::from_bytes(payload)));
        let output = command.output().expect("it starts");
        if output.status.success() && output.stdout == ended_by_nul(batch) {
            batch.iter().for_each(|_| tally.arrived());
        } else if batch.len() == 1 && !output.status.success() && !output.stderr.is_empty() {
            tally.refused();
        } else {
            tally.wrong(differs("words", batch, &output));
        }
    });

    let texts: Vec<Vec<u8>> = canary.texts().into_iter().map(String::into_bytes).collect();
    let texts: Vec<Vec<u8>> = texts.into_iter().filter(|text| !text.contains(&0)).collect();
    each(&batches(&texts), |batch| {
        let mut command = lab.command(&["exec", &made]);
        let mut script = "printf '%s\\0'".to_owned();
        for (number, payload) in batch.iter().enumerate() {
            let mut pair = format!("V{number}=").into_bytes();
            pair.extend_from_slice(payload);
            command.arg("--env").arg(OsStr::from_bytes(&pair));
            script.push_str(&format!(" \"$V{number}\""));
        }
        let output = command.args(["--", "sh", "-c", &script]).output().expect("it starts");
        if output.status.success() && output.stdout == ended_by_nul(batch) {
            batch.iter().for_each(|_| tally.arrived());
        } else if batch.len() == 1 && !output.status.success() && !output.stderr.is_empty() {
            tally.refused();
        } else {
            tally.wrong(differs("variables", batch, &output));
        }
    });

    // As the program, as a folder and as the name of a variable, each needs a command of its own: some of each kind.
    let some: Vec<&Vec<u8>> = texts.iter().filter(|text| text.len() < 1000).step_by(9).collect();
    each(&some, |payload| {
        let word = OsStr::from_bytes(payload);
        let mut pair = payload.to_vec();
        pair.extend_from_slice(b"=value");
        let program = lab.command(&["exec", &made, "--"]).arg(word).output();
        let folder = lab
            .command(&["exec", &made, "--cwd"])
            .arg(word)
            .args(["--", "pwd"])
            .output();
        let name = lab
            .command(&["exec", &made, "--env"])
            .arg(OsStr::from_bytes(&pair))
            .args(["--", "pwd"])
            .output();
        for (what, output) in [("program", program), ("folder", folder), ("variable", name)] {
            let output = output.expect("it starts");
            let stderr = String::from_utf8_lossy(&output.stderr);
            if stderr.contains("panicked") {
                tally.wrong(format!("{what} {payload:?}: {output:?}"));
            } else if output.status.success() {
                tally.taken();
            } else {
                tally.refused();
            }
        }
    });
    canary.nobody_obeyed(&lab, Some(&made));
    lab.destroy(&made);
    lab.nothing_is_left();
    tally.close(all.len(), 5);
    lab.host.down();
}
