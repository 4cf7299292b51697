//! Writes the seed corpora: `cargo run --manifest-path fuzz/Cargo.toml --example seeds`.
//!
//! The same bytes each time. Headers and records are real ones, for the decoders; the other targets make sense of
//! any bytes, so theirs are numbers from a fixed seed, long enough for a history. For directories there are histories besides
//! that make snapshots and let the log before them go, or go on in another segment during a sync, which numbers rarely do.

use std::fs;
use std::io;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};

use horolog_state::{
    Cancel, Clock, ClockReading, Complete, Dead, DeadReason, Deliver, DueTime, Epoch, Fail, FailCause, Grid,
    Misfire, Put, Record, Reschedule, Retry, Skip, SkipReason, Terms, Tick, TickLen, Timeline, TimerId,
    codec,
};
use horolog_wal::{
    BatchFlags, BatchHeader, Context, Link, LinkReason, Listed, Lsn, Meta, MetaState, RECORD_HEADER_LEN,
    Seal, SegmentHeader, SnapshotRef,
};

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    batch_decode(&fresh(&corpus, "batch_decode")?)?;
    meta_decode(&fresh(&corpus, "meta_decode")?)?;
    record_decode(&fresh(&corpus, "record_decode")?)?;
    for target in ["open_damaged_dir", "repair"] {
        let folder = fresh(&corpus, target)?;
        numbers(&folder, 24, 400)?;
        snapshots(&folder)?;
        overtaken(&folder)?;
    }
    numbers(&fresh(&corpus, "segment_reader")?, 24, 1_500)?;
    numbers(&fresh(&corpus, "wheel_ops")?, 12, 800)
}

fn fresh(corpus: &Path, target: &str) -> io::Result<PathBuf> {
    let folder = corpus.join(target);
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => fs::create_dir_all(&folder)?,
    }
    Ok(folder)
}

/// SplitMix64.
fn numbers(folder: &Path, files: usize, bytes: usize) -> io::Result<()> {
    let mut state = 0x484f_524f_4c4f_4721_u64;
    let mut draw = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    for file in 0..files {
        let numbers: Vec<u8> = (0..bytes / 8).flat_map(|_| draw().to_le_bytes()).collect();
        fs::write(folder.join(format!("numbers-{file:02}")), numbers)?;
    }
    Ok(())
}

/// Of how many.
const STEPS: u32 = 13;
const DAMAGES: u32 = 13;

/// The layout that `arbitrary` gives an enum: the place of its variant among all u32, and then its fields.
fn variant(nth: u32, of: u32, fields: &[u8]) -> Vec<u8> {
    let place = (u64::from(nth) << 32).div_ceil(u64::from(of));
    [&u32::try_from(place).unwrap_or(u32::MAX).to_le_bytes(), fields].concat()
}

fn put(len: u16) -> Vec<u8> {
    let [low, high] = len.to_le_bytes();
    variant(0, STEPS, &[0, low, high])
}

fn step(nth: u32, fields: &[u8]) -> Vec<u8> {
    variant(nth, STEPS, fields)
}

const SYNC: u32 = 3;
const SYNC_BEGINS: u32 = 4;
const SYNC_ENDS: u32 = 5;
const SPARE: u32 = 7;
const SNAPSHOT: u32 = 9;

/// How a history can go on in the end: not at all, killed, a power cut, a disk that halts.
fn ends() -> [Vec<Vec<u8>>; 4] {
    [Vec::new(), vec![step(10, &[])], vec![step(11, &[0x55; 8])], vec![step(12, &[7])]]
}

/// A history for each damage, with one of that kind behind it. In front stands how many steps there are.
fn histories(folder: &Path, name: &str, steps_with: impl Fn(Vec<Vec<u8>>) -> Vec<Vec<u8>>) -> io::Result<()> {
    for (damage, end) in (0..DAMAGES).zip(ends().into_iter().cycle()) {
        let steps = steps_with(end);
        let count = u8::try_from(steps.len()).unwrap_or(u8::MAX);
        let damage_fields = [3, 5, 17, 1, 0, 0, 0];
        let input = [&[count][..], &steps.concat(), &[1], &variant(damage, DAMAGES, &damage_fields)].concat();
        fs::write(folder.join(format!("{name}-{damage:02}")), input)?;
    }
    Ok(())
}

