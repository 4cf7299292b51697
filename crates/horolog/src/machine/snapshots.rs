//! Snapshots: the state goes to a file, a piece at a time, while everything else goes on.
//!
//! ```text
//! idle --> begin --> section, … --> finish --> read back, … --> (durable as far as it has seen) --> publish --> retire --> idle
//! ```
//!
//! Each arrow is one [`SnapshotStep`], done by the keeping hand. Only taking a section needs the lock: it copies as much as
//! [`SnapshotWalk::step`] does at once. Sections, and the steps of reading them back, are spaced out, so that the log has
//! the disk to itself most of the time, unless the log grows so fast that it would have no bound meanwhile; and none takes
//! long, so that the keeping hand can do its other jobs in between. An error that does not end the log ends the snapshot,
//! which leaves what was there before; it is begun again after a pause.
//!
//! One is begun when the log behind the newest has grown beyond half of what a snapshot would take now,
//! [`MachineOptions::snapshot_log_bytes`] at least; or when timers are gone, and what is kept has become more than three
//! times what is left. Two are kept, and the log behind the older one: about as much as one snapshot. If the older one is
//! more than twice as large as the newest, another one is made in the same attempt, and takes its place.
//!
//! A process that ends between `publish` and `retire` leaves more of the log than is needed. The next one begins with `retire`.

use std::sync::Arc;

use horolog_state::snapshot::SnapshotWalk;
use horolog_state::{Lsn, Now};
use horolog_wal::planted::{Bug, is_planted};
use horolog_wal::{LogError, LogView, SnapshotFile, SnapshotRef};

#[cfg(doc)]
use super::MachineOptions;
use super::jobs::{Job, JobError, JobResult};
use super::{Closing, Failure, Machine};
use crate::error::CompactError;

/// Sections are written, and read back, at this speed at most: a commit waits for one at a time, and not for a stream of them.
const BYTES_A_SECOND: u64 = 256 << 20;

/// For each byte that the log grows by meanwhile, so many are to be written and read back: both together are twice the
/// snapshot, by a quarter of which the log then grows.
const BYTES_A_LOG_BYTE: u64 = 8;

/// After an attempt failed; doubled each time.
const PAUSE_MIN_NS: u64 = 1_000_000_000;
const PAUSE_MAX_NS: u64 = 300_000_000_000;

/// A step of making a snapshot.
#[derive(Debug)]
pub(crate) enum SnapshotStep {
    /// Begin a file; the records behind this one are needed besides.
    Begin {
        /// The last record applied.
        begin: Lsn,
    },
    /// Write a section. The buffer comes back.
    Section {
        /// The section, behind the room for its frame.
        buffer: Vec<u8>,
        /// None follows.
        is_last: bool,
    },
    /// Make the file durable.
    Finish {
        /// The last record that any section has seen.
        end: Lsn,
    },
    /// Read on in the file, and compare.
    ReadBack {
        /// The last record that any section has seen.
        end: Lsn,
        /// Set by whoever does it: how many bytes were read. None: all had been read before.
        bytes: u64,
    },
    /// Make it count.
    Publish {
        /// What is durable, `end` at least.
        durable: Lsn,
    },
    /// Let go of the log that no snapshot needs.
    Retire,
}

/// How far the snapshot in the making has come.
#[derive(Debug)]
enum Stage {
    Idle,
    Walking(SnapshotWalk),
    /// All sections are written, and these are the records that they have seen.
    Finishing(Lsn),
    ReadingBack(Lsn),
    Sealed(Lsn),
    Retiring,
    /// It counts, and another one is to be made.
    Again,
}

/// What an opening found of snapshots, and of the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    newest_bytes: u64,
    older_bytes: u64,
    /// Behind where the newest began.
    log_bytes: u64,
    /// Before that.
    older_log_bytes: u64,
    /// Below this there are segments that no snapshot needs.
    needed_from: Option<horolog_wal::Lsn>,
}

