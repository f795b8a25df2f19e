//! The events of one sandbox for one sink, one after the other.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sandboxer_extension::cut;
use sandboxer_extension::port::OutboundRequest;
use sandboxer_model::event::Event;
use sandboxer_model::sandbox::Sandbox;
use sandboxer_model::sink::SinkKind;
use sandboxer_store::{Advance, Claim, Hold, Setback, StoreError};

use super::REQUEST_TIMEOUT;
use super::courier::{Courier, Route};
use super::verdict::{self, LONGEST_OF_EVENT, MOST_TRIES, PATIENCE, Verdict, pause};
use crate::sink::{hub, webhook};

/// Events of one sandbox that are sent before others have their turn.
const BATCH: u32 = 32;

/// Whether the next event of a sandbox may follow.
#[derive(PartialEq)]
enum Next {
    Go,
    Stop,
}

impl Courier {
    /// Sends the next events of one sandbox, in order, until one is not taken.
    pub(super) async fn stream(self: Arc<Self>, route: Arc<Route>, mut claim: Claim) -> Result<(), StoreError> {
        let (events, sandbox) = match self.read(&route, &claim).await {
            Ok(read) => read,
            // One damaged record must not keep the others' events.
            Err(error @ (StoreError::Damaged { .. } | StoreError::NotFound { .. })) => {
                let at = self.clock.now() + self.event_pause(&claim);
                let setback = self.again(&claim, at, error.to_string(), Duration::ZERO);
                return self.store.set_back(&claim, &setback).await;
            }
            Err(error) => return Err(error),
        };
        let last = events.last().map_or(claim.target, |event| event.seq);
        for event in &events {
            if !route.due.sink.wants(&event.kind) {
                continue;
            }
            let hold = if event.seq == last { Hold::Release } else { Hold::Keep };
            if self.send(&route, &mut claim, event, sandbox.as_ref(), hold).await? == Next::Stop {
                return Ok(());
            }
        }
        if claim.delivered < last {
            // The rest of them is not wanted there.
            self.store.advance(&mut claim, last, Hold::Release).await?;
        }
        Ok(())
    }

    async fn read(&self, route: &Route, claim: &Claim) -> Result<(Vec<Event>, Option<Sandbox>), StoreError> {
        let events = self.store.next_events(claim, BATCH).await?;
        // Only entries of a hub need more than the event says.
        let sandbox = match route.due.sink.kind {
            SinkKind::StateHub => Some(self.store.sandbox(&claim.sandbox_id).await?.sandbox),
            SinkKind::Webhook => None,
        };
        Ok((events, sandbox))
    }

    async fn send(
        &self,
        route: &Route,
        claim: &mut Claim,
        event: &Event,
        sandbox: Option<&Sandbox>,
        hold: Hold,
    ) -> Result<Next, StoreError> {
        let allowance = match route.stopped() {
            None => self.allowance(),
            Some(_) => None,
        };
        let Some(timeout) = allowance else {
            self.store.set_back(claim, &Setback::LetGo).await?;
            return Ok(Next::Stop);
        };
        let request = OutboundRequest {
            timeout,
            ..self.request(route, event, sandbox)
        };
        cut!("deliver.send.before_effect");
        let outcome = self.outbound.send(request).await;
        cut!("deliver.send.after_effect");
        let now = self.clock.now();
        match verdict::of(route.due.sink.kind, &outcome, timeout < REQUEST_TIMEOUT, now) {
            Verdict::Taken => {
                let advance = self.store.advance(claim, event.seq, hold).await?;
                cut!("deliver.send.after_commit");
                self.taken(route).await?;
                return Ok(match (advance, hold) {
                    (Advance::More, Hold::Keep) => Next::Go,
                    _ => Next::Stop,
                });
            }
            Verdict::Cut => {
                self.cut_short(route).await?;
                self.store.set_back(claim, &Setback::LetGo).await?;
            }
            Verdict::Gone(why) => {
                self.gone(route, &why).await?;
                self.store.set_back(claim, &Setback::LetGo).await?;
            }
            Verdict::Refused(why) => {
                self.failed(route, &why).await?;
                let setback = self.again(claim, now + self.event_pause(claim), why, Duration::ZERO);
                self.store.set_back(claim, &setback).await?;
            }
            Verdict::Failed(why) => {
                self.failed(route, &why).await?;
                let setback = self.again(claim, now + self.event_pause(claim), why, PATIENCE);
                self.store.set_back(claim, &setback).await?;
            }
            Verdict::Away(why, wish) => {
                // Not this event's fault: it is due as soon as the sink is.
                let until = self.away(route, &why, wish).await?;
                let setback = self.again(claim, until, why, PATIENCE);
                self.store.set_back(claim, &setback).await?;
            }
        }
        Ok(Next::Stop)
    }

    fn request(&self, route: &Route, event: &Event, sandbox: Option<&Sandbox>) -> OutboundRequest {
        let sink = &route.due.sink;
        match sandbox {
            Some(sandbox) => hub::request(&sink.url, event, sandbox),
            None => webhook::request(&sink.url, route.due.secret.as_ref(), event, self.clock.now()),
        }
    }

    fn event_pause(&self, claim: &Claim) -> Duration {
        pause(claim.attempts + 1, LONGEST_OF_EVENT, |most| self.ids.jitter(most))
    }

    /// Another try, or none once there were enough of them over enough time.
    fn again(&self, claim: &Claim, at: Timestamp, why: String, patience: Duration) -> Setback {
        let now = self.clock.now();
        let tried_for = now.duration_since(claim.failed_since.unwrap_or(now));
        let is_old = Duration::try_from(tried_for).is_ok_and(|tried_for| tried_for >= patience);
        if claim.attempts + 1 >= MOST_TRIES && is_old {
            self.count_given_up();
            Setback::GiveUp { why }
        } else {
            Setback::TryAgain { at, why }
        }
    }
}
