//! Power cuts and kills at every step, with every kind of remains.

use std::sync::Arc;

use horolog_sim::{Rng, SimDisk, Traced};
use horolog_storage::Op;
use horolog_wal::{LogError, LogState, LogView, SlowSync};

use crate::rig::{Model, Rig, check, crashed, mem, read, records};

/// How the remains of a power cut are chosen: nothing, everything, or any mixture.
pub(crate) fn keeper(rng: &mut Rng) -> impl FnMut() -> bool {
    let mut rng = Rng::new(rng.next());
    let of_eight = [0, 1, 4, 7, 8][rng.below(5) as usize];
    move || rng.below(8) < of_eight
}

/// One step of a writer: most often a commit or an unsynced append.
fn step(rig: &mut Rig, slow: &mut Option<(u64, SlowSync)>) -> Result<(), LogError> {
    if let Some((upto, sync)) = slow.take_if(|_| rig.rng.one_in(6)) {
        sync.finish()?;
        rig.promise(upto);
    }
    match rig.rng.below(12) {
        0..4 => rig.append().and_then(|_| rig.sync()),
        4..8 => rig.append().map(drop),
        8 if rig.rng.one_in(2) => rig.syncer.witness(horolog_wal::Lsn(rig.acked)),
        8 => rig.writer.mark(horolog_wal::Lsn(rig.acked), 0, false).map(drop),
        9 | 10 if slow.is_none() => {
            *slow = Some(rig.begin_sync());
            Ok(())
        }
        _ => match rig.writer.wants_spare() {
            Some(plan) => plan.prepare().map(|spare| rig.writer.offer_spare(spare)),
            None => rig.sync(),
        },
    }
}

/// A life: opens, works until the machine halts or `steps` are done. Returns what was appended and what was promised.
fn live(disk: &Arc<SimDisk>, model: Model, acked: u64, seed: u64, steps: u64) -> (Model, u64) {
    match Rig::open(disk.clone(), model.clone(), acked, seed) {
        Ok(mut rig) => {
            rig.takes_along = !seed.is_multiple_of(4);
            let mut slow = None;
            for _ in 0..steps {
                if step(&mut rig, &mut slow).is_err() {
                    break;
                }
            }
            (rig.model, rig.acked)
        }
        // The machine stopped while the log was opened: nothing new was shown to anybody.
        Err(LogError::Storage(_) | LogError::Poisoned) => (model, acked),
        Err(error) => panic!("seed {seed}: {error}"),
    }
}

fn facts(view: &LogView<'_>) -> (LogState, u64, u64, Model) {
    (view.state, view.durable.0, view.valid.0, records(view))
}

/// Many lives, each ended by a power cut or a kill at a random place, with random remains.
#[test]
fn promised_records_survive_any_sequence_of_power_cuts() {
    for seed in 0..120 {
        let mut rng = Rng::new(seed);
        let (mut disk, mut model, mut acked) = (mem(seed), Vec::new(), 0);
        for _ in 0..6 {
            let (steps, halt) = (rng.below(25), rng.below(60));
            disk.halt_after(halt);
            (model, acked) = live(&disk, model, acked, rng.next(), steps);
            assert_eq!(disk.violations(), [], "no durable block is written again");
            disk = Arc::new(match rng.below(4) {
                0 => disk.process_kill(),
                _ => disk.power_cut(&mut keeper(&mut rng)),
            });
            let view = read(&*disk).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            model = check(&view, model, acked);
            assert_eq!(facts(&view), facts(&read(&*disk).unwrap()), "reading twice gives the same");
        }
    }
}

/// A directory with a torn tail, several segments and a spare.
fn worn(seed: u64) -> (Arc<SimDisk>, Model, u64) {
    let disk = mem(seed);
    let (model, acked) = live(&disk, Vec::new(), 0, seed, 40);
    let mut rng = Rng::new(seed);
    let disk = Arc::new(disk.power_cut(&mut keeper(&mut rng)));
    let model = check(&read(&*disk).unwrap(), model, acked);
    (disk, model, acked)
}

/// The machine stops after each step of an opening, again and again, with several remains each time.
#[test]
fn a_crash_at_any_step_of_opening_leaves_the_previous_truth() {
    for seed in 0..12 {
        let (disk, model, acked) = worn(seed);
        let truth = records(&read(&*disk).unwrap());
        let mut rng = Rng::new(seed);
        for halt in 0..32 {
            for _ in 0..4 {
                let mut again = Arc::new(disk.process_kill());
                // A crash inside the opening after a crash inside the opening.
                for halt in [halt, rng.below(20)] {
                    again.halt_after(halt);
                    let opened = Rig::open(again.clone(), model.clone(), acked, 1);
                    let shown = opened.is_ok();
                    drop(opened);
                    again = Arc::new(again.power_cut(&mut keeper(&mut rng)));
                    let found = records(&read(&*again).unwrap());
                    assert!(!shown || found == truth, "what was shown is there for ever");
                    assert!(truth.starts_with(&found) && found.len() as u64 >= acked);
                }
            }
        }
    }
}

