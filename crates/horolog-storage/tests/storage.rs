//! Both backends keep the same promises; the names say which.

#![cfg(test)]

use std::sync::Arc;

use horolog_storage::{Fault, File, MemStorage, Op, OsStorage, Storage, StorageError};

/// Runs a test over a real directory and over one in memory.
fn both(test: impl Fn(Arc<dyn Storage>)) {
    let dir = tempfile::tempdir().unwrap();
    test(Arc::new(OsStorage::open_or_create(dir.path().join("a/b")).unwrap()));
    test(Arc::new(MemStorage::new(1)));
}

fn read(file: &dyn File, offset: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    file.read_at(&mut bytes, offset).unwrap();
    bytes
}

#[test]
fn what_is_written_is_read_and_a_gap_is_zero() {
    both(|storage| {
        let file = storage.create("a").unwrap();
        file.write_at(b"xyz", 5).unwrap();
        assert_eq!(read(&*file, 0, 8), b"\0\0\0\0\0xyz");
        assert_eq!(file.len().unwrap(), 8);
        file.sync().unwrap();
        assert_eq!(&*file.contents().unwrap(), b"\0\0\0\0\0xyz");
    });
}

#[test]
fn the_contents_of_an_empty_file_are_empty() {
    both(|storage| assert!(storage.create("a").unwrap().contents().unwrap().is_empty()));
}

#[test]
fn names_are_listed_in_order_and_follow_renames_and_removals() {
    both(|storage| {
        for name in ["b", "a", "c"] {
            storage.create(name).unwrap();
        }
        storage.rename("b", "d").unwrap();
        storage.remove("c").unwrap();
        storage.sync_dir().unwrap();
        assert_eq!(storage.list().unwrap(), ["a", "d"]);
    });
}

#[test]
fn create_is_exclusive_and_open_wants_a_file() {
    both(|storage| {
        storage.create("a").unwrap();
        assert!(matches!(storage.create("a"), Err(StorageError::Exists { .. })));
        assert!(matches!(storage.open("b"), Err(StorageError::NotFound { .. })));
        assert!(matches!(storage.open_read_only("b"), Err(StorageError::NotFound { .. })));
        assert!(matches!(storage.remove("b"), Err(StorageError::NotFound { .. })));
    });
}

#[test]
fn a_name_that_leads_elsewhere_is_refused() {
    both(|storage| {
        for name in ["", ".", "..", "a/b", "/a", "../a"] {
            assert!(matches!(storage.create(name), Err(StorageError::BadName { .. })), "{name:?}");
        }
    });
}

