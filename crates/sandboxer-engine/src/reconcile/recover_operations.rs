//! Takes over what dead processes left, and what this one dropped: finishes it, or undoes it.

use sandboxer_model::error::UserError;
use sandboxer_model::id::OperationId;
use sandboxer_store::Due;

use super::expire_ttl::is_damage;
use super::recover::{LOOKED_AT, WORKED_ON};
use crate::api::{Did, Progress, Recovered};
use crate::engine::Engine;
use crate::faults::Safeguard;
use crate::operation::Taken;

/// One run.
pub(super) async fn run(engine: &Engine, progress: &dyn Progress) -> Result<Did, UserError> {
    let due = engine.ports.store.due(engine.me(), LOOKED_AT).await?;
    let mut recovered = Recovered::default();
    let (mut looked_at, mut work) = (0, 0);
    for id in engine.dropped.some(WORKED_ON) {
        looked_at += 1;
        work += take(engine, id, &mut recovered, progress).await;
    }
    for due in due {
        let Due::Operation {
            operation_id,
            lease_owner,
            lease_until,
        } = due
        else {
            continue;
        };
        looked_at += 1;
        let is_ours = engine.owner_is_gone(&lease_owner, lease_until) && !engine.is_off(Safeguard::Recovery);
        if work < WORKED_ON && is_ours {
            work += take(engine, operation_id, &mut recovered, progress).await;
        }
    }
    let mut did = Did {
        looked_at,
        more: work == WORKED_ON,
        ..Did::default()
    };
    for id in recovered.finished {
        did.add("finished", id);
    }
    for id in recovered.undone {
        did.add("undone", id);
    }
    did.open = recovered
        .stuck
        .into_iter()
        .map(|(id, why)| format!("{id}: {why}"))
        .collect();
    // Without progress there is no hurry.
    did.more &= !did.actions.is_empty();
    Ok(did)
}

/// Takes over one operation that nobody works on. Returns how much of a turn that took: one whose rows are damaged costs
/// nothing, stays where it is, and must not keep the others from theirs.
pub(super) async fn take(
    engine: &Engine,
    id: OperationId,
    recovered: &mut Recovered,
    progress: &dyn Progress,
) -> usize {
    let outcome = engine.take_over(&id, progress).await;
    let work = usize::from(!is_damage(&outcome));
    match outcome {
        Ok(Taken::Finished(id)) => recovered.finished.push(id),
        Ok(Taken::Undone(id)) => recovered.undone.push(id),
        Ok(Taken::Stuck(id, why)) => recovered.stuck.push((id, why)),
        Ok(Taken::Elsewhere) => {}
        Err(error) => recovered.stuck.push((id, error.message)),
    }
    work
}
