//! A snapshot file: a header block, then sections of the owner's bytes, each in a frame.
//!
//! ```text
//! header block
//! 0    magic u64             "HOROSNAP"
//! 8    major u16, minor u16, header_len u32 = 4096
//! 16   uuid u128             the identity of the log
//! 32   snapshot_id u64       also in the name
//! 40   begin_lsn u64         the records behind it are needed besides
//! 48   salt u64              random, fresh for every file
//! 56   checksum_kind u8 = 1
//! 57   reserved to 4088, zero
//! 4088 crc u32 over 0..4088, then its complement
//!
//! frame of a section
//! 0  magic u32       "HSEC"
//! 4  frame_crc u32   over uuid, snapshot_id, salt and bytes 8..32
//! 8  index u32       counts sections
//! 12 body_len u32
//! 16 body_crc u32
//! 20 flags u32       1: the last one
//! 24 digest u32      CRC-32 over the body_crc of this section and of all before it
//! 28 reserved u32
//! ```
//!
//! META says how long the file is and which digest its last section has; so a file that is whole and another one is noticed.

use std::fmt;

use crc32fast::Hasher;

use super::bytes::{put, u16_at, u32_at, u64_at, u128_at};
use super::segment::MAJOR;
use crate::lsn::Lsn;

/// The length of the header block.
pub(crate) const SNAPSHOT_HEADER_LEN: usize = 4096;

/// The length of a section's frame.
pub(crate) const FRAME_LEN: usize = 32;

const MAGIC: u64 = u64::from_le_bytes(*b"HOROSNAP");
const FRAME_MAGIC: u32 = u32::from_le_bytes(*b"HSEC");
const MINOR: u16 = 0;
const CRC_AT: usize = SNAPSHOT_HEADER_LEN - 8;
const CHECKSUM_CRC32: u8 = 1;
const LAST: u32 = 1;

/// What META says of a snapshot that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SnapshotRef {
    /// Its number, also in its name.
    pub id: u64,
    /// The records behind this one are needed besides.
    pub begin: Lsn,
    /// The last record that any part of it has seen: durable when the snapshot was published.
    pub end: Lsn,
    /// The length of the file.
    pub bytes: u64,
    /// How many sections there are.
    pub sections: u32,
    /// Of all sections together.
    pub digest: u32,
}

/// What the header block says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SnapshotHeader {
    pub(crate) uuid: u128,
    pub(crate) id: u64,
    pub(crate) begin: Lsn,
    pub(crate) salt: u64,
}

/// What the frame of a section says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) index: u32,
    pub(crate) body_len: u32,
    pub(crate) body_crc: u32,
    pub(crate) is_last: bool,
    pub(crate) digest: u32,
}

/// Why a snapshot cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotDamage {
    /// The file is not there.
    Missing,
    /// The file has another length than META says.
    Length {
        /// What META says.
        expected: u64,
        /// What it has.
        found: u64,
    },
    /// The header block is damaged, or is that of another snapshot.
    Header,
    /// The frame of a section is damaged, or stands in the wrong place.
    Frame {
        /// Where it begins.
        offset: u64,
    },
    /// The bytes of a section are not those that were written.
    Body {
        /// Where they begin.
        offset: u64,
    },
    /// The sections are whole, and not those that META means.
    Digest,
}

impl fmt::Display for SnapshotDamage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("it is missing"),
            Self::Length { expected, found } => write!(f, "it has {found} bytes in place of {expected}"),
            Self::Header => f.write_str("its header is damaged or another's"),
            Self::Frame { offset } => write!(f, "the frame at {offset} is damaged"),
            Self::Body { offset } => write!(f, "the section at {offset} is damaged"),
            Self::Digest => f.write_str("it is not the one that META means"),
        }
    }
}

