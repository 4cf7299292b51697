//! Why an engine stopped writing, and how it begins again.

use std::sync::Arc;
use std::time::Duration;

use horolog_state::{ApplyError, Lsn, MESSAGE_BYTES_MAX, Now, Record, codec};
use horolog_wal::LogError;

use super::jobs::JobResult;
use super::{Batch, Closing, Job, Machine, OWN_SYNC_WITHIN_NS, Room};
use crate::timer::Durability;

/// The first thing that went wrong. Every later call names it as its source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// A write or a sync failed; what was in flight may or may not be on the medium.
    #[error("the log could not be written")]
    Log(#[source] LogError),
    /// A thread of the engine panicked.
    #[error("a thread of the engine panicked: {thread}")]
    Panicked {
        /// Which one.
        thread: &'static str,
    },
    /// The engine's own books do not agree: a defect of the engine.
    #[error("the engine has a defect: {what}")]
    Defect {
        /// What does not agree.
        what: &'static str,
    },
    /// A record did not fit the state it was decided on: a defect of the engine.
    #[error("the engine's rules contradict themselves")]
    Rules(#[source] ApplyError),
}

/// What healing needs to know after a failure.
#[derive(Debug, Default)]
pub(super) struct Healing {
    /// The first failure since the last time the log was healed, or before it.
    last: Option<Arc<Failure>>,
    /// A record found no room in the buffer: what is in memory cannot be written any more.
    records_lost: bool,
    running: bool,
    /// Whoever had a job panicked, and will not report it.
    job_lost: bool,
    refused: Option<LogError>,
}

/// Why a log is not healed now.
#[derive(Clone, Debug)]
pub(crate) enum HealRefused {
    /// It has not failed.
    NotFailed,
    /// A write, a sync or another attempt is still running.
    InFlight,
    /// The engine is being shut down.
    Closed,
    /// What failed was not the log, or too much has happened since.
    Beyond(Arc<Failure>),
}

impl Machine {
    /// Stops all log jobs. Only the first failure is kept. Queries go on; so do armed timers, whose attempts are counted in
    /// memory.
    pub(crate) fn fail(&mut self, failure: Failure) {
        if self.failure.is_none() {
            let failure = Arc::new(failure);
            self.healing.last = Some(Arc::clone(&failure));
            self.failure = Some(failure);
        }
    }

    /// What failed last, healed or not: for whoever was told of it.
    pub(crate) fn last_failure(&self) -> Option<&Arc<Failure>> {
        self.healing.last.as_ref()
    }

    /// After a failure nothing is written any more: what goes on goes on in memory. As long as there is room it is kept, so
    /// that the log can be healed.
    pub(super) fn keep_for_healing(&mut self, lsn: Lsn, record: &Record<'_>) {
        let bytes_max = codec::RECORD_OVERHEAD_BYTES_MAX + MESSAGE_BYTES_MAX;
        let room = self.buffers.room(bytes_max, Room::Reserved);
        if room.is_ok() && !self.healing.records_lost {
            self.buffers.push(lsn, record);
        } else {
            self.healing.records_lost = true;
        }
    }

    /// The job that heals the log: all that is not durable, to be written to another file.
    pub(crate) fn begin_heal(&mut self) -> Result<Job, HealRefused> {
        let Some(failure) = &self.failure else { return Err(HealRefused::NotFailed) };
        if self.closing != Closing::No {
            return Err(HealRefused::Closed);
        }
        if self.healing.records_lost || !matches!(**failure, Failure::Log(_)) {
            return Err(HealRefused::Beyond(Arc::clone(failure)));
        }
        if self.has_work_out() {
            return Err(HealRefused::InFlight);
        }
        self.healing.running = true;
        Ok(Job::Heal { batches: self.buffers.take_all(), durable: self.durable })
    }

    /// Whether somebody is at work on the files of the log, and will say so when it is done.
    pub(crate) fn has_work_out(&self) -> bool {
        !self.healing.job_lost
            && (self.healing.running || self.log.has_job_out() || self.snapshots.is_stepping())
    }

    /// The end of the attempt that this caller made.
    pub(crate) fn take_healed(&mut self) -> Result<(), LogError> {
        self.healing.refused.take().map_or(Ok(()), Err)
    }

    /// A thread panicked; was it the one that healed, then the records went with it.
    pub(super) fn healing_panicked(&mut self) {
        self.healing.records_lost |= self.healing.running;
        (self.healing.running, self.healing.job_lost) = (false, true);
    }

    /// Timers went on while the log was healed: their records are written and synced like any others.
    fn note_what_came_meanwhile(&mut self, now: &Now) {
        if self.buffers.has_unwritten() {
            let applied = self.state.applied();
            let sync_within = Duration::from_nanos(OWN_SYNC_WITHIN_NS);
            self.log.note(applied, Durability::Written { sync_within }, now);
            self.log.wants_written(applied);
        }
    }

    pub(super) fn report_heal(&mut self, batches: Vec<Batch>, durable: Lsn, result: JobResult, now: &Now) {
        self.healing.running = false;
        match result {
            Ok(_) => {
                let upto = batches.last().map_or(durable, Batch::last);
                self.buffers.healed(batches);
                (self.written, self.durable) = (upto, upto);
                self.failure = None;
                self.log.healed(upto, now);
                self.snapshots.abandon();
                self.note_what_came_meanwhile(now);
                self.timer.look_again();
            }
            Err(failed) => {
                self.buffers.put_back(batches);
                self.healing.refused = Some(failed.error);
            }
        }
    }
}
