//! The machine over the real log on a simulated disk: one loop is every hand and every caller. Stories of single findings;
//! [`crate::simulation`] has everything else, by seed.

use std::num::NonZeroU64;
use std::sync::Arc;

use horolog_recovery::recover;
use horolog_sim::{Errno, Fault, Pattern, SimDisk, Trigger};
use horolog_state::{Anchor, Payload, PayloadView, Request, Retry, When};
use horolog_storage::Op;
use horolog_wal::{BatchBuf, LogOptions};

use super::buffers::BATCH_CAPACITY;
use super::commands::Operation;
use super::*;
use crate::clock::{ClockTimes, Timelines};
use crate::error::CompactError;
use crate::journal::{Journal, perform};
use crate::shell::{Hand, Heart};
use crate::simulation::{Counts, Node, Size, SlowJournal, TICK_LEN as LEN, run_seed, shrink};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

/// A machine, its disk, its clocks and a consumer.
struct World {
    storage: Arc<SimDisk>,
    journal: SlowJournal,
    machine: Machine,
    timelines: Timelines,
    times: ClockTimes,
    /// Begun and not received.
    channel: Vec<Begun>,
}

fn options() -> MachineOptions {
    MachineOptions {
        limits: Limits { timers_max: 64, payload_bytes_max: 5_000, memory_bytes_max: usize::MAX },
        tick_len: LEN,
        due_capacity: 3,
        buffer_bytes_max: 128 << 10,
        items_a_turn: 3,
        snapshot_log_bytes: u64::MAX,
    }
}

impl World {
    fn new(seed: u64) -> Self {
        Self::over(SimDisk::new(seed))
    }

    fn over(disk: SimDisk) -> Self {
        let storage = Arc::new(disk);
        let times = ClockTimes { wall_ns: 1_000_000 * SECOND, boottime_ns: 500 * SECOND, boot_id: 1 };
        let log_options = LogOptions { batch_bytes_max: 1 << 20, ..LogOptions::small() };
        let (node, _) = Node::open(&storage, options(), &log_options, times).expect("it opens");
        let Node { machine, journal, timelines } = node;
        Self { storage, journal, machine, timelines, times, channel: Vec::new() }
    }

    fn now(&self) -> Now {
        self.timelines.now(self.times)
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
    }

    fn turn(&mut self) {
        let now = self.now();
        let _ = self.machine.advance(&now, self.channel.len());
    }

    /// The log is continued in another file, while timers go on.
    fn heal(&mut self) {
        let applied = self.machine.state().applied();
        let job =
            self.machine.begin_heal().expect("the log failed, and the buffer holds what happened since");
        self.turn();
        let (outcome, now) = (perform(&self.journal, job), self.now());
        Heart::report(&mut self.machine, outcome, now);
        self.machine.take_healed().expect("the disk is sound again");
        assert!(self.machine.failure().is_none() && self.machine.durable >= applied);
    }
}

/// Due at once, and again a millisecond after each failure, as often as can be counted.
fn tried_for_ever() -> Request<'static> {
    let often = std::num::NonZeroU32::MAX;
    let retry = Retry { failures_max: often, deliveries_max: often, backoff_base_ns: MS, backoff_max_ns: MS };
    Request { retry, ..Request::new(When::After { delay_ns: 0 }) }
}

/// The simulation, for a moment; `cargo run --release -p horolog-tests --bin sim` does it for as long as you like.
#[test]
fn whatever_happens_every_promise_holds() {
    let number =
        |name: &str, default| std::env::var(name).ok().and_then(|it| it.parse().ok()).unwrap_or(default);
    let (first, seeds) = (number("HOROLOG_FIRST_SEED", 0_u64), number("HOROLOG_SEEDS", 60));
    let mut counts = Counts::default();
    for seed in first..first + seeds {
        match run_seed(seed, &Size::default()) {
            Ok(more) => counts.add(&more),
            Err(broken) => {
                let smallest = shrink(&broken);
                panic!("seed {seed}: {}\n{}", smallest.violation, smallest.trace);
            }
        }
    }
    assert!(counts.crashes > seeds, "only {} crashes: the worlds are too quiet", counts.crashes);
}

// Findings, each with the story that it came with.