#[test]
fn a_read_beyond_the_end_says_how_long_the_file_is() {
    both(|storage| {
        let file = storage.create("a").unwrap();
        file.write_at(b"1234", 0).unwrap();
        match file.read_at(&mut [0; 4], 2) {
            Err(StorageError::ShortRead { offset: 2, wanted: 4, len: 4, .. }) => {}
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_read_only_file_cannot_be_written() {
    both(|storage| {
        storage.create("a").unwrap();
        assert!(storage.open_read_only("a").unwrap().write_at(b"x", 0).is_err());
    });
}

#[test]
fn a_second_locker_learns_who_holds_it_and_the_lock_is_free_after_a_drop() {
    both(|storage| {
        let guard = storage.lock().unwrap();
        match storage.lock() {
            Err(StorageError::Locked { pid, host, .. }) => {
                assert_eq!(pid, Some(std::process::id()));
                assert!(host.is_some());
            }
            other => panic!("{other:?}"),
        }
        drop(guard);
        drop(storage.lock().unwrap());
        assert_eq!(storage.list().unwrap(), ["LOCK"]);
    });
}

#[test]
fn entropy_differs_each_time() {
    both(|storage| {
        let mut numbers = [[0; 16]; 2];
        numbers.iter_mut().for_each(|bytes| storage.entropy(bytes).unwrap());
        assert_ne!(numbers[0], numbers[1]);
    });
}

#[test]
fn a_file_is_not_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let storage = OsStorage::open_existing(dir.path()).unwrap();
    storage.create("a").unwrap();
    assert!(OsStorage::open_existing(dir.path().join("a")).is_err());
    assert!(matches!(OsStorage::open_existing(dir.path().join("b")), Err(StorageError::NotFound { .. })));
}

fn synced(bytes: &[u8]) -> MemStorage {
    let disk = MemStorage::new(7);
    let file = disk.create("a").unwrap();
    file.write_at(bytes, 0).unwrap();
    file.sync().unwrap();
    disk.sync_dir().unwrap();
    disk
}

#[test]
fn a_power_cut_keeps_any_subset_of_unsynced_sectors() {
    let disk = synced(&[1; 2048]);
    disk.open("a").unwrap().write_at(&[2; 1024], 256).unwrap();
    for subset in 0..8 {
        let mut asked = 0;
        let after = disk.power_cut(&mut || {
            asked += 1;
            subset & (1 << (asked - 1)) != 0
        });
        assert_eq!(asked, 3, "three sectors are touched");
        let bytes = after.bytes("a").unwrap();
        let expected =
            |at: usize| if subset & (1 << (at / 512)) != 0 && (256..1280).contains(&at) { 2 } else { 1 };
        assert!(bytes.iter().enumerate().all(|(at, &byte)| byte == expected(at)), "{subset}");
    }
}

#[test]
fn a_new_file_without_a_synced_directory_may_be_gone_however_synced_its_bytes_are() {
    let disk = MemStorage::new(7);
    let file = disk.create("a").unwrap();
    file.write_at(b"x", 0).unwrap();
    file.sync().unwrap();
    assert!(disk.power_cut(&mut || false).files().is_empty());
    assert_eq!(disk.power_cut(&mut || true).bytes("a").unwrap(), b"x");
}

#[test]
fn a_rename_is_found_done_undone_or_with_both_names() {
    let disk = synced(b"x");
    disk.rename("a", "b").unwrap();
    let names = |answers: &[bool]| {
        let mut answers = answers.iter().copied();
        let after = disk.power_cut(&mut || answers.next().unwrap());
        after.files().into_iter().map(|(name, _)| name).collect::<String>()
    };
    assert_eq!(names(&[false]), "a");
    assert_eq!(names(&[true, true]), "b");
    assert_eq!(names(&[true, false]), "ab");
}

#[test]
fn a_process_kill_keeps_what_was_written_and_does_not_make_it_durable() {
    let disk = synced(b"x");
    disk.open("a").unwrap().write_at(b"y", 0).unwrap();
    let after = disk.process_kill();
    assert_eq!(after.bytes("a").unwrap(), b"y");
    assert_eq!(after.power_cut(&mut || false).bytes("a").unwrap(), b"x");
}

#[test]
fn a_failed_sync_is_not_made_good_by_the_next_one() {
    let disk = synced(b"x");
    let file = disk.open("a").unwrap();
    file.write_at(b"y", 0).unwrap();
    disk.fail_next(Op::Sync, 0, Fault::Io);
    assert!(file.sync().is_err());
    file.sync().unwrap();
    assert_eq!(disk.power_cut(&mut || false).bytes("a").unwrap(), b"x");
    assert_eq!(disk.bytes("a").unwrap(), b"y");
}

#[test]
fn faults_come_when_they_are_due_and_a_full_disk_is_known_as_one() {
    let disk = synced(b"");
    let file = disk.open("a").unwrap();
    disk.fail_next(Op::Write, 1, Fault::Full);
    file.write_at(b"ab", 0).unwrap();
    assert!(file.write_at(b"cd", 2).unwrap_err().is_full());
    assert_eq!(disk.bytes("a").unwrap(), b"abc", "half of a failed write is there");
    file.write_at(b"cd", 2).unwrap();
}

#[test]
fn a_halted_machine_changes_nothing_any_more() {
    let disk = synced(b"");
    disk.halt_after(1);
    let file = disk.open("a").unwrap();
    file.write_at(b"x", 0).unwrap();
    assert!(file.write_at(b"y", 0).is_err() && file.sync().is_err() && disk.create("b").is_err());
    assert_eq!(disk.process_kill().bytes("a").unwrap(), b"x");
}
