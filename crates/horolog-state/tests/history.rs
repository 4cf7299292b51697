//! Random histories of commands, clocks and crashes, decided and applied as an engine does it. Names are the
//! specification.
//!
//! A `World` holds the live state, the log as bytes, and what has been promised. Slots are freed only when the record
//! that ended their timer is durable; a crash keeps any prefix of the log that holds what was durable.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU32, NonZeroU64};

use horolog_state::{
    Anchor, CancelOutcome, Clock, ClockReading, DueTime, Epoch, FailCause, IfExists, Kind, Limits, Lookup,
    Lsn, Misfire, Now, Payload, Phase, Put, Record, Request, Retry, ScheduleDecision, SkipReason, State,
    Tick, TickLen, Timeline, TimerId, Token, Totals, When, codec, decide,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const MS: u64 = 1_000_000;
const LEN: TickLen = TickLen::MILLISECOND;
const LIMITS: Limits = Limits { timers_max: 30, payload_bytes_max: 8_000, memory_bytes_max: 1 << 30 };
const KEYS: [&[u8]; 3] = [b"one", b"two", b"three"];

/// What may happen next. A timer is picked by a number, modulo those ever scheduled.
#[derive(Clone, Debug)]
enum Event {
    Schedule {
        when: When,
        key: usize,
        keep: bool,
        skips: bool,
        tries: u32,
        payload: usize,
    },
    Cancel(usize),
    Reschedule(usize, DueTime),
    Complete(usize),
    Fail(usize),
    /// Both clocks go on, and whatever is due is delivered.
    Wait(u64),
    /// Somebody sets the wall clock by so many milliseconds.
    Step(i64),
    Note,
    Sync,
    /// The process dies; of the records that are not durable, so many thirds stay.
    Crash(usize),
}

fn when() -> impl Strategy<Value = When> {
    let ns = |ms: u64| u128::from(ms * MS);
    let interval = (1u64..5_000).prop_map(|ms| NonZeroU64::new(ms * MS).unwrap());
    let anchor = prop_oneof![
        Just(Anchor::Created),
        (0u64..200_000).prop_map(|ms| Anchor::Instant { unix_ns: ms * MS }),
    ];
    prop_oneof![
        1 => (0u64..200_000).prop_map(move |ms| When::At { unix_ns: ns(ms) }),
        1 => (0u64..5_000).prop_map(move |ms| When::After { delay_ns: ns(ms) }),
        2 => (interval, anchor).prop_map(|(interval_ns, anchor)| When::Every { interval_ns, anchor }),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let payload = prop_oneof![Just(0usize), 1usize..100, Just(5_000usize)];
    let schedule = (when(), 0..9usize, any::<bool>(), any::<bool>(), 1..4u32, payload).prop_map(
        |(when, key, keep, skips, tries, payload)| Event::Schedule { when, key, keep, skips, tries, payload },
    );
    let timeline = prop_oneof![Just(Timeline::Civil), Just(Timeline::Elapsed)];
    let due = (timeline, 0u64..200_000).prop_map(|(timeline, tick)| DueTime { timeline, tick: Tick(tick) });
    let pick = || 0..1_000usize;
    prop_oneof![
        4 => schedule,
        2 => pick().prop_map(Event::Cancel),
        1 => (pick(), due).prop_map(|(pick, due)| Event::Reschedule(pick, due)),
        5 => pick().prop_map(Event::Complete),
        4 => pick().prop_map(Event::Fail),
        8 => prop_oneof![0u64..20, 0u64..3_000, 0u64..60_000].prop_map(Event::Wait),
        1 => (-100_000i64..100_000).prop_map(Event::Step),
        1 => Just(Event::Note),
        3 => Just(Event::Sync),
        2 => (0..4usize).prop_map(Event::Crash),
    ]
}

struct World {
    state: State,
    log: Vec<(u8, Vec<u8>)>,
    /// How many records are durable.
    durable: usize,
    /// Slots to be free when so many records are durable.
    ended: Vec<(usize, TimerId)>,
    now: Now,
    /// Ids given to callers, those lost in a crash included, and never two the same.
    given: BTreeSet<TimerId>,
    /// The same, in the order in which they were given.
    timers: Vec<TimerId>,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            state: State::new(),
            log: Vec::new(),
            durable: 0,
            ended: Vec::new(),
            now: Now::new(LEN, 100_000 * MS, 0),
            given: BTreeSet::new(),
            timers: Vec::new(),
        };
        world.open();
        world
    }

    fn open(&mut self) {
        let generation_floor = if self.state.epoch() == 0 { 1_000 } else { 0 };
        let (epoch, reading) = (self.state.epoch() + 1, self.reading());
        self.write(&Record::Epoch(Epoch { epoch, tick_len: LEN, generation_floor, reading }));
        self.sync();
    }

    fn reading(&self) -> ClockReading {
        let (wall_ns, elapsed_ns) = (self.now.civil_ns, self.now.elapsed_ns);
        ClockReading { wall_ns, boottime_ns: elapsed_ns, boot_id: 1, elapsed_ns }
    }

    /// Encodes and applies a record.
    fn write(&mut self, record: &Record<'_>) {
        let mut body = Vec::new();
        codec::encode(record, &mut body);
        self.log.push((record.kind().code(), body));
        let effect = self.state.apply(self.state.applied().next(), record).unwrap();
        assert_eq!(self.state.check(), Ok(()), "after {record:?}");
        if effect.free {
            self.ended.push((self.log.len(), record.timer().unwrap()));
        }
    }

    fn sync(&mut self) {
        self.durable = self.log.len();
        for (_, id) in self.ended.drain(..) {
            self.state.free(id);
        }
    }

    fn crash(&mut self, thirds: usize) {
        let undurable = self.log.len() - self.durable;
        self.log.truncate(self.durable + undurable * thirds.min(3) / 3);
        self.state = replay(&self.log);
        self.ended.clear();
        self.open();
    }

    fn pick(&self, pick: usize) -> Option<TimerId> {
        self.timers.get(pick % self.timers.len().max(1)).copied()
    }

    /// The delivery of a timer that is in flight.
    fn token(&self, id: TimerId) -> Option<Token> {
        let timer = self.state.view(id).filter(|timer| timer.phase == Phase::Leased)?;
        let occurrence = timer.recurrence.and_then(|r| r.live).map_or(0, |live| live.index);
        Some(Token { id, occurrence, number: timer.deliveries, epoch: self.state.epoch() })
    }

    /// A timer in flight, if there is one.
    fn pick_leased(&self, pick: usize) -> Option<Token> {
        let leased: Vec<_> = self.timers.iter().filter_map(|id| self.token(*id)).collect();
        leased.get(pick % leased.len().max(1)).copied()
    }

    fn happen(&mut self, event: &Event) {
        match *event {
            Event::Schedule { when, key, keep, skips, tries, payload } => {
                let tries = NonZeroU32::new(tries).unwrap();
                let payload = Payload::from(&*vec![7; payload]);
                let request = Request {
                    when,
                    payload: payload.view(),
                    key: KEYS.get(key).copied(),
                    if_exists: if keep { IfExists::Keep } else { IfExists::Error },
                    misfire: if skips { Misfire::Skip } else { Misfire::FireOnce },
                    retry: Retry { failures_max: tries, deliveries_max: tries, ..Retry::default() },
                };
                self.schedule(&request);
            }
            Event::Cancel(pick) => self.cancel(pick),
            Event::Reschedule(pick, due) => {
                if let Some(id) = self.pick(pick)
                    && let Ok(record) = decide::reschedule(&self.state, id, due)
                {
                    self.write(&Record::Reschedule(record));
                }
            }
            Event::Complete(pick) => {
                if let Some(token) = self.pick_leased(pick) {
                    self.write(&Record::Complete(decide::complete(&self.state, token).unwrap()));
                }
            }
            Event::Fail(pick) => {
                if let Some(token) = self.pick_leased(pick) {
                    let (cause, now) = (FailCause::Dropped, self.now);
                    let record = decide::fail(&self.state, token, cause, "why", LEN, &now).unwrap();
                    self.write(&record);
                }
            }
            Event::Wait(ms) => {
                let ns = ms * MS;
                self.now = Now::new(LEN, self.now.civil_ns + ns, self.now.elapsed_ns + ns);
                self.deliver();
            }
            Event::Step(ms) => {
                let ns = ms * MS.cast_signed();
                self.now = Now::new(LEN, self.now.civil_ns.saturating_add_signed(ns), self.now.elapsed_ns);
                self.deliver();
            }
            Event::Note => self.write(&Record::Clock(Clock { reading: self.reading() })),
            Event::Sync => self.sync(),
            Event::Crash(thirds) => self.crash(thirds),
        }
    }

    fn schedule(&mut self, request: &Request<'_>) {
        let id = self.state.slab_mut().reserve().unwrap();
        match decide::schedule(&self.state, request, &LIMITS, id, LEN, &self.now) {
            Ok(ScheduleDecision::Put(put)) => {
                self.write(&Record::Put(put));
                assert!(self.given.insert(id), "{id} is given a second time");
                self.timers.push(id);
            }
            Ok(ScheduleDecision::Kept { .. }) | Err(_) => assert!(self.state.slab_mut().unreserve(id)),
        }
    }

    fn cancel(&mut self, pick: usize) {
        let Some(id) = self.pick(pick) else { return };
        let decision = decide::cancel(&self.state, id);
        let is_live = self.state.view(id).is_some();
        let says_live = matches!(decision.outcome, CancelOutcome::Cancelled | CancelOutcome::InFlight);
        assert_eq!(says_live, is_live, "{id} is {:?}", decision.outcome);
        if let Some(record) = decision.record {
            self.write(&Record::Cancel(record));
        }
    }

    /// Everything that is due, each timer until nothing more is to be done about it.
    fn deliver(&mut self) {
        let live: Vec<_> = self.state.timers().map(|timer| timer.id).collect();
        for id in live {
            let mut steps = 0;
            while let Some(record) = decide::due(&self.state, id, LEN, &self.now) {
                self.check_not_early(&record);
                self.write(&record);
                steps += 1;
                assert!(steps < 4, "{id} comes to no end");
            }
        }
    }

    fn check_not_early(&self, record: &Record<'_>) {
        let Record::Deliver(r) = record else { return };
        let timer = self.state.view(r.id).unwrap();
        assert!(!timer.doomed && r.number <= timer.retry.deliveries_max.get());
        let due = match timer.recurrence {
            Some(recurrence) if recurrence.live.is_none() => recurrence.grid.due(LEN, r.occurrence),
            _ => timer.due,
        };
        assert!(self.now.has_reached(due), "{r:?} is early");
    }
}

