//! The golden directories: what happened to each. Every byte follows from a seed.

use std::sync::Arc;

use horolog_sim::{Errno, Fate, Pending, SimDisk};
use horolog_state::{
    Cancel, ClockReading, Complete, Deliver, DueTime, Epoch, Put, Record, Tick, TickLen, Timeline, TimerId,
    codec,
};
use horolog_storage::Op;

use crate::hex::Files;
use crate::owner::Owner;
use crate::snapshots;

pub(crate) struct Scene {
    pub(crate) name: &'static str,
    /// What happened, for the head of the file.
    pub(crate) story: &'static str,
    make: fn(&Arc<SimDisk>) -> SimDisk,
}

pub(crate) const SCENES: [Scene; 15] = [
    Scene { name: "begun", story: "killed while the log was made: META says so", make: begun },
    Scene { name: "new", story: "opened for the first time, and nothing written", make: new },
    Scene { name: "clean", story: "three timers, one cancelled, one done; closed in order", make: clean },
    Scene {
        name: "torn",
        story: "power was cut inside a batch: of its sectors the first 100 bytes arrived",
        make: torn,
    },
    Scene { name: "rotten", story: "a bit of an acknowledged record flipped", make: rotten },
    Scene {
        name: "poisoned-and-reopened",
        story: "a sync failed with a batch on its way; the next opening copied it forward",
        make: poisoned_and_reopened,
    },
    Scene { name: "rotated", story: "two segments are full; a spare is ready", make: rotated },
    Scene {
        name: "rotated-during-a-sync",
        story: "a sync returned when the log had gone on: its end lies inside a batch of the next segment",
        make: rotated_during_a_sync,
    },
    Scene {
        name: "healed",
        story: "a sync failed, and the same process went on in a fresh segment",
        make: healed,
    },
    Scene {
        name: "full-meta-pair-torn",
        story: "power was cut while META was updated: both slots of the pair are torn",
        make: full_meta_pair_torn,
    },
    Scene {
        name: "snapshots",
        story: "two snapshots, and a log whose beginning was let go; closed in order",
        make: snapshots::clean,
    },
    Scene {
        name: "snapshot-half-made",
        story: "killed while the third snapshot was written",
        make: snapshots::half_made,
    },
    Scene {
        name: "snapshot-not-listed",
        story: "killed when the third snapshot had its name, before META listed it",
        make: snapshots::not_listed,
    },
    Scene {
        name: "snapshot-rotten",
        story: "a bit of the newest snapshot flipped; the older one stands",
        make: snapshots::rotten,
    },
    Scene {
        name: "snapshots-rotten",
        story: "a bit of each snapshot flipped, and nothing else holds the beginning of the log",
        make: snapshots::both_rotten,
    },
];

impl Scene {
    /// Makes the directory anew.
    pub(crate) fn files(&self) -> Files {
        let seed = self.name.bytes().fold(0, |seed: u64, byte| seed.wrapping_mul(31) + u64::from(byte));
        (self.make)(&Arc::new(SimDisk::new(seed))).image()
    }
}

pub(crate) fn encoded(record: &Record<'_>) -> (u8, Vec<u8>) {
    let mut body = Vec::new();
    codec::encode(record, &mut body);
    (record.kind().code(), body)
}

pub(crate) fn epoch(epoch: u64) -> (u8, Vec<u8>) {
    let reading = ClockReading {
        wall_ns: 1_767_225_600_000_000_000,
        boottime_ns: 86_400_000_000_000,
        boot_id: 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff,
        elapsed_ns: epoch * 1_000_000_000,
    };
    let generation_floor = if epoch == 1 { 1000 } else { 0 };
    encoded(&Record::Epoch(Epoch { epoch, tick_len: TickLen::MILLISECOND, generation_floor, reading }))
}

/// Timers of the first epoch have the generation 1002, one above each floor; those of the second, 1010.
pub(crate) fn id(slot: u32, epoch: u64) -> TimerId {
    TimerId::new(slot, if epoch == 1 { 1002 } else { 1010 }).expect("an id")
}

pub(crate) fn put(slot: u32, epoch: u64) -> (u8, Vec<u8>) {
    let due = DueTime { timeline: Timeline::Civil, tick: Tick(4_102_444_800_000 + u64::from(slot)) };
    let payload = format!("order {slot}").into_bytes();
    encoded(&Record::Put(Put { id: id(slot, epoch), due, terms: None, payload: payload[..].into() }))
}

pub(crate) fn cancel(slot: u32) -> (u8, Vec<u8>) {
    encoded(&Record::Cancel(Cancel { id: id(slot, 1) }))
}

fn delivered_and_done(slot: u32) -> [(u8, Vec<u8>); 2] {
    let (id, occurrence, number) = (id(slot, 1), 0, 1);
    let deliver = Deliver { id, occurrence, covers_from: 0, number, epoch: 1, next_due: None };
    [Record::Deliver(deliver), Record::Complete(Complete { id, occurrence, number })].map(|it| encoded(&it))
}

