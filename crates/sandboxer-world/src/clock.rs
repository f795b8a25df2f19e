//! Time under the test's control.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sandboxer_extension::async_trait;
use sandboxer_extension::port::{Clock, Uptime};

/// A clock that moves only when a test says so, or when somebody sleeps.
pub struct TestClock {
    state: Mutex<State>,
}

struct State {
    now: Timestamp,
    monotonic: Duration,
    sleep: Sleep,
    /// When those who wait want to be woken, each with a number of its own.
    sleepers: BTreeMap<(Duration, u64), Waker>,
    next: u64,
}

/// What sleeping does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sleep {
    /// Time jumps to the end of the sleep after others had a few turns. Two sleepers at once do not add up.
    Jumps,
    /// Sleepers wait until the test [`advance`](TestClock::advance)s time.
    Waits,
}

/// Turns given to others before a sleep ends by itself: work that is ready gets done first.
const TURNS: usize = 16;

impl TestClock {
    /// A clock at a fixed date at which sleeping makes time jump.
    pub fn new() -> TestClock {
        let state = State {
            now: Timestamp::from_second(1_800_000_000).unwrap_or(Timestamp::UNIX_EPOCH),
            monotonic: Duration::from_secs(1000),
            sleep: Sleep::Jumps,
            sleepers: BTreeMap::new(),
            next: 0,
        };
        TestClock {
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What sleeping does from now on.
    pub fn set_sleep(&self, sleep: Sleep) {
        let mut state = self.state();
        state.sleep = sleep;
        let woken: Vec<Waker> = state.sleepers.values().cloned().collect();
        drop(state);
        woken.iter().for_each(Waker::wake_by_ref);
    }

    /// Time passes.
    pub fn advance(&self, duration: Duration) {
        let monotonic = self.state().monotonic.saturating_add(duration);
        self.move_to(monotonic);
    }

    /// The calendar jumps, the stopwatch does not: somebody set the date.
    pub fn jump(&self, by: SignedDuration) {
        let mut state = self.state();
        state.now = state.now.saturating_add(by).unwrap_or(state.now);
    }

    /// When the stopwatch shows what the first of those who wait waits for; `None`: nobody does.
    pub fn next_sleeper(&self) -> Option<Duration> {
        self.state().sleepers.keys().next().map(|(target, _)| *target)
    }

    /// Time passes until the stopwatch shows this.
    pub fn advance_to(&self, target: Duration) {
        self.move_to(target);
    }

    /// Time passes until the stopwatch shows `target`; nothing when it is past that.
    fn move_to(&self, target: Duration) {
        let mut state = self.state();
        if let Some(step) = target.checked_sub(state.monotonic) {
            let signed = SignedDuration::try_from(step).unwrap_or(SignedDuration::MAX);
            state.now = state.now.saturating_add(signed).unwrap_or(state.now);
            state.monotonic = target;
        }
        // Those whose time has come, in the order it came.
        let reached = (state.monotonic, u64::MAX);
        let mut woken = Vec::new();
        while let Some(first) = state.sleepers.first_entry().filter(|first| *first.key() <= reached) {
            woken.push(first.remove());
        }
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }
}

impl Default for TestClock {
    fn default() -> TestClock {
        TestClock::new()
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        self.state().now
    }

    fn monotonic(&self) -> Duration {
        self.state().monotonic
    }

    fn uptime(&self) -> Uptime {
        Uptime {
            boot: "the only one".to_owned(),
            since: self.monotonic(),
        }
    }

    async fn sleep(&self, duration: Duration) {
        let target = self.monotonic().saturating_add(duration);
        let sleeper = Sleeper::new(self, target);
        // Until its time has come, or time is to jump there.
        std::future::poll_fn(|context| {
            let mut state = self.state();
            if state.monotonic >= target || state.sleep == Sleep::Jumps {
                return Poll::Ready(());
            }
            state.sleepers.insert(sleeper.key, context.waker().clone());
            Poll::Pending
        })
        .await;
        if self.monotonic() < target {
            for _ in 0..TURNS {
                tokio::task::yield_now().await;
            }
            self.move_to(target);
        }
    }
}

/// Somebody who waits, for as long as this lives.
struct Sleeper<'c> {
    clock: &'c TestClock,
    key: (Duration, u64),
}

impl<'c> Sleeper<'c> {
    fn new(clock: &'c TestClock, target: Duration) -> Sleeper<'c> {
        let mut state = clock.state();
        let key = (target, state.next);
        state.next += 1;
        state.sleepers.insert(key, Waker::noop().clone());
        drop(state);
        Sleeper { clock, key }
    }
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        self.clock.state().sleepers.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn sleeping_is_free_and_sleepers_do_not_add_up() {
        let clock = TestClock::new();
        let (start, date) = (clock.monotonic(), clock.now());
        tokio::join!(
            clock.sleep(SECOND * 3600),
            clock.sleep(SECOND * 3600),
            clock.sleep(SECOND)
        );
        assert_eq!(clock.monotonic() - start, SECOND * 3600);
        assert_eq!(clock.now().duration_since(date), SignedDuration::from_hours(1));
    }

    #[tokio::test]
    async fn a_waiting_sleeper_wakes_when_its_time_comes() {
        let clock = Arc::new(TestClock::new());
        clock.set_sleep(Sleep::Waits);
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep(SECOND * 10).await }
        });
        tokio::task::yield_now().await;
        clock.advance(SECOND * 9);
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert!(!sleeper.is_finished());
        clock.advance(SECOND);
        sleeper.await.unwrap();
    }

    #[test]
    fn a_changed_date_does_not_move_the_stopwatch() {
        let clock = TestClock::new();
        let (start, date) = (clock.monotonic(), clock.now());
        clock.jump(SignedDuration::from_hours(-48));
        assert_eq!(clock.monotonic(), start);
        assert!(clock.now() < date);
    }
}
