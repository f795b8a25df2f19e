//! Ctrl-C, SIGTERM and SIGHUP: undo what was begun, or pass the signal on to the command inside.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sandboxer_engine::Cancel;
use sandboxer_extension::Signaller;
use sandboxer_model::error::{ErrorCode, UserError};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::terminal;

/// What a signal means while no command runs inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Undo what was begun; a second one: leave at once, and let the next command undo it.
    Undo,
    /// Leave: nothing was begun.
    Leave,
}

/// Receives signals on a thread of its own until the process ends.
pub(crate) struct Interrupts {
    state: Arc<State>,
}

struct State {
    meaning: Meaning,
    cancel: Cancel,
    command: Mutex<Command>,
    passed_on: AtomicU32,
}

/// The command inside, which signals go to first.
enum Command {
    /// There is none.
    None,
    /// It may run already, and cannot be reached yet: a signal is held for it.
    Starting(Option<i32>),
    /// It runs.
    Running(Signaller),
}

impl Interrupts {
    /// Starts receiving.
    ///
    /// # Errors
    /// The kernel refuses the handlers or the thread.
    pub(crate) fn receive(meaning: Meaning, cancel: Cancel) -> Result<Interrupts, UserError> {
        let failed = |error| UserError::new(ErrorCode::Internal, format!("cannot receive signals: {error}"));
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT]).map_err(failed)?;
        let state = Arc::new(State {
            meaning,
            cancel,
            command: Mutex::new(Command::None),
            passed_on: AtomicU32::new(0),
        });
        let received = Arc::clone(&state);
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || signals.forever().for_each(|signal| received.handle(signal)))
            .map_err(failed)?;
        Ok(Interrupts { state })
    }

    /// A command is about to be started: the first signal from now on is meant for it.
    pub(crate) fn expect_command(&self) {
        *self.state.lock() = Command::Starting(None);
    }

    /// From now on signals go to this command first, and so does the one that was held for it.
    pub(crate) fn pass_on_to(&self, command: Option<Signaller>) {
        let now = command.map_or(Command::None, Command::Running);
        let before = std::mem::replace(&mut *self.state.lock(), now);
        if let Command::Starting(Some(held)) = before {
            self.state.handle(held);
        }
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Command> {
        self.command.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, signal: i32) {
        let running = match &mut *self.lock() {
            Command::Starting(held @ None) => {
                *held = Some(signal);
                return;
            }
            Command::Running(command) => Some(Arc::clone(command)),
            Command::None | Command::Starting(Some(_)) => None,
        };
        if let Some(command) = running {
            let passed_on = self.passed_on.fetch_add(1, Ordering::Relaxed);
            // A command that ignores the first one must not keep its sandbox alive.
            if self.meaning == Meaning::Leave || passed_on == 0 {
                let _ = command(u8::try_from(signal).unwrap_or(15));
                return;
            }
        }
        if self.meaning == Meaning::Leave || self.cancel.is_cancelled() {
            terminal::restore();
            std::process::exit(i32::from(ErrorCode::Interrupted.exit_code()));
        }
        self.cancel.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorder() -> (Signaller, Arc<Mutex<Vec<u8>>>) {
        let sent = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&sent);
        let signaller = move |signal| {
            record.lock().unwrap().push(signal);
            Ok(())
        };
        (Arc::new(signaller), sent)
    }

    fn interrupts(cancel: &Cancel) -> Interrupts {
        let (cancel, command) = (cancel.clone(), Mutex::new(Command::None));
        Interrupts {
            state: Arc::new(State {
                meaning: Meaning::Undo,
                cancel,
                command,
                passed_on: AtomicU32::new(0),
            }),
        }
    }

    #[test]
    fn a_signal_that_comes_too_early_for_the_command_waits_for_it() {
        let (cancel, (command, sent)) = (Cancel::new(), recorder());
        let interrupts = interrupts(&cancel);
        interrupts.expect_command();
        interrupts.state.handle(SIGINT);
        assert!(!cancel.is_cancelled() && sent.lock().unwrap().is_empty());
        interrupts.pass_on_to(Some(command));
        assert_eq!(*sent.lock().unwrap(), [2]);
        interrupts.state.handle(SIGTERM);
        assert!(cancel.is_cancelled(), "the second one undoes");
        assert_eq!(*sent.lock().unwrap(), [2]);
    }

    #[test]
    fn without_a_command_a_signal_undoes() {
        let cancel = Cancel::new();
        interrupts(&cancel).state.handle(SIGHUP);
        assert!(cancel.is_cancelled());
    }

    #[test]
    fn a_start_that_hangs_is_ended_by_the_second_signal() {
        let cancel = Cancel::new();
        let interrupts = interrupts(&cancel);
        interrupts.expect_command();
        interrupts.state.handle(SIGINT);
        interrupts.state.handle(SIGINT);
        assert!(cancel.is_cancelled());
    }
}
