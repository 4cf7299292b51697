//! A queue of one thread with a lock around it: `std::sync::Mutex`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::queue::{Producer, SharedQueue, TimerQueue};

/// A queue that may be used by one thread after the other.
pub(crate) trait Lockable: TimerQueue + Send {
    /// Runs `work` in a thread that is not the queue's first, in whatever surroundings the queue needs.
    fn inside<R>(_queue: &Mutex<Self>, work: impl FnOnce() -> R) -> R {
        work()
    }
}

pub(crate) struct Locked<Q>(Arc<Mutex<Q>>);

pub(super) fn lock<Q>(queue: &Mutex<Q>) -> MutexGuard<'_, Q> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<Q: Lockable> SharedQueue for Locked<Q> {
    type Producer = Self;

    fn with<R>(work: impl FnOnce(&mut Self) -> R) -> R {
        Q::with(|queue| work(&mut Self(Arc::new(Mutex::new(queue)))))
    }

    fn producer(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    fn advance(&mut self, now: u64, fired: &mut Vec<u64>) {
        lock(&self.0).advance(now, fired);
    }
}

impl<Q: Lockable> Producer for Locked<Q> {
    type Handle = Q::Handle;

    fn with<R>(&mut self, work: impl FnOnce(&mut Self) -> R) -> R {
        let queue = Arc::clone(&self.0);
        Q::inside(&queue, || work(self))
    }

    #[inline]
    fn insert(&mut self, deadline: u64, payload: u64) -> Q::Handle {
        lock(&self.0).insert(deadline, payload)
    }

    #[inline]
    fn cancel(&mut self, handle: Q::Handle) -> bool {
        lock(&self.0).cancel(handle)
    }

    fn release(&mut self, handle: Q::Handle) -> bool {
        lock(&self.0).release(handle);
        false
    }
}
