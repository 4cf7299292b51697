//! The log's own records: LINK and SEAL.

use super::bytes::{u32_at, u64_at};
use crate::lsn::Lsn;

/// The kind of a LINK.
pub(crate) const LINK_KIND: u8 = 0xF0;
/// The kind of a SEAL.
pub(crate) const SEAL_KIND: u8 = 0xF1;

const LINK_LEN: usize = 33;
const SEAL_FIXED_LEN: usize = 20;

/// Why a segment was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkReason {
    /// The log was created.
    Created,
    /// The log was opened.
    Opened,
    /// The segment before was full.
    Rotated,
    /// A write or sync failed and the log was continued in the same process.
    Healed,
}

impl LinkReason {
    const fn code(self) -> u8 {
        match self {
            Self::Created => 0,
            Self::Opened => 1,
            Self::Rotated => 2,
            Self::Healed => 3,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Created,
            1 => Self::Opened,
            2 => Self::Rotated,
            3 => Self::Healed,
            _ => return None,
        })
    }
}

/// The first record of a segment: which segment it continues, and from where.
///
/// ```text
/// 0  prev_segment u64   0: the first of a log
/// 8  prev_last_lsn u64  the last LSN that counts there
/// 16 prev_chain u64     the chain value of the batch that ends with it
/// 24 epoch u64
/// 32 reason u8
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The segment before; 0 if this is the first of a log.
    pub prev_segment: u64,
    /// The last LSN that counts there.
    pub prev_last_lsn: Lsn,
    /// The chain value there.
    pub prev_chain: u64,
    /// The opening of the log that wrote it.
    pub epoch: u64,
    /// Why the segment was begun.
    pub reason: LinkReason,
}

impl Link {
    /// Appends the body to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.prev_segment.to_le_bytes());
        out.extend_from_slice(&self.prev_last_lsn.0.to_le_bytes());
        out.extend_from_slice(&self.prev_chain.to_le_bytes());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.push(self.reason.code());
    }

    /// Reads a body; `None` if it is not one.
    #[must_use]
    pub fn decode(body: &[u8]) -> Option<Self> {
        let body = <&[u8; LINK_LEN]>::try_from(body).ok()?;
        Some(Self {
            prev_segment: u64_at(body, 0)?,
            prev_last_lsn: Lsn(u64_at(body, 8)?),
            prev_chain: u64_at(body, 16)?,
            epoch: u64_at(body, 24)?,
            reason: LinkReason::from_code(*body.last()?)?,
        })
    }
}

/// The last record of a full segment: what the segment holds.
///
/// ```text
/// 0  batch_count u32    batches before this one
/// 4  last_lsn u64
/// 12 chain u64          of the batch before this one
/// 20 blocks u32 × batch_count
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// The last LSN of the segment.
    pub last_lsn: Lsn,
    /// The chain value of the batch before this one.
    pub chain: u64,
    /// The block at which each batch begins, this one excluded.
    pub blocks: Vec<u32>,
}

impl Seal {
    /// The bytes of a body for `batches` batches.
    pub(crate) fn body_len(batches: usize) -> u64 {
        SEAL_FIXED_LEN as u64 + 4 * batches as u64
    }

    /// Appends the body to `out`. The count fits: each batch takes a block, and a segment has less than 2^32.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let count = u32::try_from(self.blocks.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&count.to_le_bytes());
        out.extend_from_slice(&self.last_lsn.0.to_le_bytes());
        out.extend_from_slice(&self.chain.to_le_bytes());
        out.extend(self.blocks.iter().flat_map(|block| block.to_le_bytes()));
    }

    /// Reads a body; `None` if it is not one. The count is compared with the length before the table is read.
    #[must_use]
    pub fn decode(body: &[u8]) -> Option<Self> {
        let (fixed, table) = body.split_first_chunk::<SEAL_FIXED_LEN>()?;
        let (blocks, rest) = table.as_chunks::<4>();
        if !rest.is_empty() || blocks.len() as u64 != u64::from(u32_at(fixed, 0)?) {
            return None;
        }
        Some(Self {
            last_lsn: Lsn(u64_at(fixed, 4)?),
            chain: u64_at(fixed, 12)?,
            blocks: blocks.iter().map(|block| u32::from_le_bytes(*block)).collect(),
        })
    }
}