/// Histories with five snapshots.
fn snapshots(folder: &Path) -> io::Result<()> {
    let snapshot = |between: u8, retires: bool| step(SNAPSHOT, &[between, u8::from(retires)]);
    histories(folder, "snapshots", |end| {
        let rounds =
            (0..5).flat_map(|round| [put(4_000), put(100), step(SYNC, &[]), snapshot(round, round != 1)]);
        rounds.chain(end).chain([put(10), snapshot(1, true)]).collect()
    })
}

/// Histories in which the log goes on in the next segment while a sync of the one before is under way.
fn overtaken(folder: &Path) -> io::Result<()> {
    let begins = || step(SYNC_BEGINS, &[]);
    histories(folder, "overtaken", |end| {
        let rounds = (0..3).flat_map(|_| {
            [step(SPARE, &[]), put(100), step(SYNC, &[]), put(4_000), begins(), put(8_000), put(8_000)]
        });
        rounds.chain(end).chain([step(SYNC_ENDS, &[])]).collect()
    })
}

/// The layout that `arbitrary` gives the target's input: which decoder, the place, the bytes.
fn batch_decode(folder: &Path) -> io::Result<()> {
    const UUID: u128 = 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff;
    let write = |name: &str, decoder: u64, bytes: &[u8]| {
        let choice = u32::try_from(((decoder << 32) / 5) + 1).unwrap_or(u32::MAX);
        let mut input = choice.to_le_bytes().to_vec();
        input.extend(UUID.to_le_bytes());
        input.extend(3_u64.to_le_bytes());
        input.extend(99_u64.to_le_bytes());
        input.extend(1_u32.to_le_bytes());
        input.extend(2_u32.to_le_bytes());
        input.extend(bytes);
        fs::write(folder.join(name), input)
    };

    let mut head = [0; 64];
    let header = BatchHeader {
        first_lsn: Lsn(8),
        durable_lsn: Lsn(7),
        prev_chain: 5,
        engine_tick: 1_767_225_600_000,
        ordinal: 2,
        body_len: 100,
        record_count: 1,
        body_digest: 77,
        flags: BatchFlags::NONE,
        codec: 0,
    };
    header.encode(&mut head, &Context::new(UUID, 3, 99), 1);
    write("batch", 0, &head)?;

    let mut record = 5_u32.to_le_bytes().to_vec();
    record.extend([1, 0, 0, 0]);
    let mut crc = crc32fast::Hasher::new();
    crc.update(&record);
    crc.update(b"hello");
    record.extend(crc.finalize().to_le_bytes());
    assert_eq!(record.len(), RECORD_HEADER_LEN);
    record.extend(b"hello, and what follows");
    write("record", 1, &record)?;

    let link =
        Link { prev_segment: 2, prev_last_lsn: Lsn(7), prev_chain: 5, epoch: 3, reason: LinkReason::Opened };
    let mut body = Vec::new();
    link.encode(&mut body);
    write("link", 2, &body)?;

    body.clear();
    Seal { last_lsn: Lsn(7), chain: 5, blocks: vec![1, 2, 5] }.encode(&mut body);
    write("seal", 3, &body)?;

    for (name, is_recycled) in [("segment", false), ("segment-recycled", true)] {
        let (segment_id, epoch, salt, capacity_blocks) = (3, 2, 99, 256);
        let header = SegmentHeader { uuid: UUID, segment_id, epoch, salt, capacity_blocks, is_recycled };
        write(name, 4, &header.encode())?;
    }
    Ok(())
}

