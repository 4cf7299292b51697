//! A real directory.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is the room for files; the lock is retried after a short sleep"
)]

mod calls;
mod file;
mod host;
mod lock;
#[cfg(target_os = "linux")]
mod map;
mod process;

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use self::calls::uninterrupted;
use self::file::OsFile;
pub use self::host::{boot_id, host_name};
use self::process::Process;
use crate::error::{Op, StorageError};
use crate::{File, LOCK_FILE, LockGuard, Storage};

/// A directory of the file system.
#[derive(Debug)]
pub struct OsStorage {
    dir: PathBuf,
    process: Process,
}

impl OsStorage {
    /// Opens a directory, creating it (and what leads to it) if it is not there.
    ///
    /// A directory that was created is made durable in its parent before this returns: without that a power cut could
    /// take the directory, and everything that was synced inside it, away.
    pub fn open_or_create(path: impl AsRef<Path>) -> Result<Self, StorageError> {
        let path = path.as_ref();
        match Self::open_existing(path) {
            Err(StorageError::NotFound { .. }) => {
                create_durably(path)?;
                Self::open_existing(path)
            }
            found => found,
        }
    }

    /// Opens a directory that must be there.
    pub fn open_existing(path: impl AsRef<Path>) -> Result<Self, StorageError> {
        let path = path.as_ref();
        let failed = |source| StorageError::from_io(Op::Open, path, None, source);
        if !uninterrupted(|| fs::metadata(path)).map_err(failed)?.is_dir() {
            return Err(failed(io::ErrorKind::NotADirectory.into()));
        }
        Ok(Self { dir: path.to_owned(), process: Process::current() })
    }

    /// Whether `path`, which need not be there, is this directory or would lie somewhere in it.
    pub fn holds(&self, path: impl AsRef<Path>) -> Result<bool, StorageError> {
        let failed = |source| StorageError::from_io(Op::Open, path.as_ref(), None, source);
        let ours = uninterrupted(|| fs::canonicalize(&self.dir)).map_err(failed)?;
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
        Ok(there.starts_with(&ours))
    }

    fn file_path(&self, name: &str) -> Result<PathBuf, StorageError> {
        let path = self.dir.join(name);
        let mut parts = Path::new(name).components();
        match (parts.next(), parts.next()) {
            (Some(Component::Normal(only)), None) if only == name => Ok(path),
            _ => Err(StorageError::BadName { path }),
        }
    }

    fn open_with(&self, name: &str, op: Op, options: &OpenOptions) -> Result<Arc<dyn File>, StorageError> {
        let path = self.file_path(name)?;
        let failed = |source| StorageError::from_io(op, &path, None, source);
        let options = without_waiting(options);
        let file = uninterrupted(|| options.open(&path)).map_err(failed)?;
        if !uninterrupted(|| file.metadata()).map_err(failed)?.is_file() {
            return Err(StorageError::NotAFile { path });
        }
        Ok(Arc::new(OsFile::new(file, path, self.process)))
    }
}

/// A pipe with the name of a file would keep whoever opens it waiting for somebody at its other end.
#[cfg(target_os = "linux")]
fn without_waiting(options: &OpenOptions) -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = options.clone();
    options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    options
}

#[cfg(not(target_os = "linux"))]
fn without_waiting(options: &OpenOptions) -> OpenOptions {
    options.clone()
}

/// Creates `path` and its missing ancestors, each made durable in its parent.
fn create_durably(path: &Path) -> Result<(), StorageError> {
    let parent = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    if !uninterrupted(|| fs::exists(parent)).unwrap_or(false) {
        create_durably(parent)?;
    }
    match uninterrupted(|| fs::create_dir(path)) {
        Ok(()) => sync_directory(parent),
        // Somebody else was faster; what they made is as good.
        Err(source) if source.kind() == io::ErrorKind::AlreadyExists => sync_directory(parent),
        Err(source) => Err(StorageError::from_io(Op::Create, path, None, source)),
    }
}

#[cfg(unix)]
fn sync_directory(path: &Path) -> Result<(), StorageError> {
    let failed = |source| StorageError::from_io(Op::SyncDir, path, None, source);
    let dir = uninterrupted(|| fs::File::open(path)).map_err(failed)?;
    // Made again when it is interrupted, as the sync of a file is, and for the same reasons.
    uninterrupted(|| dir.sync_all()).map_err(failed)
}

/// Elsewhere a directory cannot be synced: the crate documentation says what that costs.
#[cfg(not(unix))]
fn sync_directory(_path: &Path) -> Result<(), StorageError> {
    Ok(())
}

/// The names in a directory. One that is not text is nobody's here, and is shown as well as it can be.
///
/// The standard library's reading of a directory ends where it is interrupted; this one goes on there.
#[cfg(target_os = "linux")]
fn names(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::new(uninterrupted(|| fs::File::open(dir))?)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.retain(|name| name != "." && name != "..");
    Ok(names)
}

#[cfg(not(target_os = "linux"))]
fn names(dir: &Path) -> io::Result<Vec<String>> {
    uninterrupted(|| {
        fs::read_dir(dir)?.map(|it| Ok(it?.file_name().to_string_lossy().into_owned())).collect()
    })
}

impl Storage for OsStorage {
    fn list(&self) -> Result<Vec<String>, StorageError> {
        let failed = |source| StorageError::from_io(Op::List, &self.dir, None, source);
        let mut names = names(&self.dir).map_err(failed)?;
        names.sort_unstable();
        Ok(names)
    }

    fn open(&self, name: &str) -> Result<Arc<dyn File>, StorageError> {
        self.open_with(name, Op::Open, OpenOptions::new().read(true).write(true))
    }

    fn open_read_only(&self, name: &str) -> Result<Arc<dyn File>, StorageError> {
        self.open_with(name, Op::Open, OpenOptions::new().read(true))
    }

    fn create(&self, name: &str) -> Result<Arc<dyn File>, StorageError> {
        self.process.check(&self.dir)?;
        self.open_with(name, Op::Create, OpenOptions::new().read(true).write(true).create_new(true))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), StorageError> {
        self.process.check(&self.dir)?;
        let (from, to) = (self.file_path(from)?, self.file_path(to)?);
        uninterrupted(|| fs::rename(&from, &to))
            .map_err(|source| StorageError::from_io(Op::Rename, &from, None, source))
    }

    fn remove(&self, name: &str) -> Result<(), StorageError> {
        self.process.check(&self.dir)?;
        let path = self.file_path(name)?;
        uninterrupted(|| fs::remove_file(&path))
            .map_err(|source| StorageError::from_io(Op::Remove, &path, None, source))
    }

    fn sync_dir(&self) -> Result<(), StorageError> {
        self.process.check(&self.dir)?;
        sync_directory(&self.dir)
    }

    fn lock(&self) -> Result<Box<dyn LockGuard>, StorageError> {
        self.process.check(&self.dir)?;
        Ok(Box::new(lock::acquire(&self.dir.join(LOCK_FILE))?))
    }

    fn entropy(&self, bytes: &mut [u8]) -> Result<(), StorageError> {
        getrandom::fill(bytes)
            .map_err(|source| StorageError::from_io(Op::Entropy, &self.dir, None, io::Error::from(source)))
    }

    fn path(&self) -> &Path {
        &self.dir
    }
}
