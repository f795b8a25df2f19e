//! One look at the store for all who follow: wakes those whom something concerns, and shows out those whose key is not good any
//! more. What is true is in the store: a look that fails is made again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sandboxer_api::identity::Identity;
use sandboxer_engine::api::Viewer;
use sandboxer_engine::{Cancel, Engine};
use sandboxer_extension::port::Clock;
use sandboxer_model::error::{ErrorCode, UserError};
use tokio::sync::Notify;

use super::room::{Place, Room};

/// How often it is looked whether something happened.
const TICK: Duration = Duration::from_millis(250);
/// Events that are looked at to tell whom they concern; where there are more, everybody is woken.
const MOST_AT_A_TIME: u32 = 200;

/// Tells those who follow that something happened.
pub(crate) struct Hub {
    engine: &'static Engine,
    clock: Arc<dyn Clock>,
    room: Arc<Room>,
    changed: Arc<Notify>,
    arrived: Notify,
}

impl Hub {
    /// Nobody follows yet.
    pub(crate) fn new(engine: &'static Engine, clock: Arc<dyn Clock>, changed: Arc<Notify>) -> Hub {
        Hub {
            engine,
            clock,
            room: Arc::default(),
            changed,
            arrived: Notify::new(),
        }
    }

    /// Lets somebody follow from this position on.
    ///
    /// # Errors
    /// `RateLimited`.
    pub(super) fn enter(&self, who: &Identity, position: u64) -> Result<Place, UserError> {
        let place = self.room.enter(who, position)?;
        self.arrived.notify_one();
        Ok(place)
    }

    /// Looks until the server stops. While nobody follows it only waits.
    pub(crate) async fn run(&self, stop: &Cancel) {
        let mut seen = None;
        while !stop.is_set() {
            if self.room.is_empty() {
                // What happens meanwhile concerns nobody: whoever comes reads from the store first.
                seen = None;
                tokio::select! {
                    () = self.arrived.notified() => {}
                    () = stop.cancelled() => return,
                }
            }
            if let Ok(latest) = self.engine.last_position().await {
                self.tell(seen, latest).await;
                seen = Some(latest);
            }
            self.check_keys().await;
            tokio::select! {
                () = self.clock.sleep(TICK) => {}
                () = self.changed.notified() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Wakes those whom events between two positions concern.
    async fn tell(&self, seen: Option<u64>, latest: u64) {
        let Some(seen) = seen else {
            return self.room.wake(None, latest);
        };
        if seen == latest {
            return;
        }
        let projects = if latest < seen {
            None
        } else {
            self.concerned(seen, latest).await
        };
        self.room.wake(projects.as_deref(), latest);
    }

    /// The projects of events between two positions; `None`: it cannot be told.
    async fn concerned(&self, seen: u64, latest: u64) -> Option<Vec<Option<String>>> {
        let all = Viewer::default();
        if latest - seen > u64::from(MOST_AT_A_TIME) {
            return None;
        }
        let events = self.engine.events_after(seen, MOST_AT_A_TIME, &all).await.ok()?;
        let ids: BTreeSet<_> = events.into_iter().map(|placed| placed.event.sandbox_id).collect();
        let mut projects = Vec::new();
        for id in ids {
            let project = self.engine.find(&id, &all).await.ok()?.sandbox.consumer.project;
            if !projects.contains(&project) {
                projects.push(project);
            }
        }
        Some(projects)
    }

    async fn check_keys(&self) {
        for key_id in self.room.keys() {
            let is_good = match self.engine.key(&key_id).await {
                Ok(key) => {
                    let is_past = |at: Option<jiff::Timestamp>| at.is_some_and(|at| at <= self.clock.now());
                    !is_past(key.revoked_at) && !is_past(key.expires_at)
                }
                Err(error) => error.code != ErrorCode::NotFound,
            };
            if !is_good {
                self.room.expel(&key_id);
            }
        }
    }
}
