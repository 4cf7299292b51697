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
    /// What `advance` gets from the wheel; kept so that its memory is. Empty between calls.
    due: Vec<TimerId>,
}

impl Timers {
    /// No timers, at `now`.
    #[must_use]
    pub fn new(now: Tick) -> Self {
        Self { slab: Slab::new(), wheel: Wheel::new(Lane::First, now), due: Vec::new() }
    }

    /// Adds a timer. One whose deadline has come already expires at the next advance.
    ///
    /// `None` if no slot is left: 2^32 - 1 timers are pending.
    pub fn insert(&mut self, deadline: Tick, word: u64) -> Option<TimerId> {
        let id = self.slab.reserve()?;
        self.slab.occupy(id, deadline, word).ok()?;
        self.wheel.insert(&mut self.slab, id, deadline);
        Some(id)
    }

    /// Removes a timer and gives its word back; `None` if it is not pending.
    pub fn cancel(&mut self, id: TimerId) -> Option<u64> {
        self.wheel.cancel(&mut self.slab, id);
        self.remove(id).map(|entry| entry.word)
    }

    /// Moves the deadline of a pending timer, earlier or later; false if it is not pending.
    pub fn reschedule(&mut self, id: TimerId, deadline: Tick) -> bool {
        self.wheel.reschedule(&mut self.slab, id, deadline)
    }

    /// Moves time to `now` and appends to `expired` what has become due, in tick order. The rules, those of
    /// `budget` too, are those of [`Wheel::advance`].
    pub fn advance(&mut self, now: Tick, budget: u32, expired: &mut Vec<Expired>) -> Progress {
        let mut due = core::mem::take(&mut self.due);
        let progress = self.wheel.advance(&mut self.slab, now, budget, &mut due);
        let entries = due.drain(..).filter_map(|id| self.remove(id));
        expired.extend(entries.map(|Entry { id, deadline, word, .. }| Expired { id, deadline, word }));
        self.due = due;
        progress
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
        self.slab.bytes() + self.wheel.bytes() + self.due.capacity() * size_of::<TimerId>()
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

    /// Ends and frees a timer that is in no wheel.
    fn remove(&mut self, id: TimerId) -> Option<Entry> {
        let entry = self.slab.get(id)?;
        self.slab.end(id);
        self.slab.free(id);
        Some(entry)
    }
}
