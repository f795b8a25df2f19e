//! Ctrl-C, SIGTERM and SIGHUP: undo what was begun, or pass the signal on to the command inside.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

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
    command: Mutex<Option<Signaller>>,
    passed_on: AtomicU32,
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
            command: Mutex::new(None),
            passed_on: AtomicU32::new(0),
        });
        let received = Arc::clone(&state);
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || signals.forever().for_each(|signal| received.handle(signal)))
            .map_err(failed)?;
        Ok(Interrupts { state })
    }

    /// From now on signals go to this command first.
    pub(crate) fn pass_on_to(&self, command: Option<Signaller>) {
        *self.state.command.lock().unwrap_or_else(PoisonError::into_inner) = command;
    }
}

impl State {
    fn handle(&self, signal: i32) {
        let command = self.command.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(command) = command {
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
