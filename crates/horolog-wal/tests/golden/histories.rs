//! Seeded histories of a log, with crashes, failures, healing and damage: two readers, one verdict.

use std::collections::BTreeMap;
use std::sync::Arc;

use horolog_sim::{Errno, Fate, Rng, SimDisk};
use horolog_storage::Op;
use horolog_wal::{LogError, Lsn};

use crate::agreement::agreed;
use crate::hex::Files;
use crate::owner::Owner;
use horolog_sim::decoder::Verdict;

const CODEC: u16 = 7;

fn step(owner: &mut Owner, rng: &mut Rng) -> Result<(), LogError> {
    match rng.below(14) {
        0..4 => owner.write(&records(rng)).and_then(|()| owner.sync()),
        4..8 => owner.write(&records(rng)),
        8 => owner.witness(),
        9 => owner.mark(false),
        10 => owner.prepare(),
        11 => owner.retire_below(Lsn(owner.durable.0 - owner.durable.0.min(rng.below(8)))),
        12 => snapshot(owner, rng),
        _ => owner.sync(),
    }
}

/// The log does not know what stands in a section.
fn snapshot(owner: &mut Owner, rng: &mut Rng) -> Result<(), LogError> {
    let section = |rng: &mut Rng| {
        let mut section = vec![0; rng.below(3000) as usize];
        rng.fill(&mut section);
        section
    };
    let sections: Vec<_> = (0..=rng.below(3)).map(|_| section(rng)).collect();
    let begin = owner.durable;
    let below = owner.snapshot(begin, &sections)?;
    if rng.one_in(2) { owner.retire_below(below) } else { Ok(()) }
}

fn records(rng: &mut Rng) -> Vec<(u8, Vec<u8>)> {
    let record = |rng: &mut Rng| {
        let len = if rng.one_in(8) { rng.below(6000) } else { rng.below(60) };
        let mut body = vec![0; len as usize];
        rng.fill(&mut body);
        (rng.below(0xF0) as u8, body)
    };
    (0..=rng.below(3)).map(|_| record(rng)).collect()
}

/// Opens the log and works until the machine stops or the steps are done. A failure is healed, most often.
fn live(disk: &Arc<SimDisk>, rng: &mut Rng) {
    disk.halt_after(if rng.one_in(3) { u64::MAX } else { rng.below(150) });
    let Ok(mut owner) = Owner::open(disk, CODEC) else { return };
    if rng.one_in(3) {
        let op = *rng.pick(&[Op::Write, Op::Sync, Op::SyncDir, Op::Rename]).unwrap();
        disk.fail_next(op, rng.below(12), Errno::Io);
    }
    for _ in 0..rng.below(40) {
        if step(&mut owner, rng).is_err() && (rng.one_in(4) || owner.heal().is_err()) {
            return;
        }
    }
    if rng.one_in(3) && owner.sync().is_ok() {
        let _ = owner.mark(true).and_then(|()| owner.sync());
    }
}

fn crash(disk: &SimDisk, rng: &mut Rng) -> SimDisk {
    let of_eight = [0, 1, 4, 7, 8][rng.below(5) as usize];
    match rng.below(4) {
        0 => disk.process_kill(),
        _ => disk.crash(&mut |_| match rng.below(16) {
            0 => Fate::Torn { bytes: rng.below(512) as usize },
            1 => Fate::BothNames,
            _ if rng.below(8) < of_eight => Fate::Applied,
            _ => Fate::Dropped,
        }),
    }
}

/// A block that is not blank: its file and its offset.
fn any_block(files: &Files, rng: &mut Rng) -> Option<(String, usize)> {
    let blocks: Vec<_> = files
        .iter()
        .flat_map(|(name, bytes)| bytes.chunks(4096).enumerate().map(move |(at, block)| (name, at, block)))
        .filter(|(_, _, block)| block.iter().any(|byte| *byte != 0))
        .map(|(name, at, _)| (name.clone(), at * 4096))
        .collect();
    rng.pick(&blocks).cloned()
}

fn any_name(files: &Files, rng: &mut Rng) -> String {
    let names: Vec<_> = files.keys().cloned().collect();
    rng.pick(&names).cloned().unwrap_or_default()
}

