//! One who follows: what is sent, from which position on. Between two events it is a few values and a timer.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use prometheus_client::metrics::gauge::Gauge;
use sandboxer_api::identity::Identity;
use sandboxer_engine::api::Viewer;
use sandboxer_engine::{Cancel, Engine};
use sandboxer_extension::port::Clock;
use sandboxer_model::error::UserError;

use super::frame;
use super::hub::Hub;
use super::room::Place;

/// How often something is said although nothing happened.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Events that are read at a time.
const PAGE: u32 = 50;

/// What a stream needs.
pub(crate) struct Surroundings {
    /// Knows what happened.
    pub(crate) engine: &'static Engine,
    /// Time.
    pub(crate) clock: Arc<dyn Clock>,
    /// Set when the server is to stop.
    pub(crate) stop: Cancel,
    /// Counts those who follow.
    pub(crate) count: Gauge,
}

/// Everything that happens behind this position, as it happens, for as long as the key is good.
///
/// # Errors
/// `RateLimited`.
pub(crate) fn follow(
    around: Surroundings,
    hub: &Hub,
    who: &Identity,
    viewer: Viewer,
    position: u64,
) -> Result<Body, UserError> {
    let place = hub.enter(who, position)?;
    around.count.inc();
    let following = Following {
        place,
        around,
        viewer,
        position,
        is_behind: true,
        is_greeted: false,
    };
    Ok(Body::from_stream(stream::unfold(following, async |mut following| {
        let next = following.next().await?;
        Some((next, following))
    })))
}

struct Following {
    place: Place,
    around: Surroundings,
    viewer: Viewer,
    /// Everything up to here was sent or is not for this viewer.
    position: u64,
    /// Whether there may be more in the store.
    is_behind: bool,
    is_greeted: bool,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.around.count.dec();
    }
}

impl Following {
    /// What is sent next; `None`: the stream ends.
    async fn next(&mut self) -> Option<Result<Bytes, UserError>> {
        if !std::mem::replace(&mut self.is_greeted, true) {
            return Some(Ok(frame::GREETING));
        }
        loop {
            if self.around.stop.is_set() || *self.place.over.borrow() {
                return None;
            }
            if self.is_behind {
                match self.read().await {
                    Ok(None) => {}
                    Ok(Some(bytes)) => return Some(Ok(bytes)),
                    // The client connects again, and misses nothing.
                    Err(error) => return Some(Err(error)),
                }
            }
            tokio::select! {
                changed = self.place.latest.changed() => {
                    changed.ok()?;
                    self.is_behind = true;
                }
                over = self.place.over.changed() => over.ok()?,
                () = self.around.stop.cancelled() => return None,
                () = self.around.clock.sleep(HEARTBEAT) => return Some(Ok(frame::HEARTBEAT)),
            }
        }
    }

    async fn read(&mut self) -> Result<Option<Bytes>, UserError> {
        // Before the events: what is committed after this look is above it, and wakes the stream again.
        let latest = *self.place.latest.borrow_and_update();
        let events = self
            .around
            .engine
            .events_after(self.position, PAGE, &self.viewer)
            .await?;
        self.is_behind = events.len() as u64 >= u64::from(PAGE);
        if let Some(last) = events.last() {
            self.position = self.position.max(last.position);
        }
        if !self.is_behind {
            self.position = self.position.max(latest);
        }
        if events.is_empty() {
            return Ok(None);
        }
        frame::of(&events).map(Some)
    }
}
