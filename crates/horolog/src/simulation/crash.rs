//! The end of a life, and what the next one finds.
//!
//! 1. The process ends, or the kernel, or the power; an image of the directory is left.
//! 2. The image is judged by reading it: see [`World::judge`].
//! 3. Forks of it are damaged or read through a bad disk, and judged by what still proves something.
//! 4. It is opened, cut short and left as another image, up to three times; each is judged like the first.
//! 5. It is opened at last, and life goes on.

mod damaged;
mod openings;
mod probes;

use std::sync::Arc;

use horolog_recovery::{Recovered, RecoveryError, recover, verify};
use horolog_sim::{Blank, Crash, Fate, NameOrder, Pending, Place, Rng, SimDisk};
use horolog_state::Lsn;
use horolog_storage::Storage;
use horolog_wal::{LogError, LogOptions, VisitError};

use super::Node;
use super::anatomy::snapshot_name;
use super::evidence::{is_unlisted, proven};
use super::faults::{Armed, Cut, Lie};
use super::model::ms;
use super::print::Print;
use super::rows;
use super::second_reader::{Place as Told, agrees};
use super::step::Step;
use super::verdict::{Checked, Invariant};
use super::world::World;
use crate::shell::Positions;

/// So many times each byte of a directory is read at most: files are looked at, and those that count are read; and all that
/// again, as damage is believed when it is found twice.
const READS_OF_A_BYTE: u64 = 4;

/// META is read again when all else was: it may have changed meanwhile.
const BYTES_READ_AGAIN: u64 = 64 << 10;

/// How a life ends, and what of it arrives.
#[derive(Clone, Copy, Debug, Default)]
struct End {
    cut: u32,
    keep: u32,
    tear: u32,
    names: u32,
    blank: u32,
    roll: u32,
}

/// What an image has to show.
#[derive(Clone, Copy, Debug)]
struct Promise {
    /// It must be read at least this far.
    floor: Lsn,
    /// After a power cut, if there was none yet, at least so far.
    durable: Lsn,
    /// Exactly so far, if that is known.
    exact: Option<Lsn>,
    /// It may be refused: the disk lied, or was damaged.
    may_refuse: bool,
    /// More than one thing may have gone wrong.
    several: bool,
    /// A second reader must say the same: the format decides, and no promise does.
    doubtful: Option<Told>,
}

impl Promise {
    const NOTHING: Self = Self {
        floor: Lsn::ZERO,
        durable: Lsn::ZERO,
        exact: None,
        may_refuse: false,
        several: false,
        doubtful: None,
    };
}

/// So many earlier images are kept.
const PAST_MAX: usize = 4;

impl End {
    fn kill() -> Self {
        Self::default()
    }

    fn fate(&self, rng: &mut Rng, pending: &Pending) -> Fate {
        if let (1, Pending::Sector { place, .. }) = (self.cut, pending) {
            return if *place == Place::Handed { Fate::Applied } else { Fate::Dropped };
        }
        if rng.below(8) >= self.keep.into() {
            return Fate::Dropped;
        }
        match pending {
            Pending::Sector { .. } if rng.below(8) < self.tear.into() => match rng.below(4) {
                0 => Fate::Torn { bytes: usize::try_from(rng.below(512)).unwrap_or(0) },
                1 => Fate::TornTail { bytes: usize::try_from(rng.below(512)).unwrap_or(0) },
                2 => Fate::Garbage(rng.next()),
                _ => Fate::Zero,
            },
            Pending::Rename { .. } if rng.one_in(4) => Fate::BothNames,
            _ => Fate::Applied,
        }
    }

    /// The image that is left. Another `noise` gives other garbage and nothing else.
    fn image(&self, disk: &SimDisk, noise: u64) -> SimDisk {
        if self.cut == 0 {
            return disk.process_kill();
        }
        let names = if self.names % 2 == 1 { NameOrder::Journal } else { NameOrder::Any };
        let blank = match self.blank % 3 {
            0 => Blank::Zeros,
            1 => Blank::Garbage,
            _ => Blank::OldBlocks,
        };
        let mut rng = Rng::new(self.roll.into());
        disk.crash_as(Crash { names, blank, roll: noise }, &mut |pending| self.fate(&mut rng, pending))
    }
}

