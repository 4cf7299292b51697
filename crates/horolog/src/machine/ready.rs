//! Timers whose time has come and whose consumer has not: a queue of slots, each in it once at most.

use std::collections::VecDeque;

use horolog_state::TimerId;

use super::queue::Queue;
use super::slot_set::SlotSet;

/// Live timers that came due, missed ones from before the opening, and those that were in flight at a crash.
///
/// Entries are hints: whoever takes one asks `decide` whether the timer is still due. A cancelled timer's entry stays
/// until it is taken; its slot is in the queue once at most, so entries never outnumber slots.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    live: Queue<u32>,
    queued: SlotSet,
    backlog: VecDeque<TimerId>,
    take_backlog_next: bool,
}

/// A hint that a timer is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hint {
    /// The timer that lives in this slot now.
    Slot(u32),
    /// A timer that came due while nothing ran.
    Missed(TimerId),
}

impl Ready {
    /// `backlog` is in the order in which it is to be handed out.
    pub(crate) fn new(backlog: Vec<TimerId>) -> Self {
        Self { backlog: backlog.into(), ..Self::default() }
    }

    pub(crate) fn push(&mut self, slot: u32) {
        if self.queued.insert(slot) {
            self.live.push_back(slot);
        }
    }

    /// Live timers and the backlog take turns while there are both, so that neither waits for the other to be empty.
    pub(crate) fn pop(&mut self) -> Option<Hint> {
        self.take_backlog_next = !self.take_backlog_next;
        if self.take_backlog_next {
            self.pop_backlog().or_else(|| self.pop_live())
        } else {
            self.pop_live().or_else(|| self.pop_backlog())
        }
    }

    fn pop_live(&mut self) -> Option<Hint> {
        let slot = self.live.pop_front()?;
        self.queued.remove(slot);
        Some(Hint::Slot(slot))
    }

    fn pop_backlog(&mut self) -> Option<Hint> {
        self.backlog.pop_front().map(Hint::Missed)
    }

    /// Puts a hint back where it came from: there was no room to act on it.
    pub(crate) fn put_back(&mut self, hint: Hint) {
        self.take_backlog_next = !self.take_backlog_next;
        match hint {
            Hint::Missed(id) => self.backlog.push_front(id),
            Hint::Slot(slot) => {
                if self.queued.insert(slot) {
                    self.live.push_front(slot);
                }
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.live.is_empty() && self.backlog.is_empty()
    }

    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn holds(&self, id: TimerId) -> bool {
        self.queued.contains(id.slot()) || self.backlog.contains(&id)
    }

    /// Hints queued; some may have become void.
    pub(crate) fn len(&self) -> usize {
        self.live.len() + self.backlog.len()
    }

    /// Missed timers not yet handed out.
    pub(crate) fn backlog_len(&self) -> usize {
        self.backlog.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(slot: u32) -> TimerId {
        TimerId::new(slot, 1).expect("a generation")
    }

    #[test]
    fn a_slot_is_queued_once() {
        let mut ready = Ready::default();
        for slot in [7, 9, 7, 7] {
            ready.push(slot);
        }
        assert_eq!([ready.pop(), ready.pop(), ready.pop()], [Some(Hint::Slot(7)), Some(Hint::Slot(9)), None]);
        ready.push(7);
        assert_eq!(ready.pop(), Some(Hint::Slot(7)));
    }

    #[test]
    fn live_timers_and_the_backlog_take_turns() {
        let mut ready = Ready::new(vec![id(1), id(2), id(3)]);
        ready.push(8);
        let order: Vec<_> = std::iter::from_fn(|| ready.pop()).collect();
        let missed = |slot| Hint::Missed(id(slot));
        assert_eq!(order, [missed(1), Hint::Slot(8), missed(2), missed(3)]);
    }

    #[test]
    fn what_is_put_back_comes_out_next() {
        let mut ready = Ready::default();
        ready.push(1);
        ready.push(2);
        let first = ready.pop().expect("one is queued");
        ready.put_back(first);
        assert_eq!(ready.pop(), Some(Hint::Slot(1)));
        assert_eq!(ready.pop(), Some(Hint::Slot(2)));
    }
}
