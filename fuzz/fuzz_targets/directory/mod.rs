//! Directories of timers that were written by the rules, with openings, rotations, snapshots, segments that were let go, and
//! crashes; and what is damaged of them then.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

use arbitrary::Arbitrary;
use horolog_recovery::recover;
use horolog_sim::SimDisk;
use horolog_state::snapshot::SnapshotWalk;
use horolog_state::{
    Cancel, ClockReading, Deliver, DueTime, Epoch, Lsn, Put, Record, State, Tick, TickLen, Timeline, TimerId,
    codec,
};
use horolog_wal::{BatchBuf, LogError, LogView, SnapshotFile, open_writer};

use crate::rig::damage::Damage;
use crate::rig::{self, List, Log, options};

/// What happens to the directory before it is damaged.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Timers are scheduled in one batch.
    Put { count: u8, len: u16 },
    /// The timers of some slots are cancelled.
    Cancel { slots: u8 },
    /// One is handed out.
    Deliver { slot: u8 },
    /// What was written is synced.
    Sync,
    /// A sync is under way, and what follows overtakes it.
    SyncBegins,
    /// It returns.
    SyncEnds,
    /// The log says what is durable.
    Mark { clean: bool },
    /// The next segment is prepared.
    Spare,
    /// META notes what is durable.
    Witness,
    /// A snapshot is made, with so many batches between its sections; then the log may be let go that nobody needs any more.
    Snapshot { between: u8, retires: bool },
    /// The process dies and another one opens the directory.
    Kill,
    /// The power fails, and a process opens the directory.
    PowerCut { kept: u64 },
    /// Everything fails after so many more changes of the disk; then the power goes.
    HaltAfter { changes: u8 },
}

/// A process that has the directory open.
struct Life {
    log: Log,
    state: State,
    /// Ended by this record, and to be free when that is durable.
    ended: Vec<(u64, TimerId)>,
}

impl Life {
    fn sync(&mut self) -> Result<(), LogError> {
        self.log.sync()?;
        self.free();
        Ok(())
    }

    fn end_sync(&mut self) -> Result<(), LogError> {
        self.log.end_sync()?;
        self.free();
        Ok(())
    }

    fn free(&mut self) {
        let durable = self.log.acked.0;
        for (_, id) in self.ended.extract_if(.., |(lsn, _)| *lsn <= durable) {
            self.state.free(id);
        }
    }
}

/// A directory and everything that was ever done to it.
pub(crate) struct History {
    pub(crate) disk: Arc<SimDisk>,
    /// The records that count, from the first on: those too that were let go.
    pub(crate) records: Vec<Vec<u8>>,
    /// All that were ever written under a number.
    pub(crate) ever: BTreeMap<u64, BTreeSet<Vec<u8>>>,
    /// All that were ever handed out.
    pub(crate) ids: BTreeSet<TimerId>,
    life: Option<Life>,
    epochs: u64,
}

/// Kind and body in one row.
pub(crate) fn row(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], body].concat()
}

/// All records of a view that begins with `first_lsn`.
pub(crate) fn records(view: &LogView<'_>) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let walked = view.for_each_record::<Infallible>(horolog_wal::Lsn(1), &mut |record| {
        found.push(row(record.kind, record.body));
        Ok(())
    });
    walked.expect("what was checked a moment ago can be read");
    found
}

impl History {
    /// A directory with this history. It is sound, nobody has it open, and the power did not fail after the last step.
    pub(crate) fn of(steps: &[Step]) -> Self {
        let disk = Arc::new(SimDisk::new(1));
        let (records, ever, ids) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
        let mut history = Self { disk, records, ever, ids, life: None, epochs: 0 };
        history.open();
        for step in steps {
            history.take(*step);
        }
        history.end();
        let disk = Arc::clone(&history.disk);
        let found = recover(&*disk, &options()).expect("a crash is not damage");
        history.settle(&found.log);
        history
    }

    /// What did not arrive never counted; all that did is what was written.
    fn settle(&mut self, view: &LogView<'_>) {
        self.records.truncate(view.valid.0 as usize);
        assert_eq!(records(view), self.behind(view.first_lsn.0 - 1), "a crash makes nothing up");
    }

