//! One slab and one wheel joined, for those who use the crate alone.

use alloc::vec::Vec;

use crate::slab::Cell;
use crate::{Entry, Lane, Progress, Slab, Tick, TimerId, Wheel};

#[cfg(test)]
mod lives;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod twins;

/// A timer whose deadline has come. Its id is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired {
    /// Its name.
    pub id: TimerId,
    /// When it was due.
    pub deadline: Tick,
    /// The word it was inserted with.
    pub word: u64,
}

/// A timer queue in memory: a [`Slab`] and a [`Wheel`] in one. The [crate]'s first page shows it at work.
///
/// An id is freed as soon as its timer expires or is cancelled; a stale id finds nothing.
#[derive(Debug)]
pub struct Timers {
    slab: Slab,
    wheel: Wheel,
    timers_max: u32,
}

impl Timers {
    /// No timers, at `now`.
    #[must_use]
    pub fn new(now: Tick) -> Self {
        Self::with_timers_max(now, u32::MAX)
    }

    /// No timers, at `now`; never more than `timers_max` are pending.
    #[must_use]
    pub fn with_timers_max(now: Tick, timers_max: u32) -> Self {
        Self::with_limits(now, timers_max, u32::MAX)
    }

    /// The timers of a slab that was filled again, as after a restart: every live entry, armed for its deadline, under the id
    /// that it has. One that was armed is armed here now; the wheel that it was in has lost its slab. Slots that are reserved
    /// or ended stay so.
    ///
    /// There is no limit beside that of the slab. A deadline that has come already expires at the next advance. O(slots of the
    /// slab), as [`Wheel::load`], which does the work.
    ///
    /// ```
    /// use horolog_wheel::{Slab, Tick, TimerId, Timers};
    ///
    /// let mut before = Timers::new(Tick(0));
    /// let tea = before.insert(Tick(180), 42).expect("there is a free slot");
    /// let kept: Vec<(u64, Tick, u64)> =
    ///     before.iter().map(|timer| (timer.id.raw(), timer.deadline, timer.word)).collect();
    ///
    /// let mut slab = Slab::new();
    /// for (id, deadline, word) in kept {
    ///     let id = TimerId::from_raw(id).expect("an id");
    ///     slab.occupy(id, deadline, word)?;
    /// }
    /// let mut after = Timers::from_slab(Tick(100), slab);
    /// assert_eq!(after.next_deadline_exact(), Some(Tick(180)));
    /// assert_eq!(after.cancel(tea), Some(42));
    /// # Ok::<(), horolog_wheel::OccupyError>(())
    /// ```
    #[must_use]
    pub fn from_slab(now: Tick, mut slab: Slab) -> Self {
        let mut wheel = Wheel::new(Lane::First, now);
        slab.disarm_all();
        wheel.load(&mut slab, |entry| Some(entry.deadline));
        Self { slab, wheel, timers_max: u32::MAX }
    }

    /// There may be more slots than timers: in the course of time some are used up.
    pub(crate) fn with_limits(now: Tick, timers_max: u32, slots_max: u32) -> Self {
        Self { slab: Slab::with_slots_max(slots_max), wheel: Wheel::new(Lane::First, now), timers_max }
    }

    /// Adds a timer. One whose deadline has come already expires at the next advance.
    ///
    /// `None` if there is no room: `timers_max` timers are pending, 2^32 - 1 unless it was said otherwise.
    pub fn insert(&mut self, deadline: Tick, word: u64) -> Option<TimerId> {
        if self.room() == 0 {
            return None;
        }
        self.wheel.insert_new(&mut self.slab, deadline, word)
    }