impl Kept {
    /// `used` is the snapshot on which the replay stands. Newer ones are rotten.
    pub(crate) fn of(log: &LogView<'_>, used: Option<SnapshotRef>) -> Self {
        let older = used.and_then(|used| log.snapshots().find(|it| it.id < used.id));
        let bytes = |snapshot: Option<SnapshotRef>| snapshot.map_or(0, |it| it.bytes);
        let log_behind = |snapshot: Option<SnapshotRef>| {
            log.bytes_behind(snapshot.map_or(horolog_wal::Lsn(0), |it| it.begin))
        };
        let needed_from = older.map(|older| older.begin.next());
        let is_needless = |lsn| log.segments.iter().any(|it| it.last_lsn.is_some_and(|last| last < lsn));
        Self {
            newest_bytes: bytes(used),
            older_bytes: bytes(older),
            log_bytes: log_behind(used),
            older_log_bytes: log_behind(older) - log_behind(used),
            needed_from: needed_from.filter(|lsn| is_needless(*lsn)),
        }
    }

    /// What [`SnapshotStep::Retire`] is to let go first: a process before this one has ended before it did.
    pub(crate) fn needed_from(&self) -> Option<horolog_wal::Lsn> {
        self.needed_from
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Snapshots {
    stage: Stage,
    /// A step is being done.
    stepping: bool,
    /// So many read the directory: no file of it goes meanwhile.
    readers: usize,
    /// Somebody asked for one.
    asked: bool,
    /// The one in the making is waited for: its steps are not spaced out.
    awaited: bool,
    /// None is begun, and no step is taken, before this moment.
    not_before_ns: u64,
    pause_ns: u64,
    /// Of what an opening found, `log_bytes` are whole segments; of what was written since, batches.
    kept: Kept,
    /// Of `log_bytes`, those from before the present one began.
    log_bytes_before: u64,
    /// What it was expected to take when the newest one began.
    newest_live_bytes: u64,
    making_live_bytes: u64,
    making_bytes: u64,
    /// Of these, bytes that were read back.
    read_bytes: u64,
    buffer: Vec<u8>,
    pub(super) made: u64,
    pub(super) failures: u64,
    /// How many attempts have ended, well or not. They are numbered from 1.
    pub(super) attempts: u64,
    /// The last attempt that ended well.
    attempt_made: u64,
    /// Why the last one that did not has failed: for all who waited for it.
    refused: Option<Arc<LogError>>,
}

impl Snapshots {
    pub(super) fn new(kept: Kept) -> Self {
        Self {
            stage: if kept.needed_from.is_some() { Stage::Retiring } else { Stage::Idle },
            stepping: false,
            readers: 0,
            asked: false,
            awaited: false,
            not_before_ns: 0,
            pause_ns: PAUSE_MIN_NS,
            kept,
            log_bytes_before: 0,
            newest_live_bytes: kept.newest_bytes,
            making_live_bytes: 0,
            making_bytes: 0,
            read_bytes: 0,
            buffer: Vec::new(),
            made: 0,
            failures: 0,
            attempts: 0,
            attempt_made: 0,
            refused: None,
        }
    }

    /// So much was added to the log.
    pub(super) fn logged(&mut self, bytes: u64) {
        self.kept.log_bytes = self.kept.log_bytes.saturating_add(bytes);
    }

    /// The log has failed, or goes on in another file: what was being made belongs to the one before.
    pub(super) fn abandon(&mut self) {
        if self.is_making() {
            self.end_badly(LogError::Poisoned);
        }
    }

    #[cfg(test)]
    pub(super) fn log_bytes(&self) -> u64 {
        self.kept.log_bytes
    }

    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        !self.is_making()
    }

    pub(super) fn is_stepping(&self) -> bool {
        self.stepping
    }

    /// One has begun, and not ended.
    fn is_making(&self) -> bool {
        self.stepping || !matches!(self.stage, Stage::Idle)
    }

    /// Whether there is something to do, when its time has come: one is due, or the one in the making can go on.
    fn has_step(&self, durable: Lsn, live_bytes: impl FnOnce() -> u64, log_bytes_min: u64) -> bool {
        !self.stepping
            && match self.stage {
                Stage::Idle => self.asked || self.is_due(live_bytes(), log_bytes_min),
                Stage::Sealed(_) | Stage::Retiring if self.readers > 0 => false,
                Stage::Sealed(end) => durable >= end || is_planted(Bug::SnapshotAhead),
                Stage::Walking(_)
                | Stage::Finishing(_)
                | Stage::ReadingBack(_)
                | Stage::Retiring
                | Stage::Again => true,
            }
    }

    /// `live_bytes` is what a snapshot would take now. That it has fallen since the last one is asked for so that there is an end
    /// to it, whatever a snapshot takes in truth.
    fn is_due(&self, live_bytes: u64, log_bytes_min: u64) -> bool {
        let Kept { newest_bytes, older_bytes, log_bytes, older_log_bytes, .. } = self.kept;
        let all_bytes = newest_bytes + older_bytes + log_bytes + older_log_bytes;
        let has_shrunk = live_bytes < self.newest_live_bytes / 4 * 3;
        let is_too_much = all_bytes > log_bytes_min.saturating_mul(2).saturating_add(3 * live_bytes);
        log_bytes > log_bytes_min.max(live_bytes / 2) || has_shrunk && is_too_much
    }

    fn begin(&mut self, walk: SnapshotWalk, live_bytes: u64) -> SnapshotStep {
        let begin = walk.begin();
        self.making_live_bytes = live_bytes;
        self.stage = Stage::Walking(walk);
        (self.making_bytes, self.read_bytes) = (0, 0);
        self.log_bytes_before = self.kept.log_bytes;
        SnapshotStep::Begin { begin }
    }

    /// So many bytes were written or read: the next step comes when the disk has had its time for others, unless the log grows
    /// faster than that allows for.
    fn pause_after(&mut self, bytes: u64, now: &Now) {
        let done_bytes = self.making_bytes + self.read_bytes;
        let log_grew_bytes = self.kept.log_bytes - self.log_bytes_before;
        let is_behind = log_grew_bytes.saturating_mul(BYTES_A_LOG_BYTE) > done_bytes;
        if !self.awaited && !is_behind {
            let takes_ns = bytes.saturating_mul(1_000_000_000) / BYTES_A_SECOND;
            self.not_before_ns = now.elapsed_ns.saturating_add(takes_ns);
        }
    }

    fn published(&mut self) {
        self.stage = Stage::Retiring;
        self.kept = Kept {
            newest_bytes: self.making_bytes,
            older_bytes: self.kept.newest_bytes,
            log_bytes: self.kept.log_bytes - self.log_bytes_before,
            older_log_bytes: self.log_bytes_before,
            needed_from: None,
        };
        self.newest_live_bytes = self.making_live_bytes;
        self.pause_ns = PAUSE_MIN_NS;
        self.made += 1;
    }

    /// The log is let go. After a purge nearly all that is kept is in the older one.
    fn retired(&mut self) {
        if self.kept.older_bytes / 2 > self.kept.newest_bytes {
            self.stage = Stage::Again;
        } else {
            self.end();
            self.attempt_made = self.attempts;
        }
    }

    fn end_badly(&mut self, error: LogError) {
        self.end();
        self.refused = Some(Arc::new(error));
    }

    fn end(&mut self) {
        self.stage = Stage::Idle;
        self.attempts += 1;
        // Whoever asked meanwhile waits for the next one.
        self.awaited = self.asked;
    }

    fn failed(&mut self, error: LogError, now: &Now) {
        self.end_badly(error);
        self.failures += 1;
        self.not_before_ns = if self.asked { 0 } else { now.elapsed_ns.saturating_add(self.pause_ns) };
        self.pause_ns = (self.pause_ns * 2).min(PAUSE_MAX_NS);
    }
}

impl Machine {
    /// A snapshot is wanted now, whatever the log has grown by. Says which attempt will be the first that begins after this.
    pub(crate) fn ask_for_snapshot(&mut self) -> u64 {
        let snapshots = &mut self.snapshots;
        (snapshots.asked, snapshots.awaited, snapshots.not_before_ns) = (true, true, 0);
        // One that is under way has begun before.
        snapshots.attempts + 1 + u64::from(snapshots.is_making())
    }

