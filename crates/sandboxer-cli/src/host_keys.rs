//! Vouching for the keys of a host, as an operator asked for it.

use sandboxer_engine::user_error;
use sandboxer_extension::ExtensionError;
use sandboxer_host::machine::{MachineError, pin, shown_keys};
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::host::HostAddress;

use crate::context::Context;

/// Tells people which keys a host shows now, and trusts them from then on. This machine needs none.
///
/// # Errors
/// The address is none, the host shows no keys, or they cannot be written down.
pub(crate) fn vouch(context: &Context, address: &str) -> Result<(), UserError> {
    let address: HostAddress = address
        .parse()
        .map_err(|error: sandboxer_model::host::HostAddressError| {
            UserError::new(ErrorCode::InvalidInput, error.to_string())
                .hint("write `local` or `[user@]name[:port]`, such as me@box")
        })?;
    if address.is_local() {
        return Ok(());
    }
    let refused = |error: MachineError| user_error(&ExtensionError::from(error));
    let settings = context.ssh_settings();
    let keys = shown_keys(&address, &settings).map_err(refused)?;
    for key in &keys {
        context.note(&format!(
            "{} the key of {address} is trusted from now on: {}",
            context.error_paint.dim("note:"),
            key.fingerprint
        ));
    }
    pin(&keys, &settings).map_err(refused)
}
