//! What does one timer cost when threads share the queue: to insert, to cancel at once, to cancel from elsewhere? And how
//! long can an insert take? With `HOROLOG_BENCH_LARGE=1` the inserts are of 5 M timers as well.
//!
//! Deadlines are spread evenly over a minute of 1 ms ticks. Times are those of all threads together, from the first one's
//! begin to the last one's end, divided by all timers: two producers that do not hinder each other have half of one's
//! figure. Beside them the main thread is the owner: it lets time pass, sets the alarm and sleeps by it. `floor` is a
//! `Timers` in one thread, no lock, no owner; `one_lock` is `SharedTimers` with one shard, `shards` with one a processor.
//!
//! Two producers want two processors that nobody else uses: on one of them they take turns, and what looks like one lock
//! that is as good as two shards is two threads that never met. The last line of a row says how often the owner woke. **With
//! a real-time priority (`chrt -f`) two producers on two processors do not let it**: such a row has no owner in it.
#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "times over several threads are taken here, and the owner sleeps; a bench stops at the first error"
)]

use std::cell::Cell;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Bencher, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use horolog_benches::{MINUTE_TICKS, Rng, print_tail, size};
use horolog_wheel::{Progress, SharedOptions, SharedTimers, Tick, TimerId, TimerService, Timers};

/// How many timers are inserted into an empty queue.
fn sizes() -> &'static [usize] {
    let all = &[1_000_000, 5_000_000];
    let large = std::env::var_os("HOROLOG_BENCH_LARGE").is_some();
    all.get(..1 + usize::from(large)).unwrap_or_default()
}

/// Pairs of insert and cancel, of all threads together.
const PAIRS: usize = 1_000_000;

/// Timers that are pending beside the pairs, so that the owner has something to do each millisecond.
const OTHERS: usize = 100_000;

const TICK: Duration = Duration::from_millis(1);

fn delays(count: usize) -> Vec<u64> {
    let mut rng = Rng::new();
    (0..count).map(|_| 1 + rng.below(MINUTE_TICKS)).collect()
}

/// Timers whose owner is this thread. 0 shards: as many as there are processors.
fn timers(shards: usize) -> SharedTimers {
    let owner = thread::current();
    let options = SharedOptions::new().ring(move || owner.unpark());
    let options = if shards == 0 { options } else { options.shards(shards) };
    options.build(Tick(0))
}

fn insert(timers: &SharedTimers, delay: u64) -> TimerId {
    timers.insert(Tick(timers.now().0 + delay), 7).expect("there is room")
}

/// Does work in threads that start together, and `meanwhile` in this one for as long as it is told to go on. What the
/// threads took, from the first one's begin to the last one's end.
fn together<W: FnOnce() + Send>(works: Vec<W>, meanwhile: impl FnOnce(&dyn Fn() -> bool)) -> Duration {
    let (start, at_work) = (Barrier::new(works.len()), AtomicUsize::new(works.len()));
    let this = thread::current();
    let run = |work: W| {
        start.wait();
        let begin = Instant::now();
        work();
        let end = Instant::now();
        at_work.fetch_sub(1, Ordering::Release);
        this.unpark();
        (begin, end)
    };
    thread::scope(|scope| {
        let threads: Vec<_> = works.into_iter().map(|work| scope.spawn(|| run(work))).collect();
        meanwhile(&|| at_work.load(Ordering::Acquire) > 0);
        let spans: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("its work")).collect();
        let begin = spans.iter().map(|(begin, _)| *begin).min().expect("a thread");
        let end = spans.iter().map(|(_, end)| *end).max().expect("a thread");
        end - begin
    })
}

/// What an owner does: lets time pass, and sleeps until there is something to do. How often it woke, and what it fired.
fn own(timers: &SharedTimers, goes_on: &dyn Fn() -> bool) -> (usize, usize) {
    let (began, mut expired) = (Instant::now(), Vec::new());
    let (mut wakes, mut fired) = (0, 0);
    while goes_on() {
        wakes += 1;
        let now = Tick(u64::try_from(began.elapsed().as_millis()).expect("not so long"));
        while timers.advance(now, 1_024, &mut expired) == Progress::More {}
        fired += expired.drain(..).count();
        let until =
            |tick: Tick| (TICK * u32::try_from(tick.0).unwrap_or(u32::MAX)).saturating_sub(began.elapsed());
        thread::park_timeout(timers.set_alarm().map_or(Duration::MAX, until));
    }
    (wakes, fired)
}