impl World {
    pub(crate) fn crash(&mut self, step: Step) -> Checked {
        let Step::Crash { cut, keep, tear, names, blank, roll, off_ms } = step else { return Ok(()) };
        let end = End { cut: cut % 3, keep: keep.min(8), tear: tear.min(8), names, blank, roll };
        self.counts.fault(match end.cut {
            0 => "process killed",
            1 => "kernel crash",
            _ => "power cut",
        });
        self.end(end, off_ms, None)
    }

    /// The very first opening is cut short: nothing was acknowledged, so nothing but an empty log is there.
    pub(crate) fn cut_first_opening(&mut self, changes: u32, roll: u32) -> Checked {
        let cut = Cut { changes, cut: 2, roll };
        let armed = Armed { cuts: vec![cut], ..Armed::default() };
        self.openings(&armed, Promise::NOTHING, Lsn::ZERO, true).map(drop)
    }

    /// The end of a shutdown.
    pub(crate) fn close(&mut self, off_ms: u32, in_order: bool) -> Checked {
        self.end(End::kill(), off_ms, in_order.then_some(()))
    }

    /// Whatever is the matter, the process is killed and another one begins.
    pub(crate) fn restart(&mut self) -> Checked {
        self.end(End::kill(), 0, None)
    }

    fn end(&mut self, end: End, off_ms: u32, closed: Option<()>) -> Checked {
        let is_kill = end.cut == 0;
        let promise = self.promise(is_kill);
        let seen = if self.failure().is_some() { Lsn(u64::MAX) } else { Lsn(self.positions().written) };
        rows::before(self);
        if self.armed.halted && self.disk.is_off() {
            self.counts.fault("F1 halt after a change");
        }
        let image = end.image(&self.disk, 1);
        if is_kill && self.armed.reverts {
            image.drop_clean_pages();
        }
        self.check_garbage(&end, &image)?;
        self.drop_node()?;
        self.disk = Arc::new(image);
        self.pass_while_down(off_ms, is_kill);
        self.counts.crashes += 1;
        let disk = Arc::clone(&self.disk);
        let Some(found) = self.judge(&disk, promise)? else {
            self.counts.verdict("a disk that lied: refused");
            return self.begin_anew();
        };
        if self.armed.lied == Lie::No {
            self.counts.verdict("crash: opened");
        } else {
            // A header that never arrived: nobody knows whose file it is. What was believed may stand somewhere yet.
            (self.strange, self.scarred) = (true, true);
            self.counts.verdict("a disk that lied: opened, and nothing proves more");
        }
        let unclean = closed.is_some() && self.armed.lied == Lie::No && !found.report.clean;
        self.must(!unclean, Invariant::I15, || "a shutdown in order is not reported as one".into())?;
        let known = found.report.valid;
        drop(found);
        let armed = std::mem::take(&mut self.armed);
        self.probe(&armed, known)?;
        let Some(known) = self.openings(&armed, promise, known, is_kill)? else { return self.begin_anew() };
        let undamaged = known;
        let known = self.damage(&armed, known)?;
        if armed.lied == Lie::Synced {
            self.hear_of_old_errors()?;
        }
        if is_kill && armed.lied == Lie::Synced {
            // The page cache still shows what the medium does not have.
            self.armed.lied = Lie::Synced;
        }
        // Consumers have what was written; a failed engine counts in memory only.
        self.model.forget_after(known, known < seen);
        if self.scarred || known < undamaged {
            self.model.forget_ids();
        }
        self.prints.retain(|&lsn, _| lsn <= known.0);
        self.past.push(Arc::clone(&self.disk));
        if self.past.len() > PAST_MAX {
            self.past.remove(0);
        }
        self.open_at_last()
    }

