//! What a test can see of what was done.

use std::sync::Arc;

use horolog_sim::{Errno, Fate, Fault, Pattern, SimDisk, Trigger};
use horolog_storage::{Op, Storage};

use crate::{open, read, synced};

#[test]
fn a_trace_has_one_line_for_each_operation_and_says_what_came_of_it() {
    let disk = synced(b"x");
    disk.trace(true);
    let file = open(&disk);
    disk.inject(Fault::LostWrite, Trigger::after(0));
    file.write_at(b"yz", 4).unwrap();
    disk.fail_next(Op::Sync, 0, Errno::Full);
    assert!(file.sync().is_err() && disk.open("b").is_err() && file.read_at(&mut [0; 9], 1).is_err());
    disk.rename("a", "b").unwrap();
    let lines: Vec<_> = disk.take_trace().iter().map(|line| line.to_string()[6..].to_owned()).collect();
    let expected = [
        "open a: ok",
        "write a 2 at 4: ok, lost",
        "sync a: no storage space",
        "open b: not found",
        "read a 9 at 1: ends at 6",
        "rename a -> b: ok",
    ];
    assert_eq!(lines, expected);
    disk.trace(false);
    disk.list().unwrap();
    assert!(disk.take_trace().is_empty());
}

#[test]
fn who_only_reads_has_no_mutations_and_leaves_the_image_as_it_is() {
    let disk = synced(b"x");
    let (before, hash) = (disk.counts(), disk.image_hash());
    disk.list().unwrap();
    let file = disk.open_read_only("a").unwrap();
    assert!(file.len().is_ok() && file.contents().is_ok());
    disk.entropy(&mut [0; 4]).unwrap();
    assert_eq!((disk.counts().mutations, disk.image_hash()), (before.mutations, hash));
    let acts: [fn(&SimDisk) -> bool; 7] = [
        |disk| disk.create("b").is_ok(),
        |disk| open(disk).write_at(b"y", 0).is_ok(),
        |disk| open(disk).sync().is_ok(),
        |disk| disk.rename("b", "c").is_ok(),
        |disk| disk.remove("c").is_ok(),
        |disk| disk.sync_dir().is_ok(),
        |disk| disk.lock().is_ok(),
    ];
    for (done, act) in (1..).zip(acts) {
        assert!(act(&disk));
        assert_eq!(disk.counts().mutations, before.mutations + done);
    }
    assert!(disk.create("a").is_err() && disk.counts().mutations == before.mutations + 8, "failed ones too");
}

#[test]
fn open_files_and_bytes_are_counted() {
    let disk = synced(&[1; 1000]);
    assert_eq!((disk.counts().open_handles, disk.counts().bytes_written), (0, 1000));
    let file = open(&disk);
    let second = open(&disk);
    assert_eq!(disk.counts().open_handles, 2);
    drop(second);
    read(&*file, 0, 10);
    assert_eq!(disk.counts().bytes_asked, 10);
    file.read_at(&mut [0; 5], 998).unwrap_err();
    file.contents().unwrap();
    let counts = disk.counts();
    assert_eq!((counts.bytes_asked, counts.open_handles), (1015, 1));
    assert_eq!(counts.open_handles_max, 2);
    assert_eq!((disk.fork().counts().open_handles, disk.process_kill().counts().open_handles), (0, 0));
}

#[test]
fn somebody_else_may_come_between_two_operations() {
    let disk = Arc::new(synced(&[1; 1000]));
    let theirs = Arc::clone(&disk);
    disk.interrupt_after(1, move || theirs.rename("a", "b").unwrap());
    assert!(disk.open("a").is_ok());
    assert!(disk.open("a").is_err() && disk.open("b").is_ok());
}

