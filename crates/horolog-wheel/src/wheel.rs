//! Slots and time: which entries are due, in tick order.
//!
//! A wheel orders the entries of a [`Slab`] that are armed in it, each due at a [`Tick`]. It has no clock: callers say what
//! time it is with [`Wheel::advance`]. What is due comes back as ids.
//!
//! # What moves is apart from what is addressed
//!
//! A wheel that links its entries waits for each of them to be read to learn where the next one is: at a million timers
//! that is a cache miss for every entry moved. Here the slots hold *items* of eight bytes, packed in chunks
//! ([`chunk`](crate::chunk)), and an item says all that moving it takes. Only firing an entry, or cancelling it, touches
//! the entry. A cancel changes the entry and leaves its item behind; whoever comes across a stale item drops it
//! ([`item`](crate::item) says how they are told apart).
//!
//! # Geometry
//!
//! Eight levels of 512 slots; a slot of level `l` spans `256^l` ticks. A tick belongs to the lowest level that sees it.
//!
//! | level | one slot spans | the level sees | at 1 ms a tick |
//! |-------|----------------|----------------|----------------|
//! | 0     | 1              | 512            | half a second  |
//! | 1     | 256            | 2^17           | 2 minutes      |
//! | 2     | 65 536         | 2^25           | 9 hours        |
//! | 3     | 2^24           | 2^33           | 99 days        |
//! | 4     | 2^32           | 2^41           | 69 years       |
//! | 5     | 2^40           | 2^49           | 17 800 years   |
//! | 6     | 2^48           | 2^57           | 4.5 million years |
//! | 7     | 2^56           | all of `u64`   | 585 million years |
//!
//! Nothing is too far away, nothing is clamped, and there is no overflow list. A level is made when it is first needed.
//!
//! # A cascade in crumbs
//!
//! When time comes to a slot of level 1 or above, its items move to the levels below. All of the *next* slot of a level
//! is seen by the level below, and nothing new comes to it, so it is emptied ahead of its time: at each look, as many
//! items as time has passed in proportion, in crumbs of 32 at least. What is left when time comes there is moved then.
//!
//! # Stopping in the middle
//!
//! Each item come across costs one unit of the budget, whatever becomes of it. When the budget runs out, time stops at
//! the tick at work and [`Progress::More`] says so. The slots that the present tick is in are then not empty yet; they are
//! emptied before time moves on. Cancelling, rescheduling and inserting in between is ordinary.
//!
//! # Moving a deadline
//!
//! Later: the entry says so, and its item stays where it is; come across too early, it moves on. Earlier: a new item, and
//! the old one is stale; but if it is known that the old one is come across in time, it stays as well.
//!
//! # Invariants (checked by [`Wheel::check`] after every step in tests)
//!
//! - **W1** Every entry armed here has a current item in a slot that starts no later than its deadline, or now.
//! - **W2** An item is in a slot that its level sees from now.
//! - **W3** The bit of a slot is set exactly when the slot has items.
//! - **W4** `len` is the number of entries of the slab armed here; `items` is the number of items.
//! - **W5** Nothing is to be done before `look_at`: no slot of level 0 before it has items, no other starts before it, and
//!   none of a higher level before `look_above`.
//! - **W6** After a cancel or a move there are at most `2 * len` items, a constant, what one sweep could not yet look at,
//!   and the doubles of current items: of those that an entry had at the same tick, one in 256 has the same tag.
//! - **W7** Of the next slot of a level, while it is emptied ahead, no more items are left than there were at first.
//!
//! Sources: Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", SOSP 1987, scheme 7; the window of two spans
//! after Linux' overlapping levels (2016) and Eiffel's swapped windows (NSDI 2019). What is new is in
//! `docs/decisions/0001-packed-items.md`, with its figures.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use crate::chunk::{LARGE, Pool, Stack};
use crate::geometry::{LEVELS, level_of, number, ring, shift, start};
use crate::item::{Item, LOW_BITS, Mark};
use crate::level::Level;
use crate::slab::{Lane, Slab, State};
use crate::{Tick, TimerId};

mod advance;
#[cfg(test)]
mod ceiling;
mod check;
#[cfg(test)]
mod edge_cases;
#[cfg(test)]
mod history;
mod load;
#[cfg(test)]
mod model;
#[cfg(test)]
mod pair;
mod sweep;
#[cfg(test)]
mod tests;

