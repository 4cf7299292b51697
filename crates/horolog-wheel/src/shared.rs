//! The front: one queue of timers for many threads.
//!
//! Threads that arm timers all the time and one that lets time pass would meet at one lock. Here each thread has a
//! *shard*, a [`Timers`] of its own under a lock of its own, which nobody else wants but the owner, once a tick, and
//! whoever cancels a timer of that thread. So an insert is an uncontended lock and an insert, and two threads that insert
//! write no line of memory in common. `docs/decisions/0005-a-shard-a-thread.md` has the figures, beside a ring for each
//! thread into one wheel.
//!
//! An id names its shard: the lowest bits of the slot. A timer is at home in one shard from its insert to its end, so
//! whoever holds that lock decides what becomes of it.
//!
//! # In tick order
//!
//! Each shard says before which tick nothing is to be done in it (`look_at`). The owner takes the shard with the earliest
//! and lets time pass in it until that of the next shard, and so on: what comes out is in tick order over all shards.
//! The time of a shard where nothing is to be done stays behind until something is; that is nobody's loss.
//!
//! # The alarm
//!
//! The owner sleeps until the tick that [`SharedTimers::set_alarm`] says. Whoever makes a timer due before that rings. The owner
//! (1) writes "ring for anything" to one word, (2) looks at the next wake of each shard, holding its lock, (3) writes the
//! earliest to the word. A thread (a) adds its timer, holding the lock, (b) reads the word, and if its timer is earlier
//! exchanges what it read for "rung", and rings.
//!
//! If (a) comes before (2) in that lock's order, the owner sees the timer. If it comes after, the lock orders (1) before
//! (b): the thread reads (1) or what was written later. That is (1) or (3), and it rings if it has to, for (3) is as early
//! as anything the owner waits for; or it is the "rung" of another thread. That thread read (1) or (3) of this very sleep,
//! so its ring comes after (1), and the owner does not sleep through it: a ring that comes before the sleep is heard by the
//! sleep. (If it was heard before (1), hearing it would have ordered the "rung" before (1): a ring and its hearing have to
//! synchronize, as [`Thread::unpark`](std::thread::Thread::unpark) and `park` do.)
//!
//! So no fence is needed, and the word is written a few times a sleep, not once a timer. While the alarm is being set,
//! a later timer may ring as well.
//!
//! # Invariants (of the models in `shared/models.rs`)
//!
//! - **F1** What is inserted is cancelled once or comes out once, never both.
//! - **F2** While nobody holds its lock, `look_at` of a shard is that of its wheel.
//! - **F3** A timer due before the alarm has been seen by the owner, or is rung for.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use crate::sync::{AtomicU64, Mutex, Ordering};
use crate::{Entry, Expired, Progress, Tick, TimerId, Timers};

#[cfg(all(test, loom))]
mod models;
mod options;
mod shard;
#[cfg(all(test, not(loom)))]
mod tests;

pub use options::SharedOptions;
pub(crate) use shard::home_of_this_thread;
use shard::{NEVER_LOOK, Shard};

/// Timers for many threads: any of them inserts, cancels and moves; one of them, the owner, lets time pass.
///
/// Every method takes `&self`. Nothing here reads a clock or waits. For timers that fire by themselves, with a thread
/// and a clock of their own, see [`TimerService`](crate::TimerService).
///
/// The owner lets time pass, hands on what is due, sets the alarm and sleeps, and whoever makes an earlier timer wakes it:
///
/// ```
/// use horolog_wheel::{Progress, SharedOptions, Tick};
/// use std::sync::Arc;
/// use std::thread;
/// use std::time::{Duration, Instant};
///
/// let began = Instant::now();
/// let now = move || Tick(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
/// let owner = thread::current();
/// let timers = Arc::new(SharedOptions::new().ring(move || owner.unpark()).build(now()));
///
/// // Any thread arms timers. This one's is due 5 ms after the start.
/// let producer = Arc::clone(&timers);
/// thread::spawn(move || producer.insert(Tick(5), 42).expect("there is room"));
///
/// let (mut expired, mut words) = (Vec::new(), Vec::new());
/// while words.is_empty() {
///     let progress = timers.advance(now(), 256, &mut expired);
///     // Here no timer is out of reach but these. What is armed meanwhile rings, or is seen by the alarm.
///     words.extend(expired.drain(..).map(|timer| timer.word));
///     if progress == Progress::More || !words.is_empty() {
///         continue;
///     }
///     match timers.set_alarm() {
///         // A tick is a millisecond here. A sleep that ends too soon does no harm.
///         Some(wake) => thread::park_timeout(Duration::from_millis(wake.saturating_since(now()))),
///         None => thread::park(),
///     }
/// }
/// assert_eq!(words, [42]);
/// ```
///
/// What comes out is in tick order, whichever thread it came from:
///
/// ```
/// use horolog_wheel::{Progress, SharedTimers, Tick};
///
/// let timers = SharedTimers::new(Tick(0));
/// std::thread::scope(|scope| {
///     for word in 0..4 {
///         let timers = &timers;
///         scope.spawn(move || timers.insert(Tick(100 + word), word).expect("there is room"));
///     }
/// });
/// let mut expired = Vec::new();
/// assert_eq!(timers.advance(Tick(102), 256, &mut expired), Progress::Done);
/// assert_eq!(expired.iter().map(|timer| timer.word).collect::<Vec<_>>(), [0, 1, 2], "in tick order");
/// ```
pub struct SharedTimers {
    /// A power of two of them.
    shards: Box<[Shard]>,
    /// The number of bits of a slot that name the shard.
    shard_bits: u32,
    timers_max: u32,
    /// The latest that an advance was asked for.
    now: AtomicU64,
    /// Whoever makes a timer due before this tick rings. `RUNG`: somebody does, and nobody else has to.
    alarm: AtomicU64,
    ring: Option<Box<dyn Fn() + Send + Sync>>,
}

