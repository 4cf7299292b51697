//! Entries, ids and payload words; no wheel, no time.
//!
//! The slab is one long row of slots. An entry lives in a slot, and its [`TimerId`] says which slot and which
//! of that slot's lives it is, so finding an entry is reading an array. Cells of 24 bytes are stored in pages of 1 024
//! slots, allocated when first used, never moved, and given back when no slot of theirs is in use (but for one page, and those
//! of slots freed last, and not during a replay). The ids of a page that was given back stay used up.
//!
//! Free slots are known to their page, but for those freed last (`recent.rs`): their pages are told of 128 together. While
//! three quarters of all slots are live, the next entry takes the one freed last; nobody looks for a page, and its cell is
//! at hand. Otherwise entries go to the lowest page with room, so that the others empty.
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
//! - **S2** No cell has a generation above the highest known of its page.
//! - **S3** `spare` is the number of stored pages without a slot in use. Only pages of a slab that draws ids are given back,
//!   and those that were replayed before the floors were raised: later ids are above all generations of theirs.
//! - **S4** Every usable free slot is among the free slots of its page or among the recent ones, once, and no slot that is
//!   taken.
//! - **S5** No slot at or above `slots` is taken, and `slots` is not above `slots_max`.
//! - **S6** `stored` is the number of stored pages.

use alloc::vec::Vec;

use crate::bit_tree::BitTree;
use crate::{GENERATION_MAX, Tick, TimerId};
pub(crate) use cell::{Cell, State};
pub use error::OccupyError;
use page::{PAGE_SLOTS, Page};
use recent::Recent;

mod cell;
mod check;
mod error;
mod floors;
mod page;
mod recent;
#[cfg(test)]
mod tests;

