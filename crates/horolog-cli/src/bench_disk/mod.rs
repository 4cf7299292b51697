//! `horolog bench-disk`: what the disk gives, and what the engine makes of it.
//!
//! ```text
//! a round     growing ── unwritten ── zeroed 4 KiB ── schedule ── zeroed … ── direct ── 8 threads ── submit
//! altogether  round ── round ── round ── table
//! ```
//!
//! Every row is measured once in each round, so that a machine that becomes slower or faster does so to all of them.
//! Rates are medians over the rounds; percentiles are taken over the samples of all rounds.

mod aligned;
mod calls;
mod engine;
mod limit;
mod place;
mod raw;
mod row;
mod stopwatch;
mod table;

use std::time::Duration;

use crossbeam_channel::Receiver;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

use self::limit::Limit;
pub(crate) use self::limit::{BadSeconds, parse_seconds};
use self::place::Place;
use self::raw::{Kind, WriteSize};
use self::row::{Outcome, Row};
use crate::args::BenchDiskArgs;
use crate::error::Trouble;
use crate::render::{bytes, duration, note, say};
use crate::signals::stop_requests;

/// Odd, so that there is one in the middle.
const ROUNDS: u32 = 3;

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Raw(Kind, WriteSize),
    Schedule,
    Blocked,
    Submit,
}

/// In the order in which they are measured: the two whose ratio is taken are neighbours.
const SUBJECTS: [Subject; 15] = [
    Subject::Raw(Kind::Growing, WriteSize::KiB4),
    Subject::Raw(Kind::Growing, WriteSize::KiB64),
    Subject::Raw(Kind::Growing, WriteSize::MiB1),
    Subject::Raw(Kind::Unwritten, WriteSize::KiB4),
    Subject::Raw(Kind::Unwritten, WriteSize::KiB64),
    Subject::Raw(Kind::Unwritten, WriteSize::MiB1),
    Subject::BARE,
    Subject::Schedule,
    Subject::Raw(Kind::Zeroed, WriteSize::KiB64),
    Subject::Raw(Kind::Zeroed, WriteSize::MiB1),
    Subject::Raw(Kind::Direct, WriteSize::KiB4),
    Subject::Raw(Kind::Direct, WriteSize::KiB64),
    Subject::Raw(Kind::Direct, WriteSize::MiB1),
    Subject::Blocked,
    Subject::Submit,
];

impl Subject {
    /// What a lone `schedule` does, without the engine: one block is written to zeros and synced.
    const BARE: Self = Self::Raw(Kind::Zeroed, WriteSize::KiB4);

    fn measure(self, place: &Place, limit: Limit) -> Result<Outcome, Trouble> {
        let section = place.section()?;
        let outcome = match self {
            Self::Raw(kind, size) => raw::measure(section.path(), kind, size, limit),
            Self::Schedule => engine::schedule(section.path(), limit),
            Self::Blocked => engine::blocked(section.path(), limit),
            Self::Submit => engine::submit(section.path(), limit),
        }?;
        place.clear(section)?;
        Ok(outcome)
    }
}

pub(crate) fn bench_disk(args: &BenchDiskArgs) -> Result<u8, Trouble> {
    let limit = Limit::new(args.seconds);
    let stop = stop_requests()?;
    let place = Place::new(&args.dir, limit.room_bytes())?;
    announce(&place, limit);
    let outcomes = all_rounds(&place, limit, &stop)?;
    place.close()?;
    let rows = row::rows(outcomes);
    say(&if args.json { json(&rows)? } else { table::text(&rows) })?;
    Ok(0)
}

fn announce(place: &Place, limit: Limit) {
    let time: Duration = SUBJECTS.map(|_| limit.time() * ROUNDS).iter().sum();
    let said = |what: &str| note("bench-disk", what);
    said(&format!("works in {}, and removes it at the end", place.path().display()));
    said(&format!(
        "{ROUNDS} rounds of {} rows, {} each: {} and the preparations",
        SUBJECTS.len(),
        duration(limit.time()),
        duration(time)
    ));
    let (written, room) = (limit.round_bytes() * u64::from(ROUNDS), limit.room_bytes());
    said(&format!("writes {} at most, and needs room for {}", bytes(written), bytes(room)));
}

/// One list of outcomes, a round each, for every subject.
fn all_rounds(
    place: &Place,
    limit: Limit,
    stop: &Receiver<()>,
) -> Result<Vec<(Subject, Vec<Outcome>)>, Trouble> {
    let bar = progress_bar();
    let mut all: Vec<_> = SUBJECTS.map(|subject| (subject, Vec::new())).into();
    for round in 1..=ROUNDS {
        bar.set_message(format!("round {round}"));
        for (subject, outcomes) in &mut all {
            if stop.try_recv().is_ok() {
                return Err(Trouble::Stopped);
            }
            outcomes.push(subject.measure(place, limit)?);
            bar.inc(1);
        }
    }
    Ok(all)
}

/// On a terminal only; elsewhere nothing is drawn.
fn progress_bar() -> ProgressBar {
    let bar =
        ProgressBar::new(u64::from(ROUNDS) * SUBJECTS.len() as u64).with_finish(ProgressFinish::AndClear);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} rows  {msg}") {
        bar.set_style(style);
    }
    bar
}

fn json(rows: &[Row]) -> Result<String, Trouble> {
    let line = |row| serde_json::to_string(row).map(|line| line + "\n");
    rows.iter().map(line).collect::<Result<_, _>>().map_err(|error| Trouble::Output(error.into()))
}
