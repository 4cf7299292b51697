//! A wheel and its slab, as most tests want them.

use std::vec::Vec;

use super::*;

pub(super) struct Pair {
    pub(super) slab: Slab,
    pub(super) wheel: Wheel,
    /// Every invariant is looked at after every step.
    is_checked: bool,
}

impl Pair {
    pub(super) fn at(now: u64) -> Self {
        let (slab, wheel) = (Slab::new(), Wheel::new(Lane::First, Tick(now)));
        Self { slab, wheel, is_checked: false }
    }

    pub(super) fn checked_at(now: u64) -> Self {
        Self { is_checked: true, ..Self::at(now) }
    }

    /// A live entry that is not armed.
    pub(super) fn entry(&mut self) -> TimerId {
        let id = self.slab.reserve().unwrap();
        self.slab.occupy(id, Tick::ZERO, 0).unwrap();
        id
    }

    #[track_caller]
    pub(super) fn arm(&mut self, deadline: u64) -> TimerId {
        let id = self.entry();
        assert!(self.wheel.insert(&mut self.slab, id, Tick(deadline)));
        self.check_step();
        id
    }

    /// As [`arm`](Self::arm), in one step.
    #[track_caller]
    pub(super) fn arm_new(&mut self, deadline: u64) -> TimerId {
        let id = self.wheel.insert_new(&mut self.slab, Tick(deadline), 0).unwrap();
        self.check_step();
        id
    }

    #[track_caller]
    pub(super) fn cancel(&mut self, id: TimerId) -> bool {
        let was_cancelled = self.wheel.cancel(&mut self.slab, id);
        self.check_step();
        was_cancelled
    }

    #[track_caller]
    pub(super) fn reschedule(&mut self, id: TimerId, deadline: u64) -> bool {
        let was_moved = self.wheel.reschedule(&mut self.slab, id, Tick(deadline));
        self.check_step();
        was_moved
    }

    #[track_caller]
    pub(super) fn step(&mut self, now: u64, budget: u32) -> (Vec<TimerId>, Progress) {
        let mut due = Vec::new();
        let progress = self.wheel.advance(&mut self.slab, Tick(now), budget, &mut due);
        self.check_step();
        (due, progress)
    }

    /// Everything due by `now`.
    #[track_caller]
    pub(super) fn advance(&mut self, now: u64) -> Vec<TimerId> {
        let (due, progress) = self.step(now, u32::MAX);
        assert_eq!(progress, Progress::Done);
        due
    }

    /// Everything due by `now`, as deadlines; the entries are gone.
    #[track_caller]
    pub(super) fn expire(&mut self, now: u64) -> Vec<u64> {
        let due = self.advance(now);
        due.iter().map(|id| self.slab.remove(*id).unwrap().deadline.0).collect()
    }

    pub(super) fn next_wake(&self) -> Option<u64> {
        self.wheel.next_wake().map(|tick| tick.0)
    }

    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.wheel.next_deadline_exact(&self.slab).map(|tick| tick.0)
    }

    pub(super) fn bytes(&self) -> usize {
        self.slab.bytes() + self.wheel.bytes()
    }

    #[track_caller]
    pub(super) fn check(&self) {
        self.wheel.check(&self.slab).unwrap();
        self.slab.check().unwrap();
    }

    #[track_caller]
    fn check_step(&self) {
        if self.is_checked {
            self.check();
        }
    }
}
