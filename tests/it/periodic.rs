//! The failure that Horolog exists for: a backup whose schedule lived in memory and was computed from "now" at each start,
//! so that a container restarted weekly never ran its weekly backup.

use std::time::{Duration, SystemTime};

use horolog::{IfExists, Misfire, Timer};

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3_600);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3_600);

fn weekly() -> Timer {
    Timer::every(WEEK).key("backup").if_exists(IfExists::Keep)
}

/// What a service does at each start: name its job, and run what is due.
///
/// `held` occurrences are in the hands of the test.
fn run_due(engine: &Engine, held: u64, runs: &mut Vec<SystemTime>) {
    for _ in 0..500 {
        let stats = engine.stats();
        if stats.in_flight == held && stats.ready == 0 {
            return;
        }
        if let Ok(due) = engine.due().recv_timeout(Duration::from_millis(10)) {
            runs.push(due.deadline());
            due.complete().expect("the engine is open").wait().expect("it is on disk");
        }
    }
    panic!("what is ready is neither handed out nor done with: {:?}", engine.stats());
}

/// Waits until the timer thread has seen the clock, by scheduling a marker that is due and waiting for it.
fn see_the_clock(engine: &Engine, runs: &mut Vec<SystemTime>) {
    see_the_clock_holding(engine, 0, runs);
}

fn see_the_clock_holding(engine: &Engine, held: u64, runs: &mut Vec<SystemTime>) {
    engine.clock_moved();
    engine.schedule(Timer::after(Duration::ZERO).payload(b"marker")).expect("a marker");
    loop {
        let due = next(engine);
        let is_marker = due.payload() == b"marker";
        if !is_marker {
            runs.push(due.deadline());
        }
        due.complete().expect("the engine is open").wait().expect("it is on disk");
        if is_marker {
            break;
        }
    }
    run_due(engine, held, runs);
}

fn check_phase(runs: &[SystemTime], created: SystemTime) {
    for (index, run) in (1_u32..).zip(runs) {
        assert_eq!(*run, created + WEEK * index, "run {index} keeps the phase of the first day");
    }
}

#[test]
fn a_weekly_backup_restarted_every_six_days_runs_ten_times_in_ten_weeks() {
    let (dir, clock) = (tempfile::tempdir().expect("a directory"), Arc::new(HandClock::new()));
    let created = clock.wall();
    let mut runs = Vec::new();
    // 70 days in steps of a day; the process is restarted every sixth day.
    let mut engine = open(dir.path(), &clock);
    engine.schedule(weekly()).expect("scheduled");
    for day in 1..=70 {
        pass(&engine, &clock, DAY);
        see_the_clock(&engine, &mut runs);
        if day % 6 == 0 {
            engine.shutdown(Duration::ZERO).expect("in order");
            drop(engine);
            engine = open(dir.path(), &clock);
            engine.schedule(weekly()).expect("kept");
        }
    }
    assert_eq!(runs.len(), 10);
    check_phase(&runs, created);
}

#[test]
fn a_weekly_backup_runs_although_the_process_is_never_up_when_it_is_due() {
    let (dir, clock) = (tempfile::tempdir().expect("a directory"), Arc::new(HandClock::new()));
    let created = clock.wall();
    let mut runs = Vec::new();
    for _ in 0..12 {
        let engine = open(dir.path(), &clock);
        engine.schedule(weekly()).expect("scheduled or kept");
        see_the_clock(&engine, &mut runs);
        engine.shutdown(Duration::ZERO).expect("in order");
        clock.pass(DAY * 6);
    }
    // 66 days have passed at the last opening: nine slots, each made up for at the opening after it.
    assert_eq!(runs.len(), 9);
    check_phase(&runs, created);
}

#[test]
fn a_backup_killed_half_way_runs_again_at_once_and_not_a_week_later() {
    let (dir, clock) = (tempfile::tempdir().expect("a directory"), Arc::new(HandClock::new()));
    let created = clock.wall();
    let engine = open(dir.path(), &clock);
    engine.schedule(weekly()).expect("scheduled");
    pass(&engine, &clock, WEEK);
    let half_way = next(&engine);
    assert_eq!((half_way.attempt(), half_way.deadline()), (1, created + WEEK));

    let copy = killed(engine, dir.path());
    std::mem::forget(half_way);
    clock.pass(Duration::from_secs(60));
    let engine = open(copy.path(), &clock);
    let again = next(&engine);
    assert_eq!((again.attempt(), again.deadline()), (2, created + WEEK));
    again.complete().expect("open").wait().expect("on disk");

    let mut runs = vec![created + WEEK];
    for _ in 0..9 {
        pass(&engine, &clock, WEEK);
        let due = next(&engine);
        runs.push(due.deadline());
        due.complete().expect("open").wait().expect("on disk");
    }
    assert_eq!(runs.len(), 10);
    check_phase(&runs, created);
}