    /// Somebody begins to read the directory, or has done so: meanwhile no snapshot takes the place of another one, and
    /// no log is let go, but for a step that is being done.
    pub(crate) fn keep_files(&mut self) {
        self.snapshots.readers += 1;
    }

    /// See [`Machine::keep_files`].
    pub(crate) fn let_files_go(&mut self) {
        self.snapshots.readers -= 1;
    }

    /// How that attempt has ended, or why it does not go on for now: the engine has failed, or is being closed. Any later one
    /// is as good. `None` while it is to be waited for, which it is again once the engine is healed.
    pub(crate) fn snapshot_end(&self, attempt: u64) -> Option<Result<(), CompactError>> {
        let snapshots = &self.snapshots;
        let refused = snapshots.refused.as_ref().filter(|_| snapshots.attempts >= attempt);
        if snapshots.attempt_made >= attempt {
            Some(Ok(()))
        } else if let Some(failure) = &self.failure {
            Some(Err(CompactError::Failed(Arc::clone(failure))))
        } else if let Some(error) = refused {
            Some(Err(CompactError::Snapshot(Arc::clone(error))))
        } else {
            (self.closing != Closing::No).then_some(Err(CompactError::Closed))
        }
    }

    pub(super) fn offers_snapshot(&self, now: &Now) -> bool {
        self.snapshot_looks_again_at_ns().is_some_and(|at_ns| at_ns <= now.elapsed_ns)
    }

