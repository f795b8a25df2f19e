//! What can go wrong, and when.

use std::sync::Arc;

use sandboxer_extension::{Ended, ErrorKind, ExtensionError, Retry};
use tokio::sync::Semaphore;

/// The calls of an extension that can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallName {
    /// `validate`
    Validate,
    /// `estimate_cost`
    EstimateCost,
    /// `provision`
    Provision,
    /// `wait_ready`
    WaitReady,
    /// `teardown`
    Teardown,
    /// `observe`
    Observe,
    /// `inventory`
    Inventory,
    /// `exec`
    Exec,
    /// `set_deadline`
    SetDeadline,
    /// `usage`
    Usage,
    /// `probe_host`
    ProbeHost,
}

/// Which of the calls after the injection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Only this one; 1 is the next.
    Nth(u64),
    /// This many, beginning with the next.
    First(u64),
    /// Every one, until the faults are cleared.
    Always,
}

impl When {
    /// Whether the `count`-th call since the injection is meant.
    pub fn is_now(self, count: u64) -> bool {
        match self {
            When::Nth(n) => count == n,
            When::First(n) => count <= n,
            When::Always => true,
        }
    }
}

/// What goes wrong.
#[derive(Debug, Clone)]
pub enum Fault {
    /// An error, and nothing was done.
    FailBefore(ErrorKind, Retry),
    /// It was done, and the answer is an error: the reply was lost.
    LostReply(ErrorKind, Retry),
    /// Nothing is done, and no answer comes until the call's time is over.
    HangBefore,
    /// It was done, and no answer comes until the call's time is over.
    HangAfter,
    /// It is done twice.
    Twice,
    /// The inventory is partial: half of it is missing.
    PartialInventory,
    /// Teardown removes nothing, and says so.
    RefuseRemoval,
    /// `observe`, `inventory` and the receipt of `teardown` cannot tell.
    Unknown,
    /// Before the call, the sandbox ends by itself.
    Vanish(Ended),
    /// The call waits at the gate before it does anything.
    PauseBefore(Gate),
    /// The call waits at the gate when it is done, before it answers.
    PauseAfter(Gate),
}

impl Fault {
    /// A failure for good, before anything is done.
    pub fn permanent() -> Fault {
        Fault::FailBefore(ErrorKind::Failed, Retry::Permanent)
    }

    /// A failure that may pass, before anything is done.
    pub fn temporary() -> Fault {
        Fault::FailBefore(ErrorKind::Unavailable, Retry::Temporary)
    }

    /// It was done, and the answer is a failure for good.
    pub fn lost_reply() -> Fault {
        Fault::LostReply(ErrorKind::Failed, Retry::Permanent)
    }

    pub(crate) fn error(kind: ErrorKind, retry: Retry, call: CallName) -> ExtensionError {
        let mut error = ExtensionError::new(kind, format!("injected failure of {call:?}"));
        error.retry = retry;
        error
    }
}

/// A place where a call waits until the test lets it pass.
#[derive(Debug, Clone)]
pub struct Gate {
    reached: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

impl Gate {
    /// A closed gate.
    pub fn closed() -> Gate {
        Gate {
            reached: Arc::new(Semaphore::new(0)),
            open: Arc::new(Semaphore::new(0)),
        }
    }

    /// Waits until somebody stands at the gate; each arrival is told once.
    pub async fn reached(&self) {
        if let Ok(permit) = self.reached.acquire().await {
            permit.forget();
        }
    }

    /// Lets everybody pass from now on.
    pub fn open(&self) {
        self.open.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    pub(crate) async fn pass(&self) {
        self.reached.add_permits(1);
        // The permit goes back: the gate stays open.
        drop(self.open.acquire().await);
    }
}
