//! The golden directories with snapshots, each of which holds what the records so far make.

use std::sync::Arc;

use horolog_sim::SimDisk;
use horolog_sim::decoder::{Sections, Slot, Verdict};
use horolog_state::snapshot::{SnapshotLoader, SnapshotWalk};
use horolog_state::{
    Deliver, DueTime, Fail, FailCause, Grid, Misfire, Phase, Put, Record, Retry, State, Terms, Tick, TickLen,
    Timeline, codec,
};
use horolog_wal::Lsn;

use crate::agreement::agreed;
use crate::owner::Owner;
use crate::scenes::{SCENES, cancel, encoded, epoch, id, put};

/// An owner with the state that its records make.
struct Keeper {
    owner: Owner,
    state: State,
}

type Records = [(u8, Vec<u8>)];

impl Keeper {
    fn open(disk: &Arc<SimDisk>) -> Self {
        let mut keeper = Self { owner: Owner::open(disk, 0).unwrap(), state: State::new() };
        keeper.commit(&[epoch(1), put(0, 1)]);
        keeper.commit(&[every_minute(1)]);
        keeper
    }

    fn commit(&mut self, records: &Records) {
        self.owner.write(records).unwrap();
        self.owner.sync().unwrap();
        for (kind, body) in records {
            let record = codec::decode(*kind, body).unwrap();
            let effect = self.state.apply(self.state.applied().next(), &record).unwrap();
            record.timer().filter(|_| effect.free).into_iter().for_each(|id| self.state.free(id));
        }
    }

    /// Until the next segment has begun.
    fn fill(&mut self, slots: std::ops::Range<u32>) {
        slots.for_each(|slot| self.commit(&[put(slot, 1)]));
    }

    /// The sections of a snapshot, with these records between the slots and the globals; and what it begins behind.
    fn sections(&mut self, between: &Records) -> (Lsn, Vec<Vec<u8>>) {
        let (mut walk, mut sections) = (SnapshotWalk::new(&self.state), Vec::new());
        let mut section = Vec::new();
        while walk.step(&self.state, &mut section) {
            sections.push(std::mem::take(&mut section));
            if walk.end().is_none() {
                self.commit(between);
            }
        }
        (Lsn(walk.begin().0), sections)
    }

    fn snapshot(&mut self, between: &Records) {
        let (begin, sections) = self.sections(between);
        let below = self.owner.snapshot(begin, &sections).unwrap();
        self.owner.retire_below(below).unwrap();
    }
}

/// A recurring timer with a key.
fn every_minute(slot: u32) -> (u8, Vec<u8>) {
    let grid = Grid {
        timeline: Timeline::Civil,
        anchor_ns: 0,
        interval_ns: std::num::NonZeroU64::new(60_000_000_000).unwrap(),
    };
    let (misfire, retry) = (Misfire::Skip, Retry::default());
    let terms = Some(Terms { key: b"backup", misfire, retry, grid: Some((grid, 68_374_080)) });
    encoded(&Record::Put(Put { id: id(slot, 1), due: minute(0), terms, payload: b"backup".into() }))
}

fn minute(after: u64) -> DueTime {
    DueTime { timeline: Timeline::Civil, tick: Tick(4_102_444_800_000 + 60_000 * after) }
}

fn delivered_every_minute(slot: u32) -> (u8, Vec<u8>) {
    let (occurrence, covers_from, number) = (68_374_080, 68_374_080, 1);
    let next_due = Some(minute(1));
    let deliver = Deliver { id: id(slot, 1), occurrence, covers_from, number, epoch: 1, next_due };
    encoded(&Record::Deliver(deliver))
}

fn failed_every_minute(slot: u32) -> (u8, Vec<u8>) {
    let (occurrence, cause, retry) = (68_374_080, FailCause::Reported, Some(minute(2)));
    let fail = Fail { id: id(slot, 1), occurrence, number: 1, cause, retry, message: "no" };
    encoded(&Record::Fail(fail))
}

/// Two snapshots, and a log that begins with the second segment.
fn kept(disk: &Arc<SimDisk>) -> Keeper {
    let mut keeper = Keeper::open(disk);
    keeper.fill(2..7);
    keeper.snapshot(&[delivered_every_minute(1)]);
    keeper.fill(7..11);
    keeper.snapshot(&[failed_every_minute(1), cancel(2)]);
    keeper.commit(&[put(11, 1)]);
    keeper
}

fn image(id: u64) -> String {
    format!("snap-{id:016x}.img")
}

/// In the first slot.
fn damage(disk: &SimDisk, id: u64) {
    assert!(disk.flip(&image(id), 4096 + 32 + 20 + 3, 4));
}

pub(crate) fn clean(disk: &Arc<SimDisk>) -> SimDisk {
    let mut keeper = kept(disk);
    keeper.owner.witness().unwrap();
    keeper.owner.mark(true).unwrap();
    keeper.owner.sync().unwrap();
    disk.fork()
}

