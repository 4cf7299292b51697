//! Why a log cannot be read or written, as facts.

use std::fmt;

use horolog_storage::StorageError;

use crate::format::Fault;
use crate::format::meta::{META_SLOTS, MetaFault};
use crate::format::snapshot::SnapshotDamage;
use crate::lsn::Lsn;

/// An operation on the log failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// A file could not be read or written. Reading: never taken for the end of the log. Writing: the writer is
    /// poisoned, unless a spare could not be prepared, or the disk was full when a segment had to be made on the spot.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Acknowledged records are damaged or gone.
    #[error(transparent)]
    Corruption(Box<Corruption>),
    /// The directory was written by a later version of the format.
    #[error("{file} has format version {found}, this program reads up to {known}")]
    NewerVersion {
        /// The file that says so.
        file: LogFile,
        /// Its major version.
        found: u16,
        /// The newest major version this program reads.
        known: u16,
    },
    /// An undamaged part of the log uses something this program does not know; reading on could only misread.
    #[error("{file} at {offset}: unknown {what}")]
    Unknown {
        /// The file.
        file: LogFile,
        /// The offset in it.
        offset: u64,
        /// What is not known.
        what: Unknown,
    },
    /// A segment of another log lies in the directory.
    #[error("segment {segment} belongs to log {theirs:032x}, META to {ours:032x}")]
    ForeignSegment {
        /// The segment that does not belong.
        segment: u64,
        /// The identity in META.
        ours: u128,
        /// The identity of this one.
        theirs: u128,
    },
    /// The directory holds files and no log; a log is never begun over somebody's data.
    #[error("{} holds {found:?} and no log", path.display())]
    NotALog {
        /// The directory.
        path: std::path::PathBuf,
        /// The first file that is not of a log.
        found: String,
    },
    /// The directory holds segments and no META, which says which of them count. A log is never begun over them.
    #[error("{} holds {found:?} and no META", path.display())]
    MetaMissing {
        /// The directory.
        path: std::path::PathBuf,
        /// The first file of the log that is there.
        found: String,
    },
    /// Not one slot of META is valid.
    #[error(transparent)]
    MetaDamaged(Box<MetaDamage>),
    /// A segment is no longer what it was when the view was made, and the reader does not hold the lock: most likely a writer
    /// has retired it and uses its file again. Read the log anew.
    #[error("segment {segment} has changed since the log was read")]
    ChangedMeanwhile {
        /// The segment.
        segment: u64,
    },
    /// A snapshot is not what META says. The one before it, or the whole log, may take its place.
    #[error("snapshot {snapshot}: {damage}")]
    SnapshotDamaged {
        /// Its number.
        snapshot: u64,
        /// What is wrong.
        damage: SnapshotDamage,
    },
    /// The batch takes more room than the options allow. Nothing was written.
    #[error("a batch of {bytes} bytes, the limit is {max}")]
    TooLarge {
        /// The size of the batch on disk.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// The batch does not begin where the log ends: another owner wrote, or this one lost count. Nothing was written.
    #[error("a batch that begins at LSN {got} where {expected} was due")]
    OutOfOrder {
        /// The LSN after the tail.
        expected: Lsn,
        /// The first LSN of the batch.
        got: Lsn,
    },
    /// The caller broke a rule of this crate. Nothing was written.
    #[error("{0}")]
    Misuse(Misuse),
    /// An earlier write or sync failed. [`crate::Writer::heal`] goes on in a new file; so does opening the log again.
    #[error("an earlier write or sync of the log failed")]
    Poisoned,
}

impl LogError {
    /// Whether there is no room left for the log.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Storage(source) if source.is_full())
    }

    /// The verdict, if this is one.
    #[must_use]
    pub fn corruption(&self) -> Option<&Corruption> {
        match self {
            Self::Corruption(corruption) => Some(corruption),
            _ => None,
        }
    }
}

impl From<Corruption> for LogError {
    fn from(corruption: Corruption) -> Self {
        Self::Corruption(Box::new(corruption))
    }
}

/// META says nothing: its length is wrong, or none of its slots is valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("META has {len} bytes, and its slots are bad: {}", Slots(slots))]
pub struct MetaDamage {
    /// The length of the file; 16384 is right.
    pub len: u64,
    /// What is wrong with each slot. An intact slot of a file that has the wrong length is `None`.
    pub slots: [Option<MetaFault>; META_SLOTS],
}

struct Slots<'a>(&'a [Option<MetaFault>; META_SLOTS]);

impl fmt::Display for Slots<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (slot, fault) in self.0.iter().enumerate() {
            let comma = if slot == 0 { "" } else { ", " };
            match fault {
                Some(fault) => write!(f, "{comma}{slot}: {fault}")?,
                None => write!(f, "{comma}{slot}: intact")?,
            }
        }
        Ok(())
    }
}

/// A file of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFile {
    /// The file that lists the segments.
    Meta,
    /// A segment, by its number.
    Segment(u64),
    /// A snapshot, by its number.
    Snapshot(u64),
}

impl fmt::Display for LogFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Meta => f.write_str("META"),
            Self::Segment(id) => write!(f, "segment {id}"),
            Self::Snapshot(id) => write!(f, "snapshot {id}"),
        }
    }
}

/// Acknowledged records are damaged or gone: where, which, why, and what proves it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("segment {segment} at {offset}: {why}; {lost} lost, {evidence}")]
pub struct Corruption {
    /// The segment in which the records should be.
    pub segment: u64,
    /// The offset at which reading stopped.
    pub offset: u64,
    /// Which records are lost.
    pub lost: Lost,
    /// What proves that they were durable.
    pub evidence: Evidence,
    /// What is wrong there.
    pub why: Fault,
}

