//! The turn in every order, tried by loom: a sync, and a writer that goes on in another file meanwhile.

use std::path::PathBuf;

use horolog_storage::{Contents, Op};
use loom::thread;

use super::*;

/// A file that remembers which batches are in it, and which of them are durable.
#[derive(Debug, Default)]
struct Stub(Mutex<Batches>);

#[derive(Debug, Default)]
struct Batches {
    written: Vec<Vec<u64>>,
    durable: usize,
    /// The next sync fails, and nobody is told again.
    fails: bool,
}

impl Stub {
    fn write(&self, batch: Vec<u64>) {
        locked(&self.0).written.push(batch);
    }

    /// The first batch, and whether it is durable.
    fn first(&self) -> Option<(Vec<u64>, bool)> {
        let batches = locked(&self.0);
        batches.written.first().map(|first| (first.clone(), batches.durable > 0))
    }

    fn has_durable(&self, record: u64) -> bool {
        let batches = locked(&self.0);
        batches.written.iter().take(batches.durable).flatten().any(|it| *it == record)
    }
}

impl File for Stub {
    fn sync(&self) -> Result<(), StorageError> {
        let mut batches = locked(&self.0);
        if std::mem::take(&mut batches.fails) {
            let source = std::io::Error::other("lost");
            return Err(StorageError::Io { op: Op::Sync, path: PathBuf::new(), offset: None, source });
        }
        batches.durable = batches.written.len();
        Ok(())
    }

    fn len(&self) -> Result<u64, StorageError> {
        unreachable!("a turn syncs and does nothing else")
    }

    fn read_at(&self, _: &mut [u8], _: u64) -> Result<(), StorageError> {
        unreachable!("a turn syncs and does nothing else")
    }

    fn read_whole(&self) -> Result<Vec<u8>, StorageError> {
        unreachable!("a turn syncs and does nothing else")
    }

    fn write_at(&self, _: &[u8], _: u64) -> Result<(), StorageError> {
        unreachable!("a turn syncs and does nothing else")
    }

    fn evict(&self) {}

    fn contents(&self) -> Result<Contents, StorageError> {
        unreachable!("a turn syncs and does nothing else")
    }
}

/// Two segments, and how far the owner knows them to be written and durable.
struct Log {
    full: Arc<Stub>,
    next: Arc<Stub>,
    turn: SyncTurn,
    written: AtomicU64,
    durable: AtomicU64,
    /// The last record that the LINK of `next` names.
    linked: AtomicU64,
    /// Held by who has the writer: whether the log has gone on.
    writer: Mutex<bool>,
    /// The file of `full` is removed: a snapshot has what was in it.
    retired: AtomicBool,
}

impl Log {
    fn new() -> Arc<Self> {
        let (full, next) = (Arc::new(Stub::default()), Arc::new(Stub::default()));
        let current = Current { id: 1, file: Arc::clone(&full) as _ };
        let turn = SyncTurn::new(current, 0);
        let [written, durable, linked] = [(); 3].map(|()| AtomicU64::new(0));
        let (writer, retired) = (Mutex::new(false), AtomicBool::new(false));
        Arc::new(Self { full, next, turn, written, durable, linked, writer, retired })
    }

    fn append(&self, file: &Stub, record: u64) {
        file.write(vec![record]);
        self.written.store(record, Ordering::Release);
    }

    /// As `write/rotate.rs`: what is not known to be durable goes along, in one batch.
    fn rotate(&self) {
        let mut has_gone_on = locked(&self.writer);
        *has_gone_on = true;
        let (known, tail) = (self.durable.load(Ordering::Acquire), self.written.load(Ordering::Acquire));
        assert!((1..=known).all(|it| self.full.has_durable(it)), "a LINK names what is durable");
        self.linked.store(known, Ordering::Release);
        self.next.write((known + 1..=tail).collect());
        self.turn.go_on_in(Current { id: 2, file: Arc::clone(&self.next) as _ });
    }

    /// As `write/retire.rs`, for a snapshot that has all that was durable when the log went on.
    fn retire(&self) {
        let has_gone_on = *locked(&self.writer);
        if has_gone_on && self.turn.durable_head() > 1 {
            self.retired.store(true, Ordering::Release);
        }
    }

    /// What a hand does: a sync of all that was written before it.
    fn sync(&self) {
        let upto = self.written.load(Ordering::Acquire);
        self.turn.sync().expect("nothing fails");
        if self.turn.durable_head() < 2 {
            assert!((1..=upto).all(|it| self.full.has_durable(it)), "a LINK may name it there");
        }
        for record in 1..=upto {
            assert!(self.survives(record), "{record} of {upto}");
        }
        self.durable.store(upto, Ordering::Release);
    }

