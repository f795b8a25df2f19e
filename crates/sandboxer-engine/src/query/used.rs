//! That a sandbox was used: written down only where somebody looks at it, so that nobody else pays for it.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use sandboxer_extension::port::Clock;
use sandboxer_extension::{ExecExit, ExecSession, ExtensionError, Signaller, async_trait};
use sandboxer_model::id::SandboxId;
use sandboxer_store::{Change, Durability, SandboxRecord, Store, StoreError};

use crate::engine::Engine;
use crate::lifetime::time_of;

impl Engine {
    /// Notes that a usable sandbox is being used, before it is. The record as it is then: whoever ends it for being idle
    /// came first, or does not come at all.
    pub(crate) async fn note_use(&self, record: SandboxRecord) -> Result<SandboxRecord, StoreError> {
        note(&self.ports.store, self.ports.clock.as_ref(), record).await
    }

    /// The same session, of which the end counts as use.
    pub(crate) fn used_until_its_end(
        &self,
        record: &SandboxRecord,
        session: Box<dyn ExecSession>,
    ) -> Box<dyn ExecSession> {
        if record.facts.idle_reap.is_none() {
            return session;
        }
        Box::new(Used {
            session,
            id: record.sandbox.sandbox_id.clone(),
            store: self.ports.store.clone(),
            clock: Arc::clone(&self.ports.clock),
        })
    }
}

async fn note(store: &Store, clock: &dyn Clock, mut record: SandboxRecord) -> Result<SandboxRecord, StoreError> {
    let change = Change {
        durability: Durability::CrashOnly,
        ..Change::default()
    };
    while record.facts.idle_reap.is_some() && record.sandbox.state.is_usable() {
        // A clock that was set back does not make it older.
        record.facts.last_used_at = record.facts.last_used_at.max(Some(time_of(&record, clock)));
        match store.commit(&mut record, &change).await {
            Ok(()) => break,
            Err(StoreError::Stale(id) | StoreError::Fenced(id)) => record = store.sandbox(&id).await?,
            Err(error) => return Err(error),
        }
    }
    Ok(record)
}

/// A session of which the end counts as use.
struct Used {
    session: Box<dyn ExecSession>,
    id: SandboxId,
    store: Store,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl ExecSession for Used {
    fn pid(&self) -> u32 {
        self.session.pid()
    }

    fn take_terminal(&mut self) -> Option<OwnedFd> {
        self.session.take_terminal()
    }

    async fn wait(&mut self) -> Result<ExecExit, ExtensionError> {
        let exit = self.session.wait().await;
        // The command's end is the caller's news; that it was not noted costs at most one idle period.
        if let Ok(record) = self.store.sandbox(&self.id).await {
            let _ = note(&self.store, self.clock.as_ref(), record).await;
        }
        exit
    }

    fn signal(&mut self, signal: u8) -> Result<(), ExtensionError> {
        self.session.signal(signal)
    }

    fn signaller(&self) -> Option<Signaller> {
        self.session.signaller()
    }
}
