//! What callers were told and asked for, and what must be true because of it. Calls to backends are judged when they are
//! made: each needs an intent on record.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use jiff::Timestamp;
use sandboxer_extension::Call;
use sandboxer_extension::port::Clock as _;
use sandboxer_model::id::{InstallationId, SandboxId};
use sandboxer_model::lifecycle::{Reason, State};
use sandboxer_model::operation::{OperationKind, OperationStatus};
use sandboxer_model::sandbox::Sandbox;
use sandboxer_store::{SandboxRecord, Store, StoreError};
use sandboxer_world::{TestClock, World};

/// What is known of one sandbox from outside.
#[derive(Debug, Clone, Default)]
struct Told {
    /// A caller has its id: it may not get lost.
    known: bool,
    /// It may end as `failed`: it was accepted, not made.
    accepted: bool,
    /// The latest deadline a caller was promised, as a date and on the stopwatch, which nobody sets.
    deadline: Option<Timestamp>,
    until: Option<Duration>,
    /// Of which making of it.
    generation: u32,
    /// Somebody asked for its end.
    destroyed: bool,
    /// Somebody asked for it anew.
    remade: bool,
    /// It ended by itself.
    vanished: bool,
    /// When it was last used.
    used: Option<Duration>,
}

#[derive(Default)]
struct Seen {
    told: BTreeMap<SandboxId, Told>,
    /// In the order callers learnt of them.
    known: Vec<SandboxId>,
    /// Looks that listed what has no life on record, since it last had one or was last removed.
    sightings: BTreeMap<(InstallationId, SandboxId), u32>,
    broken: Vec<String>,
}

/// Sees what callers are told and what backends are asked.
pub struct Watch {
    clock: Arc<TestClock>,
    world: Arc<World>,
    store: Store,
    seen: Mutex<Seen>,
}

/// How long nobody may use what is made by the recipe `idle`.
pub const IDLE: Duration = Duration::from_secs(600);
/// What an end may come early by: a calendar that runs a little fast or slow is believed.
const SLACK: Duration = Duration::from_secs(3);

/// The answer of a store, which never pauses.
pub fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