/// A first life with the timers 0, 1 and 2, synced.
fn first_life(disk: &Arc<SimDisk>) -> Owner {
    let mut owner = Owner::open(disk, 0).unwrap();
    commit(&mut owner, &[epoch(1), put(0, 1)]);
    commit(&mut owner, &[put(1, 1), put(2, 1)]);
    owner
}

fn commit(owner: &mut Owner, records: &[(u8, Vec<u8>)]) {
    owner.write(records).unwrap();
    owner.sync().unwrap();
}

fn begun(disk: &Arc<SimDisk>) -> SimDisk {
    // META is made by five changes: create, write, sync, rename, and a sync of the directory. Two more begin a segment.
    disk.halt_after(7);
    Owner::open(disk, 0).err().expect("the machine is off");
    disk.process_kill()
}

fn new(disk: &Arc<SimDisk>) -> SimDisk {
    Owner::open(disk, 0).unwrap();
    disk.fork()
}

fn clean(disk: &Arc<SimDisk>) -> SimDisk {
    let mut owner = first_life(disk);
    commit(&mut owner, &[cancel(0)]);
    commit(&mut owner, &delivered_and_done(1));
    owner.witness().unwrap();
    owner.mark(true).unwrap();
    owner.sync().unwrap();
    disk.fork()
}

fn torn(disk: &Arc<SimDisk>) -> SimDisk {
    let mut owner = first_life(disk);
    owner.write(&[put(3, 1), put(4, 1)]).unwrap();
    disk.crash(&mut |_| Fate::Torn { bytes: 100 })
}

fn rotten(disk: &Arc<SimDisk>) -> SimDisk {
    let mut owner = first_life(disk);
    owner.mark(false).unwrap();
    owner.sync().unwrap();
    // In the payload of timer 1.
    let segment = "seg-0000000000000001.wal";
    let bytes = disk.bytes(segment).unwrap();
    let at = bytes.windows(7).position(|window| window == b"order 1").unwrap();
    assert!(disk.flip(segment, at as u64, 0x10));
    disk.fork()
}

fn poisoned_and_reopened(disk: &Arc<SimDisk>) -> SimDisk {
    let mut owner = first_life(disk);
    owner.write(&[put(3, 1), cancel(2)]).unwrap();
    disk.fail_next(Op::Sync, 0, Errno::Io);
    owner.sync().unwrap_err();
    drop(owner);
    let mut owner = Owner::open(disk, 0).unwrap();
    commit(&mut owner, &[epoch(2)]);
    commit(&mut owner, &[put(4, 2)]);
    owner.mark(false).unwrap();
    owner.sync().unwrap();
    disk.fork()
}

/// Of the eight blocks of a segment the header, the LINK and the SEAL take one each.
fn rotated(disk: &Arc<SimDisk>) -> SimDisk {
    let mut owner = first_life(disk);
    for slot in 3..13 {
        owner.prepare().unwrap();
        commit(&mut owner, &[put(slot, 1)]);
    }
    owner.prepare().unwrap();
    disk.fork()
}

/// Three batches go along, of which the sync has made one durable where it was.
fn rotated_during_a_sync(disk: &Arc<SimDisk>) -> SimDisk {
    let mut owner = first_life(disk);
    owner.prepare().unwrap();
    owner.write(&[put(3, 1)]).unwrap();
    let meanwhile = |owner: &mut Owner| (4..7).try_for_each(|slot| owner.write(&[put(slot, 1)]));
    owner.sync_slowly(meanwhile).unwrap();
    owner.witness().unwrap();
    disk.fork()
}

fn healed(disk: &Arc<SimDisk>) -> SimDisk {
    let mut owner = first_life(disk);
    owner.write(&[put(3, 1), cancel(2)]).unwrap();
    disk.fail_next(Op::Sync, 0, Errno::Io);
    owner.sync().unwrap_err();
    owner.write(&[put(4, 1)]).unwrap_err();
    owner.heal().unwrap();
    commit(&mut owner, &[put(5, 1)]);
    disk.fork()
}

fn full_meta_pair_torn(disk: &Arc<SimDisk>) -> SimDisk {
    let mut owner = first_life(disk);
    owner.witness().unwrap();
    commit(&mut owner, &[cancel(0)]);
    // The write goes well, and the sync does not come to an end.
    disk.halt_after(1);
    owner.witness().unwrap_err();
    disk.crash(&mut |pending| match pending {
        // Of each slot, the sector with the fields is cut before the witness.
        Pending::Sector { sector, .. } if sector % 8 == 0 => Fate::Torn { bytes: 44 },
        _ => Fate::Applied,
    })
}