/// Slots of one segment: the unit of generation floors.
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
    pages: Vec<Page>,
    /// Pages with free slots.
    free: BitTree,
    /// Free slots that their pages do not know of yet.
    recent: Recent,
    /// Pages that are stored.
    stored: usize,
    /// The page that new entries go to while it has room, and the floor of its segment.
    at_hand: usize,
    floor_at_hand: u32,
    /// Pages that are stored and wholly free.
    spare: usize,
    /// Has this slab drawn an id itself? Until then it replays ids that another one drew, in whatever order, and must
    /// remember the last generation of each slot: no page is given back.
    draws: bool,
    /// Of each segment: new ids of its slots have generations above this.
    floors: Vec<u32>,
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
    /// The limit bounds memory against hostile ids: 25 bytes for each slot below it, at worst.
    #[must_use]
    pub const fn with_slots_max(slots_max: u32) -> Self {
        Self {
            pages: Vec::new(),
            free: BitTree::new(),
            recent: Recent::NONE,
            stored: 0,
            at_hand: 0,
            floor_at_hand: 0,
            spare: 0,
            draws: false,
            floors: Vec::new(),
            live: 0,
            slots: 0,
            slots_max,
            floor_base: 0,
            origin: 0,
        }
    }

    /// Takes a free slot and says the id its entry will have; `None` if all slots are in use or retired.
    ///
    /// Nothing is live yet: follow with [`occupy`](Self::occupy), or give it back with
    /// [`unreserve`](Self::unreserve). If three quarters of the slots are live, the one freed last is used. Then comes the
    /// lowest free slot of the page at hand, then that of the lowest page that has one, then the slab grows.
    ///
    /// O(1).
    #[inline]
    pub fn reserve(&mut self) -> Option<TimerId> {
        let (slot, generation, ()) = self.take_free(|cell, _, generation| cell.reserve(generation))?;
        TimerId::new(slot, generation)
    }

    /// Gives back an id that was reserved and not occupied; false if `id` is no such id.
    ///
    /// As nobody has seen it live, the same id may be handed out again.
    pub fn unreserve(&mut self, id: TimerId) -> bool {
        match self.cell_mut(id.slot()) {
            Some(cell) if cell.is_reserved_for(id.generation()) => cell.set_state(State::Free),
            _ => return false,
        }
        self.put_back(id.slot());
        true
    }

    /// Makes the entry `id` live, and unarmed.
    ///
    /// `id` comes from [`reserve`](Self::reserve), or is any id that was never live before: replay names ids
    /// in any order, and the slab grows to hold them. Replay need not reserve anything.
    ///
    /// # Errors
    ///
    /// - [`OccupyError::SlotOutOfRange`]: beyond the limit of [`with_slots_max`](Self::with_slots_max).
    /// - [`OccupyError::Live`]: the slot is held by a live entry, or by an ended one that is not freed yet.
    /// - [`OccupyError::StaleGeneration`]: the slot has had this generation or a later one.
    pub fn occupy(&mut self, id: TimerId, deadline: Tick, word: u64) -> Result<(), OccupyError> {
        let (slot, generation, slots_max) = (id.slot(), id.generation(), self.slots_max);
        if slot >= slots_max {
            return Err(OccupyError::SlotOutOfRange { slot, slots_max });
        }
        let (page, at) = place_of(slot);
        if page >= self.pages.len() {
            self.grow(page);
        }
        if self.cell(slot).is_some_and(|cell| cell.state() == State::Free) && self.recent.contains(slot) {
            self.settle();
        }
        let was_free = self.pages[page].is_free(at);
        if was_free {
            self.take(slot);
        }
        let Some(cell) = self.pages[page].cell_mut(at) else {
            return Err(OccupyError::SlotOutOfRange { slot, slots_max });
        };
        let refused = match cell.id(slot).filter(|_| cell.is_held()) {
            Some(holder) => Some(OccupyError::Live { holder }),
            None => {
                let last = cell.generation();
                (generation <= last).then_some(OccupyError::StaleGeneration { generation, last })
            }
        };
        if let Some(refused) = refused {
            if was_free {
                self.put_back(slot);
            }
            return Err(refused);
        }
        cell.occupy(generation, deadline, word);
        self.live += 1;
        self.slots = self.slots.max(slot + 1);
        self.pages[page].note_generation(generation);
        Ok(())
    }

    /// Notes that `id` was live once and is over, as a snapshot says of a slot that is free: later ids of the slot are above it.
    ///
    /// # Errors
    ///
    /// As [`occupy`](Self::occupy).
    pub fn remember(&mut self, id: TimerId) -> Result<(), OccupyError> {
        self.occupy(id, Tick::ZERO, 0)?;
        self.end(id);
        self.free(id);
        Ok(())
    }

    /// Ends the live entry `id`: [`get`](Self::get) no longer finds it, and its slot is not used again yet.
    ///
    /// False if `id` is not live, or if it is armed: cancel it in its wheel first. (A wheel holds on to what
    /// is armed in it; ending that would leave the wheel pointing at nothing.)
    pub fn end(&mut self, id: TimerId) -> bool {
        match self.live_cell_mut(id) {
            Some(cell) if cell.state() == State::Live => cell.set_state(State::Ended),
            _ => return false,
        }
        self.live -= 1;
        true
    }

    /// Frees the slot of the ended entry `id`, to be used again; false if `id` is not ended, or free already.
    pub fn free(&mut self, id: TimerId) -> bool {
        match self.cell_mut(id.slot()) {
            Some(cell) if cell.is(id.generation(), State::Ended) => cell.set_state(State::Free),
            _ => return false,
        }
        self.put_back(id.slot());
        true
    }

    /// [`end`](Self::end) and [`free`](Self::free) in one step: the entry as it was; `None` if `id` is not live, or armed.
    #[inline]
    pub fn remove(&mut self, id: TimerId) -> Option<Entry> {
        let Cell { deadline, word, .. } =
            self.finish(id.slot(), |cell| cell.is(id.generation(), State::Live))?;
        Some(Entry { id, deadline, word, armed: None })
    }
}

