//! `__operate`: carry out an accepted operation after the command that accepted it is gone.

use sandboxer_engine::api::DeliverLimits;
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::id::OperationId;

use crate::context::{Context, Warm};

/// Carries out one operation, away from any terminal.
///
/// # Errors
/// Those of the operation. They are also on the record, where people look.
pub(crate) async fn operate(context: &Context, operation: &str) -> Result<u8, UserError> {
    // A session of its own: the terminal of the caller may close.
    let _ = rustix::process::setsid();
    let operation: OperationId = operation
        .parse()
        .map_err(|error| UserError::new(ErrorCode::Usage, format!("{error}")))?;
    let reporter = context.reporter();
    let engine = context.open(context.extensions(Warm::Up)?).await?;
    let outcome = engine.resume(&operation, &reporter).await;
    // Nobody waits here.
    let _ = engine.deliver(DeliverLimits::patient()).await;
    outcome.map(|()| 0)
}
