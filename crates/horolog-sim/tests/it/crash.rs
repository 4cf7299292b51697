//! What is found when power returns.

use std::collections::BTreeSet;

use horolog_sim::{Blank, Crash, Fate, NameOrder, Pending, SimDisk};
use horolog_storage::Storage;

use crate::{names, open, synced};

/// Deals these fates in order; there must be as many as there is pending.
fn deal(disk: &SimDisk, fates: &[Fate]) -> SimDisk {
    let mut left = fates.iter();
    let after = disk.crash(&mut |_| *left.next().unwrap());
    assert!(left.next().is_none(), "{:?}", disk.pending());
    after.check().unwrap();
    assert!(after.pending().is_empty(), "what is found is durable");
    after
}

fn dealt(disk: &SimDisk, fates: &[Fate]) -> Vec<u8> {
    deal(disk, fates).bytes("a").unwrap()
}

#[test]
fn a_power_cut_keeps_any_subset_of_unsynced_sectors() {
    let disk = synced(&[1; 2048]);
    open(&disk).write_at(&[2; 1024], 256).unwrap();
    for subset in 0..8 {
        let mut asked = 0;
        let after = disk.power_cut(&mut || {
            asked += 1;
            subset & (1 << (asked - 1)) != 0
        });
        assert_eq!(asked, 3, "three sectors are touched");
        let bytes = after.bytes("a").unwrap();
        let expected =
            |at: usize| if subset & (1 << (at / 512)) != 0 && (256..1280).contains(&at) { 2 } else { 1 };
        assert!(bytes.iter().enumerate().all(|(at, &byte)| byte == expected(at)), "{subset}");
    }
}

#[test]
fn everything_that_waits_is_listed_in_the_order_of_the_calls() {
    let disk = synced(&[0; 600]);
    disk.create("b").unwrap().write_at(&[1], 0).unwrap();
    open(&disk).write_at(&[1; 200], 500).unwrap();
    disk.rename("b", "c").unwrap();
    disk.remove("c").unwrap();
    let listed: Vec<_> = disk.pending().iter().map(|it| it.to_string()[3..].to_owned()).collect();
    let expected = [
        "create b",
        "b: sector 0 (Cached)",
        "b: 0 to 1 bytes",
        "a: sector 0 (Cached)",
        "a: sector 1 (Cached)",
        "a: 600 to 700 bytes",
        "rename b to c",
        "remove c",
    ];
    // A file without a name now goes by one that a crash can leave it.
    let listed: Vec<_> = listed.iter().map(|it| it.replace("c: ", "b: ")).collect();
    assert_eq!(listed, expected);
    let ordinals: Vec<_> = disk.pending().iter().map(Pending::ordinal).collect();
    assert!(ordinals.is_sorted());
}

#[test]
fn a_sector_that_holds_what_the_medium_does_makes_no_difference() {
    let disk = synced(&[1; 1024]);
    let file = open(&disk);
    file.write_at(&[[1; 512], [2; 512]].concat(), 0).unwrap();
    file.write_at(&[1; 512], 512).unwrap();
    file.write_at(&[0; 512], 1024).unwrap();
    let marked: Vec<_> =
        disk.pending_changes().iter().map(|it| (it.pending.is_sector(), it.differs)).collect();
    let grown = [(true, false), (false, true)];
    assert_eq!(
        marked[..3],
        [(true, false), (true, true), (true, false)],
        "the same, another, the same again"
    );
    assert_eq!(marked[3..], grown, "zeros behind the end, and the new end");
    let pending: Vec<_> = disk.pending_changes().into_iter().map(|it| it.pending).collect();
    assert_eq!(pending, disk.pending());
}

#[test]
fn a_sector_may_tear_at_any_byte_from_either_side() {
    let disk = synced(&[1; 512]);
    open(&disk).write_at(&[2; 512], 0).unwrap();
    for bytes in 0..=513 {
        let new = bytes.min(512);
        let expected = [vec![2; new], vec![1; 512 - new]].concat();
        assert_eq!(dealt(&disk, &[Fate::Torn { bytes }]), expected);
        let expected = [vec![1; 512 - new], vec![2; new]].concat();
        assert_eq!(dealt(&disk, &[Fate::TornTail { bytes }]), expected);
    }
}

