//! The shell around the heart: turns, generations and wakers. It holds no rule about timers or bytes.
//!
//! One lock guards the heart. A *hand* is a thread that takes a job under the lock, does it without, and reports under it:
//! the two log threads, the keeping thread, and every caller that waits for its own record.
//!
//! - **A lone blocking caller** finds the turn free: it writes and syncs on its own thread. Nobody else wakes.
//! - **A caller that finds the turn taken** waits on its *generation*: the sync that is running, if that covers its record,
//!   or else the next one. One call wakes a generation.
//! - **Work that is left** when a caller has what it wanted goes to a log thread, which flushes until nothing is left.
//! - **A future** files its waker in LSN order at its first poll; whoever moves a position wakes all up to it.
//!
//! # Why no wake-up is lost
//!
//! 1. Positions are stored under the lock, before gates and wakers are looked at. Whoever waits looks at the positions
//!    again under the gate's (or the wakers') own lock before it sleeps.
//! 2. When the lock is let go with a log job on offer, then a log hand is awake, or has been notified, or the caller that
//!    let it go asks for a job next. Hands look for a job under the same hold in which they go idle.
//! 3. A failure opens every gate and wakes every waker.
//!
//! The models in `shell/tests.rs` check this with a stub heart, under loom.

mod gates;
mod wakers;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::Waker;
use std::time::Duration;

use horolog_wal::planted::{Bug, is_planted};

use crate::machine::Level;
use crate::sync::{AtomicBool, AtomicU64, Condvar, Mutex, MutexGuard, Ordering};

use gates::Gates;
use wakers::Wakers;
pub(crate) use wakers::wake;

/// Who asks for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hand {
    /// A log thread, or a caller that waits for its own record: writes and syncs.
    Log,
    /// A caller that waits for its record to be written only: it is not to be held up by a sync.
    Write,
    /// The keeping thread: marks and spares.
    Keep,
}

/// How far the records have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Positions {
    pub(crate) written: u64,
    pub(crate) durable: u64,
    /// Syncs finished so far: the generation whose callers may go.
    pub(crate) syncs_done: u64,
    pub(crate) failed: bool,
    /// Counts what is waited for besides records: snapshots that are over, however they ended, and the end of intake.
    pub(crate) ends: u64,
}

/// What the shell guards: a state machine that offers jobs.
pub(crate) trait Heart: Send {
    type Now: Copy;
    type Job: Send;
    type Outcome: Send;
    type Outgoing: Send;
    /// Memory that is of no more use and takes long to free.
    type Discarded;

