//! Jobs and the hands that do them: the machine says what is to be written and synced; a hand does it without the lock.
//!
//! | job | at a time | offered when |
//! | --- | --- | --- |
//! | [`Job::Write`] | one | there are unwritten records, and something waits for `written`, or no sync is running and the segment has room or all is durable |
//! | [`Job::Sync`] | one, may run beside a write | written > durable, and a `Synced` record waits, a `sync_within` is over, half of the buffer is taken, or the next batch has no room in the segment; or a mark was written |
//! | [`Job::Mark`] | one, beside no write and no sync | all is durable, no batch says so yet, and nothing was written for [`MARK_AFTER_IDLE_NS`] |
//! | [`Job::Witness`] | one, beside anything | something is durable that META does not know of, and [`WITNESS_EVERY_NS`] are over |
//! | [`Job::Spare`] | one, beside anything | the log wants a spare segment, and is not being closed; after a failure not before a pause |
//! | [`Job::Snapshot`] | one, beside anything | `snapshots` has a step to do, and its time has come |
//!
//! Only a [`Job::Sync`] waits for the medium, and nothing that a delivery needs waits for it: writes go on beside it, that of a
//! mark too. A mark counts as said once a sync that began behind it has returned.
//!
//! A write for which the log goes on in another segment has all that is not durable with it, to be written there once more. If
//! nobody waits for it, a sync comes first, and there is nothing to be written twice.
//!
//! # A full disk
//!
//! Segments are prepared ahead, so a full disk is met by [`Job::Spare`], while there is still room for what goes on. From then
//! on new work is refused ([`NoRoom::Disk`]); what brings work to its end uses the room that is left. Should that be
//! used up, a write comes back unwritten: nothing is lost and nothing is poisoned, everything is refused, and what is in
//! the buffer waits. The first spare that can be prepared ends both.

use std::collections::VecDeque;
use std::sync::Arc;

use horolog_state::{Discarded, Lsn, Now};
use horolog_wal::planted::{Bug, is_planted};
use horolog_wal::{BatchBuf, LogError};

use super::snapshots::SnapshotStep;
use super::{Batch, Closing, Failure, Level, Machine, NoRoom, Room};
use crate::journal::Wrote;
use crate::shell::{Hand, Heart, Positions};
use crate::timer::Durability;

/// After this long without a write the log is told what is durable.
pub(crate) const MARK_AFTER_IDLE_NS: u64 = 10_000_000;

/// META is told what is durable this often at most.
pub(crate) const WITNESS_EVERY_NS: u64 = 1_000_000_000;

/// After a spare could not be prepared; doubled each time.
const SPARE_PAUSE_MIN_NS: u64 = 100_000_000;
const SPARE_PAUSE_MAX_NS: u64 = 5_000_000_000;

/// Work to be done without the lock.
#[derive(Debug)]
pub(crate) enum Job {
    /// Write this batch.
    Write {
        /// The batch.
        batch: Batch,
        /// If it has no room in the segment: the batches behind `durable`.
        unsynced: VecDeque<Batch>,
        /// What is known to be durable: the evidence that the batch carries.
        durable: Lsn,
        /// The elapsed tick.
        tick: u64,
    },
    /// Make everything written so far durable.
    Sync {
        /// What was written when the job was taken.
        upto: Lsn,
    },
    /// Write an empty batch that says what is durable.
    Mark {
        /// What is durable.
        durable: Lsn,
        /// The elapsed tick.
        tick: u64,
        /// Nothing follows: the log is being closed.
        clean: bool,
    },
    /// Note in META what is durable.
    Witness {
        /// It.
        durable: Lsn,
    },
    /// Prepare a spare segment.
    Spare,
    /// Go on with a snapshot.
    Snapshot(SnapshotStep),
    /// After a failure: write all that is not durable to a fresh segment. No hand takes it; whoever asks for it does it.
    Heal {
        /// Every record behind `durable`, in order.
        batches: Vec<Batch>,
        /// What the failure left.
        durable: Lsn,
    },
}

