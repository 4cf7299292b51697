//! Records to bytes and back, and what becomes of bytes that are no record. Names are the specification
//! (`docs/format.md`, "Record bodies").
//!
//! `check` changes bytes of a good body and compares the fault. The bytes themselves are pinned in `tests/format`.

use alloc::string::String;
use alloc::vec::Vec;

use horolog_wheel::GENERATION_MAX;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;

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

/// The bytes of one record.
fn body(record: &Record<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    encode(record, &mut out);
    out
}

/// Everything that a record can be made of; each kind takes what it needs.
#[derive(Clone, Debug)]
struct Ink {
    id: TimerId,
    due: DueTime,
    next: Option<DueTime>,
    numbers: [u64; 6],
    wide: u128,
    counts: [NonZeroU32; 2],
    small: u32,
    choice: usize,
    is_plain: bool,
    recurs: bool,
    key: Vec<u8>,
    payload: Vec<u8>,
    text: String,
}

impl Ink {
    fn record(&self, kind: Kind) -> Record<'_> {
        let (id, [a, b, c, d, e, f]) = (self.id, self.numbers);
        let interval_ns = NonZeroU64::new(d).unwrap_or(NonZeroU64::MIN);
        let grid = Grid { timeline: self.due.timeline, anchor_ns: c, interval_ns };
        let reading = ClockReading { wall_ns: a, boottime_ns: b, boot_id: self.wide, elapsed_ns: c };
        match kind {
            Kind::Put => {
                let [failures_max, deliveries_max] = self.counts;
                let retry = Retry { failures_max, deliveries_max, backoff_base_ns: a, backoff_max_ns: b };
                let misfire = [Misfire::FireOnce, Misfire::Skip][self.choice % 2];
                let terms = Terms { key: &self.key, misfire, retry, grid: self.recurs.then_some((grid, e)) };
                let terms = (!self.is_plain).then_some(terms);
                Record::Put(Put { id, due: self.due, terms, payload: (&self.payload).into() })
            }
            Kind::Reschedule => Record::Reschedule(Reschedule { id, due: self.due }),
            Kind::Cancel => Record::Cancel(Cancel { id }),
            Kind::Deliver => Record::Deliver(Deliver {
                id,
                occurrence: a,
                covers_from: b,
                number: self.small,
                epoch: c,
                next_due: self.next,
            }),
            Kind::Skip => {
                let reason = [SkipReason::Misfire, SkipReason::Overlap][self.choice % 2];
                Record::Skip(Skip { id, from: a, to: b, reason, next_due: self.next })
            }
            Kind::Complete => Record::Complete(Complete { id, occurrence: a, number: self.small }),
            Kind::Fail => Record::Fail(Fail {
                id,
                occurrence: a,
                number: self.small,
                cause: [FailCause::Reported, FailCause::Dropped, FailCause::Panicked][self.choice % 3],
                retry: self.next,
                message: &self.text,
            }),
            Kind::Dead => {
                let reasons = [DeadReason::Failures, DeadReason::Deliveries, DeadReason::Superseded];
                let reason = reasons[self.choice % 3];
                Record::Dead(Dead { id, occurrence: a, reason, message: &self.text })
            }
            Kind::Clock => Record::Clock(Clock { reading }),
            Kind::Epoch => {
                let tick_len = TickLen::from_ns(f).unwrap_or(TickLen::MILLISECOND);
                Record::Epoch(Epoch { epoch: e, tick_len, generation_floor: self.small, reading })
            }
        }
    }
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(1), Just(u64::MAX), any::<u64>()]
}

fn due() -> impl Strategy<Value = DueTime> {
    let timeline = prop_oneof![Just(Timeline::Civil), Just(Timeline::Elapsed)];
    (timeline, number()).prop_map(|(timeline, tick)| DueTime { timeline, tick: Tick(tick) })
}

