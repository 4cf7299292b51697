//! A directory with snapshots says what all of its records say, whichever of the snapshots can be read.
#![expect(clippy::expect_used, reason = "a test says what it expects")]

mod life;

use std::sync::{Arc, Mutex};

use horolog_recovery::{
    Recovered, RecoveryError, RecoveryStep, RepairError, Salvaged, SnapshotTrouble, recover, recover_watched,
    salvage, verify,
};
use horolog_sim::{Errno, Fault, Pattern, Rng, SimDisk, Trigger};
use horolog_state::{ClockReading, Epoch, Lsn, Record, State, TimerId};
use horolog_storage::{Op, Storage};
use horolog_wal::{LogError, LogFile, LogOptions, SnapshotDamage};

use life::{LEN, Life, options, picture};

fn open(disk: Arc<SimDisk>, seed: u64) -> Life {
    Life::open(&options(), disk, seed)
}

/// A directory with these many steps, each followed by a snapshot, and some behind the last one.
fn with_snapshots(seed: u64, steps: &[u64], behind: u64) -> (Arc<SimDisk>, Life) {
    let disk = Arc::new(SimDisk::new(seed));
    let mut life = open(disk.clone(), seed);
    for count in steps {
        life.steps(*count);
        life.snapshot();
    }
    life.steps(behind);
    (disk, life)
}

fn reread(disk: &SimDisk) -> Recovered<'_> {
    let found = recover(disk, &options()).expect("sound");
    assert_eq!(verify(disk, &options()).expect("sound"), found.report);
    assert_eq!(found.state.check(), Ok(()));
    found
}

fn image(id: u64) -> String {
    format!("snap-{id:016x}.img")
}

fn damage(disk: &SimDisk, id: u64) {
    assert!(disk.flip(&image(id), 5_000, 1));
}

#[test]
fn a_snapshot_and_the_log_behind_it_say_what_was_applied() {
    for seed in 0..40 {
        let disk = Arc::new(SimDisk::new(seed));
        let mut life = open(disk.clone(), seed);
        for round in 0..6 {
            let count = life.rng.below(60);
            life.steps(count);
            life.snapshot();
            let count = life.rng.below(30);
            life.steps(count);
            let found = reread(&disk);
            assert_eq!(picture(&found.state), picture(&life.state), "seed {seed}, round {round}");
            let report = found.report;
            assert_eq!(report.snapshot.map(|it| it.id), Some(round + 1), "seed {seed}: {report}");
            assert_eq!(report.records, found.state.applied().0);
            if life.rng.below(2) == 0 {
                life = open(disk.clone(), seed + 1);
            }
        }
    }
}

#[test]
fn a_rotten_snapshot_means_a_longer_replay_and_the_same_state() {
    let (disk, life) = with_snapshots(1, &[80; 3], 20);
    damage(&disk, 3);
    let found = reread(&disk);
    assert_eq!(picture(&found.state), picture(&life.state));
    assert_eq!((found.report.snapshot.map(|it| it.id), found.report.snapshots_rotten), (Some(2), 1));
    assert!(matches!(
        found.rotten[0].why,
        SnapshotTrouble::File(LogError::SnapshotDamaged { snapshot: 3, damage: SnapshotDamage::Body { .. } })
    ));
    // The next one takes the place of the rotten one, and the sound one stays.
    let mut life = open(disk.clone(), 2);
    life.steps(5);
    life.snapshot();
    assert!(disk.bytes(&image(3)).is_none() && disk.bytes(&image(2)).is_some());
    damage(&disk, 4);
    let found = reread(&disk);
    assert_eq!(picture(&found.state), picture(&life.state));
    assert_eq!(found.report.snapshot.map(|it| it.id), Some(2));
}

/// Without the lock a writer may have removed it, so the directory is read once more; a simulation found ten times.
#[test]
fn a_snapshot_that_is_gone_is_looked_for_twice_and_no_oftener() {
    let (disk, life) = with_snapshots(1, &[80; 2], 20);
    disk.put(&image(2), b"no header");
    let asked = |has_lock| {
        let before = disk.counts().bytes_asked;
        let found = recover(&*disk, &LogOptions { has_lock, ..options() }).expect("sound");
        assert_eq!((picture(&found.state), found.report.snapshots_rotten), (picture(&life.state), 1));
        disk.counts().bytes_asked - before
    };
    assert_eq!(asked(false), 2 * asked(true));
}

