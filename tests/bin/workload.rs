//! A short run of the engine on a real directory, for tests that make the file system fail under it. Each answer is a line on
//! standard output, written as soon as it is there; `check` reads these lines and holds the directory to them.
//!
//! | line | says |
//! | --- | --- |
//! | `try WHAT N` | the call is about to be made |
//! | `acked WHAT N …` | it was answered: what it did is durable; a timer's id follows |
//! | `refused WHAT N …` | it did nothing, and why |
//! | `indeterminate WHAT N` | a write or a sync failed: it happened or it did not |
//! | `healed` | the engine goes on; what was indeterminate has happened |
//! | `full`, `resumed` | there is no room for new timers; there is again |
//! | `opened` | the engine is open, if that was asked for |
//! | `compacted N`, `not compacted N …` | a snapshot counts that has everything up to timer N; or not, and why |
//! | `closed` | the log was closed in order |
//!
//! WHAT is `scheduled`, `cancelled` or `completed`, and N the number of the timer, which is its key too.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io::{ErrorKind, Read, stdin};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use horolog::{
    CancelError, CancelOutcome, Engine, HealError, LogError, OpenError, Options, OutcomeFault, ScheduleError,
    ScheduleFault, StorageError, Timer, Unavailable,
};

/// The directory is not as it was promised.
const VIOLATED: u8 = 1;
/// The directory was not opened.
const NOT_OPENED: u8 = 3;
/// The directory was not opened, because the file system may only be read.
const READ_ONLY: u8 = 4;

const HOUR: Duration = Duration::from_secs(3_600);
/// How long something may take that is bound to happen, unless the file system fails.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(5);

#[derive(Parser)]
enum Args {
    /// Schedules, cancels and completes timers, over several segments of the log.
    Run {
        dir: PathBuf,
        /// Heals the engine after a failure and goes on.
        #[arg(long)]
        heal: bool,
        /// Says `opened` first, and waits for a line on standard input.
        #[arg(long)]
        wait: bool,
        /// The number of the first timer.
        #[arg(long, default_value_t = 0)]
        from: u32,
        /// How many timers.
        #[arg(long, default_value_t = 24)]
        timers: u32,
        /// Makes a snapshot after so many timers, again and again, and with it lets go of the log before it.
        #[arg(long)]
        compact_after: Option<u32>,
        /// Ends without closing the log, as a process that is killed.
        #[arg(long)]
        unclosed: bool,
    },
    /// Schedules timers until the disk is full, cancels some, waits for a line on standard input, and goes on.
    Fill { dir: PathBuf },
    /// Reads the lines of a run from standard input and holds the directory to them.
    Check { dir: PathBuf },
}

fn main() -> ExitCode {
    match Args::parse() {
        Args::Run { dir, heal, wait, from, timers, compact_after, unclosed } => with_engine(&dir, |engine| {
            if wait {
                println!("opened");
                stdin().read_exact(&mut [0])?;
            }
            Run { engine, heal, compact_after }.all(from..from + timers);
            if unclosed {
                std::process::exit(0);
            }
            Ok(ExitCode::SUCCESS)
        }),
        Args::Fill { dir } => {
            with_engine(&dir, |engine| Run { engine, heal: false, compact_after: None }.fill())
        }
        Args::Check { dir } => with_engine(&dir, check),
    }
}

/// Opens the directory, with the smallest segments there are, and closes it in the end.
fn with_engine(dir: &Path, act: impl FnOnce(&Engine) -> Result<ExitCode, Box<dyn Error>>) -> ExitCode {
    let engine = match Options::new().segment_bytes(64 << 10, 64 << 10).open(dir) {
        Ok(engine) => engine,
        Err(error) => {
            println!("not opened: {}", whole(&error));
            return ExitCode::from(if is_read_only(&error) { READ_ONLY } else { NOT_OPENED });
        }
    };
    let code = act(&engine).unwrap_or_else(|error| {
        println!("ended: {}", whole(&*error));
        ExitCode::from(VIOLATED)
    });
    match engine.shutdown(Duration::ZERO) {
        Ok(()) => println!("closed"),
        Err(error) => println!("not closed: {}", whole(&error)),
    }
    code
}

fn is_read_only(error: &OpenError) -> bool {
    let (OpenError::Storage(storage) | OpenError::Log { source: LogError::Storage(storage), .. }) = error
    else {
        return false;
    };
    matches!(storage, StorageError::Io { source, .. } if source.kind() == ErrorKind::ReadOnlyFilesystem)
}

