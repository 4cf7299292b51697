//! Snapshots: files of the owner's sections that count when META says so, and the two that do.

use horolog_sim::{Errno, Fault, SimDisk, Trigger};
use horolog_storage::{Op, Storage};
use horolog_wal::{
    LogError, LogView, Lsn, Misuse, SealedSnapshot, SnapshotDamage, SnapshotFile, SnapshotRef, VisitError,
};

use crate::rig::{Rig, crashed, mem, read};

/// Sections that say which snapshot they belong to.
fn sections(number: u8) -> Vec<Vec<u8>> {
    vec![vec![number; 5_000], Vec::new(), vec![number + 100; 300]]
}

fn sealed(rig: &mut Rig, begin: u64, number: u8) -> Result<SealedSnapshot, LogError> {
    let mut file = rig.writer.plan_snapshot(Lsn(begin)).create()?;
    let sections = sections(number);
    for (at, section) in sections.iter().enumerate() {
        let mut buffer = vec![0; SnapshotFile::FRAME_LEN];
        buffer.extend_from_slice(section);
        file.append(&mut buffer, at + 1 == sections.len())?;
    }
    file.seal(rig.writer.tail())
}

/// Makes everything durable, and a snapshot of it.
fn publish(rig: &mut Rig, number: u8) -> Result<(SnapshotRef, Lsn), LogError> {
    let begin = rig.writer.tail().0;
    rig.append()?;
    let sealed = sealed(rig, begin, number)?;
    rig.sync()?;
    let reference = sealed.reference();
    Ok((reference, sealed.publish(Lsn(rig.acked))?))
}

fn read_back(view: &LogView<'_>, snapshot: &SnapshotRef) -> Result<Vec<Vec<u8>>, VisitError<()>> {
    let mut found = Vec::new();
    view.for_each_section::<()>(snapshot, &mut |section| {
        found.push(section.to_vec());
        Ok(())
    })
    .map(|()| found)
}

/// The snapshots that count, newest first, by what their sections say.
fn numbers(view: &LogView<'_>) -> Vec<u8> {
    let read = |it: SnapshotRef| read_back(view, &it).unwrap_or_else(|error| panic!("{it:?}: {error:?}"));
    let found: Vec<_> = view.snapshots().map(read).collect();
    let number = |found: &Vec<Vec<u8>>| {
        let number = found[0][0];
        assert_eq!(*found, sections(number));
        number
    };
    found.iter().map(number).collect()
}

fn files(disk: &SimDisk) -> Vec<String> {
    disk.files().into_iter().map(|(name, _)| name).filter(|name| name.starts_with("snap-")).collect()
}

#[test]
fn a_published_snapshot_is_listed_and_its_sections_come_back() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    rig.commit();
    let before = rig.writer.tail();
    let (snapshot, below) = publish(&mut rig, 1).unwrap();
    assert_eq!((snapshot.id, snapshot.begin, snapshot.sections), (1, before, 3));
    assert_eq!(below, Lsn(0), "the log from its first record on is all that stands behind it");
    let view = read(&*disk).unwrap();
    assert_eq!(view.snapshots().collect::<Vec<_>>(), [snapshot]);
    assert_eq!(numbers(&view), [1]);
    assert!(view.durable >= snapshot.end, "META's word is evidence");
}

#[test]
fn two_snapshots_count_and_the_third_takes_the_place_of_the_first() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    let first = publish(&mut rig, 1).unwrap().0;
    let (second, below) = publish(&mut rig, 2).unwrap();
    assert_eq!(below, first.begin.next());
    assert_eq!(numbers(&read(&*disk).unwrap()), [2, 1]);
    let below = publish(&mut rig, 3).unwrap().1;
    assert_eq!(below, second.begin.next());
    assert_eq!(numbers(&read(&*disk).unwrap()), [3, 2]);
    assert_eq!(files(&disk), ["snap-0000000000000002.img", "snap-0000000000000003.img"]);
    let mut rig = Rig::open(disk.clone(), rig.model, rig.acked, 1).unwrap();
    publish(&mut rig, 4).unwrap();
    assert_eq!(numbers(&read(&*disk).unwrap()), [4, 3], "over an opening");
}

#[test]
fn a_snapshot_that_has_seen_what_is_not_durable_is_not_published() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    rig.commit();
    rig.append().unwrap();
    let sealed = sealed(&mut rig, 0, 1).unwrap();
    let refused = sealed.publish(Lsn(rig.acked)).unwrap_err();
    assert!(matches!(refused, LogError::Misuse(Misuse::SnapshotAhead)), "{refused}");
    assert_eq!((files(&disk).len(), rig.writer.is_poisoned()), (0, false));
}

