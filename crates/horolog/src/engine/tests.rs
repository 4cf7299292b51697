//! An engine on a disk whose syncs do not return until they are let. What has to happen while one is held is waited for while it
//! is held: a sync that held it up would be waited for to the end of [`LONG`], and fail the test.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};

use horolog_sim::{Errno, Fault, SimDisk, Trigger};
use horolog_storage::{Contents, File, Op};
use horolog_wal::{LogOptions, SegmentRole};

use super::*;

const LONG: Duration = Duration::from_secs(60);

const HOUR: Duration = Duration::from_secs(3_600);

/// Syncs of segments wait here while its gate is not open to them.
#[derive(Debug, Default)]
struct Barrier {
    state: Mutex<(Gate, usize)>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Gate {
    #[default]
    Open,
    /// Syncs behind a MARK wait.
    Marks,
    All,
}

impl Barrier {
    fn set(&self, gate: Gate) {
        self.state.lock().expect("no panic").0 = gate;
        self.changed.notify_all();
    }

    fn pass(&self, is_mark: bool) {
        let mut state = self.state.lock().expect("no panic");
        let waits = |gate: Gate| gate == Gate::All || (gate == Gate::Marks && is_mark);
        if !waits(state.0) {
            return;
        }
        state.1 += 1;
        self.changed.notify_all();
        let mut state = self.changed.wait_while(state, |(gate, _)| waits(*gate)).expect("no panic");
        state.1 -= 1;
    }

