//! The face: what a service embeds.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use crossbeam_channel::Receiver;
use horolog_recovery::{RecoveryError, Report, Salvaged, salvage};
use horolog_state::{CancelOutcome, Lsn, Now, ScheduleRefusal, TickLen, TimerId, When};
use horolog_storage::{LockGuard, OsStorage, Storage, StorageError, lies_in};
use horolog_wal::{LogCopy, LogError, LogOptions, read_anew};

use crate::batch::{Batch, BatchOperation};
use crate::clock::{Timelines, monotonic_ms, monotonic_ns};
use crate::due::{Due, NextDue};
use crate::error::{
    BackupError, BatchError, BatchFault, CancelError, CompactError, HealError, NotScheduled, OpenError,
    RescheduleError, ScheduleError, ScheduleFault, ShutdownError, Unavailable, split, unavailable,
};
use crate::journal::{Opened, open_local};
use crate::machine::{
    Applied, BatchRefusal, HealRefused, ITEMS_A_TURN, Level, Machine, MachineOptions, Opening, Operation,
};
use crate::opening::{Laps, OpeningTimes, Phase};
use crate::options::Options;
use crate::services::{Core, Services};
use crate::shell::{Hand, Shell};
use crate::stats::{DeadInfo, Stats, TimerInfo};
use crate::sync::Mutex;
use crate::ticket::Ticket;
use crate::timer::{Durability, Timer, unix_ns};

/// A durable timer engine over one directory.
///
/// All methods take `&self`; share it between threads in an `Arc`, or borrow it. Dropping it is [`Engine::shutdown`]
/// without grace.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path();
/// use std::time::Duration;
/// use horolog::{Engine, Timer};
///
/// let engine = Engine::open(path)?;
/// engine.schedule(Timer::after(Duration::from_millis(5)).payload(b"retry order 42"))?; // on disk when it returns
///
/// let due = engine.due().recv()?;
/// assert_eq!(due.payload(), b"retry order 42");
/// due.complete()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Engine {
    core: Arc<Core>,
    path: PathBuf,
    storage: Arc<dyn Storage>,
    report: Report,
    opening_times: OpeningTimes,
    /// Emptied by the shutdown.
    running: Mutex<Option<Running>>,
}

/// The log grows by so much, at least, before there is another snapshot.
const SNAPSHOT_LOG_BYTES: u64 = 64 << 20;

/// What a shutdown ends.
#[derive(Debug)]
struct Running {
    threads: Vec<JoinHandle<()>>,
    /// Released last.
    lock: Box<dyn LockGuard>,
}

/// A new due time for a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DueAt {
    /// At a UTC instant.
    At(SystemTime),
    /// After a delay from now.
    After(Duration),
}

impl From<SystemTime> for DueAt {
    fn from(instant: SystemTime) -> Self {
        Self::At(instant)
    }
}

impl From<Duration> for DueAt {
    fn from(delay: Duration) -> Self {
        Self::After(delay)
    }
}

impl DueAt {
    fn resolve(self, tick_len: TickLen, now: &Now) -> horolog_state::DueTime {
        let when = match self {
            Self::At(instant) => When::At { unix_ns: unix_ns(instant).unwrap_or(0) },
            Self::After(delay) => When::After { delay_ns: delay.as_nanos() },
        };
        when.resolve(tick_len, now).due
    }
}

