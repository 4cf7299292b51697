//! A set of numbers that finds its lowest in a few steps: bits, and a bit above for each word that is not zero.

use alloc::vec::Vec;

/// See the module. Numbers are below the length it was grown to.
#[derive(Debug, Default)]
pub(crate) struct BitTree {
    /// The bits first; each further row has one bit for a word of the row before. The last has one word.
    rows: Vec<Vec<u64>>,
}

impl BitTree {
    pub(crate) const fn new() -> Self {
        Self { rows: Vec::new() }
    }

    /// Adds a number.
    pub(crate) fn insert(&mut self, number: usize) {
        if self.rows.first().is_none_or(|row| number / 64 >= row.len()) {
            self.grow(number);
        }
        let mut at = number;
        for row in &mut self.rows {
            let word = &mut row[at / 64];
            let was_empty = *word == 0;
            *word |= 1 << (at % 64);
            if !was_empty {
                return;
            }
            at /= 64;
        }
    }

    /// Takes a number out.
    pub(crate) fn remove(&mut self, number: usize) {
        let mut at = number;
        for row in &mut self.rows {
            let Some(word) = row.get_mut(at / 64) else { return };
            *word &= !(1 << (at % 64));
            if *word != 0 {
                return;
            }
            at /= 64;
        }
    }

    /// The lowest number.
    pub(crate) fn first(&self) -> Option<usize> {
        let mut at = 0;
        for row in self.rows.iter().rev() {
            let word = row.get(at).copied().filter(|word| *word != 0)?;
            at = at * 64 + word.trailing_zeros() as usize;
        }
        (!self.rows.is_empty()).then_some(at)
    }

    /// Bytes of memory taken from the allocator.
    pub(crate) fn bytes(&self) -> usize {
        self.rows.iter().map(|row| row.capacity() * 8).sum::<usize>()
            + self.rows.capacity() * size_of::<Vec<u64>>()
    }

    fn grow(&mut self, number: usize) {
        let mut words = number / 64 + 1;
        let mut row = 0;
        loop {
            if row == self.rows.len() {
                // A new top says what is in the row below, which had one word until now.
                let below = row.checked_sub(1).and_then(|below| self.rows[below].first());
                let bit = u64::from(below.is_some_and(|word| *word != 0));
                self.rows.push(Vec::from([if row == 0 { 0 } else { bit }]));
            }
            if self.rows[row].len() < words {
                self.rows[row].resize(words, 0);
            }
            if self.rows[row].len() == 1 {
                return;
            }
            words = self.rows[row].len().div_ceil(64);
            row += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn it_agrees_with_a_sorted_set() {
        let (mut tree, mut model, mut random) = (BitTree::new(), BTreeSet::new(), 1_u64);
        for step in 0..200_000_u64 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Ever larger numbers: the tree grows by rows as well.
            let number = (random >> 33) as usize % (1 + (step * step / 40_000) as usize);
            if random >> 62 < 2 {
                tree.insert(number);
                model.insert(number);
            } else if random >> 62 == 2 {
                tree.remove(number);
                model.remove(&number);
            } else if let Some(first) = tree.first() {
                tree.remove(first);
                model.remove(&first);
            }
            assert_eq!(tree.first(), model.first().copied());
        }
    }
}
