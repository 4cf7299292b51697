//! One life after the other, without faults; and the refusals.

use std::sync::Arc;

use horolog_sim::{Errno, SimDisk};
use horolog_storage::{Op, OsStorage, Storage, StorageError};
use horolog_wal::{
    BatchBuf, EvidenceKind, Fault, LogError, LogFile, LogOptions, LogState, Lsn, Misuse, SegmentRole,
    SparePlan, Stamp, Unknown, Writer, open_writer, read_log,
};

use crate::rig::{Rig, check, mem, options, read, records};

fn roles(storage: &SimDisk) -> Vec<SegmentRole> {
    read(storage).unwrap().segments.iter().map(|segment| segment.role).collect()
}

/// Commits until the log has this many segments.
fn fill(rig: &mut Rig, segments: usize) {
    let mut begun = 1;
    while begun < segments {
        begun += usize::from(rig.append().unwrap().rotated);
        rig.sync().unwrap();
    }
}

#[test]
fn an_empty_directory_is_an_empty_log() {
    let disk = mem(1);
    drop(disk.lock().unwrap());
    disk.put("seg-0000000000000001.wal.tmp", b"half-made");
    let view = read(&*disk).unwrap();
    assert_eq!((view.state, view.uuid, view.epoch, view.valid), (LogState::Empty, 0, 0, Lsn(0)));
    assert!(records(&view).is_empty());
}

#[test]
fn records_come_back_in_order_with_kind_flags_and_body() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    (0..20).for_each(|_| rig.commit());
    let view = read(&*disk).unwrap();
    assert_eq!(records(&view), rig.model);
    assert_eq!((view.state, view.epoch, view.torn_bytes, view.clean), (LogState::Log, 1, 0, false));
    assert_eq!(view.uuid, rig.writer.uuid());
}

#[test]
fn a_visit_can_begin_anywhere_and_end_early() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    fill(&mut rig, 3);
    let view = read(&*disk).unwrap();
    let mut seen = Vec::new();
    let stopped = view.for_each_record(Lsn(5), &mut |record| {
        seen.push(record.lsn.0);
        if seen.len() == 3 { Err("enough") } else { Ok(()) }
    });
    assert_eq!(seen, [5, 6, 7]);
    assert!(matches!(stopped, Err(horolog_wal::VisitError::Visitor("enough"))));
}

#[test]
fn a_rotated_log_is_a_chain_of_segments_and_a_head() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    fill(&mut rig, 4);
    let view = read(&*disk).unwrap();
    assert_eq!(records(&view), rig.model);
    let roles: Vec<_> = view.segments.iter().map(|segment| segment.role).collect();
    let linked = SegmentRole::Linked;
    assert_eq!(roles, [linked, linked, linked, SegmentRole::Head]);
    assert!(
        view.segments.windows(2).all(|pair| pair[0].last_lsn.unwrap().next() == pair[1].first_lsn.unwrap())
    );
}

#[test]
fn each_opening_raises_the_epoch_and_shows_every_record_once() {
    let disk = mem(1);
    let (mut model, mut acked) = (Vec::new(), 0);
    for life in 1..=6 {
        let mut rig = Rig::open(disk.clone(), model, acked, life).unwrap();
        assert_eq!(rig.writer.epoch(), life);
        (0..life).for_each(|_| rig.commit());
        (model, acked) = (rig.model, rig.acked);
    }
    check(&read(&*disk).unwrap(), model, acked);
}

#[test]
fn idle_openings_do_not_pile_up_segments() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    rig.commit();
    for _ in 0..10 {
        rig.mark(true);
        rig = Rig::open(disk.clone(), rig.model, rig.acked, 1).unwrap();
    }
    assert_eq!(roles(&disk), [SegmentRole::Linked, SegmentRole::Head]);
}