impl Engine {
    /// Opens a directory, or makes a new one, with default [`Options`].
    ///
    /// Recovers what is there: every timer that came due meanwhile is on its way to [`Engine::due`] when this returns.
    /// What a crash left unfinished behind the last acknowledged record is cut off and reported
    /// ([`Engine::report`]); damage of records that are proven to have been acknowledged is an error.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: locked by another process (named with its host), damaged, of a newer version, not a directory of
    /// timers, not writable. Nothing in the directory was changed then but for its lock file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Options::new().open(path)
    }

    pub(crate) fn open_with(path: &Path, options: Options) -> Result<Self, OpenError> {
        options.validate()?;
        let storage = if options.create { OsStorage::open_or_create(path) } else { open_existing(path) };
        Self::open_storage(Arc::new(storage?), path, &options)
    }

    fn open_storage(storage: Arc<dyn Storage>, path: &Path, options: &Options) -> Result<Self, OpenError> {
        let lock = storage.lock()?;
        let mut laps = Laps::begin(monotonic_ns);
        let opened = open_local(Arc::clone(&storage), path, options, monotonic_ms, &mut laps)?;
        let Opened { state, tick_len, epoch, journal, .. } = opened;
        let generation_floor = if opened.is_new { random_floor(&*storage)? } else { 0 };
        let times = options.clock.times();
        let timelines = if opened.is_new {
            Timelines::begin(tick_len, times)
        } else {
            Timelines::resume(tick_len, state.reading(), opened.last_tick, times)
        };
        let opening = Opening {
            epoch,
            generation_floor,
            reading: timelines.reading(&timelines.now(times)),
            kept: opened.kept,
        };
        let machine_options = MachineOptions {
            limits: options.limits,
            tick_len,
            due_capacity: options.due_capacity,
            buffer_bytes_max: options.buffer_bytes_max,
            items_a_turn: ITEMS_A_TURN,
            snapshot_log_bytes: SNAPSHOT_LOG_BYTES,
        };
        laps.enter(Phase::Place);
        let machine = Machine::open(state, machine_options, opening, &timelines.now(times));
        laps.enter(Phase::Begin);
        let services = Services::new(Arc::clone(&options.clock), timelines, journal, options.due_capacity);
        let core = Arc::new(Shell::new(machine, services));
        core.outside().belong_to(&core);
        begin_epoch(&core)?;
        let threads = start_threads(&core)?;
        let running = Mutex::new(Some(Running { threads, lock }));
        let (path, report) = (path.into(), opened.report);
        Ok(Self { core, path, storage, report, opening_times: laps.end(), running })
    }

    /// Schedules a timer and returns its id once its record is as safe as asked ([`Timer::durability`]).
    ///
    /// The deadline is rounded up to the next tick. A deadline in the past is accepted and due at once. Blocks for one
    /// group commit: alone, this thread writes and syncs itself.
    ///
    /// # Errors
    ///
    /// [`ScheduleError::NotScheduled`] says which limit and hands the timer back: nothing was written.
    /// [`ScheduleError::Indeterminate`]: the write or sync that carried it failed.
    pub fn schedule(&self, timer: Timer) -> Result<TimerId, ScheduleError> {
        let scheduled = self.core.hold_to_lead(|machine, now| schedule(machine, &timer, &now));
        match scheduled {
            Ok(accepted) => Ok(Ticket::new(accepted, &self.core).lead()?),
            Err(fault) => Err(self.not_scheduled(fault, timer)?.into()),
        }
    }

    /// Schedules a timer and returns at once: the ticket knows the id now, and when its record is safe.
    ///
    /// # Errors
    ///
    /// [`ScheduleError::NotScheduled`] says which limit and hands the timer back. If the key names a timer whose own
    /// record is not durable yet, this waits for it before it says so, and gives [`ScheduleError::Indeterminate`] if
    /// that fails.
    pub fn submit(&self, timer: Timer) -> Result<Ticket<TimerId>, ScheduleError> {
        match self.core.hold(|machine, now| schedule(machine, &timer, &now)) {
            Ok(accepted) => Ok(Ticket::new(accepted, &self.core)),
            Err(fault) => Err(self.not_scheduled(fault, timer)?.into()),
        }
    }

    /// A refusal that rests on another timer's record is told once that record is durable.
    fn not_scheduled(&self, fault: ScheduleFault, timer: Timer) -> Result<NotScheduled, ScheduleError> {
        if let ScheduleFault::Refused(ScheduleRefusal::KeyExists { rests_on, .. }) = fault {
            self.wait_for(rests_on)?;
        }
        Ok(NotScheduled { fault, timer: Box::new(timer) })
    }

    fn wait_for(&self, rests_on: Lsn) -> Result<(), crate::error::Indeterminate> {
        self.core.lead(rests_on.0, Level::Durable).map_err(|_| self.core.indeterminate())
    }

    /// Cancels a timer and says what that came to, once the answer is durable.
    ///
    /// After [`CancelOutcome::Cancelled`] it is never delivered again, whatever happens. A dead timer is forgotten.
    ///
    /// # Errors
    ///
    /// [`CancelError::Unavailable`]: nothing was written. [`CancelError::Indeterminate`]: the write or sync failed.
    pub fn cancel(&self, id: TimerId) -> Result<CancelOutcome, CancelError> {
        let accepted = self.core.hold_to_lead(|machine, now| machine.cancel(id, Durability::Synced, &now));
        let ticket = Ticket::new(accepted.map_err(unavailable)?, &self.core);
        Ok(ticket.lead()?)
    }

    /// Cancels a timer and returns at once; the ticket gives the outcome when it is as safe as asked.
    ///
    /// # Errors
    ///
    /// [`Unavailable`]: nothing was written.
    pub fn submit_cancel(
        &self,
        id: TimerId,
        durability: Durability,
    ) -> Result<Ticket<CancelOutcome>, Unavailable> {
        let accepted = self.core.hold(|machine, now| machine.cancel(id, durability, &now));
        Ok(Ticket::new(accepted.map_err(unavailable)?, &self.core))
    }

    /// Gives a waiting one-shot another due time, once that is durable. A dead one gets a new life, counts at zero.
    ///
    /// # Errors
    ///
    /// [`RescheduleError::Refused`] says what the timer is instead.
    pub fn reschedule(&self, id: TimerId, due: impl Into<DueAt>) -> Result<(), RescheduleError> {
        let due = due.into();
        let accepted = self.core.hold_to_lead(|machine, now| {
            let due = due.resolve(machine.tick_len(), &now);
            machine.reschedule(id, due, Durability::Synced, &now)
        });
        match accepted {
            Ok(accepted) => Ok(Ticket::new(accepted, &self.core).lead()?),
            Err(refused) => {
                let error: RescheduleError = split(refused);
                if let RescheduleError::Refused(horolog_state::RescheduleRefusal::AlreadyDone { rests_on }) =
                    &error
                {
                    self.wait_for(*rests_on)?;
                }
                Err(error)
            }
        }
    }

    /// Carries out a batch, all of it or nothing, once it is as safe as asked.
    ///
    /// # Errors
    ///
    /// [`BatchError`] hands the batch back: nothing of it was written. An outcome that is unknown is told by the
    /// ticket of [`Engine::submit_batch`]; here it is [`ApplyBatchError::Indeterminate`].
    pub fn apply(&self, batch: Batch) -> Result<Vec<Applied>, ApplyBatchError> {
        Ok(self.batch(batch, true)?.lead()?)
    }

    /// Carries out a batch and returns at once.
    ///
    /// # Errors
    ///
    /// [`BatchError`] hands the batch back: nothing of it was written.
    pub fn submit_batch(&self, batch: Batch) -> Result<Ticket<Vec<Applied>>, BatchError> {
        self.batch(batch, false)
    }

    fn batch(&self, batch: Batch, lead: bool) -> Result<Ticket<Vec<Applied>>, BatchError> {
        let accepted = self.operations(&batch).and_then(|operations| {
            let work = |machine: &mut Machine, now: Now| machine.batch(&operations, batch.durability, &now);
            let accepted = if lead { self.core.hold_to_lead(work) } else { self.core.hold(work) };
            accepted.map_err(split)
        });
        match accepted {
            Ok(accepted) => {
                batch.settle();
                Ok(Ticket::new(accepted, &self.core))
            }
            Err(fault) => Err(BatchError { fault: self.once_it_rests(fault), batch: Box::new(batch) }),
        }
    }

    /// A refusal that rests on another timer's record is told once that record is durable.
    fn once_it_rests(&self, fault: BatchFault) -> BatchFault {
        if let BatchFault::Refused(BatchRefusal::Schedule {
            refusal: ScheduleRefusal::KeyExists { rests_on, .. },
            ..
        }) = fault
            && let Err(unknown) = self.wait_for(rests_on)
        {
            return BatchFault::Unavailable(Unavailable::Poisoned(unknown.failure));
        }
        fault
    }

    fn operations<'a>(&self, batch: &'a Batch) -> Result<Vec<Operation<'a>>, BatchFault> {
        let operations = batch.operations.iter().enumerate();
        operations
            .map(|(index, operation)| match operation {
                BatchOperation::Cancel(id) => Ok(Operation::Cancel(*id)),
                BatchOperation::Schedule(timer) => {
                    let request = timer.request().map_err(|source| BatchFault::BadTime { index, source })?;
                    Ok(Operation::Schedule(request))
                }
                BatchOperation::Complete(due) if due.is_of(&self.core) => {
                    Ok(Operation::Complete(due.token()))
                }
                BatchOperation::Complete(_) => Err(BatchFault::ForeignDue { index }),
            })
            .collect()
    }

    /// Occurrences that are due, for any number of consumers. Works in `crossbeam_channel::select!`; ends when the engine
    /// is shut down.
    #[must_use]
    pub fn due(&self) -> Receiver<Due> {
        self.core.outside().due_receiver().clone()
    }

    /// Awaits the next occurrence; `None` once the engine is shut down. Needs no runtime of any kind.
    pub fn next_due(&self) -> NextDue<'_> {
        NextDue::new(&self.core)
    }

    /// A live timer, as it is now. Dead timers are live; ended ones are gone.
    #[must_use]
    pub fn get(&self, id: TimerId) -> Option<TimerInfo> {
        self.core.hold(|machine, now| machine.info(id, &now))
    }

    /// The live timer that has a key.
    #[must_use]
    pub fn by_key(&self, key: impl AsRef<[u8]>) -> Option<TimerId> {
        self.core.hold(|machine, _| machine.state().by_key(key.as_ref()))
    }

    /// What was given up: dead one-shots, and the last dead occurrence of each recurring timer. Of many, some may come and
    /// go while they are listed.
    #[must_use]
    pub fn dead(&self) -> Vec<DeadInfo> {
        let mut dead: Vec<DeadInfo> = Vec::new();
        loop {
            let from = dead.last().map_or(0, |last| last.id.slot().saturating_add(1));
            let more = self.core.hold(|machine, _| machine.dead_from(from));
            if more.is_empty() {
                return dead;
            }
            dead.extend(more);
        }
    }

    /// Figures.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.core.hold(|machine, _| machine.stats())
    }

    /// What this opening found, kept and cut.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// How long this opening took, and for what. Waiting for the lock is not in it.
    #[must_use]
    pub fn opening_times(&self) -> &OpeningTimes {
        &self.opening_times
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Has the timer thread look at the clock again: it was moved by hand.
    pub fn clock_moved(&self) {
        self.core.hold(|machine, _| machine.look_again());
    }

    /// Goes on after a failed write or sync, in this process: everything that was applied and is not durable is written to a
    /// fresh file, which is linked where the durable part ends. The failed file is neither written nor synced again.
    ///
    /// When this returns `Ok`, all of it is durable, and the engine takes commands again. What was [`Indeterminate`] has
    /// happened: its ticket can be waited for again. An engine that has not failed is healthy: `Ok`, and nothing is done.
    ///
    /// [`Indeterminate`]: crate::Indeterminate
    ///
    /// # Errors
    ///
    /// [`HealError`]; the engine has failed as before. While the disk goes on failing this can be tried again.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let engine = horolog::Engine::open(dir.path())?;
    /// # use horolog::{HealError, Timer};
    /// # use std::time::Duration;
    /// engine.schedule(Timer::after(Duration::from_secs(60)))?;
    /// match engine.heal() {
    ///     Ok(()) => {}
    ///     Err(HealError::Log(again)) => eprintln!("the disk still fails: {again}"),
    ///     Err(other) => eprintln!("open the directory again: {other}"),
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn heal(&self) -> Result<(), HealError> {
        let begun = self.core.hold(|machine, now| machine.begin_heal().map(|job| (job, now)));
        let (job, now) = match begun {
            Ok(job) => job,
            Err(HealRefused::NotFailed) => return Ok(()),
            Err(HealRefused::InFlight) => return Err(HealError::InFlight),
            Err(HealRefused::Closed) => return Err(HealError::Closed),
            Err(HealRefused::Beyond(failure)) => return Err(HealError::Beyond(failure)),
        };
        self.core.do_job(job, now);
        self.core.hold(|machine, _| machine.take_healed()).map_err(HealError::Log)
    }

    /// Makes a snapshot now, whatever the log has grown by, and lets go of the log that no snapshot needs. The engine goes on
    /// meanwhile; it makes snapshots by itself as the log grows, so this is for before a planned restart, or after a purge.
    ///
    /// When this returns `Ok`, a snapshot that was begun after the call is durable and counts. The one before it stays, as the
    /// second way to the state, and so does the log behind that. If it is more than twice as large, as after a purge, a second
    /// snapshot is made in its place: what was purged is gone.
    ///
    /// # Errors
    ///
    /// [`CompactError`]: two snapshots and the log behind the older one stay, those of before, or the first that was made now
    /// and the one before it.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let engine = horolog::Engine::open(dir.path())?;
    /// engine.compact_now()?;
    /// assert_eq!(engine.stats().snapshots, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn compact_now(&self) -> Result<(), CompactError> {
        let attempt = self.core.hold(|machine, _| machine.ask_for_snapshot());
        loop {
            self.core.wait_until(Duration::MAX, |machine| machine.snapshot_end(attempt).is_some());
            // An engine that was healed in between makes it after all.
            if let Some(end) = self.core.hold(|machine, _| machine.snapshot_end(attempt)) {
                return end;
            }
        }
    }

    /// Copies the timers to another directory, which can be opened like this one, while the engine goes on.
    ///
    /// The copy has everything that was applied before the call, and perhaps more. `path` must not exist, or be empty. The copy
    /// has an identity of its own, and gives out other ids: an id that one of the two gives out from now on most likely names no
    /// timer of the other, and none at all until a slot has had 2^24 more of them. It is durable when this returns, and no
    /// directory of timers before that.
    ///
    /// The directory is read a second time, into memory of its own, as a repair reads it: the log more than once, and
    /// each snapshot that is there, a file as a whole. Meanwhile no snapshot takes the place of another one, and no log
    /// is let go. The call takes several times as long as an opening, and up to three times the memory that the timers
    /// take.
    ///
    /// # Errors
    ///
    /// [`BackupError`]; the engine is as it was.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let copy = tempfile::tempdir()?;
    /// # let engine = horolog::Engine::open(dir.path())?;
    /// use std::time::Duration;
    /// use horolog::{Engine, Timer};
    ///
    /// let id = engine.schedule(Timer::after(Duration::from_secs(60)))?;
    /// engine.backup(copy.path())?;
    /// assert!(Engine::open(copy.path())?.get(id).is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn backup(&self, path: impl AsRef<Path>) -> Result<(), BackupError> {
        let path = path.as_ref();
        if lies_in(path, &self.path)? {
            return Err(BackupError::Inside { path: path.to_owned() });
        }
        // The other place before all that is read for it.
        let new: Arc<dyn Storage> = Arc::new(OsStorage::open_or_create(path)?);
        let _lock = new.lock()?;
        LogCopy::check(&*new, &LogOptions::default()).map_err(|error| BackupError::Write(error.into()))?;
        let applied = self.core.hold_to_lead(|machine, _| machine.promise_all());
        self.wait_for(applied)?;
        let keeps_files = KeepsFiles::new(&self.core);
        let found = salvage_beside_a_writer(&*self.storage, applied)?;
        drop(keeps_files);
        let write = found.write_state(Arc::clone(&new), &LogOptions::default(), applied);
        write.map(drop).map_err(BackupError::Write)
    }

    /// Shuts down in order: calls are refused, nothing new is begun, occurrences that nobody has received are taken back,
    /// those that consumers hold may end until `grace` is over, everything is flushed and marked as clean, threads end, and
    /// the lock of the directory is released last.
    ///
    /// Occurrences that are still in flight then are delivered again at the next opening. A second call does nothing.
    ///
    /// # Errors
    ///
    /// [`ShutdownError`] if writing had stopped before.
    pub fn shutdown(&self, grace: Duration) -> Result<(), ShutdownError> {
        // Held to the end: a second call returns when the first is done.
        let mut running = self.running.lock();
        let Some(running) = running.take() else { return Ok(()) };
        self.core.hold(|machine, _| machine.close_intake());
        self.core.outside().end_consumers();
        let held =
            |machine: &Machine| machine.state().leased().saturating_sub(self.core.outside().taken_back());
        self.core.wait_until(grace, |machine| held(machine) == 0);
        let applied = self.core.hold_to_lead(|machine, now| machine.close(&now));
        let flushed = self.core.lead(applied.0, Level::Durable);
        self.core.stop();
        self.core.outside().stop_timer();
        for thread in running.threads {
            // A panic of a thread has been reported as a failure by itself.
            let _ = thread.join();
        }
        // A caller may still be inside one, healing too, and it must not write once another has the directory.
        self.core.wait_until(Duration::MAX, |machine| !machine.has_work_out());
        // Nobody else has a job any more: the MARK with CLEAN, its sync, the word to META, as far as threads have not done it.
        for hand in [Hand::Keep, Hand::Log, Hand::Keep] {
            self.core.do_jobs(hand);
        }
        self.core.outside().let_go();
        drop(running.lock);
        flushed.map_err(|_| ShutdownError { failure: self.core.indeterminate().failure })
    }
}