    /// Whether a power cut leaves a record, with the first batch of the next segment or, if it is not durable, without.
    fn survives(&self, record: u64) -> bool {
        if self.retired.load(Ordering::Acquire) {
            let first = self.next.first().filter(|(_, is_durable)| *is_durable);
            let in_snapshot = record <= self.linked.load(Ordering::Acquire);
            return in_snapshot || first.is_some_and(|_| self.next.has_durable(record));
        }
        let in_full = self.full.has_durable(record);
        match self.next.first() {
            None => in_full,
            Some((first, is_durable)) => {
                let is_named = record <= self.linked.load(Ordering::Acquire);
                let with = is_named && in_full || first.contains(&record) || self.next.has_durable(record);
                with && (is_durable || in_full)
            }
        }
    }
}

/// What a sync was asked for is there, whichever of the two files it met, and however much of the other one a power cut
/// leaves.
#[test]
fn a_sync_covers_what_was_appended_before_it_though_the_writer_goes_on_in_another_file() {
    loom::model(|| {
        let log = Log::new();
        log.append(&log.full, 1);
        let hand = Arc::clone(&log);
        let syncing = thread::spawn(move || {
            hand.sync();
            hand.sync();
        });
        log.append(&log.full, 2);
        log.rotate();
        log.append(&log.next, 3);
        syncing.join().expect("it ends");
        log.sync();
        assert_eq!((log.durable.load(Ordering::Acquire), log.turn.durable_head()), (3, 2));
    });
}

/// A rotation and the hand that syncs do it one after the other: the kernel tells of a lost write once, and who was not
/// told says so neither.
#[test]
fn an_error_that_one_of_two_syncs_is_told_ends_the_log_for_both() {
    loom::model(|| {
        let log = Log::new();
        log.append(&log.full, 1);
        locked(&log.full.0).fails = true;
        let hand = Arc::clone(&log);
        let syncing = thread::spawn(move || hand.turn.sync());
        let ends = [log.turn.sync(), syncing.join().expect("it ends")];
        let told = ends.iter().filter(|end| matches!(end, Err(LogError::Storage(_)))).count();
        let poisoned = ends.iter().filter(|end| matches!(end, Err(LogError::Poisoned))).count();
        assert_eq!((told, poisoned), (1, 1));
    });
}

/// The first batch of a segment is known to be durable only when that segment was synced, and not one before it.
#[test]
fn a_sync_of_the_full_segment_proves_nothing_of_the_next() {
    loom::model(|| {
        let log = Log::new();
        log.append(&log.full, 1);
        let hand = Arc::clone(&log);
        let syncing = thread::spawn(move || hand.sync());
        log.rotate();
        syncing.join().expect("it ends");
        let is_durable = log.next.first().is_some_and(|(_, is_durable)| is_durable);
        assert_eq!(log.turn.durable_head() == 2, is_durable);
    });
}

/// The class of SQLite's WAL reset: what a snapshot has is let go while the log goes on in another file. The full segment goes
/// only when the next one stands by itself; a power cut may leave nothing of it before that.
#[test]
fn a_segment_is_let_go_when_the_next_is_durable_and_not_when_it_is_begun() {
    loom::model(|| {
        let log = Log::new();
        log.append(&log.full, 1);
        log.sync();
        log.append(&log.full, 2);
        let (hand, keeper) = (Arc::clone(&log), Arc::clone(&log));
        let syncing = thread::spawn(move || hand.sync());
        let keeping = thread::spawn(move || {
            keeper.retire();
            let upto = keeper.durable.load(Ordering::Acquire);
            assert!((1..=upto).all(|record| keeper.survives(record)));
        });
        log.rotate();
        syncing.join().expect("it ends");
        keeping.join().expect("it ends");
        log.sync();
        log.retire();
        assert!(log.survives(2) && log.retired.load(Ordering::Acquire));
    });
}

/// A model with a bug, which has to be found.
#[cfg(horolog_planted)]
mod planted {
    use crate::planted::{Bug, plant};

    #[test]
    #[ignore = "it has a bug, which all models of this process would have: the test below runs it in another one"]
    fn a_segment_counts_as_durable_when_it_is_begun() {
        plant(Some(Bug::BegunIsDurable));
        super::a_segment_is_let_go_when_the_next_is_durable_and_not_when_it_is_begun();
    }

    #[test]
    fn what_is_let_go_too_early_is_found_missing() {
        let name = "write::turn::models::planted::a_segment_counts_as_durable_when_it_is_begun";
        let program = std::env::current_exe().expect("a test is a program");
        let found =
            std::process::Command::new(program).args([name, "--exact", "--ignored", "--nocapture"]).output();
        let found = found.expect("it can be run again");
        let told = String::from_utf8_lossy(&[found.stdout, found.stderr].concat()).into_owned();
        assert!(!found.status.success() && told.contains("keeper.survives(record)"), "{told}");
    }
}
