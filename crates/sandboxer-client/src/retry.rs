//! Which failures are tried again, and when.

use std::time::Duration;

use sandboxer_extension::port::{Clock, IdSource};

/// Tries of one request at most.
pub(crate) const MOST_TRIES: u32 = 5;
/// No try begins later than this after the first one.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// The pause after the first try, at most; each next one may be twice as long.
const FIRST: Duration = Duration::from_millis(200);
/// A pause at most, unless the server asks for more.
const LONGEST: Duration = Duration::from_secs(5);

/// How a try failed, as far as trying again goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nothing was sent, or it was refused without a look at it: trying again is always safe.
    Unheard(Option<Duration>),
    /// It may have been done: only what can be asked for twice is tried again.
    Unclear(Option<Duration>),
}

/// Whether asking twice comes to the same as asking once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It does: it only reads, has a key of idempotency, or names the state it leads to.
    Safe,
    /// It may not.
    Unsafe,
}

/// The tries of one request.
pub(crate) struct Tries<'a> {
    clock: &'a dyn Clock,
    ids: &'a dyn IdSource,
    began: Duration,
    /// Tries so far.
    pub(crate) count: u32,
}

impl<'a> Tries<'a> {
    /// None so far.
    pub(crate) fn new(clock: &'a dyn Clock, ids: &'a dyn IdSource) -> Tries<'a> {
        Tries {
            clock,
            ids,
            began: clock.monotonic(),
            count: 0,
        }
    }

    /// Waits for the next try; false: there is none.
    pub(crate) async fn again(&mut self, failure: Failure, repeat: Repeat) -> bool {
        self.count += 1;
        let asked = match (failure, repeat) {
            (Failure::Unclear(_), Repeat::Unsafe) => return false,
            (Failure::Unheard(asked) | Failure::Unclear(asked), _) => asked,
        };
        if self.count >= MOST_TRIES {
            return false;
        }
        let most = FIRST.saturating_mul(1 << (self.count - 1)).min(LONGEST);
        // Between a half and the whole of it, so that callers who failed together do not come back together.
        let own = most / 2 + self.ids.jitter(most / 2);
        let pause = asked.map_or(own, |asked| asked + self.ids.jitter(FIRST));
        let spent = self.clock.monotonic().saturating_sub(self.began);
        if spent + pause > PATIENCE {
            return false;
        }
        self.clock.sleep(pause).await;
        true
    }
}