    /// Adds a timer for each deadline and word, and appends their ids to `ids`, in order. What found no room is handed back:
    /// the rest of `timers`, which is empty if all went well.
    ///
    /// O(1) for each. From a million pending timers on it saves a quarter of the time of [`insert`](Self::insert) one by one,
    /// if new ones go where others were; with fewer it gains nothing ([`Wheel::insert_new_many`]).
    ///
    /// ```
    /// use horolog_wheel::{Tick, Timers};
    ///
    /// let mut timers = Timers::new(Tick(0));
    /// let mut ids = Vec::new();
    /// let refused = timers.insert_many(&[(Tick(180), 42), (Tick(300), 43)], &mut ids);
    /// assert!(refused.is_empty());
    /// assert_eq!(timers.get(ids[1]).map(|entry| entry.word), Some(43));
    /// ```
    pub fn insert_many<'a>(
        &mut self,
        timers: &'a [(Tick, u64)],
        ids: &mut Vec<TimerId>,
    ) -> &'a [(Tick, u64)] {
        let (some, rest) = timers.split_at_checked(self.room()).unwrap_or((timers, &[]));
        let refused = self.wheel.insert_new_many(&mut self.slab, some, ids);
        if refused.is_empty() { rest } else { timers.get(some.len() - refused.len()..).unwrap_or_default() }
    }

    /// How many more timers may be pending.
    #[inline]
    fn room(&self) -> usize {
        (self.timers_max as usize).saturating_sub(self.slab.len())
    }

    /// Removes a timer and gives its word back; `None` if it is not pending.
    pub fn cancel(&mut self, id: TimerId) -> Option<u64> {
        self.wheel.remove(&mut self.slab, id)
    }

    /// Removes timers, and appends for each of `ids`, in order, its word, or `None` if it is not pending. Quicker than one
    /// by one when there are many timers: see [`Wheel::remove_many`].
    pub fn cancel_many(&mut self, ids: &[TimerId], words: &mut Vec<Option<u64>>) {
        self.wheel.remove_many(&mut self.slab, ids, words);
    }

    /// Moves the deadline of a pending timer, earlier or later; false if it is not pending.
    pub fn reschedule(&mut self, id: TimerId, deadline: Tick) -> bool {
        self.wheel.reschedule(&mut self.slab, id, deadline)
    }

    /// Moves time to `now` and appends to `expired` what has become due, in tick order. The rules, those of
    /// `budget` too, are those of [`Wheel::advance`].
    pub fn advance(&mut self, now: Tick, budget: u32, expired: &mut Vec<Expired>) -> Progress {
        self.advance_within(now, &mut (budget as usize), expired)
    }

    /// As [`advance`](Self::advance); the budget says what is left of it.
    #[inline]
    pub(crate) fn advance_within(
        &mut self,
        now: Tick,
        left: &mut usize,
        expired: &mut Vec<Expired>,
    ) -> Progress {
        self.wheel.advance_within(&mut self.slab, now, left, |slab, slot, generation| {
            let ended = slab.finish(slot, |_| true).zip(TimerId::new(slot, generation));
            expired.extend(ended.map(|(Cell { deadline, word, .. }, id)| Expired { id, deadline, word }));
        })
    }

    /// Before this tick, there is nothing to be done; `None`: for ever.
    #[cfg(feature = "std")]
    #[inline]
    pub(crate) fn look_at(&self) -> Option<Tick> {
        self.wheel.look_at()
    }

    /// Moves time to `now` and appends to `expired` everything that has become due, in tick order, however much it is:
    /// [`advance`](Self::advance) with no limit. Says when to come again: a tick after the time it is here, never later than
    /// the next deadline, possibly earlier; `None` if nothing is pending.
    ///
    /// Where other work waits meanwhile, `advance` is the one to call: its budget bounds each call.
    ///
    /// ```
    /// use horolog_wheel::{Tick, Timers};
    ///
    /// let mut timers = Timers::new(Tick(0));
    /// timers.insert_many(&[(Tick(1_000), 42), (Tick(70_000), 43)], &mut Vec::new());
    ///
    /// let (mut now, mut expired) = (timers.now(), Vec::new());
    /// while let Some(wake) = timers.drain_due(now, &mut expired) {
    ///     now = wake; // Here a program sleeps until that tick.
    /// }
    /// assert_eq!(now, Tick(70_000));
    /// assert!(expired.iter().map(|timer| timer.word).eq([42, 43]));
    /// ```
    pub fn drain_due(&mut self, now: Tick, expired: &mut Vec<Expired>) -> Option<Tick> {
        while self.advance(now, u32::MAX, expired) == Progress::More {}
        self.next_wake()
    }

    /// When to advance next: never late, possibly early; see [`Wheel::next_wake`]. `None` if nothing is
    /// pending.
    #[must_use]
    pub fn next_wake(&self) -> Option<Tick> {
        self.wheel.next_wake()
    }

    /// The earliest deadline of all pending timers; before [`now`](Self::now) if that timer was inserted late. `None` if
    /// nothing is pending.
    ///
    /// Exact, and so dearer than [`next_wake`](Self::next_wake), which is what to sleep by: see
    /// [`Wheel::next_deadline_exact`].
    ///
    /// ```
    /// use horolog_wheel::{Tick, Timers};
    ///
    /// let mut timers = Timers::new(Tick(0));
    /// timers.insert(Tick(1_000), 42).expect("there is a free slot");
    /// assert_eq!(timers.next_deadline_exact(), Some(Tick(1_000)));
    /// assert_eq!(timers.next_wake(), Some(Tick(768)), "when it has to be moved");
    /// ```
    #[must_use]
    pub fn next_deadline_exact(&self) -> Option<Tick> {
        self.wheel.next_deadline_exact(&self.slab)
    }

    /// All pending timers, in slab order: by the slot of their ids, which says nothing of their deadlines. O(slots): free ones
    /// are passed over one by one.
    ///
    /// ```
    /// use horolog_wheel::{Tick, Timers};
    ///
    /// let mut timers = Timers::new(Tick(0));
    /// timers.insert_many(&[(Tick(300), 42), (Tick(100), 43)], &mut Vec::new());
    /// assert!(timers.iter().map(|timer| timer.deadline).eq([Tick(300), Tick(100)]));
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = Entry> + '_ {
        self.slab.iter()
    }

    /// The pending timer `id`.
    #[must_use]
    pub fn get(&self, id: TimerId) -> Option<Entry> {
        self.slab.get(id)
    }

    /// Bytes of memory taken from the allocator.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.slab.bytes() + self.wheel.bytes()
    }

    /// The time it is here.
    #[must_use]
    pub fn now(&self) -> Tick {
        self.wheel.now()
    }

    /// How many timers are pending.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Is nothing pending?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }
}
