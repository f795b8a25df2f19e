//! `webhooks add`: tell an address what happens from now on.

use sandboxer_engine::api::AddWebhook;
use sandboxer_model::error::UserError;

use crate::args::AddWebhookArgs;
use crate::context::{Context, Format};
use crate::output::json;
use crate::output::table::Columns;

/// Adds a webhook and shows its secret, once.
///
/// # Errors
/// Nothing may be sent there; those of the engine.
pub(super) async fn add(context: &Context, args: AddWebhookArgs) -> Result<u8, UserError> {
    let reporter = context.reporter();
    let service = context.service(&reporter).await?;
    let new = AddWebhook {
        url: args.url,
        events: args.events,
    };
    let added = service.add_webhook(&new).await?;
    reporter.close();
    match context.format {
        Format::Json => json::print(&added)?,
        Format::Table => {
            let mut table = Columns::new(context.paint, &[]);
            table.row(["webhook".to_owned(), added.sink.sink_id]);
            table.row(["url".to_owned(), added.sink.url]);
            table.row(["secret".to_owned(), added.secret]);
            table.print()?;
        }
    }
    context.note(&format!(
        "{} the secret is not shown again; receivers check signatures with it",
        context.error_paint.dim("note:")
    ));
    Ok(0)
}