/// Reading, and changing what a live entry holds.
impl Slab {
    /// What this slab knows of `id`.
    #[must_use]
    pub fn lookup(&self, id: TimerId) -> Lookup {
        let generation = id.generation();
        let (page, at) = place_of(id.slot());
        let Some(page) = self.pages.get(page) else { return Lookup::Unknown };
        if page.cell(at).is_some_and(|cell| cell.is_live() && cell.generation() == generation) {
            return Lookup::Live;
        }
        let is_past = self.origin < generation && generation <= page.generation(at);
        if is_past { Lookup::Ended } else { Lookup::Unknown }
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
        let unarmed = self.live_cell_mut(id).filter(|cell| cell.state() == State::Live);
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
        let (page, at) = place_of(slot);
        self.pages.get(page).map_or(0, |page| page.generation(at))
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

    /// Bytes of memory taken from the allocator. O(1), to be asked at every insert.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let stored = self.stored * Page::BODY_BYTES;
        let pages = self.pages.capacity() * size_of::<Page>();
        let floors = self.floors.capacity() * size_of::<u32>();
        stored + pages + floors + self.free.bytes()
    }
}

/// Free slots.
impl Slab {
    /// Takes a free slot for its next life, and does something with its cell. Gives the slot and the generation.
    #[inline]
    fn take_free<R>(&mut self, with: impl FnOnce(&mut Cell, &mut u32, u32) -> R) -> Option<(u32, u32, R)> {
        self.draws = true;
        while let Some(slot) = self.take_recent() {
            let floor = self.floor(slot / SEGMENT_SLOTS);
            let (page, at) = place_of(slot);
            let (cell, highest) = self.pages.get_mut(page)?.life_mut(at)?;
            let last = cell.generation().max(floor);
            if last < GENERATION_MAX {
                return Some((slot, last + 1, with(cell, highest, last + 1)));
            }
        }
        loop {
            let Some(taken) = self.pages.get_mut(self.at_hand).and_then(Page::take_first) else {
                self.at_hand = self.page_with_free()?;
                self.note_floors();
                continue;
            };
            if taken.was_spare {
                self.spare -= 1;
            }
            if taken.is_full {
                self.free.remove(self.at_hand);
            }
            let last = taken.cell.generation().max(self.floor_at_hand);
            // A slot whose generations are used up is dropped where it turns up: it is not free any more.
            if last < GENERATION_MAX {
                let slot = u32::try_from(self.at_hand * PAGE_SLOTS + taken.at).ok()?;
                self.slots = self.slots.max(slot + 1);
                return Some((slot, last + 1, with(taken.cell, taken.highest, last + 1)));
            }
        }
    }

    /// The slot that was freed last, if pages are dense. If they are not, new entries go to the lowest, so that the others
    /// empty and are given back.
    #[inline]
    fn take_recent(&mut self) -> Option<u32> {
        if self.live * 4 >= self.stored * (3 * PAGE_SLOTS) {
            return self.recent.pop();
        }
        if !self.recent.is_empty() {
            self.settle();
        }
        None
    }

    /// Takes free slots, and asks for their cells; how many there were. Each is then to be given to
    /// [`begin_at`](Self::begin_at), in this order: so ids come as they do one by one.
    #[inline]
    pub(crate) fn take_slots(&mut self, slots: &mut [u32]) -> usize {
        let taken = slots.iter_mut().map_while(|slot| {
            *slot = self.take_slot()?;
            Some(())
        });
        taken.count()
    }

    /// As [`take_free`](Self::take_free), without a look at the cell. (That one on top of this one makes a single insert a tenth
    /// slower.)
    #[inline]
    fn take_slot(&mut self) -> Option<u32> {
        self.draws = true;
        if let Some(slot) = self.take_recent() {
            self.prefetch(slot);
            return Some(slot);
        }
        loop {
            let Some(taken) = self.pages.get_mut(self.at_hand).and_then(Page::take_first) else {
                self.at_hand = self.page_with_free()?;
                self.note_floors();
                continue;
            };
            taken.cell.prefetch();
            if taken.was_spare {
                self.spare -= 1;
            }
            if taken.is_full {
                self.free.remove(self.at_hand);
            }
            return u32::try_from(self.at_hand * PAGE_SLOTS + taken.at).ok();
        }
    }

