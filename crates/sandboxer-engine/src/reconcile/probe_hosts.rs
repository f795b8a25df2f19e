//! Looks how registered hosts are: one that does not answer is marked, with since when, and asked again after as long as it
//! has been away, up to an hour.

use sandboxer_model::error::UserError;

use super::recover::WORKED_ON;
use super::turn::{after, all_at_once};
use crate::api::Did;
use crate::engine::Engine;
use crate::host::FARTHEST_PROBE;

/// One run.
pub(super) async fn run(engine: &Engine) -> Result<Did, UserError> {
    let now = engine.ports.clock.now();
    let hosts = engine.ports.store.hosts().await?;
    let mut did = Did {
        looked_at: hosts.len() as u64,
        ..Did::default()
    };
    let mut due: Vec<_> = hosts.into_iter().map(|status| status.host).collect();
    // One that is to be asked later than ever was written under a clock that was set back since.
    due.retain(|host| {
        host.probe_after
            .is_none_or(|at| at <= now || at > after(now, FARTHEST_PROBE))
    });
    due.sort_by_key(|host| host.probe_after);
    did.more = due.len() > WORKED_ON;
    due.truncate(WORKED_ON);
    let asked = due.into_iter().map(|host| async move {
        let seen = engine.probe_host(&host.name).await;
        (host, seen)
    });
    for (before, seen) in all_at_once(asked.collect()).await {
        match seen {
            Ok(status) if status.host.unreachable.is_none() && before.unreachable.is_some() => {
                did.add("answers again", status.host.name);
            }
            Ok(status) if status.host.unreachable.is_some() && before.unreachable.is_none() => {
                did.add("does not answer", status.host.name);
            }
            Ok(_) => {}
            Err(error) => did.open.push(format!("{}: {}", before.name, error.message)),
        }
    }
    Ok(did)
}