fn id() -> impl Strategy<Value = TimerId> {
    let slot = prop_oneof![Just(0), Just(u32::MAX), any::<u32>()];
    let generation = prop_oneof![Just(1), Just(GENERATION_MAX), 1..=GENERATION_MAX];
    (slot, generation).prop_map(|(slot, generation)| TimerId::new(slot, generation).unwrap())
}

fn ink() -> impl Strategy<Value = Ink> {
    let count =
        || prop_oneof![Just(1), Just(u32::MAX), 1..=u32::MAX].prop_map(|n| NonZeroU32::new(n).unwrap());
    let small = prop_oneof![Just(0), Just(u32::MAX), any::<u32>()];
    let wide = prop_oneof![Just(0), Just(u128::MAX), any::<u128>()];
    let numbers = [number(), number(), number(), number(), number(), number()];
    let bytes = (vec(any::<u8>(), 0..40), vec(any::<u8>(), 0..300), ".{0,40}");
    let choices = (0..6usize, any::<bool>(), any::<bool>());
    let whole = (id(), due(), proptest::option::of(due()), numbers, wide, [count(), count()], small);
    (whole, choices, bytes).prop_map(
        |(
            (id, due, next, numbers, wide, counts, small),
            (choice, is_plain, recurs),
            (key, payload, text),
        )| {
            Ink { id, due, next, numbers, wide, counts, small, choice, is_plain, recurs, key, payload, text }
        },
    )
}

/// One with every option taken, and byte strings that are not empty.
fn full() -> Ink {
    let count = |n| NonZeroU32::new(n).unwrap();
    let due = DueTime { timeline: Timeline::Elapsed, tick: Tick(0x1122) };
    Ink {
        id: TimerId::new(7, 3).unwrap(),
        due,
        next: Some(due),
        numbers: [11, 12, 13, 14, 15, 16],
        wide: 17,
        counts: [count(18), count(19)],
        small: 20,
        choice: 1,
        is_plain: false,
        recurs: true,
        key: b"key".to_vec(),
        payload: b"payload".to_vec(),
        text: String::from("words"),
    }
}

fn bare() -> Ink {
    Ink { next: None, is_plain: true, payload: Vec::new(), text: String::new(), ..full() }
}

/// Writes `bytes` over the full body of a `kind` at `at`, and compares the fault.
#[track_caller]
fn check(kind: Kind, at: usize, bytes: &[u8], expected: RecordFault) {
    let mut body = body(&full().record(kind));
    body[at..at + bytes.len()].copy_from_slice(bytes);
    assert_eq!(decode(kind.code(), &body), Err(expected));
}

#[track_caller]
fn check_value(kind: Kind, at: usize, bytes: &[u8], field: &'static str, value: u64) {
    check(kind, at, bytes, RecordFault::Value { kind, field, value });
}

#[track_caller]
fn check_malformed(kind: Kind, at: usize, bytes: &[u8]) {
    let len = body(&full().record(kind)).len();
    check(kind, at, bytes, RecordFault::Malformed { kind, len });
}

// Round trips

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn every_record_comes_back_as_it_was(ink in ink()) {
        for kind in Kind::ALL {
            let bytes = body(&ink.record(kind));
            prop_assert_eq!(decode(kind.code(), &bytes), Ok(ink.record(kind)));
        }
    }

    /// No two bodies mean the same: what decodes is what would be written.
    #[test]
    fn a_changed_byte_is_a_fault_or_another_record(ink in ink(), at in any::<usize>(), to in any::<u8>()) {
        for kind in Kind::ALL {
            let mut bytes = body(&ink.record(kind));
            let at = at % bytes.len();
            bytes[at] = to;
            if let Ok(record) = decode(kind.code(), &bytes) {
                prop_assert_eq!(body(&record), bytes);
            }
        }
    }
}