    /// The records behind an LSN.
    pub(crate) fn behind(&self, lsn: u64) -> &[Vec<u8>] {
        &self.records[lsn as usize..]
    }

    /// What the records up to an LSN make, whatever stands in a snapshot: all that callers could see.
    pub(crate) fn picture_at(&self, lsn: u64) -> String {
        let mut state = State::new();
        for (lsn, record) in (1..).zip(&self.records[..lsn as usize]) {
            let record = codec::decode(record[0], &record[1..]).expect("it was written");
            let effect = state.apply(Lsn(lsn), &record).expect("it fitted");
            record.timer().filter(|_| effect.free).into_iter().for_each(|id| state.free(id));
        }
        picture(&state)
    }

    /// Begins a life: what a process does that opens the directory.
    fn open(&mut self) {
        let disk = Arc::clone(&self.disk);
        let Ok(found) = recover(&*disk, &options()) else { return };
        self.settle(&found.log);
        let Ok((writer, syncer)) = open_writer(disk.clone(), &found.log, &options(), 0) else { return };
        let acked = found.log.valid.0;
        self.life = Some(Life { log: Log::new(writer, syncer), state: found.state, ended: Vec::new() });
        self.epochs += 1;
        let generation_floor = if acked == 0 { 1_000 } else { 0 };
        let (tick_len, reading) = (TickLen::MILLISECOND, ClockReading::default());
        let epoch = Epoch { epoch: 1_000 * self.epochs, tick_len, generation_floor, reading };
        let _ =
            self.write(&[Record::Epoch(epoch)]).and_then(|()| self.life.as_mut().map_or(Ok(()), Life::sync));
    }

