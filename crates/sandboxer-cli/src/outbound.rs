//! How other services are reached, and which of them are told what happens.

use sandboxer_extension::port::{ChosenBy, Outbound as _};
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_outbound::{Allow, HttpOutbound};

use crate::env;

/// How other services are reached.
///
/// # Errors
/// The list of places beside the public internet makes no sense.
pub(crate) fn client() -> Result<HttpOutbound, UserError> {
    let list = env::OUTBOUND_ALLOW.get().unwrap_or_default();
    match Allow::parse(&list.to_string_lossy()) {
        Ok(allow) => Ok(HttpOutbound::new(allow)),
        Err(error) => Err(
            UserError::new(ErrorCode::InvalidInput, format!("SANDBOXER_OUTBOUND_ALLOW: {error}"))
                .hint("write for example SANDBOXER_OUTBOUND_ALLOW=hooks.lan:8443,10.20.0.0/16"),
        ),
    }
}

/// The State Hub that is told what happens, if any is.
///
/// # Errors
/// Its address is none.
pub(crate) fn state_hub(outbound: &HttpOutbound) -> Result<Option<String>, UserError> {
    let Some(url) = env::STATE_HUB_URL.get() else {
        return Ok(None);
    };
    let url = url.to_string_lossy().into_owned();
    match outbound.admits(&url, ChosenBy::Operator) {
        Ok(()) => Ok(Some(url)),
        Err(error) => Err(UserError::new(
            ErrorCode::InvalidInput,
            format!("SANDBOXER_STATE_HUB_URL is `{url}`: {}", error.why),
        )
        .hint("write for example SANDBOXER_STATE_HUB_URL=http://127.0.0.1:8000, or unset it")),
    }
}
