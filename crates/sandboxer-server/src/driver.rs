//! Carries out accepted operations. What is true of them is in the store: an operation that is not taken up here, because the
//! server stops or dies, is taken up by the next process that recovers.

use std::sync::Arc;

use sandboxer_engine::Engine;
use sandboxer_engine::api::Silent;
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::id::OperationId;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio_util::task::TaskTracker;

use crate::metrics::Metrics;

/// Operations that are carried out at once.
const AT_ONCE: usize = 64;

/// The work under way.
pub(crate) struct Driver {
    engine: &'static Engine,
    room: Arc<Semaphore>,
    tasks: TaskTracker,
    changed: Arc<Notify>,
}

impl Driver {
    /// Nothing under way.
    pub(crate) fn new(engine: &'static Engine, changed: Arc<Notify>) -> Driver {
        Driver {
            engine,
            room: Arc::new(Semaphore::new(AT_ONCE)),
            tasks: TaskTracker::new(),
            changed,
        }
    }

    /// Carries out an accepted operation in its turn. Whoever wants to know what came of it may wait; nobody needs to.
    pub(crate) fn start(&self, operation: OperationId, metrics: &Metrics) -> oneshot::Receiver<Result<(), UserError>> {
        let (tell, told) = oneshot::channel();
        let (engine, room, changed) = (self.engine, Arc::clone(&self.room), Arc::clone(&self.changed));
        let in_flight = metrics.in_flight.clone();
        in_flight.inc();
        self.tasks.spawn(async move {
            let outcome = match room.acquire().await {
                // Allocated once it begins: thousands may wait, and one at work is large.
                Ok(_turn) => Box::pin(engine.resume(&operation, &Silent)).await,
                Err(_) => Err(stopping()),
            };
            in_flight.dec();
            changed.notify_waiters();
            let _ = tell.send(outcome);
        });
        told
    }

    /// Runs to its end whatever becomes of the caller, who gets what came of it if still there.
    ///
    /// # Errors
    /// The work broke off: a bug.
    pub(crate) async fn keep<T, F>(&self, work: F) -> Result<T, UserError>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let broke_off = |error| UserError::new(ErrorCode::Internal, format!("the work broke off: {error}"));
        self.tasks.spawn(work).await.map_err(broke_off)
    }

    /// Takes nothing more up, and waits for what is being carried out.
    pub(crate) async fn drain(&self) {
        // What still waits for its turn is accepted and stays so.
        self.room.close();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

fn stopping() -> UserError {
    UserError::new(
        ErrorCode::Draining,
        "the server is stopping; what was accepted is carried out by the next one",
    )
}