/// A job as it ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The job.
    pub(crate) job: Job,
    /// How it ended.
    pub(crate) result: JobResult,
}

/// What a journal says of a job: all of it for a write or a mark, and for a spare whether it wants another.
pub(crate) type JobResult = Result<Wrote, JobError>;

/// A job that failed.
#[derive(Debug)]
pub(crate) struct JobError {
    pub(crate) error: LogError,
    /// The log is finished. Else it is as it was before the job.
    pub(crate) ends_log: bool,
}

/// How much room the disk has left for the log.
#[derive(Clone, Debug)]
enum DiskRoom {
    Enough,
    /// The next segment cannot be made.
    Low(Arc<LogError>),
    /// The next batch cannot be written.
    Out(Arc<LogError>),
}

/// What an empty batch says.
#[derive(Clone, Copy, Debug)]
struct Mark {
    durable: Lsn,
    clean: bool,
}

/// Whose turn it is at the log, and who waits for what.
#[derive(Debug)]
pub(crate) struct LogTurns {
    writing: bool,
    /// The sync that is running covers this much.
    syncing: Option<Lsn>,
    syncs_done: u64,
    /// An empty batch is being written.
    marking: bool,
    /// One was written, and is not durable yet.
    mark: Option<Mark>,
    witnessing: bool,
    sparing: bool,
    wants_spare: bool,
    /// What a batch may take on disk in the segment that is written.
    room_bytes: u64,
    /// No spare is prepared before this moment.
    spare_after_ns: u64,
    spare_pause_ns: u64,
    disk: DiskRoom,
    /// The highest record that something with level `Written` waits for.
    wanted_written: Lsn,
    /// The highest record that was promised to be durable.
    wanted_durable: Lsn,
    /// When the first of the records not written yet has to be synced, in elapsed nanoseconds.
    unwritten_sync_by_ns: Option<u64>,
    /// The same for records that are written or being written.
    written_sync_by_ns: Option<u64>,
    /// What the last batch said was durable; of a mark, once it is durable itself.
    stamped: Lsn,
    /// What META says is durable.
    witnessed: Lsn,
    last_witness_ns: u64,
    last_write_ns: u64,
    pub(super) clean_written: bool,
    pub(super) spare_failures: u64,
}

impl LogTurns {
    /// The turns of a log that was just opened: META knows that everything up to `durable` is, and there is no spare.
    pub(super) fn new(durable: Lsn, now: &Now) -> Self {
        Self {
            writing: false,
            syncing: None,
            syncs_done: 0,
            marking: false,
            mark: None,
            witnessing: false,
            sparing: false,
            wants_spare: true,
            room_bytes: 0,
            spare_after_ns: 0,
            spare_pause_ns: SPARE_PAUSE_MIN_NS,
            disk: DiskRoom::Enough,
            wanted_written: Lsn::ZERO,
            wanted_durable: Lsn::ZERO,
            unwritten_sync_by_ns: None,
            written_sync_by_ns: None,
            stamped: Lsn::ZERO,
            witnessed: durable,
            last_witness_ns: now.elapsed_ns,
            last_write_ns: now.elapsed_ns,
            clean_written: false,
            spare_failures: 0,
        }
    }

    /// Notes what was promised for a record.
    pub(super) fn note(&mut self, lsn: Lsn, durability: Durability, now: &Now) {
        match durability {
            Durability::Synced => self.wanted_durable = lsn,
            Durability::Written { sync_within } => {
                let within_ns = u64::try_from(sync_within.as_nanos()).unwrap_or(u64::MAX);
                let by_ns = now.elapsed_ns.saturating_add(within_ns);
                self.unwritten_sync_by_ns = earlier(self.unwritten_sync_by_ns, Some(by_ns));
            }
        }
    }

    /// Everything up to `lsn` has to become durable.
    pub(super) fn promise_durable(&mut self, lsn: Lsn) {
        self.wanted_durable = self.wanted_durable.max(lsn);
    }

