//! The runtime as its callers see it: launch, run commands, move the deadline, look, remove. No daemon: any process of
//! the same user can do any of these to any sandbox, whoever made it.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use rustix::process::Signal;
use sandboxer_model::cleanup::{CleanupItem, CleanupReport, Presence};
use sandboxer_model::isolation::Limit;
use sandboxer_model::money::Usage;

use crate::cgroup::Hierarchies;
use crate::error::{Kind, NativeError, Tried};
use crate::exec_wire::{self, Bytes, ExecReply, ExecSpec, Stdio, ToInit};
use crate::fence;
use crate::files;
use crate::identity;
use crate::layout::{Home, Layout};
use crate::reap;
use crate::shim;
use crate::socket;
use crate::spec::{EndedRecord, FromShim, How, Intent, LaunchSpec, Launched, Machine, ToShim};
use crate::wire;

/// The hidden first argument that makes the binary a keeper.
pub(crate) const SHIM_ARGUMENT: &str = "__shim";

/// Longest wait for a sandbox to be made; the keeper itself gives up earlier.
const LAUNCH_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait for an answer that needs no work.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The runtime over one directory.
#[derive(Debug, Clone)]
pub struct Runtime {
    layout: Layout,
    /// Looked up when first needed.
    machine: Arc<OnceLock<Machine>>,
}

/// A keeper that waits for something to keep.
#[derive(Debug)]
pub struct Spare {
    socket: OwnedFd,
    /// The keeper's short-lived parent, to be reaped.
    parent: Option<std::process::Child>,
}

impl Spare {
    /// Starts a keeper as a copy of this process, in a third of the time of a program start.
    ///
    /// # Errors
    /// This process has several threads.
    pub fn fork() -> Result<Spare, NativeError> {
        Ok(Spare {
            socket: shim::fork_keeper()?,
            parent: None,
        })
    }

    /// Hands over the socket, once the keeper's parent is gone.
    fn into_socket(mut self) -> Result<OwnedFd, NativeError> {
        let socket = self.socket.try_clone().tried("copy a descriptor")?;
        self.reap();
        Ok(socket)
    }

    fn reap(&mut self) {
        // It ended with its first instructions; what is waited for is at most that.
        if let Some(mut parent) = self.parent.take() {
            let _ = parent.wait();
        }
    }
}

/// Reaps the keeper's parent, so that an unused spare leaves no zombie. The keeper itself ends by its closed socket.
impl Drop for Spare {
    fn drop(&mut self) {
        self.reap();
    }
}

/// The way to the keeper of a sandbox that this process made.
#[derive(Debug)]
pub struct Keeper {
    socket: OwnedFd,
}

impl Keeper {
    /// Has the sandbox removed as soon as it ends by itself. The answer is for the [`Runtime::destroy`] that follows.
    ///
    /// # Errors
    /// `Failed` when the keeper is gone.
    pub fn remove_at_end(&self, epoch: u64) -> Result<(), NativeError> {
        wire::send_json(self.socket.as_fd(), &ToShim::DestroyAtEnd { epoch }).tried("tell the sandbox's keeper")
    }
}

/// A sandbox that is ready.
#[derive(Debug)]
pub struct Launch {
    /// What stands.
    pub launched: Launched,
    /// The way to its keeper; `None` when it was made before.
    pub keeper: Option<Keeper>,
}

/// A sandbox that is being made.
#[derive(Debug)]
pub struct Launching(Begun);

#[derive(Debug)]
enum Begun {
    Found(Launched),
    Asked {
        runtime: Runtime,
        home: Home,
        socket: OwnedFd,
    },
}

