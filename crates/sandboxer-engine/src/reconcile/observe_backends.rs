//! Compares every usable sandbox with its backend: where hosts list what they have, by that, else one by one. Nothing is
//! called lost unless two looks with a pause between them agree, and what cannot be told changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sandboxer_extension::{Inventory, Observation};
use sandboxer_model::cleanup::Presence;
use sandboxer_model::error::UserError;
use sandboxer_model::id::SandboxId;
use sandboxer_model::lifecycle::{Reason, State};
use sandboxer_store::{SandboxFilter, SandboxRecord};

use super::compare::lost_words;
use super::recover::WORKED_ON;
use super::truth::{Evidence, HostFact, Verdict, decide};
use super::turn::{after, all_at_once};
use crate::api::{Did, Progress};
use crate::engine::Engine;
use crate::operation::job::{reached_by, target};

/// What was seen once is noted under this topic.
const TOPIC: &str = "lost";
/// Between two looks at least: nothing is called lost on the strength of one.
const PAUSE: Duration = Duration::from_secs(10);
/// Sandboxes that are asked for one by one in a run; those that were not seen for longest come first.
const ONE_BY_ONE: usize = 128;
/// Backends asked at once.
const AT_ONCE: usize = 16;

/// One run.
pub(super) async fn run(engine: &Engine, progress: &dyn Progress) -> Result<Did, UserError> {
    let store = &engine.ports.store;
    let usable = SandboxFilter {
        states: vec![State::Ready, State::Active],
        ..SandboxFilter::default()
    };
    // Read before the look: whatever is on record here was made before it.
    let mut records = store.sandboxes(&usable).await?;
    records.retain(|record| record.sandbox.operation_id.is_none());
    let mut did = Did {
        looked_at: records.len() as u64,
        ..Did::default()
    };
    let at = engine.ports.clock.now();
    let listed = listed(engine, &records).await;
    let mut alive: Vec<SandboxId> = Vec::new();
    let mut asked = Vec::new();
    for record in records {
        if listed.contains(&record.sandbox.sandbox_id) {
            alive.push(record.sandbox.sandbox_id.clone());
        } else {
            asked.push(record);
        }
    }
    let seen = store.seen_alive().await?;
    asked.sort_by_key(|record| seen.get(&record.sandbox.sandbox_id).copied());
    did.more = asked.len() > ONE_BY_ONE;
    asked.truncate(ONE_BY_ONE);
    let earlier: BTreeMap<String, jiff::Timestamp> = store
        .sightings(TOPIC)
        .await?
        .into_iter()
        .map(|sighting| (sighting.thing, sighting.first_at))
        .collect();
    let silent: BTreeSet<String> = store
        .hosts()
        .await?
        .into_iter()
        .filter(|status| status.host.unreachable.is_some())
        .map(|status| status.host.name)
        .collect();
    let (mut once, mut otherwise) = (Vec::new(), Vec::new());
    let mut work = 0;
    while !asked.is_empty() {
        let some = asked.split_off(asked.len().saturating_sub(AT_ONCE));
        let looks = some.into_iter().map(|record| async move {
            let seen = look(engine, &record).await;
            (record, seen)
        });
        for (record, seen) in all_at_once(looks.collect()).await {
            let Some(seen) = seen else { continue };
            let id = record.sandbox.sandbox_id.clone();
            let thing = life(&record);
            let is_past = engine.past_deadline(&record).is_some();
            let mut facts = Evidence::new(record.sandbox.state, is_past, &seen);
            if record.sandbox.host.as_ref().is_some_and(|host| silent.contains(host))
                && seen.presence == Presence::Unknown
            {
                facts.host = HostFact::Silent;
            }
            let verdict = decide(&facts);
            let outcome = match verdict {
                Verdict::AsStored | Verdict::GiveUp => continue,
                Verdict::Alive => {
                    alive.push(id);
                    if earlier.contains_key(&thing) {
                        otherwise.push(thing);
                    }
                    continue;
                }
                Verdict::Lose if earlier.get(&thing).is_none_or(|first| after(*first, PAUSE) > at) => {
                    once.push((thing, lost_words(&seen)));
                    continue;
                }
                _ if work == WORKED_ON => {
                    did.more = true;
                    continue;
                }
                Verdict::Expire => engine
                    .expire_one(record, Reason::Ttl, progress)
                    .await
                    .map(|done| done.is_some()),
                Verdict::Lose => engine.lose(record, lost_words(&seen), progress).await.map(|_| true),
            };
            work += 1;
            otherwise.push(thing);
            match outcome {
                Ok(true) => did.add(if verdict == Verdict::Lose { "lost" } else { "expired" }, id),
                Ok(false) => {}
                Err(error) => did.open.push(error.message),
            }
        }
    }
    // What is not on record as usable any more needs no second look.
    let ids: BTreeSet<&str> = once.iter().map(|(thing, _)| thing.as_str()).collect();
    for thing in earlier.keys() {
        if !ids.contains(thing.as_str()) && engine.is_over_by_name(thing).await? {
            otherwise.push(thing.clone());
        }
    }
    store.note_alive(&alive, at).await?;
    store.note_sightings(TOPIC, &once, &otherwise).await?;
    did.open.extend(
        once.into_iter()
            .map(|(thing, why)| format!("{thing}: {why}; a second look decides")),
    );
    did.more &= !did.actions.is_empty();
    Ok(did)
}

