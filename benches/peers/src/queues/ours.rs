//! `horolog_wheel::Timers`, and for many threads `horolog_wheel::SharedTimers`.
#![expect(clippy::expect_used, reason = "a bench stops at the first error")]

use std::sync::Arc;
use std::time::Instant;

use horolog_wheel::{Expired, Progress, SharedTimers, Slab, Tick, TimerId, Timers};

use crate::clock;
use crate::queue::{Producer, SharedQueue, TimerQueue};

/// The budget of one call: what came out is taken over before it leaves the cache.
const TURN: u32 = 4_096;

pub(crate) struct Ours {
    timers: Timers,
    expired: Vec<Expired>,
    new: Vec<(Tick, u64)>,
    words: Vec<Option<u64>>,
}

impl TimerQueue for Ours {
    type Handle = TimerId;

    const HAS_BUDGET: bool = true;

    fn with<R>(work: impl FnOnce(Self) -> R) -> R {
        let timers = Timers::new(Tick(0));
        work(Self { timers, expired: Vec::new(), new: Vec::new(), words: Vec::new() })
    }

    #[inline]
    fn insert(&mut self, deadline: u64, payload: u64) -> TimerId {
        self.timers.insert(Tick(deadline), payload).expect("there is a free slot")
    }

    #[inline]
    fn cancel(&mut self, handle: TimerId) -> bool {
        self.timers.cancel(handle).is_some()
    }

    #[inline]
    fn reschedule(&mut self, handle: TimerId, deadline: u64) -> TimerId {
        assert!(self.timers.reschedule(handle, Tick(deadline)), "it is pending");
        handle
    }

    #[inline]
    fn advance(&mut self, now: u64, fired: &mut Vec<u64>) {
        loop {
            let progress = self.timers.advance(Tick(now), TURN, &mut self.expired);
            if !self.expired.is_empty() {
                fired.extend(self.expired.drain(..).map(|expired| expired.word));
            }
            if progress == Progress::Done {
                return;
            }
        }
    }

    fn advance_within(&mut self, now: u64, budget: u32, fired: &mut Vec<u64>) -> bool {
        let progress = self.timers.advance(Tick(now), budget, &mut self.expired);
        fired.extend(self.expired.drain(..).map(|expired| expired.word));
        progress == Progress::Done
    }

    /// As recovery does it: under the ids they had, in the order of their slots.
    fn rebuild(&mut self, timers: &[(u64, u64)], _: &mut [Option<TimerId>]) -> Instant {
        let mut slab = Slab::new();
        for (slot, (deadline, payload)) in (0..).zip(timers) {
            let id = TimerId::new(slot, 1).expect("1 is a generation");
            slab.occupy(id, Tick(*deadline), *payload).expect("the slot is free");
        }
        let is_filled = clock::now();
        self.timers = Timers::from_slab(Tick(0), slab);
        is_filled
    }

    #[inline]
    fn insert_many(&mut self, timers: &[(u64, u64)], handles: &mut Vec<TimerId>) {
        self.new.extend(timers.iter().map(|(deadline, payload)| (Tick(*deadline), *payload)));
        assert!(self.timers.insert_many(&self.new, handles).is_empty(), "there are free slots");
        self.new.clear();
    }

    #[inline]
    fn cancel_many(&mut self, handles: &mut Vec<TimerId>) -> usize {
        self.timers.cancel_many(handles, &mut self.words);
        handles.clear();
        self.words.drain(..).flatten().count()
    }
}

pub(crate) struct SharedOurs {
    timers: Arc<SharedTimers>,
    expired: Vec<Expired>,
}

impl SharedQueue for SharedOurs {
    type Producer = Arc<SharedTimers>;

    fn with<R>(work: impl FnOnce(&mut Self) -> R) -> R {
        work(&mut Self { timers: Arc::new(SharedTimers::new(Tick(0))), expired: Vec::new() })
    }

    fn producer(&self) -> Arc<SharedTimers> {
        Arc::clone(&self.timers)
    }

    fn advance(&mut self, now: u64, fired: &mut Vec<u64>) {
        while self.timers.advance(Tick(now), u32::MAX, &mut self.expired) == Progress::More {}
        fired.extend(self.expired.drain(..).map(|expired| expired.word));
    }
}

impl Producer for Arc<SharedTimers> {
    type Handle = TimerId;

    #[inline]
    fn insert(&mut self, deadline: u64, payload: u64) -> TimerId {
        SharedTimers::insert(self, Tick(deadline), payload).expect("there is room")
    }

    #[inline]
    fn cancel(&mut self, handle: TimerId) -> bool {
        SharedTimers::cancel(self, handle).is_some()
    }
}
