//! Slots and time: which entries are due, in tick order.
//!
//! A wheel holds the entries of a [`Slab`] that are armed in it, each due at a [`Tick`]. It has no clock:
//! callers say what time it is with [`Wheel::advance`]. It runs no user code; what is due comes back as ids.
//!
//! # Geometry
//!
//! Write a tick in base 256. The level of an entry is the highest digit in which its deadline differs from
//! now; its slot is that digit of the deadline.
//!
//! | level | one slot spans | ring spans | ring at 1 ms a tick |
//! |-------|----------------|------------|---------------------|
//! | 0     | 1              | 256        | 256 ms              |
//! | 1     | 256            | 65 536     | 66 s                |
//! | 2     | 65 536         | 2^24       | 4.7 hours           |
//! | 3     | 2^24           | 2^32       | 50 days             |
//! | 4     | 2^32           | 2^40       | 35 years            |
//! | 5     | 2^40           | 2^48       | 8 900 years         |
//! | 6     | 2^48           | 2^56       | 2.3 million years   |
//! | 7     | 2^56           | 2^64       | 585 million years   |
//!
//! Eight levels are all of `u64`: nothing is too far away, nothing is clamped, and there is no overflow list.
//! Entries of a level agree with now in all higher digits, so a slot never means two times, and everything on
//! a level is due before anything on the level above: no later entry can hide an earlier one.
//!
//! # Example of a cascade
//!
//! At `now = 0` an entry due at 1 000 = (3)(232) hangs in level 1, slot 3, which starts at 768. Time can jump
//! to any tick before 768 without a look at it. When time reaches 768 the slot is emptied: the entry, whose
//! highest differing digit is now the last, drops to level 0, slot 232. At 1 000 it is due, having moved
//! once. An entry moves at most once for each level, seven times in all, however far away it starts.
//!
//! # Stopping in the middle
//!
//! Each entry touched costs one unit of the budget, due or only moved. When it runs out, time stops at the
//! tick at work and [`Progress::More`] says so. The slots that the present tick is in are then not empty yet;
//! they are emptied before time moves on. Cancelling, rescheduling and inserting in between is ordinary.
//!
//! # Invariants (checked by [`Wheel::check`] after every step in tests)
//!
//! - **W1** The entries of a slot form one ring, forwards and backwards, all armed here and all knowing their
//!   place.
//! - **W2** An entry hangs where the geometry of (now, deadline) says, or in a slot that now is in and whose
//!   span contains its deadline: that slot has still to be emptied.
//! - **W3** The bit of a slot is set exactly when its ring has entries.
//! - **W4** `len` is the number of entries in all rings, and of all entries of the slab armed here.
//! - **W5** No slot of a level is occupied below the one now is in.
//!
//! Source: Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", SOSP 1987, scheme 7.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use crate::geometry::{LEVELS, Place};
use crate::level::Level;
use crate::slab::{Cell, Lane, Slab, State};
use crate::{Tick, TimerId};

mod check;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

/// How far [`Wheel::advance`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "after `More` there is work left: advance again"]
pub enum Progress {
    /// Time is where the caller said, and everything due by then came out.
    Done,
    /// The budget ran out first. Call again with the same or a later now.
    More,
}

/// The entries of a [`Slab`] that are armed, ordered by time.
///
/// One slab can have two wheels, one for each [`Lane`]. A wheel must be given the same slab for its whole
/// life: with another it panics no more than ever, but timers are lost.
///
/// ```
/// use horolog_wheel::{Lane, Progress, Slab, Tick, Wheel};
///
/// let mut slab = Slab::new();
/// let mut wheel = Wheel::new(Lane::First, Tick(0));
/// let id = slab.reserve().expect("there is a free slot");
/// slab.occupy(id, Tick::ZERO, 42)?;
/// assert!(wheel.insert(&mut slab, id, Tick(1_000)));
/// assert_eq!(wheel.next_wake(), Some(Tick(768)), "when it has to be moved");
///
/// let mut due = Vec::new();
/// assert_eq!(wheel.advance(&mut slab, Tick(999), 256, &mut due), Progress::Done);
/// assert_eq!(due, [], "never early");
/// assert_eq!(wheel.advance(&mut slab, Tick(1_000), 256, &mut due), Progress::Done);
/// assert_eq!(due, [id]);
/// assert_eq!(slab.get(id).map(|entry| entry.armed), Some(None), "live, and in no wheel");
/// # Ok::<(), horolog_wheel::OccupyError>(())
/// ```
pub struct Wheel {
    levels: Box<[Level; LEVELS]>,
    now: Tick,
    len: usize,
    lane: Lane,
}