impl Launching {
    /// Waits until it is ready or failed, at most this long; whether it is.
    pub fn wait_at_most(&self, timeout: Duration) -> bool {
        match &self.0 {
            Begun::Found(_) => true,
            Begun::Asked { socket, .. } => wire::wait_readable(socket.as_fd(), timeout).unwrap_or(true),
        }
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// As [`Runtime::launch`].
    pub fn wait(self) -> Result<Launch, NativeError> {
        let (runtime, home, socket) = match self.0 {
            Begun::Found(launched) => return Ok(Launch { launched, keeper: None }),
            Begun::Asked { runtime, home, socket } => (runtime, home, socket),
        };
        match answer(socket.as_fd(), LAUNCH_TIMEOUT)? {
            FromShim::Launched(launched) => Ok(Launch {
                launched: *launched,
                keeper: Some(Keeper { socket }),
            }),
            FromShim::Refused(error) if error.kind == Kind::Busy => match runtime.running(&home) {
                Some(launched) => Ok(Launch { launched, keeper: None }),
                None => Err(error),
            },
            FromShim::Refused(error) => Err(error),
            FromShim::Destroyed { .. } | FromShim::Usage(_) => Err(nonsense()),
        }
    }
}

/// What is known of a sandbox.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// Whether anything of it exists.
    pub presence: Presence,
    /// Whether its first process runs.
    pub alive: bool,
    /// How it ended by itself.
    pub ended: Option<How>,
    /// What it used, if it ended by itself.
    pub usage: Option<Usage>,
    /// For people.
    pub detail: String,
}

/// One sandbox directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The sandbox.
    pub id: String,
    /// Its owner, if its intent can be read.
    pub installation: Option<String>,
    /// The epoch it was made under.
    pub epoch: Option<u64>,
}

impl Runtime {
    /// The runtime over this directory; it is made when first needed.
    pub fn new(root: &Path) -> Runtime {
        Runtime {
            layout: Layout::new(root),
            machine: Arc::default(),
        }
    }

    /// What the machine offers does not change while a process lives.
    fn machine(&self) -> &Machine {
        self.machine.get_or_init(|| Machine {
            hierarchies: Hierarchies::detect(rustix::process::geteuid().is_root()),
            boot: identity::boot_id(),
        })
    }