    /// As [`begin`](Self::begin), in a slot that was taken; `None` if its generations are used up.
    #[inline]
    pub(crate) fn begin_at<R>(
        &mut self,
        slot: u32,
        deadline: Tick,
        word: u64,
        with: impl FnOnce(&mut Cell) -> R,
    ) -> Option<(u32, R)> {
        let generation = self.next_generation(slot)?;
        let (page, at) = place_of(slot);
        let page = self.pages.get_mut(page)?;
        page.note_generation(generation);
        let cell = page.cell_mut(at)?;
        cell.occupy(generation, deadline, word);
        let begun = with(cell);
        self.slots = self.slots.max(slot + 1);
        self.live += 1;
        Some((generation, begun))
    }

    /// [`reserve`](Self::reserve) and [`occupy`](Self::occupy) in one step. The entry is unarmed, unless `with` says
    /// otherwise.
    #[inline]
    pub(crate) fn begin<R>(
        &mut self,
        deadline: Tick,
        word: u64,
        with: impl FnOnce(&mut Cell) -> R,
    ) -> Option<(u32, u32, R)> {
        let begun = self.take_free(|cell, highest, generation| {
            cell.occupy(generation, deadline, word);
            *highest = generation.max(*highest);
            with(cell)
        })?;
        self.live += 1;
        Some(begun)
    }

    /// Ends and frees the live entry of a slot, if it is the one that is meant: its cell as it was.
    #[inline]
    pub(crate) fn finish(&mut self, slot: u32, is_it: impl FnOnce(&Cell) -> bool) -> Option<Cell> {
        let (page, at) = place_of(slot);
        let cell = self.pages.get_mut(page)?.cell_mut(at).filter(|cell| is_it(cell))?;
        let ended = *cell;
        cell.set_state(State::Free);
        self.live -= 1;
        self.put_back(slot);
        Some(ended)
    }

    /// The lowest page with a free slot whose generations are not used up; a new one if need be.
    #[cold]
    fn page_with_free(&mut self) -> Option<usize> {
        loop {
            let page = self.free.first().unwrap_or(self.pages.len());
            let first_slot = u32::try_from(page * PAGE_SLOTS).ok().filter(|slot| *slot < self.slots_max)?;
            let segment = first_slot / SEGMENT_SLOTS;
            let is_new = page == self.pages.len();
            if self.floor(segment) < GENERATION_MAX {
                if is_new {
                    self.grow(page);
                }
                self.store(page);
                if self.is_large() {
                    self.pages[page].ask_for_first();
                }
                return Some(page);
            }
            if is_new && segment as usize >= self.floors.len() {
                // No segment beyond has a generation left.
                return None;
            }
            if is_new {
                self.grow(page);
            }
            self.free.remove(page);
        }
    }

    /// Pages up to this one.
    fn grow(&mut self, last: usize) {
        for page in self.pages.len()..=last {
            self.pages.push(Page::default());
            self.free.insert(page);
        }
    }

    /// Stores a page.
    fn store(&mut self, number: usize) {
        let Some(page) = self.pages.get_mut(number).filter(|page| !page.is_stored()) else { return };
        page.store((self.slots_max as usize).saturating_sub(number * PAGE_SLOTS));
        self.stored += 1;
        self.spare += usize::from(page.is_spare());
    }

    fn take(&mut self, slot: u32) {
        let (number, at) = place_of(slot);
        self.store(number);
        let Some(page) = self.pages.get_mut(number) else { return };
        self.spare -= usize::from(page.is_spare());
        page.take(at);
        if !page.has_free() {
            self.free.remove(number);
        }
    }

    /// A slot is free from now on. Its page hears of it later, and not at all if the slot is used next: so whoever cancels
    /// at random waits for one far place each, and not for two.
    #[inline]
    fn put_back(&mut self, slot: u32) {
        let len = self.recent.push(slot);
        if len == Recent::MAX || len > self.live {
            self.settle();
        }
    }

    /// Tells the pages of all slots that were freed.
    #[cold]
    fn settle(&mut self) {
        let recent = core::mem::replace(&mut self.recent, Recent::NONE);
        if self.is_large() {
            recent.slots().iter().for_each(|slot| self.prefetch_free(*slot));
        }
        recent.slots().iter().for_each(|slot| self.settle_one(*slot));
    }

