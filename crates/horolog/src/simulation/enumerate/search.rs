//! One sequence: every moment of its last operation, every state that a crash can leave there, every verdict.
//!
//! The operations before the last one are carried out and not looked at: they are the last of a shorter sequence.
//!
//! # What makes a verdict exact
//!
//! 1. A reading is a function of the image, so images with one hash are read once.
//! 2. What is read must be one line of the ledger, not below what was promised at the moment and not above what was asked
//!    for.
//! 3. What a directory proves durable must be there in the worst case of the same moment, in which nothing arrived; or it
//!    has been copied and synced by the opening that is on its way.
//! 4. An opening that is cut short changes nothing visible: its moments are judged like any others, with the state that it
//!    read as floor and as ceiling. If it was begun over a page cache, a power cut may still take what the cut before could.
//! 5. An opening that ends leaves no other file than the log's, and one more timer is there after one more power cut.

use std::collections::HashMap;
use std::collections::hash_map::{DefaultHasher, Entry};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use horolog_sim::{Blank, Crash, Fate, SimDisk};

use super::super::anatomy::Must;
use super::Enumeration;
use super::ledger::{Breach, Ledger};
use super::moment::{Moment, Step};
use super::operation::Operation;
use super::process::{Life, Process};
use super::reading::{Reading, Times, check_rewrites, check_tidy, read};
use super::remains::{Fates, Remains, crashed, every_byte};
use super::report::{Came, DEPTH_MAX, Tally, Violation};
use super::table::{Seen, TABLE};

type Verdict<T = ()> = Result<T, Box<Violation>>;

/// Where a sector tears, unless at every byte.
const TORN_AT: [usize; 4] = [1, 8, 64, 511];

/// Everything that is known of one sequence.
#[derive(Debug)]
pub(super) struct Search<'a> {
    plan: &'a Enumeration,
    /// Crashes in a row at most.
    depth: u32,
    readings: HashMap<u64, Reading>,
    /// Openings that were crashed in turn, with how many crashes more.
    explored: HashMap<u64, u32>,
    pub(super) tally: Tally,
}

/// What the opening that is being crashed had found.
#[derive(Clone, Copy, Debug, Default)]
struct Past {
    /// In the page cache there was the LINK of a rotation, written and not synced.
    unsynced_link: bool,
    /// There was a META, and its name was not durable.
    unsynced_meta: bool,
    /// What may be proven durable by what waits there.
    certain: u64,
}

/// The circumstances of a crash.
#[derive(Clone, Copy, Debug)]
struct Scene<'a> {
    moment: &'a Moment,
    ledger: &'a Ledger,
    remains: &'a Remains,
    /// What may be proven durable.
    certain: u64,
    depth: u32,
    past: Past,
}

/// What a crash left, and what may become of it.
#[derive(Debug)]
struct Found {
    disk: SimDisk,
    /// Of the image, and of what is still pending.
    key: u64,
    reading: Reading,
    killed: bool,
    /// What another power cut may not take.
    floor: u64,
}

impl<'a> Search<'a> {
    pub(super) fn new(plan: &'a Enumeration, depth: u32) -> Self {
        let tally = Tally::default();
        Self { plan, depth, readings: HashMap::new(), explored: HashMap::new(), tally }
    }

    /// Carries out a sequence and judges all that can become of its last operation.
    pub(super) fn sequence(&mut self, sequence: &[Operation]) -> Verdict {
        let life = self.plan.live_on(self.plan.disk(), sequence, true)?;
        check_rewrites(&life.disk)?;
        for moment in &life.moments {
            self.moment(moment, &life.ledger, 1, Past::default())?;
        }
        self.tally.sequences += 1;
        Ok(())
    }

    /// All that a crash may leave at one moment.
    fn moment(&mut self, moment: &Moment, ledger: &Ledger, depth: u32, past: Past) -> Verdict {
        let remains = Remains::of(&moment.disk);
        count(&mut self.tally.moments, depth);
        self.tally.choices_max = self.tally.choices_max.max(remains.len());
        let worst = crashed(&moment.disk, Crash::default(), &remains.nothing());
        let least = self.read(&worst, worst.image_hash(), ledger, depth);
        let least = least
            .map_err(|it| Violation::of(it).before(|| format!("after {}: nothing arrived", moment.what)))?
            .valid();
        // Once the copies of an opening are synced, META may say so.
        let is_copied = matches!(moment.step, Step::LinkSynced | Step::Head);
        let certain = if is_copied { moment.promised.applied } else { least.max(past.certain) };
        let scene = Scene { moment, ledger, remains: &remains, certain, depth, past };
        if depth > 1 {
            for fates in remains.deviations() {
                self.cut_and_reopen(&scene, &fates)?;
            }
        } else {
            let (combinations, complete) = remains.combinations(self.plan.subsets_max, self.plan.seed);
            self.tally.sampled += u64::from(!complete);
            for fates in combinations {
                self.cut_and_reopen(&scene, &fates)?;
            }
            self.odd_remains(&scene)?;
        }
        self.kill(&scene)
    }

