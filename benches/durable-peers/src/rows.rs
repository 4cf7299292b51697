//! What is done to each store.

mod awaiting;
mod blocked;
mod bulk;
mod lone;
mod restart;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::data::{Entries, Entry};
use crate::metric::{Figures, Metric};
use crate::store::{Place, Store};
use crate::{Peer, disk};

/// Calls in the first moments of a row are not counted.
const WARM_UP: Duration = Duration::from_millis(200);

/// Timers in a batch of the row of batches.
const BATCH: usize = 512;

/// A workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    Lone,
    Blocked64,
    Blocked512,
    Awaiting,
    Batches,
    Bulk,
    BulkOnce,
    Restart,
    /// Not in the table: what `Restart` opens is made once.
    Fill,
    /// Not in the table: some lone schedules, for `--check-syncs`.
    Count,
}

impl Row {
    /// Those of the table, in its order.
    pub(crate) const ALL: [Self; 8] = [
        Self::Lone,
        Self::Blocked64,
        Self::Blocked512,
        Self::Awaiting,
        Self::Batches,
        Self::Bulk,
        Self::BulkOnce,
        Self::Restart,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lone => "lone",
            Self::Blocked64 => "blocked-64",
            Self::Blocked512 => "blocked-512",
            Self::Awaiting => "awaiting",
            Self::Batches => "batches",
            Self::Bulk => "bulk",
            Self::BulkOnce => "bulk-once",
            Self::Restart => "restart",
            Self::Fill => "fill",
            Self::Count => "count",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().chain([Self::Fill, Self::Count]).find(|row| row.name() == name)
    }

    /// Which figures it gives.
    pub(crate) fn metrics(self) -> &'static [Metric] {
        match self {
            Self::Lone => lone::METRICS,
            Self::Blocked64 => blocked::METRICS_64,
            Self::Blocked512 => blocked::METRICS_512,
            Self::Awaiting => awaiting::METRICS,
            Self::Batches => lone::BATCH_METRICS,
            Self::Bulk => bulk::METRICS,
            Self::BulkOnce => bulk::ONCE_METRICS,
            Self::Restart => restart::METRICS,
            Self::Fill | Self::Count => &[],
        }
    }
}

/// One run of one row.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) row: Row,
    pub(crate) run: u64,
    /// How long the rows that go on for a while do.
    pub(crate) seconds: f64,
    pub(crate) place: Place,
}

impl Load {
    fn entries(&self, thread: u64) -> Entries {
        Entries::new(self.run, thread)
    }

    fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

/// The store said of timers that they were durable, and they are not all there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wrong;

/// What a row measured, and what the store said it has.
struct Outcome {
    figures: Figures,
    acknowledged: u64,
    /// Its name and the timer itself, where a row knows them.
    last: Option<(u64, Entry)>,
}

/// A run of a row, and then a look at what the store has kept.
pub(crate) fn measure(peer: &Peer, load: &Load) -> Result<Figures, Wrong> {
    let mut outcome = match load.row {
        Row::Lone => lone::run(&*(peer.open)(&load.place), load),
        Row::Blocked64 => blocked::run(&*(peer.open)(&load.place), load, 64),
        Row::Blocked512 => blocked::run(&*(peer.open)(&load.place), load, 512),
        Row::Awaiting => awaiting::run(load),
        Row::Batches => lone::run_batches(&*(peer.open)(&load.place), load),
        Row::Bulk => bulk::run(&*(peer.open)(&load.place), load, peer.bulk_max),
        Row::BulkOnce => bulk::run_once(&*(peer.open)(&load.place), load, peer.bulk_max),
        Row::Fill => bulk::fill(&*(peer.open)(&load.place), load),
        Row::Count => lone::count(&*(peer.open)(&load.place), load),
        Row::Restart => return restart::run(peer, load),
    };
    // A log alone has a file of the size it was told.
    if load.row == Row::Bulk && peer.has_index {
        let bytes = disk::allocated(&load.place.dir) as f64;
        outcome.figures.push((Metric::BulkBytes, bytes / outcome.acknowledged as f64));
    }
    // The row of syncs counts one opening only, and the first restart looks at what was filled.
    let is_there = matches!(load.row, Row::Count | Row::Fill) || kept(&*(peer.open)(&load.place), &outcome);
    if is_there { Ok(outcome.figures) } else { Err(Wrong) }
}

fn kept(store: &dyn Store, outcome: &Outcome) -> bool {
    if let Some((name, entry)) = &outcome.last
        && !store.holds(*name, entry)
    {
        eprintln!("the last timer is not there, or not as it was handed in");
        return false;
    }
    let found = store.load().len();
    if found != outcome.acknowledged {
        eprintln!("{found} timers of {} are there", outcome.acknowledged);
    }
    found == outcome.acknowledged
}