    /// Starts a keeper before it is known what to keep. One that is dropped leaves nothing behind.
    ///
    /// # Errors
    /// The keeper cannot be started.
    pub fn spare(&self) -> Result<Spare, NativeError> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the keeper is this program itself, started by the runtime"
        )]
        let mut command = std::process::Command::new("/proc/self/exe");
        let (ours, theirs) = wire::pair().tried("make a socket pair")?;
        command
            .arg(SHIM_ARGUMENT)
            .env_clear()
            .envs(crate::weaken::inherited_environment())
            .stdin(std::process::Stdio::from(theirs))
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        let parent = command.spawn().tried("start the sandbox's keeper")?;
        Ok(Spare {
            socket: ours,
            parent: Some(parent),
        })
    }

    /// What would hold each limit here.
    ///
    /// # Errors
    /// `CannotEnforce` when the launch would refuse it.
    pub fn check(&self, spec: &LaunchSpec) -> Result<Vec<Limit>, NativeError> {
        check_source(spec)?;
        shim::plan_limits(spec, &self.machine().hierarchies).map(|plan| plan.report)
    }

    /// Makes a sandbox, or finds the one of the same id.
    ///
    /// # Errors
    /// Any kind; what was made before the failure has been removed.
    pub fn launch(&self, spec: &LaunchSpec, spare: Option<Spare>) -> Result<Launch, NativeError> {
        self.begin_launch(spec, spare)?.wait()
    }

    /// Begins to make a sandbox, or finds the one of the same id.
    ///
    /// # Errors
    /// As [`Runtime::launch`].
    pub fn begin_launch(&self, spec: &LaunchSpec, spare: Option<Spare>) -> Result<Launching, NativeError> {
        let home = self.layout.home(&spec.id);
        if let Some(launched) = self.running(&home) {
            fence::raise(&self.layout, &spec.id, spec.epoch)?;
            return Ok(Launching(Begun::Found(launched)));
        }
        check_source(spec)?;
        let spare = match spare {
            Some(spare) => spare,
            None => self.spare()?,
        };
        let socket = spare.into_socket()?;
        let request = ToShim::Launch {
            spec: Box::new(spec.clone()),
            machine: self.machine().clone(),
        };
        wire::send_json(socket.as_fd(), &request).tried("ask the keeper")?;
        Ok(Launching(Begun::Asked {
            runtime: self.clone(),
            home,
            socket,
        }))
    }

    /// What was made under this id, if it runs.
    pub fn find(&self, id: &str) -> Option<Launched> {
        self.running(&self.layout.home(id))
    }

    fn running(&self, home: &Home) -> Option<Launched> {
        let launched = files::read_json::<Launched>(&home.state()).ok()?;
        launched.init.is_alive(&self.machine().boot).then_some(launched)
    }

    /// Starts a command. With [`CommandIo::Pipes`] its descriptors are the caller's own, byte for byte.
    ///
    /// # Errors
    /// `NotFound` when the sandbox does not run, `Invalid` when the request is too large.
    pub fn exec(&self, id: &str, command: Command<'_>) -> Result<Running, NativeError> {
        let socket = self.connect_init(id)?;
        let stdio = match &command.io {
            CommandIo::Pipes(_) => Stdio::Pipes,
            CommandIo::Terminal { rows, columns } => Stdio::Terminal {
                rows: *rows,
                columns: *columns,
            },
            CommandIo::Detached => Stdio::Detached,
        };
        let spec = ExecSpec {
            sandbox: id.to_owned(),
            argv: command.argv.into_iter().map(Bytes::new).collect(),
            env: command.env,
            cwd: command.cwd,
            stdio,
            last: command.last,
            log: format!(
                "/tmp/exec-{}-{}.log",
                rustix::process::getpid().as_raw_nonzero(),
                identity::unix_ms()
            ),
        };
        let fds = match command.io {
            CommandIo::Pipes(fds) => fds.to_vec(),
            CommandIo::Terminal { .. } | CommandIo::Detached => Vec::new(),
        };
        exec_wire::send(socket.as_fd(), &ToInit::Exec(Box::new(spec)), &fds).map_err(|errno| match errno {
            Errno::TOOBIG => NativeError::new(Kind::Invalid, "arguments and environment are larger than 4 MiB"),
            Errno::PIPE | Errno::CONNRESET => gone(id),
            other => NativeError::io("send the command to the sandbox", other),
        })?;
        let mut running = Running {
            socket,
            pid: 0,
            terminal: None,
        };
        running.await_start(id)?;
        Ok(running)
    }

    /// Moves the deadline to this time, in milliseconds since 1970; rounded up to a second.
    ///
    /// # Errors
    /// `NotFound`, `Fenced`.
    pub fn set_deadline(&self, id: &str, epoch: u64, deadline_ms: i64) -> Result<i64, NativeError> {
        fence::raise(&self.layout, id, epoch)?;
        let left = u64::try_from(deadline_ms.saturating_sub(identity::unix_ms())).unwrap_or(0);
        let in_secs = left.div_ceil(1000);
        self.ask_init(id, &ToInit::Deadline { in_secs })
    }

    /// When its first process will end it, in milliseconds since 1970.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn deadline(&self, id: &str) -> Result<i64, NativeError> {
        self.ask_init(id, &ToInit::Ping)
    }

    fn ask_init(&self, id: &str, request: &ToInit) -> Result<i64, NativeError> {
        let socket = self.connect_init(id)?;
        exec_wire::send(socket.as_fd(), request, &[]).map_err(|_| gone(id))?;
        if !wire::wait_readable(socket.as_fd(), ANSWER_TIMEOUT).tried("wait for the sandbox")? {
            return Err(NativeError::new(
                Kind::Timeout,
                format!("{id} did not answer within {ANSWER_TIMEOUT:?}"),
            ));
        }
        match wire::recv_json::<ExecReply>(socket.as_fd()).tried("hear from the sandbox")? {
            Some(ExecReply::Alive { deadline_ms }) => Ok(deadline_ms),
            Some(ExecReply::Refused { why }) => Err(NativeError::new(Kind::Failed, why)),
            Some(_) => Err(nonsense()),
            None => Err(gone(id)),
        }
    }

    fn connect_init(&self, id: &str) -> Result<OwnedFd, NativeError> {
        socket::connect(&self.layout.home(id).path, "init.sock").map_err(|_| gone(id))
    }

    /// What it used so far.
    ///
    /// # Errors
    /// `NotFound` when it does not run and left no note.
    pub fn usage(&self, id: &str) -> Result<Usage, NativeError> {
        let home = self.layout.home(id);
        if let Ok(socket) = socket::connect(&home.path, "shim.sock")
            && wire::send_json(socket.as_fd(), &ToShim::Usage).is_ok()
            && let Ok(FromShim::Usage(usage)) = answer(socket.as_fd(), ANSWER_TIMEOUT)
        {
            return Ok(usage);
        }
        if let Ok(note) = files::read_json::<EndedRecord>(&home.ended()) {
            return Ok(note.usage);
        }
        // Its keeper is gone, its groups may still account for it.
        match files::read_json::<Intent>(&home.intent()) {
            Ok(intent) if self.running(&home).is_some() => Ok(crate::cgroup::usage(&intent.cgroups)),
            _ => Err(gone(id)),
        }
    }

    /// What is known of it right now.
    pub fn observe(&self, id: &str) -> Observed {
        let home = self.layout.home(id);
        let absent = Observed {
            presence: Presence::Absent,
            alive: false,
            ended: None,
            usage: None,
            detail: String::new(),
        };
        match rustix::fs::stat(&home.path) {
            Err(Errno::NOENT) => {
                return Observed {
                    detail: "nothing of it exists".to_owned(),
                    ..absent
                };
            }
            Err(error) => {
                let detail = format!("cannot look: {}", std::io::Error::from(error));
                return Observed {
                    presence: Presence::Unknown,
                    detail,
                    ..absent
                };
            }
            Ok(_) => {}
        }
        let present = Observed {
            presence: Presence::Present,
            ..absent
        };
        if let Ok(note) = files::read_json::<EndedRecord>(&home.ended()) {
            let detail = match note.how {
                How::Deadline => "its deadline passed",
                How::Killed => "its first process was killed",
                How::OutOfMemory => "it used more memory than it may",
                How::OutOfDisk => "it used more disk than it may",
            };
            return Observed {
                ended: Some(note.how),
                usage: Some(note.usage),
                detail: detail.to_owned(),
                ..present
            };
        }
        match files::read_json::<Launched>(&home.state()) {
            Ok(launched) => {
                let boot = &self.machine().boot;
                let alive = launched.init.is_alive(boot);
                let keeper = launched.shim.is_alive(boot);
                let detail = match (alive, keeper) {
                    (true, true) => format!("running, first process {}", launched.init.pid),
                    (true, false) => format!("running without its keeper, first process {}", launched.init.pid),
                    (false, _) if launched.init.boot != *boot => "the machine was restarted".to_owned(),
                    (false, _) => "its first process is gone".to_owned(),
                };
                // Between the end of pid 1 and the keeper's note there is a moment: the keeper is asked first.
                let ended = (!alive && !keeper).then_some(How::Killed);
                Observed {
                    alive,
                    ended,
                    detail,
                    ..present
                }
            }
            Err(_) => Observed {
                detail: "half made".to_owned(),
                ..present
            },
        }
    }

    /// Every sandbox directory.
    ///
    /// # Errors
    /// The directory cannot be read: then nothing is known.
    pub fn list(&self) -> Result<Vec<Listed>, NativeError> {
        let names = match files::names(&self.layout.sandboxes()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            other => other.tried(&format!("list {}", self.layout.sandboxes().display()))?,
        };
        Ok(names
            .into_iter()
            .map(|id| {
                let intent = files::read_json::<Intent>(&self.layout.home(&id).intent()).ok();
                Listed {
                    installation: intent.as_ref().map(|intent| intent.installation.clone()),
                    epoch: intent.map(|intent| intent.epoch),
                    id,
                }
            })
            .collect())
    }

    /// Removes everything of a sandbox, from any half-done state, and looks again to prove it.
    ///
    /// # Errors
    /// `Fenced`, `Busy` when somebody else works on it for longer than `timeout`.
    pub fn destroy(
        &self,
        id: &str,
        epoch: u64,
        keeper: Option<Keeper>,
        timeout: Duration,
    ) -> Result<(CleanupReport, Option<Usage>), NativeError> {
        let home = self.layout.home(id);
        let deadline = identity::monotonic() + timeout;
        let keeper = keeper
            .map(|keeper| keeper.socket)
            .or_else(|| socket::connect(&home.path, "shim.sock").ok());
        if let Some(socket) = keeper
            // The other half is for doing it without a keeper that hangs.
            && let Some(answer) = ask_keeper(socket.as_fd(), epoch, timeout / 2)
        {
            return match answer {
                FromShim::Destroyed { report, usage } => {
                    wait_for_end(socket.as_fd());
                    Ok((self.verified(id, report), Some(usage)))
                }
                FromShim::Refused(error) => Err(error),
                FromShim::Launched(_) | FromShim::Usage(_) => Err(nonsense()),
            };
        }
        self.destroy_without_keeper(id, epoch, &home, deadline)
    }

    fn destroy_without_keeper(
        &self,
        id: &str,
        epoch: u64,
        home: &Home,
        deadline: Duration,
    ) -> Result<(CleanupReport, Option<Usage>), NativeError> {
        fence::check(&self.layout, id, epoch)?;
        if !home.path.exists() {
            self.leave_fence(id, epoch)?;
            let item = reap::remove_directory(&self.layout, home, id);
            return Ok((CleanupReport::new(vec![item]), None));
        }
        let Some(_lock) = self.lock(home, deadline)? else {
            // It went away while we waited: by now somebody removed it whole.
            self.leave_fence(id, epoch)?;
            return Ok((
                CleanupReport::new(vec![reap::remove_directory(&self.layout, home, id)]),
                None,
            ));
        };
        fence::check(&self.layout, id, epoch)?;
        let usage = self.usage(id).ok();
        if epoch > fence::highest(&self.layout, id) || !home.intent().exists() {
            self.leave_fence(id, epoch)?;
        }
        let report = reap::remove_all(&self.layout, home, id);
        Ok((self.verified(id, report), usage))
    }

    fn leave_fence(&self, id: &str, epoch: u64) -> Result<(), NativeError> {
        self.layout.prepare().tried("make the runtime's directory")?;
        fence::leave(&self.layout, id, epoch)
    }

    /// The sandbox's lock; `None` when it is gone. A keeper that holds it past the deadline is ended.
    fn lock(&self, home: &Home, deadline: Duration) -> Result<Option<File>, NativeError> {
        let mut keeper_told = false;
        loop {
            let lock = match files::open_lock(&home.lock()) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                other => other.tried("open the sandbox's lock")?,
            };
            if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
                return Ok(Some(lock));
            }
            let left = deadline.saturating_sub(identity::monotonic());
            if left < Duration::from_secs(2) && !keeper_told {
                keeper_told = true;
                end_keeper(home);
            }
            if left.is_zero() {
                return Err(
                    NativeError::new(Kind::Busy, "another process works on this sandbox").hint("try again in a moment")
                );
            }
            let nap = rustix::time::Timespec {
                tv_sec: 0,
                tv_nsec: 2_000_000,
            };
            let _ = rustix::thread::nanosleep(&nap);
        }
    }

    /// Adds the last look to a report: from here, after everything.
    fn verified(&self, id: &str, report: CleanupReport) -> CleanupReport {
        let observed = self.observe(id);
        let mut items = report.items;
        if observed.presence != Presence::Absent && items.iter().all(|item| item.now == Presence::Absent) {
            items.push(CleanupItem {
                kind: "directory".to_owned(),
                name: id.to_owned(),
                found: true,
                now: observed.presence,
                detail: observed.detail,
            });
        }
        CleanupReport::new(items)
    }
}

