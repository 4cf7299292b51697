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

use crate::data::{Load, Spread};
use crate::metric::{Figures, Metric, Wrong};
use crate::options::Rows;
use crate::queue::{SharedQueue, TimerQueue};

/// A workload, what it measures where the queue and the machine can do it, and how often it is repeated at most.
type Workload = (fn(&Load) -> Result<Figures, Wrong>, &'static [Metric], usize);

/// All workloads on one queue, alone and shared. `None`: the queue did wrong.
pub(crate) fn measure<Q: TimerQueue, S: SharedQueue>(
    load: &Load,
    rows: Rows,
) -> BTreeMap<Metric, Option<f64>> {
    let mut all = BTreeMap::new();
    if rows != Rows::Shared {
        all.extend(measure_alone::<Q>(load));
    }
    if rows != Rows::Alone {
        all.extend(measure_shared::<S>(load));
    }
    all
}

fn measure_shared<Q: SharedQueue>(load: &Load) -> BTreeMap<Metric, Option<f64>> {
    let workloads: [Workload; 4] = [
        (shared::insert::<Q, 1>, &[Metric::InsertOne], 100),
        (shared::insert::<Q, 2>, &[Metric::InsertTwo], 100),
        (shared::pair::<Q, 1>, &[Metric::PairOne], 5),
        (shared::pair::<Q, 2>, &[Metric::PairTwo], 5),
    ];
    figures(load, &workloads)
}

fn measure_alone<Q: TimerQueue>(load: &Load) -> BTreeMap<Metric, Option<f64>> {
    // More than a minute is long enough once, however few the timers are.
    let ticks_most = if load.spread == Spread::Minute { 20 } else { 1 };
    let workloads: [Workload; 17] = [
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
    ];
    let mut all = figures(load, &workloads);
    let parts = [Metric::Insert, Metric::Cancel, Metric::ExpireTicks];
    let sum = parts.iter().map(|part| all.get(part).copied().flatten()).sum();
    all.insert(Metric::Sum, sum);
    all
}

fn figures(load: &Load, workloads: &[Workload]) -> BTreeMap<Metric, Option<f64>> {
    let mut all = BTreeMap::new();
    for (workload, metrics, most) in workloads {
        match repeat(*workload, load, *most) {
            Ok(found) => all.extend(found.into_iter().map(|(metric, value)| (metric, Some(value)))),
            Err(Wrong) => all.extend(metrics.iter().map(|metric| (*metric, None))),
        }
    }
    all
}

/// The median of each figure.
fn repeat(
    workload: fn(&Load) -> Result<Figures, Wrong>,
    load: &Load,
    most: usize,
) -> Result<BTreeMap<Metric, f64>, Wrong> {
    let mut samples: BTreeMap<Metric, Vec<f64>> = BTreeMap::new();
    for _ in 0..load.repeats(most) {
        for (metric, value) in workload(load)? {
            samples.entry(metric).or_default().push(value);
        }
    }
    Ok(samples.into_iter().map(|(metric, values)| (metric, median(values))).collect())
}
