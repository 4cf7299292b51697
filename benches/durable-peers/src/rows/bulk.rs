//! Many timers at once, durable at the end.

use super::{Load, Outcome};
use crate::clock::now;
use crate::data::Entry;
use crate::metric::Metric;
use crate::store::Store;

/// With the bytes on disk, which are looked at when the store is closed.
pub(super) const METRICS: &[Metric] = &[Metric::BulkRate, Metric::BulkBytes];

/// Of the row in which who can syncs once.
pub(super) const ONCE_METRICS: &[Metric] = &[Metric::BulkOnceRate];

/// Timers are made in portions, so that ten millions need not be in memory.
const PORTION: usize = 100_000;

pub(super) fn run(store: &dyn Store, load: &Load, most: usize) -> Outcome {
    timed(load, most, Metric::BulkRate, |entries| store.bulk(entries))
}

pub(super) fn run_once(store: &dyn Store, load: &Load, most: usize) -> Outcome {
    timed(load, most, Metric::BulkOnceRate, |entries| store.bulk_once(entries))
}

fn timed(load: &Load, most: usize, rate: Metric, bulk: impl FnOnce(&[Entry])) -> Outcome {
    let entries = load.entries(0).draw_many(load.place.timers.min(most));
    let begin = now();
    bulk(&entries);
    let seconds = now().duration_since(begin).as_secs_f64();
    let figures = vec![(rate, entries.len() as f64 / seconds)];
    Outcome { figures, acknowledged: entries.len() as u64, last: None }
}

/// What the row of restarts opens.
pub(super) fn fill(store: &dyn Store, load: &Load) -> Outcome {
    let mut entries = load.entries(0);
    let mut left = load.place.timers;
    while left > 0 {
        let portion = entries.draw_many(left.min(PORTION));
        store.bulk(&portion);
        left -= portion.len();
    }
    store.tidy();
    Outcome { figures: Vec::new(), acknowledged: load.place.timers as u64, last: None }
}
