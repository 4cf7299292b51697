//! A directory in memory, on a disk that can lose power at any sector, run full, or rot.

mod disk;
mod fault;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::disk::Disk;
pub use self::fault::Fault;
use crate::contents::Contents;
use crate::error::{Op, StorageError};
use crate::{File, LOCK_FILE, LockGuard, Storage};

/// A directory in memory that keeps apart what programs see and what the medium holds.
///
/// Every write goes to the cached image and to a list of writes not yet synced; [`File::sync`] moves them to the medium.
/// Changes of names wait for [`Storage::sync_dir`] in the same way. [`MemStorage::power_cut`] then makes any of the
/// states that a real disk could be found in. Two directories made with the same seed and used in the same way are
/// the same, byte for byte.
///
/// ```
/// use horolog_storage::{MemStorage, Storage};
///
/// let disk = MemStorage::new(1);
/// disk.create("a")?.write_at(b"kept", 0)?;
/// disk.open("a")?.sync()?;
/// disk.sync_dir()?;
/// disk.open("a")?.write_at(b"lost", 0)?;
///
/// let after = disk.power_cut(&mut || false);
/// assert_eq!(after.bytes("a").as_deref(), Some(&b"kept"[..]));
/// assert_eq!(disk.process_kill().bytes("a").as_deref(), Some(&b"lost"[..]));
/// # Ok::<(), horolog_storage::StorageError>(())
/// ```
#[derive(Debug)]
pub struct MemStorage {
    shared: Shared,
}

#[derive(Debug, Clone)]
struct Shared {
    disk: Arc<Mutex<Disk>>,
    dir: Arc<PathBuf>,
}

impl Shared {
    /// The state is whole after every step, so a thread that panicked while it held the lock did no harm.
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn failed(&self, op: Op, name: &str, offset: Option<u64>) -> impl Fn(std::io::Error) -> StorageError {
        let path = self.path(name);
        move |source| StorageError::from_io(op, &path, offset, source)
    }
}

impl MemStorage {
    /// An empty directory on a disk of its own; `seed` decides what [`Storage::entropy`] gives.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with(Disk::new(seed))
    }

    fn with(disk: Disk) -> Self {
        Self { shared: Shared { disk: Arc::new(Mutex::new(disk)), dir: Arc::new(PathBuf::from("memory")) } }
    }

    /// What the directory is like when power returns.
    ///
    /// For every sector of 512 bytes that was written and not synced, and for every change of names not synced,
    /// `keep` says whether it reached the medium; it is asked in the order in which the changes were made. A rename is
    /// asked about twice, for the new name and for the old one, so that both names can be found. This directory stays
    /// as it is; the new one has no locks and no faults.
    #[must_use]
    pub fn power_cut(&self, keep: &mut dyn FnMut() -> bool) -> Self {
        Self::with(self.shared.disk().after_power_cut(keep))
    }

    /// What the directory is like when the process was killed and the system lives on: everything written is there, and
    /// what was not synced still is not. This directory stays as it is; the new one has no locks and no faults.
    #[must_use]
    pub fn process_kill(&self) -> Self {
        Self::with(self.shared.disk().after_process_kill())
    }

    /// Makes one operation fail: the next `op` after `after` more that go well.
    ///
    /// A failing write leaves half of its bytes. A failing sync leaves the bytes readable, and no later sync makes them
    /// durable: that is what kernels do.
    pub fn fail_next(&self, op: Op, after: u64, fault: Fault) {
        self.shared.disk().faults.plan(op, after, fault);
    }

    /// After `changes` more operations that change something (or make a change durable), all of them fail: the
    /// machine is off, and [`MemStorage::power_cut`] or [`MemStorage::process_kill`] say what is found later.
    pub fn halt_after(&self, changes: u64) {
        self.shared.disk().faults.halt_after(changes);
    }

    /// How many operations that change something (or make a change durable) went well so far.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.shared.disk().faults.changes()
    }

    /// The names and lengths of all files.
    #[must_use]
    pub fn files(&self) -> Vec<(String, u64)> {
        self.shared.disk().files()
    }

    /// The bytes of a file as programs see them.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let disk = self.shared.disk();
        disk.find(name).map(|file| disk.cached(file).to_vec())
    }

    /// Puts a file there, on the medium and in sight, whatever was there before.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        self.shared.disk().put(name, bytes);
    }

    /// Flips the bits of `mask` in one byte, on the medium and in the cache; says whether there is such a byte.
    pub fn flip(&self, name: &str, offset: u64, mask: u8) -> bool {
        self.shared.disk().flip(name, offset, mask)
    }

    /// Cuts a file to `len` bytes, on the medium and in the cache; says whether there was more.
    pub fn truncate(&self, name: &str, len: u64) -> bool {
        self.shared.disk().truncate(name, len)
    }

    fn handle(&self, name: &str, writable: bool) -> Result<Arc<dyn File>, StorageError> {
        let file = self.shared.disk().open(name).map_err(self.shared.failed(Op::Open, name, None))?;
        Ok(Arc::new(MemFile { shared: self.shared.clone(), name: name.to_owned(), file, writable }))
    }

    fn check_name(&self, name: &str) -> Result<(), StorageError> {
        if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\\']) {
            return Err(StorageError::BadName { path: self.shared.path(name) });
        }
        Ok(())
    }
}

