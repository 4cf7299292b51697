//! Each fault does what it says, when it is due, and to whom it is meant for.

use horolog_sim::{Effect, Errno, Fate, Fault, Pattern, SimDisk, SyncFailure, Trigger};
use horolog_storage::{Op, Storage, StorageError};

use crate::{names, open, read, synced};

type Act = fn(&SimDisk) -> Result<(), StorageError>;

fn found(disk: &SimDisk, fate: Fate) -> Vec<u8> {
    disk.check().unwrap();
    let after = disk.crash(&mut |_| fate);
    after.check().unwrap();
    after.bytes("a").unwrap()
}

#[test]
fn faults_come_when_they_are_due_and_a_full_disk_is_known_as_one() {
    let disk = synced(b"");
    let file = open(&disk);
    disk.fail_next(Op::Write, 3, Errno::Full);
    (0..3).for_each(|_| file.write_at(b"ab", 0).unwrap());
    assert!(file.write_at(b"cd", 2).unwrap_err().is_full());
    assert_eq!(disk.bytes("a").unwrap(), b"abc", "half of a failed write is there");
    file.write_at(b"cd", 2).unwrap();
}

#[test]
fn every_kind_of_operation_can_be_refused_and_is_not_done_then() {
    let does: [(Op, Act); 12] = [
        (Op::List, |disk| disk.list().map(drop)),
        (Op::Open, |disk| disk.open("a").map(drop)),
        (Op::Create, |disk| disk.create("b").map(drop)),
        (Op::Len, |disk| disk.open("a")?.len().map(drop)),
        (Op::Read, |disk| disk.open("a")?.contents().map(drop)),
        (Op::Write, |disk| disk.open("a")?.write_at(b"y", 0)),
        (Op::Sync, |disk| disk.open("a")?.sync()),
        (Op::Rename, |disk| disk.rename("a", "c")),
        (Op::Remove, |disk| disk.remove("a")),
        (Op::SyncDir, |disk| disk.sync_dir()),
        (Op::Lock, |disk| disk.lock().map(drop)),
        (Op::Entropy, |disk| disk.entropy(&mut [0; 8])),
    ];
    for (op, act) in does {
        let disk = synced(b"x");
        let before = (disk.image_hash(), disk.changes());
        disk.fail_next(op, 0, Errno::Io);
        match act(&disk) {
            Err(StorageError::Io { op: found, .. }) => assert_eq!(found, op),
            other => panic!("{op}: {other:?}"),
        }
        assert_eq!((disk.image_hash(), disk.changes()), before, "{op}");
        act(&disk).unwrap_or_else(|error| panic!("{op} once only: {error}"));
        disk.check().unwrap();
    }
}

#[test]
fn every_error_is_told_as_a_real_disk_tells_it() {
    use std::io::ErrorKind;
    let told = |errno| {
        let disk = synced(b"x");
        disk.fail_next(Op::Open, 0, errno);
        disk.open("a").unwrap_err()
    };
    assert!(matches!(told(Errno::NotFound), StorageError::NotFound { .. }), "the file was taken away");
    let kinds = [
        (Errno::Io, ErrorKind::Other),
        (Errno::Full, ErrorKind::StorageFull),
        (Errno::Quota, ErrorKind::QuotaExceeded),
        (Errno::TooLarge, ErrorKind::FileTooLarge),
        (Errno::TooManyOpen, ErrorKind::Other),
        (Errno::NoAccess, ErrorKind::PermissionDenied),
        (Errno::ReadOnly, ErrorKind::ReadOnlyFilesystem),
        (Errno::NoMemory, ErrorKind::OutOfMemory),
    ];
    for (errno, kind) in kinds {
        let StorageError::Io { source, .. } = told(errno) else { panic!("{errno:?}") };
        assert_eq!(source.kind(), kind);
    }
    assert!([Errno::Full, Errno::Quota, Errno::TooLarge].iter().all(|&errno| told(errno).is_full()));
    assert!([Errno::Io, Errno::ReadOnly, Errno::TooManyOpen].iter().all(|&errno| !told(errno).is_full()));
}

