//! A world, a store on disk, and as many control planes as a test wants to kill.

use std::cell::Cell;
use std::fs::File;
use std::future::Future;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use jiff::Timestamp;
use sandboxer_engine::api::{CreateRequest, ExecCommand, Extend, IfAbandoned, Recovered, Silent};
use sandboxer_engine::catalog::{Catalog, Layers};
use sandboxer_engine::faults::{Fault, Faults, Moment, Point};
use sandboxer_engine::{Cancel, Engine, Ports, Settings};
use sandboxer_extension::async_trait;
use sandboxer_extension::port::{Clock, IdSource, Owners as _, SystemClock, Uptime};
use sandboxer_extension::{ExecStdio, Manifest, Registry};
use sandboxer_model::duration::Span;
use sandboxer_model::error::UserError;
use sandboxer_model::event::Event;
use sandboxer_model::id::SandboxId;
use sandboxer_model::lifecycle::State;
use sandboxer_model::operation::{Operation, OperationKind, OperationStatus};
use sandboxer_model::registry::{Capacity, Host, HostState, Reservation, Watermarks};
use sandboxer_model::sandbox::Sandbox;
use sandboxer_store::{SandboxFilter, Store, StoreError, WriteFaults};
use sandboxer_world::{
    Books, FakeExtension, Mutant, TestClock, TestIds, TestOwners, World, capable, hosted, violations,
};

pub(crate) const PROFILE: &str = "
id: profile.fake
extension: ext.fake
ttl: { default: 1h, max: 24h }
";

/// Two backends: the second is tried when the first fails.
pub(crate) const PROFILE_OF_TWO: &str = "
id: profile.two
extension: ext.fake
ttl: { default: 1h, max: 24h }
route: { strategy: prefer-self-hosted, extensions: [ext.fake, ext.other] }
";

/// One sandbox for everybody of a project.
pub(crate) const PROFILE_SHARED: &str = "
id: profile.shared
extension: ext.fake
scope_default: shared
ttl: { default: 1h, max: 24h }
";

/// What survives every crash of a test.
pub(crate) struct Lab {
    pub(crate) clock: Arc<TestClock>,
    pub(crate) world: Arc<World>,
    pub(crate) dir: tempfile::TempDir,
    ids: Arc<TestIds>,
    first: TestOwners,
    registry: Registry,
    processes: Cell<u32>,
    hosts: Vec<Host>,
}

/// One control plane.
pub(crate) struct Process {
    pub(crate) engine: Engine,
    pub(crate) store: Store,
    owners: TestOwners,
}

impl Process {
    /// It is killed: nothing of it runs any more, and everybody can tell.
    pub(crate) fn die(self) {
        self.owners.die();
    }
}

/// The books of a store.
pub(crate) struct Read {
    pub(crate) sandboxes: Vec<Sandbox>,
    pub(crate) events: Vec<Event>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) reservations: Vec<(SandboxId, Reservation)>,
}

/// How a control plane reaches the store.
#[derive(Clone, Copy)]
enum Kind {
    Alone,
    Shared,
}

impl Lab {
    /// With one backend that keeps deadlines itself.
    pub(crate) fn new() -> Lab {
        Lab::with(vec![capable("ext.fake")])
    }

    /// With one backend that leaves deadlines to the engine and outlives this machine.
    pub(crate) fn unguarded() -> Lab {
        Lab::with(vec![unguarded("ext.fake")])
    }

    /// With one backend on two hosts that have room for one sandbox each.
    pub(crate) fn hosted() -> Lab {
        let mut lab = Lab::with(vec![hosted("ext.fake")]);
        lab.add_host("alpha", Some(1));
        lab.add_host("beta", Some(1));
        lab
    }

    /// A host that holds so many sandboxes; its name is not its address.
    pub(crate) fn add_host(&mut self, name: &str, slots: Option<u64>) {
        let address = format!("root@{name}.example");
        self.world
            .add_host(&address, slots.and_then(|slots| usize::try_from(slots).ok()));
        self.hosts.push(Host {
            name: name.to_owned(),
            address: address.parse().unwrap(),
            state: HostState::Active,
            labels: Default::default(),
            capacity: Capacity {
                slots,
                ..Capacity::default()
            },
            watermarks: Watermarks::default(),
            probe: None,
            unreachable: None,
            unreachable_since: None,
            probe_after: None,
            added_at: self.clock.now(),
        });
    }

