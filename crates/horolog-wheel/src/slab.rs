//! Entries, ids and payload words; no wheel, no time.
//!
//! The slab is one long row of slots. An entry lives in a slot, and its [`TimerId`] says which slot and which
//! of that slot's lives it is, so finding an entry is reading an array. Slots are stored in segments of
//! [`SEGMENT_SLOTS`], allocated when first used and never moved.
//!
//! # The life of a slot
//!
//! | state | id known as | left by |
//! |-------|-------------|---------|
//! | free | | [`reserve`](Slab::reserve), [`occupy`](Slab::occupy) |
//! | reserved | [`Unknown`](Lookup::Unknown) | [`occupy`](Slab::occupy), [`unreserve`](Slab::unreserve) |
//! | live, armed in a wheel or not | [`Live`](Lookup::Live) | [`end`](Slab::end) |
//! | ended | [`Ended`](Lookup::Ended) | [`free`](Slab::free) |
//!
//! Reserving is apart from occupying so that a caller knows an id before it decides; ending is apart from
//! freeing so that a slot is used again only when its end is safe on disk. A slot whose generations are used
//! up is *retired*: it is free, and skipped for ever.
//!
//! Ids are never given twice, not even over a crash: `floors.rs` says how.
//!
//! # Invariants (checked by [`Slab::check`])
//!
//! - **S1** `len` is the number of live cells.
//! - **S2** No cell has a generation above the highest known of its segment.
//! - **S3** A segment never has more cells than it was allocated with.
//! - **S4** A free stack, if there is one, has every usable free slot once, and no slot that is taken.
//! - **S5** No slot at or above `slots` is taken, and `slots` is not above `slots_max`.

use alloc::vec::Vec;

use crate::{Tick, TimerId};
pub(crate) use cell::{Cell, State};
pub use error::OccupyError;
use segment::Segment;

mod cell;
mod check;
mod error;
mod floors;
mod segment;
#[cfg(test)]
mod tests;

/// Slots of one segment: the unit of allocation, and of generation floors.
///
/// Slot `s` is in segment `s / SEGMENT_SLOTS`.
pub const SEGMENT_SLOTS: u32 = 1 << 16;

/// Which of two wheels: an engine has one slab and two wheels, and an entry is armed in one of them at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// The first wheel.
    First,
    /// The second wheel.
    Second,
}

/// A live entry, as it was when asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub id: TimerId,
    /// When it is due, on the axis of its wheel.
    pub deadline: Tick,
    /// What its owner keeps with it: a payload, or where to find one.
    pub word: u64,
    /// The wheel it is armed in.
    pub armed: Option<Lane>,
}

/// What a slab knows of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lookup {
    /// It is live.
    Live,
    /// Its time is over: this or a later life of the slot was occupied.
    ///
    /// A generation that a raised floor skipped counts as ended too. It may have been handed out and lost in
    /// a crash.
    Ended,
    /// This slab never handed it out, as far as it knows.
    Unknown,
}

/// Entries by id. See the [crate] for where it stands, and each method for what it keeps.
///
/// ```
/// use horolog_wheel::{Lookup, Slab, Tick};
///
/// let mut slab = Slab::new();
/// let id = slab.reserve().expect("there is a free slot");
/// slab.occupy(id, Tick(500), 42)?;
/// assert_eq!(slab.get(id).map(|entry| entry.word), Some(42));
///
/// slab.end(id);
/// assert_eq!(slab.lookup(id), Lookup::Ended);
/// slab.free(id);
/// let next = slab.reserve().expect("there is a free slot");
/// assert_eq!(next.slot(), id.slot(), "the slot is used again");
/// assert_ne!(next, id, "the id is not");
/// # Ok::<(), horolog_wheel::OccupyError>(())
/// ```
#[derive(Debug)]
pub struct Slab {
    segments: Vec<Segment>,
    /// Free slots, the next one to use last. `None` after entries were put in places of their callers'
    /// choice: then nobody knows which slots are free until [`rebuild_free`](Slab::rebuild_free) looks.
    free: Option<Vec<u32>>,
    live: usize,
    slots: u32,
    slots_max: u32,
    /// The floor that segments not yet present will have.
    floor_base: u32,
    /// Generations up to this one belong to other slabs.
    origin: u32,
}

