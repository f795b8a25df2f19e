//! Plays one schedule to its end: callers, crashes, faults; then everything is healed, control planes look until there is
//! nothing left to do, and every promise must hold.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sandboxer_engine::api::{CreateRequest, Extend, IfAbandoned, ListFilter, Recovered, Silent};
use sandboxer_engine::{Cancel, Engine, reconcilers};
use sandboxer_extension::port::{Clock as _, IdSource as _};
use sandboxer_extension::{Ended, ProvisionRequest, Registry};
use sandboxer_model::duration::Span;
use sandboxer_model::error::ErrorCode;
use sandboxer_model::id::{InstallationId, SandboxId};
use sandboxer_model::operation::{Operation, OperationStatus};
use sandboxer_model::profile::Profile;
use sandboxer_model::registry::{Capacity, Host, HostState, Watermarks};
use sandboxer_model::sandbox::Sandbox;
use sandboxer_store::{SandboxFilter, Store};
use sandboxer_world::clock::Sleep;
use sandboxer_world::{
    Books, CallName, FakeExtension, Fault, Reach, TestClock, TestIds, TestOwners, When, World, capable, hosted,
    violations,
};

use crate::executor::{Executor, Owner, Unended};
use crate::hunt::Sabotage;
use crate::network::{Network, Remote};
use crate::process::{Installation, Plane};
use crate::schedule::{Action, HOSTS, How, RECIPES, Schedule};
use crate::watch::Watch;

/// What a schedule came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Promises that were broken.
    pub broken: Vec<String>,
    /// A figure of everything that happened, in order: the same for the same schedule.
    pub hash: u64,
    /// How much happened.
    pub figures: Figures,
    /// What happened to the sandboxes that broken promises name, in order.
    pub story: Vec<String>,
}

/// How much happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Sandboxes on record at the end.
    pub sandboxes: u64,
    /// Operations on record at the end.
    pub operations: u64,
    /// Changes of the world.
    pub effects: u64,
    /// Control planes that died.
    pub crashes: u64,
    /// Virtual seconds.
    pub seconds: u64,
}

/// Between two looks of a control plane that does nothing else.
const LOOKS: Duration = Duration::from_secs(15);
/// Looks after everything was healed before it must have come to rest: what is stuck is tried again after up to an hour.
const PATIENCE: u32 = 90;

/// The files of the recipes.
const PROFILES: [(&str, &str); 5] = [
    (
        "fake",
        "id: profile.fake\nextension: ext.fake\nttl: { default: 1h, max: 24h }\n",
    ),
    (
        "two",
        "id: profile.two\nextension: ext.fake\nttl: { default: 1h, max: 24h }\n\
         route: { strategy: prefer-self-hosted, extensions: [ext.fake, ext.other] }\n",
    ),
    (
        "shared",
        "id: profile.shared\nextension: ext.fake\nscope_default: shared\nttl: { default: 1h, max: 24h }\n",
    ),
    (
        "far",
        "id: profile.far\nextension: ext.far\nttl: { default: 1h, max: 24h }\n",
    ),
    (
        "hosted",
        "id: profile.hosted\nextension: ext.hosted\nttl: { default: 1h, max: 24h }\n",
    ),
];

/// Where the recipes lie; shared by all schedules of a program.
#[derive(Debug)]
pub struct Recipes(tempfile::TempDir);

impl Recipes {
    /// Writes them.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write() -> std::io::Result<Recipes> {
        let dir = tempfile::tempdir()?;
        for (name, text) in PROFILES {
            let path = dir.path().join(format!("{name}.yaml"));
            let mut file = std::fs::File::create(path)?;
            std::io::Write::write_all(&mut file, text.as_bytes())?;
        }
        Ok(Recipes(dir))
    }
}

