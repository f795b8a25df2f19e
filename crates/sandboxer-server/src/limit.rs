//! How much of the server one caller may have: requests a second for each key, creates a second for each project.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use sandboxer_engine::api::ProjectLimits;

type OfKeys = RateLimiter<String, DefaultKeyedStateStore<String>, DefaultClock, StateInformationMiddleware>;

/// Keys that are remembered before those that have been quiet are forgotten.
const REMEMBERED: usize = 10_000;

/// What a caller is told about its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Requests at once, at most.
    pub(crate) limit: u32,
    /// How many of them are left.
    pub(crate) remaining: u32,
    /// Until there is room for one more; zero: there is.
    pub(crate) wait: Duration,
}

/// The limits of all callers. They live in memory: a server that starts anew is generous once.
pub(crate) struct Limits {
    keys: OfKeys,
    burst: NonZeroU32,
    projects: Mutex<HashMap<String, OfProject>>,
    clock: DefaultClock,
}

/// The limit of one project, and what it was made from.
struct OfProject {
    settings: (u32, u32),
    limiter: Arc<DefaultDirectRateLimiter>,
}

impl Limits {
    /// So many requests a second for each key, twice as many at once.
    pub(crate) fn new(requests_per_second: NonZeroU32) -> Limits {
        let burst = requests_per_second.saturating_mul(two());
        let quota = Quota::per_second(requests_per_second).allow_burst(burst);
        Limits {
            keys: RateLimiter::keyed(quota).with_middleware::<StateInformationMiddleware>(),
            burst,
            projects: Mutex::default(),
            clock: DefaultClock::default(),
        }
    }

    /// Takes one request of a key.
    pub(crate) fn request(&self, key: &str) -> Standing {
        if self.keys.len() > REMEMBERED {
            self.keys.retain_recent();
        }
        match self.keys.check_key(&key.to_owned()) {
            Ok(snapshot) => Standing {
                limit: self.burst.get(),
                remaining: snapshot.remaining_burst_capacity(),
                wait: Duration::ZERO,
            },
            Err(until) => Standing {
                limit: self.burst.get(),
                remaining: 0,
                wait: until.wait_time_from(self.clock.now()),
            },
        }
    }

    /// Takes one create of a project.
    ///
    /// # Errors
    /// How long until there is room for one more.
    pub(crate) fn create(&self, project: &str, limits: ProjectLimits) -> Result<(), Duration> {
        let settings = (limits.creates_per_second, limits.burst);
        let limiter = {
            let mut projects = self.projects.lock().unwrap_or_else(PoisonError::into_inner);
            if projects.len() > REMEMBERED {
                projects.clear();
            }
            let of = projects
                .entry(project.to_owned())
                .and_modify(|of| {
                    if of.settings != settings {
                        *of = OfProject::new(settings);
                    }
                })
                .or_insert_with(|| OfProject::new(settings));
            Arc::clone(&of.limiter)
        };
        limiter.check().map_err(|until| until.wait_time_from(self.clock.now()))
    }
}

impl OfProject {
    fn new(settings: (u32, u32)) -> OfProject {
        let at_least_one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(at_least_one(settings.0)).allow_burst(at_least_one(settings.1));
        OfProject {
            settings,
            limiter: Arc::new(RateLimiter::direct(quota)),
        }
    }
}

fn two() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_its_burst_and_no_more_and_others_keep_theirs() {
        let limits = Limits::new(NonZeroU32::new(2).unwrap());
        for left in (0..4).rev() {
            assert_eq!(limits.request("a").remaining, left);
        }
        assert!(limits.request("a").wait > Duration::ZERO);
        assert_eq!(limits.request("b").wait, Duration::ZERO);
    }

    #[test]
    fn a_project_that_is_given_more_has_it_at_once() {
        let limits = Limits::new(NonZeroU32::MIN);
        let mut project = ProjectLimits {
            max_live: 1,
            creates_per_second: 1,
            burst: 1,
        };
        assert_eq!(limits.create("p", project), Ok(()));
        assert!(limits.create("p", project).is_err());
        project.burst = 2;
        assert_eq!(limits.create("p", project), Ok(()));
    }
}
