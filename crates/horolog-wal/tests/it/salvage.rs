//! What can be read of a damaged log, and what a copy of that is worth.

use std::collections::BTreeMap;
use std::sync::Arc;

use horolog_sim::{Errno, Rng, SimDisk};
use horolog_storage::{LOCK_FILE, Op, Storage};
use horolog_wal::{
    DamageKind, Fault, LogCopy, LogError, LogOptions, LogState, Lsn, Meta, MetaState, Misuse, Salvage,
    SalvageRole, salvage,
};

use crate::rig::{Model, Rig, edit_meta, mem, options, read, records};

/// A log, its records, and the LSN with which each batch ends.
struct History {
    disk: Arc<SimDisk>,
    model: Model,
    ends: Vec<u64>,
}

/// Three segments, the last one open; everything acknowledged and marked.
fn rotated() -> History {
    let disk = mem(2);
    let mut rig = Rig::tiny(disk.clone());
    let (mut rotations, mut ends) = (0, Vec::new());
    while rotations < 2 {
        rotations += u32::from(rig.append_bodies(&[vec![1; 20], vec![2; 50]]).unwrap().rotated);
        rig.sync().unwrap();
        ends.push(rig.acked);
    }
    rig.mark(false);
    History { disk, model: rig.model, ends }
}

/// Three openings, a segment each.
fn reopened() -> History {
    let disk = mem(3);
    let (mut model, mut acked, mut ends) = (Model::new(), 0, Vec::new());
    for seed in 1..4 {
        let mut rig = Rig::open(disk.clone(), model, acked, seed).unwrap();
        for _ in 0..3 {
            rig.append_bodies(&[vec![seed as u8; 70], vec![2; if seed == 2 { 4_500 } else { 30 }]]).unwrap();
            rig.sync().unwrap();
            ends.push(rig.acked);
        }
        rig.mark(true);
        (model, acked) = (rig.model, rig.acked);
    }
    History { disk, model, ends }
}

fn look(disk: &SimDisk) -> Salvage<'_> {
    salvage(disk, &options()).unwrap()
}

/// The kept records, which must be the first ones of the model.
#[track_caller]
fn kept(found: &Salvage<'_>, model: &Model) -> u64 {
    let mut seen = Model::new();
    let visit = &mut |record: horolog_wal::Record<'_>| {
        assert_eq!(record.lsn, Lsn(seen.len() as u64 + 1), "LSNs are dense");
        seen.push((record.kind, record.flags, record.body.to_vec()));
        Ok::<_, ()>(())
    };
    found.for_each_record(Lsn(1), visit).unwrap();
    assert_eq!(found.kept, Lsn(seen.len() as u64));
    assert!(model.starts_with(&seen), "what is kept is a prefix of what was written");
    seen.len() as u64
}

/// All that can be read, each record as it was written.
#[track_caller]
fn readable(found: &Salvage<'_>, model: &Model) -> BTreeMap<u64, usize> {
    let mut seen = BTreeMap::new();
    let visit = &mut |record: horolog_wal::Record<'_>| {
        let written = &model[record.lsn.0 as usize - 1];
        assert_eq!((record.kind, record.flags, record.body), (written.0, written.1, &written.2[..]));
        assert_eq!(seen.insert(record.lsn.0, record.body.len()), None, "each once");
        assert_eq!(seen.last_key_value().map(|(lsn, _)| *lsn), Some(record.lsn.0), "in order");
        Ok::<_, ()>(())
    };
    found.for_each_readable(Lsn::ZERO, visit).unwrap();
    seen
}

/// A copy of what is kept, on a disk of its own.
fn copied(found: &Salvage<'_>) -> Arc<SimDisk> {
    let disk = mem(77);
    let mut copy = LogCopy::begin(disk.clone(), &options(), Lsn(0)).unwrap();
    copy.copy(found, found.kept).unwrap();
    copy.finish().unwrap();
    disk
}

