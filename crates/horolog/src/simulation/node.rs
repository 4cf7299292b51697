//! A machine with its log and its clocks: what is lost in a crash.

use std::sync::Arc;

use horolog_recovery::{Recovered, RecoveryError, recover};
use horolog_sim::SimDisk;
use horolog_state::{Now, State, TickLen};
use horolog_storage::Storage;
use horolog_wal::{LogError, LogOptions};

use super::slow::SlowJournal;
use crate::clock::{ClockTimes, Timelines};
use crate::journal::{LocalJournal, perform};
use crate::machine::{Job, Kept, Machine, MachineOptions, Opening};
use crate::shell::Heart;

/// A process that has opened a directory.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) machine: Machine,
    pub(crate) journal: SlowJournal,
    pub(crate) timelines: Timelines,
}

/// Why a directory was not opened.
#[derive(Debug)]
pub(crate) enum NotOpened {
    /// For what is in it, or because it could not be read.
    Read(RecoveryError),
    /// It could not be written.
    Write(LogError),
}

impl Node {
    /// Opens the directory as the engine does, but for the lock and the threads. Returns the state as it was read, too.
    ///
    /// The epoch is applied and not written: whoever drives the node does that first.
    pub(crate) fn open(
        disk: &Arc<SimDisk>,
        options: MachineOptions,
        log_options: &LogOptions,
        times: ClockTimes,
    ) -> Result<(Self, State), NotOpened> {
        let read = || recover(&**disk, log_options).map_err(NotOpened::Read);
        let Recovered { state, log, report, .. } = read()?;
        let snapshot = report.snapshot;
        let twin = read()?.state;
        let storage: Arc<dyn Storage> = Arc::clone(disk) as _;
        let opened = horolog_wal::open_writer(storage, &log, log_options, 0).map_err(NotOpened::Write)?;
        let epoch = opened.0.epoch().max(state.epoch() + 1);
        let timelines = if state.epoch() == 0 {
            Timelines::begin(options.tick_len, times)
        } else {
            Timelines::resume(options.tick_len, state.reading(), log.engine_tick, times)
        };
        let now = timelines.now(times);
        let generation_floor = if state.epoch() == 0 { 1_000 } else { 0 };
        let (reading, kept) = (timelines.reading(&now), Kept::of(&log, snapshot));
        let opening = Opening { epoch, generation_floor, reading, kept };
        let machine = Machine::open(state, options, opening, &now);
        let journal = SlowJournal::new(LocalJournal::new(opened, &kept, || 0), Arc::clone(disk));
        Ok((Self { machine, journal, timelines }, twin))
    }

    /// Does a job that the machine offered, and reports it.
    pub(crate) fn finish(&mut self, job: Job, now: Now) {
        let outcome = perform(&self.journal, job);
        Heart::report(&mut self.machine, outcome, now);
    }
}

/// A millisecond a tick, as by default.
pub(crate) const TICK_LEN: TickLen = TickLen::MILLISECOND;
