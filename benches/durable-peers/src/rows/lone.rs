//! One caller, one call at a time.

use super::{BATCH, Load, Outcome, WARM_UP};
use crate::clock::{now, ns_since};
use crate::disk::Raw;
use crate::metric::{Figures, Metric};
use crate::stat::Spans;
use crate::store::Store;

pub(super) const METRICS: &[Metric] = &[
    Metric::LoneMiddle,
    Metric::LoneTail,
    Metric::LoneRate,
    Metric::RawMiddle,
    Metric::RawTail,
    Metric::RawRate,
    Metric::LoneOverRaw,
];

pub(super) const BATCH_METRICS: &[Metric] =
    &[Metric::BatchesRate, Metric::BatchesMiddle, Metric::BatchesTail];

/// After each schedule, a write of the bare disk: both meet the same moments.
pub(super) fn run(store: &dyn Store, load: &Load) -> Outcome {
    let mut raw = Raw::beside(&load.place.dir);
    let mut entries = load.entries(0);
    let mut caller = store.caller();
    let (mut spans, mut raw_spans) = (Spans::default(), Spans::default());
    let warm = now() + WARM_UP;
    let end = warm + load.duration();
    let (mut acknowledged, mut last) = (0, None);
    while now() < end {
        let entry = entries.draw_one();
        let begin = now();
        let name = caller.schedule(&entry);
        let ns = ns_since(begin);
        let raw_begin = now();
        raw.write();
        let raw_ns = ns_since(raw_begin);
        acknowledged += 1;
        last = Some((name, entry));
        if begin >= warm {
            spans.push(ns);
            raw_spans.push(raw_ns);
        }
    }
    Outcome { figures: figures(spans, raw_spans), acknowledged, last }
}

fn figures(spans: Spans, raw_spans: Spans) -> Figures {
    let (rate, raw_rate) = (spans.rate(), raw_spans.rate());
    let (middle, tail) = spans.middle_and_tail();
    let (raw_middle, raw_tail) = raw_spans.middle_and_tail();
    let values = [middle, tail, rate, raw_middle, raw_tail, raw_rate, middle / raw_middle];
    METRICS.iter().copied().zip(values).collect()
}

/// One batch after the other.
pub(super) fn run_batches(store: &dyn Store, load: &Load) -> Outcome {
    let mut entries = load.entries(0);
    let mut caller = store.caller();
    let mut spans = Spans::default();
    let warm = now() + WARM_UP;
    let end = warm + load.duration();
    let mut acknowledged = 0;
    while now() < end {
        let batch = entries.draw_many(BATCH);
        let begin = now();
        caller.batch(&batch);
        let ns = ns_since(begin);
        acknowledged += batch.len() as u64;
        if begin >= warm {
            spans.push(ns);
        }
    }
    let rate = spans.rate() * BATCH as f64;
    let (middle, tail) = spans.middle_and_tail();
    let figures = BATCH_METRICS.iter().copied().zip([rate, middle, tail]).collect();
    Outcome { figures, acknowledged, last: None }
}

/// So many schedules and no more, for whoever counts the calls of the process.
pub(super) fn count(store: &dyn Store, load: &Load) -> Outcome {
    let mut caller = store.caller();
    for entry in load.entries(0).draw_many(load.place.timers) {
        caller.schedule(&entry);
    }
    Outcome { figures: Vec::new(), acknowledged: load.place.timers as u64, last: None }
}