/// Damages the directory once. `old` is how it was some time ago.
fn damage(files: &mut Files, old: &Files, rng: &mut Rng) {
    let Some((name, at)) = any_block(files, rng) else { return };
    let file = files.get_mut(&name).expect("a file that was just there");
    match rng.below(9) {
        // A bit, where most bytes have a meaning.
        0 | 1 => {
            let span = if rng.one_in(2) { 160 } else { 4096.min(file.len() - at) as u64 };
            if let Some(byte) = file.get_mut(at + rng.below(span) as usize) {
                *byte ^= 1 << rng.below(8);
            }
        }
        // A block, or all from there on, was never written.
        2 => file[at..].iter_mut().take(4096).for_each(|byte| *byte = 0),
        3 => file[at..].iter_mut().for_each(|byte| *byte = 0),
        4 => file.truncate(at + rng.below(4096) as usize),
        5 => drop(files.remove(&any_name(files, rng))),
        // A file, or a block, of some time ago.
        6 => {
            let name = if rng.one_in(2) { String::from("META") } else { any_name(old, rng) };
            files.extend(old.get(&name).map(|bytes| (name, bytes.clone())));
        }
        7 => {
            let block = old.get(&name).and_then(|bytes| bytes.get(at..)).unwrap_or_default();
            file[at..].iter_mut().zip(block).take(4096).for_each(|(byte, old)| *byte = *old);
        }
        // A block that was written to another place.
        _ => {
            let block: Vec<_> = file[at..].iter().take(4096).copied().collect();
            if let Some((name, at)) = any_block(files, rng) {
                let file = files.get_mut(&name).expect("a file that was just there");
                file[at..].iter_mut().zip(block).for_each(|(byte, other)| *byte = other);
            }
        }
    }
}

fn class(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Empty => "empty",
        Verdict::Log(log) if log.torn_bytes > 0 => "torn",
        Verdict::Log(log) if log.clean => "clean",
        Verdict::Log(_) => "sound",
        Verdict::Corruption(it) if it.lost.is_some() => "lost at the end",
        Verdict::Corruption(_) => "damaged",
        Verdict::Refused(_) => "refused",
    }
}

/// A segment whose header says that its file was another one's before.
fn is_recycled(bytes: &[u8]) -> bool {
    bytes.starts_with(b"HOROLOG") && bytes[65] == 1
}

#[test]
fn a_decoder_written_from_the_specification_agrees_on_histories_with_crashes_and_damage() {
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    let (mut recycled, mut whole, mut rotten) = (0, 0, 0);
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        let mut disk = Arc::new(SimDisk::new(seed));
        let mut old = Files::new();
        for life in 0..4 {
            live(&disk, &mut rng);
            disk = Arc::new(crash(&disk, &mut rng));
            let files = disk.image();
            let mut check = |files: &Files, what: &str| match agreed(files, CODEC) {
                Ok(verdict) => {
                    *seen.entry(class(&verdict)).or_default() += 1;
                    let Verdict::Log(log) = verdict else { return };
                    whole += log.snapshots.iter().filter(|it| it.sections.is_some()).count();
                    rotten += log.snapshots.iter().filter(|it| it.sections.is_none()).count();
                }
                Err(differ) => panic!("seed {seed}, life {life}, {what}: {differ}"),
            };
            check(&files, "undamaged");
            recycled += files.values().filter(|bytes| is_recycled(bytes)).count();
            for turn in 0..4 {
                let mut damaged = files.clone();
                (0..=rng.below(2)).for_each(|_| damage(&mut damaged, &old, &mut rng));
                check(&damaged, &format!("damage {turn}"));
            }
            old = files;
        }
    }
    assert!(whole > 200 && rotten > 20, "{whole} whole snapshots, {rotten} that are not");
    assert!(recycled > 20, "{recycled} files were another segment's before");
    let classes = ["clean", "damaged", "empty", "lost at the end", "refused", "sound", "torn"];
    assert!(classes.iter().all(|class| seen.get(class).is_some_and(|times| *times >= 20)), "{seen:?}");
}
