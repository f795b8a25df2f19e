//! Owners of leases under the test's control.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use sandboxer_extension::port::Owners;
use sandboxer_model::cleanup::Presence;

/// One process of a test, and what it knows of the others. All made from one another share what is known.
#[derive(Debug, Clone)]
pub struct TestOwners {
    me: String,
    known: Arc<Mutex<BTreeMap<String, Presence>>>,
}

impl TestOwners {
    /// A first process, alive.
    pub fn new(me: &str) -> TestOwners {
        let owners = TestOwners {
            me: me.to_owned(),
            known: Arc::default(),
        };
        owners.mark(me, Presence::Present);
        owners
    }

    /// Another process beside this one, alive.
    #[must_use]
    pub fn another(&self, me: &str) -> TestOwners {
        self.mark(me, Presence::Present);
        TestOwners {
            me: me.to_owned(),
            known: self.known.clone(),
        }
    }

    /// Says whether a process still runs.
    pub fn mark(&self, owner: &str, presence: Presence) {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(owner.to_owned(), presence);
    }

    /// This process is dead: whoever asks is told so.
    pub fn die(&self) {
        self.mark(&self.me, Presence::Absent);
    }
}

impl Owners for TestOwners {
    fn me(&self) -> String {
        self.me.clone()
    }

    fn is_alive(&self, owner: &str) -> Presence {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(owner).copied().unwrap_or(Presence::Unknown)
    }
}
