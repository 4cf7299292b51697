//! How many instructions does a timer take in the wheel: to insert, cancel, move and expire? Counted by Callgrind, so that
//! two runs of one build say the same, and a change shows at the first.
//!
//! Each bench does as many operations as its name says (`n_1000`, `n_100000`); what is made before and taken apart after
//! is not counted. All of it goes through `Timers`, so the slab's part is in it.
#![expect(
    missing_docs,
    clippy::disallowed_types,
    reason = "the macros make public modules, and can read counters of perf"
)]

use std::hint::black_box;

use gungraun::prelude::*;
use gungraun::{Callgrind, CallgrindMetrics, EventKind};
use horolog_instructions::{
    Churn, HOUR, LONGEST, Work, a_crowd_far_away, advance, full, half_cancelled, none_is_left, nothing,
    one_far_away, one_is_left, the_crowd_is_left, to_move, to_put_off,
};

#[library_benchmark]
#[bench::n_1000(args = (1_000), setup = nothing)]
#[bench::n_100000(args = (100_000), setup = nothing)]
fn insert_into_nothing(work: Box<Work>) -> Box<Work> {
    insert_all(work)
}

#[library_benchmark]
#[bench::n_1000(args = (1_000), setup = half_cancelled)]
#[bench::n_100000(args = (100_000), setup = half_cancelled)]
fn insert_after_cancels(work: Box<Work>) -> Box<Work> {
    insert_all(work)
}

#[inline]
fn insert_all(mut work: Box<Work>) -> Box<Work> {
    for deadline in &work.deadlines {
        black_box(work.timers.insert(*deadline, 7));
    }
    work
}

#[library_benchmark]
#[bench::n_1000(args = (1_000), setup = full, teardown = none_is_left)]
#[bench::n_100000(args = (100_000), setup = full, teardown = none_is_left)]
fn cancel(mut work: Box<Work>) -> Box<Work> {
    for id in &work.ids {
        black_box(work.timers.cancel(*id));
    }
    work
}

#[library_benchmark]
#[bench::n_1000(args = (1_000), setup = full, teardown = none_is_left)]
#[bench::n_100000(args = (100_000), setup = full, teardown = none_is_left)]
fn cancel_in_64s(mut work: Box<Work>) -> Box<Work> {
    for ids in work.ids.chunks(64) {
        work.timers.cancel_many(ids, &mut work.words);
        black_box(&mut work.words).clear();
    }
    work
}

#[library_benchmark]
#[bench::n_1000(args = (1_000), setup = to_move)]
#[bench::n_100000(args = (100_000), setup = to_move)]
fn reschedule(work: Box<Work>) -> Box<Work> {
    reschedule_all(work)
}

#[library_benchmark]
#[bench::n_1000(args = (1_000), setup = to_put_off)]
#[bench::n_100000(args = (100_000), setup = to_put_off)]
fn reschedule_later(work: Box<Work>) -> Box<Work> {
    reschedule_all(work)
}

#[inline]
fn reschedule_all(mut work: Box<Work>) -> Box<Work> {
    for (id, deadline) in work.ids.iter().zip(&work.deadlines) {
        black_box(work.timers.reschedule(*id, *deadline));
    }
    work
}

#[library_benchmark]
#[bench::n_1000(args = (1_000), setup = full, teardown = none_is_left)]
#[bench::n_100000(args = (100_000), setup = full, teardown = none_is_left)]
fn expire_by_ticks(work: Box<Work>) -> Box<Work> {
    expire_all(work, 1)
}

#[library_benchmark]
#[bench::n_1000(args = (1_000), setup = full, teardown = none_is_left)]
#[bench::n_100000(args = (100_000), setup = full, teardown = none_is_left)]
fn expire_by_1000s(work: Box<Work>) -> Box<Work> {
    expire_all(work, 1_000)
}

#[inline]
fn expire_all(mut work: Box<Work>, ticks: u64) -> Box<Work> {
    for call in 1..=LONGEST / ticks {
        advance(&mut work.timers, call * ticks, &mut work.expired);
        black_box(&mut work.expired).clear();
    }
    work
}

#[library_benchmark]
#[bench::n_1000(args = (1_000), setup = one_far_away, teardown = one_is_left)]
#[bench::n_100000(args = (100_000), setup = one_far_away, teardown = one_is_left)]
fn empty_tick(work: Box<Work>) -> Box<Work> {
    pass(work, 1)
}

#[library_benchmark]
#[bench::n_1000(args = (1_000), setup = a_crowd_far_away, teardown = the_crowd_is_left)]
#[bench::n_100000(args = (100_000), setup = a_crowd_far_away, teardown = the_crowd_is_left)]
fn empty_tick_beside_50_000(work: Box<Work>) -> Box<Work> {
    pass(work, 1)
}

#[library_benchmark]
#[bench::n_1000(args = (1_000), setup = one_far_away, teardown = one_is_left)]
#[bench::n_100000(args = (100_000), setup = one_far_away, teardown = one_is_left)]
fn empty_hour(work: Box<Work>) -> Box<Work> {
    pass(work, HOUR)
}

/// Lets nothing happen for so many ticks a call.
#[inline]
fn pass(mut work: Box<Work>, ticks: u64) -> Box<Work> {
    for call in 1..=work.count {
        advance(&mut work.timers, call * ticks, &mut work.expired);
    }
    work
}

#[library_benchmark]
#[bench::n_1000(args = (1_000), setup = full)]
#[bench::n_100000(args = (100_000), setup = full)]
fn next_wake(work: Box<Work>) -> Box<Work> {
    for _ in 0..work.count {
        black_box(black_box(&work.timers).next_wake());
    }
    work
}

#[library_benchmark]
#[bench::n_1000(args = (1_000), setup = Churn::new, teardown = Churn::has_kept_its_number)]
#[bench::n_100000(args = (100_000), setup = Churn::new, teardown = Churn::has_kept_its_number)]
fn churn(mut churn: Box<Churn>) -> Box<Churn> {
    for operation in 0..churn.count {
        churn.operate(operation);
    }
    churn
}

library_benchmark_group!(
    name = wheel,
    benchmarks = [
        insert_into_nothing,
        insert_after_cancels,
        cancel,
        cancel_in_64s,
        reschedule,
        reschedule_later,
        expire_by_ticks,
        expire_by_1000s,
        empty_tick,
        empty_tick_beside_50_000,
        empty_hour,
        next_wake,
        churn
    ]
);

/// Branches are counted too. The caches are of one size on every machine.
fn config() -> LibraryBenchmarkConfig {
    let shown = [
        CallgrindMetrics::from(EventKind::Ir),
        CallgrindMetrics::CacheMisses,
        EventKind::Bc.into(),
        EventKind::Bcm.into(),
        EventKind::EstimatedCycles.into(),
    ];
    let mut callgrind = Callgrind::with_args([
        "--branch-sim=yes",
        "--I1=32768,8,64",
        "--D1=32768,8,64",
        "--LL=8388608,16,64",
    ]);
    callgrind.format(shown);
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(callgrind);
    config
}

main!(config = config(), library_benchmark_groups = wheel);