impl Watch {
    /// Sees nothing yet.
    pub fn new(clock: Arc<TestClock>, world: Arc<World>, store: Store) -> Watch {
        Watch {
            clock,
            world,
            store,
            seen: Mutex::default(),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A promise is broken.
    pub fn broken(&self, what: String) {
        self.seen().broken.push(what);
    }

    fn about(&self, id: &SandboxId, change: impl FnOnce(&mut Told)) {
        change(self.seen().told.entry(id.clone()).or_default());
    }

    fn knows(&self, id: &SandboxId) {
        let mut seen = self.seen();
        let told = seen.told.entry(id.clone()).or_default();
        if !std::mem::replace(&mut told.known, true) {
            seen.known.push(id.clone());
        }
    }

    /// A caller was told that it is ready.
    pub fn created(&self, sandbox: &Sandbox) {
        self.knows(&sandbox.sandbox_id);
        self.promised(sandbox);
    }

    /// A caller was told that it lives until then.
    pub fn promised(&self, sandbox: &Sandbox) {
        let id = &sandbox.sandbox_id;
        let Some(Ok(record)) = now(self.store.sandbox(id)) else {
            return;
        };
        // Somebody may have asked for its end, or for it anew, meanwhile: then nothing was promised of this one.
        if record.sandbox.generation != sandbox.generation || !record.sandbox.state.is_usable() {
            return;
        }
        let until = || {
            let lives = sandbox.expires_at?.duration_since(sandbox.ready_at?);
            let since = record.facts.ready_uptime.as_ref()?.since;
            Some(since.saturating_add(Duration::try_from(lives).ok()?))
        };
        let until = until();
        self.about(id, |told| {
            if told.generation != sandbox.generation {
                (told.deadline, told.until) = (None, None);
                told.generation = sandbox.generation;
            }
            told.deadline = sandbox.expires_at.max(told.deadline);
            told.until = until.max(told.until);
        });
        let early = |one: &sandboxer_world::Resource| {
            let kept = one.guarded_until();
            kept.zip(until)
                .is_some_and(|(kept, until)| kept.saturating_add(SLACK) < until)
        };
        if record.sandbox.state.is_usable() && self.world.of(id).iter().any(early) {
            self.broken(format!("P7: the guard of {id} acts before what was promised"));
        }
    }

    /// When the stopwatch shows that its time has passed, as far as is on record.
    pub fn deadline(&self, id: &SandboxId) -> Option<Duration> {
        let record = now(self.store.sandbox(id))?.ok()?;
        let lives = record.sandbox.expires_at?.duration_since(record.sandbox.ready_at?);
        let since = record.facts.ready_uptime.as_ref()?.since;
        Some(since.saturating_add(Duration::try_from(lives).ok()?))
    }

    /// A caller was told that it will be.
    pub fn accepted(&self, id: &SandboxId) {
        self.knows(id);
        self.about(id, |told| told.accepted = true);
    }

    /// Somebody asks for its end.
    pub fn destroying(&self, id: &SandboxId) {
        self.about(id, |told| told.destroyed = true);
    }

    /// Somebody was told that it is gone.
    pub fn destroyed(&self, id: &SandboxId) {
        let record = now(self.store.sandbox(id));
        if let Some(Ok(record)) = record
            && record.sandbox.state == State::Destroyed
            && !self.world.of(id).is_empty()
        {
            self.broken(format!("P5: somebody was told that {id} is gone while it is there"));
        }
    }

    /// Somebody asks for it anew: what was promised of the one before is over.
    pub fn remaking(&self, id: &SandboxId) {
        self.about(id, |told| {
            told.remade = true;
            told.deadline = None;
            told.until = None;
        });
    }

    /// It ends by itself.
    pub fn vanished(&self, id: &SandboxId) {
        self.about(id, |told| told.vanished = true);
    }

    /// Something that callers have the id of, counted back from what they learnt last.
    pub fn known(&self, number: usize) -> Option<SandboxId> {
        let known = &self.seen().known;
        let back = number % known.len().max(1);
        known
            .len()
            .checked_sub(back + 1)
            .and_then(|index| known.get(index))
            .cloned()
    }

    /// A look at a backend listed these.
    pub fn saw<'i>(&self, call: &Call, ids: impl Iterator<Item = &'i SandboxId>) {
        let mut seen = self.seen();
        let mut ids: Vec<&SandboxId> = ids.collect();
        ids.dedup();
        for id in ids {
            let record = now(self.store.sandbox(id));
            let over = |record: &SandboxRecord| matches!(record.sandbox.state, State::Destroyed | State::Failed);
            let lives = matches!(record, Some(Ok(record)) if !over(&record));
            let key = (call.installation_id.clone(), id.clone());
            let count = seen.sightings.entry(key).or_default();
            *count = if lives { 0 } else { *count + 1 };
        }
    }

    /// A backend is asked to make something.
    pub fn asks_to_make(&self, call: &Call, id: &SandboxId) {
        let Some(record) = now(self.store.sandbox(id)) else {
            return;
        };
        match record {
            Ok(record) if record.sandbox.epoch >= call.epoch => {}
            Ok(record) => self.broken(format!(
                "P9: {id} is made under {:?} while its record says {:?}",
                call.epoch, record.sandbox.epoch
            )),
            Err(_) => self.broken(format!("P1: {id} is made and is not on record")),
        }
    }

    /// A backend is asked to remove something.
    pub fn asks_to_remove(&self, call: &Call, id: &SandboxId) {
        if call.installation_id != *self.store.installation_id() {
            return;
        }
        let foreign = |one: &sandboxer_world::Resource| one.installation_id != call.installation_id;
        if self.world.of(id).iter().any(foreign) {
            self.broken(format!("P3: {id} belongs to somebody else and is to be removed"));
        }
        let record = match now(self.store.sandbox(id)) {
            Some(Ok(record)) => Some(record),
            Some(Err(StoreError::NotFound { .. })) => None,
            _ => return,
        };
        let Some(operation) = &call.operation_id else {
            self.swept(call, id, record.map(|record| record.sandbox).as_ref());
            return;
        };
        let Some(Ok(operation)) = now(self.store.operation(operation)) else {
            self.broken(format!("P4: {id} is to be removed and no operation on record says so"));
            return;
        };
        let undone = operation.params.get("undo").is_some_and(|undo| !undo.is_null());
        let meant = match operation.kind {
            OperationKind::Destroy | OperationKind::Recreate => true,
            OperationKind::Expire if operation.params.get("reason").is_some_and(|reason| reason == "idle") => {
                self.idled(id);
                true
            }
            OperationKind::Expire => {
                self.expired(call, id, record.map(|record| record.sandbox).as_ref());
                true
            }
            OperationKind::Create => undone || operation.status != OperationStatus::Running,
            OperationKind::ExtendTtl => false,
        };
        if !meant {
            self.broken(format!("P4: {id} is to be removed by {}", operation.kind.name()));
        }
    }

    /// Somebody used it, and was told so while nobody was at work on it.
    pub fn used(&self, sandbox: &Sandbox) {
        if sandbox.state.is_usable() && sandbox.operation_id.is_none() {
            let time = self.clock.monotonic();
            self.about(&sandbox.sandbox_id, |told| told.used = Some(time));
        }
    }

    /// It is removed because nobody used it.
    fn idled(&self, id: &SandboxId) {
        let time = self.clock.monotonic();
        let used = self.seen().told.get(id).and_then(|told| told.used);
        if let Some(used) = used.filter(|used| used.saturating_add(IDLE) > time.saturating_add(SLACK)) {
            self.broken(format!(
                "P4: {id} is removed as idle at {time:?} and was used at {used:?}"
            ));
        }
    }

    fn expired(&self, call: &Call, id: &SandboxId, sandbox: Option<&Sandbox>) {
        let time = self.clock.monotonic();
        let current = sandbox.is_some_and(|sandbox| sandbox.epoch == call.epoch);
        let generation = sandbox.map(|sandbox| sandbox.generation);
        let promised = self
            .seen()
            .told
            .get(id)
            .filter(|told| Some(told.generation) == generation)
            .and_then(|told| told.until);
        if current && promised.is_some_and(|promised| promised > time.saturating_add(SLACK)) {
            self.broken(format!(
                "P7: {id} is removed at {time:?} and was promised until {promised:?}"
            ));
        }
    }

    /// What a sweep removes has no life on record and was seen twice.
    fn swept(&self, call: &Call, id: &SandboxId, sandbox: Option<&Sandbox>) {
        if let Some(sandbox) = sandbox
            && !matches!(sandbox.state, State::Destroyed | State::Failed)
        {
            self.broken(format!("P4: a sweep removes {id}, which is {}", sandbox.state));
        }
        let sightings = self
            .seen()
            .sightings
            .insert((call.installation_id.clone(), id.clone()), 0)
            .unwrap_or(0);
        if sightings < 2 {
            self.broken(format!("P4: a sweep removes {id} after {sightings} sightings"));
        }
    }

    /// What is broken now that everything has come to rest, beside what was before.
    pub fn judge(&self, sandboxes: &[Sandbox]) -> Vec<String> {
        let seen = self.seen();
        let mut broken = seen.broken.clone();
        for (id, told) in &seen.told {
            let Some(sandbox) = sandboxes.iter().find(|one| one.sandbox_id == *id) else {
                if told.known {
                    broken.push(format!("P1: {id} was acknowledged and is not on record"));
                }
                continue;
            };
            let promise_kept = told.deadline.is_none_or(|promised| {
                told.remade
                    || told.generation != sandbox.generation
                    || sandbox.expires_at.is_some_and(|deadline| deadline >= promised)
            });
            if !promise_kept {
                let (said, promised) = (sandbox.expires_at, told.deadline);
                broken.push(format!("P7: {id} says {said:?} and was promised until {promised:?}"));
            }
            let fine = match (sandbox.state, sandbox.reason) {
                (state, _) if state.is_usable() => true,
                (_, Some(Reason::DestroyedByRequest)) => told.destroyed || told.remade,
                (_, Some(Reason::Ttl)) => {
                    told.remade
                        || told.generation != sandbox.generation
                        || told.until.is_none_or(|promised| promised <= self.clock.monotonic())
                }
                (_, Some(Reason::ProviderLost)) => told.vanished,
                (_, Some(Reason::Idle)) => sandbox.profile_id == "profile.idle",
                (_, Some(Reason::FailedAtStep | Reason::Interrupted)) => !told.known || told.accepted || told.remade,
                _ => false,
            };
            if told.known && !fine {
                let (state, reason) = (sandbox.state, sandbox.reason);
                broken.push(format!(
                    "P4: {id} was acknowledged and is {state} because of {reason:?}"
                ));
            }
        }
        broken
    }
}
