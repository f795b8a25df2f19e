//! Removes what nobody used for as long as its profile says.
//!
//! Use is: a command that starts, runs or ends inside, a longer deadline, changed labels, and being handed out again by a
//! create. Looking at a sandbox is none. A command that is seen running counts as use at that moment, so it need not report
//! to anybody. Where the backend cannot tell whether one runs, nothing is removed.

use jiff::Timestamp;
use sandboxer_extension::Observation;
use sandboxer_model::cleanup::Presence;
use sandboxer_model::error::UserError;
use sandboxer_model::lifecycle::{Reason, State};
use sandboxer_store::{SandboxFilter, SandboxRecord};

use super::recover::WORKED_ON;
use super::turn::all_at_once;
use crate::api::{Did, Progress};
use crate::engine::Engine;
use crate::operation::job::target;

/// One run.
pub(super) async fn run(engine: &Engine, progress: &dyn Progress) -> Result<Did, UserError> {
    let usable = SandboxFilter {
        states: vec![State::Ready, State::Active],
        ..SandboxFilter::default()
    };
    let mut idle = engine.ports.store.sandboxes(&usable).await?;
    idle.retain(|record| is_idle(record, engine.time_of(record)));
    let mut did = Did {
        looked_at: idle.len() as u64,
        more: idle.len() > WORKED_ON,
        ..Did::default()
    };
    // Whoever was idle for longest comes first.
    idle.sort_by_key(last_use);
    idle.truncate(WORKED_ON);
    let work = idle.into_iter().map(|record| async move {
        let id = record.sandbox.sandbox_id.clone();
        (id, end(engine, record, progress).await)
    });
    for (id, outcome) in all_at_once(work.collect()).await {
        match outcome {
            Ok(Ended::Removed) => did.add("reaped idle", id),
            Ok(Ended::InUse) => {}
            Ok(Ended::Untold(why)) => did
                .open
                .push(format!("cannot tell whether a command runs in {id}: {why}")),
            Err(error) => did.open.push(error.message),
        }
    }
    did.more &= !did.actions.is_empty();
    Ok(did)
}

/// What became of one sandbox that looked idle.
enum Ended {
    Removed,
    InUse,
    Untold(String),
}

async fn end(engine: &Engine, record: SandboxRecord, progress: &dyn Progress) -> Result<Ended, UserError> {
    let extension_id = record.sandbox.extension_id.clone().unwrap_or_default();
    let Some(extension) = engine.ports.extensions.get(&extension_id) else {
        return Ok(Ended::Untold(format!("{extension_id} is not part of this build")));
    };
    let call = engine.call_for(&record, engine.settings.timeouts.observe);
    let seen: Observation = extension.observe(&call, &target(&record)).await;
    match (seen.presence, seen.busy) {
        (Presence::Present, Some(true)) => {
            engine.note_use(record).await?;
            Ok(Ended::InUse)
        }
        // Fenced by the row that was read: whoever used it since wrote to it, and keeps it.
        (Presence::Present, Some(false)) => match engine.expire_one(record, Reason::Idle, progress).await? {
            Some(_) => Ok(Ended::Removed),
            None => Ok(Ended::InUse),
        },
        // What is gone is for those who compare.
        (Presence::Absent, _) => Ok(Ended::InUse),
        _ => Ok(Ended::Untold(seen.detail)),
    }
}

fn is_idle(record: &SandboxRecord, now: Timestamp) -> bool {
    let (Some(most), Some(last)) = (record.facts.idle_reap, last_use(record)) else {
        return false;
    };
    record.sandbox.operation_id.is_none() && now.duration_since(last) >= most.as_signed()
}

/// When it was last used, as it counts time; being made counts.
fn last_use(record: &SandboxRecord) -> Option<Timestamp> {
    let sandbox = &record.sandbox;
    [sandbox.ready_at, record.facts.last_used_at]
        .into_iter()
        .flatten()
        .max()
}
