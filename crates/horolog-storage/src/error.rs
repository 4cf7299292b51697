//! What can go wrong with a file, as facts.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// An operation of storage failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// There is no such file or directory.
    #[error("{} does not exist", path.display())]
    NotFound {
        /// What was asked for.
        path: PathBuf,
    },
    /// A file of that name is there already.
    #[error("{} exists already", path.display())]
    Exists {
        /// What was to be created.
        path: PathBuf,
    },
    /// The name has a separator in it, is empty, or is not one a directory can hold.
    #[error("{} is not the name of a file in a directory", path.display())]
    BadName {
        /// The directory joined with the name.
        path: PathBuf,
    },
    /// Someone else holds the writer's lock.
    #[error("{} is locked{}", path.display(), Holder(*pid, host.as_deref()))]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// The process that wrote itself into the lock file, if it can be read.
        pid: Option<u32>,
        /// The host that process runs on.
        host: Option<String>,
    },
    /// A forked child of the process that opened the directory is not to change it.
    #[error("{}: opened by process {opened_by}, and process {current} is a child of it", path.display())]
    Forked {
        /// The file or directory.
        path: PathBuf,
        /// The process that opened it.
        opened_by: u32,
        /// The process that wanted to change it.
        current: u32,
    },
    /// The file ends before the bytes that were asked for.
    #[error("{}: {wanted} bytes at {offset} asked for, the file has {len}", path.display())]
    ShortRead {
        /// The file.
        path: PathBuf,
        /// Where the read began.
        offset: u64,
        /// How many bytes were to be read.
        wanted: u64,
        /// How long the file is.
        len: u64,
    },
    /// Something that is no file lies in its place: a pipe, a device, a directory.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// Its place.
        path: PathBuf,
    },
    /// There is not enough memory to hold a file.
    #[error("{}: no memory for {bytes} bytes", path.display())]
    OutOfMemory {
        /// The file.
        path: PathBuf,
        /// How many bytes were to be held.
        bytes: u64,
    },
    /// The operating system refused.
    #[error("{op} {}{}", path.display(), At(*offset))]
    Io {
        /// What was tried.
        op: Op,
        /// On which file or directory.
        path: PathBuf,
        /// At which offset, for reads and writes.
        offset: Option<u64>,
        /// What the system answered.
        source: io::Error,
    },
}

impl StorageError {
    /// Whether there is no room left: the disk is full (ENOSPC), a quota is used up (EDQUOT), or a file may not grow that far
    /// (EFBIG, which is the limit of a process mostly: RLIMIT_FSIZE). Somebody can make room or raise the limit, and the same
    /// call succeeds.
    #[must_use]
    pub fn is_full(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        matches!(self, Self::Io { source, .. }
            if matches!(source.kind(), StorageFull | QuotaExceeded | FileTooLarge))
    }

    /// Whether the bytes of a file that is there and open cannot be read: an answer of the medium, and not a want of
    /// handles, memory or rights.
    #[must_use]
    pub fn is_of_the_medium(&self) -> bool {
        matches!(self, Self::Io { op: Op::Read, .. })
    }

    /// The file or directory the error is about.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::NotFound { path }
            | Self::Exists { path }
            | Self::BadName { path }
            | Self::NotAFile { path }
            | Self::Locked { path, .. }
            | Self::Forked { path, .. }
            | Self::ShortRead { path, .. }
            | Self::OutOfMemory { path, .. }
            | Self::Io { path, .. } => path,
        }
    }

    /// The error for `op` on `path`: the two kinds callers branch on get a variant of their own.
    #[must_use]
    pub fn from_io(op: Op, path: &Path, offset: Option<u64>, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::NotFound => Self::NotFound { path: path.to_owned() },
            io::ErrorKind::AlreadyExists => Self::Exists { path: path.to_owned() },
            _ => Self::Io { op, path: path.to_owned(), offset, source },
        }
    }
}

/// What was tried when the system refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Op {
    /// Reading the names of a directory.
    List,
    /// Opening an existing file or directory.
    Open,
    /// Creating a file or directory.
    Create,
    /// Asking for a length.
    Len,
    /// Reading bytes.
    Read,
    /// Writing bytes.
    Write,
    /// Making the bytes of a file durable.
    Sync,
    /// Renaming a file.
    Rename,
    /// Removing a file.
    Remove,
    /// Making the names of a directory durable.
    SyncDir,
    /// Taking the writer's lock.
    Lock,
    /// Asking the system for random bytes.
    Entropy,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::List => "list",
            Self::Open => "open",
            Self::Create => "create",
            Self::Len => "length of",
            Self::Read => "read",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Rename => "rename",
            Self::Remove => "remove",
            Self::SyncDir => "sync directory",
            Self::Lock => "lock",
            Self::Entropy => "random bytes for",
        })
    }
}

struct At(Option<u64>);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |offset| write!(f, " at {offset}"))
    }
}

struct Holder<'a>(Option<u32>, Option<&'a str>);

impl fmt::Display for Holder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.1) {
            (Some(pid), Some(host)) => write!(f, " by process {pid} on {host}"),
            (Some(pid), None) => write!(f, " by process {pid}"),
            _ => f.write_str(" by another process"),
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn a_full_disk_a_used_up_quota_and_a_limit_of_file_size_are_no_room_and_nothing_else_is() {
        let told = |errno: Errno| StorageError::from_io(Op::Write, Path::new("a"), Some(0), errno.into());
        for errno in [Errno::NOSPC, Errno::DQUOT, Errno::FBIG] {
            assert!(told(errno).is_full(), "{errno:?}");
        }
        for errno in
            [Errno::IO, Errno::ROFS, Errno::ACCESS, Errno::MFILE, Errno::NOMEM, Errno::INVAL, Errno::NOENT]
        {
            assert!(!told(errno).is_full(), "{errno:?}");
        }
    }
}
