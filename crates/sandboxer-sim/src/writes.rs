//! What lies between an engine and its store: a write waits while others write, fails, or is done and nobody hears of it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use sandboxer_extension::port::Clock as _;
use sandboxer_store::{StoreError, WriteFaults};
use sandboxer_world::TestClock;

/// How often writes go wrong, in writes out of a thousand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trouble {
    /// Others write first.
    pub late: u16,
    /// It is not written: the disk is full, or broken.
    pub lost: u16,
    /// It is written, and an error comes back.
    pub unheard: u16,
}

impl Trouble {
    /// Nothing goes wrong.
    pub const NONE: Trouble = Trouble {
        late: 0,
        lost: 0,
        unheard: 0,
    };
}

/// The writes of one control plane. What happens to each follows from the seed, the control plane and how many it made.
pub struct Writes {
    clock: Arc<TestClock>,
    trouble: Trouble,
    seed: u64,
    process: u32,
    count: AtomicU64,
    is_healed: Arc<AtomicBool>,
}

impl Writes {
    /// Those of this control plane.
    pub fn new(clock: Arc<TestClock>, trouble: Trouble, seed: u64, process: u32, is_healed: Arc<AtomicBool>) -> Writes {
        Writes {
            clock,
            trouble,
            seed,
            process,
            count: AtomicU64::new(0),
            is_healed,
        }
    }

    fn draw(&self, share: u16, what: &str) -> Option<fastrand::Rng> {
        if share == 0 || self.is_healed.load(Ordering::Relaxed) {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        (self.seed, self.process, self.count.load(Ordering::Relaxed), what).hash(&mut hasher);
        let mut rng = fastrand::Rng::with_seed(hasher.finish());
        (rng.u16(..1000) < share).then_some(rng)
    }

    fn fails(&self, share: u16, what: &str) -> Result<(), StoreError> {
        match self.draw(share, what) {
            None => Ok(()),
            Some(_) => Err(StoreError::Unavailable {
                path: ":memory:".to_owned(),
                why: format!("the write was {what}"),
            }),
        }
    }
}

#[async_trait]
impl WriteFaults for Writes {
    async fn before(&self) -> Result<(), StoreError> {
        self.count.fetch_add(1, Ordering::Relaxed);
        if let Some(mut rng) = self.draw(self.trouble.late, "late") {
            let pause = Duration::from_micros(rng.u64(1..60_000));
            self.clock.sleep(pause).await;
        }
        self.fails(self.trouble.lost, "lost")
    }

    fn after(&self) -> Result<(), StoreError> {
        self.fails(self.trouble.unheard, "unheard")
    }
}
