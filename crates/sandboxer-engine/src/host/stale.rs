//! What may be left over on hosts, and its removal. Nothing is removed on the strength of one look, and never what has a
//! live record: the record is fenced before the backend is asked, so whoever would bring it back to life meanwhile
//! either comes first, and keeps it, or runs under a newer epoch.

use std::collections::BTreeSet;
use std::time::Duration;

use sandboxer_extension::{Call, Removal, Target, cut};
use sandboxer_model::cleanup::Presence;
use sandboxer_model::error::UserError;
use sandboxer_model::host::{SandboxInventory, StaleAction, StaleCandidate};
use sandboxer_model::id::EventId;
use sandboxer_model::operation::Epoch;
use sandboxer_store::{Change, NewEvent, SandboxFilter, SandboxRecord, StoreError};
use serde_json::json;

use super::Spot;
use super::drift::{self, OnRecord, Records, Sighting};
use super::look::Seen;
use crate::api::{ReapAction, ReapReport, ReapResult, Sight, StaleReport};
use crate::engine::Engine;
use crate::faults::Safeguard;
use crate::operation::job::reached_by;

/// Between two sightings: nothing is removed on the strength of one.
pub(crate) const SECOND_LOOK: Duration = Duration::from_millis(50);

impl Engine {
    /// What on hosts does not agree with the records: on all that are registered or have sandboxes, or on one.
    ///
    /// # Errors
    /// `InvalidInput` when that is no host, and those of the store. A host that cannot be seen is in the answer.
    pub async fn stale(&self, host: Option<&str>, older_than_hours: Option<u64>) -> Result<StaleReport, UserError> {
        let spots = self.spots(host).await?;
        let (sightings, hosts) = self.sightings(spots, older_than_hours).await?;
        Ok(StaleReport {
            stale_candidates: sightings.into_iter().map(|one| one.candidate).collect(),
            hosts,
        })
    }

    /// Removes what is left over, with proof, if `apply`; otherwise says what it would remove.
    ///
    /// # Errors
    /// As [`stale`](Engine::stale); what cannot be removed is in the answer.
    pub async fn reap_stale(
        &self,
        apply: bool,
        host: Option<&str>,
        older_than_hours: Option<u64>,
    ) -> Result<ReapReport, UserError> {
        let spots = self.spots(host).await?;
        let (first, mut hosts) = self.sightings(spots.clone(), older_than_hours).await?;
        let mut again = Vec::new();
        if apply && first.iter().any(is_ours_to_reap) && !self.is_off(Safeguard::SecondLook) {
            self.ports.clock.sleep(SECOND_LOOK).await;
            (again, hosts) = self.sightings(spots, older_than_hours).await?;
        }
        let mut actions: Vec<ReapAction> = Vec::new();
        let mut removed: Vec<(Sighting, ReapAction)> = Vec::new();
        for sighting in first {
            let action = if !is_ours_to_reap(&sighting) {
                done(&sighting, ReapResult::Kept, None)
            } else if !apply {
                done(&sighting, ReapResult::DryRun, None)
            } else if !self.is_off(Safeguard::SecondLook) && !again.iter().any(|seen| is_same(seen, &sighting)) {
                let why = "it was not there at the second look".to_owned();
                done(&sighting, ReapResult::Kept, Some(why))
            } else if let Some((_, before)) = removed.iter().find(|(one, _)| is_same_sandbox(one, &sighting)) {
                // One removal takes everything of a sandbox.
                ReapAction {
                    candidate: sighting.candidate.clone(),
                    ..before.clone()
                }
            } else {
                let action = self.reap(&sighting).await?;
                removed.push((sighting, action.clone()));
                action
            };
            actions.push(action);
        }
        Ok(ReapReport { actions, hosts })
    }

    /// What is on one host beside what should be, for the report of a create.
    pub(crate) async fn around(&self, record: &SandboxRecord, seen: sandboxer_extension::Inventory) -> Around {
        let spot = Spot {
            name: record.sandbox.host.clone().unwrap_or_default(),
            address: reached_by(record).unwrap_or_default(),
        };
        let host = spot.name.clone();
        let extension_id = record.sandbox.extension_id.clone().unwrap_or_default();
        let seen = [Seen::new(spot, extension_id, seen)];
        let records = match self.records_of(&seen).await {
            Ok(records) => records,
            // A report is not worth a sandbox.
            Err(_) => return Around::default(),
        };
        let now = self.ports.clock.now();
        let [only] = &seen;
        let stale = drift::compare(only, &records, self.ports.store.installation_id(), now, None);
        Around {
            inventory: Some(drift::inventory(&host, &seen, &records, now)),
            stale: stale.into_iter().map(|one| one.candidate).collect(),
        }
    }

