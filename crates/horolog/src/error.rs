//! Errors as facts. Refused input is handed back; an unknown outcome is never called a failure.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use horolog_recovery::{RecoveryError, RepairError};
use horolog_state::{RescheduleRefusal, ScheduleRefusal, StaleToken};
use horolog_storage::StorageError;
use horolog_wal::LogError;

use crate::batch::Batch;
use crate::due::Due;
use crate::machine::{BatchRefusal, Failure, NoRoom, Refused};
use crate::options::BadOption;
use crate::timer::{BadTime, Timer};

/// Why a directory was not opened. What is refused for its contents was not changed, but for the lock file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// An option cannot be used.
    #[error(transparent)]
    BadOption(#[from] BadOption),
    /// The directory cannot be used. A held lock names the process and the host that hold it.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The directory is empty and was not to be created.
    #[error("{} holds no timers, and it was not to be created", path.display())]
    Empty {
        /// The directory.
        path: PathBuf,
    },
    /// What is in it cannot be trusted, is of a newer version, or is not ours.
    #[error("{}: {source}", path.display())]
    Recovery {
        /// The directory.
        path: PathBuf,
        /// What was found.
        source: RecoveryError,
    },
    /// The log could not be opened for writing.
    #[error("{}: {source}", path.display())]
    Log {
        /// The directory.
        path: PathBuf,
        /// What failed.
        source: LogError,
    },
    /// The directory was created with another tick length.
    #[error("the directory has ticks of {found:?}, and {asked:?} were asked for")]
    TickLen {
        /// The directory's.
        found: Duration,
        /// The one asked for.
        asked: Duration,
    },
    /// A service thread could not be started.
    #[error("a thread could not be started")]
    Thread(#[source] std::io::Error),
    /// The first record could not be made durable.
    #[error("the opening could not be written")]
    Failed(#[source] Arc<Failure>),
}

/// Why the engine takes no command, whatever the command is.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// It is being shut down, or has been.
    #[error("the engine is closed")]
    Closed,
    /// A write or a sync failed before; the engine has to be healed, or the directory opened again.
    #[error("an earlier write or sync failed; heal the engine, or open the directory again")]
    Poisoned(#[source] Arc<Failure>),
    /// Too many bytes are on their way to the medium. Room comes back with the next sync.
    #[error("{unsynced_bytes} bytes are not synced yet and the limit is {bytes_max}")]
    Busy {
        /// What is on its way.
        unsynced_bytes: usize,
        /// The limit for this kind of call.
        bytes_max: usize,
    },
    /// The disk is full, a quota is used up, or no file of this process may grow that far (RLIMIT_FSIZE): the log cannot grow.
    /// What is pending goes on, and is cancelled and completed in the room that was kept for it. Once somebody makes room
    /// this is over, by itself and within five seconds.
    #[error("there is no room for the log to grow")]
    StorageFull(#[source] Arc<LogError>),
    /// All 2^32 ids are in use.
    #[error("every id is in use")]
    NoIdLeft,
}

/// The record of a call was applied, and whether it is on the medium is unknown: the write or the sync that carried it
/// failed. After the next opening it either counts or never happened; once the engine is healed, it counts.
#[derive(Clone, Debug, thiserror::Error)]
#[error("it is unknown whether this is on the medium: a write or a sync failed")]
pub struct Indeterminate {
    /// What failed.
    #[source]
    pub failure: Arc<Failure>,
}

/// Why a timer was not scheduled.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleFault {
    /// The engine takes no command now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// Its time cannot be had.
    #[error(transparent)]
    BadTime(#[from] BadTime),
    /// A limit or a rule is against it.
    #[error(transparent)]
    Refused(#[from] ScheduleRefusal),
}

/// A timer that was not scheduled, and why. Nothing was written.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{fault}")]
pub struct NotScheduled {
    /// Why.
    #[source]
    pub fault: ScheduleFault,
    /// The timer, as it was handed in.
    pub timer: Box<Timer>,
}

/// Why `schedule` has no id to give.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// It was not scheduled.
    #[error(transparent)]
    NotScheduled(#[from] NotScheduled),
    /// Whether it was is unknown.
    #[error(transparent)]
    Indeterminate(#[from] Indeterminate),
}

/// Why a cancel has no answer.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CancelError {
    /// The engine takes no command now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// Whether it was cancelled is unknown.
    #[error(transparent)]
    Indeterminate(#[from] Indeterminate),
}

/// Why a timer keeps its due time.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RescheduleError {
    /// The engine takes no command now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The timer is not one that can be moved.
    #[error(transparent)]
    Refused(#[from] RescheduleRefusal),
    /// Whether it was moved is unknown.
    #[error(transparent)]
    Indeterminate(#[from] Indeterminate),
}

/// Why an outcome was not taken.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutcomeFault {
    /// The engine takes no command now. After a shutdown the occurrence is delivered again at the next opening.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// This delivery is not in flight any more.
    #[error(transparent)]
    Stale(#[from] StaleToken),
}

/// An outcome that was not taken. The occurrence is handed back, still in flight.
#[derive(Debug, thiserror::Error)]
#[error("{fault}")]
pub struct OutcomeError {
    /// Why.
    #[source]
    pub fault: OutcomeFault,
    /// The occurrence.
    pub due: Box<Due>,
}

/// Why a batch was not carried out.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BatchFault {
    /// The engine takes no command now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The time of a timer cannot be had.
    #[error("operation {index}: {source}")]
    BadTime {
        /// Which operation, from 0.
        index: usize,
        /// Why.
        source: BadTime,
    },
    /// An operation is refused, so all are.
    #[error(transparent)]
    Refused(#[from] BatchRefusal),
    /// An occurrence in it was handed out by another engine.
    #[error("operation {index} completes an occurrence of another engine")]
    ForeignDue {
        /// Which operation, from 0.
        index: usize,
    },
}

/// A batch that was not carried out: nothing of it was written. The batch is handed back.
#[derive(Debug)]
pub struct BatchError {
    /// Why.
    pub fault: BatchFault,
    /// The batch.
    pub batch: Box<Batch>,
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault.fmt(f)
    }
}

impl std::error::Error for BatchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.fault)
    }
}

/// Why an engine that has failed cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HealError {
    /// A write or a sync has not come back yet, or somebody else is healing it. Try again.
    #[error("a write or a sync has not come back yet")]
    InFlight,
    /// It is being shut down, or has been.
    #[error("the engine is closed")]
    Closed,
    /// Not the log has failed, or more has happened since than the buffer holds: the directory has to be opened again.
    #[error("this cannot be healed; open the directory again")]
    Beyond(#[source] Arc<Failure>),
    /// The disk still fails, or is full. Try again.
    #[error("the log cannot be continued in a fresh file")]
    Log(#[source] LogError),
}

/// Why there is no new snapshot. Those from before stay, and the log that they need.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompactError {
    /// The engine is being shut down, or has been.
    #[error("the engine is closed")]
    Closed,
    /// Writing had stopped, or stopped meanwhile.
    #[error("the engine has stopped writing")]
    Failed(#[source] Arc<Failure>),
    /// The snapshot could not be written, or was not on the medium what it was in memory. It is tried again after a while.
    #[error("the snapshot could not be made")]
    Snapshot(#[source] Arc<LogError>),
}

/// Why there is no backup. Nothing of the engine has changed; what was written in the other place is not a directory of timers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// What was applied before the call is not known to be durable.
    #[error(transparent)]
    Indeterminate(#[from] Indeterminate),
    /// The other place is this directory, or lies in it.
    #[error("{} lies in the directory that is to be copied", path.display())]
    Inside {
        /// The other place.
        path: PathBuf,
    },
    /// The other place cannot be made, locked or used.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// This directory cannot be read.
    #[error("the directory cannot be read")]
    Read(#[source] RecoveryError),
    /// The copy cannot be written, or the other place is not empty.
    #[error("the copy cannot be written")]
    Write(#[source] RepairError),
}

/// A shutdown that could not keep its promise: what is lost, if anything, is known only after the next opening.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the engine had stopped writing before it was shut down")]
pub struct ShutdownError {
    /// What failed.
    #[source]
    pub failure: Arc<Failure>,
}

/// Splits what the machine says into what any command may meet and what the rules say.
pub(crate) fn split<R, E: From<Unavailable> + From<R>>(refused: Refused<R>) -> E {
    match refused {
        Refused::Closed => Unavailable::Closed.into(),
        Refused::Poisoned(failure) => Unavailable::Poisoned(failure).into(),
        Refused::NoRoom(NoRoom::Buffer { unsynced_bytes, bytes_max }) => {
            Unavailable::Busy { unsynced_bytes, bytes_max }.into()
        }
        Refused::NoRoom(NoRoom::Disk(error)) => Unavailable::StorageFull(error).into(),
        Refused::NoIdLeft => Unavailable::NoIdLeft.into(),
        Refused::Rules(refusal) => refusal.into(),
    }
}

/// A command without rules of its own is refused for reasons of the engine only.
pub(crate) fn unavailable(refused: Refused<std::convert::Infallible>) -> Unavailable {
    split(refused.map(|never| -> Unavailable { match never {} }))
}
