//! `webhooks test`: one message, and what the other side answers.

use sandboxer_model::error::{ErrorCode, UserError};

use crate::context::{Context, Format};
use crate::output::json;

/// Sends a message that tells of nothing.
///
/// # Errors
/// Nobody answers, or not with success; those of the engine.
pub(super) async fn test(context: &Context, id: &str) -> Result<u8, UserError> {
    let reporter = context.reporter();
    let tested = context.service(&reporter).await?.test_webhook(id).await?;
    reporter.close();
    match context.format {
        Format::Json => json::print(&tested)?,
        Format::Table => json::print_text(&format!(
            "{} answered HTTP {} after {} ms\n",
            tested.sink_id, tested.status, tested.took_ms
        ))?,
    }
    if tested.accepted {
        return Ok(0);
    }
    let what = format!(
        "{} did not take the message: it answered HTTP {}",
        tested.sink_id, tested.status
    );
    Err(UserError::new(ErrorCode::BackendFailed, what)
        .hint("a receiver answers 200 to 299; redirects are not followed"))
}