/// An error and all that it rests on.
fn whole(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[expect(clippy::disallowed_methods, reason = "a program for tests, which has nobody to be woken by")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

fn key(n: u32) -> String {
    n.to_string()
}

fn payload(n: u32) -> String {
    format!("timer {n}.")
}

/// How a call was answered.
enum Answer {
    Acked,
    Refused,
    Indeterminate,
    /// Refused, because the disk is full.
    Full,
}

struct Run<'a> {
    engine: &'a Engine,
    heal: bool,
    compact_after: Option<u32>,
}

impl Run<'_> {
    fn all(&self, numbers: Range<u32>) {
        for n in numbers {
            let is_near = n % 4 == 3;
            let due = if is_near { Duration::ZERO } else { HOUR };
            let answer = self.schedule(n, Timer::after(due).payload(payload(n)));
            if is_near && matches!(answer, Answer::Acked) {
                self.complete_next(n);
            }
            if n % 6 == 5 {
                self.cancel(n - 1);
            }
            if self.compact_after.is_some_and(|every| n % every == every - 1) {
                self.compact(n);
            }
        }
    }

    fn compact(&self, n: u32) {
        match self.engine.compact_now() {
            Ok(()) => println!("compacted {n}"),
            Err(error) => {
                println!("not compacted {n} {}", whole(&error));
                self.try_to_heal();
            }
        }
    }

    fn schedule(&self, n: u32, timer: Timer) -> Answer {
        println!("try scheduled {n}");
        match self.engine.schedule(timer.key(key(n))) {
            Ok(id) => {
                println!("acked scheduled {n} {id}");
                Answer::Acked
            }
            Err(ScheduleError::Indeterminate(_)) => self.indeterminate("scheduled", n),
            Err(ScheduleError::NotScheduled(refused)) => {
                let is_full =
                    matches!(refused.fault, ScheduleFault::Unavailable(Unavailable::StorageFull(_)));
                self.refused("scheduled", n, &refused, is_full)
            }
            Err(other) => self.refused("scheduled", n, &other, false),
        }
    }

    fn cancel(&self, n: u32) -> Answer {
        let Some(id) = self.engine.by_key(key(n)) else { return Answer::Refused };
        println!("try cancelled {n}");
        match self.engine.cancel(id) {
            Ok(CancelOutcome::Cancelled) => {
                println!("acked cancelled {n}");
                Answer::Acked
            }
            Ok(other) => {
                println!("refused cancelled {n} {other:?}");
                Answer::Refused
            }
            Err(CancelError::Indeterminate(_)) => self.indeterminate("cancelled", n),
            Err(other) => self.refused("cancelled", n, &other, false),
        }
    }

    /// Completes what is due: `n`, or what came due before it and could not be delivered then.
    fn complete_next(&self, n: u32) {
        let Ok(due) = self.engine.due().recv_timeout(PATIENCE) else { return println!("nothing due {n}") };
        let number = String::from_utf8_lossy(due.key()).into_owned();
        println!("try completed {number}");
        let n = number.parse().unwrap_or(n);
        match due.complete() {
            Ok(ticket) => match ticket.wait() {
                Ok(()) => println!("acked completed {n}"),
                Err(_) => drop(self.indeterminate("completed", n)),
            },
            Err(error) => {
                let is_full = matches!(error.fault, OutcomeFault::Unavailable(Unavailable::StorageFull(_)));
                self.refused("completed", n, &error, is_full);
            }
        }
    }

    fn refused(&self, what: &str, n: u32, error: &dyn Error, is_full: bool) -> Answer {
        println!("refused {what} {n} {}", whole(error));
        self.try_to_heal();
        if is_full { Answer::Full } else { Answer::Refused }
    }

    fn indeterminate(&self, what: &str, n: u32) -> Answer {
        println!("indeterminate {what} {n}");
        self.try_to_heal();
        Answer::Indeterminate
    }

    /// Tries again while a write or a sync that was on its way has not come back, as long as that may take.
    fn try_to_heal(&self) {
        if !self.heal || !self.engine.stats().poisoned {
            return;
        }
        let mut tries = PATIENCE.as_millis() / PAUSE.as_millis();
        loop {
            match self.engine.heal() {
                Ok(()) => return println!("healed"),
                Err(HealError::InFlight) if tries > 0 => pause(PAUSE),
                Err(error) => return println!("not healed: {}", whole(&error)),
            }
            tries -= 1;
        }
    }

    /// New timers are refused once there is no room for them, and what is pending goes on.
    fn fill(&self) -> Result<ExitCode, Box<dyn Error>> {
        let filler = " ".repeat(3_000);
        let timer = |n| Timer::after(HOUR).payload(payload(n) + &filler);
        let is_full = |n: &u32| matches!(self.schedule(*n, timer(*n)), Answer::Full);
        let full = (0..100_000).find(is_full).ok_or("the disk never ran full")?;
        for n in 0..5 {
            if !matches!(self.cancel(n), Answer::Acked) {
                return Err("a cancel on a full disk was not answered".into());
            }
        }
        if matches!(self.schedule(full + 1, timer(full + 1)), Answer::Acked) {
            return Err("a cancel makes no room for a timer, and one was taken".into());
        }
        println!("full");
        stdin().read_exact(&mut [0])?;
        for n in full + 2..full + 42 {
            if matches!(self.schedule(n, timer(n)), Answer::Acked) {
                println!("resumed");
                return Ok(ExitCode::SUCCESS);
            }
            pause(Duration::from_millis(250));
        }
        Err("service did not come back".into())
    }
}

