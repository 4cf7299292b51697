//! Where a tick belongs: eight levels, each of 512 slots and 256 times coarser than the one below.
//!
//! A slot of level `l` spans `256^l` ticks; the *number* of a slot is its tick divided by that, and its place in the ring
//! of the level is its number modulo 512. A level sees the slot that now is in and the 511 after it; a tick belongs to
//! the lowest level that sees it. So no slot means two times.
//!
//! As a level sees twice as many slots as make one slot of the level above, all of the *next* slot of a level is seen
//! by the level below. Nothing new comes to it, and it can be emptied at leisure while time is still in the slot before.

use crate::Tick;

#[cfg(test)]
mod tests;

/// One level for each byte of a tick.
pub(crate) const LEVELS: usize = 8;

/// Slots of a level.
pub(crate) const SLOTS: usize = 512;

/// The shift from ticks to slot numbers of a level.
#[expect(clippy::cast_possible_truncation, reason = "levels are numbered from 0 to 7")]
pub(crate) const fn shift(level: usize) -> u32 {
    8 * (level % LEVELS) as u32
}

/// The number of the slot of `level` that `tick` is in.
pub(crate) const fn number(level: usize, tick: Tick) -> u64 {
    tick.0 >> shift(level)
}

/// The first tick of slot `number` of `level`. Slots beyond the last tick do not exist.
pub(crate) const fn start(level: usize, number: u64) -> Tick {
    Tick(number << shift(level))
}

/// The level to which `tick`, not before `now`, belongs.
#[inline]
pub(crate) fn level_of(tick: Tick, now: Tick) -> usize {
    let ahead = tick.0.wrapping_sub(now.0);
    if ahead < SLOTS as u64 {
        return 0;
    }
    let level = (ahead.ilog2() - 1) as usize / 8;
    // Counted in slots the two can be one further apart than counted in ticks.
    level + usize::from(number(level, tick) - number(level, now) >= SLOTS as u64)
}

/// The place of slot `number` in its ring.
#[expect(clippy::cast_possible_truncation, reason = "the low nine bits are what is asked for")]
pub(crate) const fn ring(number: u64) -> usize {
    number as usize % SLOTS
}

/// The number of the slot at `ring` of a level, which is the one that now is in or one of the 511 after it.
pub(crate) const fn number_at(ring_place: usize, current: u64) -> u64 {
    current.wrapping_add((ring_place.wrapping_sub(ring(current)) % SLOTS) as u64)
}
