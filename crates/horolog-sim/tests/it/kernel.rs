//! The three images, and what the kernel does with them while the power is on.

use horolog_sim::{Fate, Pending, Place, SimDisk};
use horolog_storage::{File, Storage};

use crate::{names, open, read, synced};

/// All three images of `a`.
fn images(disk: &SimDisk) -> [Vec<u8>; 3] {
    let images = [disk.bytes("a"), disk.device_bytes("a"), disk.medium_bytes("a")];
    images.map(Option::unwrap)
}

#[test]
fn a_write_is_in_the_page_cache_until_it_is_handed_over_and_on_the_medium_after_a_sync() {
    let disk = synced(b"x");
    let file = open(&disk);
    let all = |bytes: [&[u8]; 3]| bytes.map(<[u8]>::to_vec);
    file.write_at(b"y", 0).unwrap();
    assert_eq!(images(&disk), all([b"y", b"x", b"x"]));
    disk.write_back(&mut |_| true);
    assert_eq!(images(&disk), all([b"y", b"y", b"x"]));
    file.sync().unwrap();
    assert_eq!(images(&disk), all([b"y", b"y", b"y"]));
    assert!(disk.pending().is_empty());
    disk.check().unwrap();
}

#[test]
fn a_sync_covers_one_file_and_no_name() {
    let disk = synced(b"x");
    let other = disk.create("b").unwrap();
    open(&disk).write_at(b"y", 0).unwrap();
    other.write_at(b"z", 0).unwrap();
    other.sync().unwrap();
    let after = disk.crash(&mut |_| Fate::Dropped);
    assert_eq!((names(&after), after.bytes("a").unwrap()), (vec!["a".to_owned()], b"x".to_vec()));
    disk.sync_dir().unwrap();
    let after = disk.crash(&mut |_| Fate::Dropped);
    assert_eq!((after.bytes("a").unwrap(), after.bytes("b").unwrap()), (b"x".to_vec(), b"z".to_vec()));
}

#[test]
fn write_back_takes_the_last_version_of_each_chosen_sector() {
    let disk = synced(&[0; 1024]);
    let file = open(&disk);
    file.write_at(&[1; 1024], 0).unwrap();
    file.write_at(&[2; 512], 0).unwrap();
    let mut offered = Vec::new();
    disk.write_back(&mut |pending| {
        let Pending::Sector { sector, .. } = pending else { panic!("{pending}") };
        offered.push(*sector);
        *sector == 0
    });
    assert_eq!(offered, [1, 0], "in the order of the calls");
    assert_eq!(disk.device_bytes("a").unwrap(), [[2; 512], [0; 512]].concat());
    let handed = |it: &Pending| matches!(it, Pending::Sector { place: Place::Handed, .. });
    let after = disk.crash(&mut |it| if handed(it) { Fate::Applied } else { Fate::Dropped });
    assert_eq!(after.bytes("a").unwrap(), [[2; 512], [0; 512]].concat(), "the device outlives the kernel");
    disk.check().unwrap();
}

#[test]
fn a_process_kill_keeps_what_was_written_and_does_not_make_it_durable() {
    let disk = synced(b"x");
    open(&disk).write_at(b"y", 0).unwrap();
    let after = disk.process_kill();
    assert_eq!(after.bytes("a").unwrap(), b"y");
    assert_eq!(after.power_cut(&mut || false).bytes("a").unwrap(), b"x");
    after.check().unwrap();
}

#[test]
fn a_fork_and_its_origin_go_their_own_ways() {
    let disk = synced(&[1; 9000]);
    let file = open(&disk);
    file.write_at(&[2; 100], 50).unwrap();
    let fork = disk.fork();
    file.write_at(&[3; 100], 5000).unwrap();
    file.sync().unwrap();
    open(&fork).write_at(&[4; 10], 0).unwrap();
    fork.remove("a").unwrap();
    assert_eq!(disk.bytes("a").unwrap()[..10], [1; 10]);
    let after = fork.crash(&mut |_| Fate::Dropped);
    assert_eq!(after.bytes("a").unwrap(), [1; 9000]);
    [&disk, &fork, &after].iter().for_each(|disk| disk.check().unwrap());
}

#[test]
fn an_open_file_that_was_removed_can_be_used_until_it_is_closed() {
    let disk = synced(b"x");
    let file = open(&disk);
    disk.remove("a").unwrap();
    disk.sync_dir().unwrap();
    file.write_at(b"yz", 0).unwrap();
    file.sync().unwrap();
    assert_eq!((read(&*file, 0, 2), disk.used_bytes()), (b"yz".to_vec(), 4096));
    drop(file);
    assert_eq!(disk.used_bytes(), 0);
    assert!(names(&disk.process_kill()).is_empty());
}

