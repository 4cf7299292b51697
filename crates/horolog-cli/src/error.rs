//! What can go wrong with a command, as facts, and what to do about each.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use horolog::{OpenError, RecoveryError, StorageError};
use horolog_recovery::RepairError;
use horolog_wal::LogError;

use crate::run::file::JobsFault;

/// Why a command ended without doing what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error("{what} {}", path.display())]
    File { what: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
    #[error("cannot {what}")]
    System { what: &'static str, source: io::Error },
    #[error("the directory was not opened")]
    Open(#[source] OpenError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("{} was not read", dir.display())]
    Recovery { dir: PathBuf, source: RecoveryError },
    #[error("{} is not empty", dir.display())]
    NotEmpty { dir: PathBuf },
    #[error("{} was read again and is not what was written", dir.display())]
    NotAsWritten { dir: PathBuf },
    #[error("{} lies in the directory that is to be repaired", dir.display())]
    InTheOld { dir: PathBuf },
    #[error("{} is there already", path.display())]
    LeftOver { path: PathBuf },
    #[error("{} has {free_bytes} bytes free, and {room_bytes} may be needed", dir.display())]
    NoRoom { dir: PathBuf, room_bytes: u64, free_bytes: u64 },
    #[error("stopped by a signal")]
    Stopped,
    #[error("{} was not repaired", dir.display())]
    Repair { dir: PathBuf, to: PathBuf, source: RepairError },
    #[error(transparent)]
    Jobs(#[from] JobsFault),
    #[error("the engine took no command any more")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Trouble {
    pub(crate) fn engine(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Engine(Box::new(source))
    }

    /// The error, what it rests on, and what to do.
    pub(crate) fn report(&self) -> String {
        let mut text = format!("error: {self}");
        let mut said = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let words = error.to_string();
            // A transparent error says the same as its source.
            if !said.ends_with(&words) {
                let _ = write!(text, "\n  because: {words}");
            }
            (said, cause) = (words, error.source());
        }
        if let Some(advice) = self.advice() {
            let _ = write!(text, "\n  what to do: {advice}");
        }
        text
    }

    /// 1 is kept for damage; everything else that keeps a command from its answer is 2.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Recovery { source, .. } if is_damage(source) => 1,
            Self::Open(OpenError::Recovery { source, .. }) if is_damage(source) => 1,
            Self::Repair { source: RepairError::Log(source), .. } if !is_damaged_log(source) => 2,
            Self::Repair { .. } => 1,
            _ => 2,
        }
    }

    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(source) if source.kind() == io::ErrorKind::BrokenPipe)
    }

    fn advice(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Repair { dir, to, source } => Some(repair_advice(dir, to, source)),
            _ => self.plain_advice().map(Cow::Borrowed),
        }
    }

    fn plain_advice(&self) -> Option<&'static str> {
        Some(match self {
            Self::Open(OpenError::Storage(source)) | Self::Storage(source) => storage_advice(source),
            Self::Open(OpenError::Recovery { source, .. }) | Self::Recovery { source, .. } => {
                recovery_advice(source)
            }
            Self::Open(OpenError::Empty { .. }) => "check the path; nothing was ever scheduled there",
            Self::Open(_) => {
                "look at the cause; nothing that was acknowledged is changed by a failed opening"
            }
            Self::NotEmpty { .. } => "name an empty directory or one that does not exist",
            Self::NotAsWritten { .. } => {
                "keep the old directory and repair to another disk: this one does not keep what it is given"
            }
            Self::InTheOld { .. } => "name a directory outside: nothing is ever written to a damaged one",
            Self::LeftOver { .. } => {
                "wait for the `horolog bench-disk` that is at work there; if it was killed, remove what it left"
            }
            Self::NoRoom { .. } => "name a directory on a disk with more room, or fewer --seconds",
            Self::File { source, .. } => io_advice(source),
            Self::System { .. } => "check the limits of this user (ulimit -a)",
            Self::Engine(_) => "look at the disk (df, dmesg) and start again: what was acknowledged is kept",
            Self::Jobs(JobsFault::Unreadable { source, .. }) => io_advice(source),
            Self::Jobs(_) => {
                "correct the file; `horolog run FILE --check` validates it, `horolog run --help` shows an example"
            }
            Self::Output(_) | Self::Repair { .. } | Self::Stopped => return None,
        })
    }
}

/// Whether a recovery failed for what is on disk, and not for what kept it from being read.
pub(crate) fn is_damage(error: &RecoveryError) -> bool {
    match error {
        RecoveryError::Log(log) => is_damaged_log(log),
        RecoveryError::Record { .. }
        | RecoveryError::Rules { .. }
        | RecoveryError::Incomplete { .. }
        | RecoveryError::NoEpoch => true,
        _ => false,
    }
}

fn is_damaged_log(error: &LogError) -> bool {
    matches!(
        error,
        LogError::Corruption(_)
            | LogError::MetaMissing { .. }
            | LogError::MetaDamaged(_)
            | LogError::ForeignSegment { .. }
    )
}

fn repair_advice(dir: &Path, to: &Path, error: &RepairError) -> Cow<'static, str> {
    match error {
        RepairError::KeepsLess { kept, .. } => Cow::Owned(format!(
            "look at what is lost (above); to accept it: horolog repair {} --to {} --accept-loss-after {kept}",
            dir.display(),
            to.display()
        )),
        RepairError::NothingKept => Cow::Borrowed(
            "restore a backup; what can still be read is above, and was not enough to begin a directory with",
        ),
        RepairError::Log(LogError::Storage(source)) => Cow::Owned(format!(
            "{}; what was written to {} is no log and can be removed",
            storage_advice(source),
            to.display()
        )),
        _ => Cow::Borrowed(
            "restore a backup, or schedule the timers anew in another directory: `horolog dump` shows them",
        ),
    }
}

fn recovery_advice(error: &RecoveryError) -> &'static str {
    match error {
        RecoveryError::Log(LogError::Storage(source)) => storage_advice(source),
        RecoveryError::Log(LogError::NotALog { .. }) => "check the path; this directory holds something else",
        RecoveryError::Log(LogError::NewerVersion { .. } | LogError::Unknown { .. }) => {
            "use the version of horolog that wrote the directory, or a later one"
        }
        _ => {
            "keep a copy of the directory as it is, then restore a backup; `horolog dump` shows what can still be read, \
             `horolog repair` makes a new directory of it"
        }
    }
}

fn storage_advice(error: &StorageError) -> &'static str {
    match error {
        StorageError::Locked { .. } => "stop that process, or use another directory",
        StorageError::NotFound { .. } => "check the path",
        StorageError::Io { source, .. } => io_advice(source),
        _ => "check the path and the file system",
    }
}

fn io_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "check the path",
        io::ErrorKind::PermissionDenied => "run as a user who may, or change the permissions",
        io::ErrorKind::NotADirectory => "name the directory, not a file in it",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room on the disk",
        io::ErrorKind::FileTooLarge => "raise the limit of the size of files (ulimit -f)",
        io::ErrorKind::ReadOnlyFilesystem => {
            "mount the file system for writing, or name a directory on another one"
        }
        _ => "look at the disk (dmesg) and try again",
    }
}
