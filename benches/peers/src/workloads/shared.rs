//! Threads insert and cancel, and another lets time pass: a tick each millisecond of real time.

use std::hint::spin_loop;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::clock::{now, sleep_until};
use crate::data::Load;
use crate::metric::{Figures, Metric, Wrong, must};
use crate::queue::{Producer, SharedQueue, place};

/// Delays of the pairs are few enough to stay in the cache.
const DELAYS: usize = 4_096;

/// As many pairs as timers, within these bounds.
const PAIRS_LEAST: usize = 100_000;
const PAIRS_MOST: usize = 1_000_000;

/// Once all have been inserted, time does not have to be real any more.
const JUMP: u64 = 100;

const TICK: Duration = Duration::from_millis(1);

/// How long time of its own may take to hand over what it has fired: so many ticks.
const PATIENCE: usize = 1_000;

/// The deadline of a timer that has ended.
const GONE: u64 = u64::MAX;

/// What the threads share beside the queue. The producers read `now` all the time, and it is written once a tick.
#[repr(align(128))]
struct Stage {
    now: AtomicU64,
    last: AtomicU64,
    starting: AtomicUsize,
    at_work: AtomicUsize,
    /// All that is due has fired; for the producers and the owner.
    is_over: Barrier,
}

/// What one thread has to do: to leave timers, and before that, or in the time, to insert and cancel others.
struct Part {
    first_payload: u64,
    delays: Vec<u64>,
    pairs: usize,
    pair_delays: Vec<u64>,
}

/// A timer that a thread leaves.
struct Slot<H> {
    deadline: u64,
    handle: Option<H>,
}

/// Ends the process if its thread panics: the others would wait for ever.
struct AllOrNothing;

impl Drop for AllOrNothing {
    fn drop(&mut self) {
        if thread::panicking() {
            std::process::abort();
        }
    }
}

/// What a thread has done.
struct Done {
    begin: Instant,
    end: Instant,
    /// Pairs whose cancel found its timer.
    cancelled: usize,
    /// Of what it left; `GONE` if it was still pending when all was over.
    deadlines: Vec<u64>,
}

/// All timers, from so many threads, into an empty queue.
pub(super) fn insert<Q: SharedQueue, const PRODUCERS: usize>(load: &Load) -> Result<Figures, Wrong> {
    let metric = if PRODUCERS == 1 { Metric::InsertOne } else { Metric::InsertTwo };
    Ok(vec![(metric, run::<Q>(load, PRODUCERS, 0)? / load.timers as f64)])
}

/// A request with a timeout, again and again, beside all timers.
pub(super) fn pair<Q: SharedQueue, const PRODUCERS: usize>(load: &Load) -> Result<Figures, Wrong> {
    let metric = if PRODUCERS == 1 { Metric::PairOne } else { Metric::PairTwo };
    let each = load.timers.clamp(PAIRS_LEAST, PAIRS_MOST) / PRODUCERS;
    Ok(vec![(metric, run::<Q>(load, PRODUCERS, each)? / (each * PRODUCERS) as f64)])
}

/// Nanoseconds from the first producer's begin to the last one's end. Without pairs, it is the insert of what is left.
fn run<Q: SharedQueue>(load: &Load, producers: usize, pairs: usize) -> Result<f64, Wrong> {
    let parts = parts(load, producers, pairs);
    let stage = Stage {
        now: AtomicU64::new(0),
        last: AtomicU64::new(0),
        starting: AtomicUsize::new(parts.len()),
        at_work: AtomicUsize::new(parts.len()),
        is_over: Barrier::new(parts.len() + 1),
    };
    Q::with(|queue| {
        let (mut fired, done) = thread::scope(|scope| {
            let threads: Vec<_> = parts
                .into_iter()
                .map(|part| {
                    let (mut producer, stage) = (queue.producer(), &stage);
                    scope.spawn(move || producer.with(|producer| produce(producer, stage, part)))
                })
                .collect();
            let fired = own(queue, &stage);
            let done: Result<Vec<Done>, _> =
                threads.into_iter().map(thread::ScopedJoinHandle::join).collect();
            (fired, done)
        });
        let done = done.map_err(|_| Wrong)?;
        fired.wait_for_the_rest(queue, &done);
        fired.check(&done)?;
        must(done.iter().all(|done| done.cancelled == pairs))?;
        let begin = done.iter().map(|done| done.begin).min().ok_or(Wrong)?;
        let end = done.iter().map(|done| done.end).max().ok_or(Wrong)?;
        Ok((end - begin).as_secs_f64() * 1e9)
    })
}

fn parts(load: &Load, producers: usize, pairs: usize) -> Vec<Part> {
    let mut rng = load.rng();
    let delays = load.long_delays(&mut rng, load.timers);
    let pair_delays = load.long_delays(&mut rng, DELAYS);
    let each = load.timers.div_ceil(producers);
    let part = |(at, delays): (usize, &[u64])| Part {
        first_payload: (at * each) as u64,
        delays: delays.to_vec(),
        pairs,
        pair_delays: pair_delays.clone(),
    };
    delays.chunks(each).enumerate().map(part).collect()
}

