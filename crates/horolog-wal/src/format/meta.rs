//! A slot of META: which segments there are, and what is known to be durable.
//!
//! ```text
//! 0    magic u64             "HOROMETA"
//! 8    major u16, minor u16, slot_len u32 = 4096
//! 16   uuid u128             the identity of the log
//! 32   seq u64               counts the updates; update n stands in the pair of slots n mod 2
//! 40   epoch u64             the last opening of the log for writing
//! 48   durable_lsn u64       known durable when the slot was written
//! 56   first_segment u64     where the log begins; 0 before it has begun
//! 64   head_segment u64      the newest segment whose first batch is known durable; 0 before there is one
//! 72   next_segment u64      above every id that was ever listed
//! 80   compat u64, ro_compat u64, incompat u64
//! 104  state u8              1 being made, 2 active
//! 105  checksum_kind u8 = 1
//! 106  reserved u16
//! 108  listed u32            at most 16
//! 112  reserved to 128
//! 128  listed x (segment_id u64, salt u64, capacity_blocks u32, reserved u32), ascending
//! 512  2 x (snapshot_id u64, begin_lsn u64, end_lsn u64, bytes u64, sections u32, digest u32), newest first
//! 592  reserved to 4088, zero
//! 4088 crc u32 over 0..4088, then its complement
//! ```
//!
//! The places of magic, major and crc are the same in every version, so that damage is never taken for a newer version.

use std::fmt;

use super::SEGMENT_ID_END;
use super::bytes::{put, u16_at, u32_at, u64_at, u128_at};
use super::segment::SegmentHeader;
use super::snapshot::SnapshotRef;
use crate::lsn::Lsn;

/// The length of a slot: a block of its own, so that no write touches two of them.
pub(crate) const META_SLOT_LEN: usize = 4096;

/// Slots 0 and 1 are written together, and so are 2 and 3.
pub(crate) const META_SLOTS: usize = 4;

/// The length of the file.
pub(crate) const META_LEN: usize = META_SLOT_LEN * META_SLOTS;

/// How many segments can be listed. A writer needs six: the head, the one being written, two spares, and the one that an
/// opening begins, or a spare that came too late.
pub(crate) const LISTED_MAX: usize = 16;

const MAGIC: u64 = u64::from_le_bytes(*b"HOROMETA");
const MAJOR: u16 = super::segment::MAJOR;
const MINOR: u16 = 0;
const CRC_AT: usize = META_SLOT_LEN - 8;
const CHECKSUM_CRC32: u8 = 1;
const LISTED_AT: usize = 128;
const LISTED_LEN: usize = 24;
const SNAPSHOTS_AT: usize = 512;
const SNAPSHOT_LEN: usize = 40;

/// Whether the log has been shown to anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetaState {
    /// The log is being made: nothing in it was ever acknowledged.
    Initialising,
    /// There is a log.
    Active,
}

/// A segment that may hold the end of the log, or will.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// Its number.
    pub segment_id: u64,
    /// The salt in its header: a file of the same name from another life is not the one that is meant.
    pub salt: u64,
    /// Its size, in blocks.
    pub capacity_blocks: u32,
}

impl Listed {
    /// The entry for the segment with this header.
    pub(crate) fn of(header: &SegmentHeader) -> Self {
        let SegmentHeader { segment_id, salt, capacity_blocks, .. } = *header;
        Self { segment_id, salt, capacity_blocks }
    }
}

/// What META says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// The identity of the log.
    pub uuid: u128,
    /// The number of the update.
    pub seq: u64,
    /// The last opening of the log for writing.
    pub epoch: u64,
    /// An LSN that was known to be durable: evidence that stands far from the log.
    pub durable_lsn: Lsn,
    /// Where the log begins.
    pub first_segment: u64,
    /// The newest segment whose first batch is known to be durable.
    pub head_segment: u64,
    /// The id of the next segment.
    pub next_segment: u64,
    /// Features an old program may ignore.
    pub compat: u64,
    /// Features with which an old program may read and not write.
    pub ro_compat: u64,
    /// Whether there is a log yet.
    pub state: MetaState,
    /// The segments that no LINK leads to for certain, oldest first: the head and all that are newer.
    pub listed: Vec<Listed>,
    /// The snapshots that count: the newest, and the one before it.
    pub snapshots: [Option<SnapshotRef>; 2],
}

impl Meta {
    /// Checks and reads one slot, which stands at place `slot` of the file.
    ///
    /// # Errors
    ///
    /// A checksum that does not fit is damage, or an update that a crash cut short; with a checksum that fits, what is not
    /// known is a later version's.
    pub fn decode(bytes: &[u8], slot: usize) -> Result<Self, MetaFault> {
        let block = bytes.first_chunk::<META_SLOT_LEN>().ok_or(MetaFault::Short)?;
        check_frame(block)?;
        check_known(block)?;
        let meta = Self::fields(block)?;
        // Encoding is the inverse: one comparison checks every reserved byte.
        if meta.encode().as_slice() != block {
            return Err(MetaFault::Reserved);
        }
        if meta.seq % 2 != slot as u64 / 2 {
            return Err(MetaFault::Misplaced { seq: meta.seq });
        }
        if meta.agrees() { Ok(meta) } else { Err(MetaFault::Contradiction) }
    }

