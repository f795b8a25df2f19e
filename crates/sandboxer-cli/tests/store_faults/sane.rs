//! What is sane whatever happens: commands end in time, with a documented exit code, without a panic, and with an error
//! that says what is wrong and what to do; a sandbox that is not concerned works on.

use std::path::PathBuf;

use crate::support::{Answer, World, finish};

/// Exit codes a fault of the store may lead to: done, wrong state or busy, the backend failed, the database cannot be used,
/// absence could not be proven.
const CODES: [i32; 6] = [0, 4, 5, 7, 8, 10];

/// Runs a command to its end, which must come in time and be sane.
#[track_caller]
pub(crate) fn sane(world: &World, args: &[&str], case: &str) -> Answer {
    checked(Answer::of(finish(world.start(args))), args, case)
}

/// What must hold of every answer.
#[track_caller]
pub(crate) fn checked(answer: Answer, args: &[&str], case: &str) -> Answer {
    let said = format!("{case}: {args:?}: {answer:?}");
    assert!(CODES.contains(&answer.code), "an exit code nobody documented: {said}");
    assert!(!answer.stderr.contains("panicked"), "{said}");
    if answer.code != 0 {
        assert!(answer.stderr.contains("error: "), "no error: {said}");
        assert!(answer.stderr.contains("hint: "), "no hint: {said}");
    }
    if answer.code == 8 {
        assert!(answer.stderr.contains("sandboxer.db"), "the file is not named: {said}");
    }
    answer
}

/// The file with the records.
pub(crate) fn database(world: &World) -> PathBuf {
    world.data.join("sandboxer.db")
}

/// The state that is on record, without anybody who would change it by looking.
pub(crate) fn state_of(world: &World, id: &str) -> String {
    let connection = rusqlite::Connection::open(database(world)).unwrap();
    connection.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    let found = connection.query_row("SELECT state FROM sandbox WHERE id = ?1", [id], |row| row.get(0));
    found.unwrap()
}

/// A sandbox that has nothing to do with it is listed and can be used.
#[track_caller]
pub(crate) fn works(world: &World, id: &str, case: &str) {
    let listed = sane(world, &["list"], case);
    assert!(
        listed.code == 0 && listed.stdout.contains(id),
        "{case}: not listed: {listed:?}"
    );
    let got = sane(world, &["get", id], case).json();
    assert!(
        ["ready", "active"].contains(&got["state"].as_str().unwrap()),
        "{case}: {got}"
    );
    let used = sane(world, &["exec", id, "--", "echo", "alive"], case);
    assert_eq!((used.code, used.stdout.as_str()), (0, "alive\n"), "{case}: {used:?}");
}