#[test]
fn three_days_down_with_a_ten_minute_grid_is_one_run_that_knows_how_many_it_stands_for() {
    let (dir, clock) = (tempfile::tempdir().expect("a directory"), Arc::new(HandClock::new()));
    let created = clock.wall();
    let grid = Duration::from_secs(600);
    let engine = open(dir.path(), &clock);
    engine.schedule(Timer::every(grid)).expect("scheduled");
    engine.shutdown(Duration::ZERO).expect("in order");
    clock.pass(DAY * 3);

    let engine = open(dir.path(), &clock);
    let due = next(&engine);
    let missed = due.missed().expect("slots were missed");
    assert_eq!((missed.count, missed.first, missed.last), (432, created + grid, created + DAY * 3));
    due.complete().expect("open").wait().expect("on disk");
    assert_eq!(engine.stats().coalesced, 431);

    pass(&engine, &clock, grid);
    let on_time = next(&engine);
    assert_eq!((on_time.missed(), on_time.deadline()), (None, created + DAY * 3 + grid));
}

#[test]
fn a_job_that_must_run_in_time_is_skipped_when_it_is_late_and_keeps_its_phase() {
    let (dir, clock) = (tempfile::tempdir().expect("a directory"), Arc::new(HandClock::new()));
    let created = clock.wall();
    let engine = open(dir.path(), &clock);
    engine.schedule(Timer::every(DAY).misfire(Misfire::Skip)).expect("scheduled");
    engine.shutdown(Duration::ZERO).expect("in order");
    clock.pass(DAY * 3 + DAY / 2);

    let engine = open(dir.path(), &clock);
    pass(&engine, &clock, DAY / 2);
    let due = next(&engine);
    assert_eq!((due.deadline(), due.missed()), (created + DAY * 4, None));
    assert_eq!(engine.stats().skipped_misfire, 3);
}

#[test]
fn a_slot_that_comes_while_the_one_before_runs_is_skipped_and_counted() {
    let (dir, clock) = (tempfile::tempdir().expect("a directory"), Arc::new(HandClock::new()));
    let engine = open(dir.path(), &clock);
    engine.schedule(Timer::every(DAY)).expect("scheduled");
    pass(&engine, &clock, DAY);
    let slow = next(&engine);
    pass(&engine, &clock, DAY);
    let mut runs = Vec::new();
    see_the_clock_holding(&engine, 1, &mut runs);
    assert_eq!((runs.len(), engine.stats().skipped_overlap), (0, 1));
    slow.complete().expect("open").wait().expect("on disk");
    pass(&engine, &clock, DAY);
    next(&engine).complete().expect("open").wait().expect("on disk");
}

#[test]
fn a_set_wall_clock_does_not_move_an_interval() {
    let (dir, clock) = (tempfile::tempdir().expect("a directory"), Arc::new(HandClock::new()));
    let engine = open(dir.path(), &clock);
    engine.schedule(Timer::every(DAY)).expect("scheduled");
    let mut runs = Vec::new();
    clock.set_forward(DAY * 100);
    see_the_clock(&engine, &mut runs);
    clock.set_back(DAY * 200);
    see_the_clock(&engine, &mut runs);
    assert!(runs.is_empty(), "no time has passed");
    pass(&engine, &clock, DAY);
    next(&engine).complete().expect("open").wait().expect("on disk");
}

#[test]
fn an_interval_goes_on_over_a_reboot() {
    let (dir, clock) = (tempfile::tempdir().expect("a directory"), Arc::new(HandClock::new()));
    let engine = open(dir.path(), &clock);
    engine.schedule(Timer::every(DAY)).expect("scheduled");
    engine.shutdown(Duration::ZERO).expect("in order");
    clock.reboot(DAY / 2);
    let engine = open(dir.path(), &clock);
    let mut runs = Vec::new();
    see_the_clock(&engine, &mut runs);
    assert!(runs.is_empty(), "half a day is not a day");
    pass(&engine, &clock, DAY / 2);
    next(&engine).complete().expect("open").wait().expect("on disk");
}

#[test]
fn an_instant_waits_for_the_wall_clock_although_that_was_set_back() {
    let (dir, clock) = (tempfile::tempdir().expect("a directory"), Arc::new(HandClock::new()));
    let engine = open(dir.path(), &clock);
    let mut runs = Vec::new();
    see_the_clock(&engine, &mut runs);
    clock.set_back(DAY);
    see_the_clock(&engine, &mut runs);
    engine.schedule(Timer::at(clock.wall() + DAY / 2)).expect("scheduled");
    see_the_clock(&engine, &mut runs);
    assert!(runs.is_empty(), "the instant has not come by the clock that is valid now");
    pass(&engine, &clock, DAY / 2);
    next(&engine).complete().expect("open").wait().expect("on disk");
}

#[test]
fn a_timer_that_waits_for_a_retry_still_knows_its_next_slot() {
    let (dir, clock) = (tempfile::tempdir().expect("a directory"), Arc::new(HandClock::new()));
    let created = clock.wall();
    let engine = open(dir.path(), &clock);
    let id = engine.schedule(Timer::every(DAY)).expect("scheduled");
    pass(&engine, &clock, DAY);
    next(&engine).fail("not now").expect("open").wait().expect("written");
    let info = engine.get(id).expect("it lives");
    assert_eq!(info.next_slot, Some(created + DAY * 2));
    assert!(info.deadline < created + DAY * 2, "the retry comes first");
}