/// The records that cannot be read, as far as they are known. With `first` above `last` there is none: what is damaged is
/// the log's own, a SEAL that a LINK names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// The first of them; `None` if what came before cannot be known either.
    pub first: Option<Lsn>,
    /// The last one that is proven; more may be gone. `None` if nothing is proven about any single record.
    pub last: Option<Lsn>,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first, self.last) {
            (Some(first), Some(last)) if first > last => f.write_str("no record"),
            (Some(first), Some(last)) => write!(f, "LSN {first} to {last}"),
            (Some(first), None) => write!(f, "LSN {first} and later"),
            (None, Some(last)) => write!(f, "records up to LSN {last}"),
            (None, None) => f.write_str("an unknown number of records"),
        }
    }
}

/// What proves that records were durable, and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    /// The file.
    pub file: LogFile,
    /// The offset in it.
    pub offset: u64,
    /// What stands there.
    pub kind: EvidenceKind,
    /// The LSN it proves durable.
    pub durable: Lsn,
}

/// The kinds of evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EvidenceKind {
    /// The durable stamp of a batch header.
    Stamp,
    /// The LINK of a later segment.
    Link,
    /// META: it lists a segment only when that is complete, and calls one the head only when its first batch is durable.
    Meta,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, offset, durable, .. } = self;
        match self.kind {
            EvidenceKind::Stamp => write!(f, "LSN {durable} is stamped durable in {file} at {offset}"),
            EvidenceKind::Link => write!(f, "{file} continues the log from LSN {durable}"),
            EvidenceKind::Meta => write!(f, "{file} at {offset} knows LSN {durable} to be durable"),
        }
    }
}

/// Parts of the format a later program may add.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unknown {
    /// Flag bits of a batch header.
    BatchFlags(u16),
    /// A codec of record bodies other than the owner's.
    Codec(u16),
    /// A kind of record that belongs to the log.
    InternalRecord(u8),
    /// Bits of a header that old programs must not ignore.
    Incompatible(u64),
    /// Bits of META with which an old program may read and not write.
    ReadOnly(u64),
    /// A minor version: what it adds is not known here.
    MinorVersion(u16),
    /// A kind of checksum.
    ChecksumKind(u8),
    /// A block size.
    BlockSize(u32),
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BatchFlags(bits) => write!(f, "batch flags {bits:#06x}"),
            Self::Codec(codec) => write!(f, "codec {codec}"),
            Self::InternalRecord(kind) => write!(f, "internal record {kind:#04x}"),
            Self::Incompatible(bits) => write!(f, "incompatible features {bits:#x}"),
            Self::ReadOnly(bits) => write!(f, "features {bits:#x}, with which this program may only read"),
            Self::MinorVersion(minor) => write!(f, "minor version {minor}"),
            Self::ChecksumKind(kind) => write!(f, "checksum kind {kind}"),
            Self::BlockSize(bytes) => write!(f, "block size {bytes}"),
        }
    }
}

/// Rules of this crate that a caller can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misuse {
    /// A batch without records; an empty batch is written with [`crate::Writer::mark`].
    EmptyBatch,
    /// The buffer holds a record of a kind that belongs to the log, or a body that did more than append.
    SpoiledBatch,
    /// A durable stamp that is not the end of a batch written since the last one.
    Stamp(Lsn),
    /// Flags in a stamp; the log sets them itself.
    Flags(u16),
    /// A segment cannot be as large as this batch needs.
    SegmentSize,
    /// Every segment id was used: there are 2^48.
    NoSegmentIdLeft,
    /// More segments are prepared and not used than META can list.
    TooManySpares,
    /// A view of another directory, or one that is no longer true.
    StaleView,
    /// A copy into a directory that holds something.
    NotEmpty,
    /// A snapshot that has seen records which are not durable.
    SnapshotAhead,
    /// A snapshot that is older than the one that counts, or ends before it begins.
    SnapshotOrder,
    /// A step of a snapshot that was not begun, or of which a write or a sync has failed.
    NoSnapshot,
    /// A log to be healed that has not failed, or records that are not those after the durable ones.
    NothingToHeal,
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyBatch => f.write_str("a batch without records"),
            Self::SpoiledBatch => f.write_str("a batch with a record that breaks the rules"),
            Self::Stamp(lsn) => write!(f, "a durable stamp of {lsn}, where no batch ends"),
            Self::Flags(bits) => write!(f, "batch flags {bits:#06x} given by the owner"),
            Self::SegmentSize => f.write_str("a batch no segment can hold"),
            Self::NoSegmentIdLeft => f.write_str("a segment more than there are ids for"),
            Self::TooManySpares => f.write_str("more spare segments than can be listed"),
            Self::StaleView => f.write_str("a view that does not fit the directory"),
            Self::NotEmpty => f.write_str("a log copied into a directory that is not empty"),
            Self::SnapshotAhead => f.write_str("a snapshot of records that are not durable"),
            Self::NoSnapshot => f.write_str("a step of a snapshot that is not being made"),
            Self::SnapshotOrder => f.write_str("a snapshot out of its turn"),
            Self::NothingToHeal => {
                f.write_str("a log that has not failed, or the wrong records to heal it with")
            }
        }
    }
}

/// A walk over the records ended early.
#[derive(Debug, thiserror::Error)]
pub enum VisitError<E> {
    /// The log could not be read, or is no longer what it was when the view was made.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The visitor stopped the walk.
    #[error("the visitor stopped")]
    Visitor(E),
}
