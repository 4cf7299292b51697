//! One level of a wheel: 512 stacks of items, and which of them are not empty.

use crate::bits::Bits;
use crate::chunk::Stack;
use crate::geometry::{SLOTS, number_at, ring};

pub(crate) struct Level {
    pub(crate) stacks: [Stack; SLOTS],
    /// Places in the ring of the slots that have items.
    pub(crate) occupied: Bits<{ SLOTS / 64 }>,
    /// The number of the slot that is emptied ahead of its time; and how many items it had when that began.
    pub(crate) next: u64,
    pub(crate) at_first: u32,
}

impl Level {
    pub(crate) const EMPTY: Self =
        Self { stacks: [Stack::EMPTY; SLOTS], occupied: Bits::EMPTY, next: 0, at_first: 0 };

    /// The number of the first occupied slot from `from` on. The level sees `from`: it is `current`, the slot that now is
    /// in, or one of the 511 after it.
    #[inline]
    pub(crate) fn next_occupied(&self, current: u64, from: u64) -> Option<u64> {
        // Round the ring come the slots before `from`, which are passed over.
        let place = self.occupied.first_from(ring(from)).or_else(|| self.occupied.first())?;
        let number = number_at(place, current);
        (number >= from).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_occupied_slot_is_found_round_the_ring_from_everywhere() {
        for current in [0, 1, 63, 64, 500, 511, 512, 1_000, u64::MAX >> 8] {
            for ahead in 0..SLOTS as u64 {
                let mut level = Level::EMPTY;
                level.occupied.insert(ring(current + ahead));
                assert_eq!(level.next_occupied(current, current), Some(current + ahead));
                assert_eq!(level.next_occupied(current, current + 1), (ahead > 0).then_some(current + ahead));
                level.occupied.insert(ring(current + ahead / 2));
                assert_eq!(level.next_occupied(current, current), Some(current + ahead / 2));
                level.occupied.remove(ring(current + ahead / 2));
                level.occupied.remove(ring(current + ahead));
                assert_eq!(level.next_occupied(current, current), None);
            }
        }
    }
}