fn replay(log: &[(u8, Vec<u8>)]) -> State {
    let mut state = State::new();
    for (code, body) in log {
        let record = codec::decode(*code, body).unwrap();
        let effect = state.apply(state.applied().next(), &record).unwrap();
        if effect.free {
            state.free(record.timer().unwrap());
        }
    }
    assert_eq!(state.check(), Ok(()));
    state
}

/// Everything that can be seen of a state.
fn picture(state: &State) -> String {
    let timers: Vec<_> = state.timers().collect();
    let dead: Vec<_> = state.dead_letters().collect();
    let keys = KEYS.map(|key| state.by_key(key));
    let rest =
        (state.applied(), state.epoch(), state.tick_len(), state.reading(), state.leased(), state.len());
    format!("{timers:#?}\n{dead:#?}\n{:#?}\n{keys:?} {rest:?}", state.totals())
}

/// What became of every occurrence, counted from the log alone, with no help from `State`.
///
/// Slots of a grid are taken off in order and without gaps; each ends once, or is in flight, or went with its timer.
#[derive(Default)]
struct Audit {
    totals: Totals,
    grids: BTreeMap<TimerId, AuditedGrid>,
    cancelled: BTreeSet<TimerId>,
    over: BTreeSet<TimerId>,
}

#[derive(Default)]
struct AuditedGrid {
    next: u64,
    live: Option<u64>,
}

