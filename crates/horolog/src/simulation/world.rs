//! A machine, its disk, its clocks and everybody around it.

use std::collections::BTreeMap;
use std::sync::Arc;

use horolog_sim::{Pattern, Rng, SimClock, SimDisk};
use horolog_state::{Limits, Lsn, Now};
use horolog_storage::LockGuard;
use horolog_wal::LogOptions;

use super::faults::Armed;
use super::model::{Model, latest};
use super::print::Print;
use super::step::Step;
use super::verdict::{Checked, Counts, Invariant, Violation};
use super::{Node, TICK_LEN};
use crate::clock::ClockTimes;
use crate::machine::{Begun, Failure, Job, MachineOptions, Outcome};
use crate::shell::{Heart, Positions};

/// How large everything is.
#[derive(Clone, Debug)]
pub(crate) struct Sizes {
    pub(crate) log: LogOptions,
    pub(crate) machine: MachineOptions,
    pub(crate) seed: u64,
}

impl Sizes {
    /// Every number has a smallest sensible value, at 0, and a largest.
    fn of(step: Step) -> Self {
        let (seed, segment, growth, buffer, due, turn, timers) = match step {
            Step::World { seed, segment, growth, buffer, due, turn, timers, .. } => {
                (seed, segment, growth, buffer, due, turn, timers)
            }
            _ => (0, 0, 0, 0, 0, 0, 0),
        };
        let segment_bytes_min = (32 << 10) << segment.min(2);
        let limits = Limits {
            timers_max: 4 + timers.min(200) as usize,
            payload_bytes_max: 5_000,
            memory_bytes_max: usize::MAX,
        };
        Self {
            log: LogOptions {
                segment_bytes_min,
                segment_bytes_max: segment_bytes_min << growth.min(2),
                batch_bytes_max: 1 << 20,
                ..LogOptions::default()
            },
            machine: MachineOptions {
                limits,
                tick_len: TICK_LEN,
                due_capacity: 1 + due.min(30) as usize,
                buffer_bytes_max: (16 << 10) + (buffer.min(20) as usize) * (10 << 10),
                items_a_turn: 1 + turn.min(30),
                snapshot_log_bytes: SNAPSHOT_LOG_BYTES[seed as usize % SNAPSHOT_LOG_BYTES.len()],
            },
            seed: seed.into(),
        }
    }
}

/// No snapshots, one every few batches, one every few segments.
const SNAPSHOT_LOG_BYTES: [u64; 3] = [u64::MAX, 12 << 10, 60 << 10];

/// The machine's own invariants are looked at once in so many steps.
const CHECK_EVERY: u32 = 24;

/// See the module.
pub(crate) struct World {
    pub(crate) sizes: Sizes,
    pub(crate) disk: Arc<SimDisk>,
    /// Nobody else opens the directory meanwhile.
    pub(crate) lock: Option<Box<dyn LockGuard>>,
    pub(crate) node: Option<Node>,
    pub(crate) clock: SimClock,
    pub(crate) taken: Vec<Job>,
    pub(crate) done: Vec<Outcome>,
    /// Begun and not received.
    pub(crate) channel: Vec<Begun>,
    pub(crate) held: Vec<Begun>,
    pub(crate) model: Model,
    /// Of the states after each command, by LSN.
    pub(crate) prints: BTreeMap<u64, Print>,
    pub(crate) armed: Armed,
    /// The wall clock at its highest: a timer may have become ready before the clock was set back.
    pub(crate) civil_ns_max: u64,
    pub(crate) serial: u64,
    pub(crate) counts: Counts,
    pub(crate) hash: Print,
    pub(crate) step: usize,
    settled: u32,
    /// How far the records of this life were said to have come.
    pub(crate) told: Positions,
    /// Directories that were given up.
    given_up: u64,
    /// Earlier images of this directory.
    pub(crate) past: Vec<Arc<SimDisk>>,
    /// Damage has left files behind that nobody removes.
    pub(crate) strange: bool,
    /// The disk of this directory has lied.
    pub(crate) scarred: bool,
    /// The epoch of the last opening that came to its end.
    pub(crate) shown_epoch: u64,
}

impl World {
    pub(crate) fn new(first: Step) -> Checked<Self> {
        let sizes = Sizes::of(first);
        let disk = Arc::new(new_disk(sizes.seed));
        let mut clock = SimClock::new(1_000_000_000_000_000);
        clock.pass(500_000_000_000);
        let mut world = Self {
            sizes,
            disk,
            lock: None,
            node: None,
            clock,
            taken: Vec::new(),
            done: Vec::new(),
            channel: Vec::new(),
            held: Vec::new(),
            model: Model::default(),
            prints: BTreeMap::new(),
            armed: Armed::default(),
            civil_ns_max: clock.wall_ns(),
            serial: 0,
            counts: Counts { runs: 1, ..Counts::default() },
            hash: Print::EMPTY,
            step: 0,
            settled: 0,
            told: Positions::default(),
            given_up: 0,
            past: Vec::new(),
            strange: false,
            scarred: false,
            shown_epoch: 0,
        };
        if let Step::World { cut: cut @ 1.., roll, .. } = first {
            world.cut_first_opening(cut - 1, roll)?;
        }
        world.open_at_last()?;
        Ok(world)
    }

