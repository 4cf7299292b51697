//! What becomes of records that are whole and mean nothing, or contradict each other, and who is missed.
#![expect(clippy::expect_used, reason = "a test says what it expects")]

use std::sync::Arc;

use horolog_recovery::{RecoveryError, RepairError, Repaired, place, recover, salvage, verify};
use horolog_sim::SimDisk;
use horolog_state::codec::{RecordFault, encode};
use horolog_state::{
    Cancel, ClockReading, DueTime, Epoch, GENERATION_MAX, Lsn, Misfit, Now, Put, Record, State, Tick,
    TickLen, Timeline, TimerId,
};
use horolog_storage::Storage;
use horolog_wal::{BatchBuf, LogOptions, Meta, Stamp, open_writer, read_log};
use horolog_wheel::{Lane, Wheel};

const LEN: TickLen = TickLen::MILLISECOND;

/// A log with these batches of records.
fn log_of(batches: &[&[(u8, Vec<u8>)]]) -> Arc<SimDisk> {
    let storage = Arc::new(SimDisk::new(1));
    let view = read_log(&*storage, &LogOptions::small()).expect("nothing is there");
    let shared: Arc<dyn Storage> = storage.clone();
    let (mut writer, syncer) = open_writer(shared, &view, &LogOptions::small(), 0).expect("the disk works");
    for records in batches {
        let mut batch = BatchBuf::new();
        for (kind, body) in *records {
            batch.push(*kind, 0, |out| out.extend_from_slice(body));
        }
        let stamp = Stamp { first_lsn: writer.tail().next(), ..Stamp::default() };
        writer.append(&mut batch, stamp, 0).expect("written");
    }
    syncer.sync().expect("synced");
    storage
}

/// A log with these records, kind and body, in one batch.
fn log(records: &[(u8, Vec<u8>)]) -> Arc<SimDisk> {
    log_of(&[records])
}

fn record(record: &Record<'_>) -> (u8, Vec<u8>) {
    let mut body = Vec::new();
    encode(record, &mut body);
    (record.kind().code(), body)
}

fn epoch() -> (u8, Vec<u8>) {
    let reading = ClockReading::default();
    record(&Record::Epoch(Epoch { epoch: 1, tick_len: LEN, generation_floor: 7, reading }))
}

fn id(slot: u32) -> TimerId {
    TimerId::new(slot, 8).expect("a generation")
}

fn put(slot: u32, tick: u64) -> (u8, Vec<u8>) {
    let due = DueTime { timeline: Timeline::Civil, tick: Tick(tick) };
    record(&Record::Put(Put { id: id(slot), due, terms: None, payload: b"p".into() }))
}

fn read(records: &[(u8, Vec<u8>)]) -> Result<State, RecoveryError> {
    let storage = log(records);
    let verified = verify(&*storage, &LogOptions::small());
    let recovered = recover(&*storage, &LogOptions::small());
    assert_eq!(verified.is_ok(), recovered.is_ok(), "verify and an opening agree");
    recovered.map(|it| it.state)
}