impl Audit {
    fn of(log: &[(u8, Vec<u8>)]) -> Self {
        let mut audit = Self::default();
        for (code, body) in log {
            let record = codec::decode(*code, body).unwrap();
            let timer = record.timer();
            assert!(
                timer.is_none_or(|id| !audit.over.contains(&id)),
                "{record:?} comes after the end of its timer"
            );
            audit.count(&record);
        }
        audit
    }

    fn count(&mut self, record: &Record<'_>) {
        let totals = &mut self.totals;
        match record {
            Record::Put(r) => {
                totals.scheduled += 1;
                if let Some((_, next)) = r.terms.and_then(|terms| terms.grid) {
                    self.grids.insert(r.id, AuditedGrid { next, live: None });
                }
            }
            Record::Cancel(r) => {
                totals.cancelled += 1;
                self.cancelled.insert(r.id);
            }
            Record::Deliver(r) => {
                assert!(!self.cancelled.contains(&r.id), "{r:?} comes after a cancel");
                totals.deliveries += 1;
                if r.number == 1 {
                    totals.coalesced += r.occurrence - r.covers_from;
                }
                if let Some(grid) = self.grids.get_mut(&r.id) {
                    if r.number == 1 {
                        assert_eq!((grid.next, grid.live), (r.covers_from, None), "{r:?}");
                        grid.next = r.occurrence + 1;
                    } else {
                        assert_eq!(grid.live, Some(r.occurrence), "{r:?}");
                    }
                    grid.live = Some(r.occurrence);
                }
            }
            Record::Skip(r) => {
                let slots = r.to - r.from + 1;
                match r.reason {
                    SkipReason::Misfire => totals.skipped_misfire += slots,
                    SkipReason::Overlap => totals.skipped_overlap += slots,
                }
                match self.grids.get_mut(&r.id) {
                    Some(grid) => {
                        assert_eq!(grid.next, r.from, "{r:?}");
                        grid.next = r.to + 1;
                    }
                    None => {
                        totals.expired += 1;
                        self.over.insert(r.id);
                    }
                }
            }
            Record::Complete(r) => {
                totals.completed += 1;
                let recurs = self.end_slot(r.id, r.occurrence);
                if !recurs {
                    self.over.insert(r.id);
                    self.totals.finished += u64::from(!self.cancelled.contains(&r.id));
                }
            }
            Record::Fail(_) => totals.failures += 1,
            Record::Dead(r) => {
                totals.dead += 1;
                self.end_slot(r.id, r.occurrence);
            }
            Record::Reschedule(_) | Record::Clock(_) | Record::Epoch(_) => {}
        }
    }