    /// Sectors that are torn, zero or noise, and files that grew over what was there before.
    fn odd_remains(&mut self, scene: &Scene<'_>) -> Verdict {
        let places = if self.plan.every_byte { every_byte() } else { TORN_AT.to_vec() };
        let remains = scene.remains;
        for fates in remains.torn(&places).into_iter().chain(remains.zeroed()) {
            self.cut(scene, Crash::default(), &fates)?;
        }
        for fates in remains.noisy() {
            self.cut_twice(scene, Blank::Zeros, &fates)?;
        }
        if let Some(fates) = remains.grown() {
            self.cut_twice(scene, Blank::Garbage, &fates)?;
            self.cut_twice(scene, Blank::OldBlocks, &fates)?;
        }
        Ok(())
    }

    /// I7: two rolls of the same noise get one verdict.
    fn cut_twice(&mut self, scene: &Scene<'_>, blank: Blank, fates: &Fates) -> Verdict {
        let seed = self.plan.seed;
        let mut roll = |roll| self.cut(scene, Crash { blank, roll, ..Crash::default() }, fates);
        let (one, other) = (roll(seed)?, roll(seed.wrapping_add(1))?);
        if (one.fingerprint, one.report.durable) == (other.fingerprint, other.report.durable) {
            return Ok(());
        }
        let breach = Breach::of("I7", format_args!("{one:?} and, with other noise, {other:?}"));
        Err(Violation::of(breach).before(|| scene.told(fates, false)))
    }

    /// A power cut with these remains.
    fn cut(&mut self, scene: &Scene<'_>, crash: Crash, fates: &Fates) -> Verdict<Reading> {
        let found = self.found(scene, crash, fates).map_err(|it| it.before(|| scene.told(fates, false)))?;
        Ok(found.reading)
    }

    /// The same, and all that can become of the opening after it.
    fn cut_and_reopen(&mut self, scene: &Scene<'_>, fates: &Fates) -> Verdict {
        let told = |violation: Box<Violation>| violation.before(|| scene.told(fates, false));
        let found = self.found(scene, Crash::default(), fates).map_err(told)?;
        self.reopen(scene, found).map_err(told)
    }

    /// A power cut, judged.
    fn found(&mut self, scene: &Scene<'_>, crash: Crash, fates: &Fates) -> Verdict<Found> {
        let disk = crashed(&scene.moment.disk, crash, fates);
        let key = disk.image_hash();
        let reading = self.judge(scene, &disk, key, scene.moment.promised.durable, false)?;
        Ok(Found { disk, key, reading, killed: false, floor: reading.valid() })
    }

    /// The process dies, and what it wrote is in the page cache.
    fn kill(&mut self, scene: &Scene<'_>) -> Verdict {
        let promised = scene.moment.promised;
        let told = |violation: Box<Violation>| violation.before(|| scene.told(&Vec::new(), true));
        let disk = scene.moment.disk.process_kill();
        let image = disk.image_hash();
        let reading = self.judge(scene, &disk, image, promised.written, true).map_err(told)?;
        if scene.remains.len() == 0 {
            // What a power cut leaves is the same, and was opened.
            return Ok(());
        }
        let key = scene.key_of_what_waits(image);
        let found = Found { disk, key, reading, killed: true, floor: promised.durable };
        self.reopen(scene, found).map_err(told)
    }