    /// The records are given out and written, in one batch.
    fn write(&mut self, records: &[Record<'_>]) -> Result<(), LogError> {
        let Some(life) = &mut self.life else { return Ok(()) };
        let (mut batch, mut lsn) = (BatchBuf::new(), Lsn(life.log.writer.tail().next().0));
        for record in records {
            let mut body = Vec::new();
            codec::encode(record, &mut body);
            batch.push(record.kind().code(), 0, |out| out.extend_from_slice(&body));
            let written = row(record.kind().code(), &body);
            self.ever.entry(lsn.0).or_default().insert(written.clone());
            self.records.push(written);
            self.ids.extend(record.timer());
            let effect = life.state.apply(lsn, record).expect("it was made to fit");
            life.ended.extend(record.timer().filter(|_| effect.free).map(|id| (lsn.0, id)));
            lsn = lsn.next();
        }
        if batch.is_empty() { Ok(()) } else { life.log.append(batch) }
    }

    fn take(&mut self, step: Step) {
        let Some(life) = &mut self.life else { return self.power_cut(0x5555_5555_5555_5555) };
        let acked = life.log.acked;
        let outcome = match step {
            Step::Put { count, len } => self.put(count % 4 + 1, usize::from(len % 9_000)),
            Step::Cancel { slots } => self.cancel(slots),
            Step::Deliver { slot } => self.deliver(slot),
            Step::Sync => life.sync(),
            Step::SyncBegins => {
                life.log.begin_sync();
                Ok(())
            }
            Step::SyncEnds => life.end_sync(),
            Step::Mark { clean } => life.log.writer.mark(acked, 0, clean).and_then(|_| life.sync()),
            Step::Witness => life.log.syncer.witness(acked),
            Step::Snapshot { between, retires } => self.snapshot(between % 3, retires),
            Step::Spare => life.log.offer_spare(),
            Step::HaltAfter { changes } => {
                self.disk.halt_after(u64::from(changes % 32));
                Ok(())
            }
            Step::PowerCut { kept } => return self.power_cut(kept),
            Step::Kill => {
                self.end();
                return self.open();
            }
        };
        // The disk has halted, or a record did not fit: a new life either way.
        if outcome.is_err() {
            self.life = None;
        }
    }

    fn put(&mut self, count: u8, len: usize) -> Result<(), LogError> {
        let Some(life) = &mut self.life else { return Ok(()) };
        let ids: Vec<TimerId> = (0..count).filter_map(|_| life.state.slab_mut().reserve()).collect();
        let due = DueTime { timeline: Timeline::Civil, tick: Tick(life.log.writer.tail().0) };
        let payload = vec![life.log.writer.tail().0 as u8; len];
        let put = |id| Record::Put(Put { id, due, terms: None, payload: payload.as_slice().into() });
        self.write(&ids.into_iter().map(put).collect::<Vec<_>>())
    }

    fn cancel(&mut self, slots: u8) -> Result<(), LogError> {
        let Some(life) = &mut self.life else { return Ok(()) };
        let is_meant = |id: &TimerId| slots >> (id.slot() % 8) & 1 == 1;
        let live: Vec<TimerId> = life.state.timers().map(|timer| timer.id).filter(is_meant).collect();
        self.write(&live.into_iter().map(|id| Record::Cancel(Cancel { id })).collect::<Vec<_>>())
    }

    fn deliver(&mut self, slot: u8) -> Result<(), LogError> {
        let Some(life) = &mut self.life else { return Ok(()) };
        let waiting = |id: &TimerId| {
            life.state.view(*id).is_some_and(|timer| timer.phase == horolog_state::Phase::Waiting)
        };
        let Some(id) = life.state.id_at(u32::from(slot % 8)).filter(waiting) else { return Ok(()) };
        let number = life.state.view(id).map_or(0, |timer| timer.deliveries) + 1;
        let epoch = life.state.epoch();
        let deliver = Deliver { id, occurrence: 0, covers_from: 0, number, epoch, next_due: None };
        self.write(&[Record::Deliver(deliver)])
    }

    fn snapshot(&mut self, between: u8, retires: bool) -> Result<(), LogError> {
        let Some(life) = &mut self.life else { return Ok(()) };
        let mut walk = SnapshotWalk::new(&life.state);
        let mut file = life.log.writer.plan_snapshot(horolog_wal::Lsn(walk.begin().0)).create()?;
        loop {
            let Some(life) = &mut self.life else { return Ok(()) };
            let mut buffer = vec![0; SnapshotFile::FRAME_LEN];
            if !walk.step(&life.state, &mut buffer) {
                break;
            }
            file.append(&mut buffer, walk.end().is_some())?;
            if walk.end().is_none() {
                (0..between).try_for_each(|_| self.put(1, 8))?;
            }
        }
        let sealed = file.seal(horolog_wal::Lsn(walk.end().expect("it ended").0))?;
        let Some(life) = &mut self.life else { return Ok(()) };
        life.sync()?;
        let below = sealed.publish(life.log.acked)?;
        if let Some(plan) = life.log.writer.retire_below(below).filter(|_| retires) {
            let retired = plan.carry_out()?;
            life.log.writer.offer_retired(retired);
        }
        Ok(())
    }

    /// The process is gone; the system lives on, and the disk works.
    fn end(&mut self) {
        self.life = None;
        self.disk = Arc::new(self.disk.process_kill());
    }

    fn power_cut(&mut self, kept: u64) {
        self.life = None;
        self.disk = rig::power_cut(&self.disk, kept);
        self.open();
    }
}

/// Everything that callers could see.
pub(crate) fn picture(state: &State) -> String {
    let timers: Vec<_> = state.timers().map(|timer| format!("{timer:?}")).collect();
    format!("{timers:?} {:?} {} {}", state.totals(), state.applied(), state.epoch())
}

/// A history and what happened to the files then.
#[derive(Arbitrary, Debug)]
pub(crate) struct Input {
    pub(crate) steps: List<Step, 24>,
    pub(crate) damage: List<Damage, 6>,
}

impl Input {
    /// The directory with its damage.
    pub(crate) fn damaged(&self) -> History {
        let history = History::of(&self.steps.0);
        for damage in &self.damage.0 {
            damage.inflict(&history.disk);
        }
        history
    }
}
