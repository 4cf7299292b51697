//! The sans-IO heart: commands, time and finished jobs go in; records, jobs and releases come out.
//!
//! The machine does no IO, reads no clock, runs no user code and never waits. Its methods take `&mut self` and `now`; a
//! hold of its lock is bounded by [`ITEMS_A_TURN`] and [`RELEASES_A_HOLD`], a batch by its own limit (`OPERATIONS_MAX`).
//!
//! # The life of a record, in one hold
//!
//! room is reserved, or the call is refused as `NoRoom` → `decide` gives a record or a refusal → LSN → `apply` → encoded
//! into the open batch. Nothing after the reservation can fail. `apply` takes rights at once (a cancel stops a delivery)
//! and only says what it gives; the machine queues that as a *release*, which goes when its record has been written, or
//! is durable. So an undurable record can hold things back, and nothing is seen because of it.
//!
//! # Positions
//!
//! applied ≥ written ≥ durable. Applied: has an LSN and is in memory. Written: in the page cache, survives the death of
//! the process. Durable: a sync begun after that has returned.
//!
//! # Invariants (asserted by [`Machine::check`])
//!
//! 1. applied ≥ written ≥ durable.
//! 2. No timer is forgotten: one that waits is in a wheel, or held, or its arming is a pending release, or it is queued to
//!    be handed out (as ready, missed or suspect).
//! 3. A one-shot in flight is in none of these but, as a void hint, the queue.

mod buffers;
mod commands;
mod delivery;
mod failure;
mod jobs;
mod queries;
mod queue;
mod ready;
mod releases;
mod slot_set;
mod snapshots;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use horolog_recovery::Missed;
use horolog_state::{
    ClockReading, DueTime, Effect, Epoch, FailCause, Limits, Lsn, Now, Record, State, Tick, TickLen,
    Timeline, TimerId, Token,
};
use horolog_wheel::{Lane, Wheel};

pub(crate) use buffers::{Batch, NoRoom, Room};
pub(crate) use commands::{Accepted, Operation, Refused};
pub use commands::{Applied, BatchRefusal};
pub use delivery::MissedSlots;
pub(crate) use delivery::{Begun, Turn};
pub use failure::Failure;
pub(crate) use failure::HealRefused;
pub(crate) use jobs::{Job, JobError, Outcome};
pub(crate) use releases::Level;
pub(crate) use snapshots::{Kept, SnapshotStep};

use buffers::Buffers;
use ready::Ready;
use releases::{Given, Release, Releases};
use slot_set::SlotSet;

use crate::timer::Durability;

/// Wheel items touched, and deliveries begun, in one hold of the lock at most.
pub(crate) const ITEMS_A_TURN: u32 = 256;

/// Releases granted in one hold of the lock at most.
pub(crate) const RELEASES_A_HOLD: usize = 1_024;

/// A record of the engine's own making is synced at latest this long after it was applied.
const OWN_SYNC_WITHIN_NS: u64 = 1_000_000_000;

/// What a machine is made of besides its state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MachineOptions {
    pub(crate) limits: Limits,
    pub(crate) tick_len: TickLen,
    pub(crate) due_capacity: usize,
    pub(crate) buffer_bytes_max: usize,
    /// Wheel items, held timers and deliveries in one turn at most, each: [`ITEMS_A_TURN`] but in tests.
    pub(crate) items_a_turn: u32,
    /// A snapshot is begun when the log behind the last one has grown by more than this, and by half of what one takes.
    pub(crate) snapshot_log_bytes: u64,
}

/// What an opening is: the facts of its `Epoch` record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    pub(crate) epoch: u64,
    pub(crate) generation_floor: u32,
    pub(crate) reading: ClockReading,
    /// What it has found of snapshots and of the log.
    pub(crate) kept: Kept,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Machine {
    state: State,
    options: MachineOptions,
    wheels: [Wheel; 2],
    /// Civil timers that are due before the civil wheel's time but after the present: the wall clock was set back.
    held: BTreeSet<(Tick, TimerId)>,
    /// Slots whose arming waits for its record: a hint of an earlier due time must not deliver them before that.
    arming: SlotSet,
    ready: Ready,
    suspects: VecDeque<TimerId>,
    suspect_in_flight: Option<TimerId>,
    buffers: Buffers,
    releases: Releases,
    written: Lsn,
    durable: Lsn,
    log: jobs::LogTurns,
    outgoing: Vec<Begun>,
    /// Occurrences given to `outgoing` and not yet sent; the shell counts them down.
    in_transit: usize,
    timer: delivery::TimerPlan,
    failure: Option<Arc<Failure>>,
    healing: failure::Healing,
    snapshots: snapshots::Snapshots,
    /// Failures of dropped occurrences for which there was no room.
    dropped: Vec<(Token, FailCause)>,
    closing: Closing,
}

