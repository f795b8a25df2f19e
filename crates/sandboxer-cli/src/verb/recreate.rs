//! `recreate`: destroy with proof, and make it again from the frozen profile.

use sandboxer_engine::Cancel;
use sandboxer_model::error::UserError;

use crate::context::{Context, Warm};
use crate::interrupt::{Interrupts, Meaning};
use crate::output::{sandbox, telemetry};

/// Makes a sandbox again.
///
/// # Errors
/// Those of the engine; `Interrupted`.
pub(crate) async fn recreate(context: &Context, id: &str) -> Result<u8, UserError> {
    let extensions = context.extensions(Warm::Up)?;
    let cancel = Cancel::new();
    let _interrupts = Interrupts::receive(Meaning::Undo, &cancel)?;
    let reporter = context.reporter();
    let sandbox = context
        .engine_over(extensions, &reporter)
        .await?
        .recreate(id, &reporter, &cancel)
        .await?;
    reporter.close();
    sandbox::print(context, &sandbox)?;
    telemetry::tell(context, &sandbox);
    Ok(0)
}
