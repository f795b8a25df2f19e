//! One transaction about anything but a sandbox.

use rusqlite::{Transaction, TransactionBehavior};

use crate::commit::Durability;
use crate::error::StoreError;
use crate::open::{Connection, Store};

impl Store {
    /// Does this work in one transaction that survives what `durability` says, or nothing of it. The work brings everything
    /// it needs, so that a shared store can do it together with others.
    pub(crate) async fn change<T: Send + 'static>(
        &self,
        durability: Durability,
        work: impl FnOnce(&Store, &Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        match self.queue() {
            Some(queue) => queue.put(self, durability, work).await,
            None => self.transact(durability, |transaction| work(self, transaction)),
        }
    }

    /// The same for what nobody waits for: whether it was written is not told.
    pub(crate) fn change_later(
        &self,
        durability: Durability,
        work: impl FnOnce(&Store, &Transaction<'_>) -> Result<(), StoreError> + Send + 'static,
    ) {
        match self.queue() {
            Some(queue) => queue.put_for_nobody(self, durability, work),
            None => {
                let _ = self.transact(durability, |transaction| work(self, transaction));
            }
        }
    }

    /// The same on the caller's thread, which it blocks meanwhile; in a shared store before everything that waits.
    pub(crate) fn transact<T>(
        &self,
        durability: Durability,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut turn = self.writing();
        let connection: &mut Connection = &mut turn;
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
