//! Snapshots: the state goes to a file, a piece at a time, while everything else goes on.
//!
//! ```text
//! idle --> begin --> section, section, … --> seal --> (durable as far as it has seen) --> publish --> retire --> idle
//! ```
//!
//! Each arrow is one [`SnapshotStep`], done by the keeping hand. Only taking a section needs the lock: it copies as much as
//! [`SnapshotWalk::step`] does at once. Sections are spaced out, so that the log has the disk to itself most of the time. An
//! error that does not end the log ends the snapshot, which leaves what was there before; it is begun again after a pause.
//!
//! One is begun when the log behind the newest has grown beyond half of that one's size, [`MachineOptions::snapshot_log_bytes`] at
//! least: the log that is kept is no longer than one snapshot then, and there are two of these.

use std::sync::Arc;

use horolog_state::snapshot::SnapshotWalk;
use horolog_state::{Lsn, Now};
use horolog_wal::planted::{Bug, is_planted};
use horolog_wal::{LogError, SnapshotFile};

#[cfg(doc)]
use super::MachineOptions;
use super::jobs::{Job, JobError, JobResult};
use super::{Closing, Failure, Machine};
use crate::error::CompactError;

/// Sections follow each other at this speed at most: a commit waits for one at a time, and not for a stream of them.
const BYTES_A_SECOND: u64 = 256 << 20;

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
    /// Make the file durable and read it back.
    Seal {
        /// The last record that any section has seen.
        end: Lsn,
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
    Sealing(Lsn),
    Sealed(Lsn),
    Retiring,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Snapshots {
    stage: Stage,
    /// A step is being done.
    stepping: bool,
    /// Somebody asked for one.
    asked: bool,
    /// The one in the making is waited for: its sections are not spaced out.
    awaited: bool,
    /// None is begun, and no step is taken, before this moment.
    not_before_ns: u64,
    pause_ns: u64,
    /// Bytes of the log behind where the newest one began.
    log_bytes: u64,
    /// Of these, bytes from before the present one began.
    log_bytes_before: u64,
    newest_bytes: u64,
    making_bytes: u64,
    buffer: Vec<u8>,
    pub(super) made: u64,
    pub(super) failures: u64,
    /// Of attempts that have ended, well or not.
    pub(super) attempts: u64,
    /// Why the last attempt failed, for whoever asked for one.
    refused: Option<LogError>,
}

impl Snapshots {
    /// `newest_bytes` and `log_bytes`: of the snapshot that was found, and of the log behind it.
    pub(super) fn new(newest_bytes: u64, log_bytes: u64) -> Self {
        Self {
            stage: Stage::Idle,
            stepping: false,
            asked: false,
            awaited: false,
            not_before_ns: 0,
            pause_ns: PAUSE_MIN_NS,
            log_bytes,
            log_bytes_before: 0,
            newest_bytes,
            making_bytes: 0,
            buffer: Vec::new(),
            made: 0,
            failures: 0,
            attempts: 0,
            refused: None,
        }
    }

    /// So much was added to the log.
    pub(super) fn logged(&mut self, bytes: u64) {
        self.log_bytes = self.log_bytes.saturating_add(bytes);
    }

    /// The log goes on in another file: what was being made belongs to the one that failed.
    pub(super) fn abandon(&mut self) {
        self.stage = Stage::Idle;
    }

    pub(super) fn is_stepping(&self) -> bool {
        self.stepping
    }

    /// One has begun, and not ended.
    fn is_making(&self) -> bool {
        self.stepping || !matches!(self.stage, Stage::Idle)
    }

    fn is_due(&self, log_bytes_min: u64) -> bool {
        self.asked || self.log_bytes > log_bytes_min.max(self.newest_bytes / 2)
    }

    fn begin(&mut self, walk: SnapshotWalk) -> SnapshotStep {
        let begin = walk.begin();
        (self.stage, self.asked, self.making_bytes) = (Stage::Walking(walk), false, 0);
        self.log_bytes_before = self.log_bytes;
        SnapshotStep::Begin { begin }
    }

    fn published(&mut self) {
        self.stage = Stage::Retiring;
        self.log_bytes -= self.log_bytes_before;
        self.newest_bytes = self.making_bytes;
        self.pause_ns = PAUSE_MIN_NS;
        self.made += 1;
    }

    fn failed(&mut self, error: LogError, now: &Now) {
        self.stage = Stage::Idle;
        self.failures += 1;
        self.attempts += 1;
        self.refused = Some(error);
        // Whoever asked for another one waits for that.
        self.awaited = self.asked;
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

    /// Whether that attempt has ended, or never will: the engine has failed, or is being closed.
    pub(crate) fn has_snapshot_ended(&self, attempt: u64) -> bool {
        self.snapshots.attempts >= attempt || self.failure.is_some() || self.closing != Closing::No
    }

    /// How that attempt has ended.
    pub(crate) fn take_snapshot_end(&mut self, attempt: u64) -> Result<(), CompactError> {
        if self.snapshots.attempts >= attempt {
            return self.snapshots.refused.take().map_or(Ok(()), |error| Err(CompactError::Snapshot(error)));
        }
        match &self.failure {
            Some(failure) => Err(CompactError::Failed(Arc::clone(failure))),
            None => Err(CompactError::Closed),
        }
    }

    pub(super) fn offers_snapshot(&self, now: &Now) -> bool {
        let snapshots = &self.snapshots;
        let free = !snapshots.stepping && now.elapsed_ns >= snapshots.not_before_ns;
        free && self.closing == Closing::No
            && match snapshots.stage {
                Stage::Idle => snapshots.is_due(self.options.snapshot_log_bytes),
                Stage::Sealed(end) => self.durable >= end || is_planted(Bug::SnapshotAhead),
                Stage::Walking(_) | Stage::Sealing(_) | Stage::Retiring => true,
            }
    }

    pub(super) fn take_snapshot(&mut self, now: &Now) -> Option<Job> {
        if !self.offers_snapshot(now) {
            return None;
        }
        self.snapshots.stepping = true;
        let step = match std::mem::replace(&mut self.snapshots.stage, Stage::Idle) {
            Stage::Idle => self.snapshots.begin(SnapshotWalk::new(&self.state)),
            Stage::Walking(walk) => self.next_section(walk),
            Stage::Sealing(end) => {
                self.snapshots.stage = Stage::Sealing(end);
                SnapshotStep::Seal { end }
            }
            Stage::Sealed(end) => {
                self.snapshots.stage = Stage::Sealed(end);
                SnapshotStep::Publish { durable: self.durable }
            }
            Stage::Retiring => SnapshotStep::Retire,
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
                Stage::Sealing(end)
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
                if !snapshots.awaited {
                    let takes_ns = bytes.saturating_mul(1_000_000_000) / BYTES_A_SECOND;
                    snapshots.not_before_ns = now.elapsed_ns.saturating_add(takes_ns);
                }
            }
            SnapshotStep::Seal { end } => snapshots.stage = Stage::Sealed(end),
            SnapshotStep::Publish { .. } => snapshots.published(),
            SnapshotStep::Retire => {
                (snapshots.stage, snapshots.refused) = (Stage::Idle, None);
                snapshots.attempts += 1;
                snapshots.awaited = snapshots.asked;
            }
        }
    }

    /// A step comes due.
    pub(super) fn snapshot_looks_again_at_ns(&self) -> Option<u64> {
        let snapshots = &self.snapshots;
        let is_waiting = !snapshots.stepping
            && match snapshots.stage {
                Stage::Idle => snapshots.is_due(self.options.snapshot_log_bytes),
                Stage::Sealed(end) => self.durable >= end,
                Stage::Walking(_) | Stage::Sealing(_) | Stage::Retiring => true,
            };
        (is_waiting && self.closing == Closing::No).then_some(snapshots.not_before_ns)
    }
}
