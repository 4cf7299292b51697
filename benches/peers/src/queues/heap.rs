//! `std::collections::BinaryHeap` with lazy cancellation: what is cancelled stays in the heap until it comes to the top,
//! or until over half of the heap is stale and all of it is swept.
#![expect(clippy::expect_used, reason = "a bench stops at the first error")]

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::locked::Lockable;
use crate::queue::TimerQueue;

/// Stale entries from which on a sweep is worth it.
const STALE_MIN: usize = 64;

/// A timer's place in the tables, and which of the timers there it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Name {
    slot: u32,
    generation: u32,
}

#[derive(PartialEq, Eq)]
struct Entry {
    deadline: u64,
    name: Name,
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        other.deadline.cmp(&self.deadline)
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Generations and payloads lie apart, so that a cancel reads four bytes.
#[derive(Default)]
pub(crate) struct Heap {
    entries: BinaryHeap<Entry>,
    generations: Vec<u32>,
    payloads: Vec<u64>,
    free: Vec<u32>,
    stale: usize,
}

impl Heap {
    fn is_current(generations: &[u32], name: Name) -> bool {
        generations[name.slot as usize] == name.generation
    }

    /// The name that a slot's timer has from now on; its entry of before, if there is one, is stale.
    fn rename(&mut self, slot: u32) -> Name {
        let generation = &mut self.generations[slot as usize];
        *generation = generation.wrapping_add(1);
        Name { slot, generation: *generation }
    }

    fn push(&mut self, deadline: u64, name: Name) -> Name {
        self.entries.push(Entry { deadline, name });
        name
    }

    fn leave_stale(&mut self) {
        self.stale += 1;
        if self.stale > STALE_MIN && self.stale * 2 > self.entries.len() {
            self.entries.retain(|entry| Self::is_current(&self.generations, entry.name));
            self.stale = 0;
        }
    }
}

impl Lockable for Heap {}

impl TimerQueue for Heap {
    type Handle = Name;

    fn with<R>(work: impl FnOnce(Self) -> R) -> R {
        work(Self::default())
    }

    #[inline]
    fn insert(&mut self, deadline: u64, payload: u64) -> Name {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.generations.push(0);
            self.payloads.push(0);
            u32::try_from(self.generations.len() - 1).expect("fewer than 2^32 timers")
        });
        self.payloads[slot as usize] = payload;
        let name = Name { slot, generation: self.generations[slot as usize] };
        self.push(deadline, name)
    }

    #[inline]
    fn cancel(&mut self, handle: Name) -> bool {
        let is_pending = Self::is_current(&self.generations, handle);
        if is_pending {
            self.rename(handle.slot);
            self.free.push(handle.slot);
            self.leave_stale();
        }
        is_pending
    }

    #[inline]
    fn reschedule(&mut self, handle: Name, deadline: u64) -> Name {
        let name = self.rename(handle.slot);
        self.push(deadline, name);
        self.leave_stale();
        name
    }

    #[inline]
    fn advance(&mut self, now: u64, fired: &mut Vec<u64>) {
        while self.entries.peek().is_some_and(|first| first.deadline <= now) {
            let Some(Entry { name, .. }) = self.entries.pop() else { return };
            if Self::is_current(&self.generations, name) {
                fired.push(self.payloads[name.slot as usize]);
                self.rename(name.slot);
                self.free.push(name.slot);
            } else {
                self.stale -= 1;
            }
        }
    }
}
