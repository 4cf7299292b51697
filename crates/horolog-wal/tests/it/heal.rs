//! Going on in the same process after a failed write or sync.

use std::sync::Arc;

use horolog_sim::{Errno, Fate, Fault, Pattern, Pending, Rng, SimDisk, Trigger};
use horolog_storage::Op;
use horolog_wal::{
    BatchBuf, LinkReason, LogError, LogFile, Lsn, Misuse, SegmentRole, Stamp, Syncer, Writer, salvage,
};

use crate::rig::{Model, check, mem, options, read, records};

const FIRST: &str = "seg-0000000000000001.wal";
const SECOND: &str = "seg-0000000000000002.wal";

/// An owner that keeps what is not durable, as the engine does.
struct Owner {
    writer: Writer,
    syncer: Syncer,
    /// Each with what it holds.
    kept: Vec<(BatchBuf, u64)>,
    durable: Lsn,
    applied: Lsn,
    model: Model,
}

impl Owner {
    fn open(disk: &Arc<SimDisk>, model: Model) -> Self {
        let view = read(&**disk).unwrap();
        let (writer, syncer) = horolog_wal::open_writer(disk.clone(), &view, &options(), 0).unwrap();
        let applied = writer.tail();
        Self { writer, syncer, kept: Vec::new(), durable: applied, applied, model }
    }

    /// With one batch durable, and another one whose sync failed.
    fn failed(disk: &Arc<SimDisk>) -> Self {
        let mut owner = Self::open(disk, Vec::new());
        owner.write(10).unwrap();
        owner.sync().unwrap();
        owner.write(10).unwrap();
        disk.fail_next(Op::Sync, 0, Errno::Io);
        owner.sync().unwrap_err();
        owner
    }

    /// Applies a batch, and tries to write it.
    fn write(&mut self, len: usize) -> Result<bool, LogError> {
        let mut batch = BatchBuf::new();
        for n in 0..2 {
            let body = vec![n; len];
            batch.push(1, n, |out| out.extend_from_slice(&body));
            self.model.push((1, n, body));
        }
        let first_lsn = self.applied.next();
        self.applied = Lsn(self.applied.0 + 2);
        let stamp = Stamp { first_lsn, durable_lsn: self.durable, ..Stamp::default() };
        let written = self.writer.append(&mut batch, stamp, 0);
        self.kept.push((batch, 2));
        written.map(|appended| appended.rotated)
    }

    fn sync(&mut self) -> Result<(), LogError> {
        self.syncer.sync()?;
        self.durable = self.writer.tail();
        self.kept.clear();
        Ok(())
    }

    fn heal(&mut self) -> Result<(), LogError> {
        let mut batches: Vec<_> = self.kept.iter_mut().map(|(batch, _)| batch).collect();
        self.syncer = self.writer.heal(&mut batches, self.durable, 0)?;
        assert_eq!(self.writer.tail(), self.applied);
        self.durable = self.applied;
        self.kept.clear();
        Ok(())
    }
}

/// Whatever failed, all that was applied is durable afterwards, and the log goes on.
#[test]
fn a_healed_log_holds_everything_that_was_applied() {
    for (op, after) in [(Op::Write, 0), (Op::Write, 2), (Op::Sync, 0), (Op::Sync, 1), (Op::SyncDir, 0)] {
        for (seed, prepared) in [(1, false), (2, true), (3, false)] {
            let disk = mem(seed);
            let mut owner = Owner::open(&disk, Vec::new());
            (0..seed).for_each(|_| owner.write(100).map(drop).and_then(|()| owner.sync()).unwrap());
            if prepared {
                let spare = owner.writer.wants_spare().unwrap().prepare().unwrap();
                owner.writer.offer_spare(spare);
            }
            disk.fail_next(op, after, Errno::Io);
            let mut steps = 0;
            while owner.write(3_000).and_then(|_| owner.write(10)).and_then(|_| owner.sync()).is_ok() {
                steps += 1;
                assert!(steps < 100, "{op} never failed");
            }
            assert!(owner.writer.is_poisoned());
            assert!(matches!(owner.write(10), Err(LogError::Poisoned)), "applied, and not written");
            owner.heal().unwrap_or_else(|error| panic!("{op} {after}: {error}"));
            let after = disk.power_cut(&mut || false);
            assert_eq!(records(&read(&after).unwrap()), owner.model, "all of it is durable");
            for _ in 0..30 {
                owner.write(500).unwrap();
                owner.sync().unwrap();
            }
            let found = disk.power_cut(&mut || false);
            let view = read(&found).unwrap();
            assert_eq!(records(&view), owner.model);
            assert_eq!(view.torn_bytes, 0);
        }
    }
}