    /// With one broken backend.
    pub(crate) fn broken(mutant: Mutant) -> Lab {
        Lab::over(vec![capable("ext.fake")], |fake| fake.with(mutant))
    }

    /// With these backends.
    pub(crate) fn with(manifests: Vec<Manifest>) -> Lab {
        Lab::over(manifests, |fake| fake)
    }

    fn over(manifests: Vec<Manifest>, change: impl Fn(FakeExtension) -> FakeExtension) -> Lab {
        let world = World::new(Arc::new(TestClock::new()));
        let mut registry = Registry::new();
        for manifest in manifests {
            registry
                .register(Arc::new(change(FakeExtension::new(world.clone(), manifest))))
                .unwrap();
        }
        Lab::within(world, registry, 1)
    }

    /// An installation of its own in a world that others may share; no two of them have the same seed.
    pub(crate) fn within(world: Arc<World>, registry: Registry, seed: u64) -> Lab {
        let clock = world.clock().clone();
        // Thousands of stores that nobody needs after a loss of power: in memory where that can be had.
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() {
            tempfile::tempdir_in(memory)
        } else {
            tempfile::tempdir()
        }
        .unwrap();
        for (name, text) in [
            ("profile.fake", PROFILE),
            ("profile.two", PROFILE_OF_TWO),
            ("profile.shared", PROFILE_SHARED),
        ] {
            File::create(dir.path().join(format!("{name}.yaml")))
                .unwrap()
                .write_all(text.as_bytes())
                .unwrap();
        }
        let (ids, first) = (Arc::new(TestIds::new(seed)), TestOwners::new("process-0"));
        Lab {
            clock,
            world,
            dir,
            ids,
            first,
            registry,
            processes: Cell::new(0),
            hosts: Vec::new(),
        }
    }

    /// A control plane starts.
    pub(crate) async fn start(&self) -> Process {
        self.start_with(None).await
    }

    /// A control plane starts, with faults.
    pub(crate) async fn start_with(&self, faults: Option<Arc<dyn Faults>>) -> Process {
        self.start_as(self.clock.clone(), self.ids.clone(), faults, None, Kind::Alone)
            .await
    }

    /// A control plane starts, some of whose writes fail.
    pub(crate) async fn start_writing(&self, writes: Arc<dyn WriteFaults>) -> Process {
        self.start_as(self.clock.clone(), self.ids.clone(), None, Some(writes), Kind::Alone)
            .await
    }

    /// A control plane starts that does many things at once.
    pub(crate) async fn start_server(&self) -> Process {
        self.start_as(self.clock.clone(), self.ids.clone(), None, None, Kind::Shared)
            .await
    }

    /// A control plane starts that dies when its fuse is burnt.
    pub(crate) async fn start_fused(&self, fuse: &Arc<Fuse>) -> Process {
        let clock = Arc::new(FusedClock {
            clock: self.clock.clone(),
            fuse: fuse.clone(),
        });
        let ids = Arc::new(FusedIds {
            ids: self.ids.clone(),
            fuse: fuse.clone(),
        });
        self.start_as(clock, ids, Some(fuse.clone()), None, Kind::Alone).await
    }

