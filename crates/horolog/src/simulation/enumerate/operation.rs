//! What a sequence is made of.

use std::fmt;
use std::str::FromStr;

/// One operation of a sequence. Each is a command or two and the jobs that belong to it; `script.rs` says
/// which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A timer, synced.
    Schedule,
    /// A cancel that is written and not synced.
    Cancel,
    /// A delivery and its completion, synced, and a MARK.
    Complete,
    /// Completes one and schedules another, both or neither; the next delivery is on its way when it ends.
    Batch,
    /// Unsynced timers until the log goes on in another segment.
    Rotate,
    /// A snapshot, with a timer scheduled between its sections.
    Snapshot,
    /// Two snapshots, and the log that neither needs is let go.
    Compact,
    /// Closes the log in order, and opens it again.
    Close,
}

impl Operation {
    /// All of them, in the order in which sequences are enumerated.
    pub const ALL: [Self; 8] = [
        Self::Schedule,
        Self::Cancel,
        Self::Complete,
        Self::Batch,
        Self::Rotate,
        Self::Snapshot,
        Self::Compact,
        Self::Close,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Cancel => "cancel",
            Self::Complete => "complete",
            Self::Batch => "batch",
            Self::Rotate => "rotate",
            Self::Snapshot => "snapshot",
            Self::Compact => "compact",
            Self::Close => "close",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// There is no such operation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of schedule, cancel, complete, batch, rotate, snapshot, compact, close")]
pub struct NoOperation(String);

impl FromStr for Operation {
    type Err = NoOperation;

    fn from_str(name: &str) -> Result<Self, NoOperation> {
        Self::ALL.into_iter().find(|it| it.name() == name).ok_or_else(|| NoOperation(name.to_owned()))
    }
}

/// All sequences of exactly this length.
pub(super) fn sequences(length: usize) -> Vec<Vec<Operation>> {
    let mut all = vec![Vec::new()];
    for _ in 0..length {
        let longer = |shorter: &Vec<Operation>| {
            let shorter = shorter.clone();
            Operation::ALL.map(|last| shorter.iter().copied().chain([last]).collect())
        };
        all = all.iter().flat_map(longer).collect();
    }
    all
}

/// A sequence as it is typed.
pub(super) fn typed(sequence: &[Operation]) -> String {
    let names: Vec<_> = sequence.iter().map(|operation| operation.name()).collect();
    names.join(",")
}
