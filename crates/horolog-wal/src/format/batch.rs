//! The 64 bytes in front of a batch: its place, its evidence, its chain.
//!
//! ```text
//! 0  magic u32         "HBAT"
//! 4  header_crc u32    over the context and bytes 8..64
//! 8  first_lsn u64     of the first record that takes one; of the next record if none does
//! 16 durable_lsn u64   the highest LSN the writer knew durable
//! 24 prev_chain u64    header_crc | body_digest << 32 of the batch before, over segments
//! 32 engine_tick u64
//! 40 ordinal u32       counts batches in the segment
//! 44 body_len u32      bytes of the records
//! 48 record_count u32
//! 52 body_digest u32   CRC-32 over the records' checksums and the padding
//! 56 flags u16, codec u16, reserved u32 = 0
//! ```
//!
//! The context is not stored. It is what makes the header valid in one place of one file only: a batch inside a payload,
//! a stale one of another life of the file, a block written to the wrong place all fail.

use crc32fast::Hasher;

use super::bytes::{put, u16_at, u32_at, u64_at};
use super::segment::SegmentHeader;
use super::{BATCH_HEADER_LEN, BLOCK_LEN, Fault};
use crate::lsn::Lsn;
use crate::planted::{Bug, is_planted};

const MAGIC: u32 = u32::from_le_bytes(*b"HBAT");

/// The flags of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct BatchFlags(pub u16);

impl BatchFlags {
    /// A batch of the owner's records.
    pub const NONE: Self = Self(0);
    /// The first batch of a segment; its first record is a LINK.
    pub const LINK: Self = Self(1);
    /// The last batch of a segment; its only record is a SEAL.
    pub const SEAL: Self = Self(2);
    /// No record: the batch is there for its durable stamp.
    pub const MARK: Self = Self(4);
    /// With MARK: the log was closed in order.
    pub const CLEAN: Self = Self(8);

    const KNOWN: u16 = 15;

    /// Whether all bits of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits this program does not know.
    #[must_use]
    pub const fn unknown(self) -> u16 {
        self.0 & !Self::KNOWN
    }
}

/// What a header's checksum covers besides the header: whose file it is in. The block is given with each header.
#[derive(Debug, Clone)]
pub struct Context(Hasher);

impl Context {
    /// The context of a segment.
    #[must_use]
    pub fn new(uuid: u128, segment_id: u64, salt: u64) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(&uuid.to_le_bytes());
        hasher.update(&segment_id.to_le_bytes());
        hasher.update(&salt.to_le_bytes());
        Self(hasher)
    }

    /// The context of the segment with this header.
    #[must_use]
    pub fn of(segment: &SegmentHeader) -> Self {
        Self::new(segment.uuid, segment.segment_id, segment.salt)
    }

    fn checksum(&self, block: u32, covered: &[u8]) -> u32 {
        let mut hasher = self.0.clone();
        if is_planted(Bug::ContextUnchecked) {
            hasher.reset();
        } else {
            hasher.update(&block.to_le_bytes());
        }
        hasher.update(covered);
        hasher.finalize()
    }
}

/// The header of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BatchHeader {
    /// The LSN of the first record that takes one; the next LSN if there is none.
    pub first_lsn: Lsn,
    /// The highest LSN the writer knew to be durable when it built the batch.
    pub durable_lsn: Lsn,
    /// The chain value of the batch before.
    pub prev_chain: u64,
    /// The engine's last tick.
    pub engine_tick: u64,
    /// The number of the batch in its segment, from 0.
    pub ordinal: u32,
    /// The bytes of the records.
    pub body_len: u32,
    /// All records, the log's own included.
    pub record_count: u32,
    /// The digest over the records' checksums and the padding.
    pub body_digest: u32,
    /// What kind of batch it is.
    pub flags: BatchFlags,
    /// How the owner encodes bodies.
    pub codec: u16,
}

impl BatchHeader {
    /// Checks and reads the header at the start of `bytes`, which stand at `block` of the segment of `context`.
    ///
    /// Returns the header and the checksum in it. What the header says is not judged here.
    ///
    /// # Errors
    ///
    /// [`Fault::Blank`], [`Fault::Magic`], [`Fault::HeaderChecksum`], [`Fault::Reserved`] or, with fewer than 64 bytes,
    /// [`Fault::End`].
    pub fn decode(bytes: &[u8], context: &Context, block: u32) -> Result<(Self, u32), Fault> {
        let head = bytes.first_chunk::<BATCH_HEADER_LEN>().ok_or(Fault::End)?;
        let covered = head.get(8..).unwrap_or_default();
        match u32_at(head, 0) {
            Some(MAGIC) => {}
            _ if head == &[0; BATCH_HEADER_LEN] => return Err(Fault::Blank),
            _ => return Err(Fault::Magic),
        }
        let crc = u32_at(head, 4).ok_or(Fault::End)?;
        if crc != context.checksum(block, covered) && !is_planted(Bug::HeaderUnchecked) {
            return Err(Fault::HeaderChecksum);
        }
        if u32_at(head, 60) != Some(0) {
            return Err(Fault::Reserved);
        }
        Self::fields(head).map(|header| (header, crc)).ok_or(Fault::End)
    }

    fn fields(head: &[u8; BATCH_HEADER_LEN]) -> Option<Self> {
        Some(Self {
            first_lsn: Lsn(u64_at(head, 8)?),
            durable_lsn: Lsn(u64_at(head, 16)?),
            prev_chain: u64_at(head, 24)?,
            engine_tick: u64_at(head, 32)?,
            ordinal: u32_at(head, 40)?,
            body_len: u32_at(head, 44)?,
            record_count: u32_at(head, 48)?,
            body_digest: u32_at(head, 52)?,
            flags: BatchFlags(u16_at(head, 56)?),
            codec: u16_at(head, 58)?,
        })
    }

    /// Puts the header in front of a batch that goes to `block`, and returns its checksum.
    pub fn encode(&self, bytes: &mut [u8], context: &Context, block: u32) -> u32 {
        put(bytes, 0, MAGIC.to_le_bytes());
        put(bytes, 8, self.first_lsn.0.to_le_bytes());
        put(bytes, 16, self.durable_lsn.0.to_le_bytes());
        put(bytes, 24, self.prev_chain.to_le_bytes());
        put(bytes, 32, self.engine_tick.to_le_bytes());
        put(bytes, 40, self.ordinal.to_le_bytes());
        put(bytes, 44, self.body_len.to_le_bytes());
        put(bytes, 48, self.record_count.to_le_bytes());
        put(bytes, 52, self.body_digest.to_le_bytes());
        put(bytes, 56, self.flags.0.to_le_bytes());
        put(bytes, 58, self.codec.to_le_bytes());
        put(bytes, 60, [0; 4]);
        let crc = context.checksum(block, bytes.get(8..BATCH_HEADER_LEN).unwrap_or_default());
        put(bytes, 4, crc.to_le_bytes());
        crc
    }

    /// The blocks the batch takes, header and padding included.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        (BATCH_HEADER_LEN as u64 + u64::from(self.body_len)).div_ceil(u64::from(BLOCK_LEN))
    }

    /// The chain value of this batch: what the next one must name.
    #[must_use]
    pub fn chain(&self, header_crc: u32) -> u64 {
        u64::from(header_crc) | u64::from(self.body_digest) << 32
    }
}
