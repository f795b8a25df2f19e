//! Commands inside, as their callers hold them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;

use super::{Runtime, gone, nonsense};
use crate::error::{Kind, NativeError, Tried};
use crate::exec_wire::{self, Bytes, ExecReply, ExecSpec, Stdio, ToInit};
use crate::wire;

/// Longest wait for a process to be made.
const START_TIMEOUT: Duration = Duration::from_secs(30);

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
    exit: Option<Exit>,
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
        if !wire::wait_readable(self.socket.as_fd(), START_TIMEOUT).tried("wait for the sandbox")? {
            return Err(NativeError::new(
                Kind::Timeout,
                format!("{id} did not start the command within {START_TIMEOUT:?}"),
            )
            .hint(
                "something inside holds up its first process; it still ends at its deadline, or by `sandboxer destroy`",
            ));
        }
        let packet = wire::recv(self.socket.as_fd()).ok().flatten().ok_or_else(|| gone(id))?;
        match serde_json::from_slice(&packet.bytes) {
            Ok(ExecReply::Started { pid }) => {
                self.pid = pid;
                self.terminal = packet.fds.into_iter().next();
                Ok(())
            }
            // It was killed from inside before it could say that it is there.
            Ok(ExecReply::Exited { code }) => {
                self.exit = Some(Exit::Code(code));
                Ok(())
            }
            Ok(ExecReply::Signaled { signal }) => {
                self.exit = Some(Exit::Signal(signal));
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
        (self.exit.is_some() || wire::wait_readable(self.socket.as_fd(), timeout).unwrap_or(true)).then(|| self.wait())
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> Exit {
        if let Some(exit) = self.exit {
            return exit;
        }
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

impl Runtime {
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
                "/tmp/exec-{}.log",
                // Not to be guessed: commands could put something else there.
                crate::files::read_line("/proc/sys/kernel/random/uuid").unwrap_or_default()
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
            exit: None,
        };
        running.await_start(id)?;
        Ok(running)
    }
}
