//! Times that may be promised on a machine that stands still now and then: what a thread has worked, and how long
//! something took while everything here went on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often is looked whether the machine goes on. What is late by less than that is no stall.
const TICK: Duration = Duration::from_millis(10);

/// How long this thread has worked so far: neither what it waits for nor what others do is part of it.
pub fn worked() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(spent).unwrap_or_default()
}

/// Measures how long something takes, without the time for which the machine stood still meanwhile: a thread that wants
/// to run again and again tells how often it could not.
#[derive(Debug)]
pub struct Stopwatch {
    began: Instant,
    shared: Arc<Mutex<Seen>>,
    watching: Option<JoinHandle<()>>,
}

/// What the thread has seen.
#[derive(Debug)]
struct Seen {
    looked: Instant,
    stalled: Duration,
    is_over: bool,
}

impl Seen {
    /// How long nobody came to look, beyond the time between two looks.
    fn stalled_since(&self, now: Instant) -> Duration {
        let late = now.saturating_duration_since(self.looked).saturating_sub(TICK);
        if late < TICK { Duration::ZERO } else { late }
    }

    /// Somebody looks.
    fn look(&mut self, now: Instant) {
        let late = self.stalled_since(now);
        self.stalled += late;
        self.looked = now;
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stopwatch {
    /// Begins now.
    pub fn start() -> Stopwatch {
        let began = Instant::now();
        let shared = Arc::new(Mutex::new(Seen {
            looked: began,
            stalled: Duration::ZERO,
            is_over: false,
        }));
        let seen = Arc::clone(&shared);
        let watching = std::thread::spawn(move || {
            loop {
                std::thread::park_timeout(TICK);
                let mut seen = lock(&seen);
                if seen.is_over {
                    return;
                }
                seen.look(Instant::now());
            }
        });
        Stopwatch {
            began,
            shared,
            watching: Some(watching),
        }
    }

    /// How long it took so far.
    pub fn elapsed(&self) -> Duration {
        let seen = lock(&self.shared);
        let now = Instant::now();
        let stalled = seen.stalled + seen.stalled_since(now);
        now.saturating_duration_since(self.began).saturating_sub(stalled)
    }
}

impl Drop for Stopwatch {
    fn drop(&mut self) {
        lock(&self.shared).is_over = true;
        if let Some(watching) = self.watching.take() {
            watching.thread().unpark();
            let _ = watching.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_is_no_work() {
        let (began, before) = (Instant::now(), worked());
        std::thread::park_timeout(Duration::from_millis(100));
        let (waited, worked) = (began.elapsed(), worked() - before);
        assert!(worked < waited, "{worked:?} of {waited:?}");
    }

    #[test]
    fn a_look_that_comes_late_is_a_stall_for_as_long_as_it_is_late() {
        let looked = Instant::now();
        let seen = Seen {
            looked,
            stalled: Duration::ZERO,
            is_over: false,
        };
        assert_eq!(seen.stalled_since(looked), Duration::ZERO);
        assert_eq!(seen.stalled_since(looked + TICK + TICK / 2), Duration::ZERO);
        assert_eq!(seen.stalled_since(looked + TICK + TICK), TICK);
        let second = Duration::from_secs(1);
        assert_eq!(seen.stalled_since(looked + TICK + second), second);
    }

    #[test]
    fn a_stopwatch_counts_what_is_no_stall() {
        let (began, watch) = (Instant::now(), Stopwatch::start());
        std::thread::park_timeout(Duration::from_millis(100));
        let took = watch.elapsed();
        assert!(took <= began.elapsed(), "{took:?}");
    }
}
