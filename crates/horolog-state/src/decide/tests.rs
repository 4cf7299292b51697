//! What becomes of commands and of time that passes. Names are the specification (`docs/semantics.md`).
//!
//! A `Desk` is a state with two clocks that the test moves. Its verbs decide, apply at once, and say in a line of text
//! what was decided; nothing is armed in a wheel, and slots are free at once.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::num::{NonZeroU32, NonZeroU64};

use horolog_wheel::Tick;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::record::{ClockReading, Epoch};
use crate::spec::Anchor;
use crate::time::Timeline;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The civil tick at which every desk opens; the elapsed one is 0.
const OPENED: u64 = 1_000 * DAY;

fn at(tick: u64) -> When {
    When::At { unix_ns: u128::from(tick) * u128::from(MS) }
}

fn after(ticks: u64) -> When {
    When::After { delay_ns: u128::from(ticks) * u128::from(MS) }
}

fn every(ticks: u64) -> When {
    When::Every { interval_ns: NonZeroU64::new(ticks * MS).unwrap(), anchor: Anchor::Created }
}

fn every_from(tick: u64, ticks: u64) -> When {
    let anchor = Anchor::Instant { unix_ns: tick * MS };
    When::Every { interval_ns: NonZeroU64::new(ticks * MS).unwrap(), anchor }
}

fn skipping(when: When) -> Request<'static> {
    Request { misfire: Misfire::Skip, ..Request::new(when) }
}

fn tried(when: When, failures_max: u32, deliveries_max: u32) -> Request<'static> {
    let count = |n| NonZeroU32::new(n).unwrap();
    let (failures_max, deliveries_max) = (count(failures_max), count(deliveries_max));
    Request { retry: Retry { failures_max, deliveries_max, ..Retry::default() }, ..Request::new(when) }
}

fn keyed(key: &[u8]) -> Request<'_> {
    Request { key: Some(key), ..Request::new(after(SECOND)) }
}

/// A record in a few words. Civil ticks are written as they are, counted from `OPENED`; elapsed ones with a plus.
fn words(record: &Record<'_>) -> String {
    let due = |due: DueTime| match due.timeline {
        Timeline::Civil => format!("{}", i128::from(due.tick.0) - i128::from(OPENED)),
        Timeline::Elapsed => format!("+{}", due.tick),
    };
    let next = |next: Option<DueTime>| next.map_or(String::new(), |next| format!(", next {}", due(next)));
    match *record {
        Record::Put(r) => {
            let grid = r.terms.and_then(|terms| terms.grid);
            let slot = grid.map_or(String::new(), |(_, index)| format!("slot {index} "));
            format!("put {slot}due {}", due(r.due))
        }
        Record::Reschedule(r) => format!("due {}", due(r.due)),
        Record::Deliver(r) if r.covers_from == r.occurrence => {
            format!("deliver {} no {}{}", r.occurrence, r.number, next(r.next_due))
        }
        Record::Deliver(r) => {
            format!("deliver {}..={} no {}{}", r.covers_from, r.occurrence, r.number, next(r.next_due))
        }
        Record::Skip(r) => format!("skip {}..={} {:?}{}", r.from, r.to, r.reason, next(r.next_due)),
        Record::Fail(r) => format!("fail {}, {}", r.occurrence, r.retry.map_or("over".to_string(), due)),
        Record::Dead(r) => format!("dead {} {:?}", r.occurrence, r.reason),
        Record::Complete(_) => String::from("complete"),
        Record::Cancel(_) => String::from("cancel"),
        ref other => format!("{other:?}"),
    }
}

struct Desk {
    state: State,
    tick_len: TickLen,
    now: Now,
    limits: Limits,
}

impl Desk {
    fn new() -> Self {
        Self::with(TickLen::MILLISECOND, OPENED * MS, 0)
    }

    fn with(tick_len: TickLen, civil_ns: u64, elapsed_ns: u64) -> Self {
        let limits = Limits { timers_max: 100, payload_bytes_max: 100, memory_bytes_max: 1 << 30 };
        let now = Now::new(tick_len, civil_ns, elapsed_ns);
        let mut desk = Self { state: State::new(), tick_len, now, limits };
        desk.restart();
        desk
    }

    fn set(&mut self, civil_ns: u64, elapsed_ns: u64) {
        self.now = Now::new(self.tick_len, civil_ns, elapsed_ns);
    }

    /// Time passes: both clocks go on.
    fn wait(&mut self, ticks: u64) {
        self.set(self.now.civil_ns + ticks * MS, self.now.elapsed_ns + ticks * MS);
    }

    /// Somebody sets the wall clock.
    fn set_wall(&mut self, tick: u64) {
        self.set(tick * MS, self.now.elapsed_ns);
    }

    /// The process dies, and the directory is opened again.
    fn restart(&mut self) {
        let (epoch, tick_len) = (self.state.epoch() + 1, self.tick_len);
        let reading = ClockReading::default();
        self.apply(&Record::Epoch(Epoch { epoch, tick_len, generation_floor: 0, reading }));
    }

    #[track_caller]
    fn apply(&mut self, record: &Record<'_>) {
        let effect = self.state.apply(self.state.applied().next(), record).unwrap();
        if effect.free {
            self.state.free(record.timer().unwrap());
        }
        assert_eq!(self.state.check(), Ok(()), "after {record:?}");
    }

