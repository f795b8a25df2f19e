//! Pipes and terminals whose near ends wait for nobody: reading and writing suspend a task and never a thread.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::termios::{Winsize, tcsetwinsize};
use sandboxer_extension::{ExecStdio, WindowSize};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncWriteExt as _, Interest};
use tokio::net::unix::pipe;

/// The near ends of the streams of a command.
#[derive(Debug)]
pub(crate) struct Pipes {
    /// What it reads.
    pub(crate) stdin: Sink,
    /// What it prints.
    pub(crate) stdout: Source,
    /// Its errors.
    pub(crate) stderr: Source,
}

impl Pipes {
    /// Three pipes: near ends, and far ends for the command. None of them is open in any other program.
    ///
    /// # Errors
    /// No descriptors are left.
    pub(crate) fn new() -> io::Result<(Pipes, ExecStdio)> {
        let (stdin, far_stdin) = sink()?;
        let (stdout, far_stdout) = source()?;
        let (stderr, far_stderr) = source()?;
        let near = Pipes { stdin, stdout, stderr };
        let far = ExecStdio::Pipes {
            stdin: far_stdin,
            stdout: far_stdout,
            stderr: far_stderr,
        };
        Ok((near, far))
    }
}

/// A pipe to read from here, and its far end.
///
/// # Errors
/// No descriptors are left.
pub(crate) fn source() -> io::Result<(Source, OwnedFd)> {
    let (near, far) = pipe_with(PipeFlags::CLOEXEC)?;
    Ok((Source::Pipe(pipe::Receiver::from_owned_fd(near)?), far))
}

fn sink() -> io::Result<(Sink, OwnedFd)> {
    let (far, near) = pipe_with(PipeFlags::CLOEXEC)?;
    Ok((Sink::of_pipe(near)?, far))
}

/// What a command prints.
#[derive(Debug)]
pub(crate) enum Source {
    /// A pipe.
    Pipe(pipe::Receiver),
    /// Its terminal.
    Terminal(Terminal),
}

impl Source {
    /// Waits until there is something to read, or never will be.
    ///
    /// # Errors
    /// The descriptor cannot be waited for.
    pub(crate) async fn ready(&self) -> io::Result<()> {
        match self {
            Source::Pipe(pipe) => pipe.readable().await,
            Source::Terminal(terminal) => terminal.0.readable().await.map(drop),
        }
    }

    /// Reads what there is, and waits until there is something; 0 at the end.
    ///
    /// # Errors
    /// The descriptor cannot be read.
    pub(crate) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Source::Pipe(pipe) => loop {
                pipe.readable().await?;
                match pipe.try_read(buffer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    other => return other,
                }
            },
            Source::Terminal(terminal) => terminal.read(buffer).await,
        }
    }

    /// Reads what there is; `None` when there is nothing at this moment.
    ///
    /// # Errors
    /// The descriptor cannot be read.
    pub(crate) fn read_now(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let read = match self {
            // The pipe itself and not what the runtime last heard of it.
            Source::Pipe(pipe) => rustix::io::read(pipe.as_fd(), buffer),
            Source::Terminal(terminal) => rustix::io::read(terminal.0.get_ref(), buffer),
        };
        match read {
            Ok(count) => Ok(Some(count)),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(None),
            // How a terminal says that its last user is gone.
            Err(rustix::io::Errno::IO) => Ok(Some(0)),
            Err(error) => Err(error.into()),
        }
    }
}

/// What a command reads.
#[derive(Debug)]
pub(crate) enum Sink {
    /// A pipe.
    Pipe(pipe::Sender),
    /// Its terminal.
    Terminal(Terminal),
}

impl Sink {
    /// The near end of a pipe.
    ///
    /// # Errors
    /// It is none, or cannot be waited for.
    pub(crate) fn of_pipe(near: OwnedFd) -> io::Result<Sink> {
        Ok(Sink::Pipe(pipe::Sender::from_owned_fd(near)?))
    }

    /// Writes all of it, as fast as the command reads.
    ///
    /// # Errors
    /// Nobody reads it any more.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Sink::Pipe(pipe) => pipe.write_all(bytes).await,
            Sink::Terminal(terminal) => terminal.write(bytes).await,
        }
    }

    /// Says that nothing more comes.
    pub(crate) async fn end(self) {
        if let Sink::Terminal(terminal) = self {
            // What somebody at the terminal would type.
            let _ = terminal.write(&[4]).await;
        }
    }
}

/// The near end of a command's terminal.
#[derive(Debug, Clone)]
pub(crate) struct Terminal(Arc<AsyncFd<OwnedFd>>);

impl Terminal {
    /// Over the descriptor that the session hands out.
    ///
    /// # Errors
    /// It cannot be waited for.
    #[expect(deprecated, reason = "safe for a descriptor that is owned while it is registered")]
    pub(crate) fn new(near: OwnedFd) -> io::Result<Terminal> {
        let flags = fcntl_getfl(&near)?;
        fcntl_setfl(&near, flags | OFlags::NONBLOCK)?;
        Ok(Terminal(Arc::new(AsyncFd::new(near)?)))
    }

    /// Gives it another size; its programs are told.
    ///
    /// # Errors
    /// It is gone.
    pub(crate) fn resize(&self, size: WindowSize) -> io::Result<()> {
        let size = Winsize {
            ws_row: size.rows,
            ws_col: size.columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        Ok(tcsetwinsize(self.0.get_ref(), size)?)
    }

    async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = |fd: &OwnedFd| rustix::io::read(fd, &mut *buffer).map_err(io::Error::from);
        match self.0.async_io(Interest::READABLE, read).await {
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => Ok(0),
            other => other,
        }
    }

    async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let write = |fd: &OwnedFd| rustix::io::write(fd, bytes).map_err(io::Error::from);
            let written = self.0.async_io(Interest::WRITABLE, write).await?;
            bytes = bytes.get(written..).unwrap_or_default();
        }
        Ok(())
    }
}
