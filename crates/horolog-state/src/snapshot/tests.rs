//! I12: a snapshot and the records behind it give what all records give.

use std::collections::BTreeSet;
use std::num::{NonZeroU32, NonZeroU64};
use std::string::String;
use std::vec::Vec;
use std::{format, vec};

use super::*;
use crate::{
    Anchor, CancelDecision, ClockReading, Epoch, FailCause, Limits, Lsn, Misfire, Now, Phase, Record,
    Request, Retry, ScheduleDecision, State, TickLen, TimerId, Token, When, codec, decide,
};

const MS: u64 = 1_000_000;
const TICK: TickLen = TickLen::MILLISECOND;

/// xorshift64*.
struct Rng(u64);

impl Rng {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }

    fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).expect("below a length")
    }
}

/// A life of an engine, with its log.
struct Life {
    rng: Rng,
    state: State,
    now: Now,
    log: Vec<(u8, Vec<u8>)>,
    ids: BTreeSet<TimerId>,
    ended: Vec<TimerId>,
}

impl Life {
    fn new(seed: u64) -> Self {
        let rng = Rng(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let now = Now::new(TICK, 1_000_000 * MS, 1_000_000 * MS);
        let mut life =
            Self { rng, state: State::new(), now, log: Vec::new(), ids: BTreeSet::new(), ended: Vec::new() };
        life.epoch(1_000);
        life
    }

    fn epoch(&mut self, generation_floor: u32) {
        let epoch = self.state.epoch() + 1;
        let reading = ClockReading { wall_ns: epoch, ..ClockReading::default() };
        self.apply(&Record::Epoch(Epoch { epoch, tick_len: TICK, generation_floor, reading }));
    }

    fn apply(&mut self, record: &Record<'_>) {
        let mut body = Vec::new();
        codec::encode(record, &mut body);
        self.log.push((record.kind().code(), body));
        let effect = self.state.apply(self.state.applied().next(), record).expect("it was decided");
        self.ids.extend(record.timer());
        self.ended.extend(record.timer().filter(|_| effect.free));
    }

    fn pick(&mut self) -> Option<TimerId> {
        let slot = u32::try_from(self.rng.below(u64::from(self.state.slab().slots()).max(1))).ok()?;
        self.state.id_at(slot)
    }

    fn schedule(&mut self) {
        let names: [&[u8]; 4] = [b"", b"a", b"bb", b"ccc"];
        let key = names[self.rng.index(4)];
        let delay_ns = u128::from(self.rng.below(2_000) * MS);
        let interval_ns = NonZeroU64::new(MS * (1 + self.rng.below(300))).expect("not zero");
        let when = match self.rng.below(5) {
            0 => When::Every { interval_ns, anchor: Anchor::Created },
            1 => When::At { unix_ns: u128::from(self.now.civil_ns) + delay_ns },
            _ => When::After { delay_ns },
        };
        let often = NonZeroU32::new(2).expect("not zero");
        let retry = Retry { failures_max: often, ..Retry::default() };
        let payload = vec![self.rng.below(256).to_le_bytes()[0]; self.rng.index(700)];
        let request = Request {
            key: Some(key).filter(|key| !key.is_empty()),
            payload: (&payload).into(),
            misfire: if self.rng.below(3) == 0 { Misfire::Skip } else { Misfire::FireOnce },
            retry: if self.rng.below(3) == 0 { retry } else { Retry::default() },
            ..Request::new(when)
        };
        let limits = Limits { timers_max: 60, payload_bytes_max: 1 << 20, memory_bytes_max: 1 << 30 };
        let id = self.state.slab_mut().reserve().expect("a slot");
        let decision = decide::schedule(&self.state, &request, &limits, id, TICK, &self.now);
        match decision {
            Ok(ScheduleDecision::Put(put)) => self.apply(&Record::Put(put)),
            _ => assert!(self.state.slab_mut().unreserve(id)),
        }
    }

    /// A timer in a slot of its own, as long as nothing is free.
    fn put(&mut self) {
        let id = self.state.slab_mut().reserve().expect("a slot");
        let due = crate::DueTime { timeline: crate::Timeline::Civil, tick: crate::Tick(9) };
        self.apply(&Record::Put(crate::Put { id, due, terms: None, payload: (b"").into() }));
    }

    fn cancel(&mut self, id: TimerId) {
        if let CancelDecision { record: Some(record), .. } = decide::cancel(&self.state, id) {
            self.apply(&Record::Cancel(record));
        }
    }

    fn fire(&mut self, id: TimerId) {
        if let Some(record) = decide::due(&self.state, id, TICK, &self.now) {
            self.apply(&record);
        }
    }

    fn token(&self, id: TimerId) -> Option<Token> {
        let timer = self.state.view(id).filter(|timer| timer.phase == Phase::Leased)?;
        let occurrence = timer.recurrence.map_or(Some(0), |it| it.live.map(|live| live.index))?;
        Some(Token { id, occurrence, number: timer.deliveries, epoch: self.state.epoch() })
    }

    fn end_delivery(&mut self, id: TimerId) {
        let Some(token) = self.token(id) else { return };
        if self.rng.below(2) == 0 {
            let record = decide::complete(&self.state, token).expect("it is in flight");
            self.apply(&Record::Complete(record));
        } else {
            let failed = decide::fail(&self.state, token, FailCause::Reported, "no", TICK, &self.now);
            let record = failed.expect("it is in flight");
            self.apply(&record);
        }
    }

    fn step(&mut self) {
        let dice = self.rng.below(16);
        match (dice, self.pick()) {
            (0..=4, _) => self.schedule(),
            (5..=7, Some(id)) => self.cancel(id),
            (8..=10, Some(id)) => self.fire(id),
            (11..=13, Some(id)) => self.end_delivery(id),
            (14, Some(id)) => {
                let due = self.now.elapsed.0 + 5;
                let due = crate::DueTime { timeline: crate::Timeline::Elapsed, tick: crate::Tick(due) };
                if let Ok(record) = decide::reschedule(&self.state, id, due) {
                    self.apply(&Record::Reschedule(record));
                }
            }
            _ => {
                let ms = self.rng.below(400);
                let now = self.now;
                self.now = Now::new(TICK, now.civil_ns + ms * MS, now.elapsed_ns + ms * MS);
                // What ended long ago is durable.
                for id in std::mem::take(&mut self.ended) {
                    self.state.free(id);
                }
            }
        }
    }
}

/// Everything that a state says.
fn picture(state: &State) -> String {
    let timers: Vec<_> = state.timers().map(|timer| format!("{timer:?}")).collect();
    let letters: Vec<_> = state.dead_letters().map(|letter| format!("{letter:?}")).collect();
    let keys = [&b"a"[..], b"bb", b"ccc"].map(|key| state.by_key(key));
    let slab = state.slab();
    let floors: Vec<_> = slab.floors().collect();
    format!(
        "{timers:#?} {letters:?} {keys:?} {:?} {:?} {:?} {} {} {} {floors:?} {} {}",
        state.totals(),
        state.reading(),
        state.tick_len(),
        state.applied(),
        state.epoch(),
        state.leased(),
        slab.origin(),
        slab.floor_base(),
    )
}

fn replayed(mut replay: Replay, log: &[(u8, Vec<u8>)]) -> Replay {
    let begin = replay.state().applied().0;
    for ((kind, body), lsn) in log.iter().zip(1..).filter(|(_, lsn)| *lsn > begin) {
        let record = codec::decode(*kind, body).expect("it was encoded");
        let effect = replay.apply(Lsn(lsn), &record).unwrap_or_else(|error| panic!("{error:?}"));
        if effect.free {
            replay.free(record.timer().expect("it has one"));
        }
    }
    replay
}

/// The sections of a walk with random steps of the life in between.
fn snapshot_of(life: &mut Life, slots_max: u32) -> (Lsn, Vec<Vec<u8>>) {
    let mut walk = SnapshotWalk::with_slots_max(&life.state, slots_max);
    let mut sections = Vec::new();
    loop {
        for _ in 0..life.rng.below(12) {
            life.step();
        }
        let mut section = Vec::new();
        if !walk.step(&life.state, &mut section) {
            return (walk.begin(), sections);
        }
        sections.push(section);
    }
}

fn loaded(begin: Lsn, sections: &[Vec<u8>]) -> Result<Replay, SnapshotFault> {
    let mut loader = SnapshotLoader::new(begin);
    sections.iter().try_for_each(|section| loader.section(section))?;
    loader.finish()
}

fn check_seed(seed: u64) {
    let mut life = Life::new(seed);
    for _ in 0..life.rng.below(300) {
        life.step();
    }
    if life.rng.below(2) == 0 {
        life.epoch(0);
    }
    let slots_max = 1 + u32::try_from(life.rng.below(9)).expect("small");
    let (begin, sections) = snapshot_of(&mut life, slots_max);
    for _ in 0..life.rng.below(100) {
        life.step();
    }
    let full = replayed(Replay::new(), &life.log).into_state();
    let suffix = loaded(begin, &sections).unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
    let mut short = replayed(suffix, &life.log).into_state();
    assert_eq!(short.check(), Ok(()), "seed {seed}");
    assert_eq!(picture(&short), picture(&full), "seed {seed}");
    let epoch = Epoch {
        epoch: short.epoch() + 1,
        tick_len: TICK,
        generation_floor: 0,
        reading: ClockReading::default(),
    };
    let _ = short.apply(short.applied().next(), &Record::Epoch(epoch)).expect("the next opening");
    for _ in 0..80 {
        let id = short.slab_mut().reserve().expect("a slot");
        assert!(!life.ids.contains(&id), "seed {seed}: {id} came again");
    }
}

/// `HOROLOG_SEEDS=n` and `HOROLOG_FIRST_SEED=n` explore further.
#[test]
fn a_snapshot_and_the_records_behind_it_give_what_all_records_give() {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let first = number("HOROLOG_FIRST_SEED").unwrap_or(0);
    for seed in first..first + number("HOROLOG_SEEDS").unwrap_or(1_000) {
        check_seed(seed);
    }
}

#[test]
fn how_large_a_snapshot_would_be_is_known_without_making_one() {
    for seed in 0..20 {
        let mut life = Life::new(seed);
        for _ in 0..3_000 {
            life.step();
        }
        let (mut walk, mut section) = (SnapshotWalk::new(&life.state), Vec::new());
        while walk.step(&life.state, &mut section) {}
        let (said, is) = (life.state.snapshot_bytes(), section.len() as u64);
        assert!(said > is / 2 && said < is + is / 4, "seed {seed}: {said} of {is} bytes");
    }
}

#[test]
fn the_sections_of_no_timer_at_all_are_the_globals() {
    let life = Life::new(1);
    let (mut walk, mut section) = (SnapshotWalk::new(&life.state), Vec::new());
    assert!(walk.step(&life.state, &mut section));
    assert_eq!((walk.begin(), walk.end()), (Lsn(1), Some(Lsn(1))));
    let len = section.len();
    assert!(!walk.step(&life.state, &mut section) && section.len() == len);
    let state = loaded(Lsn(1), &[section]).expect("sound").into_state();
    assert_eq!(picture(&state), picture(&life.state));
}

#[test]
fn a_walk_ends_however_many_timers_come_meanwhile() {
    let mut life = Life::new(3);
    for _ in 0..10 {
        life.put();
    }
    let (mut walk, mut sections) = (SnapshotWalk::with_slots_max(&life.state, 4), Vec::new());
    let mut section = Vec::new();
    while walk.step(&life.state, &mut section) {
        sections.push(std::mem::take(&mut section));
        assert!(sections.len() <= 4, "three for ten slots, and the globals");
        for _ in 0..5 {
            life.put();
        }
    }
    let suffix = loaded(walk.begin(), &sections).expect("sound");
    let short = replayed(suffix, &life.log).into_state();
    assert_eq!((short.check(), short.len()), (Ok(()), 30));
    assert_eq!(picture(&short), picture(&life.state));
}

#[test]
fn a_section_is_bounded_in_slots_and_in_bytes() {
    let mut state = State::new();
    let payload = vec![7; 300_000];
    for number in 0..6 {
        let id = state.slab_mut().reserve().expect("a slot");
        let due = crate::DueTime { timeline: crate::Timeline::Civil, tick: crate::Tick(9) };
        let put = crate::Put { id, due, terms: None, payload: (&payload).into() };
        let _ = state.apply(Lsn(number + 1), &Record::Put(put)).expect("it fits");
    }
    let (mut walk, mut lens) = (SnapshotWalk::new(&state), Vec::new());
    let mut section = Vec::new();
    while walk.step(&state, &mut section) {
        lens.push(section.len());
        section.clear();
    }
    assert_eq!(lens.len(), 3, "{lens:?}");
    assert!(lens.iter().all(|len| *len < SECTION_BYTES_MIN + payload.len() + 100), "{lens:?}");
}

/// Four sections, and where they begin.
fn sections() -> (Lsn, Vec<Vec<u8>>) {
    let mut life = Life::new(7);
    while life.state.slab().slots() < 12 {
        life.schedule();
        life.step();
    }
    let (mut walk, mut sections) = (SnapshotWalk::with_slots_max(&life.state, 5), Vec::new());
    let mut section = Vec::new();
    while walk.step(&life.state, &mut section) {
        sections.push(std::mem::take(&mut section));
    }
    assert_eq!(sections.len(), 4);
    (walk.begin(), sections)
}

#[test]
fn sections_that_are_missing_doubled_or_swapped_are_refused() {
    let (begin, whole) = sections();
    assert!(loaded(begin, &whole).is_ok());
    let order = |order: &[usize]| {
        let sections: Vec<_> = order.iter().map(|at| whole[*at].clone()).collect();
        loaded(begin, &sections).map(|replay| replay.state().len()).unwrap_err()
    };
    assert_eq!(order(&[0, 2, 1, 3]), SnapshotFault::Order { expected: 5, found: 10 });
    assert_eq!(order(&[0, 1, 1, 2, 3]), SnapshotFault::Order { expected: 10, found: 5 });
    assert_eq!(order(&[1, 2, 3]), SnapshotFault::Order { expected: 0, found: 5 });
    assert!(matches!(order(&[0, 1, 3]), SnapshotFault::Order { found: 10, .. }));
    assert_eq!(order(&[0, 1, 2]), SnapshotFault::NoGlobals);
    assert!(matches!(order(&[0, 1, 2, 3, 3]), SnapshotFault::Value { field: "kind", .. }));
}

#[test]
fn a_section_that_ends_anywhere_else_is_refused() {
    let (begin, whole) = sections();
    for (at, section) in whole.iter().enumerate() {
        for len in 0..section.len() {
            let mut cut = whole.clone();
            cut[at].truncate(len);
            assert!(loaded(begin, &cut).is_err(), "section {at} of {len} bytes");
        }
        let mut longer = whole.clone();
        longer[at].push(0);
        let fault = loaded(begin, &longer).unwrap_err();
        assert_eq!(fault, SnapshotFault::TrailingBytes { used: section.len(), len: section.len() + 1 });
    }
}

/// The checksum of its file guards a section; without it any byte may be anything, and nothing may panic.
#[test]
fn a_section_with_any_byte_changed_is_refused_or_another_state() {
    let (begin, whole) = sections();
    for (at, section) in whole.iter().enumerate() {
        for place in 0..section.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut changed = whole.clone();
                changed[at][place] = value;
                let _ = loaded(begin, &changed).map(|replay| picture(replay.state()));
            }
        }
    }
}
