//! Every option, id and variable of the command line, each with every payload. Nothing is made: what would make a
//! sandbox is planned only.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use sandboxer_testbed::{Plan, or_skip};
use serde_json::Value;

use super::canary::Canary;
use super::tally::{Tally, each};
use crate::lab::{Lab, SINGLE, id};

/// Stands for the payload in a word.
const HERE: &str = "\u{fffc}";
/// Stands for the id of a sandbox.
const ID: &str = "<id>";

/// `create --dry-run` of a good repository, and these words.
const PLANS: &[&[&str]] = &[
    &["--input", "branch=\u{fffc}"],
    &["--input", "\u{fffc}=x"],
    &["--input", "compose_file=\u{fffc}"],
    &["--input", "\u{fffc}"],
    &["--label", "key=\u{fffc}"],
    &["--label", "\u{fffc}=value"],
    &["--project", "\u{fffc}"],
    &["--run-id", "\u{fffc}"],
    &["--actor", "\u{fffc}"],
    &["--ttl", "\u{fffc}"],
    &["--scope", "\u{fffc}"],
    &["--host", "\u{fffc}"],
    &["--host", "\u{fffc}@box"],
    &["--host", "box:\u{fffc}"],
    &["--\u{fffc}"],
];

/// What is told of this shows the value as it was written.
const LABEL: &[&str] = &["label", ID, "odd=\u{fffc}"];

/// Whole command lines.
const LINES: &[&[&str]] = &[
    &["create", "--dry-run", "--profile", "\u{fffc}"],
    &[
        "create",
        "--dry-run",
        "--profile",
        "profile.compose-e2e",
        "--host",
        "box",
        "--input",
        "repo=\u{fffc}",
    ],
    &["get", "\u{fffc}"],
    &["get", "sbx-\u{fffc}"],
    &["destroy", "\u{fffc}"],
    &["exec", "\u{fffc}", "--", "true"],
    &["exec", ID, "--service", "\u{fffc}", "--", "true"],
    &["exec", ID, "--env", "\u{fffc}", "--service", "none", "--", "true"],
    &["logs", "\u{fffc}"],
    &["logs", ID, "--service", "\u{fffc}"],
    &["logs", ID, "--tail", "\u{fffc}"],
    &["wait", "\u{fffc}"],
    &["wait", ID, "--for", "\u{fffc}"],
    &["wait", ID, "--timeout", "\u{fffc}"],
    &["extend-ttl", "\u{fffc}", "--duration", "1h"],
    &["extend-ttl", ID, "--duration", "\u{fffc}"],
    &["extend-ttl", ID, "--until", "\u{fffc}"],
    &["explain", "\u{fffc}"],
    &["recreate", "\u{fffc}"],
    &["reachability", "show", "\u{fffc}"],
    &["label", "\u{fffc}", "key=value"],
    &["label", ID, "\u{fffc}"],
    LABEL,
    &["events", "\u{fffc}"],
    &["list", "--profile", "\u{fffc}"],
    &["list", "--project", "\u{fffc}"],
    &["list", "--label", "\u{fffc}"],
    &["list", "--state", "\u{fffc}"],
    &["hosts", "add", "\u{fffc}", "--address", "\u{fffc}@-x"],
    &["hosts", "show", "\u{fffc}"],
    &["hosts", "remove", "\u{fffc}"],
    &["profiles", "show", "\u{fffc}"],
    &["profiles", "check", "\u{fffc}"],
    &["extensions", "show", "\u{fffc}"],
    &["completions", "\u{fffc}"],
    &["\u{fffc}"],
];

/// Variables that a plan reads.
const VARIABLES: &[&str] = &[
    "SANDBOXER_HOST",
    "SANDBOXER_BASE_DIR",
    "SANDBOXER_COMPOSE_CMD",
    "SANDBOXER_SSH_USER",
    "SANDBOXER_SSH_KEY",
    "SANDBOXER_SSH_CONFIG",
    "SANDBOXER_VM_TUNNEL_PORT",
    "SANDBOXER_TUNNEL_PORT",
    "BRIDGE_CONFIG",
    "TERM",
];

/// A word with the payload in its place.
fn filled(word: &str, payload: &[u8], id: &str) -> OsString {
    let mut parts = word.split(HERE).map(|part| part.replace(ID, id));
    let mut bytes = parts.next().unwrap_or_default().into_bytes();
    for part in parts {
        bytes.extend_from_slice(payload);
        bytes.extend_from_slice(part.as_bytes());
    }
    OsString::from_vec(bytes)
}

#[test]
fn every_option_takes_a_payload_as_data_or_refuses_it() {
    let lab = or_skip!("injection into options", Lab::start(Plan::new()));
    let repository = lab.repository_of("plain", SINGLE);
    let made = id(&lab.created(&repository, &[]));
    let canary = Canary::new("options");
    let payloads = canary.payloads();
    let repo = format!("repo={}", repository.display());
    let plan = [
        "create",
        "--dry-run",
        "--profile",
        "profile.compose-e2e",
        "--input",
        &repo,
    ];
    let tally = Tally::default();
    let at = |word: &[u8]| OsStr::from_bytes(word).to_owned();
    each(&payloads, |payload| {
        for words in PLANS {
            let mut command = lab.command(&plan);
            if !words[0].contains("--host") {
                command.args(["--host", lab.host.alias()]);
            }
            command.args(words.iter().map(|word| filled(word, payload, &made)));
            tally.run(&format!("{words:?}"), payload, &mut command);
        }
        for words in LINES {
            let mut command = lab.command(&[]);
            command.args(words.iter().map(|word| filled(word, payload, &made)));
            let output = tally.run(&format!("{words:?}"), payload, &mut command);
            if let Some(output) = output.filter(|_| *words == LABEL) {
                let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
                if told["labels"]["odd"] == *String::from_utf8_lossy(payload) {
                    tally.read_back();
                } else {
                    tally.wrong(format!("the label {payload:?} is told as {}", told["labels"]));
                }
            }
        }
        for variable in VARIABLES {
            let mut command = lab.command(&plan);
            if *variable != "SANDBOXER_HOST" {
                command.args(["--host", lab.host.alias()]);
            }
            command.env(variable, at(payload));
            tally.run(variable, payload, &mut command);
        }
    });
    canary.nobody_obeyed(&lab, Some(&made));
    tally.close(payloads.len(), PLANS.len() + LINES.len() + VARIABLES.len());
    // Nothing was done to the sandbox that was there meanwhile.
    assert_eq!(lab.run(&["get", &made]).json()["state"], "active");
    lab.destroy(&made);
    lab.nothing_is_left();
    lab.host.down();
}