    fn fields(block: &[u8; META_SLOT_LEN]) -> Result<Self, MetaFault> {
        let u64_at = |at| u64_at(block, at).ok_or(MetaFault::Short);
        Ok(Self {
            uuid: u128_at(block, 16).ok_or(MetaFault::Short)?,
            seq: u64_at(32)?,
            epoch: u64_at(40)?,
            durable_lsn: Lsn(u64_at(48)?),
            first_segment: u64_at(56)?,
            head_segment: u64_at(64)?,
            next_segment: u64_at(72)?,
            compat: u64_at(80)?,
            ro_compat: u64_at(88)?,
            state: match block.get(104) {
                Some(1) => MetaState::Initialising,
                Some(2) => MetaState::Active,
                _ => return Err(MetaFault::Contradiction),
            },
            listed: Self::listed(block)?,
            snapshots: [Self::snapshot(block, 0), Self::snapshot(block, 1)],
        })
    }

    /// An entry without a number says that there is none; then it is blank, as encoding it again shows.
    fn snapshot(block: &[u8; META_SLOT_LEN], index: usize) -> Option<SnapshotRef> {
        let at = SNAPSHOTS_AT + index * SNAPSHOT_LEN;
        Some(SnapshotRef {
            id: u64_at(block, at).filter(|id| *id > 0)?,
            begin: Lsn(u64_at(block, at + 8)?),
            end: Lsn(u64_at(block, at + 16)?),
            bytes: u64_at(block, at + 24)?,
            sections: u32_at(block, at + 32)?,
            digest: u32_at(block, at + 36)?,
        })
    }

    /// The count is compared with the room before the table is read.
    fn listed(block: &[u8; META_SLOT_LEN]) -> Result<Vec<Listed>, MetaFault> {
        let count = u32_at(block, 108).and_then(|count| usize::try_from(count).ok());
        let count = count.filter(|count| *count <= LISTED_MAX).ok_or(MetaFault::Contradiction)?;
        let entry = |index| {
            let at = LISTED_AT + index * LISTED_LEN;
            Some(Listed {
                segment_id: u64_at(block, at)?,
                salt: u64_at(block, at + 8)?,
                capacity_blocks: u32_at(block, at + 16)?,
            })
        };
        (0..count).map(entry).collect::<Option<_>>().ok_or(MetaFault::Short)
    }

    /// Whether the fields agree with each other: invariants 1 to 4 of `write::meta`.
    fn agrees(&self) -> bool {
        let ids = || self.listed.iter().map(|listed| listed.segment_id);
        let ascending = ids().zip(ids().skip(1)).all(|(one, next)| one < next);
        let below_next = ids().chain([self.head_segment]).all(|id| id < self.next_segment)
            && self.next_segment <= SEGMENT_ID_END;
        let begun = match self.state {
            MetaState::Initialising => self.head_segment == 0 && self.first_segment == 0,
            MetaState::Active => {
                (1..=self.head_segment).contains(&self.first_segment)
                    && ids().next() == Some(self.head_segment)
            }
        };
        ascending
            && below_next
            && begun
            && !ids().any(|id| id == 0)
            && self.uuid != 0
            && self.snapshots_agree()
    }

    /// Whether each snapshot ends with what is durable, and the older one is the older.
    fn snapshots_agree(&self) -> bool {
        let known =
            |it: &SnapshotRef| it.begin <= it.end && it.end <= self.durable_lsn && it.id < SEGMENT_ID_END;
        let in_order = match self.snapshots {
            [Some(newest), Some(before)] => before.id < newest.id && before.begin <= newest.begin,
            [None, Some(_)] => false,
            _ => true,
        };
        in_order && self.snapshots.iter().flatten().all(known)
    }

