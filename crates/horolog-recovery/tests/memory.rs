//! I8: what reading a directory costs in memory is bounded by the bytes in it, whatever is wrong with them. Every byte that is
//! taken from the allocator counts.
#![expect(clippy::expect_used, reason = "a test says what it expects")]
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "golden files lie in the repository, and are put into a directory"
)]
#![expect(unsafe_code, reason = "an allocator that counts is the only witness of an allocation")]

#[path = "../../horolog-wal/tests/golden/hex.rs"]
mod hex;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use horolog_recovery::{RecoveryError, SnapshotTrouble, recover, salvage};
use horolog_sim::SimDisk;
use horolog_state::snapshot::SnapshotWalk;
use horolog_state::{ClockReading, DueTime, Epoch, Lsn, Put, Record, State, Tick, TickLen, Timeline, codec};
use horolog_storage::OsStorage;
use horolog_wal::{BatchBuf, LogOptions, SnapshotFile, Stamp, Syncer, Writer, open_writer};

use hex::Files;

/// What a file counts for that the log does not know, beside its name: the least that a file system keeps of one.
const NODE: u64 = 256;

/// Beside twice the directory: the pages in which a state begins, names, an error's words.
const CONSTANT: u64 = 256 << 10;

const BLOCK: usize = 4096;

struct Counting;

thread_local! {
    static LIVE: Cell<i64> = const { Cell::new(0) };
    static PEAK: Cell<i64> = const { Cell::new(0) };
}

// SAFETY: every call goes on to the system's allocator as it came; counting touches cells of this thread, which have no
// destructor and are in no heap. To move memory is to have both for a moment, as the trait does it by itself.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.set(LIVE.get() + layout.size().cast_signed() as i64);
        PEAK.set(PEAK.get().max(LIVE.get()));
        // SAFETY: the caller's promise about `layout` is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get() - layout.size().cast_signed() as i64);
        // SAFETY: `ptr` came from `System` with this layout, as `alloc` above is the only source.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that were taken at once meanwhile.
fn peak_of<T>(work: impl FnOnce() -> T) -> u64 {
    let before = LIVE.get();
    PEAK.set(before);
    drop(work());
    (PEAK.get() - before).cast_unsigned()
}

#[test]
fn the_counter_counts() {
    assert_eq!(peak_of(|| drop((vec![1_u8; 1000], vec![1_u8; 10]))), 1010);
    assert_eq!(peak_of(|| (drop(vec![1_u8; 1000]), drop(vec![1_u8; 10]))), 1000);
}

/// A real directory with the files of a made one.
struct Place {
    dir: tempfile::TempDir,
    storage: OsStorage,
    bytes: u64,
}

impl Place {
    fn of(files: &Files) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let storage = OsStorage::open_existing(dir.path()).expect("a directory");
        files.iter().for_each(|(name, bytes)| fs::write(dir.path().join(name), bytes).expect("written"));
        let bytes = files.values().map(|bytes| bytes.len() as u64).sum();
        Self { dir, storage, bytes }
    }

    /// A file of so many bytes that is no part of the log, and counts for no more than its being there.
    fn put_unknown(&mut self, name: &str, len: u64) {
        let file = fs::File::create(self.dir.path().join(name)).expect("made");
        // A hole takes no room.
        file.set_len(len).expect("the file system has large files");
        self.bytes += NODE + name.len() as u64;
    }

    /// Reads it as an opening does, as `verify` does, and as `repair` does.
    #[track_caller]
    fn check(&self, what: &str) {
        let with_lock = LogOptions { has_lock: true, ..LogOptions::small() };
        self.bound(what, "opening", peak_of(|| recover(&self.storage, &with_lock)));
        self.check_unlocked(what);
    }

    #[track_caller]
    fn check_unlocked(&self, what: &str) {
        self.bound(what, "verify", peak_of(|| recover(&self.storage, &LogOptions::small())));
        self.bound(what, "repair", peak_of(|| salvage(&self.storage, &LogOptions::small())));
    }

    #[track_caller]
    fn bound(&self, what: &str, how: &str, peak: u64) {
        let (bytes, most) = (self.bytes, 2 * self.bytes + CONSTANT);
        assert!(peak <= most, "{how}, {what}: {peak} bytes at once for {bytes} on disk");
    }
}

