//! What a caller may see: one sandbox, pages of them, operations, events as they happen. What it may not see is not there
//! for it: the answer is that of an id that nobody has.

use sandboxer_api::request::Operation;
use sandboxer_model::error::UserError;
use sandboxer_model::id::{OperationId, SandboxId};
use sandboxer_model::sandbox::Sandbox;
use sandboxer_store::{SandboxRecord, StoreError};

use crate::api::{PageFilter, PlacedEvent, Seen, Silent, Viewer};
use crate::engine::Engine;

impl Engine {
    /// One sandbox as it is on record.
    ///
    /// # Errors
    /// `NotFound`, also when the viewer may not see it.
    pub async fn find(&self, id: &SandboxId, viewer: &Viewer) -> Result<Seen, UserError> {
        Ok(seen(self.visible(id, viewer).await?, viewer))
    }

    /// One sandbox, compared with its backend first where that is cheap.
    ///
    /// # Errors
    /// `NotFound`, also when the viewer may not see it.
    pub async fn see(&self, id: &SandboxId, viewer: &Viewer) -> Result<Seen, UserError> {
        let record = self.visible(id, viewer).await?;
        Ok(seen(self.compared(record, &Silent).await?, viewer))
    }

    async fn visible(&self, id: &SandboxId, viewer: &Viewer) -> Result<SandboxRecord, UserError> {
        let record = self.ports.store.sandbox(id).await?;
        match viewer.sees(&record) {
            true => Ok(record),
            false => Err(StoreError::NotFound {
                what: "sandbox",
                name: id.as_str().to_owned(),
            }
            .into()),
        }
    }

    /// One page of sandboxes as they are on record, newest first, and whether there is more.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn page(&self, filter: &PageFilter, viewer: &Viewer) -> Result<(Vec<Sandbox>, bool), UserError> {
        let page = self.ports.store.page(filter, viewer).await?;
        let sandboxes = page.records.into_iter().map(|record| record.sandbox).collect();
        Ok((sandboxes, page.more))
    }

    /// One operation. Whether its sandbox may be seen is for the caller to ask.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn operation(&self, id: &OperationId) -> Result<Operation, UserError> {
        let record = self.ports.store.operation(id).await?;
        Ok(Operation {
            operation_id: record.operation_id,
            kind: record.kind,
            sandbox_id: record.sandbox_id,
            status: record.status,
            step: record.step,
            created_at: record.created_at,
            error: record.error,
        })
    }

    /// Events after this position that a viewer may see, in the order of their commits. When they are fewer than `limit`,
    /// there were no more.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn events_after(
        &self,
        position: u64,
        limit: u32,
        viewer: &Viewer,
    ) -> Result<Vec<PlacedEvent>, UserError> {
        Ok(self.ports.store.events_after(position, limit, viewer).await?)
    }

    /// The position of the last event; 0: there is none.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn last_position(&self) -> Result<u64, UserError> {
        Ok(self.ports.store.last_position().await?)
    }
}

fn seen(record: SandboxRecord, viewer: &Viewer) -> Seen {
    Seen {
        revision: record.revision(),
        is_own: viewer.owns(&record),
        sandbox: record.sandbox,
    }
}
