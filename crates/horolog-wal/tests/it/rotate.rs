//! Going on in another segment while a sync of the full one is running.

use std::sync::Arc;

use horolog_sim::{Errno, Rng, SimDisk};
use horolog_storage::Op;
use horolog_wal::{BatchBuf, LogState, SegmentRole};

use crate::crash::keeper;
use crate::rig::{Rig, check, crashed, mem, read, records};

/// An owner who lends what is not durable, with a spare.
fn lender(disk: &Arc<SimDisk>) -> Rig {
    let mut rig = Rig::new(disk.clone());
    rig.takes_along = true;
    assert!(rig.prepare());
    rig
}

/// Batches of a block until the log has gone on in another segment; what is promised by then is the first `promised`.
fn rotate(rig: &mut Rig, promised: usize) {
    for nth in 0.. {
        let rotated = rig.append_bodies(&[vec![1; 2_000], vec![nth; 40]]).unwrap().rotated;
        if rotated {
            return;
        }
        if usize::from(nth) < promised {
            rig.sync().unwrap();
        }
    }
}

/// All that goes along becomes durable, where it was. The last record that is promised.
fn rotate_behind_a_sync_of_all(rig: &mut Rig) -> u64 {
    rig.commit();
    while rig.writer.room_bytes() > 4096 {
        rig.append_bodies(&[vec![1; 100]]).unwrap();
    }
    let (upto, slow) = rig.begin_sync();
    assert!(rig.append_bodies(&[vec![2; 5_000]]).unwrap().rotated);
    slow.finish().unwrap();
    rig.promise(upto);
    upto
}

/// What was done to the disk since the last time.
fn syncs(disk: &SimDisk) -> usize {
    disk.take_trace().iter().filter(|line| line.op == Op::Sync).count()
}

fn head(disk: &SimDisk) -> u64 {
    let view = read(disk).unwrap();
    view.segments.iter().find(|segment| segment.role == SegmentRole::Head).unwrap().id
}

#[test]
fn records_that_are_not_durable_go_along_and_nothing_is_synced() {
    for promised in [0, 3, 12] {
        let disk = mem(1);
        let mut rig = lender(&disk);
        disk.trace(true);
        rotate(&mut rig, promised);
        assert_eq!(syncs(&disk), promised, "those that were asked for");
        let view = read(&*disk).unwrap();
        assert_eq!(records(&view), rig.model);
        assert_eq!(view.durable.0, rig.acked);
        let lengths: Vec<_> = view.segments.iter().filter_map(|it| it.last_lsn).map(|lsn| lsn.0).collect();
        let along = rig.model.len() as u64;
        let expected = if promised > 0 { vec![rig.acked, along] } else { vec![along] };
        assert_eq!(lengths, expected, "each record counts in one place");
    }
}

/// A sync of the full segment began before the rotation and returns after it. Whatever part of the rest a power cut leaves
/// of either segment, what that sync has made durable is there, at once and after another crash in the opening.
#[test]
fn what_a_slow_sync_of_the_full_segment_makes_durable_stays_wherever_it_went_along() {
    for seed in 0..400 {
        let (disk, mut rng) = (mem(seed), Rng::new(seed));
        let mut rig = lender(&disk);
        (0..rng.below(4)).for_each(|_| rig.commit());
        for _ in 0..1 + rng.below(6) {
            rig.append().unwrap();
        }
        let (upto, slow) = rig.begin_sync();
        rotate(&mut rig, 0);
        slow.finish().unwrap();
        rig.promise(upto);
        match rng.below(4) {
            0 => {}
            1 => _ = rig.append().unwrap(),
            2 => _ = rig.writer.mark(horolog_wal::Lsn(rig.acked), 0, false).unwrap(),
            _ => rig.syncer.witness(horolog_wal::Lsn(rig.acked)).unwrap(),
        }
        let killed = crashed(&disk, rng.below(2) * (1 + seed));
        let model = check(&read(&*killed).unwrap(), rig.model, rig.acked);
        let shown = Rig::open(killed.clone(), model.clone(), rig.acked, 1).unwrap();
        let cut = killed.power_cut(&mut keeper(&mut rng));
        assert_eq!(check(&read(&cut).unwrap(), shown.model, shown.acked), model);
    }
}

/// All that went along is durable where it was, and nothing where it is: a LINK to the new place could outlive it.
#[test]
fn an_opening_links_to_no_place_that_only_a_sync_of_another_segment_vouches_for() {
    for remains in 0..40 {
        let disk = mem(remains);
        let mut rig = lender(&disk);
        let upto = rotate_behind_a_sync_of_all(&mut rig);
        rig.writer.mark(horolog_wal::Lsn(upto), 0, false).unwrap();

        let killed = crashed(&disk, 0);
        let mut rig = Rig::open(killed.clone(), rig.model, rig.acked, 1).unwrap();
        rig.commit();
        let after = killed.power_cut(&mut keeper(&mut Rng::new(remains)));
        check(&read(&after).unwrap(), rig.model, rig.acked);
    }
}

