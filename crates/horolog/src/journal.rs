//! The seam between the engine and its log.
//!
//! A journal is opened, which gives what it holds and its writing end; from then on it is called by hands only, never under
//! the engine's lock. The local log is the embedded default. Above this line nothing knows of files, so that a replicated
//! log can take its place.

use std::path::Path;
use std::sync::Arc;

use horolog_recovery::{Progress, Report, recover_watched};
use horolog_state::{Lsn, State, TickLen};
use horolog_storage::Storage;
use horolog_wal::{
    Appended, LogError, LogOptions, LogState, Misuse, RetirePlan, SealedSnapshot, SnapshotFile, SparePlan,
    Stamp, Syncer, UnreadSnapshot, Writer,
};

use crate::error::OpenError;
use crate::machine::{Batch, Job, JobError, Kept, Outcome, SnapshotStep};
use crate::opening::{Laps, Phase};
use crate::options::Options;
use crate::sync::Mutex;

/// A journal that was opened: everything it holds is durable, and nobody else writes it.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The fold of its records.
    pub(crate) state: State,
    /// What was found, kept and cut.
    pub(crate) report: Report,
    /// Nanoseconds a tick: what it was created with, or what was asked for.
    pub(crate) tick_len: TickLen,
    /// No epoch was ever begun in it.
    pub(crate) is_new: bool,
    /// The last elapsed tick that it saw.
    pub(crate) last_tick: u64,
    /// The number of this opening.
    pub(crate) epoch: u64,
    /// What there is of snapshots and of the log.
    pub(crate) kept: Kept,
    /// Its writing end.
    pub(crate) journal: Arc<dyn Journal>,
}

/// What a journal says when it has written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wrote {
    /// It wants a spare.
    pub(crate) wants_spare: bool,
    /// How large the next batch may be without another segment.
    pub(crate) room_bytes: u64,
    /// What the log has grown by.
    pub(crate) bytes: u64,
}

impl Wrote {
    fn by(writer: &Writer, appended: Appended) -> Self {
        Self { wants_spare: writer.needs_spare(), room_bytes: writer.room_bytes(), bytes: appended.bytes }
    }
}

/// Where batches go.
pub(crate) trait Journal: Send + Sync + std::fmt::Debug {
    /// Appends a batch right after the record before its first one; where the tail is another one, another owner has taken
    /// over. One call at a time. `unsynced` are the batches behind `durable`, or none: where they are needed and not given,
    /// the call waits for them to be durable.
    fn write(
        &self,
        batch: &mut Batch,
        unsynced: &[Batch],
        durable: Lsn,
        tick: u64,
    ) -> Result<Wrote, LogError>;

    /// Makes everything up to `upto`, which was written before the call, durable. May run beside [`Journal::write`].
    fn sync(&self, upto: Lsn) -> Result<(), LogError>;

    /// Says what is durable in an empty batch of its own, to be synced like any other. Not beside a write.
    fn mark(&self, durable: Lsn, tick: u64, clean: bool) -> Result<Wrote, LogError>;

    /// Notes, far from the records, what is durable. May run beside anything.
    fn witness(&self, durable: Lsn) -> Result<(), LogError>;

    /// Prepares room for later writes. May run beside anything. Says whether more is wanted.
    fn prepare(&self) -> Result<bool, LogError>;

    /// Does a step of keeping a snapshot of what the records made, and of letting go of records that no snapshot needs. One at a
    /// time, in their order; beside anything. After an error that does not end the journal the next one is a new beginning.
    fn snapshot(&self, step: &mut SnapshotStep) -> Result<(), LogError>;

    /// After an error has ended it: goes on behind `durable` with these batches, which are all there is behind that, in
    /// another file. They are durable when this returns. Not beside anything.
    fn heal(&self, batches: &mut [Batch], durable: Lsn) -> Result<(), LogError>;

    /// Gives up the snapshot in the making: nothing is done any more, and nothing half-made is left behind. Not beside anything.
    fn let_go(&self);

    /// Whether an error has ended it: nothing is written any more.
    fn has_ended(&self) -> bool;
}