impl Default for Slab {
    fn default() -> Self {
        Self::new()
    }
}

/// Ids and their lives.
impl Slab {
    /// An empty slab that can grow to 2^32 - 1 slots.
    ///
    /// If ids come from outside (a log, a network), prefer [`with_slots_max`](Self::with_slots_max).
    #[must_use]
    pub const fn new() -> Self {
        Self::with_slots_max(u32::MAX)
    }

    /// An empty slab that never has more than `slots_max` slots, whatever ids it is asked to occupy.
    ///
    /// The limit bounds memory against hostile ids: 32 bytes for each slot below it, at worst.
    #[must_use]
    pub const fn with_slots_max(slots_max: u32) -> Self {
        let free = Some(Vec::new());
        Self { segments: Vec::new(), free, live: 0, slots: 0, slots_max, floor_base: 0, origin: 0 }
    }

    /// Takes a free slot and says the id its entry will have; `None` if all slots are in use or retired.
    ///
    /// Nothing is live yet: follow with [`occupy`](Self::occupy), or give it back with
    /// [`unreserve`](Self::unreserve). The slot freed last is used first; with none free the slab grows by
    /// one.
    ///
    /// O(1), except that the first call after a replay has to look at all slots if
    /// [`rebuild_free`](Self::rebuild_free) was not called.
    pub fn reserve(&mut self) -> Option<TimerId> {
        if self.free.is_none() {
            self.rebuild_free();
        }
        let slot = self.pop_free().or_else(|| self.fresh_slot())?;
        let generation = self.next_generation(slot)?;
        self.store(slot)?.reserve(generation);
        TimerId::new(slot, generation)
    }

    /// Gives back an id that was reserved and not occupied; false if `id` is no such id.
    ///
    /// As nobody has seen it live, the same id may be handed out again.
    pub fn unreserve(&mut self, id: TimerId) -> bool {
        match self.cell_mut(id.slot()) {
            Some(cell) if cell.is_reserved_for(id.generation()) => cell.state = State::Free,
            _ => return false,
        }
        self.push_free(id.slot());
        true
    }

    /// Makes the entry `id` live, and unarmed.
    ///
    /// `id` comes from [`reserve`](Self::reserve), or is any id that was never live before: replay names ids
    /// in any order, and the slab grows to hold them. Replay need not reserve anything; call
    /// [`rebuild_free`](Self::rebuild_free) after it.
    ///
    /// # Errors
    ///
    /// - [`OccupyError::SlotOutOfRange`]: beyond the limit of [`with_slots_max`](Self::with_slots_max).
    /// - [`OccupyError::Live`]: the slot is held by a live entry, or by an ended one that is not freed yet.
    /// - [`OccupyError::StaleGeneration`]: the slot has had this generation or a later one.
    pub fn occupy(&mut self, id: TimerId, deadline: Tick, word: u64) -> Result<(), OccupyError> {
        let (slot, generation, slots_max) = (id.slot(), id.generation(), self.slots_max);
        let out_of_range = OccupyError::SlotOutOfRange { slot, slots_max };
        let cell = self.store(slot).ok_or(out_of_range)?;
        if let Some(holder) = cell.id(slot).filter(|_| cell.is_held()) {
            return Err(OccupyError::Live { holder });
        }
        if generation <= cell.generation {
            return Err(OccupyError::StaleGeneration { generation, last: cell.generation });
        }
        let was_reserved = cell.state == State::Reserved;
        *cell = Cell { deadline, word, generation, state: State::Live, ..*cell };
        self.note_occupied(id, was_reserved);
        Ok(())
    }

    /// Ends the live entry `id`: [`get`](Self::get) no longer finds it, and its slot is not used again yet.
    ///
    /// False if `id` is not live, or if it is armed: cancel it in its wheel first. (A wheel holds on to what
    /// is armed in it; ending that would leave the wheel pointing at nothing.)
    pub fn end(&mut self, id: TimerId) -> bool {
        match self.live_cell_mut(id) {
            Some(cell) if cell.state == State::Live => cell.state = State::Ended,
            _ => return false,
        }
        self.live -= 1;
        true
    }