/// How far a shutdown has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    No,
    /// Nothing new is taken or begun.
    Intake,
    /// Outcomes are refused too.
    All,
}

impl Machine {
    /// Takes over a replayed state: begins the epoch, then puts every timer where it belongs. The caller has the epoch
    /// made durable before the first delivery.
    pub(crate) fn open(state: State, options: MachineOptions, opening: Opening, now: &Now) -> Self {
        let applied = state.applied();
        let mut machine = Self {
            state,
            options,
            wheels: [Wheel::new(Lane::First, now.civil), Wheel::new(Lane::Second, now.elapsed)],
            held: BTreeSet::new(),
            arming: SlotSet::default(),
            ready: Ready::default(),
            suspects: VecDeque::new(),
            suspect_in_flight: None,
            buffers: Buffers::new(options.buffer_bytes_max),
            releases: Releases::default(),
            written: applied,
            durable: applied,
            log: jobs::LogTurns::new(applied, now),
            outgoing: Vec::new(),
            in_transit: 0,
            timer: delivery::TimerPlan::new(now),
            failure: None,
            healing: failure::Healing::default(),
            snapshots: snapshots::Snapshots::new(opening.kept),
            dropped: Vec::new(),
            closing: Closing::No,
        };
        let epoch = Epoch {
            epoch: opening.epoch,
            tick_len: options.tick_len,
            generation_floor: opening.generation_floor,
            reading: opening.reading,
        };
        machine.append(&Record::Epoch(epoch), Durability::Synced, now);
        machine.place_all(now);
        machine
    }

