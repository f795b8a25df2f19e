//! Where tests can make a write wait, fail, or succeed without anybody hearing of it. Nothing here runs unless a test
//! asked for it.

use sandboxer_extension::async_trait;

use crate::error::StoreError;

/// Consulted around each commit about a sandbox.
#[async_trait]
pub trait WriteFaults: Send + Sync {
    /// Before the transaction begins: may wait, so that others write first. An error is that of a write that did not
    /// happen.
    ///
    /// # Errors
    /// Whatever the test wants.
    async fn before(&self) -> Result<(), StoreError>;

    /// After it: an error is that of a write that did happen.
    ///
    /// # Errors
    /// Whatever the test wants.
    fn after(&self) -> Result<(), StoreError>;
}