    /// Asks for what its page knows of a slot.
    fn prefetch_free(&self, slot: u32) {
        let (number, at) = place_of(slot);
        if let Some(page) = self.pages.get(number) {
            page.prefetch_free(at);
        }
    }

    fn settle_one(&mut self, slot: u32) {
        let (number, at) = place_of(slot);
        let Some(page) = self.pages.get_mut(number) else { return };
        if page.generation(at) >= GENERATION_MAX {
            return;
        }
        let free_len = page.put_back(at);
        if free_len == 1 {
            self.free.insert(number);
        }
        if free_len < PAGE_SLOTS {
            return;
        }
        if self.draws && self.spare > 0 {
            page.give_back();
            self.stored -= 1;
        } else {
            self.spare += 1;
        }
    }

    fn next_generation(&self, slot: u32) -> Option<u32> {
        let (page, at) = place_of(slot);
        let last = self.pages.get(page).map_or(0, |page| page.generation(at));
        let last = last.max(self.floor(slot / SEGMENT_SLOTS));
        (last < GENERATION_MAX).then(|| last + 1)
    }
}

/// Cells, for the wheels of this crate.
impl Slab {
    #[inline]
    pub(crate) fn cell(&self, slot: u32) -> Option<&Cell> {
        let (page, at) = place_of(slot);
        self.pages.get(page)?.cell(at)
    }

    #[inline]
    pub(crate) fn cell_mut(&mut self, slot: u32) -> Option<&mut Cell> {
        let (page, at) = place_of(slot);
        self.pages.get_mut(page)?.cell_mut(at)
    }

    #[inline]
    pub(crate) fn live_cell_mut(&mut self, id: TimerId) -> Option<&mut Cell> {
        self.cell_mut(id.slot()).filter(|cell| cell.is_live() && cell.generation() == id.generation())
    }

    /// All stored cells, with their slots.
    pub(crate) fn cells(&self) -> impl Iterator<Item = (u32, &Cell)> + '_ {
        self.pages.iter().zip(0u32..).flat_map(|(page, number)| {
            page.cells().zip(first_slot(number)..).map(|(cell, slot)| (slot, cell))
        })
    }

    /// No live entry is armed any more, whatever wheel it was in: that one must not be given this slab again.
    pub(crate) fn disarm_all(&mut self) {
        let cells = self.pages.iter_mut().flat_map(Page::cells_mut);
        cells.filter(|cell| cell.is_live()).for_each(|cell| cell.set_state(State::Live));
    }

    /// All live entries that are not armed, in slab order, with their cells: to be armed.
    pub(crate) fn unarmed_mut(&mut self) -> impl Iterator<Item = (Entry, &mut Cell)> + '_ {
        self.pages.iter_mut().zip(0u32..).flat_map(|(page, number)| {
            let cells = page.cells_mut().zip(first_slot(number)..);
            let unarmed = cells.filter(|(cell, _)| cell.state() == State::Live);
            unarmed.filter_map(|(cell, slot)| Some((cell.entry(slot)?, cell)))
        })
    }

    /// Is it too large for the caches near the processor, so that asking for cells ahead pays?
    #[inline]
    pub(crate) fn is_large(&self) -> bool {
        self.slots > 1 << 14
    }

    /// Asks for the cell of `slot`, soon to be read.
    #[inline]
    pub(crate) fn prefetch(&self, slot: u32) {
        if let Some(cell) = self.cell(slot) {
            cell.prefetch();
        }
    }
}

/// The page of a slot, and its place in that.
#[inline]
fn place_of(slot: u32) -> (usize, usize) {
    (slot as usize / PAGE_SLOTS, slot as usize % PAGE_SLOTS)
}

/// The first slot of page `number`.
#[expect(clippy::cast_possible_truncation, reason = "a page has 1 024 slots")]
fn first_slot(number: u32) -> u32 {
    number.saturating_mul(PAGE_SLOTS as u32)
}
