//! A caller with its runtime, its tree and its sandboxes.

use std::cell::{Cell, RefCell};
use std::io::{BufRead, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sandboxer_native::runtime::{Command, CommandIo, Exit, Running, Runtime, Spare};
use sandboxer_native::spec::{Access, LaunchSpec, Launched, Limits, Workspace};

use super::inside;
use super::outcome::Outcome;
use super::trial::{AS_CANARY, Mode};

/// Longest time a command inside may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest wait for anything else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A caller.
pub(crate) struct World {
    pub(crate) mode: Mode,
    pub(crate) dir: PathBuf,
    pub(crate) repo: PathBuf,
    pub(crate) root: PathBuf,
    pub(crate) runtime: Runtime,
    pub(crate) secret: String,
    pub(crate) weak: bool,
    made: RefCell<Vec<String>>,
    count: Cell<u32>,
}

/// How a keeper comes to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// As a program of its own.
    Program,
    /// As a copy of the caller.
    Copy,
}

/// How a command ended and what it printed.
pub(crate) struct Ran {
    pub(crate) exit: Exit,
    pub(crate) output: String,
}

impl World {
    /// The caller whose directory this is.
    pub(crate) fn new(mode: Mode, dir: &Path, secret: &str, weak: bool) -> World {
        let root = dir.join("data/native");
        World {
            mode,
            dir: dir.to_owned(),
            repo: dir.join("repo"),
            runtime: Runtime::new(&root),
            root,
            secret: secret.to_owned(),
            weak,
            made: RefCell::default(),
            count: Cell::new(0),
        }
    }

    /// An id that no other trial has.
    pub(crate) fn new_id(&self) -> String {
        self.count.set(self.count.get() + 1);
        let tag: String = self.secret.chars().skip("token".len()).collect();
        let id = format!("sbx-{tag}-{}", self.count.get());
        self.made.borrow_mut().push(id.clone());
        id
    }

    /// A sandbox of moderate size over the caller's tree.
    pub(crate) fn spec(&self) -> LaunchSpec {
        LaunchSpec {
            id: self.new_id(),
            installation: "inst-probe".into(),
            epoch: 1,
            root: self.root.clone(),
            ttl_secs: 300,
            limits: Limits {
                cpu: None,
                memory_mb: Some(256),
                disk_mb: Some(64),
                pids: Some(64),
            },
            strict: false,
            workspace: Workspace {
                source: Some(self.repo.clone()),
                access: Access::Rw,
            },
        }
    }

    /// Makes it. Its keeper is reached by its socket only, as any other process would.
    pub(crate) fn launch(&self, spec: &LaunchSpec, start: Start) -> Result<Launched, String> {
        let spare = match start {
            Start::Program => self.runtime.spare(),
            Start::Copy => Spare::fork(),
        };
        let spare = spare.map_err(|error| error.to_string())?;
        self.runtime
            .launch(spec, Some(spare))
            .map(|launch| launch.launched)
            .map_err(|error| error.to_string())
    }