#[test]
fn a_sector_may_be_zero_or_noise() {
    let disk = synced(&[1; 512]);
    open(&disk).write_at(&[2; 512], 0).unwrap();
    assert_eq!(dealt(&disk, &[Fate::Zero]), [0; 512]);
    let noise = dealt(&disk, &[Fate::Garbage(1)]);
    assert_eq!(noise, dealt(&disk, &[Fate::Garbage(1)]));
    assert_ne!(noise, dealt(&disk, &[Fate::Garbage(2)]));
    let rolled = disk.crash_as(Crash { roll: 1, ..Crash::default() }, &mut |_| Fate::Garbage(1));
    assert_ne!(noise, rolled.bytes("a").unwrap(), "the roll counts as well");
}

#[test]
fn any_version_of_a_sector_may_be_the_one_that_is_found() {
    let disk = synced(&[0; 512]);
    let file = open(&disk);
    file.write_at(&[1; 256], 0).unwrap();
    file.write_at(&[2; 256], 256).unwrap();
    file.write_at(&[3; 512], 0).unwrap();
    let (yes, no) = (Fate::Applied, Fate::Dropped);
    assert_eq!(dealt(&disk, &[no, no, no]), [0; 512]);
    assert_eq!(dealt(&disk, &[yes, no, no]), [[1; 256], [0; 256]].concat());
    assert_eq!(dealt(&disk, &[no, yes, no]), [[1; 256], [2; 256]].concat(), "a version is the whole sector");
    assert_eq!(dealt(&disk, &[yes, no, yes]), [3; 512]);
    let torn = Fate::Torn { bytes: 100 };
    assert_eq!(dealt(&disk, &[yes, no, torn]), [vec![3; 100], vec![1; 156], vec![0; 256]].concat());
}

#[test]
fn a_file_that_grew_is_found_with_either_size_and_with_or_without_its_bytes() {
    let disk = synced(&[1; 100]);
    open(&disk).write_at(&[2; 600], 100).unwrap();
    let (yes, no) = (Fate::Applied, Fate::Dropped);
    let old = vec![1; 100];
    assert_eq!(dealt(&disk, &[no, no, no]), old);
    assert_eq!(dealt(&disk, &[yes, yes, no]), old, "bytes without the size are not seen");
    assert_eq!(dealt(&disk, &[no, no, yes]), [&old[..], &[0; 600]].concat());
    assert_eq!(dealt(&disk, &[yes, no, yes]), [&old[..], &[2; 412], &[0; 188]].concat());
    assert_eq!(dealt(&disk, &[yes, yes, yes]), [&old[..], &[2; 600]].concat());
}

#[test]
fn bytes_whose_size_was_lost_do_not_come_back_when_the_file_grows_again() {
    let disk = synced(&[1; 100]);
    open(&disk).write_at(&[2; 600], 100).unwrap();
    let after = deal(&disk, &[Fate::Applied, Fate::Applied, Fate::Dropped]);
    open(&after).write_at(&[3], 699).unwrap();
    assert_eq!(after.bytes("a").unwrap(), [&[1; 100][..], &[0; 599], &[3]].concat());
}

#[test]
fn a_size_without_data_shows_zeros_noise_or_old_blocks_by_choice() {
    let disk = SimDisk::new(1);
    disk.put("a", b"");
    disk.put("gone", &[9; 1024]);
    disk.remove("gone").unwrap();
    disk.sync_dir().unwrap();
    open(&disk).write_at(&[2; 1024], 0).unwrap();
    let found = |blank, roll| {
        let crash = Crash { blank, roll, ..Crash::default() };
        let size_only = |it: &Pending| if it.is_sector() { Fate::Dropped } else { Fate::Applied };
        let after = disk.crash_as(crash, &mut { size_only });
        after.check().unwrap();
        after.bytes("a").unwrap()
    };
    assert_eq!(found(Blank::Zeros, 1), [0; 1024]);
    assert_ne!(found(Blank::Garbage, 1), found(Blank::Garbage, 2), "another roll makes other noise");
    assert_eq!(found(Blank::Garbage, 1), found(Blank::Garbage, 1));
    let old: BTreeSet<_> = (0..20).flat_map(|roll| found(Blank::OldBlocks, roll)).collect();
    assert!(old.contains(&9) && old.is_subset(&BTreeSet::from([0, 9])), "{old:?}");
}