    async fn start_as(
        &self,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
        faults: Option<Arc<dyn Faults>>,
        writes: Option<Arc<dyn WriteFaults>>,
        kind: Kind,
    ) -> Process {
        self.processes.set(self.processes.get() + 1);
        let owners = self.first.another(&format!("process-{}", self.processes.get()));
        assert!(!owners.me().is_empty());
        let data_dir = self.dir.path().join("data");
        let store = match kind {
            Kind::Alone => Store::open(&data_dir, clock.clone(), ids.clone()).await,
            Kind::Shared => Store::open_shared(&data_dir, clock.clone(), ids.clone()).await,
        }
        .unwrap();
        for host in &self.hosts {
            match store.add_host(host).await {
                Ok(()) | Err(StoreError::HostTaken(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        let layers = Layers {
            user: Some(self.dir.path().to_owned()),
            ..Layers::default()
        };
        let ports = Ports {
            clock,
            ids,
            owners: Arc::new(owners.clone()),
            store: match writes {
                Some(writes) => store.clone().with_faults(writes),
                None => store.clone(),
            },
            extensions: self.registry.clone(),
            outbound: None,
        };
        let mut engine = Engine::new(ports, Catalog::new(layers), Settings::default());
        if let Some(faults) = faults {
            engine = engine.with_faults(faults);
        }
        Process { engine, store, owners }
    }

    /// A create of a profile file of this lab.
    pub(crate) fn request(&self, profile: &str) -> CreateRequest {
        CreateRequest {
            profile: Some(format!("./{profile}.yaml")),
            working_dir: self.dir.path().to_owned(),
            ..CreateRequest::default()
        }
    }

    /// Makes a sandbox in a process of its own that then ends in peace.
    pub(crate) async fn make(&self, profile: &str) -> SandboxId {
        let process = self.start().await;
        let made = process
            .engine
            .create(self.request(profile), &Silent, &Cancel::new())
            .await
            .unwrap();
        assert_eq!(made.sandbox.state, State::Ready);
        made.sandbox.sandbox_id
    }

    /// Everything that is written down.
    pub(crate) async fn read(&self, process: &Process) -> Read {
        let everything = SandboxFilter {
            destroyed: true,
            ..SandboxFilter::default()
        };
        let records = process.store.sandboxes(&everything).await.unwrap();
        let mut operations = Vec::new();
        for record in &records {
            for one in process.store.operations(&record.sandbox.sandbox_id).await.unwrap() {
                operations.push(Operation {
                    operation_id: one.operation_id,
                    kind: one.kind,
                    sandbox_id: one.sandbox_id,
                    status: one.status,
                    step: one.step,
                    error: one.error,
                });
            }
        }
        Read {
            sandboxes: records.into_iter().map(|record| record.sandbox).collect(),
            events: process.store.events(None).await.unwrap(),
            operations,
            reservations: process.store.reservations().await.unwrap(),
        }
    }

    /// Broken promises as of now.
    pub(crate) async fn violations(&self, process: &Process) -> Vec<String> {
        let read = self.read(process).await;
        let books = Books {
            sandboxes: &read.sandboxes,
            events: &read.events,
            operations: &read.operations,
            reservations: &read.reservations,
        };
        violations(&self.world, &books)
    }

    /// Fails unless every promise holds now.
    pub(crate) async fn expect_sound(&self, process: &Process, case: &str) {
        let broken = self.violations(process).await;
        assert!(broken.is_empty(), "{case}:\n{}", broken.join("\n"));
    }

    /// Lets control planes come and look until nothing is left to do, and every promise holds with nothing stuck.
    /// A commit that a dead process had handed to its store may still land, so this looks until it is quiet.
    pub(crate) async fn converge(&self, case: &str) -> Process {
        let mut broken = Vec::new();
        for _ in 0..40 {
            let process = self.start().await;
            let did = process
                .engine
                .recover(&Silent)
                .await
                .unwrap_or_else(|error| panic!("{case}: {error}"));
            broken = self.violations(&process).await;
            let read = self.read(&process).await;
            broken.extend(
                read.operations
                    .iter()
                    .filter(|one| one.status == OperationStatus::Stuck)
                    .map(|one| format!("{} is stuck at {:?}: {:?}", one.kind.name(), one.step, one.error)),
            );
            if did == Recovered::default() && broken.is_empty() {
                return process;
            }
            process.die();
            // Stuck operations are tried again after a pause.
            self.clock.advance(Duration::from_secs(31));
        }
        panic!("{case}: it does not come to rest:\n{}", broken.join("\n"));
    }

    /// Waits until no dead process has the store open: what it had handed over when it died has landed or is lost.
    /// Killed processes take their threads with them; here they end a moment later.
    pub(crate) fn wait_for_the_dead(&self) {
        let data = self.dir.path().join("data");
        let deadline = SystemClock.monotonic() + Duration::from_secs(10);
        let is_ours = |fd: std::fs::DirEntry| std::fs::read_link(fd.path()).is_ok_and(|file| file.starts_with(&data));
        while std::fs::read_dir("/proc/self/fd").unwrap().flatten().any(is_ours) {
            assert!(
                SystemClock.monotonic() < deadline,
                "a dead process still has the store open"
            );
            std::thread::yield_now();
        }
    }

    /// The state of a sandbox as stored.
    pub(crate) async fn stored(&self, process: &Process, id: &SandboxId) -> Sandbox {
        process.store.sandbox(id).await.unwrap().sandbox
    }
}

/// A backend that leaves deadlines to the engine and outlives this machine.
pub(crate) fn unguarded(id: &str) -> Manifest {
    let mut manifest = capable(id);
    manifest.capabilities.ttl_guard = false;
    manifest.capabilities.dies_with_machine = false;
    manifest
}

/// Polls a future at most this many times; `None`: it was dropped then, as a crash would.
pub(crate) async fn killed_after<F: Future>(polls: u64, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(move |context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Polls a future to its end, and sets the flag after this many polls.
pub(crate) async fn cancelled_after<F: Future>(polls: u64, cancel: &Cancel, future: F) -> F::Output {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(move |context| {
        let poll = future.as_mut().poll(context);
        left = left.saturating_sub(1);
        if left == 0 {
            cancel.cancel();
        }
        poll
    })
    .await
}

/// Every verb that changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Create,
    Accepted,
    Run,
    Destroy,
    Recreate,
    Extend,
    Expire,
}

impl Verb {
    pub(crate) const ALL: [Verb; 7] = [
        Verb::Create,
        Verb::Accepted,
        Verb::Run,
        Verb::Destroy,
        Verb::Recreate,
        Verb::Extend,
        Verb::Expire,
    ];

    /// The operations behind it.
    pub(crate) fn kind(self) -> OperationKind {
        match self {
            Verb::Create | Verb::Accepted | Verb::Run => OperationKind::Create,
            Verb::Destroy => OperationKind::Destroy,
            Verb::Recreate => OperationKind::Recreate,
            Verb::Extend => OperationKind::ExtendTtl,
            Verb::Expire => OperationKind::Expire,
        }
    }

    /// What must be there first.
    pub(crate) async fn prepare(self, lab: &Lab) -> Option<SandboxId> {
        match self {
            Verb::Create | Verb::Accepted | Verb::Run => None,
            Verb::Destroy | Verb::Recreate | Verb::Extend => Some(lab.make("profile.fake").await),
            Verb::Expire => {
                let id = lab.make("profile.fake").await;
                lab.clock.advance(Duration::from_secs(3601));
                Some(id)
            }
        }
    }

    /// Does it. The answer is the sandbox as the caller sees it afterwards.
    pub(crate) async fn perform(
        self,
        lab: &Lab,
        process: &Process,
        id: Option<&SandboxId>,
    ) -> Result<Sandbox, UserError> {
        let engine = &process.engine;
        let cancel = Cancel::new();
        let id = || id.map(SandboxId::as_str).unwrap_or_default();
        match self {
            Verb::Create => engine
                .create(lab.request("profile.fake"), &Silent, &cancel)
                .await
                .map(|made| made.sandbox),
            Verb::Accepted => {
                let request = CreateRequest {
                    if_abandoned: IfAbandoned::Finish,
                    ..lab.request("profile.fake")
                };
                let accepted = engine.accept(request).await?;
                let Some(operation) = &accepted.sandbox.operation_id else {
                    panic!("accepted without an operation")
                };
                engine.resume(operation, &Silent).await?;
                engine.get(accepted.sandbox.sandbox_id.as_str()).await
            }
            Verb::Run => {
                let outcome = engine
                    .run(
                        lab.request("profile.fake"),
                        command(&["exit", "7"]),
                        &Silent,
                        &mut |_| {},
                        &cancel,
                    )
                    .await?;
                assert_eq!(outcome.exit.shell_code(), 7);
                Ok(outcome.sandbox)
            }
            Verb::Destroy => {
                engine.destroy(id(), &Silent).await?;
                engine.get(id()).await
            }
            Verb::Recreate => engine.recreate(id(), &Silent, &cancel).await,
            Verb::Extend => engine.extend_ttl(id(), Extend::Until(later(lab))).await,
            Verb::Expire => {
                let actions = engine.expire(true, &Silent).await?;
                if let Some(error) = actions.iter().find_map(|action| action.error.clone()) {
                    return Err(UserError::new(sandboxer_model::error::ErrorCode::Stuck, error));
                }
                engine.get(id()).await
            }
        }
    }

    /// The state it leads to.
    pub(crate) fn goal(self) -> State {
        match self {
            Verb::Create | Verb::Accepted | Verb::Recreate | Verb::Extend => State::Ready,
            Verb::Run | Verb::Destroy | Verb::Expire => State::Destroyed,
        }
    }
}

/// Where `extend` moves the deadline in every case: the same whenever it is asked.
pub(crate) fn later(lab: &Lab) -> Timestamp {
    let day = lab.clock.now().as_second() / 86_400 * 86_400;
    // Not further than a day after ready, which is at the beginning of this lab's day.
    Timestamp::from_second(day + 20 * 3600).unwrap()
}

/// A command without input and output.
pub(crate) fn command(argv: &[&str]) -> ExecCommand {
    let (input, output) = (
        || File::open("/dev/null").unwrap().into(),
        || File::create("/dev/null").unwrap().into(),
    );
    ExecCommand {
        argv: argv.iter().map(|word| word.as_bytes().to_vec()).collect(),
        env: Vec::new(),
        cwd: None,
        service: None,
        stdio: ExecStdio::Pipes {
            stdin: input(),
            stdout: output(),
            stderr: output(),
        },
    }
}

/// One fault at one boundary: at its first visit, or at each.
pub(crate) struct At {
    pub(crate) operation: OperationKind,
    pub(crate) step: String,
    pub(crate) undoing: bool,
    pub(crate) moment: Moment,
    pub(crate) fault: Fault,
    pub(crate) times: std::sync::atomic::AtomicU32,
    pub(crate) reached: std::sync::atomic::AtomicU32,
}

impl Faults for At {
    fn at(&self, point: &Point<'_>) -> Fault {
        let here = point.operation == self.operation
            && point.step == self.step
            && point.moment == self.moment
            && point.undoing == self.undoing;
        if !here {
            return Fault::Continue;
        }
        self.reached.fetch_add(1, Ordering::SeqCst);
        let left = self
            .times
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left.is_ok() {
            self.fault.clone()
        } else {
            Fault::Continue
        }
    }
}

impl At {
    pub(crate) fn new(operation: OperationKind, step: &str, moment: Moment, fault: Fault, times: u32) -> Arc<At> {
        Arc::new(At {
            operation,
            step: step.to_owned(),
            undoing: false,
            moment,
            fault,
            times: times.into(),
            reached: 0.into(),
        })
    }

    /// How often the boundary was passed.
    pub(crate) fn reached(&self) -> u32 {
        self.reached.load(std::sync::atomic::Ordering::SeqCst)
    }
}

/// Runs a test's body on a runtime of its own.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// A time to live in words.
pub(crate) fn span(text: &str) -> Span {
    text.parse().unwrap()
}

/// Burns a little each time the engine or the store asks for the time or an id, and at each boundary of a step: all
/// through whatever they do. When it is burnt the process dies on the spot, in the middle of it.
pub(crate) struct Fuse(AtomicU64);

/// What travels up a dying process.
struct Death;

impl Fuse {
    /// Lasts for ever; not lit before [`light`](Fuse::light).
    pub(crate) fn new() -> Arc<Fuse> {
        Arc::new(Fuse(AtomicU64::new(u64::MAX)))
    }

    /// From now on it lasts for so many times.
    pub(crate) fn light(&self, length: u64) {
        self.0.store(length, Ordering::SeqCst);
    }

    fn burn(&self) {
        if self.0.fetch_sub(1, Ordering::SeqCst) <= 1 {
            self.light(u64::MAX);
            // Silent, unlike a panic: this is no failure.
            std::panic::resume_unwind(Box::new(Death));
        }
    }

    /// Lets a future run until it is done or the fuse is burnt: then it is gone.
    pub(crate) async fn run<F: Future>(&self, length: u64, future: F) -> Option<F::Output> {
        let mut future = Box::pin(future);
        self.light(length);
        let output = std::future::poll_fn(|context| {
            let poll = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
            match poll {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(output)) => Poll::Ready(Some(output)),
                Err(death) if death.is::<Death>() => Poll::Ready(None),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
        .await;
        self.light(u64::MAX);
        output
    }
}

struct FusedClock {
    clock: Arc<TestClock>,
    fuse: Arc<Fuse>,
}

#[async_trait]
impl Clock for FusedClock {
    fn now(&self) -> Timestamp {
        self.fuse.burn();
        self.clock.now()
    }

    fn monotonic(&self) -> Duration {
        self.fuse.burn();
        self.clock.monotonic()
    }

    fn uptime(&self) -> Uptime {
        self.clock.uptime()
    }

    async fn sleep(&self, duration: Duration) {
        self.fuse.burn();
        self.clock.sleep(duration).await;
    }
}

struct FusedIds {
    ids: Arc<TestIds>,
    fuse: Arc<Fuse>,
}

impl IdSource for FusedIds {
    fn uuid(&self) -> uuid::Uuid {
        self.fuse.burn();
        self.ids.uuid()
    }

    fn jitter(&self, most: Duration) -> Duration {
        self.ids.jitter(most)
    }

    fn key(&self) -> std::io::Result<[u8; 32]> {
        self.fuse.burn();
        self.ids.key()
    }
}

impl Faults for Fuse {
    fn at(&self, _: &Point<'_>) -> Fault {
        self.burn();
        Fault::Continue
    }
}