impl World {
    /// Every job that is on offer is done and reported.
    fn flush(&mut self) {
        let now = self.now();
        while let Some(job) = Heart::take_job(&mut self.machine, Hand::Log, now) {
            let outcome = perform(&self.journal, job);
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
    let request = tried_for_ever();
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
    let outcome = perform(&world.journal, write);
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
        let outcome = perform(&world.journal, job);
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

/// A service that starts writes down what it needs, and nearly all of it is there already.
#[test]
fn batches_that_write_little_or_nothing_leave_no_buffers_behind() {
    let mut world = World::new(6);
    world.flush();
    world.machine.options.limits.timers_max = 4_000;
    world.machine.buffers = Buffers::new(16 << 20);
    let keys: Vec<[u8; 4]> = (0..1_024_u32).map(u32::to_le_bytes).collect();
    let payload = [7; 800];
    let kept = |key| Request {
        payload: (&payload).into(),
        key: Some(key),
        if_exists: horolog_state::IfExists::Keep,
        ..Request::new(When::After { delay_ns: u128::MAX })
    };
    let upserts: Vec<_> = keys.iter().map(|key| Operation::Schedule(kept(key))).collect();
    let upsert = |world: &mut World, operations: &[Operation<'_>]| {
        let now = world.now();
        let _ = world.machine.batch(operations, Durability::Synced, &now).expect("there is room");
        world.flush();
    };
    upsert(&mut world, &upserts);
    let waiting = world.machine.buffers.waiting();
    for _ in 0..50 {
        upsert(&mut world, &upserts);
    }
    assert_eq!(world.machine.buffers.waiting(), waiting, "nothing was written");
    let one = Operation::Schedule(Request::new(When::After { delay_ns: u128::MAX }));
    for _ in 0..50 {
        upsert(&mut world, &[&upserts[1..], &[one]].concat());
    }
    assert!(world.machine.buffers.waiting() <= waiting + 1, "one record at a time was written");
}

#[test]
fn a_timer_that_a_batch_keeps_takes_no_room_from_the_others() {
    let mut world = World::new(6);
    let keys: Vec<[u8; 1]> = (0..40_u8).map(u8::to_le_bytes).collect();
    let when = When::After { delay_ns: u128::MAX };
    let kept =
        |key| Request { key: Some(key), if_exists: horolog_state::IfExists::Keep, ..Request::new(when) };
    let mut upserts: Vec<_> = keys.iter().map(|key| Operation::Schedule(kept(key))).collect();
    let now = world.now();
    let first = world.machine.batch(&upserts, Durability::Synced, &now).expect("there is room for 64").value;
    upserts.push(Operation::Schedule(Request::new(when)));
    let again = world.machine.batch(&upserts, Durability::Synced, &now).expect("for the new one too").value;
    assert_eq!((again[..40] == first, world.machine.state().len()), (true, 41));
}

impl World {
    /// The keeping thread does what is offered; the world's clock stands.
    fn keep(&mut self) {
        let now = self.now();
        while let Some(job) = Heart::take_job(&mut self.machine, Hand::Keep, now) {
            let outcome = perform(&self.journal, job);
            Heart::report(&mut self.machine, outcome, now);
        }
    }

    /// The next `files` segments cannot be made.
    fn fill_the_disk(&self, files: usize) {
        self.refuse_segments(files, Errno::Full);
    }

    fn refuse_segments(&self, files: usize, errno: Errno) {
        (0..files).for_each(|_| self.storage.fail_next(Op::Create, 0, errno));
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

/// The disk, a quota, or the size that a file may have.
#[test]
fn a_full_disk_refuses_new_work_at_once_and_lets_the_rest_end() {
    for errno in [Errno::Full, Errno::Quota, Errno::TooLarge] {
        new_work_is_refused_and_the_rest_ends(errno);
    }
}

fn new_work_is_refused_and_the_rest_ends(errno: Errno) {
    let mut world = World::new(7);
    let (one, other) = (world.after(1, Durability::Synced), world.after(60_000, Durability::Synced));
    world.flush();
    world.refuse_segments(1, errno);
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
            let outcome = perform(&world.journal, job);
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

/// No file can be created, for a reason other than room: no spare, and then no segment. When that is over, the engine is healed.
#[test]
fn an_engine_whose_next_segment_could_not_be_made_is_healed() {
    let mut world = World::new(14);
    world.storage.inject(Fault::Refused(Op::Create, Errno::Io), Trigger::after(0).for_ever());
    let mut timers = 0;
    while world.machine.failure().is_none() {
        world.after(60_000, Durability::Synced);
        world.flush();
        timers += 1;
        assert!(timers < 1_000, "the log never went to another segment");
    }
    world.storage.clear_faults();
    world.heal();
    let after = recover(&world.storage.power_cut(&mut || false), &LogOptions::small()).expect("sound").state;
    assert_eq!(after.len(), timers);
}

/// What happens after a failure is kept for as long as the buffer lasts, and no longer.
#[test]
fn an_engine_that_has_forgotten_records_is_not_healed() {
    let mut world = World::new(12);
    let request = tried_for_ever();
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
                let (outcome, now) = (perform(&world.journal, job), world.now());
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
    let outcome = perform(&world.journal, write);
    Heart::report(&mut world.machine, outcome, now);
    let sync = Heart::take_job(&mut world.machine, Hand::Log, now).expect("a sync");
    world.storage.fail_next(Op::Sync, 0, Errno::Io);
    let outcome = perform(&world.journal, sync);
    let spare = Heart::take_job(&mut world.machine, Hand::Keep, now).expect("a spare");
    Heart::report(&mut world.machine, outcome, now);
    assert!(world.machine.failure().is_some());
    assert!(matches!(world.machine.begin_heal(), Err(HealRefused::InFlight)));
    let outcome = perform(&world.journal, spare);
    Heart::report(&mut world.machine, outcome, now);
    world.heal();
    assert!(world.machine.failure().is_none());
}

impl World {
    /// Steps of the keeping hand until a snapshot has taken so many.
    fn snapshot_steps(&mut self, steps: usize) {
        let (now, mut left) = (self.now(), steps);
        while left > 0 {
            let job = Heart::take_job(&mut self.machine, Hand::Keep, now).expect("a step");
            left -= usize::from(matches!(job, Job::Snapshot(_)));
            let outcome = perform(&self.journal, job);
            Heart::report(&mut self.machine, outcome, now);
        }
    }

    fn half_made(&self) -> usize {
        self.storage.files().iter().filter(|(name, _)| name.ends_with(".img.tmp")).count()
    }
}

/// The first to look must not take the answer away from the second.
#[test]
fn all_who_wait_for_a_snapshot_are_told_how_it_ended() {
    let mut world = World::new(15);
    world.flush();
    let first = world.machine.ask_for_snapshot();
    assert_eq!(world.machine.ask_for_snapshot(), first, "nothing has begun yet");
    world
        .storage
        .inject(Fault::Refused(Op::Create, Errno::Io), Trigger::after(0).on(Pattern::ends(".img.tmp")));
    world.snapshot_steps(1);
    for _ in 0..2 {
        assert!(matches!(world.machine.snapshot_end(first), Some(Err(CompactError::Snapshot(_)))));
    }
    world.storage.clear_faults();
    let second = world.machine.ask_for_snapshot();
    world.keep();
    assert!(matches!(world.machine.snapshot_end(second), Some(Ok(()))));
    assert!(matches!(world.machine.snapshot_end(first), Some(Ok(()))));
}

/// A log that was healed before anybody looked would leave them waiting for a snapshot that nobody makes any more.
#[test]
fn who_waits_for_a_snapshot_is_told_when_healing_has_ended_it() {
    let mut world = World::new(16);
    world.flush();
    let attempt = world.machine.ask_for_snapshot();
    world.snapshot_steps(2);
    world.after(60_000, Durability::Synced);
    world.storage.fail_next(Op::Sync, 0, Errno::Io);
    world.flush();
    world.heal();
    assert!(matches!(world.machine.snapshot_end(attempt), Some(Err(CompactError::Snapshot(_)))));
    let again = world.machine.ask_for_snapshot();
    world.keep();
    assert!(matches!(world.machine.snapshot_end(again), Some(Ok(()))));
}

/// Whoever asks sees the failure in one hold of the lock and looks at the end in another one, and the engine is healed between.
#[test]
fn who_waits_for_a_snapshot_is_not_told_that_a_healed_engine_is_closed() {
    let mut world = World::new(18);
    world.flush();
    let attempt = world.machine.ask_for_snapshot();
    assert!(world.machine.snapshot_end(attempt).is_none());
    world.after(60_000, Durability::Synced);
    world.storage.fail_next(Op::Sync, 0, Errno::Io);
    world.flush();
    assert!(matches!(world.machine.snapshot_end(attempt), Some(Err(CompactError::Failed(_)))));
    world.heal();
    assert!(world.machine.snapshot_end(attempt).is_none(), "it was not begun before, and is made now");
    world.keep();
    assert!(matches!(world.machine.snapshot_end(attempt), Some(Ok(()))));
}

/// The lock of the directory is released last: nothing may change behind it.
#[test]
fn a_snapshot_in_the_making_is_gone_when_the_journal_is_let_go() {
    let mut world = World::new(17);
    world.flush();
    world.machine.ask_for_snapshot();
    world.snapshot_steps(2);
    assert_eq!(world.half_made(), 1);
    world.journal.let_go();
    assert_eq!(world.half_made(), 0);
}

impl World {
    /// Timers of four megabytes, all of them durable, and a log that is worth a snapshot.
    fn with_snapshot_due(seed: u64) -> Self {
        let mut world = Self::new(seed);
        world.flush();
        world.machine.options.limits.timers_max = 10_000;
        world.machine.options.snapshot_log_bytes = 0;
        world.machine.buffers = Buffers::new(4 << 20);
        let payload = [7; 1_000];
        let request =
            Request { payload: (&payload).into(), ..Request::new(When::After { delay_ns: u128::MAX }) };
        for _ in 0..8 {
            let now = world.now();
            let operations = [Operation::Schedule(request); 500];
            let _ = world.machine.batch(&operations, Durability::Synced, &now).expect("there is room");
            world.flush();
        }
        world
    }

    /// Does the next job of the keeping hand, if one is on offer.
    fn keep_one(&mut self) -> Option<Kept> {
        let now = self.now();
        let outcome = perform(&self.journal, Heart::take_job(&mut self.machine, Hand::Keep, now)?);
        let kept = match &outcome.job {
            Job::Snapshot(SnapshotStep::Section { buffer, .. }) => Kept::Wrote(buffer.len() as u64),
            Job::Snapshot(SnapshotStep::ReadBack { bytes, .. }) => Kept::Read(*bytes),
            Job::Snapshot(_) => Kept::Step,
            _ => Kept::Other,
        };
        Heart::report(&mut self.machine, outcome, now);
        Some(kept)
    }

    /// The same until such a job was done, while time passes.
    fn keep_until(&mut self, is_it: fn(&Kept) -> bool) {
        let mut ms = 0;
        while !self.keep_one().as_ref().is_some_and(is_it) {
            self.pass(1);
            ms += 1;
            assert!(ms < 10_000, "it does not come");
        }
    }
}

/// Else every process that ends so leaves a little more, until the next snapshot is due.
#[test]
fn what_a_process_did_not_come_to_let_go_the_next_one_lets_go() {
    let mut world = World::with_snapshot_due(23);
    for made in 1..=2 {
        world.machine.ask_for_snapshot();
        while world.machine.snapshots.made < made {
            world.snapshot_steps(1);
            world.flush();
        }
    }
    let first = |world: &World| {
        let view = horolog_wal::read_log(&*world.storage, &LogOptions::small()).expect("it is sound");
        view.first_lsn.0
    };
    assert_eq!(first(&world), 1, "both snapshots have all there is, and the log is there");
    let mut next = World::over(world.storage.process_kill());
    next.flush();
    next.keep();
    assert!(first(&next) > 1);
    let again = World::over(next.storage.process_kill());
    assert!(again.machine.snapshots.is_idle(), "there is nothing more to let go");
}

/// What the keeping hand did.
#[derive(Debug)]
enum Kept {
    /// A section of so many bytes.
    Wrote(u64),
    /// Read back so many bytes of a snapshot.
    Read(u64),
    /// Another step of a snapshot.
    Step,
    /// Something else.
    Other,
}

#[test]
fn no_step_of_a_snapshot_comes_before_its_time() {
    let mut world = World::with_snapshot_due(19);
    let (mut not_before_ns, mut steps, mut idle_ms) = (0, 0, 0);
    while world.machine.snapshots.made == 0 {
        let begun_ns = world.now().elapsed_ns;
        let looks_at_ns = Heart::looks_again_at_ns(&world.machine, Hand::Keep);
        match world.keep_one() {
            Some(Kept::Wrote(bytes) | Kept::Read(bytes)) => {
                assert!(
                    begun_ns >= not_before_ns,
                    "a step that was to come at {not_before_ns} came at {begun_ns}"
                );
                not_before_ns = begun_ns + bytes * SECOND / (256 << 20);
                steps += 1;
            }
            Some(Kept::Step | Kept::Other) => {}
            None => {
                assert!(looks_at_ns.is_some_and(|at_ns| (begun_ns + 1..=not_before_ns).contains(&at_ns)));
                world.pass(1);
                idle_ms += 1;
            }
        }
    }
    assert!(steps >= 10 && idle_ms >= 30, "four mebibytes twice, {steps} steps in {idle_ms} ms");
}

/// Else the log that is written meanwhile would have no bound.
#[test]
fn the_steps_of_a_snapshot_come_at_once_while_the_log_grows_faster_than_an_eighth_of_it() {
    let mut world = World::with_snapshot_due(21);
    let mut is_on_offer_after = |logged_bytes: u64, is_it: fn(&Kept) -> bool| {
        world.keep_until(is_it);
        let made = &mut world.machine.snapshots;
        made.logged(logged_bytes);
        world.keep_until(is_it);
        matches!(world.keep_one(), Some(Kept::Wrote(_) | Kept::Read(_)))
    };
    const SECTION: u64 = 1 << 20;
    let wrote = |kept: &Kept| matches!(kept, Kept::Wrote(_));
    let read = |kept: &Kept| matches!(kept, Kept::Read(_));
    assert!(!is_on_offer_after(SECTION / 10, wrote));
    assert!(is_on_offer_after(SECTION / 2, wrote));
    assert!(
        !is_on_offer_after(0, read),
        "the log has stood still, and more than eight times as much was done"
    );
    assert!(is_on_offer_after(SECTION, read));
}

/// The one keeping hand has META to tell what is durable, and spares to make.
#[test]
fn a_snapshot_is_read_back_in_steps_with_other_jobs_in_between() {
    let mut world = World::with_snapshot_due(20);
    for _ in 0..3 {
        world.keep_until(|kept| matches!(kept, Kept::Read(1..=1_100_000)));
        world.after(60_000, Durability::Synced);
        world.flush();
        world.pass(2_000);
        assert!(matches!(world.keep_one(), Some(Kept::Other)));
    }
    assert_eq!(world.machine.snapshots.made, 0, "it was not all read yet");
    world.keep_until(|kept| matches!(kept, Kept::Read(0)));
}

impl World {
    /// Cancels all timers, and lets the log write that down.
    fn purge(&mut self) {
        let ids: Vec<_> = self.machine.state().timers().map(|timer| timer.id).collect();
        for ids in ids.chunks(1_000) {
            let now = self.now();
            let operations: Vec<_> = ids.iter().map(|id| Operation::Cancel(*id)).collect();
            let _ = self.machine.batch(&operations, Durability::Synced, &now).expect("there is room");
            self.flush();
        }
        assert_eq!(self.machine.state().len(), 0);
    }

    /// What all snapshots take.
    fn snapshot_bytes(&self) -> u64 {
        let files = self.storage.files();
        files.iter().filter(|(name, _)| name.starts_with("snap-")).map(|(_, bytes)| *bytes).sum()
    }
}

/// All that lived once is in the older of the two snapshots still, and in the log behind it.
#[test]
fn one_compaction_after_a_purge_leaves_little() {
    let mut world = World::with_snapshot_due(22);
    world.machine.options.snapshot_log_bytes = u64::MAX;
    world.machine.ask_for_snapshot();
    world.keep();
    let before = world.snapshot_bytes();
    world.purge();
    let attempt = world.machine.ask_for_snapshot();
    world.keep();
    assert!(matches!(world.machine.snapshot_end(attempt), Some(Ok(()))));
    let left = world.snapshot_bytes();
    assert!(before > 4_000_000 && left < 2 * (4_000 * 5 + 10_000), "{left} bytes are left of {before}");
    assert_eq!((world.machine.snapshots.made, world.half_made()), (3, 0));
}

/// Large timers go with few records: the log alone would give no reason for a long time.
#[test]
fn a_purge_is_a_reason_for_a_snapshot_and_the_next_one_needs_another() {
    let mut world = World::with_snapshot_due(23);
    world.machine.options.snapshot_log_bytes = 1 << 20;
    world.keep_until(|kept| matches!(kept, Kept::Read(0)));
    world.keep();
    let logged = world.machine.snapshots.log_bytes();
    world.purge();
    assert!(world.machine.snapshots.log_bytes() - logged < 1 << 20);
    world.keep_until(|kept| matches!(kept, Kept::Read(0)));
    world.keep_until(|kept| matches!(kept, Kept::Read(0)));
    world.pass(10);
    world.keep();
    let left = world.snapshot_bytes();
    assert!(left < 2 * (4_000 * 5 + 10_000), "{left} bytes are left");
    world.pass(10_000);
    world.keep();
    assert_eq!(world.machine.snapshots.made, 3, "nothing has changed since");
}

#[test]
fn no_spare_is_made_for_a_log_that_is_being_closed() {
    let mut world = World::new(24);
    world.flush();
    let now = world.now();
    world.machine.close(&now);
    // The MARK is written by one hand and synced by another.
    for _ in 0..2 {
        world.flush();
        while let Some(job) = Heart::take_job(&mut world.machine, Hand::Keep, now) {
            assert!(!matches!(job, Job::Spare), "nobody will use it");
            let outcome = perform(&world.journal, job);
            Heart::report(&mut world.machine, outcome, now);
        }
    }
    world.flush();
    assert!(world.machine.log.clean_written);
}

/// A backup would begin anew again and again else, in a directory that is compacted all the time.
#[test]
fn no_snapshot_and_no_log_goes_while_somebody_reads_the_directory() {
    let mut world = World::with_snapshot_due(25);
    world.machine.options.snapshot_log_bytes = u64::MAX;
    (0..2).for_each(|_| {
        world.machine.ask_for_snapshot();
        world.keep();
    });
    let names = |world: &World| -> Vec<String> {
        let files = world.storage.files().into_iter().map(|(name, _)| name);
        files.filter(|name| name.ends_with(".img") || name.ends_with(".wal")).collect()
    };
    let before = names(&world);
    (0..2).for_each(|_| world.machine.keep_files());
    let attempt = world.machine.ask_for_snapshot();
    world.keep();
    assert_eq!((names(&world), world.half_made()), (before, 1));
    world.machine.let_files_go();
    world.keep();
    assert!(world.machine.snapshot_end(attempt).is_none(), "one of the two goes on reading");
    world.machine.let_files_go();
    world.keep();
    assert!(matches!(world.machine.snapshot_end(attempt), Some(Ok(()))));
}

/// What was asked for while the first half of an attempt was under way is not what its second half answers.
#[test]
fn who_asks_for_a_snapshot_in_the_first_half_of_an_attempt_gets_the_attempt_after_it() {
    let mut world = World::with_snapshot_due(26);
    world.machine.options.snapshot_log_bytes = u64::MAX;
    world.machine.ask_for_snapshot();
    world.keep();
    let now = world.now();
    let ids: Vec<_> = world.machine.state().timers().map(|timer| timer.id).collect();
    for id in ids {
        world.machine.cancel(id, Durability::Synced, &now).expect("there is room");
        world.flush();
    }
    let first = world.machine.ask_for_snapshot();
    world.snapshot_steps(2);
    let second = world.machine.ask_for_snapshot();
    assert!(second > first);
    world.keep();
    assert_eq!(world.machine.stats().snapshots, 4, "one of much, two of nothing, and one more");
    for attempt in [first, second] {
        assert!(matches!(world.machine.snapshot_end(attempt), Some(Ok(()))));
    }
}

/// Shutting down waits for it before the lock of the directory is given back.
#[test]
fn a_job_is_out_until_it_is_reported_or_its_thread_has_panicked() {
    let mut world = World::new(27);
    world.flush();
    let now = world.now();
    world.after(60_000, Durability::Synced);
    world.storage.fail_next(Op::Sync, 0, Errno::Io);
    let write = Heart::take_job(&mut world.machine, Hand::Log, now).expect("there is a record");
    assert!(world.machine.has_work_out());
    let outcome = perform(&world.journal, write);
    Heart::report(&mut world.machine, outcome, now);
    assert!(!world.machine.has_work_out());
    world.flush();
    let heal = world.machine.begin_heal().expect("a sync has failed");
    assert!(world.machine.has_work_out());
    let outcome = perform(&world.journal, heal);
    Heart::report(&mut world.machine, outcome, now);
    assert!(!world.machine.has_work_out());
    world.after(60_000, Durability::Synced);
    let _lost = Heart::take_job(&mut world.machine, Hand::Log, now).expect("there is a record");
    Heart::panicked(&mut world.machine, "a log job");
    assert!(!world.machine.has_work_out(), "nobody will report it");
}
