//! Segments that nobody needs any more, and their files in another life.

use horolog_sim::{Errno, Fault, Rng, SimDisk, Trigger};
use horolog_storage::Op;
use horolog_wal::{LogView, Lsn, SegmentHeader, SegmentRole};

use crate::rig::{Model, Rig, crashed, mem, read};

/// What is left of a log must be the model from its first LSN on, and must hold all that was promised and not let go.
fn check_rest(view: &LogView<'_>, model: &Model, retired_below: u64, acked: u64) {
    assert!(view.first_lsn.0 <= retired_below.max(1), "{} and {retired_below}", view.first_lsn);
    let mut next = view.first_lsn;
    view.for_each_record::<()>(Lsn(1), &mut |record| {
        assert_eq!(record.lsn, next, "LSNs are dense");
        let (kind, flags, body) = &model[record.lsn.0 as usize - 1];
        assert_eq!((record.kind, record.flags, record.body), (*kind, *flags, &body[..]));
        next = next.next();
        Ok(())
    })
    .unwrap();
    assert_eq!(next, view.valid.next());
    assert!(view.valid.0 >= acked);
}

fn segments(disk: &SimDisk) -> Vec<String> {
    disk.files().into_iter().map(|(name, _)| name).filter(|name| name.starts_with("seg-")).collect()
}

/// Lets go of everything below `lsn`.
fn retire(rig: &mut Rig, lsn: u64) -> usize {
    let Some(plan) = rig.writer.retire_below(Lsn(lsn)) else { return 0 };
    let count = plan.segments();
    let retired = plan.carry_out().unwrap();
    rig.writer.offer_retired(retired);
    count
}

/// Commits until so many rotations have happened.
fn rotate(rig: &mut Rig, times: usize) {
    let mut rotated = 0;
    while rotated < times {
        rotated += usize::from(rig.append().unwrap().rotated);
        rig.sync().unwrap();
    }
}

#[test]
fn a_log_begins_where_its_first_segment_does_once_others_were_retired() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    rotate(&mut rig, 4);
    let third = read(&*disk).unwrap().segments[2].first_lsn.unwrap();
    assert_eq!(retire(&mut rig, third.0), 2);
    let view = read(&*disk).unwrap();
    assert_eq!(view.first_lsn, third);
    check_rest(&view, &rig.model, third.0, rig.acked);
    let roles: Vec<_> = view.segments.iter().map(|it| it.role).collect();
    assert_eq!(roles[..2], [SegmentRole::Unlisted; 2], "their files wait to be used again");
    assert_eq!(roles[2..], [SegmentRole::Linked, SegmentRole::Linked, SegmentRole::Head]);
    assert_eq!(retire(&mut rig, third.0), 0, "once");
    let rig = Rig::resume(disk.clone(), rig.model, rig.acked);
    let view = read(&*disk).unwrap();
    assert!(view.segments.iter().all(|it| it.role != SegmentRole::Unlisted), "an opening removes what waits");
    check_rest(&view, &rig.model, third.0, rig.acked);
}

#[test]
fn what_is_written_or_may_be_the_head_of_meta_is_never_retired() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    rig.commit();
    assert_eq!(retire(&mut rig, u64::MAX), 0, "there is one segment");
    while !rig.append().unwrap().rotated {}
    assert_eq!(retire(&mut rig, u64::MAX), 0, "the new one is not durable yet");
    rig.sync().unwrap();
    assert_eq!(retire(&mut rig, u64::MAX), 1);
    let view = read(&*disk).unwrap();
    check_rest(&view, &rig.model, view.first_lsn.0, rig.acked);
}

/// The next spare gets the file of a retired segment: another name, another salt, no zeros written.
#[test]
fn a_retired_file_is_used_again_under_another_name_and_salt() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    rotate(&mut rig, 3);
    let old = SegmentHeader::decode(&disk.bytes("seg-0000000000000001.wal").unwrap()).unwrap();
    let (acked, written) = (rig.acked, disk.counts().bytes_written);
    assert_eq!(retire(&mut rig, acked), 3);
    assert!(rig.prepare());
    let spent = disk.counts().bytes_written - written;
    assert!(spent < 40_000, "a header and updates of META, and not 64 KiB of zeros: {spent}");
    let names = segments(&disk);
    assert_eq!(names.len(), 4, "{names:?}");
    let new = SegmentHeader::decode(&disk.bytes(&names[3]).unwrap()).unwrap();
    assert!(new.is_recycled && !old.is_recycled && new.salt != old.salt && new.segment_id > old.segment_id);
    let view = read(&*disk).unwrap();
    assert_eq!(view.segments.last().unwrap().role, SegmentRole::Blank, "what is left in it is nothing");
    rotate(&mut rig, 2);
    let view = read(&*disk).unwrap();
    assert_eq!(view.torn_bytes, 0);
    check_rest(&view, &rig.model, acked, rig.acked);
}

