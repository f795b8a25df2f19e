//! Time.

use std::time::Duration;

use jiff::Timestamp;

/// Time: what the calendar says, what a stopwatch says, and waiting.
#[async_trait::async_trait]
pub trait Clock: Send + Sync {
    /// What the calendar says. May jump.
    fn now(&self) -> Timestamp;

    /// What a stopwatch says, from an arbitrary start. Never goes back.
    fn monotonic(&self) -> Duration;

    /// Waits.
    async fn sleep(&self, duration: Duration);
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
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