/// The owner of a small log: timers in batches of some, segments of 32 KiB, and a snapshot in the middle.
struct Owner {
    disk: Arc<SimDisk>,
    writer: Writer,
    syncer: Syncer,
    state: State,
}

impl Owner {
    fn new(segment_bytes: u64) -> Self {
        Self::open(Arc::new(SimDisk::new(1)), segment_bytes)
    }

    /// The next process that has the directory.
    fn succeeded(self) -> Self {
        let killed = self.disk.process_kill();
        Self::open(Arc::new(killed), 32 << 10)
    }

    fn open(disk: Arc<SimDisk>, segment_bytes: u64) -> Self {
        let options = LogOptions {
            segment_bytes_min: segment_bytes,
            segment_bytes_max: segment_bytes,
            ..LogOptions::small()
        };
        let found = recover(&*disk, &options).expect("nothing is there, or sound");
        let (writer, syncer) = open_writer(disk.clone(), &found.log, &options, 0).expect("the disk works");
        let epoch = found.state.epoch() + 1;
        let mut owner = Self { disk: disk.clone(), writer, syncer, state: found.state };
        let (reading, tick_len) = (ClockReading::default(), TickLen::MILLISECOND);
        owner.write(&[Record::Epoch(Epoch { epoch, tick_len, generation_floor: 0, reading })]);
        owner
    }

    fn write(&mut self, records: &[Record<'_>]) {
        let first_lsn = self.writer.tail().next();
        let mut batch = BatchBuf::new();
        for (record, lsn) in records.iter().zip(first_lsn.0..) {
            batch.push(record.kind().code(), 0, |out| codec::encode(record, out));
            let _ = self.state.apply(Lsn(lsn), record).expect("it fits");
        }
        self.writer.append(&mut batch, Stamp { first_lsn, ..Stamp::default() }, 0).expect("written");
        self.syncer.sync().expect("synced");
    }

    /// Batches of timers with payloads of so many bytes.
    fn schedule(&mut self, batches: usize, timers: usize, payload: usize) {
        let payload = vec![7; payload];
        for _ in 0..batches {
            let due = DueTime { timeline: Timeline::Civil, tick: Tick(u64::MAX) };
            let ids: Vec<_> = (0..timers).map(|_| self.state.slab_mut().reserve().expect("a slot")).collect();
            let put = |id| Record::Put(Put { id, due, terms: None, payload: (&payload).into() });
            let records: Vec<_> = ids.into_iter().map(put).collect();
            self.write(&records);
        }
    }

    fn snapshot(&mut self) {
        let mut walk = SnapshotWalk::new(&self.state);
        let plan = self.writer.plan_snapshot(horolog_wal::Lsn(walk.begin().0));
        let mut file = plan.create().expect("the disk works");
        let mut buffer = vec![0; SnapshotFile::FRAME_LEN];
        while walk.step(&self.state, &mut buffer) {
            file.append(&mut buffer, walk.end().is_some()).expect("the disk works");
            buffer.truncate(SnapshotFile::FRAME_LEN);
        }
        let end = horolog_wal::Lsn(walk.end().expect("it ended").0);
        file.seal(end).expect("the disk works").publish(self.writer.tail()).expect("the disk works");
    }

    fn files(&self) -> Files {
        let names = self.disk.files().into_iter().map(|(name, _)| name);
        names.map(|name| (name.clone(), self.disk.bytes(&name).expect("it is there"))).collect()
    }
}

fn made() -> Files {
    let mut owner = Owner::new(32 << 10);
    owner.schedule(4, 3, 100);
    owner.snapshot();
    owner.schedule(4, 1, 5_000);
    owner.snapshot();
    owner.schedule(2, 2, 0);
    owner.files()
}

fn golden() -> Vec<(String, Files)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/v0");
    let scenes =
        fs::read_dir(folder).expect("the folder is there").map(|entry| entry.expect("an entry").path());
    let files = |scene: &Path| fs::read_to_string(scene.join("directory.hex")).expect("a golden directory");
    scenes.map(|scene| (scene.display().to_string(), hex::unpack(&files(&scene)))).collect()
}

/// Golden directories, and one with snapshots.
fn directories() -> Vec<(String, Files)> {
    golden().into_iter().chain([("made".to_owned(), made())]).collect()
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize
}