/// The failed file is neither written nor synced again.
#[test]
fn a_failed_segment_is_left_as_it_is() {
    let disk = mem(1);
    let mut owner = Owner::failed(&disk);
    let failed = disk.bytes(FIRST).unwrap();
    let old = owner.syncer.clone();
    owner.heal().unwrap();
    owner.write(10).unwrap();
    owner.sync().unwrap();
    assert!(
        matches!(old.sync(), Err(LogError::Poisoned))
            && matches!(old.witness(Lsn(1)), Err(LogError::Poisoned))
    );
    assert_eq!(disk.bytes(FIRST).unwrap(), failed);
    let view = read(&*disk).unwrap();
    assert_eq!(
        view.segments.iter().map(|it| it.role).collect::<Vec<_>>(),
        [SegmentRole::Linked, SegmentRole::Head]
    );
    assert_eq!(records(&view), owner.model);
}

/// A crash, or another failure, at every step of healing: everything promised is there, and nothing that was not applied.
#[test]
fn a_crash_at_any_step_of_healing_leaves_what_was_promised() {
    let mut healed = 0;
    for halt in 0..40 {
        for remains in 0..8 {
            let disk = mem(halt);
            let mut owner = Owner::open(&disk, Vec::new());
            (0..3).for_each(|_| owner.write(100).map(drop).and_then(|()| owner.sync()).unwrap());
            owner.write(5_000).unwrap();
            disk.fail_next(Op::Sync, 0, Errno::Io);
            owner.sync().unwrap_err();
            let promised = owner.durable.0;
            disk.halt_after(halt);
            let promised = if owner.heal().is_ok() { owner.durable.0 } else { promised };
            healed += u32::from(promised > 6);
            let mut rng = Rng::new(remains);
            let after = match remains {
                0 => disk.process_kill(),
                _ => disk.power_cut(&mut || rng.one_in(2)),
            };
            let view = read(&after).unwrap();
            assert_eq!(salvage(&after, &options()).unwrap().kept, view.valid, "what could be opened is kept");
            let model = check(&view, owner.model, promised);
            let again = Owner::open(&Arc::new(after), model);
            assert_eq!(again.applied.0, again.model.len() as u64);
        }
    }
    assert!(healed > 0);
}

/// The fresh segment of a healing that a crash cut short is no part of the log. What its LINK knew is evidence all the same:
/// the last acknowledged batch rots, and nothing else says that it was there.
#[test]
fn what_the_link_of_an_unfinished_healing_knew_is_evidence() {
    let disk = mem(1);
    let mut owner = Owner::open(&disk, Vec::new());
    (0..2).for_each(|_| owner.write(100).map(drop).and_then(|()| owner.sync()).unwrap());
    owner.write(100).unwrap();
    disk.fail_next(Op::Sync, 0, Errno::Io);
    owner.sync().unwrap_err();
    let acked = owner.durable;
    disk.keep_moments(true);
    owner.heal().unwrap();
    let has_link = |disk: &SimDisk| disk.bytes(SECOND).is_some_and(|bytes| bytes[4096] != 0);
    let (_, linked) = disk.take_moments().into_iter().find(|(_, disk)| has_link(disk)).unwrap();
    let after = linked.crash(&mut |pending| match pending {
        Pending::Sector { name, .. } if **name == *FIRST => Fate::Dropped,
        _ => Fate::Applied,
    });
    let view = read(&after).unwrap();
    assert_eq!((view.valid, view.durable), (acked, acked));
    assert_eq!(view.segments[1].role, SegmentRole::Burnt);
    assert!(after.flip(FIRST, 3 * 4096 + 100, 1));
    let error = read(&after).unwrap_err();
    let corruption = error.corruption().unwrap();
    assert_eq!((corruption.segment, corruption.lost.last), (1, Some(acked)));
    assert_eq!((corruption.evidence.file, corruption.evidence.offset), (LogFile::Segment(2), 4096));
}

