//! A command that ends when nobody wants it any more.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use sandboxer_engine::user_error;
use sandboxer_extension::port::Clock;
use sandboxer_extension::{ExecExit, ExecSession, Signaller};
use sandboxer_model::error::{ErrorCode, UserError};
use tokio::task::JoinHandle;

/// Signals that ask for an end, and the one that does not ask.
const HANGUP: u8 = 1;
const KILL: u8 = 9;
const TERMINATE: u8 = 15;
/// Time to end in order.
const GRACE: Duration = Duration::from_millis(500);
/// Time until the end of what was killed is known here.
const CERTAINTY: Duration = Duration::from_secs(5);

/// A command, and what is needed to end it. Letting go of the leash lets go of everything that is held of the command here.
pub(crate) struct Leash {
    /// Owns the session: one that was waited for is not to be waited for again.
    waiting: JoinHandle<Result<ExecExit, UserError>>,
    signaller: Option<Signaller>,
    terminal: Option<OwnedFd>,
    pid: u32,
    clock: Arc<dyn Clock>,
}

impl Leash {
    /// Over a command that was started.
    pub(crate) fn new(mut session: Box<dyn ExecSession>, clock: Arc<dyn Clock>) -> Leash {
        Leash {
            signaller: session.signaller(),
            terminal: session.take_terminal(),
            pid: session.pid(),
            waiting: tokio::spawn(async move { session.wait().await.map_err(|error| user_error(&error)) }),
            clock,
        }
    }

    /// Its process id inside.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends it signals while its end is awaited.
    pub(crate) fn signaller(&self) -> Option<Signaller> {
        self.signaller.clone()
    }

    /// The other end of its terminal, once.
    pub(crate) fn take_terminal(&mut self) -> Option<OwnedFd> {
        self.terminal.take()
    }

    /// Waits for its end. May be given up and begun again, until it returned once.
    ///
    /// # Errors
    /// `Unavailable` when its end cannot be told.
    pub(crate) async fn wait(&mut self) -> Result<ExecExit, UserError> {
        (&mut self.waiting).await.unwrap_or_else(|error| {
            let what = format!("waiting for the command broke off: {error}");
            Err(UserError::new(ErrorCode::Internal, what))
        })
    }

    /// Asks it to end, and ends it when it does not; what it came to, where that can be told.
    pub(crate) async fn end(&mut self) -> Option<ExecExit> {
        for signal in [HANGUP, TERMINATE] {
            self.signal(signal);
        }
        if let Some(exit) = self.wait_at_most(GRACE).await {
            return exit;
        }
        self.signal(KILL);
        self.wait_at_most(CERTAINTY).await.flatten()
    }

    fn signal(&self, signal: u8) {
        // One that cannot be delivered is for a command that ended already.
        if let Some(signaller) = &self.signaller {
            let _ = signaller(signal);
        }
    }

    /// `None`: it did not end by then.
    async fn wait_at_most(&mut self, most: Duration) -> Option<Option<ExecExit>> {
        let clock = Arc::clone(&self.clock);
        tokio::select! {
            exit = self.wait() => Some(exit.ok()),
            () = clock.sleep(most) => None,
        }
    }
}

impl Drop for Leash {
    /// With the session goes the way to the command, and backends end a command whose caller went away.
    fn drop(&mut self) {
        self.waiting.abort();
    }
}