/// Everything of one schedule.
struct Stage {
    executor: Executor,
    clock: Arc<TestClock>,
    world: Arc<World>,
    network: Arc<Network>,
    watch: Arc<Watch>,
    installation: Installation,
    recipes: PathBuf,
    planes: Mutex<Vec<Plane>>,
    started: AtomicU32,
    crashes: AtomicU32,
    is_healed: AtomicBool,
    is_over: AtomicBool,
    end: Mutex<Option<Outcome>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The address of a host of a schedule.
fn address(number: usize) -> String {
    format!("root@host{}.example", number % HOSTS)
}

/// Plays a schedule, with a safeguard switched off or with all of them.
///
/// # Errors
/// The stage could not be built: no promise is said to hold or to be broken.
pub fn play(schedule: &Schedule, recipes: &Recipes, sabotage: Option<Sabotage>) -> Result<Outcome, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|error| format!("cannot start a runtime: {error}"))?;
    runtime.block_on(async {
        let stage = build(schedule, recipes, sabotage).await?;
        let mut order = fastrand::Rng::with_seed(schedule.seed ^ 0x5eed);
        let script = stage.clone();
        let actions = schedule.actions.clone();
        let planes = schedule.planes;
        stage.executor.spawn(Owner::World, async move {
            for _ in 0..planes {
                script.start();
            }
            for (pause, action) in actions {
                script.clock.sleep(pause).await;
                script.act(action);
            }
            // Whatever is still on its way may arrive.
            script.clock.sleep(Duration::from_secs(600)).await;
            script.settle().await;
        });
        let over = || stage.is_over.load(Ordering::Relaxed);
        let run = stage.executor.run(&mut order, over, |number| stage.died(number)).await;
        let outcome = match run {
            Ok(()) => lock(&stage.end).take(),
            Err(unended) => {
                let what = match unended {
                    Unended::Panic(why) => format!("a task panicked: {why}"),
                    Unended::Deadlock => "nobody can go on".to_owned(),
                    Unended::Livelock => "it goes on for ever".to_owned(),
                };
                stage.watch.broken(format!("P8: {what}"));
                Some(stage.outcome(&Books {
                    sandboxes: &[],
                    events: &[],
                    operations: &[],
                    reservations: &[],
                }))
            }
        };
        // Tasks hold the stage, and the stage holds them.
        stage.executor.clear();
        outcome.ok_or_else(|| "the schedule ended without an outcome".to_owned())
    })
}

async fn build(schedule: &Schedule, recipes: &Recipes, sabotage: Option<Sabotage>) -> Result<Arc<Stage>, String> {
    let clock = Arc::new(TestClock::new());
    clock.set_sleep(Sleep::Waits);
    let world = World::new(clock.clone());
    let ids = Arc::new(TestIds::new(schedule.seed));
    let store = Store::open_in_memory(clock.clone(), ids.clone())
        .await
        .map_err(|error| error.to_string())?;
    let executor = Executor::new(clock.clone());
    let watch = Arc::new(Watch::new(clock.clone(), world.clone(), store.clone()));
    let network = Arc::new(Network::new(
        executor.clone(),
        clock.clone(),
        schedule.seed,
        schedule.weather,
        watch.clone(),
    ));
    let mut far = capable("ext.far");
    far.capabilities.ttl_guard = false;
    far.capabilities.dies_with_machine = false;
    let mut registry = Registry::new();
    for manifest in [capable("ext.fake"), capable("ext.other"), far, hosted("ext.hosted")] {
        let mut backend = FakeExtension::new(world.clone(), manifest);
        if let Some(Sabotage::Backend(mutant)) = sabotage {
            backend = backend.with(mutant);
        }
        let remote = Remote {
            backend: Arc::new(backend),
            network: network.clone(),
        };
        registry.register(Arc::new(remote)).map_err(|error| error.to_string())?;
    }
    for number in 0..HOSTS {
        let address = address(number);
        world.add_host(&address, Some(3));
        let host = Host {
            name: format!("host{number}"),
            address: address.parse().map_err(|_| format!("`{address}` is no address"))?,
            state: HostState::Active,
            labels: Default::default(),
            capacity: Capacity {
                slots: Some(3),
                ..Capacity::default()
            },
            watermarks: Watermarks::default(),
            probe: None,
            unreachable: None,
            unreachable_since: None,
            probe_after: None,
            added_at: clock.now(),
        };
        store.add_host(&host).await.map_err(|error| error.to_string())?;
    }
    let off = match sabotage {
        Some(Sabotage::Engine(safeguard)) => Some(safeguard),
        _ => None,
    };
    let installation = Installation {
        store,
        registry,
        clock: clock.clone(),
        ids,
        owners: TestOwners::new("process-0"),
        off,
    };
    Ok(Arc::new(Stage {
        executor,
        clock,
        world,
        network,
        watch,
        installation,
        recipes: recipes.0.path().to_owned(),
        planes: Mutex::default(),
        started: AtomicU32::new(0),
        crashes: AtomicU32::new(0),
        is_healed: AtomicBool::new(false),
        is_over: AtomicBool::new(false),
        end: Mutex::default(),
    }))
}

