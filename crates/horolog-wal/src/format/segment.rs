//! Block 0 of a segment: whose it is, which one, and how large.
//!
//! ```text
//! 0   magic u64            "HOROLOG\0"
//! 8   major u16, minor u16, header_len u32 = 4096
//! 16  uuid u128            the identity of the log
//! 32  segment_id u64       never used twice
//! 40  epoch u64            the opening of the log that created it
//! 48  salt u64             fresh for every file
//! 56  block_size u32 = 4096, capacity_blocks u32
//! 64  checksum_kind u8 = 1, recycled u8, reserved to 96, zero
//! 96  incompat u64         zero; an unknown bit is refused as such
//! 104 zero
//! 4088 crc u32 over 0..4088, then its complement
//! ```
//!
//! The places of magic, major and crc are the same in every version, so that damage is never taken for a newer version.

use std::fmt;

use super::bytes::{put, u16_at, u32_at, u64_at, u128_at};
use super::{BLOCK_LEN, block_offset};

/// The length of a segment header: one block.
pub(crate) const SEGMENT_HEADER_LEN: usize = BLOCK_LEN as usize;

/// The major version this program writes, and the newest it reads.
pub(crate) const MAJOR: u16 = 0;

const MAGIC: u64 = u64::from_le_bytes(*b"HOROLOG\0");
const MINOR: u16 = 0;
const CRC_AT: usize = SEGMENT_HEADER_LEN - 8;
const CHECKSUM_CRC32: u8 = 1;

/// The header of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The identity of the log.
    pub uuid: u128,
    /// The number of the segment, also in its name.
    pub segment_id: u64,
    /// The opening of the log that created it.
    pub epoch: u64,
    /// A random number that makes the batches of this file valid nowhere else.
    pub salt: u64,
    /// The size of the file, in blocks, this one included.
    pub capacity_blocks: u32,
    /// The file was another segment's before: behind the batches of this life may lie some of that one. Else there are zeros.
    pub is_recycled: bool,
}

impl SegmentHeader {
    /// Checks and reads block 0.
    ///
    /// # Errors
    ///
    /// A checksum that does not fit is damage; with a checksum that fits, what is not known is a later version's.
    pub fn decode(bytes: &[u8]) -> Result<Self, SegmentFault> {
        let block = bytes.first_chunk::<SEGMENT_HEADER_LEN>().ok_or(SegmentFault::Short)?;
        check_frame(block)?;
        check_known(block)?;
        let header = Self::fields(block).ok_or(SegmentFault::Short)?;
        // Encoding is the inverse: one comparison checks every reserved byte.
        if header.encode().as_slice() == block { Ok(header) } else { Err(SegmentFault::Reserved) }
    }

    fn fields(block: &[u8; SEGMENT_HEADER_LEN]) -> Option<Self> {
        Some(Self {
            uuid: u128_at(block, 16)?,
            segment_id: u64_at(block, 32)?,
            epoch: u64_at(block, 40)?,
            salt: u64_at(block, 48)?,
            capacity_blocks: u32_at(block, 60)?,
            is_recycled: block.get(65) == Some(&1),
        })
    }

    /// The bytes of block 0.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut block = vec![0; SEGMENT_HEADER_LEN];
        put(&mut block, 0, MAGIC.to_le_bytes());
        put(&mut block, 8, MAJOR.to_le_bytes());
        put(&mut block, 10, MINOR.to_le_bytes());
        put(&mut block, 12, BLOCK_LEN.to_le_bytes());
        put(&mut block, 16, self.uuid.to_le_bytes());
        put(&mut block, 32, self.segment_id.to_le_bytes());
        put(&mut block, 40, self.epoch.to_le_bytes());
        put(&mut block, 48, self.salt.to_le_bytes());
        put(&mut block, 56, BLOCK_LEN.to_le_bytes());
        put(&mut block, 60, self.capacity_blocks.to_le_bytes());
        put(&mut block, 64, [CHECKSUM_CRC32, u8::from(self.is_recycled)]);
        let crc = crc32fast::hash(block.get(..CRC_AT).unwrap_or_default());
        put(&mut block, CRC_AT, crc.to_le_bytes());
        put(&mut block, CRC_AT + 4, (!crc).to_le_bytes());
        block
    }

    /// The size of the file.
    #[must_use]
    pub fn capacity_bytes(&self) -> u64 {
        block_offset(self.capacity_blocks)
    }
}

/// What is the same in every version: magic and checksum.
fn check_frame(block: &[u8; SEGMENT_HEADER_LEN]) -> Result<(), SegmentFault> {
    if u64_at(block, 0) != Some(MAGIC) {
        return Err(SegmentFault::Magic);
    }
    let crc = crc32fast::hash(block.get(..CRC_AT).unwrap_or_default());
    if u32_at(block, CRC_AT) == Some(crc) && u32_at(block, CRC_AT + 4) == Some(!crc) {
        Ok(())
    } else {
        Err(SegmentFault::Checksum)
    }
}

/// What a later version may have changed.
fn check_known(block: &[u8; SEGMENT_HEADER_LEN]) -> Result<(), SegmentFault> {
    match (u16_at(block, 8), u16_at(block, 10)) {
        (Some(MAJOR), Some(MINOR)) => {}
        (Some(MAJOR), Some(minor)) => return Err(SegmentFault::MinorVersion(minor)),
        (Some(major), _) => return Err(SegmentFault::Version(major)),
        (None, _) => return Err(SegmentFault::Short),
    }
    match (u32_at(block, 56), block.get(64), u64_at(block, 96)) {
        (Some(bytes), ..) if bytes != BLOCK_LEN => Err(SegmentFault::BlockSize(bytes)),
        (_, Some(&kind), _) if kind != CHECKSUM_CRC32 => Err(SegmentFault::ChecksumKind(kind)),
        (.., Some(bits)) if bits != 0 => Err(SegmentFault::Incompatible(bits)),
        _ => Ok(()),
    }
}

/// Why a block is not the header of a segment this program can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SegmentFault {
    /// Fewer bytes than a block.
    Short,
    /// Not the magic number.
    Magic,
    /// The checksum does not fit.
    Checksum,
    /// Intact, of a later major version.
    Version(u16),
    /// Intact, of another minor version.
    MinorVersion(u16),
    /// Intact, with another block size.
    BlockSize(u32),
    /// Intact, with another checksum.
    ChecksumKind(u8),
    /// Intact, with features an old program must not ignore.
    Incompatible(u64),
    /// Intact, with something in the reserved bytes.
    Reserved,
    /// Intact, and the number is not the one in the file's name.
    Misplaced {
        /// The number in the header.
        found: u64,
    },
}

impl fmt::Display for SegmentFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => f.write_str("cut short"),
            Self::Magic => f.write_str("magic number"),
            Self::Checksum => f.write_str("checksum"),
            Self::Version(major) => write!(f, "major version {major}"),
            Self::MinorVersion(minor) => write!(f, "minor version {minor}"),
            Self::BlockSize(bytes) => write!(f, "block size {bytes}"),
            Self::ChecksumKind(kind) => write!(f, "checksum kind {kind}"),
            Self::Incompatible(bits) => write!(f, "incompatible features {bits:#x}"),
            Self::Reserved => f.write_str("reserved bytes are not zero"),
            Self::Misplaced { found } => write!(f, "it is of segment {found}"),
        }
    }
}