#[test]
fn without_any_snapshot_a_whole_log_is_enough_and_one_without_its_beginning_is_refused() {
    let (disk, mut life) = with_snapshots(1, &[5], 5);
    damage(&disk, 1);
    let found = reread(&disk);
    assert_eq!(picture(&found.state), picture(&life.state));
    assert_eq!((found.report.snapshot, found.report.snapshots_rotten), (None, 1));

    for _ in 0..3 {
        life.steps(100);
        life.snapshot();
    }
    damage(&disk, 4);
    damage(&disk, 3);
    let refused = recover(&*disk, &options()).expect_err("nothing holds the beginning");
    let RecoveryError::Incomplete { first, rotten } = &refused else { panic!("{refused}") };
    assert!(*first > Lsn(1));
    assert_eq!(rotten.iter().map(|it| it.snapshot).collect::<Vec<_>>(), [4, 3]);
    assert!(
        refused.to_string().contains("snapshot 4 cannot be used: snapshot 4: the section at"),
        "{refused}"
    );
    assert!(verify(&*disk, &options()).is_err(), "verify and an opening agree");
}

/// Half a snapshot, or a whole one that does not count yet, changes nothing; whatever a crash leaves is the state.
#[test]
fn a_crash_while_a_snapshot_is_made_loses_nothing() {
    for seed in 0..200 {
        let (disk, mut life) = with_snapshots(seed, &[40], 40);
        let durable = picture(&life.state);
        let acked = life.durable;
        let mut rng = Rng::new(seed);
        disk.halt_after(rng.below(30));
        let halted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| life.snapshot()));
        let after =
            Arc::new(if seed % 4 == 0 { disk.process_kill() } else { disk.power_cut(&mut || rng.one_in(2)) });
        let found = reread(&after);
        assert!(found.state.applied().0 >= acked, "seed {seed}");
        assert_eq!(found.report.snapshots_rotten, 0, "seed {seed}: a crash rots no snapshot");
        if found.state.applied().0 == acked {
            assert_eq!(picture(&found.state), durable, "seed {seed}");
        }
        if halted.is_ok() {
            assert_eq!(picture(&found.state), picture(&life.state), "seed {seed}");
        }
        let again = open(after.clone(), seed);
        let left = after.files().into_iter().filter(|(name, _)| name.ends_with(".tmp")).count();
        assert_eq!(left, 0, "seed {seed}");
        assert_eq!(picture(&reread(&after).state), picture(&again.state));
    }
}

/// What a repair keeps, and what the directory that it makes says.
fn repaired(disk: &SimDisk, accepted: u64) -> (Salvaged<'_>, State) {
    let before = disk.image_hash();
    let found = salvage(disk, &options()).expect("it can be read");
    let new = Arc::new(SimDisk::new(99));
    let done = found.write(new.clone(), &options(), Lsn(accepted)).expect("repaired");
    assert_eq!(disk.image_hash(), before, "nothing is written to the old one");
    let again = recover(&*new, &options()).expect("a repaired directory opens");
    assert_eq!((again.state.check(), again.state.applied()), (Ok(()), done.epoch_lsn));
    // And is an ordinary one from then on.
    let mut life = open(new.clone(), 5);
    life.steps(30);
    life.snapshot();
    assert_eq!(picture(&reread(&new).state), picture(&life.state));
    (found, again.state)
}

/// Timers as they were, but for what a repair does to those in flight.
fn payloads(state: &State) -> Vec<(TimerId, Vec<u8>)> {
    state.timers().map(|timer| (timer.id, timer.payload.to_vec())).collect()
}

/// A log whose beginning was let go, with two snapshots.
fn retired(seed: u64) -> (Arc<SimDisk>, Life) {
    let (disk, life) = with_snapshots(seed, &[90; 4], 60);
    assert!(reread(&disk).log.first_lsn > horolog_wal::Lsn(1));
    (disk, life)
}

