//! One sink: who may send there, how much at once, when to pause.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use sandboxer_extension::cut;
use sandboxer_extension::port::{Clock, IdSource, Outbound, Owners};
use sandboxer_model::cleanup::Presence;
use sandboxer_model::sink::{SinkKind, SinkState};
use sandboxer_store::{Claim, DueSink, Setback, Store, StoreError};
use tokio::task::JoinSet;

use super::REQUEST_TIMEOUT;
use super::verdict::{LONGEST_OF_SINK, pause};
use crate::api::{DeliverLimits, Delivered, Hurry};
use crate::engine::Engine;

/// Sandboxes whose events are on their way to one sink at once.
const AT_ONCE: u32 = 8;
/// Failures in a row after which a sink that answers is left alone for a while.
const TRUSTED: u32 = 3;
/// For how long whoever tries a sink that was paused keeps the others waiting.
const TRIAL: Duration = Duration::from_secs(30);
/// For how long a sink that was too slow for somebody in a hurry is left to others.
const SLOW: Duration = Duration::from_secs(60);
/// Less time than this is not worth a request.
const SHORTEST: Duration = Duration::from_millis(20);

/// What one delivery works with, shared by all it does at once.
pub(super) struct Courier {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: Arc<dyn IdSource>,
    pub(super) store: Store,
    pub(super) outbound: Arc<dyn Outbound>,
    owners: Arc<dyn Owners>,
    me: String,
    hurry: Hurry,
    ends_at: Duration,
    requests: AtomicU32,
    sent: AtomicU64,
    failed: AtomicU64,
    given_up: AtomicU64,
    unfinished: AtomicBool,
    exhausted: AtomicBool,
}

/// How a sink does in this delivery.
pub(super) struct Route {
    pub(super) due: DueSink,
    failures: AtomicU32,
    /// Whether it took anything yet: until then one sandbox's events are enough to find out.
    is_proven: AtomicBool,
    stopped: Mutex<Option<Timestamp>>,
}

impl Route {
    /// Until when nothing more is sent there, once it failed.
    pub(super) fn stopped(&self) -> Option<Timestamp> {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self, until: Timestamp) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }
}

impl Courier {
    pub(super) fn new(engine: &Engine, outbound: Arc<dyn Outbound>, limits: DeliverLimits) -> Courier {
        let ports = &engine.ports;
        Courier {
            clock: Arc::clone(&ports.clock),
            ids: Arc::clone(&ports.ids),
            store: ports.store.clone(),
            outbound,
            owners: Arc::clone(&ports.owners),
            me: engine.me().to_owned(),
            hurry: limits.hurry,
            ends_at: ports.clock.monotonic().saturating_add(limits.time),
            requests: AtomicU32::new(limits.requests),
            sent: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            given_up: AtomicU64::new(0),
            unfinished: AtomicBool::new(false),
            exhausted: AtomicBool::new(false),
        }
    }

    /// Something that is due was left.
    pub(super) fn leave_unfinished(&self) {
        self.unfinished.store(true, Ordering::Relaxed);
    }

    pub(super) fn tally(&self) -> Delivered {
        Delivered {
            sent: self.sent.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            given_up: self.given_up.load(Ordering::Relaxed),
            unfinished: self.unfinished.load(Ordering::Relaxed),
        }
    }

    pub(super) fn count_given_up(&self) {
        self.given_up.fetch_add(1, Ordering::Relaxed);
    }

    /// The time that the next request may take, if there may be one.
    pub(super) fn allowance(&self) -> Option<Duration> {
        let left = self.ends_at.saturating_sub(self.clock.monotonic());
        let take = |count: u32| count.checked_sub(1);
        if left < SHORTEST
            || self
                .requests
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                .is_err()
        {
            self.leave_unfinished();
            self.exhausted.store(true, Ordering::Relaxed);
            return None;
        }
        Some(left.min(REQUEST_TIMEOUT))
    }

