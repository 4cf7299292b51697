//! The real directory and the simulated disk keep the same promises; the names say which.

#![cfg(test)]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[cfg(target_os = "linux")]
mod fork;

use horolog_sim::SimDisk;
use horolog_storage::{File, OsStorage, Storage, StorageError, lies_in};

/// Runs a test over a real directory and over a simulated disk.
fn both(test: impl Fn(Arc<dyn Storage>)) {
    let dir = tempfile::tempdir().unwrap();
    test(Arc::new(OsStorage::open_or_create(dir.path().join("a/b")).unwrap()));
    test(Arc::new(SimDisk::new(1)));
}

/// For tests of locks that come free: a forked child that waits has every lock of this program open as long as it lives.
fn locking() -> MutexGuard<'static, ()> {
    static LOCKING: Mutex<()> = Mutex::new(());
    LOCKING.lock().unwrap_or_else(PoisonError::into_inner)
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
    let _nobody_forks = locking();
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

#[cfg(unix)]
#[test]
fn a_directory_knows_what_lies_in_it_through_links_and_before_it_is_there() {
    let dir = tempfile::tempdir().expect("a directory");
    let (ours, theirs) = (dir.path().join("ours"), dir.path().join("ours and more"));
    OsStorage::open_or_create(&ours).expect("made");
    OsStorage::open_or_create(&theirs).expect("made");
    let holds = |path: &std::path::Path| lies_in(path, &ours).expect("it can be known");
    for inside in [ours.clone(), ours.join("a/b/c"), theirs.join("../ours/a")] {
        assert!(holds(&inside), "{}", inside.display());
    }
    for outside in [theirs.clone(), theirs.join("a/b"), dir.path().to_owned(), ours.join("../c")] {
        assert!(!holds(&outside), "{}", outside.display());
    }
    link(&ours, &dir.path().join("link"));
    assert!(holds(&dir.path().join("link/a")));
}

#[cfg(unix)]
#[expect(clippy::disallowed_methods, reason = "a link as a user makes it")]
fn link(to: &std::path::Path, name: &std::path::Path) {
    std::os::unix::fs::symlink(to, name).expect("linked");
}

/// A daemon changes its working directory; an operator moves a directory away and makes a new one. Whoever has the lock of
/// the old one must not touch the new one.
#[cfg(unix)]
#[expect(clippy::disallowed_methods, reason = "an operator's hands")]
#[test]
fn a_directory_stays_the_one_that_was_opened_when_another_takes_its_path() {
    let dir = tempfile::tempdir().expect("a directory");
    let (path, moved) = (dir.path().join("timers"), dir.path().join("moved"));
    let old = OsStorage::open_or_create(&path).expect("made");
    let _lock = old.lock().expect("free");
    old.create("a").expect("created");
    std::fs::rename(&path, &moved).expect("moved away");
    let new = OsStorage::open_or_create(&path).expect("made anew");
    let _other = new.lock().expect("another directory has another lock");
    for name in ["a", "b"] {
        new.create(name).expect("created");
    }
    old.create("c").expect("created");
    old.rename("a", "d").expect("its own");
    old.sync_dir().expect("synced");
    assert!(matches!(old.remove("b"), Err(StorageError::NotFound { .. })), "that is the other one's");
    assert_eq!(new.list().expect("listed"), ["LOCK", "a", "b"]);
    assert_eq!(old.list().expect("listed"), ["LOCK", "c", "d"]);
    assert_eq!(
        OsStorage::open_existing(&moved).and_then(|it| it.list()).expect("listed"),
        ["LOCK", "c", "d"]
    );
}
