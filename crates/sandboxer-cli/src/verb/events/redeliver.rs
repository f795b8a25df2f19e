//! `events redeliver`: send again what was given up.

use sandboxer_model::error::UserError;

use crate::args::RedeliverArgs;
use crate::context::{Context, Format};
use crate::output::json;

/// Makes due again what was given up or waits for another try. It is sent after this, as after any command.
///
/// # Errors
/// Those of the engine.
pub(super) async fn redeliver(context: &Context, args: RedeliverArgs) -> Result<u8, UserError> {
    let reporter = context.reporter();
    let service = context.service(&reporter).await?;
    let done = service.redeliver(args.sink.as_deref(), args.id.as_deref()).await?;
    reporter.close();
    match context.format {
        Format::Json => json::print(&done)?,
        Format::Table => {
            let mut text = match done.due {
                0 => "nothing is to be sent\n".to_owned(),
                1 => "events of one sandbox are due again\n".to_owned(),
                due => format!("events are due again, of {due} sandboxes and sinks\n"),
            };
            for id in &done.enabled {
                text.push_str(&format!("{id} is enabled again\n"));
            }
            json::print_text(&text)?;
        }
    }
    Ok(0)
}
