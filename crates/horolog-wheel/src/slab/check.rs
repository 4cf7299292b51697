//! The invariants of the slab, as code.

use super::{PAGE_SLOTS, Page, Slab, State, first_slot};
use crate::Violation;

impl Slab {
    /// Checks every invariant of the module's text. O(slots), for tests.
    ///
    /// # Errors
    ///
    /// The first [`Violation`] found.
    pub fn check(&self) -> Result<(), Violation> {
        let live = self.iter().count();
        Violation::unless(live == self.live, "S1", "len is not the number of live cells", None)?;
        Violation::unless(self.slots <= self.slots_max, "S5", "more slots than allowed", None)?;
        for (slot, cell) in self.cells() {
            let counted = slot < self.slots || cell.state() == State::Free;
            Violation::unless(counted, "S5", "a taken slot is not counted", slot)?;
        }
        (0u32..).zip(&self.pages).try_for_each(|(number, page)| self.check_page(number, page))?;
        let spare = self.pages.iter().filter(|page| page.is_spare()).count();
        Violation::unless(spare == self.spare, "S3", "spare is not the number of spare pages", None)?;
        let stored = self.pages.iter().filter(|page| page.is_stored()).count();
        Violation::unless(stored == self.stored, "S6", "stored is not the number of stored pages", None)
    }

    fn check_page(&self, number: u32, page: &Page) -> Result<(), Violation> {
        let recent = |slot| self.recent.slots().iter().filter(|recent| **recent == slot).count();
        for (at, slot) in (0..PAGE_SLOTS).zip(first_slot(number)..) {
            let known = page.generation(at) <= page.highest();
            Violation::unless(known, "S2", "a generation above the highest known", slot)?;
            let is_free = page.cell(at).is_none_or(|cell| cell.state() == State::Free);
            let known = usize::from(page.is_free(at)) + recent(slot);
            Violation::unless(is_free || known == 0, "S4", "a taken slot is among the free", slot)?;
            let usable = is_free && slot < self.slots_max && self.next_generation(slot).is_some();
            Violation::unless(!usable || known > 0, "S4", "a free slot is not among the free", slot)?;
            Violation::unless(known < 2, "S4", "a free slot is there twice", slot)?;
        }
        Ok(())
    }
}