    /// The bytes of a slot. More segments than a slot can list are not written: [`Meta::has_room`] is asked before.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut block = vec![0; META_SLOT_LEN];
        put(&mut block, 0, MAGIC.to_le_bytes());
        put(&mut block, 8, MAJOR.to_le_bytes());
        put(&mut block, 10, MINOR.to_le_bytes());
        put(&mut block, 12, 4096_u32.to_le_bytes());
        put(&mut block, 16, self.uuid.to_le_bytes());
        let numbers = [
            self.seq,
            self.epoch,
            self.durable_lsn.0,
            self.first_segment,
            self.head_segment,
            self.next_segment,
            self.compat,
            self.ro_compat,
        ];
        for (index, number) in numbers.into_iter().enumerate() {
            put(&mut block, 32 + 8 * index, number.to_le_bytes());
        }
        let state = match self.state {
            MetaState::Initialising => 1,
            MetaState::Active => 2,
        };
        put(&mut block, 104, [state, CHECKSUM_CRC32]);
        self.encode_listed(&mut block);
        self.encode_snapshots(&mut block);
        let crc = crc32fast::hash(block.get(..CRC_AT).unwrap_or_default());
        put(&mut block, CRC_AT, crc.to_le_bytes());
        put(&mut block, CRC_AT + 4, (!crc).to_le_bytes());
        block
    }

    fn encode_listed(&self, block: &mut [u8]) {
        let listed = self.listed.get(..LISTED_MAX).unwrap_or(&self.listed);
        put(block, 108, u32::try_from(listed.len()).unwrap_or(u32::MAX).to_le_bytes());
        for (index, listed) in listed.iter().enumerate() {
            let at = LISTED_AT + index * LISTED_LEN;
            put(block, at, listed.segment_id.to_le_bytes());
            put(block, at + 8, listed.salt.to_le_bytes());
            put(block, at + 16, listed.capacity_blocks.to_le_bytes());
        }
    }

    fn encode_snapshots(&self, block: &mut [u8]) {
        let places = (SNAPSHOTS_AT..).step_by(SNAPSHOT_LEN);
        for (at, snapshot) in places.zip(&self.snapshots) {
            let Some(it) = snapshot else { continue };
            for (at, number) in (at..).step_by(8).zip([it.id, it.begin.0, it.end.0, it.bytes]) {
                put(block, at, number.to_le_bytes());
            }
            put(block, at + 32, it.sections.to_le_bytes());
            put(block, at + 36, it.digest.to_le_bytes());
        }
    }

    /// Whether one more segment can be listed.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.listed.len() < LISTED_MAX
    }
}

/// What is the same in every version: magic and checksum.
fn check_frame(block: &[u8; META_SLOT_LEN]) -> Result<(), MetaFault> {
    if block == &[0; META_SLOT_LEN] {
        return Err(MetaFault::Blank);
    }
    if u64_at(block, 0) != Some(MAGIC) {
        return Err(MetaFault::Magic);
    }
    let crc = crc32fast::hash(block.get(..CRC_AT).unwrap_or_default());
    if u32_at(block, CRC_AT) == Some(crc) && u32_at(block, CRC_AT + 4) == Some(!crc) {
        Ok(())
    } else {
        Err(MetaFault::Checksum)
    }
}

/// What a later version may have changed.
fn check_known(block: &[u8; META_SLOT_LEN]) -> Result<(), MetaFault> {
    match (u16_at(block, 8), u16_at(block, 10)) {
        (Some(major), _) if major != MAJOR => return Err(MetaFault::Version(major)),
        (_, Some(minor)) if minor != MINOR => return Err(MetaFault::MinorVersion(minor)),
        _ => {}
    }
    match (block.get(105), u64_at(block, 96)) {
        (Some(&kind), _) if kind != CHECKSUM_CRC32 => Err(MetaFault::ChecksumKind(kind)),
        (_, Some(bits)) if bits != 0 => Err(MetaFault::Incompatible(bits)),
        _ => Ok(()),
    }
}

/// Why a slot of META does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetaFault {
    /// The file ends before the slot does.
    Short,
    /// All zero.
    Blank,
    /// Not the magic number.
    Magic,
    /// The checksum does not fit: damage, or an update that a crash cut short.
    Checksum,
    /// Intact, of a later major version.
    Version(u16),
    /// Intact, of another minor version.
    MinorVersion(u16),
    /// Intact, with another checksum.
    ChecksumKind(u8),
    /// Intact, with features an old program must not ignore.
    Incompatible(u64),
    /// Intact, with something in the reserved bytes.
    Reserved,
    /// Intact, and in the place of another update.
    Misplaced {
        /// Its number.
        seq: u64,
    },
    /// Intact, and its fields cannot all be true.
    Contradiction,
}

impl fmt::Display for MetaFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => f.write_str("cut short"),
            Self::Blank => f.write_str("blank"),
            Self::Magic => f.write_str("magic number"),
            Self::Checksum => f.write_str("checksum"),
            Self::Version(major) => write!(f, "major version {major}"),
            Self::MinorVersion(minor) => write!(f, "minor version {minor}"),
            Self::ChecksumKind(kind) => write!(f, "checksum kind {kind}"),
            Self::Incompatible(bits) => write!(f, "incompatible features {bits:#x}"),
            Self::Reserved => f.write_str("reserved bytes are not zero"),
            Self::Misplaced { seq } => write!(f, "it is update {seq}, whose place is another"),
            Self::Contradiction => f.write_str("its fields contradict each other"),
        }
    }
}