    /// What was told to callers survives: everything durable, and what was written if only the process dies.
    fn promise(&self, is_kill: bool) -> Promise {
        let positions = self.positions();
        let survives = if is_kill && !self.armed.reverts { positions.written } else { positions.durable };
        match self.armed.lied {
            Lie::No => {
                let (floor, durable) = (Lsn(survives), Lsn(positions.durable));
                Promise { floor, durable, several: self.scarred, ..Promise::NOTHING }
            }
            _ => {
                let doubtful = Some(Told::Any);
                Promise { may_refuse: true, several: true, doubtful, ..Promise::NOTHING }
            }
        }
    }

    fn pass_while_down(&mut self, off_ms: u32, is_kill: bool) {
        if is_kill {
            self.pass(off_ms);
        } else {
            self.counts.fault("F19 another boot");
            self.clock.reboot(ms(off_ms));
            self.clock.pass(1_000_000_000);
            self.civil_ns_max = self.civil_ns_max.max(self.clock.wall_ns());
        }
    }

    /// The process is gone. I13: it leaves no file open. I6: it wrote over nothing durable.
    fn drop_node(&mut self) -> Checked {
        self.node = None;
        self.lock = None;
        self.taken.clear();
        self.done.clear();
        self.channel.clear();
        self.held.clear();
        self.told = Positions::default();
        self.check_left()
    }

    /// A process is gone, or an opening that was refused.
    fn check_left(&mut self) -> Checked {
        let open = self.disk.counts().open_handles;
        self.must(open == 0, Invariant::I13, || format!("{open} files were left open"))?;
        self.check_disk(&self.disk.clone())
    }

    fn check_disk(&mut self, disk: &SimDisk) -> Checked {
        let rewrites = disk.violations();
        let lied = self.armed.lied != Lie::No;
        self.must(rewrites.is_empty() || lied, Invariant::I6, || {
            rewrites.first().map_or_else(String::new, ToString::to_string)
        })?;
        let checked = disk.check();
        self.must(checked.is_ok(), Invariant::Disk, || format!("{checked:?}"))
    }

    /// I7: other garbage gives the same verdict.
    fn check_garbage(&mut self, end: &End, image: &SimDisk) -> Checked {
        // Where a sync lied, a name may lead to blocks that were never written: they are all that is there to be read.
        let leaves_none = end.cut == 0 || (end.tear == 0 && end.blank.is_multiple_of(3));
        if leaves_none || self.armed.lied != Lie::No {
            return Ok(());
        }
        let other = end.image(&self.disk, 2);
        let (one, two) = (self.facts(image), self.facts(&other));
        self.counts.states += 1;
        self.must(one == two, Invariant::I7, || format!("{one:?}, and with other garbage {two:?}"))
    }

    /// What reading comes to: how far, what is proven, and the state; or a refusal.
    fn facts(&self, disk: &SimDisk) -> Option<(Lsn, Lsn, u64)> {
        let found = recover(disk, &self.sizes.log).ok()?;
        Some((found.report.valid, found.report.durable, Print::of(&found.state).number()))
    }

