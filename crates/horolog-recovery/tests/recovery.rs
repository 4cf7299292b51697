//! What becomes of records that are whole and mean nothing, or contradict each other, and who is missed.
#![expect(clippy::expect_used, reason = "a test says what it expects")]

use std::sync::Arc;

use horolog_recovery::{Recovered, RecoveryError, missed, recover, verify};
use horolog_sim::SimDisk;
use horolog_state::codec::{RecordFault, encode};
use horolog_state::{
    Cancel, ClockReading, DueTime, Epoch, Lsn, Misfit, Now, Put, Record, Tick, TickLen, Timeline, TimerId,
};
use horolog_storage::Storage;
use horolog_wal::{BatchBuf, LogOptions, Stamp, open_writer, read_log};

const LEN: TickLen = TickLen::MILLISECOND;

/// A log with these records, kind and body.
fn log(records: &[(u8, Vec<u8>)]) -> Arc<SimDisk> {
    let storage = Arc::new(SimDisk::new(1));
    let view = read_log(&*storage, &LogOptions::small()).expect("nothing is there");
    let shared: Arc<dyn Storage> = storage.clone();
    let (mut writer, syncer) = open_writer(shared, &view, &LogOptions::small(), 0).expect("the disk works");
    let mut batch = BatchBuf::new();
    for (kind, body) in records {
        batch.push(*kind, 0, |out| out.extend_from_slice(body));
    }
    let stamp = Stamp { first_lsn: horolog_wal::Lsn(1), ..Stamp::default() };
    writer.append(&mut batch, stamp, 0).expect("written");
    syncer.sync().expect("synced");
    storage
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

fn read(records: &[(u8, Vec<u8>)]) -> Result<Recovered, RecoveryError> {
    let storage = log(records);
    let verified = verify(&*storage, &LogOptions::small());
    let recovered = recover(&*storage, &LogOptions::small());
    assert_eq!(verified.is_ok(), recovered.is_ok(), "verify and an opening agree");
    recovered
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
    let recovered = read(&[epoch(), (0x80, vec![1, 2]), put(0, 5)]).expect("it may be passed over");
    assert_eq!((recovered.state.applied(), recovered.state.len()), (Lsn(3), 1));
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
fn the_backlog_is_in_the_order_of_deadlines_and_then_of_records() {
    let records = [epoch(), put(0, 30), put(1, 10), put(2, 20), put(3, 10), put(4, 99)];
    let state = read(&records).expect("sound").state;
    let found = missed(&state, &Now::new(LEN, 50_000_000, 0));
    assert_eq!(found.backlog, [id(1), id(3), id(2), id(0)]);
    assert_eq!(found.waiting.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [id(4)]);
    assert!(found.suspects.is_empty());
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
            matches!(refused, Err(RecoveryError::Incomplete { first: Lsn(lsn) }) if lsn == first),
            "{refused:?}"
        );
    }
}