    fn take_job(&mut self, hand: Hand, now: Self::Now) -> Option<Self::Job>;
    fn report(&mut self, outcome: Self::Outcome, now: Self::Now);
    /// Grants a bounded number of releases; says whether more are waiting.
    fn grant(&mut self, now: Self::Now) -> bool;
    fn take_outgoing(&mut self, out: &mut Vec<Self::Outgoing>);
    /// What is to be freed once the lock is let go.
    fn take_discarded(&mut self) -> Self::Discarded;
    fn positions(&self) -> Positions;
    /// Which sync makes this record durable: the one that is running, or the next.
    fn generation_of(&self, lsn: u64) -> u64;
    fn wants(&self, hand: Hand, now: Self::Now) -> bool;
    /// Somebody waits for this record to come so far.
    fn awaited(&mut self, lsn: u64, level: Level);
    /// When a sleeping hand has to look again by itself, in nanoseconds on the heart's own clock.
    fn looks_again_at_ns(&self, hand: Hand) -> Option<u64>;
    fn present_ns(now: Self::Now) -> u64;
    /// Whether the timer thread has to look before its sleep is over.
    fn take_kick(&mut self) -> bool;
    /// A thread panicked while it had a job or the lock.
    fn panicked(&mut self, thread: &'static str);
}

/// What the heart must not do itself: read clocks, do jobs, run what others wrote.
pub(crate) trait Outside<H: Heart>: Send + Sync {
    fn now(&self) -> H::Now;
    fn perform(&self, job: H::Job) -> H::Outcome;
    /// Called under the lock: so many will be sent.
    fn will_send(&self, count: usize);
    fn send(&self, outgoing: Vec<H::Outgoing>);
    fn kick_timer(&self);
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Shell<H: Heart, O> {
    inner: Mutex<Inner<H>>,
    outside: O,
    written: AtomicU64,
    durable: AtomicU64,
    failed: AtomicBool,
    gates: Gates,
    wakers: Wakers,
    log_wake: Condvar,
    keep_wake: Condvar,
}

#[derive(Debug)]
struct Inner<H> {
    heart: H,
    published: Positions,
    log: Idle,
    keep: Idle,
    stop: bool,
}

/// The idle hands of one kind.
#[derive(Debug)]
struct Idle {
    sleeping: usize,
    notified: bool,
    /// When the first of them looks again by itself.
    looks_at_ns: u64,
}

impl Idle {
    const fn new() -> Self {
        Self { sleeping: 0, notified: false, looks_at_ns: u64::MAX }
    }
}

/// A record cannot come as far as was asked: the engine has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed;

/// What is to be done once the lock is let go.
struct FollowUp<H: Heart> {
    outgoing: Vec<H::Outgoing>,
    discarded: H::Discarded,
    moved: Option<Positions>,
    wake_log: bool,
    wake_keep: bool,
    kick_timer: bool,
    more: bool,
}

/// Whether idle log hands are told about work that is on offer when the lock is let go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    /// The caller will ask for it itself.
    ToMe,
    /// A log hand takes it.
    ToLogHands,
}

impl<H: Heart, O: Outside<H>> Shell<H, O> {
    pub(crate) fn new(heart: H, outside: O) -> Self {
        let published = heart.positions();
        Self {
            inner: Mutex::new(Inner { heart, published, log: Idle::new(), keep: Idle::new(), stop: false }),
            outside,
            written: AtomicU64::new(published.written),
            durable: AtomicU64::new(published.durable),
            failed: AtomicBool::new(published.failed),
            gates: Gates::new(),
            wakers: Wakers::default(),
            log_wake: Condvar::new(),
            keep_wake: Condvar::new(),
        }
    }

    pub(crate) fn outside(&self) -> &O {
        &self.outside
    }

    /// One hold of the lock for a caller that will not wait: what it leaves goes to a log hand.
    pub(crate) fn hold<R>(&self, work: impl FnOnce(&mut H, H::Now) -> R) -> R {
        self.hold_and(Left::ToLogHands, work)
    }

    /// One hold of the lock for a caller that goes on to [`Shell::lead`] or [`Shell::wait`] for what it leaves.
    pub(crate) fn hold_to_lead<R>(&self, work: impl FnOnce(&mut H, H::Now) -> R) -> R {
        self.hold_and(Left::ToMe, work)
    }

    fn hold_and<R>(&self, left: Left, work: impl FnOnce(&mut H, H::Now) -> R) -> R {
        self.hold_at(self.outside.now(), left, work)
    }

    fn hold_at<R>(&self, now: H::Now, left: Left, work: impl FnOnce(&mut H, H::Now) -> R) -> R {
        let mut inner = self.inner.lock();
        let result = catch_unwind(AssertUnwindSafe(|| work(&mut inner.heart, now)));
        if result.is_err() {
            inner.heart.panicked("a caller");
        }
        self.let_go(inner, left, now);
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Lets the lock go, and does what has become due. More releases than one hold may grant take further holds.
    fn let_go<'a>(&'a self, mut inner: MutexGuard<'a, Inner<H>>, left: Left, now: H::Now) {
        loop {
            let follow_up = self.settle(&mut inner, left, now);
            drop(inner);
            let more = follow_up.more;
            self.follow_up(follow_up);
            if !more {
                return;
            }
            inner = self.inner.lock();
        }
    }

    fn settle(&self, inner: &mut Inner<H>, left: Left, now: H::Now) -> FollowUp<H> {
        let more = inner.heart.grant(now);
        let mut outgoing = Vec::new();
        inner.heart.take_outgoing(&mut outgoing);
        self.outside.will_send(outgoing.len());
        let positions = inner.heart.positions();
        let moved = (positions != inner.published).then_some(positions);
        if moved.is_some() {
            self.publish(positions);
            inner.published = positions;
        }
        FollowUp {
            outgoing,
            discarded: inner.heart.take_discarded(),
            moved,
            wake_log: left == Left::ToLogHands && needs_waking(&inner.heart, &mut inner.log, Hand::Log, now),
            wake_keep: needs_waking(&inner.heart, &mut inner.keep, Hand::Keep, now),
            kick_timer: inner.heart.take_kick(),
            more,
        }
    }

