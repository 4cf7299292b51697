//! The disk as programs see it.

use std::path::Path;
use std::sync::Arc;

use horolog_storage::{Contents, File, LOCK_FILE, LockGuard, Op, Storage, StorageError};

use crate::disk::{Shared, SimDisk};
use crate::image::index;
use crate::inode::Inode;
use crate::names::FileId;
use crate::state::{DIR, path};
use crate::trace::Call;

impl SimDisk {
    fn check_name(&self, name: &str) -> Result<(), StorageError> {
        if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\\']) {
            return Err(StorageError::BadName { path: path(name) });
        }
        Ok(())
    }

    fn handle(&self, name: &str, file: FileId, writable: bool) -> Arc<dyn File> {
        Arc::new(SimFile { shared: self.shared.clone(), name: name.to_owned(), file, writable })
    }
}

impl Storage for SimDisk {
    fn list(&self) -> Result<Vec<String>, StorageError> {
        self.shared.run(Call::of(Op::List, ""), |disk, call| disk.list(call))
    }

    fn open(&self, name: &str) -> Result<Arc<dyn File>, StorageError> {
        self.check_name(name)?;
        let file = self.shared.run(Call::of(Op::Open, name), |disk, call| disk.open(call))?;
        Ok(self.handle(name, file, true))
    }

    fn open_read_only(&self, name: &str) -> Result<Arc<dyn File>, StorageError> {
        self.check_name(name)?;
        let file = self.shared.run(Call::of(Op::Open, name), |disk, call| disk.open(call))?;
        Ok(self.handle(name, file, false))
    }

    fn create(&self, name: &str) -> Result<Arc<dyn File>, StorageError> {
        self.check_name(name)?;
        let file = self.shared.run(Call::of(Op::Create, name), |disk, call| disk.create(call))?;
        Ok(self.handle(name, file, true))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), StorageError> {
        self.check_name(from)?;
        self.check_name(to)?;
        let call = Call { to: Some(to), ..Call::of(Op::Rename, from) };
        self.shared.run(call, |disk, call| disk.rename(call))
    }

    fn remove(&self, name: &str) -> Result<(), StorageError> {
        self.check_name(name)?;
        self.shared.run(Call::of(Op::Remove, name), |disk, call| disk.remove(call))
    }

    fn sync_dir(&self) -> Result<(), StorageError> {
        self.shared.run(Call::of(Op::SyncDir, ""), |disk, call| disk.sync_dir(call))
    }

    fn lock(&self) -> Result<Box<dyn LockGuard>, StorageError> {
        self.shared.run(Call::of(Op::Lock, LOCK_FILE), |disk, call| disk.take_lock(call))?;
        Ok(Box::new(SimLock { shared: self.shared.clone() }))
    }

    fn entropy(&self, bytes: &mut [u8]) -> Result<(), StorageError> {
        self.shared.run(Call::of(Op::Entropy, ""), |disk, call| disk.entropy(call, bytes))
    }

    fn path(&self) -> &Path {
        Path::new(DIR)
    }
}

/// A guard of a disk whose process is dead (see [`SimDisk::process_kill`]) holds nothing of the disk that came after it.
#[derive(Debug)]
struct SimLock {
    shared: Shared,
}

impl LockGuard for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.shared.state().lock.release();
    }
}

#[derive(Debug)]
struct SimFile {
    shared: Shared,
    /// As it was opened.
    name: String,
    file: FileId,
    writable: bool,
}

impl SimFile {
    fn call(&self, op: Op) -> Call<'_> {
        Call::of(op, &self.name)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.shared.state().let_go(self.file);
    }
}

impl File for SimFile {
    fn len(&self) -> Result<u64, StorageError> {
        self.shared.run(self.call(Op::Len), |disk, call| disk.len(call, self.file))
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), StorageError> {
        let call = self.call(Op::Read).at(offset, buf.len());
        self.shared.run(call, |disk, call| disk.read(call, self.file, buf))
    }

    fn read_whole(&self) -> Result<Vec<u8>, StorageError> {
        let len = self.shared.state().len_of(self.file);
        let call = self.call(Op::Read).at(0, index(len));
        self.shared.run(call, |disk, call| disk.read_whole(call, self.file))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), StorageError> {
        let call = self.call(Op::Write).at(offset, bytes.len());
        self.shared.run(call, |disk, call| {
            if self.writable {
                disk.write(call, self.file, bytes)
            } else {
                Err(disk.failed(call, std::io::ErrorKind::PermissionDenied.into()))
            }
        })
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.shared.run(self.call(Op::Sync), |disk, call| disk.sync(call, self.file))
    }

    fn evict(&self) {
        self.shared.state().change(self.file, Inode::evict);
    }

    fn contents(&self) -> Result<Contents, StorageError> {
        self.read_whole().map(Contents::from)
    }
}
