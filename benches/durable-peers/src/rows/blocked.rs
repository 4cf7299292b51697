//! Many threads, each of which blocks until its timer is durable, and goes on with the next.
#![expect(clippy::expect_used, reason = "a bench stops at the first error")]

use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use super::{Load, Outcome, WARM_UP};
use crate::clock::now;
use crate::data::Entries;
use crate::metric::Metric;
use crate::stat::Spans;
use crate::store::{Caller, Store};

pub(super) const METRICS_64: &[Metric] =
    &[Metric::Blocked64Rate, Metric::Blocked64Middle, Metric::Blocked64Tail];
pub(super) const METRICS_512: &[Metric] =
    &[Metric::Blocked512Rate, Metric::Blocked512Middle, Metric::Blocked512Tail];

/// From when to when calls count.
#[derive(Clone, Copy)]
pub(super) struct Window {
    warm: Instant,
    end: Instant,
}

impl Window {
    pub(super) fn new(load: &Load) -> Self {
        let warm = now() + WARM_UP;
        Self { warm, end: warm + load.duration() }
    }

    pub(super) fn is_open(&self) -> bool {
        now() < self.end
    }
}

/// What one caller did.
#[derive(Default)]
pub(super) struct Tally {
    acknowledged: u64,
    /// Calls answered in the window.
    counted: u64,
    /// Calls answered in the window or after it: who waits long, waits beyond its end.
    spans: Spans,
}

impl Tally {
    /// Notes a call that has just been answered.
    pub(super) fn note(&mut self, begin: Instant, window: &Window) {
        let answered = now();
        self.acknowledged += 1;
        if answered >= window.warm {
            let ns = answered.duration_since(begin).as_nanos();
            self.spans.push(u32::try_from(ns).unwrap_or(u32::MAX));
            self.counted += u64::from(answered < window.end);
        }
    }

    /// The figures of all callers: rate, p50, p99, in the order of `metrics`.
    pub(super) fn outcome(tallies: Vec<Self>, load: &Load, metrics: &[Metric]) -> Outcome {
        let mut all = Self::default();
        for tally in tallies {
            all.acknowledged += tally.acknowledged;
            all.counted += tally.counted;
            all.spans.append(tally.spans);
        }
        let rate = all.counted as f64 / load.seconds;
        let (middle, tail) = all.spans.middle_and_tail();
        let figures = metrics.iter().copied().zip([rate, middle, tail]).collect();
        Outcome { figures, acknowledged: all.acknowledged, last: None }
    }
}

pub(super) fn run(store: &dyn Store, load: &Load, threads: u64) -> Outcome {
    let start = &Barrier::new(usize::try_from(threads).expect("some threads"));
    let tallies = thread::scope(|scope| {
        let spawn = |thread| {
            let (mut caller, mut entries) = (store.caller(), load.entries(thread));
            scope.spawn(move || {
                start.wait();
                call(&mut *caller, &mut entries, Window::new(load))
            })
        };
        let callers: Vec<_> = (0..threads).map(spawn).collect();
        callers.into_iter().map(|caller| caller.join().expect("a caller")).collect()
    });
    let metrics = if threads == 64 { METRICS_64 } else { METRICS_512 };
    Tally::outcome(tallies, load, metrics)
}

fn call(caller: &mut dyn Caller, entries: &mut Entries, window: Window) -> Tally {
    let mut tally = Tally::default();
    while window.is_open() {
        let entry = entries.draw_one();
        let begin = now();
        caller.schedule(&entry);
        tally.note(begin, &window);
    }
    tally
}
