//! A small set of numbers: bits, and a bit above for each word that is not zero.

use crate::prefetch::prefetch;

/// Numbers below `64 * WORDS`; there are 32 words at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bits<const WORDS: usize> {
    words: [u64; WORDS],
    /// No narrower: a store of 16 bits that is read again as 32 is waited for.
    summary: u32,
}

impl<const WORDS: usize> Bits<WORDS> {
    pub(crate) const EMPTY: Self = {
        assert!(WORDS <= u32::BITS as usize);
        Self { words: [0; WORDS], summary: 0 }
    };

    /// All numbers below `count`.
    pub(crate) fn below(count: usize) -> Self {
        let mut bits = Self::EMPTY;
        for (word, bits_of) in bits.words.iter_mut().enumerate() {
            let len = count.saturating_sub(word * 64).min(64);
            *bits_of =
                u32::try_from(64 - len).ok().and_then(|unset| u64::MAX.checked_shr(unset)).unwrap_or(0);
            bits.summary |= u32::from(len > 0) << word;
        }
        bits
    }

    #[inline]
    pub(crate) fn contains(&self, number: usize) -> bool {
        self.words[number / 64 % WORDS] >> (number % 64) & 1 == 1
    }

    /// Asks for the word of a number.
    #[inline]
    pub(crate) fn prefetch(&self, number: usize) {
        prefetch(&raw const self.words[number / 64 % WORDS]);
    }

    #[inline]
    pub(crate) fn insert(&mut self, number: usize) {
        let word = number / 64 % WORDS;
        self.words[word] |= 1 << (number % 64);
        self.summary |= 1 << word;
    }

    /// Takes a number out; says whether it was the last of its word.
    #[inline]
    pub(crate) fn remove(&mut self, number: usize) -> bool {
        let word = number / 64 % WORDS;
        self.words[word] &= !(1 << (number % 64));
        let is_last = self.words[word] == 0;
        // A branch on purpose: with a summary of 16 bits, rustc 1.95.0 (LLVM 22.1.2, from opt-level 2 on) lost the store of
        // `summary &= !(u16::from(is_last) << word)` where this was inlined behind `first`.
        if is_last {
            self.summary &= !(1 << word);
        }
        is_last
    }

    /// The lowest number.
    #[inline]
    pub(crate) fn first(&self) -> Option<usize> {
        self.first_of(self.summary)
    }

    /// The lowest number from `from` on.
    #[inline]
    pub(crate) fn first_from(&self, from: usize) -> Option<usize> {
        let word = from / 64;
        let rest = self.words.get(word)? & (u64::MAX << (from % 64));
        if rest != 0 {
            return Some(word * 64 + rest.trailing_zeros() as usize);
        }
        // Shifted twice: a word's number may be the last that a shift allows.
        self.first_of(self.summary >> word >> 1 << 1 << word)
    }

    /// The numbers of the word that comes so many after the first, of those that have any.
    pub(crate) fn word_after(&self, words: u32) -> impl Iterator<Item = usize> {
        let later = (0..words).fold(self.summary, |rest, _| rest & rest.wrapping_sub(1));
        let word = later.trailing_zeros() as usize;
        let bits = self.words.get(word).copied().unwrap_or(0);
        let rests = core::iter::successors(Some(bits), |rest| Some(rest & rest.wrapping_sub(1)));
        rests.take_while(|rest| *rest != 0).map(move |rest| word * 64 + rest.trailing_zeros() as usize)
    }

    #[inline]
    fn first_of(&self, summary: u32) -> Option<usize> {
        let word = summary.trailing_zeros() as usize;
        Some(word * 64 + self.words.get(word)?.trailing_zeros() as usize)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::vec::Vec;

    use super::*;

    fn agree<const WORDS: usize>() {
        let (mut bits, mut model, mut random) = (Bits::<WORDS>::EMPTY, BTreeSet::new(), 1_u64);
        for _ in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let number = (random >> 33) as usize % (64 * WORDS);
            if random >> 60 < 7 {
                bits.insert(number);
                model.insert(number);
            } else {
                let is_last = bits.remove(number);
                model.remove(&number);
                let word = number / 64 * 64;
                assert_eq!(is_last, model.range(word..word + 64).next().is_none());
            }
            assert_eq!(bits.contains(number), model.contains(&number));
            assert_eq!(bits.first(), model.first().copied());
            let from = (random >> 20) as usize % (64 * WORDS + 1);
            assert_eq!(bits.first_from(from), model.range(from..).next().copied());
            let mut words: Vec<_> = model.iter().map(|number| number / 64).collect();
            words.dedup();
            for after in 0..4 {
                let word = words.get(after as usize);
                let expected: Vec<_> =
                    model.iter().copied().filter(|number| Some(&(number / 64)) == word).collect();
                assert_eq!(bits.word_after(after).collect::<Vec<_>>(), expected);
            }
        }
    }

    #[test]
    fn all_below_a_number_are_all_below_it() {
        for count in 0..=512 {
            let bits = Bits::<8>::below(count);
            let numbers = core::iter::successors(bits.first(), |number| bits.first_from(number + 1));
            assert!(numbers.eq(0..count), "{count}");
        }
    }

    #[test]
    fn they_agree_with_a_sorted_set() {
        agree::<1>();
        agree::<8>();
        agree::<16>();
    }
}