#[test]
fn a_write_over_a_durable_block_of_a_watched_file_is_seen() {
    let disk = synced(&[1; 4096]);
    disk.watch_rewrites(Pattern::is("a"));
    let file = open(&disk);
    file.write_at(&[2; 4096], 4096).unwrap();
    file.write_at(&[2; 100], 5000).unwrap();
    assert!(disk.violations().is_empty(), "what is not synced may be written again");
    file.sync().unwrap();
    file.write_at(&[3; 200], 8000).unwrap();
    let [seen] = &disk.violations()[..] else { panic!("{:?}", disk.violations()) };
    assert_eq!((&seen.name[..], seen.offset, seen.len, seen.block), ("a", 8000, 200, 1));
    assert_eq!(seen.to_string(), "operation 9 wrote 200 bytes at 8000 of a, over durable block 1");
    disk.put("b", &[1; 10]);
    disk.open("b").unwrap().write_at(b"x", 0).unwrap();
    assert_eq!(disk.violations().len(), 1, "other files are not watched");
}

#[test]
fn durable_zeros_may_be_written_over() {
    let disk = synced(&[0; 8192]);
    disk.watch_rewrites(Pattern::Any);
    open(&disk).write_at(&[1; 8192], 0).unwrap();
    assert!(disk.violations().is_empty());
}

#[test]
fn a_renamed_file_is_fresh_until_something_is_synced_under_its_new_name() {
    let disk = synced(&[1; 8192]);
    disk.watch_rewrites(Pattern::begins("b"));
    disk.rename("a", "b").unwrap();
    let file = disk.open("b").unwrap();
    file.write_at(&[2; 4096], 0).unwrap();
    file.sync().unwrap();
    file.write_at(&[2; 4096], 4096).unwrap();
    assert!(disk.violations().is_empty());
    file.write_at(&[1; 1], 0).unwrap();
    assert_eq!(disk.violations().len(), 1);
    disk.rename("b", "b2").unwrap();
    file.write_at(&[3; 4096], 0).unwrap();
    assert_eq!(disk.violations().len(), 1, "a recycled file");
    disk.sync_dir().unwrap();
    let after = disk.crash(&mut |_| Fate::Applied);
    after.open("b2").unwrap().write_at(b"x", 0).unwrap();
    assert_eq!(after.violations().len(), 1, "after a crash the medium counts, and the watch goes on");
}

#[test]
fn the_hash_is_of_names_and_bytes_and_of_nothing_else() {
    let disk = synced(b"xy");
    let hash = disk.image_hash();
    let file = open(&disk);
    file.write_at(b"z", 0).unwrap();
    let changed = disk.image_hash();
    file.sync().unwrap();
    assert!(changed != hash && disk.image_hash() == changed, "durable or not");
    file.write_at(b"x", 0).unwrap();
    assert_eq!(disk.image_hash(), hash, "however it came to be");
    let same = SimDisk::new(99);
    same.put("a", b"xy");
    assert_eq!(same.image_hash(), hash);
    disk.rename("a", "b").unwrap();
    assert_ne!(disk.image_hash(), hash);
    same.put("b", b"");
    assert_ne!(same.image_hash(), hash, "an empty file is something");
}

#[test]
fn one_run_keeps_every_moment_at_which_a_machine_may_stop() {
    let run = |disk: &SimDisk| {
        let file = disk.create("a")?;
        file.write_at(b"x", 0)?;
        file.sync()?;
        disk.rename("a", "b")?;
        disk.open("b")?.write_at(b"y", 1)?;
        disk.sync_dir()
    };
    let disk = SimDisk::new(1);
    disk.keep_moments(true);
    run(&disk).unwrap();
    let moments = disk.take_moments();
    assert_eq!(moments.iter().map(|(changes, _)| *changes).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    for (changes, moment) in moments {
        let halted = SimDisk::new(1);
        halted.halt_after(changes);
        let _ = run(&halted);
        for fate in [Fate::Applied, Fate::Dropped] {
            let crash = |disk: &SimDisk| disk.crash(&mut |_| fate).image_hash();
            assert_eq!(crash(&moment), crash(&halted), "{changes}");
        }
        assert_eq!(moment.pending(), halted.pending());
        assert!(moment.create("c").is_ok(), "it is a disk like any other");
    }
    disk.keep_moments(false);
    disk.sync_dir().unwrap();
    assert!(disk.take_moments().is_empty());
}

#[test]
fn entropy_is_decided_by_the_seed() {
    let draw = |seed| {
        let (disk, mut bytes) = (SimDisk::new(seed), [0; 16]);
        disk.entropy(&mut bytes).unwrap();
        bytes
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}