#[test]
fn a_fault_can_be_meant_for_some_names_and_for_more_than_one_time() {
    let disk = synced(b"x");
    let (a, b) = (open(&disk), disk.create("b.wal").unwrap());
    let refused = || Fault::Refused(Op::Write, Errno::Io);
    disk.inject(refused(), Trigger::after(1).times(2).on(Pattern::ends(".wal")));
    let tries: Vec<_> = (0..4).map(|_| (a.write_at(b"1", 0).is_ok(), b.write_at(b"1", 0).is_ok())).collect();
    assert_eq!(tries, [(true, true), (true, false), (true, false), (true, true)]);
    disk.inject(refused(), Trigger::after(0).for_ever().on(Pattern::is("a")));
    assert!((0..5).all(|_| a.write_at(b"1", 0).is_err()) && b.write_at(b"1", 0).is_ok());
    disk.inject(Fault::Refused(Op::Rename, Errno::Io), Trigger::after(0).on(Pattern::begins("c")));
    assert!(disk.rename("a", "c").is_err(), "a rename is on both of its names");
    disk.halt_after(0);
    disk.clear_faults();
    a.write_at(b"1", 0).unwrap();
}

#[test]
fn a_write_can_be_short_by_any_length() {
    for bytes in 0..=5 {
        let disk = synced(b"xxxx");
        disk.inject(Fault::ShortWrite { bytes, errno: Errno::Quota }, Trigger::after(0));
        assert!(open(&disk).write_at(b"abcd", 0).unwrap_err().is_full());
        let mut expected = *b"xxxx";
        let reached = usize::try_from(bytes.min(4)).unwrap();
        expected[..reached].copy_from_slice(&b"abcd"[..reached]);
        assert_eq!(disk.bytes("a").unwrap(), expected);
    }
}

#[test]
fn a_full_disk_takes_what_fits_keeps_what_it_has_and_may_get_room_again() {
    let disk = synced(&[1; 4096]);
    disk.set_capacity_bytes(Some(8192));
    let file = open(&disk);
    file.write_at(&[2; 4096], 0).unwrap();
    assert!(file.write_at(&[3; 5000], 4000).unwrap_err().is_full());
    assert_eq!(disk.files(), [("a".to_owned(), 8192)], "as much as there was room for");
    assert!(disk.create("b").unwrap_err().is_full());
    file.write_at(&[4; 8192], 0).unwrap();
    file.sync().unwrap();
    let later = disk.crash(&mut |_| Fate::Dropped);
    assert!(later.create("b").unwrap_err().is_full(), "it is the disk that is full");
    disk.set_capacity_bytes(Some(20_000));
    let other = disk.create("b").unwrap();
    assert!(other.write_at(&[1; 8193], 0).unwrap_err().is_full(), "whole blocks count");
    disk.remove("a").unwrap();
    drop(file);
    other.write_at(&[1; 16_384], 0).unwrap();
    assert_eq!(disk.used_bytes(), 16_384);
    disk.set_capacity_bytes(None);
    other.write_at(&[1; 50_000], 0).unwrap();
}

#[test]
fn a_block_that_is_taken_can_be_filled_on_a_full_disk() {
    let disk = synced(&[1; 100]);
    disk.set_capacity_bytes(Some(4096));
    open(&disk).write_at(&[2; 3996], 100).unwrap();
    assert!(open(&disk).write_at(&[2], 4096).unwrap_err().is_full());
}

#[test]
fn a_failed_sync_is_not_made_good_by_the_next_one() {
    let disk = synced(b"x");
    let file = open(&disk);
    file.write_at(b"y", 0).unwrap();
    disk.fail_next(Op::Sync, 0, Errno::Io);
    assert!(file.sync().is_err());
    file.sync().unwrap();
    assert_eq!(found(&disk, Fate::Dropped), b"x");
    assert_eq!(found(&disk, Fate::Applied), b"y", "it may have arrived all the same");
    assert_eq!(disk.bytes("a").unwrap(), b"y");
}

#[test]
fn a_sector_that_is_written_and_synced_after_a_failed_sync_is_durable() {
    let disk = synced(&[0; 1024]);
    let file = open(&disk);
    file.write_at(&[1; 1024], 0).unwrap();
    disk.inject(Fault::Sync(SyncFailure::MarkedClean), Trigger::after(0));
    assert!(file.sync().is_err());
    file.write_at(&[2; 512], 0).unwrap();
    file.sync().unwrap();
    assert_eq!(found(&disk, Fate::Dropped), [[2; 512], [0; 512]].concat());
    assert_eq!(found(&disk, Fate::Applied), [[2; 512], [1; 512]].concat(), "nothing older lies over it");
}

