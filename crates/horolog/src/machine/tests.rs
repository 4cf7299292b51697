//! The machine, driven as a simulator would: one loop is every hand and every caller, and a seed picks what happens next.
//!
//! The log is the real one over a simulated disk that can lose power. What the machine is checked against is a model of a
//! `BTreeMap` and three lists of LSNs, and the fingerprints of its own states: after a crash, recovery has to come out
//! at the fingerprint of exactly one LSN, not below what was durable (or, for a killed process, written).

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;

use horolog_recovery::recover;
use horolog_sim::{Errno, Rng, SimDisk};
use horolog_state::{
    Anchor, CancelOutcome, IfExists, Misfire, Payload, PayloadView, Phase, Request, Retry, ScheduleRefusal,
    When,
};
use horolog_storage::Op;
use horolog_wal::{BatchBuf, LogOptions};

use super::buffers::BATCH_CAPACITY;
use super::commands::Operation;
use super::*;
use crate::clock::{ClockTimes, Timelines};
use crate::journal::{Journal, LocalJournal, perform};
use crate::shell::{Hand, Heart};
use crate::simulation::{Node, TICK_LEN as LEN};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

/// What the model knows of a one-shot, each fact with the record it came by.
#[derive(Clone, Debug)]
struct Expected {
    put: Lsn,
    payload: Payload,
    dues: Vec<(Lsn, DueTime)>,
    cancelled: Option<Lsn>,
    completed: Option<Lsn>,
    /// Deliveries received, the last of them by number.
    received: u32,
    /// It waits for a retry since this record: its due time is the engine's affair.
    failed: Option<Lsn>,
}

/// What can be seen of a state.
type Fingerprint = Vec<(TimerId, Phase, DueTime, u32, u32, bool, Vec<u8>)>;

fn fingerprint(state: &State) -> Fingerprint {
    let seen = |t: horolog_state::TimerView<'_>| {
        (t.id, t.phase, t.due, t.deliveries, t.failures, t.doomed, t.payload.to_vec())
    };
    state.timers().map(seen).collect()
}

/// A machine, its disk, its clocks and everybody around it.
struct World {
    rng: Rng,
    storage: Arc<SimDisk>,
    journal: Arc<LocalJournal>,
    machine: Machine,
    timelines: Timelines,
    times: ClockTimes,
    taken: Vec<Job>,
    done: Vec<Outcome>,
    /// Begun and not received.
    channel: Vec<Begun>,
    held: Vec<Begun>,
    model: BTreeMap<TimerId, Expected>,
    fingerprints: BTreeMap<u64, Fingerprint>,
    crashes: u32,
    heals: u32,
    serial: u64,
    /// The wall clock at its highest: a timer may have become ready before the clock was set back.
    civil_ns_max: u64,
    /// The last crash took deliveries along that consumers had seen.
    forgot_deliveries: bool,
}

fn options() -> MachineOptions {
    MachineOptions {
        limits: Limits { timers_max: 64, payload_bytes_max: 5_000, memory_bytes_max: usize::MAX },
        tick_len: LEN,
        due_capacity: 3,
        buffer_bytes_max: 128 << 10,
        items_a_turn: 3,
    }
}

fn open(storage: &Arc<SimDisk>, times: ClockTimes) -> (Machine, Arc<LocalJournal>, Timelines, State) {
    let log_options = LogOptions { batch_bytes_max: 1 << 20, ..LogOptions::small() };
    let (Node { machine, journal, timelines }, twin) =
        Node::open(storage, options(), &log_options, times).expect("a crash never refuses to open");
    (machine, journal, timelines, twin)
}

impl World {
    fn new(seed: u64) -> Self {
        let storage = Arc::new(SimDisk::new(seed));
        let times = ClockTimes { wall_ns: 1_000_000 * SECOND, boottime_ns: 500 * SECOND, boot_id: 1 };
        let (machine, journal, timelines, _) = open(&storage, times);
        Self {
            rng: Rng::new(seed),
            storage,
            journal,
            machine,
            timelines,
            times,
            taken: Vec::new(),
            done: Vec::new(),
            channel: Vec::new(),
            held: Vec::new(),
            model: BTreeMap::new(),
            fingerprints: BTreeMap::new(),
            crashes: 0,
            heals: 0,
            serial: 0,
            civil_ns_max: times.wall_ns,
            forgot_deliveries: false,
        }
    }

    fn now(&self) -> Now {
        self.timelines.now(self.times)
    }

    /// One event, then everything that has to hold at all times.
    fn step(&mut self) {
        match self.rng.below(24) {
            0..=4 => self.schedule(),
            5 => self.schedule_keyed(),
            6..=7 => self.cancel(),
            8 => self.reschedule(),
            9 => self.batch(),
            10..=12 => self.take_job(),
            13..=15 => self.perform_job(),
            16..=17 => self.report_job(),
            18..=19 => self.turn(),
            20..=21 => self.consume(),
            22 if self.machine.failure().is_some() => self.heal(),
            22 => self.move_clock(),
            _ if self.rng.one_in(6) => self.crash(),
            _ => self.consume(),
        }
        self.settle();
    }