#[test]
fn a_repair_of_a_log_without_its_beginning_stands_on_a_snapshot() {
    let (disk, life) = retired(1);
    let all = life.durable;
    let (found, state) = repaired(&disk, all);
    assert_eq!((found.snapshot, found.kept, found.last), (Some(4), Lsn(all), Lsn(all)));
    assert_eq!(payloads(&state), payloads(&life.state));
    assert_eq!(state.applied(), Lsn(all + 1), "the record of the repair follows");

    damage(&disk, 4);
    let (found, state) = repaired(&disk, all);
    assert_eq!(found.snapshot, Some(3));
    assert_eq!(payloads(&state), payloads(&life.state));

    disk.remove("META").expect("it was there");
    let (found, state) = repaired(&disk, all);
    assert_eq!(found.snapshot, Some(3), "what META said is not needed");
    assert_eq!(payloads(&state), payloads(&life.state));

    damage(&disk, 3);
    let found = salvage(&*disk, &options()).expect("it can be read");
    assert_eq!((found.snapshot, found.kept), (None, Lsn::ZERO));
    let refused = found.write(Arc::new(SimDisk::new(7)), &options(), Lsn::ZERO);
    assert!(matches!(refused, Err(RepairError::NothingKept)));
}

/// Where the log breaks off behind a snapshot, what is kept ends; where it breaks off in what the snapshot has seen, the older
/// one has to do.
#[test]
fn a_repair_keeps_the_log_up_to_the_damage_and_no_snapshot_that_has_seen_more() {
    let (mut behind, mut older) = (0, 0);
    for seed in 0..30 {
        let (disk, life) = retired(seed);
        let whole = recover(&*disk, &options()).expect("sound");
        let mut rng = Rng::new(seed);
        let names: Vec<_> = whole.log.segments.iter().filter(|it| it.batches > 2).collect();
        let at = usize::try_from(rng.below(names.len() as u64)).expect("a segment");
        let blocks = names[at].end_offset / 4096;
        let offset = 4096 * (2 + rng.below(blocks - 2)) + 70;
        disk.flip(&names[at].name, offset, 1);
        let found = salvage(&*disk, &options()).expect("it can be read");
        if found.kept == Lsn::ZERO {
            continue;
        }
        let (found, state) = repaired(&disk, found.kept.0);
        assert!(found.kept <= Lsn(life.durable));
        assert_eq!(state.applied(), found.kept.next(), "seed {seed}");
        behind += u32::from(found.snapshot == Some(4) && found.kept < found.last);
        older += u32::from(found.snapshot == Some(3));
    }
    assert!(behind > 0 && older > 0, "{behind} behind the newer snapshot, {older} on the older one");
}

#[test]
fn a_whole_log_with_snapshots_is_copied_record_by_record() {
    let (disk, life) = with_snapshots(1, &[20], 20);
    let (found, state) = repaired(&disk, life.durable);
    assert_eq!((found.snapshot, found.kept), (None, Lsn(life.durable)));
    assert_eq!(payloads(&state), payloads(&life.state));
}

/// An id that was handed out is not given again, in the repaired directory either.
#[test]
fn no_id_comes_again_after_a_repair_that_stands_on_a_snapshot() {
    let (disk, life) = retired(3);
    let (_, mut state) = repaired(&disk, life.durable);
    let reading = ClockReading::default();
    let epoch = Epoch { epoch: state.epoch() + 1, tick_len: LEN, generation_floor: 0, reading };
    let _ = state.apply(state.applied().next(), &Record::Epoch(epoch)).expect("the next opening");
    let highest = life.state.slab().generation_max();
    for _ in 0..200 {
        let id = state.slab_mut().reserve().expect("a slot");
        assert!(id.generation() > highest, "{id}");
    }
}

