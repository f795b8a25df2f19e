//! One transaction about anything but a sandbox.

use rusqlite::{Transaction, TransactionBehavior};

use crate::commit::Durability;
use crate::error::StoreError;
use crate::open::{Connection, Store};

impl Store {
    /// The same for work that brings everything it needs.
    pub(crate) async fn change<T: Send + 'static>(
        &self,
        durability: Durability,
        work: impl FnOnce(&Store, &Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.transact(durability, |transaction| work(self, transaction))
    }

    /// The same for what nobody waits for: whether it was written is not told.
    pub(crate) fn change_later(
        &self,
        durability: Durability,
        work: impl FnOnce(&Store, &Transaction<'_>) -> Result<(), StoreError> + Send + 'static,
    ) {
        let _ = self.transact(durability, |transaction| work(self, transaction));
    }

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
