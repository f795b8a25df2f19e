//! Two installations on the same hosts: whatever goes wrong with either, and however often both clear up, neither touches
//! anything of the other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sandboxer_engine::api::{CreateRequest, ReapReport, ReapResult, Silent};
use sandboxer_engine::{Cancel, Reconciler, reconcilers};
use sandboxer_extension::port::IdSource as _;
use sandboxer_extension::{Ended, ErrorKind, ProvisionRequest, Registry, Retry};
use sandboxer_model::host::StaleKind;
use sandboxer_model::id::SandboxId;
use sandboxer_model::lifecycle::State;
use sandboxer_model::profile::Profile;
use sandboxer_model::sandbox::Sandbox;
use sandboxer_store::SandboxFilter;
use sandboxer_world::{CallName, FakeExtension, Fault, TestClock, TestIds, When, World, hosted};

use crate::lab::{Lab, Process, block_on, killed_after, span};
use crate::witness::{Seen, Sees, Witness};

const HOSTS: [&str; 3] = ["alpha", "beta", "gamma"];
/// Of each installation.
const SWEEPS: usize = 500;
/// From one sweep to the next.
const STEP: Duration = Duration::from_secs(900);
/// Sweeps in a row of one kind: long enough for the quarantine of what has no record, which is a day.
const BLOCK: usize = 125;
/// Sweeps before a control plane is killed and another one starts.
const LIFE: usize = 20;
/// Live sandboxes of one installation at most.
const MOST: usize = 6;

/// Which kinds of sweeps are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Orphans,
    Stale,
    Both,
}

impl Kind {
    fn at(self, sweep: usize) -> Kind {
        match self {
            Kind::Both if (sweep / BLOCK).is_multiple_of(2) => Kind::Orphans,
            Kind::Both => Kind::Stale,
            only => only,
        }
    }
}

/// One of the two.
struct Installation {
    who: usize,
    lab: Lab,
    process: Process,
    seen: Arc<Mutex<Seen>>,
    ids: TestIds,
    random: fastrand::Rng,
    /// What ended by itself, while its record does not say so.
    vanished: BTreeSet<SandboxId>,
    reaped: usize,
    /// Things of others that a sweep told of and left.
    foreign: usize,
}

impl Installation {
    async fn new(who: usize, world: &Arc<World>, seen: &Arc<Mutex<Seen>>, sees: Sees) -> Installation {
        let mut registry = Registry::new();
        let mut manifest = hosted("ext.fake");
        // What is gone was removed by somebody, and not by its guard.
        manifest.capabilities.ttl_guard = false;
        let fake = FakeExtension::new(world.clone(), manifest);
        registry
            .register(Arc::new(Witness::new(fake, who, seen.clone(), sees)))
            .unwrap();
        let seed = 100 + who as u64;
        let mut lab = Lab::within(world.clone(), registry, seed);
        for host in HOSTS {
            lab.add_host(host, None);
        }
        Installation {
            who,
            process: lab.start().await,
            lab,
            seen: seen.clone(),
            ids: TestIds::new(200 + seed),
            random: fastrand::Rng::with_seed(seed),
            vanished: BTreeSet::new(),
            reaped: 0,
            foreign: 0,
        }
    }

    async fn records(&self) -> Vec<Sandbox> {
        let everything = SandboxFilter {
            destroyed: true,
            ..SandboxFilter::default()
        };
        let records = self.process.store.sandboxes(&everything).await.unwrap();
        records.into_iter().map(|record| record.sandbox).collect()
    }

    fn one_of(&mut self, records: &[Sandbox], fits: impl Fn(&Sandbox) -> bool) -> Option<SandboxId> {
        let fit: Vec<&Sandbox> = records.iter().filter(|sandbox| fits(sandbox)).collect();
        self.random.choice(fit).map(|sandbox| sandbox.sandbox_id.clone())
    }

    /// Something happens to it: mostly what it was asked for, sometimes only the beginning of that.
    async fn churn(&mut self) {
        let records = self.records().await;
        let usable = records.iter().filter(|one| one.state.is_usable()).count();
        let polls = match self.random.u8(0..3) {
            0 => self.random.u64(1..60),
            _ => u64::MAX,
        };
        let silent = Silent;
        match self.random.u8(0..10) {
            0..4 if usable < MOST => {
                let request = CreateRequest {
                    host: self.random.choice(HOSTS).map(str::to_owned),
                    ..self.lab.request("profile.fake")
                };
                let cancel = Cancel::new();
                let _ = killed_after(polls, self.process.engine.create(request, &silent, &cancel)).await;
            }
            0..6 => {
                if let Some(id) = self.one_of(&records, |one| one.state.is_usable()) {
                    let _ = killed_after(polls, self.process.engine.destroy(id.as_str(), &silent)).await;
                }
            }
            6 => {
                if let Some(id) = self.one_of(&records, |one| one.state.is_usable()) {
                    self.lab.world.vanish(&id, Ended::Killed);
                    self.vanished.insert(id);
                }
            }
            7 => {
                if let Some(id) = self.one_of(&records, |one| one.state == State::Destroyed) {
                    let cancel = Cancel::new();
                    let _ = killed_after(polls, self.process.engine.recreate(id.as_str(), &silent, &cancel)).await;
                }
            }
            8 => {
                // What was gone is there again: a disk that was brought back, say.
                let is_gone = |one: &Sandbox| one.state == State::Destroyed && one.operation_id.is_none();
                if let Some(id) = self.one_of(&records, is_gone) {
                    self.leave(id);
                }
            }
            _ => {
                let id = SandboxId::from_uuid(self.ids.uuid());
                self.leave(id);
            }
        }
    }

