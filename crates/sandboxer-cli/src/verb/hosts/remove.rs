//! `hosts remove`: forget a host.

use sandboxer_model::error::UserError;

use super::show;
use crate::context::Context;

/// Forgets a host, and shows it a last time.
///
/// # Errors
/// `NotFound`, `WrongState` while sandboxes are there.
pub(super) async fn remove(context: &Context, host: &str) -> Result<u8, UserError> {
    let reporter = context.reporter();
    let status = context.engine(&reporter).await?.remove_host(host).await?;
    reporter.close();
    show::print(context, &status)?;
    Ok(0)
}
