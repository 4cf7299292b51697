//! The disk against a model of it that is as simple as can be: plain vectors, and a list of everything that was done.

use std::collections::BTreeMap;

use horolog_sim::{Errno, Fate, Fault, Pending, Rng, SimDisk, SyncFailure, Trigger};
use horolog_storage::{Op, Storage, StorageError};

const SECTOR: usize = 512;

/// A sector as one write left it, or a longer size, with the number under which it is dealt a fate.
#[derive(Clone)]
enum Waiting {
    Sector(usize, Vec<u8>),
    Size(usize),
}

#[derive(Clone, Default)]
struct File {
    seen: Vec<u8>,
    durable: Vec<u8>,
    waiting: Vec<(u64, Waiting)>,
}

#[derive(Clone)]
enum Change {
    Create(String, usize),
    /// The loss of the old name; the new one is a change of its own, of the same call.
    Rename(String),
    Remove(String),
}

type Table = BTreeMap<String, usize>;

/// What the disk should be.
#[derive(Clone, Default)]
struct Model {
    files: Vec<File>,
    seen: Table,
    durable: Table,
    changes: Vec<(u64, Change)>,
    clock: u64,
}

fn overlay(bytes: &mut Vec<u8>, at: usize, new: &[u8]) {
    bytes.resize(bytes.len().max(at + new.len()), 0);
    bytes[at..at + new.len()].copy_from_slice(new);
}

impl Change {
    fn apply(&self, table: &mut Table, keep_old: bool) {
        match self {
            Self::Create(name, file) => drop(table.insert(name.clone(), *file)),
            Self::Remove(name) => drop(table.remove(name)),
            Self::Rename(_) if keep_old => {}
            Self::Rename(from) => drop(table.remove(from)),
        }
    }
}

impl Model {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn write(&mut self, name: &str, at: usize, bytes: &[u8]) {
        let now = self.tick();
        let file = &mut self.files[self.seen[name]];
        let before = file.seen.len();
        overlay(&mut file.seen, at, bytes);
        for sector in at / SECTOR..=(at + bytes.len() - 1) / SECTOR {
            let end = ((sector + 1) * SECTOR).min(file.seen.len());
            let whole = file.seen[sector * SECTOR..end].to_vec();
            file.waiting.push((now, Waiting::Sector(sector, whole)));
        }
        if file.seen.len() > before {
            file.waiting.push((now, Waiting::Size(file.seen.len())));
        }
    }

    fn sync(&mut self, name: &str) {
        let file = &mut self.files[self.seen[name]];
        file.durable = file.seen.clone();
        file.waiting.clear();
    }

    fn change(&mut self, change: Change) {
        let now = self.tick();
        change.apply(&mut self.seen, false);
        self.changes.push((now, change));
    }

    fn rename(&mut self, from: String, to: String) {
        self.change(Change::Create(to, self.seen[&from]));
        self.seen.remove(&from);
        self.changes.push((self.clock, Change::Rename(from)));
    }

    fn sync_dir(&mut self) {
        self.durable = self.seen.clone();
        self.changes.clear();
    }

    /// What is found, if `fate` is asked by the number of the call and, for sectors, the sector.
    fn crash(&self, fate: &dyn Fn(u64, Option<usize>) -> Fate) -> BTreeMap<String, Vec<u8>> {
        let mut table = self.durable.clone();
        for (now, change) in &self.changes {
            match fate(*now, None) {
                Fate::Applied => change.apply(&mut table, false),
                Fate::BothNames => change.apply(&mut table, true),
                _ => {}
            }
        }
        table.into_iter().map(|(name, file)| (name, self.files[file].crash(fate))).collect()
    }
}