    /// Reads an image as `verify` does, and holds it to everything that an image must be.
    ///
    /// I1, I14: it is read, at least as far as was promised and as anything on it proves. I2: to the state of exactly one LSN.
    /// I14: of a disk that lied, or was damaged, a second reader says the same. I4, I15: reading it again gives the same. I5: its LSNs are dense. I8: no more is read than
    /// [`READS_OF_A_BYTE`] and [`BYTES_READ_AGAIN`] allow. I11: nothing is changed.
    fn judge<'a>(&mut self, disk: &'a SimDisk, promise: Promise) -> Checked<Option<Recovered<'a>>> {
        self.counts.states += 1;
        let before = (disk.counts().mutations, disk.image_hash());
        self.hash.add(before.1);
        let asked_before = disk.counts().bytes_asked;
        let read = recover(disk, &self.sizes.log);
        let asked = disk.counts().bytes_asked - asked_before;
        let again = verify(disk, &self.sizes.log);
        let after = (disk.counts().mutations, disk.image_hash());
        self.must(before == after, Invariant::I11, || "reading changed the directory".into())?;
        let all: u64 = disk.files().iter().map(|(_, len)| *len).sum();
        self.must(asked <= READS_OF_A_BYTE * all + BYTES_READ_AGAIN, Invariant::I8, || {
            format!("{asked} bytes were asked for, of {all}")
        })?;
        let same = match (&read, &again) {
            (Ok(read), Ok(again)) => read.report == *again,
            (Err(read), Err(again)) => read.to_string() == again.to_string(),
            _ => false,
        };
        self.must(same, Invariant::I4, || {
            format!("{:?}, and then {again:?}", read.as_ref().map(|it| it.report))
        })?;
        if let Some(place) = promise.doubtful {
            let agreed = agrees(disk, &read, place);
            self.must(agreed.is_ok(), Invariant::I14, || agreed.err().unwrap_or_default())?;
        }
        match read {
            Ok(found) => self.judge_found(disk, found, promise).map(Some),
            Err(error) => {
                self.hash.add(1);
                self.must(promise.may_refuse, Invariant::I14, || format!("a crash is refused: {error}"))?;
                Ok(None)
            }
        }
    }

    fn judge_found<'a>(
        &mut self,
        disk: &SimDisk,
        found: Recovered<'a>,
        promise: Promise,
    ) -> Checked<Recovered<'a>> {
        let valid = found.report.valid;
        self.hash.add(valid.0);
        let floor = promise.floor;
        self.must(valid >= floor, Invariant::I1, || format!("read to {valid}, and {floor} was promised"))?;
        let proven = proven(disk, &|name| promise.several && is_unlisted(disk, name));
        self.must(valid.0 >= proven, Invariant::I14, || {
            format!("read to {valid}, and {proven} is proven on the disk")
        })?;
        self.must(promise.exact.is_none_or(|exact| exact == valid), Invariant::I4, || {
            format!("read to {valid}, and to {:?} before", promise.exact)
        })?;
        self.must_be_known(&found)?;
        self.must_be_replayed(disk, &found)?;
        let dense = dense(&found);
        self.must(dense, Invariant::I5, || "LSNs are not dense".into())?;
        rows::after(self, disk, &found);
        Ok(found)
    }

    /// I2: it is the state after exactly one record.
    fn must_be_known(&mut self, found: &Recovered<'_>) -> Checked {
        let (valid, print) = (found.report.valid, Print::of(&found.state));
        let known = match self.prints.get(&valid.0) {
            Some(known) => *known == print,
            None => valid == Lsn::ZERO && found.state.is_empty(),
        };
        self.must(known, Invariant::I2, || format!("the state at {valid} is none that ever was"))
    }

    /// I12: without any snapshot it is the same state, as long as the log has its beginning.
    fn must_be_replayed(&mut self, disk: &SimDisk, found: &Recovered<'_>) -> Checked {
        if found.report.snapshot.is_none() || found.log.first_lsn.0 > 1 {
            return Ok(());
        }
        let fork = disk.process_kill();
        let removed = found.log.snapshots().try_for_each(|it| fork.remove(&snapshot_name(it.id)));
        // Nobody else is there: what is gone is not waited for.
        let alone = LogOptions { has_lock: true, ..self.sizes.log.clone() };
        let replayed = removed.is_ok().then(|| recover(&fork, &alone));
        let same = |it: &Recovered<'_>| {
            it.report.snapshot.is_none() && Print::of(&it.state) == Print::of(&found.state)
        };
        self.must(matches!(&replayed, Some(Ok(it)) if same(it)), Invariant::I12, || {
            "all records of the log give another state than the snapshot and those behind it".into()
        })
    }

    /// Opens what was judged, and nothing stands in its way. I15: it opens. I13: nothing is there but what the log needs.
    pub(crate) fn open_at_last(&mut self) -> Checked {
        let locked = self.disk.lock();
        self.must(locked.is_ok(), Invariant::I14, || format!("nobody has the lock: {locked:?}"))?;
        self.lock = locked.ok();
        let times = self.times();
        let opened = Node::open(&self.disk, self.sizes.machine, &self.sizes.log, times);
        self.must(opened.is_ok(), Invariant::I15, || {
            format!("it was read and is not opened: {:?}", opened.as_ref().err())
        })?;
        let Ok((node, twin)) = opened else { return Ok(()) };
        self.counts.openings += 1;
        let print = Print::of(&twin);
        let known = self.prints.get(&twin.applied().0).is_none_or(|known| *known == print);
        self.must(known, Invariant::I2, || "the opening shows another state than reading did".into())?;
        let found = self.model.agrees(&twin);
        self.agree(Invariant::I1, found)?;
        let now = node.timelines.now(times);
        self.model.open(node.machine.state(), &now);
        self.shown_epoch = node.machine.state().epoch();
        self.node = Some(node);
        self.settle()?;
        self.check_files()?;
        // The epoch is durable before anything is delivered under it.
        self.flush()
    }

    /// I13: after an opening there is META, the lock, the chain, and nothing else but what a stranger put there.
    fn check_files(&mut self) -> Checked {
        if self.strange {
            return Ok(());
        }
        let needed = recover(&*self.disk, &self.sizes.log)
            .map(|it| it.log.segments.iter().filter(|it| it.batches > 0).count());
        let segments = self.disk.files().iter().filter(|(name, _)| name.starts_with("seg-")).count();
        self.must(needed.as_ref().is_ok_and(|needed| segments == *needed), Invariant::I13, || {
            format!("{segments} files of segments, and {needed:?} are needed")
        })?;
        let listed = recover(&*self.disk, &self.sizes.log).map(|it| it.log.snapshots().count());
        let snapshots = self.disk.files().iter().filter(|(name, _)| name.starts_with("snap-")).count();
        self.must(listed.as_ref().is_ok_and(|listed| snapshots == *listed), Invariant::I13, || {
            format!("{snapshots} snapshots, and {listed:?} count")
        })
    }

    /// Somebody reads the directory beside the engine. I11 and I15: nothing changes, and it is read as far as was written.
    pub(crate) fn look(&mut self) -> Checked {
        if self.armed.may_fail || self.armed.lied != Lie::No {
            return Ok(());
        }
        let written = Lsn(self.positions().written);
        let promise = Promise { floor: written, several: self.scarred, ..Promise::NOTHING };
        self.counts.fault("reading beside the writer");
        self.judge(&self.disk.process_kill(), promise).map(drop)
    }

    /// F20: a second opener is refused, and nothing changes.
    pub(crate) fn second_opener(&mut self) -> Checked {
        if self.armed.halted || self.armed.reverts {
            return Ok(());
        }
        let before = self.disk.image_hash();
        let locked = self.disk.lock().is_err();
        self.must(locked, Invariant::I14, || "two have the lock".into())?;
        self.must(self.disk.image_hash() == before, Invariant::I11, || {
            "a second opener changed something".into()
        })
    }
}

fn is_io(error: &RecoveryError) -> bool {
    matches!(error, RecoveryError::Log(LogError::Storage(_)))
}

/// I5: each record has the number after the one before.
fn dense(found: &Recovered<'_>) -> bool {
    let mut last = found.log.first_lsn.0 - 1;
    let visited = found.log.for_each_record(horolog_wal::Lsn(1), &mut |record| {
        let follows = record.lsn.0 == last + 1;
        last = record.lsn.0;
        if follows { Ok(()) } else { Err(()) }
    });
    match visited {
        Ok(()) => last == found.report.valid.0,
        Err(VisitError::Visitor(()) | VisitError::Log(_)) => false,
    }
}
