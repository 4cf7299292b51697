//! The invariants of the slab, as code.

use alloc::collections::BTreeSet;

use super::{SEGMENT_SLOTS, Slab, State};
use crate::Violation;

impl Slab {
    /// Checks every invariant of the module's text. O(slots log slots), for tests.
    ///
    /// # Errors
    ///
    /// The first [`Violation`] found.
    pub fn check(&self) -> Result<(), Violation> {
        let live = self.iter().count();
        Violation::unless(live == self.live, "S1", "len is not the number of live cells", None)?;
        Violation::unless(self.slots <= self.slots_max, "S5", "more slots than allowed", None)?;
        for segment in &self.segments {
            let fits = segment.cells().len() <= SEGMENT_SLOTS as usize;
            Violation::unless(fits, "S3", "a segment has outgrown its allocation", None)?;
            let highest = segment.cells().iter().map(|cell| cell.generation).max().unwrap_or(0);
            Violation::unless(
                highest <= segment.highest,
                "S2",
                "a generation above the highest known",
                None,
            )?;
        }
        for (slot, cell) in self.cells() {
            let counted = slot < self.slots || cell.state == State::Free;
            Violation::unless(counted, "S5", "a taken slot is not counted", slot)?;
        }
        self.free.as_ref().map_or(Ok(()), |free| self.check_free(free))
    }

    fn check_free(&self, free: &[u32]) -> Result<(), Violation> {
        let stacked: BTreeSet<u32> = free.iter().copied().collect();
        Violation::unless(stacked.len() == free.len(), "S4", "a slot is on the free stack twice", None)?;
        for slot in free {
            let is_free = self.cell(*slot).is_none_or(|cell| cell.state == State::Free);
            Violation::unless(
                is_free && *slot < self.slots,
                "S4",
                "a taken slot is on the free stack",
                *slot,
            )?;
        }
        for slot in (0..self.slots).filter(|slot| self.is_usable(*slot)) {
            Violation::unless(stacked.contains(&slot), "S4", "a free slot is not on the free stack", slot)?;
        }
        Ok(())
    }
}
