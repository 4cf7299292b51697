//! `horolog repair`: what can be kept of a damaged directory, in a new one.
//!
//! The old directory is read and never written. What is lost is said before anything is written, also when the repair is then
//! refused: whoever has to accept a loss sees it first. The new directory is read back before the command ends.

mod lost;
mod report;

use std::path::Path;
use std::sync::Arc;

use horolog::StorageError;
use horolog_recovery::{Repaired, recover, salvage};
use horolog_state::Lsn;
use horolog_storage::{OsStorage, Storage, lies_in};
use horolog_wal::LogOptions;

use self::report::Report;
use crate::args::RepairArgs;
use crate::error::Trouble;
use crate::read_only::{at, storage};

pub(crate) fn repair(args: &RepairArgs) -> Result<u8, Trouble> {
    let old = storage(&args.dir)?;
    refuse_occupied(&old, &args.to)?;
    let found = salvage(&old, &LogOptions::default()).map_err(|source| at(&args.dir, source))?;
    let mut report = Report::new(args.json);
    report.found(&args.dir, &found)?;
    let accepted = Lsn(args.accept_loss_after);
    let refused = |source| Trouble::Repair { dir: args.dir.clone(), to: args.to.clone(), source };
    found.check(accepted).map_err(refused)?;
    let new: Arc<dyn Storage> = Arc::new(OsStorage::open_or_create(&args.to)?);
    let _lock = new.lock()?;
    let done = found.write(Arc::clone(&new), &LogOptions::default(), accepted).map_err(refused)?;
    read_back(&args.to, &*new, &done)?;
    report.written(&args.to, &found, &done)?;
    Ok(0)
}

/// Nothing is written over anything, and nothing into the old directory.
fn refuse_occupied(old: &OsStorage, to: &Path) -> Result<(), Trouble> {
    if lies_in(to, old.path())? {
        return Err(Trouble::InTheOld { dir: to.to_owned() });
    }
    match OsStorage::open_existing(to).and_then(|found| found.list()) {
        Ok(names) if !names.is_empty() => Err(Trouble::NotEmpty { dir: to.to_owned() }),
        Ok(_) | Err(StorageError::NotFound { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A repair that cannot be opened is none.
fn read_back(to: &Path, new: &dyn Storage, done: &Repaired) -> Result<(), Trouble> {
    let again = recover(new, &LogOptions::default()).map_err(|source| at(to, source))?;
    if again.state.applied() == done.epoch_lsn && again.log.uuid == done.uuid {
        return Ok(());
    }
    Err(Trouble::NotAsWritten { dir: to.to_owned() })
}