    /// Reads an image, unless it was read before.
    fn read(&mut self, disk: &SimDisk, image: u64, ledger: &Ledger, depth: u32) -> Result<Reading, Breach> {
        Ok(match self.readings.entry(image) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(place) => {
                count(&mut self.tally.distinct, depth);
                let times = if depth < 3 { Times::Twice } else { Times::Once };
                *place.insert(read(disk, ledger, times)?)
            }
        })
    }

    /// The verdict on one state.
    fn judge(
        &mut self,
        scene: &Scene<'_>,
        disk: &SimDisk,
        image: u64,
        floor: u64,
        killed: bool,
    ) -> Verdict<Reading> {
        count(&mut self.tally.tried, scene.depth);
        let reading = self.read(disk, image, scene.ledger, scene.depth)?;
        if reading.report.snapshots_rotten > 0 {
            return Err(Breach::of("I14", "a crash has damaged a snapshot that counts").into());
        }
        scene.check(&reading, floor)?;
        let Scene { moment, depth, past, .. } = *scene;
        let (after_unsynced_link, after_unsynced_meta) = (past.unsynced_link, past.unsynced_meta);
        let seen =
            Seen { moment, reading: &reading, killed, depth, after_unsynced_link, after_unsynced_meta };
        for (count, (_, is_reached)) in self.tally.rows.iter_mut().zip(TABLE) {
            *count += u64::from(is_reached(&seen));
        }
        self.tally.crashes.count(Must::Open, Came::Right);
        Ok(reading)
    }

    /// Opens what a crash left, and crashes at every moment of that.
    fn reopen(&mut self, scene: &Scene<'_>, found: Found) -> Verdict {
        let more = self.depth.saturating_sub(scene.depth);
        let known = self.explored.entry(found.key).or_default();
        if more == 0 || *known >= more {
            return Ok(());
        }
        *known = more;
        self.tally.opened += 1;
        let ledger = scene.ledger.up_to(found.reading.valid());
        let life = Life::after(Arc::new(found.disk), ledger, scene.depth);
        life.record(true);
        let mut process = Process::open(life, found.floor)?;
        let moments = std::mem::take(&mut process.life.moments);
        let ledger = one_more_timer(process)?;
        let past = Past {
            unsynced_link: found.killed && scene.moment.step == Step::RotationLink,
            unsynced_meta: found.killed && scene.may_lose_meta(),
            certain: if found.killed { scene.certain } else { 0 },
        };
        for moment in &moments {
            let verdict = self.moment(moment, &ledger, scene.depth + 1, past);
            verdict.map_err(|it| it.before(|| "reopened".to_owned()))?;
        }
        Ok(())
    }
}

/// The opening is over: nothing else is left, and what is synced now is there after a power cut.
fn one_more_timer(process: Process) -> Result<Ledger, Breach> {
    check_tidy(&process.life.disk)?;
    process.life.record(false);
    let process = process.carry_out(Operation::Schedule)?;
    let applied = process.positions().applied;
    let Life { disk, ledger, .. } = process.end();
    check_rewrites(&disk)?;
    if disk.counts().open_handles > 0 {
        return Err(Breach::of("I13", "a process ended and files are open"));
    }
    let reading = read(&disk.crash(&mut |_| Fate::Dropped), &ledger, Times::Once)?;
    if reading.valid() != applied {
        return Err(Breach::of(
            "I1",
            format_args!("{applied} was promised, and {} is read", reading.valid()),
        ));
    }
    ledger.check(applied, reading.fingerprint)?;
    Ok(ledger)
}

impl Scene<'_> {
    /// Invariants 2 and 3 of the module.
    fn check(&self, reading: &Reading, floor: u64) -> Result<(), Breach> {
        let (valid, proven) = (reading.valid(), reading.proven());
        if valid < floor {
            return Err(Breach::of("I1", format_args!("{floor} was promised, and {valid} is read")));
        }
        if valid > self.moment.promised.applied {
            return Err(Breach::of("I2", format_args!("{valid} is read, and was not asked for yet")));
        }
        if proven > self.certain {
            return Err(Breach::of("D", format_args!("{proven} is proven, and {} is certain", self.certain)));
        }
        self.ledger.check(valid, reading.fingerprint)
    }

    /// Of a page cache over a medium: both images, what waits between them, and what a power cut may do to it.
    fn key_of_what_waits(&self, image: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        let nothing = crashed(&self.moment.disk, Crash::default(), &self.remains.nothing());
        (image, nothing.image_hash(), &self.remains.pending).hash(&mut hasher);
        (self.moment.promised.durable, self.certain).hash(&mut hasher);
        hasher.finish()
    }

    /// Programs see a META, and a power cut may leave none.
    fn may_lose_meta(&self) -> bool {
        let disk = &self.moment.disk;
        let medium = crashed(disk, Crash::default(), &self.remains.nothing());
        disk.bytes("META").is_some() && medium.bytes("META").is_none()
    }

    fn told(&self, fates: &Fates, killed: bool) -> String {
        let promised = self.moment.promised;
        let what = if killed { "the process dies".to_owned() } else { self.remains.told(fates) };
        format!(
            "after {} (durable {}, written {}, applied {}): {what}",
            self.moment.what, promised.durable, promised.written, promised.applied
        )
    }
}

/// Counts one at a depth, which begins at 1.
fn count(counts: &mut [u64; DEPTH_MAX], depth: u32) {
    let at = usize::try_from(depth).unwrap_or(0).saturating_sub(1);
    counts.get_mut(at).into_iter().for_each(|count| *count += 1);
}
