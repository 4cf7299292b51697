//! A real child of this process.
#![expect(unsafe_code, reason = "there is no safe way to fork")]

use horolog_storage::{Op, OsStorage, Storage, StorageError};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

unsafe extern "C" {
    fn fork() -> i32;
    fn _exit(status: i32) -> !;
    fn waitpid(pid: i32, status: *mut i32, options: i32) -> i32;
    fn signal(number: i32, action: usize) -> usize;
}

/// Runs `child` in a forked process; says whether it said yes.
fn in_a_child(child: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child calls `child`, which allocates and makes system calls, and ends without unwinding or running
    // destructors; the allocator of this platform may be used after a fork.
    let pid = unsafe { fork() };
    assert!(pid >= 0, "the system has room for a process");
    if pid == 0 {
        let status = i32::from(!child());
        // SAFETY: it ends the child and touches nothing.
        unsafe { _exit(status) }
    }
    let mut status = 0;
    // SAFETY: `pid` is a child of this process, and `status` is a place for a number.
    let ended = unsafe { waitpid(pid, &raw mut status, 0) };
    assert_eq!(ended, pid);
    status == 0
}

/// From now on no file of this process may grow beyond so many bytes; a write that tries is refused, and the process not ended.
fn limit_files(bytes: Option<u64>) {
    const IGNORED: usize = 1;
    // SAFETY: it is said what becomes of a signal, and no code of ours is to run.
    unsafe { signal(Signal::XFSZ.as_raw(), IGNORED) };
    let limits = Rlimit { current: bytes, ..getrlimit(Resource::Fsize) };
    setrlimit(Resource::Fsize, limits).unwrap();
}

/// A kernel's own short write: the limit cuts it, and only the next call is refused.
#[test]
fn a_write_that_is_cut_short_goes_on_where_it_was_cut_and_is_refused_there() {
    let dir = tempfile::tempdir().unwrap();
    assert!(in_a_child(|| {
        let storage = OsStorage::open_existing(dir.path()).unwrap();
        let file = storage.create("a").unwrap();
        limit_files(Some(10_000));
        let refused = file.write_at(&[7; 20_000], 100).unwrap_err();
        let cut_at_the_limit =
            matches!(refused, StorageError::Io { op: Op::Write, offset: Some(10_000), .. });
        let is_whole_up_to_there = file.read_whole().unwrap()[100..] == [7; 9_900];
        limit_files(None);
        file.write_at(&[8; 20_000], 100).unwrap();
        refused.is_full() && cut_at_the_limit && is_whole_up_to_there && file.len().unwrap() == 20_100
    }));
}

#[test]
fn a_forked_child_may_read_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let storage = OsStorage::open_or_create(dir.path()).unwrap();
    let lock = storage.lock().unwrap();
    let file = storage.create("a").unwrap();
    file.write_at(b"parent", 0).unwrap();
    file.sync().unwrap();
    let refused = |result: Result<(), StorageError>| matches!(result, Err(StorageError::Forked { .. }));
    assert!(in_a_child(|| {
        let mut bytes = [0; 6];
        refused(file.write_at(b"child!", 0))
            && refused(file.sync())
            && refused(storage.create("b").map(drop))
            && refused(storage.rename("a", "b"))
            && refused(storage.remove("a"))
            && refused(storage.sync_dir())
            && refused(storage.lock().map(drop))
            && file.read_at(&mut bytes, 0).is_ok()
            && bytes == *b"parent"
    }));
    assert_eq!(storage.list().unwrap(), ["LOCK", "a"]);
    file.write_at(b"go on ", 0).unwrap();
    // The child that ended has not given the lock back.
    assert!(matches!(storage.lock(), Err(StorageError::Locked { .. })));
    drop(lock);
}

/// What an opening does first. The child has the parent's lock open as well, which is not its own.
#[test]
fn a_forked_child_that_opens_the_directory_for_itself_is_told_that_its_parent_has_it() {
    let _nobody_else_locks = super::locking();
    let dir = tempfile::tempdir().unwrap();
    let storage = OsStorage::open_or_create(dir.path()).unwrap();
    let lock = storage.lock().unwrap();
    let text = || storage.open_read_only("LOCK").unwrap().read_whole().unwrap();
    let (parent, before) = (std::process::id(), text());
    assert!(in_a_child(|| {
        let own = OsStorage::open_existing(dir.path()).unwrap();
        matches!(own.lock(), Err(StorageError::Locked { pid: Some(pid), .. }) if pid == parent)
    }));
    assert_eq!((storage.list().unwrap(), text()), (vec!["LOCK".to_owned()], before));
    drop(lock);
    assert!(in_a_child(|| OsStorage::open_existing(dir.path()).unwrap().lock().is_ok()), "it is free again");
}

/// Memory that is not there, whatever the machine has: no more address space than this.
#[test]
fn a_file_that_does_not_fit_into_memory_is_refused_with_its_length_whether_it_is_mapped_or_read() {
    const LEN: u64 = 16 << 30;
    let dir = tempfile::tempdir().unwrap();
    let storage = OsStorage::open_or_create(dir.path()).unwrap();
    // A hole, which takes no room on the disk.
    storage.create("a").unwrap().write_at(b"x", LEN - 1).unwrap();
    assert!(in_a_child(|| {
        let limits = Rlimit { current: Some(LEN / 2), ..getrlimit(Resource::As) };
        setrlimit(Resource::As, limits).unwrap();
        let file = storage.open_read_only("a").unwrap();
        let refused = |error| match error {
            StorageError::OutOfMemory { path, bytes } => path == dir.path().join("a") && bytes == LEN,
            _ => false,
        };
        refused(file.read_whole().unwrap_err())
            && refused(file.contents().unwrap_err())
            && file.read_at(&mut [0; 8], LEN - 8).is_ok()
    }));
}