/// Refuses a workspace that is not a directory.
fn check_source(spec: &LaunchSpec) -> Result<(), NativeError> {
    match &spec.workspace.source {
        Some(source) if !source.is_dir() => Err(NativeError::new(
            Kind::Invalid,
            format!("the workspace {} is not a directory", source.display()),
        )
        .hint("give an existing directory: --input repo=DIR")),
        _ => Ok(()),
    }
}

/// Ends a keeper that hangs.
fn end_keeper(home: &Home) {
    if let Ok(intent) = files::read_json::<Intent>(&home.intent())
        && let Some(fd) = intent.shim.and_then(|shim| shim.open(&identity::boot_id()))
    {
        let _ = rustix::process::pidfd_send_signal(&fd, Signal::KILL);
    }
}

fn ask_keeper(socket: BorrowedFd<'_>, epoch: u64, timeout: Duration) -> Option<FromShim> {
    // A keeper that was told before may have done it and be gone: then its answer waits.
    let _ = wire::send_json(socket, &ToShim::Destroy { epoch });
    answer(socket, timeout).ok()
}

/// The keeper ends right after its answer; its end of the socket closes with it.
fn wait_for_end(socket: BorrowedFd<'_>) {
    let _ = wire::wait_readable(socket, Duration::from_secs(1));
}

