//! One file of the file system.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::calls::{Stopped, read_all, uninterrupted, write_all};
use super::process::Process;
use crate::contents::Contents;
use crate::error::{Op, StorageError};

#[derive(Debug)]
pub(super) struct OsFile {
    file: fs::File,
    path: PathBuf,
    process: Process,
}

impl OsFile {
    pub(super) fn new(file: fs::File, path: PathBuf, process: Process) -> Self {
        Self { file, path, process }
    }

    fn failed(&self, op: Op, offset: Option<u64>) -> impl Fn(io::Error) -> StorageError + '_ {
        move |source| StorageError::from_io(op, &self.path, offset, source)
    }

    fn short(&self, offset: u64, wanted: usize, len: u64) -> StorageError {
        StorageError::ShortRead { path: self.path.clone(), offset, wanted: wanted as u64, len }
    }
}

impl crate::File for OsFile {
    fn len(&self) -> Result<u64, StorageError> {
        let metadata = uninterrupted(|| self.file.metadata());
        metadata.map(|metadata| metadata.len()).map_err(self.failed(Op::Len, None))
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), StorageError> {
        let wanted = buf.len();
        let at = |done| offset.saturating_add(done as u64);
        match read_all(buf, |rest, done| read_some(&self.file, rest, at(done))) {
            Ok(()) => Ok(()),
            Err(Stopped { error: None, .. }) => Err(self.short(offset, wanted, self.len()?)),
            Err(Stopped { done, error: Some(error) }) => Err(self.failed(Op::Read, Some(at(done)))(error)),
        }
    }

    fn read_whole(&self) -> Result<Vec<u8>, StorageError> {
        let len = self.len()?;
        let mut bytes = Vec::new();
        match usize::try_from(len).ok().filter(|&len| bytes.try_reserve_exact(len).is_ok()) {
            Some(len) => bytes.resize(len, 0),
            None => return Err(StorageError::OutOfMemory { path: self.path.clone(), bytes: len }),
        }
        self.read_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), StorageError> {
        self.process.check(&self.path)?;
        let at = |done| offset.saturating_add(done as u64);
        write_all(bytes, |rest, done| write_some(&self.file, rest, at(done))).map_err(|stopped| {
            let error = stopped.error.unwrap_or_else(|| io::ErrorKind::WriteZero.into());
            self.failed(Op::Write, Some(at(stopped.done)))(error)
        })
    }

    /// An interrupted sync is made again, which is no second try of one that failed.
    ///
    /// A sync that failed told of bytes that were given up, and the next one knows nothing of them. EINTR tells of no bytes.
    /// Linux keeps an error of write-back with the file and tells it to each open file once, at the first sync that has
    /// waited for all pages; only the death of the process ends that wait. What a signal can interrupt comes after it: the
    /// wait for a server (FUSE, network file systems), which is then asked once more. So no error is passed over, as long
    /// as it is not the start of the write-back that is interrupted, and no file system is known to us where it can be.
    /// ext4 and XFS are never interrupted here. PostgreSQL makes interrupted syncs again as well.
    fn sync(&self) -> Result<(), StorageError> {
        self.process.check(&self.path)?;
        uninterrupted(|| self.file.sync_data()).map_err(self.failed(Op::Sync, None))
    }

    fn evict(&self) {
        #[cfg(target_os = "linux")]
        let _ = rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::DontNeed);
    }

    fn contents(&self) -> Result<Contents, StorageError> {
        #[cfg(target_os = "linux")]
        if let Some(map) = super::map::populated(&self.file) {
            return Ok(map.into());
        }
        self.read_whole().map(Contents::from)
    }
}

#[cfg(unix)]
fn read_some(file: &fs::File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buf, offset)
}

#[cfg(unix)]
fn write_some(file: &fs::File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::write_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_some(file: &fs::File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buf, offset)
}

#[cfg(windows)]
fn write_some(file: &fs::File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_write(file, bytes, offset)
}