    fn schedule(&mut self, request: &Request<'_>) -> Result<TimerId, ScheduleRefusal> {
        let id = self.state.slab_mut().reserve().unwrap();
        let decision = schedule(&self.state, request, &self.limits, id, self.tick_len, &self.now);
        match decision {
            Ok(ScheduleDecision::Put(put)) => {
                assert_eq!(put.id, id);
                self.apply(&Record::Put(put));
                Ok(id)
            }
            Ok(ScheduleDecision::Kept { id: kept, .. }) => {
                self.state.slab_mut().unreserve(id);
                Ok(kept)
            }
            Err(refusal) => {
                self.state.slab_mut().unreserve(id);
                Err(refusal)
            }
        }
    }

    #[track_caller]
    fn put(&mut self, request: &Request<'_>) -> TimerId {
        self.schedule(request).unwrap()
    }

    /// The put record of a request, in words; it is not applied.
    #[track_caller]
    fn check_put(&mut self, when: When, expected: &str) {
        let id = self.state.slab_mut().reserve().unwrap();
        let request = Request::new(when);
        match schedule(&self.state, &request, &self.limits, id, self.tick_len, &self.now) {
            Ok(ScheduleDecision::Put(put)) => assert_eq!(words(&Record::Put(put)), expected),
            other => panic!("{other:?}"),
        }
        self.state.slab_mut().unreserve(id);
    }

    /// All steps for a timer that may be due, in words. Nothing is delivered early and the steps come to an end.
    #[track_caller]
    fn due(&mut self, id: TimerId) -> String {
        let mut steps = Vec::new();
        while let Some(record) = due(&self.state, id, self.tick_len, &self.now) {
            if let Record::Deliver(r) = record {
                assert!(self.now.has_reached(self.due_time(r)), "{r:?} is early at {:?}", self.now);
            }
            steps.push(words(&record));
            assert!(steps.len() < 4, "no end at {:?}: {steps:?}", self.now);
            self.apply(&record);
        }
        steps.join("; ")
    }

    /// When the occurrence of a delivery was to fire: its slot, or, when it is tried again, its wait.
    fn due_time(&self, r: Deliver) -> DueTime {
        let timer = self.state.view(r.id).unwrap();
        match timer.recurrence {
            Some(recurrence) if recurrence.live.is_none() => recurrence.grid.due(self.tick_len, r.occurrence),
            _ => timer.due,
        }
    }

    #[track_caller]
    fn check_due(&mut self, id: TimerId, expected: &str) {
        assert_eq!(self.due(id), expected);
    }

    /// The token of the delivery in flight.
    #[track_caller]
    fn token(&self, id: TimerId) -> Token {
        let timer = self.state.view(id).unwrap();
        let occurrence = timer.recurrence.map_or(0, |recurrence| recurrence.live.unwrap().index);
        Token { id, occurrence, number: timer.deliveries, epoch: self.state.epoch() }
    }

    #[track_caller]
    fn complete(&mut self, id: TimerId) {
        let record = complete(&self.state, self.token(id)).unwrap();
        self.apply(&Record::Complete(record));
    }

    #[track_caller]
    fn fail(&mut self, id: TimerId) -> String {
        let token = self.token(id);
        let record = fail(&self.state, token, FailCause::Reported, "no", self.tick_len, &self.now).unwrap();
        self.apply(&record);
        words(&record)
    }

    #[track_caller]
    fn check_fail(&mut self, id: TimerId, expected: &str) {
        assert_eq!(self.fail(id), expected);
    }

    fn cancel(&mut self, id: TimerId) -> CancelOutcome {
        let decision = cancel(&self.state, id);
        if let Some(record) = decision.record {
            self.apply(&Record::Cancel(record));
        }
        decision.outcome
    }

    #[track_caller]
    fn check_stale(&self, token: Token) {
        let stale = StaleToken { token };
        assert_eq!(complete(&self.state, token), Err(stale));
        let failed = fail(&self.state, token, FailCause::Reported, "", self.tick_len, &self.now);
        assert_eq!(failed.err(), Some(stale));
    }
}

// One-shots

#[test]
fn an_instant_is_due_on_the_civil_timeline() {
    let mut desk = Desk::new();
    desk.check_put(at(OPENED + 5), "put due 5");
    desk.check_put(When::At { unix_ns: u128::from(OPENED * MS) + 1 }, "put due 1");
}

#[test]
fn an_instant_in_the_past_is_due_at_once() {
    let mut desk = Desk::new();
    let id = desk.put(&Request::new(at(OPENED - DAY)));
    desk.check_due(id, "deliver 0 no 1");
}

#[test]
fn a_delay_is_due_on_the_elapsed_timeline() {
    let mut desk = Desk::new();
    desk.wait(7);
    desk.check_put(after(5), "put due +12");
    desk.check_put(after(0), "put due +7");
}

#[test]
fn a_delay_is_never_shortened_by_rounding() {
    let mut desk = Desk::new();
    desk.set(OPENED * MS, 1);
    desk.check_put(after(5), "put due +6");
}

#[test]
fn a_time_without_end_is_due_at_the_end_of_time() {
    let mut desk = Desk::new();
    desk.check_put(When::After { delay_ns: u128::MAX }, &format!("put due +{}", u64::MAX));
    desk.check_put(When::At { unix_ns: u128::MAX }, &format!("put due {}", u64::MAX - OPENED));
}

