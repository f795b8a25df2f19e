//! Waiting for a condition, with a deadline.

use std::time::{Duration, Instant};

/// Asks every few milliseconds until the answer is there; `None` when the time is over.
pub(crate) fn until<T>(patience: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The same for a yes.
pub(crate) fn until_true(patience: Duration, mut ask: impl FnMut() -> bool) -> bool {
    until(patience, || ask().then_some(())).is_some()
}