/// That a file cannot be opened now says nothing about what is in it.
#[test]
fn a_snapshot_that_cannot_be_opened_is_an_error_and_one_that_the_medium_does_not_give_is_passed_over() {
    let (disk, life) = retired(1);
    disk.inject(Fault::Refused(Op::Open, Errno::TooManyOpen), Trigger::after(0).on(Pattern::ends(".img")));
    let refused = recover(&*disk, &options()).expect_err("there are no handles");
    assert!(matches!(refused, RecoveryError::Log(LogError::Storage(_))), "{refused}");
    disk.clear_faults();
    assert_eq!(reread(&disk).report.snapshot.map(|it| it.id), Some(4));
    disk.make_unreadable(&image(4), 5_000..5_001);
    let found = reread(&disk);
    assert_eq!((found.report.snapshot.map(|it| it.id), found.report.snapshots_rotten), (Some(3), 1));
    assert_eq!(picture(&found.state), picture(&life.state));
}

#[test]
fn a_snapshot_of_a_later_version_is_refused_as_such() {
    let (disk, _) = retired(1);
    let mut bytes = disk.bytes(&image(4)).expect("it is there");
    bytes[8] = 9;
    let crc = crc32fast::hash(&bytes[..4088]);
    bytes[4088..4092].copy_from_slice(&crc.to_le_bytes());
    bytes[4092..4096].copy_from_slice(&(!crc).to_le_bytes());
    disk.put(&image(4), &bytes);
    let refused = recover(&*disk, &options()).expect_err("a later version");
    assert!(
        matches!(
            refused,
            RecoveryError::Log(LogError::NewerVersion { file: LogFile::Snapshot(4), found: 9, .. })
        ),
        "{refused}"
    );
    assert!(salvage(&*disk, &options()).is_err(), "nor is it passed over by a repair");
}

/// What a snapshot has seen was durable: a log that ends before it has lost records, whatever else is gone.
#[test]
fn a_snapshot_that_has_seen_more_than_the_log_has_is_proof_of_what_is_lost() {
    let (disk, _) = with_snapshots(1, &[100], 0);
    let seen = recover(&*disk, &options()).expect("sound").report.snapshot.expect("there is one");
    let segments: Vec<_> = disk.files().into_iter().filter(|(name, _)| name.ends_with(".wal")).collect();
    disk.remove("META").expect("it was there");
    for (name, _) in segments.iter().skip(1) {
        disk.remove(name).expect("it was there");
    }
    let found = salvage(&*disk, &options()).expect("it can be read");
    assert!(found.last >= Lsn(seen.end.0), "{} of {}", found.last, seen.end);
}

#[test]
fn a_snapshot_that_needs_no_log_is_enough_for_a_repair() {
    let (disk, life) = retired(2);
    let found = salvage(&*disk, &options()).expect("it can be read");
    let new = Arc::new(SimDisk::new(3));
    found.write(new.clone(), &options(), Lsn(life.durable)).expect("repaired");
    // The record of the repair is lost, and META too.
    assert!(new.flip("seg-0000000000000001.wal", 4096 + 70, 1));
    new.remove("META").expect("it was there");
    let again = salvage(&*new, &options()).expect("it can be read");
    assert_eq!((again.snapshot, again.kept), (Some(1), Lsn(life.durable)));
    assert_eq!(payloads(&again.state), payloads(&life.state));
}

/// A directory with two snapshots is looked at without the lock; after so many operations its owner goes on, makes two
/// more, lets segments go and uses their files again. Says whether it came to that. `look` gets what was durable before, and
/// what callers could see before and after.
fn while_compacting(after: u64, look: impl FnOnce(&SimDisk, Lsn, &Mutex<Vec<String>>)) -> bool {
    let (disk, mut life) = with_snapshots(3, &[60, 60], 30);
    let (durable, begun_at) = (Lsn(life.durable), disk.counts().operations);
    let pictures = Arc::new(Mutex::new(vec![picture(&life.state)]));
    let seen = Arc::clone(&pictures);
    disk.interrupt_after(after, move || {
        for _ in 0..2 {
            life.steps(80);
            life.snapshot();
            let spare = life.writer.wants_spare().map(|plan| plan.prepare().expect("the disk works"));
            spare.into_iter().for_each(|spare| life.writer.offer_spare(spare));
        }
        // The log goes on behind the last snapshot.
        life.steps(20);
        seen.lock().expect("no panic").push(picture(&life.state));
    });
    look(&disk, durable, &pictures);
    disk.counts().operations - begun_at > after
}