#[test]
fn all_of_a_sound_log_is_kept_and_its_copy_is_the_same_log_under_another_name() {
    for history in [rotated(), reopened()] {
        let found = look(&history.disk);
        assert_eq!(kept(&found, &history.model), history.model.len() as u64);
        assert_eq!((found.last, &found.damage[..]), (found.kept, &[][..]));
        assert!(found.segments.iter().all(|segment| segment.role == SalvageRole::Log));

        let copy = copied(&found);
        let view = read(&*copy).unwrap();
        assert_eq!(records(&view), history.model);
        assert!(view.clean && view.durable == view.valid && view.uuid != found.uuid);
        assert_eq!(view.engine_tick, read(&*history.disk).unwrap().engine_tick);
    }
}

#[test]
fn with_any_byte_flipped_everything_before_it_is_kept_and_nothing_is_made_up() {
    for history in [rotated(), reopened()] {
        let (mut worst, places) = (u64::MAX, places(&history.disk));
        for (name, len) in history.disk.files() {
            let bytes = history.disk.bytes(&name).unwrap();
            for at in (0..len).filter(|at| bytes[*at as usize] != 0 || at % 509 == 0) {
                history.disk.flip(&name, at, 1 << (at % 8));
                let found = look(&history.disk);
                let last = kept(&found, &history.model);
                let seen = readable(&found, &history.model);
                let before = ends_before(&history, &places, &name, at);
                assert!(last >= before, "{name} at {at}: kept {last} of {before} before it");
                assert!(last == history.model.len() as u64 || found.last.0 == history.model.len() as u64);
                assert!(last == history.model.len() as u64 || found.damage.len() == 1, "{:?}", found.damage);
                // One batch is gone at most, wherever a header says whose the rest is.
                if name.ends_with(".wal") && at >= 4096 {
                    assert!(seen.len() + 8 >= history.model.len(), "{name} at {at}: {}", seen.len());
                }
                worst = worst.min(last);
                history.disk.flip(&name, at, 1 << (at % 8));
            }
        }
        assert_eq!(worst, 0, "the first LINK carries everything");
    }
}

/// The last LSN that ends a batch before a place of the log.
fn ends_before(history: &History, places: &[(String, u64)], name: &str, at: u64) -> u64 {
    let is_before =
        |(file, end): &&(String, u64)| !name.ends_with(".wal") || (file.as_str(), *end) <= (name, at);
    let last = places.iter().take_while(is_before).count() as u64;
    history.ends.iter().copied().filter(|end| *end <= last).max().unwrap_or(0)
}

/// Where each record ends: its file and the offset there.
fn places(disk: &SimDisk) -> Vec<(String, u64)> {
    let (view, mut places) = (read(disk).unwrap(), Vec::new());
    view.for_each_record::<()>(Lsn(1), &mut |record| {
        let name = format!("seg-{:016x}.wal", record.segment);
        // The padding of its batch counts with the last record.
        let end = record.offset + 12 + record.body.len() as u64;
        places.push((name, end.next_multiple_of(4096)));
        Ok(())
    })
    .unwrap();
    places
}

#[test]
fn meta_is_not_needed() {
    for history in [rotated(), reopened()] {
        let without: [fn(&SimDisk); 3] = [
            |disk| disk.remove("META").unwrap(),
            |disk| (0..4).for_each(|slot| assert!(disk.flip("META", slot * 4096 + 50, 1))),
            |disk| assert!(disk.truncate("META", 100)),
        ];
        for damage in without {
            let disk = history.disk.process_kill();
            damage(&disk);
            assert!(read(&disk).is_err());
            let found = look(&disk);
            assert_eq!(kept(&found, &history.model), history.model.len() as u64);
            assert!(matches!(found.damage[0].why, DamageKind::MetaMissing | DamageKind::Meta(_)));
            assert_eq!(records(&read(&*copied(&found)).unwrap()), history.model);
        }
    }
}

#[test]
fn a_missing_segment_ends_what_is_kept_and_what_is_behind_it_is_seen() {
    for history in [rotated(), reopened()] {
        let segments = read(&*history.disk).unwrap().segments;
        for (nth, segment) in segments.iter().enumerate() {
            for has_meta in [true, false] {
                let disk = history.disk.process_kill();
                disk.remove(&segment.name).unwrap();
                if !has_meta {
                    disk.remove("META").unwrap();
                }
                let found = look(&disk);
                assert_eq!(kept(&found, &history.model), segment.first_lsn.unwrap().0 - 1);
                let seen = readable(&found, &history.model);
                let gone = segment.first_lsn.unwrap().0..=segment.last_lsn.unwrap().0;
                assert!(
                    (1..=history.model.len() as u64)
                        .all(|lsn| seen.contains_key(&lsn) != gone.contains(&lsn))
                );
                // The newest one can vanish without a trace only if META does too.
                let is_newest = nth + 1 == segments.len();
                let missing = DamageKind::Segment(Fault::Missing);
                assert_eq!(found.damage.iter().any(|damage| damage.why == missing), has_meta || !is_newest);
                assert!(is_newest || found.last.0 == history.model.len() as u64);
            }
        }
    }
}