#[test]
fn a_one_shot_is_delivered_at_its_tick_and_not_before() {
    let mut desk = Desk::new();
    let (instant, delay) = (desk.put(&Request::new(at(OPENED + 5))), desk.put(&Request::new(after(5))));
    for id in [instant, delay] {
        desk.set(OPENED * MS, 0);
        desk.wait(4);
        desk.check_due(id, "");
        desk.wait(1);
        desk.check_due(id, "deliver 0 no 1");
        desk.check_due(id, "");
    }
}

#[test]
fn a_plain_one_shot_has_no_terms() {
    let mut desk = Desk::new();
    let id = desk.state.slab_mut().reserve().unwrap();
    let terms = |request: &Request<'_>| match schedule(
        &desk.state,
        request,
        &desk.limits,
        id,
        desk.tick_len,
        &desk.now,
    ) {
        Ok(ScheduleDecision::Put(put)) => put.terms.is_some(),
        other => panic!("{other:?}"),
    };
    let with = [keyed(b"k"), skipping(after(1)), tried(after(1), 1, 25), Request::new(every(1))];
    assert!(!terms(&Request::new(after(1))));
    assert!(with.iter().all(terms));
}

#[test]
fn a_late_one_shot_fires() {
    let mut desk = Desk::new();
    let id = desk.put(&Request::new(after(5)));
    desk.wait(30 * DAY);
    desk.restart();
    desk.check_due(id, "deliver 0 no 1");
}

#[test]
fn a_one_shot_that_skips_ends_when_it_is_late_by_more_than_the_threshold() {
    let mut desk = Desk::new();
    let ids = [(); 2].map(|()| desk.put(&skipping(after(5))));
    desk.wait(5 + SECOND);
    desk.check_due(ids[0], "deliver 0 no 1");
    desk.wait(1);
    desk.check_due(ids[1], "skip 0..=0 Misfire");
    assert!(desk.state.view(ids[1]).is_none());
}

#[test]
fn a_one_shot_that_was_delivered_once_is_not_skipped() {
    let mut desk = Desk::new();
    let id = desk.put(&skipping(after(5)));
    desk.wait(5);
    desk.check_due(id, "deliver 0 no 1");
    desk.wait(DAY);
    desk.restart();
    desk.check_due(id, "deliver 0 no 2");
}

#[test]
fn a_civil_one_shot_follows_the_wall_clock_and_an_elapsed_one_does_not() {
    let mut desk = Desk::new();
    let (instant, delay) = (desk.put(&Request::new(at(OPENED + HOUR))), desk.put(&Request::new(after(HOUR))));
    desk.set_wall(OPENED + 2 * HOUR);
    desk.check_due(delay, "");
    desk.check_due(instant, "deliver 0 no 1");
    desk.set_wall(OPENED - 2 * HOUR);
    desk.wait(HOUR);
    desk.check_due(delay, "deliver 0 no 1");
}

// Grids

#[test]
fn a_created_grid_begins_one_interval_after_the_moment_of_scheduling() {
    let mut desk = Desk::new();
    desk.wait(3);
    desk.check_put(every(10), "put slot 1 due +13");
}

#[test]
fn an_anchored_grid_begins_at_its_first_slot_that_is_not_past() {
    let mut desk = Desk::new();
    desk.check_put(every_from(OPENED + 25, 10), "put slot 0 due 25");
    desk.check_put(every_from(OPENED, 10), "put slot 0 due 0");
    desk.check_put(every_from(OPENED - 25, 10), "put slot 3 due 5");
}

#[test]
fn lateness_does_not_move_the_grid() {
    let mut desk = Desk::new();
    let id = desk.put(&Request::new(every(10)));
    for (tick, expected) in [
        (13, "deliver 1 no 1, next +20"),
        (29, "deliver 2 no 1, next +30"),
        (30, "deliver 3 no 1, next +40"),
        (68, "deliver 4..=6 no 1, next +70"),
        (70, "deliver 7 no 1, next +80"),
    ] {
        desk.wait(tick - desk.now.elapsed.0);
        desk.check_due(id, expected);
        desk.complete(id);
    }
}

#[test]
fn a_weekly_timer_of_a_process_that_restarts_every_six_days_runs_every_week() {
    let mut desk = Desk::new();
    let id = desk.put(&Request::new(every(7 * DAY)));
    let mut runs = Vec::new();
    for hour in 1..=10 * 7 * 24 {
        desk.wait(HOUR);
        if hour % (6 * 24) == 0 {
            desk.restart();
        }
        if !desk.due(id).is_empty() {
            desk.complete(id);
            runs.push(desk.now.elapsed.0);
        }
    }
    assert_eq!(runs, (1..=10).map(|week| week * 7 * DAY).collect::<Vec<_>>());
}

#[test]
fn a_first_run_that_is_killed_half_way_is_delivered_again_at_once() {
    let mut desk = Desk::new();
    let id = desk.put(&Request::new(every(7 * DAY)));
    desk.wait(7 * DAY);
    desk.check_due(id, "deliver 1 no 1, next +1209600000");
    desk.wait(HOUR);
    desk.restart();
    assert!(desk.state.view(id).unwrap().suspect);
    desk.check_due(id, "deliver 1 no 2, next +1209600000");
}

