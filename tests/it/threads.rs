//! Many callers at once, and tickets that are awaited without a runtime.

use std::future::{Future, IntoFuture};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use horolog::{Durability, Timer};

use super::clock::HoldingClock;
use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

/// Parks the thread until the future is woken: all the runtime that a ticket needs.
fn block_on<F: IntoFuture>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future.into_future());
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park_timeout(PATIENCE),
        }
    }
}

#[test]
fn blocked_callers_share_commits_and_all_are_answered() {
    let dir = tempfile::tempdir().expect("a directory");
    let engine = Engine::open(dir.path()).expect("opens");
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..50 {
                    engine.schedule(Timer::after(HOUR)).expect("scheduled");
                }
            });
        }
    });
    let stats = engine.stats();
    assert_eq!(stats.timers, 800);
    assert_eq!(stats.durable, stats.as_of, "everything that was answered is on disk");
}

#[test]
fn a_ticket_is_awaited_without_a_runtime() {
    let dir = tempfile::tempdir().expect("a directory");
    let engine = Engine::open(dir.path()).expect("opens");
    let tickets: Vec<_> = (0..200).map(|_| engine.submit(Timer::after(HOUR)).expect("submitted")).collect();
    for ticket in tickets {
        let id = ticket.id();
        assert_eq!(block_on(ticket).expect("on disk"), id);
    }
}

#[test]
fn the_next_occurrence_is_awaited_without_a_runtime() {
    let dir = tempfile::tempdir().expect("a directory");
    let engine = Engine::open(dir.path()).expect("opens");
    engine.schedule(Timer::after(Duration::from_millis(20)).payload(b"async")).expect("scheduled");
    let due = block_on(engine.next_due()).expect("the engine is open");
    assert_eq!(due.payload(), b"async");
    block_on(due.complete().expect("open")).expect("on disk");
    engine.shutdown(Duration::ZERO).expect("in order");
    assert!(block_on(engine.next_due()).is_none(), "the end of the engine is the end of its occurrences");
}

#[test]
fn a_ticket_with_a_time_limit_says_nothing_while_its_record_is_on_its_way() {
    let dir = tempfile::tempdir().expect("a directory");
    let (clock, let_go) = HoldingClock::new();
    let engine = Options::new().clock(clock).open(dir.path()).expect("opens");
    // Dropped before the engine, whose end waits for its threads: a failure here must not hang.
    let let_go = let_go;
    let tickets = [Durability::Synced, Durability::Written { sync_within: HOUR }]
        .map(|durability| engine.submit(Timer::after(HOUR).durability(durability)).expect("submitted"));
    let limit = Duration::from_millis(5);
    for ticket in &tickets {
        assert!(ticket.wait_timeout(Duration::ZERO).is_none());
        let asked = Instant::now();
        assert!(ticket.wait_timeout(limit).is_none());
        assert!(asked.elapsed() >= limit, "it waited as long as it might");
    }
    let stats = engine.stats();
    assert!(stats.durable < stats.as_of, "the records are on their way: {stats:?}");
    drop(let_go);
    for ticket in &tickets {
        assert_eq!(ticket.wait().expect("on disk"), ticket.id());
    }
}

#[test]
fn a_ticket_with_a_time_limit_says_what_it_is_as_soon_as_its_record_is_there() {
    let dir = tempfile::tempdir().expect("a directory");
    let engine = Engine::open(dir.path()).expect("opens");
    let ticket = engine.submit(Timer::after(HOUR)).expect("submitted");
    let answer = ticket.wait_timeout(PATIENCE).expect("a minute is enough");
    assert_eq!(answer.expect("on disk"), ticket.id());
    assert_eq!(ticket.wait().expect("a ticket can be asked again"), ticket.id());
}

#[test]
fn several_consumers_take_each_occurrence_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let engine = Engine::open(dir.path()).expect("opens");
    for _ in 0..500 {
        engine.submit(Timer::after(Duration::ZERO)).expect("submitted");
    }
    let taken: usize = std::thread::scope(|scope| {
        let consumers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut taken = 0;
                    while let Ok(due) = engine.due().recv_timeout(Duration::from_secs(2)) {
                        assert_eq!(due.attempt(), 1);
                        due.complete().expect("open");
                        taken += 1;
                    }
                    taken
                })
            })
            .collect();
        consumers.into_iter().map(|consumer| consumer.join().expect("no panic")).sum()
    });
    assert_eq!(taken, 500);
    assert_eq!(engine.stats().completed, 500);
}

#[test]
fn whoever_awaits_an_occurrence_is_told_that_the_engine_is_shut_down() {
    for _ in 0..50 {
        let dir = tempfile::tempdir().expect("a directory");
        let engine = Engine::open(dir.path()).expect("opens");
        std::thread::scope(|scope| {
            let consumer = scope.spawn(|| block_on(engine.next_due()).is_none());
            engine.shutdown(Duration::ZERO).expect("in order");
            assert!(consumer.join().expect("no panic"));
        });
    }
}

#[test]
fn a_waker_that_panics_disturbs_nobody() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            std::panic::resume_unwind(Box::new("a waker that panics"));
        }
    }
    let dir = tempfile::tempdir().expect("a directory");
    let engine = Engine::open(dir.path()).expect("opens");
    let panics = Waker::from(Arc::new(Panics));
    let mut awaited = pin!(engine.next_due());
    assert!(awaited.as_mut().poll(&mut Context::from_waker(&panics)).is_pending());
    for _ in 0..20 {
        let mut ticket = pin!(engine.submit(Timer::after(Duration::ZERO)).expect("submitted").into_future());
        let _ = ticket.as_mut().poll(&mut Context::from_waker(&panics));
    }
    for _ in 0..20 {
        next(&engine).complete().expect("open").wait().expect("on disk");
    }
    assert!(!engine.stats().poisoned);
}

/// Tells other threads that it is over, whatever happens.
struct TellsWhenDropped<'a>(&'a AtomicBool);

impl Drop for TellsWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A copy that is hot: meanwhile timers come, are delivered and completed, snapshots are made, and segments and the snapshots of
/// before are let go.
#[test]
fn backups_are_whole_while_the_engine_works_and_compacts() {
    let (dir, place) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let engine = Engine::open(dir.path()).expect("opens");
    let is_over = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let tells = TellsWhenDropped(is_over);
        scope.spawn(|| {
            while !is_over.load(Ordering::Acquire) {
                for _ in 0..100 {
                    engine.submit(Timer::after(Duration::ZERO).payload([7; 300])).expect("there is room");
                }
                engine.due().iter().take(100).for_each(|due| drop(due.complete().expect("open")));
            }
        });
        scope.spawn(|| {
            while !is_over.load(Ordering::Acquire) {
                engine.compact_now().expect("the disk works");
            }
        });
        let mut ids = Vec::new();
        for number in 0..10 {
            ids.push(engine.schedule(Timer::after(HOUR)).expect("scheduled"));
            let copy = place.path().join(number.to_string());
            engine.backup(&copy).unwrap_or_else(|error| panic!("backup {number}: {error:?}"));
            let twin = Engine::open(&copy).expect("a directory of timers");
            assert!(ids.iter().all(|id| twin.get(*id).is_some()), "backup {number}");
        }
        drop(tells);
    });
    assert!(engine.stats().snapshots >= 10, "{} snapshots", engine.stats().snapshots);
}