    fn publish(&self, positions: Positions) {
        self.written.store(positions.written, Ordering::Release);
        self.durable.store(positions.durable, Ordering::Release);
        self.failed.store(positions.failed, Ordering::Release);
    }

    fn follow_up(&self, follow_up: FollowUp<H>) {
        if follow_up.wake_log {
            self.log_wake.notify_one();
        }
        if follow_up.wake_keep {
            self.keep_wake.notify_one();
        }
        if let Some(positions) = follow_up.moved {
            self.gates.open(Positions {
                failed: positions.failed && !is_planted(Bug::FollowersNotTold),
                ..positions
            });
        }
        if follow_up.kick_timer {
            self.outside.kick_timer();
        }
        if !follow_up.outgoing.is_empty() {
            self.outside.send(follow_up.outgoing);
        }
        if let Some(positions) = follow_up.moved {
            self.wakers.wake_up_to(positions);
        }
        drop(follow_up.discarded);
    }

    /// Whether a record has come so far.
    pub(crate) fn reached(&self, lsn: u64, level: Level) -> bool {
        let position = match level {
            Level::Written => &self.written,
            Level::Durable => &self.durable,
        };
        position.load(Ordering::Acquire) >= lsn
    }

    /// Whether the engine has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Brings a record as far as asked: does the jobs itself while the turn is free, waits for others while it is not.
    pub(crate) fn lead(&self, lsn: u64, level: Level) -> Result<(), Failed> {
        loop {
            let generation = match self.next_step(lsn, level) {
                Step::Reached => return Ok(()),
                Step::Failed => return Err(Failed),
                Step::Do(job, taken_at) => {
                    self.perform(job, taken_at, Left::ToMe);
                    continue;
                }
                Step::Wait(generation) => generation,
            };
            self.gates.wait(level, generation, || self.reached(lsn, level) || self.has_failed());
        }
    }

    /// Waits until a record has come as far as asked, or the time is up (`None`), without doing any job: log hands do.
    pub(crate) fn wait(
        &self,
        lsn: u64,
        level: Level,
        timeout: Option<Duration>,
    ) -> Option<Result<(), Failed>> {
        let done = || self.reached(lsn, level) || self.has_failed();
        if !done() {
            self.announce(lsn, level);
            self.gates.wait_each(timeout, done);
        }
        if self.reached(lsn, level) { Some(Ok(())) } else { self.has_failed().then_some(Err(Failed)) }
    }

    /// For a future: whether a record has come as far as asked; if not, `waker` is woken when it has, or never can.
    pub(crate) fn poll(&self, lsn: u64, level: Level, waker: &Waker) -> Option<Result<(), Failed>> {
        let look = || {
            if self.reached(lsn, level) { Some(Ok(())) } else { self.has_failed().then_some(Err(Failed)) }
        };
        look().or_else(|| {
            self.announce(lsn, level);
            self.wakers.file(lsn, level, waker, look)
        })
    }

    /// A durable record is synced as soon as can be, whoever waits; a written one may be waiting for a sync to end.
    fn announce(&self, lsn: u64, level: Level) {
        if level == Level::Written {
            self.hold(|heart, _| heart.awaited(lsn, level));
        }
    }

    fn next_step(&self, lsn: u64, level: Level) -> Step<H::Job, H::Now> {
        let now = self.outside.now();
        let mut inner = self.inner.lock();
        let reached = self.reached(lsn, level);
        if reached || self.has_failed() {
            self.let_go(inner, Left::ToLogHands, now);
            return if reached { Step::Reached } else { Step::Failed };
        }
        inner.heart.awaited(lsn, level);
        let hand = match level {
            Level::Written => Hand::Write,
            Level::Durable => Hand::Log,
        };
        match inner.heart.take_job(hand, now) {
            Some(job) => Step::Do(job, now),
            None => {
                let generation = inner.heart.generation_of(lsn);
                self.let_go(inner, Left::ToLogHands, now);
                Step::Wait(generation)
            }
        }
    }

