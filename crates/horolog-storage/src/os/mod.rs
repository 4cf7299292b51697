//! A real directory.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is the room for files; the lock is retried after a short sleep"
)]

mod calls;
#[cfg(unix)]
mod dir;
#[cfg(not(unix))]
#[path = "dir_by_path.rs"]
mod dir;
mod file;
mod host;
mod lock;
#[cfg(target_os = "linux")]
mod map;
mod process;

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use self::calls::uninterrupted;
use self::dir::{Access, Dir};
use self::file::OsFile;
pub use self::host::{boot_id, host_name};
use self::process::Process;
use crate::error::{Op, StorageError};
use crate::{File, LOCK_FILE, LockGuard, Storage};

/// A directory of the file system.
///
/// On Unix it is held open: whatever becomes of its path, or of the working directory, every call is about the directory
/// that was opened.
#[derive(Debug)]
pub struct OsStorage {
    /// What messages name.
    path: PathBuf,
    dir: Dir,
    process: Process,
}

impl OsStorage {
    /// Opens a directory, creating it (and what leads to it) if it is not there.
    ///
    /// A directory that was created, or in which nothing was made yet but its lock, is made durable in its parent before this
    /// returns, and so is what leads to it: without that a power cut could take the directory, and everything that was
    /// synced inside it, away. One in which something lies has been through that, or came with it.
    pub fn open_or_create(path: impl AsRef<Path>) -> Result<Self, StorageError> {
        let path = path.as_ref();
        let storage = match Self::open_existing(path) {
            Err(StorageError::NotFound { .. }) => {
                create_durably(path)?;
                Self::open_existing(path)?
            }
            found => found?,
        };
        // A process that made it may have died before it could sync the parent; or it was made with `mkdir`.
        if storage.list()?.iter().all(|name| name == LOCK_FILE) {
            sync_ancestors(path)?;
        }
        Ok(storage)
    }

    /// Opens a directory that must be there.
    pub fn open_existing(path: impl AsRef<Path>) -> Result<Self, StorageError> {
        let path = path.as_ref();
        let dir = Dir::open(path).map_err(|source| StorageError::from_io(Op::Open, path, None, source))?;
        Ok(Self { path: path.to_owned(), dir, process: Process::current() })
    }

    fn file_path(&self, name: &str) -> Result<PathBuf, StorageError> {
        let path = self.path.join(name);
        let mut parts = Path::new(name).components();
        match (parts.next(), parts.next()) {
            (Some(Component::Normal(only)), None) if only == name => Ok(path),
            _ => Err(StorageError::BadName { path }),
        }
    }

    fn open_with(&self, name: &str, op: Op, access: Access) -> Result<Arc<dyn File>, StorageError> {
        let path = self.file_path(name)?;
        let failed = |source| StorageError::from_io(op, &path, None, source);
        let file = self.dir.open_file(name, access).map_err(failed)?;
        if !uninterrupted(|| file.metadata()).map_err(failed)?.is_file() {
            return Err(StorageError::NotAFile { path });
        }
        Ok(Arc::new(OsFile::new(file, path, self.process)))
    }
}

/// Whether `path`, which need not be there, is the directory `dir` or would lie somewhere in it.
pub fn lies_in(path: impl AsRef<Path>, dir: impl AsRef<Path>) -> Result<bool, StorageError> {
    let failed = |source| StorageError::from_io(Op::Open, path.as_ref(), None, source);
    let dir = uninterrupted(|| fs::canonicalize(&dir)).map_err(failed)?;
    let mut there = PathBuf::new();
    for component in std::path::absolute(path.as_ref()).map_err(failed)?.components() {
        // What is not there yet will be a directory, and has no links in it.
        if component == Component::ParentDir {
            there.pop();
            continue;
        }
        there.push(component);
        match uninterrupted(|| fs::canonicalize(&there)) {
            Ok(real) => there = real,
            Err(source) if source.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(failed(source)),
        }
    }
    Ok(there.starts_with(&dir))
}

/// Creates `path` and its missing ancestors.
fn create_durably(path: &Path) -> Result<(), StorageError> {
    uninterrupted(|| fs::create_dir_all(path))
        .map_err(|source| StorageError::from_io(Op::Create, path, None, source))
}

/// Makes the name of `path` durable, and those of all that leads to it. What may not be read was not made by us, and is passed
/// over.
fn sync_ancestors(path: &Path) -> Result<(), StorageError> {
    let failed = |source| StorageError::from_io(Op::SyncDir, path, None, source);
    let real = uninterrupted(|| fs::canonicalize(path)).map_err(failed)?;
    for parent in real.ancestors().skip(1) {
        let failed = |source| StorageError::from_io(Op::SyncDir, parent, None, source);
        match Dir::open(parent) {
            Ok(dir) => dir.sync().map_err(failed)?,
            Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {}
            Err(source) => return Err(failed(source)),
        }
    }
    Ok(())
}

impl Storage for OsStorage {
    fn list(&self) -> Result<Vec<String>, StorageError> {
        let failed = |source| StorageError::from_io(Op::List, &self.path, None, source);
        let mut names = self.dir.names().map_err(failed)?;
        names.sort_unstable();
        Ok(names)
    }

    fn open(&self, name: &str) -> Result<Arc<dyn File>, StorageError> {
        self.open_with(name, Op::Open, Access::ReadWrite)
    }

    fn open_read_only(&self, name: &str) -> Result<Arc<dyn File>, StorageError> {
        self.open_with(name, Op::Open, Access::Read)
    }

    fn create(&self, name: &str) -> Result<Arc<dyn File>, StorageError> {
        self.process.check(&self.path)?;
        self.open_with(name, Op::Create, Access::CreateNew)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), StorageError> {
        self.process.check(&self.path)?;
        let path = self.file_path(from)?;
        self.file_path(to)?;
        self.dir.rename(from, to).map_err(|source| StorageError::from_io(Op::Rename, &path, None, source))
    }

    fn remove(&self, name: &str) -> Result<(), StorageError> {
        self.process.check(&self.path)?;
        let path = self.file_path(name)?;
        self.dir.remove(name).map_err(|source| StorageError::from_io(Op::Remove, &path, None, source))
    }

    fn sync_dir(&self) -> Result<(), StorageError> {
        self.process.check(&self.path)?;
        self.dir.sync().map_err(|source| StorageError::from_io(Op::SyncDir, &self.path, None, source))
    }

    fn lock(&self) -> Result<Box<dyn LockGuard>, StorageError> {
        self.process.check(&self.path)?;
        Ok(Box::new(lock::acquire(&self.dir, &self.path.join(LOCK_FILE))?))
    }

    fn entropy(&self, bytes: &mut [u8]) -> Result<(), StorageError> {
        getrandom::fill(bytes)
            .map_err(|source| StorageError::from_io(Op::Entropy, &self.path, None, io::Error::from(source)))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}
