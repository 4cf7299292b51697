//! Timers under a lock of their own, and which thread's they are.

use super::*;

/// In the place of a tick: nothing is ever to be done.
pub(super) const NEVER_LOOK: u64 = u64::MAX;

/// Two lines to itself: processors fetch lines in pairs.
#[repr(align(128))]
pub(super) struct Shard {
    /// What the wheel says, when its lock is free: before this tick, nothing is to be done here.
    look_at: AtomicU64,
    timers: Mutex<Timers>,
}

impl Shard {
    pub(super) fn new(timers: Timers) -> Self {
        Self { look_at: AtomicU64::new(NEVER_LOOK), timers: Mutex::new(timers) }
    }

    /// Does something with the timers, which must not take long, and is no code of the user's.
    #[inline]
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut Timers) -> R) -> R {
        let mut timers = self.timers.lock();
        let result = work(&mut timers);
        let look_at = timers.look_at().map_or(NEVER_LOOK, |tick| tick.0);
        // Even if it is the same: the line is ours since it was locked.
        self.look_at.store(look_at, Ordering::Relaxed);
        result
    }

    /// Without the lock: what other threads are doing at this moment may be in it or not.
    #[inline]
    pub(super) fn look_at(&self) -> u64 {
        self.look_at.load(Ordering::Relaxed)
    }
}

/// A number for each thread, in the order of their first calls.
#[inline]
pub(crate) fn home_of_this_thread() -> usize {
    use core::sync::atomic::AtomicUsize;

    static THREADS: AtomicUsize = AtomicUsize::new(0);
    std::thread_local! {
        static NUMBER: usize = THREADS.fetch_add(1, Ordering::Relaxed);
    }
    NUMBER.try_with(|number| *number).unwrap_or(0)
}
