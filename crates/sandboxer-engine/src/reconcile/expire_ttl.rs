//! Removes what is past its time. An extension moves the epoch that the intent is fenced by, so what was extended
//! meanwhile is left alone.

use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::id::SandboxId;
use sandboxer_model::lifecycle::Reason;

use super::recover::{LOOKED_AT, WORKED_ON};
use crate::api::{Did, Progress};
use crate::engine::Engine;

/// One run. Each removal may wait for a far host, so they run beside one another.
pub(super) async fn run(engine: &Engine, progress: &dyn Progress) -> Result<Did, UserError> {
    let overdue = engine.ports.store.overdue(LOOKED_AT).await?;
    let mut did = Did {
        looked_at: overdue.len() as u64,
        more: overdue.len() > WORKED_ON,
        ..Did::default()
    };
    for some in overdue.chunks(WORKED_ON) {
        let work = some.iter().map(|id| async move {
            let outcome = expire(engine, id, progress).await;
            (id, outcome)
        });
        let mut worked = false;
        for (id, outcome) in super::turn::all_at_once(work.collect()).await {
            worked |= !is_damage(&outcome);
            match outcome {
                Ok(true) => did.add("expired", id),
                Ok(false) => {}
                Err(error) => did.open.push(error.message),
            }
        }
        // Damaged rows stay overdue for ever, and the longest overdue come first: they take nobody else's turn.
        if worked {
            break;
        }
    }
    // Without progress there is no hurry.
    did.more &= !did.actions.is_empty();
    Ok(did)
}

/// Whether nothing was done because a row is damaged.
pub(super) fn is_damage<T>(outcome: &Result<T, UserError>) -> bool {
    outcome
        .as_ref()
        .is_err_and(|error| error.code == ErrorCode::StoreCorrupt)
}

/// Expires one sandbox, if its time did pass. `false`: it was left alone.
///
/// # Errors
/// Those of the removal; one that does not come off is stored as stuck, and its operation is tried again later.
pub(crate) async fn expire(engine: &Engine, id: &SandboxId, progress: &dyn Progress) -> Result<bool, UserError> {
    let record = engine.ports.store.sandbox(id).await?;
    if engine.past_deadline(&record).is_none() {
        return Ok(false);
    }
    let expired = engine.expire_one(record, Reason::Ttl, progress).await?;
    Ok(expired.is_some())
}
