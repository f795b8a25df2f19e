//! The way to a host, really taken: what names it, and what is said of how it is reached and used.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use sandboxer_testbed::{Plan, or_skip};

use super::canary::Canary;
use super::tally::{Tally, each};
use crate::lab::{Lab, SINGLE};

/// Variables that say how. A certificate command is a command by its nature; what it prints is not, and is tried below.
const VARIABLES: [&str; 5] = [
    "SANDBOXER_COMPOSE_CMD",
    "SANDBOXER_SSH_USER",
    "SANDBOXER_SSH_KEY",
    "SANDBOXER_SSH_CONFIG",
    "SANDBOXER_BASE_DIR",
];
/// Each way is tried with every so many-th payload, since each may mean a connection.
const STEP: usize = 30;

#[test]
fn what_names_a_host_or_the_way_to_it_is_no_command() {
    let lab = or_skip!("injection into the way to a host", Lab::start(Plan::new()));
    let repository = lab.repository_of("plain", SINGLE);
    let repo = format!("repo={}", repository.display());
    let create = ["create", "--profile", "profile.compose-e2e", "--input", &repo];
    let canary = Canary::new("way");
    let all = canary.payloads();
    let short = all
        .iter()
        .filter(|payload| payload.len() < 1000 && !payload.contains(&0));
    let some: Vec<&Vec<u8>> = short.step_by(STEP).collect();
    let tally = Tally::default();
    each(&some, |payload| {
        let word = OsStr::from_bytes(payload);
        for variable in VARIABLES {
            let mut command = lab.command(&create);
            command.args(["--host", lab.host.alias()]).env(variable, word);
            tally.run(variable, payload, &mut command);
        }
        let mut named = lab.command(&create);
        tally.run("--host", payload, named.arg("--host").arg(word));
        let mut looked = lab.command(&["inspect", "host"]);
        tally.run("inspect host", payload, looked.arg(word));
        // What a certificate command prints goes into a file, or nowhere.
        let printed = lab.world.work.join(format!("printed-{:p}", *payload));
        std::fs::write(&printed, payload).expect("a file");
        let mut signed = lab.command(&create);
        signed
            .args(["--host", lab.host.alias()])
            .env("SANDBOXER_SSH_KEY", lab.host.key());
        signed.env("SANDBOXER_CERT_COMMAND", format!("cat {}", printed.display()));
        tally.run("certificate", payload, &mut signed);
    });
    canary.nobody_obeyed(&lab, None);
    let listed = lab.run(&["list"]).json();
    // Those whose host there is: of a host that nobody can ask, absence cannot be proven.
    let there = |one: &&serde_json::Value| one["host"] == lab.host.alias();
    for one in listed.as_array().expect("a list").iter().filter(there) {
        lab.destroy(one["sandbox_id"].as_str().expect("an id"));
    }
    canary.nobody_obeyed(&lab, None);
    tally.close(some.len(), VARIABLES.len() + 3);
    lab.host.down();
}
