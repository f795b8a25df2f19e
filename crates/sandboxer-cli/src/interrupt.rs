//! Ctrl-C, SIGTERM and SIGHUP: undo what was begun, or pass the signal on to the command inside.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sandboxer_engine::Cancel;
use sandboxer_engine::cancel::Source;
use sandboxer_extension::Signaller;
use sandboxer_model::error::{ErrorCode, UserError};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::{SigId, flag};

use crate::terminal;

/// What a signal means while no command runs inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Undo what was begun; a second one: leave at once, and let the next command undo it.
    Undo,
    /// Leave: nothing was begun.
    Leave,
}

/// Receives signals until the process ends.
///
/// Until somebody waits for longer than a thread is worth, they are only noted, and looked at between steps.
#[derive(Clone)]
pub(crate) struct Interrupts {
    receiver: Arc<Receiver>,
}

struct Receiver {
    state: Arc<State>,
    /// `None` once a thread has them.
    signals: Mutex<Option<Signals>>,
    unheard: Unheard,
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

const SIGNALS: [i32; 4] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT];

impl Interrupts {
    /// Starts receiving.
    ///
    /// # Errors
    /// The kernel refuses the handlers.
    pub(crate) fn receive(meaning: Meaning, cancel: &Cancel) -> Result<Interrupts, UserError> {
        let failed = |error| UserError::new(ErrorCode::Internal, format!("cannot receive signals: {error}"));
        let unheard = Unheard::leave_on_the_second().map_err(failed)?;
        let signals = Signals::new(SIGNALS).map_err(failed)?;
        let receiver = Arc::new(Receiver {
            state: Arc::new(State::new(meaning, cancel)),
            signals: Mutex::new(Some(signals)),
            unheard,
        });
        cancel.comes_from(Arc::clone(&receiver) as Arc<dyn Source>);
        Ok(Interrupts { receiver })
    }

    /// A command is about to be started: the first signal from now on is meant for it.
    pub(crate) fn expect_command(&self) {
        // What came before was not.
        self.receiver.look();
        self.receiver.state.expect_command();
    }

    /// From now on signals go to this command first, and so does the one that was held for it.
    pub(crate) fn pass_on_to(&self, command: Option<Signaller>) {
        self.receiver.look();
        self.receiver.state.pass_on_to(command);
    }

    /// Hands signals on as they come, from a thread: somebody is going to wait.
    pub(crate) fn watch(&self) {
        self.receiver.watch();
    }
}

impl Source for Receiver {
    fn look(&self) {
        let noted: Vec<i32> = lock(&self.signals)
            .as_mut()
            .map_or_else(Vec::new, |signals| signals.pending().collect());
        for signal in noted {
            self.unheard.was_heard();
            self.state.handle(signal);
        }
    }

    fn watch(&self) {
        // What was noted already comes first.
        self.look();
        let Some(mut signals) = lock(&self.signals).take() else {
            return;
        };
        let state = Arc::clone(&self.state);
        let thread = std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || signals.forever().for_each(|signal| state.handle(signal)));
        // Without a thread, the second signal still ends the process.
        if thread.is_ok() {
            self.unheard.retire();
        }
    }
}

/// Signals that nobody has looked at: the first one waits, the second one ends the process, from the handler itself. So
/// it can be left even where it waits for something that cannot be interrupted; the next command undoes what it began.
struct Unheard {
    one: Arc<AtomicBool>,
    handlers: Mutex<Vec<SigId>>,
}

impl Unheard {
    fn leave_on_the_second() -> std::io::Result<Unheard> {
        let one = Arc::new(AtomicBool::new(false));
        let code = i32::from(ErrorCode::Interrupted.exit_code());
        let mut handlers = Vec::new();
        for signal in SIGNALS {
            // In this order: the first signal finds the flag unset, and sets it.
            handlers.push(flag::register_conditional_shutdown(signal, code, Arc::clone(&one))?);
            handlers.push(flag::register(signal, Arc::clone(&one))?);
        }
        let handlers = Mutex::new(handlers);
        Ok(Unheard { one, handlers })
    }

    fn was_heard(&self) {
        self.one.store(false, Ordering::SeqCst);
    }

    fn retire(&self) {
        for handler in lock(&self.handlers).drain(..) {
            signal_hook::low_level::unregister(handler);
        }
    }
}

impl State {
    fn new(meaning: Meaning, cancel: &Cancel) -> State {
        State {
            meaning,
            cancel: cancel.clone(),
            command: Mutex::new(Command::None),
            passed_on: AtomicU32::new(0),
        }
    }

    fn expect_command(&self) {
        *lock(&self.command) = Command::Starting(None);
    }

    fn pass_on_to(&self, command: Option<Signaller>) {
        let now = command.map_or(Command::None, Command::Running);
        let before = std::mem::replace(&mut *lock(&self.command), now);
        if let Command::Starting(Some(held)) = before {
            self.handle(held);
        }
    }

    fn handle(&self, signal: i32) {
        let running = match &mut *lock(&self.command) {
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
        if self.meaning == Meaning::Leave || self.cancel.is_set() {
            terminal::restore();
            std::process::exit(i32::from(ErrorCode::Interrupted.exit_code()));
        }
        self.cancel.cancel();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

    #[test]
    fn a_signal_that_comes_too_early_for_the_command_waits_for_it() {
        let (cancel, (command, sent)) = (Cancel::new(), recorder());
        let state = State::new(Meaning::Undo, &cancel);
        state.expect_command();
        state.handle(SIGINT);
        assert!(!cancel.is_cancelled() && sent.lock().unwrap().is_empty());
        state.pass_on_to(Some(command));
        assert_eq!(*sent.lock().unwrap(), [2]);
        state.handle(SIGTERM);
        assert!(cancel.is_cancelled(), "the second one undoes");
        assert_eq!(*sent.lock().unwrap(), [2]);
    }

    #[test]
    fn without_a_command_a_signal_undoes() {
        let cancel = Cancel::new();
        State::new(Meaning::Undo, &cancel).handle(SIGHUP);
        assert!(cancel.is_cancelled());
    }

    #[test]
    fn a_start_that_hangs_is_ended_by_the_second_signal() {
        let cancel = Cancel::new();
        let state = State::new(Meaning::Undo, &cancel);
        state.expect_command();
        state.handle(SIGINT);
        state.handle(SIGINT);
        assert!(cancel.is_cancelled());
    }
}
