//! A process under observation: the real machine over the simulated disk, one job after the other.
//!
//! 1. The floors of a moment are what the machine had been told by then. With the last mutation of a job its outcome is
//!    known, so that moment has the floors of afterwards.
//! 2. After every command and every job the state goes into the ledger, and a machine that failed ends the run.

use std::sync::Arc;
use std::time::Duration;

use horolog_sim::{SimDisk, Traced};
use horolog_state::{Limits, Now};
use horolog_storage::{LockGuard, Storage};
use horolog_wal::LogOptions;

use super::ledger::{Breach, Ledger, fingerprint};
use super::moment::{
    Moment, Positions, Step, is_mutation, steps_of_a_spare, steps_of_a_write, steps_of_an_opening,
};
use crate::clock::ClockTimes;
use crate::machine::{Begun, Job, Level, MachineOptions, SnapshotStep};
use crate::shell::{Hand, Heart};
use crate::simulation::{Node, NotOpened, TICK_LEN};
use crate::timer::Durability;

const MS: u64 = 1_000_000;

/// The smallest segments that there are: eight blocks.
pub(super) fn log_options() -> LogOptions {
    LogOptions { segment_bytes_min: 32 << 10, segment_bytes_max: 32 << 10, ..LogOptions::default() }
}

fn machine_options() -> MachineOptions {
    MachineOptions {
        limits: Limits { timers_max: 64, payload_bytes_max: 8_000, memory_bytes_max: usize::MAX },
        tick_len: TICK_LEN,
        due_capacity: 1,
        buffer_bytes_max: 1 << 20,
        items_a_turn: 4,
        snapshot_log_bytes: u64::MAX,
    }
}

/// What outlives a process: the disk, what was done so far, and the time.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) disk: Arc<SimDisk>,
    pub(super) ledger: Ledger,
    pub(super) moments: Vec<Moment>,
    pub(super) serial: u64,
    pub(super) rotations: u32,
    times: ClockTimes,
    is_first: bool,
    positions: Positions,
}

impl Life {
    /// Before anything was written.
    pub(super) fn first(disk: Arc<SimDisk>) -> Self {
        Self { is_first: true, ..Self::after(disk, Ledger::new(), 0) }
    }

    /// After `crashes` crashes, each with its reboot.
    pub(super) fn after(disk: Arc<SimDisk>, ledger: Ledger, crashes: u32) -> Self {
        let wall_ns = (1_000_000 + 10_000 * u64::from(crashes)) * 1_000 * MS;
        let times = ClockTimes { wall_ns, boottime_ns: 500_000 * MS, boot_id: 1 + u128::from(crashes) };
        let positions = Positions::default();
        let (moments, serial, rotations) = (Vec::new(), 1_000 * u64::from(crashes), 0);
        Self { disk, ledger, moments, serial, rotations, times, is_first: false, positions }
    }

    /// Keeps every moment from now on, or none.
    pub(super) fn record(&self, is_on: bool) {
        self.disk.keep_moments(is_on);
        self.disk.trace(is_on);
    }

    /// Takes the moments since the last time. The last of them has the floors of `after`.
    fn harvest(&mut self, before: Positions, after: Positions, steps: impl Fn(&[Traced]) -> Vec<Step>) {
        self.positions = after;
        let taken = self.disk.take_moments();
        if taken.is_empty() {
            return;
        }
        let lines: Vec<_> = self.disk.take_trace().into_iter().filter(is_mutation).collect();
        let last = taken.len().saturating_sub(1);
        let first_life = self.is_first;
        let found = taken.into_iter().zip(steps(&lines)).zip(&lines).enumerate();
        let moments = found.map(|(at, (((_, disk), step), line))| {
            disk.trace(false);
            let promised = if at == last { after } else { before };
            Moment { disk, promised, step, first_life, what: line.to_string() }
        });
        self.moments.extend(moments);
    }
}