impl File {
    fn crash(&self, fate: &dyn Fn(u64, Option<usize>) -> Fate) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for (now, waiting) in &self.waiting {
            if let Waiting::Size(len) = waiting
                && fate(*now, None) == Fate::Applied
            {
                bytes.resize(bytes.len().max(*len), 0);
            }
        }
        let len = bytes.len();
        bytes.resize(len + 100_000, 0);
        for (now, waiting) in &self.waiting {
            let Waiting::Sector(sector, new) = waiting else { continue };
            let (mut whole, at) = (new.clone(), sector * SECTOR);
            whole.resize(SECTOR, 0);
            match fate(*now, Some(*sector)) {
                Fate::Applied => overlay(&mut bytes, at, &whole),
                Fate::Torn { bytes: n } => overlay(&mut bytes, at, &whole[..n]),
                Fate::TornTail { bytes: n } => overlay(&mut bytes, at + SECTOR - n, &whole[SECTOR - n..]),
                Fate::Zero => overlay(&mut bytes, at, &[0; SECTOR]),
                _ => {}
            }
        }
        bytes.truncate(len);
        bytes
    }
}

/// A fate that follows from its seed and from what it is about alone.
fn fate(seed: u64, now: u64, sector: Option<usize>) -> Fate {
    let mut rng = Rng::new(seed ^ now << 20 ^ sector.map_or(0, |sector| sector as u64 + 1));
    let bytes = usize::try_from(rng.below(513)).unwrap();
    match (rng.below(8), sector) {
        (0..3, _) => Fate::Applied,
        (3, Some(_)) => Fate::Torn { bytes },
        (4, Some(_)) => Fate::TornTail { bytes },
        (5, Some(_)) => Fate::Zero,
        (5, None) => Fate::BothNames,
        _ => Fate::Dropped,
    }
}

fn found(disk: &SimDisk) -> BTreeMap<String, Vec<u8>> {
    disk.files().into_iter().map(|(name, _)| (name.clone(), disk.bytes(&name).unwrap())).collect()
}

/// One random operation on both.
fn step(disk: &SimDisk, model: &mut Model, rng: &mut Rng) {
    let names: Vec<_> = model.seen.keys().cloned().collect();
    let name = rng.pick(&names).cloned();
    let fresh = ["a", "b", "c", "d"][usize::try_from(rng.below(4)).unwrap()].to_owned();
    match (rng.below(12), name) {
        (0, _) | (_, None) if !model.seen.contains_key(&fresh) => {
            disk.create(&fresh).unwrap();
            model.files.push(File::default());
            let file = model.files.len() - 1;
            model.change(Change::Create(fresh, file));
        }
        (1, Some(name)) if name != fresh => {
            disk.rename(&name, &fresh).unwrap();
            model.rename(name, fresh);
        }
        (2, Some(name)) => {
            disk.remove(&name).unwrap();
            model.change(Change::Remove(name));
        }
        (3, _) => {
            disk.sync_dir().unwrap();
            model.sync_dir();
        }
        (4 | 5, Some(name)) => {
            disk.open(&name).unwrap().sync().unwrap();
            model.sync(&name);
        }
        (6, _) => disk.write_back(&mut |_| rng.one_in(2)),
        (7, _) => disk.drop_clean_pages(),
        (_, Some(name)) => {
            let most = if rng.one_in(4) { 5_000 } else { 600 };
            let (at, len) = (rng.below(6_000), 1 + rng.below(most));
            let mut bytes = vec![0; usize::try_from(len).unwrap()];
            if !rng.one_in(4) {
                rng.fill(&mut bytes);
            }
            disk.open(&name).unwrap().write_at(&bytes, at).unwrap();
            model.write(&name, usize::try_from(at).unwrap(), &bytes);
        }
        (_, None) => {}
    }
}

#[test]
fn a_disk_is_its_model_whatever_is_done_and_whatever_a_crash_leaves() {
    for seed in 0..50 {
        let (mut rng, disk, mut model) = (Rng::new(seed), SimDisk::new(seed), Model::default());
        for _ in 0..60 {
            step(&disk, &mut model, &mut rng);
            disk.check().unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
            let seen: BTreeMap<_, _> = model
                .seen
                .iter()
                .map(|(name, file)| (name.clone(), model.files[*file].seen.clone()))
                .collect();
            assert!(found(&disk) == seen, "seed {seed}");
            let dealt = rng.next();
            let after = disk.crash(&mut |it| match it {
                Pending::Sector { sector, ordinal, .. } => {
                    fate(dealt, *ordinal, Some(usize::try_from(*sector).unwrap()))
                }
                it => fate(dealt, it.ordinal(), None),
            });
            after.check().unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
            let expected = model.crash(&|now, sector| fate(dealt, now, sector));
            assert!(found(&after) == expected, "seed {seed}");
        }
    }
}

