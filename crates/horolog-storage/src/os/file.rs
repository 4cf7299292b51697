//! One file of the file system.

use std::fs;
use std::io;
use std::path::PathBuf;

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
        self.file.metadata().map(|metadata| metadata.len()).map_err(self.failed(Op::Len, None))
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), StorageError> {
        let wanted = buf.len();
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = offset.saturating_add(done as u64);
            match read_some(&self.file, rest, at) {
                Ok(0) => return Err(self.short(offset, wanted, self.len()?)),
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(Op::Read, Some(at))(error)),
            }
        }
        Ok(())
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
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            let at = offset.saturating_add(done as u64);
            match write_some(&self.file, rest, at) {
                Ok(0) => return Err(self.failed(Op::Write, Some(at))(io::ErrorKind::WriteZero.into())),
                Ok(written) => done += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(Op::Write, Some(at))(error)),
            }
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.process.check(&self.path)?;
        self.file.sync_data().map_err(self.failed(Op::Sync, None))
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