/// Why a batch has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyBatchError {
    /// It was not carried out.
    #[error(transparent)]
    NotApplied(#[from] BatchError),
    /// Whether it was is unknown.
    #[error(transparent)]
    Indeterminate(#[from] crate::error::Indeterminate),
}

/// While it is there, no snapshot and no segment goes.
struct KeepsFiles<'a>(&'a Core);

impl<'a> KeepsFiles<'a> {
    fn new(core: &'a Core) -> Self {
        core.hold(|machine, _| machine.keep_files());
        Self(core)
    }
}

impl Drop for KeepsFiles<'_> {
    fn drop(&mut self) {
        self.0.hold(|machine, _| machine.let_files_go());
    }
}

/// A step that was begun before may let go of a segment or a snapshot while it is read, and the file of one that went be
/// used again. Then something seems to be missing; any other error would come again.
fn salvage_beside_a_writer(ours: &dyn Storage, applied: Lsn) -> Result<Salvaged<'_>, BackupError> {
    let read = || salvage(ours, &LogOptions::default());
    let has_changed = |found: &Result<Salvaged<'_>, RecoveryError>| match found {
        Ok(found) => found.kept < applied,
        Err(RecoveryError::Log(LogError::ChangedMeanwhile { .. })) => true,
        Err(RecoveryError::Log(LogError::Storage(error))) => matches!(error, StorageError::NotFound { .. }),
        Err(_) => false,
    };
    read_anew(read, has_changed).map_err(BackupError::Read)
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Nobody is left to be told; the next opening reports what there is.
        let _ = self.shutdown(Duration::ZERO);
    }
}

