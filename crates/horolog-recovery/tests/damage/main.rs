//! Bad input, exhaustively: every byte, every length and every file of small directories, and the exact verdict on
//! each.
//!
//! What has to come of it is worked out from `docs/format.md` and from the table of start-up cases in
//! `docs/recovery.md`, without the code that is tested here.
#![cfg(test)]
#![expect(clippy::cast_possible_truncation, reason = "offsets are cut to size")]

mod blocks;
mod directory;
mod files;
mod flips;
mod found;
#[path = "../life/mod.rs"]
mod life;
#[expect(dead_code, reason = "the tests of horolog-wal ask for more")]
#[path = "../../../horolog-wal/tests/it/places.rs"]
mod places;
