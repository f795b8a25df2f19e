//! Runs tasks in an order drawn from the seed. Time stands still while anything can run, and then moves to the next moment
//! that somebody waits for.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use sandboxer_world::TestClock;

/// Whom a task belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// The world itself: callers, backends and what is on its way between them.
    World,
    /// The control plane of this number: its tasks end with it.
    Process(u32),
}

/// What travels up a task whose process dies on the spot.
pub struct Death;

/// Why a run came to no end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unended {
    /// A task failed for a reason of its own.
    Panic(String),
    /// Nobody can go on and nobody waits for a time to come.
    Deadlock,
    /// It goes on for ever.
    Livelock,
}

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Task {
    owner: Owner,
    /// `None` while it is being polled.
    work: Option<Work>,
    waker: Waker,
}

struct Flag {
    id: u64,
    ready: Arc<Mutex<Vec<u64>>>,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        let mut ready = lock(&self.ready);
        if !ready.contains(&self.id) {
            ready.push(self.id);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
struct State {
    tasks: BTreeMap<u64, Task>,
    next: u64,
    dead: Vec<u32>,
    /// Processes that stand still, with those of their tasks that could run.
    stalled: BTreeMap<u32, Vec<u64>>,
}

/// Where tasks are started from. Clones share one set of tasks.
#[derive(Clone)]
pub struct Executor {
    state: Arc<Mutex<State>>,
    ready: Arc<Mutex<Vec<u64>>>,
    clock: Arc<TestClock>,
}

/// Turns of the runtime below that must pass without anything to do before time moves: tasks it was given by the engine
/// run there.
const QUIET: u32 = 3;

impl Executor {
    /// Without tasks.
    pub fn new(clock: Arc<TestClock>) -> Executor {
        Executor {
            state: Arc::default(),
            ready: Arc::default(),
            clock,
        }
    }

    /// Starts a task. One of a dead process never runs.
    pub fn spawn(&self, owner: Owner, work: impl Future<Output = ()> + Send + 'static) {
        let mut state = lock(&self.state);
        if let Owner::Process(number) = owner
            && state.dead.contains(&number)
        {
            return;
        }
        let id = state.next;
        state.next += 1;
        let flag = Arc::new(Flag {
            id,
            ready: self.ready.clone(),
        });
        let task = Task {
            owner,
            work: Some(Box::pin(work)),
            waker: flag.clone().into(),
        };
        state.tasks.insert(id, task);
        drop(state);
        flag.wake();
    }

    /// Ends a process: none of its tasks runs again.
    pub fn kill(&self, number: u32) {
        let mut state = lock(&self.state);
        state.dead.push(number);
        let ids: Vec<u64> = state
            .tasks
            .iter()
            .filter(|(_, task)| task.owner == Owner::Process(number))
            .map(|(id, _)| *id)
            .collect();
        let dropped: Vec<Task> = ids.iter().filter_map(|id| state.tasks.remove(id)).collect();
        // What ends here may look at us.
        drop(state);
        drop(dropped);
    }

    /// A process stands still: it lives, and none of its tasks runs until it is [let go on](Executor::go_on).
    pub fn stall(&self, number: u32) {
        lock(&self.state).stalled.entry(number).or_default();
    }

    /// A process that stood still goes on.
    pub fn go_on(&self, number: u32) {
        let waiting = lock(&self.state).stalled.remove(&number).unwrap_or_default();
        let mut ready = lock(&self.ready);
        for id in waiting {
            if !ready.contains(&id) {
                ready.push(id);
            }
        }
    }

    /// Ends every task: they and what they hold would hold each other otherwise.
    pub fn clear(&self) {
        let tasks = std::mem::take(&mut lock(&self.state).tasks);
        drop(tasks);
    }

    /// Runs until `until` says so, for at most so many polls. `died` is told of each process that died on the spot.
    pub async fn run(
        &self,
        rng: &mut fastrand::Rng,
        most: u64,
        until: impl Fn() -> bool,
        died: impl Fn(u32),
    ) -> Result<(), Unended> {
        let mut polls = 0;
        let mut quiet = 0;
        while !until() {
            let next = {
                let mut ready = lock(&self.ready);
                (!ready.is_empty()).then(|| {
                    let index = rng.usize(..ready.len());
                    ready.swap_remove(index)
                })
            };
            let Some(id) = next else {
                turn().await;
                quiet += 1;
                if quiet >= QUIET && lock(&self.ready).is_empty() {
                    quiet = 0;
                    match self.clock.next_sleeper() {
                        Some(at) => self.clock.advance_to(at),
                        None => return Err(Unended::Deadlock),
                    }
                }
                continue;
            };
            quiet = 0;
            polls += 1;
            if polls > most {
                return Err(Unended::Livelock);
            }
            if let Some(number) = self.poll(id)? {
                died(number);
            }
        }
        Ok(())
    }

    /// Polls one task; the number of its process when that died by it.
    fn poll(&self, id: u64) -> Result<Option<u32>, Unended> {
        let (mut work, waker, owner) = {
            let mut state = lock(&self.state);
            let Some(task) = state.tasks.get(&id) else {
                return Ok(None);
            };
            let (owner, waker) = (task.owner, task.waker.clone());
            if let Owner::Process(number) = owner
                && let Some(waiting) = state.stalled.get_mut(&number)
            {
                waiting.push(id);
                return Ok(None);
            }
            let Some(work) = state.tasks.get_mut(&id).and_then(|task| task.work.take()) else {
                return Ok(None);
            };
            (work, waker, owner)
        };
        let mut context = Context::from_waker(&waker);
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(&mut context)));
        match polled {
            Ok(Poll::Pending) => {
                let mut state = lock(&self.state);
                if let Some(task) = state.tasks.get_mut(&id) {
                    task.work = Some(work);
                    return Ok(None);
                }
                // Its process was killed by what it did itself.
                drop(state);
                drop(work);
                Ok(None)
            }
            Ok(Poll::Ready(())) => {
                lock(&self.state).tasks.remove(&id);
                Ok(None)
            }
            Err(payload) => match (payload.is::<Death>(), owner) {
                (true, Owner::Process(number)) => {
                    self.kill(number);
                    Ok(Some(number))
                }
                _ => Err(Unended::Panic(words(payload.as_ref()))),
            },
        }
    }
}

fn words(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "a panic without words".to_owned())
}

/// Lets the runtime below do what it was given.
async fn turn() {
    let mut done = false;
    std::future::poll_fn(|context| {
        if done {
            return Poll::Ready(());
        }
        done = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