use advance::WORTH_AHEAD;
#[cfg(test)]
pub(crate) use sweep::SLACK;
use sweep::Sweep;

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
    levels: [Option<Box<Level>>; LEVELS],
    pool: Pool,
    /// Items on their way from one stack to others. Empty between calls.
    run: Vec<Item>,
    /// The items of the present tick that are handed out. Empty once they are. What is armed meanwhile, for this tick too,
    /// has its turn after them: an owner that arms again what it is given, in calls of a small budget, gets everything else
    /// as well.
    due: Stack,
    sweep: Sweep,
    now: Tick,
    /// Until this tick, time passes without a look at anything. `None`: for ever.
    look_at: Option<Tick>,
    /// Until this tick, time passes without a look at levels above the lowest.
    look_above: Option<Tick>,
    len: usize,
    /// Current and stale ones.
    items: usize,
    lane: Lane,
}

impl Wheel {
    /// An empty wheel at `now`. Two wheels over one slab take different lanes.
    #[must_use]
    pub fn new(lane: Lane, now: Tick) -> Self {
        Self {
            levels: [const { None }; LEVELS],
            pool: Pool::new(),
            run: Vec::new(),
            due: Stack::EMPTY,
            sweep: Sweep::NONE,
            now,
            look_at: None,
            look_above: None,
            len: 0,
            items: 0,
            lane,
        }
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

    /// How many items the slots hold: one for each entry armed here, and stale ones that nobody has come across yet.
    #[must_use]
    pub fn items(&self) -> usize {
        self.items
    }

    /// Is nothing armed here?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Before this tick, time passes without a look at anything; `None`: for ever.
    #[cfg(feature = "std")]
    #[inline]
    pub(crate) fn look_at(&self) -> Option<Tick> {
        self.look_at
    }

    /// Bytes of memory taken from the allocator. Entries are the slab's.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let levels = self.levels.iter().flatten().count() * size_of::<Level>();
        levels + self.pool.bytes() + self.run.capacity() * size_of::<Item>()
    }

    /// Arms the live entry `id` for `deadline`; false if it is not live, or is armed already, here or
    /// elsewhere.
    ///
    /// A deadline that has come already is due at the next advance, even one to the same now. O(1).
    #[inline]
    pub fn insert(&mut self, slab: &mut Slab, id: TimerId, deadline: Tick) -> bool {
        let tick = deadline.max(self.now);
        let armed = State::armed(self.lane);
        let mark = match slab.cell_mut(id.slot()) {
            Some(cell) if cell.is(id.generation(), State::Live) => {
                cell.deadline = deadline;
                cell.arm(armed, tick)
            }
            _ => return false,
        };
        self.len += 1;
        self.add(Item::new(id.slot(), mark), tick);
        true
    }

    /// Makes an entry and arms it, in one step: its id; `None` if the slab is full.
    #[inline]
    pub fn insert_new(&mut self, slab: &mut Slab, deadline: Tick, word: u64) -> Option<TimerId> {
        let tick = deadline.max(self.now);
        let armed = State::armed(self.lane);
        let (slot, generation, mark) = slab.begin(deadline, word, |cell| cell.arm(armed, tick))?;
        self.len += 1;
        self.add(Item::new(slot, mark), tick);
        TimerId::new(slot, generation)
    }

    /// Disarms the entry `id`, and ends and frees it, in one step: its payload word; `None` if it is not armed here.
    #[inline]
    pub fn remove(&mut self, slab: &mut Slab, id: TimerId) -> Option<u64> {
        let armed = State::armed(self.lane);
        let word = slab.finish(id.slot(), |cell| cell.is(id.generation(), armed))?.word;
        self.len = self.len.saturating_sub(1);
        self.keep_bound(slab);
        Some(word)
    }

    /// Disarms the entry `id`, which stays live; false if it is not armed here.
    ///
    /// O(1), amortised: while there are many stale items, a cancel looks at up to 64 of them.
    #[inline]
    pub fn cancel(&mut self, slab: &mut Slab, id: TimerId) -> bool {
        match slab.cell_mut(id.slot()) {
            Some(cell) if cell.is(id.generation(), State::armed(self.lane)) => cell.set_state(State::Live),
            _ => return false,
        }
        self.len = self.len.saturating_sub(1);
        self.keep_bound(slab);
        true
    }

