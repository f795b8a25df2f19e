//! `doctor`: what this machine can enforce, and how to fix what it cannot.

use sandboxer_model::error::{ErrorCode, UserError};

use crate::context::Context;

/// Examines this machine.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) async fn doctor(_: &Context) -> Result<u8, UserError> {
    Err(UserError::new(ErrorCode::Internal, "no native extension yet"))
}