#[test]
fn a_clean_end_is_known_and_only_as_long_as_nothing_follows() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    rig.commit();
    rig.mark(true);
    assert!(read(&*disk).unwrap().clean);
    rig.commit();
    assert!(!read(&*disk).unwrap().clean);
}

#[test]
fn a_mark_proves_what_was_synced_and_keeps_the_tick() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    rig.commit();
    assert_eq!(read(&*disk).unwrap().durable, Lsn(0));
    rig.writer.mark(Lsn(rig.acked), 99, false).unwrap();
    let view = read(&*disk).unwrap();
    assert_eq!((view.durable, view.valid, view.engine_tick), (Lsn(rig.acked), Lsn(rig.acked), 99));
    let rig = Rig::open(disk.clone(), rig.model, rig.acked, 1).unwrap();
    assert_eq!(read(&*disk).unwrap().engine_tick, 99, "the new segment carries it on");
    drop(rig);
}

#[test]
fn a_prepared_spare_is_used_by_the_next_rotation() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    let reserve = rig.writer.wants_spare().expect("one spare always");
    assert!(rig.writer.wants_spare().is_none(), "one plan at a time");
    let reserve = reserve.prepare().unwrap();
    assert!(rig.writer.wants_spare().is_none(), "nor beside a spare that was not offered yet");
    rig.writer.offer_spare(reserve);
    assert_eq!(roles(&disk), [SegmentRole::Head, SegmentRole::Blank]);
    assert!(rig.writer.wants_spare().is_none(), "no second one before the segment is half full");
    while !rig.prepare() {
        rig.commit();
    }
    assert_eq!(roles(&disk), [SegmentRole::Head, SegmentRole::Blank, SegmentRole::Blank]);
    assert!(!rig.prepare(), "two at most");
    fill(&mut rig, 2);
    assert_eq!(roles(&disk), [SegmentRole::Linked, SegmentRole::Head, SegmentRole::Blank]);
    fill(&mut rig, 4);
    assert_eq!(roles(&disk)[..3], [SegmentRole::Linked; 3], "both were used");
    assert_eq!(records(&read(&*disk).unwrap()), rig.model);
}

#[test]
fn a_spare_that_is_too_small_is_given_up() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    rig.prepare();
    assert!(rig.append_bodies(&[vec![5; 300_000]]).unwrap().rotated);
    rig.sync().unwrap();
    (0..2).for_each(|_| rig.syncer.witness(Lsn(rig.acked)).unwrap());
    assert_eq!(roles(&disk), [SegmentRole::Linked, SegmentRole::Head]);
    assert_eq!(records(&read(&*disk).unwrap()), rig.model);
}

#[test]
fn a_spare_that_comes_too_late_is_removed_when_meta_has_forgotten_it() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    let plan = rig.writer.wants_spare().unwrap();
    fill(&mut rig, 2);
    rig.writer.offer_spare(plan.prepare().unwrap());
    for _ in 0..2 {
        assert_eq!(roles(&disk), [SegmentRole::Linked, SegmentRole::Unlisted, SegmentRole::Head]);
        rig.syncer.witness(Lsn(rig.acked)).unwrap();
    }
    assert_eq!(roles(&disk), [SegmentRole::Linked, SegmentRole::Head]);
}

#[test]
fn a_dropped_plan_is_wanted_again() {
    let mut rig = Rig::new(mem(1));
    drop(rig.writer.wants_spare().unwrap());
    drop(rig.writer.wants_spare().unwrap().prepare().unwrap());
    assert!(rig.writer.wants_spare().is_some());
}

