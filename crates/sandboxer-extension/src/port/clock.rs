//! Time.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Time: what the calendar says, what a stopwatch says, and waiting.
#[async_trait::async_trait]
pub trait Clock: Send + Sync {
    /// What the calendar says. May jump.
    fn now(&self) -> Timestamp;

    /// What a stopwatch says, from an arbitrary start. Never goes back.
    fn monotonic(&self) -> Duration;

    /// How long this machine has been up, by a clock that nobody sets and that goes on while it sleeps.
    fn uptime(&self) -> Uptime;

    /// Waits.
    async fn sleep(&self, duration: Duration);
}

/// How long a machine has been up since one of its starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uptime {
    /// Which start: times of different ones cannot be compared.
    pub boot: String,
    /// How long ago it was.
    pub since: Duration,
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait::async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the port")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        Duration::new(
            u64::try_from(now.tv_sec).unwrap_or(0),
            u32::try_from(now.tv_nsec).unwrap_or(0),
        )
    }

    #[expect(clippy::disallowed_methods, reason = "this is the port")]
    fn uptime(&self) -> Uptime {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Uptime {
            // Without it every moment is of a start of its own, and compares with none.
            boot: std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
                .map(|text| text.trim().to_owned())
                .unwrap_or_default(),
            since: Duration::new(
                u64::try_from(now.tv_sec).unwrap_or(0),
                u32::try_from(now.tv_nsec).unwrap_or(0),
            ),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "this is the port")]
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