/// Where there is no room for zeros, a file that needs none will do.
#[test]
fn after_a_segment_that_found_no_room_a_retired_file_of_any_size_is_used() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    assert!(rig.append_bodies(&[vec![5; 300_000]]).unwrap().rotated, "to a segment that holds it");
    rotate(&mut rig, 1);
    let acked = rig.acked;
    assert_eq!(retire(&mut rig, acked), 2);
    assert!(rig.prepare(), "of the first one, which is as large as is wanted");
    while !rig.writer.needs_spare() {
        rig.commit();
    }
    disk.inject(Fault::Refused(Op::Create, Errno::Full), Trigger::after(0).for_ever());
    let wanted = rig.writer.wants_spare().unwrap();
    assert_eq!(wanted.bytes(), 64 << 10);
    assert!(wanted.prepare().unwrap_err().is_full());
    let retired = rig.writer.wants_spare().unwrap();
    assert!(retired.bytes() > 1_200_000, "{}", retired.bytes());
    rig.writer.offer_spare(retired.prepare().unwrap());
    rotate(&mut rig, 2);
    check_rest(&read(&*disk).unwrap(), &rig.model, acked, rig.acked);
}

/// A torn batch in a file full of whole batches of an earlier life.
#[test]
fn a_torn_tail_in_a_recycled_file_is_as_long_as_what_was_written_in_this_life() {
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let disk = mem(seed);
        let mut rig = Rig::new(disk.clone());
        rotate(&mut rig, 3);
        let acked = rig.acked;
        retire(&mut rig, acked);
        rig.prepare();
        rotate(&mut rig, 1);
        (0..2).for_each(|_| rig.commit());
        rig.append_bodies(&[vec![9; 3_000], vec![9; 3_000]]).unwrap();
        let after = disk.power_cut(&mut || rng.one_in(2));
        let view = read(&after).unwrap();
        assert!(view.torn_bytes <= 8192, "{seed}: {}", view.torn_bytes);
        check_rest(&view, &rig.model, acked, rig.acked);
    }
}

/// However long it runs, a log whose beginning is let go keeps a bounded number of files.
#[test]
fn a_log_that_is_retired_behind_its_end_keeps_few_files() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    let mut recycled = 0;
    for round in 0..40 {
        rotate(&mut rig, 1);
        rig.prepare();
        let acked = rig.acked;
        retire(&mut rig, acked);
        let names = segments(&disk);
        assert!(names.len() <= 8, "round {round}: {names:?}");
        let newest = disk.bytes(names.last().unwrap()).unwrap();
        recycled += u32::from(SegmentHeader::decode(&newest).unwrap().is_recycled);
    }
    assert!(recycled > 35, "most segments were another one before: {recycled}");
}

/// The machine stops after each step of retiring, of using a file again, and of going on in it.
#[test]
fn a_crash_at_any_step_of_retiring_and_recycling_loses_nothing_that_is_needed() {
    for halt in 0..60 {
        for remains in 0..6 {
            let disk = mem(halt);
            let mut rig = Rig::new(disk.clone());
            rotate(&mut rig, 3);
            let below = rig.acked;
            disk.halt_after(halt);
            let mut go = || -> Result<(), horolog_wal::LogError> {
                if let Some(plan) = rig.writer.retire_below(Lsn(below)) {
                    let retired = plan.carry_out()?;
                    rig.writer.offer_retired(retired);
                }
                for _ in 0..2 {
                    if let Some(plan) = rig.writer.wants_spare() {
                        rig.writer.offer_spare(plan.prepare()?);
                    }
                    for _ in 0..12 {
                        rig.append()?;
                        rig.sync()?;
                    }
                }
                Ok(())
            };
            let _ = go();
            let after = crashed(&disk, remains);
            let view = read(&*after).unwrap_or_else(|error| panic!("{halt} {remains}: {error}"));
            check_rest(&view, &rig.model, below, rig.acked);
            let again = Rig::resume(after.clone(), rig.model, rig.acked);
            check_rest(&read(&*after).unwrap(), &again.model, below, again.acked);
            assert!(segments(&after).len() <= 5, "nothing is left behind: {:?}", segments(&after));
        }
    }
}

/// A log that was healed retires like any other.
#[test]
fn a_healed_log_retires_what_was_before_it() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    rotate(&mut rig, 2);
    disk.fail_next(horolog_storage::Op::Sync, 0, horolog_sim::Errno::Io);
    rig.syncer.sync().unwrap_err();
    rig.syncer = rig.writer.heal(&mut [], Lsn(rig.acked), 0).unwrap();
    rig.commit();
    let acked = rig.acked;
    assert_eq!(retire(&mut rig, acked), 3);
    let view = read(&*disk).unwrap();
    check_rest(&view, &rig.model, acked, rig.acked);
    assert_eq!(view.segments.iter().filter(|it| it.role != SegmentRole::Unlisted).count(), 1);
}

/// Nobody knows whether its old name is gone, and no later sync of the directory tells.
#[test]
fn a_retired_file_whose_old_name_may_not_be_gone_poisons() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    rotate(&mut rig, 4);
    let third = read(&*disk).unwrap().segments[2].first_lsn.unwrap();
    assert_eq!(retire(&mut rig, third.0), 2);
    let plan = rig.writer.wants_spare().expect("there is none");
    disk.fail_next(Op::SyncDir, 0, Errno::Io);
    plan.prepare().unwrap_err();
    assert!(rig.writer.is_poisoned());
    let rig = Rig::resume(disk.clone(), rig.model, rig.acked);
    check_rest(&read(&*disk).unwrap(), &rig.model, third.0, rig.acked);
}