fn schedule(
    machine: &mut Machine,
    timer: &Timer,
    now: &Now,
) -> Result<crate::machine::Accepted<TimerId>, ScheduleFault> {
    let request = timer.request()?;
    machine.schedule(&request, timer.level(), now).map_err(split)
}

fn open_existing(path: &Path) -> Result<OsStorage, StorageError> {
    OsStorage::open_existing(path)
}

/// Generations of a new directory begin somewhere in the lower half, so that an id of another directory is unknown here.
fn random_floor(storage: &dyn Storage) -> Result<u32, StorageError> {
    let mut bytes = [0; 4];
    storage.entropy(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes) % (horolog_wheel::GENERATION_MAX / 2) + 1)
}

/// The epoch is durable before anything is delivered under it.
fn begin_epoch(core: &Arc<Core>) -> Result<(), OpenError> {
    let epoch = core.hold_to_lead(|machine, _| machine.state().applied());
    core.lead(epoch.0, Level::Durable).map_err(|_| OpenError::Failed(core.indeterminate().failure))
}

/// What a service thread does until it is stopped.
type Life = fn(&Core);

fn start_threads(core: &Arc<Core>) -> Result<Vec<JoinHandle<()>>, OpenError> {
    let lives: [(&'static str, Life); 4] = [
        ("horolog-timer", Core::run_timer),
        ("horolog-log-0", |core| core.run_hand(Hand::Log)),
        ("horolog-log-1", |core| core.run_hand(Hand::Log)),
        ("horolog-keep", |core| core.run_hand(Hand::Keep)),
    ];
    let mut threads = Vec::with_capacity(lives.len());
    for (name, life) in lives {
        match start_thread(core, name, life) {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                core.stop();
                core.outside().stop_timer();
                for thread in threads {
                    let _ = thread.join();
                }
                return Err(OpenError::Thread(error));
            }
        }
    }
    Ok(threads)
}

fn start_thread(core: &Arc<Core>, name: &'static str, life: Life) -> std::io::Result<JoinHandle<()>> {
    let core = Arc::clone(core);
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let lived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| life(&core)));
        if lived.is_err() {
            core.report_panic(name);
        }
    })
}

#[cfg(test)]
mod tests;