    /// Calls [`cancel`](Self::cancel) for each of `ids`, and appends to `cancelled` what it says.
    ///
    /// At a million entries and more a cancel waits for its entry to come from memory. Asked for ahead, several are on
    /// their way at a time.
    pub fn cancel_many(&mut self, slab: &mut Slab, ids: &[TimerId], cancelled: &mut Vec<bool>) {
        self.each_of_many(
            slab,
            ids,
            |id| id.slot(),
            |wheel, slab, id| cancelled.push(wheel.cancel(slab, *id)),
        );
    }

    /// As [`cancel_many`](Self::cancel_many), for [`remove`](Self::remove).
    pub fn remove_many(&mut self, slab: &mut Slab, ids: &[TimerId], words: &mut Vec<Option<u64>>) {
        self.each_of_many(slab, ids, |id| id.slot(), |wheel, slab, id| words.push(wheel.remove(slab, *id)));
    }

    fn each_of_many<T>(
        &mut self,
        slab: &mut Slab,
        many: &[T],
        slot_of: impl Fn(&T) -> u32,
        mut each: impl FnMut(&mut Self, &mut Slab, &T),
    ) {
        if !slab.is_large() {
            return many.iter().for_each(|one| each(self, slab, one));
        }
        many.iter().take(ASKED_AHEAD).for_each(|one| slab.prefetch(slot_of(one)));
        for (at, one) in many.iter().enumerate() {
            if let Some(later) = many.get(at + ASKED_AHEAD) {
                slab.prefetch(slot_of(later));
            }
            each(self, slab, one);
        }
    }

    /// Moves the deadline of the entry `id`, earlier or later; false if it is not armed here. O(1), as a cancel.
    #[inline]
    pub fn reschedule(&mut self, slab: &mut Slab, id: TimerId, deadline: Tick) -> bool {
        let tick = deadline.max(self.now);
        let mark = match slab.cell_mut(id.slot()) {
            Some(cell) if cell.is(id.generation(), State::armed(self.lane)) => {
                let is_in_time = deadline >= cell.deadline
                    || item_tick(cell.mark, cell.deadline, self.now).is_some_and(|item| item <= tick);
                cell.deadline = deadline;
                if is_in_time {
                    // Its item is come across by then, and goes on if that is too early.
                    return true;
                }
                cell.mark = cell.mark.next(tick.0);
                cell.mark
            }
            _ => return false,
        };
        self.add(Item::new(id.slot(), mark), tick);
        self.keep_bound(slab);
        true
    }

    /// Moves time to `now` and appends to `due` everything that has become due, however much it is: [`advance`](Self::advance)
    /// with no limit. Says when to come again, as [`next_wake`](Self::next_wake) does: a tick after the wheel's time, never
    /// later than the next deadline; `None` if nothing is armed.
    ///
    /// So a program that need not share its thread is a loop of two lines: drain, and sleep until what that said.
    /// O(levels) for each item come across, due, moved or stale.
    ///
    /// ```
    /// use horolog_wheel::{Lane, Slab, Tick, Wheel};
    ///
    /// let mut slab = Slab::new();
    /// let mut wheel = Wheel::new(Lane::First, Tick(0));
    /// let id = wheel.insert_new(&mut slab, Tick(1_000), 42).expect("there is a free slot");
    /// let mut due = Vec::new();
    /// assert_eq!(wheel.drain_due(&mut slab, Tick(999), &mut due), Some(Tick(1_000)));
    /// assert_eq!(wheel.drain_due(&mut slab, Tick(1_000), &mut due), None);
    /// assert_eq!(due, [id]);
    /// ```
    pub fn drain_due(&mut self, slab: &mut Slab, now: Tick, due: &mut Vec<TimerId>) -> Option<Tick> {
        while self.advance(slab, now, u32::MAX, due) == Progress::More {}
        self.next_wake()
    }

    /// When to advance next: no entry is due before it. `None` if the wheel is empty.
    ///
    /// It can be early, if items have to be moved closer at that tick, or stale ones are left there; never late. A slot of
    /// thousands is moved closer in parts, ahead of its time: whoever sleeps from wake to wake finds little left to do when
    /// they are due. It is [`Wheel::now`] if something is due already. Advancing there with a budget brings the answer
    /// forward: each item costs eight wakes at most. O(levels).
    #[must_use]
    pub fn next_wake(&self) -> Option<Tick> {
        if self.is_empty() {
            return None;
        }
        let firsts = self.levels.iter().enumerate().filter_map(|(level, found)| {
            let home = found.as_deref()?;
            let current = number(level, self.now);
            let first = home.next_occupied(current, current)?;
            Some(self.wake_for(home, level, first).max(self.now))
        });
        firsts.min()
    }

