//! What consumers see: payloads, attempts, failures, dead letters, cancels, and that nothing is early.

use horolog::{Batch, CancelOutcome, DeadReason, Durability, Phase, Timer};

use super::*;

fn fresh() -> (tempfile::TempDir, Arc<HandClock>, Engine) {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Arc::new(HandClock::new());
    let engine = open(dir.path(), &clock);
    (dir, clock, engine)
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn an_occurrence_brings_its_payload_its_key_and_its_place() {
    let (_dir, clock, engine) = fresh();
    let timer = Timer::after(SECOND * 30).payload(b"retry order 42").key("order-42");
    let id = engine.schedule(timer).expect("scheduled");
    pass(&engine, &clock, SECOND * 31);
    let due = next(&engine);
    assert_eq!((due.id(), due.payload(), due.key()), (id, &b"retry order 42"[..], &b"order-42"[..]));
    assert_eq!((due.attempt(), due.occurrence().index, due.occurrence().timer), (1, 0, id));
    assert_eq!(due.lateness(), SECOND);
    due.complete().expect("open").wait().expect("on disk");
    assert!(engine.get(id).is_none());
}

#[test]
fn a_typed_payload_comes_back_as_what_it_was() {
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Order {
        number: u32,
        lines: Vec<String>,
    }
    let (_dir, _clock, engine) = fresh();
    let order = Order { number: 42, lines: vec![String::from("tea")] };
    engine.schedule(Timer::after(Duration::ZERO).payload_as(&order).expect("JSON")).expect("scheduled");
    let due = next(&engine);
    assert_eq!(due.payload_as::<Order>().expect("an order"), order);
    assert!(due.payload_as::<u8>().is_err());
}

#[test]
fn nothing_is_early() {
    let (_dir, clock, engine) = fresh();
    engine.schedule(Timer::after(SECOND)).expect("scheduled");
    pass(&engine, &clock, SECOND - Duration::from_nanos(1));
    nothing_but_a_marker_comes(&engine, &clock);
    pass(&engine, &clock, Duration::from_millis(1));
    let due = next(&engine);
    assert_eq!((due.payload(), due.lateness() < SECOND), (&b""[..], true));
}

/// A timer that is due now comes, and shows that the engine has looked at the clock; nothing else does.
fn nothing_but_a_marker_comes(engine: &Engine, clock: &HandClock) {
    let past = clock.wall() - SECOND;
    engine.schedule(Timer::at(past).payload(b"marker")).expect("scheduled");
    let marker = next(engine);
    assert_eq!(marker.payload(), b"marker", "something is early");
    marker.complete().expect("open").wait().expect("on disk");
    let stats = engine.stats();
    assert_eq!((stats.in_flight, stats.ready), (0, 0), "something is early");
}

fn next_or_none(engine: &Engine) -> Option<Due> {
    engine.due().recv_timeout(Duration::from_millis(200)).ok()
}

#[test]
fn a_failed_occurrence_comes_again_after_its_wait_and_not_before() {
    let (_dir, clock, engine) = fresh();
    let timer = Timer::after(Duration::ZERO).backoff(SECOND * 10, SECOND * 60);
    let id = engine.schedule(timer).expect("scheduled");
    next(&engine).fail("no connection").expect("open").wait().expect("written");
    assert_eq!(engine.get(id).map(|info| (info.phase, info.failures)), Some((Phase::Waiting, 1)));
    pass(&engine, &clock, SECOND * 9);
    nothing_but_a_marker_comes(&engine, &clock);
    pass(&engine, &clock, SECOND * 2);
    let again = next(&engine);
    assert_eq!(again.attempt(), 2);
    drop(again);
    pass(&engine, &clock, SECOND * 19);
    nothing_but_a_marker_comes(&engine, &clock);
    pass(&engine, &clock, SECOND * 2);
    assert_eq!(next(&engine).attempt(), 3, "a dropped occurrence has failed, and waits twice as long");
}

#[test]
fn a_panicking_handler_fails_its_occurrence_and_nobody_elses() {
    let (_dir, clock, engine) = fresh();
    let id = engine.schedule(Timer::after(Duration::ZERO)).expect("scheduled");
    let due = next(&engine);
    let handler = std::thread::spawn(move || {
        let _due = due;
        std::panic::resume_unwind(Box::new("a handler that panics"));
    });
    assert!(handler.join().is_err());
    assert_eq!(engine.get(id).map(|info| info.failures), Some(1));
    pass(&engine, &clock, SECOND * 2);
    next(&engine).complete().expect("open").wait().expect("on disk");
    assert!(!engine.stats().poisoned);
}

#[test]
fn what_fails_too_often_is_dead_and_listed_and_can_begin_anew() {
    let (_dir, clock, engine) = fresh();
    let timer = Timer::after(Duration::ZERO).payload(b"p").failures_max(2).backoff(SECOND, SECOND);
    let id = engine.schedule(timer).expect("scheduled");
    next(&engine).fail("first").expect("open").wait().expect("written");
    pass(&engine, &clock, SECOND * 2);
    next(&engine).fail("last words").expect("open").wait().expect("written");
    let dead = engine.dead();
    let [letter] = &dead[..] else { panic!("one is dead: {dead:?}") };
    assert_eq!((letter.id, letter.reason, letter.deliveries), (id, DeadReason::Failures, 2));
    assert_eq!((letter.message.as_str(), &letter.payload[..]), ("last words", &b"p"[..]));
    engine.reschedule(id, Duration::ZERO).expect("a new life");
    pass(&engine, &clock, SECOND);
    let due = next(&engine);
    assert_eq!((due.attempt(), engine.dead().len()), (1, 0));
}

#[test]
fn all_of_many_dead_ones_are_listed_once() {
    let (_dir, _clock, engine) = fresh();
    for _ in 0..150 {
        engine.submit(Timer::after(Duration::ZERO).failures_max(1)).expect("submitted");
    }
    for _ in 0..150 {
        next(&engine).fail("no").expect("open").wait().expect("written");
    }
    let mut ids: Vec<_> = engine.dead().iter().map(|letter| letter.id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 150);
}

#[test]
fn a_dead_timer_that_is_cancelled_is_forgotten() {
    let (_dir, _clock, engine) = fresh();
    let id = engine.schedule(Timer::after(Duration::ZERO).failures_max(1)).expect("scheduled");
    next(&engine).fail("no").expect("open").wait().expect("written");
    assert_eq!(engine.cancel(id).expect("answered"), CancelOutcome::Cancelled);
    assert_eq!((engine.dead().len(), engine.stats().timers), (0, 0));
}

#[test]
fn a_cancelled_timer_never_comes() {
    let (_dir, clock, engine) = fresh();
    let id = engine.schedule(Timer::after(SECOND)).expect("scheduled");
    assert_eq!(engine.cancel(id).expect("answered"), CancelOutcome::Cancelled);
    let other = engine.schedule(Timer::after(SECOND)).expect("scheduled");
    pass(&engine, &clock, SECOND * 2);
    assert_eq!(next(&engine).id(), other);
}

#[test]
fn a_timer_that_is_due_and_not_handed_out_can_still_be_cancelled() {
    let dir = tempfile::tempdir().expect("a directory");
    let engine = Options::new().due_capacity(1).open(dir.path()).expect("opens");
    let ids: Vec<_> =
        (0..20).map(|_| engine.schedule(Timer::after(Duration::ZERO)).expect("scheduled")).collect();
    let first = next(&engine);
    let cancelled: Vec<_> =
        ids.iter().filter(|&&id| engine.cancel(id).expect("answered") == CancelOutcome::Cancelled).collect();
    assert!(cancelled.len() >= 18, "one is in flight and one may be in the channel");
    assert!(!cancelled.contains(&&first.id()));
    first.complete().expect("open").wait().expect("on disk");
    while let Some(due) = next_or_none(&engine) {
        assert!(!cancelled.contains(&&due.id()), "{due:?} was cancelled");
        due.complete().expect("open").wait().expect("on disk");
    }
}

#[test]
fn a_timer_cancelled_in_flight_ends_with_its_occurrence() {
    let (_dir, clock, engine) = fresh();
    let id = engine.schedule(Timer::every(SECOND)).expect("scheduled");
    pass(&engine, &clock, SECOND);
    let due = next(&engine);
    assert_eq!(engine.cancel(id).expect("answered"), CancelOutcome::InFlight);
    assert_eq!(engine.get(id).map(|info| info.cancelled), Some(true));
    due.fail("it does not matter any more").expect("open").wait().expect("written");
    assert!(engine.get(id).is_none());
}

#[test]
fn a_batch_completes_and_schedules_in_one() {
    let (_dir, _clock, engine) = fresh();
    let first = engine.schedule(Timer::after(Duration::ZERO).payload(b"1")).expect("scheduled");
    let other = engine.schedule(Timer::after(SECOND)).expect("scheduled");
    let due = next(&engine);
    let follow_up = Timer::after(Duration::ZERO).payload(b"2");
    let applied =
        engine.apply(Batch::new().complete(due).schedule(follow_up).cancel(other)).expect("applied");
    let [horolog::Applied::Completed(done), horolog::Applied::Scheduled(next_id), cancelled] = applied[..]
    else {
        panic!("answers come in order: {applied:?}")
    };
    assert_eq!((done, cancelled), (first, horolog::Applied::Cancelled(CancelOutcome::Cancelled)));
    let due = next(&engine);
    assert_eq!((due.id(), due.payload()), (next_id, &b"2"[..]));
}

#[test]
fn a_timer_that_is_moved_comes_at_its_new_time() {
    let (_dir, clock, engine) = fresh();
    let later = engine.schedule(Timer::after(SECOND)).expect("scheduled");
    let earlier = engine.schedule(Timer::after(SECOND * 100)).expect("scheduled");
    engine.reschedule(later, SECOND * 50).expect("moved");
    engine.reschedule(earlier, SECOND * 2).expect("moved");
    pass(&engine, &clock, SECOND * 3);
    let first = next(&engine);
    assert_eq!(first.id(), earlier);
    first.complete().expect("open").wait().expect("on disk");
    pass(&engine, &clock, SECOND * 50);
    assert_eq!(next(&engine).id(), later);
}

#[test]
fn written_is_answered_before_synced_and_synced_soon_after() {
    let (_dir, clock, engine) = fresh();
    let before = engine.stats().as_of;
    let within = Durability::Written { sync_within: SECOND };
    let ticket = engine.submit(Timer::after(SECOND * 9).durability(within)).expect("submitted");
    assert_eq!(ticket.wait().expect("written"), ticket.id());
    let stats = engine.stats();
    assert_eq!(
        (stats.written, stats.durable),
        (before + 1, before),
        "it is written, and its second is not over"
    );
    // The second is over: whoever looks next at the clock has it synced.
    pass(&engine, &clock, SECOND * 2);
    let synced = (0..6_000).any(|_| {
        let is_synced = engine.stats().durable > before;
        if !is_synced {
            let _ = engine.due().recv_timeout(Duration::from_millis(10));
        }
        is_synced
    });
    assert!(synced, "a minute later it is not on the medium");
}
