//! The directory itself, held open.
//!
//! - I1: every call is about the directory that was opened, wherever it lies now and whatever its path leads to: a process
//!   that changes its working directory goes on with it, and one whose directory was moved away and made anew does not
//!   touch the new one, whose lock another has.
//! - I2: a sync that failed is told to everybody who had asked for one before it failed.
//! - I3: no call but the opening of a file needs a descriptor.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, Mode, OFlags, openat, renameat, unlinkat};

use super::calls::uninterrupted;

#[derive(Debug)]
pub(super) struct Dir {
    file: fs::File,
    syncs: Syncs,
}

/// How a file is opened. None is waited for: a pipe with the name of a file would keep whoever opens it waiting for
/// somebody at its other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    ReadWrite,
    /// There must be none of the name.
    CreateNew,
    /// Made if there is none of the name. No link is followed: what is written must not come out anywhere else.
    OwnOrCreate,
}

impl Access {
    fn flags(self) -> OFlags {
        let flags = match self {
            Self::Read => OFlags::RDONLY,
            Self::ReadWrite => OFlags::RDWR,
            Self::CreateNew => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
            Self::OwnOrCreate => OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW,
        };
        flags | OFlags::NONBLOCK | OFlags::CLOEXEC
    }
}

impl Dir {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let file = uninterrupted(|| Ok(rustix::fs::open(path, flags, Mode::empty())?))?;
        Ok(Self { file: file.into(), syncs: Syncs::default() })
    }

    pub(super) fn open_file(&self, name: &str, access: Access) -> io::Result<fs::File> {
        // As the standard library makes files: the rest is left to the umask of the process.
        let mode = Mode::from_raw_mode(0o666);
        uninterrupted(|| Ok(openat(&self.file, name, access.flags(), mode)?.into()))
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        uninterrupted(|| Ok(renameat(&self.file, from, &self.file, to)?))
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        uninterrupted(|| Ok(unlinkat(&self.file, name, AtFlags::empty())?))
    }

    /// The names in it. One that is not text is nobody's here, and is shown as well as it can be.
    ///
    /// The standard library's reading of a directory ends where it is interrupted; this one goes on there.
    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in uninterrupted(|| Ok(rustix::fs::Dir::read_from(&self.file)?))? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.retain(|name| name != "." && name != "..");
        Ok(names)
    }

    /// Made again when it is interrupted, as the sync of a file is, and for the same reasons.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.syncs.run(self.syncs.ask(), || uninterrupted(|| self.file.sync_all()))
    }
}

/// The syncs of one descriptor, which the kernel tells of an error once.
#[derive(Debug, Default)]
struct Syncs {
    failures: AtomicU64,
    /// The number of the last error. Held by the one who syncs.
    turn: Mutex<Option<i32>>,
}

/// How many syncs had failed when one was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asked(u64);

impl Syncs {
    fn ask(&self) -> Asked {
        Asked(self.failures.load(Ordering::Acquire))
    }

    fn run(&self, asked: Asked, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut last_error = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if self.ask() != asked {
            return Err(last_error.map_or_else(|| io::ErrorKind::Other.into(), io::Error::from_raw_os_error));
        }
        let synced = sync();
        if let Err(error) = &synced {
            *last_error = error.raw_os_error();
            self.failures.fetch_add(1, Ordering::Release);
        }
        synced
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn who_asked_for_a_sync_before_one_failed_is_told_of_the_failure_and_who_asks_later_is_not() {
        let syncs = Syncs::default();
        let (first, second) = (syncs.ask(), syncs.ask());
        let refused = syncs.run(first, || Err(Errno::IO.into())).expect_err("it failed");
        assert_eq!(refused.raw_os_error(), Some(Errno::IO.raw_os_error()));
        let told = syncs.run(second, || panic!("no second sync answers for the first")).expect_err("told");
        assert_eq!(told.raw_os_error(), Some(Errno::IO.raw_os_error()));
        let mut calls = 0;
        for _ in 0..2 {
            let synced = syncs.run(syncs.ask(), || {
                calls += 1;
                Ok(())
            });
            synced.expect("this one was made");
        }
        assert_eq!(calls, 2);
    }
}
