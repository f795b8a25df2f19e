//! Compares sandboxes with their backends, where a backend answers locally. Being unable to tell changes nothing.

use std::time::Duration;

use sandboxer_extension::{Call, Ended, Observation, Target};
use sandboxer_model::cleanup::Presence;
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::lifecycle::Reason;
use sandboxer_store::SandboxRecord;
use tokio::task::JoinSet;

use super::truth::{Evidence, Verdict, decide};
use crate::api::Progress;
use crate::engine::Engine;
use crate::operation::job::target;

/// Backends asked at once.
const AT_ONCE: usize = 16;
/// Between two sightings: nothing is called lost on the strength of one.
const SECOND_LOOK: Duration = Duration::from_millis(20);

impl Engine {
    /// The record after comparing it with its backend.
    pub(crate) async fn compared(
        &self,
        record: SandboxRecord,
        progress: &dyn Progress,
    ) -> Result<SandboxRecord, UserError> {
        let mut all = self.compared_all(vec![record], progress).await?;
        // One in, one out.
        all.pop()
            .ok_or_else(|| UserError::new(ErrorCode::Internal, "a comparison lost its record"))
    }

    /// The records after comparing each with its backend, in the same order.
    pub(crate) async fn compared_all(
        &self,
        mut records: Vec<SandboxRecord>,
        progress: &dyn Progress,
    ) -> Result<Vec<SandboxRecord>, UserError> {
        let mut seen: Vec<(usize, Observation)> = Vec::new();
        let mut asked = JoinSet::new();
        for (index, record) in records.iter().enumerate() {
            let Some((extension, call, target)) = self.comparable(record) else {
                continue;
            };
            if asked.len() == AT_ONCE
                && let Some(Ok(answer)) = asked.join_next().await
            {
                seen.push(answer);
            }
            asked.spawn(async move { (index, extension.observe(&call, &target).await) });
        }
        while let Some(answer) = asked.join_next().await {
            seen.extend(answer.ok());
        }
        for (index, observation) in seen {
            let Some(record) = records.get_mut(index) else { continue };
            if let Some(now) = self.conclude(record.clone(), &observation, progress).await? {
                *record = now;
            }
        }
        Ok(records)
    }

    /// What is needed to observe a sandbox; `None` where it is not usable, is being worked on, or its backend is far.
    fn comparable(
        &self,
        record: &SandboxRecord,
    ) -> Option<(std::sync::Arc<dyn sandboxer_extension::Extension>, Call, Target)> {
        let sandbox = &record.sandbox;
        if !sandbox.state.is_usable() || sandbox.operation_id.is_some() {
            return None;
        }
        let extension = self.ports.extensions.get(sandbox.extension_id.as_deref()?)?;
        if !extension.capabilities().dies_with_machine {
            return None;
        }
        Some((
            extension,
            self.call_for(record, self.settings.timeouts.observe),
            target(record),
        ))
    }

    /// A call about a sandbox outside of any operation.
    pub(crate) fn call_for(&self, record: &SandboxRecord, timeout: Duration) -> Call {
        Call {
            installation_id: self.ports.store.installation_id().clone(),
            operation_id: None,
            epoch: record.sandbox.epoch,
            timeout,
        }
    }

    /// The new record where the observation contradicts the stored one.
    async fn conclude(
        &self,
        record: SandboxRecord,
        observation: &Observation,
        progress: &dyn Progress,
    ) -> Result<Option<SandboxRecord>, UserError> {
        let id = record.sandbox.sandbox_id.clone();
        let mut verdict = self.judge(&record, observation);
        let mut why = lost_words(observation);
        if verdict == Verdict::Lose {
            // It may have been between two states, or replaced under our eyes.
            self.ports.clock.sleep(SECOND_LOOK).await;
            let fresh = self.ports.store.sandbox(&id).await?;
            let Some((extension, call, target)) = self.comparable(&fresh) else {
                return Ok(Some(fresh));
            };
            let again = extension.observe(&call, &target).await;
            verdict = self.judge(&fresh, &again);
            why = lost_words(&again);
        }
        let outcome = match verdict {
            Verdict::AsStored | Verdict::Alive | Verdict::GiveUp => return Ok(None),
            Verdict::Expire => self.expire_one(record, Reason::Ttl, progress).await.map(drop),
            Verdict::Lose => self.lose(record, why, progress).await.map(drop),
        };
        match outcome {
            Ok(()) => {}
            // Reading is not hindered by what cannot be removed, or by somebody else who drew the conclusion first:
            // the record, read again, says how it stands.
            // Nor by a damaged row of this one sandbox.
            Err(error) if !matches!(error.code, ErrorCode::StoreUnavailable | ErrorCode::StoreForeign) => {}
            Err(error) => return Err(error),
        }
        Ok(Some(self.ports.store.sandbox(&id).await?))
    }

    fn judge(&self, record: &SandboxRecord, observation: &Observation) -> Verdict {
        let past = self.past_deadline(record).is_some();
        decide(&Evidence::new(record.sandbox.state, past, observation))
    }
}

/// What ended a sandbox, in words.
pub(crate) fn lost_words(seen: &Observation) -> String {
    match (seen.ended, seen.presence) {
        (Some(ended), _) => lost(how(ended), &seen.detail),
        (None, Presence::Absent) => lost("it is gone", &seen.detail),
        (None, _) => lost("it cannot be used any more", &seen.detail),
    }
}

fn how(ended: Ended) -> &'static str {
    match ended {
        Ended::Deadline => "its time passed",
        Ended::Killed => "it was killed from outside",
        Ended::OutOfMemory => "it exhausted its memory limit",
        Ended::OutOfDisk => "it broke its disk limit",
    }
}

fn lost(what: &str, detail: &str) -> String {
    match detail {
        "" => format!("the sandbox ended by itself: {what}"),
        detail => format!("the sandbox ended by itself: {what} ({detail})"),
    }
}
