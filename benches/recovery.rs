//! How long does a restart take with 100 k, 1 M and 10 M pending timers, and where does the time go?
//!
//! One-shots with 64-byte payloads, spread over an hour that begins in a day, in two directories: `snapshot` was made by an
//! engine that compacted and was closed in order; `log` has a record for each timer and nothing else. Of each, over the same
//! files and each figure holding the one before: `bytes` (every file read, nothing else: what the page cache gives), `read_log`
//! (every byte of the log checked), `recover` (that, and the state), `open` (all of it: the lock, the wheels, a fresh segment,
//! the epoch made durable, threads). Each opening gets a directory of its own: META copied, all else as hard links, which is
//! sound because nothing ever writes to an old segment or snapshot. Files are in the page cache, as after the restart of a
//! process; `open in a new process` is one whose memory comes from the kernel for the first time, as it does then. `bytes, cold`
//! and `open, cold` are the same with nothing of the files in the page cache, as after a reboot (the disk may have a cache of its
//! own).
#![expect(clippy::expect_used, clippy::panic, reason = "a bench stops at the first error")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group};
use horolog::{Engine, Options, Timer, TimerId};
use horolog_benches::{HOUR_TICKS, Rng, directory, size};
use horolog_recovery::recover;
use horolog_state::{ClockReading, DueTime, Epoch, Put, Record, Tick, TickLen, Timeline, codec};
use horolog_storage::{OsStorage, Storage};
use horolog_wal::{BatchBuf, LogOptions, Stamp, Writer, open_writer, read_log};
use tempfile::TempDir;

const SIZES: [usize; 3] = [100_000, 1_000_000, 10_000_000];
const DAY: Duration = Duration::from_secs(24 * 3600);
const PAYLOAD: [u8; 64] = [0x5a; 64];

#[expect(clippy::disallowed_methods, reason = "the deadlines have to lie in the future of the machine")]
fn tomorrow() -> SystemTime {
    SystemTime::now() + DAY
}

/// A directory whose timers are all in a snapshot.
fn with_snapshot(count: usize) -> TempDir {
    let directory = directory();
    let engine = Engine::open(directory.path()).expect("a new directory");
    let (mut rng, start) = (Rng::new(), tomorrow());
    let mut last = None;
    for n in 0..count {
        let deadline = start + Duration::from_millis(rng.below(HOUR_TICKS));
        let mut timer = Timer::at(deadline).payload(PAYLOAD);
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
    engine.compact_now().expect("a snapshot");
    engine.shutdown(Duration::ZERO).expect("closed in order");
    directory
}

/// A directory whose timers are all in records of the log.
fn with_log(count: usize) -> TempDir {
    const BATCH: u32 = 1_000;
    let (directory, options) = (directory(), LogOptions::default());
    let storage = Arc::new(OsStorage::open_or_create(directory.path()).expect("a directory"));
    let view = read_log(&*storage, &options).expect("an empty directory");
    let (mut writer, syncer) = open_writer(storage.clone(), &view, &options, 0).expect("a new log");
    let start = tomorrow().duration_since(SystemTime::UNIX_EPOCH).expect("later than 1970").as_millis();
    let start = u64::try_from(start).expect("a number of ticks");
    let (mut rng, mut batch) = (Rng::new(), BatchBuf::new());
    let (tick_len, reading) = (TickLen::MILLISECOND, ClockReading::default());
    push(&mut batch, &Record::Epoch(Epoch { epoch: 1, tick_len, generation_floor: 0, reading }));
    append(&mut writer, &mut batch);
    for slot in 0..u32::try_from(count).expect("slots") {
        let tick = Tick(start + rng.below(HOUR_TICKS));
        let due = DueTime { timeline: Timeline::Civil, tick };
        let id = TimerId::new(slot, 1).expect("an id");
        push(&mut batch, &Record::Put(Put { id, due, terms: None, payload: PAYLOAD.as_slice().into() }));
        if slot % BATCH == BATCH - 1 {
            append(&mut writer, &mut batch);
        }
    }
    assert!(batch.is_empty(), "sizes are multiples of a batch");
    syncer.sync().expect("a sync");
    directory
}

fn push(batch: &mut BatchBuf, record: &Record<'_>) {
    batch.push(record.kind().code(), 0, |body| codec::encode(record, body));
}

fn append(writer: &mut Writer, batch: &mut BatchBuf) {
    if let Some(plan) = writer.wants_spare() {
        writer.offer_spare(plan.prepare().expect("a spare segment"));
    }
    let stamp = Stamp { first_lsn: writer.tail().next(), ..Stamp::default() };
    writer.append(batch, stamp, 0).expect("an append");
    batch.clear();
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
    for name in storage(original).list().expect("a list").iter().filter(|name| *name != "LOCK") {
        let (from, to) = (original.join(name), copy.path().join(name));
        if name == "META" {
            std::fs::copy(from, to).expect("a copy");
        } else {
            std::fs::hard_link(from, to).expect("a hard link");
        }
    }
    copy
}

/// All bytes of all files, added up a word at a time.
fn sum(path: &Path) -> (u64, u64) {
    let storage = storage(path);
    let (mut total, mut sum, mut buffer) = (0, 0_u64, vec![0; 1 << 20]);
    for name in storage.list().expect("a list") {
        let file = storage.open_read_only(&name).expect("a file");
        let len = file.len().expect("a length");
        for offset in (0..len).step_by(buffer.len()) {
            let part = usize::try_from(len - offset).unwrap_or(usize::MAX).min(buffer.len());
            file.read_at(&mut buffer[..part], offset).expect("a read");
            let words = buffer[..part].as_chunks::<8>().0;
            sum = words.iter().fold(sum, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)));
        }
        total += len;
    }
    (total, sum)
}

