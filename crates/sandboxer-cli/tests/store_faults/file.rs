//! The file as a whole is damaged, is somebody else's, or cannot be used: a clear refusal each, and the sandboxes live on.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::sane::{checked, database, sane, works};
use crate::support::{Answer, World, finish};

const COMMANDS: [&[&str]; 5] = [
    &["list"],
    &["create", "--profile", "profile.native"],
    &["status"],
    &["expire", "--apply"],
    &["serve", "--once"],
];

/// Every command is refused with this code, saying what is wrong.
#[track_caller]
fn refused(world: &World, case: &str, says: &[&str]) {
    for args in COMMANDS {
        let answer = sane(world, args, case);
        assert_eq!(answer.code, 8, "{case}: {args:?}: {answer:?}");
        assert_eq!(answer.stdout, "", "{case}: {args:?}: {answer:?}");
        assert!(
            says.iter().any(|text| answer.stderr.contains(text)),
            "{case}: {args:?}: {answer:?}"
        );
    }
}

fn sql(file: &Path, text: &str) {
    rusqlite::Connection::open(file).unwrap().execute_batch(text).unwrap();
}

#[test]
fn a_file_that_is_damaged_or_somebody_elses_is_refused_and_left_as_it_is() {
    let world = World::new();
    let id = world.create(&[]);
    let file = database(&world);
    sql(&file, "PRAGMA wal_checkpoint(TRUNCATE)");
    let whole = std::fs::read(&file).unwrap();
    let put = |bytes: &[u8]| {
        for beside in ["sandboxer.db-wal", "sandboxer.db-shm"] {
            let _ = std::fs::remove_file(world.data.join(beside));
        }
        std::fs::write(&file, bytes).unwrap();
    };
    let damaged = ["damaged"];
    let mut scrambled = whole.clone();
    for byte in &mut scrambled[..100] {
        *byte ^= 0x5a;
    }
    put(&scrambled);
    refused(&world, "the header is overwritten", &damaged);
    assert_eq!(std::fs::read(&file).unwrap(), scrambled, "it was written to");
    put(b"this is a text and no database, however long it may be; nothing of it makes sense as pages of tables");
    refused(&world, "not a database", &damaged);
    put(&whole[..whole.len() / 2]);
    refused(&world, "the second half is gone", &damaged);
    let mut scrambled = whole.clone();
    for byte in &mut scrambled[4096..] {
        *byte ^= 0x5a;
    }
    put(&scrambled);
    refused(&world, "every page but the first is overwritten", &damaged);
    put(b"");
    refused(&world, "empty", &["another program made it"]);
    put(&whole);
    sql(&file, "PRAGMA application_id = 7");
    refused(&world, "another program's", &["another program made it"]);
    put(&whole);
    sql(&file, "PRAGMA user_version = 99");
    refused(&world, "of a newer release", &["a newer release wrote it"]);
    put(&whole);
    sql(&file, "DELETE FROM meta");
    refused(&world, "without the name of its installation", &damaged);
    put(&whole);
    sql(&file, "PRAGMA foreign_keys = OFF; DROP TABLE sandbox");
    for args in [&["list"][..], &["create", "--profile", "profile.native"], &["status"]] {
        let answer = sane(&world, args, "a table is gone");
        assert!(
            answer.code == 8 && answer.stderr.contains("no such table"),
            "{answer:?}"
        );
    }
    put(&whole);
    works(&world, &id, "put back");
    world.destroy(&id);
}

/// One page after the other is overwritten: an error or the truth, never a panic, never another sandbox.
#[test]
fn each_page_overwritten_in_turn() {
    let world = World::new();
    let id = world.create(&[]);
    let file = database(&world);
    sql(&file, "PRAGMA wal_checkpoint(TRUNCATE)");
    let whole = std::fs::read(&file).unwrap();
    let put = |bytes: &[u8]| {
        for beside in ["sandboxer.db-wal", "sandboxer.db-shm"] {
            let _ = std::fs::remove_file(world.data.join(beside));
        }
        std::fs::write(&file, bytes).unwrap();
    };
    let mut refusals = 0;
    let pages = whole.len() / 4096;
    for page in 1..pages {
        let mut scrambled = whole.clone();
        for byte in &mut scrambled[page * 4096..(page + 1) * 4096] {
            *byte ^= 0xa5;
        }
        put(&scrambled);
        let case = format!("page {page}");
        for args in [
            &["list"][..],
            &["get", &id],
            &["extend-ttl", &id, "--duration", "1m"],
            &["doctor"],
        ] {
            let code = finish_any(&world, args, &case);
            refusals += usize::from(code == 8);
        }
    }
    put(&whole);
    println!("{pages} pages, {refusals} refusals");
    assert!(refusals > 0);
    works(&world, &id, "put back");
    world.destroy(&id);
}

/// As [`sane`], for `doctor` too, which has codes of its own.
fn finish_any(world: &World, args: &[&str], case: &str) -> i32 {
    if args != ["doctor"] {
        return sane(world, args, case).code;
    }
    let answer = world.run(args);
    assert!(!answer.stderr.contains("panicked"), "{case}: {answer:?}");
    assert!([0, 6, 8, 10].contains(&answer.code), "{case}: {answer:?}");
    answer.code
}

/// The binary as somebody to whom permissions mean something: root without what lets root pass them by.
fn bound_by_permissions(world: &World, args: &[&str]) -> Answer {
    let mut command = if rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.arg("--bounding-set=-dac_override,-dac_read_search");
        command.arg(env!("CARGO_BIN_EXE_sandboxer"));
        command
    } else {
        Command::new(env!("CARGO_BIN_EXE_sandboxer"))
    };
    world.settle(&mut command);
    command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    Answer::of(finish(command.spawn().unwrap()))
}

#[test]
fn a_file_or_directory_without_permission_is_refused() {
    let world = World::new();
    let id = world.create(&[]);
    let file = database(&world);
    let mode = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let refused = |commands: &[&[&str]], case: &str, says: &str| {
        for args in commands {
            let answer = checked(bound_by_permissions(&world, args), args, case);
            assert!(
                answer.code == 8 && answer.stderr.contains(says),
                "{case}: {args:?}: {answer:?}"
            );
        }
    };
    mode(&file, 0o400);
    // What there is can still be read.
    let listed = checked(bound_by_permissions(&world, &["list"]), &["list"], "a read-only file");
    assert!(listed.code == 0 && listed.stdout.contains(&id), "{listed:?}");
    let writing = [
        COMMANDS[1],
        COMMANDS[4],
        &["destroy", &id],
        &["extend-ttl", &id, "--duration", "1m"],
    ];
    refused(&writing, "a read-only file", "it cannot be written");
    mode(&file, 0o000);
    refused(&COMMANDS, "an unreadable file", "it cannot be opened");
    mode(&file, 0o600);
    mode(&world.data, 0o000);
    refused(&COMMANDS, "a closed directory", "it cannot be opened");
    mode(&world.data, 0o700);
    works(&world, &id, "opened again");
    world.destroy(&id);
}
