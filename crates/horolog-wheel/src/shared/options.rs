//! What shared timers are made with.

use super::*;

/// Options of [`SharedTimers`], each with a default.
///
/// ```
/// use horolog_wheel::{SharedOptions, Tick};
///
/// let owner = std::thread::current();
/// let timers = SharedOptions::new().timers_max(1_000_000).ring(move || owner.unpark()).build(Tick(0));
/// # assert!(timers.is_empty());
/// ```
#[must_use = "nothing is made before `build`"]
pub struct SharedOptions {
    shards: usize,
    timers_max: u32,
    ring: Option<Box<dyn Fn() + Send + Sync>>,
}

/// More would take more to look through than they save.
const SHARDS_MAX: usize = 1 << 10;

impl Default for SharedOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl SharedOptions {
    /// The defaults.
    pub fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, core::num::NonZeroUsize::get);
        Self { shards: processors, timers_max: u32::MAX, ring: None }
    }

    /// How many shards: as many as threads insert timers at a time, rounded up to a power of two, 1 024 at most. The default
    /// is the number of processors.
    ///
    /// Threads are numbered in the order in which they first insert a timer, into any queue of the process, and the lowest bits
    /// of its number name a thread's shard. So two busy threads share one, and wait for each other, if there are more of them
    /// than shards, or if other threads have drawn the numbers between theirs. Twice as many shards make that rarer; the
    /// owner looks at each of them.
    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = shards;
        self
    }

    /// How many timers may be pending. The default, and the most, is 2^32 but for one a shard.
    pub fn timers_max(mut self, timers_max: u32) -> Self {
        self.timers_max = timers_max;
        self
    }

    /// What wakes the owner: see [`SharedTimers::set_alarm`]. It is called by the thread that made the earlier timer, with
    /// no lock held. A sleep that has not begun yet has to hear it, and whoever hears it has to see what was done before it,
    /// as with [`Thread::unpark`](std::thread::Thread::unpark). It must not panic: the timer would be pending, and its id
    /// lost. The default does nothing, for an owner that never sleeps long.
    pub fn ring(mut self, ring: impl Fn() + Send + Sync + 'static) -> Self {
        self.ring = Some(Box::new(ring));
        self
    }

    /// Makes the timers: none, at `now`.
    #[must_use]
    pub fn build(self, now: Tick) -> SharedTimers {
        let Self { shards, timers_max, ring } = self;
        let shards = shards.clamp(1, SHARDS_MAX).next_power_of_two();
        let shard_bits = shards.trailing_zeros();
        let timers_max = timers_max.min(u32::MAX >> shard_bits << shard_bits);
        let made = (0..shards).map(|number| {
            Shard::new(Timers::with_limits(
                now,
                share_of(number, timers_max, shard_bits),
                u32::MAX >> shard_bits,
            ))
        });
        SharedTimers {
            shards: made.collect(),
            shard_bits,
            timers_max,
            now: AtomicU64::new(now.0),
            alarm: AtomicU64::new(RUNG),
            ring,
        }
    }
}

/// How many of all timers may be in a shard: as many as in any other, but for one, and as an id can name.
fn share_of(number: usize, timers_max: u32, shard_bits: u32) -> u32 {
    let rest = timers_max as usize % (1 << shard_bits);
    let share = (timers_max >> shard_bits) + u32::from(number < rest);
    share.min(u32::MAX >> shard_bits)
}

impl fmt::Debug for SharedOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedOptions")
            .field("shards", &self.shards)
            .field("timers_max", &self.timers_max)
            .finish_non_exhaustive()
    }
}
