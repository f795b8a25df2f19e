//! The caller's terminal while a command inside has one: raw mode, bytes both ways, size.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rustix::termios::{OptionalActions, Termios, Winsize, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};
use sandboxer_extension::WindowSize;
use sandboxer_model::error::{ErrorCode, UserError};

use crate::error::usage;

/// Settings of the caller's terminal before raw mode; whoever ends the process puts them back.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// The size of the caller's terminal.
///
/// # Errors
/// Standard input is not a terminal.
pub(crate) fn size() -> Result<WindowSize, UserError> {
    let size = tcgetwinsize(rustix::stdio::stdin()).map_err(|_| {
        usage("cannot give the command a terminal: standard input is not a terminal")
            .hint("leave `--tty` out; standard input is passed on byte for byte")
    })?;
    Ok(WindowSize {
        rows: size.ws_row,
        columns: size.ws_col,
    })
}

/// Puts the caller's terminal back as it was.
pub(crate) fn restore() {
    if let Some(before) = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take() {
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, &before);
    }
}

fn failed(what: &str, error: &std::io::Error) -> UserError {
    UserError::new(
        ErrorCode::Internal,
        format!("cannot connect the terminal: {what}: {error}"),
    )
}

/// Puts the caller's terminal into raw mode, until [`restore`].
///
/// # Errors
/// It cannot be set.
pub(crate) fn make_raw() -> Result<(), UserError> {
    let before = tcgetattr(rustix::stdio::stdin()).map_err(|error| failed("reading its settings", &error.into()))?;
    let mut raw = before.clone();
    raw.make_raw();
    *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
    tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, &raw)
        .map_err(|error| failed("setting raw mode", &error.into()))
}

/// Tells each new size of the caller's terminal, from a thread, until `tell` says that nobody wants to know.
///
/// # Errors
/// No thread can be started.
pub(crate) fn follow_size(mut tell: impl FnMut(WindowSize) -> bool + Send + 'static) -> Result<(), UserError> {
    std::thread::Builder::new()
        .name("terminal-size".to_owned())
        .spawn(move || {
            on_resize(|size| {
                tell(WindowSize {
                    rows: size.ws_row,
                    columns: size.ws_col,
                })
            });
        })
        .map(|_| ())
        .map_err(|error| failed("starting a thread", &error))
}

/// Bytes going both ways between the caller's terminal and the command's.
pub(crate) struct Bridge {
    output: Option<JoinHandle<()>>,
}

impl Bridge {
    /// Puts the caller's terminal into raw mode and starts copying.
    ///
    /// # Errors
    /// The terminal cannot be set, or no thread can be started.
    pub(crate) fn start(command: OwnedFd) -> Result<Bridge, UserError> {
        make_raw()?;
        let command = Arc::new(command);
        let (input, resized) = (Arc::clone(&command), Arc::clone(&command));
        let start =
            |name: &str, body: Box<dyn FnOnce() + Send>| std::thread::Builder::new().name(name.to_owned()).spawn(body);
        start(
            "terminal-input",
            Box::new(move || copy(rustix::stdio::stdin(), input.as_fd())),
        )
        .and_then(|_| {
            start(
                "terminal-size",
                Box::new(move || {
                    on_resize(|size| {
                        let _ = tcsetwinsize(&*resized, size);
                        true
                    })
                }),
            )
        })
        .and_then(|_| {
            start(
                "terminal-output",
                Box::new(move || copy(command.as_fd(), rustix::stdio::stdout())),
            )
        })
        .map(|output| Bridge { output: Some(output) })
        .map_err(|error| {
            restore();
            failed("starting a thread", &error)
        })
    }

    /// Waits until what the command printed last is on the caller's terminal, and puts that back as it was.
    pub(crate) fn finish(mut self) {
        if let Some(output) = self.output.take() {
            let _ = output.join();
        }
        restore();
    }
}

/// Copies until there is nothing more to read or nobody to write to.
fn copy(from: std::os::fd::BorrowedFd<'_>, to: std::os::fd::BorrowedFd<'_>) {
    let mut buffer = [0u8; 16 * 1024];
    loop {
        let filled = match rustix::io::read(from, &mut buffer) {
            Ok(0) => return,
            Ok(filled) => filled,
            Err(rustix::io::Errno::INTR) => continue,
            // EIO is how a terminal says that its last user is gone.
            Err(_) => return,
        };
        let mut rest = &buffer[..filled];
        while !rest.is_empty() {
            match rustix::io::write(to, rest) {
                Ok(written) => rest = &rest[written..],
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }
}

/// Calls `tell` with each new size of the caller's terminal until it returns false.
fn on_resize(mut tell: impl FnMut(Winsize) -> bool) {
    let Ok(mut signals) = signal_hook::iterator::Signals::new([signal_hook::consts::SIGWINCH]) else {
        return;
    };
    for _ in signals.forever() {
        if let Ok(size) = tcgetwinsize(rustix::stdio::stdin())
            && !tell(size)
        {
            return;
        }
    }
}
