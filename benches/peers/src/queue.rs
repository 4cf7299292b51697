//! What a peer has to be able to do.

use std::time::Instant;

use crate::clock;

/// A queue of timers in memory. A tick is a millisecond; a queue starts at tick 0.
///
/// No two pending timers of one queue have the same payload.
pub(crate) trait TimerQueue: Sized {
    /// How the caller names a pending timer.
    type Handle;

    /// Does the handle of a timer that has fired have to be given back with [`TimerQueue::release`]? The time that takes
    /// is then the peer's.
    const RELEASES: bool = false;

    /// Does an empty tick cost so much that a day of them takes minutes?
    const SLOW_TICKS: bool = false;

    /// Can a call be told how much to do at most, with [`TimerQueue::advance_within`]?
    const HAS_BUDGET: bool = false;

    /// Runs `work` on a new queue, in whatever surroundings the queue needs.
    fn with<R>(work: impl FnOnce(Self) -> R) -> R;

    /// Adds a timer.
    fn insert(&mut self, deadline: u64, payload: u64) -> Self::Handle;

    /// Removes a timer; false if it was not pending.
    fn cancel(&mut self, handle: Self::Handle) -> bool;

    /// Moves a pending timer.
    fn reschedule(&mut self, handle: Self::Handle, deadline: u64) -> Self::Handle;

    /// Moves time to `now` and appends the payloads of all timers that are due.
    fn advance(&mut self, now: u64, fired: &mut Vec<u64>);

    /// As [`TimerQueue::advance`], but comes across at most `budget` timers, due or not; true if that was enough.
    fn advance_within(&mut self, now: u64, _budget: u32, fired: &mut Vec<u64>) -> bool {
        self.advance(now, fired);
        true
    }

    /// Fills the queue, which is new, with the timers of before a restart, by deadline and payload: their handles are kept
    /// where a handle is what frees a timer. Says when all that was left to do was to arm them.
    fn rebuild(&mut self, timers: &[(u64, u64)], handles: &mut [Option<Self::Handle>]) -> Instant {
        let begin = clock::now();
        for (handle, (deadline, payload)) in handles.iter_mut().zip(timers) {
            *handle = Some(self.insert(*deadline, *payload));
        }
        begin
    }

    /// Adds timers of deadlines and payloads, and appends their handles, in order.
    fn insert_many(&mut self, timers: &[(u64, u64)], handles: &mut Vec<Self::Handle>) {
        handles.extend(timers.iter().map(|(deadline, payload)| self.insert(*deadline, *payload)));
    }

    /// Removes the timers of all handles, which are used up, and says how many were pending.
    fn cancel_many(&mut self, handles: &mut Vec<Self::Handle>) -> usize {
        handles.drain(..).map(|handle| usize::from(self.cancel(handle))).sum()
    }

    /// Takes the handle of a timer that has fired.
    fn release(&mut self, handle: Self::Handle) {
        drop(handle);
    }
}

/// A queue that many threads insert into and cancel in, shared as its user would: what the thread has that lets time pass.
pub(crate) trait SharedQueue: Sized {
    /// What another thread has.
    type Producer: Producer;

    /// Does time pass by itself? Then nobody waits for the last timer: what has not fired has to be pending.
    const HAS_OWN_TIME: bool = false;

    /// Runs `work` on a new queue, in whatever surroundings the queue needs.
    fn with<R>(work: impl FnOnce(&mut Self) -> R) -> R;

    /// For one more thread.
    fn producer(&self) -> Self::Producer;

    /// When it was tick 0.
    fn start(&self) -> Instant {
        clock::now()
    }

    /// Moves time to `now` and appends the payloads of all timers that are due.
    fn advance(&mut self, now: u64, fired: &mut Vec<u64>);

    /// Until it is time for the next tick.
    fn wait_until(&mut self, then: Instant) {
        clock::sleep_until(then);
    }
}

/// A thread's way into a queue.
pub(crate) trait Producer: Send {
    /// How the thread names a pending timer.
    type Handle;

    /// Runs `work` in its thread, in whatever surroundings the queue needs.
    fn with<R>(&mut self, work: impl FnOnce(&mut Self) -> R) -> R {
        work(self)
    }

    /// Adds a timer.
    fn insert(&mut self, deadline: u64, payload: u64) -> Self::Handle;

    /// Removes a timer; false if it was not pending.
    fn cancel(&mut self, handle: Self::Handle) -> bool;

    /// Waits until everything it has asked for is done.
    fn flush(&mut self) {}

    /// Takes the handle of a timer that should have fired; true if it is still pending.
    fn release(&mut self, handle: Self::Handle) -> bool {
        drop(handle);
        false
    }
}

/// Where in a table the timer with this payload is.
#[inline]
pub(crate) fn place(payload: u64) -> usize {
    usize::try_from(payload).unwrap_or(usize::MAX)
}
