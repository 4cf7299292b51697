//! The rows of the crash table (`docs/durability.md`), each found in an image and not merely meant by a step.

use horolog_recovery::Recovered;
use horolog_sim::SimDisk;
use horolog_wal::{BLOCK_LEN, LogState, Meta, SegmentHeader, SegmentRole};

use super::world::World;
use crate::machine::Job;

/// The rows that a run can reach.
pub(crate) const ROWS: [&str; 24] = [
    "commit: written, not synced",
    "commit: synced, nobody told",
    "commit: told, no later stamp",
    "commit: torn tail",
    "rotate: sealed, successor blank",
    "rotate: first batch of the successor is half there",
    "prepare: half-made segment",
    "prepare or open: complete and not listed",
    "open: listed, first batch not valid",
    "open: new head durable, nothing shown",
    "open: shown, epoch not written",
    "meta: half of an update",
    "meta: an update in one slot of its pair",
    "tidy: a file that is not needed any more",
    "close: marked as clean",
    "initialise: no META",
    "initialise: META says so",
    "heal: cut short",
    "snapshot: half-made file",
    "snapshot: named, not listed",
    "snapshot: not listed any more, still there",
    "snapshot: read from the newest",
    "retire: the log begins later",
    "recycle: a file in its second life is the head",
];

/// How far the log had come.
pub(super) fn before(world: &mut World) {
    let positions = world.positions();
    if positions.written > positions.durable {
        world.counts.row("commit: written, not synced");
    }
    let synced = |outcome: &crate::machine::Outcome| {
        outcome.result.is_ok() && matches!(outcome.job, Job::Sync { upto } if upto.0 > positions.durable)
    };
    if world.done.iter().any(synced) {
        world.counts.row("commit: synced, nobody told");
    }
    if positions.durable > 0 && super::evidence::proven(&world.disk, &|_| false) < positions.durable {
        world.counts.row("commit: told, no later stamp");
    }
}

/// What an image shows.
pub(super) fn after(world: &mut World, disk: &SimDisk, found: &Recovered<'_>) {
    let segments = &found.log.segments;
    let head = segments.iter().find(|it| it.role == SegmentRole::Head);
    let head_id = head.map_or(0, |head| head.id);
    let newer = |role| segments.iter().any(|it| it.role == role && it.id > head_id);
    let by_opening = segments.iter().any(|it| {
        let unused = matches!(it.role, SegmentRole::Blank | SegmentRole::Burnt);
        unused && it.id > head_id && head.is_some_and(|head| it.epoch > head.epoch)
    });
    let sealed = head.is_some_and(|head| head.sealed);
    let files = disk.files();
    let has = |name: &str| files.iter().any(|(it, _)| it == name);
    let half_made = files.iter().any(|(name, _)| name.ends_with(".wal.tmp"));
    let empty = found.log.state == LogState::Empty;
    let unlisted = unlisted_snapshots(&files, found);
    let reached = [
        (found.report.torn_bytes > 0, "commit: torn tail"),
        (sealed && newer(SegmentRole::Blank), "rotate: sealed, successor blank"),
        (sealed && newer(SegmentRole::Burnt), "rotate: first batch of the successor is half there"),
        (half_made, "prepare: half-made segment"),
        (newer(SegmentRole::Unlisted), "prepare or open: complete and not listed"),
        (by_opening, "open: listed, first batch not valid"),
        (found.report.meta_bad_slots > 0, "meta: half of an update"),
        (is_meta_between(disk), "meta: an update in one slot of its pair"),
        (
            segments.iter().any(|it| it.role == SegmentRole::Unlisted && it.id < head_id),
            "tidy: a file that is not needed any more",
        ),
        (found.report.clean, "close: marked as clean"),
        (empty && !has("META"), "initialise: no META"),
        (empty && has("META"), "initialise: META says so"),
        (files.iter().any(|(name, _)| name.ends_with(".img.tmp")), "snapshot: half-made file"),
        (unlisted.contains(&true), "snapshot: named, not listed"),
        (unlisted.contains(&false), "snapshot: not listed any more, still there"),
        (found.report.snapshot.is_some() && found.rotten.is_empty(), "snapshot: read from the newest"),
        (found.log.first_lsn.0 > 1, "retire: the log begins later"),
        (is_recycled(disk, head_id), "recycle: a file in its second life is the head"),
    ];
    for (_, row) in reached.iter().filter(|(reached, _)| *reached) {
        world.counts.row(row);
    }
}

/// Of each snapshot that does not count, whether it is newer than those that do.
pub(super) fn unlisted_snapshots(files: &[(String, u64)], found: &Recovered<'_>) -> Vec<bool> {
    let listed: Vec<u64> = found.log.snapshots().map(|it| it.id).collect();
    let id_of = |name: &str| u64::from_str_radix(name.strip_prefix("snap-")?.strip_suffix(".img")?, 16).ok();
    let unlisted = files.iter().filter_map(|(name, _)| id_of(name)).filter(|id| !listed.contains(id));
    unlisted.map(|id| listed.iter().all(|listed| id > *listed)).collect()
}

/// Both slots of a pair are valid, and one has an update that the other has not.
pub(super) fn is_meta_between(disk: &SimDisk) -> bool {
    let bytes = disk.bytes("META").unwrap_or_default();
    let slots = bytes.chunks(BLOCK_LEN as usize).enumerate();
    let seqs: Vec<_> =
        slots.map(|(slot, bytes)| Meta::decode(bytes, slot).map(|meta| meta.seq).ok()).collect();
    seqs.chunks(2).any(|pair| matches!(*pair, [Some(one), Some(other)] if one != other))
}

pub(super) fn is_recycled(disk: &SimDisk, head_id: u64) -> bool {
    let bytes = disk.bytes(&format!("seg-{head_id:016x}.wal")).unwrap_or_default();
    let header = bytes.get(..4096).and_then(|block| SegmentHeader::decode(block).ok());
    header.is_some_and(|header| header.is_recycled)
}

/// What an opening that was cut short left.
pub(super) fn in_opening(world: &mut World, found: &Recovered<'_>, shown: bool) {
    let head = found.log.segments.iter().find(|it| it.role == SegmentRole::Head);
    let is_new = head.is_some_and(|head| head.epoch > world.shown_epoch);
    if shown {
        world.counts.row("open: shown, epoch not written");
    } else if is_new {
        world.counts.row("open: new head durable, nothing shown");
    }
}
