//! One slab and one wheel joined, for those who use the crate alone.

use alloc::vec::Vec;

use crate::{Entry, Lane, Progress, Slab, Tick, TimerId, Wheel};

#[cfg(test)]
mod tests;

/// A timer whose deadline has come. Its id is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired {
    /// Its name.
    pub id: TimerId,
    /// When it was due.
    pub deadline: Tick,
    /// The word it was inserted with.
    pub word: u64,
}

/// A timer queue in memory: a [`Slab`] and a [`Wheel`] in one. The [crate]'s first page shows it at work.
///
/// An id is freed as soon as its timer expires or is cancelled; a stale id finds nothing.
#[derive(Debug)]
pub struct Timers {
    slab: Slab,
    wheel: Wheel,
}

impl Timers {
    /// No timers, at `now`.
    #[must_use]
    pub fn new(now: Tick) -> Self {
        Self { slab: Slab::new(), wheel: Wheel::new(Lane::First, now) }
    }

    /// Adds a timer. One whose deadline has come already expires at the next advance.
    ///
    /// `None` if no slot is left: 2^32 - 1 timers are pending.
    pub fn insert(&mut self, deadline: Tick, word: u64) -> Option<TimerId> {
        self.wheel.insert_new(&mut self.slab, deadline, word)
    }

    /// Removes a timer and gives its word back; `None` if it is not pending.
    pub fn cancel(&mut self, id: TimerId) -> Option<u64> {
        self.wheel.remove(&mut self.slab, id)
    }

    /// Removes timers, and appends for each of `ids`, in order, its word, or `None` if it is not pending. Quicker than one
    /// by one when there are many timers: see [`Wheel::remove_many`].
    pub fn cancel_many(&mut self, ids: &[TimerId], words: &mut Vec<Option<u64>>) {
        self.wheel.remove_many(&mut self.slab, ids, words);
    }

    /// Moves the deadline of a pending timer, earlier or later; false if it is not pending.
    pub fn reschedule(&mut self, id: TimerId, deadline: Tick) -> bool {
        self.wheel.reschedule(&mut self.slab, id, deadline)
    }

    /// Moves time to `now` and appends to `expired` what has become due, in tick order. The rules, those of
    /// `budget` too, are those of [`Wheel::advance`].
    pub fn advance(&mut self, now: Tick, budget: u32, expired: &mut Vec<Expired>) -> Progress {
        self.wheel.advance_with(&mut self.slab, now, budget, |slab, id| {
            let entry = slab.remove(id);
            expired.extend(entry.map(|Entry { id, deadline, word, .. }| Expired { id, deadline, word }));
        })
    }

    /// When to advance next: never late, possibly early; see [`Wheel::next_wake`]. `None` if nothing is
    /// pending.
    #[must_use]
    pub fn next_wake(&self) -> Option<Tick> {
        self.wheel.next_wake()
    }

    /// The pending timer `id`.
    #[must_use]
    pub fn get(&self, id: TimerId) -> Option<Entry> {
        self.slab.get(id)
    }

    /// Bytes of memory taken from the allocator.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.slab.bytes() + self.wheel.bytes()
    }

    /// The time it is here.
    #[must_use]
    pub fn now(&self) -> Tick {
        self.wheel.now()
    }

    /// How many timers are pending.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Is nothing pending?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }
}
