//! The disk with the database is full, or becomes so at each write of a command in turn: its file system is a small one,
//! filled until so many pages are free.

use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::sane::{checked, database, sane, state_of, works};
use crate::serving::Serving;
use crate::stage::{Stage, VERBS};
use crate::support::{Answer, World, finish, skip, wait_until};

/// Bytes in a page, of the file system and of the database.
const PAGE: u64 = 4096;
/// Pages that no command needs more of.
const MOST: u64 = 240;
/// Lines that a server may say while its disk is full: so many in all, or so many in each second of that time.
const LINES: usize = 100;
const LINES_IN_A_SECOND: usize = 20;

/// A small file system where the data of a world are.
struct Small {
    stage: Option<Stage>,
    data: PathBuf,
}

impl Small {
    fn new() -> Small {
        let world = World::new();
        std::fs::create_dir(&world.data).unwrap();
        let data = world.data.clone();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m,mode=0700", "small"])
            .arg(&data)
            .status()
            .unwrap();
        assert!(mounted.success());
        let mut small = Small { stage: None, data };
        small.stage = Some(Stage::new(world));
        small
    }

    fn stage(&self) -> &Stage {
        self.stage.as_ref().unwrap()
    }

    fn free_pages(&self) -> u64 {
        rustix::fs::statvfs(&self.data).unwrap().f_bfree
    }

    /// Leaves so many pages free. The log of the database begins anew, so that each commit needs pages of its own.
    fn fill(&self, pages: u64) {
        let connection = Connection::open(database(&self.stage().world)).unwrap();
        connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
            .unwrap();
        connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        drop(connection);
        self.fill_as_it_is(pages);
    }

    fn fill_as_it_is(&self, pages: u64) {
        let mut filler = std::fs::File::create(self.data.join("filler")).unwrap();
        let page = vec![1_u8; usize::try_from(PAGE).unwrap()];
        loop {
            let free = self.free_pages();
            if free <= pages {
                assert_eq!(free, pages);
                return;
            }
            match filler.write_all(&page) {
                // Somebody else took the last one after it was seen.
                Err(error) if error.kind() == ErrorKind::StorageFull => return,
                written => written.unwrap(),
            }
        }
    }

    fn make_room(&self) {
        std::fs::remove_file(self.data.join("filler")).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.data.join("filler"));
        if let Some(stage) = &self.stage {
            if std::thread::panicking() {
                let _ = stage.world.run(&["destroy", &stage.bystander]);
            } else {
                stage.end();
            }
        }
        let unmount = |how: &[&str]| Command::new("umount").args(how).arg(&self.data).status();
        if std::thread::panicking() {
            let _ = unmount(&["-l"]);
        } else {
            wait_until("the small file system goes", || match unmount(&["-q"]) {
                Ok(status) if status.success() => Ok(()),
                other => Err(format!("{other:?}")),
            });
        }
    }
}

#[test]
fn a_disk_that_is_full_at_each_write() {
    if !rustix::process::geteuid().is_root() {
        return skip("store_faults: full disk", "only root may mount a small file system");
    }
    let small = Small::new();
    let stage = small.stage();
    let (mut cases, mut failed) = (0, 0);
    for verb in VERBS {
        let mut fewest = None;
        for pages in 0..MOST {
            let case = format!("{verb:?} with {pages} pages free");
            let target = stage.prepare(verb);
            small.fill(pages);
            let child = stage.world.start(&Stage::args(verb, &target));
            let answer = stage.meanwhile(verb, &target, Answer::of(finish(child)), &case);
            let was_full = small.free_pages() == 0;
            small.make_room();
            stage.comes_to_rest(verb, &target, &answer, &case);
            cases += 1;
            failed += usize::from(answer.code != 0);
            if answer.code == 0 && !was_full {
                fewest = Some(pages);
                break;
            }
        }
        println!("{verb:?} needs {fewest:?} pages");
        assert!(fewest.is_some(), "{verb:?} never had room enough");
    }
    println!("{cases} full disks, {failed} commands failed");
    assert!(failed >= 10, "only {failed} failed");
}

