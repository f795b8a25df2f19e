//! A program on a machine whose standard descriptors are the caller's: commands inside sandboxes.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::process::Stdio;

use tokio::sync::oneshot;

use super::child::{self, Ended, Wanted};
use super::client_log::ClientLog;
use super::{Machine, MachineError, verdict};

/// The standard descriptors of a program.
#[derive(Debug)]
pub struct AttachIo {
    /// Standard input.
    pub stdin: OwnedFd,
    /// Standard output.
    pub stdout: OwnedFd,
    /// Standard error.
    pub stderr: OwnedFd,
    /// Whether they are a terminal, and the program there is to have one.
    pub terminal: Terminal,
}

/// Whether a program has a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terminal {
    /// Bytes as they are.
    No,
    /// One at the other end, of the size of ours.
    Yes,
}

/// A program that runs. When this value goes, it is ended on our side.
#[derive(Debug)]
pub struct Attached {
    machine: Machine,
    pid: u32,
    ended: oneshot::Receiver<Ended>,
    log: Option<ClientLog>,
    _wanted: Wanted,
}

impl Attached {
    pub(super) fn start(
        machine: &Machine,
        argv: &[OsString],
        io: AttachIo,
        log: Option<ClientLog>,
    ) -> Result<Attached, MachineError> {
        let failed = |error: std::io::Error| MachineError::start(&machine.address, &error.to_string());
        let stdio = [Stdio::from(io.stdin), Stdio::from(io.stdout), Stdio::from(io.stderr)];
        let child = child::spawn(argv, &machine.environment(), stdio).map_err(failed)?;
        let pid = child.id();
        let (wanted, ended) = child::watch(child, None, log.clone()).map_err(failed)?;
        Ok(Attached {
            machine: machine.clone(),
            pid,
            ended,
            log,
            _wanted: wanted,
        })
    }

    /// The process on our side that carries it.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for its end; its exit code, or 128 + signal.
    ///
    /// # Errors
    /// The machine could not be reached, or the connection was lost, so that its end cannot be told.
    pub async fn wait(&mut self) -> Result<i32, MachineError> {
        let address = &self.machine.address;
        match (&mut self.ended).await {
            Ok(Ended::Code(code)) if address.is_local() => Ok(code),
            Ok(Ended::Code(code)) => {
                let story = self.log.as_ref().map(ClientLog::story);
                // What is on its standard error is its caller's, not ours to read.
                let unread = match story {
                    Some(_) => "`ssh` ended before it tried to connect, as it printed itself",
                    None => "the connection was closed by remote host, or the command ended with 255",
                };
                verdict::of_code(address, code, &story.unwrap_or_default(), unread.as_bytes()).map_or(Ok(code), Err)
            }
            _ => Err(MachineError::timed_out(address, std::time::Duration::ZERO)),
        }
    }
}