    /// Something of ours that should not be there.
    fn leave(&mut self, sandbox_id: SandboxId) {
        if !self.lab.world.of(&sandbox_id).is_empty() {
            return;
        }
        self.seen.lock().unwrap().belongs(&sandbox_id, self.who);
        let host = self.random.choice(HOSTS).unwrap();
        let request = ProvisionRequest {
            sandbox_id,
            profile: Profile::new("profile.fake", "ext.fake"),
            inputs: BTreeMap::new(),
            host: Some(format!("root@{host}.example")),
            ttl: span("1h"),
        };
        let owner = self.process.store.installation_id().clone();
        self.lab.world.add_foreign("ext.fake", request, owner);
    }

    async fn reconcile(&self, name: &str) -> usize {
        let one: &Reconciler = reconcilers().iter().find(|one| one.name == name).unwrap();
        let report = self.process.engine.reconcile(one, &Silent).await.unwrap();
        let actions = report.map(|report| report.did.actions).unwrap_or_default();
        actions.iter().filter(|action| action.what == "reaped").count()
    }

    async fn sweep(&mut self, kind: Kind) {
        for name in ["recover_operations", "expire_ttl", "observe_backends"] {
            self.reconcile(name).await;
        }
        if kind == Kind::Orphans {
            self.reaped += self.reconcile("reap_orphans").await;
            return;
        }
        let ReapReport { actions, .. } = self.process.engine.reap_stale(true, None, None).await.unwrap();
        let count = |fits: &dyn Fn(StaleKind, ReapResult) -> bool| {
            actions
                .iter()
                .filter(|one| fits(one.candidate.kind, one.result))
                .count()
        };
        self.reaped += count(&|_, result| result == ReapResult::Reaped);
        self.foreign += count(&|kind, result| kind == StaleKind::Foreign && result == ReapResult::Kept);
    }

    /// One turn: a change, the sweep, a change.
    async fn turn(&mut self, kind: Kind) {
        self.churn().await;
        self.sweep(kind).await;
        self.churn().await;
    }

    async fn be_replaced(&mut self) {
        let next = self.lab.start().await;
        std::mem::replace(&mut self.process, next).die();
    }

    /// Usable sandboxes that are not whole, but for those that ended by themselves: that takes two looks to find out.
    async fn broken(&mut self) -> Vec<String> {
        let records = self.records().await;
        let usable: BTreeSet<SandboxId> = records
            .into_iter()
            .filter(|one| one.state.is_usable())
            .map(|one| one.sandbox_id)
            .collect();
        self.vanished.retain(|id| usable.contains(id));
        let is_whole = |id: &SandboxId| self.lab.world.of(id).iter().filter(|one| one.is_whole()).count() == 1;
        let broken = usable.difference(&self.vanished).filter(|id| !is_whole(id));
        broken
            .map(|id| format!("{id} of {} is usable and not whole", self.who))
            .collect()
    }

    /// Removes everything that is left of it.
    async fn leave_the_world(&mut self) {
        for _ in 0..40 {
            self.process.engine.recover(&Silent).await.unwrap();
            for sandbox in self.records().await {
                if sandbox.state != State::Destroyed {
                    self.process
                        .engine
                        .destroy(sandbox.sandbox_id.as_str(), &Silent)
                        .await
                        .unwrap();
                }
            }
            self.sweep(Kind::Stale).await;
            let seen = self.seen.lock().unwrap();
            let resources = self.lab.world.resources();
            if resources
                .iter()
                .all(|one| seen.owner(&one.sandbox_id) != Some(self.who))
            {
                return;
            }
            drop(seen);
            self.lab.clock.advance(STEP);
        }
        panic!("something of {} does not go", self.who);
    }
}

/// Both, and what there was at the last check.
struct Pair {
    world: Arc<World>,
    both: [Installation; 2],
    seen: Arc<Mutex<Seen>>,
    there: BTreeMap<u64, SandboxId>,
    random: fastrand::Rng,
}

impl Pair {
    async fn new(sees: Sees) -> Pair {
        let world = World::new(Arc::new(TestClock::new()));
        let seen = Arc::new(Mutex::new(Seen::default()));
        let both = [
            Installation::new(0, &world, &seen, sees).await,
            Installation::new(1, &world, &seen, Sees::AsItIs).await,
        ];
        let owners = both.each_ref().map(|one| one.process.store.installation_id().clone());
        assert_ne!(owners[0], owners[1]);
        Pair {
            world,
            both,
            seen,
            there: BTreeMap::new(),
            random: fastrand::Rng::with_seed(1),
        }
    }