impl Storage for MemStorage {
    fn list(&self) -> Result<Vec<String>, StorageError> {
        let mut disk = self.shared.disk();
        disk.faults.pass(Op::List).map_err(self.shared.failed(Op::List, "", None))?;
        Ok(disk.files().into_iter().map(|(name, _)| name).collect())
    }

    fn open(&self, name: &str) -> Result<Arc<dyn File>, StorageError> {
        self.check_name(name)?;
        self.handle(name, true)
    }

    fn open_read_only(&self, name: &str) -> Result<Arc<dyn File>, StorageError> {
        self.check_name(name)?;
        self.handle(name, false)
    }

    fn create(&self, name: &str) -> Result<Arc<dyn File>, StorageError> {
        self.check_name(name)?;
        self.shared.disk().create(name).map_err(self.shared.failed(Op::Create, name, None))?;
        self.handle(name, true)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), StorageError> {
        self.check_name(from)?;
        self.check_name(to)?;
        self.shared.disk().rename(from, to).map_err(self.shared.failed(Op::Rename, from, None))
    }

    fn remove(&self, name: &str) -> Result<(), StorageError> {
        self.check_name(name)?;
        self.shared.disk().remove(name).map_err(self.shared.failed(Op::Remove, name, None))
    }

    fn sync_dir(&self) -> Result<(), StorageError> {
        self.shared.disk().sync_names().map_err(self.shared.failed(Op::SyncDir, "", None))
    }

    fn lock(&self) -> Result<Box<dyn LockGuard>, StorageError> {
        let mut disk = self.shared.disk();
        if !disk.take_lock(LOCK_FILE).map_err(self.shared.failed(Op::Lock, LOCK_FILE, None))? {
            return Err(StorageError::Locked {
                path: self.shared.path(LOCK_FILE),
                pid: Some(std::process::id()),
                host: Some(crate::host_name()),
            });
        }
        drop(disk);
        Ok(Box::new(MemLock { shared: self.shared.clone() }))
    }

    fn entropy(&self, bytes: &mut [u8]) -> Result<(), StorageError> {
        let mut disk = self.shared.disk();
        disk.faults.pass(Op::Entropy).map_err(self.shared.failed(Op::Entropy, "", None))?;
        disk.entropy(bytes);
        Ok(())
    }

    fn path(&self) -> &Path {
        &self.shared.dir
    }
}

#[derive(Debug)]
struct MemLock {
    shared: Shared,
}

impl LockGuard for MemLock {}

impl Drop for MemLock {
    fn drop(&mut self) {
        self.shared.disk().release_lock();
    }
}

#[derive(Debug)]
struct MemFile {
    shared: Shared,
    name: String,
    file: usize,
    writable: bool,
}

impl MemFile {
    fn failed(&self, op: Op, offset: Option<u64>) -> impl Fn(std::io::Error) -> StorageError {
        self.shared.failed(op, &self.name, offset)
    }
}

impl File for MemFile {
    fn len(&self) -> Result<u64, StorageError> {
        let mut disk = self.shared.disk();
        disk.faults.pass(Op::Len).map_err(self.failed(Op::Len, None))?;
        Ok(disk.cached(self.file).len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), StorageError> {
        let mut disk = self.shared.disk();
        disk.faults.pass(Op::Read).map_err(self.failed(Op::Read, Some(offset)))?;
        let cached = disk.cached(self.file);
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        match cached.get(start..start.saturating_add(buf.len())) {
            Some(bytes) => buf.copy_from_slice(bytes),
            None => {
                let path = self.shared.path(&self.name);
                let (wanted, len) = (buf.len() as u64, cached.len() as u64);
                return Err(StorageError::ShortRead { path, offset, wanted, len });
            }
        }
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), StorageError> {
        let failed = self.failed(Op::Write, Some(offset));
        if !self.writable {
            return Err(failed(std::io::ErrorKind::PermissionDenied.into()));
        }
        let start = usize::try_from(offset).map_err(|_| failed(std::io::ErrorKind::FileTooLarge.into()))?;
        self.shared.disk().write(self.file, bytes, start).map_err(failed)
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.shared.disk().sync(self.file).map_err(self.failed(Op::Sync, None))
    }

    fn read_whole(&self) -> Result<Vec<u8>, StorageError> {
        let mut disk = self.shared.disk();
        disk.faults.pass(Op::Read).map_err(self.failed(Op::Read, Some(0)))?;
        Ok(disk.cached(self.file).to_vec())
    }

    fn contents(&self) -> Result<Contents, StorageError> {
        self.read_whole().map(Contents::from)
    }
}
