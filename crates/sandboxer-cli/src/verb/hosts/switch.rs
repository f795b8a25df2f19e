//! `hosts drain` and `hosts activate`: whether a host takes new sandboxes.

use sandboxer_model::error::UserError;

use super::show;
use crate::context::Context;

/// Lets nothing new on a host.
///
/// # Errors
/// `NotFound`.
pub(super) async fn drain(context: &Context, host: &str) -> Result<u8, UserError> {
    let reporter = context.reporter();
    let status = context.service(&reporter).await?.drain_host(host).await?;
    reporter.close();
    show::print(context, &status)?;
    if status.sandboxes > 0 {
        context.note(&format!(
            "{} {} sandboxes are still there; it can be removed once they are gone",
            context.error_paint.dim("note:"),
            status.sandboxes
        ));
    }
    Ok(0)
}

/// Lets a host take sandboxes again.
///
/// # Errors
/// `NotFound`.
pub(super) async fn activate(context: &Context, host: &str) -> Result<u8, UserError> {
    let reporter = context.reporter();
    let status = context.service(&reporter).await?.activate_host(host).await?;
    reporter.close();
    show::print(context, &status)?;
    Ok(0)
}