    /// Frees the slot of the ended entry `id`, to be used again; false if `id` is not ended, or free already.
    pub fn free(&mut self, id: TimerId) -> bool {
        match self.cell_mut(id.slot()) {
            Some(cell) if cell.state == State::Ended && cell.generation == id.generation() => {
                cell.state = State::Free;
            }
            _ => return false,
        }
        self.push_free(id.slot());
        true
    }

    /// After a replay: looks which slots are free. The lowest will be used first. O(slots).
    ///
    /// Slots that [`occupy`](Self::occupy) skipped over are among them; reserved and retired ones are not.
    pub fn rebuild_free(&mut self) {
        let usable = (0..self.slots).rev().filter(|slot| self.is_usable(*slot));
        self.free = Some(usable.collect());
    }
}

/// Reading, and changing what a live entry holds.
impl Slab {
    /// What this slab knows of `id`.
    #[must_use]
    pub fn lookup(&self, id: TimerId) -> Lookup {
        let generation = id.generation();
        match self.cell(id.slot()) {
            Some(cell) if cell.is_live() && cell.generation == generation => Lookup::Live,
            Some(cell) if self.origin < generation && generation <= cell.generation => Lookup::Ended,
            _ => Lookup::Unknown,
        }
    }

    /// The live entry `id`.
    #[must_use]
    pub fn get(&self, id: TimerId) -> Option<Entry> {
        self.cell(id.slot())?.entry(id.slot()).filter(|entry| entry.id == id)
    }

    /// Changes the payload word of the live entry `id`, armed or not; false if it is not live.
    pub fn set_word(&mut self, id: TimerId, word: u64) -> bool {
        self.live_cell_mut(id).map(|cell| cell.word = word).is_some()
    }

    /// Changes the deadline of the live entry `id`; false if it is not live, or is armed (then its wheel must
    /// know: [`Wheel::reschedule`](crate::Wheel::reschedule)).
    pub fn set_deadline(&mut self, id: TimerId, deadline: Tick) -> bool {
        let unarmed = self.live_cell_mut(id).filter(|cell| cell.state == State::Live);
        unarmed.map(|cell| cell.deadline = deadline).is_some()
    }

    /// The live id of `slot`.
    #[must_use]
    pub fn live_at(&self, slot: u32) -> Option<TimerId> {
        self.cell(slot)?.entry(slot).map(|entry| entry.id)
    }

    /// The last generation of `slot` that was ever live; 0 if none was.
    ///
    /// A snapshot needs it of free slots too, to know an ended id from an unknown one after a restart.
    #[must_use]
    pub fn last_generation(&self, slot: u32) -> u32 {
        self.cell(slot).map_or(0, |cell| cell.generation)
    }

    /// All live entries, in slab order. O(slots).
    pub fn iter(&self) -> impl Iterator<Item = Entry> + '_ {
        self.cells().filter_map(|(slot, cell)| cell.entry(slot))
    }

    /// How many entries are live.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live
    }

    /// Is no entry live?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// How many slots there are, free ones included: all slots ever used are below this number. It never
    /// falls.
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.slots
    }

    /// Bytes of memory taken from the allocator. A segment is taken whole and touched as far as it is used.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let segments = self.segments.capacity() * size_of::<Segment>();
        let cells: usize = self.segments.iter().map(Segment::bytes).sum();
        let free = self.free.as_ref().map_or(0, Vec::capacity) * size_of::<u32>();
        segments + cells + free
    }
}

/// Free slots.
impl Slab {
    /// The free slot to use next. Retired slots are dropped where they turn up: each of them once.
    fn pop_free(&mut self) -> Option<u32> {
        loop {
            let slot = self.free.as_mut()?.pop()?;
            if self.is_usable(slot) {
                return Some(slot);
            }
        }
    }

    fn push_free(&mut self, slot: u32) {
        if let Some(free) = &mut self.free {
            free.push(slot);
        }
    }