#[test]
fn a_segment_with_a_damaged_header_is_read_if_meta_lists_it() {
    let history = rotated();
    let all = history.model.len() as u64;
    let is_listed = |id| listed(&history.disk).contains(&id);
    let segments = read(&*history.disk).unwrap().segments;
    assert!(segments.iter().any(|segment| !is_listed(segment.id)));
    for segment in segments {
        let disk = history.disk.process_kill();
        disk.flip(&segment.name, 20, 1);
        let found = look(&disk);
        let before = segment.first_lsn.unwrap().0 - 1;
        assert_eq!(kept(&found, &history.model), if is_listed(segment.id) { all } else { before });
        let is_header = |why: &DamageKind| matches!(why, DamageKind::Segment(Fault::Segment(_)));
        assert!(found.damage.iter().any(|damage| is_header(&damage.why)));
        assert_eq!(found.last.0, all);
    }
}

/// The segments that META lists.
fn listed(disk: &SimDisk) -> Vec<u64> {
    let bytes = disk.bytes("META").unwrap();
    let slots = bytes.chunks(4096).enumerate().map(|(slot, bytes)| Meta::decode(bytes, slot).unwrap());
    slots.max_by_key(|meta| meta.seq).unwrap().listed.iter().map(|listed| listed.segment_id).collect()
}

#[test]
fn of_a_cut_or_a_lengthened_segment_everything_that_is_there_is_kept() {
    let history = rotated();
    for segment in read(&*history.disk).unwrap().segments {
        let len = segment.capacity_bytes;
        for cut in (0..=len + 4096).step_by(1_000).filter(|cut| *cut != len) {
            let disk = history.disk.process_kill();
            let mut bytes = disk.bytes(&segment.name).unwrap();
            bytes.resize(cut as usize, 7);
            disk.put(&segment.name, &bytes);
            let found = look(&disk);
            let last = kept(&found, &history.model);
            readable(&found, &history.model);
            assert!(last + 1 >= segment.first_lsn.unwrap().0);
            if cut >= segment.end_offset {
                assert_eq!(last, history.model.len() as u64, "{} at {cut}", segment.name);
            }
            assert!(!found.damage.is_empty());
        }
    }
}

/// The tail that an opening cut off: whole batches behind a torn one, which later records have taken the numbers of.
#[test]
fn what_a_link_has_superseded_is_never_shown() {
    let disk = mem(5);
    let mut rig = Rig::new(disk.clone());
    rig.commit();
    let model = rig.model.clone();
    rig.append_bodies(&[vec![3; 9000]]).unwrap();
    rig.append_bodies(&[vec![4; 10]]).unwrap();
    let torn = disk.process_kill();
    // The first batch is torn, the one behind it is whole, and neither was ever promised.
    let offset = 4096
        * (disk.bytes("seg-0000000000000001.wal").unwrap().chunks(4096).rposition(|b| b[0] != 0).unwrap()
            as u64
            - 2);
    assert!(torn.flip("seg-0000000000000001.wal", offset + 5_000, 1));
    let torn = Arc::new(torn);
    let mut rig = Rig::open(torn.clone(), model, rig.acked, 9).unwrap();
    (0..3).for_each(|_| rig.commit());
    rig.mark(false);

    for damage in [None, Some(4096 + 70), Some(8192 + 70)] {
        let disk = torn.process_kill();
        if let Some(at) = damage {
            disk.flip("seg-0000000000000001.wal", at, 1);
            disk.remove("META").unwrap();
        }
        let found = look(&disk);
        kept(&found, &rig.model);
        readable(&found, &rig.model);
    }
}