#[test]
fn a_file_that_grew_into_a_failed_sync_may_have_either_size() {
    let disk = synced(&[1; 512]);
    let file = open(&disk);
    file.write_at(&[2; 512], 512).unwrap();
    disk.fail_next(Op::Sync, 0, Errno::Io);
    assert!(file.sync().is_err());
    file.sync().unwrap();
    assert_eq!((found(&disk, Fate::Dropped).len(), found(&disk, Fate::Applied).len()), (512, 1024));
    file.write_at(&[3; 100], 600).unwrap();
    file.sync().unwrap();
    assert_eq!(found(&disk, Fate::Dropped), [&[1; 512][..], &[2; 88], &[3; 100], &[2; 324]].concat());
}

#[test]
fn after_a_failed_sync_the_pages_may_go_and_the_old_bytes_be_read() {
    let disk = synced(b"x");
    let file = open(&disk);
    file.write_at(b"y", 0).unwrap();
    disk.inject(Fault::Sync(SyncFailure::Evicted { after: 2 }), Trigger::after(0));
    assert!(file.sync().is_err());
    let reads: Vec<_> = (0..4).flat_map(|_| read(&*file, 0, 1)).collect();
    assert_eq!(reads, b"yyxx");
    assert_eq!(found(&disk, Fate::Applied), b"x", "what was read from the medium stays");
}

#[test]
fn pages_that_go_later_go_in_the_next_life_too() {
    let disk = synced(b"x");
    let file = open(&disk);
    file.write_at(b"y", 0).unwrap();
    disk.inject(Fault::Sync(SyncFailure::Evicted { after: 3 }), Trigger::after(0));
    assert!(file.sync().is_err());
    assert_eq!(read(&*file, 0, 1), b"y");
    for next in [disk.fork(), disk.process_kill()] {
        assert_eq!(next.list().unwrap(), ["a"]);
        let file = open(&next);
        assert_eq!(read(&*file, 0, 1), b"x");
    }
}

#[test]
fn clean_pages_can_be_dropped_at_any_time_and_dirty_ones_stay() {
    let disk = synced(&[0; 1024]);
    let file = open(&disk);
    file.write_at(&[1; 1024], 0).unwrap();
    disk.fail_next(Op::Sync, 0, Errno::Io);
    assert!(file.sync().is_err());
    file.write_at(&[2; 512], 512).unwrap();
    disk.drop_clean_pages();
    assert_eq!(disk.bytes("a").unwrap(), [[0; 512], [2; 512]].concat());
    assert_eq!(found(&disk, Fate::Applied), [[0; 512], [2; 512]].concat());
}

#[test]
fn a_failed_sync_may_be_told_by_the_next_one_only() {
    let disk = synced(b"x");
    let file = open(&disk);
    file.write_at(b"y", 0).unwrap();
    disk.inject(Fault::Sync(SyncFailure::ToldByTheNext), Trigger::after(0));
    let before = disk.changes();
    file.sync().unwrap();
    assert_eq!((found(&disk, Fate::Dropped), disk.changes()), (b"x".to_vec(), before + 1));
    assert!(disk.process_kill().open("a").unwrap().sync().is_err(), "whoever asks next");
    assert!(file.sync().is_err());
    file.sync().unwrap();
    assert_eq!(found(&disk, Fate::Dropped), b"x");
}

#[test]
fn a_failed_sync_may_take_the_new_bytes_out_of_sight_at_once() {
    let disk = synced(b"x");
    let file = open(&disk);
    file.write_at(b"y", 0).unwrap();
    disk.inject(Fault::Sync(SyncFailure::Reverted), Trigger::after(0));
    assert!(file.sync().is_err());
    assert_eq!(read(&*file, 0, 1), b"x");
    assert_eq!(found(&disk, Fate::Applied), b"x");
}

