//! What a peer has to be able to do.

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

    /// Runs `work` on a new queue, in whatever surroundings the queue needs.
    fn with<R>(work: impl FnOnce(&mut Self) -> R) -> R;

    /// Adds a timer.
    fn insert(&mut self, deadline: u64, payload: u64) -> Self::Handle;

    /// Removes a timer; false if it was not pending.
    fn cancel(&mut self, handle: Self::Handle) -> bool;

    /// Moves a pending timer.
    fn reschedule(&mut self, handle: Self::Handle, deadline: u64) -> Self::Handle;

    /// Moves time to `now` and appends the payloads of all timers that are due.
    fn advance(&mut self, now: u64, fired: &mut Vec<u64>);

    /// Removes timers, and says how many were pending.
    fn cancel_many(&mut self, handles: &mut Vec<Self::Handle>) -> usize {
        handles.drain(..).map(|handle| usize::from(self.cancel(handle))).sum()
    }

    /// Takes the handle of a timer that has fired.
    fn release(&mut self, handle: Self::Handle) {
        drop(handle);
    }
}

/// Where in a table the timer with this payload is.
#[inline]
pub(crate) fn place(payload: u64) -> usize {
    usize::try_from(payload).unwrap_or(usize::MAX)
}
