//! The enumeration in small, and its own parts.

use std::collections::BTreeSet;

use horolog_sim::{Crash, Fate};
use horolog_storage::Storage;

use super::remains::{Remains, crashed};
use super::*;

fn plan(length: usize, depth: u32) -> Enumeration {
    Enumeration { length, depth, damage: true, ..Enumeration::default() }
}

fn run(plan: &Enumeration) -> Tally {
    let Outcome { tally, complete, violation } = plan.run(&mut |_| true);
    assert!(complete, "{}", violation.map_or_else(String::new, |violation| violation.to_string()));
    for matrix in [tally.crashes, tally.damage] {
        assert_eq!((matrix.false_alarms(), matrix.false_accepts()), (0, 0), "{matrix:?}");
    }
    tally
}

/// Of moments with more than twelve choices a sample. All sequences of up to two operations, up to one with two crashes in a row, and the first opening with three. Without
/// optimization that takes too long: up to one operation, with one crash.
#[test]
fn every_crash_of_every_short_sequence_keeps_every_promise() {
    let depths: &[u32] = if cfg!(debug_assertions) { &[1, 1] } else { &[3, 2, 1] };
    let mut all = Tally::default();
    for (length, depth) in depths.iter().enumerate() {
        let tally = run(&Enumeration { threads: 2, ..plan(length, *depth) });
        assert_eq!(tally.sequences, 8_u64.pow(u32::try_from(length).unwrap()));
        all.add(&tally);
    }
    if depths.len() > 2 {
        for directed in DIRECTED {
            all.add(&run(&Enumeration { only: Some(directed.to_vec()), ..plan(directed.len(), 2) }));
        }
        let missed: Vec<_> = all.rows_missed().collect();
        assert_eq!(missed, Vec::<&str>::new(), "every row of the crash table is reached");
    }
}

#[test]
fn the_same_plan_gives_the_same_counts_on_any_number_of_threads() {
    let alone = run(&plan(1, 1));
    let together = run(&Enumeration { threads: 3, ..plan(1, 1) });
    assert_eq!(alone, together);
}

#[test]
fn an_enumeration_ends_when_it_is_told_to() {
    let outcome = plan(2, 1).run(&mut |_| false);
    assert!(!outcome.complete && outcome.violation.is_none() && outcome.tally.sequences < 64);
}

#[test]
fn a_sequence_is_typed_as_it_is_told() {
    for operation in Operation::ALL {
        assert_eq!(operation.to_string().parse(), Ok(operation));
    }
    assert!("shedule".parse::<Operation>().is_err());
    let one = Enumeration { only: Some(vec![Operation::Batch, Operation::Close]), ..plan(0, 1) };
    assert_eq!(run(&one).sequences, 1);
}

/// Names and bytes of all files.
type Image = Vec<(String, Vec<u8>)>;

fn image(disk: &SimDisk) -> Image {
    disk.files().into_iter().map(|(name, _)| (name.clone(), disk.bytes(&name).unwrap())).collect()
}

/// A file whose first sector was written twice, one that has a new name, and one that is gone.
fn busy() -> SimDisk {
    let disk = SimDisk::new(1);
    for name in ["a", "b", "c"] {
        disk.create(name).unwrap().sync().unwrap();
    }
    disk.sync_dir().unwrap();
    let a = disk.open("a").unwrap();
    a.write_at(&[1; 600], 0).unwrap();
    a.write_at(&[2; 512], 0).unwrap();
    a.write_at(&[0; 512], 1024).unwrap();
    disk.rename("b", "d").unwrap();
    disk.remove("c").unwrap();
    disk
}

/// Held against all subsets of all that waits, with both names of a rename besides.
#[test]
fn combinations_give_every_state_that_a_crash_without_torn_sectors_can_leave() {
    let disk = busy();
    let pending = disk.pending();
    let fates = [Fate::Dropped, Fate::Applied, Fate::BothNames];
    let mut expected = BTreeSet::new();
    for number in 0..3_usize.pow(u32::try_from(pending.len()).unwrap()) {
        let mut rest = number;
        expected.insert(image(&disk.crash(&mut |_| {
            let fate = fates[rest % 3];
            rest /= 3;
            fate
        })));
    }
    let remains = Remains::of(&disk);
    let (combinations, complete) = remains.combinations(12, 1);
    let found: BTreeSet<_> =
        combinations.iter().map(|fates| image(&crashed(&disk, Crash::default(), fates))).collect();
    assert!(complete && found == expected, "{} of {} states", found.len(), expected.len());
    assert!(
        combinations.len() < 3_usize.pow(u32::try_from(pending.len()).unwrap()) / 8,
        "and with less work"
    );
    assert_eq!(combinations.first(), Some(&remains.nothing()));
    assert_eq!(combinations.last(), Some(&remains.all()));
}

#[test]
fn too_many_choices_are_drawn_from_and_that_is_said() {
    let (combinations, complete) = Remains::of(&busy()).combinations(2, 1);
    assert!(!complete && combinations.len() > 4);
}