    /// A directory is given up: it was damaged and is refused for good. Another one is begun on another disk.
    pub(crate) fn begin_anew(&mut self) -> Checked {
        self.given_up += 1;
        self.count_effects();
        self.disk = Arc::new(new_disk(self.sizes.seed ^ self.given_up << 32));
        (self.model, self.armed) = (Model::default(), Armed::default());
        self.prints.clear();
        self.past.clear();
        (self.strange, self.scarred, self.shown_epoch) = (false, false, 0);
        self.open_at_last()
    }

    pub(crate) fn times(&self) -> ClockTimes {
        ClockTimes {
            wall_ns: self.clock.wall_ns(),
            boottime_ns: self.clock.boottime_ns(),
            boot_id: self.clock.boot_id(),
        }
    }

    /// What a machine that runs sees of the clocks; before the first opening, what they say themselves.
    pub(crate) fn now(&self) -> Now {
        let times = self.times();
        let ours = |node: &Node| node.timelines.now(times);
        self.node.as_ref().map_or_else(|| Now::new(TICK_LEN, times.wall_ns, times.boottime_ns), ours)
    }

    pub(crate) fn latest(&self) -> Now {
        latest(self.civil_ns_max, &self.now())
    }

    pub(crate) fn positions(&self) -> Positions {
        self.node.as_ref().map_or_else(Positions::default, |node| node.machine.positions())
    }

    pub(crate) fn applied(&self) -> Lsn {
        self.node.as_ref().map_or(Lsn::ZERO, |node| node.machine.state().applied())
    }

    pub(crate) fn failure(&self) -> Option<&Failure> {
        self.node.as_ref().and_then(|node| node.machine.failure()).map(|failure| &**failure)
    }

    pub(crate) fn violation(&self, invariant: Invariant, what: impl Into<String>) -> Box<Violation> {
        Box::new(Violation { invariant, what: what.into(), step: self.step })
    }

    /// Counts a check, and finds a violation unless it holds.
    pub(crate) fn must(
        &mut self,
        holds: bool,
        invariant: Invariant,
        what: impl FnOnce() -> String,
    ) -> Checked {
        self.counts.check(invariant);
        if holds { Ok(()) } else { Err(self.violation(invariant, what())) }
    }

    /// What a check of the model found.
    pub(crate) fn agree(&mut self, invariant: Invariant, found: Result<(), (Invariant, String)>) -> Checked {
        self.counts.check(invariant);
        found.map_err(|(invariant, what)| self.violation(invariant, what))
    }

    /// What the shell does when it lets the lock go, and everything that has to hold at all times.
    pub(crate) fn settle(&mut self) -> Checked {
        let now = self.now();
        let Some(node) = &mut self.node else { return Ok(()) };
        while Heart::grant(&mut node.machine, now) {}
        let mut outgoing = Vec::new();
        Heart::take_outgoing(&mut node.machine, &mut outgoing);
        drop(Heart::take_discarded(&mut node.machine));
        // Walking the wheels costs more than all the rest.
        self.settled += 1;
        let checked = self.settled.is_multiple_of(CHECK_EVERY).then(|| node.machine.check());
        let state = node.machine.state();
        self.prints.entry(state.applied().0).or_insert_with(|| Print::of(state));
        for begun in &outgoing {
            self.hash.add(begun.token.id.raw());
            self.hash.add(begun.token.occurrence);
            self.hash.add(begun.token.number.into());
        }
        self.channel.extend(outgoing);
        let positions = self.positions();
        let told = std::mem::replace(&mut self.told, positions);
        let falls = positions.written < told.written || positions.durable < told.durable;
        self.must(!falls, Invariant::I1, || format!("from {told:?} to {positions:?}"))?;
        for number in [positions.written, positions.durable, self.applied().0, positions.failed.into()] {
            self.hash.add(number);
        }
        if let Some(checked) = checked {
            self.must(checked.is_ok(), Invariant::Machine, || format!("{checked:?}"))?;
        }
        let (waiting, capacity) = (self.channel.len(), self.sizes.machine.due_capacity);
        self.must(waiting <= capacity, Invariant::Machine, || {
            format!("{waiting} were begun and consumers have room for {capacity}")
        })?;
        self.check_failure()
    }

    /// A machine fails for an error that it met, and for no defect of its own.
    fn check_failure(&mut self) -> Checked {
        let told = match self.failure() {
            None => None,
            Some(Failure::Log(_)) if self.armed.may_fail => None,
            Some(failure) => Some(format!("it failed without a cause: {failure:?}")),
        };
        self.must(told.is_none(), Invariant::Machine, || told.unwrap_or_default())
    }
}

/// A disk on which I6 is watched.
fn new_disk(seed: u64) -> SimDisk {
    let disk = SimDisk::new(Rng::new(seed).next());
    disk.watch_rewrites(Pattern::begins("seg-"));
    disk
}