    /// Missed timers go to the backlog, suspects to their own queue, all others into the wheels.
    fn place_all(&mut self, now: &Now) {
        let [civil, elapsed] = &mut self.wheels;
        let Missed { backlog, suspects } = horolog_recovery::place(&mut self.state, civil, elapsed, now);
        self.ready = Ready::new(backlog);
        self.suspects = suspects.into();
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn failure(&self) -> Option<&Arc<Failure>> {
        self.failure.as_ref()
    }

    pub(crate) fn tick_len(&self) -> TickLen {
        self.options.tick_len
    }

    /// Applies a record for which room was found, encodes it, and queues what it gives.
    fn append(&mut self, record: &Record<'_>, durability: Durability, now: &Now) -> Lsn {
        if let Some(id) = record.disarms() {
            self.disarm(id);
        }
        let lsn = self.state.applied().next();
        match self.state.apply(lsn, record) {
            Ok(effect) => {
                if self.failure.is_none() {
                    self.buffers.push(lsn, record);
                    self.log.note(lsn, durability, now);
                } else {
                    self.keep_for_healing(lsn, record);
                }
                self.queue(lsn, record, effect, durability);
            }
            // `decide` has looked at this very state, so this is a defect of the engine: it stops writing.
            Err(error) => self.fail(Failure::Rules(error)),
        }
        lsn
    }

    /// Whether a record finds room on its way to the medium; after a failure it does not go there.
    fn room(&self, bytes: usize, room: Room) -> Result<(), NoRoom> {
        if self.failure.is_some() {
            return Ok(());
        }
        self.log.disk_room(room)?;
        self.buffers.room(bytes, room)
    }

    fn queue(&mut self, lsn: Lsn, record: &Record<'_>, effect: Effect, durability: Durability) {
        let Some(id) = record.timer() else { return };
        let promised = match durability {
            Durability::Synced => Level::Durable,
            Durability::Written { .. } => Level::Written,
        };
        if effect.hand_out {
            self.release_later(Level::Written, Release { lsn, id, given: Given::HandOut });
        }
        if effect.arm.is_some() {
            self.arming.insert(id.slot());
            self.release_later(promised, Release { lsn, id, given: Given::Arm });
        }
        if effect.free {
            self.releases.push(Level::Durable, Release { lsn, id, given: Given::Free });
        }
    }

    fn release_later(&mut self, level: Level, release: Release) {
        if level == Level::Written {
            self.log.wants_written(release.lsn);
        }
        self.releases.push(level, release);
    }

    /// Grants releases whose position has come, [`RELEASES_A_HOLD`] at most; a hand-out, which copies a payload, counts
    /// eight times. Says whether more are waiting.
    fn grant_releases(&mut self, now: &Now) -> bool {
        let mut left = RELEASES_A_HOLD;
        while left > 0 {
            let written = self.effective_written();
            let Some(release) = self.releases.pop(written, self.durable) else { return false };
            match release.given {
                Given::Arm => self.grant_arm(release, now),
                Given::HandOut => self.hand_out(release.id, now),
                Given::Free => self.state.free(release.id),
            }
            left = left.saturating_sub(if release.given == Given::HandOut { 8 } else { 1 });
        }
        self.releases.any(self.effective_written(), self.durable)
    }

    /// After a failure nothing more is written, and armed timers go on all the same: what they need counts as written.
    fn effective_written(&self) -> Lsn {
        if self.failure.is_some() { self.state.applied() } else { self.written }
    }

    fn grant_arm(&mut self, release: Release, now: &Now) {
        if !self.state.arming_stands(release.id, release.lsn) {
            return;
        }
        self.arming.remove(release.id.slot());
        if let Some(timer) = self.state.view(release.id) {
            self.arm(release.id, timer.due, now.civil);
        }
    }

    /// Puts a timer into its wheel. A civil due time that the wheel has passed and the present has not is held: the wall
    /// clock was set back, and a wheel's time only goes forward.
    fn arm(&mut self, id: TimerId, due: DueTime, present_civil: Tick) {
        let Some(wheel) = self.wheels.get_mut(lane_index(due.timeline)) else { return };
        let set_back = due.timeline == Timeline::Civil && due.tick > present_civil && due.tick <= wheel.now();
        if set_back {
            self.held.insert((due.tick, id));
        } else if !wheel.insert(self.state.slab_mut(), id, due.tick) {
            self.fail(Failure::Defect { what: "a timer was armed that is armed already, or has ended" });
        }
        self.timer.armed(due);
    }

    /// Takes a timer out of wherever it waits.
    fn disarm(&mut self, id: TimerId) {
        let Some(entry) = self.state.slab().get(id) else { return };
        match entry.armed {
            Some(lane) => {
                let index = usize::from(lane == Lane::Second);
                if let Some(wheel) = self.wheels.get_mut(index) {
                    wheel.cancel(self.state.slab_mut(), id);
                }
            }
            None => {
                self.held.remove(&(entry.deadline, id));
            }
        }
    }

    /// Asserts the invariants of the module, and those of the state and the wheels.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn check(&self) -> Result<(), String> {
        self.state.check()?;
        self.buffers.check()?;
        for wheel in &self.wheels {
            wheel.check(self.state.slab()).map_err(|violation| violation.to_string())?;
        }
        let applied = self.state.applied();
        if !(applied >= self.written && self.written >= self.durable) {
            return Err(format!("I1: applied {applied}, written {}, durable {}", self.written, self.durable));
        }
        self.check_places()
    }

    #[cfg(any(test, feature = "simulation"))]
    fn check_places(&self) -> Result<(), String> {
        use horolog_state::Phase;
        for timer in self.state.timers() {
            let id = timer.id;
            let in_wheel = self.state.slab().get(id).is_some_and(|entry| entry.armed.is_some());
            let to_come =
                in_wheel || self.held.iter().any(|&(_, held)| held == id) || self.arming.contains(id.slot());
            let queued = self.ready.holds(id) || self.suspects.contains(&id);
            if timer.phase == Phase::Waiting && !to_come && !queued {
                return Err(format!("I2: {id} waits and nothing will wake it"));
            }
            if timer.phase == Phase::Leased && timer.recurrence.is_none() && to_come {
                return Err(format!("I3: {id} is in flight and will fire again"));
            }
        }
        Ok(())
    }
}

/// The civil timeline has the first wheel, the elapsed one the second.
fn lane_index(timeline: Timeline) -> usize {
    match timeline {
        Timeline::Civil => 0,
        Timeline::Elapsed => 1,
    }
}

#[cfg(test)]
mod tests;