/// See the module. Its handles are let go before its lock.
#[derive(Debug)]
pub(super) struct Process {
    node: Node,
    /// A job that was taken and is not done yet: a disk that is slow.
    spare: Option<Job>,
    held: Vec<Begun>,
    _lock: Box<dyn LockGuard>,
    pub(super) life: Life,
}

impl Process {
    /// Opens the directory as the engine does, up to the moment at which `Engine::open` returns. A power cut on the way may
    /// take what is behind `floor`.
    pub(super) fn open(mut life: Life, floor: u64) -> Result<Self, Breach> {
        let lock = life.disk.lock().map_err(|error| Breach::refused("I14", error))?;
        let (node, twin) = Node::open(&life.disk, machine_options(), &log_options(), life.times)?;
        let read = twin.applied().0;
        life.ledger.check(read, fingerprint(&twin))?;
        let known = Positions { written: read, applied: read, ..life.positions };
        let before = Positions { durable: floor, ..known };
        life.harvest(before, Positions { durable: read, ..known }, steps_of_an_opening);
        let mut process = Self { node, spare: None, held: Vec::new(), _lock: lock, life };
        process.settle()?;
        process.write()?;
        process.sync()?;
        process.keep()?;
        Ok(process)
    }

    /// The process is gone; what it wrote is in the page cache.
    pub(super) fn end(self) -> Life {
        let Self { life, .. } = self;
        life
    }

    pub(super) fn machine(&mut self) -> &mut crate::machine::Machine {
        &mut self.node.machine
    }

    pub(super) fn now(&self) -> Now {
        self.node.timelines.now(self.life.times)
    }

    pub(super) fn pass(&mut self, ms: u64) {
        self.life.times.wall_ns += ms * MS;
        self.life.times.boottime_ns += ms * MS;
    }

    /// The occurrence that a consumer holds.
    pub(super) fn held(&self) -> Option<&Begun> {
        self.held.last()
    }

    pub(super) fn let_go(&mut self) {
        self.held.clear();
    }

    pub(super) fn positions(&self) -> Positions {
        let heart = Heart::positions(&self.node.machine);
        let applied = self.node.machine.state().applied().0;
        Positions { durable: heart.durable, written: heart.written, applied, ..self.life.positions }
    }

    /// Notes with which record a delivery or a completion was applied.
    pub(super) fn note(&mut self, note: impl FnOnce(&mut Positions)) {
        note(&mut self.life.positions);
    }

    /// What the shell does when it lets the lock go.
    pub(super) fn settle(&mut self) -> Result<(), Breach> {
        let now = self.now();
        while Heart::grant(&mut self.node.machine, now) {}
        Heart::take_outgoing(&mut self.node.machine, &mut self.held);
        drop(Heart::take_discarded(&mut self.node.machine));
        self.life.ledger.note(self.node.machine.state());
        if Heart::positions(&self.node.machine).failed {
            return Err(Breach::of("run", "the machine failed, and no fault was on order"));
        }
        Ok(())
    }

    /// A turn of the timer thread.
    pub(super) fn advance(&mut self) -> Result<(), Breach> {
        let (now, deliveries) = (self.now(), self.node.machine.state().totals().deliveries);
        let _ = self.node.machine.advance(&now, self.held.len());
        if self.node.machine.state().totals().deliveries > deliveries {
            let applied = self.node.machine.state().applied().0;
            self.note(|positions| positions.delivered = applied);
        }
        self.settle()
    }

    fn take(&mut self, hand: Hand) -> Option<Job> {
        let now = self.now();
        Heart::take_job(&mut self.node.machine, hand, now)
    }

    /// Writes all that is applied, as for somebody who waits for that; says whether the log went on in another segment.
    pub(super) fn write(&mut self) -> Result<bool, Breach> {
        let (mut rotated, applied) = (false, self.positions().applied);
        Heart::awaited(&mut self.node.machine, applied, Level::Written);
        while let Some(job) = self.take(Hand::Write) {
            rotated |= self.perform(job, steps_of_a_write)? > 1;
        }
        Ok(rotated)
    }

