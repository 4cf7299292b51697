//! What does one timer cost in the wheel: to insert, cancel, move and expire, beside 1 k, 100 k and 1 M others? With
//! `HOROLOG_BENCH_LARGE=1` beside 10 M as well.
//!
//! Deadlines are spread evenly over an hour of 1 ms ticks, or over a minute where timers expire; where a name says `log`, from
//! a tick to a day, as many in each doubling. Each figure is that of a `Timers`, so it has the slab's part in it. `fill` starts
//! from nothing and pays for memory; `insert`, `cancel` and `reschedule` go on in a wheel that holds its number all the time,
//! at random places of it, as a service would. `worst_tick` is not a mean: it is the longest of 60 000 one-tick advances, stalls
//! of the machine included. Lines beside it say how long nearly all of them take, and how long nothing does in a loop that only
//! reads the clock: what both have in their tail is the machine's. The first lines say how many bytes a timer has.

use std::cell::{Cell, RefCell};
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use horolog_benches::{DAY_TICKS, HOUR_TICKS, MINUTE_TICKS, Rng, print_tail, size};
use horolog_wheel::{Expired, Lane, Progress, Slab, Tick, TimerId, Timers, Wheel};

/// How many timers are pending.
fn sizes() -> &'static [usize] {
    let all = &[1_000, 100_000, 1_000_000, 10_000_000];
    let large = std::env::var_os("HOROLOG_BENCH_LARGE").is_some();
    all.get(..3 + usize::from(large)).unwrap_or_default()
}

/// Operations a sample of the steady-state benches: enough to forget the clock, too few to change the wheel.
const OPS: usize = 1_000;

/// When timers are due, from the start on.
type Deadlines = fn(&mut Rng) -> Tick;

fn in_a_minute(rng: &mut Rng) -> Tick {
    Tick(1 + rng.below(MINUTE_TICKS))
}

fn in_an_hour(rng: &mut Rng) -> Tick {
    Tick(1 + rng.below(HOUR_TICKS))
}

fn in_a_day_log(rng: &mut Rng) -> Tick {
    Tick(rng.log_up_to(DAY_TICKS))
}

/// A wheel with so many pending timers, and the means to keep it that way.
struct Full {
    timers: Timers,
    ids: Vec<TimerId>,
    rng: Rng,
    deadlines: Deadlines,
}

impl Full {
    fn new(count: usize, deadlines: Deadlines) -> Self {
        let (timers, ids, rng) = (Timers::new(Tick(0)), Vec::with_capacity(count), Rng::new());
        let mut full = Self { timers, ids, rng, deadlines };
        (0..count).for_each(|_| full.insert());
        full
    }

    fn deadline(&mut self) -> Tick {
        (self.deadlines)(&mut self.rng)
    }

    fn insert(&mut self) {
        let deadline = self.deadline();
        self.ids.extend(self.timers.insert(deadline, deadline.0));
    }

    /// Fills the wheel up to `count`, then picks.
    fn refill_and_pick(&mut self, count: usize) -> Vec<TimerId> {
        while self.ids.len() < count {
            self.insert();
        }
        self.pick()
    }

    /// Cancels timers at random; deadlines and words for as many.
    fn make_room(&mut self) -> Vec<(Tick, u64)> {
        let leaving = self.pick();
        self.cancel(&leaving);
        (0..leaving.len()).map(|_| (self.deadline(), 7)).collect()
    }

    /// Takes timers at random out of the list of ids; they are still in the wheel.
    fn pick(&mut self) -> Vec<TimerId> {
        let picks = OPS.min(self.ids.len());
        (0..picks)
            .map(|_| {
                let at = self.rng.index(self.ids.len());
                self.ids.swap_remove(at)
            })
            .collect()
    }

    fn insert_after(&mut self, now: u64) {
        let deadline = Tick(now + self.deadline().0);
        self.ids.extend(self.timers.insert(deadline, deadline.0));
    }

    /// Cancels a random one that is pending; those that have fired meanwhile are forgotten on the way.
    fn cancel_one(&mut self) {
        while !self.ids.is_empty() {
            let at = self.rng.index(self.ids.len());
            if self.timers.cancel(self.ids.swap_remove(at)).is_some() {
                return;
            }
        }
    }

