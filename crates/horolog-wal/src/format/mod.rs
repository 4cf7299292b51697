//! The bytes of the log, and nothing but bytes: no file is in sight here.
//!
//! Little-endian, fixed offsets, laid out by hand. `docs/format.md` is the specification.

pub(crate) mod batch;
mod bytes;
mod fault;
pub(crate) mod internal;
pub(crate) mod meta;
pub(crate) mod record;
pub(crate) mod segment;
pub(crate) mod snapshot;

pub use fault::Fault;
pub use record::RECORD_HEADER_LEN;

/// Batches begin on blocks of this many bytes, and block 0 is the segment header.
pub const BLOCK_LEN: u32 = 4096;

/// The length of a batch header.
pub const BATCH_HEADER_LEN: usize = 64;

/// Record kinds from here on belong to the log and take no LSN.
pub const INTERNAL_KIND_MIN: u8 = 0xF0;

/// Segment ids are below this: so many segments are never written.
pub(crate) const SEGMENT_ID_END: u64 = 1 << 48;

/// The offset of block `block` in its file.
pub(crate) fn block_offset(block: u32) -> u64 {
    u64::from(block) * u64::from(BLOCK_LEN)
}