#[test]
fn three_days_down_with_a_ten_minute_grid_is_one_run_that_covers_432_slots() {
    let mut desk = Desk::new();
    let id = desk.put(&Request::new(every(10 * MINUTE)));
    desk.wait(3 * DAY + 5 * MINUTE);
    desk.restart();
    desk.check_due(id, "deliver 1..=432 no 1, next +259800000");
    desk.complete(id);
    desk.check_due(id, "");
    assert_eq!((desk.state.totals().deliveries, desk.state.totals().coalesced), (1, 431));
    desk.wait(5 * MINUTE);
    desk.check_due(id, "deliver 433 no 1, next +260400000");
}

#[test]
fn a_grid_that_skips_passes_over_late_slots_and_fires_the_next_on_time() {
    let mut desk = Desk::new();
    let id = desk.put(&skipping(every(10 * MINUTE)));
    desk.wait(3 * DAY + 5 * MINUTE);
    desk.check_due(id, "skip 1..=432 Misfire, next +259800000");
    assert_eq!(desk.state.totals().skipped_misfire, 432);
    desk.wait(5 * MINUTE);
    desk.check_due(id, "deliver 433 no 1, next +260400000");
}

#[test]
fn a_grid_that_skips_fires_the_latest_slot_if_that_one_is_not_late() {
    let mut desk = Desk::new();
    let id = desk.put(&skipping(every(10 * MINUTE)));
    desk.wait(30 * MINUTE + SECOND);
    desk.check_due(id, "skip 1..=2 Misfire, next +1800000; deliver 3 no 1, next +2400000");
    desk.complete(id);
    desk.wait(10 * MINUTE + 1);
    desk.check_due(id, "skip 4..=4 Misfire, next +3000000");
}

#[test]
fn a_slot_that_comes_while_the_one_before_is_in_flight_is_skipped() {
    let mut desk = Desk::new();
    let id = desk.put(&Request::new(every(10)));
    desk.wait(10);
    desk.check_due(id, "deliver 1 no 1, next +20");
    desk.wait(9);
    desk.check_due(id, "");
    desk.wait(1);
    desk.check_due(id, "skip 2..=2 Overlap, next +30");
    desk.wait(35);
    desk.check_due(id, "skip 3..=5 Overlap, next +60");
    desk.complete(id);
    desk.check_due(id, "");
    desk.wait(5);
    desk.check_due(id, "deliver 6 no 1, next +70");
    assert_eq!(desk.state.totals().skipped_overlap, 4);
}

#[test]
fn a_wall_clock_set_forward_makes_the_slots_between_late() {
    let mut desk = Desk::new();
    let id = desk.put(&Request::new(every_from(OPENED + HOUR, HOUR)));
    desk.set_wall(OPENED + 5 * HOUR + 1);
    desk.check_due(id, "deliver 0..=4 no 1, next 21600000");
}

#[test]
fn a_wall_clock_set_back_fires_no_slot_twice() {
    let mut desk = Desk::new();
    let id = desk.put(&Request::new(every_from(OPENED + HOUR, HOUR)));
    desk.set_wall(OPENED + HOUR);
    desk.check_due(id, "deliver 0 no 1, next 7200000");
    desk.complete(id);
    desk.set_wall(OPENED);
    desk.check_due(id, "");
    desk.wait(HOUR);
    desk.check_due(id, "");
    desk.wait(HOUR);
    desk.check_due(id, "deliver 1 no 1, next 10800000");
}

#[test]
fn a_created_grid_does_not_notice_the_wall_clock() {
    let mut desk = Desk::new();
    let id = desk.put(&Request::new(every(HOUR)));
    for wall in [0, OPENED + 1_000 * DAY, OPENED - DAY] {
        desk.set_wall(wall);
        desk.check_due(id, "");
    }
    desk.wait(HOUR);
    desk.check_due(id, "deliver 1 no 1, next +7200000");
}

#[test]
fn a_grid_ends_at_the_end_of_time() {
    let ns = TickLen::from_ns(1).unwrap();
    let mut desk = Desk::with(ns, u64::MAX - 10, 0);
    let anchor = Anchor::Instant { unix_ns: u64::MAX - 7 };
    let interval_ns = NonZeroU64::new(5).unwrap();
    let id = desk.put(&Request::new(When::Every { interval_ns, anchor }));
    desk.set(u64::MAX, 0);
    let end = u64::MAX - OPENED;
    desk.check_due(id, &format!("deliver 0..=1 no 1, next {end}"));
    desk.check_due(id, "");
    desk.complete(id);
    desk.check_due(id, "");
}

#[test]
fn a_grid_ends_before_its_last_index() {
    let ns = TickLen::from_ns(1).unwrap();
    let mut desk = Desk::with(ns, u64::MAX - 3, 0);
    let when = When::Every { interval_ns: NonZeroU64::MIN, anchor: Anchor::Instant { unix_ns: 0 } };
    let id = desk.put(&Request::new(when));
    desk.set(u64::MAX, 0);
    let (first, last, end) = (u64::MAX - 3, u64::MAX - 1, u64::MAX - OPENED);
    desk.check_due(id, &format!("deliver {first}..={last} no 1, next {end}"));
    desk.complete(id);
    desk.check_due(id, "");
}

