//! Removing uploads that nobody needs: what is past its time, and is not named by a sandbox that is there or could be made
//! again. Looks at the disk and at the store each time, and remembers nothing.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use sandboxer_engine::Engine;
use sandboxer_engine::api::{PageFilter, Viewer};
use sandboxer_extension::port::Clock;
use sandboxer_model::error::UserError;
use sandboxer_model::id::UploadId;

use super::keep::Keep;
use crate::log::Level;
use crate::state::State;

/// How often it is looked.
const PERIOD: Duration = Duration::from_secs(60);
/// Sandboxes that are read at a time.
const PAGE: u32 = 200;

/// Sweeps now and then, until the server stops.
pub(crate) async fn keep_swept(state: Arc<State>) {
    let keep = state.uploads.keep();
    while !state.stop.is_set() {
        match sweep(state.engine, keep, state.clock.as_ref()).await {
            Ok(removed) => {
                for name in removed {
                    state.log.line(Level::Info, "removed an upload", &[("on", &name)]);
                }
            }
            Err(error) => state
                .log
                .line(Level::Error, "uploads were not swept", &[("why", &error.message)]),
        }
        tokio::select! {
            () = state.clock.sleep(PERIOD) => {}
            () = state.stop.cancelled() => {}
        }
    }
}

/// Removes what nobody needs; the names of what was removed.
///
/// # Errors
/// Those of the store: what cannot be told is not removed.
pub(crate) async fn sweep(engine: &Engine, keep: &Keep, clock: &dyn Clock) -> Result<Vec<String>, UserError> {
    if keep.is_empty() {
        return Ok(Vec::new());
    }
    // Before the look at the store: what is made after it is too young to be removed.
    let now = clock.now();
    let mut used: HashSet<UploadId> = HashSet::new();
    let mut filter = PageFilter {
        limit: PAGE,
        ..PageFilter::default()
    };
    loop {
        let (sandboxes, more) = engine.page(&filter, &Viewer::default()).await?;
        for sandbox in &sandboxes {
            used.extend(sandbox.inputs.values().filter_map(|input| keep.named_by(input)));
        }
        match sandboxes.last() {
            Some(last) if more => filter.before = Some(last.sandbox_id.clone()),
            _ => break,
        }
    }
    let keep = keep.clone();
    let removing = tokio::task::spawn_blocking(move || keep.remove_unused(&|id| used.contains(id), now));
    Ok(removing.await.unwrap_or_default())
}