#[test]
fn names_caught_by_a_failed_sync_of_the_directory_stay_in_doubt() {
    let disk = synced(b"x");
    disk.create("b").unwrap();
    disk.rename("a", "c").unwrap();
    disk.fail_next(Op::SyncDir, 0, Errno::Io);
    assert!(disk.sync_dir().is_err());
    disk.create("d").unwrap();
    disk.sync_dir().unwrap();
    disk.check().unwrap();
    assert_eq!(names(&disk.crash(&mut |_| Fate::Dropped)), ["a", "d"]);
    assert_eq!(names(&disk.crash(&mut |_| Fate::Applied)), ["b", "c", "d"]);
    disk.remove("c").unwrap();
    disk.sync_dir().unwrap();
    disk.check().unwrap();
    assert_eq!(names(&disk.crash(&mut |_| Fate::Dropped)), ["d"], "what became of `c` is durable");
}

#[test]
fn an_unreadable_sector_gives_an_error_with_its_place_until_it_is_written_over() {
    let disk = synced(&[1; 2048]);
    let file = open(&disk);
    disk.make_unreadable("a", 600..601);
    let failed = |outcome: Result<(), StorageError>| match outcome {
        Err(StorageError::Io { op: Op::Read, offset, .. }) => offset,
        other => panic!("{other:?}"),
    };
    assert_eq!(failed(file.read_at(&mut [0; 200], 700)), Some(700));
    assert_eq!(failed(file.read_whole().map(drop)), Some(512));
    assert_eq!(read(&*file, 1024, 100), [1; 100], "the others can be read");
    assert!(file.write_at(&[2; 10], 600).is_err(), "the rest of the sector cannot be kept");
    file.write_at(&[2; 512], 512).unwrap();
    assert_eq!(read(&*file, 512, 512), [2; 512]);
    disk.check().unwrap();
    let lost = disk.crash(&mut |_| Fate::Dropped);
    assert!(open(&lost).read_whole().is_err(), "what was written over it was lost");
    assert!(open(&disk.crash(&mut |_| Fate::Applied)).read_whole().is_ok());
    file.sync().unwrap();
    assert!(open(&disk.crash(&mut |_| Fate::Dropped)).read_whole().is_ok());
}

#[test]
fn an_unreadable_sector_is_healed_by_the_sync_that_gets_through_and_no_other() {
    let disk = synced(&[1; 1024]);
    let file = open(&disk);
    disk.make_unreadable("a", 0..1024);
    file.write_at(&[2; 1024], 0).unwrap();
    disk.inject(Fault::Sync(SyncFailure::Evicted { after: 100 }), Trigger::after(0));
    assert!(file.sync().is_err());
    file.write_at(&[3; 512], 0).unwrap();
    file.sync().unwrap();
    assert_eq!(read(&*file, 0, 1024), [[3; 512], [2; 512]].concat());
    disk.drop_clean_pages();
    disk.check().unwrap();
    for disk in [&disk, &disk.crash(&mut |_| Fate::Dropped)] {
        assert_eq!(read(&*open(disk), 0, 512), [3; 512]);
        assert!(open(disk).read_at(&mut [0; 512], 512).is_err());
    }
}

#[test]
fn what_waits_to_be_written_can_be_read_whatever_becomes_of_the_medium() {
    let disk = synced(&[1; 512]);
    let file = open(&disk);
    file.write_at(&[2; 512], 0).unwrap();
    disk.make_unreadable("a", 0..512);
    assert_eq!(read(&*file, 0, 512), [2; 512]);
    assert!(open(&disk.crash(&mut |_| Fate::Dropped)).read_whole().is_err());
    file.sync().unwrap();
    disk.check().unwrap();
    assert_eq!(read(&*open(&disk.crash(&mut |_| Fate::Dropped)), 0, 512), [2; 512]);
}

#[test]
fn the_end_of_a_file_can_be_written_over_when_it_is_unreadable() {
    let disk = synced(&[1; 600]);
    disk.make_unreadable("a", 512..600);
    open(&disk).write_at(&[2; 88], 512).unwrap();
    assert_eq!(read(&*open(&disk), 512, 88), [2; 88]);
}

#[test]
fn a_lost_write_is_reported_and_never_happens() {
    let disk = synced(b"xx");
    let file = open(&disk);
    disk.inject(Fault::LostWrite, Trigger::after(1));
    file.write_at(b"a", 0).unwrap();
    file.write_at(b"bcd", 1).unwrap();
    file.sync().unwrap();
    assert_eq!(disk.bytes("a").unwrap(), b"ax\0\0", "the size is the file system's, and right");
    assert_eq!(found(&disk, Fate::Applied), b"ax\0\0");
}