// Failures

#[test]
fn a_failed_one_shot_is_tried_again_after_a_wait_that_doubles() {
    let mut desk = Desk::new();
    let id = desk.put(&Request::new(after(0)));
    desk.check_due(id, "deliver 0 no 1");
    desk.check_fail(id, "fail 0, +1001");
    desk.wait(SECOND);
    desk.check_due(id, "");
    desk.wait(1);
    desk.check_due(id, "deliver 0 no 2");
    desk.check_fail(id, "fail 0, +3002");
}

#[test]
fn a_retry_waits_on_the_elapsed_timeline_even_for_a_civil_timer() {
    let mut desk = Desk::new();
    let id = desk.put(&Request::new(at(OPENED)));
    desk.check_due(id, "deliver 0 no 1");
    desk.check_fail(id, "fail 0, +1001");
    desk.set_wall(OPENED + DAY);
    desk.check_due(id, "");
    desk.set_wall(OPENED - DAY);
    desk.wait(SECOND + 1);
    desk.check_due(id, "deliver 0 no 2");
}

#[test]
fn a_timer_that_failed_as_often_as_it_may_is_dead() {
    let mut desk = Desk::new();
    let id = desk.put(&tried(after(0), 3, 25));
    for (number, expected) in [(1, "fail 0, +1001"), (2, "fail 0, +12001"), (3, "dead 0 Failures")] {
        desk.check_due(id, &format!("deliver 0 no {number}"));
        desk.check_fail(id, expected);
        desk.wait(10 * SECOND);
    }
    desk.wait(DAY);
    desk.check_due(id, "");
}

#[test]
fn a_timer_that_fails_at_its_last_delivery_is_dead() {
    let mut desk = Desk::new();
    let id = desk.put(&tried(after(0), 20, 1));
    desk.check_due(id, "deliver 0 no 1");
    desk.check_fail(id, "dead 0 Deliveries");
}

#[test]
fn a_timer_that_kills_its_process_at_every_delivery_is_dead_in_the_end() {
    let mut desk = Desk::new();
    let id = desk.put(&tried(after(0), 20, 3));
    let bystander = desk.put(&Request::new(after(HOUR)));
    for number in 1..=3 {
        desk.check_due(id, &format!("deliver 0 no {number}"));
        desk.restart();
    }
    desk.check_due(id, "dead 0 Deliveries");
    desk.wait(HOUR);
    desk.check_due(bystander, "deliver 0 no 1");
}

#[test]
fn a_slot_that_kills_its_process_at_every_delivery_is_dead_and_its_timer_goes_on() {
    let mut desk = Desk::new();
    let id = desk.put(&tried(every(HOUR), 20, 2));
    desk.wait(HOUR);
    for number in 1..=2 {
        desk.check_due(id, &format!("deliver 1 no {number}, next +7200000"));
        desk.restart();
    }
    desk.check_due(id, "dead 1 Deliveries");
    desk.check_due(id, "");
    desk.wait(HOUR);
    desk.check_due(id, "deliver 2 no 1, next +10800000");
}

#[test]
fn a_slot_is_tried_again_until_the_next_one() {
    let mut desk = Desk::new();
    let id = desk.put(&Request::new(every(5 * SECOND)));
    desk.wait(5 * SECOND);
    desk.check_due(id, "deliver 1 no 1, next +10000");
    desk.check_fail(id, "fail 1, +6001");
    desk.wait(SECOND + 1);
    desk.check_due(id, "deliver 1 no 2, next +10000");
    desk.check_fail(id, "fail 1, +8002");
    desk.wait(2 * SECOND + 1);
    desk.check_due(id, "deliver 1 no 3, next +10000");
    desk.check_fail(id, "dead 1 Superseded");
    desk.check_due(id, "");
    desk.wait(2 * SECOND);
    desk.check_due(id, "deliver 2 no 1, next +15000");
}

#[test]
fn a_slot_that_waits_for_its_retry_is_dead_when_the_next_one_comes_first() {
    let mut desk = Desk::new();
    let id = desk.put(&Request::new(every(5 * SECOND)));
    desk.wait(5 * SECOND);
    desk.check_due(id, "deliver 1 no 1, next +10000");
    desk.check_fail(id, "fail 1, +6001");
    desk.wait(DAY);
    desk.restart();
    desk.check_due(id, "dead 1 Superseded; deliver 2..=17281 no 1, next +86410000");
}

#[test]
fn at_most_four_steps_end_in_a_delivery() {
    let mut desk = Desk::new();
    let id = desk.put(&skipping(every(5 * SECOND)));
    desk.wait(5 * SECOND);
    desk.check_due(id, "deliver 1 no 1, next +10000");
    desk.restart();
    desk.wait(15 * SECOND);
    desk.check_due(id, "dead 1 Superseded; skip 2..=3 Misfire, next +20000; deliver 4 no 1, next +25000");
}

#[test]
fn a_slot_that_fails_after_the_next_one_came_is_superseded() {
    let mut desk = Desk::new();
    let id = desk.put(&Request::new(every(5 * SECOND)));
    desk.wait(5 * SECOND);
    desk.check_due(id, "deliver 1 no 1, next +10000");
    desk.wait(5 * SECOND);
    desk.check_fail(id, "dead 1 Superseded");
    desk.check_due(id, "deliver 2 no 1, next +15000");
}

