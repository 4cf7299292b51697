//! The invariants of the wheel, as code.

use alloc::collections::BTreeSet;

use super::*;
use crate::Violation;
use crate::geometry::{SLOTS, number_at};

impl Wheel {
    /// Checks every invariant of the module's text against `slab`. O(slots), for tests.
    ///
    /// # Errors
    ///
    /// The first [`Violation`] found.
    pub fn check(&self, slab: &Slab) -> Result<(), Violation> {
        let (mut items, mut in_time) = (0, BTreeSet::new());
        let levels = (0..LEVELS).filter(|level| self.levels[*level].is_some());
        for (level, place) in levels.flat_map(|level| (0..SLOTS).map(move |place| (level, place))) {
            let before = items;
            let number = number_at(place, number(level, self.now));
            for item in self.items_in(level, place) {
                items += 1;
                if self.check_item(slab, level, number, item)? {
                    in_time.insert(item.slot());
                }
            }
            let is_marked = self.levels[level].as_deref().is_some_and(|level| level.occupied.contains(place));
            Violation::unless(is_marked == (items > before), "W3", "the bitmap is wrong", None)?;
            let looks = if level == 0 { [self.look_at; 2] } else { [self.look_at, self.look_above] };
            let from = start(level, number).max(self.now);
            let early = items > before && looks.iter().any(|look| look.is_none_or(|at| from < at));
            Violation::unless(!early, "W5", "there is something to do before anybody looks", None)?;
        }
        for level in 1..LEVELS {
            let next = number(level, self.now) + 1;
            let home = self.levels[level].as_deref().filter(|home| home.next == next);
            let grown = home.is_some_and(|home| self.len_at(level, next) > home.at_first);
            Violation::unless(!grown, "W7", "a slot that is being emptied has grown", None)?;
        }
        Violation::unless(items == self.items, "W4", "items is not the number of items", None)?;
        let armed = || slab.cells().filter(|(_, cell)| cell.state() == State::armed(self.lane));
        Violation::unless(armed().count() == self.len, "W4", "len is not the number armed here", None)?;
        let lost = armed().map(|(slot, _)| slot).find(|slot| !in_time.contains(slot));
        Violation::unless(
            lost.is_none(),
            "W1",
            "an armed entry has no item that is come across in time",
            lost,
        )
    }

    /// Whether this item is current and come across in time for its entry.
    fn check_item(&self, slab: &Slab, level: usize, number: u64, item: Item) -> Result<bool, Violation> {
        if shift(level) <= LOW_BITS && level > 0 {
            let low = start(level, number).0 | item.mark().low() & ((1 << shift(level)) - 1);
            let same = low & ((1 << LOW_BITS) - 1) == item.mark().low();
            Violation::unless(same, "W2", "an item is in a slot that is not its tick's", item.slot())?;
        }
        let cell = slab.cell(item.slot()).filter(|cell| cell.is_armed_by(self.lane, item.mark()));
        Ok(cell.is_some_and(|cell| start(level, number) <= cell.deadline.max(self.now)))
    }
}
