//! Trials: each runs in a process of its own, as root or as a user that nobody has, and is looked after by the test.

use std::collections::BTreeSet;
use std::io::{BufRead, Read, Write};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};

use super::inside::{self, Args};
use super::outcome::Outcome;
use super::world::{World, breathe};
use super::{docs, lifecycle, raw, table};

/// A user id that no account has.
pub(crate) const PLAIN_USER: u32 = 64_321;
/// The variable that must not get out of the caller's environment.
pub(crate) const SECRET_VARIABLE: &str = "SBX_PROBE_SECRET";
const AS_TRIAL: &str = "--trial";
/// First argument of a process that uses the runtime and does not live to see the end.
pub(crate) const AS_VICTIM: &str = "--victim";
/// First argument of a process that only waits to be killed.
pub(crate) const AS_CANARY: &str = "--canary";
const TRIAL_TIMEOUT: Duration = Duration::from_secs(150);
/// How long what was killed may take to go.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// As whom sandboxes are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// As root.
    Rootful,
    /// As a plain user.
    Rootless,
}

impl Mode {
    /// Its name in that of a trial.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mode::Rootful => "rootful",
            Mode::Rootless => "rootless",
        }
    }

    fn from_name(name: &str) -> Mode {
        if name == "rootful" {
            Mode::Rootful
        } else {
            Mode::Rootless
        }
    }
}

/// Plays the part that the arguments say.
pub(crate) fn main(suite: &str) -> ExitCode {
    if let Some(code) = sandboxer_native::internal_entry() {
        return exit_code(code);
    }
    let mut words = std::env::args().skip(1);
    match words.next().as_deref() {
        Some(inside::ARGUMENT) => {
            let name = words.next().unwrap_or_default();
            exit_code(inside::main(&name, &Args::parse(words)))
        }
        Some(AS_TRIAL) => {
            let words: Vec<String> = words.collect();
            exit_code(be_trial(&words))
        }
        Some(AS_VICTIM) => {
            let words: Vec<String> = words.collect();
            lifecycle::be_victim(&words);
            ExitCode::SUCCESS
        }
        Some(AS_CANARY) => {
            println!("READY");
            let _ = std::io::stdin().read(&mut [0]);
            ExitCode::SUCCESS
        }
        _ => be_test(suite),
    }
}

fn exit_code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