/// A sync of much at once holds up the syncs of batches beside it.
#[test]
fn of_the_zeros_of_a_spare_no_more_than_four_mebibytes_are_ever_not_synced() {
    const MIB: u64 = 1 << 20;
    for bytes in [3 * MIB, 4 * MIB, 4 * MIB + 4096, 8 * MIB, 11 * MIB + 4096] {
        let disk = mem(1);
        let options = LogOptions { segment_bytes_min: bytes, segment_bytes_max: bytes, ..options() };
        let view = read_log(&*disk, &options).unwrap();
        let (mut writer, _) = open_writer(disk.clone(), &view, &options, 0).unwrap();
        let plan = writer.wants_spare().unwrap();
        disk.trace(true);
        plan.prepare().unwrap();
        let (mut unsynced, mut most, mut zeros) = (0, 0, 0);
        for done in disk.take_trace().into_iter().filter(|done| done.name == "seg-0000000000000002.wal.tmp") {
            match done.op {
                Op::Sync => unsynced = 0,
                // All but the header.
                Op::Write if done.offset == Some(zeros) => {
                    (unsynced, zeros) = (unsynced + done.len, zeros + done.len);
                    most = most.max(unsynced);
                }
                _ => {}
            }
        }
        assert_eq!((zeros, most, unsynced), (bytes, bytes.min(4 * MIB), 0));
    }
}

/// A log whose segments may grow to four times their first size, and a batch for it.
fn growing(disk: &Arc<SimDisk>) -> (Writer, BatchBuf) {
    let options = LogOptions { segment_bytes_max: 256 << 10, ..options() };
    let view = read_log(&**disk, &options).unwrap();
    let (writer, _) = open_writer(disk.clone(), &view, &options, 0).unwrap();
    let mut batch = BatchBuf::new();
    batch.push(1, 0, |_| {});
    (writer, batch)
}

#[test]
fn segments_grow_only_while_they_fill_fast() {
    let sizes = |ms_a_batch: u64| {
        let disk = mem(1);
        let (mut writer, mut batch) = growing(&disk);
        for n in 0..200 {
            let stamp = Stamp { first_lsn: writer.tail().next(), ..Stamp::default() };
            writer.append(&mut batch, stamp, n * ms_a_batch).unwrap();
        }
        let segments = disk.files().into_iter().filter(|(name, _)| name.starts_with("seg-"));
        segments.map(|(_, len)| len >> 10).collect::<Vec<_>>()
    };
    assert_eq!(sizes(1)[..3], [64, 128, 256]);
    assert!(sizes(10_000).iter().all(|len| *len == 64));
}

/// The sizes in KiB of the segments that were filled, in their order: so many of them with so many milliseconds a block.
fn sizes_of_filled(pace: &[(usize, u64)], prepares: bool) -> Vec<u64> {
    let disk = mem(1);
    let (mut writer, mut batch) = growing(&disk);
    let (mut now_ms, mut filled) = (0, 0);
    for &(segments, ms_a_block) in pace {
        let end = filled + segments;
        while filled < end {
            let stamp = Stamp { first_lsn: writer.tail().next(), ..Stamp::default() };
            now_ms += ms_a_block;
            filled += usize::from(writer.append(&mut batch, stamp, now_ms).unwrap().rotated);
            if prepares && let Some(plan) = writer.wants_spare() {
                writer.offer_spare(plan.prepare().unwrap());
            }
        }
    }
    let segments = disk.files().into_iter().filter(|(name, _)| name.starts_with("seg-"));
    segments.take(filled).map(|(_, len)| len >> 10).collect()
}

/// How fast one is filled decides about the next one that is made, which is used at once, or behind the one in reserve.
#[test]
fn segments_halve_while_they_fill_slowly_and_grow_again_when_they_fill_fast() {
    let pace = [(4, 1), (5, 1_000), (4, 1)];
    assert_eq!(sizes_of_filled(&pace, false), [64, 128, 256, 256, 256, 128, 64, 64, 64, 64, 128, 256, 256]);
    assert_eq!(sizes_of_filled(&pace, true), [64, 64, 128, 256, 256, 256, 128, 128, 64, 64, 64, 128, 256]);
}

