//! The behaviour suite against real sandboxes, as the user who runs it, and as a plain user where that is root.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test program")]

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use extension_native::{NativeExtension, Settings};
use libtest_mimic::{Arguments, Failed, Trial};
use sandboxer_conformance::{Report, Subject, run_all, trials};
use sandboxer_extension::Extension;
use sandboxer_extension::port::{SystemClock, SystemIds};
use sandboxer_model::profile::Profile;

/// A user id that no account has.
const PLAIN_USER: u32 = 64_321;
/// First argument of the process that runs one trial as the plain user.
const AS_PLAIN_USER: &str = "--as-plain-user";

fn main() -> ExitCode {
    if let Some(code) = extension_native::internal_entry() {
        return ExitCode::from(u8::try_from(code).unwrap_or(1));
    }
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(AS_PLAIN_USER) {
        let (name, dir) = (arguments.next().unwrap(), arguments.next().unwrap());
        return match report(&name, Path::new(&dir)).into_result() {
            Ok(report) => {
                say_skipped(&report, "plain_user");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    let capabilities = NativeExtension::new(Settings {
        data_dir: "/nowhere".into(),
    })
    .capabilities();
    let names = trials(&capabilities).into_iter().map(|trial| trial.name);
    let root = rustix::process::geteuid().is_root();
    // Copied once, before any thread runs: a program that is open for writing in any process cannot be started.
    let shared = tempfile::tempdir().unwrap();
    std::fs::set_permissions(shared.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let program: Arc<Path> = shared.path().join("suite").into();
    std::fs::copy("/proc/self/exe", &program).unwrap();
    let mut all = Vec::new();
    for name in names {
        all.push(Trial::test(format!("own_user::{name}"), move || as_own_user(name)));
        if root {
            let program = program.clone();
            all.push(Trial::test(format!("plain_user::{name}"), move || {
                as_plain_user(&program, name)
            }));
        }
    }
    if !root {
        skip("native conformance as root", "not root");
    }
    let conclusion = libtest_mimic::run(&Arguments::from_args(), all);
    drop(shared);
    conclusion.exit_code()
}

/// Says so where the summary of all tests counts it.
fn skip(name: &str, reason: &str) {
    use std::io::Write as _;
    if let Some(path) = std::env::var_os("SBX_SKIP_LOG") {
        let mut log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .unwrap();
        writeln!(log, "SKIPPED: {name}: {reason}").unwrap();
    }
}

fn say_skipped(report: &Report, user: &str) {
    for skipped in &report.skipped {
        skip(&format!("native conformance {user}"), &format!("{skipped:?}"));
    }
}

/// Runs one trial in a directory of its own.
fn report(name: &str, data_dir: &Path) -> Report {
    let extension = NativeExtension::new(Settings {
        data_dir: data_dir.to_owned(),
    });
    let mut profile = Profile::new("profile.native", "ext.native");
    profile.resources.memory_mb = Some(256);
    profile.resources.disk_mb = Some(64);
    profile.resources.pids = Some(128);
    let subject = Subject {
        patience: Duration::from_secs(60),
        ..Subject::new(extension, profile, Arc::new(SystemClock), Arc::new(SystemIds))
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(run_all(&subject, Some(name)))
}

fn as_own_user(name: &str) -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    report(name, dir.path())
        .into_result()
        .map_err(|report| report.to_string())?;
    nothing_left(dir.path())
}

fn as_plain_user(program: &Path, name: &str) -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755))?;
    let data_dir = dir.path().join("data");
    std::fs::create_dir(&data_dir)?;
    chown(&data_dir, Some(PLAIN_USER), Some(PLAIN_USER))?;
    let output = Command::new(program)
        .args([AS_PLAIN_USER, name])
        .arg(&data_dir)
        .uid(PLAIN_USER)
        .gid(PLAIN_USER)
        // Something of the caller's that must stay outside.
        .env("SBX_CANARY", "of the caller")
        .current_dir("/")
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    nothing_left(&data_dir)
}

/// No sandbox, lease or grave is left below the runtime's directory.
fn nothing_left(data_dir: &Path) -> Result<(), Failed> {
    for dir in ["sb", "uid", "trash"] {
        let path = data_dir.join("native").join(dir);
        let left: Vec<_> = match std::fs::read_dir(&path) {
            Ok(entries) => entries.map(|entry| entry.unwrap().file_name()).collect(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        if !left.is_empty() {
            return Err(format!("left in {}: {left:?}", path.display()).into());
        }
    }
    Ok(())
}