fn put(bytes: &mut [u8], at: usize, number: u32) {
    bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
}

/// The files of a log: META, segments and snapshots, those that are being made left out.
fn parts(files: &Files) -> impl Iterator<Item = (&String, &Vec<u8>)> {
    files.iter().filter(|(name, bytes)| !name.ends_with(".tmp") && bytes.len() >= BLOCK)
}

/// A stretch of a file in which headers and lengths lie.
struct Spot {
    from: usize,
    to: usize,
    part: Part,
}

/// What has its own checksums, by where it begins.
#[derive(Clone, Copy)]
enum Part {
    /// A block with its checksum in its last eight bytes: a slot of META, or the header of a file.
    Block(usize),
    Batch(usize),
    Snapshot,
}

/// Every stretch of headers in a file, by `docs/format.md`.
fn spots(name: &str, bytes: &[u8]) -> Vec<Spot> {
    let block = |at: usize, len: usize| {
        let part = Part::Block(at);
        [Spot { from: at, to: at + len, part }, Spot { from: at + 4088, to: at + 4096, part }]
    };
    if name == "META" {
        let slots = (0..bytes.len()).step_by(BLOCK);
        return slots
            .flat_map(|at| {
                block(at, 256).into_iter().chain([Spot {
                    from: at + 512,
                    to: at + 592,
                    part: Part::Block(at),
                }])
            })
            .collect();
    }
    let mut found: Vec<_> = block(0, 112).into_iter().collect();
    if name.starts_with("snap-") {
        let frames = frames(bytes).into_iter();
        found.extend(frames.map(|at| Spot {
            from: at,
            to: bytes.len().min(at + 32 + 64),
            part: Part::Snapshot,
        }));
    } else {
        for at in (BLOCK..bytes.len()).step_by(BLOCK).filter(|at| bytes[*at..].starts_with(b"HBAT")) {
            found.push(Spot { from: at, to: at + 64, part: Part::Batch(at) });
            let records = records(bytes, at).into_iter();
            found.extend(records.map(|from| Spot { from, to: from + 12 + 32, part: Part::Batch(at) }));
        }
    }
    found
}

fn frames(bytes: &[u8]) -> Vec<usize> {
    let mut found = vec![BLOCK];
    while let at = found[found.len() - 1]
        && let next = at + 32 + u32_at(bytes, at + 12)
        && next < bytes.len()
    {
        found.push(next);
    }
    found
}

/// Where the records of a batch begin.
fn records(bytes: &[u8], batch: usize) -> Vec<usize> {
    let end = batch + 64 + u32_at(bytes, batch + 44);
    std::iter::successors(Some(batch + 64), |at| Some(at + 12 + u32_at(bytes, *at)))
        .take_while(|at| *at < end)
        .collect()
}

/// Puts a number somewhere, and all checksums right again: the lengths are those of `sound`.
fn crafted(files: &Files, name: &str, spot: &Spot, at: usize, number: u32) -> Files {
    let mut files = files.clone();
    let sound = files[name].clone();
    let bytes = files.get_mut(name).expect("it is there");
    put(bytes, at, number);
    match spot.part {
        Part::Block(block) => seal_block(&mut bytes[block..block + BLOCK]),
        Part::Batch(batch) => seal_batch(bytes, &sound, batch),
        Part::Snapshot => {
            let digest = seal_snapshot(bytes, &sound);
            let id = sound[32..40].to_vec();
            let meta = files.get_mut("META").expect("it is there");
            for slot in meta.chunks_mut(BLOCK) {
                for row in
                    [512, 552].into_iter().filter(|row| slot[*row..*row + 8] == id[..]).collect::<Vec<_>>()
                {
                    put(slot, row + 36, digest);
                }
                seal_block(slot);
            }
        }
    }
    files
}

fn seal_block(block: &mut [u8]) {
    let crc = crc32fast::hash(&block[..4088]);
    put(block, 4088, crc);
    put(block, 4092, !crc);
}

