//! The one connection that writes, and who has it next.

use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::open::Connection;

/// The one connection that writes. One at a time has it: whoever blocks a thread for it goes before the queue.
pub(crate) struct Lane {
    order: Mutex<Order>,
    free: Condvar,
    connection: Mutex<Connection>,
}

#[derive(Default)]
struct Order {
    /// Somebody has it.
    busy: bool,
    /// Threads that are blocked for it.
    blocked: usize,
}

impl Lane {
    pub(crate) fn new(connection: Connection) -> Lane {
        Lane {
            order: Mutex::default(),
            free: Condvar::new(),
            connection: Mutex::new(connection),
        }
    }

    /// Waits for it, before the queue.
    pub(crate) fn take(&self) -> Turn<'_> {
        let mut order = self.order();
        order.blocked += 1;
        while order.busy {
            order = self.free.wait(order).unwrap_or_else(PoisonError::into_inner);
        }
        order.blocked -= 1;
        self.begin(order)
    }

    /// Waits for it, after everybody who blocks a thread.
    pub(crate) fn take_for_queue(&self) -> Turn<'_> {
        let mut order = self.order();
        while order.busy || order.blocked > 0 {
            order = self.free.wait(order).unwrap_or_else(PoisonError::into_inner);
        }
        self.begin(order)
    }

    /// Has it if nobody else does.
    pub(crate) fn take_if_free(&self) -> Option<Turn<'_>> {
        let order = self.order();
        (!order.busy && order.blocked == 0).then(|| self.begin(order))
    }

    fn order(&self) -> MutexGuard<'_, Order> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, mut order: MutexGuard<'_, Order>) -> Turn<'_> {
        order.busy = true;
        drop(order);
        Turn {
            connection: self.connection.lock().unwrap_or_else(PoisonError::into_inner),
            _end: End(self),
        }
    }
}

/// The connection, with no transaction open on it: one ends with the value that began it, by a panic too.
pub(crate) struct Turn<'l> {
    // Given back before the next one hears of it.
    connection: MutexGuard<'l, Connection>,
    _end: End<'l>,
}

impl Deref for Turn<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Turn<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

struct End<'l>(&'l Lane);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.order().busy = false;
        self.0.free.notify_all();
    }
}
