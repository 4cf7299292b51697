//! Rot, cut files, unreadable blocks, and bytes that only look like the log's.

use std::sync::Arc;

use horolog_sim::{Errno, Rng, SimDisk};
use horolog_storage::{Op, OsStorage, Storage};
use horolog_wal::{
    Evidence, EvidenceKind, Fault, Listed, LogError, LogFile, LogOptions, LogView, Lost, Lsn, Meta,
    SegmentHeader, SegmentRole, read_log,
};

use crate::places::{self, Places, batches};
use crate::rig::{Model, Rig, check, edit_meta, mem, newest_meta, options, read, records};

/// A directory, what it holds, and what it can prove.
struct History {
    disk: Arc<SimDisk>,
    model: Model,
    durable: Lsn,
    valid: Lsn,
}

impl History {
    fn of(disk: Arc<SimDisk>) -> Self {
        let view = read(&*disk).unwrap();
        Self { model: records(&view), durable: view.durable, valid: view.valid, disk }
    }

    /// What a damaged directory may show: everything proven durable, and nothing that was never written.
    #[track_caller]
    fn judge(&self, what: &str) -> Verdict {
        match read(&*self.disk) {
            Ok(view) => {
                check(&view, self.model.clone(), self.durable.0);
                if view.valid == self.valid { Verdict::Harmless } else { Verdict::Torn }
            }
            Err(LogError::Corruption(_)) => Verdict::Refused,
            Err(error) => panic!("{what}: {error}"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Harmless,
    Torn,
    Refused,
}

/// One segment: acknowledged, marked, and a batch that was never synced.
fn one_segment() -> History {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    (0..3).for_each(|_| rig.commit());
    rig.mark(false);
    rig.append_bodies(&[vec![7; 100]]).unwrap();
    History::of(disk)
}

/// Two rotations, then a mark.
fn rotated() -> History {
    let disk = mem(2);
    let mut rig = Rig::new(disk.clone());
    let mut rotations = 0;
    while rotations < 2 {
        rotations += u32::from(rig.append_bodies(&[vec![1; 200], vec![2; 500]]).unwrap().rotated);
        rig.sync().unwrap();
    }
    rig.mark(false);
    History::of(disk)
}

/// A power cut in the middle of a batch, an opening that copies records forward, more records, a spare.
fn reopened() -> History {
    let disk = mem(3);
    let mut rig = Rig::new(disk.clone());
    (0..2).for_each(|_| rig.commit());
    rig.append_bodies(&[vec![3; 50]]).unwrap();
    rig.append_bodies(&[vec![4; 5000]]).unwrap();
    let mut sectors = 0;
    let cut = disk.power_cut(&mut || {
        sectors += 1;
        sectors < 15
    });
    let disk = Arc::new(cut);
    assert!(read(&*disk).unwrap().torn_bytes > 0);
    let mut rig = Rig::open(disk.clone(), rig.model, rig.acked, 2).unwrap();
    (0..2).for_each(|_| rig.commit());
    rig.mark(true);
    History::of(disk)
}

/// What reading gives, with every record that it shows compared.
#[track_caller]
fn verdict(history: &History, what: &str) -> places::Verdict {
    let view = match read(&*history.disk) {
        Ok(view) => view,
        Err(LogError::Corruption(found)) => {
            let lost = (found.lost.first.map(|lsn| lsn.0), found.lost.last.map(|lsn| lsn.0));
            return places::Verdict::Refused { segment: found.segment, offset: found.offset, lost };
        }
        Err(error) => panic!("{what}: {error}"),
    };
    let mut shown = 0;
    view.for_each_record::<()>(Lsn(1), &mut |record| {
        let (kind, flags, body) = &history.model[shown];
        shown += 1;
        let is_it = (record.lsn.0, record.kind, record.flags) == (shown as u64, *kind, *flags);
        assert!(is_it && record.body == body, "{what}: record {shown}");
        Ok(())
    })
    .unwrap();
    assert_eq!(shown as u64, view.valid.0, "{what}");
    places::Verdict::Read {
        valid: view.valid.0,
        durable: view.durable.0,
        torn_bytes: view.torn_bytes,
        clean: view.clean,
        bad_slots: view.meta_bad_slots,
    }
}

/// Flips a bit of every byte of every file, and compares with what must come of it by where the byte lies. Returns how many
/// flips are without consequence for the records, cut records off that were never proven durable, and are refused.
fn flip_every_byte(history: &History) -> [usize; 3] {
    let places = Places::of(&history.disk);
    assert_eq!(verdict(history, "as it is"), places.sound());
    let mut verdicts = [0; 3];
    for (name, len) in history.disk.files() {
        for offset in 0..len {
            let mask = 1 << (offset % 8);
            assert!(history.disk.flip(&name, offset, mask));
            let what = format!("{name} at {offset}");
            let expected = places.if_flipped(&name, offset as usize);
            assert_eq!(verdict(history, &what), expected, "{what}");
            assert!(history.disk.flip(&name, offset, mask));
            verdicts[match expected {
                places::Verdict::Read { valid, .. } if valid == history.valid.0 => Verdict::Harmless,
                places::Verdict::Read { .. } => Verdict::Torn,
                places::Verdict::Refused { .. } => Verdict::Refused,
            } as usize] += 1;
        }
    }
    let bytes: u64 = history.disk.files().into_iter().map(|(_, len)| len).sum();
    assert_eq!(verdicts.iter().sum::<usize>() as u64, bytes, "every byte");
    verdicts
}

#[test]
fn any_flipped_byte_of_one_segment_is_refused_torn_or_harmless() {
    let [harmless, torn, refused] = flip_every_byte(&one_segment());
    assert!(harmless > 0);
    assert_eq!(torn, 2 * 4096, "the mark (the evidence itself) and the batch that was never synced");
    assert_eq!(refused, 5 * 4096, "the segment header, the LINK and the three acknowledged batches");
}

#[test]
fn any_flipped_byte_of_a_rotated_log_is_refused_torn_or_harmless() {
    let [harmless, torn, refused] = flip_every_byte(&rotated());
    assert!(harmless > 0 && refused > 0);
    assert_eq!(torn, 0, "everything was proven durable");
}

#[test]
fn any_flipped_byte_of_a_reopened_log_is_refused_torn_or_harmless() {
    let [harmless, torn, refused] = flip_every_byte(&reopened());
    assert!(harmless > 0 && refused > 0);
    assert_eq!(torn, 0, "everything was proven durable");
}

#[test]
fn a_flip_behind_the_end_is_harmless() {
    let history = rotated();
    let head = read(&*history.disk).unwrap().segments.pop().unwrap();
    for offset in (head.end_offset..head.capacity_bytes).step_by(101) {
        history.disk.flip(&head.name, offset, 0xFF);
        assert_eq!(history.judge("behind the end"), Verdict::Harmless);
        history.disk.flip(&head.name, offset, 0xFF);
    }
}

#[test]
fn bursts_of_damage_never_show_a_wrong_record() {
    for history in [one_segment(), rotated(), reopened()] {
        let mut rng = Rng::new(9);
        let files = history.disk.files();
        for _ in 0..300 {
            let (name, len) = &files[rng.below(files.len() as u64) as usize];
            let (at, width) = (rng.below(*len), 1 + rng.below(600));
            let masks: Vec<_> = (0..width).map(|_| rng.next() as u8).collect();
            let flip = || {
                for (at, mask) in (at..).zip(&masks) {
                    history.disk.flip(name, at, *mask);
                }
            };
            flip();
            match read(&*history.disk) {
                // A burst may hit the evidence together with what it proves; it never makes records up.
                Ok(view) => assert!(history.model.starts_with(&records(&view))),
                Err(LogError::Corruption(_)) => {}
                Err(error) => panic!("{error}"),
            }
            flip();
        }
    }
}

#[test]
fn every_truncation_of_a_log_file_is_refused() {
    let history = one_segment();
    let (name, bytes) = ("seg-0000000000000001.wal", history.disk.bytes("seg-0000000000000001.wal").unwrap());
    for len in (0..bytes.len()).rev() {
        history.disk.truncate(name, len as u64);
        assert_eq!(history.judge("truncation"), Verdict::Refused, "{len}");
    }
}

/// Ends the contents of a file at each byte, and compares with the last LSN that is to be read then, or the refusal.
fn end_anywhere(
    history: &History,
    disk: &SimDisk,
    name: &str,
    expected: impl Fn(usize) -> Result<u64, Lost>,
) {
    let bytes = disk.bytes(name).unwrap();
    for cut in (0..bytes.len()).rev().filter(|&at| bytes[at] != 0) {
        disk.flip(name, cut as u64, bytes[cut]);
        match (read(disk), expected(cut)) {
            (Ok(view), Ok(last)) => {
                assert!(view.durable <= view.valid);
                assert!(records(&view) == history.model[..last as usize], "{name} cut at {cut}");
            }
            (Err(LogError::Corruption(found)), Err(lost)) => {
                assert_eq!(found.lost, lost, "{name} cut at {cut}");
                let is_none = lost.first > lost.last;
                assert_eq!(found.lost.to_string().starts_with("no record"), is_none, "{name} cut at {cut}");
            }
            (found, expected) => {
                panic!("{name} cut at {cut}: expected {expected:?}, {:?}", found.map(|view| view.valid))
            }
        }
    }
}

/// Makes META say what it said when the first of these segments was the head, the others were spares, and nothing was
/// known to be durable.
fn begin_at(meta: &mut Meta, disk: &SimDisk, names: &[String]) {
    let headers = names.iter().map(|name| SegmentHeader::decode(&disk.bytes(name).unwrap()).unwrap());
    let listed = |header: SegmentHeader| Listed {
        segment_id: header.segment_id,
        salt: header.salt,
        capacity_blocks: header.capacity_blocks,
    };
    meta.listed = headers.map(listed).collect();
    meta.head_segment = meta.listed[0].segment_id;
    meta.first_segment = 1;
    meta.durable_lsn = Lsn(0);
}

/// The size of a file is fixed when it is made, so what a crash cuts short is a file whose rest is blank.
#[test]
fn a_log_whose_contents_end_at_any_byte_is_exactly_what_is_whole_or_is_refused() {
    for (history, files, rotates) in [(one_segment(), 1, false), (rotated(), 3, true), (reopened(), 2, false)]
    {
        let names: Vec<_> = read(&*history.disk).unwrap().segments.into_iter().map(|it| it.name).collect();
        let chain: Vec<_> = names.iter().map(|name| batches(&history.disk.bytes(name).unwrap())).collect();
        assert_eq!(chain.len(), files);
        // The log as it was when the file at hand was its last.
        let disk = history.disk.process_kill();
        for nth in (0..files).rev() {
            let before = if nth == 0 { 0 } else { chain[nth][0].last_lsn };
            let next = chain.get(nth + 1).map(|batches| &batches[0]);
            let whole = |cut| {
                // The next file goes on from all that was valid here; what lies behind it was torn before.
                let last = next.map_or(history.valid.0, |next| next.last_lsn);
                chain[nth].iter().rev().find(|batch| batch.end <= cut && batch.last_lsn <= last)
            };
            if let Some(next) = next {
                // The LINK in the next file proves durable what it names. What lies behind that counts no more.
                let linked = chain[nth].iter().find(|batch| batch.chain == next.prev_chain).unwrap();
                end_anywhere(&history, &history.disk.process_kill(), &names[nth], |cut| {
                    let lost = Lost {
                        first: whole(cut).map(|batch| Lsn(batch.last_lsn + 1)),
                        last: Some(Lsn(linked.last_lsn)),
                    };
                    if cut < linked.end { Err(lost) } else { Ok(history.valid.0) }
                });
            }
            // The files after this one were never begun: nothing proves more than what is still whole. META calls the
            // file the head once its first batch is durable; after an opening it has, before anything else is written.
            let before_nth = if rotates { nth.saturating_sub(1) } else { nth };
            for head in before_nth..=nth {
                edit_meta(&disk, |meta| begin_at(meta, &history.disk, &names[head..]));
                end_anywhere(&history, &disk, &names[nth], |cut| match whole(cut) {
                    // A file is listed after its header is durable.
                    _ if cut < 4096 => Err(Lost { first: None, last: None }),
                    None if head == nth => Err(Lost { first: None, last: None }),
                    whole => Ok(whole.map_or(before, |batch| batch.last_lsn)),
                });
            }
            let header = &history.disk.bytes(&names[nth]).unwrap()[..4096];
            let blank = vec![0; history.disk.bytes(&names[nth]).unwrap().len() - 4096];
            disk.put(&names[nth], &[header, &blank].concat());
        }
    }
}

/// What was acknowledged and marked rots: the mark proves it.
#[test]
fn a_mark_turns_rot_of_the_last_acknowledged_batch_into_a_refusal() {
    for marked in [false, true] {
        let disk = mem(1);
        let mut rig = Rig::new(disk.clone());
        rig.commit();
        let (before, end) = (rig.acked, read(&*disk).unwrap().segments[0].end_offset);
        rig.commit();
        if marked {
            rig.mark(false);
        }
        disk.flip("seg-0000000000000001.wal", end + 70, 1);
        match read(&*disk) {
            // The documented window: nothing was written after the acknowledgement.
            Ok(view) => assert!(!marked && view.valid == Lsn(before) && view.torn_bytes == 4096),
            Err(LogError::Corruption(found)) => {
                assert!(marked);
                assert_eq!((found.segment, found.offset), (1, end));
                assert_eq!(
                    (found.lost.first, found.lost.last),
                    (Some(Lsn(before + 1)), Some(Lsn(rig.acked)))
                );
                let durable = Lsn(rig.acked);
                let kind = EvidenceKind::Stamp;
                assert_eq!(
                    found.evidence,
                    Evidence { file: LogFile::Segment(1), offset: end + 4096, kind, durable }
                );
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn an_unreadable_block_is_an_error_and_never_the_end_of_the_log() {
    for history in [one_segment(), rotated(), reopened()] {
        let reads = (0..).find(|&nth| {
            history.disk.fail_next(Op::Read, nth, Errno::Io);
            let failed = read(&*history.disk);
            let done = failed.is_ok();
            assert!(done || matches!(failed, Err(LogError::Storage(_))), "{failed:?}");
            done
        });
        assert!(reads.unwrap() >= 2, "the header and the segment at least");
    }
}

#[test]
fn an_error_while_records_are_visited_is_told() {
    let history = rotated();
    let with_lock = LogOptions { has_lock: true, ..options() };
    let views = [read(&*history.disk), read_log(&*history.disk, &with_lock)].map(Result::unwrap);
    let visit = |view: &LogView<'_>| match view.for_each_record::<()>(Lsn(1), &mut |_| Ok(())) {
        Err(horolog_wal::VisitError::Log(error)) => error,
        other => panic!("{other:?}"),
    };
    history.disk.fail_next(Op::Read, 1, Errno::Io);
    assert!(matches!(visit(&views[0]), LogError::Storage(_)));
    history.disk.flip("seg-0000000000000002.wal", 9000, 1);
    // Without the lock nobody knows whether a writer has used the file again.
    assert!(matches!(visit(&views[0]), LogError::ChangedMeanwhile { segment: 2 }));
    assert!(matches!(visit(&views[1]), LogError::Corruption(_)));
}

/// A payload that holds a whole valid batch, at a block boundary, behind a torn batch.
#[test]
fn a_batch_inside_a_payload_is_never_accepted() {
    let donor = mem(1);
    let mut rig = Rig::new(donor.clone());
    rig.commit();
    rig.mark(false);
    let stolen = donor.bytes("seg-0000000000000001.wal").unwrap()[4096..].to_vec();
    let disk = mem(2);
    let mut rig = Rig::new(disk.clone());
    rig.commit();
    let acked = rig.acked;
    // Header and record header take 76 bytes: from the second block of the batch on it reads like the donor.
    rig.append_bodies(&[[vec![0; 4096 - 76], stolen[..16384].to_vec()].concat()]).unwrap();
    let end = 4096 * 3;
    disk.flip("seg-0000000000000001.wal", end, 0xFF);
    let view = read(&*disk).unwrap();
    assert_eq!((view.valid, view.durable), (Lsn(acked), Lsn(0)));
}

/// The blocks of an earlier life of a file, under the header of its next one: a listed spare.
#[test]
fn batches_of_an_earlier_life_of_a_file_prove_nothing() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    rig.prepare();
    (0..3).for_each(|_| rig.commit());
    let (spare, old) = ("seg-0000000000000002.wal", disk.bytes("seg-0000000000000001.wal").unwrap());
    let header = disk.bytes(spare).unwrap()[..4096].to_vec();
    disk.put(spare, &[&header, &old[4096..]].concat());
    let view = read(&*disk).unwrap();
    assert_eq!(view.segments[1].role, SegmentRole::Burnt);
    let durable = view.durable;
    disk.put(spare, &[header, vec![0; old.len() - 4096]].concat());
    assert_eq!(read(&*disk).unwrap().durable, durable);
    check(&view, rig.model, rig.acked);
}

/// A file with the right name and number, of another life: a backup of one that was used again.
#[test]
fn a_segment_of_another_life_is_refused() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    rig.commit();
    while !rig.append().unwrap().rotated {}
    assert_eq!(newest_meta(&disk).head_segment, 1, "which leads to it, and is listed as well");
    for history in [one_segment(), History::of(disk)] {
        let name = "seg-0000000000000001.wal";
        let mut bytes = history.disk.bytes(name).unwrap();
        let mut header = SegmentHeader::decode(&bytes).unwrap();
        header.salt ^= 1;
        bytes[..4096].copy_from_slice(&header.encode());
        history.disk.put(name, &bytes);
        let refused = read(&*history.disk).unwrap_err();
        assert_eq!(refused.corruption().unwrap().why, Fault::OtherLife);
    }
}

/// A batch that was written to the wrong place proves nothing there, and is missed where it belongs.
#[test]
fn a_misdirected_batch_is_not_valid_where_it_landed() {
    let history = one_segment();
    let name = "seg-0000000000000001.wal";
    let good = history.disk.bytes(name).unwrap();
    let blocks = good.len() / 4096;
    for (from, to) in (1..7).flat_map(|from| (1..blocks).map(move |to| (from, to))).filter(|(a, b)| a != b) {
        let mut bytes = good.clone();
        bytes.copy_within(from * 4096..(from + 1) * 4096, to * 4096);
        history.disk.put(name, &bytes);
        history.judge(&format!("block {from} at {to}"));
    }
}

/// A write that was reported and never happened: the place still holds what it held before.
#[test]
fn a_lost_write_is_noticed_if_anything_later_proves_it() {
    let history = one_segment();
    let name = "seg-0000000000000001.wal";
    let good = history.disk.bytes(name).unwrap();
    for block in 2..5 {
        let mut bytes = good.clone();
        bytes[block * 4096..(block + 1) * 4096].fill(0);
        history.disk.put(name, &bytes);
        assert_eq!(history.judge("lost write"), Verdict::Refused, "block {block}");
    }
}

#[test]
fn what_is_read_beside_a_running_writer_is_a_prefix() {
    let disk = mem(4);
    let mut rig = Rig::new(disk.clone());
    for _ in 0..60 {
        rig.append().unwrap();
        let found: LogView<'_> = read(&*disk).unwrap();
        assert_eq!(found.valid, rig.writer.tail());
    }
}

/// A real directory, a writer that rotates and opens again, and a reader that looks all the time.
#[test]
fn what_is_read_beside_a_writer_in_another_thread_is_a_prefix() {
    let dir = tempfile::tempdir().unwrap();
    let storage: Arc<dyn Storage> = Arc::new(OsStorage::open_or_create(dir.path()).unwrap());
    drop(Rig::new(Arc::clone(&storage)));
    let writer = std::thread::spawn({
        let storage = Arc::clone(&storage);
        move || {
            let mut model = Model::new();
            for life in 0..6 {
                let acked = model.len() as u64;
                let mut rig = Rig::resume(Arc::clone(&storage), model, acked);
                for step in 0..60 {
                    rig.append().unwrap();
                    if step % 4 == 0 {
                        rig.sync().unwrap();
                        rig.prepare();
                        rig.syncer.witness(Lsn(rig.acked)).unwrap();
                        if life > 2
                            && let Some(plan) = rig.writer.retire_below(Lsn(rig.acked))
                        {
                            let retired = plan.carry_out().unwrap();
                            rig.writer.offer_retired(retired);
                        }
                    }
                }
                model = rig.model;
            }
            model
        }
    });
    let (mut seen, mut last, mut looks) = (Vec::new(), Lsn(0), 0);
    while !writer.is_finished() {
        let view = read(&*storage).unwrap_or_else(|error| panic!("after {looks} looks: {error}"));
        assert!(view.valid >= last, "what was read does not vanish");
        (last, looks) = (view.valid, looks + 1);
        let mut bodies = view.first_lsn.0 as usize - 1;
        let visited = view.for_each_record::<()>(Lsn(1), &mut |_| {
            bodies += 1;
            Ok(())
        });
        match visited {
            Ok(()) => assert_eq!(bodies as u64, view.valid.0),
            // Its first segments were let go and used again while it looked.
            Err(horolog_wal::VisitError::Log(LogError::ChangedMeanwhile { .. })) => {}
            Err(error) => panic!("after {looks} looks: {error}"),
        }
        seen.push(bodies);
    }
    let model = writer.join().unwrap();
    assert!(looks > 0 && seen.iter().all(|bodies| *bodies <= model.len()));
    assert_eq!(read(&*storage).unwrap().valid.0, model.len() as u64);
}

/// The same damage over a real directory.
#[test]
fn damage_in_a_real_directory_gets_the_same_verdicts() {
    for history in [one_segment(), rotated(), reopened()] {
        let dir = tempfile::tempdir().unwrap();
        let storage = OsStorage::open_existing(dir.path()).unwrap();
        let mut rng = Rng::new(5);
        for (name, _) in history.disk.files() {
            let file = storage.create(&name).unwrap();
            file.write_at(&history.disk.bytes(&name).unwrap(), 0).unwrap();
        }
        for (name, len) in history.disk.files() {
            for _ in 0..60 {
                let offset = rng.below(len);
                assert!(history.disk.flip(&name, offset, 4));
                let byte = history.disk.bytes(&name).unwrap()[offset as usize];
                storage.open(&name).unwrap().write_at(&[byte], offset).unwrap();
                let expected = history.judge("memory");
                match horolog_wal::read_log(&storage, &options()) {
                    Ok(view) => {
                        let same =
                            if view.valid == history.valid { Verdict::Harmless } else { Verdict::Torn };
                        assert_eq!(same, expected);
                        check(&view, history.model.clone(), history.durable.0);
                    }
                    Err(_) => assert_eq!(expected, Verdict::Refused),
                }
                assert!(history.disk.flip(&name, offset, 4));
                storage.open(&name).unwrap().write_at(&[byte ^ 4], offset).unwrap();
            }
        }
    }
}