/// No room was found for a timer. What was to be inserted comes back.
///
/// Then as many as `timers_max` were pending while room was looked for, one shard after the other; or fewer, if timers came and
/// went meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Full {
    /// As it was given.
    pub deadline: Tick,
    /// As it was given.
    pub word: u64,
    /// How many may be pending, in all shards together.
    pub timers_max: u32,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no room for another timer: at most {} may be pending", self.timers_max)
    }
}

impl core::error::Error for Full {}

const RUNG: u64 = 0;

const RING_FOR_ANYTHING: u64 = u64::MAX;

/// Items come across in one hold of a lock, at most.
const ITEMS_A_HOLD: usize = 256;

impl SharedTimers {
    /// No timers, at `now`; as many shards as the machine has processors, no ring, room for 2^32 timers but for one a
    /// shard.
    #[must_use]
    pub fn new(now: Tick) -> Self {
        SharedOptions::new().build(now)
    }

    /// Adds a timer. One whose deadline has come already is due at the next advance.
    ///
    /// # Errors
    ///
    /// [`Full`] if no shard has room: back-pressure, for the caller to wait or to shed. Nothing has changed.
    ///
    /// O(1); O(shards) if there is no room in this thread's.
    ///
    /// ```
    /// use horolog_wheel::{SharedOptions, Tick};
    ///
    /// let timers = SharedOptions::new().timers_max(1).build(Tick(0));
    /// let tea = timers.insert(Tick(180), 42).expect("there is room");
    /// let full = timers.insert(Tick(300), 43).expect_err("there is room for one");
    /// assert_eq!((full.deadline, full.word, full.timers_max), (Tick(300), 43, 1));
    /// ```
    #[inline]
    pub fn insert(&self, deadline: Tick, word: u64) -> Result<TimerId, Full> {
        self.insert_from(home_of_this_thread(), deadline, word)
    }

    /// As if by a thread whose home is that shard.
    #[inline]
    pub(crate) fn insert_from(&self, home: usize, deadline: Tick, word: u64) -> Result<TimerId, Full> {
        let id = self.insert_unrung(home, deadline, word)?;
        self.ring_if_earlier(deadline);
        Ok(id)
    }

    /// Without the ring: the caller owes [`ring_if_earlier`](Self::ring_if_earlier), with no lock held.
    #[inline]
    pub(crate) fn insert_unrung(&self, home: usize, deadline: Tick, word: u64) -> Result<TimerId, Full> {
        let home = home & self.mask();
        match self.shards[home].with(|timers| timers.insert(deadline, word)) {
            Some(id) => Ok(self.outer(home, id)),
            None => self.insert_elsewhere(home, deadline, word),
        }
    }

    /// When there is no room at home.
    #[cold]
    fn insert_elsewhere(&self, home: usize, deadline: Tick, word: u64) -> Result<TimerId, Full> {
        let others = (1..self.shards.len()).map(|further| (home + further) & self.mask());
        let mut tries = others.filter_map(|shard| {
            let id = self.shards[shard].with(|timers| timers.insert(deadline, word))?;
            Some(self.outer(shard, id))
        });
        tries.next().ok_or(Full { deadline, word, timers_max: self.timers_max })
    }