#[test]
fn a_rename_replaces_its_target_and_to_the_same_name_does_nothing() {
    let disk = synced(b"old");
    disk.create("b").unwrap().write_at(b"new", 0).unwrap();
    disk.rename("b", "b").unwrap();
    disk.rename("b", "a").unwrap();
    assert_eq!((names(&disk), disk.bytes("a").unwrap()), (vec!["a".to_owned()], b"new".to_vec()));
    disk.check().unwrap();
}

#[test]
fn what_is_put_there_is_durable_whatever_was_on_its_way() {
    let disk = synced(b"x");
    open(&disk).write_at(b"y", 0).unwrap();
    disk.create("b").unwrap();
    disk.rename("a", "c").unwrap();
    disk.rename("b", "a").unwrap();
    disk.put("a", b"put");
    for keep in [false, true] {
        let after = disk.power_cut(&mut || keep);
        assert_eq!(after.bytes("a").unwrap(), b"put");
    }
    disk.check().unwrap();
}

#[test]
fn a_flipped_bit_and_a_cut_stay_through_every_crash() {
    let disk = synced(&[0; 1000]);
    open(&disk).write_at(&[1; 800], 400).unwrap();
    assert!(disk.flip("a", 600, 0x80) && !disk.flip("a", 1200, 1) && !disk.flip("b", 0, 1));
    assert!(disk.truncate("a", 700) && !disk.truncate("a", 700) && !disk.truncate("b", 0));
    disk.check().unwrap();
    for (keep, byte) in [(false, 0x80), (true, 0x81)] {
        let bytes = disk.power_cut(&mut || keep).bytes("a").unwrap();
        assert_eq!((bytes[600], bytes.len()), (byte, 700));
    }
    assert_eq!(disk.bytes("a").unwrap()[600], 0x81);
}

#[test]
fn a_lock_is_free_in_the_next_life_and_a_dead_guard_does_not_free_it() {
    let disk = SimDisk::new(1);
    let guard = disk.lock().unwrap();
    let next = disk.process_kill();
    let _held = next.lock().unwrap();
    drop(guard);
    assert!(next.lock().is_err(), "the guard of the dead process was dropped late");
    drop(disk.lock().unwrap());
}

#[test]
fn no_life_draws_the_entropy_of_another() {
    let draw = |disk: &SimDisk| {
        let mut bytes = [0; 16];
        disk.entropy(&mut bytes).unwrap();
        bytes
    };
    let disk = SimDisk::new(1);
    let first = draw(&disk);
    let (killed, cut) = (disk.process_kill(), disk.crash(&mut |_| Fate::Dropped));
    assert!(draw(&killed) != first && draw(&cut) != first);
    let fork = disk.fork();
    assert_eq!(draw(&disk), draw(&fork), "a fork goes on like its origin");
}

#[test]
fn files_and_disks_can_be_used_from_any_thread() {
    fn is_shared<T: Send + Sync + ?Sized>() {}
    is_shared::<SimDisk>();
    is_shared::<dyn File>();
    let disk = SimDisk::new(1);
    let file = disk.create("a").unwrap();
    std::thread::scope(|scope| {
        for at in 0..4u8 {
            let file = &file;
            scope.spawn(move || (0..50).for_each(|_| file.write_at(&[at], u64::from(at)).unwrap()));
        }
    });
    assert_eq!(disk.bytes("a").unwrap(), [0, 1, 2, 3]);
    disk.check().unwrap();
}

/// Two sectors are written before a sync begins; then, before it returns, one of them again, and a third behind the end.
#[test]
fn a_slow_sync_covers_what_was_written_before_it_began_and_nothing_later() {
    for handed in [false, true] {
        let disk = SimDisk::new(1);
        let file = disk.create("a").unwrap();
        disk.sync_dir().unwrap();
        file.write_at(&[1; 1024], 0).unwrap();
        let begun = disk.last_change();
        file.write_at(&[2; 512], 512).unwrap();
        file.write_at(&[3; 512], 1024).unwrap();
        if handed {
            disk.write_back(&mut |_| true);
        }
        disk.with_slow_sync(begun, || file.sync()).unwrap();
        disk.check().unwrap();
        assert_eq!(disk.medium_bytes("a").unwrap(), [1; 1024], "and no more");
        assert_eq!(disk.bytes("a").unwrap(), [[1; 512], [2; 512], [3; 512]].concat());
        assert_eq!(disk.pending().len(), 3, "two sectors, and the size");
        file.sync().unwrap();
        disk.check().unwrap();
        assert_eq!(disk.medium_bytes("a"), disk.bytes("a"), "the next one covers all");
    }
}