impl Stage {
    /// A control plane starts, and looks now and then.
    fn start(&self) -> Plane {
        let number = self.started.fetch_add(1, Ordering::Relaxed) + 1;
        let plane = self.installation.start(number);
        lock(&self.planes).push(plane.clone());
        let (engine, clock) = (plane.engine.clone(), self.clock.clone());
        let pause = LOOKS + Duration::from_millis(u64::from(number) * 777);
        self.executor.spawn(Owner::Process(number), async move {
            loop {
                for one in reconcilers() {
                    // What it could not do is tried again.
                    let _ = engine.reconcile(one, &Silent).await;
                }
                clock.sleep(pause).await;
            }
        });
        plane
    }

    /// A control plane died on the spot; another one starts after a while.
    fn died(self: &Arc<Self>, number: u32) {
        self.crashes.fetch_add(1, Ordering::Relaxed);
        let mut planes = lock(&self.planes);
        if let Some(index) = planes.iter().position(|plane| plane.number == number) {
            planes.remove(index).bury();
        }
        drop(planes);
        let stage = self.clone();
        let pause = Duration::from_millis(u64::from(number) * 1733 % 9000);
        self.executor.spawn(Owner::World, async move {
            stage.clock.sleep(pause).await;
            if !stage.is_healed.load(Ordering::Relaxed) {
                stage.start();
            }
        });
    }

    /// Some control plane that lives.
    fn plane(&self, number: usize) -> Option<Plane> {
        let planes = lock(&self.planes);
        planes.get(number % planes.len().max(1)).cloned()
    }

    /// Some sandbox that callers know of.
    fn some(&self, number: usize) -> Option<SandboxId> {
        let known = self.watch.known();
        known.get(number % known.len().max(1)).cloned()
    }

