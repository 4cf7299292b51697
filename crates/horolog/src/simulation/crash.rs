//! The end of a life, and what the next one finds.
//!
//! 1. The process ends, or the kernel, or the power; an image of the directory is left.
//! 2. The image is judged by reading it: see [`World::judge`].
//! 3. Forks of it are damaged or read through a bad disk, and judged by what still proves something.
//! 4. It is opened, cut short and left as another image, up to three times; each is judged like the first.
//! 5. It is opened at last, and life goes on.

use std::sync::Arc;

use horolog_recovery::{Recovered, RecoveryError, recover, verify};
use horolog_sim::{Blank, Crash, Fate, Fault, NameOrder, Pattern, Pending, Place, Rng, SimDisk, Trigger};
use horolog_state::Lsn;
use horolog_storage::{LOCK_FILE, Storage};
use horolog_wal::{LogError, VisitError};

use super::Node;
use super::anatomy::{Anatomy, Must};
use super::evidence::{is_unlisted, proven};
use super::faults::{Armed, Cut, Lie, OpeningFault, file_name, refuse};
use super::model::ms;
use super::node::NotOpened;
use super::print::Print;
use super::rows;
use super::second_reader::{Place as Told, agrees};
use super::step::Step;
use super::verdict::{Checked, Invariant};
use super::world::World;
use crate::shell::{Hand, Heart};

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
    /// I14: of a disk that lied, or was damaged, a second reader says the same. I4, I15: reading it again gives the same. I5: its LSNs are dense. I8: no more memory is asked for than for two of its
    /// largest files. I11: nothing is changed.
    fn judge<'a>(&mut self, disk: &'a SimDisk, promise: Promise) -> Checked<Option<Recovered<'a>>> {
        self.counts.states += 1;
        let before = (disk.counts().mutations, disk.image_hash());
        self.hash.add(before.1);
        let read = recover(disk, &self.sizes.log);
        let again = verify(disk, &self.sizes.log);
        let after = (disk.counts().mutations, disk.image_hash());
        self.must(before == after, Invariant::I11, || "reading changed the directory".into())?;
        let largest = disk.files().iter().map(|(_, len)| *len).max().unwrap_or(0);
        let asked = disk.counts().largest_read;
        self.must(asked <= 2 * largest, Invariant::I8, || {
            format!("{asked} bytes at once, of files of {largest}")
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

    /// F8, F11, F20: forks that are read through a bad disk, and a lock that somebody else has.
    fn probe(&mut self, armed: &Armed, known: Lsn) -> Checked {
        for fault in &armed.opening {
            match *fault {
                OpeningFault::Unreadable { file, block, blocks } => {
                    self.probe_unreadable(file, block, blocks, known)?
                }
                OpeningFault::WrongRead { stale, after, file, block } => {
                    self.probe_wrong_read(stale, after, file, block)?;
                }
                OpeningFault::Locked { tries } => self.probe_lock(tries)?,
                OpeningFault::Refused { .. } => {}
            }
        }
        Ok(())
    }

    /// I14 for F8: an error of the disk, or all that is there; never less.
    fn probe_unreadable(&mut self, file: u32, block: u32, blocks: u32, known: Lsn) -> Checked {
        let fork = Arc::new(self.disk.process_kill());
        let Some(name) = file_name(&fork, file) else { return Ok(()) };
        self.counts.states += 1;
        let from = u64::from(block % 64) * 4096;
        fork.make_unreadable(&name, from..from + 4096 * (1 + u64::from(blocks % 4)));
        let times = self.times();
        let opened = Node::open(&fork, self.sizes.machine, &self.sizes.log, times);
        let well = match &opened {
            Ok((_, state)) => state.applied() == known,
            Err(NotOpened::Read(error)) => is_io(error),
            Err(NotOpened::Write(error)) => matches!(error, LogError::Storage(_)),
        };
        self.counts.verdict(if opened.is_ok() { "unreadable: not needed" } else { "unreadable: an error" });
        self.must(well, Invariant::I14, || {
            format!(
                "an unreadable block of {name} was taken for something else: {:?}",
                opened.map(|it| it.1.applied())
            )
        })
    }

    /// I14 for F11: what other files prove is still there, or the opening is refused.
    fn probe_wrong_read(&mut self, stale: bool, after: u32, file: u32, block: u32) -> Checked {
        let fork = Arc::new(self.disk.process_kill());
        let (Some(name), Some(other)) = (file_name(&fork, file), file_name(&fork, block)) else {
            return Ok(());
        };
        self.counts.states += 1;
        let offset = u64::from(block % 16) * 4096;
        let fault = if stale { Fault::StaleRead } else { Fault::MisdirectedRead { name: other, offset } };
        fork.inject(fault, Trigger::after(u64::from(after % 4)).on(Pattern::is(&name)));
        // What this file proves was perhaps not to be seen.
        let proven = proven(&fork, &|it| it == name || (self.scarred && is_unlisted(&fork, it)));
        let opened = Node::open(&fork, self.sizes.machine, &self.sizes.log, self.times());
        let Ok((node, state)) = opened else {
            self.counts.verdict("wrong read: refused");
            return Ok(());
        };
        drop(node);
        self.counts.verdict("wrong read: opened, and nothing proves more");
        let (valid, print) = (state.applied(), Print::of(&state));
        let whole = self.prints.get(&valid.0).map_or(valid == Lsn::ZERO, |it| *it == print);
        self.must(whole, Invariant::I2, || {
            format!("through a wrong read the state at {valid} is none that ever was")
        })?;
        let enough = valid.0 >= proven;
        self.must(enough, Invariant::I14, || {
            format!("through a wrong read {valid} was read, and {proven} is proven")
        })
    }

    /// F20: one winner; who dies with the lock does not keep it.
    fn probe_lock(&mut self, tries: u32) -> Checked {
        let fork = self.disk.process_kill();
        let dies = tries > 0;
        fork.lock_elsewhere(77, dies.then_some(u64::from(tries % 6)));
        let files = || fork.files().into_iter().filter(|(name, _)| name != LOCK_FILE).collect::<Vec<_>>();
        let before = files();
        let locked = fork.lock();
        if !tries.is_multiple_of(6) && locked.is_ok() {
            self.counts.fault("F20 who had the lock has died");
        }
        self.must(locked.is_ok() == dies, Invariant::I14, || {
            format!("the lock of another process: {locked:?}")
        })?;
        self.must(files() == before, Invariant::I11, || "who is locked out changed something".into())
    }

    /// Every opening that does not come to its end. Nothing is given back where a disk that lied is refused at last.
    fn openings(
        &mut self,
        armed: &Armed,
        mut promise: Promise,
        known: Lsn,
        is_kill: bool,
    ) -> Checked<Option<Lsn>> {
        let mut known = Some(known);
        if let (Some(last), true) = (known, armed.full) {
            known = self.open_without_room(armed, promise, last)?;
        }
        if let Some(last) = known {
            known = self.cut_openings(armed, &mut promise, last, is_kill)?;
        }
        match known {
            Some(last) => self.refused_openings(armed, promise, last),
            None => Ok(None),
        }
    }

    /// F6: openings that are cut short, in a row. What they leave says the same.
    fn cut_openings(
        &mut self,
        armed: &Armed,
        promise: &mut Promise,
        known: Lsn,
        is_kill: bool,
    ) -> Checked<Option<Lsn>> {
        let (mut known, mut settled) = (known, !is_kill);
        for (depth, cut) in armed.cuts.iter().enumerate() {
            let Cut { changes, cut, roll } = *cut;
            self.disk.halt_after(changes.into());
            let opened = Node::open(&self.disk, self.sizes.machine, &self.sizes.log, self.times());
            if let Ok((_, state)) = &opened {
                // It was shown: it stays.
                promise.durable = promise.durable.max(state.applied());
                promise.floor = promise.floor.max(state.applied());
            }
            let shown = opened.is_ok();
            drop(opened);
            if !shown {
                let depths = ["F6 opening cut short", "F6 the same, depth 2", "F6 the same, depth 3"];
                self.counts.fault(depths.get(depth).unwrap_or(&"F6"));
            }
            if cut % 3 > 0 {
                promise.floor = promise.durable;
            }
            promise.exact = (settled || shown).then_some(known).filter(|_| !promise.may_refuse);
            self.check_disk(&self.disk.clone())?;
            let end = End { cut: cut % 3, keep: roll % 9, tear: roll / 9 % 3, roll, ..End::kill() };
            self.disk = Arc::new(end.image(&self.disk, 1));
            settled |= end.cut > 0;
            let disk = Arc::clone(&self.disk);
            let Some(found) = self.judge(&disk, *promise)? else { return Ok(None) };
            rows::in_opening(self, &found, shown);
            known = found.report.valid;
        }
        Ok(Some(known))
    }

    /// F13: a sync that failed in the life before is told in this one, to an opening.
    fn hear_of_old_errors(&mut self) -> Checked {
        for _ in 0..4 {
            let opened = Node::open(&self.disk, self.sizes.machine, &self.sizes.log, self.times());
            let told = opened.map(drop);
            let goes_on = told.is_ok();
            let well =
                matches!(told, Ok(()) | Err(NotOpened::Write(LogError::Storage(_) | LogError::Poisoned)));
            self.must(well, Invariant::I15, || {
                format!("an old error of the disk came as another: {told:?}")
            })?;
            self.disk = Arc::new(self.disk.process_kill());
            if goes_on {
                break;
            }
        }
        Ok(())
    }

    /// F14: an opening needs room for a segment. Without it, it says so, and what was there stays.
    fn open_without_room(&mut self, armed: &Armed, promise: Promise, known: Lsn) -> Checked<Option<Lsn>> {
        let opened = Node::open(&self.disk, self.sizes.machine, &self.sizes.log, self.times());
        let well = match &opened {
            Ok((_, state)) => state.applied() == known,
            Err(NotOpened::Read(_)) => false,
            Err(NotOpened::Write(error)) => error.is_full() || armed.lied == Lie::Synced,
        };
        let exact = opened.is_ok().then_some(known).filter(|_| !promise.may_refuse);
        let told = opened.map(|(_, state)| state.applied());
        self.must(well, Invariant::I10, || format!("an opening on a disk that may be full: {told:?}"))?;
        self.disk = Arc::new(self.disk.process_kill());
        self.disk.set_capacity_bytes(None);
        let disk = Arc::clone(&self.disk);
        let found = self.judge(&disk, Promise { exact, ..promise })?;
        Ok(found.map(|found| found.report.valid))
    }

    /// F12, F13, F15, F21: openings that meet an error say so, and the next one finds the old truth.
    fn refused_openings(&mut self, armed: &Armed, promise: Promise, known: Lsn) -> Checked<Option<Lsn>> {
        let mut known = known;
        for fault in &armed.opening {
            let OpeningFault::Refused { op, after, errno, times } = *fault else { continue };
            if refuse(&self.disk, op, after, errno, times).is_none() {
                continue;
            }
            let opened = Node::open(&self.disk, self.sizes.machine, &self.sizes.log, self.times());
            let well = match &opened {
                Ok(_) => true,
                // Who is told that a file is not there cannot know better.
                Err(_) if errno % 8 == 4 => true,
                Err(NotOpened::Read(error)) => is_io(error),
                Err(NotOpened::Write(error)) => matches!(error, LogError::Storage(_) | LogError::Poisoned),
            };
            let shown = opened.is_ok();
            self.must(well, Invariant::I14, || {
                format!(
                    "an error of the disk was taken for something else: {:?}",
                    opened.as_ref().map(|_| ())
                )
            })?;
            drop(opened);
            let exact = shown.then_some(known).filter(|_| !promise.may_refuse);
            self.disk = Arc::new(self.disk.process_kill());
            let disk = Arc::clone(&self.disk);
            let Some(found) = self.judge(&disk, Promise { exact, ..promise })? else {
                return Ok(None);
            };
            known = found.report.valid;
        }
        Ok(Some(known))
    }

    /// F7, F16, F17, F22. I14: what nothing hangs on is survived, what is needed is refused, and whatever is read is no less than
    /// what is left of the proof; a second reader says the same, and if it is refused the same place.
    fn damage(&mut self, armed: &Armed, known: Lsn) -> Checked<Lsn> {
        if armed.damages.is_empty() || armed.lied != Lie::No {
            return Ok(known);
        }
        let fork = Arc::new(self.disk.process_kill());
        let foreign = self.foreign();
        let mut done = Vec::new();
        for damage in &armed.damages {
            let before = fork.image_hash();
            let one = damage.apply(&fork, &self.past, &foreign).filter(|_| fork.image_hash() != before);
            one.iter().for_each(|one| self.counts.fault(one.class));
            done.extend(one);
        }
        let Some(first) = done.first() else { return Ok(known) };
        let disk = Arc::clone(&self.disk);
        let Ok(intact) = recover(&*disk, &self.sizes.log) else { return Ok(known) };
        let must = Anatomy::of(&intact).must(&disk, &fork);
        let intact_valid = intact.report.valid;
        let exact = (must == Must::Open).then_some(intact_valid);
        let several = done.len() > 1 || self.scarred;
        let (may_refuse, doubtful) = (must != Must::Open, Some(Told::of(&disk, &fork)));
        let found =
            self.judge(&fork, Promise { exact, may_refuse, several, doubtful, ..Promise::NOTHING })?;
        let valid = found.as_ref().map(|found| found.report.valid);
        self.must(must != Must::Refuse || valid.is_none(), Invariant::I14, || {
            format!("what is needed was damaged, and it is read to {valid:?}")
        })?;
        self.counts.verdict(match (must, valid) {
            (Must::Open, _) => "damage of nothing that is needed: opened, and everything is there",
            (Must::Refuse, _) => "damage of what is needed: refused",
            (Must::Either, None) => "damage of what something may prove: refused",
            (Must::Either, Some(valid)) if valid == intact_valid => {
                "damage of what something may prove: opened, and everything is there"
            }
            (Must::Either, Some(_)) => "damage of what something may prove: opened, and nothing proves more",
        });
        let opened =
            Node::open(&Arc::new(fork.process_kill()), self.sizes.machine, &self.sizes.log, self.times());
        let same = match &opened {
            Ok((_, state)) => valid == Some(state.applied()),
            Err(NotOpened::Read(_)) => valid.is_none(),
            Err(NotOpened::Write(_)) => true,
        };
        self.must(same, Invariant::I15, || {
            format!(
                "verify read to {valid:?}, and the opening: {:?}",
                opened.as_ref().map(|it| it.1.applied())
            )
        })?;
        let writable = opened.is_ok();
        match valid {
            Some(valid) if writable && done.len() == 1 && armed.damages.iter().all(|it| it.stay) => {
                self.strange |= first.strange;
                if valid < known {
                    self.past.clear();
                }
                self.disk = fork;
                Ok(valid)
            }
            _ => Ok(known),
        }
    }

    /// A directory of another log.
    fn foreign(&self) -> Arc<SimDisk> {
        let disk = Arc::new(SimDisk::new(self.sizes.seed ^ 0xF0E1_6000));
        let opened = Node::open(&disk, self.sizes.machine, &self.sizes.log, self.times());
        if let Ok((mut node, _)) = opened {
            let now = node.timelines.now(self.times());
            while let Some(job) = Heart::take_job(&mut node.machine, Hand::Log, now) {
                node.finish(job, now);
            }
        }
        disk
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