fn answer(socket: BorrowedFd<'_>, timeout: Duration) -> Result<FromShim, NativeError> {
    if !wire::wait_readable(socket, timeout).tried("wait for the sandbox's keeper")? {
        return Err(NativeError::new(
            Kind::Timeout,
            format!("the sandbox's keeper did not answer within {timeout:?}"),
        ));
    }
    wire::recv_json(socket)
        .tried("hear from the sandbox's keeper")?
        .ok_or_else(|| NativeError::new(Kind::Failed, "the sandbox's keeper ended without an answer"))
}

fn gone(id: &str) -> NativeError {
    NativeError::new(Kind::NotFound, format!("{id} does not run here"))
}

fn nonsense() -> NativeError {
    NativeError::new(Kind::Failed, "the sandbox's keeper gave an answer to another question")
}

/// A command to start.
#[derive(Debug)]
pub struct Command<'a> {
    /// Program and arguments.
    pub argv: Vec<Vec<u8>>,
    /// Variables on top of the sandbox's own.
    pub env: Vec<(String, String)>,
    /// Where to start; the workspace when `None`.
    pub cwd: Option<String>,
    /// Where input and output go.
    pub io: CommandIo<'a>,
    /// The sandbox ends with it.
    pub last: bool,
}

/// Where the input and output of a command go.
#[derive(Debug)]
pub enum CommandIo<'a> {
    /// Copies of these three descriptors.
    Pipes([BorrowedFd<'a>; 3]),
    /// A terminal inside.
    Terminal {
        /// Lines.
        rows: u16,
        /// Columns.
        columns: u16,
    },
    /// A file in the sandbox's `/tmp`; the command stays when the caller leaves.
    Detached,
}

/// A command that runs.
#[derive(Debug)]
pub struct Running {
    socket: OwnedFd,
    pid: i32,
    terminal: Option<OwnedFd>,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Exit code.
    Code(u8),
    /// Signal.
    Signal(u8),
    /// The sandbox ended under it.
    SandboxGone,
}

impl Running {
    fn await_start(&mut self, id: &str) -> Result<(), NativeError> {
        let packet = wire::recv(self.socket.as_fd()).ok().flatten().ok_or_else(|| gone(id))?;
        match serde_json::from_slice(&packet.bytes) {
            Ok(ExecReply::Started { pid }) => {
                self.pid = pid;
                self.terminal = packet.fds.into_iter().next();
                Ok(())
            }
            Ok(ExecReply::CannotStart { errno }) => {
                let why = std::io::Error::from_raw_os_error(errno);
                let error = NativeError::new(Kind::Failed, format!("cannot make a process in {id}: {why}"));
                Err(if errno == libc::EAGAIN {
                    error.hint("its limit of processes is reached (`resources.pids`)")
                } else {
                    error
                })
            }
            Ok(ExecReply::Refused { why }) => Err(NativeError::new(Kind::Invalid, why)),
            _ => Err(nonsense()),
        }
    }

    /// Its process id inside.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The other end of its terminal, once.
    pub fn take_terminal(&mut self) -> Option<OwnedFd> {
        self.terminal.take()
    }

    /// Becomes readable when there is news of its end.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// A copy of the connection, for sending signals while its end is awaited.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn signaller(&self) -> Result<Signaller, NativeError> {
        self.socket
            .try_clone()
            .map(|socket| Signaller { socket })
            .tried("copy a descriptor")
    }

    /// Waits for its end, at most this long; `None` when it has not ended by then.
    pub fn wait_at_most(&mut self, timeout: Duration) -> Option<Exit> {
        wire::wait_readable(self.socket.as_fd(), timeout)
            .unwrap_or(true)
            .then(|| self.wait())
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> Exit {
        loop {
            match wire::recv_json::<ExecReply>(self.socket.as_fd()) {
                Ok(Some(ExecReply::Exited { code })) => return Exit::Code(code),
                Ok(Some(ExecReply::Signaled { signal })) => return Exit::Signal(signal),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return Exit::SandboxGone,
            }
        }
    }
}

/// Sends signals to a command.
#[derive(Debug)]
pub struct Signaller {
    socket: OwnedFd,
}

impl Signaller {
    /// Sends one, by number.
    ///
    /// # Errors
    /// `NotFound` when the sandbox ended.
    pub fn send(&self, signal: u8) -> Result<(), NativeError> {
        exec_wire::send(self.socket.as_fd(), &ToInit::Signal(signal), &[])
            .map_err(|_| NativeError::new(Kind::NotFound, "the sandbox ended"))
    }
}

/// The directory of the runtime below a data directory.
pub fn root_in(data_dir: &Path) -> PathBuf {
    data_dir.join("native")
}
