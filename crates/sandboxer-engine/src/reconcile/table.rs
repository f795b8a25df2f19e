//! Every reconciler: its name, its period, what it does. A new one is a line here.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use sandboxer_model::error::UserError;

use super::{deliver, expire_ttl, idle_reap, observe_backends, probe_hosts, reap_orphans, recover_operations};
use crate::api::{Did, Progress};
use crate::engine::Engine;

/// A run under way.
pub(super) type Run<'e> = Pin<Box<dyn Future<Output = Result<Did, UserError>> + Send + 'e>>;

/// One reconciler.
pub struct Reconciler {
    /// Its name, in reports and in the store.
    pub name: &'static str,
    /// What it does, in a few words.
    pub does: &'static str,
    /// From one run to the next.
    pub period: Duration,
    /// What a run costs when there is nothing to do.
    pub effort: Effort,
    pub(super) run: for<'e> fn(&'e Engine, &'e dyn Progress) -> Run<'e>,
}

/// What a run costs when there is nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// One indexed query: anybody may run it at any time, and several at once.
    Query,
    /// Backends or hosts are asked: one process at a time, and once in a period.
    Sweep,
}

const TABLE: &[Reconciler] = &[
    Reconciler {
        name: "recover_operations",
        does: "takes over operations of dead processes",
        period: Duration::from_secs(1),
        effort: Effort::Query,
        run: |engine, progress| Box::pin(recover_operations::run(engine, progress)),
    },
    Reconciler {
        name: "expire_ttl",
        does: "removes sandboxes whose time passed",
        period: Duration::from_secs(1),
        effort: Effort::Query,
        run: |engine, progress| Box::pin(expire_ttl::run(engine, progress)),
    },
    Reconciler {
        name: "deliver_events",
        does: "sends events to the State Hub and to webhooks",
        period: Duration::from_secs(1),
        effort: Effort::Query,
        run: |engine, _| Box::pin(deliver::run(engine)),
    },
    Reconciler {
        name: "idle_reap",
        does: "removes sandboxes that nobody used for as long as their profile says",
        period: Duration::from_secs(15),
        effort: Effort::Sweep,
        run: |engine, progress| Box::pin(idle_reap::run(engine, progress)),
    },
    Reconciler {
        name: "observe_backends",
        does: "compares usable sandboxes with their backends",
        period: Duration::from_secs(30),
        effort: Effort::Sweep,
        run: |engine, progress| Box::pin(observe_backends::run(engine, progress)),
    },
    Reconciler {
        name: "reap_orphans",
        does: "removes leftovers that outlasted their quarantine",
        period: Duration::from_secs(300),
        effort: Effort::Sweep,
        run: |engine, _| Box::pin(reap_orphans::run(engine)),
    },
    Reconciler {
        name: "probe_hosts",
        does: "looks how registered hosts are",
        period: Duration::from_secs(30),
        effort: Effort::Sweep,
        run: |engine, _| Box::pin(probe_hosts::run(engine)),
    },
];

/// Every reconciler, in the order they are shown in.
pub fn reconcilers() -> &'static [Reconciler] {
    TABLE
}
