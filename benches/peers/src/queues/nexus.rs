//! `nexus-timer`: its wheel over an unbounded slab, rebalanced by each poll.
#![expect(clippy::expect_used, reason = "a bench stops at the first error")]

use std::time::{Duration, Instant};

use nexus_timer::{TimerHandle, Wheel, WheelBuilder};

use super::locked::Lockable;
use crate::clock;
use crate::queue::TimerQueue;

/// One more than by default, so that a day is in range: the default ends at 4.7 hours.
const LEVELS: usize = 8;

/// Entries in a chunk of the slab, as in the crate's own examples.
const CHUNK: usize = 4_096;

pub(crate) struct Nexus {
    wheel: Wheel<u64>,
    start: Instant,
}

impl Nexus {
    fn instant(&self, tick: u64) -> Instant {
        self.start + Duration::from_millis(tick)
    }
}

/// A handle stays in the thread that made it, and does nothing without the wheel: whoever uses one holds the lock.
impl Lockable for Nexus {}

impl TimerQueue for Nexus {
    type Handle = TimerHandle<u64>;

    const RELEASES: bool = true;

    fn with<R>(work: impl FnOnce(Self) -> R) -> R {
        let start = clock::now();
        let builder = WheelBuilder::new().num_levels(LEVELS).unbounded(CHUNK);
        work(Self { wheel: builder.build(start).expect("the settings are valid"), start })
    }

    #[inline]
    fn insert(&mut self, deadline: u64, payload: u64) -> TimerHandle<u64> {
        self.wheel.schedule(self.instant(deadline), payload)
    }

    #[inline]
    fn cancel(&mut self, handle: TimerHandle<u64>) -> bool {
        self.wheel.cancel(handle).is_some()
    }

    #[inline]
    fn reschedule(&mut self, handle: TimerHandle<u64>, deadline: u64) -> TimerHandle<u64> {
        self.wheel.reschedule(handle, self.instant(deadline))
    }

    #[inline]
    fn advance(&mut self, now: u64, fired: &mut Vec<u64>) {
        self.wheel.poll_and_rebalance(self.instant(now), fired);
    }

    #[inline]
    fn release(&mut self, handle: TimerHandle<u64>) {
        self.wheel.free(handle);
    }
}
