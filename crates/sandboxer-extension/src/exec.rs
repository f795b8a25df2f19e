//! Running a command inside a sandbox.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::ExtensionError;

/// What to run.
#[derive(Debug)]
pub struct ExecRequest {
    /// Program and arguments; at least one. Bytes, since file names are bytes.
    pub argv: Vec<Vec<u8>>,
    /// Variables set on top of the sandbox's own.
    pub env: Vec<(String, String)>,
    /// Where to start; the workspace when `None`.
    pub cwd: Option<String>,
    /// In which service, for backends that have several; `None`: the one that is meant without a name.
    pub service: Option<String>,
    /// Where its input and output go.
    pub stdio: ExecStdio,
    /// Nothing more is wanted of the sandbox once this command ends: the backend may begin to remove it then, without
    /// waiting for the `teardown` that follows and finishes it.
    pub last: bool,
}

/// Where the input and output of a command go.
#[derive(Debug)]
pub enum ExecStdio {
    /// These three file descriptors, byte for byte.
    Pipes {
        /// Standard input.
        stdin: OwnedFd,
        /// Standard output.
        stdout: OwnedFd,
        /// Standard error.
        stderr: OwnedFd,
    },
    /// A terminal inside the sandbox; the session hands out its other end.
    Terminal(WindowSize),
    /// Nowhere: the command goes on when the caller leaves; its output is kept by the sandbox, capped.
    Detached,
}

/// What to show of what a sandbox prints.
#[derive(Debug)]
pub struct LogsRequest {
    /// Of which service; `None`: of all.
    pub service: Option<String>,
    /// How many of the last lines of each.
    pub tail: u32,
    /// Whether to go on as more is printed.
    pub follow: Follow,
    /// Where it goes; what is wrong goes to the second.
    pub output: [OwnedFd; 2],
}

/// Whether to go on as more is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// Stop at what there is.
    No,
    /// Go on until the sandbox or the caller ends.
    Yes,
}

/// The size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExecExit {
    /// It exited with this code.
    Code(u8),
    /// It was killed by this signal.
    Signal(u8),
    /// The sandbox ended under it.
    SandboxGone,
}

impl ExecExit {
    /// What a shell would report: the code, 128 + signal, or 137 when the sandbox ended under it.
    pub fn shell_code(self) -> u8 {
        match self {
            ExecExit::Code(code) => code,
            ExecExit::Signal(signal) => 128u8.saturating_add(signal),
            ExecExit::SandboxGone => 137,
        }
    }
}

/// Sends a running command a signal, by number, from any thread. Errors as [`ExecSession::signal`].
pub type Signaller = Arc<dyn Fn(u8) -> Result<(), ExtensionError> + Send + Sync>;

/// A command that runs inside.
#[async_trait::async_trait]
pub trait ExecSession: Send {
    /// Its process id inside.
    fn pid(&self) -> u32;

    /// The other end of its terminal, once; `None` without one.
    fn take_terminal(&mut self) -> Option<OwnedFd>;

    /// Waits for its end.
    ///
    /// # Errors
    /// `Unavailable` when the way to the sandbox broke and its end cannot be told.
    async fn wait(&mut self) -> Result<ExecExit, ExtensionError>;

    /// Sends it a signal, by number.
    ///
    /// # Errors
    /// `NotFound` when it ended, `Unavailable`.
    fn signal(&mut self, signal: u8) -> Result<(), ExtensionError>;

    /// A handle that sends it signals while somebody else waits for its end; `None` where that cannot be had.
    fn signaller(&self) -> Option<Signaller> {
        None
    }
}
