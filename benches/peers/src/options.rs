//! The command line.

use std::time::Duration;

use crate::data::{Load, Spread};
use crate::{PEERS, Peer};

pub(crate) const HELP: &str = "\
cargo run --release -- [options]

  --runs N                      runs of each peer (5)
  --sizes A,B,..                numbers of timers (1000,100000,1000000)
  --large                       10000000 timers as well
  --deadlines minute|hour|log   1-60 s, up to 1 h, 1 ms-24 h log-uniform (minute)
  --rows all|alone|shared       all rows, those of one thread, those of many (all)
  --only ours,heap,..           these peers (ours,heap,btree,delayqueue,tokio,hhwt,nexus,pingora)
                                tokio-alt is there if it was built with --cfg tokio_unstable
  --stop-after SECONDS          stops what takes longer, each row and its repeats for itself (never)";

/// The first argument of the process of one run: `PEER TIMERS RUN DEADLINES ROWS FROM` follow.
pub(crate) const ONE_RUN: &str = "--one-run";

/// Which workloads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    All,
    /// Those of one thread.
    Alone,
    /// Those of many.
    Shared,
}

impl Rows {
    const ALL: [Self; 3] = [Self::All, Self::Alone, Self::Shared];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Alone => "alone",
            Self::Shared => "shared",
        }
    }
}

/// What the tables are to hold.
pub(crate) struct Options {
    pub(crate) runs: u64,
    pub(crate) sizes: Vec<usize>,
    pub(crate) spread: Spread,
    pub(crate) rows: Rows,
    pub(crate) peers: Vec<Peer>,
    /// How long each workload may take.
    pub(crate) stop_after: Option<Duration>,
}

/// What the program is to do.
pub(crate) enum Asked {
    Tables(Options),
    /// The workloads from one on.
    OneRun(Peer, Load, Rows, usize),
}

pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut options = Options {
        runs: 5,
        sizes: vec![1_000, 100_000, 1_000_000],
        spread: Spread::Minute,
        rows: Rows::All,
        peers: PEERS.to_vec(),
        stop_after: None,
    };
    let mut is_large = false;
    while let Some(option) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{option} needs a value"));
        match option.as_str() {
            "--runs" => options.runs = number::<u64>(&value()?)?.max(1),
            "--sizes" => options.sizes = list(&value()?, number)?,
            "--large" => is_large = true,
            "--deadlines" => options.spread = spread(&value()?)?,
            "--rows" => options.rows = rows(&value()?)?,
            "--only" => options.peers = list(&value()?, peer)?,
            "--stop-after" => options.stop_after = Some(Duration::from_secs(number(&value()?)?)),
            ONE_RUN => return one_run([value()?, value()?, value()?, value()?, value()?, value()?]),
            _ => return Err(format!("there is no option {option}")),
        }
    }
    options.sizes.extend(is_large.then_some(10_000_000));
    Ok(Asked::Tables(options))
}

fn one_run([name, timers, run, deadlines, of, from]: [String; 6]) -> Result<Asked, String> {
    let load = Load { timers: number(&timers)?, run: number(&run)?, spread: spread(&deadlines)? };
    Ok(Asked::OneRun(peer(&name)?, load, rows(&of)?, number(&from)?))
}

fn list<T>(text: &str, read: fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    text.split(',').map(read).collect()
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.replace('_', "").parse().map_err(|_| format!("{text} is no number"))
}

fn spread(text: &str) -> Result<Spread, String> {
    let found = Spread::ALL.into_iter().find(|spread| spread.name() == text);
    found.ok_or(format!("there are no deadlines {text}"))
}

fn rows(text: &str) -> Result<Rows, String> {
    let found = Rows::ALL.into_iter().find(|rows| rows.name() == text);
    found.ok_or(format!("there are no rows {text}"))
}

fn peer(text: &str) -> Result<Peer, String> {
    Peer::named(text).ok_or(format!("there is no peer {text}"))
}
