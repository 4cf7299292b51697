//! The process that is killed: four threads that use the engine as hard as they can and write down what it answered.
//!
//! | thread | does |
//! | --- | --- |
//! | intake | submits timers and cancels without waiting, a bounded window ahead of the disk |
//! | caller | blocking calls, one after another: schedule, cancel, reschedule, atomic batches |
//! | consumer | receives what is due, completes it, sometimes fails it or lets it go |
//! | witness | waits for the tickets of the others and writes each acknowledgement down |

mod caller;
mod consumer;
mod intake;
mod witness;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use crossbeam_channel::Sender;
use horolog::{Clock, Engine, Options, SystemClock, Timer};

use super::ledger::{self, Entry, Ledger};
use super::payload::{self, Claim};
use super::plan::{Axis, Plan, Treatment};
use crate::args::ChildArgs;
use crate::error::Trouble;
use witness::Pending;

/// Acknowledgements on their way at most: the window of the intake.
const WINDOW: usize = 4_096;

/// Occurrences handed out and not yet received at most.
const DUE_CAPACITY: usize = 256;

/// How long what is in flight may take at the last shutdown.
const GRACE: Duration = Duration::from_secs(10);

/// What the threads of one life share.
struct Life<'a> {
    engine: &'a Engine,
    ledger: &'a Ledger,
    ledger_path: &'a Path,
    clock: SystemClock,
    seed: u64,
    next_serial: AtomicU64,
    end_serial: u64,
    /// Both threads that schedule have used up their serial numbers.
    schedulers_left: AtomicU64,
    calm: bool,
    last: bool,
    failed: AtomicBool,
}

/// Lives until killed; the last life until no timer is left.
pub(crate) fn live(args: &ChildArgs) -> Result<(), Trouble> {
    end_with_parent();
    let noted = |source| Trouble::File { what: "cannot use the ledger", path: args.ledger.clone(), source };
    let ledger = Ledger::create(&args.ledger).map_err(noted)?;
    let carried = args.carried.as_deref().map_or(Ok(Vec::new()), ledger::read_carried).map_err(noted)?;
    let clock = SystemClock::new();
    let (engine, opened) = open(&args.dir, &clock)?;
    ledger.note(&[opened]).map_err(noted)?;
    let life = Life {
        engine: &engine,
        ledger: &ledger,
        ledger_path: &args.ledger,
        clock,
        seed: args.seed,
        next_serial: AtomicU64::new(args.first),
        end_serial: args.end,
        schedulers_left: AtomicU64::new(2),
        calm: args.calm,
        last: args.last,
        failed: AtomicBool::new(false),
    };
    life.work(&carried)?;
    engine.shutdown(GRACE).map_err(Trouble::engine)?;
    ledger.note(&[Entry::Drained { boot_ns: life.clock.times().boottime_ns }]).map_err(noted)
}

/// The parent holds the other end of standard input: when that closes, nobody is left to count what happens here.
fn end_with_parent() {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        std::process::exit(1);
    });
}

fn open(dir: &Path, clock: &SystemClock) -> Result<(Engine, Entry), Trouble> {
    let before = clock.times().boottime_ns;
    let engine = Options::new().due_capacity(DUE_CAPACITY).open(dir).map_err(Trouble::Open)?;
    let now = clock.times();
    let open_us = u32::try_from((now.boottime_ns - before) / 1_000).unwrap_or(u32::MAX);
    let torn_bytes = engine.report().torn_bytes;
    let opened = Entry::Opened { open_us, wall_ns: now.wall_ns, boot_ns: now.boottime_ns, torn_bytes };
    Ok((engine, opened))
}

impl Life<'_> {
    fn work(&self, carried: &[(u64, u64)]) -> Result<(), Trouble> {
        let (sender, receiver) = crossbeam_channel::bounded(WINDOW);
        std::thread::scope(|scope| {
            let threads = [
                spawn(scope, self, sender.clone(), |life, out| intake::run(life, carried, out)),
                spawn(scope, self, sender.clone(), |life, out| caller::run(life, &out)),
                spawn(scope, self, sender, |life, out| consumer::run(life, &out)),
            ];
            let witnessed = self.watched(witness::run(self, &receiver));
            let ended = threads.into_iter().map(|thread| {
                thread.join().unwrap_or_else(|_| {
                    Err(Trouble::System { what: "finish a thread", source: std::io::ErrorKind::Other.into() })
                })
            });
            ended.fold(witnessed, Result::and)
        })
    }

    /// A thread that fails ends the life of all.
    fn watched(&self, outcome: Result<(), Trouble>) -> Result<(), Trouble> {
        if outcome.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        outcome
    }

    fn failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    fn note(&self, entries: &[Entry]) -> Result<(), Trouble> {
        self.ledger.note(entries).map_err(|source| {
            let path = self.ledger_path.to_owned();
            Trouble::File { what: "cannot write the ledger", path, source }
        })
    }

    /// Up to `count` serial numbers that nobody else uses: the first one and how many.
    fn take_serials(&self, count: u64) -> Option<(u64, u64)> {
        let take = |next: u64| (next < self.end_serial).then(|| (next + count).min(self.end_serial));
        let taken = self.next_serial.fetch_update(Ordering::AcqRel, Ordering::Acquire, take);
        taken.ok().map(|first| (first, (first + count).min(self.end_serial) - first))
    }

    /// A scheduling thread has found no serial number left; the second one that does notes it down.
    fn scheduler_done(&self) -> Result<(), Trouble> {
        if self.schedulers_left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.note(&[Entry::AllSubmitted { boot_ns: self.clock.times().boottime_ns }])?;
        }
        Ok(())
    }

    fn all_submitted(&self) -> bool {
        self.schedulers_left.load(Ordering::Acquire) == 0
    }

    fn now_ns(&self, axis: Axis) -> u64 {
        let times = self.clock.times();
        match axis {
            Axis::Wall => times.wall_ns,
            Axis::Boot => times.boottime_ns,
        }
    }

    /// The timer of a serial number. The clock is read before the engine reads it, so the deadline in the payload is
    /// never later than the engine's.
    fn timer(&self, serial: u64, plan: &Plan) -> Timer {
        let delay = Duration::from_millis(plan.delay_ms);
        let deadline_ns = self.now_ns(plan.axis) + plan.delay_ms * 1_000_000;
        let timer = match plan.axis {
            Axis::Wall => Timer::at(UNIX_EPOCH + Duration::from_nanos(deadline_ns)),
            Axis::Boot => Timer::after(delay),
        };
        let timer = timer.payload(payload::encode(self.seed, Claim { serial, deadline_ns, axis: plan.axis }));
        let timer = if plan.keyed { timer.key(key_of(serial)) } else { timer };
        match plan.first {
            Treatment::Complete => timer,
            // So that what is given back comes again before the drill is over.
            Treatment::Fail | Treatment::Drop => {
                timer.backoff(Duration::from_millis(20), Duration::from_millis(500))
            }
        }
    }
}

fn key_of(serial: u64) -> String {
    format!("drill-{serial}")
}

fn spawn<'scope, 'env>(
    scope: &'scope std::thread::Scope<'scope, 'env>,
    life: &'env Life<'env>,
    out: Sender<Pending>,
    run: impl FnOnce(&'env Life<'env>, Sender<Pending>) -> Result<(), Trouble> + Send + 'scope,
) -> std::thread::ScopedJoinHandle<'scope, Result<(), Trouble>> {
    scope.spawn(move || life.watched(run(life, out)))
}
