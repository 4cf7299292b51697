//! A real child of this process.
#![expect(unsafe_code, reason = "there is no safe way to fork")]

use horolog_storage::{OsStorage, Storage, StorageError};

unsafe extern "C" {
    fn fork() -> i32;
    fn _exit(status: i32) -> !;
    fn waitpid(pid: i32, status: *mut i32, options: i32) -> i32;
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
            && file.read_at(&mut bytes, 0).is_ok()
            && bytes == *b"parent"
    }));
    assert_eq!(storage.list().unwrap(), ["LOCK", "a"]);
    file.write_at(b"go on ", 0).unwrap();
    // The child that ended has not given the lock back.
    assert!(matches!(storage.lock(), Err(StorageError::Locked { .. })));
    drop(lock);
}
