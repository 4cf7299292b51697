//! Every length of every file; and every file missing, doubled, swapped, of another log, of an earlier time, of a later
//! version.

use std::collections::BTreeSet;

use horolog_sim::SimDisk;
use horolog_storage::Storage;
use horolog_wal::{LogFile, LogOptions};

use crate::directory::{Directory, options, snapshot_id};
use crate::found::{Found, decoded};
use crate::places::{Places, Verdict, batches, segment_id};

pub(crate) const BOTH: [fn(u64) -> Directory; 2] = [Directory::whole, Directory::compacted];

impl Directory {
    fn names(&self) -> Vec<String> {
        self.disk.files().into_iter().map(|(name, _)| name).collect()
    }

    /// A copy of the disk in which one file has these bytes.
    fn with(&self, name: &str, bytes: &[u8]) -> SimDisk {
        let disk = self.disk.process_kill();
        disk.put(name, bytes);
        disk
    }

    /// What has to come of a file that is empty, too short or too long.
    fn if_unusable(&self, places: &Places, name: &str) -> Found {
        match segment_id(name) {
            _ if name == "META" => Found::MetaDamaged,
            Some(id) => self.expected(places.if_unusable(id), &[]),
            None => self.expected_without(places, name),
        }
    }
}

#[test]
fn every_length_of_every_file_but_its_own_gets_exactly_its_verdict() {
    for directory in BOTH.map(|make| make(1)) {
        let places = Places::of(&directory.disk);
        let without_lock = LogOptions { has_lock: false, ..options() };
        for (name, len) in directory.disk.files() {
            let (disk, expected) = (directory.disk.process_kill(), directory.if_unusable(&places, &name));
            let longer = [&disk.bytes(&name).expect("it is there")[..], &[0]].concat();
            assert_eq!(directory.judge(&directory.with(&name, &longer), &name), expected, "{name}");
            for cut in (0..len).rev() {
                let what = format!("{name} of {cut} bytes");
                assert!(disk.truncate(&name, cut));
                let before = disk.changes();
                assert_eq!(directory.read(&disk, &options(), &what), expected, "{what}");
                // Where a file may be gone for a moment, who has no lock looks ten times.
                if cut % 101 == 0 {
                    assert_eq!(directory.read(&disk, &without_lock, &what), expected, "{what}");
                }
                assert_eq!(disk.changes(), before, "{what}");
            }
            assert_eq!(directory.judge(&disk, &name), expected, "{name} is empty");
        }
    }
}

#[test]
fn every_missing_file_gets_exactly_its_verdict() {
    for directory in BOTH.map(|make| make(1)) {
        let places = Places::of(&directory.disk);
        for name in directory.names() {
            let disk = directory.disk.process_kill();
            disk.remove(&name).expect("it was there");
            let expected =
                if name == "META" { Found::MetaMissing } else { directory.if_unusable(&places, &name) };
            assert_eq!(directory.judge(&disk, &name), expected, "{name}");
        }
    }
}

/// META does not list the copy, and no LINK names it; its header contradicts its name.
#[test]
fn a_copy_of_any_file_under_any_other_name_changes_nothing() {
    for directory in BOTH.map(|make| make(1)) {
        let (places, names) = (Places::of(&directory.disk), directory.names());
        let ids = 1..=names.len() as u64 + 2;
        let mut free: Vec<_> =
            ids.flat_map(|id| [format!("seg-{id:016x}.wal"), format!("snap-{id:016x}.img")]).collect();
        let unfinished: Vec<_> = free.iter().map(|name| format!("{name}.tmp")).collect();
        free.extend(unfinished);
        free.extend(["META.tmp", "META.bak", "LOCK.old"].map(str::to_owned));
        free.retain(|name| !names.contains(name));
        assert!(free.len() > 10, "{free:?}");
        for name in names {
            let bytes = directory.disk.bytes(&name).expect("it is there");
            for copy in &free {
                let (disk, what) = (directory.with(copy, &bytes), format!("{name} as {copy}"));
                let expected = directory.expected(places.sound(), &[]);
                assert_eq!(directory.judge(&disk, &what), expected, "{what}");
            }
        }
    }
}

#[test]
fn any_two_swapped_files_of_a_kind_get_exactly_their_verdict() {
    for directory in BOTH.map(|make| make(1)) {
        let (places, names) = (Places::of(&directory.disk), directory.names());
        let pairs =
            names.iter().enumerate().flat_map(|(at, one)| names[..at].iter().map(move |it| (one, it)));
        for (newer, older) in pairs {
            let of = |name: &String| directory.disk.bytes(name).expect("it is there");
            let disk = directory.with(newer, &of(older));
            disk.put(older, &of(newer));
            let expected = match [newer, older].map(|name| segment_id(name)) {
                [Some(newer), Some(older)] => {
                    // The list is read from its newest segment on, and LINKs lead to older ones.
                    let mut refused = [newer, older].map(|id| places.if_unusable(id)).into_iter();
                    let first = refused.find(|it| matches!(it, Verdict::Refused { .. }));
                    directory.expected(first.unwrap_or(places.sound()), &[])
                }
                [None, None] => match [newer, older].map(|name| snapshot_id(name)) {
                    [Some(newer), Some(older)] => directory.expected(places.sound(), &[newer, older]),
                    _ => continue,
                },
                _ => continue,
            };
            let what = format!("{newer} and {older}");
            assert_eq!(directory.judge(&disk, &what), expected, "{what}");
        }
    }
}

