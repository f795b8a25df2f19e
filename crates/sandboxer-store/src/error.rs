//! What can go wrong with the store, and how users hear of it.

use sandboxer_model::error::{ErrorCode, UserError};

/// What can go wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory or file cannot be used.
    #[error("cannot use the database {path}: {why}")]
    Unavailable {
        /// Which file.
        path: String,
        /// Why.
        why: String,
    },
}

impl From<StoreError> for UserError {
    fn from(error: StoreError) -> UserError {
        UserError::new(ErrorCode::StoreUnavailable, error.to_string())
    }
}
