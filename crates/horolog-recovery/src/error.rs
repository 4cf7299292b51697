//! Why a directory cannot be turned into a state.

use std::fmt;

use horolog_state::codec::RecordFault;
use horolog_state::{ApplyError, Lsn};
use horolog_wal::LogError;

use crate::snapshot::RottenSnapshot;

/// Why a directory is not opened. Every variant says where.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoveryError {
    /// The log cannot be read, is damaged, or is not one of ours.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A record's checksum holds and its body means nothing to this version.
    #[error("record {lsn} in segment {segment} at {offset}: {fault}")]
    Record {
        /// The record.
        lsn: Lsn,
        /// The segment file's number.
        segment: u64,
        /// Where in the file.
        offset: u64,
        /// What is wrong.
        #[source]
        fault: RecordFault,
    },
    /// A record does not fit what the records before it made.
    #[error("in segment {segment} at {offset}: {source}")]
    Rules {
        /// The segment file's number.
        segment: u64,
        /// Where in the file.
        offset: u64,
        /// What does not fit.
        source: ApplyError,
    },
    /// The beginning of the log was retired, and no snapshot that holds what was in it can be used.
    #[error("the log begins with record {first}, and nothing holds those before it{}", Rotten(rotten))]
    Incomplete {
        /// The first record that is there.
        first: Lsn,
        /// The snapshots that should have held them, newest first.
        rotten: Vec<RottenSnapshot>,
    },
    /// The first record of a log is always an `Epoch`.
    #[error("the log does not begin with an Epoch record")]
    NoEpoch,
}

/// Snapshots with what is wrong with each, for a message.
struct Rotten<'a>(&'a [RottenSnapshot]);

impl fmt::Display for Rotten<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|it| write!(f, "; {it}: {}", it.why))
    }
}
