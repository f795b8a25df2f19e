//! A world of its own for each test: data directory, home and working directory that nobody else uses, the real
//! binary, and an audit at the end that nothing of it is left on the machine.
#![allow(dead_code, unreachable_pub, reason = "each test file uses the part it needs")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests start the real program and read real files"
)]

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long a condition is waited for.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// How long the end of a server is waited for: it may take half a minute itself to see off those it serves.
pub const FAREWELL: Duration = Duration::from_secs(45);
/// From one look to the next.
const APART: Duration = Duration::from_millis(3);

/// A world of its own.
pub struct World {
    root: tempfile::TempDir,
    /// Where records and sandboxes are kept.
    pub data: PathBuf,
    /// Where commands are started.
    pub work: PathBuf,
}

/// What a command came to.
#[derive(Debug)]
pub struct Answer {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Answer {
    pub fn of(output: Output) -> Answer {
        use std::os::unix::process::ExitStatusExt as _;
        let status = output.status;
        Answer {
            code: status.code().unwrap_or_else(|| -status.signal().unwrap_or(0)),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The answer of a command that must succeed, as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not pure JSON: {error}: {self:?}"))
    }
}

impl World {
    /// A fresh one.
    pub fn new() -> World {
        let root = tempfile::Builder::new().prefix("sbx-cli-").tempdir().unwrap();
        let (data, work) = (root.path().join("data"), root.path().join("work"));
        std::fs::create_dir_all(&work).unwrap();
        std::fs::create_dir_all(root.path().join("home")).unwrap();
        World { root, data, work }
    }

    /// The directory everything of this world is in.
    pub fn path(&self) -> &Path {
        self.root.path()
    }

    /// Writes a file below the working directory.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.work.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The real binary with these arguments, in this world.
    pub fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sandboxer"));
        self.settle(&mut command);
        command.args(args);
        command
    }

    /// Puts a command into this world.
    pub fn settle(&self, command: &mut Command) {
        command.env_clear().current_dir(&self.work).stdin(Stdio::null());
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("HOME", self.root.path().join("home"));
        command.env("SANDBOXER_DATA_DIR", &self.data);
        command.env("COLUMNS", "100");
    }

    /// Runs the binary to its end.
    pub fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Answer {
        Answer::of(self.command(args).output().unwrap())
    }

    /// Runs the binary to its end with these variables on top.
    pub fn run_with<S: AsRef<OsStr>>(&self, args: &[S], env: &[(&str, &str)]) -> Answer {
        Answer::of(self.command(args).envs(env.iter().copied()).output().unwrap())
    }

    /// Runs the binary to its end, feeding it `input`.
    pub fn feed<S: AsRef<OsStr>>(&self, args: &[S], input: &[u8]) -> Output {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let feeder = std::thread::spawn(move || {
            let _ = stdin.write_all(&input);
        });
        let output = child.wait_with_output().unwrap();
        feeder.join().unwrap();
        output
    }

    /// Starts the binary with its output piped.
    pub fn start<S: AsRef<OsStr>>(&self, args: &[S]) -> Child {
        self.command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Creates a native sandbox and returns its id.
    #[track_caller]
    pub fn create(&self, more: &[&str]) -> String {
        let args = [&["create", "--profile", "profile.native"], more].concat();
        self.run(&args).json()["sandbox_id"].as_str().unwrap().to_owned()
    }

    /// Destroys a sandbox and checks the receipt.
    #[track_caller]
    pub fn destroy(&self, id: &str) {
        let receipt = self.run(&["destroy", id]).json();
        assert_eq!(receipt["state"], "destroyed", "{receipt}");
        assert_eq!(receipt["cleanup"]["verified"], "absent", "{receipt}");
    }

    /// Processes of this world.
    pub fn processes(&self) -> Vec<String> {
        let root = self.root.path().to_string_lossy().into_owned();
        let mut found = Vec::new();
        for process in processes() {
            let mentions = |file: &str| {
                std::fs::read(process.join(file)).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(&root))
            };
            if mentions("cmdline") || mentions("environ") || mentions("mountinfo") && !is_zombie(&process) {
                let name = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
                found.push(format!("process {} {}", process.display(), name.trim()));
            }
        }
        found
    }

    /// What of this world is still on the machine.
    pub fn leftovers(&self) -> Vec<String> {
        self.leftovers_of(&self.ids())
    }

    /// The same, when these are all sandboxes it ever had.
    fn leftovers_of(&self, ids: &[String]) -> Vec<String> {
        let root = self.root.path().to_string_lossy().into_owned();
        let mut found = self.processes();
        for dir in ["native/sb", "native/trash", "native/uid"] {
            for entry in std::fs::read_dir(self.data.join(dir)).into_iter().flatten().flatten() {
                found.push(format!("file {}", entry.path().display()));
            }
        }
        let groups = control_groups(ids);
        found.extend(groups.iter().map(|group| format!("control group {}", group.display())));
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        found.extend(
            mounts
                .lines()
                .filter(|line| line.contains(&root))
                .map(|line| format!("mount {line}")),
        );
        found
    }