    /// The first slot never used, beyond segments whose floors leave no generation.
    fn fresh_slot(&self) -> Option<u32> {
        let mut slot = self.slots;
        while slot < self.slots_max {
            if self.is_usable(slot) {
                return Some(slot);
            }
            slot = (slot | (SEGMENT_SLOTS - 1)).saturating_add(1);
        }
        None
    }

    /// Is `slot` free, and has it a generation left?
    fn is_usable(&self, slot: u32) -> bool {
        let is_free = self.cell(slot).is_none_or(|cell| cell.state == State::Free);
        is_free && self.next_generation(slot).is_some()
    }

    fn next_generation(&self, slot: u32) -> Option<u32> {
        let floor = self.floor(slot / SEGMENT_SLOTS);
        self.cell(slot).unwrap_or(&Cell::VACANT).next_generation(floor)
    }

    /// What changes in the slab, besides the cell, when `id` becomes live.
    fn note_occupied(&mut self, id: TimerId, was_reserved: bool) {
        self.live += 1;
        if !was_reserved {
            // The slot may lie on the stack, or slots below it may have been skipped. Keeping the stack exact
            // here would cost replay a search, and appending to it while replay frees would let it grow
            // without bound.
            self.free = None;
        }
        if let Some(segment) = self.segments.get_mut(segment_of(id.slot())) {
            segment.highest = segment.highest.max(id.generation());
        }
    }
}

/// Cells, for the wheels of this crate.
impl Slab {
    pub(crate) fn cell(&self, slot: u32) -> Option<&Cell> {
        self.segments.get(segment_of(slot))?.cells().get(cell_of(slot))
    }

    pub(crate) fn cell_mut(&mut self, slot: u32) -> Option<&mut Cell> {
        self.segments.get_mut(segment_of(slot))?.cell_mut(cell_of(slot))
    }

    pub(crate) fn live_cell_mut(&mut self, id: TimerId) -> Option<&mut Cell> {
        self.cell_mut(id.slot()).filter(|cell| cell.is_live() && cell.generation == id.generation())
    }

    /// All stored cells, with their slots.
    pub(crate) fn cells(&self) -> impl Iterator<Item = (u32, &Cell)> + '_ {
        self.segments.iter().zip(0u32..).flat_map(|(segment, number)| {
            segment.cells().iter().zip(0u32..).map(move |(cell, at)| (number * SEGMENT_SLOTS + at, cell))
        })
    }

    pub(crate) fn prev(&self, slot: u32) -> Option<u32> {
        self.cell(slot).map(|cell| cell.prev)
    }

    pub(crate) fn next(&self, slot: u32) -> Option<u32> {
        self.cell(slot).map(|cell| cell.next)
    }

    pub(crate) fn set_prev(&mut self, slot: u32, prev: u32) {
        if let Some(cell) = self.cell_mut(slot) {
            cell.prev = prev;
        }
    }

    pub(crate) fn set_next(&mut self, slot: u32, next: u32) {
        if let Some(cell) = self.cell_mut(slot) {
            cell.next = next;
        }
    }

    pub(crate) fn set_links(&mut self, slot: u32, prev: u32, next: u32) {
        self.set_prev(slot, prev);
        self.set_next(slot, next);
    }

    /// The cell of `slot`, stored now if it was not; `None` if it is out of range.
    fn store(&mut self, slot: u32) -> Option<&mut Cell> {
        if slot >= self.slots_max {
            return None;
        }
        self.slots = self.slots.max(slot + 1);
        let segment = self.segment_mut(segment_of(slot))?;
        segment.store(cell_of(slot));
        segment.cell_mut(cell_of(slot))
    }

    /// Segment `number`, present now if it was not. Its cells are not allocated yet.
    fn segment_mut(&mut self, number: usize) -> Option<&mut Segment> {
        let present = self.segments.len().max(number + 1);
        self.segments.resize_with(present, || Segment::new(self.floor_base));
        self.segments.get_mut(number)
    }
}

fn segment_of(slot: u32) -> usize {
    (slot / SEGMENT_SLOTS) as usize
}

fn cell_of(slot: u32) -> usize {
    (slot % SEGMENT_SLOTS) as usize
}
