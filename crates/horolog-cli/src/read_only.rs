//! Looking into a directory without a lock and without writing a byte; it may be in use.

use std::path::Path;

use horolog::RecoveryError;
use horolog_recovery::{Recovered, recover_watched};
use horolog_storage::{OsStorage, Storage, StorageError};
use horolog_wal::LogOptions;

use crate::bar::RecoveryBar;
use crate::error::Trouble;

pub(crate) fn storage(dir: &Path) -> Result<OsStorage, StorageError> {
    OsStorage::open_existing(dir)
}

/// What an opening would find, read anew as long as a writer changes what is read. Reading takes the sizes of segments from
/// the segments, so no option matters.
pub(crate) fn recovered<T>(dir: &Path, look: impl FnOnce(Recovered<'_>) -> T) -> Result<T, Trouble> {
    let storage = storage(dir)?;
    let bar = RecoveryBar::new();
    let found = recover_watched(&storage, &LogOptions::default(), &mut |progress| bar.show(progress));
    bar.end();
    found.map(look).map_err(|source| at(dir, source))
}

pub(crate) fn at(dir: &Path, source: RecoveryError) -> Trouble {
    Trouble::Recovery { dir: dir.to_owned(), source }
}

/// The bytes of all files in a directory.
pub(crate) fn bytes_of(dir: &Path) -> Result<u64, StorageError> {
    let storage = storage(dir)?;
    let mut bytes = 0;
    for name in storage.list()? {
        bytes += storage.open_read_only(&name)?.len()?;
    }
    Ok(bytes)
}
