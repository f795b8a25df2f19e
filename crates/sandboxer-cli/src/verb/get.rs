//! `get`: show one sandbox.

use sandboxer_model::error::UserError;

use crate::context::Context;
use crate::output::sandbox;

/// Shows one sandbox.
///
/// # Errors
/// Those of the engine.
pub(crate) async fn get(context: &Context, id: &str) -> Result<u8, UserError> {
    let reporter = context.reporter();
    let sandbox = context.service(&reporter).await?.get(id).await?;
    reporter.close();
    sandbox::print(context, &sandbox)?;
    Ok(0)
}
