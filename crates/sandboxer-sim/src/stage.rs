//! Everything of one schedule: a world, a store, the ways between them, and the control planes that run at the moment.

use std::hash::{DefaultHasher, Hash as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sandboxer_engine::api::Silent;
use sandboxer_engine::{Effort, Engine, Reconciler, reconcilers};
use sandboxer_extension::Registry;
use sandboxer_extension::port::Clock as _;
use sandboxer_model::id::SandboxId;
use sandboxer_model::registry::{Capacity, Host, HostState, Watermarks};
use sandboxer_store::Store;
use sandboxer_world::clock::Sleep;
use sandboxer_world::{Epochs, FakeExtension, TestClock, TestIds, TestOwners, World, capable, hosted};

use crate::executor::{Executor, Owner};
use crate::hunt::Sabotage;
use crate::network::{Network, Remote};
use crate::play::Outcome;
use crate::process::{Installation, Plane};
use crate::schedule::{HOSTS, Memory, Schedule};
use crate::watch::Watch;

/// The files of the recipes.
const PROFILES: [(&str, &str); 6] = [
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
    (
        "idle",
        "id: profile.idle\nextension: ext.fake\nttl: { default: 1h, max: 24h, idle_reap: 10m }\n",
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
pub(crate) struct Stage {
    pub(crate) executor: Executor,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) world: Arc<World>,
    pub(crate) network: Arc<Network>,
    pub(crate) watch: Arc<Watch>,
    pub(crate) installation: Installation,
    pub(crate) recipes: PathBuf,
    pub(crate) planes: Mutex<Vec<Plane>>,
    pub(crate) started: AtomicU32,
    pub(crate) crashes: AtomicU32,
    pub(crate) is_healed: Arc<AtomicBool>,
    pub(crate) looks: Duration,
    pub(crate) is_over: AtomicBool,
    pub(crate) end: Mutex<Option<Outcome>>,
    pub(crate) pages: Mutex<Pages>,
    /// Where the store is, if it is a file; goes with the stage.
    _files: Option<tempfile::TempDir>,
}

/// The log of the world as far as it was read and forgotten.
#[derive(Default)]
pub(crate) struct Pages {
    pub(crate) hasher: DefaultHasher,
    pub(crate) effects: u64,
    epochs: Epochs,
    /// What this process held of memory at each page, in bytes.
    pub(crate) memory: Vec<u64>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What this process holds of memory, in bytes; `None`: the system does not say.
fn resident() -> Option<u64> {
    let mut text = String::new();
    let file = std::fs::File::open("/proc/self/statm").ok()?;
    std::io::Read::read_to_string(&mut std::io::Read::take(file, 256), &mut text).ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

/// The address of a host of a schedule.
pub(crate) fn address(number: usize) -> String {
    format!("root@host{}.example", number % HOSTS)
}

/// The stage of a schedule, with a safeguard switched off or with all of them.
pub(crate) async fn build(
    schedule: &Schedule,
    recipes: &Recipes,
    sabotage: Option<Sabotage>,
) -> Result<Arc<Stage>, String> {
    let clock = Arc::new(TestClock::new());
    clock.set_sleep(Sleep::Waits);
    let world = World::new(clock.clone());
    let ids = Arc::new(TestIds::new(schedule.seed));
    let (store, files) = open(schedule.memory, clock.clone(), ids.clone()).await?;
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
        world.add_host(&address, Some(schedule.slots.into()));
        let host = Host {
            name: format!("host{number}"),
            address: address.parse().map_err(|_| format!("`{address}` is no address"))?,
            state: HostState::Active,
            labels: Default::default(),
            capacity: Capacity {
                slots: Some(schedule.slots.into()),
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
    let is_healed = Arc::new(AtomicBool::new(false));
    let installation = Installation {
        seed: schedule.seed,
        trouble: schedule.writes,
        is_healed: is_healed.clone(),
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
        is_healed,
        looks: schedule.looks,
        is_over: AtomicBool::new(false),
        end: Mutex::default(),
        pages: Mutex::default(),
        _files: files,
    }))
}

/// A store, in memory or in a file that no power cut can reach anyway.
async fn open(
    memory: Memory,
    clock: Arc<TestClock>,
    ids: Arc<TestIds>,
) -> Result<(Store, Option<tempfile::TempDir>), String> {
    let files = match memory {
        Memory::Ram => None,
        Memory::File => {
            let shared = Path::new("/dev/shm");
            let made = match shared.is_dir() {
                true => tempfile::tempdir_in(shared),
                false => tempfile::tempdir(),
            };
            Some(made.map_err(|error| format!("cannot make a directory for the store: {error}"))?)
        }
    };
    let store = match &files {
        None => Store::open_in_memory(clock, ids).await,
        Some(files) => Store::open(files.path(), clock, ids).await,
    };
    Ok((store.map_err(|error| error.to_string())?, files))
}

impl Stage {
    /// A control plane starts, and looks now and then.
    pub(crate) fn start(&self) -> Plane {
        let number = self.started.fetch_add(1, Ordering::Relaxed) + 1;
        let plane = self.installation.start(number);
        lock(&self.planes).push(plane.clone());
        let (engine, clock) = (plane.engine.clone(), self.clock.clone());
        let pause = self.looks + Duration::from_millis(u64::from(number) * 777);
        self.executor.spawn(Owner::Process(number), async move {
            for round in 0u64.. {
                // What costs more than a query is looked at less often.
                let due = |one: &&Reconciler| one.effort == Effort::Query || round % 4 == 3;
                for one in reconcilers().iter().filter(due) {
                    // What it could not do is tried again.
                    let _ = engine.reconcile(one, &Silent).await;
                }
                clock.sleep(pause).await;
            }
        });
        plane
    }

    /// Reads the log of the world so far, and forgets it.
    pub(crate) fn turn_page(&self) {
        let mut pages = lock(&self.pages);
        let log = self.world.take_log();
        for effect in &log {
            format!("{effect:?}").hash(&mut pages.hasher);
        }
        pages.effects += log.len() as u64;
        for broken in pages.epochs.check(&log) {
            self.watch.broken(broken);
        }
        pages.memory.extend(resident());
    }

    /// A control plane died on the spot; another one starts after a while.
    pub(crate) fn died(self: &Arc<Self>, number: u32) {
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

    /// A control plane stands still for a while; for others it is out of sight meanwhile.
    pub(crate) fn stall(self: &Arc<Self>, plane: Plane, seconds: u32) {
        self.executor.stall(plane.number);
        plane.hide();
        let stage = self.clone();
        self.executor.spawn(Owner::World, async move {
            stage.clock.sleep(Duration::from_secs(u64::from(seconds))).await;
            // It may have been killed meanwhile.
            if lock(&stage.planes).iter().any(|one| one.number == plane.number) {
                plane.show();
            }
            stage.executor.go_on(plane.number);
        });
    }

    /// Some control plane that lives.
    pub(crate) fn plane(&self, number: usize) -> Option<Plane> {
        let planes = lock(&self.planes);
        planes.get(number % planes.len().max(1)).cloned()
    }

    /// Some sandbox that callers know of.
    pub(crate) fn some(&self, number: usize) -> Option<SandboxId> {
        self.watch.known(number)
    }

    /// Work of a control plane; nothing where none lives.
    pub(crate) fn ask<F>(&self, number: usize, work: impl FnOnce(Arc<Engine>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if let Some(plane) = self.plane(number) {
            self.executor.spawn(Owner::Process(plane.number), work(plane.engine));
        }
    }
}