    /// Does a job without the lock and reports it. A panic on the way is a failure of the engine.
    fn perform(&self, job: H::Job, taken_at: H::Now, left: Left) {
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.outside.perform(job), self.outside.now())));
        // Whatever happened, the turn is given back: a clock that panics must not keep it.
        let now = outcome.as_ref().map_or(taken_at, |(_, now)| *now);
        self.hold_at(now, left, |heart, now| match outcome {
            Ok((outcome, _)) => heart.report(outcome, now),
            Err(_) => heart.panicked("a log job"),
        });
    }

    /// The life of a log thread or of the keeping thread: jobs while there are any, sleep in between, until
    /// [`Shell::stop`].
    pub(crate) fn run_hand(&self, hand: Hand) {
        loop {
            let now = self.outside.now();
            let mut inner = self.inner.lock();
            if let Some(job) = inner.heart.take_job(hand, now) {
                drop(inner);
                // A mark keeps writes waiting, and the keeping hand does not do them when it is over.
                self.perform(job, now, if hand == Hand::Log { Left::ToMe } else { Left::ToLogHands });
                continue;
            }
            if inner.stop {
                return;
            }
            self.sleep(inner, hand, now);
        }
    }

    fn sleep(&self, mut inner: MutexGuard<'_, Inner<H>>, hand: Hand, now: H::Now) {
        let looks_at_ns = inner.heart.looks_again_at_ns(hand).unwrap_or(u64::MAX);
        let timeout = (looks_at_ns != u64::MAX)
            .then(|| Duration::from_nanos(looks_at_ns.saturating_sub(H::present_ns(now)).max(1)));
        let idle = inner.idle(hand);
        idle.sleeping += 1;
        idle.looks_at_ns = idle.looks_at_ns.min(looks_at_ns);
        let condvar = match hand {
            Hand::Log | Hand::Write => &self.log_wake,
            Hand::Keep => &self.keep_wake,
        };
        let mut inner = condvar.wait(inner, timeout);
        let idle = inner.idle(hand);
        idle.sleeping -= 1;
        // The one that wakes looks for everybody; the others, if any, are told again.
        (idle.notified, idle.looks_at_ns) = (false, u64::MAX);
    }

    /// Does a job that the caller got from the heart.
    pub(crate) fn do_job(&self, job: H::Job, taken_at: H::Now) {
        self.perform(job, taken_at, Left::ToLogHands);
    }

    /// Does the jobs of a kind on this thread until there is none.
    pub(crate) fn do_jobs(&self, hand: Hand) {
        while let Some((job, now)) = self.hold(|heart, now| Some((heart.take_job(hand, now)?, now))) {
            self.perform(job, now, Left::ToLogHands);
        }
    }

    /// Waits until `done` holds of the heart, or the time is up. Looked at whenever a position moves, and several times a
    /// second all the same: after a failure no position moves any more.
    pub(crate) fn wait_until(&self, timeout: Duration, done: impl Fn(&H) -> bool) {
        const LOOK_EVERY: Duration = Duration::from_millis(50);
        let is_done = || done(&self.inner.lock().heart);
        let mut left = timeout;
        while !is_done() && left > Duration::ZERO {
            let wait = left.min(LOOK_EVERY);
            self.gates.wait_each(Some(wait), is_done);
            left -= wait;
        }
    }

    /// Lets the hands end once nothing is left to do.
    pub(crate) fn stop(&self) {
        self.inner.lock().stop = true;
        self.log_wake.notify_all();
        self.keep_wake.notify_all();
    }

    /// Reports a panic of a service thread, or of a caller under the lock.
    pub(crate) fn report_panic(&self, thread: &'static str) {
        self.hold(|heart, _| heart.panicked(thread));
    }
}

enum Step<J, N> {
    Reached,
    Failed,
    Do(J, N),
    Wait(u64),
}

impl<H> Inner<H> {
    fn idle(&mut self, hand: Hand) -> &mut Idle {
        match hand {
            Hand::Log | Hand::Write => &mut self.log,
            Hand::Keep => &mut self.keep,
        }
    }
}

/// Whether a sleeping hand has to be told: there is a job for it, or it would sleep past the moment to look again.
fn needs_waking<H: Heart>(heart: &H, idle: &mut Idle, hand: Hand, now: H::Now) -> bool {
    if idle.sleeping == 0 || idle.notified {
        return false;
    }
    let earlier = heart.looks_again_at_ns(hand).is_some_and(|at_ns| at_ns < idle.looks_at_ns);
    idle.notified = earlier || heart.wants(hand, now);
    idle.notified
}

#[cfg(test)]
mod tests;
