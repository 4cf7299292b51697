//! What a restart brings back, after a shutdown and after a kill.

use horolog::{Durability, Timer};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn what_was_acknowledged_is_there_after_a_kill() {
    let (dir, clock) = (tempfile::tempdir().expect("a directory"), Arc::new(HandClock::new()));
    let engine = open(dir.path(), &clock);
    let written = Durability::Written { sync_within: SECOND * 3_600 };
    let synced = engine.schedule(Timer::after(SECOND).payload(b"synced")).expect("scheduled");
    let written =
        engine.schedule(Timer::after(SECOND).payload(b"written").durability(written)).expect("written");
    let copy = killed(engine, dir.path());
    let engine = open(copy.path(), &clock);
    assert_eq!(engine.get(synced).expect("live").payload[..], *b"synced");
    assert_eq!(engine.get(written).expect("live").payload[..], *b"written");
    assert!(!engine.report().clean);
}

#[test]
fn missed_timers_come_in_the_order_of_their_deadlines() {
    let (dir, clock) = (tempfile::tempdir().expect("a directory"), Arc::new(HandClock::new()));
    let engine = open(dir.path(), &clock);
    for delay in [50_u64, 10, 40, 20, 30, 10] {
        let timer =
            Timer::after(SECOND * u32::try_from(delay).expect("small")).payload([delay.to_le_bytes()[0]]);
        engine.schedule(timer).expect("scheduled");
    }
    let copy = killed(engine, dir.path());
    clock.pass(SECOND * 100);
    let engine = open(copy.path(), &clock);
    let order: Vec<u8> = (0..6).map(|_| next(&engine).payload()[0]).collect();
    assert_eq!(order, [10, 10, 20, 30, 40, 50]);
}

#[test]
fn a_completed_one_does_not_come_again_and_one_in_flight_does() {
    let (dir, clock) = (tempfile::tempdir().expect("a directory"), Arc::new(HandClock::new()));
    let engine = open(dir.path(), &clock);
    for payload in [b"done", b"lost"] {
        engine.schedule(Timer::after(Duration::ZERO).payload(payload)).expect("scheduled");
    }
    let (first, second) = (next(&engine), next(&engine));
    let (done, lost) = if first.payload() == b"done" { (first, second) } else { (second, first) };
    done.complete().expect("open").wait().expect("on disk");
    let copy = killed(engine, dir.path());
    std::mem::forget(lost);
    let engine = open(copy.path(), &clock);
    assert_eq!(engine.report().in_flight, 1);
    let again = next(&engine);
    assert_eq!((again.payload(), again.attempt()), (&b"lost"[..], 2));
    assert!(engine.due().is_empty());
}

#[test]
fn a_job_that_kills_its_process_is_given_up_and_the_others_are_not() {
    let (mut dir, clock) = (tempfile::tempdir().expect("a directory"), Arc::new(HandClock::new()));
    let engine = open(dir.path(), &clock);
    let poison = engine.schedule(Timer::after(Duration::ZERO).payload(b"poison").deliveries_max(5));
    let poison = poison.expect("scheduled");
    for _ in 0..3 {
        engine.schedule(Timer::after(Duration::ZERO).payload(b"fine")).expect("scheduled");
    }
    drop(engine);
    let mut done = 0;
    for _ in 0..30 {
        let engine = open(dir.path(), &clock);
        // A handler that dies on the poison, and completes what comes before it.
        while let Ok(due) = engine.due().recv_timeout(Duration::from_millis(300)) {
            if due.payload() == b"poison" {
                std::mem::forget(due);
                break;
            }
            due.complete().expect("open").wait().expect("on disk");
            done += 1;
        }
        if engine.dead().iter().any(|letter| letter.id == poison && letter.deliveries == 5) {
            assert_eq!(done, 3, "the others were done");
            return;
        }
        dir = killed(engine, dir.path());
    }
    panic!("the poison was never given up");
}

#[test]
fn ids_stay_valid_and_are_never_given_again() {
    let (dir, clock) = (tempfile::tempdir().expect("a directory"), Arc::new(HandClock::new()));
    let engine = open(dir.path(), &clock);
    let kept = engine.schedule(Timer::after(SECOND * 60)).expect("scheduled");
    let mut given: Vec<_> =
        (0..50).map(|_| engine.schedule(Timer::after(SECOND * 60)).expect("scheduled")).collect();
    for id in &given {
        engine.cancel(*id).expect("answered");
    }
    engine.shutdown(Duration::ZERO).expect("in order");
    let engine = open(dir.path(), &clock);
    assert!(engine.get(kept).is_some());
    for _ in 0..50 {
        let id = engine.schedule(Timer::after(SECOND * 60)).expect("scheduled");
        assert!(!given.contains(&id) && id != kept, "{id} was given before");
        given.push(id);
    }
}

#[test]
fn a_clean_shutdown_is_reported_as_one() {
    let (dir, clock) = (tempfile::tempdir().expect("a directory"), Arc::new(HandClock::new()));
    let engine = open(dir.path(), &clock);
    engine.schedule(Timer::after(SECOND)).expect("scheduled");
    engine.shutdown(SECOND).expect("in order");
    let engine = open(dir.path(), &clock);
    let report = *engine.report();
    assert!(report.clean && report.torn_bytes == 0 && report.timers == 1, "{report}");
}

