//! One level of a wheel: 256 slots, each a ring of entries, and a bitmap of the slots that are not empty.
//!
//! A ring is linked through the entries themselves, forwards and backwards, so an entry leaves it in O(1).
//! Only the head is kept here; the tail is the entry before it. The functions trust the links they find: they
//! are right as long as a wheel is always given the same slab. With another slab they do wrong, but they end
//! and do not panic.

use crate::geometry::SLOTS;
use crate::slab::Slab;

/// No entry. Slot numbers of a slab stop one below.
const NIL: u32 = u32::MAX;

pub(crate) struct Level {
    occupied: [u64; SLOTS / 64],
    heads: [u32; SLOTS],
}

impl Level {
    pub(crate) const EMPTY: Self = Self { occupied: [0; SLOTS / 64], heads: [NIL; SLOTS] };

    /// The entry that has been in `slot` longest.
    pub(crate) fn head(&self, slot: u8) -> Option<u32> {
        Some(self.heads[usize::from(slot)]).filter(|head| *head != NIL)
    }

    /// Is the bit of `slot` set? [`head`](Self::head) says the same, at the price of another cache line.
    pub(crate) fn is_occupied(&self, slot: u8) -> bool {
        self.occupied[word(slot)] & bit(slot) != 0
    }

    /// The lowest occupied slot above `slot`.
    pub(crate) fn next_occupied(&self, slot: u8) -> Option<u8> {
        let above = slot.checked_add(1)?;
        let rest_of_word = self.occupied[word(above)] & (u64::MAX << (above % 64));
        if rest_of_word != 0 {
            return Some(lowest(word(above), rest_of_word));
        }
        let later = word(above) + 1..self.occupied.len();
        later
            .map(|at| (at, self.occupied[at]))
            .find(|(_, bits)| *bits != 0)
            .map(|(at, bits)| lowest(at, bits))
    }

    /// Adds entry `index` to `slot`, behind all others. The entry is in no ring.
    pub(crate) fn push(&mut self, slab: &mut Slab, slot: u8, index: u32) {
        match self.head(slot) {
            None => {
                slab.set_links(index, index, index);
                self.set_head(slot, index);
            }
            Some(head) => {
                let tail = slab.prev(head).unwrap_or(head);
                slab.set_links(index, tail, head);
                slab.set_next(tail, index);
                slab.set_prev(head, index);
            }
        }
    }

    /// Takes entry `index` out of `slot`, which it is in.
    pub(crate) fn remove(&mut self, slab: &mut Slab, slot: u8, index: u32) {
        let (Some(prev), Some(next)) = (slab.prev(index), slab.next(index)) else { return };
        if next == index {
            return self.clear(slot);
        }
        slab.set_next(prev, next);
        slab.set_prev(next, prev);
        if self.head(slot) == Some(index) {
            self.set_head(slot, next);
        }
    }

    /// Forgets whatever is in `slot`.
    pub(crate) fn clear(&mut self, slot: u8) {
        self.heads[usize::from(slot)] = NIL;
        self.occupied[word(slot)] &= !bit(slot);
    }

    fn set_head(&mut self, slot: u8, head: u32) {
        self.heads[usize::from(slot)] = head;
        self.occupied[word(slot)] |= bit(slot);
    }
}

fn word(slot: u8) -> usize {
    usize::from(slot / 64)
}

fn bit(slot: u8) -> u64 {
    1 << (slot % 64)
}

/// The slot of the lowest bit of word `at`, which is not zero.
#[expect(clippy::cast_possible_truncation, reason = "four words of 64 bits: at most 255")]
fn lowest(at: usize, bits: u64) -> u8 {
    (at * 64) as u8 + bits.trailing_zeros() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A level whose bitmap says that `slots` are occupied.
    fn occupied(slots: &[u8]) -> Level {
        let mut level = Level::EMPTY;
        slots.iter().for_each(|slot| level.set_head(*slot, 0));
        level
    }

    #[test]
    fn next_occupied_is_strictly_above() {
        let level = occupied(&[0, 63, 64, 191, 255]);
        let expected = [(0, Some(63)), (62, Some(63)), (63, Some(64)), (64, Some(191)), (191, Some(255))];
        for (slot, next) in expected {
            assert_eq!(level.next_occupied(slot), next, "above {slot}");
        }
    }

    #[test]
    fn nothing_is_above_the_last_slot() {
        assert_eq!(occupied(&[255]).next_occupied(255), None);
        assert_eq!(occupied(&[]).next_occupied(0), None);
        assert_eq!(occupied(&[7]).next_occupied(7), None);
    }

    #[test]
    fn every_single_slot_is_found_from_everywhere_below() {
        for slot in 1..=255 {
            let level = occupied(&[slot]);
            assert!((0..slot).all(|below| level.next_occupied(below) == Some(slot)), "slot {slot}");
        }
    }
}
