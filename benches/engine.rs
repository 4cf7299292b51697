//! What does a durable promise cost its caller: alone, among many, handed in without waiting, and all the way round?
//!
//! Everything here is `Synced` and survives a power cut, with 100-byte payloads due in a day. `raw` is the floor of the
//! first group: one `pwrite` and one `fdatasync` of one block, on a file zeroed before. **The times belong to the disk
//! under `TMPDIR`**; what the engine adds is the ratio to `raw`. With blocked threads the figure is time for one call of
//! all threads together: the inverse is durable calls a second, and it is bound by thread switches as much as by the disk.
#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "times over several threads are taken here; a bench stops at the first error"
)]

use std::cell::RefCell;
use std::sync::Barrier;
use std::time::{Duration, Instant, SystemTime};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use horolog::{CancelOutcome, Durability, Engine, Options, Payload, Ticket, Timer, TimerId};
use horolog_benches::{BLOCK, Raw, directory, size};
use tempfile::TempDir;

const PAYLOAD: [u8; 100] = [0x5a; 100];
const DAY: Duration = Duration::from_secs(24 * 3600);

/// An engine in a directory of its own.
struct Bench {
    engine: Engine,
    _directory: TempDir,
}

impl Bench {
    fn open() -> Self {
        let directory = directory();
        Self { engine: Engine::open(directory.path()).expect("a new directory"), _directory: directory }
    }

    /// Cancels what a measurement left, so that the next one meets the same engine.
    fn cancel_all(&self, ids: &[TimerId]) {
        let cancelled = ids.iter().map(|id| self.engine.submit_cancel(*id, Durability::Synced));
        if let Some(last) = cancelled.map(|ticket| ticket.expect("room for a cancel")).last() {
            last.wait().expect("durable");
        }
    }
}

fn in_a_day() -> Timer {
    Timer::after(DAY).payload(PAYLOAD)
}

/// Due at once.
fn overdue() -> Timer {
    Timer::at(SystemTime::UNIX_EPOCH).payload(PAYLOAD)
}

fn alone(c: &mut Criterion) {
    let mut group = c.benchmark_group("engine/alone");
    group.throughput(Throughput::Elements(1));
    let mut raw = Raw::open(BLOCK);
    group.bench_function("raw", |b| {
        b.iter(|| {
            raw.write();
            raw.sync();
        });
    });
    let bench = Bench::open();
    group.bench_function("schedule", |b| b.iter(|| bench.engine.schedule(in_a_day()).expect("scheduled")));
    group.bench_function("cancel", |b| {
        b.iter_batched(
            || bench.engine.schedule(in_a_day()).expect("scheduled"),
            |id| assert_eq!(bench.engine.cancel(id).expect("an answer"), CancelOutcome::Cancelled),
            BatchSize::PerIteration,
        );
    });
}

/// No waiting in between; the last ticket is waited for, and covers all of its thread before it. By one thread, and half of
/// them by each of two.
fn submit(c: &mut Criterion) {
    const COUNT: usize = 10_000;
    let mut group = c.benchmark_group("engine/submit_then_wait_last");
    group.throughput(Throughput::Elements(COUNT as u64));
    let bench = Bench::open();
    let left = RefCell::new(Vec::new());
    group.bench_function(BenchmarkId::from_parameter(size(COUNT)), |b| {
        b.iter_batched(
            || {
                bench.cancel_all(&left.take());
                vec![in_a_day(); COUNT]
            },
            |timers| left.replace(submit_all(&bench.engine, timers)),
            BatchSize::PerIteration,
        );
    });
    group.bench_function(BenchmarkId::new("two_producers", size(COUNT)), |b| {
        b.iter_custom(|iterations| {
            let round = |_| {
                bench.cancel_all(&left.take());
                let (ids, took) = two_submit(&bench.engine, [(); 2].map(|()| vec![in_a_day(); COUNT / 2]));
                left.replace(ids);
                took
            };
            (0..iterations).map(round).sum()
        });
    });
}