    fn begin_snapshot(&mut self) -> SnapshotStep {
        self.snapshots.begin(SnapshotWalk::new(&self.state), self.state.snapshot_bytes())
    }

    pub(super) fn take_snapshot(&mut self, now: &Now) -> Option<Job> {
        if !self.offers_snapshot(now) {
            return None;
        }
        self.snapshots.stepping = true;
        let step = match std::mem::replace(&mut self.snapshots.stage, Stage::Idle) {
            Stage::Idle => {
                self.snapshots.asked = false;
                self.begin_snapshot()
            }
            // The second half of an attempt: who asked while the first was under way waits for the next attempt.
            Stage::Again => self.begin_snapshot(),
            Stage::Walking(walk) => self.next_section(walk),
            Stage::Finishing(end) => {
                self.snapshots.stage = Stage::Finishing(end);
                SnapshotStep::Finish { end }
            }
            Stage::ReadingBack(end) => {
                self.snapshots.stage = Stage::ReadingBack(end);
                SnapshotStep::ReadBack { end, bytes: 0 }
            }
            Stage::Sealed(end) => {
                self.snapshots.stage = Stage::Sealed(end);
                SnapshotStep::Publish { durable: self.durable }
            }
            Stage::Retiring => {
                self.snapshots.stage = Stage::Retiring;
                SnapshotStep::Retire
            }
        };
        Some(Job::Snapshot(step))
    }

    /// Copies the next section, and makes sure that what it has seen becomes durable.
    fn next_section(&mut self, mut walk: SnapshotWalk) -> SnapshotStep {
        let mut buffer = std::mem::take(&mut self.snapshots.buffer);
        buffer.clear();
        buffer.resize(SnapshotFile::FRAME_LEN, 0);
        walk.step(&self.state, &mut buffer);
        let end = walk.end();
        self.snapshots.stage = match end {
            Some(end) => {
                self.log.promise_durable(end);
                Stage::Finishing(end)
            }
            None => Stage::Walking(walk),
        };
        SnapshotStep::Section { buffer, is_last: end.is_some() }
    }

    pub(super) fn report_snapshot(&mut self, step: SnapshotStep, result: JobResult, now: &Now) {
        self.snapshots.stepping = false;
        match result {
            Ok(_) if self.failure.is_some() => self.snapshots.abandon(),
            Ok(_) => self.snapshot_stepped(step, now),
            Err(JobError { error, ends_log: true }) => {
                self.snapshots.abandon();
                self.fail(Failure::Log(error));
            }
            Err(JobError { error, ends_log: false }) => self.snapshots.failed(error, now),
        }
    }

    fn snapshot_stepped(&mut self, step: SnapshotStep, now: &Now) {
        let snapshots = &mut self.snapshots;
        match step {
            SnapshotStep::Begin { .. } => {}
            SnapshotStep::Section { buffer, .. } => {
                let bytes = buffer.len() as u64;
                snapshots.making_bytes += bytes;
                snapshots.buffer = buffer;
                snapshots.pause_after(bytes, now);
            }
            SnapshotStep::Finish { end } => snapshots.stage = Stage::ReadingBack(end),
            SnapshotStep::ReadBack { end, bytes: 0 } => snapshots.stage = Stage::Sealed(end),
            SnapshotStep::ReadBack { bytes, .. } => {
                snapshots.read_bytes += bytes;
                snapshots.pause_after(bytes, now);
            }
            SnapshotStep::Publish { .. } => snapshots.published(),
            SnapshotStep::Retire => snapshots.retired(),
        }
    }

    /// When the next step comes due, if there is one.
    pub(super) fn snapshot_looks_again_at_ns(&self) -> Option<u64> {
        let (live_bytes, log_bytes_min) = (|| self.state.snapshot_bytes(), self.options.snapshot_log_bytes);
        let has_step = self.snapshots.has_step(self.durable, live_bytes, log_bytes_min);
        (has_step && self.closing == Closing::No).then_some(self.snapshots.not_before_ns)
    }
}