    /// Timers at random, and where they go.
    fn moves(&mut self, deadline: impl Fn(&mut Rng) -> Tick) -> Vec<(TimerId, Tick)> {
        let Self { ids, rng, .. } = self;
        (0..OPS).filter_map(|_| Some((*ids.get(rng.index(ids.len()))?, deadline(rng)))).collect()
    }

    fn reschedule(&mut self, moves: Vec<(TimerId, Tick)>) {
        for (id, deadline) in moves {
            black_box(self.timers.reschedule(id, deadline));
        }
    }

    fn cancel(&mut self, ids: &[TimerId]) {
        for id in ids {
            black_box(self.timers.cancel(*id));
        }
    }
}

/// Prints how many bytes a timer takes: all memory of the wheel and the slab, divided.
fn bytes(_: &mut Criterion) {
    for &count in sizes() {
        let [minute, hour, log] = [in_a_minute as Deadlines, in_an_hour, in_a_day_log].map(|deadlines| {
            let timers = Full::new(count, deadlines).timers;
            timers.bytes() as f64 / timers.len() as f64
        });
        println!(
            "wheel/bytes/{}: over a minute {minute:.2}, an hour {hour:.2}, a day log {log:.2}",
            size(count)
        );
    }
}

fn fill(c: &mut Criterion) {
    fill_with(c, "wheel/fill", in_an_hour);
    fill_with(c, "wheel/fill_day_log", in_a_day_log);
}

fn fill_with(c: &mut Criterion, name: &str, deadlines: Deadlines) {
    let mut group = c.benchmark_group(name);
    for &count in sizes() {
        group.throughput(Throughput::Elements(count as u64));
        let mut rng = Rng::new();
        let deadlines: Vec<Tick> = (0..count).map(|_| deadlines(&mut rng)).collect();
        group.bench_function(BenchmarkId::from_parameter(size(count)), |b| {
            b.iter_with_large_drop(|| {
                let mut timers = Timers::new(Tick(0));
                for deadline in &deadlines {
                    black_box(timers.insert(*deadline, 7));
                }
                timers
            });
        });
    }
}

/// A bench of many operations on a wheel that is full, or had to give some timers up for them, in each size.
fn on_full<I>(
    c: &mut Criterion,
    name: &str,
    deadlines: Deadlines,
    prepare: impl Fn(&mut Full, usize) -> I,
    mut work: impl FnMut(&mut Full, I),
) {
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements(OPS as u64));
    for &count in sizes() {
        let full = RefCell::new(Full::new(count, deadlines));
        group.bench_function(BenchmarkId::from_parameter(size(count)), |b| {
            b.iter_batched(
                || prepare(&mut full.borrow_mut(), count),
                |input| work(&mut full.borrow_mut(), input),
                BatchSize::PerIteration,
            );
        });
    }
}

fn insert(c: &mut Criterion) {
    let make_room = |full: &mut Full, _| full.make_room();
    let one_by_one = |Full { timers, ids, .. }: &mut Full, new: Vec<(Tick, u64)>| {
        ids.extend(new.iter().filter_map(|(deadline, word)| timers.insert(*deadline, *word)));
    };
    on_full(c, "wheel/insert", in_an_hour, make_room, one_by_one);
    on_full(c, "wheel/insert_day_log", in_a_day_log, make_room, one_by_one);
    // The same, handed over 64 at a time.
    on_full(c, "wheel/insert_in_64s", in_an_hour, make_room, |Full { timers, ids, .. }, new| {
        for new in new.chunks(64) {
            black_box(timers.insert_many(new, ids));
        }
    });
}

/// A slab as it is after a restart: filled, and nothing is armed.
fn unarmed(count: usize) -> Slab {
    let (mut slab, mut rng) = (Slab::new(), Rng::new());
    for _ in 0..count {
        let entry = slab.reserve().map(|id| slab.occupy(id, Tick(1 + rng.below(HOUR_TICKS)), 7));
        debug_assert_eq!(entry, Some(Ok(())));
    }
    slab
}

