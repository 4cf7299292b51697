//! A row of values that grows a page at a time and moves none of them: growing a vector of a million would copy all of
//! them, and whoever holds a lock meanwhile would hold it for milliseconds.
//!
//! # Invariants
//!
//! 1. All pages but the last are full, and none is empty but an only one.

use alloc::vec::Vec;

/// A page is not larger than this, unless a single value is.
const PAGE_BYTES: usize = 32 << 10;

/// See the module.
#[derive(Debug)]
pub(crate) struct Paged<T> {
    pages: Vec<Vec<T>>,
}

impl<T> Paged<T> {
    /// Values of one page: a power of two.
    const PAGE_LEN: usize = {
        let fit = PAGE_BYTES / if size_of::<T>() == 0 { 1 } else { size_of::<T>() };
        if fit == 0 { 1 } else { 1 << fit.ilog2() }
    };

    pub(crate) const fn new() -> Self {
        Self { pages: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        let full = self.pages.len().saturating_sub(1) * Self::PAGE_LEN;
        full + self.pages.last().map_or(0, Vec::len)
    }

    pub(crate) fn push(&mut self, value: T) {
        match self.pages.last_mut() {
            Some(page) if page.len() < Self::PAGE_LEN => page.push(value),
            _ => {
                let mut page = Vec::with_capacity(Self::PAGE_LEN);
                page.push(value);
                self.pages.push(page);
            }
        }
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        let page = self.pages.last_mut()?;
        let value = page.pop();
        // An only page stays, so that a row of a few allocates nothing.
        if page.is_empty() && self.pages.len() > 1 {
            self.pages.pop();
        }
        value
    }

    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        self.pages.get(index / Self::PAGE_LEN)?.get(index % Self::PAGE_LEN)
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.pages.get_mut(index / Self::PAGE_LEN)?.get_mut(index % Self::PAGE_LEN)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flatten()
    }

    /// Bytes taken from the allocator.
    pub(crate) fn bytes(&self) -> usize {
        self.pages.len() * Self::PAGE_LEN * size_of::<T>() + self.pages.capacity() * size_of::<Vec<T>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE_LEN: usize = Paged::<usize>::PAGE_LEN;

    #[test]
    fn values_are_found_and_never_move() {
        let mut row = Paged::new();
        assert_eq!((row.len(), row.get(0)), (0, None));
        row.push(0);
        let first: *const usize = row.get(0).unwrap();
        for value in 1..3 * PAGE_LEN {
            row.push(value);
            assert_eq!(row.len(), value + 1);
        }
        assert!((0..3 * PAGE_LEN).all(|index| row.get(index) == Some(&index)));
        assert!(row.iter().copied().eq(0..3 * PAGE_LEN));
        assert_eq!(row.get(3 * PAGE_LEN), None);
        assert!(core::ptr::eq(first, row.get(0).unwrap()));
        *row.get_mut(PAGE_LEN).unwrap() = 7;
        assert_eq!(row.get(PAGE_LEN), Some(&7));
        *row.get_mut(PAGE_LEN).unwrap() = PAGE_LEN;
        for value in (0..3 * PAGE_LEN).rev() {
            assert_eq!((row.pop(), row.len()), (Some(value), value));
            assert!(row.pages.len() == 1 || row.pages.iter().all(|page| !page.is_empty()));
        }
        assert_eq!((row.pop(), row.pages.len()), (None, 1));
    }
}