/// `verify` and `inspect` read so.
#[test]
fn a_directory_that_is_compacted_while_it_is_read_is_what_it_was_before_or_what_it_is_now() {
    let was_interrupted = |after| {
        while_compacting(after, |disk, _, pictures| {
            let found = recover(disk, &LogOptions::small());
            let found = found
                .map_err(|error| format!("interrupted after {after} operations: {error}"))
                .expect("sound");
            assert!(found.rotten.is_empty(), "interrupted after {after}: {:?}", found.rotten);
            assert!(
                pictures.lock().expect("no panic").contains(&picture(&found.state)),
                "interrupted after {after}: neither what was there before nor what is there now"
            );
        })
    };
    let operations = (0..).find(|after| !was_interrupted(*after)).expect("it ends");
    assert!(operations > 20, "{operations} operations");
}

/// `repair` and a backup read so.
#[test]
fn a_directory_that_is_compacted_while_it_is_salvaged_has_lost_nothing() {
    let was_interrupted = |after| {
        while_compacting(after, |disk, durable, pictures| {
            let found = salvage(disk, &LogOptions::small());
            let found = found
                .map_err(|error| format!("interrupted after {after} operations: {error}"))
                .expect("it can be read");
            assert_eq!(
                (found.kept, &found.log.damage[..]),
                (found.last, &[][..]),
                "interrupted after {after}"
            );
            assert!(
                pictures.lock().expect("no panic").contains(&picture(&found.state)),
                "interrupted after {after}: neither what was there before nor what is there now"
            );
            assert!(found.kept >= durable, "interrupted after {after}: {durable} was durable");
            found.write_state(Arc::new(SimDisk::new(4)), &options(), durable).expect("it is written");
        })
    };
    let operations = (0..).find(|after| !was_interrupted(*after)).expect("it ends");
    assert!(operations > 20, "{operations} operations");
}

/// A backup is written while the directory goes on.
#[test]
fn a_state_that_was_salvaged_is_written_without_the_files_it_was_read_from() {
    let (disk, life) = with_snapshots(1, &[], 60);
    let found = salvage(&*disk, &options()).expect("it can be read");
    disk.remove("seg-0000000000000001.wal").expect("the disk works");
    let write = |new: &Arc<SimDisk>, whole: bool| match whole {
        true => found.write(new.clone(), &options(), Lsn(life.durable)),
        false => found.write_state(new.clone(), &options(), Lsn(life.durable)),
    };
    let refused = write(&Arc::new(SimDisk::new(2)), true);
    assert!(
        matches!(refused, Err(RepairError::Log(LogError::ChangedMeanwhile { segment: 1 }))),
        "{refused:?}"
    );
    let new = Arc::new(SimDisk::new(3));
    let done = write(&new, false).expect("it was all in memory");
    let again = reread(&new);
    assert_eq!(again.state.applied(), done.epoch_lsn);
    assert_eq!(payloads(&again.state), payloads(&life.state));
}

#[test]
fn who_watches_is_told_each_step_from_its_beginning_to_its_end_and_never_less_than_before() {
    let disk = Arc::new(SimDisk::new(3));
    let mut life = open(disk.clone(), 3);
    life.steps(200);
    life.snapshot();
    life.steps(50);
    life.sync();
    drop(life);
    let mut told = Vec::new();
    let found = recover_watched(&*disk, &options(), &mut |progress| told.push(progress)).expect("sound");
    for step in [RecoveryStep::Check, RecoveryStep::Snapshot, RecoveryStep::Replay] {
        let of_it: Vec<_> = told.iter().filter(|progress| progress.step == step).collect();
        let (first, last) = (of_it.first().expect("a beginning"), of_it.last().expect("an end"));
        assert_eq!(first.done, 0, "{step:?}");
        assert!(last.done == last.total && last.total > 0, "{step:?}: {last:?}");
        assert!(of_it.windows(2).all(|pair| pair[0].done <= pair[1].done), "{step:?}");
    }
    assert!(told.is_sorted_by_key(|progress| progress.step));
    let snapshot = found.report.snapshot.expect("it stands on one");
    let replayed = told.last().expect("told").total;
    assert_eq!(replayed, found.report.valid.0 - snapshot.begin.0);
}
