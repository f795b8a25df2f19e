//! Whose turn it is: one process at a time, by a lease in the store; and the report of each run.
//!
//! The lease saves work, it protects nothing: what a reconciler does is fenced sandbox by sandbox, so two that run at once
//! because a lease ended do no harm.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sandboxer_extension::cut;
use sandboxer_model::cleanup::Presence;
use sandboxer_model::error::UserError;
use sandboxer_store::Turn;

use super::{Effort, Reconciler};
use crate::api::{Did, Progress, RunReport};
use crate::engine::Engine;

/// How long a process that cannot be asked is believed to be at it.
const LEASE: Duration = Duration::from_secs(300);
/// How often a run that found nothing to do is written down, for those that cost one query.
const SIGN_OF_LIFE: Duration = Duration::from_secs(20);
/// Entries that a report keeps at most of each kind.
const KEPT: usize = 50;

impl Engine {
    /// Runs a reconciler, if it is due and nobody else is at it. `None`: it was not.
    ///
    /// # Errors
    /// Those of the store; why a run broke off is in its report.
    pub async fn reconcile(&self, one: &Reconciler, progress: &dyn Progress) -> Result<Option<RunReport>, UserError> {
        match one.effort {
            Effort::Query => self.query(one, progress).await,
            Effort::Sweep => self.sweep(one, progress).await,
        }
    }

    /// Runs it at once, and writes down only what is worth it.
    async fn query(&self, one: &Reconciler, progress: &dyn Progress) -> Result<Option<RunReport>, UserError> {
        let (at, started) = (self.ports.clock.now(), self.ports.clock.monotonic());
        let outcome = (one.run)(self, progress).await;
        let seen = self.ports.store.turn(one.name).await?;
        let before = seen.as_ref().and_then(last);
        // One sign of life does for all that look: each writing its own would be a write a second from each.
        let fresh = |last: &RunReport| {
            let since = at.duration_since(last.at);
            let is_there = last.by == self.me() || self.ports.owners.is_alive(&last.by) != Presence::Absent;
            is_there && !since.is_negative() && since < signed(SIGN_OF_LIFE)
        };
        let is_quiet = outcome.as_ref().is_ok_and(|did| !did.is_worth_telling());
        let was_quiet = before.as_ref().is_some_and(|last| last.error.is_none());
        let report = self.report(at, started, outcome, before.as_ref());
        if is_quiet && was_quiet && before.as_ref().is_some_and(fresh) {
            return Ok(Some(report));
        }
        // Somebody else may write at the same time: one report more or less is no loss.
        let due_at = after(at, one.period);
        let store = &self.ports.store;
        store.note_run(one.name, seen.as_ref(), &text(&report), due_at).await?;
        Ok(Some(report))
    }

    async fn sweep(&self, one: &Reconciler, progress: &dyn Progress) -> Result<Option<RunReport>, UserError> {
        let at = self.ports.clock.now();
        let seen = self.ports.store.turn(one.name).await?;
        if seen
            .as_ref()
            .is_some_and(|turn| self.is_held(turn, at) || !is_due(turn, one.period, at))
        {
            return Ok(None);
        }
        let until = after(at, LEASE);
        let Some(claim) = self
            .ports
            .store
            .claim_turn(one.name, seen.as_ref(), self.me(), until)
            .await?
        else {
            return Ok(None);
        };
        cut!("reconcile.{}.claimed", one.name);
        let started = self.ports.clock.monotonic();
        let outcome = (one.run)(self, progress).await;
        cut!("reconcile.{}.done", one.name);
        let report = self.report(at, started, outcome, seen.as_ref().and_then(last).as_ref());
        let pause = if report.did.more { Duration::ZERO } else { one.period };
        let due_at = after(self.ports.clock.now(), pause);
        self.ports.store.give_back(claim, &text(&report), due_at).await?;
        Ok(Some(report))
    }

    /// Whether somebody is at it now.
    pub(super) fn is_held(&self, turn: &Turn, now: Timestamp) -> bool {
        !turn.lease_owner.is_empty()
            && turn.lease_until > now
            && self.ports.owners.is_alive(&turn.lease_owner) != Presence::Absent
    }

    fn report(
        &self,
        at: Timestamp,
        started: Duration,
        outcome: Result<Did, UserError>,
        before: Option<&RunReport>,
    ) -> RunReport {
        let took = self.ports.clock.monotonic().saturating_sub(started);
        let (mut did, error) = match outcome {
            Ok(did) => (did, None),
            Err(error) => (Did::default(), Some(error.message)),
        };
        did.actions.truncate(KEPT);
        did.open.truncate(KEPT);
        let earlier = before.and_then(|before| before.last_error_at.zip(before.last_error.clone()));
        let last_error = error.clone().map(|error| (at, error)).or(earlier);
        RunReport {
            at,
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            by: self.me().to_owned(),
            did,
            error,
            runs: before.map_or(0, |before| before.runs) + 1,
            last_error_at: last_error.as_ref().map(|(at, _)| *at),
            last_error: last_error.map(|(_, error)| error),
        }
    }
}

/// The report of its last run; one that another release wrote may not be readable, and is no loss.
pub(super) fn last(turn: &Turn) -> Option<RunReport> {
    serde_json::from_str(turn.report.as_deref()?).ok()
}

/// Whether its time has come. One that is due later than its period allows was written under a clock that was set back
/// since.
fn is_due(turn: &Turn, period: Duration, now: Timestamp) -> bool {
    turn.due_at <= now || turn.due_at > after(now, period)
}

pub(super) fn after(at: Timestamp, by: Duration) -> Timestamp {
    at.saturating_add(signed(by)).unwrap_or(Timestamp::MAX)
}

pub(super) fn signed(by: Duration) -> SignedDuration {
    SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX)
}

fn text(report: &RunReport) -> String {
    serde_json::to_string(report).unwrap_or_default()
}

/// Runs futures beside one another on this task, and answers in their order.
pub(crate) async fn all_at_once<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut pending: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut is_done = true;
        for (future, output) in &mut pending {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => is_done = false,
                }
            }
        }
        if is_done {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    pending.into_iter().filter_map(|(_, output)| output).collect()
}
