//! Connections of a shared store that read: what is being written, or synced to disk, keeps nobody from reading.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use crate::lane::Turn;

/// Connections that read; at least one.
pub(crate) struct Readers {
    first: Mutex<rusqlite::Connection>,
    more: Vec<Mutex<rusqlite::Connection>>,
    next: AtomicUsize,
}

impl Readers {
    pub(crate) fn new(first: rusqlite::Connection, more: Vec<rusqlite::Connection>) -> Readers {
        Readers {
            first: Mutex::new(first),
            more: more.into_iter().map(Mutex::new).collect(),
            next: AtomicUsize::new(0),
        }
    }

    /// One that nobody has; where somebody has each of them, it is waited for one.
    pub(crate) fn take(&self) -> Reader<'_> {
        for one in std::iter::once(&self.first).chain(&self.more) {
            match one.try_lock() {
                Ok(connection) => return Reader::Own(connection),
                Err(TryLockError::Poisoned(poisoned)) => return Reader::Own(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        let next = self.next.fetch_add(1, Ordering::Relaxed) % (self.more.len() + 1);
        let one = self.more.get(next).unwrap_or(&self.first);
        Reader::Own(one.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A connection to read with.
pub(crate) enum Reader<'s> {
    /// One of its own.
    Own(MutexGuard<'s, rusqlite::Connection>),
    /// The one that writes, where there is no other.
    Writer(Turn<'s>),
}

impl std::ops::Deref for Reader<'_> {
    type Target = rusqlite::Connection;

    fn deref(&self) -> &rusqlite::Connection {
        match self {
            Reader::Own(connection) => connection,
            Reader::Writer(turn) => &turn.sqlite,
        }
    }
}