    /// The hosts to look at.
    pub(super) async fn spots(&self, host: Option<&str>) -> Result<BTreeSet<Spot>, UserError> {
        if let Some(host) = host {
            return Ok(BTreeSet::from([self.spot(host).await?.0]));
        }
        let mut spots: BTreeSet<Spot> = self
            .ports
            .store
            .hosts()
            .await?
            .into_iter()
            .map(|status| Spot {
                address: status.host.address.to_string(),
                name: status.host.name,
            })
            .collect();
        for record in self.ports.store.sandboxes(&SandboxFilter::default()).await? {
            if let (Some(name), Some(address)) = (record.sandbox.host.clone(), reached_by(&record)) {
                spots.insert(Spot { name, address });
            }
        }
        Ok(spots)
    }

    async fn sightings(
        &self,
        spots: BTreeSet<Spot>,
        older_than_hours: Option<u64>,
    ) -> Result<(Vec<Sighting>, Vec<Sight>), UserError> {
        let before = self.at_rest().await?;
        let seen = self.list_things(spots.into_iter().collect()).await;
        // Read after the look: whatever was seen was on record before it existed.
        let records = self.records_of(&seen).await?;
        let after = self.at_rest().await?;
        let now = self.ports.clock.now();
        let (mut sightings, mut hosts) = (Vec::new(), Vec::new());
        for seen in &seen {
            sightings.extend(drift::compare(
                seen,
                &records,
                self.ports.store.installation_id(),
                now,
                older_than_hours,
            ));
            let lived_here_throughout = after.iter().filter(|record| {
                record.sandbox.extension_id.as_deref() == Some(seen.extension_id.as_str())
                    && reached_by(record).as_deref() == Some(seen.spot.address.as_str())
                    && before.iter().any(|earlier| is_same_life(earlier, record))
            });
            sightings.extend(lived_here_throughout.filter_map(|record| drift::zombie(record, seen, now)));
            hosts.push(Sight {
                host: seen.spot.name.clone(),
                incomplete: seen.incomplete.clone(),
            });
        }
        Ok((sightings, hosts))
    }

    /// Sandboxes that can be used and that nobody is at work on.
    async fn at_rest(&self) -> Result<Vec<SandboxRecord>, UserError> {
        let mut records = self.ports.store.sandboxes(&SandboxFilter::default()).await?;
        records.retain(|record| record.sandbox.state.is_usable() && record.sandbox.operation_id.is_none());
        Ok(records)
    }

    /// The records of everything that was seen.
    pub(super) async fn records_of(&self, seen: &[Seen]) -> Result<Records, UserError> {
        let mut records = Records::new();
        let named = seen
            .iter()
            .flat_map(|seen| &seen.items)
            .filter_map(|item| item.sandbox_id.as_ref());
        for id in named {
            if records.contains_key(id) {
                continue;
            }
            let record = match self.ports.store.sandbox(id).await {
                Ok(record) => OnRecord::Record(record),
                Err(StoreError::NotFound { .. }) => OnRecord::Nothing,
                Err(StoreError::Damaged { .. }) => OnRecord::Unreadable,
                Err(error) => return Err(error.into()),
            };
            records.insert(id.clone(), record);
        }
        Ok(records)
    }

