//! The only crate of Horolog that touches files.
//!
//! [`Storage`] is one directory; [`File`] is one file of it. Everything above reads and writes through these two traits,
//! so that the same log and the same recovery run over a real directory ([`OsStorage`]) and, in tests, over a simulated disk
//! that loses power at any sector (the crate `horolog-sim`).
//!
//! # What is durable when
//!
//! | call | when it returns |
//! | --- | --- |
//! | [`File::write_at`] | the bytes are in the page cache: they survive the death of the process, not a power cut |
//! | [`File::sync`] | every byte written to this file before the call is on the medium |
//! | [`Storage::create`], [`Storage::rename`], [`Storage::remove`] | the change is seen by all, and a power cut may undo it |
//! | [`Storage::sync_dir`] | every change of names made before the call is on the medium |
//!
//! Syncing a file does not make its name durable, and syncing the directory does not make a file's bytes durable. A new
//! file is safe only after both.
//!
//! # Signals
//!
//! An operation that a signal interrupts goes on; none of them fails for that reason. A signal that ends the process does so
//! anywhere: SIGXFSZ too, which a process is sent by default when a file would grow beyond its limit (RLIMIT_FSIZE), and
//! which leaves no error to tell. One that ignores SIGXFSZ gets EFBIG: [`StorageError::is_full`].
//!
//! # After an error
//!
//! A failed [`File::sync`] leaves the file in a state nobody can know: the kernel may have marked the pages clean
//! although they never reached the medium, so that a second sync would succeed and prove nothing. Whoever sees the
//! error gives the file up. The same holds for a failed write.
//!
//! # After a fork
//!
//! A forked child has the same open files and the same lock, and none of the threads. What it wants to change through them
//! is refused ([`StorageError::Forked`]); it may read.
//!
//! # Platforms
//!
//! Linux is first class. Elsewhere the crate compiles and these guarantees are missing: on Windows a directory cannot
//! be synced, so a new name may be lost in a power cut, and it is known by its path, so one that is put in its place is taken
//! for it; on every system but Linux [`boot_id`] is 0 and files are
//! read rather than mapped; on macOS `sync` is as strong as the standard library's `sync_data`.

mod contents;
mod error;
mod os;

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

pub use contents::Contents;
pub use error::{Op, StorageError};
pub use os::{OsStorage, boot_id, host_name, lies_in};

/// The name of the lock file. It is created once and never deleted: deleting it would let two writers hold two locks.
pub const LOCK_FILE: &str = "LOCK";

/// One directory of files, without sub-directories.
///
/// Names are plain file names; a name with a separator in it is refused.
pub trait Storage: Send + Sync + Debug {
    /// The names of all files, sorted.
    fn list(&self) -> Result<Vec<String>, StorageError>;

    /// Opens an existing file for reading and writing.
    fn open(&self, name: &str) -> Result<Arc<dyn File>, StorageError>;

    /// Opens an existing file for reading. Nothing on disk changes, not even a time stamp that matters.
    fn open_read_only(&self, name: &str) -> Result<Arc<dyn File>, StorageError>;

    /// Creates a file that must not exist yet ([`StorageError::Exists`]). Its name is durable after [`Storage::sync_dir`].
    fn create(&self, name: &str) -> Result<Arc<dyn File>, StorageError>;

    /// Renames a file, replacing the target if there is one. Durable after [`Storage::sync_dir`].
    fn rename(&self, from: &str, to: &str) -> Result<(), StorageError>;

    /// Removes a file. Durable after [`Storage::sync_dir`].
    fn remove(&self, name: &str) -> Result<(), StorageError>;

    /// Makes every earlier change of names durable.
    fn sync_dir(&self) -> Result<(), StorageError>;

    /// Takes the writer's lock of this directory; it is held until the guard is dropped.
    ///
    /// Another holder, in this process or in another one, gives [`StorageError::Locked`] with what is known about it,
    /// after five more tries 50 ms apart: the descriptor of a killed process can outlive it for a moment.
    fn lock(&self) -> Result<Box<dyn LockGuard>, StorageError>;

    /// Fills `bytes` with numbers nobody can guess, for salts and identities.
    fn entropy(&self, bytes: &mut [u8]) -> Result<(), StorageError>;

    /// Where this is, for messages.
    fn path(&self) -> &Path;
}

/// One open file.
pub trait File: Send + Sync + Debug {
    /// The length in bytes.
    fn len(&self) -> Result<u64, StorageError>;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> Result<bool, StorageError> {
        Ok(self.len()? == 0)
    }

    /// Fills `buf` from `offset`. A file that ends before that gives [`StorageError::ShortRead`].
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), StorageError>;

    /// The whole file, read and never mapped: for files that may still be written.
    fn read_whole(&self) -> Result<Vec<u8>, StorageError>;

    /// Writes all of `bytes` at `offset`, through interruptions and short writes.
    ///
    /// After an error any part of the bytes may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), StorageError>;

    /// Makes every byte written so far durable (`fdatasync`).
    fn sync(&self) -> Result<(), StorageError>;

    /// Asks the system to forget what it holds of this file and has on the medium, so that the next read comes from there. A
    /// wish, which need not be granted.
    fn evict(&self);

    /// The whole file, for reading.
    ///
    /// Only for files that **nobody writes any more**, sealed segments and finished snapshots: the Linux backend maps them,
    /// and bytes that change under a map are not bytes Rust may look at. A file that may still grow or change is read with
    /// [`File::read_at`] or [`File::read_whole`]. The map is populated first, so a block that cannot be read is an error
    /// here and not a signal later; on any doubt the file is read instead.
    fn contents(&self) -> Result<Contents, StorageError>;
}

/// Holds the writer's lock of a directory until it is dropped.
pub trait LockGuard: Send + Sync + Debug {}