#[test]
fn a_kind_that_must_be_known_refuses_with_its_place() {
    match read(&[epoch(), (0x7f, vec![1, 2])]) {
        Err(RecoveryError::Record {
            lsn,
            segment: 1,
            fault: RecordFault::UnknownKind { code: 0x7f },
            ..
        }) => {
            assert_eq!(lsn, Lsn(2));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_kind_that_may_be_passed_over_takes_its_number_and_nothing_else() {
    let state = read(&[epoch(), (0x80, vec![1, 2]), put(0, 5)]).expect("it may be passed over");
    assert_eq!((state.applied(), state.len()), (Lsn(3), 1));
}

#[test]
fn a_body_that_means_nothing_refuses_with_its_place() {
    let (kind, mut body) = put(0, 5);
    body.truncate(10);
    let refused = read(&[epoch(), (kind, body)]);
    assert!(
        matches!(
            refused,
            Err(RecoveryError::Record { lsn: Lsn(2), fault: RecordFault::Malformed { .. }, .. })
        ),
        "{refused:?}"
    );
}

#[test]
fn a_record_that_contradicts_those_before_it_refuses_with_its_place() {
    let refused = read(&[epoch(), record(&Record::Cancel(Cancel { id: id(3) }))]);
    let Err(RecoveryError::Rules { segment: 1, source, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!((source.lsn, source.why), (Lsn(2), Misfit::NoSuchTimer));
}

#[test]
fn a_log_that_does_not_begin_with_an_epoch_refuses() {
    let refused = read(&[put(0, 5)]);
    assert!(matches!(refused, Err(RecoveryError::NoEpoch)), "{refused:?}");
}

#[test]
fn the_backlog_is_in_the_order_of_deadlines_and_then_of_records_and_all_else_is_armed() {
    let records = [epoch(), put(0, 30), put(1, 10), put(2, 20), put(3, 10), put(4, 99)];
    let mut state = read(&records).expect("sound");
    let now = Now::new(LEN, 50_000_000, 0);
    let (mut civil, mut elapsed) =
        (Wheel::new(Lane::First, now.civil), Wheel::new(Lane::Second, now.elapsed));
    let found = place(&mut state, &mut civil, &mut elapsed, &now);
    assert_eq!(found.backlog, [id(1), id(3), id(2), id(0)]);
    assert!(found.suspects.is_empty());
    assert_eq!((civil.len(), elapsed.len()), (1, 0));
    assert_eq!(civil.next_deadline_exact(state.slab()), Some(Tick(99)));
}

#[test]
fn a_log_whose_beginning_was_retired_refuses_with_where_it_begins() {
    let storage = Arc::new(SimDisk::new(1));
    let view = read_log(&*storage, &LogOptions::small()).expect("nothing is there");
    let shared: Arc<dyn Storage> = storage.clone();
    let (mut writer, syncer) = open_writer(shared, &view, &LogOptions::small(), 0).expect("the disk works");
    let mut batch = BatchBuf::new();
    let (kind, body) = epoch();
    batch.push(kind, 0, |out| out.extend_from_slice(&body));
    let mut rotated = false;
    while !rotated {
        let stamp = Stamp { first_lsn: writer.tail().next(), ..Stamp::default() };
        rotated = writer.append(&mut batch, stamp, 0).expect("written").rotated;
    }
    syncer.sync().expect("synced");
    let first = writer.tail().0;
    writer.retire_below(horolog_wal::Lsn(first)).expect("the first segment").carry_out().expect("retired");
    for refused in [
        recover(&*storage, &LogOptions::small()).map(drop),
        verify(&*storage, &LogOptions::small()).map(drop),
    ] {
        assert!(
            matches!(refused, Err(RecoveryError::Incomplete { first: Lsn(lsn), .. }) if lsn == first),
            "{refused:?}"
        );
    }
}

/// What a repair makes of a log: the error, or what the new directory holds.
fn repaired(storage: &SimDisk, accepted: u64) -> Result<(State, Repaired), RepairError> {
    let found = salvage(storage, &LogOptions::small()).expect("it can be read");
    let new = Arc::new(SimDisk::new(2));
    let done = found.write(new.clone(), &LogOptions::small(), Lsn(accepted))?;
    let again = recover(&*new, &LogOptions::small()).expect("a repaired directory opens");
    assert_eq!(again.state.applied(), done.epoch_lsn);
    Ok((again.state, done))
}

#[test]
fn a_record_that_contradicts_those_before_it_is_cut_off_with_its_batch_by_a_repair() {
    let cancel = record(&Record::Cancel(Cancel { id: id(5) }));
    let disk = log_of(&[&[epoch(), put(0, 1)], &[put(1, 2), cancel, put(2, 3)], &[put(3, 4)]]);
    let found = salvage(&*disk, &LogOptions::small()).expect("it can be read");
    assert!(matches!(&found.misfit, Some(RecoveryError::Rules { source, .. }) if source.lsn == Lsn(4)));
    assert_eq!((found.kept, found.last, found.state.len()), (Lsn(2), Lsn(6), 1));
    let (again, done) = repaired(&disk, 2).expect("repaired");
    assert_eq!((again.len(), done.epoch_lsn), (1, Lsn(3)));
    assert!(again.view(id(0)).is_some());
    assert!(matches!(repaired(&disk, 3), Err(RepairError::KeepsLess { kept: Lsn(2), accepted: Lsn(3) })));
}

#[test]
fn a_record_of_a_later_version_is_not_cut_off() {
    let disk = log(&[epoch(), put(0, 1), (0x7f, vec![])]);
    assert!(matches!(salvage(&*disk, &LogOptions::small()), Err(RecoveryError::Record { .. })));
    let disk = log(&[epoch(), put(0, 1), (0x80, vec![]), put(1, 1)]);
    assert_eq!(repaired(&disk, 4).expect("repaired").0.len(), 2);
}

#[test]
fn nothing_is_repaired_of_a_log_without_an_epoch() {
    assert!(matches!(repaired(&log(&[put(0, 1)]), 0), Err(RepairError::NothingKept)));
    assert!(matches!(repaired(&SimDisk::new(1), 0), Err(RepairError::NothingKept)));
}

/// New ids are above everything that was handed out, seen or not, and above what the lost records can have led to.
#[test]
fn the_floor_of_a_repair_is_above_all_that_can_have_been_handed_out() {
    let later = |slot, generation| {
        let id = TimerId::new(slot, generation).expect("a generation");
        let due = DueTime { timeline: Timeline::Civil, tick: Tick(9) };
        record(&Record::Put(Put { id, due, terms: None, payload: b"p".into() }))
    };
    let disk = log_of(&[&[epoch(), put(0, 1)], &[put(1, 1)], &[later(2, 5_000)], &[put(3, 1)]]);
    // The second batch rots: what is behind it can be read.
    let segment = "seg-0000000000000001.wal";
    assert!(disk.flip(segment, 3 * 4096 + 80, 1));
    let found = salvage(&*disk, &LogOptions::small()).expect("it can be read");
    assert_eq!((found.kept, found.last), (Lsn(2), Lsn(5)));
    let floors: Vec<u32> = (0..20)
        .map(|seed| {
            let new = Arc::new(SimDisk::new(seed));
            found.write(new, &LogOptions::small(), Lsn(2)).expect("repaired").generation_floor
        })
        .collect();
    let certain = 5_000 + 3;
    assert!(
        floors.iter().all(|floor| (certain + (1 << 24)..certain + (1 << 25)).contains(floor)),
        "{floors:?}"
    );
    let distinct: std::collections::BTreeSet<_> = floors.iter().collect();
    assert_eq!(distinct.len(), floors.len(), "two repairs give different ids");
}

#[test]
fn generations_are_not_used_up_by_repairs_and_a_repair_without_any_left_is_refused() {
    let mut disk = log(&[epoch(), put(0, 1)]);
    let mut floor = 0;
    for seed in 0..60 {
        let found = salvage(&*disk, &LogOptions::small()).expect("it can be read");
        let new = Arc::new(SimDisk::new(seed));
        match found.write(new.clone(), &LogOptions::small(), found.kept) {
            Ok(done) => {
                assert!(done.generation_floor > floor && done.generation_floor < GENERATION_MAX);
                (floor, disk) = (done.generation_floor, new);
            }
            Err(RepairError::GenerationsUsedUp) => {
                assert!(seed > 20, "{seed}");
                assert!(new.files().is_empty(), "nothing is written");
                return;
            }
            Err(error) => panic!("{error}"),
        }
    }
    unreachable!("there is an end to generations");
}

/// Records of which only META knows count as well.
#[test]
fn the_floor_of_a_repair_rises_with_every_record_that_is_lost() {
    let disk = log(&[epoch(), put(0, 1)]);
    let bytes = disk.bytes("META").expect("META");
    let slots =
        bytes.chunks(4096).enumerate().map(|(slot, bytes)| Meta::decode(bytes, slot).expect("a slot"));
    let witness = |meta| Meta { durable_lsn: horolog_wal::Lsn(2 + (1 << 27)), ..meta };
    let edited: Vec<u8> = slots.flat_map(|meta| witness(meta).encode()).collect();
    disk.put("META", &edited);
    assert!(verify(&*disk, &LogOptions::small()).is_err());
    let (_, done) = repaired(&disk, 2).expect("repaired");
    assert!(done.generation_floor > 8 + (1 << 27) + (1 << 24), "{}", done.generation_floor);
}

#[test]
fn the_elapsed_timeline_goes_on_over_a_repair() {
    let reading = ClockReading { wall_ns: 7, boottime_ns: 8, boot_id: 9, elapsed_ns: 10 };
    let clock = record(&Record::Clock(horolog_state::Clock { reading }));
    let (again, _) = repaired(&log(&[epoch(), clock]), 2).expect("repaired");
    assert_eq!((again.reading(), again.epoch()), (reading, 2));
}
