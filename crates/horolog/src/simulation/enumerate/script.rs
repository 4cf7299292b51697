//! What each operation does. Jobs are done when the script says so, so that every kind of unsynced remains occurs:
//!
//! | operation | commands and jobs |
//! | --- | --- |
//! | schedule | a timer (`Synced`); write, sync |
//! | cancel | a timer that waits is cancelled (`Written`); write. If there is none: one is scheduled first; write |
//! | complete | an occurrence is delivered, unless one is held: write. `Complete` (`Synced`) is applied; META witnesses what is durable; write, sync, MARK |
//! | batch | an occurrence is delivered, unless one is held: write. Both in one (`Written`): write; the term is over: sync. The next `Deliver` is applied; META witnesses; write |
//! | rotate | timers (`Written`), one batch each, until the segment is full: write. The first time and every other time a spare is prepared before the first of them is written, and behind it a sync begins; it ends when the log has gone on in the next segment |
//! | snapshot | a timer (`Written`), if there never was one: write. A snapshot is asked for: its file, its slots; a timer (`Written`): write; its globals; read back; sync; it counts |
//! | compact | twice the same without the timer; then the log that neither needs is let go |
//! | close | CLEAN as in a shutdown, with whatever is held: write, sync, MARK, witness. The next process opens |

use horolog_sim::Rng;
use horolog_state::{CancelOutcome, Payload, Phase, Request, When};
use horolog_wal::{BLOCK_LEN, SegmentRole, read_log};

use super::ledger::Breach;
use super::operation::Operation;
use super::process::{Process, WRITTEN, log_options};
use crate::machine::{Applied, Operation as BatchOperation, SnapshotStep};
use crate::timer::Durability;

const HOUR_NS: u128 = 3_600_000_000_000;

/// A batch with such a payload has two sectors with something in them, a first and a last.
const PAYLOAD_LEN: usize = 700;

/// More batches than a segment holds.
const BATCHES_MAX: u32 = 8;

fn unexpected(what: impl std::fmt::Debug) -> Breach {
    Breach::of("run", format_args!("unexpected: {what:?}"))
}

impl Process {
    /// Carries out one operation.
    pub(super) fn carry_out(mut self, operation: Operation) -> Result<Self, Breach> {
        self.pass(1_000);
        match operation {
            Operation::Schedule => self.schedule()?,
            Operation::Cancel => self.cancel()?,
            Operation::Complete => self.complete()?,
            Operation::Batch => self.batch()?,
            Operation::Rotate => self.rotate()?,
            Operation::Snapshot => self.snapshot()?,
            Operation::Compact => self.compact()?,
            Operation::Close => return self.close(),
        }
        Ok(self)
    }

    fn schedule(&mut self) -> Result<(), Breach> {
        let payload = self.payload();
        self.put(HOUR_NS, payload, Durability::Synced)?;
        self.write()?;
        self.sync()
    }

    fn cancel(&mut self) -> Result<(), Breach> {
        let waiting = self.machine().state().timers().find(|timer| timer.phase == Phase::Waiting);
        if waiting.is_none() {
            let payload = self.payload();
            self.put(HOUR_NS, payload, WRITTEN)?;
            self.write()?;
        }
        let mut timers = self.machine().state().timers();
        let Some(id) = timers.find(|timer| timer.phase == Phase::Waiting).map(|timer| timer.id) else {
            return Err(unexpected("no timer waits"));
        };
        drop(timers);
        let now = self.now();
        let accepted = self.machine().cancel(id, WRITTEN, &now).map_err(unexpected)?;
        if accepted.value != CancelOutcome::Cancelled {
            return Err(unexpected(accepted));
        }
        self.life.ledger.ended(id, accepted.lsn.0);
        self.settle()?;
        self.write().map(drop)
    }

    fn complete(&mut self) -> Result<(), Breach> {
        self.deliver()?;
        let Some(token) = self.held().map(|begun| begun.token) else {
            return Err(unexpected("nothing is held"));
        };
        let now = self.now();
        let accepted = self.machine().complete(token, Durability::Synced, &now).map_err(unexpected)?;
        self.let_go();
        self.life.ledger.ended(token.id, accepted.lsn.0);
        self.note(|positions| positions.completed = accepted.lsn.0);
        self.settle()?;
        self.keep()?;
        self.write()?;
        self.sync()?;
        self.pass(20);
        self.keep()
    }