/// A section may be copied between two records that are written in one batch, of which a crash leaves all or nothing.
#[test]
fn a_snapshot_that_has_seen_half_of_a_batch_is_no_proof_of_half_of_it() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    rig.commit();
    let begin = rig.writer.tail();
    rig.append_bodies(&[vec![1], vec![2]]).unwrap();
    rig.sync().unwrap();
    let mut file = rig.writer.plan_snapshot(begin).create().unwrap();
    file.append(&mut [0; 40], true).unwrap();
    file.seal(begin.next()).unwrap().publish(Lsn(rig.acked)).unwrap();
    let view = read(&*disk).expect("a snapshot that counts is no damage");
    assert_eq!(
        (view.durable, view.snapshots().next().map(|it| it.end)),
        (Lsn(rig.acked), Some(begin.next()))
    );
}

#[test]
fn a_snapshot_that_is_dropped_leaves_nothing_behind() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    let mut file = rig.writer.plan_snapshot(Lsn(0)).create().unwrap();
    file.append(&mut vec![0; 9_000], false).unwrap();
    assert_eq!(files(&disk), ["snap-0000000000000001.img.tmp"]);
    drop(file);
    drop(sealed(&mut rig, 0, 1).unwrap());
    assert_eq!(files(&disk).len(), 0);
    assert_eq!(publish(&mut rig, 1).unwrap().0.id, 3, "a number is used once");
}

/// The machine stops after each change of the disk while a third snapshot is made. The log says what it said, and the two
/// snapshots that count are the old ones or the new pair, each whole.
#[test]
fn a_crash_at_any_step_leaves_the_old_pair_or_the_new_one() {
    let (mut old, mut new) = (0, 0);
    for halt in 0..40 {
        for remains in 0..8 {
            let disk = mem(halt);
            let mut rig = Rig::new(disk.clone());
            publish(&mut rig, 1).unwrap();
            publish(&mut rig, 2).unwrap();
            disk.halt_after(halt);
            let _ = publish(&mut rig, 3);
            let after = crashed(&disk, remains);
            let view = read(&*after).unwrap_or_else(|error| panic!("{halt} {remains}: {error}"));
            match numbers(&view)[..] {
                [2, 1] => old += 1,
                [3, 2] => new += 1,
                ref other => panic!("{halt} {remains}: {other:?}"),
            }
            let mut rig = Rig::open(after.clone(), rig.model, rig.acked, 1).unwrap();
            assert_eq!(files(&after).len(), 2, "{halt} {remains}: {:?}", files(&after));
            publish(&mut rig, 4).unwrap();
            assert_eq!(numbers(&read(&*after).unwrap())[0], 4);
        }
    }
    assert!(old > 50 && new > 20, "{old} old pairs, {new} new ones");
}

#[test]
fn every_flipped_byte_of_a_snapshot_is_noticed() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    let snapshot = publish(&mut rig, 1).unwrap().0;
    let name = "snap-0000000000000001.img";
    let view = read(&*disk).unwrap();
    for at in 0..snapshot.bytes {
        disk.flip(name, at, 1 << (at % 8));
        let damaged = read_back(&view, &snapshot);
        let said = matches!(
            damaged,
            Err(VisitError::Log(LogError::SnapshotDamaged {
                snapshot: 1,
                damage: SnapshotDamage::Header | SnapshotDamage::Frame { .. } | SnapshotDamage::Body { .. }
            }))
        );
        assert!(said, "{at}: {damaged:?}");
        disk.flip(name, at, 1 << (at % 8));
    }
    assert_eq!(numbers(&view), [1]);
}

#[test]
fn a_snapshot_that_is_missing_cut_longer_or_another_one_is_told_as_such() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    publish(&mut rig, 1).unwrap();
    let snapshot = publish(&mut rig, 2).unwrap().0;
    let view = read(&*disk).unwrap();
    let [older, name] = ["snap-0000000000000001.img", "snap-0000000000000002.img"];
    let whole = disk.bytes(name).unwrap();
    let said = |bytes: Option<&[u8]>| {
        match bytes {
            Some(bytes) => disk.put(name, bytes),
            None => disk.remove(name).unwrap(),
        }
        match read_back(&view, &snapshot) {
            Err(VisitError::Log(LogError::SnapshotDamaged { snapshot: 2, damage })) => damage,
            other => panic!("{other:?}"),
        }
    };
    let expected = snapshot.bytes;
    for len in [0, 1, 4_095, 4_096, whole.len() - 1] {
        assert_eq!(said(Some(&whole[..len])), SnapshotDamage::Length { expected, found: len as u64 });
    }
    let longer = [&whole[..], &[0]].concat();
    assert_eq!(said(Some(&longer)), SnapshotDamage::Length { expected, found: expected + 1 });
    assert_eq!(said(Some(&disk.bytes(older).unwrap())), SnapshotDamage::Header);
    assert_eq!(said(None), SnapshotDamage::Missing);
    let opened = read(&*disk).unwrap();
    assert_eq!(opened.snapshots().count(), 2, "the log itself is none the worse");
    // Whole, with the right header, and other sections than META means.
    disk.put(name, &whole);
    let other = SnapshotRef { digest: snapshot.digest ^ 1, ..snapshot };
    let found = read_back(&view, &other);
    let is_digest =
        |it: &LogError| matches!(it, LogError::SnapshotDamaged { damage: SnapshotDamage::Digest, .. });
    assert!(matches!(found, Err(VisitError::Log(ref error)) if is_digest(error)));
}

