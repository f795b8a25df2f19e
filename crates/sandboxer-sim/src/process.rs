//! Control planes that can die at any boundary: each time an engine asks for the time or an id, and before and after each
//! effect.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use sandboxer_engine::catalog::Catalog;
use sandboxer_engine::faults::{Fault, Faults, Point, Safeguard};
use sandboxer_engine::{Engine, Ports, Settings};
use sandboxer_extension::Registry;
use sandboxer_extension::port::{Clock, IdSource, Owners as _, Uptime};
use sandboxer_model::cleanup::Presence;
use sandboxer_store::Store;
use sandboxer_world::{TestClock, TestIds, TestOwners};
use uuid::Uuid;

use crate::executor::Death;
use crate::writes::{Trouble, Writes};

/// Burns down by one at each boundary; the process dies when it is burnt.
#[derive(Debug)]
pub struct Fuse(AtomicU64);

impl Fuse {
    fn new() -> Arc<Fuse> {
        Arc::new(Fuse(AtomicU64::new(u64::MAX)))
    }

    /// From now on it lasts for so many boundaries.
    pub fn light(&self, length: u64) {
        self.0.store(length, Ordering::Relaxed);
    }

    fn burn(&self) {
        if self.0.fetch_sub(1, Ordering::Relaxed) <= 1 {
            self.light(u64::MAX);
            // Unlike a panic it is silent: this is no failure.
            std::panic::resume_unwind(Box::new(Death));
        }
    }
}

/// One control plane.
#[derive(Clone)]
pub struct Plane {
    /// Its number among all that ever ran.
    pub number: u32,
    /// Its engine.
    pub engine: Arc<Engine>,
    /// How it dies.
    pub fuse: Arc<Fuse>,
    /// Whether its operations may ever have been taken for abandoned.
    pub was_hidden: Arc<AtomicBool>,
    owners: TestOwners,
}

/// What control planes of one installation share.
pub struct Installation {
    /// Its memory.
    pub store: Store,
    /// Its backends.
    pub registry: Registry,
    /// Time.
    pub clock: Arc<TestClock>,
    /// Ids.
    pub ids: Arc<TestIds>,
    /// The first process, from which others are made.
    pub owners: TestOwners,
    /// The safeguard that is switched off, if one is.
    pub off: Option<Safeguard>,
    /// What decides about their writes.
    pub seed: u64,
    /// How often their writes go wrong.
    pub trouble: Trouble,
    /// From when on nothing goes wrong any more.
    pub is_healed: Arc<AtomicBool>,
}

impl Installation {
    /// A control plane starts.
    pub fn start(&self, number: u32) -> Plane {
        let fuse = Fuse::new();
        let owners = self.owners.another(&format!("process-{number}"));
        let healed = self.is_healed.clone();
        let writes = Writes::new(self.clock.clone(), self.trouble, self.seed, number, healed);
        let ports = Ports {
            clock: Arc::new(FusedClock {
                clock: self.clock.clone(),
                fuse: fuse.clone(),
            }),
            ids: Arc::new(FusedIds {
                ids: self.ids.clone(),
                fuse: fuse.clone(),
            }),
            owners: Arc::new(owners.clone()),
            store: self.store.clone().with_faults(Arc::new(writes)),
            extensions: self.registry.clone(),
            outbound: None,
        };
        let faults = Boundaries {
            fuse: fuse.clone(),
            off: self.off,
        };
        let engine = Engine::new(ports, Catalog::default(), Settings::default()).with_faults(Arc::new(faults));
        Plane {
            number,
            engine: Arc::new(engine),
            fuse,
            was_hidden: Arc::default(),
            owners,
        }
    }
}

impl Plane {
    /// Others cannot tell whether it lives.
    pub fn hide(&self) {
        self.was_hidden.store(true, Ordering::Relaxed);
        self.owners.mark(&self.owners.me(), Presence::Unknown);
    }

    /// Others can tell that it lives.
    pub fn show(&self) {
        self.owners.mark(&self.owners.me(), Presence::Present);
    }

    /// Others can tell that it is dead.
    pub fn bury(&self) {
        self.owners.die();
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
    fn uuid(&self) -> Uuid {
        self.fuse.burn();
        self.ids.uuid()
    }

    fn jitter(&self, most: Duration) -> Duration {
        self.ids.jitter(most)
    }

    fn key(&self) -> std::io::Result<[u8; 32]> {
        self.ids.key()
    }
}

struct Boundaries {
    fuse: Arc<Fuse>,
    off: Option<Safeguard>,
}

impl Faults for Boundaries {
    fn at(&self, _: &Point<'_>) -> Fault {
        self.fuse.burn();
        Fault::Continue
    }

    fn is_off(&self, safeguard: Safeguard) -> bool {
        self.off == Some(safeguard)
    }
}
