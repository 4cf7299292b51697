//! The owner of a directory: a writer, and the state that its records make.

use std::sync::Arc;

use horolog_recovery::recover;
use horolog_sim::{Rng, SimDisk};
use horolog_state::snapshot::SnapshotWalk;
use horolog_state::{
    Cancel, ClockReading, Complete, Deliver, DueTime, Epoch, Lsn, Put, Record, State, Tick, TickLen,
    Timeline, TimerId, codec,
};
use horolog_wal::{BatchBuf, LogOptions, SealedSnapshot, SnapshotFile, Stamp, Syncer, Writer, open_writer};

pub(crate) const LEN: TickLen = TickLen::MILLISECOND;

pub(crate) fn options() -> LogOptions {
    LogOptions { has_lock: true, ..LogOptions::small() }
}

/// A process that has the directory open, and does things at random.
pub(crate) struct Life {
    pub(crate) writer: Writer,
    pub(crate) syncer: Syncer,
    pub(crate) state: State,
    pub(crate) durable: u64,
    pub(crate) rng: Rng,
}

impl Life {
    pub(crate) fn open(options: &LogOptions, disk: Arc<SimDisk>, seed: u64) -> Self {
        let found = recover(&*disk, options).expect("sound");
        let (writer, syncer) = open_writer(disk.clone(), &found.log, options, 0).expect("the disk works");
        let durable = found.log.valid.0;
        let mut life = Self { writer, syncer, state: found.state, durable, rng: Rng::new(seed) };
        let epoch = life.state.epoch() + 1;
        let reading = ClockReading::default();
        let generation_floor = if epoch == 1 { 1_000 } else { 0 };
        life.write(&[Record::Epoch(Epoch { epoch, tick_len: LEN, generation_floor, reading })]);
        life.sync();
        life
    }

    fn write(&mut self, records: &[Record<'_>]) {
        let first_lsn = self.writer.tail().next();
        let mut batch = BatchBuf::new();
        for (record, lsn) in records.iter().zip(first_lsn.0..) {
            let mut body = Vec::new();
            codec::encode(record, &mut body);
            batch.push(record.kind().code(), 0, |out| out.extend_from_slice(&body));
            let effect = self.state.apply(Lsn(lsn), record).expect("it fits");
            if effect.free {
                self.state.free(record.timer().expect("it has one"));
            }
        }
        let durable_lsn = horolog_wal::Lsn(self.durable);
        let stamp = Stamp { first_lsn, durable_lsn, ..Stamp::default() };
        self.writer.append(&mut batch, stamp, 20_000 * first_lsn.0).expect("the disk works");
    }

    pub(crate) fn sync(&mut self) {
        self.syncer.sync().expect("the disk works");
        self.durable = self.writer.tail().0;
    }

    fn pick(&mut self) -> Option<TimerId> {
        let slots = u64::from(self.state.slab().slots());
        let slot = u32::try_from(self.rng.below(slots.max(1))).expect("a slot");
        self.state.id_at(slot)
    }

    /// One record, not synced.
    pub(crate) fn step(&mut self) {
        let due = DueTime { timeline: Timeline::Civil, tick: Tick(self.rng.below(1_000)) };
        let Some(id) = self.pick().filter(|_| self.rng.below(3) > 0) else {
            let id = self.state.slab_mut().reserve().expect("a slot");
            let payload = vec![7; usize::try_from(self.rng.below(3_000)).expect("small")];
            return self.write(&[Record::Put(Put { id, due, terms: None, payload: (&payload).into() })]);
        };
        let timer = self.state.view(id).expect("it lives");
        let (deliveries, epoch) = (timer.deliveries, self.state.epoch());
        if timer.phase == horolog_state::Phase::Leased {
            return self.write(&[Record::Complete(Complete { id, occurrence: 0, number: deliveries })]);
        }
        if self.rng.below(2) == 0 {
            return self.write(&[Record::Cancel(Cancel { id })]);
        }
        let number = deliveries + 1;
        let deliver = Deliver { id, occurrence: 0, covers_from: 0, number, epoch, next_due: None };
        self.write(&[Record::Deliver(deliver)]);
    }

    pub(crate) fn steps(&mut self, count: u64) {
        (0..count).for_each(|_| self.step());
        self.sync();
    }

    /// A snapshot with steps in between, up to its being whole.
    fn sealed(&mut self) -> SealedSnapshot {
        let mut walk = SnapshotWalk::new(&self.state);
        let plan = self.writer.plan_snapshot(horolog_wal::Lsn(walk.begin().0));
        let mut file = plan.create().expect("the disk works");
        loop {
            let mut buffer = vec![0; SnapshotFile::FRAME_LEN];
            if !walk.step(&self.state, &mut buffer) {
                break;
            }
            file.append(&mut buffer, walk.end().is_some()).expect("the disk works");
            let count = self.rng.below(5);
            (0..count).for_each(|_| self.step());
        }
        file.seal(horolog_wal::Lsn(walk.end().expect("it ended").0)).expect("the disk works")
    }

    /// A snapshot that counts; segments that nobody needs any more are let go.
    pub(crate) fn snapshot(&mut self) {
        let sealed = self.sealed();
        self.sync();
        let below = sealed.publish(horolog_wal::Lsn(self.durable)).expect("the disk works");
        if let Some(plan) = self.writer.retire_below(below) {
            let retired = plan.carry_out().expect("the disk works");
            self.writer.offer_retired(retired);
        }
    }
}

/// Everything that callers could see.
pub(crate) fn picture(state: &State) -> String {
    let timers: Vec<_> = state.timers().map(|timer| format!("{timer:?}")).collect();
    format!("{timers:?} {:?} {} {}", state.totals(), state.applied(), state.epoch())
}