/// How often the owner woke, over all runs of a row.
#[derive(Default)]
struct Owner {
    wakes: Cell<usize>,
    time: Cell<Duration>,
}

impl Owner {
    /// Work in threads beside this owner.
    fn beside<W: FnOnce() + Send>(&self, timers: &SharedTimers, works: Vec<W>) -> Duration {
        let took = together(works, |goes_on| self.wakes.set(self.wakes.get() + own(timers, goes_on).0));
        self.time.set(self.time.get() + took);
        took
    }

    fn report(&self) {
        if self.wakes.get() > 0 {
            println!("    the owner woke {} times in {} ms", self.wakes.get(), self.time.get().as_millis());
        }
    }
}

/// Adds up what so many runs take.
fn sum(b: &mut Bencher<'_>, mut run: impl FnMut() -> Duration) {
    b.iter_custom(|iterations| (0..iterations).map(|_| run()).sum());
}

fn inserts(c: &mut Criterion) {
    let mut group = c.benchmark_group("front/insert");
    for &count in sizes() {
        group.throughput(Throughput::Elements(count as u64));
        let delays = delays(count);
        group.bench_function(BenchmarkId::new("floor", size(count)), |b| sum(b, || insert_alone(&delays)));
        for (name, shards) in [("one_lock", 1), ("shards", 0)] {
            for producers in [1, 2] {
                let id = BenchmarkId::new(format!("{name}/{producers}"), size(count));
                let owner = Owner::default();
                group.bench_function(id, |b| sum(b, || insert_all(&owner, shards, producers, &delays)));
                owner.report();
            }
        }
    }
}

fn insert_alone(delays: &[u64]) -> Duration {
    let mut timers = Timers::new(Tick(0));
    let begin = Instant::now();
    for delay in delays {
        black_box(timers.insert(Tick(*delay), 7));
    }
    begin.elapsed()
}

fn insert_all(owner: &Owner, shards: usize, producers: usize, delays: &[u64]) -> Duration {
    let timers = timers(shards);
    let produce = |part: &[u64]| part.iter().for_each(|delay| _ = black_box(insert(&timers, *delay)));
    let parts = delays.chunks(delays.len().div_ceil(producers));
    owner.beside(&timers, parts.map(|part| move || produce(part)).collect())
}

/// As a request with a timeout does. `idle`: nothing else is pending, so the owner sleeps without an end, and each new timer
/// that meets it asleep rings.
fn pairs(c: &mut Criterion) {
    let mut group = c.benchmark_group("front/insert_and_cancel");
    group.throughput(Throughput::Elements(PAIRS as u64));
    for (name, shards, others) in [("one_lock", 1, OTHERS), ("shards", 0, OTHERS), ("shards_idle", 0, 0)] {
        for producers in [1, 2] {
            let (owner, delays) = (Owner::default(), delays(others));
            group.bench_function(format!("{name}/{producers}"), |b| {
                sum(b, || {
                    let timers = timers(shards);
                    delays.iter().for_each(|delay| _ = insert(&timers, *delay));
                    let pair = |delay| timers.cancel(insert(&timers, delay)).is_some();
                    owner.beside(&timers, pair_works(producers, pair))
                });
            });
            owner.report();
        }
    }
}

/// The work of so many producers. All pairs have a second at least, so a cancel is never too late.
fn pair_works<P>(producers: usize, pair: P) -> Vec<impl FnOnce() + Send>
where
    P: Fn(u64) -> bool + Copy + Send,
{
    let delays: Vec<u64> = delays(4_096).iter().map(|delay| 1_000 + delay).collect();
    let count = PAIRS / producers;
    let work = |_| {
        let delays = delays.clone();
        move || {
            let cancelled = delays.iter().cycle().take(count).filter(|delay| pair(**delay)).count();
            assert_eq!(cancelled, count);
        }
    };
    (0..producers).map(work).collect()
}

/// One thread cancels at random what another has made: a shard that is not its own. `beside_inserts`: and the other goes on
/// inserting. The time is the canceller's.
fn cancels(c: &mut Criterion) {
    const COUNT: usize = 1_000_000;
    let mut group = c.benchmark_group("front/cancel_of_another_thread");
    group.throughput(Throughput::Elements(COUNT as u64));
    let delays: Vec<u64> = delays(COUNT).iter().map(|delay| 1_000 + delay).collect();
    for (name, shards, goes_on) in
        [("alone", 0, false), ("beside_inserts", 0, true), ("one_lock_beside_inserts", 1, true)]
    {
        group.bench_function(name, |b| sum(b, || cancel_all(shards, &delays, goes_on)));
    }
}

