//! Commands inside a fake sandbox: the suite's probe commands and a few plain programs, run by a thread.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};

use jiff::SignedDuration;
use sandboxer_conformance::ProbeCommand;
use sandboxer_extension::exec::Signaller;
use sandboxer_extension::port::Clock as _;
use sandboxer_extension::{ErrorKind, ExecExit, ExecSession, ExtensionError, WindowSize, async_trait};
use sandboxer_model::id::SandboxId;
use sandboxer_model::profile::{NetworkDefault, WorkspaceAccess};
use tokio::sync::watch;

use crate::mutant::Mutant;
use crate::world::World;

/// Where commands start.
pub const WORKSPACE: &str = "/workspace";

/// A command that runs inside a fake sandbox.
#[derive(Debug)]
pub(crate) struct FakeProcess {
    exit: watch::Sender<Option<ExecExit>>,
    signal: Mutex<Option<u8>>,
    woken: Condvar,
    handles_signals: bool,
}

impl FakeProcess {
    fn new(handles_signals: bool) -> Arc<FakeProcess> {
        let (exit, _) = watch::channel(None);
        Arc::new(FakeProcess {
            exit,
            signal: Mutex::new(None),
            woken: Condvar::new(),
            handles_signals,
        })
    }

    /// It ends; the first end counts.
    pub(crate) fn finish(&self, exit: ExecExit) {
        self.exit.send_if_modified(|now| {
            let first = now.is_none();
            if first {
                *now = Some(exit);
            }
            first
        });
        let _guard = self.signal.lock().unwrap_or_else(PoisonError::into_inner);
        self.woken.notify_all();
    }

    /// Whether it has not ended.
    pub(crate) fn runs(&self) -> bool {
        self.exit.borrow().is_none()
    }

    fn signal(&self, signal: u8) -> Result<(), ExtensionError> {
        if !self.runs() {
            return Err(ExtensionError::new(ErrorKind::NotFound, "the command ended"));
        }
        if self.handles_signals {
            *self.signal.lock().unwrap_or_else(PoisonError::into_inner) = Some(signal);
            self.woken.notify_all();
        } else {
            self.finish(ExecExit::Signal(signal));
        }
        Ok(())
    }

