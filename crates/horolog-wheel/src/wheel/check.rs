//! The invariants of the wheel, as code.

use super::Wheel;
use crate::geometry::Place;
use crate::slab::{Slab, State};
use crate::{Tick, Violation};

impl Wheel {
    /// Checks every invariant of the module's text against `slab`. O(slots), for tests.
    ///
    /// # Errors
    ///
    /// The first [`Violation`] found.
    pub fn check(&self, slab: &Slab) -> Result<(), Violation> {
        let mut hung = 0;
        for place in every_place() {
            self.check_slot(place)?;
            for index in self.ring(slab, place) {
                self.check_entry(slab, place, index)?;
                hung += 1;
            }
        }
        let armed = slab.cells().filter(|(_, cell)| cell.state == State::Armed(self.lane)).count();
        Violation::unless(hung == self.len, "W4", "len is not the number of entries in the rings", None)?;
        Violation::unless(armed == self.len, "W4", "len is not the number of entries armed here", None)
    }

    fn check_slot(&self, place: Place) -> Result<(), Violation> {
        let (level, slot) = (self.level(place), place.slot());
        let occupied = level.is_occupied(slot);
        Violation::unless(occupied == level.head(slot).is_some(), "W3", "the bitmap is wrong", None)?;
        let passed = slot < Place::current(place.level(), self.now).slot();
        Violation::unless(!(passed && occupied), "W5", "a slot that has passed is occupied", None)
    }

    fn check_entry(&self, slab: &Slab, place: Place, index: u32) -> Result<(), Violation> {
        let cell = slab.cell(index).filter(|cell| self.holds(cell, place));
        let Some(cell) = cell else {
            return Violation::unless(false, "W1", "a ring holds a cell that is not armed there", index);
        };
        let linked = slab.prev(cell.next) == Some(index) && slab.next(cell.prev) == Some(index);
        Violation::unless(linked, "W1", "forward and backward links differ", index)?;
        let placed = place == Place::of(cell.deadline, self.now) || self.is_unsettled(place, cell.deadline);
        Violation::unless(placed, "W2", "an entry hangs where its deadline does not belong", index)
    }

    /// Is this a slot that now is in, and does its span contain `deadline`?
    fn is_unsettled(&self, place: Place, deadline: Tick) -> bool {
        let is_current = Place::current(place.level(), self.now) == place;
        is_current && place.start(self.now) == place.start(deadline)
    }
}

fn every_place() -> impl Iterator<Item = Place> {
    (0..crate::geometry::LEVELS).flat_map(|level| (0..=u8::MAX).map(move |slot| Place::new(level, slot)))
}
