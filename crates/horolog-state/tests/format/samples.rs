//! The records in the golden files, and what each of them says, field by field, as `docs/format.md` names the fields.

use std::num::{NonZeroU32, NonZeroU64};

use horolog_state::{
    Cancel, Clock, ClockReading, Complete, Dead, DeadReason, Deliver, DueTime, Epoch, Fail, FailCause, Grid,
    Kind, Misfire, Put, Record, Reschedule, Retry, Skip, SkipReason, Terms, Tick, TickLen, Timeline, TimerId,
};

use crate::reader::{Fields, Value};

/// A record of a golden file, and its name there.
pub(crate) type Sample = (&'static str, Record<'static>);

/// 2026-01-01T00:00:00Z in milliseconds, as a tick that is easy to recognise among bytes.
const NEW_YEAR: Tick = Tick(1_767_225_600_000);

fn id(slot: u32, generation: u32) -> TimerId {
    TimerId::new(slot, generation).unwrap()
}

fn count(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

fn civil(tick: Tick) -> DueTime {
    DueTime { timeline: Timeline::Civil, tick }
}

fn elapsed(tick: Tick) -> DueTime {
    DueTime { timeline: Timeline::Elapsed, tick }
}

fn reading() -> ClockReading {
    let boot_id = 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff;
    ClockReading {
        wall_ns: 1_767_225_600_000_000_000,
        boottime_ns: 86_400_000_000_000,
        boot_id,
        elapsed_ns: 42,
    }
}

/// The records of one golden file.
pub(crate) fn samples(kind: Kind) -> Vec<Sample> {
    match kind {
        Kind::Put => puts(),
        Kind::Reschedule => vec![
            ("to a civil tick", Record::Reschedule(Reschedule { id: id(7, 3), due: civil(NEW_YEAR) })),
            ("to the end of time", Record::Reschedule(Reschedule { id: id(7, 3), due: elapsed(Tick::MAX) })),
        ],
        Kind::Cancel => vec![
            ("the first id", Record::Cancel(Cancel { id: id(0, 1) })),
            ("the last id", Record::Cancel(Cancel { id: id(u32::MAX, (1 << 29) - 1) })),
        ],
        Kind::Deliver => {
            let (first, second) = (Some(elapsed(Tick(260_400_000))), Some(civil(NEW_YEAR)));
            let deliver = |occurrence, covers_from, number, epoch, next_due| {
                Record::Deliver(Deliver { id: id(7, 3), occurrence, covers_from, number, epoch, next_due })
            };
            vec![
                ("a one-shot", deliver(0, 0, 1, 1, None)),
                ("slots 2 to 433 of a grid at once", deliver(433, 2, 1, 9, first)),
                ("of a civil grid, for the last time", deliver(u64::MAX, 0, u32::MAX, u64::MAX, second)),
            ]
        }
        Kind::Skip => vec![
            ("a late one-shot", skip(0, 0, SkipReason::Misfire, None)),
            ("slots 5 to 8 of a grid", skip(5, 8, SkipReason::Overlap, Some(elapsed(Tick(99))))),
        ],
        Kind::Complete => {
            vec![("slot 433", Record::Complete(Complete { id: id(7, 3), occurrence: 433, number: 2 }))]
        }
        Kind::Fail => vec![
            (
                "reported and tried again",
                fail(FailCause::Reported, Some(elapsed(Tick(61_000))), "no route to host"),
            ),
            ("dropped without a word", fail(FailCause::Dropped, Some(elapsed(Tick(61_000))), "")),
            ("panicked after a cancel", fail(FailCause::Panicked, None, "größer als erlaubt")),
        ],
        Kind::Dead => vec![
            ("failures", dead(DeadReason::Failures, "no route to host")),
            ("deliveries", dead(DeadReason::Deliveries, "")),
            ("superseded", dead(DeadReason::Superseded, "größer als erlaubt")),
        ],
        Kind::Clock => vec![("a reading", Record::Clock(Clock { reading: reading() }))],
        Kind::Epoch => vec![("the first", epoch(1, 0x0102_0304)), ("a later one", epoch(2, 0))],
    }
}

fn puts() -> Vec<Sample> {
    let put = |due, terms, payload: &'static [u8]| {
        Record::Put(Put { id: id(7, 3), due, terms, payload: payload.into() })
    };
    let terms = |key, misfire, retry, grid| Some(Terms { key, misfire, retry, grid });
    let retry = Retry {
        failures_max: count(5),
        deliveries_max: count(6),
        backoff_base_ns: 1_000_000_000,
        backoff_max_ns: 60_000_000_000,
    };
    let most = count(u32::MAX);
    let extreme = Retry {
        failures_max: most,
        deliveries_max: most,
        backoff_base_ns: u64::MAX,
        backoff_max_ns: u64::MAX,
    };
    let grid = |timeline, anchor_ns, interval_ns| {
        let interval_ns = NonZeroU64::new(interval_ns).unwrap();
        Grid { timeline, anchor_ns, interval_ns }
    };
    let ten_minutes = grid(Timeline::Elapsed, 42, 600_000_000_000);
    let finest = grid(Timeline::Civil, u64::MAX, 1);
    vec![
        ("plain, with a payload", put(civil(NEW_YEAR), None, &b"retry order 42"[..])),
        ("plain, without a payload", put(elapsed(Tick::ZERO), None, &[])),
        (
            "with a key and a policy",
            put(civil(NEW_YEAR), terms(&b"order-42"[..], Misfire::Skip, retry, None), b"\x00\xff"),
        ),
        (
            "every ten minutes",
            put(
                elapsed(Tick(600_001)),
                terms(&[], Misfire::FireOnce, retry, Some((ten_minutes, 1))),
                b"backup",
            ),
        ),
        (
            "at every end",
            put(elapsed(Tick::MAX), terms(b"k", Misfire::Skip, extreme, Some((finest, u64::MAX))), &[]),
        ),
    ]
}