    /// A batch is being written; `leaves_some` if others wait behind it. Which of them has the earliest term is not
    /// known, so both keep it.
    fn begin_write(&mut self, leaves_some: bool) {
        self.writing = true;
        self.written_sync_by_ns = earlier(self.written_sync_by_ns, self.unwritten_sync_by_ns);
        if !leaves_some {
            self.unwritten_sync_by_ns = None;
        }
    }

    /// A sync begins. A batch that is just being written is not covered by it and keeps its term.
    fn begin_sync(&mut self, upto: Lsn) {
        self.syncing = Some(upto);
        if !self.writing {
            self.written_sync_by_ns = None;
        }
    }

    /// Somebody has a job to report.
    pub(super) fn has_job_out(&self) -> bool {
        self.is_busy() || self.sparing || self.witnessing
    }

    /// The log goes on in another file, with everything up to `durable` in it.
    pub(super) fn healed(&mut self, durable: Lsn, now: &Now) {
        self.disk = DiskRoom::Enough;
        self.mark = None;
        self.wants_spare = true;
        self.room_bytes = 0;
        self.spare_after_ns = 0;
        self.witnessed = durable;
        self.last_witness_ns = now.elapsed_ns;
        self.last_write_ns = now.elapsed_ns;
        (self.unwritten_sync_by_ns, self.written_sync_by_ns) = (None, None);
    }

    /// Somebody has a write, a sync or a mark to report.
    fn is_busy(&self) -> bool {
        self.writing || self.marking || self.syncing.is_some()
    }

    pub(super) fn wants_written(&mut self, lsn: Lsn) {
        self.wanted_written = self.wanted_written.max(lsn);
    }

    /// Whether the disk has room for such a record.
    pub(super) fn disk_room(&self, room: Room) -> Result<(), NoRoom> {
        match (&self.disk, room) {
            (DiskRoom::Out(error), _) | (DiskRoom::Low(error), Room::Ordinary) => {
                Err(NoRoom::Disk(Arc::clone(error)))
            }
            _ => Ok(()),
        }
    }

    /// A spare could not be prepared. It is tried again, less and less often.
    fn spare_failed(&mut self, error: LogError, now: &Now) {
        self.spare_failures += 1;
        self.wants_spare = true;
        self.spare_after_ns = now.elapsed_ns.saturating_add(self.spare_pause_ns);
        self.spare_pause_ns = (self.spare_pause_ns * 2).min(SPARE_PAUSE_MAX_NS);
        if error.is_full() && matches!(self.disk, DiskRoom::Enough) {
            self.disk = DiskRoom::Low(Arc::new(error));
        }
    }

    /// A spare was prepared, or none is wanted. Says whether the disk had been full.
    fn spare_prepared(&mut self, wants_another: bool) -> bool {
        self.wants_spare |= wants_another;
        self.spare_after_ns = 0;
        self.spare_pause_ns = SPARE_PAUSE_MIN_NS;
        !matches!(std::mem::replace(&mut self.disk, DiskRoom::Enough), DiskRoom::Enough)
    }

    /// The log is being closed: what waits for room is written now or never.
    pub(super) fn try_once_more(&mut self) {
        if let DiskRoom::Out(error) = &self.disk {
            self.disk = DiskRoom::Low(Arc::clone(error));
        }
    }

    /// A batch was written.
    fn heard(&mut self, wrote: Wrote) {
        self.wants_spare |= wrote.wants_spare;
        self.room_bytes = wrote.room_bytes;
    }

    /// A batch found no room.
    fn out_of_room(&mut self, error: LogError) {
        self.wants_spare = true;
        self.disk = DiskRoom::Out(Arc::new(error));
    }
}