    /// What the shell does when it lets the lock go.
    fn settle(&mut self) {
        let now = self.now();
        while Heart::grant(&mut self.machine, now) {}
        let mut outgoing = Vec::new();
        Heart::take_outgoing(&mut self.machine, &mut outgoing);
        self.channel.extend(outgoing);
        assert!(self.channel.len() <= options().due_capacity, "more was begun than consumers have room for");
        self.machine.check().expect("the invariants hold");
        let failure = self.machine.failure().map(|failure| &**failure);
        assert!(!matches!(failure, Some(Failure::Defect { .. } | Failure::Rules(_))), "{failure:?}");
        let state = self.machine.state();
        self.fingerprints.entry(state.applied().0).or_insert_with(|| fingerprint(state));
    }

    fn request_time(&mut self) -> When {
        let now = self.now();
        let ahead = self.rng.below(30_000) * MS / 10;
        match self.rng.below(8) {
            0 => When::At { unix_ns: 0 },
            1 => When::After { delay_ns: u128::MAX },
            2..=4 => When::At { unix_ns: u128::from(now.civil_ns + ahead) },
            _ => When::After { delay_ns: ahead.into() },
        }
    }

    fn durability(&mut self) -> Durability {
        if self.rng.one_in(3) {
            Durability::Written { sync_within: std::time::Duration::from_millis(50) }
        } else {
            Durability::Synced
        }
    }

    fn payload(&mut self) -> Payload {
        self.serial += 1;
        let len = if self.rng.one_in(10) { 4_500 } else { 8 + self.rng.below(100) };
        let mut payload = self.serial.to_le_bytes().to_vec();
        payload.resize(usize::try_from(len).expect("small"), 7);
        payload.as_slice().into()
    }

    fn schedule(&mut self) {
        let (when, durability, payload) = (self.request_time(), self.durability(), self.payload());
        let request = Request { payload: payload.view(), ..Request::new(when) };
        let now = self.now();
        match self.machine.schedule(&request, durability, &now) {
            Ok(accepted) => self.expect(accepted.value, accepted.lsn, when, payload),
            Err(Refused::Rules(ScheduleRefusal::TooManyTimers { timers_max })) => assert_eq!(timers_max, 64),
            Err(Refused::NoRoom(NoRoom::Buffer { unsynced_bytes, .. })) => assert!(unsynced_bytes > 0),
            Err(Refused::NoRoom(NoRoom::Disk(error))) => assert!(error.is_full()),
            Err(Refused::Poisoned(_)) => assert!(self.machine.failure().is_some()),
            Err(other) => panic!("a timer was refused: {other:?}"),
        }
    }

    fn expect(&mut self, id: TimerId, put: Lsn, when: When, payload: Payload) {
        let due = when.resolve(LEN, &self.now()).due;
        let expected = Expected {
            put,
            payload,
            dues: vec![(put, due)],
            cancelled: None,
            completed: None,
            received: 0,
            failed: None,
        };
        assert!(self.model.insert(id, expected).is_none(), "{id} was given twice");
    }

    /// Keys and recurring timers are in the mix for the machine's own invariants; the model follows one-shots.
    fn schedule_keyed(&mut self) {
        let key = [b'k', self.rng.below(3).to_le_bytes()[0]];
        let interval_ns = NonZeroU64::new((1 + self.rng.below(2_000)) * MS).expect("not zero");
        let anchor =
            if self.rng.one_in(2) { Anchor::Created } else { Anchor::Instant { unix_ns: 3 * SECOND } };
        let request = Request {
            key: Some(&key),
            if_exists: if self.rng.one_in(2) { IfExists::Keep } else { IfExists::Error },
            misfire: if self.rng.one_in(2) { Misfire::Skip } else { Misfire::FireOnce },
            retry: Retry { backoff_base_ns: 100 * MS, ..Retry::default() },
            ..Request::new(When::Every { interval_ns, anchor })
        };
        let (durability, now) = (self.durability(), self.now());
        let named = self.machine.state().by_key(&key);
        match (self.machine.schedule(&request, durability, &now), named) {
            (Ok(accepted), Some(kept)) => assert_eq!(accepted.value, kept),
            (Err(Refused::Rules(ScheduleRefusal::KeyExists { id, .. })), named) => {
                assert_eq!(Some(id), named)
            }
            _ => {}
        }
    }

    fn live_ids(&self) -> Vec<TimerId> {
        self.model.keys().copied().collect()
    }

    fn cancel(&mut self) {
        let (ids, durability, now) = (self.live_ids(), self.durability(), self.now());
        let Some(&id) = self.rng.pick(&ids) else { return };
        let was_ended = self.model.get(&id).is_some_and(|e| e.cancelled.is_some() || e.completed.is_some());
        let Ok(accepted) = self.machine.cancel(id, durability, &now) else { return };
        match accepted.value {
            CancelOutcome::Cancelled => {
                assert!(!was_ended, "{id} was ended twice");
                self.note(id, |expected| expected.cancelled = Some(accepted.lsn));
            }
            CancelOutcome::InFlight => {}
            CancelOutcome::AlreadyDone => assert!(self.machine.state().view(id).is_none()),
            CancelOutcome::NotFound => panic!("{id} was here and is not known"),
        }
    }

