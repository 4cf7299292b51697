//! How late are timers, and how long do calls take, in the worst of many?
//!
//! **lateness**: 100 a tick of 1 ms, 100 000 a second for ten seconds, all of them durable beforehand. One consumer takes
//! each, looks at the clock, and completes it, so the log takes 200 000 records a second, is synced, and snapshots are made.
//! Beside it a loop sleeps from tick to tick and does nothing: what it is late is the machine's own. Deadlines are whole ticks,
//! so that nothing is rounded. Then the same while another thread schedules one after the other and waits for each to be durable:
//! ten thousand commits a second, and a thread more that never sleeps for long.
//!
//! **commit**: one thread schedules, waits until it is durable, and again, over two million timers with 64-byte payloads:
//! while nothing else happens; while the engine makes a snapshot by itself, which it does as the log grows; and while
//! `compact_now` makes one as fast as the disk goes. Whether one is in the making is seen by its file.
//!
//! The times belong to the machine and to the disk under `TMPDIR`; what counts is how the lines compare.
#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    reason = "times of several threads are taken here, and a bench stops at the first error"
)]

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::scope;
use std::time::{Duration, Instant, SystemTime};

use horolog::{Engine, Options, ScheduleError, Ticket, Timer, TimerId};
use horolog_benches::{directory, print_tail};

const PAYLOAD: [u8; 64] = [0x5a; 64];
const TICK: Duration = Duration::from_millis(1);
const A_TICK: u32 = 100;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// How much of it: all, or as little as shows that it runs.
#[derive(Clone, Copy)]
struct Size {
    ticks: u32,
    timers: usize,
    calls: Duration,
    snapshots: u64,
}

fn main() {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let size = if is_test {
        Size { ticks: 100, timers: 10_000, calls: Duration::from_millis(50), snapshots: 0 }
    } else {
        Size { ticks: 10_000, timers: 2_000_000, calls: Duration::from_secs(3), snapshots: 2 }
    };
    print_tail("empty loop, machine idle", empty_loop(SystemTime::now() + TICK * 10, size.ticks));
    lateness(size, false);
    lateness(size, true);
    commit(size);
}

fn ns(span: Duration) -> u32 {
    u32::try_from(span.as_nanos()).unwrap_or(u32::MAX)
}

fn lateness(size: Size, with_commits: bool) {
    println!("tail/lateness{}", if with_commits { "/with commits" } else { "" });
    let directory = directory();
    let engine = Options::new().due_capacity(1_024).open(directory.path()).expect("a new directory");
    let start = next_tick(SystemTime::now() + Duration::from_secs(4));
    let timer = |n: u32| Timer::at(start + TICK * (n / A_TICK)).payload(PAYLOAD);
    submit_all(&engine, (0..size.ticks * A_TICK).map(timer));
    assert!(SystemTime::now() < start, "all of them are durable before the first is due");
    let is_over = &AtomicBool::new(false);
    scope(|scope| {
        let consumer = scope.spawn(|| consume(&engine, size.ticks * A_TICK));
        let committer = scope.spawn(|| commits(&engine, || !with_commits || is_over.load(Ordering::Relaxed)));
        let idle = scope.spawn(|| empty_loop(start, size.ticks));
        let late = consumer.join().expect("no panic");
        is_over.store(true, Ordering::Relaxed);
        print_tail("empty loop, beside the engine", idle.join().expect("no panic"));
        print_tail("timers", late);
        let commits = committer.join().expect("no panic");
        if with_commits {
            print_tail("commits meanwhile", commits);
        }
    });
}

fn next_tick(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).expect("later than 1970");
    SystemTime::UNIX_EPOCH + TICK * since.subsec_millis() + Duration::from_secs(since.as_secs())
}

/// Sleeps to the beginning of each tick: how late it woke.
fn empty_loop(start: SystemTime, ticks: u32) -> Vec<u32> {
    let late = |tick: u32| {
        let at = start + TICK * tick;
        while let Ok(left) = at.duration_since(SystemTime::now()) {
            std::thread::sleep(left.max(Duration::from_nanos(1)));
        }
        ns(SystemTime::now().duration_since(at).unwrap_or_default())
    };
    (0..ticks).map(late).collect()
}

fn consume(engine: &Engine, count: u32) -> Vec<u32> {
    let late = |_| {
        let due = engine.due().recv().expect("the engine runs");
        let late = SystemTime::now().duration_since(due.deadline()).expect("never early");
        due.complete().expect("it is open");
        ns(late)
    };
    (0..count).map(late).collect()
}

fn submit_all(engine: &Engine, timers: impl Iterator<Item = Timer>) {
    let mut last: Option<Ticket<TimerId>> = None;
    for mut timer in timers {
        // The buffer is full when the disk is slower than we are: wait for what was taken, then go on.
        last = loop {
            match engine.submit(timer) {
                Ok(ticket) => break Some(ticket),
                Err(ScheduleError::NotScheduled(refused)) => {
                    timer = *refused.timer;
                    last.take().map(|ticket| ticket.wait());
                }
                Err(error) => panic!("{error}"),
            }
        };
    }
    last.map(|ticket| ticket.wait().expect("durable"));
}

/// How long durable calls take, one after the other.
fn commits(engine: &Engine, is_over: impl Fn() -> bool) -> Vec<u32> {
    let mut took = Vec::new();
    while !is_over() {
        took.push(one_commit(engine));
    }
    took
}

fn one_commit(engine: &Engine) -> u32 {
    let begun = Instant::now();
    engine.schedule(Timer::after(DAY).payload(PAYLOAD)).expect("durable");
    ns(begun.elapsed())
}

fn commit(size: Size) {
    println!("tail/commit");
    let directory = directory();
    let engine = Engine::open(directory.path()).expect("a new directory");
    submit_all(&engine, (0..size.timers).map(|_| Timer::after(DAY).payload(PAYLOAD)));
    engine.compact_now().expect("a snapshot");
    let until = Instant::now() + size.calls;
    let quiet = commits(&engine, || Instant::now() >= until || is_making(directory.path()));
    print_tail("quiet", quiet);
    print_tail("while a snapshot is made", during_snapshots(&engine, directory.path(), size.snapshots));
    print_tail("while compact_now makes one", during_compaction(&engine));
}

/// Goes on until the engine has made some snapshots by itself; the calls that fell into one of them.
fn during_snapshots(engine: &Engine, path: &Path, snapshots: u64) -> Vec<u32> {
    let until = engine.stats().snapshots + snapshots;
    let mut took = Vec::new();
    while engine.stats().snapshots < until {
        let call = one_commit(engine);
        if is_making(path) {
            took.push(call);
        }
    }
    took
}

fn during_compaction(engine: &Engine) -> Vec<u32> {
    let is_over = &AtomicBool::new(false);
    scope(|scope| {
        let committer = scope.spawn(|| commits(engine, || is_over.load(Ordering::Relaxed)));
        engine.compact_now().expect("a snapshot");
        is_over.store(true, Ordering::Relaxed);
        committer.join().expect("no panic")
    })
}

/// A snapshot that is being written has a name of its own.
fn is_making(path: &Path) -> bool {
    let names = std::fs::read_dir(path).expect("the directory").filter_map(Result::ok);
    let mut names = names.filter_map(|entry| entry.file_name().into_string().ok());
    names.any(|name| name.starts_with("snap-") && name.ends_with(".tmp"))
}
