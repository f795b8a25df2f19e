//! Who asks for much takes turns with themselves: of each key, so many requests of a kind are worked on at a time, so that a key
//! that asks for many pages at once waits for its own pages and others do not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sandboxer_model::error::{ErrorCode, UserError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The queues of all keys for one kind of request. A key that asks for nothing has none.
pub(crate) struct Turns {
    /// Of one key, worked on at a time.
    at_once: usize,
    /// Of one key, worked on or waiting for their turn.
    most: usize,
    of: Mutex<HashMap<String, Queue>>,
}

struct Queue {
    inside: usize,
    room: Arc<Semaphore>,
}

impl Turns {
    /// What reads much: one at a time.
    pub(crate) fn of_readers() -> Arc<Turns> {
        Turns::new(1, 64)
    }

    /// What waits, and looks every now and then whether it still has to: so many, and no queue.
    pub(crate) fn of_waits() -> Arc<Turns> {
        Turns::new(128, 128)
    }

    fn new(at_once: usize, most: usize) -> Arc<Turns> {
        Arc::new(Turns {
            at_once,
            most,
            of: Mutex::default(),
        })
    }

    /// Waits until it is this request's turn.
    ///
    /// # Errors
    /// `RateLimited`: too many wait already.
    pub(crate) async fn take(self: &Arc<Turns>, key: &str) -> Result<Turn, UserError> {
        let (place, room) = self.queue_up(key)?;
        let permit = room
            .acquire_owned()
            .await
            .map_err(|_| UserError::new(ErrorCode::Internal, "a queue was closed"))?;
        Ok(Turn {
            _permit: permit,
            _place: place,
        })
    }

    fn queue_up(self: &Arc<Turns>, key: &str) -> Result<(Place, Arc<Semaphore>), UserError> {
        let mut of = self.of();
        let queue = of.entry(key.to_owned()).or_insert_with(|| Queue {
            inside: 0,
            room: Arc::new(Semaphore::new(self.at_once)),
        });
        if queue.inside >= self.most {
            return Err(UserError::new(
                ErrorCode::RateLimited,
                format!(
                    "{} requests of this kind with this key are under way already",
                    self.most
                ),
            )
            .hint("ask for the next when one before it is answered"));
        }
        queue.inside += 1;
        let place = Place {
            turns: Arc::clone(self),
            key: key.to_owned(),
        };
        Ok((place, Arc::clone(&queue.room)))
    }

    fn of(&self) -> MutexGuard<'_, HashMap<String, Queue>> {
        self.of.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A turn; it ends with the value.
pub(crate) struct Turn {
    _permit: OwnedSemaphorePermit,
    _place: Place,
}

struct Place {
    turns: Arc<Turns>,
    key: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut of = self.turns.of();
        if let Some(queue) = of.get_mut(&self.key) {
            queue.inside -= 1;
            if queue.inside == 0 {
                of.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn is_pending<F: Future>(future: std::pin::Pin<&mut F>) -> bool {
        matches!(future.poll(&mut Context::from_waker(Waker::noop())), Poll::Pending)
    }

    #[tokio::test]
    async fn one_of_a_key_at_a_time_and_others_beside_it() {
        let turns = Turns::of_readers();
        let first = turns.take("a").await.unwrap();
        let mut second = pin!(turns.take("a"));
        assert!(is_pending(second.as_mut()));
        drop(turns.take("b").await.unwrap());
        drop(first);
        drop(second.await.unwrap());
        assert!(turns.of().is_empty());
    }

    #[tokio::test]
    async fn so_many_wait_at_once() {
        let turns = Turns::of_waits();
        let mut waiting = Vec::new();
        for _ in 0..turns.at_once {
            waiting.push(turns.take("a").await.unwrap());
        }
        assert!(turns.take("a").await.is_err());
        assert!(turns.take("b").await.is_ok());
        waiting.pop();
        assert!(turns.take("a").await.is_ok());
    }

    #[tokio::test]
    async fn a_queue_has_an_end_and_who_goes_away_leaves_it() {
        let turns = Turns::of_readers();
        let first = turns.take("a").await.unwrap();
        let mut waiting: Vec<_> = (1..turns.most).map(|_| Box::pin(turns.take("a"))).collect();
        assert!(waiting.iter_mut().all(|one| is_pending(one.as_mut())));
        let Err(error) = turns.take("a").await else {
            panic!("there is room for one more")
        };
        assert_eq!(error.code, ErrorCode::RateLimited);
        waiting.pop();
        assert!(is_pending(pin!(turns.take("a"))));
        drop((waiting, first));
        assert!(turns.of().is_empty());
    }
}