    /// Waits in the command's own thread for a signal; `None` when the command was ended from outside.
    fn next_signal(&self) -> Option<u8> {
        let mut signal = self.signal.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if self.exit.borrow().is_some() {
                return None;
            }
            if let Some(signal) = signal.take() {
                return Some(signal);
            }
            signal = self.woken.wait(signal).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// What a command needs to know of where it runs.
pub(crate) struct Surroundings {
    pub(crate) world: Weak<World>,
    pub(crate) extension_id: String,
    pub(crate) sandbox_id: SandboxId,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) cwd: Option<String>,
    pub(crate) has_deny: bool,
    pub(crate) mutants: Vec<Mutant>,
}

impl Surroundings {
    fn is(&self, mutant: Mutant) -> bool {
        self.mutants.contains(&mutant)
    }
}

/// The three streams of a command, or one terminal.
pub(crate) enum Streams {
    Pipes {
        stdin: OwnedFd,
        stdout: OwnedFd,
        stderr: OwnedFd,
    },
    Terminal {
        ours: OwnedFd,
        size: WindowSize,
    },
    Nowhere,
}

/// What can be run.
#[derive(Debug, Clone)]
pub(crate) enum Program {
    Probe(ProbeCommand),
    Echo(Vec<Vec<u8>>),
}

impl Program {
    /// Recognises a command; `None`: there is no such program.
    pub(crate) fn parse(argv: &[Vec<u8>]) -> Option<Program> {
        if let Some(probe) = ProbeCommand::parse(argv) {
            return Some(Program::Probe(probe));
        }
        let (name, rest) = argv.split_first()?;
        let probe = match name.as_slice() {
            b"true" => ProbeCommand::Exit(0),
            b"false" => ProbeCommand::Exit(1),
            b"cat" => ProbeCommand::Cat,
            b"pwd" => ProbeCommand::WorkingDirectory,
            b"sleep" => ProbeCommand::Sleep,
            b"exit" => ProbeCommand::Exit(std::str::from_utf8(rest.first()?).ok()?.parse().ok()?),
            b"echo" => return Some(Program::Echo(rest.to_vec())),
            _ => return None,
        };
        Some(Program::Probe(probe))
    }
}

/// A command that has ended already.
pub(crate) fn ended(exit: ExecExit) -> Arc<FakeProcess> {
    let process = FakeProcess::new(false);
    process.finish(exit);
    process
}

/// Starts a command in a thread of its own.
pub(crate) fn start(program: Program, streams: Streams, around: Surroundings) -> Arc<FakeProcess> {
    let process = FakeProcess::new(matches!(program, Program::Probe(ProbeCommand::Trap)));
    let runner = process.clone();
    std::thread::spawn(move || {
        // The streams are closed before the end is told, as an exit does.
        let exit = execute(&program, streams, &around, &runner);
        runner.finish(exit);
    });
    process
}

fn execute(program: &Program, streams: Streams, around: &Surroundings, process: &FakeProcess) -> ExecExit {
    match streams {
        Streams::Pipes { stdin, stdout, stderr } => {
            let mut stderr: Box<dyn Write> = if around.is(Mutant::SwallowsStderr) {
                drop(stderr);
                Box::new(std::io::sink())
            } else if around.is(Mutant::MergesStderr) {
                match stdout.try_clone() {
                    Ok(same) => Box::new(File::from(same)),
                    Err(_) => Box::new(std::io::sink()),
                }
            } else {
                Box::new(File::from(stderr))
            };
            interpret(
                program,
                &mut File::from(stdin),
                &mut File::from(stdout),
                &mut stderr,
                None,
                around,
                process,
            )
        }
        Streams::Terminal { ours, size } => {
            let mut terminal = File::from(ours);
            let Ok(mut input) = terminal.try_clone() else {
                return ExecExit::Code(1);
            };
            interpret(
                program,
                &mut input,
                &mut terminal,
                &mut std::io::sink(),
                Some(size),
                around,
                process,
            )
        }
        Streams::Nowhere => {
            let (mut empty, mut out, mut err) = (std::io::empty(), std::io::sink(), std::io::sink());
            interpret(program, &mut empty, &mut out, &mut err, None, around, process)
        }
    }
}

fn code(result: std::io::Result<()>) -> ExecExit {
    ExecExit::Code(u8::from(result.is_err()))
}

fn interpret(
    program: &Program,
    stdin: &mut dyn Read,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
    terminal: Option<WindowSize>,
    around: &Surroundings,
    process: &FakeProcess,
) -> ExecExit {
    let probe = match program {
        Program::Echo(words) => {
            let line = [words.join(&b' '), b"\n".to_vec()].concat();
            return code(stdout.write_all(&line));
        }
        Program::Probe(probe) => probe,
    };
    match probe {
        ProbeCommand::Exit(_) if around.is(Mutant::ExitCodeLost) => ExecExit::Code(0),
        ProbeCommand::Exit(code) => ExecExit::Code(*code),
        ProbeCommand::Cat => code(copy(stdin, stdout, around)),
        ProbeCommand::TwoStreams => code(stdout.write_all(b"out").and_then(|()| stderr.write_all(b"err"))),
        ProbeCommand::Variable(name) => {
            let leaked = around
                .is(Mutant::LeaksEnvironment)
                .then(|| std::env::var(name).ok())
                .flatten();
            let value = around
                .env
                .get(name)
                .cloned()
                .or(leaked)
                .unwrap_or_else(|| "unset".to_owned());
            code(stdout.write_all(value.as_bytes()))
        }
        ProbeCommand::WorkingDirectory => {
            let default = if around.is(Mutant::StartsInRoot) {
                "/"
            } else {
                WORKSPACE
            };
            let given = around.cwd.as_deref().filter(|_| !around.is(Mutant::IgnoresDirectory));
            code(writeln!(stdout, "{}", given.unwrap_or(default)))
        }
        ProbeCommand::Sleep => {
            process.next_signal();
            ExecExit::Code(0)
        }
        ProbeCommand::Trap => {
            let _ = stdout.write_all(b"armed\n");
            match process.next_signal() {
                Some(15) => ExecExit::Code(7),
                Some(other) => ExecExit::Signal(other),
                None => ExecExit::SandboxGone,
            }
        }
        ProbeCommand::KillSelf(signal) => ExecExit::Signal(*signal),
        ProbeCommand::Terminal => match terminal {
            Some(_) if around.is(Mutant::WrongWindowSize) => code(stdout.write_all(b"terminal 24 80\r\n")),
            Some(size) => code(write!(stdout, "terminal {} {}\r\n", size.rows, size.columns)),
            None => ExecExit::Code(1),
        },
        ProbeCommand::Connect(to) => connect(*to, around),
        ProbeCommand::Write { .. }
        | ProbeCommand::WriteLater { .. }
        | ProbeCommand::Read { .. }
        | ProbeCommand::Processes(_)
        | ProbeCommand::Memory(_)
        | ProbeCommand::Disk(_) => in_sandbox(probe, stdout, around),
    }
}

fn copy(stdin: &mut dyn Read, stdout: &mut dyn Write, around: &Surroundings) -> std::io::Result<()> {
    let most = if around.is(Mutant::TruncatesInput) {
        64 * 1024
    } else {
        u64::MAX
    };
    let mut input = stdin.take(most);
    let mut buffer = [0u8; 8192];
    loop {
        let count = input.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        if around.is(Mutant::MangledBytes) {
            buffer.iter_mut().for_each(|byte| *byte &= 0x7f);
        }
        stdout.write_all(&buffer[..count])?;
    }
}

fn connect(to: std::net::SocketAddr, around: &Surroundings) -> ExecExit {
    let closed = around.world.upgrade().is_some_and(|world| {
        let mut state = world.state();
        state
            .find(&around.extension_id, &around.sandbox_id)
            .is_none_or(|resource| resource.request.profile.network.default == NetworkDefault::Deny)
    });
    if closed && around.has_deny && !around.is(Mutant::NetworkLeaks) {
        return ExecExit::Code(1);
    }
    code(std::net::TcpStream::connect(to).map(drop))
}

/// Commands that look at or change the sandbox itself.
fn in_sandbox(probe: &ProbeCommand, stdout: &mut dyn Write, around: &Surroundings) -> ExecExit {
    let Some(world) = around.world.upgrade() else {
        return ExecExit::SandboxGone;
    };
    let now = world.clock().now();
    let mut state = world.state();
    let others: Vec<BTreeMap<_, _>> = state.resources.iter().map(|resource| resource.files.clone()).collect();
    let Some(resource) = state.find(&around.extension_id, &around.sandbox_id) else {
        return ExecExit::SandboxGone;
    };
    let profile = &resource.request.profile;
    let resources = if around.is(Mutant::LimitsAreWords) {
        Default::default()
    } else {
        profile.resources.clone()
    };
    let repo = resource.request.inputs.get("repo").map(Path::new);
    let read_only = profile.workspace.access == WorkspaceAccess::Ro && !around.is(Mutant::IgnoresReadOnly);
    match probe {
        ProbeCommand::Write { .. } | ProbeCommand::WriteLater { .. } if read_only => ExecExit::Code(1),
        ProbeCommand::Write { name, text } => {
            if let Some(repo) = repo
                && around.is(Mutant::WritesRepo)
            {
                let written = File::create(repo.join(name)).and_then(|mut file| file.write_all(text.as_bytes()));
                return code(written);
            }
            resource.files.insert(name.clone(), (now, text.clone()));
            ExecExit::Code(0)
        }
        ProbeCommand::WriteLater { name, text } => {
            if !around.is(Mutant::DetachedEnds) {
                let later = now.saturating_add(SignedDuration::from_secs(1)).unwrap_or(now);
                resource.files.insert(name.clone(), (later, text.clone()));
            }
            ExecExit::Code(0)
        }
        ProbeCommand::Read { name } => {
            let mut shared = others.iter().filter(|_| around.is(Mutant::SharedWorkspace));
            let written = resource
                .files
                .get(name)
                .or_else(|| shared.find_map(|files| files.get(name)));
            let text = match written {
                Some((from, text)) if *from <= now => Some(text.clone()),
                Some(_) => None,
                None => repo.and_then(|repo| {
                    let mut text = String::new();
                    File::open(repo.join(name))
                        .ok()?
                        .take(1 << 20)
                        .read_to_string(&mut text)
                        .ok()?;
                    Some(text)
                }),
            };
            text.map_or(ExecExit::Code(1), |text| code(stdout.write_all(text.as_bytes())))
        }
        ProbeCommand::Processes(count) if resources.pids.is_some_and(|most| *count > most) => ExecExit::Code(2),
        ProbeCommand::Memory(mib) if resources.memory_mb.is_some_and(|most| *mib > most) => ExecExit::Signal(9),
        ProbeCommand::Disk(mib) if resources.disk_mb.is_some_and(|most| *mib > most) => ExecExit::Code(1),
        ProbeCommand::Memory(mib) => code(writeln!(stdout, "{}", mib * 1024 * 1024)),
        _ => code(stdout.write_all(b"done")),
    }
}

/// The caller's side of a command.
pub(crate) struct FakeSession {
    pub(crate) process: Arc<FakeProcess>,
    pub(crate) terminal: Option<OwnedFd>,
    pub(crate) pid: u32,
    pub(crate) deaf: bool,
}

#[async_trait]
impl ExecSession for FakeSession {
    fn pid(&self) -> u32 {
        self.pid
    }

    fn take_terminal(&mut self) -> Option<OwnedFd> {
        self.terminal.take()
    }

    async fn wait(&mut self) -> Result<ExecExit, ExtensionError> {
        let mut exit = self.process.exit.subscribe();
        let ended = exit.wait_for(Option::is_some).await.ok().and_then(|exit| *exit);
        ended.ok_or_else(|| ExtensionError::new(ErrorKind::Unavailable, "the command's keeper is gone"))
    }

    fn signal(&mut self, signal: u8) -> Result<(), ExtensionError> {
        if self.deaf { Ok(()) } else { self.process.signal(signal) }
    }

    fn signaller(&self) -> Option<Signaller> {
        let process = self.process.clone();
        Some(Arc::new(move |signal| process.signal(signal)))
    }
}
