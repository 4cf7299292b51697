//! `hierarchical_hash_wheel_timer`: the quad wheel with lazy cancellation.
#![expect(clippy::expect_used, reason = "a bench stops at the first error")]

use std::rc::Rc;
use std::time::Duration;

use hierarchical_hash_wheel_timer::wheels::Skip;
use hierarchical_hash_wheel_timer::wheels::cancellable::{CancellableTimerEntry, QuadWheelWithOverflow};

use crate::queue::TimerQueue;

/// The payload is the id as well, so that nothing is kept twice.
#[derive(Debug)]
struct Entry(u64);

impl CancellableTimerEntry for Entry {
    type Id = u64;

    fn id(&self) -> &u64 {
        &self.0
    }
}

#[derive(Default)]
pub(crate) struct HashWheel {
    wheel: QuadWheelWithOverflow<Entry>,
    now: u64,
}

impl HashWheel {
    fn tick(&mut self, fired: &mut Vec<u64>) {
        fired.extend(self.wheel.tick().iter().map(|entry| entry.0));
        self.now += 1;
    }

    /// Passes empty time; false if there is none to pass.
    fn skip(&mut self, until: u64) -> bool {
        let ticks = match self.wheel.can_skip() {
            Skip::Empty => until - self.now,
            Skip::Millis(ticks) => u64::from(ticks).min(until - self.now),
            Skip::None => 0,
        };
        self.wheel.skip(u32::try_from(ticks).unwrap_or(u32::MAX));
        self.now += ticks;
        ticks > 0
    }
}

impl TimerQueue for HashWheel {
    type Handle = u64;

    fn with<R>(work: impl FnOnce(Self) -> R) -> R {
        work(Self::default())
    }

    #[inline]
    fn insert(&mut self, deadline: u64, payload: u64) -> u64 {
        let delay = Duration::from_millis(deadline - self.now);
        self.wheel
            .insert_ref_with_delay(Rc::new(Entry(payload)), delay)
            .expect("the deadline is in the future");
        payload
    }

    #[inline]
    fn cancel(&mut self, handle: u64) -> bool {
        self.wheel.cancel(&handle).is_ok()
    }

    #[inline]
    fn reschedule(&mut self, handle: u64, deadline: u64) -> u64 {
        self.cancel(handle);
        self.insert(deadline, handle)
    }

    #[inline]
    fn advance(&mut self, now: u64, fired: &mut Vec<u64>) {
        // To ask for empty time costs more than a tick.
        if self.now + 1 == now {
            return self.tick(fired);
        }
        while self.now < now {
            if !self.skip(now) {
                self.tick(fired);
            }
        }
    }
}
