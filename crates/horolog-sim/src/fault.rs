//! Faults on order: which operation meets one, and what it does then.

use std::io;

use horolog_storage::Op;

/// How an operation is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Errno {
    /// The device answers with an error (EIO).
    Io,
    /// There is no room left (ENOSPC).
    Full,
    /// The quota is used up (EDQUOT).
    Quota,
    /// A file may not grow that far (EFBIG).
    TooLarge,
    /// The process has too many files open (EMFILE).
    TooManyOpen,
    /// That is not allowed (EACCES).
    NoAccess,
    /// The file system has been made read-only (EROFS).
    ReadOnly,
    /// The file was taken away from under us (ENOENT).
    NotFound,
    /// There is no memory: for reading a file whole, [`StorageError::OutOfMemory`](horolog_storage::StorageError).
    NoMemory,
}

impl Errno {
    pub(crate) fn error(self) -> io::Error {
        match self {
            Self::Io => io::Error::other("simulated device error"),
            Self::Full => io::ErrorKind::StorageFull.into(),
            Self::Quota => io::ErrorKind::QuotaExceeded.into(),
            Self::TooLarge => io::ErrorKind::FileTooLarge.into(),
            Self::TooManyOpen => io::Error::other("simulated: too many open files"),
            Self::NoAccess => io::ErrorKind::PermissionDenied.into(),
            Self::ReadOnly => io::ErrorKind::ReadOnlyFilesystem.into(),
            Self::NotFound => io::ErrorKind::NotFound.into(),
            Self::NoMemory => io::ErrorKind::OutOfMemory.into(),
        }
    }
}

/// What an operation meets.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It is refused. A write leaves half of its bytes, and a sync is a [`SyncFailure::MarkedClean`].
    Refused(Op, Errno),
    /// A write leaves `bytes` of its bytes, and is refused.
    ShortWrite {
        /// How many bytes arrive.
        bytes: u64,
        /// What is answered.
        errno: Errno,
    },
    /// A write is reported and never happens; the place keeps what it held, through every sync. Only the size of the
    /// file is as if it had.
    LostWrite,
    /// The bytes of a write arrive somewhere else, and not where they belong. It is reported as done.
    MisdirectedWrite {
        /// In which file; if there is none of that name, they are lost.
        name: String,
        /// Where in it.
        offset: u64,
    },
    /// A read gives the bytes of another place, and zeros behind its end.
    MisdirectedRead {
        /// Of which file; if there is none of that name, zeros are read.
        name: String,
        /// From where.
        offset: u64,
    },
    /// A read gives what the medium held before the last sync of the file.
    StaleRead,
    /// A sync fails in a way of its own.
    Sync(SyncFailure),
}

/// What a sync that fails leaves behind. In each case what was on its way may have reached the medium or not, and no
/// later sync answers for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SyncFailure {
    /// The page cache shows the new bytes and the pages count as clean (ext4, XFS).
    MarkedClean,
    /// The same, and after so many more operations of any kind the pages leave the page cache: then reads give what
    /// the medium holds.
    Evicted {
        /// How many operations still find the new bytes.
        after: u64,
    },
    /// The sync is reported as done; the next one of this file gives the error (ext4 with a journal of data).
    ToldByTheNext,
    /// Reads give at once what the medium holds (Btrfs).
    Reverted,
}

impl Fault {
    fn op(&self) -> Op {
        match self {
            Self::Refused(op, _) => *op,
            Self::ShortWrite { .. } | Self::LostWrite | Self::MisdirectedWrite { .. } => Op::Write,
            Self::MisdirectedRead { .. } | Self::StaleRead => Op::Read,
            Self::Sync(_) => Op::Sync,
        }
    }
}

/// Which names are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pattern {
    /// Every name.
    Any,
    /// This one.
    Is(String),
    /// Those that begin so.
    Begins(String),
    /// Those that end so.
    Ends(String),
}

impl Pattern {
    /// This name.
    #[must_use]
    pub fn is(name: &str) -> Self {
        Self::Is(name.to_owned())
    }

    /// Names that begin so.
    #[must_use]
    pub fn begins(name: &str) -> Self {
        Self::Begins(name.to_owned())
    }

    /// Names that end so.
    #[must_use]
    pub fn ends(name: &str) -> Self {
        Self::Ends(name.to_owned())
    }

    /// Whether a name is meant.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Is(whole) => name == whole,
            Self::Begins(part) => name.starts_with(part),
            Self::Ends(part) => name.ends_with(part),
        }
    }
}

/// When a fault comes: which of the operations it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    after: u64,
    times: u64,
    names: Pattern,
}

impl Trigger {
    /// After so many operations of its kind that go on as they would, once.
    #[must_use]
    pub fn after(operations: u64) -> Self {
        Self { after: operations, times: 1, names: Pattern::Any }
    }

    /// So many times in a row.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times, ..self }
    }

    /// From then on always.
    #[must_use]
    pub fn for_ever(self) -> Self {
        self.times(u64::MAX)
    }

    /// Only operations on these names count and are met. A rename is on both of its names.
    #[must_use]
    pub fn on(self, names: Pattern) -> Self {
        Self { names, ..self }
    }
}

/// What an operation is up against.
#[derive(Debug)]
pub(crate) enum Lot {
    Clear,
    /// The machine is off: it fails and leaves no trace.
    Off,
    Met(Fault),
}

/// Which operations meet a fault.
#[derive(Debug, Default, Clone)]
pub(crate) struct Plan {
    rules: Vec<(Fault, Trigger)>,
    off_at: Option<u64>,
    changes: u64,
}

impl Plan {
    pub(crate) fn add(&mut self, fault: Fault, trigger: Trigger) {
        self.rules.push((fault, trigger));
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
        self.off_at = None;
    }

    pub(crate) fn halt_after(&mut self, changes: u64) {
        self.off_at = Some(self.changes.saturating_add(changes));
    }

    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    pub(crate) fn is_off(&self) -> bool {
        self.off_at.is_some_and(|at| self.changes >= at)
    }

    /// Draws the lot of an operation, and counts it if it is a change that will be reported as done.
    pub(crate) fn draw(&mut self, op: Op, names: &[&str]) -> Lot {
        if is_change(op) && self.is_off() {
            return Lot::Off;
        }
        let met = self.due(op, names);
        let refused = match &met {
            Some(Fault::Refused(..) | Fault::ShortWrite { .. }) => true,
            Some(Fault::Sync(failure)) => *failure != SyncFailure::ToldByTheNext,
            _ => false,
        };
        self.changes += u64::from(is_change(op) && !refused);
        met.map_or(Lot::Clear, Lot::Met)
    }

    /// Counts down every rule that is about this operation; the first that is due is met.
    fn due(&mut self, op: Op, names: &[&str]) -> Option<Fault> {
        let mut met = None;
        for (fault, trigger) in &mut self.rules {
            if fault.op() != op || !names.iter().any(|name| trigger.names.matches(name)) {
                continue;
            }
            if trigger.after > 0 {
                trigger.after -= 1;
            } else if met.is_none() && trigger.times > 0 {
                trigger.times = if trigger.times == u64::MAX { u64::MAX } else { trigger.times - 1 };
                met = Some(fault.clone());
            }
        }
        self.rules.retain(|(_, trigger)| trigger.times > 0);
        met
    }
}

/// Whether an operation changes something, or makes a change durable.
fn is_change(op: Op) -> bool {
    matches!(op, Op::Write | Op::Sync | Op::Create | Op::Rename | Op::Remove | Op::SyncDir)
}
