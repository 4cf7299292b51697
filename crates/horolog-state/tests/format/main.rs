//! The bytes of record bodies, seen by three witnesses: golden files, a reader written from `docs/format.md` alone, and
//! the crate `wincode`.
//!
//! Remake the golden files with `HOROLOG_REMAKE_GOLDEN=1 cargo test -p horolog-state golden`; each remake needs a line
//! in the changelog.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod golden;
mod reader;
mod samples;
mod wincode_witness;