/// Does a job. The job comes back with how it ended.
pub(crate) fn perform(journal: &dyn Journal, mut job: Job) -> Outcome {
    let result = match &mut job {
        Job::Write { batch, unsynced, durable, tick } => {
            journal.write(batch, unsynced.make_contiguous(), *durable, *tick)
        }
        Job::Sync { upto } => journal.sync(*upto).map(|()| Wrote::default()),
        Job::Mark { durable, tick, clean } => journal.mark(*durable, *tick, *clean),
        Job::Witness { durable } => journal.witness(*durable).map(|()| Wrote::default()),
        Job::Spare => journal.prepare().map(|wants_spare| Wrote { wants_spare, ..Wrote::default() }),
        Job::Snapshot(step) => journal.snapshot(step).map(|()| Wrote::default()),
        Job::Heal { batches, durable } => journal.heal(batches, *durable).map(|()| Wrote::default()),
    };
    let result = result.map_err(|error| JobError { ends_log: journal.has_ended(), error });
    Outcome { job, result }
}

/// Opens the log of a local directory whose lock is held: reads and replays it, then begins a fresh segment.
pub(crate) fn open_local(
    storage: Arc<dyn Storage>,
    path: &Path,
    options: &Options,
    monotonic_ms: fn() -> u64,
    laps: &mut Laps,
) -> Result<Opened, OpenError> {
    let log_options = log_options(options);
    let mut watch = |progress: Progress| {
        laps.enter(Phase::Recovery(progress.step));
        options.watcher.tell(progress);
    };
    let recovered = recover_watched(&*storage, &log_options, &mut watch)
        .map_err(|source| OpenError::Recovery { path: path.into(), source })?;
    let (state, log) = (recovered.state, recovered.log);
    if log.state == LogState::Empty && !options.create {
        return Err(OpenError::Empty { path: path.into() });
    }
    let tick_len = options.agree_on_tick_len(state.tick_len())?;
    laps.enter(Phase::Link);
    let opened = horolog_wal::open_writer(Arc::clone(&storage), &log, &log_options, monotonic_ms())
        .map_err(|source| OpenError::Log { path: path.into(), source })?;
    let epoch = opened.0.epoch().max(state.epoch() + 1);
    let kept = Kept::of(&log, recovered.report.snapshot);
    let journal = LocalJournal::new(opened, &kept, monotonic_ms);
    let is_new = state.epoch() == 0;
    Ok(Opened {
        kept,
        state,
        report: recovered.report,
        tick_len,
        is_new,
        last_tick: log.engine_tick,
        epoch,
        journal,
    })
}

fn log_options(options: &Options) -> LogOptions {
    LogOptions {
        segment_bytes_min: options.segment_bytes_min,
        segment_bytes_max: options.segment_bytes_max,
        // What one hold of the lock encodes is one batch, and it is bounded by the buffer already.
        batch_bytes_max: options.buffer_bytes_max as u64 + (1 << 20),
        has_lock: true,
        ..LogOptions::default()
    }
}

/// The log of a local directory.
#[derive(Debug)]
pub(crate) struct LocalJournal {
    writer: Mutex<Writer>,
    /// Another one after the log was healed.
    syncer: Mutex<Syncer>,
    making: Mutex<Making>,
    monotonic_ms: fn() -> u64,
}

/// A snapshot in the making.
#[derive(Debug, Default)]
enum Making {
    #[default]
    Nothing,
    File(SnapshotFile),
    /// It is being read back.
    Unread(UnreadSnapshot),
    Sealed(SealedSnapshot),
    /// It counts, and the log is needed from here on.
    Published(horolog_wal::Lsn),
}

impl LocalJournal {
    /// `monotonic_ms` tells the log how fast its segments fill.
    pub(crate) fn new(
        (writer, syncer): (Writer, Syncer),
        kept: &Kept,
        monotonic_ms: fn() -> u64,
    ) -> Arc<Self> {
        let making = kept.needed_from().map_or(Making::Nothing, Making::Published);
        let (writer, syncer, making) = (Mutex::new(writer), Mutex::new(syncer), Mutex::new(making));
        Arc::new(Self { writer, syncer, making, monotonic_ms })
    }
}

impl LocalJournal {
    /// A sync takes long, and is not done with the lock.
    pub(crate) fn syncer(&self) -> Syncer {
        self.syncer.lock().clone()
    }