    fn ids(&self) -> Vec<String> {
        let answer = self.run(&["list", "--all", "--output", "json"]);
        let records: Value = serde_json::from_str(&answer.stdout).unwrap_or_default();
        let ids = records
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| one["sandbox_id"].as_str());
        ids.map(str::to_owned).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The test has failed: what it made must not stay.
            let ids = self.ids();
            if !ids.is_empty() {
                let _ = self.run(&[vec!["destroy".to_owned()], ids].concat());
            }
            return;
        }
        // Processes that were told to end may still be on their way out. Each command takes over what dead ones left, so
        // one runs now and then.
        let (mut ids, mut looks) = (self.ids(), 0);
        wait_until("nothing of the world is left", || {
            looks += 1;
            if looks % 16 == 0 {
                ids = self.ids();
            }
            let left = self.leftovers_of(&ids);
            if left.is_empty() { Ok(()) } else { Err(left.join("\n")) }
        });
    }
}

fn processes() -> impl Iterator<Item = PathBuf> {
    let own = std::process::id().to_string();
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(move |path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.bytes().all(|b| b.is_ascii_digit()) && name != own
        })
}

fn is_zombie(process: &Path) -> bool {
    std::fs::read_to_string(process.join("stat")).is_ok_and(|stat| stat.contains(") Z "))
}

/// The control groups that carry one of these ids in their name. There may be thousands of others, so they are gone through
/// once.
fn control_groups(ids: &[String]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(dir) = pending.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let name = entry.file_name().to_string_lossy().into_owned();
                if ids.iter().any(|id| name.contains(id.as_str())) {
                    found.push(entry.path());
                }
                pending.push(entry.path());
            }
        }
    }
    found
}

/// Waits for the end of a child whose output fits into its pipes; one that does not end in time is killed.
#[track_caller]
pub fn finish(mut child: Child) -> Output {
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("it did not end in time: {:?}", child.wait_with_output());
        }
        std::thread::park_timeout(APART);
    }
    child.wait_with_output().unwrap()
}

/// Waits until `condition` holds, and fails with what it says when it does not in time.
#[track_caller]
pub fn wait_until<T>(what: &str, condition: impl FnMut() -> Result<T, String>) -> T {
    wait_within(PATIENCE, what, condition)
}

/// The same for what takes longer, or must not take as long.
#[track_caller]
pub fn wait_within<T>(patience: Duration, what: &str, mut condition: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        match condition() {
            Ok(value) => return value,
            Err(why) => assert!(Instant::now() < deadline, "{what}: {why}"),
        }
        std::thread::park_timeout(APART);
    }
}

/// Replaces what differs from run to run: ids, times, paths, figures.
pub fn filters(world: &World) -> Vec<(String, &'static str)> {
    let base32 = "[0-9a-hjkmnp-tv-z]";
    vec![
        (regex_literal(&world.path().to_string_lossy()), "[WORLD]"),
        (format!("sbx-[0-7]{base32}{{25}}"), "[SANDBOX]"),
        (format!("op-[0-7]{base32}{{25}}"), "[OPERATION]"),
        (format!("evt-[0-7]{base32}{{25}}"), "[EVENT]"),
        (format!("inst-[0-7]{base32}{{25}}"), "[INSTALLATION]"),
        ("blake3:[0-9a-f]{64}".to_owned(), "[DIGEST]"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z".to_owned(), "[TIME]"),
        (r"\d+(\.\d+)? ms".to_owned(), "[MS] ms"),
    ]
}

fn regex_literal(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            if c.is_alphanumeric() || c == '/' {
                vec![c]
            } else {
                vec!['\\', c]
            }
        })
        .collect()
}

/// Takes a snapshot of `$text` of `$world`.
#[macro_export]
macro_rules! snapshot {
    ($world:expr, $name:expr, $text:expr) => {{
        let filters = support::filters(&$world);
        insta::with_settings!({
            filters => filters.iter().map(|(from, to)| (from.as_str(), *to)).collect::<Vec<_>>(),
            omit_expression => true,
            prepend_module_to_snapshot => false,
        }, { insta::assert_snapshot!($name, $text); });
    }};
}

/// Says that a check could not be run here, so that it is counted as skipped and not as passed.
pub fn skip(name: &str, why: &str) {
    println!("SKIPPED: {name}: {why}");
    if let Some(path) = std::env::var_os("SBX_SKIP_LOG") {
        let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
        writeln!(file, "SKIPPED: {name}: {why}").unwrap();
    }
}