#[test]
fn a_batch_larger_than_any_segment_gets_one_that_holds_it() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    rig.commit();
    assert!(rig.append_bodies(&[vec![5; 300_000]]).unwrap().rotated);
    rig.sync().unwrap();
    assert_eq!(records(&read(&*disk).unwrap()), rig.model);
}

#[test]
fn the_largest_batch_that_is_accepted_is_read_and_one_byte_more_is_refused() {
    let disk = mem(1);
    let options = LogOptions { batch_bytes_max: 8192, ..options() };
    let view = read_log(&*disk, &options).unwrap();
    let (mut writer, _) = open_writer(disk.clone(), &view, &options, 0).unwrap();
    let mut append = |len: usize| {
        let mut batch = BatchBuf::new();
        batch.push(1, 0, |out| out.resize(out.len() + len, 1));
        let stamp = Stamp { first_lsn: writer.tail().next(), ..Stamp::default() };
        writer.append(&mut batch, stamp, 0)
    };
    let largest = 8192 - 64 - 12;
    assert_eq!(append(largest).unwrap().bytes, 8192);
    assert!(matches!(append(largest + 1), Err(LogError::TooLarge { bytes: 12288, max: 8192 })));
    assert_eq!(append(0).unwrap().bytes, 4096, "the refusal did no harm");
    assert_eq!(records(&read(&*disk).unwrap()), [(1, 0, vec![1; largest]), (1, 0, vec![])]);
}

#[test]
fn a_batch_that_breaks_a_rule_is_refused_and_nothing_is_written() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    rig.commit();
    let before = disk.changes();
    let tail = rig.writer.tail();
    let mut batch = BatchBuf::new();
    let stamp = Stamp { first_lsn: tail.next(), ..Stamp::default() };
    assert!(matches!(rig.writer.append(&mut batch, stamp, 0), Err(LogError::Misuse(Misuse::EmptyBatch))));
    batch.push(0xF0, 0, |_| {});
    assert!(matches!(rig.writer.append(&mut batch, stamp, 0), Err(LogError::Misuse(Misuse::SpoiledBatch))));
    batch.clear();
    batch.push(1, 0, Vec::clear);
    assert!(matches!(rig.writer.append(&mut batch, stamp, 0), Err(LogError::Misuse(Misuse::SpoiledBatch))));
    batch.clear();
    batch.push(1, 0, |_| {});
    let late = Stamp { first_lsn: tail, ..stamp };
    assert!(matches!(rig.writer.append(&mut batch, late, 0), Err(LogError::OutOfOrder { .. })));
    let boast = Stamp { durable_lsn: tail.next(), ..stamp };
    assert!(matches!(rig.writer.append(&mut batch, boast, 0), Err(LogError::Misuse(Misuse::Stamp(_)))));
    let flags = Stamp { flags: 1, ..stamp };
    assert!(matches!(rig.writer.append(&mut batch, flags, 0), Err(LogError::Misuse(Misuse::Flags(1)))));
    assert_eq!(disk.changes(), before);
    rig.writer.append(&mut batch, stamp, 0).unwrap();
}

#[test]
fn a_stamp_inside_a_batch_is_refused() {
    let mut rig = Rig::new(mem(1));
    rig.append_bodies(&[vec![1], vec![2]]).unwrap();
    assert!(matches!(rig.writer.mark(Lsn(1), 0, false), Err(LogError::Misuse(Misuse::Stamp(Lsn(1))))));
    rig.writer.mark(Lsn(2), 0, false).unwrap();
}

#[test]
fn a_directory_of_other_files_is_not_a_log() {
    let disk = mem(1);
    disk.put("thesis.tex", b"");
    assert!(matches!(read(&*disk), Err(LogError::NotALog { found, .. }) if found == "thesis.tex"));
}

#[test]
fn other_files_beside_a_log_are_left_alone() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    rig.commit();
    disk.put("seg-1.wal", b"");
    disk.put("notes", b"mine");
    Rig::open(disk.clone(), rig.model, rig.acked, 1).unwrap();
    assert_eq!(disk.bytes("notes").unwrap(), b"mine");
}