/// What went along is durable where it is, and what says so is damaged in its first block: the full segment counts again, and has
/// all of it in the page cache alone.
#[test]
fn an_opening_links_to_no_place_that_only_a_damaged_segment_vouches_for() {
    for remains in 0..40 {
        let disk = mem(remains);
        let mut rig = lender(&disk);
        rotate(&mut rig, 2);
        // It was taken before, and its owner promises less than it makes durable.
        rig.syncer.sync().unwrap();
        rig.append().unwrap();
        let killed = crashed(&disk, 0);
        let name = format!("seg-{:016x}.wal", head(&killed));
        assert!(killed.flip(&name, 4096 + 100, 1), "the LINK and what went along");
        let rig = Rig::open(killed.clone(), rig.model, rig.acked, 1).unwrap();
        let after = killed.power_cut(&mut keeper(&mut Rng::new(remains)));
        check(&read(&after).unwrap(), rig.model, rig.acked);
    }
}

#[test]
fn a_second_rotation_during_one_sync_waits_for_it() {
    let disk = mem(1);
    let mut rig = lender(&disk);
    rotate(&mut rig, 2);
    rig.prepare();
    disk.trace(true);
    rotate(&mut rig, 0);
    assert_eq!(syncs(&disk), 1, "what went along is durable in no place");
    let view = read(&*disk).unwrap();
    assert_eq!((view.state, records(&view)), (LogState::Log, rig.model));
}

/// The reserve takes the batch, but not all that is not durable besides.
#[test]
fn records_that_no_spare_has_room_for_are_synced_where_they_are() {
    let disk = mem(1);
    let mut rig = lender(&disk);
    disk.trace(true);
    while rig.writer.room_bytes() > 4096 {
        rig.append_bodies(&[vec![1; 4_000]]).unwrap();
    }
    assert!(rig.append_bodies(&[vec![2; 20_000]]).unwrap().rotated);
    assert_eq!(syncs(&disk), 1);
    assert_eq!(head(&disk), 2, "the spare is used, and none is made");
    assert_eq!(records(&read(&*disk).unwrap()), rig.model);
}

/// What a failed sync leaves is healed, and then the power fails.
fn heal_and_cut(disk: &SimDisk, rig: &mut Rig, remains: u64) {
    disk.fail_next(Op::Sync, 0, Errno::Io);
    rig.sync().unwrap_err();
    let (tail, durable) = (rig.writer.tail(), horolog_wal::Lsn(rig.acked));
    let mut unsynced: Vec<&mut BatchBuf> = rig.unsynced.iter_mut().collect();
    rig.syncer = rig.writer.heal(&mut unsynced, durable, 0).unwrap();
    assert_eq!(rig.writer.tail(), tail);
    let after = disk.power_cut(&mut keeper(&mut Rng::new(remains)));
    check(&read(&after).unwrap(), rig.model.clone(), tail.0);
}

/// The sync of the next segment fails. All that went along is durable where it was, and healing goes on from there.
#[test]
fn healing_goes_on_where_the_slow_sync_ended_and_not_where_the_records_went() {
    for remains in 0..20 {
        let disk = mem(remains);
        let mut rig = lender(&disk);
        rotate_behind_a_sync_of_all(&mut rig);
        heal_and_cut(&disk, &mut rig, remains);
    }
}

/// A hand has taken a sync, and comes to it when the log has gone on: that makes durable what went along, where it is now, and
/// nothing where it was.
#[test]
fn healing_goes_on_where_the_records_went_if_a_late_sync_was_of_that_segment() {
    for remains in 0..20 {
        let disk = mem(remains);
        let mut rig = lender(&disk);
        rig.commit();
        rig.append_bodies(&[vec![1; 100]]).unwrap();
        let upto = rig.writer.tail().0;
        rotate(&mut rig, 0);
        rig.syncer.sync().unwrap();
        rig.promise(upto);
        heal_and_cut(&disk, &mut rig, remains);
    }
}

/// The same, and what is below the place where the log went on is let go before.
#[test]
fn healing_loses_nothing_that_is_needed_when_the_full_segment_was_let_go() {
    let disk = mem(1);
    let mut rig = lender(&disk);
    rig.commit();
    let begin = horolog_wal::Lsn(rig.acked).next();
    rig.append_bodies(&[vec![1; 100]]).unwrap();
    let upto = rig.writer.tail().0;
    rotate(&mut rig, 0);
    rig.syncer.sync().unwrap();
    rig.promise(upto);
    rig.writer.retire_below(begin).unwrap().carry_out().unwrap();
    disk.fail_next(Op::Sync, 0, Errno::Io);
    rig.sync().unwrap_err();
    let mut unsynced: Vec<&mut BatchBuf> = rig.unsynced.iter_mut().collect();
    rig.writer.heal(&mut unsynced, horolog_wal::Lsn(upto), 0).unwrap();
    let view = read(&*disk).unwrap();
    assert_eq!((view.first_lsn, view.valid), (begin, rig.writer.tail()));
}
