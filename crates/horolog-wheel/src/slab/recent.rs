//! The slots that were freed last.

/// Free slots that their pages have not been told of, the last at the end. There is always room for one more.
#[derive(Debug)]
pub(super) struct Recent {
    slots: [u32; Self::MAX],
    len: usize,
}

impl Recent {
    /// As many as this are told of together. More than a batch of cancels frees: the next inserts find those here.
    pub(super) const MAX: usize = 128;

    pub(super) const NONE: Self = Self { slots: [0; Self::MAX], len: 0 };

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn slots(&self) -> &[u32] {
        self.slots.get(..self.len).unwrap_or_default()
    }

    pub(super) fn contains(&self, slot: u32) -> bool {
        self.slots().contains(&slot)
    }

    /// Adds a slot; how many there are now. At [`MAX`](Self::MAX) they have to go before the next.
    #[inline]
    pub(super) fn push(&mut self, slot: u32) -> usize {
        self.slots[self.len % Self::MAX] = slot;
        self.len += 1;
        self.len
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<u32> {
        self.len = self.len.checked_sub(1)?;
        Some(self.slots[self.len % Self::MAX])
    }
}