fn cancel_all(shards: usize, delays: &[u64], goes_on: bool) -> Duration {
    let timers = &timers(shards);
    let (ids, made) = mpsc::channel::<Vec<TimerId>>();
    let (start, is_over, owner) = (&Barrier::new(2), &AtomicBool::new(false), thread::current());
    let make = move || {
        ids.send(delays.iter().map(|delay| insert(timers, *delay)).collect()).expect("it is awaited");
        start.wait();
        let more = delays.iter().cycle().take_while(|_| goes_on && !is_over.load(Ordering::Relaxed));
        more.for_each(|delay| _ = black_box(insert(timers, *delay)));
    };
    let cancel = move || {
        let made = shuffled(made.recv().expect("they are made"));
        start.wait();
        let begin = Instant::now();
        let cancelled = made.iter().filter(|id| timers.cancel(**id).is_some()).count();
        let took = begin.elapsed();
        is_over.store(true, Ordering::Release);
        owner.unpark();
        assert_eq!(cancelled, delays.len());
        took
    };
    thread::scope(|scope| {
        scope.spawn(make);
        let canceller = scope.spawn(cancel);
        own(timers, &|| !is_over.load(Ordering::Acquire));
        canceller.join().expect("its work")
    })
}

fn shuffled(mut ids: Vec<TimerId>) -> Vec<TimerId> {
    let mut rng = Rng::new();
    for at in 0..ids.len() {
        let other = at + rng.index(ids.len() - at);
        ids.swap(at, other);
    }
    ids
}

/// The pair with a clock, a value and a thread of its own. Beside others, and (`idle`) beside none.
fn service(c: &mut Criterion) {
    let mut group = c.benchmark_group("front/service_after_and_cancel");
    group.throughput(Throughput::Elements(PAIRS as u64));
    for (name, others) in [("service", OTHERS), ("service_idle", 0)] {
        for producers in [1, 2] {
            let service = TimerService::start(TICK, |_, value: u64| _ = black_box(value)).expect("a thread");
            let after = |ms| service.after(Duration::from_millis(ms), ms).expect("there is room");
            // Within an hour: the row takes longer than a minute.
            delays(others).iter().for_each(|delay| _ = after(60 * delay));
            let pair = |delay| service.cancel(after(delay)).is_some();
            group.bench_function(format!("{name}/{producers}"), |b| {
                sum(b, || together(pair_works(producers, pair), |_| {}));
            });
        }
    }
}

/// How long one insert can take while the owner fires 100 timers each millisecond, and beside it how long nothing takes: a
/// clock is read before and after. What is inserted is cancelled outside of the time.
fn latency(_: &mut Criterion) {
    const FOR: Duration = Duration::from_secs(2);
    const EACH_MS: u64 = 100;
    let timers = timers(0);
    for tick in 1..=2 * u64::try_from(FOR.as_millis()).expect("seconds") {
        (0..EACH_MS).for_each(|_| _ = timers.insert(Tick(tick), 7));
    }
    let mut spans = Vec::new();
    let time_inserts = || {
        spans = time_each(FOR, || insert(&timers, 5_000), |id| assert!(timers.cancel(id).is_some()));
    };
    let mut fired = 0;
    let took = together(vec![time_inserts], |goes_on| fired = own(&timers, goes_on).1);
    println!(
        "front/insert_latency: the owner fired {:.0} timers a second",
        fired as f64 / took.as_secs_f64()
    );
    print_tail("an insert", spans);
    print_tail("nothing", time_each(FOR, || (), |()| ()));
}

fn time_each<R>(whole: Duration, work: impl Fn() -> R, after: impl Fn(R)) -> Vec<u32> {
    let mut spans = vec![0; 1 << 26];
    spans.clear();
    let began = Instant::now();
    while spans.len() < spans.capacity() {
        let before = Instant::now();
        let done = work();
        let end = Instant::now();
        spans.push(u32::try_from((end - before).as_nanos()).unwrap_or(u32::MAX));
        after(done);
        if end - began > whole {
            break;
        }
    }
    spans
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3));
    targets = inserts, pairs, cancels, service, latency
}
criterion_main!(benches);
