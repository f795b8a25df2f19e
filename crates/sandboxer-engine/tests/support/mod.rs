//! An engine over a world in memory.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    reason = "each test binary uses its own part"
)]

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use sandboxer_engine::api::{CreateRequest, ExecCommand};
use sandboxer_engine::catalog::{Catalog, Layers};
use sandboxer_engine::{Engine, Ports, Settings};
use sandboxer_extension::port::{Clock, IdSource};
use sandboxer_extension::{ExecStdio, Manifest, Registry};
use sandboxer_model::event::Event;
use sandboxer_store::Store;
use sandboxer_world::{FakeExtension, Receivers, TestClock, TestIds, TestOwners, World, capable};

/// A world, a store, and what engines over them share.
pub struct Bench {
    pub world: Arc<World>,
    pub store: Store,
    pub clock: Arc<TestClock>,
    pub ids: Arc<TestIds>,
    pub owners: TestOwners,
    pub receivers: Arc<Receivers>,
    pub home: tempfile::TempDir,
    extensions: Registry,
}

impl Bench {
    pub async fn new() -> Bench {
        Bench::with(vec![capable("ext.native")]).await
    }

    pub async fn with(manifests: Vec<Manifest>) -> Bench {
        let clock = Arc::new(TestClock::new());
        let ids = Arc::new(TestIds::new(7));
        let world = World::new(clock.clone());
        let mut extensions = Registry::new();
        for manifest in manifests {
            extensions
                .register(Arc::new(FakeExtension::new(world.clone(), manifest)))
                .unwrap();
        }
        let store = Store::open_in_memory(clock.clone() as Arc<dyn Clock>, ids.clone() as Arc<dyn IdSource>)
            .await
            .unwrap();
        Bench {
            world,
            store,
            clock: clock.clone(),
            ids,
            owners: TestOwners::new("first"),
            receivers: Arc::new(Receivers::new(clock.clone())),
            home: tempfile::tempdir().unwrap(),
            extensions,
        }
    }

    /// The engine of the first process.
    pub fn engine(&self) -> Engine {
        self.engine_of(self.owners.clone())
    }

    /// The engine of this process, over the same store and world.
    pub fn engine_of(&self, owners: TestOwners) -> Engine {
        self.engine_with(owners, Settings::default())
    }

    /// The engine of the first process, told to tell a State Hub.
    pub async fn telling(&self, hub: &str) -> Engine {
        let settings = Settings {
            state_hub: Some(hub.to_owned()),
            ..Settings::default()
        };
        let engine = self.engine_with(self.owners.clone(), settings);
        engine.announce().await.unwrap();
        engine
    }

    fn engine_with(&self, owners: TestOwners, settings: Settings) -> Engine {
        let ports = Ports {
            clock: self.clock.clone(),
            ids: self.ids.clone(),
            owners: Arc::new(owners),
            store: self.store.clone(),
            extensions: self.extensions.clone(),
            outbound: Some(self.receivers.clone()),
        };
        Engine::new(ports, Catalog::new(Layers::default()), settings)
    }

    /// A request for a shipped profile.
    pub fn request(&self, profile: &str) -> CreateRequest {
        CreateRequest {
            profile: Some(profile.to_owned()),
            working_dir: self.home.path().to_owned(),
            ..CreateRequest::default()
        }
    }

    /// A request for a profile of this text.
    pub fn request_for(&self, yaml: &str) -> CreateRequest {
        let path = self.home.path().join("profile.yaml");
        std::fs::write(&path, yaml).unwrap();
        self.request(path.to_str().unwrap())
    }

    /// Every event of a sandbox, checked to be without gaps.
    pub async fn history(&self, engine: &Engine, id: &str) -> Vec<Event> {
        let events = engine.events(Some(id)).await.unwrap();
        for (index, event) in events.iter().enumerate() {
            assert_eq!(event.seq, index as u64 + 1, "events have gaps: {events:#?}");
        }
        events
    }
}

/// The names of the events.
pub fn kinds(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.kind.as_str()).collect()
}

/// A command whose input and output go nowhere.
pub fn command(argv: &[&str]) -> ExecCommand {
    let null = || File::options().read(true).write(true).open("/dev/null").unwrap().into();
    ExecCommand {
        argv: argv.iter().map(|arg| arg.as_bytes().to_vec()).collect(),
        env: Vec::new(),
        cwd: None,
        service: None,
        stdio: ExecStdio::Pipes {
            stdin: null(),
            stdout: null(),
            stderr: null(),
        },
    }
}

/// Labels of this one pair.
pub fn one(key: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(key.to_owned(), value.to_owned())])
}