    /// Syncs, if a promise asks for it.
    pub(super) fn sync(&mut self) -> Result<(), Breach> {
        match self.take(Hand::Log) {
            Some(job @ Job::Sync { .. }) => self.perform(job, all(Step::Sync)).map(drop),
            other => Err(Breach::of("run", format_args!("a sync was to be on offer, not {other:?}"))),
        }
    }

    /// A sync begins whose term is over. What is written until it is performed overtakes it.
    pub(super) fn begin_sync(&mut self) -> Result<Job, Breach> {
        self.pass(60);
        match self.take(Hand::Log) {
            Some(job @ Job::Sync { .. }) => {
                self.node.journal.begin_sync();
                Ok(job)
            }
            other => Err(Breach::of("run", format_args!("a sync was to be on offer, not {other:?}"))),
        }
    }

    pub(super) fn finish_sync(&mut self, job: Job) -> Result<(), Breach> {
        let step = if self.node.journal.is_overtaken() { Step::OvertakenSync } else { Step::Sync };
        self.perform(job, all(step)).map(drop)
    }

    /// What the keeping thread would do now, but for spares: these are put off.
    pub(super) fn keep(&mut self) -> Result<(), Breach> {
        while let Some(job) = self.take(Hand::Keep) {
            self.keep_job(job)?;
        }
        Ok(())
    }

    fn keep_job(&mut self, job: Job) -> Result<(), Breach> {
        let step = match job {
            Job::Spare => {
                self.spare = Some(job);
                return Ok(());
            }
            Job::Mark { .. } => {
                self.perform(job, all(Step::Mark))?;
                return self.sync();
            }
            Job::Snapshot(SnapshotStep::Retire) => Step::Retire,
            Job::Snapshot(_) => Step::Snapshot,
            _ => Step::Witness,
        };
        self.perform(job, all(step)).map(drop)
    }

    /// Does the next step of a snapshot, and what comes before it; says whether it was that one. `None` if it waits for a sync.
    pub(super) fn snapshot_step(&mut self, is_it: fn(&SnapshotStep) -> bool) -> Result<Option<bool>, Breach> {
        while let Some(job) = self.take(Hand::Keep) {
            let found = if let Job::Snapshot(step) = &job { Some(is_it(step)) } else { None };
            self.keep_job(job)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        if Heart::wants(&self.node.machine, Hand::Log, self.now()) {
            return Ok(None);
        }
        // A disk that has lost a write: it was read back, and there is no snapshot.
        if self.node.machine.stats().snapshot_failures > 0 {
            return Ok(Some(true));
        }
        Err(Breach::of("run", "no step of the snapshot is on offer"))
    }

    /// Prepares the spare that was put off.
    pub(super) fn prepare(&mut self) -> Result<(), Breach> {
        let job = self.spare.take();
        job.map_or(Ok(()), |job| self.perform(job, steps_of_a_spare).map(drop))
    }

    /// Does a job and reports it; says how many operations of the disk it took.
    fn perform(&mut self, job: Job, steps: impl Fn(&[Traced]) -> Vec<Step>) -> Result<u64, Breach> {
        let (before, changes) = (self.positions(), self.life.disk.changes());
        self.node.finish(job, self.now());
        self.settle()?;
        let after = self.positions();
        self.life.harvest(before, after, steps);
        Ok(self.life.disk.changes() - changes)
    }
}

impl From<NotOpened> for Breach {
    fn from(not_opened: NotOpened) -> Self {
        match not_opened {
            NotOpened::Read(error) => Self::refused("I14", error),
            NotOpened::Write(error) => Self::refused("I14", error),
        }
    }
}

fn all(step: Step) -> impl Fn(&[Traced]) -> Vec<Step> {
    move |lines| vec![step; lines.len()]
}

/// Written, and synced only if somebody waits for long.
pub(super) const WRITTEN: Durability = Durability::Written { sync_within: Duration::from_millis(50) };