#[test]
fn a_segment_of_another_log_is_refused_with_both_identities() {
    let (disk, other) = (mem(1), mem(2));
    let rig = Rig::new(disk.clone());
    let stranger = Rig::new(other.clone());
    let bytes = other.bytes("seg-0000000000000001.wal").unwrap();
    let mut header = horolog_wal::SegmentHeader::decode(&bytes).unwrap();
    header.segment_id = 2;
    disk.put("seg-0000000000000002.wal", &[header.encode(), bytes[4096..].to_vec()].concat());
    match read(&*disk) {
        Err(LogError::ForeignSegment { segment: 2, ours, theirs }) => {
            assert_eq!((ours, theirs), (rig.writer.uuid(), stranger.writer.uuid()));
        }
        other => panic!("{other:?}"),
    }
}

/// A copy of a segment under another name is nobody's file: META does not list it, and its header contradicts its name.
#[test]
fn a_segment_under_a_wrong_name_is_ignored_and_left_alone() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    rig.commit();
    let bytes = disk.bytes("seg-0000000000000001.wal").unwrap();
    disk.put("seg-0000000000000009.wal", &bytes);
    assert_eq!(roles(&disk), [SegmentRole::Head, SegmentRole::Unlisted]);
    let rig = Rig::open(disk.clone(), rig.model, rig.acked, 1).unwrap();
    assert_eq!(disk.bytes("seg-0000000000000009.wal").unwrap(), bytes);
    check(&read(&*disk).unwrap(), rig.model, rig.acked);
}

/// Rewrites the header of a segment, with a checksum that fits.
fn edit_header(disk: &SimDisk, name: &str, edit: impl FnOnce(&mut [u8])) {
    let mut bytes = disk.bytes(name).unwrap();
    edit(&mut bytes[..4088]);
    let crc = crc32fast::hash(&bytes[..4088]);
    bytes[4088..4092].copy_from_slice(&crc.to_le_bytes());
    bytes[4092..4096].copy_from_slice(&(!crc).to_le_bytes());
    disk.put(name, &bytes);
}

#[test]
fn a_later_version_is_refused_as_one() {
    let refused = |edit: fn(&mut [u8])| {
        let disk = mem(1);
        drop(Rig::new(disk.clone()));
        edit_header(&disk, "seg-0000000000000001.wal", edit);
        read(&*disk).unwrap_err()
    };
    assert!(matches!(
        refused(|h| h[8] = 3),
        LogError::NewerVersion { file: LogFile::Segment(1), found: 3, known: 0 }
    ));
    let unknown = |edit| match refused(edit) {
        LogError::Unknown { what, .. } => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(unknown(|h| h[96] = 1), Unknown::Incompatible(1));
    assert_eq!(unknown(|h| h[64] = 2), Unknown::ChecksumKind(2));
    assert_eq!(unknown(|h| h[57] = 0x20), Unknown::BlockSize(8192));
}

#[test]
fn another_codec_is_refused() {
    let disk = mem(1);
    drop(Rig::new(disk.clone()));
    let refused = read_log(&*disk, &LogOptions { codec: 8, ..options() });
    assert!(matches!(refused, Err(LogError::Unknown { what: Unknown::Codec(7), .. })));
}

#[test]
fn a_missing_segment_in_the_middle_is_corruption_proven_by_the_link() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    fill(&mut rig, 3);
    let last = read(&*disk).unwrap().segments[1].last_lsn;
    disk.remove("seg-0000000000000002.wal").unwrap();
    let error = read(&*disk).unwrap_err();
    let corruption = error.corruption().unwrap();
    assert_eq!((corruption.segment, corruption.why, corruption.lost.last), (2, Fault::Missing, last));
    assert_eq!(
        (corruption.evidence.file, corruption.evidence.kind),
        (LogFile::Segment(3), EvidenceKind::Link)
    );
}

