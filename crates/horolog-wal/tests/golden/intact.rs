//! Headers of another meaning, with the right checksum: later versions, unknown bits, fields that contradict each other.

use std::collections::BTreeMap;

use crate::agreement::agreed;
use crate::hex::Files;
use crate::scenes::SCENES;
use horolog_sim::decoder::{Refusal, Verdict};

const SEGMENT: &str = "seg-0000000000000002.wal";

/// Two segments, the second of which is the head.
fn files() -> Files {
    scene("poisoned-and-reopened")
}

fn scene(name: &str) -> Files {
    SCENES.iter().find(|scene| scene.name == name).expect("a scene").files()
}

/// Makes a block whole: magic, fields and checksum, as in slots of META and in headers of segments.
fn sum(block: &mut [u8]) {
    let crc = crc32fast::hash(&block[..4088]);
    block[4088..4092].copy_from_slice(&crc.to_le_bytes());
    block[4092..4096].copy_from_slice(&(!crc).to_le_bytes());
}

/// Makes the header of a batch whole in its place.
fn sum_batch(segment: &mut [u8], block: usize) {
    let place = u32::try_from(block).expect("a block").to_le_bytes();
    let header = &segment[block * 4096..][..64];
    let crc = crc32fast::hash(&[&segment[16..40], &segment[48..56], &place, &header[8..]].concat());
    segment[block * 4096 + 4..][..4].copy_from_slice(&crc.to_le_bytes());
}

/// Tries several values in each byte of a range; counts what both readers said.
fn try_bytes(range: std::ops::Range<usize>, edit: impl Fn(&mut Files, usize, u8)) -> BTreeMap<String, usize> {
    try_bytes_of(&files(), range, edit)
}

fn try_bytes_of(
    whole: &Files,
    range: std::ops::Range<usize>,
    edit: impl Fn(&mut Files, usize, u8),
) -> BTreeMap<String, usize> {
    let mut said = BTreeMap::new();
    for at in range {
        for mask in [1, 2, 0x10, 0x80, 0xFF] {
            let mut files = whole.clone();
            edit(&mut files, at, mask);
            let verdict =
                agreed(&files, 0).unwrap_or_else(|differ| panic!("byte {at}, {mask:#04x}: {differ}"));
            let class = match verdict {
                Verdict::Refused(refusal) => format!("{refusal:?}"),
                Verdict::Corruption(_) => String::from("Corruption"),
                Verdict::Empty | Verdict::Log(_) => String::from("Read"),
            };
            *said.entry(class).or_default() += 1;
        }
    }
    said
}

#[track_caller]
fn check_said(said: &BTreeMap<String, usize>, classes: &[&str]) {
    assert_eq!(said.keys().collect::<Vec<_>>(), classes, "{said:?}");
}

#[test]
fn two_readers_agree_on_every_field_of_meta() {
    let said = try_bytes(0..600, |files, at, mask| {
        let slots = files.get_mut("META").expect("META").chunks_mut(4096);
        slots.for_each(|slot| {
            slot[at] ^= mask;
            sum(slot);
        });
    });
    check_said(&said, &["Corruption", "Foreign", "MetaDamaged", "Newer", "Read", "Unknown"]);
}

/// The numbers of the snapshots that META lists stand between 512 and 592.
#[test]
fn two_readers_agree_on_every_field_of_a_snapshot() {
    let (name, whole) = ("snap-0000000000000002.img", scene("snapshots"));
    let mut said = try_bytes_of(&whole, 512..592, |files, at, mask| {
        files.get_mut("META").expect("META").chunks_mut(4096).for_each(|slot| {
            slot[at] ^= mask;
            sum(slot);
        });
    });
    check_said(&said, &["MetaDamaged", "Read"]);
    said = try_bytes_of(&whole, 0..4096, |files, at, mask| {
        let header = &mut files.get_mut(name).expect("a snapshot")[..4096];
        header[at] ^= mask;
        sum(header);
    });
    check_said(&said, &["Newer", "Read", "Unknown"]);
    said = try_bytes_of(&whole, 4096..whole[name].len(), |files, at, mask| {
        files.get_mut(name).expect("a snapshot")[at] ^= mask;
    });
    check_said(&said, &["Read"]);
}

#[test]
fn two_readers_agree_on_every_field_of_one_slot() {
    for slot in 0..4 {
        let said = try_bytes(0..180, |files, at, mask| {
            let slot = &mut files.get_mut("META").expect("META")[slot * 4096..][..4096];
            slot[at] ^= mask;
            sum(slot);
        });
        assert!(said["Newer"] > 0 && said["Unknown"] > 0 && said["Read"] > 0, "{said:?}");
    }
}

#[test]
fn two_readers_agree_on_every_field_of_the_header_of_a_segment() {
    let said = try_bytes(0..140, |files, at, mask| {
        let segment = files.get_mut(SEGMENT).expect("the head");
        segment[at] ^= mask;
        sum(&mut segment[..4096]);
    });
    check_said(&said, &["Corruption", "Foreign", "Newer", "Read", "Unknown"]);
    assert_eq!(said["Read"], 1, "that the file was another segment's before is no damage");
}

#[test]
fn two_readers_agree_on_every_field_of_the_header_of_a_batch() {
    let mut classes = std::collections::BTreeSet::new();
    for block in 1..5 {
        let said = try_bytes(0..64, |files, at, mask| {
            let segment = files.get_mut(SEGMENT).expect("the head");
            segment[block * 4096 + at] ^= mask;
            sum_batch(segment, block);
        });
        classes.extend(said.into_keys());
    }
    assert!(classes.iter().eq(["Corruption", "Read", "Unknown"]), "{classes:?}");
}

/// A rotation puts what was not durable into one batch, and some of it can be durable where it was before.
#[test]
fn a_durable_lsn_inside_a_batch_is_ordinary() {
    let mut files = files();
    // The first batch of the head has the records 5 and 6; what comes after it goes.
    files.get_mut(SEGMENT).expect("the head")[2 * 4096..].fill(0);
    let mut said = |witness: u8| {
        files.get_mut("META").expect("META").chunks_mut(4096).for_each(|slot| {
            slot[48] = witness;
            sum(slot);
        });
        agreed(&files, 0).expect("two readers that agree")
    };
    assert!(matches!(said(4), Verdict::Log(log) if (log.durable, log.valid) == (4, 6)));
    assert!(matches!(said(5), Verdict::Log(log) if (log.durable, log.valid) == (5, 6)));
    assert!(matches!(said(6), Verdict::Log(log) if (log.durable, log.valid) == (6, 6)));
    assert!(
        matches!(said(7), Verdict::Corruption(it) if it.lost.map(|it| (it.first, it.last)) == Some((7, 7)))
    );
}

/// What is reserved stays zero until the version or a bit of incompat says otherwise.
#[test]
fn an_unknown_version_or_bit_is_told_from_damage() {
    let said = |edit: &dyn Fn(&mut [u8])| {
        let mut files = files();
        let segment = files.get_mut(SEGMENT).expect("the head");
        edit(&mut segment[..4096]);
        sum(&mut segment[..4096]);
        agreed(&files, 0).expect("two readers that agree")
    };
    assert_eq!(said(&|header| header[8] = 1), Verdict::Refused(Refusal::Newer));
    assert_eq!(said(&|header| header[96] = 1), Verdict::Refused(Refusal::Unknown));
    assert_eq!(said(&|header| header[10] = 1), Verdict::Refused(Refusal::Unknown));
    assert!(matches!(said(&|header| header[80] = 1), Verdict::Corruption(_)));
}
