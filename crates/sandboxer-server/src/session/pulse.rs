//! Whether the other side of a connection is still there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use sandboxer_extension::port::Clock;

/// When the other side was last heard of. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Pulse {
    clock: Arc<dyn Clock>,
    heard_ms: Arc<AtomicU64>,
    /// How many there are who do not listen at this moment.
    deaf: Arc<AtomicU32>,
}

impl Pulse {
    /// It was heard of now.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Pulse {
        let pulse = Pulse {
            clock,
            heard_ms: Arc::default(),
            deaf: Arc::default(),
        };
        pulse.beat();
        pulse
    }

    /// It is heard of.
    pub(crate) fn beat(&self) {
        self.heard_ms.store(self.now_ms(), Ordering::Relaxed);
    }

    /// Waits for something during which nobody listens: what is not heard meanwhile is not silence.
    pub(crate) async fn deaf_during<T>(&self, something: impl Future<Output = T>) -> T {
        self.deaf.fetch_add(1, Ordering::Relaxed);
        let done = something.await;
        self.deaf.fetch_sub(1, Ordering::Relaxed);
        self.beat();
        done
    }

    /// Whether nobody listens at this moment.
    pub(crate) fn is_deaf(&self) -> bool {
        self.deaf.load(Ordering::Relaxed) > 0
    }

    /// For how long it was not heard of.
    pub(crate) fn silent_for(&self) -> Duration {
        if self.is_deaf() {
            return Duration::ZERO;
        }
        let heard = self.heard_ms.load(Ordering::Relaxed);
        Duration::from_millis(self.now_ms().saturating_sub(heard))
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.clock.monotonic().as_millis()).unwrap_or(u64::MAX)
    }
}
