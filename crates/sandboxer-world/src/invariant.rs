//! What must hold once everything has come to rest.

use std::collections::BTreeMap;

use sandboxer_model::event::Event;
use sandboxer_model::id::SandboxId;
use sandboxer_model::lifecycle::State;
use sandboxer_model::operation::{Epoch, Operation, OperationKind, OperationStatus};
use sandboxer_model::registry::Reservation;
use sandboxer_model::sandbox::Sandbox;

use crate::world::{Effect, EffectKind, Resource, World};

/// What a control plane has written down, as plain lists.
#[derive(Debug, Clone, Copy)]
pub struct Books<'a> {
    /// Every record, destroyed ones too.
    pub sandboxes: &'a [Sandbox],
    /// Every event.
    pub events: &'a [Event],
    /// Every operation.
    pub operations: &'a [Operation],
    /// Everything that is held of hosts.
    pub reservations: &'a [(SandboxId, Reservation)],
}

/// Everything in which the books and the world break a promise; empty when all is well.
pub fn violations(world: &World, books: &Books<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let index = Index::of(world, books);
    leaks(&index, &mut found);
    for sandbox in books.sandboxes {
        record(&index, sandbox, &mut found);
        history(&index, sandbox, &mut found);
    }
    for operation in books.operations {
        let stuck = operation.status == OperationStatus::Stuck;
        let (id, kind) = (&operation.operation_id, operation.kind.name());
        if !operation.status.is_terminal() && !stuck {
            found.push(format!(
                "P8: {kind} {id} is still {} at {:?}",
                operation.status.name(),
                operation.step
            ));
        }
        if stuck && operation.error.is_none() {
            found.push(format!("P8: {kind} {id} is stuck and does not say why"));
        }
    }
    found.extend(Epochs::default().check(&world.log()));
    capacity(books, &index, &mut found);
    found
}

/// The books and the world by sandbox: there may be many.
struct Index<'a> {
    sandboxes: BTreeMap<&'a SandboxId, &'a Sandbox>,
    resources: BTreeMap<SandboxId, Vec<Resource>>,
    events: BTreeMap<&'a SandboxId, Vec<&'a Event>>,
    operations: BTreeMap<&'a SandboxId, Vec<&'a Operation>>,
    held: BTreeMap<&'a SandboxId, usize>,
}