/// No spare is there, the next segment cannot be made, and that is not for lack of room: the owner has a batch that it cannot
/// write, and no reason to wait.
#[test]
fn a_segment_that_cannot_be_made_when_it_is_needed_is_healed_like_a_failed_write() {
    for op in [Op::Create, Op::Write, Op::Sync, Op::Rename] {
        let disk = mem(1);
        let mut owner = Owner::open(&disk, Vec::new());
        // Of 16 blocks the header, the LINK and the SEAL take one each.
        (0..13).for_each(|_| owner.write(100).map(drop).and_then(|()| owner.sync()).unwrap());
        disk.fail_next(op, 0, Errno::Io);
        owner.write(100).unwrap_err();
        assert!(owner.writer.is_poisoned(), "{op}");
        owner.heal().unwrap_or_else(|error| panic!("{op}: {error}"));
        let found = disk.power_cut(&mut || false);
        let view = read(&found).unwrap();
        assert_eq!(records(&view), owner.model);
    }
}

fn segments(disk: &SimDisk) -> Vec<String> {
    disk.files().into_iter().map(|(name, _)| name).filter(|name| name.starts_with("seg-")).collect()
}

/// The disk recovers at the third try.
#[test]
fn healing_can_be_tried_again() {
    for op in [Op::Create, Op::Write, Op::Sync, Op::Rename, Op::SyncDir] {
        for after in 0..3 {
            let disk = mem(1);
            let mut owner = Owner::failed(&disk);
            for _ in 0..2 {
                disk.fail_next(op, after, Errno::Io);
                if owner.heal().is_ok() {
                    break;
                }
                assert!(owner.writer.is_poisoned());
                owner.write(10).unwrap_err();
            }
            if owner.writer.is_poisoned() {
                owner.heal().unwrap_or_else(|error| panic!("{op} {after}: {error}"));
            }
            assert_eq!(segments(&disk).len(), 2, "{op} {after}: what was tried in vain is gone");
            assert_eq!(records(&read(&disk.power_cut(&mut || false)).unwrap()), owner.model);
        }
    }
}

/// However often it is tried while there is no room.
#[test]
fn a_healing_without_room_for_meta_leaves_no_segment_behind() {
    let disk = mem(1);
    let mut owner = Owner::failed(&disk);
    for _ in 0..3 {
        disk.inject(Fault::Refused(Op::Write, Errno::Full), Trigger::after(0).on(Pattern::is("META.tmp")));
        let refused = owner.heal();
        assert!(matches!(&refused, Err(LogError::Storage(error)) if error.is_full()), "{refused:?}");
        assert_eq!(segments(&disk), [FIRST]);
    }
    owner.heal().unwrap();
    assert_eq!(records(&read(&disk.power_cut(&mut || false)).unwrap()), owner.model);
}

/// A rotation makes durable what the owner has not heard of yet.
#[test]
fn what_a_rotation_made_durable_is_not_written_twice() {
    let disk = mem(1);
    let mut owner = Owner::open(&disk, Vec::new());
    while !owner.write(3_000).unwrap() {}
    disk.fail_next(Op::Sync, 0, Errno::Io);
    owner.syncer.sync().unwrap_err();
    assert!(owner.kept.len() > 3 && owner.durable == Lsn(0));
    owner.heal().unwrap();
    let found = disk.power_cut(&mut || false);
    let view = read(&found).unwrap();
    assert_eq!(records(&view), owner.model);
    let head = view.segments.last().unwrap();
    assert_eq!(head.first_lsn, Some(Lsn(owner.applied.0 - 1)), "only what came after the rotation");
}

#[test]
fn a_log_that_has_not_failed_is_not_healed() {
    let disk = mem(1);
    let mut owner = Owner::open(&disk, Vec::new());
    owner.write(10).unwrap();
    assert!(matches!(owner.heal(), Err(LogError::Misuse(Misuse::NothingToHeal))));
    owner.sync().unwrap();
    disk.fail_next(Op::Sync, 0, Errno::Io);
    owner.write(10).unwrap();
    owner.sync().unwrap_err();
    let wrong = owner.writer.heal(&mut [], Lsn(1), 0);
    assert!(matches!(wrong, Err(LogError::Misuse(Misuse::NothingToHeal))), "no batch ends there");
    owner.heal().unwrap();
}

#[test]
fn the_link_of_a_healed_log_says_so() {
    let disk = mem(1);
    let mut owner = Owner::open(&disk, Vec::new());
    disk.fail_next(Op::Write, 0, Errno::Io);
    owner.write(10).unwrap_err();
    owner.heal().unwrap();
    let bytes = disk.bytes(SECOND).unwrap();
    // Block 1, the batch header, the record header.
    let link = horolog_wal::Link::decode(&bytes[4096 + 64 + 12..][..33]).unwrap();
    assert_eq!((link.reason, link.prev_segment, link.prev_last_lsn), (LinkReason::Healed, 1, Lsn(0)));
}