pub(crate) fn half_made(disk: &Arc<SimDisk>) -> SimDisk {
    let mut keeper = kept(disk);
    let (begin, sections) = keeper.sections(&[put(12, 1)]);
    let file = keeper.owner.begin_snapshot(begin, &sections[..1], false).unwrap();
    let found = disk.fork();
    drop(file);
    found
}

pub(crate) fn not_listed(disk: &Arc<SimDisk>) -> SimDisk {
    let mut keeper = kept(disk);
    let (begin, sections) = keeper.sections(&[put(12, 1)]);
    let sealed = keeper.owner.seal_snapshot(begin, &sections).unwrap();
    // It gets its name, which becomes durable.
    disk.halt_after(2);
    sealed.publish(keeper.owner.durable).unwrap_err();
    disk.process_kill()
}

pub(crate) fn rotten(disk: &Arc<SimDisk>) -> SimDisk {
    kept(disk);
    damage(disk, 2);
    disk.fork()
}

pub(crate) fn both_rotten(disk: &Arc<SimDisk>) -> SimDisk {
    let disk = rotten(disk);
    damage(&disk, 1);
    disk
}

/// Everything that a section says of a timer, in the words of the owner.
fn timer_of(slot: u32, found: &Slot) -> Option<String> {
    let timer = found.timer.as_ref()?;
    let extras = timer.extras.as_ref();
    let terms = extras.and_then(|extras| extras.terms.as_ref());
    let grid = terms.and_then(|terms| terms.grid);
    let recurrence = extras.and_then(|extras| extras.recurrence).map(|it| (it.next_due, it.live));
    Some(format!(
        "{slot} {} {} {} {} {} {} {} {:?} {:?} {:?} {:?} {:?} {:?}",
        found.generation,
        timer.phase,
        timer.civil,
        timer.cancelled,
        timer.suspect,
        timer.deadline,
        timer.lsn,
        timer.counts,
        terms.map_or(&[][..], |terms| &terms.key),
        terms.map_or(0, |terms| terms.misfire),
        grid,
        recurrence,
        timer.payload,
    ))
}

/// The same of a timer of the owner's state.
fn timer_in(state: &State, slot: u32) -> Option<String> {
    let timer = state.view(state.id_at(slot)?)?;
    let phase = 1 + [Phase::Waiting, Phase::Leased, Phase::Dead].iter().position(|it| *it == timer.phase)?;
    let due = |due: DueTime| (u8::from(due.timeline == Timeline::Elapsed), due.tick.0);
    let grid = timer.recurrence.map(|it| {
        let timeline = u8::from(it.grid.timeline == Timeline::Elapsed);
        (timeline, it.grid.anchor_ns, it.grid.interval_ns.get(), it.next_index)
    });
    let recurrence =
        timer.recurrence.map(|it| (due(it.next_due), it.live.map(|live| (live.index, live.covers_from))));
    Some(format!(
        "{slot} {} {phase} {} {} {} {} {} {:?} {:?} {:?} {grid:?} {recurrence:?} {:?}",
        timer.id.generation(),
        timer.due.timeline == Timeline::Civil,
        timer.doomed,
        timer.suspect,
        timer.due.tick.0,
        timer.lsn.0,
        (timer.deliveries, timer.failures),
        timer.key,
        u8::from(timer.misfire == Misfire::Skip),
        timer.payload,
    ))
}

#[test]
fn two_readers_find_the_same_timers_in_the_sections_of_every_golden_snapshot() {
    let (mut timers, mut recurring) = (0, 0);
    for scene in &SCENES {
        let Ok(Verdict::Log(log)) = agreed(&scene.files(), 0) else { continue };
        for snapshot in &log.snapshots {
            let Some(sections) = &snapshot.sections else { continue };
            let decoded = Sections::decode(sections).expect("sections as the page has them");
            let mut loader = SnapshotLoader::new(horolog_state::Lsn(snapshot.begin));
            sections.iter().try_for_each(|section| loader.section(section)).unwrap();
            let state = loader.finish().unwrap().into_state();
            for (slot, found) in (0..).zip(&decoded.slots) {
                assert_eq!(timer_of(slot, found), timer_in(&state, slot), "{}", scene.name);
                let timer = found.timer.as_ref();
                timers += usize::from(timer.is_some());
                recurring += usize::from(timer.is_some_and(|it| it.extras.is_some()));
            }
            let globals = &decoded.globals;
            assert_eq!((globals.slots, globals.end), (state.slab().slots(), snapshot.end));
            assert_eq!((globals.epoch, globals.tick_len_ns), (state.epoch(), TickLen::MILLISECOND.ns()));
            assert_eq!(
                (globals.totals[0], globals.totals[6]),
                (state.totals().scheduled, state.totals().failures)
            );
            assert_eq!(globals.boot_id, state.reading().boot_id);
            assert_eq!(globals.bounds, (state.slab().origin(), state.slab().floor_base()));
            assert_eq!(globals.floors, state.slab().floors().collect::<Vec<_>>());
        }
    }
    assert!(timers > 50 && recurring > 5, "{timers} timers, {recurring} of them recurring");
}
