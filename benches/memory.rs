//! How many bytes does a pending timer take, counted by an allocator?
//!
//! One-shots spread over an hour that begins in a day. `wheel` is `horolog_wheel::Timers` alone. `engine` is everything that
//! an engine took between its opening and the moment when all its timers were durable and armed, buffers and queues that have
//! grown included, divided by the timers; with 64-byte payloads the 64 bytes are taken off. `left` is what is still there
//! after all of them were cancelled, in all. What the system's allocator adds to each piece is not counted, and nothing is
//! timed.
//!
//! Then, how often a thread that submits asks the allocator for memory, by the call: the timers are made beforehand. What is
//! left are pages that are begun, one for hundreds of timers.
#![expect(clippy::expect_used, clippy::panic, reason = "a bench stops at the first error")]

use std::time::Duration;

use horolog::{Durability, Engine, ScheduleError, Ticket, Timer, TimerId, Unavailable};
use horolog_benches::counted::{AsksOfThisThread, Counted, OfAllThreads, Tally};
use horolog_benches::{DAY_TICKS, HOUR_TICKS, Rng, directory, size};
use horolog_wheel::{Tick, Timers};

#[global_allocator]
static MEMORY: Counted<(OfAllThreads, AsksOfThisThread)> = Counted::new();

const SIZES: [usize; 5] = [1_000, 10_000, 100_000, 1_000_000, 10_000_000];
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Bytes a timer while all of them are pending, and bytes in all once none is.
struct Bytes {
    pending: f64,
    left: usize,
}

fn main() {
    // `--test`: no figures, a look whether it runs.
    let is_test = std::env::args().any(|argument| argument == "--test");
    println!("| timers | wheel | left | engine, no payload | left | engine, 64 bytes | left |");
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for count in SIZES.into_iter().take(if is_test { 1 } else { SIZES.len() }) {
        let cells = [wheel(count), engine(count, &[]), engine(count, &[0x5a; 64])];
        let cells = cells.map(|bytes| format!(" {:.1} | {} KiB |", bytes.pending, bytes.left >> 10));
        println!("| {} |{}", size(count), cells.concat());
    }
    let count = if is_test { 1_000 } else { 1_000_000 };
    println!("\nallocations by the thread that submits {}: {}", size(count), asks(count));
}

/// How often the allocator is asked while so many timers are submitted.
fn asks(count: usize) -> usize {
    let (directory, mut rng) = (directory(), Rng::new());
    let engine = Engine::open(directory.path()).expect("a new directory");
    let timer = |_| Timer::after(DAY + Duration::from_millis(rng.below(HOUR_TICKS))).payload([0x5a; 64]);
    let timers: Vec<Timer> = (0..count).map(timer).collect();
    let (before, mut last) = (AsksOfThisThread::taken(), None);
    for timer in timers {
        let ticket = submit(&engine, timer, &mut last);
        last = Some(ticket);
    }
    let asks = AsksOfThisThread::taken() - before;
    settle(&engine, last);
    asks
}

fn since(before: usize) -> usize {
    OfAllThreads::taken().saturating_sub(before)
}

fn wheel(count: usize) -> Bytes {
    let mut rng = Rng::new();
    let mut ids = Vec::with_capacity(count);
    let before = OfAllThreads::taken();
    let mut timers = Timers::new(Tick(0));
    ids.extend((0..count).map_while(|_| timers.insert(Tick(DAY_TICKS + rng.below(HOUR_TICKS)), 0)));
    assert_eq!(ids.len(), count, "all of them are armed");
    let pending = since(before) as f64 / count as f64;
    for id in ids.drain(..) {
        timers.cancel(id);
    }
    Bytes { pending, left: since(before) }
}

fn engine(count: usize, payload: &[u8]) -> Bytes {
    let (directory, mut rng) = (directory(), Rng::new());
    let mut ids = Vec::with_capacity(count);
    let engine = Engine::open(directory.path()).expect("a new directory");
    let before = OfAllThreads::taken();
    let mut last = None;
    for _ in 0..count {
        let timer = Timer::after(DAY + Duration::from_millis(rng.below(HOUR_TICKS))).payload(payload);
        let ticket = submit(&engine, timer, &mut last);
        ids.push(ticket.id());
        last = Some(ticket);
    }
    settle(&engine, last.take());
    let pending = since(before) as f64 / count as f64 - payload.len() as f64;
    let mut last = None;
    for id in ids.drain(..) {
        last = Some(cancel(&engine, id));
    }
    settle(&engine, last.take());
    Bytes { pending, left: since(before) }
}

/// While the buffer is full, waits for what was taken.
fn submit(engine: &Engine, mut timer: Timer, last: &mut Option<Ticket<TimerId>>) -> Ticket<TimerId> {
    loop {
        match engine.submit(timer) {
            Ok(ticket) => return ticket,
            Err(ScheduleError::NotScheduled(refused)) => {
                timer = *refused.timer;
                last.take().map(|ticket| ticket.wait());
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn cancel(engine: &Engine, id: TimerId) -> Ticket<horolog::CancelOutcome> {
    loop {
        match engine.submit_cancel(id, Durability::Synced) {
            Ok(ticket) => return ticket,
            Err(Unavailable::Busy { .. }) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

/// All that was handed in is durable, and the engine makes no snapshot any more.
fn settle<T: Clone>(engine: &Engine, last: Option<Ticket<T>>) {
    last.map(|ticket| ticket.wait());
    engine.compact_now().expect("a snapshot");
}
