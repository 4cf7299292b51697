//! The directories that are damaged, and what has to come of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use horolog_sim::SimDisk;
use horolog_sim::decoder::Files;
use horolog_wal::{LogOptions, Lsn, SegmentRole};

use crate::found::Found;
use crate::life::{Life, picture};
use crate::places::{Places, Verdict};

/// Segments of 32 KiB, the smallest there are. Five batches fill one.
pub(crate) fn options() -> LogOptions {
    LogOptions { segment_bytes_min: 32 << 10, segment_bytes_max: 32 << 10, ..crate::life::options() }
}

/// A directory, with all that it was before.
pub(crate) struct Directory {
    pub(crate) disk: Arc<SimDisk>,
    /// What was in it after each step, oldest first.
    pub(crate) past: Vec<Files>,
    /// What callers could see after some of the records.
    pictures: BTreeMap<u64, String>,
    /// Newest first.
    snapshots: Vec<u64>,
    is_whole: bool,
}

impl Directory {
    fn new(seed: u64) -> (Self, Life) {
        let disk = Arc::new(SimDisk::new(seed));
        let life = Life::open(&options(), disk.clone(), 1);
        let (past, pictures) = (Vec::new(), BTreeMap::new());
        (Self { disk, past, pictures, snapshots: Vec::new(), is_whole: true }, life)
    }

    fn note(&mut self, life: &Life) {
        self.past.push(self.disk.image());
        self.pictures.insert(life.state.applied().0, picture(&life.state));
    }

    /// Commits of one record each.
    fn commits(&mut self, life: &mut Life, count: u64) {
        for _ in 0..count {
            life.steps(1);
            self.note(life);
        }
    }

    /// The directory as it is found by another process.
    fn reopen(&mut self, found: SimDisk) -> Life {
        self.disk = Arc::new(found);
        let life = Life::open(&options(), self.disk.clone(), 2);
        self.note(&life);
        life
    }

    fn prepare(life: &mut Life) {
        let spare = life.writer.wants_spare().expect("a spare is wanted").prepare().expect("the disk works");
        life.writer.offer_spare(spare);
    }

    /// Two commits, the first of which is marked, so that nothing proves the second.
    fn end(mut self, mut life: Life, roles: &[SegmentRole]) -> Self {
        self.commits(&mut life, 1);
        life.writer.mark(Lsn(life.durable), 0, false).expect("the disk works");
        self.commits(&mut life, 1);
        let found = horolog_recovery::recover(&*self.disk, &options()).expect("sound");
        assert!(
            found.log.segments.iter().map(|it| it.role).eq(roles.iter().copied()),
            "{:?}",
            found.log.segments
        );
        assert_eq!(found.log.durable.0 + 1, found.log.valid.0);
        self.snapshots = found.log.snapshots().map(|it| it.id).collect();
        self.is_whole = found.log.first_lsn == Lsn(1);
        self
    }

    /// A log from its first record on: rotations, a power cut in the midst of a batch, an opening, a spare.
    pub(crate) fn whole(seed: u64) -> Self {
        let (mut directory, mut life) = Self::new(seed);
        directory.commits(&mut life, 12);
        life.step();
        let mut sectors = 0;
        let cut = directory.disk.power_cut(&mut || {
            sectors += 1;
            sectors < 2
        });
        let mut life = directory.reopen(cut);
        Self::prepare(&mut life);
        use SegmentRole::{Blank, Head, Linked};
        directory.end(life, &[Linked, Linked, Linked, Head, Blank])
    }

    /// Two snapshots, two openings, and a log whose beginning was let go and whose first file is still there.
    pub(crate) fn compacted(seed: u64) -> Self {
        let (mut directory, mut life) = Self::new(seed);
        directory.commits(&mut life, 5);
        life.snapshot();
        directory.commits(&mut life, 2);
        let killed = directory.disk.process_kill();
        let mut life = directory.reopen(killed);
        Self::prepare(&mut life);
        life.snapshot();
        use SegmentRole::{Blank, Head, Linked, Unlisted};
        directory.end(life, &[Unlisted, Linked, Linked, Head, Blank])
    }

    /// What is found of a directory whose log comes to this, if these snapshots cannot be used.
    pub(crate) fn expected(&self, log: Verdict, rotten: &[u64]) -> Found {
        let on = self.snapshots.iter().find(|id| !rotten.contains(id)).copied();
        let passed_over = self.snapshots.iter().take_while(|id| Some(**id) != on).count();
        match log {
            Verdict::Refused { .. } => Found::Corrupt(log),
            Verdict::Read { .. } if on.is_none() && !self.is_whole => {
                Found::Incomplete { rotten: passed_over }
            }
            Verdict::Read { .. } => Found::Read { log, on, rotten: passed_over },
        }
    }

    /// The same, of a directory of which one file was changed or taken away that is no segment and not META.
    pub(crate) fn expected_without(&self, places: &Places, name: &str) -> Found {
        let rotten: Vec<_> = snapshot_id(name).into_iter().collect();
        self.expected(places.sound(), &rotten)
    }

    /// Whether a newer snapshot than this one counts.
    pub(crate) fn is_older(&self, snapshot: u64) -> bool {
        self.snapshots.first() != Some(&snapshot)
    }

    /// What callers could see after a record.
    pub(crate) fn picture(&self, lsn: u64) -> &str {
        &self.pictures[&lsn]
    }
}

pub(crate) fn snapshot_id(name: &str) -> Option<u64> {
    u64::from_str_radix(name.strip_prefix("snap-")?.strip_suffix(".img")?, 16).ok()
}
