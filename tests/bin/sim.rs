//! The seeded simulation: `cargo run --release -p horolog-tests --bin sim -- --seed N [--runs K]`.
//!
//! Each seed is a run of its own, done twice with equal hashes. A run that breaks a promise is shrunk to the smallest trace
//! that breaks the same, which is printed with the command that repeats it, and the program ends with 1.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Parser;
use horolog::simulation::{Broken, Class, Counts, Size, faults, rows, run_seed, run_trace, shrink};

/// Runs the engine over a simulated disk that fails in every way it knows, and checks every promise.
#[derive(Debug, Parser)]
struct Args {
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many seeds; without it and without `--minutes`, one.
    #[arg(long)]
    runs: Option<u64>,
    /// Begin no run after so long.
    #[arg(long)]
    minutes: Option<f64>,
    /// Steps of a run, about.
    #[arg(long, default_value_t = Size::default().steps)]
    steps: u32,
    /// Classes of faults to choose from: crash, damage, read, lie, write, sync, full, names, opening, clock, lock, halt.
    #[arg(long, value_delimiter = ',', value_parser = class)]
    faults: Option<Vec<Class>>,
    /// Threads.
    #[arg(long, default_value_t = threads())]
    threads: usize,
    /// Leave a trace that breaks a promise as it is.
    #[arg(long)]
    keep: bool,
    /// Run the trace in this file, and nothing else.
    #[arg(long)]
    replay: Option<PathBuf>,
}

fn class(name: &str) -> Result<Class, String> {
    let known = Class::ALL.iter().find(|(known, _)| *known == name).map(|(_, class)| *class);
    known.ok_or_else(|| format!("one of {}", Class::ALL.map(|(name, _)| name).join(", ")))
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// So many runs reach every row of the crash table, and every effect of a fault.
const ENOUGH_RUNS: u64 = 20_000;

/// What was not reached.
fn missing(counts: &Counts) -> Vec<&'static str> {
    let rows = rows().iter().filter(|row| !counts.rows.contains_key(*row));
    rows.chain(faults().iter().filter(|fault| !counts.faults.contains_key(*fault))).copied().collect()
}

/// What all threads share.
struct Work {
    next: AtomicU64,
    end: u64,
    stop: AtomicBool,
    began: Instant,
    most: Option<Duration>,
    size: Size,
    sum: Mutex<Sum>,
}

#[derive(Default)]
struct Sum {
    counts: Counts,
    broken: Option<(u64, Box<Broken>)>,
}

impl Work {
    fn sum(&self) -> std::sync::MutexGuard<'_, Sum> {
        self.sum.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.most.is_some_and(|most| since(self.began) >= most)
    }

    fn run(&self) {
        let mut counts = Counts::default();
        while !self.is_over() {
            let seed = self.next.fetch_add(1, Ordering::Relaxed);
            if seed >= self.end {
                break;
            }
            match run_seed(seed, &self.size) {
                Ok(more) => counts.add(&more),
                Err(broken) => {
                    self.stop.store(true, Ordering::Relaxed);
                    self.sum().broken.get_or_insert((seed, broken));
                }
            }
        }
        self.sum().counts.add(&counts);
    }
}

#[expect(clippy::disallowed_methods, reason = "how long a run takes is all that this is about")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "how long a run takes is all that this is about")]
fn since(began: Instant) -> Duration {
    began.elapsed()
}

fn main() -> ExitCode {
    let args = Args::parse();
    match &args.replay {
        Some(path) => replay(path),
        None => search(&args),
    }
}

#[expect(clippy::disallowed_methods, reason = "a trace is a file of the tests' own")]
fn replay(path: &PathBuf) -> ExitCode {
    let trace = match std::fs::read_to_string(path) {
        Ok(trace) => trace,
        Err(error) => {
            println!("{}: {error}", path.display());
            return ExitCode::from(2);
        }
    };
    match run_trace(&trace) {
        Ok(_) => {
            println!("every promise holds");
            ExitCode::SUCCESS
        }
        Err(broken) => {
            println!("{}", broken.violation);
            ExitCode::from(1)
        }
    }
}

fn search(args: &Args) -> ExitCode {
    let mut size = Size { steps: args.steps, ..Size::default() };
    size.classes = args.faults.clone().unwrap_or(size.classes);
    let runs = args.runs.unwrap_or(if args.minutes.is_some() { u64::MAX } else { 1 });
    let work = Work {
        next: AtomicU64::new(args.seed),
        end: args.seed.saturating_add(runs),
        stop: AtomicBool::new(false),
        began: now(),
        most: args.minutes.map(|minutes| Duration::from_secs_f64(minutes.max(0.0) * 60.0)),
        size,
        sum: Mutex::default(),
    };
    std::thread::scope(|scope| {
        for _ in 0..args.threads.max(1) {
            scope.spawn(|| work.run());
        }
    });
    let took = since(work.began);
    let sum = work.sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    report(&sum.counts, took);
    let has_to_reach_all = args.faults.is_none() && sum.counts.runs >= ENOUGH_RUNS;
    let missing = if has_to_reach_all { missing(&sum.counts) } else { Vec::new() };
    match sum.broken {
        None if !missing.is_empty() => {
            println!("\nFAILED: never reached: {}", missing.join("; "));
            ExitCode::from(1)
        }
        None => ExitCode::SUCCESS,
        Some((seed, broken)) => {
            report_broken(seed, &broken, args, took);
            ExitCode::from(1)
        }
    }
}

fn report_broken(seed: u64, broken: &Broken, args: &Args, took: Duration) {
    println!("\nVIOLATION in seed {seed} after {:.1} s: {}", took.as_secs_f64(), broken.violation);
    println!("again: cargo run --release -p horolog-tests --bin sim -- --seed {seed} --steps {}", args.steps);
    let lines = broken.trace.lines().count();
    if args.keep {
        println!("{lines} steps:\n{}", broken.trace);
        return;
    }
    let smallest = shrink(broken);
    println!("shrunk from {lines} to {} steps: {}", smallest.trace.lines().count(), smallest.violation);
    println!("{}", smallest.trace);
}

fn report(counts: &Counts, took: Duration) {
    let seconds = took.as_secs_f64().max(0.001);
    let Counts { runs, steps, crashes, states, openings, heals, deliveries, .. } = counts;
    println!(
        "{runs} runs (each twice), {steps} steps, {crashes} lives ended, {openings} openings, {heals} healed"
    );
    println!("{deliveries} deliveries; {states} states judged");
    #[expect(clippy::cast_precision_loss, reason = "a rate is not exact")]
    let rate = 2.0 * *states as f64 / seconds;
    println!("{seconds:.1} s, {rate:.0} states a second");
    table("faults that took effect", &with_all(faults(), &counts.faults));
    table("checks", &counts.checks);
    table("rows of the crash table", &with_all(rows(), &counts.rows));
    table("verdicts", &counts.matrix);
}

/// The counts, with those that are zero.
fn with_all(names: &[&'static str], counts: &BTreeMap<&'static str, u64>) -> BTreeMap<&'static str, u64> {
    let mut all: BTreeMap<_, _> = names.iter().map(|name| (*name, 0)).collect();
    all.extend(counts);
    all
}

fn table(name: &str, counts: &BTreeMap<&'static str, u64>) {
    println!("\n{name}");
    for (name, count) in counts {
        println!("{count:>12}  {name}");
    }
}
