//! Whole directories, seen by two readers: the log's, and a decoder written from `docs/format.md` alone.
//!
//! The golden directories lie in `tests/golden/v0` of the repository. Remake them with
//! `HOROLOG_REMAKE_GOLDEN=1 cargo test -p horolog-wal golden`; each remake needs a line in the changelog.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking, and cuts random numbers to size"
)]

mod agreement;
mod golden;
mod hex;
mod histories;
mod intact;
mod owner;
mod scenes;
mod snapshots;
mod verdict;