#[test]
fn a_misdirected_write_arrives_elsewhere_and_not_where_it_belongs() {
    let disk = synced(&[1; 1024]);
    disk.put("b", &[2; 1024]);
    let file = open(&disk);
    let (name, offset) = ("b".to_owned(), 100);
    disk.inject(Fault::MisdirectedWrite { name, offset }, Trigger::after(0));
    file.write_at(&[3; 50], 0).unwrap();
    assert_eq!(disk.bytes("a").unwrap(), [1; 1024]);
    assert_eq!(disk.bytes("b").unwrap()[100..150], [3; 50]);
    let (name, offset) = ("a".to_owned(), 512);
    disk.inject(Fault::MisdirectedWrite { name, offset }, Trigger::after(0));
    file.write_at(&[4; 512], 0).unwrap();
    assert_eq!(disk.bytes("a").unwrap(), [[1; 512], [4; 512]].concat(), "or within the file");
    disk.inject(Fault::MisdirectedWrite { name: "gone".to_owned(), offset: 0 }, Trigger::after(0));
    file.write_at(&[5; 512], 0).unwrap();
    assert_eq!(disk.bytes("a").unwrap(), [[1; 512], [4; 512]].concat());
    disk.check().unwrap();
}

#[test]
fn a_misdirected_read_gives_the_bytes_of_another_place() {
    let disk = synced(&[1; 10]);
    disk.put("b", &[2; 4]);
    let file = open(&disk);
    let elsewhere = |name: &str| Fault::MisdirectedRead { name: name.to_owned(), offset: 2 };
    disk.inject(elsewhere("b"), Trigger::after(1));
    assert_eq!(read(&*file, 0, 4), [1; 4]);
    assert_eq!(read(&*file, 0, 4), [2, 2, 0, 0]);
    disk.inject(elsewhere("gone"), Trigger::after(0));
    assert_eq!(&*file.contents().unwrap(), [0; 10], "as long as it should be");
}

#[test]
fn a_stale_read_gives_what_the_medium_held_before_the_last_sync() {
    let disk = synced(b"1");
    let file = open(&disk);
    file.write_at(b"2", 0).unwrap();
    file.sync().unwrap();
    file.write_at(b"3", 0).unwrap();
    disk.inject(Fault::StaleRead, Trigger::after(0));
    assert_eq!((read(&*file, 0, 1), read(&*file, 0, 1)), (b"1".to_vec(), b"3".to_vec()));
}

#[test]
fn a_file_that_is_read_whole_may_not_fit_into_memory() {
    let disk = synced(&[1; 1000]);
    disk.fail_next(Op::Read, 0, Errno::NoMemory);
    assert!(matches!(open(&disk).contents(), Err(StorageError::OutOfMemory { bytes: 1000, .. })));
    assert!(open(&disk).read_whole().is_ok());
}

#[test]
fn another_process_holds_the_lock_until_it_lets_go() {
    let disk = SimDisk::new(1);
    disk.lock_elsewhere(77, Some(8));
    assert!(matches!(disk.lock(), Err(StorageError::Locked { pid: Some(77), host: Some(_), .. })));
    let guard = disk.lock().unwrap();
    assert!(matches!(disk.lock(), Err(StorageError::Locked { pid, .. }) if pid == Some(std::process::id())));
    drop(guard);
    disk.lock_elsewhere(77, None);
    assert!((0..50).all(|_| disk.lock().is_err()));
    drop(disk.process_kill().lock().unwrap());
}

#[test]
fn a_halted_machine_changes_nothing_any_more() {
    let disk = synced(b"");
    disk.halt_after(1);
    let file = open(&disk);
    file.write_at(b"x", 0).unwrap();
    assert!(file.write_at(b"y", 0).is_err() && file.sync().is_err() && disk.create("b").is_err());
    assert!(disk.rename("a", "b").is_err() && disk.remove("a").is_err() && disk.sync_dir().is_err());
    assert_eq!(disk.process_kill().bytes("a").unwrap(), b"x");
    assert!(disk.lock().is_ok() && names(&disk) == ["a"], "not even the name of the lock");
    assert_eq!(read(&*file, 0, 1), b"x", "reading goes on");
}