fn submit_all(engine: &Engine, timers: Vec<Timer>) -> Vec<TimerId> {
    let submit = |timer| engine.submit(timer).expect("room for 10 000");
    let mut ids = Vec::with_capacity(timers.len());
    let mut last: Option<Ticket<TimerId>> = None;
    for ticket in timers.into_iter().map(submit) {
        ids.push(ticket.id());
        last = Some(ticket);
    }
    if let Some(last) = last {
        last.wait().expect("durable");
    }
    ids
}

/// Two threads that begin together: the ids of both, and how long it was until both were done.
fn two_submit(engine: &Engine, halves: [Vec<Timer>; 2]) -> (Vec<TimerId>, Duration) {
    let start = &Barrier::new(3);
    std::thread::scope(|scope| {
        let producers = halves.map(|timers| {
            scope.spawn(move || {
                start.wait();
                submit_all(engine, timers)
            })
        });
        start.wait();
        let began = Instant::now();
        let ids = producers.into_iter().flat_map(|producer| producer.join().expect("a producer")).collect();
        (ids, began.elapsed())
    })
}

/// How long one call takes that does not wait: nearly all of it is a hold of the engine's lock. A payload over 512 bytes
/// is shared, so its size should not matter.
fn submit_payload(c: &mut Criterion) {
    let mut group = c.benchmark_group("engine/submit_payload");
    group.sample_size(10);
    let directory = directory();
    let engine = Options::new().payload_bytes_max(1 << 20).open(directory.path()).expect("a new directory");
    for bytes in [64, 512, 4_000, 64 << 10, 1 << 20] {
        let payload = Payload::from(vec![0x5a; bytes]);
        group.bench_function(BenchmarkId::from_parameter(bytes), |b| {
            b.iter_custom(|iterations| {
                (0..iterations)
                    .map(|_| {
                        let timer = Timer::after(DAY).payload(&payload);
                        let begun = Instant::now();
                        let ticket = engine.submit(timer).expect("room for one");
                        let taken = begun.elapsed();
                        engine.cancel(ticket.wait().expect("durable")).expect("cancelled");
                        taken
                    })
                    .sum()
            });
        });
    }
}

/// Every thread schedules and waits, again and again.
fn blocked_callers(c: &mut Criterion) {
    let mut group = c.benchmark_group("engine/blocked_callers");
    group.throughput(Throughput::Elements(1));
    for threads in [8, 64] {
        let bench = Bench::open();
        group.bench_function(BenchmarkId::from_parameter(threads), |b| {
            b.iter_custom(|iterations| {
                let each = iterations.div_ceil(threads);
                let elapsed = all_schedule(&bench.engine, threads, each);
                // Criterion asked for `iterations` calls and got a few more.
                elapsed.mul_f64(iterations as f64 / (threads * each) as f64)
            });
        });
    }
}

fn all_schedule(engine: &Engine, threads: u64, each: u64) -> Duration {
    let start = Barrier::new(usize::try_from(threads).expect("a few threads") + 1);
    let caller = || {
        start.wait();
        for _ in 0..each {
            engine.schedule(in_a_day()).expect("scheduled");
        }
    };
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..threads).map(|_| scope.spawn(caller)).collect();
        start.wait();
        let began = Instant::now();
        for caller in callers {
            caller.join().expect("a caller");
        }
        began.elapsed()
    })
}

/// Scheduled, due at once, received, completed; alone, and a thousand at a time.
fn round_trip(c: &mut Criterion) {
    let mut group = c.benchmark_group("engine/round_trip");
    let bench = Bench::open();
    let due = bench.engine.due();
    for count in [1, 1_000] {
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::from_parameter(size(count)), |b| {
            b.iter(|| {
                for _ in 1..count {
                    let _durable_with_the_last = bench.engine.submit(overdue()).expect("room");
                }
                bench.engine.schedule(overdue()).expect("scheduled");
                let mut last = None;
                for due in due.iter().take(count) {
                    last = Some(due.complete().expect("completed"));
                }
                last.map(|ticket| ticket.wait().expect("durable"))
            });
        });
    }
    assert_eq!(bench.engine.stats().timers, 0, "everything went round");
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(4));
    targets = alone, submit, submit_payload, blocked_callers, round_trip
}
criterion_main!(benches);
