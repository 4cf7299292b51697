//! Reading a log of many files, and one that somebody is writing.

use std::sync::{Arc, Mutex};

use horolog_sim::SimDisk;
use horolog_storage::Storage;
use horolog_wal::{LogError, LogOptions, Lsn, Record, VisitError, read_log, salvage, visit_log};

use crate::rig::{Rig, mem, options, read, records};

/// Fills segments until so many rotations have happened.
fn fill(rig: &mut Rig, rotations: usize) {
    let mut rotated = 0;
    while rotated < rotations {
        rotated += usize::from(rig.append_bodies(&[vec![5; 12_000], vec![6; 100]]).unwrap().rotated);
        rig.sync().unwrap();
    }
}

/// Lets go of the segments that end before a record.
fn retire(rig: &mut Rig, below: u64) {
    let Some(plan) = rig.writer.retire_below(Lsn(below)) else { return };
    let retired = plan.carry_out().unwrap();
    rig.writer.offer_retired(retired);
}

/// The most files that are open at once while `look` looks at a disk.
fn open_at_once(disk: &SimDisk, look: impl FnOnce(Arc<SimDisk>)) -> u64 {
    let disk = Arc::new(disk.process_kill());
    look(Arc::clone(&disk));
    disk.counts().open_handles_max
}

#[test]
fn one_file_is_open_at_a_time_however_many_segments_there_are() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    fill(&mut rig, 300);
    let Rig { model, acked, .. } = rig;
    assert!(read(&*disk).unwrap().segments.len() > 300);
    for has_lock in [false, true] {
        let options = LogOptions { has_lock, ..options() };
        let most = open_at_once(&disk, |disk| {
            let view = read_log(&*disk, &options).unwrap();
            assert_eq!(records(&view), model);
        });
        assert_eq!(most, 1, "reading");
    }
    let most = open_at_once(&disk, |disk| {
        disk.flip("seg-0000000000000064.wal", 2 * 4096 + 100, 1);
        let found = salvage(&*disk, &options()).unwrap();
        let mut readable = 0;
        let mut count = |_: Record<'_>| {
            readable += 1;
            Ok::<_, ()>(())
        };
        found.for_each_readable(Lsn(0), &mut count).unwrap();
        assert!(readable < model.len() && found.kept.0 < readable as u64);
    });
    assert_eq!(most, 1, "salvaging");
    let most = open_at_once(&disk, |disk| drop(Rig::open(disk, model.clone(), acked, 2).unwrap()));
    assert!(most <= 3, "opening for writing has the new segment and META open besides, and not {most}");
}

/// A log of eight segments that is read from its beginning to its end; somewhere on the way its owner goes on, lets five
/// segments go, removes a file and uses another one again.
fn look_while_retiring(after: u64) -> Look {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    fill(&mut rig, 7);
    let (before, rig) = (rig.model.len() as u64, Arc::new(Mutex::new(rig)));
    let (writer, begun_at) = (Arc::clone(&rig), disk.counts().operations);
    disk.interrupt_after(after, move || {
        let mut rig = writer.lock().unwrap();
        fill(&mut rig, 2);
        retire(&mut rig, before * 3 / 4);
        rig.prepare();
        fill(&mut rig, 1);
    });
    let mut seen = Vec::new();
    let walked = visit_log::<()>(&*disk, &options(), Lsn(1), &mut |record| {
        seen.push((record.lsn.0, (record.kind, record.flags, record.body.to_vec())));
        Ok(())
    });
    let operations = disk.counts().operations - begun_at;
    walked.unwrap_or_else(|error| panic!("interrupted after {after} operations: {error}"));
    let model = std::mem::take(&mut rig.lock().unwrap().model);
    for (lsn, record) in &seen {
        assert!(model[*lsn as usize - 1] == *record, "interrupted after {after}: record {lsn}");
    }
    let first_left = read(&*disk).unwrap().first_lsn.0;
    let lsns = seen.into_iter().map(|(lsn, _)| lsn).collect();
    Look { lsns, first_left, before, written: model.len() as u64, was_interrupted: operations > after }
}

struct Look {
    lsns: Vec<u64>,
    /// The first record that is still there afterwards.
    first_left: u64,
    /// The last record before the interruption, and the last one after it.
    before: u64,
    written: u64,
    was_interrupted: bool,
}

#[test]
fn a_log_that_is_retired_while_it_is_visited_gives_each_record_once_and_leaves_out_only_what_is_gone() {
    let (mut gaps, mut after) = (0, 0);
    loop {
        let look = look_while_retiring(after);
        if !look.was_interrupted {
            assert!(look.lsns == (1..=look.before).collect::<Vec<_>>(), "nobody interrupted");
            break;
        }
        let end = *look.lsns.last().unwrap();
        assert!(
            [look.before, look.written].contains(&end),
            "interrupted after {after}: up to the last record at the beginning, and not to {end}"
        );
        let mut next = look.lsns[0];
        assert!(next == 1 || next == look.first_left, "interrupted after {after}: begun at {next}");
        for lsn in &look.lsns {
            assert!(*lsn == next || *lsn == look.first_left, "interrupted after {after}: {lsn} for {next}");
            gaps += u32::from(*lsn != next);
            next = lsn + 1;
        }
        after += 1;
    }
    assert!(gaps > 0, "some of {after} interruptions took records away that were not visited yet");
}

/// The end of the log runs away from who reads it, and each time what comes next is gone.
#[test]
fn a_log_that_is_always_ahead_of_its_reader_is_visited_up_to_where_it_ended_at_the_beginning() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    fill(&mut rig, 30);
    let before = rig.model.len() as u64;
    let mut seen = Vec::new();
    visit_log::<()>(&*disk, &options(), Lsn(1), &mut |record| {
        seen.push(record.lsn.0);
        if record.lsn.0 % 9 == 0 {
            retire(&mut rig, record.lsn.0 + 20);
            fill(&mut rig, 1);
        }
        Ok(())
    })
    .unwrap();
    assert!(seen.is_sorted_by(|one, other| one < other));
    assert_eq!(seen.last(), Some(&before));
    assert!(seen.len() as u64 + 20 < before, "{} of {before} were left", seen.len());
}

/// Whoever has a view walks it once: what to do then is another's decision.
#[test]
fn a_segment_that_is_gone_when_a_view_is_walked_has_changed_meanwhile() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    fill(&mut rig, 3);
    let view = read(&*disk).unwrap();
    let locked = read_log(&*disk, &LogOptions { has_lock: true, ..options() }).unwrap();
    disk.remove("seg-0000000000000002.wal").unwrap();
    let walk = |view: &horolog_wal::LogView<'_>| match view.for_each_record::<()>(Lsn(1), &mut |_| Ok(())) {
        Err(VisitError::Log(error)) => error,
        other => panic!("{other:?}"),
    };
    assert!(matches!(walk(&view), LogError::ChangedMeanwhile { segment: 2 }));
    assert!(matches!(walk(&locked), LogError::Storage(_)), "nobody else writes: a file is missing");
    assert!(matches!(read(&*disk), Err(LogError::Corruption(_))), "and damage is believed in the end");
}