impl Wheel {
    /// An empty wheel at `now`. Two wheels over one slab take different lanes.
    #[must_use]
    pub fn new(lane: Lane, now: Tick) -> Self {
        Self { levels: Box::new([const { Level::EMPTY }; LEVELS]), now, len: 0, lane }
    }

    /// The wheel's time: everything due before it has come out. It never goes back.
    #[must_use]
    pub fn now(&self) -> Tick {
        self.now
    }

    /// How many entries are armed here.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Is nothing armed here?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of memory taken from the allocator. Entries are the slab's.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.levels)
    }

    /// Arms the live entry `id` for `deadline`; false if it is not live, or is armed already, here or
    /// elsewhere.
    ///
    /// A deadline that has come already is due at the next advance, even one to the same now.
    pub fn insert(&mut self, slab: &mut Slab, id: TimerId, deadline: Tick) -> bool {
        match slab.live_cell_mut(id) {
            Some(cell) if cell.state == State::Live => cell.deadline = deadline,
            _ => return false,
        }
        self.hang(slab, id.slot());
        self.len += 1;
        true
    }

    /// Disarms the entry `id`, which stays live; false if it is not armed here.
    pub fn cancel(&mut self, slab: &mut Slab, id: TimerId) -> bool {
        let Some(place) = self.place_of(slab, id) else { return false };
        self.take_down(slab, place, id.slot());
        self.disarm(slab, id.slot());
        true
    }

    /// Moves the deadline of the entry `id`, earlier or later; false if it is not armed here.
    pub fn reschedule(&mut self, slab: &mut Slab, id: TimerId, deadline: Tick) -> bool {
        let Some(place) = self.place_of(slab, id) else { return false };
        self.take_down(slab, place, id.slot());
        if let Some(cell) = slab.cell_mut(id.slot()) {
            cell.deadline = deadline;
        }
        self.hang(slab, id.slot());
        true
    }

    /// Moves time to `now` and appends to `due` what has become due, in ascending tick order, also over
    /// several calls; within a tick the order is not defined. An entry armed after its deadline counts for
    /// the tick at which it was armed. What comes out is live and unarmed.
    ///
    /// Time never goes back: an earlier `now` is taken as the wheel's own. At most `budget` entries are
    /// touched, due ones and those that only move closer alike; the work is O(levels) for each, and O(levels)
    /// for a jump over empty time of any length. With [`Progress::Done`] the wheel is at `now`; with
    /// [`Progress::More`] it stopped at [`Wheel::now`] and has lost nothing. With a budget of 0 nothing is
    /// touched, and time moves only if there was nothing to touch.
    pub fn advance(&mut self, slab: &mut Slab, now: Tick, budget: u32, due: &mut Vec<TimerId>) -> Progress {
        let target = now.max(self.now);
        let mut left = budget;
        loop {
            if let Some(place) = self.unsettled() {
                if !self.settle(slab, place, &mut left, due) {
                    return Progress::More;
                }
                continue;
            }
            match self.next_start() {
                Some(start) if start <= target && left == 0 => return Progress::More,
                Some(start) if start <= target => self.now = start,
                _ => {
                    self.now = target;
                    return Progress::Done;
                }
            }
        }
    }

    /// When to advance next: no entry is due before it. `None` if the wheel is empty.
    ///
    /// It can be early, if entries have to be moved closer at that tick; never late. It is [`Wheel::now`] if
    /// something is due already, or was left by an advance. Advancing there with a budget brings the answer
    /// forward: after at most eight wakes for each entry the wheel is empty. O(levels).
    #[must_use]
    pub fn next_wake(&self) -> Option<Tick> {
        if self.unsettled().is_some() { Some(self.now) } else { self.next_start() }
    }

    /// The earliest deadline of all entries armed here; before [`Wheel::now`] if one was armed late.
    ///
    /// Exact, and so dearer than [`next_wake`](Self::next_wake): looks through the first occupied slot, and
    /// while entries of the present tick wait through two more at most.
    #[must_use]
    pub fn next_deadline_exact(&self, slab: &Slab) -> Option<Tick> {
        let mut earliest: Option<Tick> = None;
        for place in self.unsettled_places().chain(self.next_places()) {
            if earliest.is_none_or(|earliest| place.start(self.now) < earliest) {
                earliest = self.earliest_in(slab, place).into_iter().chain(earliest).min();
            }
        }
        earliest
    }
}

