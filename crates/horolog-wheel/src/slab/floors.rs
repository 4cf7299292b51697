//! Floors of generations: what keeps an id from being given twice.
//!
//! The next id of a slot has the generation `max(last of the slot, floor of its segment) + 1`. The last
//! generation alone would do while a process lives. Floors are for the next one. A crash can forget the last
//! life of any slot: its id was handed out, its record was not yet safe. It can forget no more than one life
//! a slot, because the slot is freed only when the end of the life before is safe. So after replay let `F` be
//! the floor of a segment and `H` the highest generation seen there; a forgotten id has a generation of at
//! most `max(H, F) + 1`, and [`Slab::raise_floors`] puts the floor exactly there. The next ids are above it.

use super::page::{PAGE_SLOTS, Page};
use super::{SEGMENT_SLOTS, Slab};
use crate::GENERATION_MAX;
#[cfg(doc)]
use crate::Lookup;

const PAGES_A_SEGMENT: usize = SEGMENT_SLOTS as usize / PAGE_SLOTS;

impl Slab {
    /// Raises the floor of every segment above all generations it can have handed out: to one above the
    /// highest it has seen, and by one at least. Segments not yet present rise by one as well.
    ///
    /// Call it once for each opening, after replay and before the first [`reserve`](Self::reserve); replay it
    /// where an earlier opening did. Then an id that was handed out and lost in a crash is never given again,
    /// as long as slots are freed only when the record that ended them is safe.
    pub fn raise_floors(&mut self) {
        self.settle();
        let above = |floor: u32| floor.saturating_add(1).min(GENERATION_MAX);
        let present = self.pages.len().div_ceil(PAGES_A_SEGMENT).max(self.floors.len());
        self.floors.resize(present, self.floor_base);
        self.floor_base = above(self.floor_base);
        for (segment, floor) in self.floors.iter_mut().enumerate() {
            let pages = self.pages.iter().skip(segment * PAGES_A_SEGMENT).take(PAGES_A_SEGMENT);
            *floor = above(pages.map(Page::highest).fold(*floor, u32::max));
        }
        // Ids that come after this are above the floors, and so above all that these pages have seen.
        self.pages.iter_mut().for_each(Page::give_back);
        self.stored -= self.spare;
        self.spare = 0;
        self.note_floors();
    }

    /// Raises all floors to `base` at least.
    ///
    /// Call it first with a random base that belongs to the directory: ids of another directory then tend to
    /// be [`Lookup::Unknown`] here. The first base is remembered: generations up to it are never
    /// [`Lookup::Ended`]. (Leave room: a slot has `GENERATION_MAX - base` lives, and each opening takes
    /// some.) Later calls only raise, as when a snapshot gives back [`floor_base`](Self::floor_base).
    pub fn set_floor_base(&mut self, base: u32) {
        let base = base.min(GENERATION_MAX);
        if self.origin == 0 {
            self.origin = base;
        }
        self.floor_base = self.floor_base.max(base);
        for floor in &mut self.floors {
            *floor = base.max(*floor);
        }
        self.note_floors();
    }

    /// The floor that segments not yet present will have.
    #[must_use]
    pub fn floor_base(&self) -> u32 {
        self.floor_base
    }

    /// The first base: generations up to it belong to other slabs. 0 for none.
    #[must_use]
    pub fn origin(&self) -> u32 {
        self.origin
    }

    /// The highest generation that any slot has had, or any floor if that is higher. O(slots / 1 024).
    #[must_use]
    pub fn generation_max(&self) -> u32 {
        let pages = self.pages.iter().map(Page::highest);
        pages.chain(self.floors()).fold(self.floor_base, u32::max)
    }

    /// The floors of the segments that have one of their own, from the first on.
    pub fn floors(&self) -> impl Iterator<Item = u32> + '_ {
        self.floors.iter().copied()
    }

    /// The floor of `segment`: new ids of its slots have generations above it. A snapshot keeps it.
    #[must_use]
    pub fn floor(&self, segment: u32) -> u32 {
        self.floors.get(segment as usize).copied().unwrap_or(self.floor_base)
    }

    /// Raises the floor of `segment` to `floor` at least, as when a snapshot gives it back; false if that
    /// segment is beyond the limit of slots.
    pub fn raise_floor(&mut self, segment: u32, floor: u32) -> bool {
        let first_slot = u64::from(segment) * u64::from(SEGMENT_SLOTS);
        if first_slot >= u64::from(self.slots_max) {
            return false;
        }
        let segment = segment as usize;
        let present = self.floors.len().max(segment + 1);
        self.floors.resize(present, self.floor_base);
        self.floors[segment] = self.floors[segment].max(floor.min(GENERATION_MAX));
        self.note_floors();
        true
    }

    /// The floor of the page at hand is kept with it.
    #[inline]
    pub(super) fn note_floors(&mut self) {
        let segment = u32::try_from(self.at_hand / PAGES_A_SEGMENT).unwrap_or(u32::MAX);
        self.floor_at_hand = self.floor(segment);
    }
}
