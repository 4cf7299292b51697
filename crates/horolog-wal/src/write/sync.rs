//! Making the log durable beside the hand that writes it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use horolog_storage::{File, StorageError};

use super::meta::MetaWriter;
use crate::error::LogError;
use crate::format::meta::{Listed, Meta};
use crate::format::snapshot::SnapshotRef;
use crate::lsn::Lsn;
use crate::planted::{Bug, is_planted};

/// What the writer, its syncers and its preparers have in common.
#[derive(Debug)]
pub(super) struct Shared {
    /// The segment that is being written. Held during every sync; never during an append.
    current: Mutex<Arc<dyn File>>,
    /// Never taken while `current` is held, nor the other way round.
    meta: Mutex<MetaWriter>,
    /// The newest segment whose first batch was written.
    begun: AtomicU64,
    /// The newest segment whose first batch is durable.
    durable_head: AtomicU64,
    failed: AtomicBool,
    /// The last segment that was to be made found no room.
    lacks_room: AtomicBool,
    /// Snapshots that are listed and were found damaged.
    rotten: Vec<u64>,
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

    /// Whether a write or sync failed, here or in the [`crate::Writer`].
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.shared.check().is_err()
    }

    /// Notes in META that everything up to `durable` is durable: evidence that stands far from the log, so that a tail
    /// that vanishes without a trace is missed. Worth a write about once a second, and at the end.
    ///
    /// The caller knows that it is durable. Durable when this returns.
    ///
    /// # Errors
    ///
    /// As [`Syncer::sync`].
    pub fn witness(&self, durable: Lsn) -> Result<(), LogError> {
        self.shared.witness(durable)
    }
}

impl Shared {
    pub(super) fn new(file: Arc<dyn File>, meta: MetaWriter, rotten: Vec<u64>) -> Self {
        Self {
            current: Mutex::new(file),
            begun: AtomicU64::new(0),
            durable_head: AtomicU64::new(meta.meta().head_segment),
            meta: Mutex::new(meta),
            failed: AtomicBool::new(false),
            lacks_room: AtomicBool::new(false),
            rotten,
        }
    }

    /// The lock protects one pointer, which is whole whatever panicked.
    fn current(&self) -> MutexGuard<'_, Arc<dyn File>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Syncs the old segment and lets syncers go on with `next`.
    pub(super) fn switch(&self, next: &Arc<dyn File>) -> Result<(), LogError> {
        let mut current = self.current();
        if !is_planted(Bug::SealedNotSynced) {
            self.sync(&**current)?;
        }
        *current = Arc::clone(next);
        Ok(())
    }

    /// The first batch of segment `id` was written.
    pub(super) fn begin(&self, id: u64) {
        self.begun.store(id, Ordering::Release);
    }

    /// Only ever with the lock held. What was begun before it is durable after it: see [`Syncer::sync`].
    fn sync(&self, file: &dyn File) -> Result<(), LogError> {
        self.check()?;
        let begun = self.begun.load(Ordering::Acquire);
        match file.sync() {
            Err(_) if is_planted(Bug::SyncRetried) => file.sync(),
            synced => synced,
        }
        .map_err(|error| self.fail(error))?;
        self.durable_head.fetch_max(begun, Ordering::AcqRel);
        Ok(())
    }

    /// Changes META. An error leaves unknown what is on the medium, and ends the log like any failed sync.
    pub(super) fn update_meta<T, E: Into<LogError>>(
        &self,
        update: impl FnOnce(&mut MetaWriter) -> Result<T, E>,
    ) -> Result<T, LogError> {
        let mut meta = self.meta.lock().unwrap_or_else(PoisonError::into_inner);
        self.check()?;
        update(&mut meta).map_err(|error| match error.into() {
            LogError::Storage(error) => self.fail(error),
            refused => refused,
        })
    }

    /// Lists a segment that is complete: only then may it be written.
    pub(super) fn list(&self, segment: Listed) -> Result<(), LogError> {
        let head = self.durable_head();
        self.update_meta(|meta| meta.list(segment, head))
    }

    /// The newest segment whose first batch is durable.
    pub(super) fn durable_head(&self) -> u64 {
        self.durable_head.load(Ordering::Acquire)
    }

    pub(super) fn retire(&self, first: u64) -> Result<(), LogError> {
        let head = self.durable_head();
        self.update_meta(|meta| meta.retire(first, head))
    }

    /// A snapshot counts from now on. Says which one stays beside it, and which ones go.
    pub(super) fn publish(
        &self,
        snapshot: SnapshotRef,
        durable: Lsn,
    ) -> Result<(Option<SnapshotRef>, Vec<u64>), LogError> {
        let head = self.durable_head();
        self.update_meta(|meta| meta.publish(snapshot, durable, &self.rotten, head))
    }

    /// Snapshots that were found damaged.
    pub(super) fn rotten(&self) -> Vec<u64> {
        self.rotten.clone()
    }

    pub(super) fn witness(&self, durable: Lsn) -> Result<(), LogError> {
        let head = self.durable_head();
        self.update_meta(|meta| meta.witness(durable, head))
    }

    /// What META said after the last update that went well.
    pub(super) fn last_meta(&self) -> Meta {
        self.meta.lock().unwrap_or_else(PoisonError::into_inner).meta().clone()
    }

    /// A listed segment will never be used.
    pub(super) fn drop_segment(&self, id: u64) {
        self.meta.lock().unwrap_or_else(PoisonError::into_inner).drop_segment(id);
    }

    pub(super) fn check(&self) -> Result<(), LogError> {
        if self.failed.load(Ordering::Acquire) { Err(LogError::Poisoned) } else { Ok(()) }
    }

    /// Remembers whether a segment could not be made for lack of room.
    pub(super) fn noting_room<T>(&self, made: Result<T, LogError>) -> Result<T, LogError> {
        let lacks_room = matches!(&made, Err(error) if error.is_full());
        self.lacks_room.store(lacks_room, Ordering::Relaxed);
        made
    }

    pub(super) fn lacks_room(&self) -> bool {
        self.lacks_room.load(Ordering::Relaxed)
    }

    /// Remembers that a write or sync failed: from here on nothing is written and nothing is synced.
    pub(super) fn fail(&self, error: StorageError) -> LogError {
        self.failed.store(true, Ordering::Release);
        error.into()
    }
}
