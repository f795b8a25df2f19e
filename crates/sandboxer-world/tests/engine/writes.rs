//! Writes that fail, and callers that go away, in a process that lives on: what it had to drop it takes up again by itself,
//! and nobody else may meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sandboxer_engine::api::{Recovered, Silent};
use sandboxer_extension::async_trait;
use sandboxer_model::operation::OperationStatus;
use sandboxer_store::{StoreError, WriteFaults};

use crate::lab::{Lab, Process, Verb, block_on, killed_after};

/// What happens to one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// It is not made.
    Lost,
    /// It is made, and fails all the same.
    Unheard,
    /// Neither it nor the two after it are made.
    LostThrice,
}

/// The n-th write fails.
struct Nth {
    what: What,
    nth: u32,
    count: AtomicU32,
}

impl Nth {
    fn is_hit(&self) -> bool {
        let count = self.count.load(Ordering::SeqCst);
        let last = match self.what {
            What::LostThrice => self.nth + 2,
            _ => self.nth,
        };
        (self.nth..=last).contains(&count)
    }

    fn broken() -> StoreError {
        StoreError::Unavailable {
            path: "data".to_owned(),
            why: "injected".to_owned(),
        }
    }
}

#[async_trait]
impl WriteFaults for Nth {
    async fn before(&self) -> Result<(), StoreError> {
        self.count.fetch_add(1, Ordering::SeqCst);
        match self.what {
            What::Lost | What::LostThrice if self.is_hit() => Err(Nth::broken()),
            _ => Ok(()),
        }
    }

    fn after(&self) -> Result<(), StoreError> {
        match self.what {
            What::Unheard if self.is_hit() => Err(Nth::broken()),
            _ => Ok(()),
        }
    }
}

/// Looks, as a server does, until nothing is left to do; then every promise holds and nothing is open or stuck.
async fn comes_to_rest(lab: &Lab, process: &Process, case: &str) {
    for _ in 0..40 {
        // A look may meet a failing write as well, and then does nothing.
        let done = process.engine.recover(&Silent).await;
        let is_quiet = done.is_ok_and(|done| done == Recovered::default());
        if is_quiet && lab.violations(process).await.is_empty() {
            break;
        }
        lab.clock.advance(Duration::from_secs(31));
    }
    lab.expect_sound(process, case).await;
    for one in lab.read(process).await.operations {
        let is_over = one.status.is_terminal() && one.status != OperationStatus::Stuck;
        assert!(is_over, "{case}: {} is {:?}", one.kind.name(), one.status);
    }
}

#[test]
fn a_write_that_fails_in_a_process_that_lives_is_made_good_by_it() {
    let mut cases = 0;
    for what in [What::Lost, What::Unheard, What::LostThrice] {
        for verb in Verb::ALL {
            for nth in 1.. {
                let is_over = block_on(async {
                    let lab = Lab::new();
                    let id = verb.prepare(&lab).await;
                    let writes = Arc::new(Nth {
                        what,
                        nth,
                        count: AtomicU32::new(0),
                    });
                    let process = lab.start_writing(writes.clone()).await;
                    let answer = verb.perform(&lab, &process, id.as_ref()).await;
                    if writes.count.load(Ordering::SeqCst) < nth {
                        assert!(answer.is_ok(), "{verb:?}: {answer:?}");
                        return true;
                    }
                    comes_to_rest(&lab, &process, &format!("{verb:?}: write {nth} is {what:?}")).await;
                    false
                });
                if is_over {
                    break;
                }
                cases += 1;
            }
        }
    }
    eprintln!("{cases} failing writes");
    assert!(cases >= 50, "only {cases}");
}

#[test]
fn what_a_caller_walked_away_from_is_finished_or_undone_by_the_same_process() {
    let mut cases = 0;
    for verb in Verb::ALL {
        for polls in 1.. {
            let is_over = block_on(async {
                let lab = Lab::new();
                let id = verb.prepare(&lab).await;
                let process = lab.start().await;
                let other = lab.start().await;
                if killed_after(polls, verb.perform(&lab, &process, id.as_ref()))
                    .await
                    .is_some()
                {
                    return true;
                }
                // Its owner lives: nobody else may touch it.
                let before = lab.read(&other).await.operations;
                other.engine.recover(&Silent).await.unwrap();
                let owned = |one: &&sandboxer_model::operation::Operation| one.status == OperationStatus::Running;
                let still: Vec<_> = lab.read(&other).await.operations;
                if !matches!(verb, Verb::Expire | Verb::Accepted) {
                    assert_eq!(
                        before.iter().filter(owned).count(),
                        still.iter().filter(owned).count(),
                        "{verb:?} after {polls} polls"
                    );
                }
                comes_to_rest(&lab, &process, &format!("{verb:?}: nobody asks after {polls} polls")).await;
                false
            });
            if is_over {
                break;
            }
            cases += 1;
        }
    }
    eprintln!("{cases} callers went away");
    assert!(cases >= 20, "only {cases}");
}
