//! Many commits, one sync to disk: a thread takes everything that waits, does each in a savepoint of one transaction, and tells
//! everybody once that transaction is on disk. Whoever is refused undoes only their own savepoint.
//!
//! The disk sets the pace: while one group is written, the next one gathers.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use rusqlite::{Transaction, TransactionBehavior};

use crate::commit::Durability;
use crate::error::StoreError;
use crate::lane::Lane;
use crate::open::{Connection, Store};
use crate::sqlite_error::classify;
use crate::ticket::{Pending, Ticket};

/// Commits in one group at most.
const MOST: usize = 256;
/// Attempts to get the write lock, each of which waits for the busy timeout.
pub(crate) const LOCK_ATTEMPTS: u32 = 3;

/// Work for the thread that writes.
trait Work: Send {
    fn durability(&self) -> Durability;
    /// Does it. An error: what it wrote is to be undone.
    fn run(&mut self, transaction: &Transaction<'_>) -> Result<(), StoreError>;
    /// The group was written, or why it was not.
    fn end(self: Box<Self>, group: Result<(), &StoreError>);
}

/// Where work for the thread that writes goes; the thread ends with the last of these.
pub(crate) struct Queue(Sender<Box<dyn Work>>);

impl Queue {
    /// Starts the thread.
    ///
    /// # Errors
    /// The machine has no more threads.
    pub(crate) fn start(lane: Arc<Lane>, path: String) -> std::io::Result<Queue> {
        let (sender, receiver) = channel();
        std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || write_all(&lane, &path, &receiver))?;
        Ok(Queue(sender))
    }

    /// Puts work into the queue. To be waited for.
    pub(crate) fn put<T: Send + 'static>(
        &self,
        store: &Store,
        durability: Durability,
        work: impl FnOnce(&Store, &Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Pending<Result<T, StoreError>> {
        let (ticket, pending) = Ticket::new();
        let one = One {
            store: store.clone(),
            durability,
            work: Some(work),
            outcome: None,
            ticket,
        };
        // A thread that is gone drops it, which says so.
        let _ = self.0.send(Box::new(one));
        pending
    }

    /// Puts work into the queue that nobody waits for.
    pub(crate) fn put_for_nobody(
        &self,
        store: &Store,
        durability: Durability,
        work: impl FnOnce(&Store, &Transaction<'_>) -> Result<(), StoreError> + Send + 'static,
    ) {
        let store = store.clone();
        let _ = self.0.send(Box::new(Unwatched {
            store,
            durability,
            work: Some(work),
        }));
    }
}

/// Work that somebody waits for.
struct One<T, W> {
    store: Store,
    durability: Durability,
    work: Option<W>,
    outcome: Option<Result<T, StoreError>>,
    ticket: Arc<Ticket<Result<T, StoreError>>>,
}

impl<T, W> Work for One<T, W>
where
    T: Send,
    W: FnOnce(&Store, &Transaction<'_>) -> Result<T, StoreError> + Send,
{
    fn durability(&self) -> Durability {
        self.durability
    }

    fn run(&mut self, transaction: &Transaction<'_>) -> Result<(), StoreError> {
        let Some(work) = self.work.take().filter(|_| self.ticket.begin()) else {
            return Ok(());
        };
        let outcome = self.outcome.insert(work(&self.store, transaction));
        outcome.as_ref().map(drop).map_err(StoreError::clone)
    }

    fn end(mut self: Box<Self>, group: Result<(), &StoreError>) {
        let outcome = match (self.outcome.take(), group) {
            (Some(Ok(_)) | None, Err(why)) => Err(why.clone()),
            (Some(outcome), _) => outcome,
            // Nobody waits for it.
            (None, Ok(())) => return,
        };
        self.ticket.end(outcome);
    }
}

impl<T, W> Drop for One<T, W> {
    fn drop(&mut self) {
        self.ticket.end(Err(StoreError::Failed {
            path: self.store.path().to_owned(),
            why: "the thread that writes has ended".to_owned(),
        }));
    }
}

/// Work that nobody waits for.
struct Unwatched<W> {
    store: Store,
    durability: Durability,
    work: Option<W>,
}

impl<W> Work for Unwatched<W>
where
    W: FnOnce(&Store, &Transaction<'_>) -> Result<(), StoreError> + Send,
{
    fn durability(&self) -> Durability {
        self.durability
    }

    fn run(&mut self, transaction: &Transaction<'_>) -> Result<(), StoreError> {
        match self.work.take() {
            Some(work) => work(&self.store, transaction),
            None => Ok(()),
        }
    }

    fn end(self: Box<Self>, _: Result<(), &StoreError>) {}
}

/// What the thread does until nobody can ask it any more.
fn write_all(lane: &Lane, path: &str, waiting: &Receiver<Box<dyn Work>>) {
    while let Ok(first) = waiting.recv() {
        let mut connection = lane.take_for_queue();
        let mut group = vec![first];
        group.extend(waiting.try_iter().take(MOST - 1));
        let written = write_group(&mut connection, path, &mut group);
        drop(connection);
        for one in group {
            one.end(written.as_ref().copied());
        }
    }
}

/// One transaction. What SQLite undid as a whole is an error for everybody.
fn write_group(connection: &mut Connection, path: &str, group: &mut [Box<dyn Work>]) -> Result<(), StoreError> {
    let wrong = |error: rusqlite::Error| classify(&error, path);
    let survives = match group.iter().any(|one| one.durability() == Durability::Acknowledged) {
        true => Durability::Acknowledged,
        false => Durability::CrashOnly,
    };
    connection.keep(survives).map_err(wrong)?;
    let transaction = begin(connection, path)?;
    for one in group {
        transaction.execute_batch("SAVEPOINT one").map_err(wrong)?;
        let end = match one.run(&transaction) {
            Ok(()) => "RELEASE one",
            // SQLite has undone all of it: there is no room, or the disk failed.
            Err(error) if transaction.is_autocommit() => return Err(error),
            Err(_) => "ROLLBACK TO one; RELEASE one",
        };
        transaction.execute_batch(end).map_err(wrong)?;
    }
    transaction.commit().map_err(wrong)
}

fn begin<'c>(connection: &'c mut Connection, path: &str) -> Result<Transaction<'c>, StoreError> {
    let mut attempt = 1;
    // Begun unchecked, since a loop cannot borrow the connection more than once: nothing else is open on it.
    loop {
        match Transaction::new_unchecked(&connection.sqlite, TransactionBehavior::Immediate) {
            Ok(transaction) => return Ok(transaction),
            Err(error) => match classify(&error, path) {
                StoreError::Locked { .. } if attempt < LOCK_ATTEMPTS => attempt += 1,
                StoreError::Locked { path, seconds } => {
                    return Err(StoreError::Locked {
                        path,
                        seconds: seconds * u64::from(LOCK_ATTEMPTS),
                    });
                }
                error => return Err(error),
            },
        }
    }
}
