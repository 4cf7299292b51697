//! The engine's heart over a simulated disk and simulated clocks: what proves the promises of `docs/durability.md`.
//!
//! It is the real machine, the real log and the real recovery. What the threads of an engine do is done by one loop: it takes a
//! job, does it, reports it, lets time pass, crashes. So a run is a list of decisions (`step`), and the same list gives the
//! same run, byte for byte.
//!
//! Built for tests, and with the feature `simulation` for the programs of the package `horolog-tests`. Not for users.

mod anatomy;
mod commands;
mod crash;
mod damage;
pub mod enumerate;
mod evidence;
mod faults;
mod generate;
mod hands;
mod hits;
mod model;
mod node;
mod print;
mod rows;
mod run;
mod second_reader;
mod shrink;
mod slow;
mod step;
mod verdict;
mod world;

pub use generate::{Class, Size};
#[cfg(horolog_planted)]
pub use horolog_wal::planted;
pub(crate) use node::{Node, NotOpened, TICK_LEN};
#[cfg(test)]
pub(crate) use slow::SlowJournal;
pub use verdict::Counts;

use step::Step;

/// A run that broke a promise.
#[derive(Debug)]
pub struct Broken {
    /// Which one, and how.
    pub violation: String,
    /// The steps, a line each.
    pub trace: String,
}

/// The rows of the crash table that runs can reach.
#[must_use]
pub fn rows() -> &'static [&'static str] {
    &rows::ROWS
}

/// The effects of faults that runs can reach, each under its class F1 to F22.
#[must_use]
pub fn faults() -> &'static [&'static str] {
    &hits::HITS
}

/// Runs a seed, twice.
///
/// # Errors
///
/// What did not hold, with the steps as they were generated: see `shrink`.
pub fn run_seed(seed: u64, size: &Size) -> Result<Counts, Box<Broken>> {
    run_steps(&generate::generate(seed, size))
}

/// Runs a trace, twice.
///
/// # Errors
///
/// As [`run_seed`]; or the trace cannot be read.
pub fn run_trace(trace: &str) -> Result<Counts, Box<Broken>> {
    let steps =
        Step::parse_all(trace).map_err(|violation| Box::new(Broken { violation, trace: trace.into() }))?;
    run_steps(&steps)
}

/// Finds the smallest trace that breaks the same promise: no step of it can be left out, and no number can be smaller.
#[must_use]
pub fn shrink(broken: &Broken) -> Broken {
    let steps = Step::parse_all(&broken.trace).unwrap_or_default();
    let (steps, violation) = shrink::shrink(steps, &|steps| run::run_twice(steps).err());
    Broken {
        violation: violation.map_or_else(|| broken.violation.clone(), |it| it.to_string()),
        trace: text(&steps),
    }
}

fn run_steps(steps: &[Step]) -> Result<Counts, Box<Broken>> {
    let ended = run::run_twice(steps).map(|run| run.counts);
    ended.map_err(|violation| Box::new(Broken { violation: violation.to_string(), trace: text(steps) }))
}

fn text(steps: &[Step]) -> String {
    steps.iter().map(|step| format!("{step}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::run_trace;

    /// Each was shrunk from a run that broke a promise.
    const FOUND: [&str; 2] = [
        "world\nfail-name op=4 after=1\nfail-sync\nafter\nflush\nheal\nshutdown\ncrash cut=1",
        "world\nafter\nflush\nafter\ndamage how=3 at=26859 with=32620\nflush\nafter\ntake\nperform\n\
         cut-opening changes=13\ncrash",
    ];

    #[test]
    fn traces_that_broke_a_promise_break_none_any_more() {
        for trace in FOUND {
            run_trace(trace).unwrap_or_else(|broken| panic!("{}\n{trace}", broken.violation));
        }
    }

    #[test]
    fn a_trace_that_cannot_be_read_is_told() {
        assert!(
            run_trace("world\nno-such-step").is_err_and(|broken| broken.violation.contains("no-such-step"))
        );
    }
}
