//! A run of slots whose cells are allocated together and never move.

use alloc::boxed::Box;

use super::cell::Cell;
use crate::prefetch::prefetch;

/// Slots of a page.
pub(super) const PAGE_SLOTS: usize = 1_024;

const WORDS: usize = PAGE_SLOTS / 64;

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
    free: [u64; WORDS],
    /// A bit for each word of `free` that is not zero.
    summary: u16,
    free_len: u16,
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

const _: () = assert!(WORDS == u16::BITS as usize);

impl Page {
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
        self.body.as_ref().is_some_and(|body| usize::from(body.free_len) == PAGE_SLOTS)
    }

    pub(super) fn is_free(&self, at: usize) -> bool {
        self.body.as_ref().is_none_or(|body| body.free[at / 64 % WORDS] >> (at % 64) & 1 == 1)
    }

    /// Takes the lowest free slot of a page that is stored; `None` if it is not, or there is none.
    #[inline]
    pub(super) fn take_first(&mut self) -> Option<Taken<'_>> {
        let body = self.body.as_deref_mut().filter(|body| body.free_len > 0)?;
        let was_spare = usize::from(body.free_len) == PAGE_SLOTS;
        let word = body.summary.trailing_zeros() as usize % WORDS;
        let at = word * 64 + body.free[word].trailing_zeros() as usize;
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
        let cells = [Cell::unused(self.base); PAGE_SLOTS];
        let mut body =
            Box::new(Body { cells, free: [0; WORDS], summary: 0, free_len: 0, highest: self.base });
        (0..slots.min(PAGE_SLOTS)).for_each(|at| body.put_back(at));
        self.body = Some(body);
    }

    /// Takes a free slot of a page that is stored.
    #[inline]
    pub(super) fn take(&mut self, at: usize) {
        if let Some(body) = &mut self.body {
            body.take(at);
        }
    }

    #[inline]
    pub(super) fn put_back(&mut self, at: usize) {
        if let Some(body) = &mut self.body {
            body.put_back(at);
        }
    }

    /// Gives the memory back, if no slot is in use. Ids of theirs stay used up.
    pub(super) fn give_back(&mut self) {
        if let Some(body) = self.body.take_if(|body| usize::from(body.free_len) == PAGE_SLOTS) {
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

    pub(super) fn cells(&self) -> impl Iterator<Item = &Cell> {
        self.body.iter().flat_map(|body| &body.cells)
    }

    /// Bytes of memory taken from the allocator.
    pub(super) fn bytes(&self) -> usize {
        if self.is_stored() { size_of::<Body>() } else { 0 }
    }
}

impl Body {
    #[inline]
    fn put_back(&mut self, at: usize) {
        let word = at / 64 % WORDS;
        self.free[word] |= 1 << (at % 64);
        self.summary |= 1 << word;
        self.free_len += 1;
    }

    #[inline]
    fn take(&mut self, at: usize) {
        let word = at / 64 % WORDS;
        self.free[word] &= !(1 << (at % 64));
        self.free_len -= 1;
        if self.free[word] == 0 {
            self.summary &= !(1 << word);
            self.ask_for_next();
        }
    }

    /// A word of free slots is used up: asks for the cells of those in the word after the next. They are not in order in
    /// memory when they were freed at random, and reading them one by one would be a miss each.
    fn ask_for_next(&self) {
        let after_next = self.summary & self.summary.wrapping_sub(1);
        if after_next == 0 {
            return;
        }
        let word = after_next.trailing_zeros() as usize % WORDS;
        let mut bits = self.free[word];
        while bits != 0 {
            prefetch(&raw const self.cells[(word * 64 + bits.trailing_zeros() as usize) % PAGE_SLOTS]);
            bits &= bits - 1;
        }
    }
}
