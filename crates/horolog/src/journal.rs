//! The seam between the engine and its log.
//!
//! Called by hands only, never under the engine's lock. The local log is the embedded default; hands assume nothing about a
//! local file, so that a replicated log can take its place. (Opening is not behind the seam: `Engine::open` is about a
//! local directory.)

use std::sync::Arc;

use horolog_wal::{LogError, Stamp, Syncer, Writer};

use crate::machine::{Batch, Job, Outcome};
use crate::sync::Mutex;

/// Where batches go.
pub(crate) trait Journal: Send + Sync + std::fmt::Debug {
    /// Appends a batch right after the last one, or learns that another owner has taken over. One call at a time. Says
    /// whether a spare is wanted.
    fn write(&self, batch: &mut Batch, durable: u64, tick: u64) -> Result<bool, LogError>;

    /// Makes everything written before the call durable. May run beside [`Journal::write`].
    fn sync(&self) -> Result<(), LogError>;

    /// Says what is durable in an empty batch of its own, and makes that durable. Not beside a write or a sync.
    fn mark(&self, durable: u64, tick: u64, clean: bool) -> Result<bool, LogError>;

    /// Prepares room for later writes. May run beside anything.
    fn prepare(&self) -> Result<(), LogError>;
}

/// Does a job. The job comes back with how it ended.
pub(crate) fn perform(journal: &dyn Journal, mut job: Job) -> Outcome {
    let result = match &mut job {
        Job::Write { batch, durable, tick } => journal.write(batch, durable.0, *tick),
        Job::Sync { .. } => journal.sync().map(|()| false),
        Job::Mark { durable, tick, clean } => journal.mark(durable.0, *tick, *clean),
        Job::Spare => journal.prepare().map(|()| false),
    };
    Outcome { job, result }
}

/// The log of a local directory.
#[derive(Debug)]
pub(crate) struct LocalJournal {
    writer: Mutex<Writer>,
    syncer: Syncer,
    monotonic_ms: fn() -> u64,
}

impl LocalJournal {
    /// `monotonic_ms` tells the log how fast its segments fill.
    pub(crate) fn new((writer, syncer): (Writer, Syncer), monotonic_ms: fn() -> u64) -> Arc<Self> {
        Arc::new(Self { writer: Mutex::new(writer), syncer, monotonic_ms })
    }
}

impl Journal for LocalJournal {
    fn write(&self, batch: &mut Batch, durable: u64, tick: u64) -> Result<bool, LogError> {
        let stamp = Stamp {
            first_lsn: horolog_wal::Lsn(batch.first.0),
            durable_lsn: horolog_wal::Lsn(durable),
            engine_tick: tick,
            ..Stamp::default()
        };
        let mut writer = self.writer.lock();
        writer.append(&mut batch.buf, stamp, (self.monotonic_ms)())?;
        Ok(writer.needs_spare())
    }

    fn sync(&self) -> Result<(), LogError> {
        self.syncer.sync()
    }

    fn mark(&self, durable: u64, tick: u64, clean: bool) -> Result<bool, LogError> {
        let mut writer = self.writer.lock();
        writer.mark(horolog_wal::Lsn(durable), tick, clean)?;
        let wants_spare = writer.needs_spare();
        drop(writer);
        self.syncer.sync()?;
        Ok(wants_spare)
    }

    fn prepare(&self) -> Result<(), LogError> {
        let plan = self.writer.lock().wants_spare();
        if let Some(plan) = plan {
            let spare = plan.prepare()?;
            self.writer.lock().offer_spare(spare);
        }
        Ok(())
    }
}
