//! A flag that says "stop and undo", set from outside while an operation runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

/// Asks a running operation to stop; what it did is then undone. Clones share one flag.
#[derive(Clone, Default)]
pub struct Cancel {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    set: AtomicBool,
    notify: Notify,
    source: OnceLock<Arc<dyn Source>>,
}

/// Where the wish to stop comes from, such as signals. A flag without one is set by whoever holds a clone.
pub trait Source: Send + Sync {
    /// Sets the flag if the wish was uttered; waits for nothing.
    fn look(&self);

    /// Makes sure that the flag is set when the wish is uttered from now on: somebody waits.
    fn watch(&self);
}

impl std::fmt::Debug for Cancel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cancel")
            .field("set", &self.is_set())
            .finish_non_exhaustive()
    }
}

impl Cancel {
    /// A flag that is not set.
    pub fn new() -> Cancel {
        Cancel::default()
    }

    /// Says where the wish to stop comes from; the first one counts.
    pub fn comes_from(&self, source: Arc<dyn Source>) {
        let _ = self.inner.source.set(source);
    }

    /// Sets it, for good.
    pub fn cancel(&self) {
        self.inner.set.store(true, Ordering::SeqCst);
        self.inner.notify.notify_waiters();
    }

    /// Whether it is set, without a look at its source.
    pub fn is_set(&self) -> bool {
        self.inner.set.load(Ordering::SeqCst)
    }

    /// Whether it is set, or its source says that it should be.
    pub fn is_cancelled(&self) -> bool {
        if let Some(source) = self.inner.source.get()
            && !self.is_set()
        {
            source.look();
        }
        self.is_set()
    }

    /// Waits until it is set.
    pub async fn cancelled(&self) {
        if let Some(source) = self.inner.source.get() {
            source.watch();
        }
        loop {
            // Registered before the flag is read, so that a `cancel` in between is not missed.
            let notified = self.inner.notify.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if self.is_cancelled() {
                return;
            }
            notified.await;
        }
    }
}
