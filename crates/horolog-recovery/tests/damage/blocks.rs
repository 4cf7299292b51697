//! Every block of every file that the medium gives an error for, and every file that there is no memory for.
//!
//! It is never taken for the end of the log, nor for damage of what somebody has promised: `docs/format.md`, "Reading".

use horolog_sim::{Errno, Fault, Pattern, SimDisk, Trigger};
use horolog_storage::Op;
use horolog_wal::{LogOptions, read_log};

use crate::directory::{Directory, options, snapshot_id};
use crate::files::BOTH;
use crate::found::Found;
use crate::places::{Places, segment_id};

/// How much of a file reading looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needed {
    Whole,
    Header,
    Nothing,
}

impl Directory {
    /// META is read, and the header of each segment; of those that META lists or a LINK names, all of it. Of snapshots the
    /// newest one is, and the next only if that cannot be used.
    fn needed(&self, places: &Places, name: &str) -> Needed {
        match segment_id(name) {
            Some(id) if places.is_needed(id) => Needed::Whole,
            Some(_) => Needed::Header,
            None if snapshot_id(name).is_some_and(|id| self.is_older(id)) => Needed::Nothing,
            None => Needed::Whole,
        }
    }

    /// What has to come of an error for the block of a file that begins there.
    fn if_unreadable(&self, places: &Places, name: &str, offset: u64) -> Found {
        match (self.needed(places, name), snapshot_id(name)) {
            (Needed::Whole, Some(id)) => self.expected(places.sound(), &[id]),
            (Needed::Whole, None) => Found::Unread { name: name.to_owned(), offset },
            (Needed::Header, _) if offset == 0 => Found::Unread { name: name.to_owned(), offset },
            _ => self.expected(places.sound(), &[]),
        }
    }
}

#[test]
fn every_block_that_cannot_be_read_is_told_with_its_file_and_its_offset_or_is_not_needed() {
    let (mut told, mut passed_over, mut not_needed) = (0, 0, 0);
    for directory in BOTH.map(|make| make(1)) {
        let places = Places::of(&directory.disk);
        for (name, len) in directory.disk.files() {
            for offset in (0..len).step_by(4096) {
                let disk = directory.disk.process_kill();
                disk.make_unreadable(&name, offset..len.min(offset + 4096));
                let (what, expected) =
                    (format!("{name} at {offset}"), directory.if_unreadable(&places, &name, offset));
                assert_eq!(directory.judge(&disk, &what), expected, "{what}");
                let by_the_log = read_log(&disk, &options()).map(drop).map_err(|error| error.to_string());
                match expected {
                    Found::Unread { .. } => {
                        let error = by_the_log.expect_err("the log cannot be read");
                        assert!(error.contains(&what), "{error}");
                        told += 1;
                    }
                    Found::Read { rotten: 1, .. } => passed_over += 1,
                    _ => not_needed += 1,
                }
            }
        }
    }
    assert!(told > 60 && passed_over > 1 && not_needed > 7, "{told}, {passed_over}, {not_needed}");
}

/// With the lock files are mapped, and need no memory where that succeeds; the simulated disk maps none. That there is no
/// memory says nothing about a snapshot, so that none is passed over for it.
#[test]
fn every_file_that_there_is_no_memory_for_is_told_with_its_length_or_is_not_needed() {
    let without_memory = |disk: &SimDisk, name: &str| {
        let refused = Fault::Refused(Op::Read, Errno::NoMemory);
        // Blocks that are read for their headers take no memory that depends on the file.
        let headers = u64::from(segment_id(name).is_some());
        disk.inject(refused, Trigger::after(headers).for_ever().on(Pattern::is(name)));
    };
    let (mut told, mut not_needed) = (0, 0);
    for directory in BOTH.map(|make| make(1)) {
        let places = Places::of(&directory.disk);
        for (name, len) in directory.disk.files().into_iter().filter(|(name, _)| name != "META") {
            let expected = match directory.needed(&places, &name) {
                Needed::Whole => Found::NoMemory { name: name.clone(), bytes: len },
                _ => directory.expected(places.sound(), &[]),
            };
            for has_lock in [true, false] {
                let disk = directory.disk.process_kill();
                without_memory(&disk, &name);
                let read = directory.read(&disk, &LogOptions { has_lock, ..options() }, &name);
                assert_eq!(read, expected, "{name}, with the lock: {has_lock}");
            }
            *(if matches!(expected, Found::NoMemory { .. }) { &mut told } else { &mut not_needed }) += 1;
        }
    }
    assert!(told > 8 && not_needed > 1, "{told}, {not_needed}");
}