/// The earlier of two moments, where there are any.
fn earlier(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

impl Machine {
    /// The next batch has no room in the segment, and there is something to be taken along.
    fn would_take_along(&self) -> bool {
        let has_room = |bytes| bytes <= self.log.room_bytes;
        self.written > self.durable && !self.buffers.next_disk_bytes().is_none_or(has_room)
    }

    fn offers_write(&self) -> bool {
        let is_free = self.log.syncing.is_none() && !self.would_take_along();
        let wanted = is_free || self.log.wanted_written > self.written;
        let has_room = !matches!(self.log.disk, DiskRoom::Out(_));
        !self.log.writing && !self.log.marking && has_room && wanted && self.buffers.has_unwritten()
    }

    fn take_write(&mut self, now: &Now) -> Option<Job> {
        if !self.offers_write() {
            return None;
        }
        let takes_along = self.would_take_along();
        let batch = self.buffers.take()?;
        let unsynced = if takes_along { self.buffers.lend_unsynced() } else { VecDeque::new() };
        self.log.begin_write(self.buffers.has_unwritten());
        self.log.stamped = self.durable;
        let durable = if is_planted(Bug::WrittenIsDurable) { self.written } else { self.durable };
        Some(Job::Write { batch, unsynced, durable, tick: now.elapsed.0 })
    }

    fn offers_sync(&self, now: &Now) -> bool {
        let promised = self.log.wanted_durable > self.durable;
        let overdue = self.log.written_sync_by_ns.is_some_and(|by_ns| by_ns <= now.elapsed_ns);
        // While one is being written nobody knows what room the next one has.
        let has_no_room = !self.log.writing && self.would_take_along();
        let asked = promised || overdue || self.buffers.is_pressed() || has_no_room;
        let records = self.written > self.durable && asked;
        self.log.syncing.is_none() && (records || self.log.mark.is_some())
    }

    fn take_sync(&mut self, now: &Now) -> Option<Job> {
        if !self.offers_sync(now) {
            return None;
        }
        self.log.begin_sync(self.written);
        Some(Job::Sync { upto: self.written })
    }

    /// All is durable, and the log does not say so yet, nor will once a mark is durable.
    pub(super) fn unmarked(&self) -> bool {
        let all_durable = self.state.applied() == self.durable;
        all_durable
            && self.log.mark.is_none()
            && (self.log.stamped < self.durable || (self.closing == Closing::All && !self.log.clean_written))
    }

    fn offers_mark(&self, now: &Now) -> bool {
        let idle = now.elapsed_ns.saturating_sub(self.log.last_write_ns) >= MARK_AFTER_IDLE_NS;
        let free = !self.log.writing && self.log.syncing.is_none() && !self.log.marking;
        let has_room = !matches!(self.log.disk, DiskRoom::Out(_));
        free && has_room && self.unmarked() && (idle || self.closing == Closing::All)
    }

    fn take_mark(&mut self, now: &Now) -> Option<Job> {
        if !self.offers_mark(now) {
            return None;
        }
        self.log.marking = true;
        Some(Job::Mark { durable: self.durable, tick: now.elapsed.0, clean: self.closing == Closing::All })
    }

    /// Once about a second, and at the end, when the log is marked as clean.
    fn offers_witness(&self, now: &Now) -> bool {
        self.witness_at_ns().is_some_and(|at_ns| at_ns <= now.elapsed_ns)
    }

    fn witness_at_ns(&self) -> Option<u64> {
        let at_ns = self.log.last_witness_ns.saturating_add(WITNESS_EVERY_NS);
        let behind = self.durable > self.log.witnessed && !self.log.witnessing;
        behind.then_some(if self.log.clean_written { 0 } else { at_ns })
    }

    fn take_witness(&mut self, now: &Now) -> Option<Job> {
        if !self.offers_witness(now) {
            return None;
        }
        self.log.witnessing = true;
        Some(Job::Witness { durable: self.durable })
    }

    fn offers_spare(&self, now: &Now) -> bool {
        self.spare_at_ns().is_some_and(|at_ns| at_ns <= now.elapsed_ns)
    }

    /// A log that is being closed needs none.
    fn spare_at_ns(&self) -> Option<u64> {
        let is_wanted = self.log.wants_spare && !self.log.sparing && self.closing != Closing::All;
        is_wanted.then_some(self.log.spare_after_ns)
    }

    fn take_spare(&mut self, now: &Now) -> Option<Job> {
        if !self.offers_spare(now) {
            return None;
        }
        (self.log.sparing, self.log.wants_spare) = (true, false);
        Some(Job::Spare)
    }

    /// What could not be written for lack of room stays where it was; anything else ends the log.
    fn not_written(&mut self, batch: Batch, lent: VecDeque<Batch>, failed: JobError) {
        self.log.writing = false;
        self.buffers.not_written(batch, lent);
        self.let_go_of_synced();
        self.failed_for_room_or_for_good(failed);
    }

    fn failed_for_room_or_for_good(&mut self, JobError { error, ends_log }: JobError) {
        if error.is_full() && !ends_log && self.closing != Closing::All {
            self.log.out_of_room(error);
        } else {
            self.fail(Failure::Log(error));
        }
    }

    fn spared(&mut self, result: JobResult, now: &Now) {
        self.log.sparing = false;
        match result {
            Ok(Wrote { wants_spare, .. }) => {
                if self.log.spare_prepared(wants_spare) {
                    self.timer.look_again();
                }
            }
            Err(JobError { error, ends_log: true }) => self.fail(Failure::Log(error)),
            Err(JobError { error, ends_log: false }) => self.log.spare_failed(error, now),
        }
    }

    fn witnessed(&mut self, durable: Lsn, now: &Now) {
        self.log.witnessing = false;
        self.log.witnessed = self.log.witnessed.max(durable);
        self.log.last_witness_ns = now.elapsed_ns;
    }

    /// A mark, a spare or a word to META comes due.
    fn keep_looks_again_at_ns(&self) -> Option<u64> {
        let mark = self.unmarked().then(|| self.log.last_write_ns.saturating_add(MARK_AFTER_IDLE_NS));
        let others = [self.spare_at_ns(), self.witness_at_ns(), self.snapshot_looks_again_at_ns()];
        others.into_iter().chain([mark]).flatten().min()
    }

    fn wrote(&mut self, batch: Batch, lent: VecDeque<Batch>, wrote: Wrote, now: &Now) {
        self.snapshots.logged(wrote.bytes);
        self.log.writing = false;
        self.log.last_write_ns = now.elapsed_ns;
        self.log.heard(wrote);
        self.written = batch.last();
        self.buffers.written(batch, lent);
        // A sync may have ended meanwhile.
        self.let_go_of_synced();
    }

    fn let_go_of_synced(&mut self) {
        if self.buffers.synced(self.durable) {
            self.timer.look_again();
        }
    }

    /// The mark was written before this sync began: none is written beside a sync.
    fn synced(&mut self, upto: Lsn, now: &Now) {
        if let Some(mark) = self.log.mark.take() {
            self.log.stamped = self.log.stamped.max(mark.durable);
            self.log.clean_written |= mark.clean;
        }
        self.log.syncing = None;
        self.log.syncs_done += 1;
        self.log.last_write_ns = now.elapsed_ns;
        self.durable = upto;
        self.let_go_of_synced();
    }
}

impl Heart for Machine {
    type Now = Now;
    type Job = Job;
    type Outcome = Outcome;
    type Outgoing = super::Begun;
    type Discarded = (Vec<BatchBuf>, Discarded);

    fn take_job(&mut self, hand: Hand, now: Now) -> Option<Job> {
        if self.failure.is_some() {
            return None;
        }
        match hand {
            Hand::Log => self.take_write(&now).or_else(|| self.take_sync(&now)),
            Hand::Write => self.take_write(&now),
            Hand::Keep => {
                let mark = self.take_mark(&now);
                mark.or_else(|| self.take_spare(&now))
                    .or_else(|| self.take_witness(&now))
                    .or_else(|| self.take_snapshot(&now))
            }
        }
    }

    /// A failure of a write or a sync ends all log jobs, but for want of room; a spare that could not be prepared is tried
    /// again.
    fn report(&mut self, outcome: Outcome, now: Now) {
        match (outcome.job, outcome.result) {
            (Job::Write { batch, unsynced, .. }, Ok(wrote)) => self.wrote(batch, unsynced, wrote, &now),
            (Job::Write { batch, unsynced, .. }, Err(failed)) => self.not_written(batch, unsynced, failed),
            (Job::Sync { upto }, Ok(_)) => self.synced(upto, &now),
            (Job::Mark { durable, clean, .. }, Ok(wrote)) => {
                (self.log.marking, self.log.mark) = (false, Some(Mark { durable, clean }));
                self.log.heard(wrote);
            }
            (Job::Sync { .. }, Err(failed)) => {
                self.log.syncing = None;
                self.fail(Failure::Log(failed.error));
            }
            (Job::Mark { .. }, Err(failed)) => {
                self.log.marking = false;
                self.failed_for_room_or_for_good(failed);
            }
            (Job::Witness { durable }, Ok(_)) => self.witnessed(durable, &now),
            (Job::Witness { .. }, Err(failed)) => {
                self.log.witnessing = false;
                self.fail(Failure::Log(failed.error));
            }
            (Job::Spare, result) => self.spared(result, &now),
            (Job::Snapshot(step), result) => self.report_snapshot(step, result, &now),
            (Job::Heal { batches, durable }, result) => self.report_heal(batches, durable, result, &now),
        }
    }

    fn grant(&mut self, now: Now) -> bool {
        self.grant_releases(&now)
    }

    fn take_outgoing(&mut self, out: &mut Vec<super::Begun>) {
        self.in_transit -= self.outgoing.len();
        out.append(&mut self.outgoing);
    }

    fn take_discarded(&mut self) -> Self::Discarded {
        (self.buffers.take_discarded(), self.state.take_discarded())
    }

    fn positions(&self) -> Positions {
        Positions {
            written: self.written.0,
            durable: self.durable.0,
            syncs_done: self.log.syncs_done,
            failed: self.failure.is_some(),
            ends: self.snapshots.attempts + u64::from(self.closing != Closing::No),
        }
    }

    fn generation_of(&self, lsn: u64) -> u64 {
        match self.log.syncing {
            Some(upto) if lsn > upto.0 => self.log.syncs_done + 2,
            _ => self.log.syncs_done + 1,
        }
    }

    fn wants(&self, hand: Hand, now: Now) -> bool {
        let wanted = match hand {
            Hand::Log => self.offers_write() || self.offers_sync(&now),
            Hand::Write => self.offers_write(),
            Hand::Keep => {
                self.offers_spare(&now)
                    || self.offers_mark(&now)
                    || self.offers_witness(&now)
                    || self.offers_snapshot(&now)
            }
        };
        wanted && self.failure.is_none()
    }

    /// Only what somebody waits for is written beside a running sync: small batches cost more than they are worth.
    fn awaited(&mut self, lsn: u64, level: Level) {
        if level == Level::Written {
            self.log.wants_written(Lsn(lsn));
        }
    }

    /// A sync "within" comes due; or the log may be idle by then.
    fn looks_again_at_ns(&self, hand: Hand) -> Option<u64> {
        if self.failure.is_some() {
            return None;
        }
        match hand {
            // Whoever has a job looks when it is done.
            Hand::Log | Hand::Write if self.log.is_busy() => None,
            Hand::Log | Hand::Write => earlier(self.log.unwritten_sync_by_ns, self.log.written_sync_by_ns),
            Hand::Keep => self.keep_looks_again_at_ns(),
        }
    }

    fn present_ns(now: Now) -> u64 {
        now.elapsed_ns
    }

    fn take_kick(&mut self) -> bool {
        std::mem::take(&mut self.timer.look_again)
    }

    fn panicked(&mut self, thread: &'static str) {
        self.fail(Failure::Panicked { thread });
        self.healing_panicked();
    }
}
