//! Removes leftovers that outlasted their quarantine: what bears our mark and belongs to no life any more is written down
//! when it is first seen, and removed only when a later complete look, at least a grace period after, still sees it. What
//! belongs to others is left to the report of `inspect stale`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sandboxer_model::error::UserError;
use sandboxer_model::host::{StaleAction, StaleKind};
use sandboxer_store::Sighting as Earlier;

use super::recover::WORKED_ON;
use super::turn::after;
use crate::api::{Did, ReapResult};
use crate::engine::Engine;
use crate::host::Sighting;

/// What was seen once is noted under this topic.
const TOPIC: &str = "orphan";
/// What has a record that says it is over.
const GRACE: Duration = Duration::from_secs(600);
/// What bears our mark and has no record: the record may be in a backup that somebody is about to bring back.
const GRACE_WITHOUT_RECORD: Duration = Duration::from_secs(24 * 3600);

/// One run.
pub(super) async fn run(engine: &Engine) -> Result<Did, UserError> {
    let store = &engine.ports.store;
    let now = engine.ports.clock.now();
    let sweep = engine.leftovers().await?;
    let earlier: BTreeMap<String, Earlier> = store
        .sightings(TOPIC)
        .await?
        .into_iter()
        .map(|sighting| (sighting.thing.clone(), sighting))
        .collect();
    let mut did = Did {
        looked_at: sweep.seen,
        ..Did::default()
    };
    let (mut again, mut otherwise) = (Vec::new(), Vec::new());
    let mut removed: BTreeMap<String, ReapResult> = BTreeMap::new();
    let mut named = BTreeSet::new();
    for sighting in sweep.sightings {
        if sighting.candidate.action != StaleAction::Reap {
            continue;
        }
        let thing = name(&sighting);
        let why = sighting.candidate.why.clone();
        named.insert(thing.clone());
        // A look that did not see everything is no proof of anything.
        if !sweep.complete.contains(&place(&sighting)) {
            continue;
        }
        let grace = if sighting.has_record {
            GRACE
        } else {
            GRACE_WITHOUT_RECORD
        };
        let is_ripe = earlier
            .get(&thing)
            .is_some_and(|earlier| after(earlier.first_at, grace) <= now);
        if !is_ripe {
            if !earlier.contains_key(&thing) {
                did.add("quarantined", &thing);
            }
            again.push((thing, why));
            continue;
        }
        // One removal takes everything of a sandbox.
        let whole = format!("{} {:?}", place(&sighting), sighting.candidate.sandbox_id);
        let result = match removed.get(&whole) {
            Some(result) => *result,
            None if removed.len() == WORKED_ON => {
                did.more = true;
                continue;
            }
            None => {
                let action = engine.reap(&sighting).await?;
                if let Some(error) = action.error {
                    did.open.push(format!("{thing}: {error}"));
                }
                removed.insert(whole, action.result);
                action.result
            }
        };
        if result == ReapResult::Reaped {
            did.add("reaped", &thing);
            otherwise.push(thing);
        } else {
            again.push((thing, why));
        }
    }
    // Gone by itself, as far as a complete look can tell.
    for (thing, _) in earlier.iter().filter(|(thing, _)| !named.contains(*thing)) {
        if sweep.complete.iter().any(|place| thing.starts_with(place.as_str())) {
            otherwise.push(thing.clone());
        }
    }
    store.note_sightings(TOPIC, &again, &otherwise).await?;
    did.open.extend(sweep.incomplete);
    did.more &= !did.actions.is_empty();
    Ok(did)
}

/// Where it is, as the beginning of its name.
fn place(sighting: &Sighting) -> String {
    crate::host::place_name(&sighting.extension_id, &sighting.address)
}

/// What it is called from look to look.
fn name(sighting: &Sighting) -> String {
    let kind = match sighting.candidate.kind {
        StaleKind::OrphanDir => "directory",
        _ => "things",
    };
    let id = sighting.candidate.sandbox_id.as_ref();
    format!("{}{} {kind}", place(sighting), id.map_or("-", |id| id.as_str()))
}
