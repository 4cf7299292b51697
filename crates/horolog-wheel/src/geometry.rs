//! Where a deadline hangs: a tick written in base 256, byte by byte.
//!
//! Level 0 is the lowest byte. The level of a deadline is the highest byte in which it differs from now; its
//! slot is that byte. Eight bytes are all of `u64`, so no deadline is too far away and no slot means two
//! times: every entry of level `l` agrees with now in all bytes above `l`, so the ring never wraps.

use crate::Tick;

#[cfg(test)]
mod tests;

/// One level for each byte of a tick.
pub(crate) const LEVELS: usize = 8;

/// One slot for each value of a byte.
pub(crate) const SLOTS: usize = 256;

const _: () = assert!(LEVELS == size_of::<u64>() && SLOTS == u8::MAX as usize + 1);

/// A slot of a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    level: u8,
    slot: u8,
}

impl Place {
    /// Where nothing in particular hangs; the place of an entry that is in no wheel.
    pub(crate) const ORIGIN: Self = Self { level: 0, slot: 0 };

    /// Where an entry due at `deadline` hangs when the time is `now`.
    ///
    /// A deadline that has come counts as due now: the slot of the present tick, on level 0.
    pub(crate) fn of(deadline: Tick, now: Tick) -> Self {
        let tick = deadline.max(now);
        let level = highest_byte(tick.0 ^ now.0);
        Self { level, slot: byte(tick, level) }
    }

    /// The slot of `level` that `now` is in. Occupied only while it is being emptied.
    pub(crate) fn current(level: usize, now: Tick) -> Self {
        let level = level_number(level);
        Self { level, slot: byte(now, level) }
    }

    /// A slot of a level. Levels are numbered from 0 to 7; higher numbers mean level 7.
    pub(crate) fn new(level: usize, slot: u8) -> Self {
        Self { level: level_number(level), slot }
    }

    pub(crate) fn level(self) -> usize {
        usize::from(self.level)
    }

    pub(crate) fn slot(self) -> u8 {
        self.slot
    }

    /// The first tick this slot spans, in the turn of the ring that `now` is in.
    pub(crate) fn start(self, now: Tick) -> Tick {
        let mut bytes = now.0.to_le_bytes();
        bytes[..self.level()].fill(0);
        bytes[self.level()] = self.slot;
        Tick(u64::from_le_bytes(bytes))
    }
}

/// The number of the highest byte that is not zero; 0 for zero.
fn highest_byte(bits: u64) -> u8 {
    level_number((bits | 1).ilog2() as usize / 8)
}

/// Byte `level` of a tick.
fn byte(tick: Tick, level: u8) -> u8 {
    tick.0.to_le_bytes()[usize::from(level)]
}

/// The one way to make the number of a level, so that it can always index one.
#[expect(clippy::cast_possible_truncation, reason = "at most 7")]
fn level_number(level: usize) -> u8 {
    level.min(LEVELS - 1) as u8
}
