//! `recreate`: destroy with proof, and make it again from the frozen profile.

use sandboxer_engine::Cancel;
use sandboxer_model::error::UserError;

use crate::context::{Context, Warm};
use crate::interrupt::{Interrupts, Meaning};
use crate::output::{sandbox, telemetry};
use crate::service::Service;

/// Makes a sandbox again.
///
/// # Errors
/// Those of the engine; `Interrupted`.
pub(crate) async fn recreate(context: &Context, id: &str) -> Result<u8, UserError> {
    let cancel = Cancel::new();
    let _interrupts = Interrupts::receive(Meaning::Undo, &cancel)?;
    let reporter = context.reporter();
    let service = match context.remote()? {
        Some(client) => Service::Remote(client),
        None => Service::Embedded(context.engine_over(context.extensions(Warm::Up)?, &reporter).await?),
    };
    let sandbox = service.recreate(id, &reporter, &cancel).await?;
    reporter.close();
    sandbox::print(context, &sandbox)?;
    telemetry::tell(context, &sandbox);
    Ok(0)
}
