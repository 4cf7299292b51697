//! One level of a wheel: 512 stacks of items, and a bitmap of those that are not empty.

use crate::chunk::Stack;
use crate::geometry::{SLOTS, number_at, ring};

const WORDS: usize = SLOTS / 64;

pub(crate) struct Level {
    pub(crate) stacks: [Stack; SLOTS],
    occupied: [u64; WORDS],
    /// A bit for each word of `occupied` that is not zero.
    summary: u8,
    /// The number of the slot that is emptied ahead of its time; and how many items it had when that began.
    pub(crate) next: u64,
    pub(crate) at_first: u32,
}

impl Level {
    pub(crate) const EMPTY: Self =
        Self { stacks: [Stack::EMPTY; SLOTS], occupied: [0; WORDS], summary: 0, next: 0, at_first: 0 };

    pub(crate) fn is_occupied(&self, ring: usize) -> bool {
        self.occupied[ring / 64 % WORDS] >> (ring % 64) & 1 == 1
    }

    pub(crate) fn set(&mut self, ring: usize) {
        let word = ring / 64 % WORDS;
        self.occupied[word] |= 1 << (ring % 64);
        self.summary |= 1 << word;
    }

    pub(crate) fn clear(&mut self, ring: usize) {
        let word = ring / 64 % WORDS;
        self.occupied[word] &= !(1 << (ring % 64));
        if self.occupied[word] == 0 {
            self.summary &= !(1 << word);
        }
    }

    /// The number of the first occupied slot from `from` on, which is the one now is in (`current`) or the one after it.
    pub(crate) fn next_occupied(&self, current: u64, from: u64) -> Option<u64> {
        let start = ring(from);
        let word = start / 64;
        let rest = self.occupied[word] & (u64::MAX << (start % 64));
        let place = if rest != 0 {
            word * 64 + rest.trailing_zeros() as usize
        } else {
            // The words after this one, round the ring, and this one's lower bits last.
            let turned = self.summary.rotate_right(u32::try_from(word).unwrap_or(0) + 1);
            if turned == 0 {
                return None;
            }
            let found = (word + 1 + turned.trailing_zeros() as usize) % WORDS;
            found * 64 + self.occupied[found].trailing_zeros() as usize
        };
        let number = number_at(place, current);
        (number >= from).then_some(number)
    }

    /// The first occupied place of the ring from `from` on, not round it.
    pub(crate) fn first_from(&self, from: usize) -> Option<usize> {
        let word = from / 64;
        let rest = self.occupied.get(word)? & (u64::MAX << (from % 64));
        if rest != 0 {
            return Some(word * 64 + rest.trailing_zeros() as usize);
        }
        let later = usize::from(self.summary) >> (word + 1) << (word + 1);
        let word = later.trailing_zeros() as usize;
        Some(word * 64 + self.occupied.get(word)?.trailing_zeros() as usize)
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
                level.set(ring(current + ahead));
                assert_eq!(level.next_occupied(current, current), Some(current + ahead));
                assert_eq!(level.next_occupied(current, current + 1), (ahead > 0).then_some(current + ahead));
                level.set(ring(current + ahead / 2));
                assert_eq!(level.next_occupied(current, current), Some(current + ahead / 2));
                level.clear(ring(current + ahead / 2));
                level.clear(ring(current + ahead));
                assert_eq!(level.next_occupied(current, current), None);
            }
        }
    }

    #[test]
    fn the_first_from_a_place_is_not_found_round_the_ring() {
        for (one, other) in [(0, 511), (63, 64), (5, 6), (127, 400)] {
            let mut level = Level::EMPTY;
            level.set(one);
            level.set(other);
            for from in 0..=SLOTS {
                let expected = [one, other].into_iter().find(|place| *place >= from);
                assert_eq!(level.first_from(from), expected, "{one} and {other} from {from}");
            }
        }
    }
}