#[test]
fn a_file_shorter_or_longer_than_its_header_says_is_corruption() {
    for longer in [false, true] {
        let disk = mem(1);
        Rig::new(disk.clone()).commit();
        let mut bytes = disk.bytes("seg-0000000000000001.wal").unwrap();
        bytes.resize(if longer { bytes.len() + 1 } else { bytes.len() - 1 }, 0);
        disk.put("seg-0000000000000001.wal", &bytes);
        let error = read(&*disk).unwrap_err();
        assert!(
            matches!(error.corruption().unwrap().why, Fault::FileLength { expected: 65536, .. }),
            "{error}"
        );
    }
}

#[test]
fn a_view_that_is_no_longer_true_opens_nothing() {
    let disk = mem(1);
    let view = read(&*disk).unwrap();
    drop(Rig::new(disk.clone()));
    let opened = open_writer(disk.clone(), &view, &options(), 0);
    assert!(matches!(opened, Err(LogError::Misuse(Misuse::StaleView))));
}

#[test]
fn reading_changes_nothing_and_takes_no_lock() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    fill(&mut rig, 2);
    let _guard = disk.lock().unwrap();
    let before = disk.counts();
    records(&read(&*disk).unwrap());
    let after = disk.counts();
    assert_eq!((after.mutations, after.open_handles), (before.mutations, before.open_handles));
}

#[test]
fn a_second_locker_is_refused_and_a_drop_lets_the_next_one_in() {
    let disk = mem(1);
    let guard = disk.lock().unwrap();
    assert!(matches!(disk.lock(), Err(StorageError::Locked { .. })));
    drop(guard);
    drop(disk.lock().unwrap());
}

/// Appends one-block batches until the next one needs a new segment, and no spare is there.
fn fill_to_the_brim(rig: &mut Rig) {
    // Of 16 blocks the header, the LINK and the SEAL take one each.
    (0..13).for_each(|_| assert!(!rig.append_bodies(&[vec![1; 10]]).unwrap().rotated));
    rig.sync().unwrap();
}

#[test]
fn a_full_disk_at_a_rotation_writes_nothing_and_service_resumes() {
    let ops = [Op::Create, Op::Write, Op::Sync, Op::Rename];
    let errnos = [Errno::Full, Errno::Quota, Errno::TooLarge];
    for (op, errno) in ops.iter().flat_map(|&op| errnos.map(|errno| (op, errno))) {
        let disk = mem(1);
        let mut rig = Rig::new(disk.clone());
        fill_to_the_brim(&mut rig);
        let (tail, known) = (rig.writer.tail(), rig.model.len());
        disk.fail_next(op, 0, errno);
        let refused = rig.append_bodies(&[vec![2; 10]]).unwrap_err();
        assert!(refused.is_full() && !rig.writer.is_poisoned(), "{op}, {errno:?}: {refused}");
        assert_eq!(rig.writer.tail(), tail);
        rig.model.truncate(known);
        assert!(rig.append_bodies(&[vec![3; 10]]).unwrap().rotated);
        rig.sync().unwrap();
        let rig = Rig::open(disk.clone(), rig.model, rig.acked, 1).unwrap();
        check(&read(&*disk).unwrap(), rig.model, rig.acked);
    }
}