    fn batch(&mut self) -> Result<(), Breach> {
        self.deliver()?;
        let Some(token) = self.held().map(|begun| begun.token) else {
            return Err(unexpected("nothing is held"));
        };
        let (payload, now) = (self.payload(), self.now());
        let request = Request { payload: payload.view(), ..Request::new(When::After { delay_ns: 0 }) };
        let operations = [BatchOperation::Complete(token), BatchOperation::Schedule(request)];
        let accepted = self.machine().batch(&operations, WRITTEN, &now).map_err(unexpected)?;
        self.let_go();
        let (&[Applied::Completed(done), Applied::Scheduled(id)], lsn) =
            (&accepted.value[..], accepted.lsn.0)
        else {
            return Err(unexpected(accepted));
        };
        self.life.ledger.ended(done, lsn - 1);
        self.life.ledger.scheduled(id, lsn);
        self.note(|positions| positions.completed = lsn - 1);
        self.settle()?;
        self.write()?;
        self.pass(60);
        self.sync()?;
        self.advance()?;
        self.pass(1_000);
        self.keep()?;
        self.write().map(drop)
    }

    /// Sees to it that a consumer holds an occurrence.
    fn deliver(&mut self) -> Result<(), Breach> {
        self.advance()?;
        self.write()?;
        if self.held().is_none() {
            let payload = self.payload();
            self.put(0, payload, WRITTEN)?;
            self.write()?;
            self.pass(5);
            self.advance()?;
            self.write()?;
        }
        self.pass(1_000);
        Ok(())
    }

    fn rotate(&mut self) -> Result<(), Breach> {
        let with_spare = self.life.rotations.is_multiple_of(2);
        self.life.rotations += 1;
        let mut slow = None;
        for nth in 0..BATCHES_MAX {
            let payload = self.filler()?;
            self.put(HOUR_NS, payload, WRITTEN)?;
            if nth == 0 && with_spare {
                self.prepare()?;
            }
            if self.write()? {
                slow.map_or(Ok(()), |sync| self.finish_sync(sync))?;
                return self.keep();
            }
            if nth == 0 && with_spare {
                slow = Some(self.begin_sync()?);
            }
        }
        Err(unexpected("the segment is never full"))
    }

    fn snapshot(&mut self) -> Result<(), Breach> {
        if self.machine().state().slab().slots() == 0 {
            let payload = self.payload();
            self.put(HOUR_NS, payload, WRITTEN)?;
            self.write()?;
        }
        self.machine().ask_for_snapshot();
        self.finish_snapshot(|step| matches!(step, SnapshotStep::Section { .. }))?;
        let payload = self.payload();
        self.put(HOUR_NS, payload, WRITTEN)?;
        self.write()?;
        self.finish_snapshot(|step| matches!(step, SnapshotStep::Publish { .. }))
    }

    fn compact(&mut self) -> Result<(), Breach> {
        for _ in 0..2 {
            self.machine().ask_for_snapshot();
            self.finish_snapshot(|step| matches!(step, SnapshotStep::Publish { .. }))?;
            self.finish_snapshot(|step| matches!(step, SnapshotStep::Retire))?;
        }
        Ok(())
    }

    /// Up to a step, and with it. What the sections have seen is synced when nothing else is left to do.
    fn finish_snapshot(&mut self, is_last: fn(&SnapshotStep) -> bool) -> Result<(), Breach> {
        loop {
            match self.snapshot_step(is_last)? {
                Some(true) => return Ok(()),
                Some(false) => {}
                None => self.sync()?,
            }
        }
    }

    fn close(mut self) -> Result<Self, Breach> {
        let now = self.now();
        self.machine().close_intake();
        self.machine().close(&now);
        self.settle()?;
        self.write()?;
        self.sync()?;
        self.keep()?;
        let positions = self.positions();
        if positions.durable != positions.applied {
            return Err(Breach::of("I1", "a log was closed and not all is durable"));
        }
        self.pass(5_000);
        let life = self.end();
        if life.disk.counts().open_handles > 0 {
            return Err(Breach::of("I13", "a process ended and files are open"));
        }
        Self::open(life, positions.applied)
    }

    fn put(&mut self, delay_ns: u128, payload: Payload, durability: Durability) -> Result<(), Breach> {
        let request = Request { payload: payload.view(), ..Request::new(When::After { delay_ns }) };
        let now = self.now();
        let accepted = self.machine().schedule(&request, durability, &now).map_err(unexpected)?;
        self.life.ledger.scheduled(accepted.value, accepted.lsn.0);
        self.settle()
    }

    /// Bytes that no other timer has.
    fn payload(&mut self) -> Payload {
        self.life.serial += 1;
        let mut bytes = [0; PAYLOAD_LEN];
        Rng::new(self.life.serial).fill(&mut bytes);
        bytes[..].into()
    }

    /// Zeros that take two blocks while there is room for them, then a block: a segment is full after few writes, and only
    /// a sector or two of each makes a difference.
    fn filler(&mut self) -> Result<Payload, Breach> {
        let view = read_log(&*self.life.disk, &log_options());
        let view = view.map_err(|error| Breach::refused("I14", error))?;
        let head = view.segments.iter().find(|segment| segment.role == SegmentRole::Head);
        let left = head.map_or(0, |head| head.capacity_bytes - head.end_offset) / u64::from(BLOCK_LEN);
        if left >= 3 { Ok(vec![0; 4_500].as_slice().into()) } else { Ok(self.payload()) }
    }
}
