//! A command that runs inside, as the contract sees it.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use sandboxer_extension::{ErrorKind, ExecExit, ExecSession, ExtensionError, Signaller, async_trait};
use sandboxer_native::runtime::{Exit, Running};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::extension::{SOON, blocking, does_one_thing, translate};

/// A command that runs inside.
pub(crate) struct Session {
    running: Option<Running>,
    exit: Option<ExecExit>,
    pid: u32,
    signaller: Option<Signaller>,
}

impl Session {
    pub(crate) fn new(running: Running) -> Session {
        let signaller = running.signaller().ok().map(|signaller| {
            let send = move |signal| signaller.send(signal).map_err(translate);
            Arc::new(send) as Signaller
        });
        Session {
            pid: u32::try_from(running.pid()).unwrap_or(0),
            running: Some(running),
            exit: None,
            signaller,
        }
    }
}

#[async_trait]
impl ExecSession for Session {
    fn pid(&self) -> u32 {
        self.pid
    }

    fn take_terminal(&mut self) -> Option<OwnedFd> {
        self.running.as_mut().and_then(Running::take_terminal)
    }

    async fn wait(&mut self) -> Result<ExecExit, ExtensionError> {
        if let Some(exit) = self.exit {
            return Ok(exit);
        }
        if !does_one_thing() {
            let Some(running) = self.running.as_mut() else {
                return Err(given_up());
            };
            let exit = match running.wait_at_most(Duration::ZERO) {
                Some(exit) => exit,
                None => {
                    readable(running).await?;
                    running.wait()
                }
            };
            let exit = told(exit);
            self.exit = Some(exit);
            return Ok(exit);
        }
        let Some(mut running) = self.running.take() else {
            return Err(given_up());
        };
        let (exit, running) = match running.wait_at_most(SOON) {
            Some(exit) => (exit, running),
            None => blocking(move || (running.wait(), running)).await?,
        };
        self.running = Some(running);
        let exit = told(exit);
        self.exit = Some(exit);
        Ok(exit)
    }

    fn signal(&mut self, signal: u8) -> Result<(), ExtensionError> {
        match &self.signaller {
            Some(signaller) if self.exit.is_none() => signaller(signal),
            _ => Err(ExtensionError::new(ErrorKind::NotFound, "the command has ended")),
        }
    }

    fn signaller(&self) -> Option<Signaller> {
        self.signaller.clone()
    }
}

/// Waits until there is news of a command. A process that does many things has an IO driver, and none of its threads waits.
#[expect(deprecated, reason = "safe for a descriptor that is borrowed while it is registered")]
async fn readable(running: &Running) -> Result<(), ExtensionError> {
    let failed = |error: std::io::Error| {
        ExtensionError::new(ErrorKind::Unavailable, format!("cannot wait for the command: {error}"))
    };
    let socket = AsyncFd::with_interest(running.as_fd(), Interest::READABLE).map_err(failed)?;
    socket.readable().await.map(drop).map_err(failed)
}

fn told(exit: Exit) -> ExecExit {
    match exit {
        Exit::Code(code) => ExecExit::Code(code),
        Exit::Signal(signal) => ExecExit::Signal(signal),
        Exit::SandboxGone => ExecExit::SandboxGone,
    }
}

fn given_up() -> ExtensionError {
    ExtensionError::new(ErrorKind::Unavailable, "an earlier wait for this command was given up")
}
