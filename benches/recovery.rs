//! How long does a restart take with 100 k and 1 M pending timers, and where does the time go?
//!
//! The directory is made by an engine: one-shots with 64-byte payloads, spread over an hour that begins in a day, closed in
//! order. Then three figures over the same files, each holding the ones before: `read_log` (every byte checked), `recover`
//! (that, and replay to a state), `open` (all of it: the lock, the wheels, a fresh segment, the epoch made durable,
//! threads). Each opening gets a directory of hard links to the same segments, which is sound because nothing ever writes
//! to an old segment. **Files are in the page cache**, as after the restart of a process; after a reboot add the time to
//! read the bytes, whose number is printed first.
#![expect(clippy::expect_used, clippy::panic, reason = "a bench stops at the first error")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use horolog::{Engine, Options, Timer};
use horolog_benches::{HOUR_TICKS, Rng, directory, size};
use horolog_recovery::recover;
use horolog_storage::{OsStorage, Storage};
use horolog_wal::{LogOptions, read_log};
use tempfile::TempDir;

const SIZES: [usize; 2] = [100_000, 1_000_000];
const DAY: Duration = Duration::from_secs(24 * 3600);

#[expect(clippy::disallowed_methods, reason = "the deadlines have to lie in the future of the machine")]
fn pending(count: usize) -> TempDir {
    let directory = directory();
    let engine = Engine::open(directory.path()).expect("a new directory");
    let (mut rng, start) = (Rng::new(), SystemTime::now() + DAY);
    let mut last = None;
    for n in 0..count {
        let deadline = start + Duration::from_millis(rng.below(HOUR_TICKS));
        let mut timer = Timer::at(deadline).payload([0x5a; 64]);
        // The buffer is full when the disk is slower than we are: wait for what was taken, then go on.
        last = loop {
            match engine.submit(timer) {
                Ok(ticket) => break Some(ticket),
                Err(horolog::ScheduleError::NotScheduled(refused)) => {
                    timer = *refused.timer;
                    last.take().map(|ticket: horolog::Ticket<_>| ticket.wait());
                }
                Err(error) => panic!("timer {n}: {error}"),
            }
        };
    }
    last.map(|ticket| ticket.wait().expect("durable"));
    engine.shutdown(Duration::ZERO).expect("closed in order");
    directory
}

fn storage(path: &Path) -> OsStorage {
    OsStorage::open_existing(path).expect("the directory")
}

/// The same directory again, at the price of a few names.
#[expect(
    clippy::disallowed_methods,
    reason = "storage makes no links: an engine never needs a second name for a file"
)]
fn linked(original: &Path) -> TempDir {
    let copy = directory();
    for name in storage(original).list().expect("a list").iter().filter(|name| name.starts_with("seg-")) {
        std::fs::hard_link(original.join(name), copy.path().join(name)).expect("a hard link");
    }
    copy
}

fn bytes(path: &Path) -> u64 {
    let storage = storage(path);
    let len = |name: &String| storage.open_read_only(name).and_then(|file| file.len()).expect("a file");
    storage.list().expect("a list").iter().map(len).sum()
}

fn recovery(c: &mut Criterion) {
    for count in SIZES {
        let directory = pending(count);
        let (path, options) = (directory.path(), LogOptions { has_lock: true, ..LogOptions::default() });
        println!("recovery/{}: {} MiB in the directory", size(count), bytes(path) >> 20);
        let mut group = c.benchmark_group("recovery");
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("read_log", size(count)), |b| {
            b.iter_with_large_drop(|| read_log(&storage(path), &options).expect("a sound log"));
        });
        group.bench_function(BenchmarkId::new("recover", size(count)), |b| {
            b.iter_with_large_drop(|| recover(&storage(path), &options).expect("a sound directory"));
        });
        group.bench_function(BenchmarkId::new("open", size(count)), |b| {
            b.iter_batched(
                || Arc::new(linked(path)),
                |copy| {
                    let engine = Options::new().create(false).open(copy.path()).expect("an engine");
                    assert_eq!(engine.report().timers, count);
                    // Dropped after the measurement, the engine before its directory.
                    (engine, copy)
                },
                BatchSize::PerIteration,
            );
        });
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(5));
    targets = recovery
}
criterion_main!(benches);
