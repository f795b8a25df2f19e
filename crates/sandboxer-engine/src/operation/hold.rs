//! What this process works on, and what it dropped: its caller went away, or a write failed, while the process lives on.
//!
//! It is about this process alone, so it is kept in memory: should the process die, its operations are those of a dead owner.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sandboxer_model::id::OperationId;

use crate::engine::Engine;

/// Operations whose owner is this process, and that nobody in it works on.
#[derive(Default)]
pub(crate) struct Dropped(Mutex<BTreeSet<OperationId>>);

impl Dropped {
    fn ids(&self) -> MutexGuard<'_, BTreeSet<OperationId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// At most so many; each stays dropped until somebody takes it over.
    pub(crate) fn some(&self, most: usize) -> Vec<OperationId> {
        self.ids().iter().take(most).cloned().collect()
    }

    /// Whether an operation was dropped.
    pub(crate) fn has(&self, id: &OperationId) -> bool {
        self.ids().contains(id)
    }

    /// Takes an operation up again; `false`: it was not dropped, or somebody was faster.
    pub(crate) fn pick_up(&self, id: &OperationId) -> bool {
        self.ids().remove(id)
    }
}

/// That this process works on an operation. When it stops to before the operation is over, it is dropped.
pub(crate) struct Hold<'e> {
    engine: &'e Engine,
    id: OperationId,
    /// Whether the row may say that we are at it.
    pub(crate) is_ours: bool,
}

impl<'e> Hold<'e> {
    /// Nothing is on record yet that says so.
    pub(crate) fn new(engine: &'e Engine, id: OperationId) -> Hold<'e> {
        Hold {
            engine,
            id,
            is_ours: false,
        }
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        if self.is_ours {
            self.engine.dropped.ids().insert(self.id.clone());
        }
    }
}
