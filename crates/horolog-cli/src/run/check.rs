//! `horolog run --check`: what the file says, and when each job runs next. Nothing is run or written.

use std::path::Path;

use horolog::{Clock, Misfire, StorageError, SystemClock};
use horolog_state::State;

use super::duration::show;
use super::file::{Job, Schedule};
use super::stored::{Definition, Stored, keys_of};
use crate::error::Trouble;
use crate::present::Present;
use crate::read_only;
use crate::render::{instant, say, table};

pub(super) fn check(jobs: &[Job], dir: &Path) -> Result<u8, Trouble> {
    let state = match read_only::recovered(dir, |found| found.state) {
        Ok(state) => Some(state),
        // Only this is a first start: a directory that cannot be looked into may hold jobs.
        Err(Trouble::Storage(StorageError::NotFound { .. })) => None,
        Err(trouble) => return Err(trouble),
    };
    let rows: Vec<Vec<String>> = jobs.iter().map(|job| row(job, state.as_ref())).collect();
    say(&table(&["job", "schedule", "missed", "timeout", "next run"], &rows))?;
    Ok(0)
}

fn row(job: &Job, state: Option<&State>) -> Vec<String> {
    let schedule = match job.schedule {
        Schedule::Every(interval) => format!("every {}", show(interval)),
        Schedule::At(at) => format!("at {at}"),
    };
    let missed = if job.missed == Misfire::Skip { "skip" } else { "once" };
    let timeout = job.timeout.map_or_else(|| "none".to_owned(), show);
    vec![job.name.clone(), schedule, missed.to_owned(), timeout, next(job, state)]
}

/// What is kept counts if its definition is the same; else the job begins anew.
fn next(job: &Job, state: Option<&State>) -> String {
    let kept = state.and_then(|state| {
        let timer = keys_of(&job.name).iter().find_map(|key| state.view(state.by_key(key.as_bytes())?))?;
        let stored: Stored = serde_json::from_slice(timer.payload).ok()?;
        (stored.definition == Definition::of(job)).then(|| match stored.done {
            true => "done".to_owned(),
            false => instant(Present::of(state).unix_ns(timer.due)),
        })
    });
    kept.unwrap_or_else(|| match job.schedule {
        Schedule::At(at) => instant(u128::try_from(at.as_nanosecond()).unwrap_or(0)),
        Schedule::Every(interval) => {
            let now_ns = u128::from(SystemClock::new().times().wall_ns);
            format!("{} (if started now)", instant(now_ns + interval.as_nanos()))
        }
    })
}