    fn reschedule(&mut self) {
        let (ids, when, durability, now) =
            (self.live_ids(), self.request_time(), self.durability(), self.now());
        let Some(&id) = self.rng.pick(&ids) else { return };
        let due = when.resolve(LEN, &now).due;
        if let Ok(accepted) = self.machine.reschedule(id, due, durability, &now) {
            self.note(id, |expected| {
                expected.dues.push((accepted.lsn, due));
                expected.failed = None;
                // A dead timer has begun a new life.
                expected.received = 0;
            });
        }
    }

    /// Completes one occurrence and schedules another timer, both or neither.
    fn batch(&mut self) {
        let Some(begun) = self.held.pop() else { return };
        let (when, payload, durability, now) =
            (self.request_time(), self.payload(), self.durability(), self.now());
        let request = Request { payload: payload.view(), ..Request::new(when) };
        let operations = [Operation::Complete(begun.token), Operation::Schedule(request)];
        let before = self.machine.state().applied();
        match self.machine.batch(&operations, durability, &now) {
            Ok(accepted) => {
                let [Applied::Completed(done), Applied::Scheduled(id)] = accepted.value[..] else {
                    panic!("a batch answers in its own order: {:?}", accepted.value)
                };
                assert_eq!(done, begun.token.id);
                let put = accepted.lsn;
                self.note(done, |expected| expected.completed = Some(Lsn(put.0 - 1)));
                self.expect(id, put, when, payload);
            }
            Err(_) => {
                assert_eq!(self.machine.state().applied(), before, "a refused batch changes nothing");
                self.held.push(begun);
            }
        }
    }

    fn note(&mut self, id: TimerId, change: impl FnOnce(&mut Expected)) {
        if let Some(expected) = self.model.get_mut(&id) {
            change(expected);
        }
    }

    fn take_job(&mut self) {
        let hand = if self.rng.one_in(4) { Hand::Keep } else { Hand::Log };
        let now = self.now();
        if let Some(job) = Heart::take_job(&mut self.machine, hand, now) {
            self.taken.push(job);
        }
    }

    fn perform_job(&mut self) {
        if self.taken.is_empty() {
            return;
        }
        let index = usize::try_from(self.rng.below(self.taken.len() as u64)).expect("an index");
        let job = self.taken.remove(index);
        if self.rng.one_in(50) {
            let op = if self.rng.one_in(2) { Op::Write } else { Op::Sync };
            self.storage.fail_next(op, 0, Errno::Io);
        }
        // Segments are all that is ever created, so this is a full disk.
        if self.rng.one_in(30) {
            self.storage.fail_next(Op::Create, 0, Errno::Full);
        }
        self.done.push(perform(&*self.journal, job));
    }

    /// Everybody comes back, and the log is continued in another file; now and then the disk fails again meanwhile.
    fn heal(&mut self) {
        while !self.taken.is_empty() {
            let job = self.taken.remove(0);
            self.done.push(perform(&*self.journal, job));
        }
        while !self.done.is_empty() {
            self.report_job();
        }
        if self.rng.one_in(4) {
            let (op, after) = (if self.rng.one_in(2) { Op::Write } else { Op::Sync }, self.rng.below(4));
            self.storage.fail_next(op, after, Errno::Io);
        }
        let applied = self.machine.state().applied();
        let job =
            self.machine.begin_heal().expect("the log failed, and the buffer holds what happened since");
        // Timers go on meanwhile.
        self.turn();
        let outcome = perform(&*self.journal, job);
        let now = self.now();
        Heart::report(&mut self.machine, outcome, now);
        match self.machine.take_healed() {
            Ok(()) => {
                assert!(self.machine.failure().is_none() && self.machine.durable >= applied);
                self.heals += 1;
            }
            Err(_) => assert!(self.machine.failure().is_some()),
        }
    }

    fn report_job(&mut self) {
        let now = self.now();
        if !self.done.is_empty() {
            let outcome = self.done.remove(0);
            Heart::report(&mut self.machine, outcome, now);
        }
    }

    fn turn(&mut self) {
        let now = self.now();
        let _ = self.machine.advance(&now, self.channel.len());
    }

    fn consume(&mut self) {
        if !self.channel.is_empty() {
            let begun = self.channel.remove(0);
            self.received(&begun);
            self.held.push(begun);
        }
        if self.held.is_empty() || self.rng.one_in(3) {
            return;
        }
        let index = usize::try_from(self.rng.below(self.held.len() as u64)).expect("an index");
        let begun = self.held.remove(index);
        let (durability, now, id) = (self.durability(), self.now(), begun.token.id);
        if self.rng.one_in(5) {
            self.machine.drop_delivery(begun.token, FailCause::Dropped, &now);
            let failed = self.machine.state().applied();
            self.note(id, |expected| expected.failed = Some(failed));
        } else {
            match self.machine.complete(begun.token, durability, &now) {
                Ok(accepted) => self.note(id, |expected| expected.completed = Some(accepted.lsn)),
                Err(_) => self.held.push(begun),
            }
        }
    }

