//! Sends events to where they are wanted: per sandbox in order, at least once, and a place that fails in nobody's way.
//!
//! | file | does |
//! |---|---|
//! | `courier` | one sink: who may send there, how much at once, when to pause |
//! | `stream` | the events of one sandbox for one sink, one after the other |
//! | `verdict` | what an answer means, and how long to wait after one that was none |
//!
//! What is still to be sent is in the store; nothing here is remembered between two calls. Whoever sends holds a lease on
//! the sandbox's events for that sink, so nobody sends a later one meanwhile. Progress is stored after each event: who
//! dies in between leaves one that is sent again.

mod courier;
mod stream;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use sandboxer_extension::cut;
use sandboxer_model::error::UserError;
use tokio::task::JoinSet;

use crate::api::{DeliverLimits, Delivered, Did, Hurry};
use crate::engine::Engine;
use courier::Courier;

/// For how long one request may take.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// One run.
pub(super) async fn run(engine: &Engine) -> Result<Did, UserError> {
    let delivered = engine.do_deliver(DeliverLimits::patient()).await?;
    let mut did = Did {
        looked_at: delivered.sent + delivered.failed,
        more: delivered.unfinished,
        ..Did::default()
    };
    for (what, many) in [("sent", delivered.sent), ("given up", delivered.given_up)] {
        if many > 0 {
            did.add(what, format!("{many} events"));
        }
    }
    if delivered.failed > 0 {
        let failed = delivered.failed;
        did.open
            .push(format!("{failed} tries failed; `sandboxer events sinks` says why"));
    }
    Ok(did)
}

impl Engine {
    pub(crate) async fn do_deliver(&self, limits: DeliverLimits) -> Result<Delivered, UserError> {
        let Some(outbound) = &self.ports.outbound else {
            return Ok(Delivered::default());
        };
        self.do_announce().await?;
        let has_hub = self.settings.state_hub.is_some();
        let mut outstanding = self.ports.store.outstanding(has_hub).await?;
        if outstanding.fresh {
            while self.ports.store.spread_outbox().await? {}
            cut!("deliver.spread.after_commit");
            outstanding = self.ports.store.outstanding(has_hub).await?;
        }
        if outstanding.sinks.is_empty() {
            return Ok(Delivered::default());
        }
        let courier = Arc::new(Courier::new(self, Arc::clone(outbound), limits));
        let now = self.ports.clock.now();
        // Each at its own pace.
        let mut sinks = JoinSet::new();
        for due in outstanding.sinks {
            if limits.hurry == Hurry::Yes && due.breaker.slow_until > now {
                courier.leave_unfinished();
            } else {
                sinks.spawn(Arc::clone(&courier).serve(due));
            }
        }
        while let Some(served) = sinks.join_next().await {
            if let Ok(outcome) = served {
                outcome?;
            }
        }
        Ok(courier.tally())
    }
}
