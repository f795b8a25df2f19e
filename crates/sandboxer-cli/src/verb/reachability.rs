//! `reachability show`: how a sandbox is reached.

use sandboxer_model::error::UserError;

use crate::args::ReachabilityVerb;
use crate::context::{Context, Format};
use crate::output::json;
use crate::output::table::Columns;

/// Shows how a sandbox is reached.
///
/// # Errors
/// Those of the engine.
pub(crate) async fn reachability(context: &Context, verb: ReachabilityVerb) -> Result<u8, UserError> {
    let ReachabilityVerb::Show(args) = verb;
    let reporter = context.reporter();
    let reachability = context.engine(&reporter).await?.reachability(&args.id).await?;
    reporter.close();
    match context.format {
        Format::Json => json::print(&reachability)?,
        Format::Table => {
            let mut table = Columns::new(context.paint, &[]);
            for (name, value) in super::explain::ways(&reachability) {
                table.row([name, value]);
            }
            table.print()?;
        }
    }
    Ok(0)
}
