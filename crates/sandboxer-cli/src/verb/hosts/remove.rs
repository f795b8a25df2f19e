//! `hosts remove`: forget a host, or give it up for good.

use sandboxer_model::error::UserError;

use super::show;
use crate::args::RemoveHostArgs;
use crate::context::{Context, Format};
use crate::output::json;
use crate::output::table::Columns;

/// Forgets a host, and shows it a last time; or gives it up, and shows what ended with it.
///
/// # Errors
/// `NotFound`, `WrongState` while sandboxes are there and it is not lost.
pub(super) async fn remove(context: &Context, args: &RemoveHostArgs) -> Result<u8, UserError> {
    let reporter = context.reporter();
    let service = context.service(&reporter).await?;
    if !args.lost {
        let status = service.remove_host(&args.host).await?;
        reporter.close();
        show::print(context, &status)?;
        return Ok(0);
    }
    let loss = service.lose_host(&args.host, &reporter).await?;
    reporter.close();
    match context.format {
        Format::Json => json::print(&loss)?,
        Format::Table => {
            let mut table = Columns::new(context.paint, &["ENDED", "HOST", "REASON"]);
            for id in &loss.ended {
                table.row([id.to_string(), loss.host.clone(), "host_lost".to_owned()]);
            }
            table.print()?;
        }
    }
    Ok(0)
}
