//! `activate`: say that a sandbox is in use.

use sandboxer_model::error::UserError;

use crate::context::Context;
use crate::output::sandbox;

/// Marks a sandbox as in use.
///
/// # Errors
/// `WrongState`; those of the engine.
pub(crate) async fn activate(context: &Context, id: &str) -> Result<u8, UserError> {
    let reporter = context.reporter();
    let sandbox = context.service(&reporter).await?.activate(id).await?;
    reporter.close();
    sandbox::print(context, &sandbox)?;
    Ok(0)
}