/// What was said about one thing that was tried.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    /// It was tried, and nothing was said: the process died, or a write failed.
    Unknown,
    Acked,
    Refused,
}

/// What a run said about one timer.
#[derive(Default)]
struct Story {
    scheduled: Option<Said>,
    ended: Vec<Said>,
    id: Option<String>,
}

/// What a run said about all timers.
#[derive(Default)]
struct Stories(BTreeMap<u32, Story>);

impl Stories {
    fn read(text: &str) -> Result<Self, Box<dyn Error>> {
        let mut stories = Self::default();
        for line in text.lines() {
            let mut words = line.split(' ');
            match words.next() {
                Some("healed") => stories.heal(),
                Some(verb @ ("try" | "acked" | "refused" | "indeterminate")) => {
                    let (what, n) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
                    stories.note(verb, what, n.parse()?, words.next());
                }
                _ => {}
            }
        }
        Ok(stories)
    }

    fn note(&mut self, verb: &str, what: &str, n: u32, id: Option<&str>) {
        let story = self.0.entry(n).or_default();
        let said = match verb {
            "acked" => Said::Acked,
            "refused" => Said::Refused,
            _ => Said::Unknown,
        };
        match what {
            "scheduled" => {
                story.scheduled = Some(said);
                story.id = id.filter(|_| said == Said::Acked).map(str::to_owned).or(story.id.take());
            }
            _ if verb == "try" => story.ended.push(said),
            _ => story.ended.last_mut().into_iter().for_each(|last| *last = said),
        }
    }

    /// What was indeterminate has happened.
    fn heal(&mut self) {
        for story in self.0.values_mut() {
            story.scheduled.iter_mut().chain(&mut story.ended).for_each(|said| {
                if *said == Said::Unknown {
                    *said = Said::Acked;
                }
            });
        }
    }
}

impl Story {
    /// Whether the timer has to be there; `None` if it may.
    fn is_live(&self) -> Option<bool> {
        let scheduled = self.scheduled.unwrap_or(Said::Refused);
        match scheduled {
            Said::Refused => Some(false),
            _ if self.ended.contains(&Said::Acked) => Some(false),
            Said::Acked if self.ended.iter().all(|said| *said == Said::Refused) => Some(true),
            _ => None,
        }
    }
}

/// Every promise is kept, and nothing is there that nobody asked for.
fn check(engine: &Engine) -> Result<ExitCode, Box<dyn Error>> {
    let mut said = String::new();
    stdin().read_to_string(&mut said)?;
    let stories = Stories::read(&said)?;
    let mut violations = Vec::new();
    let mut ids = BTreeSet::new();
    for (n, story) in &stories.0 {
        let id = engine.by_key(key(*n));
        match (story.is_live(), id) {
            (Some(true), None) => violations.push(format!("timer {n} is lost")),
            (Some(false), Some(id)) => violations.push(format!("timer {n} is there as {id}")),
            _ => {}
        }
        let Some(id) = id else { continue };
        let info = engine.get(id).ok_or("a timer that has a key and is not there")?;
        if !info.payload.starts_with(payload(*n).as_bytes()) {
            violations.push(format!("timer {n} has another payload"));
        }
        if story.id.as_ref().is_some_and(|was| *was != id.to_string()) {
            violations.push(format!("timer {n} has the id {id}, and had {:?}", story.id));
        }
        if !ids.insert(id) {
            violations.push(format!("timer {n} shares the id {id}"));
        }
    }
    let timers = engine.stats().timers;
    if timers != ids.len() as u64 {
        violations.push(format!("{timers} timers are there, and {} of them were asked for", ids.len()));
    }
    violations.iter().for_each(|violation| println!("violation: {violation}"));
    println!("checked: {} timers tried, {} there", stories.0.len(), ids.len());
    Ok(if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(VIOLATED) })
}