    /// A call of somebody goes wrong.
    fn inject(&mut self) {
        self.world.clear_faults();
        if self.random.bool() {
            return;
        }
        let lost = Fault::LostReply(ErrorKind::Unavailable, Retry::Temporary);
        let (call, fault) = match self.random.u8(0..9) {
            0 => (CallName::Provision, lost),
            1 => (CallName::Provision, Fault::permanent()),
            2 => (CallName::Provision, Fault::HangAfter),
            3 => (CallName::WaitReady, Fault::permanent()),
            4 => (CallName::Teardown, Fault::RefuseRemoval),
            5 => (CallName::Teardown, lost),
            6 => (CallName::Teardown, Fault::Unknown),
            7 => (CallName::Inventory, Fault::PartialInventory),
            _ => (CallName::Inventory, Fault::Unknown),
        };
        let when = match self.random.u8(0..3) {
            0 => When::Always,
            _ => When::Nth(self.random.u64(1..4)),
        };
        self.world.inject(None, call, when, fault);
    }

    /// Everything that was there and is not any more was removed by its owner, or ended by itself; what is usable is
    /// whole; nobody asked for anything that belongs to the other.
    async fn check(&mut self) -> Vec<String> {
        let now: BTreeMap<u64, SandboxId> = self
            .world
            .resources()
            .into_iter()
            .map(|resource| (resource.serial, resource.sandbox_id))
            .collect();
        let mut wrong = Vec::new();
        let mut seen = std::mem::take(&mut *self.seen.lock().unwrap());
        for (_, id) in self.there.iter().filter(|(serial, _)| !now.contains_key(serial)) {
            let owner = seen.owner(id);
            let ended = self.both.iter().any(|one| one.vanished.contains(id));
            if !ended && !owner.is_some_and(|owner| seen.removed.contains(&(owner, id.clone()))) {
                wrong.push(format!("{id} of {owner:?} is gone, and its owner removed nothing"));
            }
        }
        wrong.append(&mut seen.wrong);
        seen.removed.clear();
        *self.seen.lock().unwrap() = seen;
        for one in &mut self.both {
            wrong.extend(one.broken().await);
        }
        self.there = now;
        self.world.take_log();
        wrong
    }

    /// So many sweeps of each; what went wrong.
    async fn play(&mut self, sweeps: usize, kind: Kind) -> Vec<String> {
        let mut wrong = Vec::new();
        for sweep in 0..sweeps {
            self.world.clock().advance(STEP);
            self.inject();
            let kind = kind.at(sweep);
            let [one, other] = &mut self.both;
            tokio::join!(one.turn(kind), other.turn(kind));
            if sweep % LIFE == LIFE - 1 {
                for one in &mut self.both {
                    one.be_replaced().await;
                }
            }
            let found = self.check().await;
            wrong.extend(found.into_iter().map(|what| format!("sweep {sweep}: {what}")));
        }
        wrong
    }
}

#[test]
fn nothing_of_the_other_is_touched_in_a_thousand_sweeps() {
    block_on(async {
        let mut pair = Pair::new(Sees::AsItIs).await;
        let wrong = pair.play(SWEEPS, Kind::Both).await;
        assert!(wrong.is_empty(), "{wrong:#?}");
        let counted = |count: fn(&Installation) -> usize| pair.both.each_ref().map(count);
        let (reaped, foreign) = (counted(|one| one.reaped), counted(|one| one.foreign));
        eprintln!(
            "{} sweeps: removed {reaped:?}, told of and left {foreign:?}",
            2 * SWEEPS
        );
        assert!(reaped.iter().chain(&foreign).all(|&count| count > SWEEPS / 10));
        // One goes, and the other loses nothing by it.
        pair.world.clear_faults();
        for who in 0..2 {
            pair.both[who].leave_the_world().await;
            let wrong = pair.check().await;
            assert!(wrong.is_empty(), "{wrong:#?}");
        }
        assert!(pair.world.resources().is_empty());
        for one in &pair.both {
            one.lab.expect_sound(&one.process, "both have gone").await;
        }
    });
}

/// The test can fail: one of them takes everything that it sees for its own.
#[test]
fn one_that_takes_everything_for_its_own_is_noticed() {
    for (kind, sweeps) in [(Kind::Orphans, 2 * BLOCK), (Kind::Stale, 30)] {
        block_on(async {
            let mut pair = Pair::new(Sees::AllAsItsOwn).await;
            let wrong = pair.play(sweeps, kind).await;
            let asked = wrong.iter().any(|what| what.contains("asked for the removal"));
            let gone = wrong.iter().any(|what| what.contains("its owner removed nothing"));
            assert!(asked && gone, "{kind:?}: {wrong:#?}");
        });
    }
}
