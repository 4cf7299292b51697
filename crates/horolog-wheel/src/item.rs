//! What moves: eight bytes that say where an entry was armed.
//!
//! An item names a slot of the slab and carries a *mark*: the lowest 24 bits of the tick it stands at, and a tag of 8 bits
//! that counts how often that entry was given an item. The entry keeps the mark of its present item. So an item is a
//! hint and never the truth: it is *current* if its entry is armed in this wheel and keeps the same mark, and *stale*
//! otherwise. A cancel changes the entry and leaves the item; whoever comes across it later drops it.
//!
//! The low bits are enough to sort a slot of level 1 to 3 into the level below without a look at the entries: a slot
//! fixes all bits of a tick above its own span, and below that there are 24 bits at most.

/// Bits of the tick in a mark.
pub(crate) const LOW_BITS: u32 = 24;

const LOW: u32 = (1 << LOW_BITS) - 1;

/// What an item and its entry have to agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(pub(crate) u32);

impl Mark {
    /// Of no tick; the tag is the lowest 8 bits.
    pub(crate) const fn with_tag(tag: u32) -> Self {
        Self(tag << LOW_BITS)
    }

    /// The mark of the next item of an entry whose last one had this mark.
    pub(crate) const fn next(self, tick: u64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "masked to 24 bits")]
        let low = tick as u32 & LOW;
        Self((self.0 & !LOW).wrapping_add(1 << LOW_BITS) | low)
    }

    /// The lowest 24 bits of the tick.
    pub(crate) const fn low(self) -> u64 {
        (self.0 & LOW) as u64
    }
}

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item(u64);

impl Item {
    pub(crate) const NONE: Self = Self(0);

    pub(crate) const fn new(slot: u32, mark: Mark) -> Self {
        Self((slot as u64) << 32 | mark.0 as u64)
    }

    /// The slot of the slab.
    pub(crate) const fn slot(self) -> u32 {
        (self.0 >> 32) as u32
    }

    #[expect(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
    pub(crate) const fn mark(self) -> Mark {
        Mark(self.0 as u32)
    }
}