proptest! {
    #![proptest_config(config(4_000))]

    #[test]
    fn arbitrary_bytes_are_a_record_or_a_fault(code in 0u8..12, bytes in vec(any::<u8>(), 0..140)) {
        if let Ok(record) = decode(code, &bytes) {
            prop_assert_eq!(body(&record), bytes);
        }
    }

    /// Zeroes and ones are the bytes that choices and options take.
    #[test]
    fn arbitrary_small_bytes_are_a_record_or_a_fault(code in 1u8..11, bytes in vec(0u8..3, 0..140)) {
        if let Ok(record) = decode(code, &bytes) {
            prop_assert_eq!(body(&record), bytes);
        }
    }
}

#[test]
fn a_body_is_appended_to_what_is_there() {
    for kind in Kind::ALL {
        let mut out = b"before".to_vec();
        encode(&full().record(kind), &mut out);
        assert_eq!(out, [b"before", &body(&full().record(kind))[..]].concat());
    }
}

#[test]
fn a_shared_payload_is_the_end_of_its_body() {
    let (ink, payload) = (full(), Arc::from(&*full().payload));
    let Record::Put(put) = ink.record(Kind::Put) else { panic!("a Put") };
    let shared = Record::Put(Put { payload: PayloadView::Shared(&payload), ..put });
    let mut head = Vec::new();
    let tail = encode_head(&shared, &mut head).expect("the payload is shared");
    assert!(Arc::ptr_eq(&tail, &payload), "nothing is copied");
    assert_eq!([&head[..], &tail].concat(), body(&ink.record(Kind::Put)));
    assert_eq!(body(&shared), body(&ink.record(Kind::Put)));
}

#[test]
fn byte_strings_are_borrowed_from_the_body() {
    let bytes = body(&full().record(Kind::Put));
    let Ok(Record::Put(put)) = decode(Kind::Put.code(), &bytes) else { panic!("a Put decodes") };
    let key = put.terms.map(|terms| terms.key).unwrap();
    assert!(bytes.as_ptr_range().contains(&put.payload.as_ptr()));
    assert!(bytes.as_ptr_range().contains(&key.as_ptr()));
}

#[test]
fn the_overhead_of_a_record_is_within_its_bound() {
    let Ink { key, payload, .. } = full();
    let bytes = body(&full().record(Kind::Put));
    assert!(bytes.len() - key.len() - payload.len() <= RECORD_OVERHEAD_BYTES_MAX);
}

#[test]
fn the_longest_record_comes_back_and_a_longer_one_is_malformed() {
    let ink = |extra| Ink { payload: alloc::vec![7; RECORD_BYTES_MAX - 26 + extra], ..bare() };
    let (longest, longer) = (ink(0), ink(1));
    let bytes = body(&longest.record(Kind::Put));
    assert_eq!(bytes.len(), RECORD_BYTES_MAX);
    assert!(
        decode(Kind::Put.code(), &bytes) == Ok(longest.record(Kind::Put)),
        "the longest record comes back"
    );
    drop(bytes);
    let bytes = body(&longer.record(Kind::Put));
    let len = RECORD_BYTES_MAX + 1;
    assert_eq!(decode(Kind::Put.code(), &bytes).err(), Some(RecordFault::Malformed { kind: Kind::Put, len }));
}

// Too short and too long

#[test]
fn every_truncation_is_malformed() {
    for (kind, ink) in Kind::ALL.into_iter().flat_map(|kind| [(kind, full()), (kind, bare())]) {
        let bytes = body(&ink.record(kind));
        for len in 0..bytes.len() {
            assert_eq!(decode(kind.code(), &bytes[..len]), Err(RecordFault::Malformed { kind, len }));
        }
    }
}

#[test]
fn every_byte_after_the_record_is_a_fault() {
    for (kind, ink) in Kind::ALL.into_iter().flat_map(|kind| [(kind, full()), (kind, bare())]) {
        let bytes = body(&ink.record(kind));
        for more in 1..20 {
            for filler in [0, 1, 0xff] {
                let longer = [&bytes[..], &alloc::vec![filler; more]].concat();
                let (used, len) = (bytes.len(), longer.len());
                assert_eq!(decode(kind.code(), &longer), Err(RecordFault::TrailingBytes { kind, used, len }));
            }
        }
    }
}