    fn make(&self, making: Making, step: &mut SnapshotStep) -> Result<Making, LogError> {
        Ok(match (making, step) {
            (_, SnapshotStep::Begin { begin }) => {
                let plan = self.writer.lock().plan_snapshot(horolog_wal::Lsn(begin.0));
                Making::File(plan.create()?)
            }
            (Making::File(mut file), SnapshotStep::Section { buffer, is_last }) => {
                file.append(buffer, *is_last)?;
                Making::File(file)
            }
            (Making::File(file), SnapshotStep::Finish { end }) => {
                Making::Unread(file.finish(horolog_wal::Lsn(end.0))?)
            }
            (Making::Unread(mut unread), SnapshotStep::ReadBack { bytes, .. }) => {
                *bytes = unread.read_on()?;
                if *bytes > 0 { Making::Unread(unread) } else { Making::Sealed(unread.into_sealed()?) }
            }
            (Making::Sealed(sealed), SnapshotStep::Publish { durable }) => {
                Making::Published(sealed.publish(horolog_wal::Lsn(durable.0))?)
            }
            (Making::Published(below), SnapshotStep::Retire) => {
                let plan = self.writer.lock().retire_below(below);
                if let Some(retired) = plan.map(RetirePlan::carry_out).transpose()? {
                    self.writer.lock().offer_retired(retired);
                }
                Making::Nothing
            }
            // The steps come in order.
            _ => return Err(LogError::Misuse(Misuse::NoSnapshot)),
        })
    }
}

impl Journal for LocalJournal {
    fn write(
        &self,
        batch: &mut Batch,
        unsynced: &[Batch],
        durable: Lsn,
        tick: u64,
    ) -> Result<Wrote, LogError> {
        let stamp = Stamp {
            first_lsn: horolog_wal::Lsn(batch.first.0),
            durable_lsn: horolog_wal::Lsn(durable.0),
            engine_tick: tick,
            ..Stamp::default()
        };
        let unsynced: Vec<_> = unsynced.iter().map(|batch| &batch.buf).collect();
        let mut writer = self.writer.lock();
        let appended = writer.append_beside_sync(&mut batch.buf, &unsynced, stamp, (self.monotonic_ms)())?;
        Ok(Wrote::by(&writer, appended))
    }

    /// A file is synced as a whole, so `upto` is always reached.
    fn sync(&self, _upto: Lsn) -> Result<(), LogError> {
        self.syncer().sync()
    }

    fn mark(&self, durable: Lsn, tick: u64, clean: bool) -> Result<Wrote, LogError> {
        let mut writer = self.writer.lock();
        let appended = writer.mark(horolog_wal::Lsn(durable.0), tick, clean)?;
        Ok(Wrote::by(&writer, appended))
    }

    fn witness(&self, durable: Lsn) -> Result<(), LogError> {
        self.syncer().witness(horolog_wal::Lsn(durable.0))
    }

    fn prepare(&self) -> Result<bool, LogError> {
        let plan = self.writer.lock().wants_spare();
        let spare = plan.map(SparePlan::prepare).transpose()?;
        let mut writer = self.writer.lock();
        if let Some(spare) = spare {
            writer.offer_spare(spare);
        }
        Ok(writer.needs_spare())
    }

    fn snapshot(&self, step: &mut SnapshotStep) -> Result<(), LogError> {
        let mut making = self.making.lock();
        // After an error what was made is dropped, and leaves nothing behind.
        *making = self.make(std::mem::take(&mut *making), step)?;
        Ok(())
    }

    fn heal(&self, batches: &mut [Batch], durable: Lsn) -> Result<(), LogError> {
        let mut buffers: Vec<_> = batches.iter_mut().map(|batch| &mut batch.buf).collect();
        let mut writer = self.writer.lock();
        let healed = writer.heal(&mut buffers, horolog_wal::Lsn(durable.0), (self.monotonic_ms)())?;
        *self.syncer.lock() = healed;
        Ok(())
    }

    fn let_go(&self) {
        *self.making.lock() = Making::Nothing;
    }

    fn has_ended(&self) -> bool {
        self.syncer().is_poisoned()
    }
}
