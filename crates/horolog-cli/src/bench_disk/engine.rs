//! What the engine makes of the disk, by calls that every program can make.
//!
//! Each row opens an engine of its own, as it is by default, and shuts it down before the next: no thread of it is left
//! that could write while something else is measured.

use std::collections::VecDeque;
use std::panic::resume_unwind;
use std::path::Path;
use std::thread;
use std::time::Duration;

use horolog::{Engine, ScheduleError, ScheduleFault, Ticket, Timer, TimerId, Unavailable};
use horolog_wal::{LogOptions, read_log};

use super::limit::Limit;
use super::row::{Outcome, Round};
use super::stopwatch::{Stopwatch, one_by_one};
use crate::error::Trouble;
use crate::read_only::{at, storage};

pub(super) const THREADS: u64 = 8;

/// A lone record takes a block of the log.
const BLOCK_BYTES: u64 = 4096;

/// More than the record of a timer takes among many.
const RECORD_BYTES_MAX: u64 = 256;

/// Timers that are handed in without waiting, in one row: what they need of memory is bounded.
const SUBMITTED_MAX: u64 = 1 << 20;

/// Every so many timers a ticket is kept, to wait for when there is no room, and the time is looked at.
const STRIDE: u64 = 256;

/// Each call waits until its record is durable.
pub(super) fn schedule(dir: &Path, limit: Limit) -> Result<Outcome, Trouble> {
    with_engine(dir, |engine| {
        let samples_ns = schedule_one_by_one(engine, limit.time(), limit.count_of(BLOCK_BYTES))?;
        Ok(Round::one_by_one(samples_ns, 0))
    })
}

/// The same by several threads at once, whose records share syncs.
pub(super) fn blocked(dir: &Path, limit: Limit) -> Result<Outcome, Trouble> {
    with_engine(dir, |engine| {
        let watch = Stopwatch::start();
        let samples_ns = all_schedule(engine, limit)?;
        Ok(Round { took_ns: watch.ns(), calls: samples_ns.len() as u64, samples_ns, bytes: 0 })
    })
}

fn all_schedule(engine: &Engine, limit: Limit) -> Result<Vec<u64>, Trouble> {
    let caller = || schedule_one_by_one(engine, limit.time(), limit.count_of(BLOCK_BYTES * THREADS));
    thread::scope(|scope| {
        let callers: Vec<_> =
            (0..THREADS).map(|_| thread::Builder::new().spawn_scoped(scope, caller)).collect();
        let mut samples_ns = Vec::new();
        for caller in callers {
            let caller = caller.map_err(|source| Trouble::System { what: "start a thread", source })?;
            samples_ns.extend(caller.join().unwrap_or_else(|panic| resume_unwind(panic))?);
        }
        Ok(samples_ns)
    })
}

/// One thread that hands in timers without waiting, until all of them are durable.
pub(super) fn submit(dir: &Path, limit: Limit) -> Result<Outcome, Trouble> {
    let timers_max = limit.count_of(RECORD_BYTES_MAX).min(SUBMITTED_MAX);
    with_engine(dir, |engine| {
        let watch = Stopwatch::start();
        let calls = submit_until(engine, |calls| calls >= timers_max || watch.has_reached(limit.time()))?;
        Ok(Round { samples_ns: Vec::new(), calls, bytes: 0, took_ns: watch.ns() })
    })
}

/// How many it were. When the last one is durable, so is what came before it.
fn submit_until(engine: &Engine, is_enough: impl Fn(u64) -> bool) -> Result<u64, Trouble> {
    let mut on_their_way = VecDeque::new();
    let mut calls = 0;
    while !is_enough(calls) {
        for _ in 1..STRIDE {
            submit_one(engine, &mut on_their_way)?;
        }
        let last = submit_one(engine, &mut on_their_way)?;
        on_their_way.push_back(last);
        calls += STRIDE;
    }
    if let Some(last) = on_their_way.back() {
        last.wait().map_err(Trouble::engine)?;
    }
    Ok(calls)
}

fn with_engine(dir: &Path, work: impl FnOnce(&Engine) -> Result<Round, Trouble>) -> Result<Outcome, Trouble> {
    let engine = Engine::open(dir).map_err(Trouble::Open)?;
    let round = work(&engine)?;
    engine.shutdown(Duration::ZERO).map_err(Trouble::engine)?;
    Ok(Outcome::Measured(Round { bytes: log_bytes(dir)?, ..round }))
}

fn schedule_one_by_one(engine: &Engine, time: Duration, calls_max: u64) -> Result<Vec<u64>, Trouble> {
    one_by_one(time, calls_max, || engine.schedule(in_a_day()).map(|_| ()).map_err(Trouble::engine))
}

/// While too much is on its way to the disk, waits for what has been longest.
fn submit_one(
    engine: &Engine,
    on_their_way: &mut VecDeque<Ticket<TimerId>>,
) -> Result<Ticket<TimerId>, Trouble> {
    let mut timer = in_a_day();
    loop {
        let refused = match engine.submit(timer) {
            Ok(ticket) => return Ok(ticket),
            Err(ScheduleError::NotScheduled(refused)) => refused,
            Err(unknown) => return Err(Trouble::engine(unknown)),
        };
        let busy = matches!(refused.fault, ScheduleFault::Unavailable(Unavailable::Busy { .. }));
        match on_their_way.pop_front().filter(|_| busy) {
            Some(oldest) => oldest.wait().map_err(Trouble::engine)?,
            None => return Err(Trouble::engine(refused)),
        };
        timer = *refused.timer;
    }
}

/// Nothing fires while it is measured.
fn in_a_day() -> Timer {
    Timer::after(Duration::from_secs(24 * 3600)).payload([0x5a; 64])
}

/// What the records of an engine that was shut down took, whole blocks, without what is only prepared. Of segments that a
/// snapshot made unnecessary, as many bytes a record are assumed as of those that are left.
fn log_bytes(dir: &Path) -> Result<u64, Trouble> {
    let storage = storage(dir)?;
    let log = read_log(&storage, &LogOptions::default()).map_err(|source| at(dir, source.into()))?;
    let left: u64 =
        log.segments.iter().filter(|segment| segment.batches > 0).map(|segment| segment.end_offset).sum();
    let records_left = (log.valid.0 + 1).saturating_sub(log.first_lsn.0).max(1);
    let all = u128::from(left) * u128::from(log.valid.0) / u128::from(records_left);
    Ok(u64::try_from(all).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_too_much_is_on_its_way_the_submitter_waits_and_goes_on() {
        let dir = tempfile::tempdir().expect("a directory");
        let small = horolog::Options::new().buffer_bytes_max(64 << 10).payload_bytes_max(1_000);
        let engine = small.open(dir.path()).expect("an engine");
        let calls = submit_until(&engine, |calls| calls >= 10_000).expect("all of them");
        let stats = engine.stats();
        assert_eq!((stats.timers, stats.unsynced_bytes), (calls, 0));
    }
}