fn be_test(suite: &str) -> ExitCode {
    let suite: &'static str = match suite {
        "probes" => "probes",
        "probes_can_fail" => "probes_can_fail",
        _ => "lifecycle",
    };
    let modes: &[Mode] = if rustix::process::geteuid().is_root() {
        &[Mode::Rootful, Mode::Rootless]
    } else {
        skip(&format!("native {suite} as root"), "not root");
        &[Mode::Rootless]
    };
    let names: Vec<&'static str> = match suite {
        "lifecycle" => lifecycle::CASES.iter().map(|case| case.name).collect(),
        _ => table::PROBES.iter().map(|probe| probe.name).collect(),
    };
    let mut trials = Vec::new();
    for mode in modes {
        for name in &names {
            let (mode, name) = (*mode, *name);
            trials.push(Trial::test(format!("{}::{name}", mode.name()), move || {
                run_trial(suite, mode, name)
            }));
        }
    }
    if suite == "probes" {
        trials.push(Trial::test("the_documented_table_is_this_one", || Ok(docs::compare()?)));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Says so where the summary of all tests counts it.
fn skip(name: &str, reason: &str) {
    eprintln!("SKIPPED: {name}: {reason}");
    if let Some(path) = std::env::var_os("SBX_SKIP_LOG")
        && let Ok(mut log) = std::fs::OpenOptions::new().create(true).append(true).open(path)
    {
        let _ = writeln!(log, "SKIPPED: {name}: {reason}");
    }
}

/// The part of the caller: makes sandboxes and says what came of them.
fn be_trial(words: &[String]) -> i32 {
    let [suite, mode, name, dir, secret] = words else {
        return 2;
    };
    // As keepers are: the scheduler treats sessions apart, and times are compared.
    let _ = rustix::process::setsid();
    // The same word is in our environment, as a caller may have secrets there.
    let world = World::new(
        Mode::from_name(mode),
        Path::new(dir),
        secret,
        suite == "probes_can_fail",
    );
    let outcome = match suite.as_str() {
        "lifecycle" => lifecycle::run(name, &world),
        _ => table::run(name, &world),
    };
    let outcome = match (outcome, world.finish()) {
        (Outcome::Held(_), Err(left)) => Outcome::Broken(format!("left behind: {left}")),
        (outcome, _) => outcome,
    };
    println!("{}", outcome.to_line());
    0
}

/// Runs one trial, and looks whether it left anything.
fn run_trial(suite: &'static str, mode: Mode, name: &str) -> Result<(), Failed> {
    let weaken = (suite == "probes_can_fail").then(|| table::switches(name, mode));
    // Short, and open to everybody: sockets have paths, and the plain user must get there.
    let dir = tempfile::Builder::new().prefix("sbx-probe-").tempdir_in("/tmp")?;
    let stage = Stage::build(dir.path(), mode)?;
    let before = mounts()?;
    let outcome = stage.play(suite, mode, name, weaken.as_deref())?;
    let left = stage.leftovers(&before);
    if let Outcome::Unclear(why) = &outcome
        && why.starts_with(table::CANNOT_SHOW)
    {
        skip(&format!("{suite} {}::{name}", mode.name()), why);
        return Ok(left?);
    }
    let verdict = match (&outcome, &weaken) {
        (Outcome::Held(_), None) | (Outcome::Broken(_), Some(_)) => Ok(()),
        (Outcome::Held(seen), Some(off)) => Err(format!("with {off} off the probe still reports that it held: {seen}")),
        (Outcome::Broken(seen), None) => Err(format!("broken: {seen}")),
        (Outcome::Unclear(seen), _) => Err(format!("unclear: {seen}")),
    };
    if std::env::var_os("SBX_PROBE_TELL").is_some() {
        eprintln!("{} {name}: {}", mode.name(), outcome.to_line());
    }
    verdict?;
    left?;
    Ok(())
}

/// A directory with everything that a trial needs.
struct Stage {
    dir: PathBuf,
    program: PathBuf,
    user: Option<u32>,
    secret: String,
    tag: String,
}

impl Stage {
    fn build(dir: &Path, mode: Mode) -> std::io::Result<Stage> {
        let root = rustix::process::geteuid().is_root();
        let user = (root && mode == Mode::Rootless).then_some(PLAIN_USER);
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755))?;
        let program = dir.join("suite");
        // The build directory need not be open to everybody.
        std::fs::copy("/proc/self/exe", &program)?;
        std::fs::write(dir.join("secret.txt"), "of the host")?;
        let data = dir.join("data");
        std::fs::create_dir(&data)?;
        chown(&data, user, user)?;
        tree(dir, root, user)?;
        let tag: String = dir
            .to_string_lossy()
            .chars()
            .rev()
            .take(6)
            .collect::<String>()
            .to_lowercase();
        Ok(Stage {
            dir: dir.to_owned(),
            program,
            user,
            secret: format!("token{tag}"),
            tag,
        })
    }

    /// Runs the trial and answers what it asks.
    fn play(&self, suite: &str, mode: Mode, name: &str, weaken: Option<&str>) -> Result<Outcome, Failed> {
        let mut command = Command::new(&self.program);
        command
            .args([AS_TRIAL, suite, mode.name(), name])
            .arg(&self.dir)
            .arg(&self.secret)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env(SECRET_VARIABLE, &self.secret)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if let Some(weaken) = weaken {
            command.env("SBX_WEAKEN", weaken);
        }
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        let mut child = command.spawn()?;
        let outcome = converse(&mut child);
        let _ = child.kill();
        child.wait()?;
        outcome
    }

    /// Looks for processes, mounts, groups and files that the trial left.
    fn leftovers(&self, mounts_before: &BTreeSet<String>) -> Result<(), String> {
        let deadline = Instant::now() + GONE_WITHIN;
        loop {
            let left = self.look(mounts_before);
            if left.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("left behind: {}", left.join(", ")));
            }
            breathe();
        }
    }

    fn look(&self, mounts_before: &BTreeSet<String>) -> Vec<String> {
        let mut left = Vec::new();
        let ours = self.dir.to_string_lossy().into_owned();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.parse::<i32>().is_ok()
                && let Ok(exe) = std::fs::read_link(entry.path().join("exe"))
                && exe.to_string_lossy().contains(&ours)
            {
                left.push(format!("process {name}"));
            }
        }
        for line in mounts().unwrap_or_default().difference(mounts_before) {
            if line.contains(&self.tag) || line.contains(&ours) {
                left.push(format!("mount {line}"));
            }
        }
        for line in mounts_before.iter().filter(|line| line.contains(" - cgroup")) {
            let Some(point) = line.split(' ').nth(4) else { continue };
            for entry in std::fs::read_dir(Path::new(point).join("sandboxer"))
                .into_iter()
                .flatten()
                .flatten()
            {
                if entry.file_name().to_string_lossy().contains(&self.tag) {
                    left.push(format!("group {}", entry.path().display()));
                }
            }
        }
        left
    }
}

