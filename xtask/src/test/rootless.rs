//! The same tests as an ordinary user: most people who try this are not root.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::tally::Tally;
use super::{Run, make_shared};
use crate::{Outcome, process, workspace};

/// Packages whose tests make real sandboxes or drive the real binary.
const PACKAGES: &[&str] = &[
    "sandboxer-host",
    "sandboxer-native",
    "extension-native",
    "sandboxer-cli",
];

/// Tests that take minutes and whose way through the code is the same whoever runs them: only nightly.
const ONLY_NIGHTLY: &[&str] = &[
    "killed_again_during_recovery",
    "a_server_that_is_killed_anywhere",
    "that_goes_on",
    "calls::",
    "power::",
    "abuse::",
    "canary::",
    "drained::",
    "killed::",
];

/// What became of the stage.
pub(super) enum Stage {
    /// It ran.
    Ran(Tally),
    /// It could not, and why.
    Skipped(String),
}

/// Runs the test programs as a user id that nobody has. Where the caller is no root the first stage was rootless.
pub(super) fn stage(run: &Run) -> Outcome<Stage> {
    eprintln!("── rootless");
    if !process::is_root() {
        eprintln!("   the tests ran as an ordinary user already");
        return Ok(Stage::Ran(Tally::default()));
    }
    let user = match free_user() {
        Some(user) if process::is_installed("setpriv") => user,
        Some(_) => return Ok(Stage::Skipped("no setpriv".into())),
        None => return Ok(Stage::Skipped("every user id from 61000 to 61999 is taken".into())),
    };
    let programs = programs()?;
    let home = run.scratch.join("home");
    make_shared(&home)?;
    let mut total = Tally::default();
    for program in &programs {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        eprintln!("   {name} as uid {user}");
        let mut command = as_user(user, program, &run.scratch.with_file_name("hold"));
        run.environment(&mut command);
        command
            .current_dir(&run.scratch)
            .env("HOME", &home)
            .env("INSTA_WORKSPACE_ROOT", workspace::root())
            .env("SBX_TEST_ROOTLESS", "1")
            .env_remove("XDG_RUNTIME_DIR")
            .args(["--test-threads", "2"]);
        if !run.nightly {
            command.args(ONLY_NIGHTLY.iter().flat_map(|name| ["--skip", name]));
        }
        let (mut tally, success) = run.supervisor.tests(&mut command)?;
        if !success && tally.failed == 0 {
            tally.failed = 1;
        }
        // What needs root ran as root in the first stage; here it counts neither way.
        for skip in run.take_skips(&mut tally) {
            eprintln!("   only as root: {skip}");
        }
        tally.skipped = 0;
        total += tally;
    }
    let _ = std::fs::remove_dir_all(&home);
    Ok(Stage::Ran(total))
}

/// A user id without a name and without a process.
pub(crate) fn free_user() -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named: Vec<u32> = passwd
        .lines()
        .filter_map(|line| line.split(':').nth(2)?.parse().ok())
        .collect();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let running: Vec<u32> = entries.filter_map(|entry| Some(entry.metadata().ok()?.uid())).collect();
    (61000..62000).find(|user| !named.contains(user) && !running.contains(user))
}

/// The program as that user. Where a folder above it is closed to others (a clone below /root), the program runs in a
/// mount namespace of its own in which the way is open; nothing changes for anybody else. `hold` is a folder that does
/// not exist yet, elsewhere.
fn as_user(user: u32, program: &Path, hold: &Path) -> Command {
    let identity = user.to_string();
    let drop = [
        "--reuid",
        &identity,
        "--regid",
        &identity,
        "--clear-groups",
        "--no-new-privs",
    ];
    // No new privileges would stop a set-uid helper (newuidmap); an ordinary login has none of that.
    let drop = &drop[..5];
    let Some(closed) = closed_folder(&workspace::root()) else {
        let mut command = process::command("setpriv");
        command.args(drop).arg(program);
        return command;
    };
    let script = r#"set -e
closed=$1 root=$2 hold=$3; shift 3
mkdir -p "$hold"
mount --bind "$root" "$hold"
mount -t tmpfs -o mode=755 tmpfs "$closed"
mkdir -p "$root"
mount --move "$hold" "$root"
exec setpriv "$@""#;
    let mut command = process::command("unshare");
    command
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(closed)
        .arg(workspace::root());
    command.arg(hold).args(drop).arg(program);
    command
}

/// The topmost folder on the way that others may not enter.
fn closed_folder(path: &Path) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut above: Vec<_> = path.ancestors().collect();
    above.reverse();
    let closed = |folder: &&Path| {
        folder
            .metadata()
            .is_ok_and(|meta| meta.permissions().mode() & 0o001 == 0)
    };
    above.into_iter().find(closed).map(Path::to_owned)
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    executable: Option<PathBuf>,
    package_id: Option<String>,
    profile: Option<Profile>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// The test programs, built as the first stage built them.
fn programs() -> Outcome<Vec<PathBuf>> {
    let mut cargo = workspace::cargo();
    cargo.args([
        "test",
        "--workspace",
        "--no-run",
        "--locked",
        "--quiet",
        "--message-format",
        "json",
    ]);
    let output = process::capture(&mut cargo)?;
    let wanted = |id: &str| {
        // `path+file:///somewhere/crates/NAME#0.1.0` or `…/folder#NAME@0.1.0`
        let tail = id.rsplit('/').next().unwrap_or(id);
        PACKAGES.iter().any(|name| {
            tail.split('#').next() == Some(*name)
                || tail
                    .split('#')
                    .nth(1)
                    .is_some_and(|t| t.starts_with(&format!("{name}@")))
        })
    };
    let messages = output
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok());
    let tests = messages.filter(|message| {
        message.reason == "compiler-artifact"
            && message.profile.as_ref().is_some_and(|profile| profile.test)
            && message.package_id.as_deref().is_some_and(wanted)
    });
    Ok(tests.filter_map(|message| message.executable).collect())
}