#[test]
fn a_shutdown_waits_for_occurrences_in_flight_within_its_grace() {
    let dir = tempfile::tempdir().expect("a directory");
    let engine = Arc::new(Engine::open(dir.path()).expect("opens"));
    engine.schedule(Timer::after(Duration::ZERO)).expect("scheduled");
    let due = next(&engine);
    let (begun, wait) = crossbeam_channel::bounded(0);
    let closer = std::thread::spawn({
        let engine = Arc::clone(&engine);
        move || {
            begun.send(()).expect("the test listens");
            engine.shutdown(PATIENCE)
        }
    });
    wait.recv().expect("the shutdown begins");
    due.complete().expect("outcomes are taken within the grace");
    closer.join().expect("no panic").expect("in order");
    let engine = Engine::open(dir.path()).expect("opens");
    assert_eq!(engine.stats().timers, 0, "it was done");
}

#[test]
fn consumers_see_the_end_when_the_engine_is_shut_down() {
    let dir = tempfile::tempdir().expect("a directory");
    let engine = Engine::open(dir.path()).expect("opens");
    let due = engine.due();
    let consumer = std::thread::spawn(move || due.iter().count());
    engine.shutdown(Duration::ZERO).expect("in order");
    assert_eq!(consumer.join().expect("no panic"), 0);
}

/// Snapshots are made while timers come and go, and each restart stands on the newest.
#[test]
fn a_restart_stands_on_a_snapshot_and_has_what_came_after_it() {
    let (dir, clock) = (tempfile::tempdir().expect("a directory"), Arc::new(HandClock::new()));
    let mut engine = open(dir.path(), &clock);
    let mut ids = Vec::new();
    for round in 0_u64..4 {
        for number in 0_u64..300 {
            let timer =
                Timer::after(SECOND * 60).payload([round.to_le_bytes(), number.to_le_bytes()].concat());
            ids.push(engine.submit(timer).expect("there is room").id());
        }
        for id in ids.drain(..100) {
            engine.submit_cancel(id, Durability::Synced).expect("there is room");
        }
        engine.compact_now().expect("the disk works");
        assert_eq!((engine.stats().snapshots, engine.stats().snapshot_failures), (1, 0));
        ids.push(engine.schedule(Timer::after(SECOND).key(round.to_string())).expect("scheduled"));
        let copy = killed(engine, dir.path());
        let twin = open(copy.path(), &clock);
        let report = *twin.report();
        assert_eq!(report.snapshot.map(|it| it.id), Some(round + 1), "{report}");
        assert_eq!(report.snapshots_rotten, 0);
        assert!(ids.iter().all(|id| twin.get(*id).is_some()));
        assert_eq!(twin.stats().timers, ids.len() as u64);
        assert!(twin.by_key(round.to_string()).is_some());
        drop(twin);
        engine = open(dir.path(), &clock);
    }
}

#[test]
fn a_backup_is_a_directory_of_its_own_with_everything_that_was_applied() {
    let (dir, clock) = (tempfile::tempdir().expect("a directory"), Arc::new(HandClock::new()));
    let place = tempfile::tempdir().expect("a directory");
    let engine = open(dir.path(), &clock);
    let mut ids: Vec<_> =
        (0..200).map(|_| engine.submit(Timer::after(SECOND * 60)).expect("there is room").id()).collect();
    for (number, compacts) in [false, true, true, true].into_iter().enumerate() {
        if compacts {
            engine.compact_now().expect("the disk works");
        }
        ids.push(engine.submit(Timer::after(SECOND).payload(b"last")).expect("there is room").id());
        let copy = place.path().join(number.to_string());
        engine.backup(&copy).expect("the disk works");
        assert!(engine.get(ids[0]).is_some(), "the engine goes on");
        let twin = open(&copy, &clock);
        assert!(ids.iter().all(|id| twin.get(*id).is_some()));
        let new = twin.schedule(Timer::after(SECOND)).expect("scheduled");
        assert!(engine.get(new).is_none(), "an id of one is unknown in the other");
        drop(twin);
        let taken = engine.backup(&copy).expect_err("something is there");
        assert!(matches!(taken, horolog::BackupError::Write(_)), "{taken:?}");
    }
    let inside = engine.backup(dir.path().join("below")).expect_err("it is the same directory");
    assert!(matches!(inside, horolog::BackupError::Inside { .. }), "{inside:?}");
}

#[test]
fn a_closed_engine_makes_no_snapshot() {
    let (dir, clock) = (tempfile::tempdir().expect("a directory"), Arc::new(HandClock::new()));
    let engine = open(dir.path(), &clock);
    engine.shutdown(Duration::ZERO).expect("closed");
    assert!(matches!(engine.compact_now(), Err(horolog::CompactError::Closed)));
}

/// Each opening leaves a segment behind, for its epoch is a record: a process that starts again and again would fill the disk.
#[test]
fn a_directory_that_is_opened_again_and_again_stays_small() {
    let dir = tempfile::tempdir().expect("a directory");
    let files = || std::fs::read_dir(dir.path()).expect("there").count();
    let (mut most, mut since, mut snapshots) = (0, 0, 0);
    for _ in 0..220 {
        let engine = Engine::open(dir.path()).expect("opened");
        since += 1;
        if since > 70 {
            // 64 MiB of segments, and some: a snapshot is due, and on its way. From the second on the log behind the one
            // before goes.
            snapshots += 1;
            while engine.stats().snapshots == 0 || (snapshots > 1 && files() > 100) {
                std::thread::yield_now();
            }
            since = 0;
        }
        engine.shutdown(Duration::ZERO).expect("closed");
        most = most.max(files());
    }
    assert!(most < 160, "{most} files");
}
