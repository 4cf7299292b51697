//! `horolog drill`: kill a process again and again, and check every promise.
//!
//! ```text
//! parent  start ── wait for an instant ── SIGKILL ── read the ledger ── start …  judge
//! child   open ── schedule, cancel, complete at full speed, write acknowledgements down ── ✝
//! ```

pub(crate) mod child;
mod figures;
mod ledger;
mod parent;
mod payload;
mod place;
mod plan;
mod table;
mod verdict;

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use horolog::{Clock, Engine, SystemClock};
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::DrillArgs;
use crate::error::Trouble;
use crate::read_only;
use crate::render::say;
use parent::Parent;
use place::Place;
use table::Outcome;
use verdict::{Verdict, Violation};

pub(crate) fn drill(args: &DrillArgs) -> Result<u8, Trouble> {
    let clock = SystemClock::new();
    let begun_ns = clock.times().boottime_ns;
    let place = Place::new(args.dir.as_deref())?;
    let mut parent = Parent::new(args, &place, progress_bar(args.timers));
    parent.run()?;
    let dead = settle(&mut parent.verdict, &place.timers(), args.seed);
    let verdict = &parent.verdict;
    let outcome = Outcome {
        held: verdict.violations_total() == 0,
        seed: args.seed,
        timers: args.timers,
        kills: parent.kills,
        took_ms: (clock.times().boottime_ns - begun_ns) / 1_000_000,
        dir: args.dir.as_ref().map(|_| place.dir()),
        dir_bytes: read_only::bytes_of(&place.timers()).unwrap_or(0),
        dead,
        counts: verdict.counts,
        summary: parent.figures.summary(),
        violations_total: verdict.violations_total(),
        violations: verdict.violations().iter().map(ToString::to_string).collect(),
    };
    print(&outcome, args.json)?;
    Ok(u8::from(!outcome.held))
}

fn print(outcome: &Outcome<'_>, json: bool) -> Result<(), Trouble> {
    let text = if json {
        outcome.json().map_err(|error| Trouble::Output(error.into()))? + "\n"
    } else {
        outcome.text()
    };
    say(&text)
}

/// On a terminal only; elsewhere nothing is drawn.
fn progress_bar(timers: u64) -> ProgressBar {
    let bar = ProgressBar::new(timers);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} timers  {msg}") {
        bar.set_style(style);
    }
    bar
}

/// After the last life: the directory is sound, opens once more, and holds nothing but what was given up. Says how many
/// that are.
fn settle(verdict: &mut Verdict, timers: &Path, seed: u64) -> u64 {
    // A life that ended as it should not leaves nothing to be judged by its absence.
    if verdict
        .violations()
        .iter()
        .any(|violation| matches!(violation, Violation::Died { .. } | Violation::Stalled { .. }))
    {
        return 0;
    }
    let last_look = read_only::recovered(timers, |_| ()).and_then(|_| open_once_more(timers, seed));
    let sound_after = |left| read_only::recovered(timers, |_| ()).map(|()| left);
    match last_look.and_then(sound_after) {
        Ok(Leftover { timers, dead }) => {
            verdict.finish(&dead);
            if timers > dead.len() as u64 {
                verdict.charge(Violation::Left { timers: timers - dead.len() as u64 });
            }
            dead.len() as u64
        }
        Err(trouble) => {
            verdict.charge(Violation::Unsound { words: trouble.report() });
            0
        }
    }
}

/// What one more opening finds.
struct Leftover {
    timers: u64,
    /// Serial numbers of what was given up.
    dead: HashSet<u64>,
}

fn open_once_more(timers: &Path, seed: u64) -> Result<Leftover, Trouble> {
    let engine = Engine::open(timers).map_err(Trouble::Open)?;
    let serial_of = |payload: &[u8]| payload::decode(seed, payload).map(|claim| claim.serial);
    let dead = engine.dead().iter().filter_map(|dead| serial_of(&dead.payload)).collect();
    let leftover = Leftover { timers: engine.stats().timers, dead };
    engine.shutdown(Duration::ZERO).map_err(Trouble::engine)?;
    Ok(leftover)
}
