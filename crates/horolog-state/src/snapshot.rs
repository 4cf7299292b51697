//! The state as bytes, in sections, copied a piece at a time while it goes on changing; and the state from such bytes and the
//! records that came meanwhile.
//!
//! # Fuzzy, and exact
//!
//! A walk copies the slots of the slab in order, a few thousand at a time, and between two pieces the state changes. Each
//! section says which record was the last one applied when it was copied. So a snapshot is a patchwork of moments, between
//! **begin**, the last record applied when the walk began, and **end**, when the last section was copied. [`Replay`] puts the
//! records behind *begin* on top: what a section has seen already is passed over, per slot, and all else is applied.
//!
//! That gives the state that all records give from the first, because a record changes its own timer, and besides that only
//!
//! - the totals and the reading of the clocks: they are in the last section, so a record that is applied to its timer and is
//!   not behind *end* counts nothing;
//! - the index of keys: a key belongs to the holder with the highest LSN. A record may meet a holder from its own future,
//!   copied later than it; then the index is left alone (`apply_put`), for that holder comes after.
//!
//! An `Epoch` record changes every timer, and is the first one of a life: no walk spans one.
//!
//! # Sections
//!
//! All numbers are little-endian; `docs/format.md`, "Snapshot sections", has the tables. The slots come first, in order
//! and without a gap, and the globals last.
//!
//! # Invariants
//!
//! 1. The sections of a snapshot hold each slot that there was at *begin* once, in order. A slot that came later was used by
//!    records behind *begin* only, and all of these are applied.
//! 2. No section is copied after the globals.
//! 3. What [`Replay::apply`] is given is the record behind the last one, from *begin* on.

mod bytes;
mod load;
mod replay;
mod size;
mod walk;

pub use load::{SnapshotFault, SnapshotLoader};
pub use replay::Replay;
pub use walk::SnapshotWalk;

#[cfg(test)]
mod tests;

/// Slots of one section at most.
pub const SECTION_SLOTS_MAX: u32 = 4_096;

/// A section is closed once it has so many bytes; one payload more is the most that it can have.
pub const SECTION_BYTES_MIN: usize = 1 << 20;

/// The first byte of a section of slots.
const SLOTS: u8 = 1;

/// The first byte of the last section.
const GLOBALS: u8 = 2;

/// What the first byte of a slot says: its phase in the lowest three bits, and these.
mod tag {
    pub(super) const CIVIL: u8 = 1 << 3;
    pub(super) const DOOMED: u8 = 1 << 4;
    pub(super) const SUSPECT: u8 = 1 << 5;
    /// It has been delivered or has failed: both counts follow.
    pub(super) const COUNTS: u8 = 1 << 6;
    /// What a plain one-shot does not have follows.
    pub(super) const EXTRAS: u8 = 1 << 7;
}
