//! What does the log cost over the bare writes and syncs it is made of?
//!
//! A promise is kept by `append` and `sync`; `raw` beside it is one `pwrite` and one `fdatasync` of as many bytes to a
//! file that was zeroed and synced before, at the next place each time. The ratio of the two is the price of format,
//! checksums and the rare change of segment; the time itself belongs to the disk, and to its cache: **a disk that lies
//! about syncs, or a memory file system, makes all of this meaningless.** Spare segments are prepared outside the
//! measured time, as the engine's keeping thread does.
//!
//! | name | bytes handed over | bytes on disk |
//! | --- | --- | --- |
//! | `1x100B` | 100 | 4 096, one block |
//! | `1000x100B` | 100 000 | 114 688, 28 blocks |
#![expect(clippy::expect_used, reason = "a bench stops at the first error")]

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use horolog_benches::{BLOCK, Raw, directory};
use horolog_storage::{OsStorage, Storage};
use horolog_wal::{BatchBuf, LogOptions, Lsn, Stamp, Syncer, Writer, open_writer, read_log};
use tempfile::TempDir;

const BODY: [u8; 100] = [0x5a; 100];

/// A log in a directory of its own, and the batch that is appended again and again.
struct Log {
    writer: Writer,
    syncer: Syncer,
    batch: BatchBuf,
    durable: Lsn,
    _directory: TempDir,
}

impl Log {
    /// Segments have their full size from the start: growing into it is not the question here.
    fn open() -> Self {
        let directory = directory();
        let options = LogOptions { segment_bytes_min: 64 << 20, ..LogOptions::default() };
        let storage: Arc<dyn Storage> =
            Arc::new(OsStorage::open_or_create(directory.path()).expect("a directory"));
        let view = read_log(&*storage, &options).expect("an empty directory");
        let (writer, syncer) = open_writer(Arc::clone(&storage), &view, &options, 0).expect("a new log");
        Self { writer, syncer, batch: BatchBuf::new(), durable: Lsn(0), _directory: directory }
    }

    fn append(&mut self, records: usize) {
        self.batch.clear();
        for _ in 0..records {
            self.batch.push(1, 0, |body| body.extend_from_slice(&BODY));
        }
        let first_lsn = self.writer.tail().next();
        let stamp = Stamp { first_lsn, durable_lsn: self.durable, engine_tick: 0, flags: 0 };
        self.writer.append(&mut self.batch, stamp, 0).expect("an append");
    }

    fn sync(&mut self) {
        let upto = self.writer.tail();
        self.syncer.sync().expect("a sync");
        self.durable = upto;
    }

    fn prepare_spare(&mut self) {
        if let Some(plan) = self.writer.wants_spare() {
            let spare = plan.prepare().expect("a spare segment");
            self.writer.offer_spare(spare);
        }
    }
}

/// Header, records of 12 bytes and a body each.
fn batch_bytes(records: usize) -> usize {
    64 + records * (12 + BODY.len())
}

fn synced(c: &mut Criterion) {
    let mut group = c.benchmark_group("log/append+sync");
    for records in [1, 1_000] {
        group.throughput(Throughput::Elements(records as u64));
        let name = format!("{records}x100B");
        let log = RefCell::new(Log::open());
        group.bench_function(BenchmarkId::new("horolog-wal", &name), |b| {
            let commit = |()| {
                let mut log = log.borrow_mut();
                log.append(records);
                log.sync();
            };
            b.iter_batched(|| log.borrow_mut().prepare_spare(), commit, BatchSize::PerIteration);
        });
        let raw = RefCell::new(Raw::open(batch_bytes(records)));
        group.bench_function(BenchmarkId::new("raw", &name), |b| {
            let commit = |()| {
                let mut raw = raw.borrow_mut();
                raw.write();
                raw.sync();
            };
            b.iter_batched(|| (), commit, BatchSize::PerIteration);
        });
    }
}

/// Into the page cache, and no promise: what survives `kill -9`. Syncs are done outside the measured time, every 16 MiB.
fn unsynced(c: &mut Criterion) {
    let mut group = c.benchmark_group("log/append");
    for records in [1, 1_000] {
        group.throughput(Throughput::Elements(records as u64));
        let name = format!("{records}x100B");
        let syncs_each = (16 << 20) / batch_bytes(records).next_multiple_of(BLOCK);
        let log = RefCell::new(Log::open());
        let mut appends = 0;
        group.bench_function(BenchmarkId::new("horolog-wal", &name), |b| {
            let tidy = || {
                appends += 1;
                if appends % syncs_each == 0 {
                    log.borrow_mut().sync();
                }
                log.borrow_mut().prepare_spare();
            };
            b.iter_batched(tidy, |()| log.borrow_mut().append(records), BatchSize::PerIteration);
        });
        let raw = RefCell::new(Raw::open(batch_bytes(records)));
        let mut writes = 0;
        group.bench_function(BenchmarkId::new("raw", &name), |b| {
            let tidy = || {
                writes += 1;
                if writes % syncs_each == 0 {
                    raw.borrow().sync();
                }
            };
            b.iter_batched(tidy, |()| raw.borrow_mut().write(), BatchSize::PerIteration);
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(4));
    targets = synced, unsynced
}
criterion_main!(benches);