// Numbers without a meaning

#[test]
fn an_unknown_kind_is_named() {
    for code in (0..=u8::MAX).filter(|code| !(1..=10).contains(code)) {
        assert_eq!(decode(code, &[]), Err(RecordFault::UnknownKind { code }));
    }
}

#[test]
fn a_generation_of_zero_is_no_id() {
    for kind in Kind::ALL.into_iter().filter(|kind| !matches!(kind, Kind::Clock | Kind::Epoch)) {
        check_value(kind, 4, &[0; 4], "id", 7);
    }
}

#[test]
fn a_generation_that_no_slot_can_have_is_no_id() {
    let generation = GENERATION_MAX + 1;
    let raw = u64::from(generation) << 32 | 7;
    check_value(Kind::Cancel, 4, &generation.to_le_bytes(), "id", raw);
}

#[test]
fn an_unknown_timeline_is_named_wherever_it_stands() {
    check_value(Kind::Put, 8, &[2], "timeline", 2);
    check_value(Kind::Put, 18 + 8 + 3 + 25 + 1, &[3], "timeline", 3);
    check_value(Kind::Reschedule, 8, &[0xff], "timeline", 0xff);
    check_value(Kind::Deliver, 37, &[2], "timeline", 2);
    check_value(Kind::Skip, 26, &[2], "timeline", 2);
    check_value(Kind::Fail, 22, &[2], "timeline", 2);
}

#[test]
fn an_unknown_misfire_policy_is_named() {
    check_value(Kind::Put, 18 + 8 + 3, &[2], "misfire", 2);
}

#[test]
fn a_count_of_zero_is_named() {
    check_value(Kind::Put, 30, &[0; 4], "failures_max", 0);
    check_value(Kind::Put, 34, &[0; 4], "deliveries_max", 0);
}

#[test]
fn an_interval_of_zero_is_named() {
    check_value(Kind::Put, 55 + 1 + 8, &[0; 8], "interval_ns", 0);
}

#[test]
fn a_tick_of_no_length_is_named() {
    check_value(Kind::Epoch, 8, &[0; 8], "tick_len_ns", 0);
}

#[test]
fn an_unknown_reason_is_named() {
    check_value(Kind::Skip, 24, &[2], "reason", 2);
    check_value(Kind::Dead, 16, &[3], "reason", 3);
}

#[test]
fn an_unknown_cause_is_named() {
    check_value(Kind::Fail, 20, &[3], "cause", 3);
}

#[test]
fn a_message_that_is_no_text_is_named_with_its_first_bad_byte() {
    check_value(Kind::Fail, 31 + 8 + 2, &[0xff], "message", 2);
    check_value(Kind::Dead, 17 + 8 + 4, &[0xc3], "message", 4);
}

#[test]
fn an_option_byte_is_zero_or_one() {
    check_malformed(Kind::Put, 17, &[2]);
    check_malformed(Kind::Put, 54, &[2]);
    check_malformed(Kind::Deliver, 36, &[0xff]);
    check_malformed(Kind::Skip, 25, &[2]);
    check_malformed(Kind::Fail, 21, &[2]);
}

// Hostile lengths. That they are refused without an allocation is shown in `tests/no_allocation.rs`.

#[test]
fn a_length_past_the_end_is_malformed() {
    let payload = body(&full().record(Kind::Put)).len() - 7 - 8;
    for len in [8, 1 << 20, 1 << 33, 1 << 63, u64::MAX - 7, u64::MAX] {
        check_malformed(Kind::Put, payload, &len.to_le_bytes());
        check_malformed(Kind::Fail, 31, &len.to_le_bytes());
        check_malformed(Kind::Dead, 17, &len.to_le_bytes());
    }
    for len in [1 << 20, 1 << 33, 1 << 63, u64::MAX - 7, u64::MAX] {
        check_malformed(Kind::Put, 18, &len.to_le_bytes());
    }
}
