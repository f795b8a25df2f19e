//! `expire`: show or remove the sandboxes whose time has passed.

use sandboxer_engine::api::ExpireResult;
use sandboxer_model::error::{ErrorCode, UserError};

use crate::context::{Context, Format};
use crate::output::json;
use crate::output::table::Columns;

/// Shows or removes them.
///
/// # Errors
/// Those of the engine; `Stuck` when one could not be removed.
pub(crate) async fn expire(context: &Context, apply: bool) -> Result<u8, UserError> {
    let reporter = context.reporter();
    // Not preceded by recovery, which would remove them before they are shown.
    let service = context.service_as_is().await?;
    let actions = service.expire(apply, &reporter).await?;
    reporter.close();
    match context.format {
        Format::Json => json::print(&actions)?,
        Format::Table => {
            let mut table = Columns::new(context.paint, &["ID", "EXPIRED", "REASON", "RESULT", "ERROR"]);
            for action in &actions {
                let result = serde_json::json!(action.result);
                table.row([
                    action.sandbox_id.to_string(),
                    format!("{:.0}", action.expired_at),
                    action.reason.to_string(),
                    result.as_str().unwrap_or_default().to_owned(),
                    action.error.clone().unwrap_or_default(),
                ]);
            }
            table.print()?;
        }
    }
    let failed = actions
        .iter()
        .filter(|action| action.result == ExpireResult::Failed)
        .count();
    if failed == 0 {
        return Ok(0);
    }
    Err(UserError::new(
        ErrorCode::Stuck,
        format!("{failed} of {} could not be removed", actions.len()),
    )
    .hint("the list above names the cause of each; run `sandboxer expire --apply` again once it is gone"))
}
