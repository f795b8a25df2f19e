//! The audit log.

use sandboxer_api::audit::{AuditRow, AuditVerdict};
use sandboxer_model::error::UserError;

use crate::api::AuditEntry;
use crate::engine::Engine;

impl Engine {
    /// Adds a row to the audit log.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn record(&self, entry: AuditEntry) -> Result<(), UserError> {
        Ok(self.ports.store.record(entry).await?)
    }

    /// Rows of the audit log before this number, or the last ones, newest first.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn audit(&self, before: Option<u64>, limit: u32) -> Result<Vec<AuditRow>, UserError> {
        Ok(self.ports.store.audit(before, limit).await?)
    }

    /// Reads the whole audit log and says whether each row is as it was written.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn verify_audit(&self) -> Result<AuditVerdict, UserError> {
        Ok(self.ports.store.verify_audit().await?)
    }
}