fn skip(from: u64, to: u64, reason: SkipReason, next_due: Option<DueTime>) -> Record<'static> {
    Record::Skip(Skip { id: id(7, 3), from, to, reason, next_due })
}

fn fail(cause: FailCause, retry: Option<DueTime>, message: &'static str) -> Record<'static> {
    Record::Fail(Fail { id: id(7, 3), occurrence: 433, number: 2, cause, retry, message })
}

fn dead(reason: DeadReason, message: &'static str) -> Record<'static> {
    Record::Dead(Dead { id: id(7, 3), occurrence: 433, reason, message })
}

fn epoch(epoch: u64, generation_floor: u32) -> Record<'static> {
    let tick_len = TickLen::MILLISECOND;
    Record::Epoch(Epoch { epoch, tick_len, generation_floor, reading: reading() })
}

/// What a record says, in the order of its bytes.
pub(crate) fn fields(record: &Record<'_>) -> Fields {
    let mut said = Said::default();
    match *record {
        Record::Put(r) => {
            said.number("id", r.id.raw());
            said.due("due", r.due);
            said.option("terms", r.terms.is_some());
            if let Some(terms) = r.terms {
                said.terms(&terms);
            }
            said.bytes("payload", &r.payload);
        }
        Record::Reschedule(r) => {
            said.number("id", r.id.raw());
            said.due("due", r.due);
        }
        Record::Cancel(r) => said.number("id", r.id.raw()),
        Record::Deliver(r) => {
            said.number("id", r.id.raw());
            said.number("occurrence", r.occurrence);
            said.number("covers_from", r.covers_from);
            said.number("number", r.number);
            said.number("epoch", r.epoch);
            said.due_option("next_due", r.next_due);
        }
        Record::Skip(r) => {
            said.number("id", r.id.raw());
            said.number("from", r.from);
            said.number("to", r.to);
            said.number(
                "reason",
                match r.reason {
                    SkipReason::Misfire => 0u8,
                    SkipReason::Overlap => 1,
                },
            );
            said.due_option("next_due", r.next_due);
        }
        Record::Complete(r) => {
            said.number("id", r.id.raw());
            said.number("occurrence", r.occurrence);
            said.number("number", r.number);
        }
        Record::Fail(r) => {
            said.number("id", r.id.raw());
            said.number("occurrence", r.occurrence);
            said.number("number", r.number);
            said.number(
                "cause",
                match r.cause {
                    FailCause::Reported => 0u8,
                    FailCause::Dropped => 1,
                    FailCause::Panicked => 2,
                },
            );
            said.due_option("retry", r.retry);
            said.bytes("message", r.message.as_bytes());
        }
        Record::Dead(r) => {
            said.number("id", r.id.raw());
            said.number("occurrence", r.occurrence);
            said.number(
                "reason",
                match r.reason {
                    DeadReason::Failures => 0u8,
                    DeadReason::Deliveries => 1,
                    DeadReason::Superseded => 2,
                },
            );
            said.bytes("message", r.message.as_bytes());
        }
        Record::Clock(r) => said.reading(&r.reading),
        Record::Epoch(r) => {
            said.number("epoch", r.epoch);
            said.number("tick_len_ns", r.tick_len.ns());
            said.number("generation_floor", r.generation_floor);
            said.reading(&r.reading);
        }
    }
    said.0
}

#[derive(Default)]
struct Said(Fields);

impl Said {
    fn number(&mut self, name: &'static str, value: impl Into<u128>) {
        self.0.push((name, Value::Number(value.into())));
    }

    fn bytes(&mut self, name: &'static str, value: &[u8]) {
        self.0.push((name, Value::Bytes(value.to_vec())));
    }

    fn option(&mut self, name: &'static str, is_there: bool) {
        self.0.push((name, Value::Option(is_there)));
    }

    fn timeline(&mut self, timeline: Timeline) {
        self.number(
            "timeline",
            match timeline {
                Timeline::Civil => 0u8,
                Timeline::Elapsed => 1,
            },
        );
    }

    fn due(&mut self, name: &'static str, due: DueTime) {
        self.timeline(due.timeline);
        self.number(name, due.tick.0);
    }

    fn due_option(&mut self, name: &'static str, due: Option<DueTime>) {
        self.option(name, due.is_some());
        if let Some(due) = due {
            self.due(name, due);
        }
    }

    fn terms(&mut self, terms: &Terms<'_>) {
        self.bytes("key", terms.key);
        self.number(
            "misfire",
            match terms.misfire {
                Misfire::FireOnce => 0u8,
                Misfire::Skip => 1,
            },
        );
        self.number("failures_max", terms.retry.failures_max.get());
        self.number("deliveries_max", terms.retry.deliveries_max.get());
        self.number("backoff_base_ns", terms.retry.backoff_base_ns);
        self.number("backoff_max_ns", terms.retry.backoff_max_ns);
        self.option("grid", terms.grid.is_some());
        if let Some((grid, first_index)) = terms.grid {
            self.timeline(grid.timeline);
            self.number("anchor_ns", grid.anchor_ns);
            self.number("interval_ns", grid.interval_ns.get());
            self.number("first_index", first_index);
        }
    }

    fn reading(&mut self, reading: &ClockReading) {
        self.number("wall_ns", reading.wall_ns);
        self.number("boottime_ns", reading.boottime_ns);
        self.number("boot_id", reading.boot_id);
        self.number("elapsed_ns", reading.elapsed_ns);
    }
}
