//! One remedy each. `Ok` and `Err` say what came of it, in words.

use sandboxer_model::error::UserError;
use sandboxer_model::id::{OperationId, SandboxId};
use sandboxer_model::lifecycle::Reason;
use sandboxer_store::{Change, StoreError};

use super::Fix;
use crate::api::{Progress, ReapResult};
use crate::engine::Engine;
use crate::host::{Sighting, is_over, is_same};
use crate::operation::Taken;
use crate::reconcile::{Evidence, Reconciler, Verdict, decide, expire, look, lost_words};

/// `Ok`: it is as it should be. `Err`: it is as it was.
type Outcome = Result<String, String>;

impl Engine {
    /// Does it. `None`: there is nothing that may be done without a person.
    pub(super) async fn fix(&self, fix: &Fix, again: Option<&[Sighting]>, progress: &dyn Progress) -> Option<Outcome> {
        let outcome = match fix {
            Fix::None => return None,
            Fix::TakeOver(id) => self.fix_operation(id, progress).await,
            Fix::Expire(id) => match expire(self, id, progress).await {
                Ok(true) => Ok(Ok("removed".to_owned())),
                Ok(false) => Ok(Ok("somebody was faster".to_owned())),
                Err(error) => Err(error),
            },
            Fix::Conclude(id) => self.fix_zombie(id, progress).await,
            Fix::Reap(sighting) => self.fix_leftover(sighting, again.unwrap_or_default()).await,
            Fix::Release(id) => self.fix_held(id).await,
            Fix::ForgetTurn(name) => self
                .ports
                .store
                .turn(name)
                .await
                .map(|_| Ok("forgotten".to_owned()))
                .map_err(UserError::from),
            Fix::Redeliver(sink) => self
                .redeliver(Some(sink), None)
                .await
                .map(|done| Ok(format!("events of {} sandboxes are due again", done.due))),
            Fix::Probe(host) => self.probe_host(host).await.map(|status| match status.host.unreachable {
                None => Ok("it answers again".to_owned()),
                Some(why) => Err(format!("it still does not answer: {why}")),
            }),
            Fix::Run(one) => self.fix_reconciler(one, progress).await,
        };
        Some(outcome.unwrap_or_else(|error| Err(error.message)))
    }

    async fn fix_operation(&self, id: &OperationId, progress: &dyn Progress) -> Result<Outcome, UserError> {
        Ok(match self.take_over(id, progress).await? {
            Taken::Finished(_) => Ok("finished".to_owned()),
            Taken::Undone(_) => Ok("undone".to_owned()),
            Taken::Stuck(_, why) => Err(format!("it is stuck again: {why}")),
            Taken::Elsewhere => Ok("another process took it over".to_owned()),
        })
    }

    /// A third look: whoever was faster, or made it again, is left alone.
    async fn fix_zombie(&self, id: &SandboxId, progress: &dyn Progress) -> Result<Outcome, UserError> {
        let record = self.ports.store.sandbox(id).await?;
        if !record.sandbox.state.is_usable() || record.sandbox.operation_id.is_some() {
            return Ok(Ok("somebody was faster".to_owned()));
        }
        let Some(seen) = look(self, &record).await else {
            return Ok(Err("its backend is not part of this build".to_owned()));
        };
        let past = self.past_deadline(&record).is_some();
        match decide(&Evidence::new(record.sandbox.state, past, &seen)) {
            Verdict::Expire => self.expire_one(record, Reason::Ttl, progress).await.map(drop)?,
            Verdict::Lose => self.lose(record, lost_words(&seen), progress).await.map(drop)?,
            Verdict::Alive => return Ok(Ok("it is there after all".to_owned())),
            Verdict::AsStored | Verdict::GiveUp => return Ok(Err(format!("it cannot be told: {}", seen.detail))),
        }
        Ok(Ok("removed, and on record as ended".to_owned()))
    }

    async fn fix_leftover(&self, sighting: &Sighting, again: &[Sighting]) -> Result<Outcome, UserError> {
        if !again.iter().any(|seen| is_same(seen, sighting)) {
            return Ok(Err("it was not there, or not the same, at the second look".to_owned()));
        }
        let action = self.reap(sighting).await?;
        Ok(match action.result {
            ReapResult::Reaped => Ok("removed, with proof".to_owned()),
            _ => Err(action.error.unwrap_or_else(|| "it was kept".to_owned())),
        })
    }

    async fn fix_held(&self, id: &SandboxId) -> Result<Outcome, UserError> {
        match self.ports.store.sandbox(id).await {
            Ok(record) if !is_over(&record) => return Ok(Ok("it lives again".to_owned())),
            Ok(mut record) if record.facts.reservation.is_some() => {
                record.facts.reservation = None;
                self.ports.store.commit(&mut record, &Change::default()).await?;
            }
            Ok(_) | Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        // The record may know nothing of what the table holds.
        self.ports.store.release_stray(id).await?;
        Ok(Ok("the room is free".to_owned()))
    }

    async fn fix_reconciler(&self, one: &Reconciler, progress: &dyn Progress) -> Result<Outcome, UserError> {
        Ok(match self.reconcile(one, progress).await? {
            Some(report) => match report.error {
                None => Ok("it ran".to_owned()),
                Some(error) => Err(format!("it broke off again: {error}")),
            },
            None => Err("somebody else is at it, or it is not due yet; it is tried again then".to_owned()),
        })
    }
}