    /// Removes it and looks at the report.
    pub(crate) fn destroy(&self, id: &str, epoch: u64) -> Result<(), String> {
        let report = self
            .runtime
            .destroy(id, epoch, None, PATIENCE)
            .map_err(|error| format!("destroy {id}: {error}"))?
            .report;
        let left = report.leftovers();
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("destroy {id} left {left:?}"))
        }
    }

    /// Makes a sandbox, runs one probe in it.
    pub(crate) fn probe(&self, name: &str, words: &[String]) -> Outcome {
        self.probe_in(&self.spec(), name, words)
    }

    /// Makes this sandbox, runs one probe in it.
    pub(crate) fn probe_in(&self, spec: &LaunchSpec, name: &str, words: &[String]) -> Outcome {
        match self.launch(spec, Start::Program) {
            Ok(_) => self.probe_at(&spec.id, name, words),
            Err(error) => Outcome::Unclear(format!("launch: {error}")),
        }
    }

    /// Runs one probe in a sandbox that runs.
    pub(crate) fn probe_at(&self, id: &str, name: &str, words: &[String]) -> Outcome {
        match self.run(id, &probe_argv(name, self.weak, words)) {
            Ok(ran) => Outcome::in_text(&ran.output)
                .unwrap_or_else(|| Outcome::Unclear(format!("{:?}, printed: {}", ran.exit, ran.output))),
            Err(error) => Outcome::Unclear(error),
        }
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, id: &str, argv: &[Vec<u8>]) -> Result<Ran, String> {
        let (ours, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|e| e.to_string())?;
        let null = std::fs::File::open("/dev/null").map_err(|error| error.to_string())?;
        let io = [null.as_fd(), theirs.as_fd(), theirs.as_fd()];
        let mut running = self.start(id, argv, CommandIo::Pipes(io))?;
        drop(theirs);
        let deadline = Instant::now() + COMMAND_TIMEOUT;
        let mut output = Vec::new();
        // The output ends with the command, unless it left children: the end of the command counts.
        loop {
            let mut fds = [
                PollFd::new(&ours, PollFlags::IN),
                PollFd::from_borrowed_fd(running.as_fd(), PollFlags::IN),
            ];
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!(
                    "did not end in time; printed {}",
                    String::from_utf8_lossy(&output)
                ));
            }
            let _ = poll(&mut fds, Some(&timespec(left)));
            let (more, ended) = (!fds[0].revents().is_empty(), !fds[1].revents().is_empty());
            let mut chunk = [0; 4096];
            if more {
                match rustix::io::read(&ours, &mut chunk) {
                    Ok(0) | Err(_) => break,
                    Ok(count) => output.extend(&chunk[..count]),
                }
            } else if ended {
                break;
            }
        }
        let exit = running.wait();
        Ok(Ran {
            exit,
            output: String::from_utf8_lossy(&output).into_owned(),
        })
    }

    /// Starts a command.
    pub(crate) fn start(&self, id: &str, argv: &[Vec<u8>], io: CommandIo<'_>) -> Result<Running, String> {
        let command = Command {
            last: false,
            argv: argv.to_vec(),
            env: Vec::new(),
            cwd: None,
            io,
        };
        self.runtime.exec(id, command).map_err(|error| format!("exec: {error}"))
    }

    /// Starts a helper inside that stays until its input ends, and waits for its first line.
    pub(crate) fn resident(&self, id: &str, name: &str, words: &[String]) -> Result<Resident, String> {
        let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|error| error.to_string());
        let ((stdin, hold), (read, stdout)) = (pipe()?, pipe()?);
        let io = [stdin.as_fd(), stdout.as_fd(), stdout.as_fd()];
        let running = self.start(id, &probe_argv(name, self.weak, words), CommandIo::Pipes(io))?;
        drop((stdin, stdout));
        let mut fds = [PollFd::new(&read, PollFlags::IN)];
        let _ = poll(&mut fds, Some(&timespec(PATIENCE)));
        let mut line = String::new();
        std::io::BufReader::new(std::fs::File::from(
            read.try_clone().map_err(|error| error.to_string())?,
        ))
        .read_line(&mut line)
        .map_err(|error| error.to_string())?;
        if line.starts_with("READY") {
            Ok(Resident {
                running,
                hold: Some(hold),
                output: read,
                line,
            })
        } else {
            Err(format!("{name} said `{line}`"))
        }
    }

    /// A process of the host that waits to be killed, as this user.
    pub(crate) fn canary(&self, uid: Option<u32>) -> Result<Canary, String> {
        let mut command = std::process::Command::new(self.dir.join("suite"));
        command
            .arg(AS_CANARY)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .current_dir("/");
        if let Some(uid) = uid {
            command.uid(uid).gid(uid);
        }
        let mut child = command.spawn().map_err(|error| format!("canary: {error}"))?;
        let mut byte = [0; 6];
        if let Some(out) = &mut child.stdout {
            out.read_exact(&mut byte).map_err(|error| format!("canary: {error}"))?;
        }
        Ok(Canary(child))
    }

    /// Asks the test, which may be root, to read a file.
    pub(crate) fn eye(&self, path: &str) -> Vec<u8> {
        println!("READ {path}");
        let mut stdin = std::io::stdin().lock();
        let mut line = String::new();
        let _ = stdin.read_line(&mut line);
        let mut bytes = vec![0; line.trim().parse().unwrap_or(0)];
        let _ = stdin.read_exact(&mut bytes);
        bytes
    }

    /// A number of `/proc/<pid>/status`, as the test sees it.
    pub(crate) fn status_of(&self, pid: i32, field: &str) -> Option<u64> {
        let text = self.eye(&format!("/proc/{pid}/status"));
        String::from_utf8_lossy(&text)
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    }

    /// Removes every sandbox and says what is left of them.
    pub(crate) fn finish(&self) -> Result<(), String> {
        let mut left = Vec::new();
        for id in self.made.borrow().iter() {
            if let Err(error) = self.destroy(id, u64::from(u32::MAX)) {
                left.push(error);
            }
        }
        for dir in ["sb", "uid", "trash"] {
            for entry in std::fs::read_dir(self.root.join(dir)).into_iter().flatten().flatten() {
                left.push(entry.path().display().to_string());
            }
        }
        if left.is_empty() { Ok(()) } else { Err(left.join(", ")) }
    }
}

