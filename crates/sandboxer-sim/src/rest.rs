//! The end of a schedule: everything is healed and comes to rest, and what is broken then is broken for good.

use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use sandboxer_engine::api::{ListFilter, Recovered, Silent};
use sandboxer_engine::reconcilers;
use sandboxer_extension::port::Clock as _;
use sandboxer_model::id::SandboxId;
use sandboxer_model::operation::{Operation, OperationStatus};
use sandboxer_model::sandbox::Sandbox;
use sandboxer_store::SandboxFilter;
use sandboxer_world::{Books, Reach, TestClock, violations};

use crate::play::{Figures, Outcome};
use crate::schedule::HOSTS;
use crate::stage::{Stage, address, lock};

/// Looks after everything was healed before it must have come to rest: what is stuck is tried again after up to an hour.
const PATIENCE: u32 = 90;

impl Stage {
    /// Heals everything, and lets one control plane after the other look until nothing is left to do.
    pub(crate) async fn settle(self: &Arc<Self>) {
        self.is_healed.store(true, Ordering::Relaxed);
        self.network.heal();
        self.world.clear_faults();
        for number in 0..HOSTS {
            self.world.set_reach(&address(number), Reach::In);
        }
        for plane in std::mem::take(&mut *lock(&self.planes)) {
            self.executor.kill(plane.number);
            plane.bury();
        }
        let mut rest = None;
        for _ in 0..PATIENCE {
            let number = self.started.fetch_add(1, Ordering::Relaxed) + 1;
            let plane = self.installation.start(number);
            let engine = &plane.engine;
            let recovered = engine.recover(&Silent).await;
            let looked = engine.list(&ListFilter::default()).await.is_ok();
            let swept = engine.reap_stale(true, None, None).await.is_ok();
            for one in reconcilers() {
                let _ = engine.reconcile(one, &Silent).await;
            }
            plane.bury();
            let books = self.read().await;
            let broken = self.broken(&books.borrow());
            let quiet = looked && swept && recovered.is_ok_and(|done| done == Recovered::default());
            rest = Some(books);
            if quiet && broken.is_empty() {
                break;
            }
            // Stuck operations are tried again after a pause.
            self.clock.sleep(Duration::from_secs(61)).await;
        }
        if let Some(books) = rest {
            let books = books.borrow();
            for broken in self.broken(&books) {
                self.watch.broken(broken);
            }
            *lock(&self.end) = Some(self.outcome(&books));
        }
        self.is_over.store(true, Ordering::Relaxed);
    }

    fn broken(&self, books: &Books<'_>) -> Vec<String> {
        let mut broken: Vec<String> = violations(&self.world, books)
            .into_iter()
            // What belongs to others is in no books of ours.
            .filter(|line| !(line.starts_with("P3") && line.ends_with("not in the store") && self.is_foreign(line)))
            .collect();
        broken.extend(
            books
                .operations
                .iter()
                .filter(|one| one.status == OperationStatus::Stuck)
                .map(|one| format!("P8: {} is stuck at {:?}: {:?}", one.kind.name(), one.step, one.error)),
        );
        let now = self.clock.now();
        broken.extend(
            books
                .sandboxes
                .iter()
                .filter(|one| one.state.is_usable() && one.expires_at.is_some_and(|deadline| deadline <= now))
                .map(|one| format!("P6: {} is {} past its deadline", one.sandbox_id, one.state)),
        );
        broken
    }

    fn is_foreign(&self, line: &str) -> bool {
        let mine = self.installation.store.installation_id();
        self.world
            .resources()
            .iter()
            .any(|one| one.installation_id != *mine && line.contains(one.sandbox_id.as_str()))
    }

    pub(crate) fn outcome(&self, books: &Books<'_>) -> Outcome {
        let log = self.world.log();
        self.turn_page();
        let (mut hasher, effects, memory) = {
            let mut pages = lock(&self.pages);
            (pages.hasher.clone(), pages.effects, std::mem::take(&mut pages.memory))
        };
        for event in books.events {
            format!("{event:?}").hash(&mut hasher);
        }
        let began = TestClock::new().monotonic();
        let broken = self.watch.judge(books.sandboxes);
        let is_named = |id: &SandboxId| broken.iter().any(|line| line.contains(id.as_str()));
        let mut story: Vec<(Timestamp, String)> = Vec::new();
        for event in books.events.iter().filter(|event| is_named(&event.sandbox_id)) {
            let (id, kind, detail) = (&event.sandbox_id, &event.kind, &event.detail);
            story.push((event.at, format!("{id} {kind} ({}): {detail}", event.summary)));
        }
        for effect in log.iter().filter(|effect| is_named(&effect.sandbox_id)) {
            let (id, kind, epoch) = (&effect.sandbox_id, effect.kind, effect.epoch);
            story.push((
                effect.at,
                format!("{id} at {}: {kind:?} under {epoch:?}", effect.extension_id),
            ));
        }
        story.sort_by_key(|(at, _)| *at);
        let mut story: Vec<String> = story.into_iter().map(|(at, line)| format!("{at} {line}")).collect();
        for operation in books.operations.iter().filter(|one| is_named(&one.sandbox_id)) {
            story.push(format!("{operation:?}"));
        }
        for sandbox in books.sandboxes.iter().filter(|one| is_named(&one.sandbox_id)) {
            story.push(format!("{sandbox:?}"));
        }
        Outcome {
            broken,
            story,
            hash: hasher.finish(),
            memory,
            figures: Figures {
                sandboxes: books.sandboxes.len() as u64,
                operations: books.operations.len() as u64,
                effects,
                crashes: u64::from(self.crashes.load(Ordering::Relaxed)),
                seconds: self.clock.monotonic().saturating_sub(began).as_secs(),
            },
        }
    }

    async fn read(&self) -> Read {
        let store = &self.installation.store;
        let everything = SandboxFilter {
            destroyed: true,
            ..SandboxFilter::default()
        };
        let mut read = Read::default();
        // The store is in memory: what cannot be read shows as missing, and that is a broken promise too.
        let records = store.sandboxes(&everything).await.unwrap_or_default();
        for record in records {
            for one in store.operations(&record.sandbox.sandbox_id).await.unwrap_or_default() {
                read.operations.push(Operation {
                    operation_id: one.operation_id,
                    kind: one.kind,
                    sandbox_id: one.sandbox_id,
                    status: one.status,
                    step: one.step,
                    error: one.error,
                });
            }
            read.sandboxes.push(record.sandbox);
        }
        read.events = store.events(None).await.unwrap_or_default();
        read.reservations = store.reservations().await.unwrap_or_default();
        read
    }
}

/// The books of a store.
#[derive(Default)]
struct Read {
    sandboxes: Vec<Sandbox>,
    events: Vec<sandboxer_model::event::Event>,
    operations: Vec<Operation>,
    reservations: Vec<(SandboxId, sandboxer_model::registry::Reservation)>,
}

impl Read {
    fn borrow(&self) -> Books<'_> {
        Books {
            sandboxes: &self.sandboxes,
            events: &self.events,
            operations: &self.operations,
            reservations: &self.reservations,
        }
    }
}