fn produce<P: Producer>(producer: &mut P, stage: &Stage, part: Part) -> Done {
    let _guard = AllOrNothing;
    let mut slots: Vec<Slot<P::Handle>> =
        part.delays.iter().map(|delay| Slot { deadline: *delay, handle: None }).collect();
    let fill_first = part.pairs > 0;
    if fill_first {
        fill(producer, stage, &mut slots, part.first_payload);
        producer.flush();
    }
    stage.start();
    let begin = now();
    let cancelled = if fill_first {
        pair_all(producer, stage, &part)
    } else {
        fill(producer, stage, &mut slots, part.first_payload);
        0
    };
    producer.flush();
    let end = now();
    stage.last.fetch_max(slots.iter().map(|slot| slot.deadline).max().unwrap_or(0), Ordering::Relaxed);
    stage.at_work.fetch_sub(1, Ordering::Release);
    stage.is_over.wait();
    let release = |slot: Slot<P::Handle>| {
        let is_pending = slot.handle.is_some_and(|handle| producer.release(handle));
        if is_pending { GONE } else { slot.deadline }
    };
    Done { begin, end, cancelled, deadlines: slots.into_iter().map(release).collect() }
}

/// A deadline is counted from the owner's last tick: a look at a clock would be the same for all.
fn fill<P: Producer>(producer: &mut P, stage: &Stage, slots: &mut [Slot<P::Handle>], first_payload: u64) {
    for (slot, payload) in slots.iter_mut().zip(first_payload..) {
        slot.deadline += stage.now.load(Ordering::Relaxed);
        slot.handle = Some(producer.insert(slot.deadline, payload));
    }
}

/// No payload of a pair is one of those that are left: a cancelled timer that fires shows.
fn pair_all<P: Producer>(producer: &mut P, stage: &Stage, part: &Part) -> usize {
    let first_payload = (1 << 40) + part.first_payload * PAIRS_MOST as u64;
    let pair = |(delay, payload): (&u64, u64)| {
        let handle = producer.insert(stage.now.load(Ordering::Relaxed) + delay, payload);
        producer.cancel(handle)
    };
    let delays = part.pair_delays.iter().cycle().take(part.pairs);
    delays.zip(first_payload..).map(pair).filter(|is_cancelled| *is_cancelled).count()
}

impl Stage {
    /// Waits for the other producers without going to sleep: to wake up takes longer than a thousand inserts.
    fn start(&self) {
        self.starting.fetch_sub(1, Ordering::AcqRel);
        while self.starting.load(Ordering::Acquire) > 0 {
            (0..64).for_each(|_| spin_loop());
            thread::yield_now();
        }
    }
}

/// What came out, and the tick by which it had.
#[derive(Default)]
struct Fired {
    payloads: Vec<u64>,
    calls: Vec<(usize, u64)>,
}

/// Lets time pass while there are producers at work, and then until the last timer was due.
fn own<Q: SharedQueue>(queue: &mut Q, stage: &Stage) -> Fired {
    let _guard = AllOrNothing;
    let (start, mut fired) = (queue.start(), Fired::default());
    let mut tick = 0;
    while stage.at_work.load(Ordering::Acquire) > 0 {
        queue.wait_until(start + TICK * u32::try_from(tick + 1).unwrap_or(u32::MAX));
        tick = tick_now(start);
        fired.advance(queue, start, tick);
        stage.now.store(tick, Ordering::Relaxed);
    }
    let last = stage.last.load(Ordering::Relaxed);
    while !Q::HAS_OWN_TIME && tick < last {
        tick = (tick + JUMP).min(last);
        fired.advance(queue, start, tick);
    }
    stage.is_over.wait();
    fired
}

fn tick_now(start: Instant) -> u64 {
    u64::try_from(now().duration_since(start).as_millis()).unwrap_or(u64::MAX)
}

impl Fired {
    fn advance<Q: SharedQueue>(&mut self, queue: &mut Q, start: Instant, tick: u64) {
        let before = self.payloads.len();
        queue.advance(tick, &mut self.payloads);
        if self.payloads.len() > before {
            let tick = if Q::HAS_OWN_TIME { tick_now(start) } else { tick };
            self.calls.push((self.payloads.len(), tick));
        }
    }

    /// A timer that is not pending any more, when time is its own, may still be on its way.
    fn wait_for_the_rest<Q: SharedQueue>(&mut self, queue: &mut Q, done: &[Done]) {
        let ended =
            done.iter().flat_map(|done| &done.deadlines).filter(|deadline| **deadline != GONE).count();
        for _ in 0..PATIENCE {
            if !Q::HAS_OWN_TIME || self.payloads.len() >= ended {
                return;
            }
            sleep_until(now() + TICK);
            self.advance(queue, queue.start(), 0);
        }
    }

    /// Has every timer that was left fired once and not early, or is it pending, and has nothing else fired?
    fn check(&self, done: &[Done]) -> Result<(), Wrong> {
        let mut deadlines: Vec<u64> = done.iter().flat_map(|done| &done.deadlines).copied().collect();
        let mut from = 0;
        for (fired_until, tick) in &self.calls {
            for payload in &self.payloads[from..*fired_until] {
                let deadline = deadlines.get_mut(place(*payload)).ok_or(Wrong)?;
                must(*deadline <= *tick)?;
                *deadline = GONE;
            }
            from = *fired_until;
        }
        must(deadlines.iter().all(|deadline| *deadline == GONE))
    }
}
