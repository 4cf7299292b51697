//! A journal whose syncs can be overtaken: one thread is all hands here, and what others do while a sync is under way happens
//! between its beginning and its end. Of the file only what was written before the beginning is durable at the end.

use std::sync::Arc;

use horolog_sim::SimDisk;
use horolog_state::Lsn;
use horolog_wal::{LogError, SlowSync};

use crate::journal::{Journal, LocalJournal, Wrote};
use crate::machine::{Batch, SnapshotStep};
use crate::sync::Mutex;

/// See the module.
#[derive(Debug)]
pub(crate) struct SlowJournal {
    inner: Arc<LocalJournal>,
    disk: Arc<SimDisk>,
    /// With the last change of the disk before it.
    begun: Mutex<Option<(u64, SlowSync)>>,
}

impl SlowJournal {
    pub(crate) fn new(inner: Arc<LocalJournal>, disk: Arc<SimDisk>) -> Self {
        Self { inner, disk, begun: Mutex::default() }
    }

    /// The next [`Journal::sync`] is under way, if it was not already: it is of the segment that is written now.
    pub(crate) fn begin_sync(&self) {
        self.begun.lock().get_or_insert_with(|| (self.disk.last_change(), self.inner.syncer().begin()));
    }

    /// The sync that is under way is of another segment than the one that is written by now.
    pub(crate) fn is_overtaken(&self) -> bool {
        self.begun.lock().as_ref().is_some_and(|(_, sync)| sync.is_overtaken())
    }
}

impl Journal for SlowJournal {
    fn write(
        &self,
        batch: &mut Batch,
        unsynced: &[Batch],
        durable: Lsn,
        tick: u64,
    ) -> Result<Wrote, LogError> {
        self.inner.write(batch, unsynced, durable, tick)
    }

    fn sync(&self, upto: Lsn) -> Result<(), LogError> {
        match self.begun.lock().take() {
            None => self.inner.sync(upto),
            Some((begun, slow)) => self.disk.with_slow_sync(begun, || slow.finish()),
        }
    }

    fn mark(&self, durable: Lsn, tick: u64, clean: bool) -> Result<Wrote, LogError> {
        self.inner.mark(durable, tick, clean)
    }

    fn witness(&self, durable: Lsn) -> Result<(), LogError> {
        self.inner.witness(durable)
    }

    fn prepare(&self) -> Result<bool, LogError> {
        self.inner.prepare()
    }

    fn snapshot(&self, step: &mut SnapshotStep) -> Result<(), LogError> {
        self.inner.snapshot(step)
    }

    fn heal(&self, batches: &mut [Batch], durable: Lsn) -> Result<(), LogError> {
        self.inner.heal(batches, durable)
    }

    fn let_go(&self) {
        self.inner.let_go();
    }

    fn has_ended(&self) -> bool {
        self.inner.has_ended()
    }
}