/// Arms all of a million entries: `load`, and with `one_by_one` a loop of `insert` over their ids.
fn load(c: &mut Criterion) {
    let count = 1_000_000;
    let mut group = c.benchmark_group("wheel/load");
    group.throughput(Throughput::Elements(count as u64));
    let mut row = |name: String, arm: fn(&mut Wheel, &mut Slab)| {
        group.bench_function(name, |b| {
            b.iter_batched_ref(
                || (Wheel::new(Lane::First, Tick(0)), unarmed(count)),
                |(wheel, slab)| arm(wheel, slab),
                BatchSize::PerIteration,
            );
        });
    };
    row(size(count), |wheel, slab| {
        black_box(wheel.load(slab, |entry| Some(entry.deadline)));
    });
    row(format!("one_by_one/{}", size(count)), |wheel, slab| {
        let ids: Vec<TimerId> = slab.iter().map(|entry| entry.id).collect();
        for id in ids {
            let deadline = slab.get(id).map_or(Tick::ZERO, |entry| entry.deadline);
            black_box(wheel.insert(slab, id, deadline));
        }
    });
}

fn cancel(c: &mut Criterion) {
    on_full(c, "wheel/cancel", in_an_hour, Full::refill_and_pick, |full, leaving| full.cancel(&leaving));
    // The same, handed over 64 at a time.
    let mut words = Vec::new();
    on_full(c, "wheel/cancel_in_64s", in_an_hour, Full::refill_and_pick, |full, leaving| {
        for ids in leaving.chunks(64) {
            full.timers.cancel_many(ids, &mut words);
            black_box(&words);
            words.clear();
        }
    });
}

/// Of ten operations each inserts, nine cancel at random, and one lets time pass until something is due; what is due more
/// than one is inserted again, so that the number stays.
fn churn(c: &mut Criterion) {
    let mut group = c.benchmark_group("wheel/churn_minute");
    group.throughput(Throughput::Elements(OPS as u64));
    for &count in sizes() {
        let mut full = Full::new(count, in_a_minute);
        let mut expired: Vec<Expired> = Vec::new();
        let mut now = 0;
        group.bench_function(BenchmarkId::from_parameter(size(count)), |b| {
            b.iter(|| {
                for op in 0..OPS {
                    full.insert_after(now);
                    if op % 10 < 9 {
                        full.cancel_one();
                        continue;
                    }
                    while expired.is_empty() {
                        now += 1;
                        let progress = full.timers.advance(Tick(now), u32::MAX, &mut expired);
                        debug_assert_eq!(progress, Progress::Done);
                    }
                    (1..expired.len()).for_each(|_| full.insert_after(now));
                    expired.clear();
                }
            });
        });
    }
}

fn reschedule(c: &mut Criterion) {
    on_full(c, "wheel/reschedule", in_an_hour, |full, _| full.moves(in_an_hour), Full::reschedule);
    // Later than anything that is pending: a timeout that begins again.
    let rounds = Cell::new(0);
    let later = |full: &mut Full, _| {
        rounds.set(rounds.get() + 1);
        let later = Tick(DAY_TICKS + rounds.get());
        full.moves(|_| later)
    };
    on_full(c, "wheel/reschedule_later", in_an_hour, later, Full::reschedule);
}

/// Advances until that tick, so many ticks a call.
fn pass(timers: &mut Timers, until: u64, step: u64, mut at_each: impl FnMut()) {
    let mut expired: Vec<Expired> = Vec::new();
    for tick in (step..=until).step_by(usize::try_from(step).unwrap_or(usize::MAX)) {
        let progress = timers.advance(Tick(tick), u32::MAX, &mut expired);
        debug_assert_eq!(progress, Progress::Done);
        black_box(&expired);
        expired.clear();
        at_each();
    }
}

/// The calls are in the figure, also those at which nothing is due: 60 000 by ticks, whatever the number of timers, 60 or
/// 86 400 by thousands.
fn expire(c: &mut Criterion) {
    expire_with(c, "wheel/expire_minute_by_ticks", in_a_minute, MINUTE_TICKS, 1);
    expire_with(c, "wheel/expire_minute_by_1000s", in_a_minute, MINUTE_TICKS, 1_000);
    expire_with(c, "wheel/expire_day_log_by_1000s", in_a_day_log, DAY_TICKS, 1_000);
}

