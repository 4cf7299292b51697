//! A run of slots whose cells are allocated together and never move.

use alloc::boxed::Box;

use super::cell::Cell;
use crate::bits::Bits;
use crate::prefetch::prefetch;

/// Slots of a page.
pub(super) const PAGE_SLOTS: usize = 1_024;

/// A word of free slots is used up: the cells of this word are asked for.
const ASKED_WORD: u32 = 2;

/// The cells of a page, and which of its slots are free. A page that is not stored has no slot in use.
#[derive(Debug, Default)]
pub(super) struct Page {
    body: Option<Box<Body>>,
    /// The last generation of every slot, while the page is not stored.
    base: u32,
}

/// Free slots are bits, and not links through the cells: whoever wants one need not wait for a cell to be read to learn
/// the next, and takes neighbours one after the other.
#[derive(Debug)]
struct Body {
    cells: [Cell; PAGE_SLOTS],
    free: Bits<{ PAGE_SLOTS / 64 }>,
    /// 32 bits, as the summary of [`Bits`].
    free_len: u32,
    /// No cell has a generation above this.
    highest: u32,
}

/// A slot that was free until now.
pub(super) struct Taken<'a> {
    pub(super) at: usize,
    pub(super) cell: &'a mut Cell,
    pub(super) highest: &'a mut u32,
    /// No slot of the page was in use before.
    pub(super) was_spare: bool,
    /// No slot of the page is free any more.
    pub(super) is_full: bool,
}

impl Page {
    /// Bytes of memory that a stored page takes from the allocator.
    pub(super) const BODY_BYTES: usize = size_of::<Body>();

    pub(super) fn is_stored(&self) -> bool {
        self.body.is_some()
    }

    #[inline]
    pub(super) fn has_free(&self) -> bool {
        self.body.as_ref().is_none_or(|body| body.free_len > 0)
    }

    /// Is it stored, and no slot in use?
    #[inline]
    pub(super) fn is_spare(&self) -> bool {
        self.body.as_ref().is_some_and(|body| body.free_len as usize == PAGE_SLOTS)
    }

    pub(super) fn is_free(&self, at: usize) -> bool {
        self.body.as_ref().is_none_or(|body| body.free.contains(at))
    }

    /// Takes the lowest free slot of a page that is stored; `None` if it is not, or there is none.
    #[inline]
    pub(super) fn take_first(&mut self) -> Option<Taken<'_>> {
        let body = self.body.as_deref_mut()?;
        let was_spare = body.free_len as usize == PAGE_SLOTS;
        let at = body.free.first()?;
        body.take(at);
        let Body { cells, free_len, highest, .. } = body;
        Some(Taken { at, cell: &mut cells[at % PAGE_SLOTS], highest, was_spare, is_full: *free_len == 0 })
    }

    /// Stores the page, if it is not; its first `slots` are free.
    #[inline]
    pub(super) fn store(&mut self, slots: usize) {
        if self.body.is_none() {
            self.make_body(slots);
        }
    }

    #[cold]
    fn make_body(&mut self, slots: usize) {
        let slots = slots.min(PAGE_SLOTS);
        let cells = [Cell::unused(self.base); PAGE_SLOTS];
        let free_len = u32::try_from(slots).unwrap_or(0);
        self.body = Some(Box::new(Body { cells, free: Bits::below(slots), free_len, highest: self.base }));
    }

    /// Takes a free slot of a page that is stored.
    #[inline]
    pub(super) fn take(&mut self, at: usize) {
        if let Some(body) = &mut self.body {
            body.take(at);
        }
    }

    /// Asks for what says whether a slot is free.
    #[inline]
    pub(super) fn prefetch_free(&self, at: usize) {
        if let Some(body) = &self.body {
            body.free.prefetch(at);
            prefetch(&raw const body.free_len);
        }
    }

    /// Asks for the cells of the first free slots.
    pub(super) fn ask_for_first(&self) {
        if let Some(body) = &self.body {
            (0..=ASKED_WORD).for_each(|word| body.ask_for_word(word));
        }
    }

    /// Puts a slot back among the free ones; how many there are now.
    #[inline]
    pub(super) fn put_back(&mut self, at: usize) -> usize {
        let Some(body) = &mut self.body else { return 0 };
        body.free.insert(at);
        body.free_len += 1;
        body.free_len as usize
    }

    /// Gives the memory back, if no slot is in use. Ids of theirs stay used up.
    pub(super) fn give_back(&mut self) {
        if let Some(body) = self.body.take_if(|body| body.free_len as usize == PAGE_SLOTS) {
            self.base = body.highest.max(self.base);
        }
    }

    /// No slot has a generation above this.
    pub(super) fn highest(&self) -> u32 {
        self.body.as_ref().map_or(self.base, |body| body.highest)
    }

    /// A slot has this generation now.
    #[inline]
    pub(super) fn note_generation(&mut self, generation: u32) {
        if let Some(body) = &mut self.body {
            body.highest = body.highest.max(generation);
        }
    }

    /// The last generation of a slot.
    #[inline]
    pub(super) fn generation(&self, at: usize) -> u32 {
        self.cell(at).map_or(self.base, Cell::generation)
    }

    #[inline]
    pub(super) fn cell(&self, at: usize) -> Option<&Cell> {
        Some(&self.body.as_deref()?.cells[at % PAGE_SLOTS])
    }

    #[inline]
    pub(super) fn cell_mut(&mut self, at: usize) -> Option<&mut Cell> {
        Some(&mut self.body.as_deref_mut()?.cells[at % PAGE_SLOTS])
    }

    /// A slot's cell, and the highest generation of the page.
    #[inline]
    pub(super) fn life_mut(&mut self, at: usize) -> Option<(&mut Cell, &mut u32)> {
        let Body { cells, highest, .. } = self.body.as_deref_mut()?;
        Some((&mut cells[at % PAGE_SLOTS], highest))
    }

    pub(super) fn cells(&self) -> impl Iterator<Item = &Cell> {
        self.body.iter().flat_map(|body| &body.cells)
    }

    pub(super) fn cells_mut(&mut self) -> impl Iterator<Item = &mut Cell> {
        self.body.iter_mut().flat_map(|body| &mut body.cells)
    }
}

impl Body {
    #[inline]
    fn take(&mut self, at: usize) {
        self.free_len -= 1;
        if self.free.remove(at) {
            self.ask_for_word(ASKED_WORD);
        }
    }

    /// Asks for the cells of the free slots in a word, counted from the first that has any. They are not in order in memory
    /// when they were freed at random, and reading them one by one would be a miss each.
    fn ask_for_word(&self, word: u32) {
        self.free.word_after(word).for_each(|at| prefetch(&raw const self.cells[at % PAGE_SLOTS]));
    }
}