    /// Sends what is due for one sink until there is nothing more, it fails, or the time is up.
    pub(super) async fn serve(self: Arc<Self>, due: DueSink) -> Result<(), StoreError> {
        let was_paused = due.breaker.paused_until > Timestamp::UNIX_EPOCH;
        let route = Arc::new(Route {
            failures: AtomicU32::new(due.breaker.failures),
            is_proven: AtomicBool::new(false),
            stopped: Mutex::new(None),
            due,
        });
        if was_paused {
            return self.try_again(&route).await;
        }
        let mut streams = JoinSet::new();
        loop {
            let running = u32::try_from(streams.len()).unwrap_or(AT_ONCE);
            let goes_on = route.stopped().is_none() && !self.exhausted.load(Ordering::Relaxed);
            let most = if route.is_proven.load(Ordering::Relaxed) {
                AT_ONCE
            } else {
                1
            };
            if goes_on && running <= most / 2 {
                for claim in self.claim(&route, most - running).await? {
                    streams.spawn(Arc::clone(&self).stream(Arc::clone(&route), claim));
                }
            }
            match streams.join_next().await {
                Some(Ok(outcome)) => outcome?,
                Some(Err(_)) => {}
                None => return Ok(()),
            }
        }
    }

    /// The pause of a sink is over: one process sends one sandbox's events, and only if that works come the others.
    async fn try_again(self: &Arc<Self>, route: &Arc<Route>) -> Result<(), StoreError> {
        let Some(claim) = self.claim(route, 1).await?.pop() else {
            return Ok(());
        };
        let until = self.clock.now() + TRIAL;
        if !self.store.may_try(&route.due, until).await? {
            return self.store.set_back(&claim, &Setback::LetGo).await;
        }
        Arc::clone(self).stream(Arc::clone(route), claim).await?;
        if route.stopped().is_none() {
            // It works again, and there may be more.
            self.leave_unfinished();
            self.store.trust_sink(&route.due.sink.sink_id).await?;
        }
        Ok(())
    }

    async fn claim(&self, route: &Route, most: u32) -> Result<Vec<Claim>, StoreError> {
        let is_gone = |owner: &str| self.owners.is_alive(owner) == Presence::Absent;
        let claims = self
            .store
            .claim(&route.due.sink.sink_id, &self.me, most, &is_gone)
            .await?;
        if !claims.is_empty() {
            cut!("deliver.claim.after_commit");
        }
        Ok(claims)
    }

    /// The sink took an event.
    pub(super) async fn taken(&self, route: &Route) -> Result<(), StoreError> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        route.is_proven.store(true, Ordering::Relaxed);
        if route.failures.swap(0, Ordering::Relaxed) > 0 {
            self.store.trust_sink(&route.due.sink.sink_id).await?;
        }
        Ok(())
    }

    /// The sink answered, but not well: it is left alone once that has happened too often in a row.
    pub(super) async fn failed(&self, route: &Route, why: &str) -> Result<(), StoreError> {
        if route.failures.load(Ordering::Relaxed) + 1 >= TRUSTED {
            return self.away(route, why, None).await.map(drop);
        }
        self.failed.fetch_add(1, Ordering::Relaxed);
        route.failures.fetch_add(1, Ordering::Relaxed);
        self.store.count_failure(&route.due.sink.sink_id, why).await
    }

    /// The sink is not there: nothing is sent until the time that is returned.
    pub(super) async fn away(&self, route: &Route, why: &str, wish: Option<Duration>) -> Result<Timestamp, StoreError> {
        self.failed.fetch_add(1, Ordering::Relaxed);
        if let Some(until) = route.stopped() {
            // Several were on their way: that is one failure.
            return Ok(until);
        }
        let failures = route.failures.fetch_add(1, Ordering::Relaxed) + 1;
        let jitter = |most| self.ids.jitter(most);
        let wait = wish.unwrap_or_else(|| pause(failures, LONGEST_OF_SINK, jitter));
        let until = self.clock.now() + wait;
        route.stop(until);
        self.store.pause_sink(&route.due.sink.sink_id, until, why).await?;
        Ok(until)
    }

    /// The time was too short to tell how the sink is.
    pub(super) async fn cut_short(&self, route: &Route) -> Result<(), StoreError> {
        self.leave_unfinished();
        let now = self.clock.now();
        route.stop(now);
        match self.hurry {
            Hurry::Yes => self.store.call_slow(&route.due.sink.sink_id, now + SLOW).await,
            Hurry::No => Ok(()),
        }
    }

    /// The sink wants nothing any more.
    pub(super) async fn gone(&self, route: &Route, why: &str) -> Result<(), StoreError> {
        self.failed.fetch_add(1, Ordering::Relaxed);
        route.stop(self.clock.now());
        let sink = &route.due.sink;
        debug_assert_eq!(sink.kind, SinkKind::Webhook);
        self.store
            .switch_sink(&sink.sink_id, SinkState::Disabled, Some(why))
            .await
            .map(drop)
    }
}
