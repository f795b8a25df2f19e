//! Vouching for the keys of a host, as an operator asked for it.

use sandboxer_host::pin::{self, PinError};
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::host::HostAddress;

use crate::context::Context;

/// Trusts the keys a host shows now, and tells people which.
///
/// # Errors
/// The address is none, the host shows no keys, or they cannot be written down.
pub(crate) async fn pin(context: &Context, address: &str) -> Result<(), UserError> {
    let address: HostAddress = address
        .parse()
        .map_err(|error: sandboxer_model::host::HostAddressError| {
            UserError::new(ErrorCode::InvalidInput, error.to_string())
                .hint("write `local` or `[user@]name[:port]`, such as me@box")
        })?;
    let prints = pin::pin(&address, &context.ssh_settings()).await.map_err(refused)?;
    for print in prints {
        context.note(&format!(
            "{} the key of {address} is trusted from now on: {print}",
            context.error_paint.dim("note:")
        ));
    }
    Ok(())
}

fn refused(error: PinError) -> UserError {
    let message = error.to_string();
    match error {
        PinError::Unlearnt { .. } => {
            UserError::new(ErrorCode::Unavailable, message).hint("see whether `ssh` reaches it")
        }
        PinError::Indirect { .. } => UserError::new(ErrorCode::Unsupported, message)
            .hint("log in once by hand with `ssh`, and compare its fingerprint when you are asked"),
        PinError::Unwritten { .. } => UserError::new(ErrorCode::StoreUnavailable, message)
            .hint("choose a directory you can write to with --data-dir or SANDBOXER_DATA_DIR"),
    }
}