#[test]
fn a_fork_meets_the_faults_that_are_on_order_and_a_next_life_does_not() {
    let disk = synced(b"");
    disk.fail_next(Op::Open, 0, Errno::Io);
    disk.halt_after(0);
    let fork = disk.fork();
    assert!(fork.open("a").is_err() && fork.create("b").is_err());
    for next in [disk.process_kill(), disk.crash(&mut |_| Fate::Dropped)] {
        assert!(next.open("a").is_ok() && next.create("b").is_ok());
    }
}

#[test]
fn no_file_may_grow_beyond_what_a_disk_can_hold() {
    let disk = synced(b"");
    let refused = open(&disk).write_at(b"x", u64::MAX).unwrap_err();
    assert!(matches!(&refused, StorageError::Io { source, .. }
        if source.kind() == std::io::ErrorKind::FileTooLarge));
    let short = open(&disk).read_at(&mut [0; 2], u64::MAX).unwrap_err();
    assert!(matches!(short, StorageError::ShortRead { len: 0, .. }));
}

/// Found by the simulation: a byte beyond the medium's end was flipped on a device that had nothing there.
#[test]
fn a_flip_of_what_was_never_handed_over_leaves_the_device_as_it_is() {
    let disk = SimDisk::new(1);
    let file = disk.create("a").unwrap();
    file.write_at(&[7; 2048], 0).unwrap();
    for offset in [0, 700, 2047] {
        assert!(disk.flip("a", offset, 1));
        disk.check().unwrap();
    }
    disk.write_back(&mut |_| true);
    assert!(disk.flip("a", 700, 2));
    disk.check().unwrap();
    file.sync().unwrap();
    assert_eq!(disk.medium_bytes("a").unwrap()[700], 7 ^ 1 ^ 2);
    disk.check().unwrap();
}

/// How often an effect was met.
fn met(disk: &SimDisk, effect: Effect) -> u64 {
    disk.effects().iter().find(|(met, _)| *met == effect).map_or(0, |(_, times)| *times)
}

#[test]
fn an_effect_counts_when_it_shows_and_not_when_it_was_ordered() {
    let disk = synced(b"old");
    let file = open(&disk);
    disk.inject(Fault::LostWrite, Trigger::after(0).times(2));
    disk.inject(Fault::StaleRead, Trigger::after(0).times(2));
    disk.fail_next(Op::Sync, 5, Errno::Io);
    assert_eq!(disk.effects(), []);
    file.write_at(b"old", 0).unwrap();
    assert_eq!(disk.effects(), [], "what is lost is there anyway");
    file.write_at(b"new", 0).unwrap();
    assert_eq!(met(&disk, Effect::LostWrite), 1);
    file.write_at(b"new", 0).unwrap();
    assert_eq!(read(&*file, 0, 3), b"\0\0\0", "the file was empty before its sync");
    for _ in 0..2 {
        file.sync().unwrap();
        file.write_at(b"new", 0).unwrap();
    }
    file.sync().unwrap();
    assert_eq!(read(&*file, 0, 3), b"new");
    assert_eq!(met(&disk, Effect::StaleRead), 1, "the second one gives what is there");
    assert_eq!(met(&disk, Effect::MarkedClean), 0, "not yet due");
}

#[test]
fn what_a_crash_took_counts_if_it_shows_also_on_the_disks_that_come_of_it() {
    let disk = synced(&[1; 1024]);
    let file = open(&disk);
    file.write_at(&[1; 512], 0).unwrap();
    drop(disk.crash(&mut |_| Fate::Dropped));
    assert_eq!(disk.effects(), [], "the same bytes as on the medium");
    file.write_at(&[2; 1024], 0).unwrap();
    drop(disk.crash(&mut |_| Fate::Dropped));
    assert_eq!(disk.effects(), [(Effect::AllLost, 1)]);
    let mut turn = 0;
    let after = disk.crash(&mut |_| {
        turn += 1;
        [Fate::Dropped, Fate::Dropped, Fate::Torn { bytes: 100 }][turn - 1]
    });
    assert_eq!((met(&after, Effect::Torn), met(&after, Effect::Reordered)), (1, 1));
    let fork = after.fork();
    fork.set_capacity_bytes(Some(0));
    fork.create("b").unwrap_err();
    assert_eq!(met(&disk, Effect::NoRoom), 1, "all of one family count together");
}