/// Slots as a writer makes them: of a log that is being made, of a fresh one, of one with spares, of a full list, of one with
/// two snapshots.
fn meta_decode(folder: &Path) -> io::Result<()> {
    let listed = |segment_id| Listed { segment_id, salt: segment_id ^ 0x5a5a, capacity_blocks: 256 };
    let meta = |state, seq, head, count: u64| Meta {
        uuid: 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff,
        seq,
        epoch: 3,
        durable_lsn: Lsn(40),
        first_segment: head,
        head_segment: head,
        next_segment: head + count,
        compat: 0,
        ro_compat: 0,
        snapshots: [None; 2],
        state,
        listed: (head..head + count).map(listed).collect(),
    };
    let mut made = meta(MetaState::Initialising, 0, 0, 0);
    made.next_segment = 1;
    fs::write(folder.join("being-made"), made.encode())?;
    for (name, seq, count) in [("fresh", 3, 1), ("spares", 8, 3), ("full", 9, 16)] {
        fs::write(folder.join(name), meta(MetaState::Active, seq, 5, count).encode())?;
    }
    let mut with_snapshots = meta(MetaState::Active, 10, 5, 2);
    with_snapshots.snapshots = [2_u64, 1].map(|id| {
        let (begin, end) = (Lsn(15 * id), Lsn(15 * id + 3));
        Some(SnapshotRef { id, begin, end, bytes: 9_000, sections: 2, digest: 7 })
    });
    fs::write(folder.join("snapshots"), with_snapshots.encode())
}

/// Kind, then body: at least one record of each kind, with every option once there and once not.
fn record_decode(folder: &Path) -> io::Result<()> {
    for (name, record) in samples() {
        let mut input = vec![record.kind().code()];
        codec::encode(&record, &mut input);
        fs::write(folder.join(name), input)?;
    }
    Ok(())
}

fn samples() -> Vec<(&'static str, Record<'static>)> {
    let id = TimerId::new(7, 3).unwrap_or_else(|| unreachable!("3 is a generation"));
    let due = DueTime { timeline: Timeline::Civil, tick: Tick(1_767_225_600_000) };
    let next_due = Some(DueTime { timeline: Timeline::Elapsed, tick: Tick(99) });
    let interval_ns = NonZeroU64::MIN.saturating_add(600_000_000_000);
    let grid = Grid { timeline: Timeline::Elapsed, anchor_ns: 42, interval_ns };
    let retry = Retry {
        failures_max: NonZeroU32::MIN,
        deliveries_max: NonZeroU32::MAX,
        backoff_base_ns: 1,
        backoff_max_ns: 2,
    };
    let terms = |grid| Some(Terms { key: b"order-42", misfire: Misfire::Skip, retry, grid });
    let reading = ClockReading { wall_ns: 1, boottime_ns: 2, boot_id: 3, elapsed_ns: 4 };
    vec![
        ("put-plain", Record::Put(Put { id, due, terms: None, payload: b"retry order 42".into() })),
        ("put-key", Record::Put(Put { id, due, terms: terms(None), payload: b"".into() })),
        ("put-grid", Record::Put(Put { id, due, terms: terms(Some((grid, 1))), payload: b"x".into() })),
        ("reschedule", Record::Reschedule(Reschedule { id, due })),
        ("cancel", Record::Cancel(Cancel { id })),
        ("deliver", Record::Deliver(deliver(id, None))),
        ("deliver-next", Record::Deliver(deliver(id, next_due))),
        ("skip", Record::Skip(Skip { id, from: 5, to: 8, reason: SkipReason::Overlap, next_due })),
        ("skip-end", Record::Skip(Skip { id, from: 0, to: 0, reason: SkipReason::Misfire, next_due: None })),
        ("complete", Record::Complete(Complete { id, occurrence: 433, number: 2 })),
        ("fail", Record::Fail(fail(id, FailCause::Reported, next_due, "größer als erlaubt"))),
        ("fail-end", Record::Fail(fail(id, FailCause::Panicked, None, ""))),
        ("dead", Record::Dead(Dead { id, occurrence: 1, reason: DeadReason::Failures, message: "no route" })),
        ("clock", Record::Clock(Clock { reading })),
        (
            "epoch",
            Record::Epoch(Epoch { epoch: 1, tick_len: TickLen::MILLISECOND, generation_floor: 5, reading }),
        ),
    ]
}

fn deliver(id: TimerId, next_due: Option<DueTime>) -> Deliver {
    Deliver { id, occurrence: 433, covers_from: 2, number: 1, epoch: 9, next_due }
}

fn fail(id: TimerId, cause: FailCause, retry: Option<DueTime>, message: &'static str) -> Fail<'static> {
    Fail { id, occurrence: 1, number: 2, cause, retry, message }
}
