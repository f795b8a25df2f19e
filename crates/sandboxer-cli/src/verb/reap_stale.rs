//! `reap-stale`: remove what is left over on hosts, with proof.

use sandboxer_engine::api::{ReapAction, ReapResult};
use sandboxer_model::error::{ErrorCode, UserError};

use super::inspect::tell_of_sight;
use crate::args::ReapStaleArgs;
use crate::context::{Context, Format};
use crate::output::json;
use crate::output::table::Columns;
use crate::value;

/// Shows what is left over, or removes it.
///
/// # Errors
/// `Stuck` when something could not be removed; those of the engine.
pub(crate) async fn reap_stale(context: &Context, args: ReapStaleArgs) -> Result<u8, UserError> {
    let hours = args
        .stale
        .older_than
        .as_deref()
        .map(|text| value::hours("--older-than", text))
        .transpose()?;
    let reporter = context.reporter();
    let service = context.service(&reporter).await?;
    let report = service
        .reap_stale(args.apply && !args.dry_run, args.stale.host.as_deref(), hours)
        .await?;
    reporter.close();
    match context.format {
        Format::Json => json::print(&report)?,
        Format::Table => print(context, &report.actions)?,
    }
    tell_of_sight(context, &report.hosts);
    let failed = report
        .actions
        .iter()
        .filter(|one| one.result == ReapResult::Failed)
        .count();
    if failed == 0 {
        return Ok(0);
    }
    let what = format!("{failed} of {} could not be removed", report.actions.len());
    Err(UserError::new(ErrorCode::Stuck, what)
        .hint("the list above names the cause of each; run `sandboxer reap-stale --apply` again once it is gone"))
}

fn print(context: &Context, actions: &[ReapAction]) -> Result<(), UserError> {
    let mut table = Columns::new(context.paint, &["ID", "HOST", "KIND", "RESULT", "WHY"]);
    for action in actions {
        let name = |value: serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let removed = action.cleanup.as_ref().map(|cleanup| {
            let found = cleanup.items.iter().filter(|item| item.found).count();
            format!("{found} things found, {} left", cleanup.leftovers().len())
        });
        table.row([
            action.candidate.id.clone(),
            action.candidate.host.clone(),
            name(serde_json::json!(action.candidate.kind)),
            name(serde_json::json!(action.result)),
            action
                .error
                .clone()
                .or(removed)
                .unwrap_or_else(|| action.candidate.why.clone()),
        ]);
    }
    table.print()
}
