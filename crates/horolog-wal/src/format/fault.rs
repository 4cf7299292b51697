//! What is wrong with the bytes at some place.

use std::fmt;

use crate::format::record::RecordFault;
use crate::format::segment::SegmentFault;

/// Why a batch, a segment or a link is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The segment header is damaged, or is not the one its name promises.
    Segment(SegmentFault),
    /// The file is not as long as its header says.
    FileLength {
        /// What the header says.
        expected: u64,
        /// How long it is.
        found: u64,
    },
    /// META lists or a LINK names a segment that is not there.
    Missing,
    /// The segment is not the one that META lists: another salt or size under the same name.
    OtherLife,
    /// The segment is part of the log and META does not list it: META is an old one.
    Unlisted,
    /// The segment is sealed and META lists none after it: META is an old one.
    NoSuccessor,
    /// The segment has no block left.
    End,
    /// No batch begins here: the block is zero.
    Blank,
    /// No batch begins here: the magic number is another.
    Magic,
    /// The checksum of the batch header does not fit the header and its place.
    HeaderChecksum,
    /// The number of the batch in its segment is not the next one.
    Ordinal,
    /// The first LSN is not the next one.
    FirstLsn,
    /// The batch does not follow the one before it.
    Chain,
    /// The durable stamp is not below the first LSN.
    Stamp,
    /// The batch is longer than its segment.
    Length,
    /// The reserved bytes are not zero.
    Reserved,
    /// A record is not valid.
    Record(RecordFault),
    /// There are more or fewer records than the header says.
    RecordCount,
    /// The digest does not fit the records and the padding.
    Digest,
    /// A LINK, SEAL or MARK flag without its record, its record without the flag, or in the wrong place.
    Shape,
    /// The LINK contradicts its own segment, or the SEAL the batches before it.
    Contradiction,
    /// The segment goes on past the LSN where its successor was linked, and never had the chain value named there.
    LinkMismatch,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment(fault) => write!(f, "segment header: {fault}"),
            Self::FileLength { expected, found } => {
                write!(f, "the file has {found} bytes in place of {expected}")
            }
            Self::Missing => f.write_str("the segment is missing"),
            Self::OtherLife => f.write_str("the segment is not the one that META lists"),
            Self::Unlisted => f.write_str("META does not know the segment: it is older than the log"),
            Self::NoSuccessor => {
                f.write_str("META does not know what follows the segment: it is older than the log")
            }
            Self::End => f.write_str("the segment ends"),
            Self::Blank => f.write_str("a blank block"),
            Self::Magic => f.write_str("no batch begins here"),
            Self::HeaderChecksum => f.write_str("batch header checksum"),
            Self::Ordinal => f.write_str("batch ordinal"),
            Self::FirstLsn => f.write_str("first LSN of the batch"),
            Self::Chain => f.write_str("the batch does not continue the chain"),
            Self::Stamp => f.write_str("durable stamp at or above the first LSN"),
            Self::Length => f.write_str("batch length"),
            Self::Reserved => f.write_str("reserved bytes are not zero"),
            Self::Record(fault) => write!(f, "record: {fault}"),
            Self::RecordCount => f.write_str("record count"),
            Self::Digest => f.write_str("batch digest"),
            Self::Shape => f.write_str("flags and records of the batch disagree"),
            Self::Contradiction => f.write_str("LINK or SEAL contradicts its segment"),
            Self::LinkMismatch => f.write_str("no batch ends where the next segment was linked"),
        }
    }
}
