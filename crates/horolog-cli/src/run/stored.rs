//! How jobs are kept as timers.
//!
//! A job is one keyed timer whose payload is its *definition*: when it runs, and what becomes of missed runs. Command and
//! timeout are read from the file at each run, so editing them touches no timer and moves no phase.
//!
//! A job has two keys, its name and its name with a mark behind. One of them is taken at a time. Whatever replaces a
//! timer (a new definition, or the note that a one-shot is done) takes the other key, in one atomic batch with what it
//! replaces: a batch may name a key only once, and no crash leaves a job without a timer or with two.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use horolog::{Batch, Engine, IfExists, Misfire, Phase, Timer, TimerId, TimerInfo};
use serde::{Deserialize, Serialize};

use super::file::{Job, Schedule};
use crate::error::Trouble;

/// No name has it.
const MARK: char = '\'';

/// When the note that a one-shot is done comes due; nobody waits for it.
const NEVER: Duration = Duration::from_nanos(u64::MAX / 2);

/// What a timer's payload says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) definition: Definition,
    /// It is a note that the one-shot has run.
    #[serde(default)]
    pub(super) done: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Definition {
    #[serde(flatten)]
    when: When,
    skip_missed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum When {
    #[serde(rename = "every_ns")]
    Every(u64),
    #[serde(rename = "at_unix_ns")]
    At(u64),
}

/// The timer of a job.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) id: TimerId,
    pub(super) info: TimerInfo,
    pub(super) stored: Option<Stored>,
    /// The key that is free for its successor.
    other_key: String,
}

/// What was done about a job at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reconciled {
    New,
    Unchanged,
    Changed,
    AlreadyDone,
    GivenUp,
}

impl Definition {
    pub(super) fn of(job: &Job) -> Self {
        let when = match job.schedule {
            Schedule::Every(interval) => When::Every(u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX)),
            Schedule::At(at) => When::At(u64::try_from(at.as_nanosecond()).unwrap_or(0)),
        };
        Self { when, skip_missed: job.missed == Misfire::Skip }
    }

    fn timer(self) -> Timer {
        let misfire = if self.skip_missed { Misfire::Skip } else { Misfire::FireOnce };
        match self.when {
            When::Every(ns) => Timer::every(Duration::from_nanos(ns)),
            When::At(ns) => Timer::at(UNIX_EPOCH + Duration::from_nanos(ns)),
        }
        .misfire(misfire)
    }

    pub(super) fn recurs(self) -> bool {
        matches!(self.when, When::Every(_))
    }
}

impl Stored {
    fn put_into(self, timer: Timer) -> Result<Timer, Trouble> {
        timer.payload_as(&self).map_err(Trouble::engine)
    }
}

/// The name of the job that a key belongs to.
pub(super) fn name_of(key: &[u8]) -> String {
    String::from_utf8_lossy(key).trim_end_matches(MARK).to_owned()
}

/// The keys a job's timer may have.
pub(super) fn keys_of(name: &str) -> [String; 2] {
    [name.to_owned(), format!("{name}{MARK}")]
}

/// The timer of a job; not one that is cancelled and only ends with its run.
pub(super) fn find(engine: &Engine, name: &str) -> Option<Found> {
    let [first, second] = keys_of(name);
    let with = |key: &str, other: &str| {
        let id = engine.by_key(key)?;
        let info = engine.get(id).filter(|info| !info.cancelled)?;
        let stored = serde_json::from_slice(&info.payload).ok();
        Some(Found { id, info, stored, other_key: other.to_owned() })
    };
    with(&first, &second).or_else(|| with(&second, &first))
}

/// Makes the timer of a job what its definition says, and touches nothing if it is that already.
pub(super) fn reconcile(engine: &Engine, job: &Job) -> Result<Reconciled, Trouble> {
    let definition = Definition::of(job);
    let Some(found) = find(engine, &job.name) else {
        let timer = Stored { definition, done: false }.put_into(definition.timer())?;
        engine.schedule(timer.key(&job.name).if_exists(IfExists::Keep)).map_err(Trouble::engine)?;
        return Ok(Reconciled::New);
    };
    match &found.stored {
        Some(stored) if stored.definition == definition => Ok(match found.info.phase {
            _ if stored.done => Reconciled::AlreadyDone,
            Phase::Dead => Reconciled::GivenUp,
            _ => Reconciled::Unchanged,
        }),
        stored => {
            let phase = stored.as_ref().filter(|stored| stored.definition.when == definition.when);
            let timer = match phase {
                // Only what becomes of missed runs has changed: the grid stays where it is.
                Some(_) => {
                    definition.timer().anchored_at(found.info.next_slot.unwrap_or(found.info.deadline))
                }
                None => definition.timer(),
            };
            let timer = Stored { definition, done: false }.put_into(timer)?.key(&found.other_key);
            engine.apply(Batch::new().cancel(found.id).schedule(timer)).map_err(Trouble::engine)?;
            Ok(Reconciled::Changed)
        }
    }
}

/// The note that takes the place of a one-shot that has run: a restart must not run it again.
pub(super) fn done_note(key: &[u8], definition: Definition) -> Result<Timer, Trouble> {
    let name = name_of(key);
    let other = keys_of(&name).into_iter().find(|other| other.as_bytes() != key).unwrap_or(name);
    let timer = Timer::at(SystemTime::UNIX_EPOCH + NEVER).key(other);
    Stored { definition, done: true }.put_into(timer)
}

/// Whether a job has nothing left to do.
pub(super) fn is_over(engine: &Engine, job: &Job) -> bool {
    find(engine, &job.name)
        .is_none_or(|found| found.info.phase == Phase::Dead || found.stored.is_some_and(|stored| stored.done))
}
