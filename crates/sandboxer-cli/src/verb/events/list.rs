//! What happened, in order.

use sandboxer_model::error::UserError;

use crate::context::{Context, Format};
use crate::output::json;
use crate::output::table::Columns;

/// Shows events of one sandbox, or of all.
///
/// # Errors
/// Those of the engine.
pub(super) async fn list(context: &Context, id: Option<&str>) -> Result<u8, UserError> {
    let reporter = context.reporter();
    let events = context.service(&reporter).await?.events(id).await?;
    reporter.close();
    match context.format {
        Format::Json => json::print(&events)?,
        Format::Table => {
            let mut table = Columns::new(context.paint, &["TIME", "ID", "SEQ", "EVENT", "SUMMARY"]);
            for listed in &events {
                let event = &listed.event;
                table.row([
                    format!("{:.3}", event.at),
                    event.sandbox_id.to_string(),
                    event.seq.to_string(),
                    event.kind.clone(),
                    event.summary.clone(),
                ]);
            }
            table.print()?;
        }
    }
    Ok(0)
}