#[test]
fn a_rotten_snapshot_is_the_one_that_goes() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    publish(&mut rig, 1).unwrap();
    publish(&mut rig, 2).unwrap();
    let mut view = read(&*disk).unwrap();
    view.distrust_snapshot(2);
    let options = crate::rig::options();
    let (writer, syncer) = horolog_wal::open_writer(disk.clone(), &view, &options, 0).unwrap();
    let mut rig = Rig { writer, syncer, ..rig };
    let (_, below) = publish(&mut rig, 3).unwrap();
    let view = read(&*disk).unwrap();
    assert_eq!(numbers(&view), [3, 1]);
    assert_eq!(below, view.snapshots().nth(1).unwrap().begin.next(), "all that the sound one needs is kept");
}

#[test]
fn an_error_of_the_file_ends_the_snapshot_and_not_the_log() {
    let faults = [
        Fault::Refused(Op::Create, Errno::Full),
        Fault::Refused(Op::Write, Errno::Full),
        Fault::Refused(Op::Write, Errno::Io),
        Fault::Refused(Op::Rename, Errno::Io),
    ];
    for fault in faults {
        for after in 0..4 {
            let disk = mem(1);
            let mut rig = Rig::new(disk.clone());
            publish(&mut rig, 1).unwrap();
            rig.commit();
            disk.inject(fault.clone(), Trigger::after(after));
            let made = sealed(&mut rig, 0, 2).and_then(|sealed| sealed.publish(Lsn(rig.acked)));
            disk.clear_faults();
            if made.is_err() {
                assert!(!rig.writer.is_poisoned(), "{fault:?} {after}");
                assert_eq!(numbers(&read(&*disk).unwrap()), [1], "{fault:?} {after}");
            }
            assert_eq!(
                made.is_err() as usize + files(&disk).len(),
                2,
                "{fault:?} {after}: {:?}",
                files(&disk)
            );
            publish(&mut rig, 3).unwrap();
        }
    }
}

/// A write that was reported and never happened is found before the snapshot counts.
#[test]
fn a_snapshot_that_is_not_on_the_medium_is_not_published() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    rig.commit();
    for lost in 0..4 {
        disk.inject(Fault::LostWrite, Trigger::after(lost));
        let refused = sealed(&mut rig, 0, 1).map(drop).unwrap_err();
        assert!(matches!(refused, LogError::SnapshotDamaged { .. }), "{lost}: {refused}");
        assert_eq!((rig.writer.is_poisoned(), files(&disk).len()), (false, 0));
        disk.clear_faults();
    }
}

/// A section is as large as its largest payload makes it, and whoever reads it back has other things to do.
#[test]
fn a_snapshot_is_read_back_a_mebibyte_at_a_time_however_large_its_sections_are() {
    const MEBIBYTE: usize = 1 << 20;
    let lens = [0, 5, MEBIBYTE, 3 * MEBIBYTE + 1, 7];
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    let written = |rig: &mut Rig| {
        let mut file = rig.writer.plan_snapshot(Lsn(0)).create().unwrap();
        for (at, len) in lens.iter().enumerate() {
            file.append(&mut vec![7; SnapshotFile::FRAME_LEN + len], at + 1 == lens.len()).unwrap();
        }
        file.finish(rig.writer.tail()).unwrap()
    };
    let unread = written(&mut rig);
    assert!(matches!(unread.into_sealed(), Err(LogError::Misuse(Misuse::NoSnapshot))), "nothing was read");
    let (mut unread, mut steps) = (written(&mut rig), Vec::new());
    disk.trace(true);
    while let read @ 1.. = unread.read_on().unwrap() {
        steps.push(read);
    }
    let reads = disk.take_trace();
    let reads: Vec<_> = reads.iter().filter(|line| line.op == Op::Read).collect();
    assert!(reads.len() > steps.len() && reads.iter().all(|line| line.len <= MEBIBYTE as u64), "{reads:?}");
    assert_eq!(steps.iter().sum::<u64>(), unread.into_sealed().unwrap().reference().bytes);
    // The first byte of the second step of the fourth section.
    let place = 4_096 + 4 * 32 + lens[..3].iter().sum::<usize>() as u64 + MEBIBYTE as u64;
    let mut unread = written(&mut rig);
    disk.flip("snap-0000000000000003.img.tmp", place, 1);
    let damaged = (0..steps.len()).find_map(|_| unread.read_on().err()).expect("it is noticed");
    let expected = SnapshotDamage::Body { offset: place - MEBIBYTE as u64 };
    assert!(matches!(damaged, LogError::SnapshotDamaged { damage, .. } if damage == expected), "{damaged}");
}