impl fmt::Debug for Wheel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lane, now, len, .. } = self;
        f.debug_struct("Wheel")
            .field("lane", lane)
            .field("now", now)
            .field("len", len)
            .finish_non_exhaustive()
    }
}

/// Time.
impl Wheel {
    /// Empties the slot `place`, which now is in; false if the budget ran out first.
    fn settle(&mut self, slab: &mut Slab, place: Place, left: &mut u32, due: &mut Vec<TimerId>) -> bool {
        while let Some(index) = self.level(place).head(place.slot()) {
            if *left == 0 {
                return false;
            }
            *left -= 1;
            if !self.settle_entry(slab, place, index, due) {
                // The slab is not the one these entries were armed in. Forget the slot: it would never get
                // empty.
                self.level_mut(place).clear(place.slot());
            }
        }
        true
    }

    /// Takes one entry out of `place`: it is due, or closer now. False if it is not armed there.
    fn settle_entry(&mut self, slab: &mut Slab, place: Place, index: u32, due: &mut Vec<TimerId>) -> bool {
        let Some(cell) = slab.cell(index).filter(|cell| self.holds(cell, place)) else { return false };
        let (deadline, id) = (cell.deadline, TimerId::new(index, cell.generation));
        self.take_down(slab, place, index);
        if deadline > self.now {
            self.hang(slab, index);
        } else {
            self.disarm(slab, index);
            due.extend(id);
        }
        true
    }

    /// A slot that now is in and that is not empty: work to be done before time moves on.
    fn unsettled(&self) -> Option<Place> {
        self.unsettled_places().next()
    }

    fn unsettled_places(&self) -> impl Iterator<Item = Place> + '_ {
        let current = (0..LEVELS).map(|level| Place::current(level, self.now));
        current.filter(|place| self.level(*place).is_occupied(place.slot()))
    }

    /// The first tick after now at which a slot has to be emptied.
    fn next_start(&self) -> Option<Tick> {
        self.next_places().map(|place| place.start(self.now)).min()
    }

    /// On each level, the first occupied slot after the one now is in.
    fn next_places(&self) -> impl Iterator<Item = Place> + '_ {
        self.levels.iter().enumerate().filter_map(|(number, level)| {
            let current = Place::current(number, self.now);
            level.next_occupied(current.slot()).map(|slot| Place::new(number, slot))
        })
    }

    fn earliest_in(&self, slab: &Slab, place: Place) -> Option<Tick> {
        let ring = self.ring(slab, place);
        ring.filter_map(|index| slab.cell(index)).map(|cell| cell.deadline).min()
    }
}

/// Places.
impl Wheel {
    /// Hangs an entry that is in no ring where its deadline belongs, and arms it.
    fn hang(&mut self, slab: &mut Slab, index: u32) {
        let Some(cell) = slab.cell_mut(index) else { return };
        let place = Place::of(cell.deadline, self.now);
        cell.place = place;
        cell.state = State::Armed(self.lane);
        self.level_mut(place).push(slab, place.slot(), index);
    }

    /// Takes an entry out of its ring. It still counts as armed.
    fn take_down(&mut self, slab: &mut Slab, place: Place, index: u32) {
        self.level_mut(place).remove(slab, place.slot(), index);
    }

    fn disarm(&mut self, slab: &mut Slab, index: u32) {
        if let Some(cell) = slab.cell_mut(index) {
            cell.state = State::Live;
        }
        self.len = self.len.saturating_sub(1);
    }

    /// Where the entry `id` hangs, if it is live and armed here.
    fn place_of(&self, slab: &mut Slab, id: TimerId) -> Option<Place> {
        let cell = slab.live_cell_mut(id)?;
        (cell.state == State::Armed(self.lane)).then_some(cell.place)
    }

    /// Is this the cell of an entry that hangs in `place` of this wheel?
    fn holds(&self, cell: &Cell, place: Place) -> bool {
        cell.state == State::Armed(self.lane) && cell.place == place
    }

    /// The entries in `place`, as far as they are what they should be; at most as many as are armed here.
    fn ring<'a>(&'a self, slab: &'a Slab, place: Place) -> impl Iterator<Item = u32> + 'a {
        let head = self.level(place).head(place.slot());
        let onwards = move |index: &u32| slab.next(*index).filter(|next| Some(*next) != head);
        core::iter::successors(head, onwards).take(self.len)
    }

    fn level(&self, place: Place) -> &Level {
        &self.levels[place.level()]
    }

    fn level_mut(&mut self, place: Place) -> &mut Level {
        &mut self.levels[place.level()]
    }
}