    /// Work of a control plane; nothing where none lives.
    fn ask<F>(&self, number: usize, work: impl FnOnce(Arc<Engine>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if let Some(plane) = self.plane(number) {
            self.executor.spawn(Owner::Process(plane.number), work(plane.engine));
        }
    }

    fn act(self: &Arc<Self>, action: Action) {
        let turn = usize::try_from(self.installation.ids.uuid().as_u128() % 97).unwrap_or(0);
        let watch = self.watch.clone();
        match action {
            Action::Create { recipe, how, ttl } => self.create(turn, recipe, how, ttl),
            Action::Destroy(which) => {
                let Some(id) = self.some(which) else { return };
                watch.destroying(&id);
                self.ask(turn, |engine| async move {
                    if engine.destroy(id.as_str(), &Silent).await.is_ok() {
                        watch.destroyed(&id);
                    }
                });
            }
            Action::Recreate(which) => {
                let Some(id) = self.some(which) else { return };
                watch.remaking(&id);
                self.ask(turn, |engine| async move {
                    let _ = engine.recreate(id.as_str(), &Silent, &Cancel::new()).await;
                });
            }
            Action::Extend(which, seconds) => {
                let (Some(id), Some(span)) = (self.some(which), Span::from_secs(u64::from(seconds))) else {
                    return;
                };
                self.ask(turn, |engine| async move {
                    if let Ok(sandbox) = engine.extend_ttl(id.as_str(), Extend::By(span)).await {
                        watch.promised(&sandbox);
                    }
                });
            }
            Action::Expire => self.ask(turn, |engine| async move {
                let _ = engine.expire(true, &Silent).await;
            }),
            Action::Get(which) => {
                let Some(id) = self.some(which) else { return };
                self.ask(turn, |engine| async move {
                    let _ = engine.get(id.as_str()).await;
                });
            }
            Action::List => self.ask(turn, |engine| async move {
                let _ = engine.list(&ListFilter::default()).await;
            }),
            Action::Label(which) => {
                let Some(id) = self.some(which) else { return };
                let set = [("turn".to_owned(), turn.to_string())].into();
                self.ask(turn, |engine| async move {
                    let _ = engine.label(id.as_str(), set, Vec::new()).await;
                });
            }
            Action::Reap => self.ask(turn, |engine| async move {
                let _ = engine.reap_stale(true, None, None).await;
            }),
            Action::Crash(boundaries) => {
                if let Some(plane) = self.plane(turn) {
                    plane.fuse.light(u64::from(boundaries));
                }
            }
            Action::Kill => {
                if let Some(plane) = self.plane(turn) {
                    self.executor.kill(plane.number);
                    self.died(plane.number);
                }
            }
            Action::Vanish(which) => {
                let Some(id) = self.some(which) else { return };
                watch.vanished(&id);
                self.world.vanish(&id, Ended::Killed);
            }
            Action::HostDown(which, seconds) => {
                let address = address(which);
                self.world.set_reach(&address, Reach::Out);
                let stage = self.clone();
                self.executor.spawn(Owner::World, async move {
                    stage.clock.sleep(Duration::from_secs(u64::from(seconds))).await;
                    stage.world.set_reach(&address, Reach::In);
                });
            }
            Action::Stubborn(times) => self.trouble(CallName::Teardown, times, Fault::RefuseRemoval),
            Action::Murky(times) => {
                self.trouble(CallName::Teardown, times, Fault::RefuseRemoval);
                self.trouble(CallName::Teardown, times, Fault::Unknown);
            }
            Action::Blind(times) => self.trouble(CallName::Observe, times, Fault::Unknown),
            Action::Partial(times) => self.trouble(CallName::Inventory, times, Fault::PartialInventory),
            Action::Foreign(which) => self.foreign(which),
            Action::Jump(seconds) => self.clock.jump(SignedDuration::from_secs(seconds.into())),
        }
    }

    fn trouble(&self, call: CallName, times: u8, fault: Fault) {
        self.world.inject(None, call, When::First(u64::from(times)), fault);
    }

    fn create(&self, turn: usize, recipe: usize, how: How, ttl: u32) {
        let name = RECIPES[recipe % RECIPES.len()];
        let request = CreateRequest {
            profile: Some(format!("./{name}.yaml")),
            working_dir: self.recipes.clone(),
            ttl: Span::from_secs(u64::from(ttl)),
            ..CreateRequest::default()
        };
        let (watch, clock, executor) = (self.watch.clone(), self.clock.clone(), self.executor.clone());
        let number = self.plane(turn).map(|plane| plane.number).unwrap_or_default();
        self.ask(turn, |engine| async move {
            match how {
                How::Wait => match engine.create(request, &Silent, &Cancel::new()).await {
                    Ok(made) => watch.created(&made.sandbox),
                    // Nobody else knows its id yet, so nobody can have asked for its end.
                    Err(error) if error.code == ErrorCode::Fenced && name != "shared" => {
                        watch.broken(format!("P9: a creation was taken from its living owner: {error}"));
                    }
                    Err(_) => {}
                },
                How::Cancel(after) => {
                    let cancel = Cancel::new();
                    let hand = cancel.clone();
                    executor.spawn(Owner::Process(number), async move {
                        clock.sleep(Duration::from_millis(u64::from(after))).await;
                        hand.cancel();
                    });
                    if let Ok(made) = engine.create(request, &Silent, &cancel).await {
                        watch.created(&made.sandbox);
                    }
                }
                How::Accept => {
                    let request = CreateRequest {
                        if_abandoned: IfAbandoned::Finish,
                        ..request
                    };
                    let Ok(accepted) = engine.accept(request).await else {
                        return;
                    };
                    let sandbox = &accepted.sandbox;
                    if accepted.reused {
                        return;
                    }
                    watch.accepted(&sandbox.sandbox_id);
                    if let Some(operation) = &sandbox.operation_id {
                        let _ = engine.resume(operation, &Silent).await;
                    }
                }
            }
        });
    }

    /// Something of another installation, which nobody of ours may touch.
    fn foreign(&self, which: usize) {
        let ids = &self.installation.ids;
        let request = ProvisionRequest {
            sandbox_id: SandboxId::from_uuid(ids.uuid()),
            profile: Profile::new("profile.hosted", "ext.hosted"),
            inputs: Default::default(),
            host: Some(address(which)),
            ttl: Span::MAX,
        };
        let owner = InstallationId::from_uuid(ids.uuid());
        self.world.add_foreign("ext.hosted", request, owner);
    }

    /// Heals everything, and lets one control plane after the other look until nothing is left to do.
    async fn settle(self: &Arc<Self>) {
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

    fn outcome(&self, books: &Books<'_>) -> Outcome {
        let log = self.world.log();
        let mut hasher = DefaultHasher::new();
        for effect in &log {
            format!("{effect:?}").hash(&mut hasher);
        }
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
            figures: Figures {
                sandboxes: books.sandboxes.len() as u64,
                operations: books.operations.len() as u64,
                effects: log.len() as u64,
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
