//! `tokio_util::time::DelayQueue`, on a runtime of one thread whose clock is paused.
#![expect(clippy::expect_used, reason = "a bench stops at the first error")]

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;
use tokio_util::time::{DelayQueue, delay_queue::Key};

use super::locked::{Lockable, lock};
use crate::queue::TimerQueue;

/// A runtime whose time moves only when it is told to.
pub(super) struct PausedTime {
    runtime: Arc<Runtime>,
    start: Instant,
    now: u64,
}

impl PausedTime {
    /// Runs `work` inside such a runtime, but not as a task of it: a task that polls many timers is made to yield.
    pub(super) fn with<R>(work: impl FnOnce(Self) -> R) -> R {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = Arc::new(runtime.expect("a runtime of one thread needs nothing"));
        let inside = runtime.enter();
        let done = work(Self { runtime: Arc::clone(&runtime), start: Instant::now(), now: 0 });
        drop(inside);
        done
    }

    pub(super) fn instant(&self, tick: u64) -> Instant {
        self.start + Duration::from_millis(tick)
    }

    /// Moves the clock and lets the runtime wake what is due.
    pub(super) fn advance(&mut self, now: u64) {
        let by = Duration::from_millis(now - self.now);
        self.now = now;
        self.runtime.block_on(tokio::time::advance(by));
    }
}

pub(crate) struct Delays {
    queue: DelayQueue<u64>,
    time: PausedTime,
}

impl Lockable for Delays {
    fn inside<R>(queue: &Mutex<Self>, work: impl FnOnce() -> R) -> R {
        let runtime = Arc::clone(&lock(queue).time.runtime);
        let _inside = runtime.enter();
        work()
    }
}

impl TimerQueue for Delays {
    type Handle = Key;

    const SLOW_TICKS: bool = true;

    fn with<R>(work: impl FnOnce(Self) -> R) -> R {
        PausedTime::with(|time| work(Self { queue: DelayQueue::new(), time }))
    }

    #[inline]
    fn insert(&mut self, deadline: u64, payload: u64) -> Key {
        self.queue.insert_at(payload, self.time.instant(deadline))
    }

    #[inline]
    fn cancel(&mut self, handle: Key) -> bool {
        self.queue.try_remove(&handle).is_some()
    }

    #[inline]
    fn reschedule(&mut self, handle: Key, deadline: u64) -> Key {
        self.queue.reset_at(&handle, self.time.instant(deadline));
        handle
    }

    #[inline]
    fn advance(&mut self, now: u64, fired: &mut Vec<u64>) {
        self.time.advance(now);
        let mut context = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(expired)) = self.queue.poll_expired(&mut context) {
            fired.push(expired.into_inner());
        }
    }
}
