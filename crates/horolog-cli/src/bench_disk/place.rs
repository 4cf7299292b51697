//! Where it is measured: a directory of its own, which is gone afterwards, also after an error.
#![expect(
    clippy::disallowed_types,
    reason = "a directory is opened to be synced, beside the engine's storage"
)]

use std::fs::File;
use std::io;
use std::path::Path;

use tempfile::TempDir;

use crate::error::Trouble;
use crate::read_only::storage;

const NAME: &str = "horolog-bench-disk";

pub(super) struct Place {
    dir: TempDir,
}

impl Place {
    /// Refuses a directory that is not there, one where another bench-disk is at work or was killed, and a disk that
    /// this could fill.
    pub(super) fn new(dir: &Path, room_bytes: u64) -> Result<Self, Trouble> {
        storage(dir)?;
        check_room(dir, room_bytes)?;
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AlreadyExists => Trouble::LeftOver { path: dir.join(NAME) },
            _ => Trouble::File { what: "cannot make a directory in", path: dir.to_owned(), source },
        };
        named(NAME, dir).map(|dir| Self { dir }).map_err(failed)
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// An empty directory for one row in one round.
    pub(super) fn section(&self) -> Result<TempDir, Trouble> {
        named("row", self.path()).map_err(self.failed("cannot make a directory in"))
    }

    /// Takes away what a row left, and waits until the file system is done with that: the next row shall not pay for
    /// it.
    pub(super) fn clear(&self, section: TempDir) -> Result<(), Trouble> {
        section.close().map_err(self.failed("cannot remove what is in"))?;
        settle(self.path()).map_err(self.failed("cannot sync"))
    }

    pub(super) fn close(self) -> Result<(), Trouble> {
        let path = self.path().to_owned();
        self.dir.close().map_err(|source| Trouble::File { what: "cannot remove", path, source })
    }

    fn failed(&self, what: &'static str) -> impl Fn(io::Error) -> Trouble + '_ {
        move |source| Trouble::File { what, path: self.path().to_owned(), source }
    }
}

/// Exactly this name; it must not be there yet.
fn named(name: &str, parent: &Path) -> io::Result<TempDir> {
    tempfile::Builder::new().prefix(name).rand_bytes(0).tempdir_in(parent)
}

/// Syncing a directory makes journalling file systems write down all that happened before.
pub(super) fn settle(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Full disks are for others to test.
fn check_room(dir: &Path, room_bytes: u64) -> Result<(), Trouble> {
    let failed = |errno: rustix::io::Errno| Trouble::File {
        what: "cannot ask for the room in",
        path: dir.to_owned(),
        source: errno.into(),
    };
    let found = rustix::fs::statvfs(dir).map_err(failed)?;
    let free_bytes = found.f_bavail.saturating_mul(found.f_frsize);
    // A file system that has no size of its own says 0.
    if found.f_blocks > 0 && free_bytes < room_bytes {
        return Err(Trouble::NoRoom { dir: dir.to_owned(), room_bytes, free_bytes });
    }
    Ok(())
}
