//! Requests with an idempotency key that make no sandbox: begun once, and answered again as they were answered first.

use sandboxer_model::cleanup::Presence;
use sandboxer_model::error::UserError;

use crate::api::{Begun, RequestKey};
use crate::engine::Engine;

impl Engine {
    /// Begins a request, unless it was begun before. One that a dead process began is in doubt: it may have been done.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn begin_request(&self, request: &RequestKey) -> Result<Begun, UserError> {
        let owners = self.ports.owners.as_ref();
        let is_gone = |owner: &str| owner != self.me() && owners.is_alive(owner) == Presence::Absent;
        Ok(self.ports.store.begin_request(request, self.me(), &is_gone).await?)
    }

    /// Keeps the answer to a request that was begun, for a day.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn end_request(&self, key: &str, status: u16, body: &str) -> Result<(), UserError> {
        Ok(self.ports.store.end_request(key, status, body).await?)
    }

    /// Forgets a request that was begun and did nothing: it may be made again.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn drop_request(&self, key: &str) -> Result<(), UserError> {
        Ok(self.ports.store.drop_request(key).await?)
    }
}
