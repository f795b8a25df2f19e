//! The tests of the client for Python, against a real server.

use std::collections::BTreeSet;
use std::process::Stdio;

use super::super::Run;
use super::super::tally::Tally;
use super::server::{Network, Server};
use crate::{Outcome, process, workspace};

/// Runs them.
pub(super) fn run(run: &Run) -> Outcome<(Tally, BTreeSet<String>)> {
    // They do nothing wild, and what they need is fetched meanwhile.
    let server = Server::start(run, "python", Network::Machine)?;
    let key = server.key("agt")?;
    let mut command = process::command(workspace::root().join("clients/python/run-tests"));
    run.environment(&mut command);
    command
        .arg(workspace::target_dir().join("python"))
        // pytest keeps what its last tests wrote.
        .env("TMPDIR", &server.folder)
        .env("SANDBOXER_TEST_API", &server.address)
        .env("SANDBOXER_TEST_KEY", &key.token)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    let output = command
        .output()
        .map_err(|error| format!("cannot start `{}`: {error}", process::describe(&command)))?;
    let text = String::from_utf8_lossy(&output.stdout);
    eprint!("{text}");
    let mut tally = text.lines().last().map(counts).unwrap_or_default();
    let left = server.end()?;
    for line in &left {
        eprintln!("   left behind: {line}");
    }
    if (!output.status.success() || !left.is_empty() || tally.passed == 0) && tally.failed == 0 {
        tally.failed = 1;
    }
    // These are not among the passed ones, as they are with the other runners.
    let skipped = run.take_skips(&mut Tally::default());
    tally.skipped = 0;
    Ok((tally, skipped))
}

/// What pytest says in the end: `12 passed, 1 skipped in 3.21s`.
fn counts(line: &str) -> Tally {
    let mut tally = Tally::default();
    let line = line.trim_matches(|c| c == '=' || c == ' ');
    for count in line.split(" in ").next().unwrap_or("").split(", ") {
        match count
            .split_once(' ')
            .map(|(number, what)| (number.parse::<u64>(), what))
        {
            Some((Ok(number), "passed")) => tally.passed += number,
            Some((Ok(number), "failed" | "error" | "errors")) => tally.failed += number,
            Some((Ok(number), "skipped")) => tally.skipped += number,
            _ => {}
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_pytest_is_understood() {
        let all = counts("=== 2 failed, 12 passed, 1 skipped, 1 error in 3.21s ===");
        assert_eq!((all.passed, all.failed, all.skipped), (12, 3, 1));
        let good = counts("208 passed in 61.20s (0:01:01)");
        assert_eq!((good.passed, good.failed, good.skipped), (208, 0, 0));
        assert_eq!(counts("no tests ran in 0.01s").passed, 0);
    }
}