    /// The earliest deadline of all entries armed here; before [`Wheel::now`] if one was armed late.
    ///
    /// Exact, and so dearer than [`next_wake`](Self::next_wake): it reads the entries of the first slot with current
    /// items on each level, and of all slots before them.
    #[must_use]
    pub fn next_deadline_exact(&self, slab: &Slab) -> Option<Tick> {
        let mut earliest: Option<Tick> = None;
        for (level, found) in self.levels.iter().enumerate() {
            let Some(found) = found.as_deref() else { continue };
            let current = number(level, self.now);
            let mut next = found.next_occupied(current, current);
            while let Some(number) = next {
                if earliest.is_some_and(|earliest| start(level, number) > earliest) {
                    break;
                }
                earliest = self.earliest_in(slab, level, number).into_iter().chain(earliest).min();
                next = number.checked_add(1).and_then(|from| found.next_occupied(current, from));
            }
        }
        earliest
    }

    fn earliest_in(&self, slab: &Slab, level: usize, number: u64) -> Option<Tick> {
        let cells = self.items_in(level, ring(number)).filter_map(|item| {
            slab.cell(item.slot()).filter(|cell| cell.is_armed_by(self.lane, item.mark()))
        });
        cells.map(|cell| cell.deadline).min()
    }

    /// All items of a slot, those kept by a sweep and those that are handed out included.
    fn items_in(&self, level: usize, place: usize) -> impl Iterator<Item = Item> + '_ {
        let stack = self.levels[level].as_deref().map_or(Stack::EMPTY, |level| level.stacks[place]);
        let kept = if self.sweep.is_at(level, place) { self.sweep.kept } else { Stack::EMPTY };
        let is_present = level == 0 && place == ring(self.now.0);
        let due = if is_present { self.due } else { Stack::EMPTY };
        [stack, kept, due].into_iter().flat_map(|stack| self.pool.iter(stack))
    }

    /// A new item, for an entry due at `tick` which has not passed.
    #[inline]
    fn add(&mut self, item: Item, tick: Tick) {
        self.items += 1;
        self.file_and_look(item, tick);
    }

    /// Puts an item where its tick belongs, and sees to it that somebody looks there in time.
    #[inline]
    fn file_and_look(&mut self, item: Item, tick: Tick) {
        let (level, number, len) = self.file(item, tick);
        if level == 0 {
            self.look_at = earlier(self.look_at, tick);
            return;
        }
        // A slot that is worth emptying ahead of time is looked at when it becomes the next.
        let ahead = u64::from(len >= WORTH_AHEAD);
        let at = start(level, number - ahead);
        if self.look_above.is_none_or(|look| at < look) {
            self.look_above = Some(at);
            self.look_at = earlier(self.look_at, at);
        }
    }

    /// Puts an item where its tick belongs. Says where that is, and how many items are there now.
    #[inline]
    fn file(&mut self, item: Item, tick: Tick) -> (usize, u64, u32) {
        let level = level_of(tick, self.now);
        let number = number(level, tick);
        let home = self.levels[level].get_or_insert_with(|| Box::new(Level::EMPTY));
        let place = ring(number);
        let stack = &mut home.stacks[place];
        self.pool.push(stack, item);
        let len = stack.len();
        if len == 1 {
            home.occupied.insert(place);
        }
        (level, number, len)
    }
}

/// The earlier of two ticks, of which the first may be never.
#[inline]
fn earlier(one: Option<Tick>, other: Tick) -> Option<Tick> {
    Some(one.map_or(other, |one| one.min(other)))
}

/// How far ahead entries are asked for: two lines each at most, a quarter of the nearest cache.
const ASKED_AHEAD: usize = LARGE;

/// Where the item of an armed entry stands, if that is known: not before now and not after the deadline, and so in one
/// place only if those are less than the bits of a mark apart.
fn item_tick(mark: Mark, deadline: Tick, now: Tick) -> Option<Tick> {
    let span = deadline.saturating_since(now);
    let ahead = mark.low().wrapping_sub(now.0) & ((1 << LOW_BITS) - 1);
    (span < 1 << LOW_BITS && ahead <= span).then(|| now.saturating_add(ahead))
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
