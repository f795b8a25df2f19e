//! What backends tell. What cannot be told is no drift, and said to be unseen.

use std::collections::BTreeSet;

use sandboxer_extension::Observation;
use sandboxer_model::cleanup::Presence;
use sandboxer_model::error::UserError;
use sandboxer_model::host::StaleAction;
use sandboxer_model::lifecycle::State;
use sandboxer_store::{SandboxFilter, SandboxRecord, StoreError};

use super::{Finding, Findings, Fix};
use crate::api::DriftClass;
use crate::engine::Engine;
use crate::host::{SECOND_LOOK, Sighting, is_over};
use crate::reconcile::{Evidence, Verdict, all_at_once, decide, look, lost_words};

/// Backends asked at once.
const AT_ONCE: usize = 16;

impl Engine {
    pub(super) async fn find_at_backends(&self, findings: &mut Findings) -> Result<(), UserError> {
        self.find_zombies(findings).await?;
        self.find_leftovers(findings).await?;
        self.find_held(findings).await
    }

    /// Two looks that agree, as everywhere.
    async fn find_zombies(&self, findings: &mut Findings) -> Result<(), UserError> {
        let usable = SandboxFilter {
            states: vec![State::Ready, State::Active],
            ..SandboxFilter::default()
        };
        let mut records = self.ports.store.sandboxes(&usable).await?;
        records.retain(|record| record.sandbox.operation_id.is_none() && self.past_deadline(record).is_none());
        let (doubted, unseen) = self.contradicted(records).await;
        findings.unseen.extend(unseen);
        if doubted.is_empty() {
            return Ok(());
        }
        self.ports.clock.sleep(SECOND_LOOK).await;
        let mut fresh = Vec::new();
        for (record, _) in doubted {
            match self.ports.store.sandbox(&record.sandbox.sandbox_id).await {
                Ok(now) if now.sandbox.generation == record.sandbox.generation => fresh.push(now),
                Ok(_) | Err(StoreError::NotFound { .. } | StoreError::Damaged { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        fresh.retain(|record| record.sandbox.state.is_usable() && record.sandbox.operation_id.is_none());
        for (record, seen) in self.contradicted(fresh).await.0 {
            let id = record.sandbox.sandbox_id;
            findings.all.push(Finding::new(
                DriftClass::ZombieRecord,
                &id,
                format!("it is on record as {}, and {}", record.sandbox.state, lost_words(&seen)),
                "remove what is left of it and say on record that it ended",
                Fix::Conclude(id.clone()),
            ));
        }
        Ok(())
    }

    /// Records that one look contradicts, and what could not be told.
    async fn contradicted(
        &self,
        mut records: Vec<SandboxRecord>,
    ) -> (Vec<(SandboxRecord, Observation)>, BTreeSet<String>) {
        let (mut doubted, mut unseen) = (Vec::new(), BTreeSet::new());
        while !records.is_empty() {
            let some = records.split_off(records.len().saturating_sub(AT_ONCE));
            let looks = some.into_iter().map(|record| async move {
                let seen = look(self, &record).await;
                (record, seen)
            });
            for (record, seen) in all_at_once(looks.collect()).await {
                let sandbox = &record.sandbox;
                let Some(seen) = seen else {
                    unseen.insert(format!("{}: its backend is not part of this build", sandbox.sandbox_id));
                    continue;
                };
                if seen.presence == Presence::Unknown && seen.ended.is_none() {
                    let place = sandbox.host.as_deref().unwrap_or(sandbox.sandbox_id.as_str());
                    unseen.insert(format!("{place}: {}", seen.detail));
                }
                let verdict = decide(&Evidence::new(sandbox.state, false, &seen));
                if matches!(verdict, Verdict::Lose | Verdict::Expire) {
                    doubted.push((record, seen));
                }
            }
        }
        (doubted, unseen)
    }

    async fn find_leftovers(&self, findings: &mut Findings) -> Result<(), UserError> {
        let seen = self.leftovers().await?;
        findings.unseen.extend(seen.incomplete);
        for sighting in seen.sightings {
            let candidate = &sighting.candidate;
            // What has a damaged record may live, and is told of with its row.
            if let Some(id) = &candidate.sandbox_id
                && matches!(self.ports.store.sandbox(id).await, Err(StoreError::Damaged { .. }))
            {
                continue;
            }
            let on = match candidate.host.as_str() {
                "" => candidate.id.clone(),
                host => format!("{} on {host}", candidate.id),
            };
            let found = candidate.why.clone();
            let finding = match (candidate.action, sighting.has_record) {
                (StaleAction::Reap, true) => {
                    let fix = Fix::Reap(Box::new(sighting));
                    Finding::new(DriftClass::Leftover, on, found, "remove it, with proof", fix)
                }
                (StaleAction::Reap, false) => Finding::new(
                    DriftClass::Leftover,
                    on,
                    found,
                    "its record may be in a backup: bring that back, or remove it with `sandboxer reap-stale --apply`",
                    Fix::None,
                ),
                (StaleAction::Inspect, _) => Finding::new(
                    DriftClass::Leftover,
                    on,
                    found,
                    "look at it, and remove it by hand",
                    Fix::None,
                ),
                // Of others: none of our business.
                (StaleAction::Ignore, _) => continue,
            };
            findings.all.push(finding);
        }
        Ok(())
    }

    async fn find_held(&self, findings: &mut Findings) -> Result<(), UserError> {
        for (id, reservation) in self.ports.store.reservations().await? {
            let found = match self.ports.store.sandbox(&id).await {
                Ok(record) if is_over(&record) => format!("it is {}", record.sandbox.state),
                Err(StoreError::NotFound { .. }) => "there is no record of it".to_owned(),
                Ok(_) | Err(StoreError::Damaged { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            findings.all.push(Finding::new(
                DriftClass::HeldCapacity,
                &id,
                format!("{found}, and room on {} is held for it", reservation.host),
                "give the room back",
                Fix::Release(id.clone()),
            ));
        }
        Ok(())
    }

    /// What is left over a moment later, where anything is to be removed.
    pub(super) async fn second_look(&self, findings: &Findings) -> Result<Option<Vec<Sighting>>, UserError> {
        if !findings.all.iter().any(|one| matches!(one.fix, Fix::Reap(_))) {
            return Ok(None);
        }
        self.ports.clock.sleep(SECOND_LOOK).await;
        Ok(Some(self.leftovers().await?.sightings))
    }
}
