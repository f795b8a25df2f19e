//! `inspect stale`: what may be left over on hosts.

use sandboxer_engine::api::Sight;
use sandboxer_model::error::UserError;

use crate::args::StaleArgs;
use crate::context::{Context, Format};
use crate::output::json;
use crate::output::table::Columns;
use crate::value;

/// Compares what is on hosts with the records.
///
/// # Errors
/// Those of the engine. A host that cannot be seen is named in a note.
pub(super) async fn stale(context: &Context, args: StaleArgs) -> Result<u8, UserError> {
    let hours = args
        .older_than
        .as_deref()
        .map(|text| value::hours("--older-than", text))
        .transpose()?;
    let reporter = context.reporter();
    let service = context.service(&reporter).await?;
    let report = service.stale(args.host.as_deref(), hours).await?;
    reporter.close();
    match context.format {
        Format::Json => json::print(&report)?,
        Format::Table => {
            let mut table = Columns::new(context.paint, &["ID", "HOST", "KIND", "AGE", "ACTION", "WHY"]);
            for one in &report.stale_candidates {
                let name = |value: serde_json::Value| value.as_str().unwrap_or_default().to_owned();
                table.row([
                    one.id.clone(),
                    one.host.clone(),
                    name(serde_json::json!(one.kind)),
                    one.age_hours
                        .map_or_else(|| "-".to_owned(), |hours| format!("{hours}h")),
                    name(serde_json::json!(one.action)),
                    one.why.clone(),
                ]);
            }
            table.print()?;
        }
    }
    tell_of_sight(context, &report.hosts);
    Ok(0)
}

/// Says on which hosts more may be than was seen.
pub(crate) fn tell_of_sight(context: &Context, hosts: &[Sight]) {
    for sight in hosts {
        if let Some(why) = &sight.incomplete {
            context.note(&format!(
                "{} more may be on {} than was seen: {why}",
                context.error_paint.warn("note:"),
                sight.host
            ));
        }
    }
}