fn expire_with(c: &mut Criterion, name: &str, deadlines: Deadlines, until: u64, step: u64) {
    let mut group = c.benchmark_group(name);
    group.sample_size(10);
    for &count in sizes() {
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::from_parameter(size(count)), |b| {
            b.iter_batched_ref(
                || Full::new(count, deadlines).timers,
                |timers| pass(timers, until, step, || {}),
                BatchSize::PerIteration,
            );
        });
    }
}

/// All are due in one slot of level 2, and time comes to the last tick before it: each is moved once, to level 1, and none is
/// due.
fn cascade(c: &mut Criterion) {
    const SLOT_TICKS: u64 = 1 << 16;
    const SLOT_BEGINS: u64 = 4 * SLOT_TICKS;
    let in_the_slot = |rng: &mut Rng| Tick(SLOT_BEGINS + rng.below(SLOT_TICKS));
    expire_with(c, "wheel/cascade_move", in_the_slot, SLOT_BEGINS - 1, SLOT_BEGINS - 1);
}

#[expect(
    clippy::disallowed_methods,
    reason = "criterion reports means; the worst tick has to be timed by hand"
)]
fn clock() -> Instant {
    Instant::now()
}

/// Since the last call.
fn lap(last: &mut Instant) -> Duration {
    let now = clock();
    now - std::mem::replace(last, now)
}

fn worst_tick(c: &mut Criterion) {
    let mut group = c.benchmark_group("wheel/worst_tick_of_a_minute");
    group.sample_size(10);
    for &count in sizes().iter().skip(1) {
        let (mut ticks, mut idle) = (Vec::new(), Vec::new());
        group.bench_function(BenchmarkId::from_parameter(size(count)), |b| {
            b.iter_custom(|iterations| {
                (0..iterations).map(|_| time_ticks(count, &mut ticks, &mut idle)).sum()
            });
        });
        // Nothing, if the bench was not asked for.
        if !ticks.is_empty() {
            print_tail("a tick", ticks);
            print_tail("nothing", idle);
        }
    }
}

/// Adds how long each tick of a minute takes, and as often how long nothing does. Gives the worst tick.
fn time_ticks(count: usize, ticks: &mut Vec<u32>, idle: &mut Vec<u32>) -> Duration {
    let ns = |span: Duration| u32::try_from(span.as_nanos()).unwrap_or(u32::MAX);
    let mut timers = Full::new(count, in_a_minute).timers;
    // Not while it is timed: it may copy all that is there.
    ticks.reserve(60_000);
    idle.reserve(60_000);
    let (mut worst, mut last) = (Duration::ZERO, clock());
    pass(&mut timers, MINUTE_TICKS, 1, || {
        let span = lap(&mut last);
        worst = worst.max(span);
        ticks.push(ns(span));
    });
    lap(&mut last);
    (0..MINUTE_TICKS).for_each(|_| idle.push(ns(lap(&mut last))));
    worst
}

/// One call over 3.6 million ticks at which nothing happens. What is pending is due far beyond.
fn empty_hour(c: &mut Criterion) {
    let mut group = c.benchmark_group("wheel/empty_hour");
    for pending in [0, 1_000_000] {
        let mut timers = Timers::new(Tick(0));
        let mut rng = Rng::new();
        for _ in 0..pending {
            timers.insert(Tick((1 << 62) + rng.below(HOUR_TICKS)), 7);
        }
        let (mut now, mut expired) = (0, Vec::new());
        group.bench_function(BenchmarkId::from_parameter(size(pending)), |b| {
            b.iter(|| {
                now += HOUR_TICKS;
                timers.advance(Tick(now), u32::MAX, &mut expired)
            });
        });
        assert!(expired.is_empty(), "the hours were not empty");
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2));
    targets = bytes, fill, insert, load, cancel, reschedule, churn, expire, cascade, worst_tick, empty_hour
}
criterion_main!(benches);