/// The machine stops after each step around a rotation, with and without a spare.
#[test]
fn a_crash_at_any_step_of_a_rotation_loses_nothing_promised() {
    for (spare, takes_along) in [(false, false), (true, false), (true, true)] {
        for halt in 0..20 {
            for remains in 0..6 {
                let disk = mem(halt);
                let mut rig = Rig::new(disk.clone());
                rig.takes_along = takes_along;
                for _ in 0..4 {
                    rig.append_bodies(&[vec![1; 3000], vec![2; 3000]]).unwrap();
                }
                rig.sync().unwrap();
                assert!(!spare || rig.prepare());
                disk.halt_after(halt);
                let mut nth = 0..;
                let is_synced = |nth: u64| !takes_along || nth.is_multiple_of(4);
                while rig.append_bodies(&[vec![3; 3000]]).is_ok()
                    && nth.next().is_some_and(|nth| !is_synced(nth) || rig.sync().is_ok())
                {}
                let mut rng = Rng::new(remains);
                let after = Arc::new(disk.power_cut(&mut keeper(&mut rng)));
                let rig = Rig::open(after.clone(), rig.model, rig.acked, 1).unwrap();
                check(&read(&*after).unwrap(), rig.model, rig.acked);
            }
        }
    }
}

#[test]
fn a_killed_process_loses_nothing_it_wrote() {
    for seed in 0..40 {
        let disk = mem(seed);
        let (model, _) = live(&disk, Vec::new(), 0, seed, 50);
        let found = disk.process_kill();
        let view = read(&found).unwrap();
        assert_eq!(records(&view), model);
        assert_eq!(view.torn_bytes, 0);
    }
}

/// Two batches written ahead of a sync; the first is lost, the second reached the medium.
#[test]
fn a_later_batch_without_an_earlier_one_is_a_torn_tail_and_no_corruption() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    rig.commit();
    rig.append_bodies(&[vec![1; 100]]).unwrap();
    rig.append_bodies(&[vec![2; 100]]).unwrap();
    let mut sectors = 0;
    let after = disk.power_cut(&mut || {
        sectors += 1;
        sectors > 8
    });
    assert_eq!(sectors, 16);
    let view = read(&after).unwrap();
    assert_eq!(view.valid.0, rig.acked);
    assert_eq!(view.torn_bytes, 8192, "the lost block and the one behind it");
}

/// Any subset of the sectors of the very first segment.
#[test]
fn a_crash_while_the_log_is_created_leaves_an_empty_log() {
    for halt in 0..24 {
        for remains in 0..20 {
            let disk = mem(remains);
            disk.halt_after(halt);
            let opened = Rig::open(disk.clone(), Vec::new(), 0, 1).is_ok();
            let after = Arc::new(disk.power_cut(&mut keeper(&mut Rng::new(remains))));
            let view = read(&*after).unwrap();
            assert!(view.state == LogState::Log || !opened);
            assert!(records(&view).is_empty());
            Rig::open(after, Vec::new(), 0, 1).unwrap().commit();
        }
    }
}

/// A process dies before it has synced the name of META; the next one goes on with what it sees. In its turn it makes a
/// segment, and of all names that wait only one is lost in a power cut.
#[test]
fn a_name_that_a_dead_process_left_is_durable_before_anything_rests_on_it() {
    for halt in 0..24 {
        let disk = mem(halt);
        disk.halt_after(halt);
        let _ = Rig::open(disk.clone(), Vec::new(), 0, 1);
        for halt in 0..24 {
            let again = Arc::new(disk.process_kill());
            again.halt_after(halt);
            let _ = Rig::open(again.clone(), Vec::new(), 0, 1);
            for lost in 0..again.pending().len() {
                let mut nth = 0..;
                let after = again.power_cut(&mut || nth.next() != Some(lost));
                assert!(records(&read(&after).unwrap()).is_empty());
            }
        }
    }
}

/// A new head must not name a segment that a power cut can take away.
#[test]
fn a_link_never_outlives_what_it_names() {
    for remains in 0..60 {
        let mut rng = Rng::new(remains);
        let disk = mem(remains);
        let mut rig = Rig::new(disk.clone());
        rig.commit();
        while !rig.append().unwrap().rotated {}
        // The new segment's LINK was never synced; the process dies, and the next one links from what it sees.
        let killed = Arc::new(disk.process_kill());
        let rig = Rig::open(killed.clone(), rig.model, rig.acked, 1).unwrap();
        let after = killed.power_cut(&mut keeper(&mut rng));
        check(&read(&after).unwrap(), rig.model, rig.acked);
    }
}

/// What a dead process left in the page cache is copied, and neither continued nor synced: a sync could say that it is on the
/// medium when it is not.
#[test]
fn an_opening_writes_to_no_segment_that_was_there() {
    for remains in 0..60 {
        let disk = mem(remains);
        let (model, acked) = live(&disk, Model::new(), 0, remains, 40);
        let left = crashed(&disk, remains % 3);
        let old: Vec<_> = left.files().into_iter().map(|(name, _)| name).collect();
        left.trace(true);
        Rig::open(left.clone(), model, acked, 1).unwrap();
        let touched = |line: &&Traced| {
            matches!(line.op, Op::Write | Op::Sync) && line.name.ends_with(".wal") && old.contains(&line.name)
        };
        assert_eq!(left.take_trace().iter().find(touched).map(ToString::to_string), None);
    }
}

#[test]
fn a_crash_loop_does_not_fill_the_disk() {
    let mut disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    rig.commit();
    let (model, acked) = (rig.model, rig.acked);
    for turn in 0..60 {
        disk.halt_after(turn % 12);
        let _ = Rig::open(disk.clone(), model.clone(), acked, turn);
        disk = Arc::new(disk.process_kill());
    }
    Rig::open(disk.clone(), model, acked, 1).unwrap();
    assert!(disk.files().len() <= 4, "{:?}", disk.files());
}
