//! Making the log durable beside the hand that writes it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use horolog_storage::{File, StorageError};

use crate::error::LogError;

/// What the writer and its syncers have in common.
#[derive(Debug)]
pub(super) struct Shared {
    /// The segment that is being written. Held during every sync; never during an append.
    current: Mutex<Arc<dyn File>>,
    failed: AtomicBool,
}

/// Makes what was appended durable; beside the writer, from any thread.
#[derive(Debug, Clone)]
pub struct Syncer {
    pub(super) shared: Arc<Shared>,
}

impl Syncer {
    /// Everything appended before this call is durable when it returns.
    ///
    /// # Why that holds
    ///
    /// Let an append have returned before this call, and let F be the file it wrote to. A rotation replaces the current
    /// file only while it holds the lock, and only after a sync of the old file that succeeded. So when this call
    /// has the lock, the current file is either F, and syncing it covers the append; or a later one, and then the
    /// rotation away from F has synced F since. The name of every segment is durable before the segment is
    /// used, so the file that is synced can be found again.
    ///
    /// The lock is held during the sync because the kernel reports a lost write to one caller only. Two syncs at
    /// once could share one error: this call would swallow it, and the rotation, told that all is well, would
    /// link a new segment to bytes that are gone.
    ///
    /// # Errors
    ///
    /// [`LogError::Storage`] once; the log is finished then, and every later call gives [`LogError::Poisoned`].
    /// What was appended since the last sync may or may not be durable.
    pub fn sync(&self) -> Result<(), LogError> {
        let current = self.shared.current();
        self.shared.sync(&**current)
    }
}

impl Shared {
    pub(super) fn new(file: Arc<dyn File>) -> Self {
        Self { current: Mutex::new(file), failed: AtomicBool::new(false) }
    }

    /// The lock protects one pointer, which is whole whatever panicked.
    fn current(&self) -> MutexGuard<'_, Arc<dyn File>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Syncs the old segment and lets syncers go on with `next`.
    pub(super) fn switch(&self, next: &Arc<dyn File>) -> Result<(), LogError> {
        let mut current = self.current();
        self.sync(&**current)?;
        *current = Arc::clone(next);
        Ok(())
    }

    /// Only ever with the lock held.
    fn sync(&self, file: &dyn File) -> Result<(), LogError> {
        self.check()?;
        file.sync().map_err(|error| self.fail(error))
    }

    pub(super) fn check(&self) -> Result<(), LogError> {
        if self.failed.load(Ordering::Acquire) { Err(LogError::Poisoned) } else { Ok(()) }
    }

    /// Remembers that a write or sync failed: from here on nothing is written and nothing is synced.
    pub(super) fn fail(&self, error: StorageError) -> LogError {
        self.failed.store(true, Ordering::Release);
        error.into()
    }
}
