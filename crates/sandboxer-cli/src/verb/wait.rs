//! `wait`: until a sandbox is in a state.

use sandboxer_model::error::UserError;

use crate::args::WaitArgs;
use crate::context::Context;
use crate::output::sandbox;
use crate::value;

/// Waits.
///
/// # Errors
/// `Timeout`; at once when the state can no longer be reached.
pub(crate) async fn wait(context: &Context, args: WaitArgs) -> Result<u8, UserError> {
    let state = value::state("--for", &args.state)?;
    let timeout = value::ttl("--timeout", &args.timeout)?.as_std();
    let reporter = context.reporter();
    let sandbox = context.service(&reporter).await?.wait(&args.id, state, timeout).await?;
    reporter.close();
    sandbox::print(context, &sandbox)?;
    Ok(0)
}