    /// Removes one sandbox's leftovers from one host.
    pub(crate) async fn reap(&self, sighting: &Sighting) -> Result<ReapAction, UserError> {
        let kept = |why: &str| Ok(done(sighting, ReapResult::Kept, Some(why.to_owned())));
        let Some(id) = sighting.candidate.sandbox_id.clone() else {
            return kept("it names no sandbox");
        };
        let Some(extension) = self.ports.extensions.get(&sighting.extension_id) else {
            return kept("its backend is not part of this build");
        };
        let mut epoch = sighting.epoch.unwrap_or_default().next();
        let mut record = match self.ports.store.sandbox(&id).await {
            Ok(record) => Some(record),
            Err(StoreError::NotFound { .. }) => None,
            Err(StoreError::Damaged { .. }) => return kept("the record of its sandbox is damaged, and it may live"),
            Err(error) => return Err(error.into()),
        };
        if let Some(record) = &mut record {
            if !drift::is_over(record) {
                return kept("its sandbox lives, or somebody is at work on it");
            }
            epoch = epoch.max(record.sandbox.epoch.next());
            record.sandbox.epoch = epoch;
            match self
                .tell(record, "stale.reaping", sighting, serde_json::Value::Null)
                .await
            {
                Ok(()) => {}
                Err(StoreError::Fenced(_) | StoreError::Stale(_)) => {
                    return kept("somebody else is at work on its sandbox");
                }
                Err(error) => return Err(error.into()),
            }
        }
        let call = self.call_at(epoch);
        let target = Target {
            sandbox_id: id,
            host: Some(sighting.address.clone()).filter(|address| !address.is_empty()),
            handle: None,
        };
        cut!("reap.before_effect");
        let action = match extension.teardown(&call, &target).await {
            Ok(removal) => receipt(sighting, removal),
            Err(error) => done(sighting, ReapResult::Failed, Some(error.message)),
        };
        cut!("reap.after_effect");
        if let Some(record) = &mut record {
            let kind = match action.result {
                ReapResult::Reaped => "stale.reaped",
                _ => "stale.not_reaped",
            };
            let detail = json!({ "cleanup": action.cleanup, "error": action.error });
            match self.tell(record, kind, sighting, detail).await {
                // It is made again already: its story goes on without this line.
                Ok(()) | Err(StoreError::Fenced(_) | StoreError::Stale(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(action)
    }

    fn call_at(&self, epoch: Epoch) -> Call {
        Call {
            epoch,
            ..self.call_about_host(self.settings.timeouts.teardown)
        }
    }

    async fn tell(
        &self,
        record: &mut SandboxRecord,
        kind: &str,
        sighting: &Sighting,
        detail: serde_json::Value,
    ) -> Result<(), StoreError> {
        let now = self.ports.clock.now();
        record.sandbox.updated_at = now;
        let StaleCandidate { host, why, .. } = &sighting.candidate;
        let event = NewEvent {
            event_id: EventId::from_uuid(self.ports.ids.uuid()),
            at: now,
            kind: kind.to_owned(),
            state: record.sandbox.state,
            reason: record.sandbox.reason,
            summary: format!("left over on {host}: {why}"),
            detail,
        };
        let change = Change {
            events: vec![event],
            ..Change::default()
        };
        self.ports.store.commit(record, &change).await
    }
}

/// What else is on the host of a sandbox.
#[derive(Debug, Clone, Default)]
pub(crate) struct Around {
    pub(crate) inventory: Option<SandboxInventory>,
    pub(crate) stale: Vec<StaleCandidate>,
}

fn is_ours_to_reap(sighting: &Sighting) -> bool {
    sighting.candidate.action == StaleAction::Reap
}

fn is_same_sandbox(a: &Sighting, b: &Sighting) -> bool {
    a.candidate.sandbox_id == b.candidate.sandbox_id && a.address == b.address && a.extension_id == b.extension_id
}

pub(crate) fn is_same(a: &Sighting, b: &Sighting) -> bool {
    is_same_sandbox(a, b) && a.candidate.kind == b.candidate.kind && is_ours_to_reap(a) == is_ours_to_reap(b)
}

fn is_same_life(a: &SandboxRecord, b: &SandboxRecord) -> bool {
    a.sandbox.sandbox_id == b.sandbox.sandbox_id && a.sandbox.generation == b.sandbox.generation
}

fn done(sighting: &Sighting, result: ReapResult, error: Option<String>) -> ReapAction {
    ReapAction {
        candidate: sighting.candidate.clone(),
        result,
        cleanup: None,
        error,
    }
}

fn receipt(sighting: &Sighting, removal: Removal) -> ReapAction {
    let is_gone = removal.report.verified == Presence::Absent;
    let left = removal.report.leftovers().len();
    ReapAction {
        candidate: sighting.candidate.clone(),
        result: if is_gone {
            ReapResult::Reaped
        } else {
            ReapResult::Failed
        },
        error: (!is_gone).then(|| format!("absence is not proven: {left} things are left or cannot be told")),
        cleanup: Some(removal.report),
    }
}
