//! A run of slots that is allocated once and never moves.

use alloc::vec::Vec;

use super::SEGMENT_SLOTS;
use super::cell::Cell;

/// The slots of one segment, and what is known of their generations together.
///
/// Memory for all cells is taken with the first one, so growing never copies a cell. Cells are written as far
/// as they are used: a small slab touches few of the pages it owns, and no single call has to clear a whole
/// segment.
#[derive(Debug)]
pub(super) struct Segment {
    /// New ids of these slots have generations above this.
    pub(super) floor: u32,
    /// The highest generation that was ever occupied here.
    pub(super) highest: u32,
    cells: Vec<Cell>,
}

impl Segment {
    pub(super) fn new(floor: u32) -> Self {
        Self { floor, highest: 0, cells: Vec::new() }
    }

    pub(super) fn cells(&self) -> &[Cell] {
        &self.cells
    }

    pub(super) fn cell_mut(&mut self, at: usize) -> Option<&mut Cell> {
        self.cells.get_mut(at)
    }

    /// Makes sure that cell `at` is stored. Does nothing if `at` is not in a segment.
    pub(super) fn store(&mut self, at: usize) {
        if self.cells.capacity() == 0 {
            self.cells.reserve_exact(SEGMENT_SLOTS as usize);
        }
        if (self.cells.len()..SEGMENT_SLOTS as usize).contains(&at) {
            self.cells.resize(at + 1, Cell::VACANT);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.cells.capacity() * size_of::<Cell>()
    }
}
