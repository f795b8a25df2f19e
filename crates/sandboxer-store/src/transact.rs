//! One transaction about anything but a sandbox.

use rusqlite::{Transaction, TransactionBehavior};

use crate::commit::Durability;
use crate::error::StoreError;
use crate::open::{Connection, Store};

impl Store {
    /// Does this work in one transaction that survives what `durability` says, or nothing of it.
    pub(crate) fn transact<T>(
        &self,
        durability: Durability,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut guard = self.connection();
        let connection: &mut Connection = &mut guard;
        let wrong = |error: rusqlite::Error| self.classify(&error);
        connection.keep(durability).map_err(wrong)?;
        let transaction = connection
            .sqlite
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(wrong)?;
        let done = work(&transaction)?;
        transaction.commit().map_err(wrong)?;
        Ok(done)
    }
}