    /// Never early, never a cancelled one, never a completed one again.
    fn received(&mut self, begun: &Begun) {
        let now = self.now();
        let Some(expected) = self.model.get_mut(&begun.token.id) else { return };
        assert_eq!(*begun.payload, *expected.payload, "the payload is not the one that was scheduled");
        assert!(expected.completed.is_none(), "{:?} was completed and is delivered again", begun.token);
        assert!(expected.cancelled.is_none(), "{:?} was cancelled and is delivered", begun.token);
        let due = expected.dues.last().expect("every timer has a due time").1;
        if expected.failed.is_none() && expected.received == 0 {
            let highest = Now::new(LEN, self.civil_ns_max, now.elapsed_ns);
            assert!(highest.has_reached(due), "{:?} is early", begun.token);
        }
        assert!(begun.token.number > expected.received, "deliveries are numbered upwards");
        expected.received = begun.token.number;
    }

    /// Time passes; now and then the wall clock is set forward or back.
    fn move_clock(&mut self) {
        let passed = self.rng.below(2_000) * MS;
        self.times.boottime_ns += passed;
        self.times.wall_ns += passed;
        let by = self.rng.below(4_000) * MS;
        match self.rng.below(20) {
            0 => self.times.wall_ns += by,
            1 => self.times.wall_ns -= by,
            _ => {}
        }
        self.civil_ns_max = self.civil_ns_max.max(self.times.wall_ns);
    }

    /// The process is killed, or the power fails; what comes back is a prefix, and not too short.
    fn crash(&mut self) {
        let (written, durable) = (self.machine.written, self.machine.durable);
        let failed = self.machine.failure().is_some();
        let power_cut = self.rng.one_in(2);
        // They were written before they were handed out; a failed engine counts them in memory only.
        self.forgot_deliveries = power_cut || failed;
        let crashed = if power_cut {
            let rng = &mut self.rng;
            self.storage.power_cut(&mut || rng.one_in(2))
        } else {
            self.storage.process_kill()
        };
        self.storage = Arc::new(crashed);
        let down = self.rng.below(5_000) * MS;
        self.times.wall_ns += down;
        self.times.boottime_ns += down;
        self.civil_ns_max = self.civil_ns_max.max(self.times.wall_ns);
        if power_cut {
            (self.times.boot_id, self.times.boottime_ns) = (self.times.boot_id + 1, SECOND);
        }
        let (machine, journal, timelines, recovered) = open(&self.storage, self.times);
        let valid = recovered.applied();
        let floor = if power_cut { durable } else { written };
        assert!(valid >= floor, "read to {valid}, and {floor} was promised (failed: {failed})");
        let fingerprint_then = self.fingerprints.get(&valid.0);
        if valid > Lsn::ZERO {
            assert_eq!(Some(&fingerprint(&recovered)), fingerprint_then, "at {valid}");
        }
        self.forget_after(valid);
        (self.machine, self.journal, self.timelines) = (machine, journal, timelines);
        (self.taken, self.done) = (Vec::new(), Vec::new());
        (self.channel, self.held) = (Vec::new(), Vec::new());
        self.crashes += 1;
    }

    /// What was not read back never happened.
    fn forget_after(&mut self, valid: Lsn) {
        self.fingerprints.retain(|&lsn, _| lsn <= valid.0);
        self.model.retain(|_, expected| expected.put <= valid);
        for expected in self.model.values_mut() {
            expected.cancelled = expected.cancelled.filter(|&lsn| lsn <= valid);
            expected.completed = expected.completed.filter(|&lsn| lsn <= valid);
            expected.dues.retain(|&(lsn, _)| lsn <= valid);
            expected.failed = expected.failed.filter(|&lsn| lsn <= valid);
            expected.received = if self.forgot_deliveries { 0 } else { expected.received };
        }
    }

    /// Everything that is left comes due and is completed. Nothing is lost.
    fn drain(&mut self) {
        for round in 0..5_000 {
            if self.machine.failure().is_some() {
                self.crash();
            }
            self.pass(500);
            self.civil_ns_max = self.civil_ns_max.max(self.times.wall_ns);
            self.turn();
            self.settle();
            self.take_job();
            while !self.taken.is_empty() {
                let job = self.taken.remove(0);
                self.done.push(perform(&*self.journal as &dyn Journal, job));
            }
            self.report_job();
            self.settle();
            while let Some(begun) = self.channel.pop() {
                self.received(&begun);
                self.held.push(begun);
            }
            while let Some(begun) = self.held.pop() {
                let (now, id) = (self.now(), begun.token.id);
                if let Ok(accepted) = self.machine.complete(begun.token, Durability::Synced, &now) {
                    self.note(id, |expected| expected.completed = Some(accepted.lsn));
                }
            }
            if self.left().is_empty() {
                return;
            }
            assert!(round < 4_999, "timers are left: {:?}", self.left());
        }
    }