#[test]
fn a_snapshot_is_not_read_back_once_the_log_has_ended() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    let mut file = rig.writer.plan_snapshot(Lsn(0)).create().unwrap();
    file.append(&mut [0; 40], true).unwrap();
    let mut unread = file.finish(rig.writer.tail()).unwrap();
    rig.append().unwrap();
    disk.fail_next(Op::Sync, 0, Errno::Io);
    rig.syncer.sync().unwrap_err();
    assert!(matches!(unread.read_on(), Err(LogError::Poisoned)));
}

#[test]
fn a_failed_sync_of_the_directory_ends_the_log() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    rig.commit();
    let sealed = sealed(&mut rig, 0, 1).unwrap();
    disk.fail_next(Op::SyncDir, 0, Errno::Io);
    sealed.publish(Lsn(rig.acked)).unwrap_err();
    assert!(rig.writer.is_poisoned());
}

#[test]
fn a_snapshot_of_another_log_or_of_none_is_left_alone() {
    let (disk, other) = (mem(1), mem(2));
    let mut rig = Rig::new(other.clone());
    publish(&mut rig, 1).unwrap();
    let rig = Rig::new(disk.clone());
    disk.put("snap-0000000000000001.img", &other.bytes("snap-0000000000000001.img").unwrap());
    disk.put("snap-0000000000000007.img", b"not a snapshot");
    let mut rig = Rig::open(disk.clone(), rig.model, rig.acked, 1).unwrap();
    assert_eq!(files(&disk).len(), 2);
    assert_eq!(publish(&mut rig, 2).unwrap().0.id, 8, "no name is taken twice");
}

/// A snapshot without META is a log whose META was lost.
#[test]
fn a_directory_with_nothing_but_a_snapshot_is_refused() {
    let (disk, other) = (mem(1), mem(2));
    let mut rig = Rig::new(other.clone());
    publish(&mut rig, 1).unwrap();
    disk.put("snap-0000000000000001.img", &other.bytes("snap-0000000000000001.img").unwrap());
    assert!(matches!(read(&*disk), Err(LogError::MetaMissing { .. })));
}

#[test]
fn a_healed_log_keeps_its_snapshots() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    publish(&mut rig, 1).unwrap();
    publish(&mut rig, 2).unwrap();
    disk.fail_next(Op::Sync, 0, Errno::Io);
    rig.syncer.sync().unwrap_err();
    rig.syncer = rig.writer.heal(&mut [], Lsn(rig.acked), 0).unwrap();
    assert_eq!(numbers(&read(&*disk).unwrap()), [2, 1]);
    publish(&mut rig, 3).unwrap();
    assert_eq!(numbers(&read(&*disk).unwrap()), [3, 2]);
}

/// META would contradict itself, in all four slots.
#[test]
fn a_snapshot_out_of_its_turn_is_not_published() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    rig.commit();
    let (one, two) = (sealed(&mut rig, 0, 1).unwrap(), sealed(&mut rig, 1, 2).unwrap());
    two.publish(Lsn(rig.acked)).unwrap();
    let late = one.publish(Lsn(rig.acked)).unwrap_err();
    assert!(matches!(late, LogError::Misuse(Misuse::SnapshotOrder)), "{late}");
    let mut file = rig.writer.plan_snapshot(Lsn(rig.acked)).create().unwrap();
    file.append(&mut [0; 40], true).unwrap();
    let backwards = file.seal(Lsn(0)).unwrap().publish(Lsn(rig.acked)).unwrap_err();
    assert!(matches!(backwards, LogError::Misuse(Misuse::SnapshotOrder)), "{backwards}");
    assert_eq!((numbers(&read(&*disk).unwrap()), files(&disk).len()), (vec![2], 1));
    assert!(!rig.writer.is_poisoned());
}

#[test]
fn a_snapshot_whose_sync_failed_is_not_synced_again() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    rig.commit();
    let mut file = rig.writer.plan_snapshot(Lsn(0)).create().unwrap();
    disk.fail_next(Op::Sync, 0, Errno::Io);
    file.append(&mut vec![0; 5 << 20], false).unwrap_err();
    file.append(&mut [0; 40], true).unwrap_err();
    file.seal(rig.writer.tail()).unwrap_err();
    assert!(!rig.writer.is_poisoned() && files(&disk).is_empty());
}
