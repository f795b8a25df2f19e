//! `extend-ttl`: move a deadline later.

use sandboxer_engine::api::Extend;
use sandboxer_model::error::UserError;

use crate::args::ExtendTtlArgs;
use crate::context::Context;
use crate::error::usage;
use crate::output::sandbox;
use crate::value;

/// Moves the deadline.
///
/// # Errors
/// The value is wrong; those of the engine.
pub(crate) async fn extend_ttl(context: &Context, args: ExtendTtlArgs) -> Result<u8, UserError> {
    let by = match (&args.duration, &args.until) {
        (Some(duration), None) => Extend::By(value::ttl("--duration", duration)?),
        (None, Some(until)) => Extend::Until(value::time("--until", until)?),
        _ => return Err(usage("give either `--duration` or `--until`")),
    };
    let reporter = context.reporter();
    let sandbox = context.service(&reporter).await?.extend_ttl(&args.id, by).await?;
    reporter.close();
    sandbox::print(context, &sandbox)?;
    Ok(0)
}