/// A disk with little room has some for a small segment, and so has a limit of the size of files.
#[test]
fn after_a_segment_that_found_no_room_the_next_one_is_small_until_one_is_made() {
    let disk = mem(1);
    let (mut writer, mut batch) = growing(&disk);
    for _ in 0..8 {
        let stamp = Stamp { first_lsn: writer.tail().next(), ..Stamp::default() };
        assert!(!writer.append(&mut batch, stamp, 0).unwrap().rotated);
    }
    let kib = |plan: &SparePlan| plan.bytes() >> 10;
    for errno in [Errno::Full, Errno::Quota, Errno::TooLarge] {
        let large = writer.wants_spare().unwrap();
        assert_eq!(kib(&large), 128, "twice the last, which filled fast");
        disk.fail_next(Op::Write, 0, errno);
        assert!(large.prepare().unwrap_err().is_full());
        let small = writer.wants_spare().unwrap();
        assert_eq!(kib(&small), 64);
        drop(small.prepare().unwrap());
    }
    let other_failure = writer.wants_spare().unwrap();
    disk.fail_next(Op::Write, 0, Errno::Io);
    other_failure.prepare().unwrap_err();
    assert_eq!(kib(&writer.wants_spare().unwrap()), 128, "no smaller one would have gone better");
}

/// Which of the two syncs, or of the three writes, belongs to what: the new file, its name, META.
#[test]
fn a_directory_or_a_meta_that_cannot_be_written_for_certain_poisons() {
    for (op, after) in [(Op::SyncDir, 0), (Op::Write, 2), (Op::Sync, 1)] {
        let disk = mem(1);
        let mut rig = Rig::new(disk.clone());
        fill_to_the_brim(&mut rig);
        disk.fail_next(op, after, Errno::Io);
        let refused = rig.append_bodies(&[vec![2; 10]]).unwrap_err();
        assert!(matches!(refused, LogError::Storage(_)) && rig.writer.is_poisoned(), "{op}: {refused}");
        assert!(matches!(rig.append(), Err(LogError::Poisoned)));
        assert!(rig.writer.wants_spare().is_none() && rig.syncer.witness(Lsn(rig.acked)).is_err());
        rig.model.truncate(13);
        let rig = Rig::open(disk.clone(), rig.model, rig.acked, 1).unwrap();
        check(&read(&*disk).unwrap(), rig.model, rig.acked);
    }
}

#[test]
fn a_failed_write_poisons_and_the_next_life_loses_nothing_promised() {
    for op in [Op::Write, Op::Sync] {
        let disk = mem(1);
        let mut rig = Rig::new(disk.clone());
        (0..5).for_each(|_| rig.commit());
        disk.fail_next(op, 0, Errno::Io);
        let failed = rig.append().map(drop).and_then(|()| rig.sync());
        assert!(matches!(failed, Err(LogError::Storage(StorageError::Io { .. }))));
        assert!(rig.writer.is_poisoned());
        let changes = disk.changes();
        assert!(matches!(rig.append(), Err(LogError::Poisoned)));
        assert!(matches!(rig.syncer.sync(), Err(LogError::Poisoned)));
        assert!(matches!(rig.writer.mark(Lsn(0), 0, true), Err(LogError::Poisoned)));
        assert_eq!(disk.changes(), changes, "no second sync, no further write");
        let rig = Rig::open(disk.clone(), rig.model, rig.acked, 2).unwrap();
        // What the page cache showed after the failed sync was copied to fresh blocks before it was believed.
        check(&read(&disk.power_cut(&mut || false)).unwrap(), rig.model, rig.acked);
    }
}

#[test]
fn a_real_directory_holds_a_log_over_several_lives() {
    let dir = tempfile::tempdir().unwrap();
    let (mut model, mut acked) = (Vec::new(), 0);
    for life in 0..3 {
        let storage = Arc::new(OsStorage::open_or_create(dir.path().join("log")).unwrap());
        let guard = storage.lock().unwrap();
        assert!(matches!(storage.lock(), Err(StorageError::Locked { .. })));
        let mut rig = Rig::open(storage.clone(), model, acked, life).unwrap();
        fill(&mut rig, 3);
        rig.mark(true);
        (model, acked) = (rig.model, rig.acked);
        drop(guard);
    }
    let found = OsStorage::open_existing(dir.path().join("log")).unwrap();
    let view = read(&found).unwrap();
    assert!(view.clean);
    check(&view, model, acked);
}