#[test]
fn a_message_is_cut_between_characters() {
    let mut desk = Desk::new();
    let id = desk.put(&Request::new(after(0)));
    let _ = desk.due(id);
    let token = desk.token(id);
    let kept = |message: &str| match fail(
        &desk.state,
        token,
        FailCause::Reported,
        message,
        desk.tick_len,
        &desk.now,
    ) {
        Ok(Record::Fail(Fail { message, .. })) => message.len(),
        other => panic!("{other:?}"),
    };
    let long = |len: usize, last: &str| "a".repeat(len) + last;
    assert_eq!(kept(""), 0);
    assert_eq!(kept(&long(512, "")), 512);
    assert_eq!(kept(&long(513, "")), 512);
    assert_eq!(kept(&long(510, "é")), 512);
    assert_eq!(kept(&long(511, "é")), 511);
    assert_eq!(kept(&long(509, "\u{1f550}")), 509);
}

#[test]
fn a_failure_keeps_its_cause_and_its_last_words() {
    let mut desk = Desk::new();
    let id = desk.put(&tried(after(0), 2, 25));
    for cause in [FailCause::Panicked, FailCause::Dropped] {
        let _ = desk.due(id);
        let record = fail(&desk.state, desk.token(id), cause, "words", desk.tick_len, &desk.now).unwrap();
        match record {
            Record::Fail(r) => assert_eq!((r.cause, r.message), (cause, "words")),
            Record::Dead(r) => assert_eq!(r.message, "words"),
            other => panic!("{other:?}"),
        }
        desk.apply(&record);
        desk.wait(2 * SECOND);
    }
    let (_, letter) = desk.state.dead_letters().next().unwrap();
    assert_eq!((&letter.message[..], letter.deliveries), ("words", 2));
}

// Tokens

#[test]
fn an_outcome_counts_only_for_the_very_delivery_in_flight() {
    let mut desk = Desk::new();
    let id = desk.put(&Request::new(every(HOUR)));
    desk.wait(HOUR);
    let _ = desk.due(id);
    let token = desk.token(id);
    desk.check_stale(Token { number: 2, ..token });
    desk.check_stale(Token { number: 0, ..token });
    desk.check_stale(Token { occurrence: 2, ..token });
    desk.check_stale(Token { epoch: token.epoch + 1, ..token });
    desk.check_stale(Token { epoch: token.epoch - 1, ..token });
    desk.check_stale(Token { id: TimerId::new(id.slot(), id.generation() + 1).unwrap(), ..token });
    desk.complete(id);
    desk.check_stale(token);
}

#[test]
fn a_token_of_the_process_before_is_stale_even_after_the_occurrence_is_delivered_again() {
    let mut desk = Desk::new();
    let id = desk.put(&Request::new(after(0)));
    let _ = desk.due(id);
    let token = desk.token(id);
    desk.restart();
    desk.check_stale(token);
    let _ = desk.due(id);
    desk.check_stale(token);
    desk.complete(id);
}

// Keys

#[test]
fn a_taken_key_is_refused_with_its_timer() {
    let mut desk = Desk::new();
    let id = desk.put(&keyed(b"order-42"));
    let rests_on = desk.state.applied();
    assert_eq!(desk.schedule(&keyed(b"order-42")), Err(ScheduleRefusal::KeyExists { id, rests_on }));
    assert!(desk.schedule(&keyed(b"order-43")).is_ok());
}

#[test]
fn a_taken_key_can_keep_its_timer() {
    let mut desk = Desk::new();
    let id = desk.put(&keyed(b"order-42"));
    let again = Request { if_exists: IfExists::Keep, payload: b"other".into(), ..keyed(b"order-42") };
    assert_eq!(desk.schedule(&again), Ok(id));
    assert_eq!((desk.state.len(), desk.state.view(id).unwrap().payload), (1, &[][..]));
}

#[test]
fn a_taken_key_is_kept_even_when_there_is_no_room() {
    let mut desk = Desk::new();
    let id = desk.put(&keyed(b"order-42"));
    desk.limits.timers_max = 1;
    let again = Request { if_exists: IfExists::Keep, ..keyed(b"order-42") };
    assert_eq!(desk.schedule(&again), Ok(id));
}

#[test]
fn a_key_is_free_again_when_its_timer_has_ended() {
    let mut desk = Desk::new();
    let id = desk.put(&keyed(b"order-42"));
    desk.wait(SECOND);
    let _ = desk.due(id);
    desk.complete(id);
    assert!(desk.schedule(&keyed(b"order-42")).is_ok_and(|next| next != id));
}

#[test]
fn a_key_has_at_least_one_byte_and_at_most_its_limit() {
    let mut desk = Desk::new();
    assert_eq!(desk.schedule(&keyed(b"")), Err(ScheduleRefusal::KeyEmpty));
    assert!(desk.schedule(&keyed(&[7; KEY_BYTES_MAX])).is_ok());
    let refusal = ScheduleRefusal::KeyTooLong { bytes: KEY_BYTES_MAX + 1, key_bytes_max: KEY_BYTES_MAX };
    assert_eq!(desk.schedule(&keyed(&[7; KEY_BYTES_MAX + 1])), Err(refusal));
}

