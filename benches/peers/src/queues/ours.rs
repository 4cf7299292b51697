//! `horolog_wheel::Timers`, and for many threads `horolog_wheel::SharedTimers`.
#![expect(clippy::expect_used, reason = "a bench stops at the first error")]

use std::sync::Arc;

use horolog_wheel::{Expired, Progress, SharedTimers, Tick, TimerId, Timers};

use crate::queue::{Producer, SharedQueue, TimerQueue};

pub(crate) struct Ours {
    timers: Timers,
    expired: Vec<Expired>,
    words: Vec<Option<u64>>,
}

impl TimerQueue for Ours {
    type Handle = TimerId;

    fn with<R>(work: impl FnOnce(Self) -> R) -> R {
        work(Self { timers: Timers::new(Tick(0)), expired: Vec::new(), words: Vec::new() })
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
        while self.timers.advance(Tick(now), u32::MAX, &mut self.expired) == Progress::More {}
        if !self.expired.is_empty() {
            fired.extend(self.expired.drain(..).map(|expired| expired.word));
        }
    }

    #[inline]
    fn cancel_many(&mut self, handles: &mut Vec<TimerId>) -> usize {
        self.timers.cancel_many(handles, &mut self.words);
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