/// Nothing of the directory is in the page cache any more.
fn evict(path: &Path) {
    let storage = storage(path);
    for name in storage.list().expect("a list") {
        storage.open_read_only(&name).expect("a file").evict();
    }
}

/// Asks this program for a process that opens a directory once and says how long that took.
const OPEN_ONCE: &str = "--open-once";

/// What that process does.
#[expect(clippy::disallowed_methods, reason = "a process of its own takes its own time")]
fn open_once(path: &str) {
    let begun = Instant::now();
    let engine = Options::new().create(false).open(path).expect("an engine");
    println!("{}", begun.elapsed().as_nanos());
    engine.shutdown(Duration::ZERO).expect("closed in order");
}

/// So many openings, each of a directory and by a process of its own; `before` each, something is done to the directory.
fn in_processes(times: u64, path: &Path, before: fn(&Path)) -> Duration {
    let program = std::env::current_exe().expect("this program");
    let open = |_| {
        let copy = linked(path);
        before(copy.path());
        let told = Command::new(&program).arg(OPEN_ONCE).arg(copy.path()).output().expect("a process");
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        let nanos = String::from_utf8_lossy(&told.stdout).trim().parse().expect("a number");
        Duration::from_nanos(nanos)
    };
    (0..times).map(open).sum()
}

fn recovery(c: &mut Criterion) {
    // `--test`: no figures, a look whether it runs.
    let is_test = std::env::args().any(|argument| argument == "--test");
    for count in SIZES.into_iter().take(if is_test { 1 } else { SIZES.len() }) {
        measure(c, "snapshot", count, with_snapshot(count));
        measure(c, "log", count, with_log(count));
    }
}

#[expect(clippy::needless_pass_by_value, reason = "a directory is removed when its figures are had")]
fn measure(c: &mut Criterion, kind: &str, count: usize, directory: TempDir) {
    let (path, options) = (directory.path(), LogOptions { has_lock: true, ..LogOptions::default() });
    let storage = storage(path);
    println!("recovery/{kind}/{}: {} MiB in the directory", size(count), sum(path).0 >> 20);
    let mut group = c.benchmark_group(format!("recovery/{kind}"));
    group.throughput(Throughput::Elements(count as u64));
    group.bench_function(BenchmarkId::new("bytes", size(count)), |b| b.iter(|| sum(path)));
    group.bench_function(BenchmarkId::new("read_log", size(count)), |b| {
        b.iter_with_large_drop(|| read_log(&storage, &options).expect("a sound log"));
    });
    group.bench_function(BenchmarkId::new("recover", size(count)), |b| {
        b.iter_with_large_drop(|| recover(&storage, &options).expect("a sound directory"));
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
    group.bench_function(BenchmarkId::new("open in a new process", size(count)), |b| {
        b.iter_custom(|times| in_processes(times, path, |_| ()));
    });
    group.bench_function(BenchmarkId::new("bytes, cold", size(count)), |b| {
        b.iter_batched(|| evict(path), |()| sum(path), BatchSize::PerIteration);
    });
    group.bench_function(BenchmarkId::new("open, cold", size(count)), |b| {
        b.iter_custom(|times| in_processes(times, path, evict));
    });
    group.finish();
    let copy = linked(path);
    let engine = Options::new().create(false).open(copy.path()).expect("an engine");
    println!("recovery/{kind}/{}: once more: {}", size(count), engine.opening_times());
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(5));
    targets = recovery
}

fn main() {
    let mut arguments = std::env::args();
    match arguments.by_ref().find(|argument| argument == OPEN_ONCE).and(arguments.next()) {
        Some(path) => open_once(&path),
        None => {
            benches();
            Criterion::default().configure_from_args().final_summary();
        }
    }
}