/// What hosts list of ours: that it is there is told, that it is not must be asked for by id.
async fn listed(engine: &Engine, records: &[SandboxRecord]) -> BTreeSet<SandboxId> {
    let places: BTreeSet<(String, String)> = records
        .iter()
        .filter_map(|record| Some((record.sandbox.extension_id.clone()?, reached_by(record)?)))
        .collect();
    let asked = places.into_iter().filter_map(|(id, address)| {
        let extension = engine.ports.extensions.get(&id)?;
        // One that cannot list everything is asked one by one.
        if !extension.capabilities().needs_host || !extension.capabilities().inventory_complete {
            return None;
        }
        let call = engine.call_about_host(engine.settings.timeouts.other);
        Some(async move {
            let inventory = extension.inventory_at(&call, &address).await;
            (id, address, inventory)
        })
    });
    let mine = engine.ports.store.installation_id();
    let mut there = BTreeSet::new();
    for (extension_id, address, inventory) in all_at_once(asked.collect()).await {
        let (Inventory::Complete(items) | Inventory::Partial { items, .. }) = inventory else {
            continue;
        };
        for item in items
            .into_iter()
            .filter(|item| item.installation_id.as_ref() == Some(mine))
        {
            there.extend(item.sandbox_id.map(|id| (extension_id.clone(), address.clone(), id)));
        }
    }
    records
        .iter()
        .filter(|record| {
            let sandbox = &record.sandbox;
            let place = sandbox.extension_id.clone().zip(reached_by(record));
            // A thing of it may be left of what ended: within its time only, and not when it was doubted.
            place.is_some_and(|(extension, address)| there.contains(&(extension, address, sandbox.sandbox_id.clone())))
                && engine.past_deadline(record).is_none()
        })
        .map(|record| record.sandbox.sandbox_id.clone())
        .collect()
}

/// One look at one sandbox; `None`: its backend is not part of this build.
pub(crate) async fn look(engine: &Engine, record: &SandboxRecord) -> Option<Observation> {
    let extension = engine.ports.extensions.get(record.sandbox.extension_id.as_deref()?)?;
    let call = engine.call_for(record, engine.settings.timeouts.observe);
    Some(extension.observe(&call, &target(record)).await)
}

/// The name of this stretch of life: what was seen of one says nothing about the next.
fn life(record: &SandboxRecord) -> String {
    format!("{}@{}", record.sandbox.sandbox_id, record.sandbox.generation)
}

impl Engine {
    /// Whether the stretch of life of this name is over, by the record.
    async fn is_over_by_name(&self, life_name: &str) -> Result<bool, UserError> {
        let Some(Ok(id)) = life_name.split('@').next().map(str::parse::<SandboxId>) else {
            return Ok(true);
        };
        match self.ports.store.sandbox(&id).await {
            Ok(record) => Ok(!record.sandbox.state.is_usable() || life(&record) != life_name),
            Err(sandboxer_store::StoreError::NotFound { .. }) => Ok(true),
            // Nothing can be told of it, so nothing is forgotten either.
            Err(sandboxer_store::StoreError::Damaged { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