#[test]
fn noise_stands_only_where_nothing_was_ever_on_the_medium() {
    let disk = synced(&[1; 512]);
    open(&disk).write_at(&[2; 1024], 0).unwrap();
    let crash = Crash { blank: Blank::Garbage, ..Crash::default() };
    let after = disk.crash_as(crash, &mut |it| if it.is_sector() { Fate::Dropped } else { Fate::Applied });
    let bytes = after.bytes("a").unwrap();
    assert!(bytes[..512] == [1; 512] && bytes[512..] != [0; 512]);
}

#[test]
fn a_new_file_without_a_synced_directory_may_be_gone_however_synced_its_bytes_are() {
    let disk = SimDisk::new(7);
    let file = disk.create("a").unwrap();
    file.write_at(b"x", 0).unwrap();
    file.sync().unwrap();
    assert!(disk.power_cut(&mut || false).files().is_empty());
    assert_eq!(disk.power_cut(&mut || true).bytes("a").unwrap(), b"x");
}

#[test]
fn a_rename_is_found_done_undone_or_with_both_names() {
    let disk = synced(b"x");
    disk.rename("a", "b").unwrap();
    assert_eq!(names(&deal(&disk, &[Fate::Dropped])), ["a"]);
    assert_eq!(names(&deal(&disk, &[Fate::Applied])), ["b"]);
    let both = deal(&disk, &[Fate::BothNames]);
    assert_eq!(names(&both), ["a", "b"]);
    both.open("a").unwrap().write_at(b"y", 0).unwrap();
    assert_eq!(both.bytes("b").unwrap(), b"y", "it is one file");
    let cut = |answers: &[bool]| {
        let mut answers = answers.iter().copied();
        names(&disk.power_cut(&mut || answers.next().unwrap())).concat()
    };
    assert_eq!(
        (cut(&[false]), cut(&[true, true]), cut(&[true, false])),
        ("a".into(), "b".into(), "ab".into())
    );
}

/// A removal, a creation and a rename, and all that may be left of them.
#[test]
fn names_arrive_in_any_subset_or_as_a_journal_has_them() {
    let disk = synced(b"");
    disk.create("b").unwrap();
    disk.rename("b", "c").unwrap();
    disk.remove("a").unwrap();
    let found = |order| {
        let mut found = BTreeSet::new();
        for choice in 0..27 {
            let mut left = choice;
            let after = disk.crash_as(Crash { names: order, ..Crash::default() }, &mut |_| {
                left *= 3;
                [Fate::Dropped, Fate::Applied, Fate::BothNames][left / 27 % 3]
            });
            after.check().unwrap();
            found.insert(names(&after).concat());
        }
        found.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(found(NameOrder::Any), ["", "a", "ab", "abc", "ac", "b", "bc", "c"]);
    assert_eq!(found(NameOrder::Journal), ["a", "ab", "ac", "c"]);
}

#[test]
fn a_removed_file_may_come_back_with_what_was_durable_of_it() {
    let disk = synced(b"x");
    open(&disk).write_at(b"y", 0).unwrap();
    disk.remove("a").unwrap();
    assert_eq!(dealt(&disk, &[Fate::Dropped, Fate::Dropped]), b"x");
    assert_eq!(dealt(&disk, &[Fate::Applied, Fate::Dropped]), b"y");
    disk.sync_dir().unwrap();
    assert!(disk.pending().is_empty(), "nobody can come to it any more");
}

#[test]
fn crashes_come_after_crashes() {
    let disk = synced(&[1; 1024]);
    open(&disk).write_at(&[2; 1024], 0).unwrap();
    let once = deal(&disk, &[Fate::Applied, Fate::Dropped]);
    open(&once).write_at(&[3; 512], 512).unwrap();
    let killed = once.process_kill();
    assert_eq!(dealt(&killed, &[Fate::Dropped]), [[2; 512], [1; 512]].concat());
    assert_eq!(dealt(&killed, &[Fate::Applied]), [[2; 512], [3; 512]].concat());
}