    fn left(&self) -> Vec<(TimerId, Option<Phase>)> {
        let end_of_time = |due: DueTime| due.tick.0 == u64::MAX;
        let left = self.model.iter().filter(|(id, expected)| {
            let ended = expected.cancelled.is_some() || expected.completed.is_some();
            let doomed = self.machine.state().view(**id).is_none_or(|timer| timer.doomed);
            let never =
                expected.dues.last().is_some_and(|&(_, due)| end_of_time(due)) && expected.failed.is_none();
            !ended && !doomed && !never
        });
        left.map(|(&id, _)| (id, self.machine.state().view(id).map(|timer| timer.phase))).collect()
    }
}

/// One life of a world; a failure names its seed.
fn live(seed: u64, steps: u32) -> World {
    let mut world = World::new(seed);
    for _ in 0..steps {
        world.step();
    }
    world.drain();
    world
}

#[test]
fn whatever_happens_every_promise_holds() {
    let seeds = std::env::var("HOROLOG_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(25);
    let (mut crashes, mut heals) = (0, 0);
    let first = std::env::var("HOROLOG_FIRST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    for seed in first..first + seeds {
        println!("seed {seed}");
        let world = live(seed, 400);
        crashes += u64::from(world.crashes);
        heals += u64::from(world.heals);
    }
    assert!(crashes > seeds, "only {crashes} crashes: the worlds are too quiet");
    assert!(heals > seeds / 10, "only {heals} failures were healed");
}

// Findings, each with the story that it came with.

impl World {
    /// Every job that is on offer is done and reported.
    fn flush(&mut self) {
        let now = self.now();
        while let Some(job) = Heart::take_job(&mut self.machine, Hand::Log, now) {
            let outcome = perform(&*self.journal, job);
            Heart::report(&mut self.machine, outcome, now);
            self.settle();
        }
    }

    fn after(&mut self, delay_ms: u64, durability: Durability) -> TimerId {
        let now = self.now();
        let request = Request::new(When::After { delay_ns: u128::from(delay_ms * MS) });
        self.machine.schedule(&request, durability, &now).expect("there is room").value
    }

    fn pass(&mut self, ms: u64) {
        self.times.boottime_ns += ms * MS;
        self.times.wall_ns += ms * MS;
    }

    /// A turn of the timer thread, and the writing of what it began.
    fn whole_turn(&mut self) {
        self.turn();
        self.settle();
        self.flush();
    }

    fn received_ids(&mut self) -> Vec<TimerId> {
        self.channel.drain(..).map(|begun| begun.token.id).collect()
    }
}

/// A timer is ready, finds no room, and is moved. When its new time comes the wheel is behind (there is more to touch than
/// one turn may), and the old hint must not deliver it while it is still armed.
#[test]
fn a_hint_older_than_a_due_time_delivers_nothing() {
    let mut world = World::new(1);
    let moved = world.after(1, Durability::Synced);
    for _ in 0..3 {
        world.after(0, Durability::Synced);
    }
    world.flush();
    world.pass(5);
    for _ in 0..4 {
        world.whole_turn();
    }
    assert!(!world.channel.iter().any(|begun| begun.token.id == moved), "there was no room for it");
    let now = world.now();
    let due = When::After { delay_ns: u128::from(10 * SECOND) }.resolve(LEN, &now).due;
    world.machine.reschedule(moved, due, Durability::Synced, &now).expect("it waits");
    for _ in 0..12 {
        world.after(9_999, Durability::Synced);
    }
    world.flush();
    world.pass(20_000);
    let mut deliveries = 0;
    for _ in 0..40 {
        let received = world.received_ids();
        deliveries += received.iter().filter(|&&id| id == moved).count();
        world.whole_turn();
    }
    assert_eq!(deliveries, 1);
}

/// Nothing was promised to be synced within the hour, and the buffer is full: without a sync no room would come back.
#[test]
fn a_buffer_that_fills_up_is_synced_whatever_was_promised() {
    let mut world = World::new(2);
    world.flush();
    let within_an_hour = Durability::Written { sync_within: std::time::Duration::from_secs(3_600) };
    let payload = [7; 4_000];
    for _ in 0..60 {
        let now = world.now();
        let request =
            Request { payload: (&payload).into(), ..Request::new(When::After { delay_ns: u128::MAX }) };
        let scheduled = world.machine.schedule(&request, within_an_hour, &now);
        assert!(scheduled.is_ok(), "refused: {scheduled:?}");
        world.flush();
    }
    assert!(world.machine.durable > Lsn::ZERO);
}

/// After a failure nothing is written, so nothing may wait for room in a buffer that nobody empties.
#[test]
fn armed_timers_go_on_after_a_failure_for_longer_than_the_buffer_lasts() {
    let mut world = World::new(3);
    let often = std::num::NonZeroU32::MAX;
    let retry = Retry { failures_max: often, deliveries_max: often, backoff_base_ns: MS, backoff_max_ns: MS };
    let request = Request { retry, ..Request::new(When::After { delay_ns: 0 }) };
    let now = world.now();
    world.machine.schedule(&request, Durability::Synced, &now).expect("there is room");
    world.flush();
    world.machine.fail(Failure::Panicked { thread: "a test" });
    for round in 0..3_000 {
        world.pass(10);
        world.whole_turn();
        let begun = world.channel.pop().unwrap_or_else(|| panic!("silent in round {round}"));
        let now = world.now();
        world.machine.drop_delivery(begun.token, FailCause::Dropped, &now);
        world.settle();
    }
}

/// A record that is applied while a sync runs keeps its own term.
#[test]
fn a_sync_does_not_put_off_the_term_of_what_it_does_not_cover() {
    let mut world = World::new(4);
    world.flush();
    let within = |ms| Durability::Written { sync_within: std::time::Duration::from_millis(ms) };
    world.after(60_000, within(50));
    let now = world.now();
    let write = Heart::take_job(&mut world.machine, Hand::Log, now).expect("a write");
    world.after(60_000, within(50));
    let outcome = perform(&*world.journal, write);
    world.pass(49);
    let now = world.now();
    Heart::report(&mut world.machine, outcome, now);
    world.pass(2);
    let now = world.now();
    assert!(matches!(Heart::take_job(&mut world.machine, Hand::Log, now), Some(Job::Write { .. })));
    assert!(
        matches!(Heart::take_job(&mut world.machine, Hand::Log, now), Some(Job::Sync { .. })),
        "the first record's fifty milliseconds are over"
    );
}

/// A slot of a civil grid comes out of the wheel while the occurrence before it is in flight, and the wall clock is set back
/// before anybody looks at it. It has to come again.
#[test]
fn a_slot_taken_back_by_the_clock_while_its_timer_is_in_flight_comes_again() {
    let mut world = World::new(5);
    let interval_ns = NonZeroU64::new(10 * SECOND).expect("not zero");
    let anchor = Anchor::Instant { unix_ns: world.now().civil_ns + SECOND };
    let now = world.now();
    let request = Request::new(When::Every { interval_ns, anchor });
    world.machine.schedule(&request, Durability::Synced, &now).expect("there is room");
    world.flush();
    world.pass(1_000);
    world.whole_turn();
    let first = world.channel.pop().expect("the first slot");
    // No room for what is ready: the second slot comes out of the wheel and waits as a hint.
    let fill = (0..3).map(|_| world.after(0, Durability::Synced)).collect::<Vec<_>>();
    world.flush();
    (0..3).for_each(|_| world.whole_turn());
    assert_eq!(world.channel.len(), fill.len());
    world.pass(10_000);
    world.whole_turn();
    world.times.wall_ns -= 5 * SECOND;
    assert_eq!(world.received_ids().len(), fill.len());
    world.whole_turn();
    let now = world.now();
    world.machine.complete(first.token, Durability::Synced, &now).expect("it is in flight");
    world.settle();
    world.flush();
    world.pass(6_000);
    (0..3).for_each(|_| world.whole_turn());
    assert_eq!(world.channel.pop().map(|begun| begun.token.occurrence), Some(first.token.occurrence + 1));
}

/// The lock is held for microseconds, however large a payload: it is shared with its caller, copied by the hand that
/// writes, and freed, like the buffer it was copied into, when the lock has been let go.
#[test]
fn a_large_payload_is_neither_copied_nor_freed_under_the_lock() {
    let mut world = World::new(5);
    world.flush();
    world.machine.options.limits.payload_bytes_max = 1 << 20;
    world.machine.buffers = Buffers::new(4 << 20);
    let payload: Arc<[u8]> = [7; 900_000].as_slice().into();
    let holders = || Arc::strong_count(&payload);
    let when = When::After { delay_ns: u128::MAX };
    let request = Request { payload: PayloadView::Shared(&payload), ..Request::new(when) };
    let now = world.now();
    let id = world.machine.schedule(&request, Durability::Synced, &now).expect("there is room").value;
    assert_eq!(holders(), 3, "the caller, the state and the batch");
    let step = |world: &mut World| {
        let job = Heart::take_job(&mut world.machine, Hand::Log, now).expect("a write, then a sync");
        let outcome = perform(&*world.journal, job);
        Heart::report(&mut world.machine, outcome, now);
    };
    step(&mut world);
    assert_eq!(holders(), 2, "the batch has a copy now");
    step(&mut world);
    world.machine.cancel(id, Durability::Synced, &now).expect("it lives");
    assert_eq!(holders(), 2);
    let (buffers, discarded) = Heart::take_discarded(&mut world.machine);
    assert_eq!(buffers.iter().map(BatchBuf::len_bytes).collect::<Vec<_>>(), [900_000 + 12 + 26]);
    assert!(matches!(discarded.large(), [only] if Arc::ptr_eq(only, &payload)));
}

/// All records of a batch go into one buffer, which is made large enough beforehand.
#[test]
fn a_buffer_does_not_grow_under_the_lock() {
    let mut world = World::new(6);
    world.flush();
    world.machine.options.limits.timers_max = 10_000;
    world.machine.buffers = Buffers::new(16 << 20);
    let payload = [7; 1_000];
    let request = Request { payload: (&payload).into(), ..Request::new(When::After { delay_ns: u128::MAX }) };
    let shared = Payload::from(&[7; 3_000]);
    let large = Request { payload: shared.view(), ..request };
    let mut capacities = std::collections::BTreeSet::new();
    for round in 0..40 {
        let operations = match round % 4 {
            0 => vec![Operation::Schedule(request); 900],
            1 => vec![Operation::Schedule(large)],
            _ => vec![Operation::Schedule(request); 3],
        };
        let now = world.now();
        world.machine.batch(&operations, Durability::Synced, &now).expect("there is room");
        capacities.extend(world.machine.buffers.open_capacity_bytes());
        if round % 3 == 0 {
            world.flush();
        }
    }
    let asked = [BATCH_CAPACITY, 900 * request.inline_bytes_max()];
    assert!(capacities.iter().all(|capacity| asked.contains(capacity)), "{capacities:?}");
}

impl World {
    /// The keeping thread does what is offered; the world's clock stands.
    fn keep(&mut self) {
        let now = self.now();
        while let Some(job) = Heart::take_job(&mut self.machine, Hand::Keep, now) {
            let outcome = perform(&*self.journal, job);
            Heart::report(&mut self.machine, outcome, now);
        }
    }

    /// The next `files` segments cannot be made.
    fn fill_the_disk(&self, files: usize) {
        (0..files).for_each(|_| self.storage.fail_next(Op::Create, 0, Errno::Full));
    }

    fn schedules(&mut self) -> bool {
        let now = self.now();
        let request = Request::new(When::After { delay_ns: u128::from(SECOND) });
        match self.machine.schedule(&request, Durability::Synced, &now) {
            Ok(_) => true,
            Err(Refused::NoRoom(NoRoom::Disk(error))) if error.is_full() => false,
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_full_disk_refuses_new_work_at_once_and_lets_the_rest_end() {
    let mut world = World::new(7);
    let (one, other) = (world.after(1, Durability::Synced), world.after(60_000, Durability::Synced));
    world.flush();
    world.fill_the_disk(1);
    world.keep();
    assert!(!world.schedules());
    let now = world.now();
    world.machine.cancel(other, Durability::Synced, &now).expect("a cancel has its room");
    world.flush();
    world.pass(5);
    world.whole_turn();
    let begun = world.channel.pop().expect("what is pending fires");
    assert_eq!(begun.token.id, one);
    let now = world.now();
    world.machine.complete(begun.token, Durability::Synced, &now).expect("and ends");
    world.flush();
    assert_eq!(world.machine.durable, world.machine.state.applied());
    // Nobody asks: the spare is tried again after a pause.
    world.keep();
    assert!(!world.schedules());
    world.pass(100);
    world.keep();
    assert!(world.schedules());
    assert!(world.machine.failure().is_none());
}

/// The room that was kept is used up as well: what was applied waits in memory, and nothing is lost or poisoned.
#[test]
fn a_disk_without_any_room_refuses_everything_and_writes_what_waited_when_there_is_room() {
    let mut world = World::new(8);
    world.flush();
    let ids: Vec<_> = (0..40).map(|_| world.after(60_000, Durability::Synced)).collect();
    world.flush();
    world.fill_the_disk(3);
    world.keep();
    let mut cancelled = 0;
    for &id in &ids {
        let now = world.now();
        match world.machine.cancel(id, Durability::Synced, &now) {
            Ok(_) => cancelled += 1,
            Err(Refused::NoRoom(NoRoom::Disk(error))) => assert!(error.is_full()),
            Err(other) => panic!("{other:?}"),
        }
        world.flush();
    }
    assert!((5..40).contains(&cancelled), "{cancelled}");
    let (durable, applied) = (world.machine.durable, world.machine.state.applied());
    assert_eq!(applied.0 - durable.0, 1, "the one that found no room");
    world.pass(10_000);
    world.keep();
    world.pass(10_000);
    world.keep();
    world.flush();
    assert_eq!(world.machine.durable, applied);
    assert!(world.machine.failure().is_none() && world.schedules());
}

/// What waits for room when the engine is closed is tried once more, and then told.
#[test]
fn a_shutdown_on_a_full_disk_ends() {
    let mut world = World::new(9);
    world.flush();
    world.fill_the_disk(1_000);
    world.keep();
    let mut rooms = 0;
    while let Ok(()) = world.machine.log.disk_room(Room::Reserved) {
        world.machine.note_clock(&world.now());
        world.flush();
        rooms += 1;
        assert!(rooms < 1_000);
    }
    let now = world.now();
    world.machine.close(&now);
    world.flush();
    assert!(matches!(world.machine.failure().map(|it| &**it), Some(Failure::Log(error)) if error.is_full()));
}

#[test]
fn meta_is_told_what_is_durable_once_a_second_at_most() {
    let mut world = World::new(10);
    world.machine.options.limits.timers_max = 1_000;
    world.flush();
    world.keep();
    let witnessed = |world: &mut World| {
        let now = world.now();
        let job = Heart::take_job(&mut world.machine, Hand::Keep, now);
        if let Some(job) = job {
            let is_witness = matches!(job, Job::Witness { .. });
            let outcome = perform(&*world.journal, job);
            Heart::report(&mut world.machine, outcome, now);
            return is_witness;
        }
        false
    };
    let mut told = 0;
    for _ in 0..300 {
        world.after(60_000_000, Durability::Synced);
        world.flush();
        let due = world
            .machine
            .looks_again_at_ns(Hand::Keep)
            .expect("something is durable that META does not know");
        assert!(due <= world.now().elapsed_ns + 1_000 * MS);
        told += u32::from(witnessed(&mut world));
        world.pass(10);
    }
    assert!((2..=3).contains(&told), "{told}");
}

/// What was indeterminate has happened, and the engine takes commands again.
#[test]
fn a_healed_engine_has_everything_durable_and_goes_on() {
    let mut world = World::new(11);
    let first = world.after(60_000, Durability::Synced);
    world.flush();
    let before = world.machine.durable;
    let second = world.after(60_000, Durability::Synced);
    world.storage.fail_next(Op::Sync, 0, Errno::Io);
    world.flush();
    let now = world.now();
    assert!(matches!(world.machine.cancel(first, Durability::Synced, &now), Err(Refused::Poisoned(_))));
    assert_eq!(world.machine.durable, before);
    world.heal();
    assert_eq!(world.machine.durable, world.machine.state().applied());
    let now = world.now();
    world.machine.cancel(first, Durability::Synced, &now).expect("it takes commands again");
    world.flush();
    let after = recover(&world.storage.power_cut(&mut || false), &LogOptions::small()).expect("sound").state;
    assert!(after.view(first).is_none() && after.view(second).is_some());
}

/// What happens after a failure is kept for as long as the buffer lasts, and no longer.
#[test]
fn an_engine_that_has_forgotten_records_is_not_healed() {
    let mut world = World::new(12);
    let often = std::num::NonZeroU32::MAX;
    let retry = Retry { failures_max: often, deliveries_max: often, backoff_base_ns: MS, backoff_max_ns: MS };
    let request = Request { retry, ..Request::new(When::After { delay_ns: 0 }) };
    let now = world.now();
    world.machine.schedule(&request, Durability::Synced, &now).expect("there is room");
    world.flush();
    world.storage.fail_next(Op::Write, 0, Errno::Io);
    world.after(60_000, Durability::Synced);
    world.flush();
    let mut rounds = 0;
    loop {
        match world.machine.begin_heal() {
            // Not this time: the disk still fails.
            Ok(job) => {
                world.storage.fail_next(Op::Create, 0, Errno::Io);
                let (outcome, now) = (perform(&*world.journal, job), world.now());
                Heart::report(&mut world.machine, outcome, now);
                world.machine.take_healed().expect_err("nothing can be created");
            }
            Err(HealRefused::Beyond(_)) => break,
            Err(other) => panic!("{other:?}"),
        }
        world.pass(10);
        world.whole_turn();
        let begun = world.channel.pop().expect("it comes again and again");
        let now = world.now();
        world.machine.drop_delivery(begun.token, FailCause::Dropped, &now);
        world.settle();
        rounds += 1;
        assert!(rounds < 10_000);
    }
    assert!(rounds > 100, "the buffer holds more than {rounds} rounds");
}

#[test]
fn only_a_log_that_failed_is_healed() {
    let mut world = World::new(13);
    world.flush();
    assert!(matches!(world.machine.begin_heal(), Err(HealRefused::NotFailed)));
    world.machine.fail(Failure::Panicked { thread: "a test" });
    assert!(matches!(world.machine.begin_heal(), Err(HealRefused::Beyond(_))));
}

/// A sync that has not come back may still be inside the file.
#[test]
fn nothing_is_healed_while_a_job_is_out() {
    let mut world = World::new(14);
    world.after(60_000, Durability::Synced);
    let now = world.now();
    let write = Heart::take_job(&mut world.machine, Hand::Log, now).expect("a write");
    let outcome = perform(&*world.journal, write);
    Heart::report(&mut world.machine, outcome, now);
    let sync = Heart::take_job(&mut world.machine, Hand::Log, now).expect("a sync");
    world.storage.fail_next(Op::Sync, 0, Errno::Io);
    let outcome = perform(&*world.journal, sync);
    let spare = Heart::take_job(&mut world.machine, Hand::Keep, now).expect("a spare");
    Heart::report(&mut world.machine, outcome, now);
    assert!(world.machine.failure().is_some());
    assert!(matches!(world.machine.begin_heal(), Err(HealRefused::InFlight)));
    let outcome = perform(&*world.journal, spare);
    Heart::report(&mut world.machine, outcome, now);
    world.heal();
    assert!(world.machine.failure().is_none());
}
