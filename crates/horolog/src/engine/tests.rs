//! An engine on a disk whose syncs do not return until they are let.

use std::sync::{Condvar, Mutex};

use horolog_storage::{Contents, File};

use super::*;

/// Syncs wait here while it is shut.
#[derive(Debug, Default)]
struct Barrier {
    state: Mutex<(bool, usize)>,
    changed: Condvar,
}

impl Barrier {
    fn set_shut(&self, is_shut: bool) {
        self.state.lock().expect("no panic").0 = is_shut;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let mut state = self.state.lock().expect("no panic");
        state.1 += 1;
        self.changed.notify_all();
        let mut state = self.changed.wait_while(state, |(is_shut, _)| *is_shut).expect("no panic");
        state.1 -= 1;
    }

    /// Waits until somebody waits here.
    fn wait_for_one(&self) {
        let state = self.state.lock().expect("no panic");
        drop(self.changed.wait_while(state, |(_, waiting)| *waiting == 0).expect("no panic"));
    }
}

#[derive(Debug)]
struct SlowStorage {
    inner: OsStorage,
    barrier: Arc<Barrier>,
}

#[derive(Debug)]
struct SlowFile {
    inner: Arc<dyn File>,
    barrier: Arc<Barrier>,
}

impl SlowStorage {
    fn slow(&self, inner: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(SlowFile { inner, barrier: Arc::clone(&self.barrier) })
    }
}

impl Storage for SlowStorage {
    fn list(&self) -> Result<Vec<String>, StorageError> {
        self.inner.list()
    }

    fn open(&self, name: &str) -> Result<Arc<dyn File>, StorageError> {
        self.inner.open(name).map(|file| self.slow(file))
    }

    fn open_read_only(&self, name: &str) -> Result<Arc<dyn File>, StorageError> {
        self.inner.open_read_only(name)
    }

    fn create(&self, name: &str) -> Result<Arc<dyn File>, StorageError> {
        self.inner.create(name).map(|file| self.slow(file))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), StorageError> {
        self.inner.rename(from, to)
    }

    fn remove(&self, name: &str) -> Result<(), StorageError> {
        self.inner.remove(name)
    }

    fn sync_dir(&self) -> Result<(), StorageError> {
        self.inner.sync_dir()
    }

    fn lock(&self) -> Result<Box<dyn LockGuard>, StorageError> {
        self.inner.lock()
    }

    fn entropy(&self, bytes: &mut [u8]) -> Result<(), StorageError> {
        self.inner.entropy(bytes)
    }

    fn path(&self) -> &Path {
        self.inner.path()
    }
}

impl File for SlowFile {
    fn len(&self) -> Result<u64, StorageError> {
        self.inner.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), StorageError> {
        self.inner.read_at(buf, offset)
    }

    fn read_whole(&self) -> Result<Vec<u8>, StorageError> {
        self.inner.read_whole()
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), StorageError> {
        self.inner.write_at(bytes, offset)
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.barrier.pass();
        self.inner.sync()
    }

    fn evict(&self) {
        self.inner.evict();
    }

    fn contents(&self) -> Result<Contents, StorageError> {
        self.inner.contents()
    }
}

#[test]
fn timers_are_handed_out_while_a_sync_does_not_return() {
    const LONG: Duration = Duration::from_secs(60);
    let dir = tempfile::tempdir().expect("a directory");
    let barrier = Arc::new(Barrier::default());
    let inner = OsStorage::open_or_create(dir.path()).expect("a directory");
    let storage = SlowStorage { inner, barrier: Arc::clone(&barrier) };
    let engine = Engine::open_storage(Arc::new(storage), dir.path(), &Options::new()).expect("an engine");
    let soon = || Timer::after(Duration::from_millis(20));
    let mut ids: Vec<_> = (0..50).map(|_| engine.schedule(soon()).expect("scheduled")).collect();

    barrier.set_shut(true);
    let held_up = engine.submit(soon()).expect("room");
    barrier.wait_for_one();
    for _ in 0..50 {
        let due = engine.due().recv_timeout(LONG).expect("handed out while the sync is on its way");
        ids.retain(|id| *id != due.id());
        // What is needed for that is written, and nobody waits for it to be durable.
        let _goes_with_the_next_sync = due.complete().expect("open");
    }
    assert!(ids.is_empty());
    assert!(held_up.wait_timeout(Duration::ZERO).is_none(), "its record is not durable");
    assert!(engine.due().try_recv().is_err(), "it was promised to nobody, so it is not handed out");

    barrier.set_shut(false);
    held_up.wait().expect("durable");
    engine.due().recv_timeout(LONG).expect("now it is").complete().expect("open").wait().expect("durable");
}