fn seal_batch(bytes: &mut [u8], sound: &[u8], batch: usize) {
    let body_end = batch + 64 + u32_at(sound, batch + 44);
    let mut digest = crc32fast::Hasher::new();
    for at in records(sound, batch) {
        // As long as it says, if there is as much.
        let end = body_end.min(at.saturating_add(12 + u32_at(bytes, at)));
        let mut crc = crc32fast::Hasher::new();
        crc.update(&bytes[at..at + 8]);
        crc.update(&bytes[at + 12..end]);
        put(bytes, at + 8, crc.finalize());
        digest.update(&bytes[at + 8..at + 12]);
    }
    digest.update(&bytes[body_end..body_end.next_multiple_of(BLOCK)]);
    put(bytes, batch + 52, digest.finalize());
    let mut crc = crc32fast::Hasher::new();
    // uuid, id, salt: as in the header of the segment.
    [16..32, 32..40, 48..56].into_iter().for_each(|range| crc.update(&bytes[range]));
    crc.update(&u32::try_from(batch / BLOCK).expect("a block").to_le_bytes());
    crc.update(&bytes[batch + 8..batch + 64]);
    put(bytes, batch + 4, crc.finalize());
}

/// Gives the digest, which META has as well.
fn seal_snapshot(bytes: &mut [u8], sound: &[u8]) -> u32 {
    let mut digest = crc32fast::Hasher::new();
    for at in frames(sound) {
        let end = at + 32 + u32_at(sound, at + 12);
        let body_crc = crc32fast::hash(&bytes[at + 32..end]);
        put(bytes, at + 16, body_crc);
        digest.update(&body_crc.to_le_bytes());
        put(bytes, at + 24, digest.clone().finalize());
        let mut crc = crc32fast::Hasher::new();
        [16..32, 32..40, 48..56].into_iter().for_each(|range| crc.update(&bytes[range]));
        crc.update(&bytes[at + 8..at + 32]);
        put(bytes, at + 4, crc.finalize());
    }
    digest.finalize()
}

#[test]
fn a_golden_directory_costs_at_most_twice_its_bytes() {
    directories().iter().for_each(|(scene, files)| Place::of(files).check(scene));
}

/// Segments of 2 MiB, as full of timers as can be: here the constant is small beside the rest.
#[test]
fn a_large_directory_costs_at_most_twice_its_bytes_sound_or_damaged() {
    for (batches, timers, payload, snapshots) in [(1, 45_000, 0, 0), (45, 1_000, 0, 2), (30, 1, 60_000, 1)] {
        let mut owner = Owner::new(2 << 20);
        owner.schedule(batches, timers, payload);
        for _ in 0..snapshots {
            owner.schedule(1, 1, 0);
            owner.snapshot();
        }
        let files = owner.files();
        let what = format!("{batches} batches of {timers}, {snapshots} snapshots");
        Place::of(&files).check(&what);
        for (name, bytes) in parts(&files).filter(|(name, _)| *name != "META") {
            for at in [100, bytes.len() / 2] {
                let mut damaged = files.clone();
                damaged.get_mut(name).expect("it is there")[at] ^= 1;
                Place::of(&damaged).check(&format!("{what}, {name} flipped at {at}"));
            }
        }
    }
}

#[test]
fn a_flip_in_any_byte_of_any_header_costs_no_more() {
    for (scene, files) in directories() {
        // Every byte of the made one, which has everything, and some of the others.
        let step = if scene == "made" { 1 } else { 61 };
        let place = Place::of(&files);
        for (name, bytes) in parts(&files) {
            let path = place.dir.path().join(name);
            for at in spots(name, bytes).iter().flat_map(|spot| (spot.from..spot.to).step_by(step)) {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << (at % 8);
                fs::write(&path, damaged).expect("written");
                place.check_unlocked(&format!("{name} of {scene}, flipped at {at}"));
            }
            fs::write(&path, bytes).expect("written");
        }
    }
}

#[test]
fn a_file_that_was_cut_or_has_grown_costs_no_more() {
    for (scene, files) in directories() {
        for (name, bytes) in parts(&files) {
            let len = bytes.len();
            for len in [0, 1, 600, BLOCK, BLOCK + 40, len / 2, len - BLOCK, len - 1, len + 1, 3 * len] {
                let mut cut = files.clone();
                cut.get_mut(name).expect("it is there").resize(len, 0);
                Place::of(&cut).check(&format!("{name} of {scene}, {len} bytes"));
            }
        }
    }
}