/// An opening that a crash cut short says nothing new; that it is there must not hide what was written before or after.
#[test]
fn after_a_crash_at_any_step_salvage_keeps_what_an_opening_would() {
    let disk = mem(1);
    let mut rig = Rig::tiny(disk.clone());
    disk.keep_moments(true);
    for round in 0..4 {
        for _ in 0..6 {
            if rig.append().is_ok() {
                rig.sync().unwrap();
            }
            rig.prepare();
        }
        let _ = rig.append();
        rig = Rig::open(disk.clone(), rig.model, rig.acked, round).unwrap();
    }
    let mut compared = 0;
    for (_, moment) in disk.take_moments() {
        let mut rng = Rng::new(compared);
        for crashed in [moment.process_kill(), moment.power_cut(&mut || rng.one_in(2))] {
            let view = read(&crashed).unwrap();
            let found = look(&crashed);
            assert_eq!(found.kept, view.valid);
            assert_eq!(kept(&found, &rig.model), view.valid.0);
            assert!(found.last >= view.durable);
            if view.state == LogState::Log && crashed.files().iter().any(|(name, _)| name == "META") {
                crashed.remove("META").unwrap();
                assert!(look(&crashed).kept >= view.durable, "without META too");
            }
            compared += 1;
        }
    }
    assert!(compared > 200);
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_and_not_damage() {
    let history = rotated();
    for op in [Op::List, Op::Open, Op::Len, Op::Read] {
        for nth in 0..3 {
            let disk = history.disk.process_kill();
            disk.fail_next(op, nth, Errno::Io);
            let is_met = salvage(&disk, &options()).is_err();
            assert!(is_met || (op, nth) == (Op::List, nth), "{op} {nth}");
        }
    }
    let disk = SimDisk::new(1);
    disk.put("letter.txt", b"dear reader");
    assert!(matches!(salvage(&disk, &options()), Err(LogError::NotALog { .. })));
}

#[test]
fn of_two_logs_in_one_directory_the_one_that_meta_names_is_meant() {
    let (history, other) = (rotated(), reopened());
    history.disk.put("seg-0000000000000063.wal", &other.disk.bytes("seg-0000000000000002.wal").unwrap());
    let found = look(&history.disk);
    assert_eq!(kept(&found, &history.model), history.model.len() as u64);
    let misplaced = found.segments.last().unwrap();
    assert_eq!((misplaced.id, misplaced.role), (0x63, SalvageRole::Unreadable));

    history.disk.put("seg-0000000000000002.wal", &other.disk.bytes("seg-0000000000000002.wal").unwrap());
    let found = look(&history.disk);
    assert!(found.damage.iter().any(|damage| matches!(damage.why, DamageKind::Foreign(_))));
    kept(&found, &history.model);
    history.disk.remove("META").unwrap();
    assert!(matches!(salvage(&*history.disk, &options()), Err(LogError::ForeignSegment { .. })));
}

/// A segment of another history of the same log, whose batches are all valid, and no LINK leads to.
#[test]
fn a_segment_that_is_not_the_one_a_link_means_ends_what_is_kept() {
    let twin = |len: usize| {
        let disk = mem(6);
        let mut rig = Rig::tiny(disk.clone());
        let mut rotations = 0;
        while rotations < 2 {
            rotations += u32::from(rig.append_bodies(&[vec![len as u8; len]]).unwrap().rotated);
            rig.sync().unwrap();
        }
        (disk, rig.model)
    };
    let ((disk, _), (other, theirs)) = (twin(30), twin(31));
    let first = &read(&*disk).unwrap().segments[0];
    disk.put(&first.name, &other.bytes(&first.name).unwrap());
    let found = look(&disk);
    assert_eq!(kept(&found, &theirs), first.last_lsn.unwrap().0);
    assert_eq!(found.damage[0].why, DamageKind::Segment(Fault::LinkMismatch));
    assert!(found.segments[0].kept.is_some() && found.segments[1].behind.is_some());
}

#[test]
fn a_copy_is_begun_in_an_empty_directory_only() {
    let history = rotated();
    let before = history.disk.image_hash();
    let began = LogCopy::begin(history.disk.clone(), &options(), Lsn(0));
    assert!(matches!(began, Err(LogError::Misuse(Misuse::NotEmpty))));
    assert_eq!(history.disk.image_hash(), before);
    let disk = mem(9);
    disk.put(LOCK_FILE, b"");
    LogCopy::begin(disk.clone(), &options(), Lsn(0)).unwrap();
    // Not even an unfinished one is gone on with.
    assert!(LogCopy::begin(disk, &options(), Lsn(0)).is_err());
}

/// Wherever the machine stops, there is no log or all of it.
#[test]
fn a_copy_is_a_log_when_it_is_finished_and_not_before() {
    let disk = mem(2);
    let mut rig = Rig::new(disk.clone());
    for _ in 0..30 {
        rig.append_bodies(&[vec![1; 9_000], vec![2; 50]]).unwrap();
    }
    rig.sync().unwrap();
    let found = look(&disk);
    let disk = mem(8);
    disk.keep_moments(true);
    let tiny = LogOptions { segment_bytes_min: 64 << 10, segment_bytes_max: 64 << 10, ..options() };
    let mut copy = LogCopy::begin(disk.clone(), &tiny, Lsn(0)).unwrap();
    copy.copy(&found, found.kept).unwrap();
    let last = copy.push(9, |body| body.extend(b"and one more")).unwrap();
    copy.finish().unwrap();
    let mut outcomes = [0, 0];
    let mut rng = Rng::new(1);
    for (_, moment) in disk.take_moments() {
        for crashed in [moment.process_kill(), moment.power_cut(&mut || rng.one_in(2))] {
            let view = read(&crashed).unwrap();
            assert!(view.state == LogState::Empty || view.valid == last);
            outcomes[usize::from(view.state == LogState::Log)] += 1;
            assert!(
                crashed.files().iter().all(|(name, _)| name != "META")
                    || view.state == LogState::Log
                    || look(&crashed).kept == Lsn::ZERO
            );
        }
    }
    assert!(outcomes.iter().all(|times| *times > 0), "{outcomes:?}");
    assert!(read(&*disk).unwrap().segments.len() > 4);
}

#[test]
fn a_copy_that_fails_is_no_log() {
    let history = rotated();
    let found = look(&history.disk);
    let copy = |disk: &Arc<SimDisk>| {
        let mut copy = LogCopy::begin(disk.clone(), &options(), Lsn(0))?;
        copy.copy(&found, found.kept)?;
        copy.finish()
    };
    let whole = mem(8);
    copy(&whole).unwrap();
    for changes in 0..whole.changes() {
        let disk = mem(8);
        disk.halt_after(changes);
        assert!(copy(&disk).is_err());
        disk.clear_faults();
        let view = read(&*disk).unwrap();
        // The very last update says again what the one before it said.
        assert!(view.state == LogState::Empty || changes + 4 > whole.changes());
    }
    let disk = mem(8);
    disk.set_capacity_bytes(Some(60 << 10));
    assert!(copy(&disk).unwrap_err().is_full());
    assert_eq!(read(&*disk).unwrap().state, LogState::Empty);
}

/// A log of which META says that it was being made held nothing for anybody.
#[test]
fn nothing_is_kept_of_a_log_that_was_never_finished() {
    let history = rotated();
    edit_meta(&history.disk, |meta| {
        meta.state = MetaState::Initialising;
        (meta.head_segment, meta.first_segment) = (0, 0);
    });
    assert_eq!(look(&history.disk).kept, Lsn::ZERO);
}

/// A META of an earlier day hides segments from a reader, which refuses them; LINKs lead to them all the same.
#[test]
fn an_old_meta_hides_nothing() {
    let disk = mem(4);
    let mut rig = Rig::tiny(disk.clone());
    let (mut old, mut refused) = (Vec::new(), 0);
    for round in 0..3 {
        for _ in 0..12 {
            old.push(disk.bytes("META").unwrap());
            rig.append_bodies(&[vec![1; 20], vec![2; 50]]).unwrap();
            rig.sync().unwrap();
            rig.prepare();
        }
        rig = Rig::open(disk.clone(), rig.model, rig.acked, round).unwrap();
        rig.append_bodies(&[vec![3; 20]]).unwrap();
        rig.sync().unwrap();
    }
    for meta in old {
        let disk = disk.process_kill();
        disk.put("META", &meta);
        refused += u32::from(read(&disk).is_err());
        assert_eq!(kept(&look(&disk), &rig.model), rig.model.len() as u64);
    }
    assert!(refused > 20, "{refused}");
}