/// Neither file is what its name says: as if each were damaged from its first byte on. META is looked at first.
#[test]
fn any_two_swapped_files_of_different_kinds_get_exactly_their_verdict() {
    let mut swapped = 0;
    for directory in BOTH.map(|make| make(1)) {
        let (places, names) = (Places::of(&directory.disk), directory.names());
        let kind = |name: &str| name.split('-').next().map(str::to_owned);
        let pairs =
            names.iter().enumerate().flat_map(|(at, one)| names[..at].iter().map(move |it| (one, it)));
        for (one, other) in pairs.filter(|(one, other)| kind(one) != kind(other)) {
            let of = |name: &String| directory.disk.bytes(name).expect("it is there");
            let disk = directory.with(one, &of(other));
            disk.put(other, &of(one));
            let both = [one, other];
            let rotten: Vec<_> = both.iter().filter_map(|name| snapshot_id(name)).collect();
            let expected = match both.iter().find_map(|name| segment_id(name)) {
                _ if both.iter().any(|name| *name == "META") => Found::MetaDamaged,
                Some(id) => directory.expected(places.if_unusable(id), &rotten),
                None => unreachable!("META, segments and snapshots are all the kinds there are"),
            };
            let what = format!("{one} and {other}");
            assert_eq!(directory.judge(&disk, &what), expected, "{what}");
            swapped += 1;
        }
    }
    assert_eq!(swapped, 5 + (5 + 2 + 5 * 2));
}

#[test]
fn any_file_of_another_log_gets_exactly_its_verdict() {
    for make in BOTH {
        let (directory, other) = (make(1), make(2));
        let places = Places::of(&directory.disk);
        let first = directory.names().iter().find_map(|name| segment_id(name)).expect("a segment");
        assert_eq!(directory.names(), other.names());
        for name in directory.names() {
            let disk = directory.with(&name, &other.disk.bytes(&name).expect("the same files"));
            let expected = match segment_id(&name) {
                Some(id) => Found::Foreign(id),
                // All of them are strangers to it.
                None if name == "META" => Found::Foreign(first),
                None => directory.expected_without(&places, &name),
            };
            assert_eq!(directory.judge(&disk, &name), expected, "{name}");
        }
    }
}

/// A backup of one file that was put back.
#[test]
fn any_file_of_any_earlier_time_gets_exactly_its_verdict() {
    let (mut copies, mut read, mut refused) = (0, 0, 0);
    for directory in BOTH.map(|make| make(1)) {
        let places = Places::of(&directory.disk);
        let earlier = directory.past.iter().flatten().collect::<BTreeSet<_>>();
        let names = directory.names();
        for (name, bytes) in earlier.into_iter().filter(|(name, _)| names.contains(name)) {
            let disk = directory.with(name, bytes);
            let what = format!("{name} with {} batches, copy {copies}", batches(bytes).len());
            let found = directory.judge(&disk, &what);
            match segment_id(name) {
                Some(id) => {
                    let expected = directory.expected(places.if_cut(id, batches(bytes).len()), &[]);
                    assert_eq!(found, expected, "{what}");
                }
                None if name == "META" => match decoded(&disk) {
                    Some(expected) => assert_eq!(found, expected, "{what}"),
                    None => assert!(matches!(found, Found::Corrupt(_)), "{what}: {found:?}"),
                },
                None => assert_eq!(found, directory.expected(places.sound(), &[]), "{what}"),
            }
            copies += 1;
            *(if matches!(found, Found::Read { .. }) { &mut read } else { &mut refused }) += 1;
        }
    }
    assert!(read > 10 && refused > 10, "{read} of {copies} read, {refused} refused");
}

/// Writes a later version into a block that ends with a checksum, as headers and slots of META do.
fn make_newer(block: &mut [u8]) {
    block[8] = 1;
    let crc = crc32fast::hash(&block[..4088]);
    block[4088..4092].copy_from_slice(&crc.to_le_bytes());
    block[4092..4096].copy_from_slice(&(!crc).to_le_bytes());
}

/// One slot of META is enough, whatever the others say. Of two snapshots the older one is not looked at.
#[test]
fn any_file_of_a_later_version_is_refused_as_one_where_it_is_looked_at() {
    for directory in BOTH.map(|make| make(1)) {
        let places = Places::of(&directory.disk);
        let Found::Read { on, .. } = directory.expected(places.sound(), &[]) else { unreachable!() };
        for name in directory.names() {
            let bytes = directory.disk.bytes(&name).expect("it is there");
            let slots = if name == "META" { 4 } else { 1 };
            for slot in 0..slots.min(bytes.len() / 4096) {
                let mut newer = bytes.clone();
                make_newer(&mut newer[slot * 4096..][..4096]);
                let expected = match (segment_id(&name), snapshot_id(&name)) {
                    _ if name == "META" => Found::Newer(LogFile::Meta),
                    (Some(id), _) => Found::Newer(LogFile::Segment(id)),
                    (_, Some(id)) if on == Some(id) => Found::Newer(LogFile::Snapshot(id)),
                    _ => directory.expected(places.sound(), &[]),
                };
                let what = format!("{name}, slot {slot}");
                assert_eq!(directory.judge(&directory.with(&name, &newer), &what), expected, "{what}");
            }
        }
    }
}