    fn end_slot(&mut self, id: TimerId, occurrence: u64) -> bool {
        let grid = self.grids.get_mut(&id);
        if let Some(grid) = &grid {
            assert_eq!(grid.live, Some(occurrence), "slot {occurrence} of {id} ended, and was not in flight");
        }
        grid.map(|grid| grid.live = None).is_some()
    }
}

/// A fixed seed, so that a run is a fact and not a chance. `PROPTEST_RNG_SEED=n` and `PROPTEST_CASES=n` explore further.
fn config(cases: u32) -> ProptestConfig {
    let mut config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(0x484f_524f_4c4f_4721);
    }
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    config
}

fn world_after(events: &[Event]) -> World {
    let mut world = World::new();
    for event in events {
        world.happen(event);
    }
    world
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn a_replay_of_the_log_gives_the_same_state(events in vec(event(), 1..120)) {
        let world = world_after(&events);
        let mut replayed = replay(&world.log);
        prop_assert_eq!(picture(&replayed), picture(&world.state));
        for id in &world.timers {
            prop_assert_eq!(replayed.lookup(*id).0, world.state.lookup(*id).0, "{}", id);
        }
        // Every id that the replayed state gives next is a new one, and all of them can be used.
        for _ in 0..world.state.slab().slots() + 3 {
            let id = replayed.slab_mut().reserve().unwrap();
            prop_assert_eq!(replayed.lookup(id).0, Lookup::Unknown);
            let record = Record::Put(Put {
                id,
                due: DueTime { timeline: Timeline::Civil, tick: Tick(1) },
                terms: None,
                payload: (&[]).into(),
            });
            let lsn = replayed.applied().next();
            prop_assert!(replayed.apply(lsn, &record).is_ok());
            prop_assert_eq!(replayed.check(), Ok(()));
        }
    }

    /// Ids that crashes made the log forget are checked on the way: see `World::schedule`.
    #[test]
    fn what_became_of_every_occurrence_is_in_the_log(events in vec(event(), 1..120)) {
        let world = world_after(&events);
        let audit = Audit::of(&world.log);
        prop_assert_eq!(audit.totals, world.state.totals());
        for timer in world.state.timers() {
            let grid = audit.grids.get(&timer.id);
            prop_assert_eq!(timer.recurrence.map(|r| r.next_index), grid.map(|grid| grid.next));
            prop_assert_eq!(timer.recurrence.and_then(|r| r.live).map(|live| live.index), grid.and_then(|grid| grid.live));
        }
    }

    /// A crash may keep any prefix: none of them contradicts itself.
    #[test]
    fn every_prefix_of_a_log_can_be_replayed(events in vec(event(), 1..60)) {
        let world = world_after(&events);
        for len in 0..=world.log.len() {
            let state = replay(&world.log[..len]);
            prop_assert_eq!(state.applied(), Lsn(len as u64));
        }
    }
}

/// Without this, a change of the weights above could leave the properties with nothing to say.
#[test]
fn random_histories_reach_every_kind_of_record_and_every_way_to_end() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::new(config(1));
    let (mut kinds, mut sums) = (BTreeMap::new(), Totals::default());
    for _ in 0..60 {
        let events = vec(event(), 120).new_tree(&mut runner).unwrap().current();
        let world = world_after(&events);
        for (code, _) in &world.log {
            *kinds.entry(Kind::from_code(*code).unwrap()).or_insert(0) += 1;
        }
        let totals = world.state.totals();
        sums.cancelled += totals.cancelled;
        sums.finished += totals.finished;
        sums.expired += totals.expired;
        sums.coalesced += totals.coalesced;
        sums.skipped_misfire += totals.skipped_misfire;
        sums.skipped_overlap += totals.skipped_overlap;
    }
    assert!(Kind::ALL.iter().all(|kind| kinds.get(kind).is_some_and(|count| *count > 10)), "{kinds:?}");
    let counts = [
        sums.cancelled,
        sums.finished,
        sums.expired,
        sums.coalesced,
        sums.skipped_misfire,
        sums.skipped_overlap,
    ];
    assert!(counts.iter().all(|count| *count > 10), "{sums:?}");
}