/// Starts a command that reads and prints nothing.
pub(crate) fn start_quietly(runtime: &Runtime, id: &str, argv: Vec<Vec<u8>>, last: bool) -> Result<Running, String> {
    let null = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(|error| error.to_string())?;
    let command = Command {
        argv,
        env: Vec::new(),
        cwd: None,
        io: CommandIo::Pipes([null.as_fd(), null.as_fd(), null.as_fd()]),
        last,
    };
    runtime.exec(id, command).map_err(|error| format!("exec: {error}"))
}

/// The command line of a probe inside.
pub(crate) fn probe_argv(name: &str, weak: bool, words: &[String]) -> Vec<Vec<u8>> {
    [
        "/workspace/probe",
        inside::ARGUMENT,
        name,
        if weak { "weak=1" } else { "weak=0" },
    ]
    .iter()
    .map(|word| word.as_bytes().to_vec())
    .chain(words.iter().map(|word| word.clone().into_bytes()))
    .collect()
}

/// A time for `poll`.
pub(crate) fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: duration.as_secs().cast_signed(),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

/// Leaves the machine to others for a moment between two looks.
pub(crate) fn breathe() {
    let _ = poll(&mut [], Some(&timespec(Duration::from_millis(2))));
}

/// Waits until this is so.
pub(crate) fn wait_until(what: &str, patience: Duration, mut is_so: impl FnMut() -> bool) -> Result<Duration, String> {
    let start = Instant::now();
    while !is_so() {
        if start.elapsed() > patience {
            return Err(format!("not within {patience:?}: {what}"));
        }
        breathe();
    }
    Ok(start.elapsed())
}

/// A helper inside that stays.
pub(crate) struct Resident {
    pub(crate) running: Running,
    hold: Option<OwnedFd>,
    output: OwnedFd,
    pub(crate) line: String,
}

impl Resident {
    /// Lets it end.
    pub(crate) fn end(mut self) -> String {
        self.hold = None;
        let mut text = String::new();
        let _ = self.running.wait();
        let _ = std::fs::File::from(self.output).read_to_string(&mut text);
        text
    }
}

/// A process of the host that waits to be killed.
pub(crate) struct Canary(Child);

impl Canary {
    /// Its number.
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Whether it lives; ends it.
    pub(crate) fn lived(mut self) -> bool {
        let alive = matches!(self.0.try_wait(), Ok(None));
        drop(self.0.stdin.take());
        let _ = self.0.wait();
        alive
    }
}
