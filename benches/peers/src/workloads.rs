//! What is done to each queue.

mod churn;
mod empty;
mod expire;
mod items;
mod rebuild;
mod residue;
mod shared;
mod steady;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use horolog_benches::compare::median;

use crate::Run;
use crate::data::{Load, Spread};
use crate::metric::{Figures, Metric, Wrong};
use crate::options::Rows;
use crate::queue::{SharedQueue, TimerQueue};

/// One thing that is done to a queue.
#[derive(Clone, Copy)]
pub(crate) struct Workload {
    run: fn(&Load) -> Result<Figures, Wrong>,
    /// What it measures, where the queue and the machine can do it.
    pub(crate) metrics: &'static [Metric],
    /// How often it is repeated at most.
    repeats_most: usize,
}

type Entry = (fn(&Load) -> Result<Figures, Wrong>, &'static [Metric], usize);

fn list(all: &[Entry]) -> Vec<Workload> {
    let workload = |&(run, metrics, repeats_most): &Entry| Workload { run, metrics, repeats_most };
    all.iter().map(workload).collect()
}

/// All workloads, on one queue alone and shared.
pub(crate) fn of<Q: TimerQueue, S: SharedQueue>(load: &Load, rows: Rows) -> Vec<Workload> {
    let alone = (rows != Rows::Shared).then(|| alone::<Q>(load)).into_iter().flatten();
    alone.chain(of_shared::<S>(load, rows)).collect()
}

/// Those of a queue that can be shared and nothing else.
pub(crate) fn of_shared<S: SharedQueue>(_: &Load, rows: Rows) -> Vec<Workload> {
    (rows != Rows::Alone).then(shared::<S>).unwrap_or_default()
}

fn shared<Q: SharedQueue>() -> Vec<Workload> {
    list(&[
        (shared::insert::<Q, 1>, &[Metric::InsertOne], 100),
        (shared::insert::<Q, 2>, &[Metric::InsertTwo], 100),
        (shared::pair::<Q, 1>, &[Metric::PairOne], 5),
        (shared::pair::<Q, 2>, &[Metric::PairTwo], 5),
    ])
}

fn alone<Q: TimerQueue>(load: &Load) -> Vec<Workload> {
    // More than a minute is long enough once, however few the timers are.
    let ticks_most = if load.spread == Spread::Minute { 20 } else { 1 };
    list(&[
        (steady::cancel::<Q>, steady::CANCEL_METRICS, 200),
        (steady::cancel_many::<Q>, &[Metric::CancelMany], 200),
        (steady::move_at_random::<Q>, &[Metric::MoveRandom], 200),
        (steady::move_later::<Q>, &[Metric::MoveLater], 200),
        (steady::singles::<Q>, &[Metric::InsertCycles, Metric::CancelCycles], 1),
        (rebuild::run::<Q>, &[Metric::Rebuild, Metric::RebuildArm], 200),
        (expire::by_ticks::<Q>, &[Metric::ExpireTicks, Metric::ExpireTick], ticks_most),
        (expire::by_jumps::<Q>, &[Metric::ExpireJumps], ticks_most),
        (expire::at_once::<Q>, &[Metric::ExpireOnce], ticks_most),
        (expire::worst_tick::<Q>, expire::WORST_METRICS, 1),
        (items::worst_tick::<Q>, &[Metric::ItemsDue, Metric::ItemsMost, Metric::ItemsBeyond], 1),
        (churn::one_by_one::<Q>, &[Metric::Churn], 1),
        (churn::in_64s::<Q>, &[Metric::ChurnMany], 1),
        (churn::memory::<Q>, &[Metric::ChurnBytesPeak, Metric::ChurnBytes], 1),
        (residue::run::<Q>, &[Metric::Residue], 1),
        (empty::run::<Q>, &[Metric::EmptyHour, Metric::EmptyTick], 1),
        (empty::resident::<Q>, &[Metric::EmptyTickFull], 5),
    ])
}

impl Workload {
    /// What it measures; each figure is the median of the repeats. `None`: the queue did wrong.
    pub(crate) fn measure(&self, load: &Load) -> Run {
        match self.repeat(load) {
            Ok(found) => found.into_iter().map(|(metric, value)| (metric, Some(value))).collect(),
            Err(Wrong) => self.all(None),
        }
    }

    /// It was stopped before its end.
    pub(crate) fn stopped(&self) -> Run {
        self.all(Some(f64::INFINITY))
    }

    fn all(&self, value: Option<f64>) -> Run {
        self.metrics.iter().map(|metric| (*metric, value)).collect()
    }

    fn repeat(&self, load: &Load) -> Result<BTreeMap<Metric, f64>, Wrong> {
        let mut samples: BTreeMap<Metric, Vec<f64>> = BTreeMap::new();
        for _ in 0..load.repeats(self.repeats_most) {
            for (metric, value) in (self.run)(load)? {
                samples.entry(metric).or_default().push(value);
            }
        }
        Ok(samples.into_iter().map(|(metric, values)| (metric, median(values))).collect())
    }
}