/// The caller's tree, with everything in it that a hostile one could have.
fn tree(dir: &Path, root: bool, user: Option<u32>) -> std::io::Result<()> {
    let repo = dir.join("repo");
    std::fs::create_dir_all(repo.join("sub"))?;
    for name in ["file.txt", "sub/old", "sub/gone"] {
        std::fs::write(repo.join(name), "content")?;
    }
    std::fs::copy("/proc/self/exe", repo.join("probe"))?;
    std::fs::copy("/usr/bin/id", repo.join("setuid-id"))?;
    let secret = dir.join("secret.txt");
    symlink(&secret, repo.join("link-secret"))?;
    symlink(
        Path::new("../../../../../..").join(secret.strip_prefix("/").unwrap_or(&secret)),
        repo.join("link-up"),
    )?;
    symlink(dir, repo.join("link-dir"))?;
    symlink("/etc/shadow", repo.join("link-shadow"))?;
    symlink("/", repo.join("link-root"))?;
    let mode = rustix::fs::Mode::from_raw_mode(0o666);
    rustix::fs::mknodat(rustix::fs::CWD, repo.join("pipe"), rustix::fs::FileType::Fifo, mode, 0)?;
    if root {
        let device = rustix::fs::makedev(1, 5);
        rustix::fs::mknodat(
            rustix::fs::CWD,
            repo.join("zero"),
            rustix::fs::FileType::CharacterDevice,
            mode,
            device,
        )?;
        rustix::fs::chmod(repo.join("zero"), mode)?;
    }
    for name in ["", "sub", "file.txt", "sub/old", "sub/gone", "pipe"] {
        chown(repo.join(name), user, user)?;
    }
    std::fs::set_permissions(repo.join("setuid-id"), std::fs::Permissions::from_mode(0o4755))?;
    rustix::fs::chmod(repo.join("pipe"), mode)?;
    Ok(())
}

fn mounts() -> std::io::Result<BTreeSet<String>> {
    Ok(std::fs::read_to_string("/proc/self/mountinfo")?
        .lines()
        .map(str::to_owned)
        .collect())
}

/// Reads files for the trial that only root may read, until it says what came of it.
fn converse(child: &mut Child) -> Result<Outcome, Failed> {
    let (Some(mut answers), Some(questions)) = (child.stdin.take(), child.stdout.take()) else {
        return Err("no pipes".into());
    };
    let watchdog = Watchdog::start(child.id());
    let mut outcome = None;
    for line in std::io::BufReader::new(questions).lines() {
        let line = line?;
        if let Some(path) = line.strip_prefix("READ ") {
            let bytes = std::fs::read(path)
                .or_else(|_| std::fs::read_link(path).map(|link| link.into_os_string().into_encoded_bytes()))
                .unwrap_or_default();
            answers.write_all(format!("{}\n", bytes.len()).as_bytes())?;
            answers.write_all(&bytes)?;
        } else if let Some(said) = Outcome::in_text(&line) {
            outcome = Some(said);
        }
    }
    if watchdog.fired() {
        return Err(format!("did not end within {TRIAL_TIMEOUT:?}").into());
    }
    outcome.ok_or_else(|| "the trial ended without a word".into())
}

/// Kills a trial that hangs.
struct Watchdog {
    done: std::sync::mpsc::Sender<()>,
    thread: std::thread::JoinHandle<bool>,
}

impl Watchdog {
    fn start(pid: u32) -> Watchdog {
        let (done, waits) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let late = waits.recv_timeout(TRIAL_TIMEOUT) == Err(std::sync::mpsc::RecvTimeoutError::Timeout);
            if late {
                let _ = raw::kill(pid.cast_signed(), libc::SIGKILL);
            }
            late
        });
        Watchdog { done, thread }
    }

    fn fired(self) -> bool {
        drop(self.done);
        self.thread.join().unwrap_or(true)
    }
}
