//! The command line.

use std::path::PathBuf;

use crate::rows::{Load, Row};
use crate::store::Place;
use crate::{PEERS, Peer};

pub(crate) const HELP: &str = "\
cargo run --release -- [options]

  --runs N                   runs of each peer and row, an odd number (5)
  --seconds S                how long the rows of callers go on (3)
  --timers N                 timers of the row of bulk (1000000)
  --pending N                timers of the row of restarts (as --timers)
  --rows lone,blocked-64,..  these rows (lone,blocked-64,blocked-512,awaiting,batches,bulk,bulk-once,restart)
  --only ours,redb,..        these peers (ours,raft-engine,fjall,redb,sqlite,okaywal,redis,beanstalkd)
  --dir DIR                  on the disk that is asked about (the current directory)
  --check-syncs              no table of times: how often each peer syncs, counted by strace";

/// The first argument of the process of one run: `PEER ROW RUN SECONDS TIMERS DIR` follow.
const ONE_RUN: &str = "--one-run";

/// What the table is to hold.
pub(crate) struct Options {
    pub(crate) runs: u64,
    pub(crate) seconds: f64,
    pub(crate) timers: usize,
    pub(crate) pending: usize,
    pub(crate) rows: Vec<Row>,
    pub(crate) peers: Vec<Peer>,
    pub(crate) dir: PathBuf,
}

/// What the program is to do.
pub(crate) enum Asked {
    Table(Options),
    Syncs(Options),
    OneRun(Peer, Load),
}

pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut options = defaults();
    let mut pending = None;
    let mut only_syncs = false;
    while let Some(option) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{option} needs a value"));
        match option.as_str() {
            "--runs" => options.runs = odd(&value()?)?,
            "--seconds" => options.seconds = seconds(&value()?)?,
            "--timers" => options.timers = at_least_one(&value()?)?,
            "--pending" => pending = Some(at_least_one(&value()?)?),
            "--rows" => options.rows = list(&value()?, row)?,
            "--only" => options.peers = list(&value()?, peer)?,
            "--dir" => options.dir = value()?.into(),
            "--check-syncs" => only_syncs = true,
            ONE_RUN => return one_run([value()?, value()?, value()?, value()?, value()?, value()?]),
            _ => return Err(format!("there is no option {option}")),
        }
    }
    options.pending = pending.unwrap_or(options.timers);
    Ok(if only_syncs { Asked::Syncs(options) } else { Asked::Table(options) })
}

fn defaults() -> Options {
    Options {
        runs: 5,
        seconds: 3.0,
        timers: 1_000_000,
        pending: 1_000_000,
        rows: Row::ALL.to_vec(),
        peers: PEERS.to_vec(),
        dir: ".".into(),
    }
}

pub(crate) fn one_run_arguments(peer: &Peer, load: &Load) -> [String; 7] {
    let Load { row, run, seconds, place } = load;
    [
        ONE_RUN.into(),
        peer.name.into(),
        row.name().into(),
        run.to_string(),
        seconds.to_string(),
        place.timers.to_string(),
        place.dir.display().to_string(),
    ]
}

fn one_run([name, of, run, of_seconds, timers, dir]: [String; 6]) -> Result<Asked, String> {
    let row = row(&of)?;
    let place = Place { dir: dir.into(), timers: number(&timers)?, is_synced: row != Row::Fill };
    Ok(Asked::OneRun(peer(&name)?, Load { row, run: number(&run)?, seconds: seconds(&of_seconds)?, place }))
}

fn list<T>(text: &str, read: fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    text.split(',').map(read).collect()
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.replace('_', "").parse().map_err(|_| format!("{text} is no number"))
}

fn at_least_one(text: &str) -> Result<usize, String> {
    number(text).map(|count: usize| count.max(1))
}

fn odd(text: &str) -> Result<u64, String> {
    let runs: u64 = number(text)?;
    if runs.is_multiple_of(2) { Err(format!("{runs} runs have no middle one")) } else { Ok(runs) }
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = number(text)?;
    if seconds > 0.0 && seconds < 3_600.0 {
        Ok(seconds)
    } else {
        Err(format!("{text} s is no time to measure"))
    }
}

fn row(text: &str) -> Result<Row, String> {
    Row::named(text).ok_or(format!("there is no row {text}"))
}

fn peer(text: &str) -> Result<Peer, String> {
    Peer::named(text).ok_or(format!("there is no peer {text}"))
}