// Limits

#[test]
fn a_payload_over_its_limit_is_refused_with_both_numbers() {
    let mut desk = Desk::new();
    let with = |payload: &'static [u8]| Request { payload: payload.into(), ..Request::new(after(1)) };
    assert!(desk.schedule(&with(&[7; 100])).is_ok());
    let refusal = ScheduleRefusal::PayloadTooLarge { bytes: 101, payload_bytes_max: 100 };
    assert_eq!(desk.schedule(&with(&[7; 101])), Err(refusal));
}

#[test]
fn a_timer_too_many_is_refused_with_the_limit() {
    let mut desk = Desk::new();
    desk.limits.timers_max = 2;
    let ids = [(); 2].map(|()| desk.put(&Request::new(after(1))));
    let refusal = ScheduleRefusal::TooManyTimers { timers_max: 2 };
    assert_eq!(desk.schedule(&Request::new(after(1))), Err(refusal));
    assert_eq!(desk.cancel(ids[0]), CancelOutcome::Cancelled);
    assert!(desk.schedule(&Request::new(after(1))).is_ok());
}

#[test]
fn a_payload_that_memory_has_no_room_for_is_refused_with_both_numbers() {
    let mut desk = Desk::new();
    let _ = desk.put(&Request::new(after(1)));
    let bytes = desk.state.bytes();
    let with = Request { payload: (&[7; 10]).into(), ..Request::new(after(1)) };
    desk.limits.memory_bytes_max = bytes + 9;
    let refusal = ScheduleRefusal::MemoryFull { bytes, memory_bytes_max: bytes + 9 };
    assert_eq!(desk.schedule(&with), Err(refusal));
    desk.limits.memory_bytes_max = desk.state.bytes() + 10;
    assert!(desk.schedule(&with).is_ok());
}

#[test]
fn a_record_is_never_longer_than_it_was_said_to_be() {
    let mut desk = Desk::new();
    let most = Request {
        payload: (&[7; 100]).into(),
        key: Some(&[7; KEY_BYTES_MAX]),
        ..tried(every(1), u32::MAX, u32::MAX)
    };
    for request in [most, Request::new(after(1))] {
        let id = desk.state.slab_mut().reserve().unwrap();
        let decision = schedule(&desk.state, &request, &desk.limits, id, desk.tick_len, &desk.now);
        let Ok(ScheduleDecision::Put(put)) = decision else { panic!("{decision:?}") };
        let mut body = Vec::new();
        crate::codec::encode(&Record::Put(put), &mut body);
        assert!(body.len() <= request.record_bytes_max());
    }
}

// Reschedule

#[test]
fn a_waiting_one_shot_gets_another_due_time() {
    let mut desk = Desk::new();
    let id = desk.put(&Request::new(after(5)));
    let later = DueTime { timeline: Timeline::Civil, tick: Tick(OPENED + 9) };
    assert_eq!(reschedule(&desk.state, id, later), Ok(Reschedule { id, due: later }));
    desk.apply(&Record::Reschedule(Reschedule { id, due: later }));
    desk.wait(8);
    desk.check_due(id, "");
    desk.wait(1);
    desk.check_due(id, "deliver 0 no 1");
}

#[test]
fn a_dead_one_shot_that_is_rescheduled_has_all_its_tries_again() {
    let mut desk = Desk::new();
    let id = desk.put(&tried(after(0), 1, 1));
    for _ in 0..3 {
        desk.check_due(id, "deliver 0 no 1");
        desk.check_fail(id, "dead 0 Failures");
        let due = DueTime { timeline: Timeline::Elapsed, tick: desk.now.elapsed };
        let record = reschedule(&desk.state, id, due).unwrap();
        desk.apply(&Record::Reschedule(record));
    }
}

#[test]
fn what_cannot_be_rescheduled_says_why() {
    let mut desk = Desk::new();
    let due = DueTime { timeline: Timeline::Elapsed, tick: Tick(5) };
    let [flying, doomed, ended] = [(); 3].map(|()| desk.put(&Request::new(after(0))));
    let grid = desk.put(&Request::new(every(HOUR)));
    for id in [flying, doomed] {
        let _ = desk.due(id);
    }
    let _ = (desk.cancel(doomed), desk.cancel(ended));
    let refused = |id| reschedule(&desk.state, id, due).unwrap_err();
    assert_eq!(refused(flying), RescheduleRefusal::InFlight);
    assert_eq!(refused(doomed), RescheduleRefusal::InFlight);
    assert_eq!(refused(grid), RescheduleRefusal::Recurring);
    assert_eq!(refused(ended), RescheduleRefusal::AlreadyDone { rests_on: Lsn::ZERO });
    assert_eq!(refused(TimerId::new(77, 7).unwrap()), RescheduleRefusal::NotFound);
}

// Cancel

#[test]
fn a_waiting_timer_is_cancelled_and_never_delivered() {
    let mut desk = Desk::new();
    for request in [Request::new(after(0)), Request::new(every(1))] {
        let id = desk.put(&request);
        desk.wait(10);
        assert_eq!(desk.cancel(id), CancelOutcome::Cancelled);
        desk.check_due(id, "");
        assert_eq!(desk.cancel(id), CancelOutcome::AlreadyDone);
    }
}

