//! Does a directory stay within its bound, however much comes and goes beside timers that stay?
//! `cargo run --release -p horolog-tests --bin bound -- [--timers 100000000] [--live 100]`.
//!
//! Some timers are due in a year. Beside them short ones are scheduled, delivered and completed as fast as it goes, and all
//! files of the directory are weighed again and again. In the end it is opened once more: those that stay are there. The program
//! ends with 1 if the directory was ever larger than four times its live data and [`CONSTANT_BYTES`], or at rest than three times
//! and that.
#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    reason = "time is only shown, files are only weighed, and a program of tests stops at the first error"
)]

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use clap::Parser;
use horolog::{Engine, Options, ScheduleError, ScheduleFault, Ticket, Timer, TimerId, Unavailable};

/// Lets short timers come and go beside long ones, and weighs the directory.
#[derive(Debug, Parser)]
struct Args {
    /// Short timers.
    #[arg(long, default_value_t = 1_000_000)]
    timers: u64,
    /// Timers that stay.
    #[arg(long, default_value_t = 100)]
    live: u64,
    /// Where; without it, a temporary directory that is removed.
    #[arg(long)]
    dir: Option<PathBuf>,
}

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
const PAYLOAD: [u8; 64] = [0x5a; 64];

/// What a snapshot takes of a plain timer with such a payload.
const LIVE_BYTES: u64 = 25 + PAYLOAD.len() as u64;

/// Short timers on their way at most.
const AT_ONCE: u64 = 10_000;

/// The bound of a directory without any live data. A snapshot is begun when there are more than 64 MiB of segments behind the last,
/// and the log is kept from the one before that: twice that, and of the segments of 64 MiB at both ends a part each. While the
/// newest is made, the log goes on. Then a spare and four segments that wait to be used again.
const CONSTANT_BYTES: u64 = (2 * 64 + 2 * 64 + 64 + 5 * 64) << 20;

fn main() -> ExitCode {
    let args = Args::parse();
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let dir = args.dir.as_deref().unwrap_or(temporary.path());
    let begun = Instant::now();
    let most = churn(dir, &args);
    let seconds = begun.elapsed().as_secs_f64();
    let engine = Engine::open(dir).expect("it opens once more");
    assert_eq!(engine.stats().timers, args.live, "those that stay are there, and nothing else");
    engine.shutdown(Duration::ZERO).expect("closed in order");
    let (live, rest) = (args.live * LIVE_BYTES, bytes_of(dir));
    let [bound, bound_at_rest] = [4, 3].map(|times| times * live + CONSTANT_BYTES);
    println!(
        "{} short timers in {seconds:.0} s ({:.0} a second) beside {} MiB of live data: at most {} MiB, {} MiB at rest; the \
         bounds are {} and {} MiB",
        args.timers,
        args.timers as f64 / seconds,
        live >> 20,
        most >> 20,
        rest >> 20,
        bound >> 20,
        bound_at_rest >> 20,
    );
    ExitCode::from(u8::from(most > bound || rest > bound_at_rest))
}

/// Gives the most that the directory had.
fn churn(dir: &Path, &Args { timers, live, .. }: &Args) -> u64 {
    let engine = Options::new().due_capacity(1_024).open(dir).expect("an engine");
    submit(&engine, live, &|| Timer::after(YEAR), &|_| true);
    let (completed, is_over) = (&AtomicU64::new(0), &AtomicBool::new(false));
    let most = std::thread::scope(|scope| {
        let weigher = scope.spawn(|| weigh(dir, is_over));
        scope.spawn(|| complete(&engine, timers, completed));
        let is_free = |nth| nth - completed.load(Ordering::Acquire) <= AT_ONCE;
        submit(&engine, timers, &|| Timer::at(SystemTime::UNIX_EPOCH), &is_free);
        while completed.load(Ordering::Acquire) < timers {
            std::thread::yield_now();
        }
        is_over.store(true, Ordering::Release);
        weigher.join().expect("no panic")
    });
    println!("{} snapshots", engine.stats().snapshots);
    engine.shutdown(Duration::ZERO).expect("closed in order");
    most
}

/// So many timers, each when it may be.
fn submit(engine: &Engine, timers: u64, timer: &dyn Fn() -> Timer, may: &dyn Fn(u64) -> bool) {
    let mut on_their_way = VecDeque::new();
    for n in 0..timers {
        while !may(n) {
            std::thread::yield_now();
        }
        let mut timer = timer().payload(PAYLOAD);
        let ticket = loop {
            match engine.submit(timer) {
                Ok(ticket) => break ticket,
                Err(error) => timer = once_there_is_room(error, &mut on_their_way),
            }
        };
        if n % 256 == 0 {
            on_their_way.push_back(ticket);
        }
    }
}

/// What was refused for want of room, after something on its way to the disk has arrived there.
fn once_there_is_room(error: ScheduleError, on_their_way: &mut VecDeque<Ticket<TimerId>>) -> Timer {
    match error {
        ScheduleError::NotScheduled(refused)
            if matches!(refused.fault, ScheduleFault::Unavailable(Unavailable::Busy { .. })) =>
        {
            on_their_way.pop_front().map(|oldest| oldest.wait().expect("durable"));
            *refused.timer
        }
        error => panic!("it can only be busy: {error}"),
    }
}

fn complete(engine: &Engine, timers: u64, completed: &AtomicU64) {
    for due in engine.due().iter().take(usize::try_from(timers).expect("so many")) {
        due.complete().expect("open");
        completed.fetch_add(1, Ordering::Release);
    }
}

fn weigh(dir: &Path, is_over: &AtomicBool) -> u64 {
    let mut most = 0;
    while !is_over.load(Ordering::Acquire) {
        most = most.max(bytes_of(dir));
        std::thread::park_timeout(Duration::from_millis(5));
    }
    most
}

fn bytes_of(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).expect("the directory").filter_map(Result::ok);
    entries.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}