    /// Adds a timer for each deadline and word, and appends their ids to `ids`, in order. What found no room is handed back:
    /// the rest of `timers`, which is empty if all went well.
    ///
    /// A lock is taken for 256 of them, and not for each.
    ///
    /// ```
    /// use horolog_wheel::{SharedOptions, Tick};
    ///
    /// let timers = SharedOptions::new().timers_max(2).build(Tick(0));
    /// let mut ids = Vec::new();
    /// let refused = timers.insert_many(&[(Tick(180), 42), (Tick(300), 43), (Tick(9), 44)], &mut ids);
    /// assert_eq!(refused, [(Tick(9), 44)], "there is room for two");
    /// assert_eq!(timers.cancel(ids[1]), Some(43));
    /// ```
    pub fn insert_many<'a>(&self, timers: &'a [(Tick, u64)], ids: &mut Vec<TimerId>) -> &'a [(Tick, u64)] {
        self.insert_many_from(home_of_this_thread(), timers, ids)
    }

    fn insert_many_from<'a>(
        &self,
        home: usize,
        timers: &'a [(Tick, u64)],
        ids: &mut Vec<TimerId>,
    ) -> &'a [(Tick, u64)] {
        let (mut rest, mut further) = (timers, 0);
        while !rest.is_empty() && further < self.shards.len() {
            let some = rest.get(..ITEMS_A_HOLD).unwrap_or(rest);
            let (shard, new) = ((home + further) & self.mask(), ids.len());
            ids.reserve(some.len());
            let refused = self.shards[shard].with(|timers| timers.insert_many(some, ids).len());
            for id in ids.iter_mut().skip(new) {
                *id = self.outer(shard, *id);
            }
            let (inserted, later) = rest.split_at_checked(some.len() - refused).unwrap_or_default();
            let earliest = inserted.iter().map(|(deadline, _)| *deadline).min();
            earliest.into_iter().for_each(|deadline| self.ring_if_earlier(deadline));
            rest = later;
            further += usize::from(refused > 0);
        }
        rest
    }

    /// Removes a timer and gives its word back; `None` if it is not pending.
    ///
    /// Of all who cancel a timer, and the owner to whom it is due, exactly one gets its word. O(1).
    ///
    /// ```
    /// use horolog_wheel::{SharedTimers, Tick};
    ///
    /// let timers = SharedTimers::new(Tick(0));
    /// let tea = timers.insert(Tick(180), 42).expect("there is room");
    /// assert_eq!(timers.cancel(tea), Some(42));
    /// assert_eq!(timers.cancel(tea), None);
    /// ```
    #[inline]
    pub fn cancel(&self, id: TimerId) -> Option<u64> {
        let (shard, id) = self.inner(id);
        shard.with(|timers| timers.cancel(id))
    }

    /// Removes timers, and appends for each of `ids`, in order, its word, or `None` if it is not pending. Up to 256 neighbours
    /// of one shard share a lock, and are asked for from memory together.
    ///
    /// ```
    /// use horolog_wheel::{SharedTimers, Tick};
    ///
    /// let timers = SharedTimers::new(Tick(0));
    /// let mut ids = Vec::new();
    /// timers.insert_many(&[(Tick(180), 42), (Tick(300), 43)], &mut ids);
    /// let mut words = Vec::new();
    /// timers.cancel_many(&[ids[1], ids[0], ids[1]], &mut words);
    /// assert_eq!(words, [Some(43), Some(42), None]);
    /// ```
    pub fn cancel_many(&self, ids: &[TimerId], words: &mut Vec<Option<u64>>) {
        let mut inner = Vec::with_capacity(ids.len().min(ITEMS_A_HOLD));
        let runs = ids.chunk_by(|one, next| self.home(*one) == self.home(*next));
        for run in runs.flat_map(|run| run.chunks(ITEMS_A_HOLD)) {
            let Some(first) = run.first() else { continue };
            inner.clear();
            inner.extend(run.iter().map(|id| self.inner_id(*id)));
            words.reserve(inner.len());
            self.shards[self.home(*first)].with(|timers| timers.cancel_many(&inner, words));
        }
    }

    /// Moves the deadline of a pending timer, earlier or later; false if it is not pending. O(1).
    ///
    /// ```
    /// use horolog_wheel::{SharedTimers, Tick};
    ///
    /// let timers = SharedTimers::new(Tick(0));
    /// let tea = timers.insert(Tick(180), 42).expect("there is room");
    /// assert!(timers.reschedule(tea, Tick(300)));
    /// assert_eq!(timers.get(tea).map(|timer| (timer.deadline, timer.word)), Some((Tick(300), 42)));
    /// ```
    pub fn reschedule(&self, id: TimerId, deadline: Tick) -> bool {
        let (shard, id) = self.inner(id);
        let was_moved = shard.with(|timers| timers.reschedule(id, deadline));
        if was_moved {
            self.ring_if_earlier(deadline);
        }
        was_moved
    }

    /// The pending timer `id`, as it is at this moment; `None` if it is not pending. [`reschedule`](Self::reschedule) shows it at
    /// work.
    #[must_use]
    pub fn get(&self, id: TimerId) -> Option<Entry> {
        let (shard, inner) = self.inner(id);
        let entry = shard.with(|timers| timers.get(inner))?;
        Some(Entry { id, ..entry })
    }

    /// Moves time to `now` and appends to `expired` what has become due, in ascending tick order. The rules, those of
    /// `budget` too, are those of [`Wheel::advance`](crate::Wheel::advance), over all shards together, but for one: an earlier
    /// `now` is taken as the latest that was ever asked for ([`now`](Self::now)), even if the answer was `More` and time has
    /// not come there yet. What other threads arm meanwhile, for a tick that has passed, counts for the tick that time has come
    /// to.
    ///
    /// This is the owner's. Called by several threads at a time, it still gives each timer to one of them, and each of them
    /// gets its own in tick order. A lock is held for 256 items at most. O(shards) for each tick at which something is due in
    /// more than one of them.
    pub fn advance(&self, now: Tick, budget: u32, expired: &mut Vec<Expired>) -> Progress {
        let now = now.max(Tick(self.now.fetch_max(now.0, Ordering::Relaxed)));
        let mut left = budget as usize;
        loop {
            let (first, second) = self.two_earliest();
            if first.look_at > now.0 || first.look_at == NEVER_LOOK {
                break;
            }
            let until = Tick(second.look_at.min(now.0));
            if self.advance_shard(first.shard, until, &mut left, expired) == Progress::More && left == 0 {
                return Progress::More;
            }
        }
        if now.0 == NEVER_LOOK { self.advance_to_the_end(&mut left, expired) } else { Progress::Done }
    }

    /// The last tick of all cannot be told from never: every shard is asked.
    #[cold]
    fn advance_to_the_end(&self, left: &mut usize, expired: &mut Vec<Expired>) -> Progress {
        for shard in 0..self.shards.len() {
            while self.advance_shard(shard, Tick(u64::MAX), left, expired) == Progress::More {
                if *left == 0 {
                    return Progress::More;
                }
            }
        }
        Progress::Done
    }

    /// In one hold of its lock.
    fn advance_shard(
        &self,
        number: usize,
        until: Tick,
        left: &mut usize,
        expired: &mut Vec<Expired>,
    ) -> Progress {
        let new = expired.len();
        let mut left_of_hold = (*left).min(ITEMS_A_HOLD);
        *left -= left_of_hold;
        // Not under the lock: it may copy all that is there.
        expired.reserve(left_of_hold);
        let progress =
            self.shards[number].with(|timers| timers.advance_within(until, &mut left_of_hold, expired));
        *left += left_of_hold;
        for timer in expired.iter_mut().skip(new) {
            timer.id = self.outer(number, timer.id);
        }
        progress
    }

    /// Before the owner sleeps: says until when it may; `None`: for ever. From now on whoever makes a timer due before that
    /// rings; the first to do so turns the alarm off.
    ///
    /// What a ring does is an option ([`SharedOptions::ring`]). One owner sleeps at a time. The tick may be early, as that of
    /// [`Timers::next_wake`] may. While the owner is awake its last alarm can still ring once; the next sleep is then over
    /// at once. O(shards * levels).
    #[must_use = "it says until when to sleep"]
    pub fn set_alarm(&self) -> Option<Tick> {
        // The order of these three is the proof of F3: see the module.
        self.alarm.store(RING_FOR_ANYTHING, Ordering::Relaxed);
        let at = self.next_wake();
        self.alarm.store(at.map_or(RING_FOR_ANYTHING, |tick| tick.0), Ordering::Relaxed);
        at
    }

    /// An owner's turn between two sleeps: [`advance`](Self::advance) with no limit, and [`set_alarm`](Self::set_alarm), whose
    /// answer it gives.
    ///
    /// It goes on for as long as other threads arm what is due already. Where other work waits meanwhile, `advance` is the
    /// one to call.
    ///
    /// ```
    /// use horolog_wheel::{SharedTimers, Tick};
    ///
    /// let timers = SharedTimers::new(Tick(0));
    /// timers.insert_many(&[(Tick(1_000), 42), (Tick(70_000), 43)], &mut Vec::new());
    ///
    /// let (mut now, mut expired) = (timers.now(), Vec::new());
    /// while let Some(wake) = timers.drain_due(now, &mut expired) {
    ///     now = wake; // Here a program sleeps until that tick, or a ring.
    /// }
    /// assert_eq!(now, Tick(70_000));
    /// assert!(expired.iter().map(|timer| timer.word).eq([42, 43]));
    /// ```
    #[must_use = "it says until when to sleep"]
    pub fn drain_due(&self, now: Tick, expired: &mut Vec<Expired>) -> Option<Tick> {
        while self.advance(now, u32::MAX, expired) == Progress::More {}
        self.set_alarm()
    }

    /// When to advance next: never late, possibly early; see [`Timers::next_wake`]. `None` if nothing is pending.
    ///
    /// Other threads may make it wrong at any time. Who sleeps by it takes [`set_alarm`](Self::set_alarm).
    #[must_use]
    pub fn next_wake(&self) -> Option<Tick> {
        self.shards.iter().filter_map(|shard| shard.with(|timers| timers.next_wake())).min()
    }

    /// The latest time that an [`advance`](Self::advance) was asked for, also if it answered `More`. It never goes back.
    #[must_use]
    pub fn now(&self) -> Tick {
        Tick(self.now.load(Ordering::Relaxed))
    }

    /// How many timers are pending. O(shards).
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.with(|timers| timers.len())).sum()
    }

    /// Is nothing pending? O(shards).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| shard.with(|timers| timers.is_empty()))
    }

    /// Bytes of memory taken from the allocator. O(shards).
    #[must_use]
    pub fn bytes(&self) -> usize {
        let in_shards: usize = self.shards.iter().map(|shard| shard.with(|timers| timers.bytes())).sum();
        in_shards + self.shards.len() * size_of::<Shard>()
    }

    /// How many shards there are.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    #[inline]
    pub(crate) fn ring_if_earlier(&self, deadline: Tick) {
        let alarm = self.alarm.load(Ordering::Relaxed);
        if is_earlier(deadline, alarm) {
            self.ring(deadline, alarm);
        }
    }

    /// Of all who would ring for this sleep, one does.
    #[cold]
    fn ring(&self, deadline: Tick, mut alarm: u64) {
        while is_earlier(deadline, alarm) {
            match self.alarm.compare_exchange(alarm, RUNG, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return self.ring.iter().for_each(|ring| ring()),
                Err(other) => alarm = other,
            }
        }
    }

    /// The shards where something is to be done first.
    fn two_earliest(&self) -> (Look, Look) {
        let mut two = (Look::NEVER, Look::NEVER);
        for (number, shard) in self.shards.iter().enumerate() {
            let look = Look { look_at: shard.look_at(), shard: number };
            if look.look_at < two.0.look_at {
                two = (look, two.0);
            } else if look.look_at < two.1.look_at {
                two.1 = look;
            }
        }
        two
    }

    fn mask(&self) -> usize {
        self.shards.len() - 1
    }

    /// The number of the shard that `id` names.
    fn home(&self, id: TimerId) -> usize {
        id.slot() as usize & self.mask()
    }

    fn inner(&self, id: TimerId) -> (&Shard, TimerId) {
        (&self.shards[self.home(id)], self.inner_id(id))
    }

    /// The id as its shard knows it. (There is one: the generation is the same.)
    #[inline]
    fn inner_id(&self, id: TimerId) -> TimerId {
        TimerId::new(id.slot() >> self.shard_bits, id.generation()).unwrap_or(id)
    }

    /// The id as everybody else knows it. (As above.)
    #[inline]
    fn outer(&self, shard: usize, id: TimerId) -> TimerId {
        let shard = u32::try_from(shard).unwrap_or(0);
        TimerId::new(id.slot() << self.shard_bits | shard, id.generation()).unwrap_or(id)
    }
}

fn is_earlier(deadline: Tick, alarm: u64) -> bool {
    deadline.0 < alarm || alarm == RING_FOR_ANYTHING
}

/// When something is to be done in a shard.
#[derive(Clone, Copy)]
struct Look {
    look_at: u64,
    shard: usize,
}

impl Look {
    const NEVER: Self = Self { look_at: NEVER_LOOK, shard: 0 };
}

/// No code of a caller runs while a shard is being changed.
impl core::panic::RefUnwindSafe for SharedTimers {}
impl core::panic::UnwindSafe for SharedTimers {}

impl fmt::Debug for SharedTimers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedTimers")
            .field("shards", &self.shards.len())
            .field("timers_max", &self.timers_max)
            .finish_non_exhaustive()
    }
}
