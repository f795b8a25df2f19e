//! What a caller waits with for work that another thread does for it, without blocking its own.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// A place for what comes of some work.
pub(crate) struct Ticket<T> {
    stage: Mutex<Stage<T>>,
    done: Condvar,
}

enum Stage<T> {
    /// Nobody began it.
    Waiting(Option<Waker>),
    /// Somebody is at it.
    Begun(Option<Waker>),
    /// This came of it.
    Done(T),
    /// Nobody waits for it.
    Over,
}

impl<T> Ticket<T> {
    /// A ticket and the caller's half of it.
    pub(crate) fn new() -> (Arc<Ticket<T>>, Pending<T>) {
        let ticket = Arc::new(Ticket {
            stage: Mutex::new(Stage::Waiting(None)),
            done: Condvar::new(),
        });
        (Arc::clone(&ticket), Pending(ticket))
    }

    fn stage(&self) -> MutexGuard<'_, Stage<T>> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the work is still wanted; from here on the caller waits for its end.
    pub(crate) fn begin(&self) -> bool {
        let mut stage = self.stage();
        match &mut *stage {
            Stage::Waiting(waker) => {
                *stage = Stage::Begun(waker.take());
                true
            }
            Stage::Begun(_) | Stage::Done(_) | Stage::Over => false,
        }
    }

    /// Says what came of it.
    pub(crate) fn end(&self, outcome: T) {
        let mut stage = self.stage();
        let waker = match &mut *stage {
            Stage::Waiting(waker) | Stage::Begun(waker) => waker.take(),
            Stage::Done(_) | Stage::Over => return,
        };
        *stage = Stage::Done(outcome);
        drop(stage);
        self.done.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The caller's half. When it is dropped, work that nobody began is not done any more; what was begun is waited for, a few
/// milliseconds, so that nothing happens behind the back of a caller that went away.
pub(crate) struct Pending<T>(Arc<Ticket<T>>);

impl<T> Future for Pending<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mut stage = self.0.stage();
        match &mut *stage {
            Stage::Waiting(waker) | Stage::Begun(waker) => *waker = Some(context.waker().clone()),
            Stage::Done(_) => {
                if let Stage::Done(outcome) = std::mem::replace(&mut *stage, Stage::Over) {
                    return Poll::Ready(outcome);
                }
            }
            // It was told already.
            Stage::Over => {}
        }
        Poll::Pending
    }
}

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        let mut stage = self.0.stage();
        if matches!(*stage, Stage::Waiting(_)) {
            *stage = Stage::Over;
        }
        while matches!(*stage, Stage::Begun(_)) {
            stage = self.0.done.wait(stage).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