/// A fault of any kind, soon.
fn any_fault(rng: &mut Rng) -> (Fault, Trigger) {
    let (name, offset) =
        (["a", "b", "c", "d"][usize::try_from(rng.below(4)).unwrap()].to_owned(), rng.below(3_000));
    let ops = [Op::Create, Op::Write, Op::Sync, Op::Rename, Op::Remove, Op::SyncDir, Op::Read];
    let fault = match rng.below(11) {
        0..3 => Fault::Refused(*rng.pick(&ops).unwrap(), Errno::Io),
        3 => Fault::ShortWrite { bytes: offset, errno: Errno::Full },
        4 => Fault::LostWrite,
        5 => Fault::MisdirectedWrite { name, offset },
        6 => Fault::StaleRead,
        7 => Fault::Sync(SyncFailure::MarkedClean),
        8 => Fault::Sync(SyncFailure::Evicted { after: rng.below(5) }),
        9 => Fault::Sync(SyncFailure::ToldByTheNext),
        _ => Fault::Sync(SyncFailure::Reverted),
    };
    (fault, Trigger::after(rng.below(3)))
}

/// One random operation that may fail.
fn stumble(disk: &SimDisk, rng: &mut Rng) -> Result<(), StorageError> {
    let any = |rng: &mut Rng| ["a", "b", "c", "d"][usize::try_from(rng.below(4)).unwrap()];
    let name = any(rng);
    match rng.below(12) {
        0 => disk.create(name).map(drop),
        1 => disk.rename(name, any(rng)),
        2 => disk.remove(name),
        3 => disk.sync_dir(),
        4 | 5 => disk.open(name)?.sync(),
        6 => disk.open(name)?.contents().map(drop),
        7 => {
            disk.make_unreadable(name, rng.below(2_000)..3_000);
            Ok(())
        }
        8 => {
            disk.write_back(&mut |_| rng.one_in(2));
            Ok(())
        }
        _ => {
            let (at, len) = (rng.below(6_000), 1 + rng.below(3_000));
            let byte = rng.next().to_le_bytes()[0];
            disk.open(name)?.write_at(&vec![byte; usize::try_from(len).unwrap()], at)
        }
    }
}

#[test]
fn whatever_fails_the_invariants_of_the_disk_hold() {
    let mut failures = 0;
    for seed in 0..150 {
        let (mut rng, mut disk) = (Rng::new(seed), SimDisk::new(seed));
        for _ in 0..80 {
            if rng.one_in(3) {
                let (fault, trigger) = any_fault(&mut rng);
                disk.inject(fault, trigger);
            }
            failures += u32::from(stumble(&disk, &mut rng).is_err());
            disk.set_capacity_bytes(rng.one_in(4).then_some(20_000));
            let dealt = rng.next();
            let after = disk.crash(&mut |it| fate(dealt, it.ordinal(), None));
            for disk in [&disk, &after, &disk.fork()] {
                disk.check().unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
            }
            if rng.one_in(20) {
                disk = after;
            }
        }
    }
    assert!(failures > 1_000, "only {failures} failures");
}

/// All that can be seen of a run: what is pending, what was traced, what is found after each crash.
fn run(seed: u64) -> (Vec<String>, Vec<u64>) {
    let (mut rng, disk, mut model) = (Rng::new(seed), SimDisk::new(seed), Model::default());
    disk.trace(true);
    let mut hashes = Vec::new();
    for _ in 0..80 {
        step(&disk, &mut model, &mut rng);
        hashes.push(disk.image_hash());
        hashes.push(disk.crash(&mut |it| fate(seed, it.ordinal(), None)).image_hash());
    }
    let traced = disk.take_trace().into_iter().map(|line| line.to_string());
    let pending = disk.pending().into_iter().map(|it| it.to_string());
    (traced.chain(pending).collect(), hashes)
}

#[test]
fn the_same_seed_and_the_same_calls_give_the_same_bytes_hashes_and_traces() {
    for seed in 0..20 {
        assert_eq!(run(seed), run(seed));
    }
    assert_ne!(run(1), run(2));
}