#[test]
fn a_dead_timer_is_cancelled() {
    let mut desk = Desk::new();
    let id = desk.put(&tried(after(0), 1, 1));
    let _ = desk.due(id);
    desk.check_fail(id, "dead 0 Failures");
    assert_eq!(desk.cancel(id), CancelOutcome::Cancelled);
}

#[test]
fn a_timer_cancelled_in_flight_may_complete_and_is_neither_tried_again_nor_followed() {
    for request in [Request::new(after(10)), Request::new(every(10))] {
        let mut desk = Desk::new();
        let [completes, fails, crashes] = [(); 3].map(|()| desk.put(&request));
        desk.wait(10);
        for id in [completes, fails, crashes] {
            assert!(desk.due(id).starts_with("deliver"));
            assert_eq!(desk.cancel(id), CancelOutcome::InFlight);
            desk.check_due(id, "");
        }
        desk.wait(100);
        for id in [completes, fails, crashes] {
            desk.check_due(id, "");
        }
        desk.complete(completes);
        assert!(desk.fail(fails).ends_with("over"));
        desk.restart();
        for id in [completes, fails, crashes] {
            desk.check_due(id, "");
            assert_eq!(desk.cancel(id), CancelOutcome::AlreadyDone);
        }
    }
}

#[test]
fn a_second_cancel_in_flight_writes_nothing_and_rests_on_the_first() {
    let mut desk = Desk::new();
    let id = desk.put(&Request::new(after(0)));
    let _ = desk.due(id);
    let _ = desk.cancel(id);
    let rests_on = desk.state.applied();
    assert_eq!(
        cancel(&desk.state, id),
        CancelDecision { record: None, outcome: CancelOutcome::InFlight, rests_on }
    );
}

#[test]
fn an_id_that_was_never_here_is_not_found() {
    let mut desk = Desk::new();
    let id = desk.put(&Request::new(after(5)));
    let foreign = [(id.slot() + 1, id.generation()), (id.slot(), id.generation() + 1), (u32::MAX, 1)];
    for (slot, generation) in foreign {
        let foreign = TimerId::new(slot, generation).unwrap();
        assert_eq!(desk.cancel(foreign), CancelOutcome::NotFound);
        desk.check_due(foreign, "");
    }
    assert!(desk.state.view(id).is_some());
}

#[test]
fn an_id_whose_slot_has_another_timer_is_already_done() {
    let mut desk = Desk::new();
    let first = desk.put(&Request::new(after(5)));
    let _ = desk.cancel(first);
    let second = desk.put(&Request::new(after(5)));
    assert_eq!(first.slot(), second.slot());
    assert_eq!(desk.cancel(first), CancelOutcome::AlreadyDone);
    assert!(desk.state.view(second).is_some());
}

// At any time

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

fn ns() -> impl Strategy<Value = u64> {
    let end = (0u64..20).prop_map(|before| u64::MAX - before);
    prop_oneof![2 => 0u64..20, 2 => 0..10 * SECOND * MS, 2 => end, 1 => any::<u64>()]
}

fn when() -> impl Strategy<Value = When> {
    let interval = ns().prop_map(|ns| NonZeroU64::new(ns).unwrap_or(NonZeroU64::MIN));
    let anchor = prop_oneof![Just(Anchor::Created), ns().prop_map(|unix_ns| Anchor::Instant { unix_ns })];
    prop_oneof![
        1 => ns().prop_map(|ns| When::At { unix_ns: ns.into() }),
        1 => ns().prop_map(|ns| When::After { delay_ns: ns.into() }),
        4 => (interval, anchor).prop_map(|(interval_ns, anchor)| When::Every { interval_ns, anchor }),
    ]
}

/// What happens after time has passed and the timer was looked at.
#[derive(Clone, Copy, Debug)]
enum Then {
    Nothing,
    Complete,
    Fail,
    Restart,
}

proptest! {
    #![proptest_config(config(3_000))]

    /// `Desk::due` asserts both: nothing is delivered before its time, and there are at most four calls.
    #[test]
    fn at_any_time_the_steps_come_to_an_end_and_nothing_is_early(
        tick_ns in prop_oneof![Just(1), Just(MS), Just(u64::MAX), 1..=u64::MAX],
        opened in (ns(), ns()),
        when in when(),
        skips in any::<bool>(),
        steps in proptest::collection::vec(
            (ns(), ns(), prop_oneof![
                Just(Then::Nothing), Just(Then::Complete), Just(Then::Fail), Just(Then::Restart)
            ]),
            1..8,
        ),
    ) {
        let mut desk = Desk::with(TickLen::from_ns(tick_ns).unwrap(), opened.0, opened.1);
        let misfire = if skips { Misfire::Skip } else { Misfire::FireOnce };
        let id = desk.put(&Request { misfire, ..tried(when, 3, 3) });
        for (civil_ns, elapsed_ns, then) in steps {
            desk.set(civil_ns, elapsed_ns);
            let _ = desk.due(id);
            let is_leased = desk.state.view(id).is_some_and(|timer| timer.phase == Phase::Leased);
            match then {
                Then::Complete if is_leased => desk.complete(id),
                Then::Fail if is_leased => { let _ = desk.fail(id); },
                Then::Restart => desk.restart(),
                _ => {}
            }
            let _ = desk.due(id);
        }
    }
}