#[test]
fn a_file_that_is_missing_costs_no_more() {
    for (scene, files) in directories() {
        for name in files.keys() {
            let mut rest = files.clone();
            rest.remove(name);
            Place::of(&rest).check(&format!("{scene} without {name}"));
            let alone = files.iter().filter(|(other, _)| *other == name || *other == "META");
            let alone = alone.map(|(name, bytes)| (name.clone(), bytes.clone())).collect();
            Place::of(&alone).check(&format!("META and {name} of {scene}"));
        }
    }
}

/// A log, as a life before the last one left it, of which some files were put back.
#[test]
fn a_log_of_an_older_epoch_costs_no_more_nor_do_files_of_one() {
    let mut owner = Owner::new(32 << 10);
    let mut past: Vec<Files> = Vec::new();
    for epoch in 1..5 {
        owner.schedule(2, 3, 1_000 * epoch);
        if epoch == 2 {
            owner.snapshot();
        }
        past.push(owner.files());
        owner = owner.succeeded();
    }
    let now = owner.files();
    for (epoch, older) in (1..).zip(past) {
        Place::of(&older).check(&format!("epoch {epoch}"));
        for (name, bytes) in &older {
            let mut mixed = now.clone();
            mixed.insert(name.clone(), bytes.clone());
            Place::of(&mixed).check(&format!("{name} of epoch {epoch}"));
            mixed.extend(older.iter().map(|(name, bytes)| (name.clone(), bytes.clone())));
            mixed.insert(name.clone(), now.get(name).unwrap_or(bytes).clone());
            Place::of(&mixed).check(&format!("epoch {epoch}, and {name} of now"));
        }
    }
}

/// What is no part of the log is not read, however large it is: it counts for its name, and for a node.
#[test]
fn files_that_are_no_part_of_a_log_cost_their_names_whatever_is_in_them() {
    let names = |count: u64| {
        let strange = (0..count).map(|n| format!("{n}-{}", "x".repeat(200)));
        let alike = (0..count).flat_map(|n| [format!("seg-{n:016x}.wal.old"), format!("snap-{n:x}.img")]);
        strange.chain(alike).collect::<Vec<_>>()
    };
    for files in [made(), Files::new()] {
        let mut place = Place::of(&files);
        for (nth, name) in names(500).into_iter().enumerate() {
            place.put_unknown(&name, if nth % 500 == 0 { 1 << 30 } else { 0 });
        }
        place.check("with many files that are not the log's");
    }
}

/// Files with names that a log gives are looked at: a segment that META does not list by its header, a snapshot too.
#[test]
fn files_of_a_logs_names_that_it_does_not_know_cost_no_more_than_their_headers() {
    let sound = made();
    for (count, len) in [(500, 0), (500, BLOCK as u64 - 1), (3, 1 << 30)] {
        let mut place = Place::of(&sound);
        for n in 100..100 + count {
            for name in [
                format!("seg-{n:016x}.wal"),
                format!("seg-{n:016x}.wal.tmp"),
                format!("snap-{n:016x}.img"),
                format!("snap-{n:016x}.img.tmp"),
            ] {
                place.put_unknown(&name, len);
            }
        }
        place.check(&format!("with {count} unknown files of {len} bytes of each kind"));
    }
}

/// Lengths, counts and numbers that say too much, where no checksum tells: of records, batches, segments, META, snapshots and
/// their sections.
#[test]
fn a_number_that_lies_under_a_right_checksum_costs_no_more() {
    let files = made();
    let mut believed = 0;
    for (name, bytes) in parts(&files) {
        for spot in spots(name, bytes) {
            for at in (spot.from..spot.to).step_by(4) {
                // Too large for anything here, and not so large that adding to it overflows.
                let place = Place::of(&crafted(&files, name, &spot, at, 0x00ff_ffff));
                place.check_unlocked(&format!("{name}, a number at {at}"));
                believed += u32::from(was_believed(&place.storage));
            }
        }
    }
    assert!(believed > 15, "{believed} numbers came as far as to the state");
}

/// Whether bytes came through all checksums, and only then meant nothing.
fn was_believed(storage: &OsStorage) -> bool {
    match recover(storage, &LogOptions::small()) {
        Ok(found) => found.rotten.iter().any(|it| matches!(it.why, SnapshotTrouble::Section(_))),
        Err(error) => matches!(error, RecoveryError::Record { .. } | RecoveryError::Rules { .. }),
    }
}