/// There is no database yet, and no room for one.
#[test]
fn a_disk_that_is_too_full_for_a_new_database() {
    if !rustix::process::geteuid().is_root() {
        return skip("store_faults: new database", "only root may mount a small file system");
    }
    let small = Small::new();
    let world = &small.stage().world;
    for pages in 0..MOST {
        let case = format!("a new database with {pages} pages free");
        let dir = small.data.join(format!("new-{pages}"));
        let dir = dir.to_str().unwrap();
        small.fill(pages);
        let args = ["create", "--profile", "profile.native", "--data-dir", dir];
        let answer = checked(Answer::of(finish(world.start(&args))), &args, &case);
        works(world, &small.stage().bystander, &case);
        small.make_room();
        let listed = world.run(&["list", "--data-dir", dir]).json();
        let entries = std::fs::read_dir(dir).unwrap().flatten();
        let drafts = entries.filter(|entry| entry.file_name().to_string_lossy().contains(".new"));
        assert_eq!(drafts.count(), 0, "{case}: what was begun was left");
        for one in listed.as_array().unwrap() {
            let id = one["sandbox_id"].as_str().unwrap();
            assert_eq!(
                world.run(&["destroy", id, "--data-dir", dir]).json()["state"],
                "destroyed"
            );
        }
        std::fs::remove_dir_all(dir).unwrap();
        if answer.code == 0 {
            assert_eq!(listed.as_array().unwrap().len(), 1, "{case}");
            println!("a new database and a sandbox need {pages} pages");
            assert!(pages >= 20, "it failed only {pages} times");
            return;
        }
    }
    panic!("there never was room enough");
}

/// The machine has started again: what processes share beside the database is gone, and there is no room to make it anew.
#[test]
fn a_full_disk_at_the_first_look_after_a_start() {
    if !rustix::process::geteuid().is_root() {
        return skip("store_faults: first look", "only root may mount a small file system");
    }
    let small = Small::new();
    let world = &small.stage().world;
    for pages in 0..12 {
        let case = format!("the first look with {pages} pages free");
        // The last to leave takes with it what is beside the database.
        let connection = Connection::open(database(world)).unwrap();
        connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        drop(connection);
        assert!(!small.data.join("sandboxer.db-shm").exists());
        small.fill_as_it_is(pages);
        let listed = sane(world, &["list"], &case);
        if listed.code != 0 {
            assert!(listed.stderr.contains("the disk is full"), "{case}: {listed:?}");
        }
        small.make_room();
        works(world, &small.stage().bystander, &case);
    }
}

/// A server on a full disk says so, does not run hot, and does what is due once there is room.
#[test]
fn a_server_lives_through_a_full_disk() {
    if !rustix::process::geteuid().is_root() {
        return skip(
            "store_faults: server on a full disk",
            "only root may mount a small file system",
        );
    }
    let small = Small::new();
    let world = &small.stage().world;
    let server = Serving::start(world);
    let short_lived = || {
        let id = world.create(&["--ttl", "3s"]);
        small.fill(0);
        // One that was over before the disk was full tells nothing.
        if state_of(world, &id) == "ready" {
            return Some(id);
        }
        small.make_room();
        None
    };
    let id = (0..5).find_map(|_| short_lived()).unwrap();
    let full = Instant::now();
    let ended = |case: &str| {
        let used = world.run(&["exec", &id, "--", "true"]);
        if used.code == 0 {
            Err(format!("{case}: it lives"))
        } else {
            Ok(())
        }
    };
    wait_until("its guard ends it in time", || ended("on a full disk"));
    small.make_room();
    let full = full.elapsed();
    wait_until("the server removes it", || {
        let state = state_of(world, &id);
        if state == "destroyed" { Ok(()) } else { Err(state) }
    });
    let said = server.stop();
    let lines = said.lines().count();
    println!("{lines} lines of a server whose disk was full for {full:.1?}");
    let seconds = usize::try_from(full.as_secs()).unwrap();
    assert!(lines < LINES.max(LINES_IN_A_SECOND * seconds), "it ran hot: {said}");
}