    fn is_anybody_there(&self) -> bool {
        self.state.lock().expect("no panic").1 > 0
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

/// A segment under its own name: it was synced under another one when it was made.
#[derive(Debug)]
struct SlowFile {
    inner: Arc<dyn File>,
    barrier: Arc<Barrier>,
    /// The last batch that was written says what is durable, and nothing else.
    ends_with_mark: AtomicBool,
}

impl Storage for SlowStorage {
    fn list(&self) -> Result<Vec<String>, StorageError> {
        self.inner.list()
    }

    fn open(&self, name: &str) -> Result<Arc<dyn File>, StorageError> {
        let inner = self.inner.open(name)?;
        if !name.ends_with(".wal") {
            return Ok(inner);
        }
        let barrier = Arc::clone(&self.barrier);
        Ok(Arc::new(SlowFile { inner, barrier, ends_with_mark: AtomicBool::new(false) }))
    }

    fn open_read_only(&self, name: &str) -> Result<Arc<dyn File>, StorageError> {
        self.inner.open_read_only(name)
    }

    fn create(&self, name: &str) -> Result<Arc<dyn File>, StorageError> {
        self.inner.create(name)
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
        // Of the flags of a batch, MARK (`docs/format.md`).
        self.ends_with_mark.store(bytes[56] & 4 != 0, Ordering::SeqCst);
        self.inner.write_at(bytes, offset)
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.barrier.pass(self.ends_with_mark.load(Ordering::SeqCst));
        self.inner.sync()
    }

    fn evict(&self) {
        self.inner.evict();
    }

    fn contents(&self) -> Result<Contents, StorageError> {
        self.inner.contents()
    }
}

/// An engine, and the barrier of its log.
struct Slow {
    engine: Engine,
    barrier: Arc<Barrier>,
    dir: tempfile::TempDir,
    ids: Vec<TimerId>,
}

impl Slow {
    /// Fifty timers are about to come due; what they are is durable.
    fn with_timers() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let barrier = Arc::new(Barrier::default());
        let inner = OsStorage::open_or_create(dir.path()).expect("a directory");
        let storage = SlowStorage { inner, barrier: Arc::clone(&barrier) };
        let engine = Engine::open_storage(Arc::new(storage), dir.path(), &Options::new()).expect("an engine");
        let tickets: Vec<_> = (0..50).map(|_| engine.submit(soon()).expect("room")).collect();
        let ids = tickets.iter().map(|ticket| ticket.wait().expect("durable")).collect();
        Self { engine, barrier, dir, ids }
    }

    /// Every one of them comes, and is completed.
    fn all_come(&mut self) {
        while !self.ids.is_empty() {
            let due = self.engine.due().recv_timeout(LONG).expect("handed out");
            self.ids.retain(|id| *id != due.id());
            // What is needed for that is written, and nobody waits for it to be durable.
            let _goes_with_the_next_sync = due.complete().expect("open");
        }
    }

    fn all_come_while_held(&mut self) {
        self.all_come();
        assert!(self.barrier.is_anybody_there(), "the sync is still on its way");
    }

    /// More timers, each written when this returns.
    fn submit_written(&mut self, count: usize, timer: &Timer) {
        let timer = timer.clone().durability(Durability::Written { sync_within: HOUR });
        for _ in 0..count {
            let ticket = self.engine.submit(timer.clone()).expect("room");
            self.ids.push(ticket.wait_timeout(LONG).expect("it is written").expect("sound"));
        }
    }

    /// The segment that is written.
    fn head(&self) -> u64 {
        let dir = OsStorage::open_existing(self.dir.path()).expect("it is there");
        let view = horolog_wal::read_log(&dir, &LogOptions::default()).expect("it is sound");
        let head = view.segments.iter().find(|it| it.role == SegmentRole::Head);
        head.expect("there is one").id
    }

    /// The sync returns, and with it whatever was held up.
    fn open(&self, held_up: &Ticket<TimerId>) {
        self.barrier.set(Gate::Open);
        held_up.wait().expect("durable");
        let due = self.engine.due().recv_timeout(LONG).expect("now it is");
        assert_eq!(due.id(), held_up.id());
        due.complete().expect("open").wait().expect("durable");
        self.engine.shutdown(Duration::ZERO).expect("in order");
        assert!(Engine::open(self.dir.path()).expect("it opens").report().clean);
    }
}

impl Drop for Slow {
    /// A test that fails does not wait for ever.
    fn drop(&mut self) {
        self.barrier.set(Gate::Open);
    }
}

fn soon() -> Timer {
    Timer::after(Duration::from_millis(20))
}

#[test]
fn timers_are_handed_out_while_a_sync_does_not_return() {
    let mut slow = Slow::with_timers();
    slow.barrier.set(Gate::All);
    let held_up = slow.engine.submit(soon()).expect("room");
    slow.barrier.wait_for_one();
    slow.all_come_while_held();
    assert!(held_up.wait_timeout(Duration::ZERO).is_none(), "its record is not durable");
    assert!(slow.engine.due().try_recv().is_err(), "it was promised to nobody, so it is not handed out");
    slow.open(&held_up);
}

/// Whatever becomes durable is followed by a MARK when the log is idle: its sync is as slow as any other.
#[test]
fn timers_are_handed_out_while_the_sync_of_a_mark_does_not_return() {
    let mut slow = Slow::with_timers();
    slow.all_come();
    slow.barrier.set(Gate::Marks);
    slow.engine.schedule(Timer::after(HOUR)).expect("durable");
    slow.barrier.wait_for_one();
    let held_up = slow.engine.submit(soon()).expect("room");
    slow.submit_written(50, &soon());
    slow.all_come_while_held();
    assert!(held_up.wait_timeout(Duration::ZERO).is_none(), "its record is not durable");
    slow.open(&held_up);
}

/// There is no room in the segment for what is written while it is being synced.
#[test]
fn timers_are_handed_out_while_the_log_goes_on_in_another_segment_and_a_sync_does_not_return() {
    const PAYLOAD_BYTES: usize = 3_900;
    let mut slow = Slow::with_timers();
    slow.all_come();
    let large = |timer: Timer| timer.payload(vec![7; PAYLOAD_BYTES]);
    for _ in 0..(800 << 10) / PAYLOAD_BYTES {
        slow.engine.schedule(large(Timer::after(HOUR))).expect("durable");
    }
    assert_eq!(slow.head(), 1, "a segment is a mebibyte, and this one is not full");
    slow.barrier.set(Gate::All);
    let held_up = slow.engine.submit(soon()).expect("room");
    slow.barrier.wait_for_one();
    slow.submit_written((300 << 10) / PAYLOAD_BYTES, &large(soon()));
    assert!(slow.head() > 1);
    slow.all_come_while_held();
    assert!(held_up.wait_timeout(Duration::ZERO).is_none(), "its record is not durable");
    slow.open(&held_up);
}

/// Who was told that it is not known can ask again, and is told what came of it.
#[test]
fn a_ticket_that_could_not_say_is_waited_on_again_when_the_log_is_healed() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = Arc::new(SimDisk::new(1));
    let engine = Engine::open_storage(disk.clone(), dir.path(), &Options::new()).expect("an engine");
    engine.schedule(Timer::after(HOUR)).expect("durable");
    disk.inject(Fault::Refused(Op::Sync, Errno::Io), Trigger::after(0).for_ever());
    let ticket = engine.submit(Timer::after(HOUR)).expect("room");
    assert!(ticket.wait().is_err());
    assert!(ticket.wait_timeout(LONG).expect("it is known at once").is_err());
    disk.clear_faults();
    // A spare may be on its way, and is waited for.
    while let Err(error) = engine.heal() {
        assert!(matches!(error, HealError::InFlight), "{error:?}");
        std::thread::yield_now();
    }
    let id = ticket.wait().expect("durable");
    assert!(engine.get(id).is_some());
    engine.shutdown(Duration::ZERO).expect("in order");
}

/// A directory of a million timers takes a while to read.
#[test]
fn a_backup_that_cannot_be_read_is_not_tried_again_and_again() {
    let disk = SimDisk::new(1);
    disk.put("META", b"not one");
    disk.inject(Fault::Refused(Op::Read, Errno::Io), Trigger::after(0).for_ever());
    let before = disk.counts().operations;
    let refused = salvage_beside_a_writer(&disk, Lsn(1)).map(drop).expect_err("it cannot be read");
    assert!(matches!(refused, BackupError::Read(RecoveryError::Log(LogError::Storage(_)))), "{refused:?}");
    let operations = disk.counts().operations - before;
    assert!(operations < 10, "{operations} operations");
}

/// What it is refused for is known before anything is read.
#[test]
fn a_backup_to_a_place_that_is_taken_is_refused_before_anything_is_read() {
    let (dir, taken) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    drop(Engine::open(taken.path()).expect("an engine"));
    let engine = Engine::open(dir.path()).expect("an engine");
    OsStorage::open_existing(dir.path()).and_then(|dir| dir.remove("META")).expect("it was there");
    let refused = engine.backup(taken.path()).expect_err("something is there");
    assert!(matches!(refused, BackupError::Write(_)), "{refused:?}");
}
