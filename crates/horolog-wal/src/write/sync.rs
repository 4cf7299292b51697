//! Making the log durable beside the hand that writes it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use horolog_storage::StorageError;

use super::meta::MetaWriter;
use super::turn::{Current, SyncTurn};
use crate::error::LogError;
use crate::format::meta::{Listed, Meta};
use crate::format::snapshot::SnapshotRef;
use crate::lsn::Lsn;

/// What the writer, its syncers and its preparers have in common.
#[derive(Debug)]
pub(super) struct Shared {
    turn: SyncTurn,
    /// Never taken during a sync, nor the other way round.
    meta: Mutex<MetaWriter>,
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
    /// Everything appended before this call is durable when it returns. (`write/turn.rs` says why, with a writer that goes on in
    /// another segment meanwhile.)
    ///
    /// # Errors
    ///
    /// [`LogError::Storage`] once; the log is finished then, and every later call gives [`LogError::Poisoned`].
    /// What was appended since the last sync may or may not be durable.
    pub fn sync(&self) -> Result<(), LogError> {
        self.shared.sync()
    }

    /// For simulations, in which one thread is all hands: a sync that has begun, and what others do meanwhile overtakes it.
    #[doc(hidden)]
    #[must_use]
    pub fn begin(&self) -> SlowSync {
        SlowSync { current: self.shared.turn.current(), shared: Arc::clone(&self.shared) }
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

/// See [`Syncer::begin`].
#[doc(hidden)]
#[derive(Debug)]
pub struct SlowSync {
    shared: Arc<Shared>,
    current: Current,
}

impl SlowSync {
    /// The log has gone on in another segment since it began.
    #[must_use]
    pub fn is_overtaken(&self) -> bool {
        self.shared.turn.current().id != self.current.id
    }

    /// What was appended before it began is durable when this returns.
    ///
    /// # Errors
    ///
    /// As [`Syncer::sync`].
    pub fn finish(self) -> Result<(), LogError> {
        self.shared.turn.sync_file(&self.current)
    }
}

impl Shared {
    /// A log whose writer is about to write the first batch of `current`.
    pub(super) fn new(current: Current, meta: MetaWriter, rotten: Vec<u64>) -> Self {
        Self {
            turn: SyncTurn::new(current, meta.meta().head_segment),
            meta: Mutex::new(meta),
            lacks_room: AtomicBool::new(false),
            rotten,
        }
    }

    /// Makes everything durable that was appended before this call.
    pub(super) fn sync(&self) -> Result<(), LogError> {
        self.turn.sync()
    }

    /// What is written from now on is written to `next`, whose first batch was.
    pub(super) fn go_on_in(&self, next: Current) {
        self.turn.go_on_in(next);
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
        self.turn.durable_head()
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
        self.turn.check()
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
        self.turn.fail(error)
    }
}