impl<'a> Index<'a> {
    fn of(world: &World, books: &Books<'a>) -> Index<'a> {
        let mut index = Index {
            sandboxes: books.sandboxes.iter().map(|one| (&one.sandbox_id, one)).collect(),
            resources: BTreeMap::new(),
            events: BTreeMap::new(),
            operations: BTreeMap::new(),
            held: BTreeMap::new(),
        };
        for resource in world.resources() {
            let of_one = index.resources.entry(resource.sandbox_id.clone()).or_default();
            of_one.push(resource);
        }
        for event in books.events {
            index.events.entry(&event.sandbox_id).or_default().push(event);
        }
        for operation in books.operations {
            index
                .operations
                .entry(&operation.sandbox_id)
                .or_default()
                .push(operation);
        }
        for (id, _) in books.reservations {
            *index.held.entry(id).or_default() += 1;
        }
        index
    }

    fn resources(&self, id: &SandboxId) -> &[Resource] {
        self.resources.get(id).map_or(&[], Vec::as_slice)
    }

    fn operations(&self, id: &SandboxId) -> &[&'a Operation] {
        self.operations.get(id).map_or(&[], Vec::as_slice)
    }

    fn is_stuck(&self, id: &SandboxId) -> bool {
        let mut operations = self.operations(id).iter();
        operations.any(|one| one.status == OperationStatus::Stuck)
    }
}

/// P3: what exists belongs to a sandbox that may have something.
fn leaks(index: &Index<'_>, found: &mut Vec<String>) {
    for id in index.resources.keys() {
        if !index.sandboxes.contains_key(id) {
            found.push(format!("P3: {id} exists and is not in the store"));
        }
    }
}

/// P3, P5, P13: the state of a record and what exists of it agree.
fn record(index: &Index<'_>, sandbox: &Sandbox, found: &mut Vec<String>) {
    let (id, state) = (&sandbox.sandbox_id, sandbox.state);
    let resources = index.resources(id);
    let whole = resources.iter().filter(|resource| resource.is_whole()).count();
    match state {
        State::Ready | State::Active if resources.len() != 1 || whole != 1 => {
            found.push(format!(
                "P3: {id} is {state} and has {} resources, {whole} of them whole",
                resources.len()
            ));
        }
        State::Ready | State::Active => {}
        State::Destroyed | State::Failed if !resources.is_empty() => {
            found.push(format!(
                "P5: {id} is {state} and still has {} resources",
                resources.len()
            ));
        }
        State::Destroyed | State::Failed => {}
        State::Requested | State::Provisioning | State::Expired | State::Destroying => {
            if !index.is_stuck(id) {
                found.push(format!("P8: {id} rests in {state} and no operation on it is stuck"));
            }
        }
    }
    // What is being made again is on its way back, not at an end.
    let remade = index
        .operations(id)
        .iter()
        .any(|one| !one.status.is_terminal() && one.kind == OperationKind::Recreate);
    let ending = match state {
        State::Destroying => !remade,
        State::Expired | State::Failed | State::Destroyed => true,
        State::Requested | State::Provisioning | State::Ready | State::Active => false,
    };
    if ending && sandbox.reason.is_none() {
        found.push(format!("P13: {id} is {state} without a reason"));
    }
    if state == State::Destroyed && sandbox.destroyed_at.is_none() {
        found.push(format!("P5: {id} is destroyed at no time"));
    }
    if state == State::Failed && sandbox.error.is_none() {
        found.push(format!("P13: {id} failed without saying why"));
    }
}

/// P11: the events of a sandbox are 1, 2, 3 … and tell a legal life that ends in its state.
fn history(index: &Index<'_>, sandbox: &Sandbox, found: &mut Vec<String>) {
    let id = &sandbox.sandbox_id;
    let mut events = index.events.get(id).cloned().unwrap_or_default();
    events.sort_by_key(|event| event.seq);
    let numbers: Vec<u64> = events.iter().map(|event| event.seq).collect();
    if numbers.is_empty() || !numbers.iter().copied().eq(1..=numbers.len() as u64) {
        found.push(format!("P11: the events of {id} are numbered {numbers:?}"));
        return;
    }
    let states: Vec<State> = events.iter().map(|event| event.state).collect();
    if states.first() != Some(&State::Requested) {
        found.push(format!("P11: the life of {id} begins {:?}", states.first()));
    }
    for pair in states.windows(2) {
        if let [from, to] = pair
            && from != to
            && !from.may_become(*to)
        {
            found.push(format!("P11: {id} went from {from} to {to}"));
        }
    }
    if states.last() != Some(&sandbox.state) {
        found.push(format!(
            "P11: the last event of {id} says {:?}, its record {}",
            states.last(),
            sandbox.state
        ));
    }
}

/// P12: what is held of hosts is held by sandboxes that may have something there, each once and where it is.
fn capacity(books: &Books<'_>, index: &Index<'_>, found: &mut Vec<String>) {
    for (id, held) in books.reservations {
        let Some(sandbox) = index.sandboxes.get(id) else {
            found.push(format!(
                "P12: {} is held for {id}, which is not in the store",
                held.host
            ));
            continue;
        };
        let over =
            sandbox.state == State::Destroyed || (sandbox.state == State::Failed && sandbox.operation_id.is_none());
        if over {
            found.push(format!(
                "P12: {} is held for {id}, which is {}",
                held.host, sandbox.state
            ));
        }
        if sandbox.host.as_deref() != Some(held.host.as_str()) {
            found.push(format!(
                "P12: {} is held for {id}, which is on {:?}",
                held.host, sandbox.host
            ));
        }
    }
    for sandbox in books.sandboxes {
        let id = &sandbox.sandbox_id;
        let mut resources = index.resources(id).iter();
        let on_host = resources.any(|resource| resource.request.host.is_some());
        let held = index.held.get(id).copied().unwrap_or(0);
        if on_host && held != 1 {
            found.push(format!("P12: {id} is on a host and holds {held} shares"));
        }
    }
}

/// P9: no effect under an older epoch than one before it. Sees the log of a world piece by piece.
#[derive(Debug, Default)]
pub struct Epochs {
    newest: BTreeMap<(SandboxId, String), (Epoch, EffectKind)>,
}

impl Epochs {
    /// What is wrong with the next piece of a log.
    pub fn check(&mut self, log: &[Effect]) -> Vec<String> {
        let mut found = Vec::new();
        for effect in log {
            let Some(epoch) = effect.epoch else { continue };
            let key = (effect.sandbox_id.clone(), effect.extension_id.clone());
            let (seen, before) = self.newest.entry(key).or_insert((epoch, effect.kind));
            if effect.kind != EffectKind::Executed && *seen > epoch {
                let (kind, id) = (effect.kind, &effect.sandbox_id);
                found.push(format!(
                    "P9: {kind:?} of {id} at {epoch:?} came after {before:?} at a newer epoch"
                ));
            }
            if epoch > *seen {
                (*seen, *before) = (epoch, effect.kind);
            }
        }
        found
    }
}