impl SnapshotHeader {
    /// The bytes of the header block.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut block = vec![0; SNAPSHOT_HEADER_LEN];
        put(&mut block, 0, MAGIC.to_le_bytes());
        put(&mut block, 8, MAJOR.to_le_bytes());
        put(&mut block, 10, MINOR.to_le_bytes());
        put(&mut block, 12, 4096_u32.to_le_bytes());
        put(&mut block, 16, self.uuid.to_le_bytes());
        put(&mut block, 32, self.id.to_le_bytes());
        put(&mut block, 40, self.begin.0.to_le_bytes());
        put(&mut block, 48, self.salt.to_le_bytes());
        put(&mut block, 56, [CHECKSUM_CRC32]);
        let crc = crc32fast::hash(block.get(..CRC_AT).unwrap_or_default());
        put(&mut block, CRC_AT, crc.to_le_bytes());
        put(&mut block, CRC_AT + 4, (!crc).to_le_bytes());
        block
    }

    /// The version of an intact header block of another one.
    pub(crate) fn other_version(bytes: &[u8]) -> Option<(u16, u16)> {
        let block = bytes.get(..SNAPSHOT_HEADER_LEN)?;
        let version = (u16_at(block, 8)?, u16_at(block, 10)?);
        (is_intact(block) && version != (MAJOR, MINOR)).then_some(version)
    }

    /// Reads a header block; `None` unless it is intact and of this version.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let block = bytes.get(..SNAPSHOT_HEADER_LEN)?;
        if !is_intact(block) {
            return None;
        }
        let header = Self {
            uuid: u128_at(block, 16)?,
            id: u64_at(block, 32)?,
            begin: Lsn(u64_at(block, 40)?),
            salt: u64_at(block, 48)?,
        };
        // Encoding is the inverse: one comparison checks the version and every reserved byte.
        (header.encode() == block).then_some(header)
    }

    fn frame_crc(&self, covered: &[u8]) -> u32 {
        let mut crc = Hasher::new();
        crc.update(&self.uuid.to_le_bytes());
        crc.update(&self.id.to_le_bytes());
        crc.update(&self.salt.to_le_bytes());
        crc.update(covered);
        crc.finalize()
    }
}

/// What is the same in every version: magic and checksum.
fn is_intact(block: &[u8]) -> bool {
    let crc = crc32fast::hash(block.get(..CRC_AT).unwrap_or_default());
    u64_at(block, 0) == Some(MAGIC)
        && u32_at(block, CRC_AT) == Some(crc)
        && u32_at(block, CRC_AT + 4) == Some(!crc)
}

impl Frame {
    /// Puts the frame at the start of `bytes`.
    pub(crate) fn encode(&self, header: &SnapshotHeader, bytes: &mut [u8]) {
        put(bytes, 0, FRAME_MAGIC.to_le_bytes());
        let flags = if self.is_last { LAST } else { 0 };
        let numbers = [self.index, self.body_len, self.body_crc, flags, self.digest, 0];
        for (at, number) in (8..).step_by(4).zip(numbers) {
            put(bytes, at, number.to_le_bytes());
        }
        let crc = header.frame_crc(bytes.get(8..FRAME_LEN).unwrap_or_default());
        put(bytes, 4, crc.to_le_bytes());
    }

    /// Reads the frame at the start of `bytes`; `None` unless it is intact.
    pub(crate) fn decode(header: &SnapshotHeader, bytes: &[u8]) -> Option<Self> {
        let frame = bytes.get(..FRAME_LEN)?;
        let is_whole =
            u32_at(frame, 0)? == FRAME_MAGIC && u32_at(frame, 4)? == header.frame_crc(frame.get(8..)?);
        let flags = u32_at(frame, 20)?;
        let is_known = flags & !LAST == 0 && u32_at(frame, 28)? == 0;
        (is_whole && is_known).then_some(Self {
            index: u32_at(frame, 8)?,
            body_len: u32_at(frame, 12)?,
            body_crc: u32_at(frame, 16)?,
            is_last: flags & LAST != 0,
            digest: u32_at(frame, 24)?,
        })
    }

    /// Reads the frame of the section of this index, as [`Frame::decode`].
    pub(crate) fn decode_nth(
        index: u32,
        header: &SnapshotHeader,
        snapshot: &SnapshotRef,
        bytes: &[u8],
    ) -> Option<Self> {
        let is_last = index + 1 == snapshot.sections;
        Self::decode(header, bytes).filter(|it| it.index == index && it.is_last == is_last)
    }
}
