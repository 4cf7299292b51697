//! A service: most timers are cancelled before they are due.

use std::hint::black_box;
use std::ops::RangeInclusive;

use horolog_benches::Rng;
use horolog_benches::counted::{OfThisThread, Tally};

use crate::clock::{now, ns_since};
use crate::data::Load;
use crate::metric::{Figures, Metric, Wrong, must};
use crate::queue::{TimerQueue, place};

/// Delays are drawn beforehand, and few enough to stay in the cache.
const DELAYS: usize = 4_096;

/// As many operations as timers, within these bounds.
const OPERATIONS: RangeInclusive<usize> = 100_000..=1_000_000;

/// For memory: so often as many operations as timers.
const LIVES: usize = 2;

/// Timers of a batch.
const BATCH: usize = 64;

/// One operation in so many lets time pass; the others cancel.
const EXPIRES_EVERY: usize = 10;

/// A payload says where the handle is and, above that, the deadline: what fires early shows without a look at a table.
const PLACE_BITS: u32 = 24;

const PLACES: u64 = (1 << PLACE_BITS) - 1;

fn payload(deadline: u64, at: usize) -> u64 {
    (deadline << PLACE_BITS) | at as u64
}

struct Churn<'a, Q: TimerQueue> {
    queue: &'a mut Q,
    /// The handle of each pending timer, by its place. Nearly all places are taken, so that a random place is that of a
    /// random timer.
    handles: Vec<Option<Q::Handle>>,
    free: Vec<usize>,
    /// Where the next cancel looks first.
    next: usize,
    /// Timers and handles of one batch.
    batch: (Vec<(u64, u64)>, Vec<Q::Handle>),
    delays: std::iter::Cycle<std::vec::IntoIter<u64>>,
    longest: u64,
    rng: Rng,
    fired: Vec<u64>,
    now: u64,
    /// Bytes that were allocated before the queue was.
    before: usize,
}

pub(super) fn one_by_one<Q: TimerQueue>(load: &Load) -> Result<Figures, Wrong> {
    on_full::<Q>(load, |churn| {
        let operations = operations(load);
        let begin = now();
        for operation in 0..operations {
            churn.operate(operation)?;
        }
        Ok(vec![(Metric::Churn, ns_since(begin) / operations as f64)])
    })
}

/// The same, but 64 inserts are one call, and 64 cancels.
pub(super) fn in_64s<Q: TimerQueue>(load: &Load) -> Result<Figures, Wrong> {
    on_full::<Q>(load, |churn| {
        let batches = operations(load) / BATCH;
        let begin = now();
        for batch in 0..batches {
            churn.operate_many(batch)?;
        }
        Ok(vec![(Metric::ChurnMany, ns_since(begin) / (batches * BATCH) as f64)])
    })
}

/// What churn takes of memory. Nine operations of ten cancel, and one lets one timer fire, however many a tick has: time
/// is ahead by a tick at most.
pub(super) fn memory<Q: TimerQueue>(load: &Load) -> Result<Figures, Wrong> {
    on_full::<Q>(load, |churn| {
        let (mut peak, mut ahead) = (0.0_f64, 0);
        for operation in 0..LIVES * load.timers {
            churn.insert();
            if !operation.is_multiple_of(EXPIRES_EVERY) {
                churn.cancel()?;
            } else if ahead == 0 {
                ahead = churn.expire()? - 1;
            } else {
                ahead -= 1;
            }
            peak = peak.max(churn.bytes_each(load));
        }
        let after = churn.bytes_each(load);
        (0..ahead).for_each(|_| churn.insert());
        Ok(vec![(Metric::ChurnBytesPeak, peak), (Metric::ChurnBytes, after)])
    })
}

fn operations(load: &Load) -> usize {
    load.timers.clamp(*OPERATIONS.start(), *OPERATIONS.end())
}

/// Works on a full queue; as many timers as it had have to fire in the end.
fn on_full<Q: TimerQueue>(
    load: &Load,
    work: impl FnOnce(&mut Churn<'_, Q>) -> Result<Figures, Wrong>,
) -> Result<Figures, Wrong> {
    let mut rng = load.rng();
    let delays = load.delays(&mut rng, DELAYS).into_iter().cycle();
    let places = load.timers + BATCH;
    let mut handles = Vec::new();
    handles.resize_with(places, || None);
    let free = (0..places).rev().collect();
    let batch = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
    let (longest, fired) = (load.spread.longest(), Vec::with_capacity(load.timers));
    let before = OfThisThread::taken();
    Q::with(|mut queue| {
        let queue = &mut queue;
        let mut churn =
            Churn { queue, handles, free, next: 0, batch, delays, longest, rng, fired, now: 0, before };
        (0..load.timers).for_each(|_| churn.insert());
        let figures = work(&mut churn)?;
        churn.drain(load.timers)?;
        Ok(figures)
    })
}

impl<Q: TimerQueue> Churn<'_, Q> {
    fn operate(&mut self, operation: usize) -> Result<(), Wrong> {
        self.insert();
        if !operation.is_multiple_of(EXPIRES_EVERY) {
            return self.cancel();
        }
        let fired = self.expire()?;
        (1..fired).for_each(|_| self.insert());
        Ok(())
    }

    /// As many operations as a batch has timers.
    fn operate_many(&mut self, batch: usize) -> Result<(), Wrong> {
        self.insert_many(BATCH);
        if !batch.is_multiple_of(EXPIRES_EVERY) {
            return self.cancel_many();
        }
        let mut missing = 0;
        for _ in 0..BATCH {
            missing += self.expire()? - 1;
            while missing >= BATCH {
                self.insert_many(BATCH);
                missing -= BATCH;
            }
        }
        self.insert_many(missing);
        Ok(())
    }

    fn bytes_each(&self, load: &Load) -> f64 {
        OfThisThread::taken().saturating_sub(self.before) as f64 / load.timers as f64
    }

    fn insert_many(&mut self, count: usize) {
        let (timers, handles) = &mut self.batch;
        let left = self.free.len().saturating_sub(count);
        timers.extend(self.free[left..].iter().zip(&mut self.delays).map(|(at, delay)| {
            let deadline = self.now + delay;
            (deadline, payload(deadline, *at))
        }));
        self.queue.insert_many(timers, handles);
        timers.clear();
        for (at, handle) in self.free.drain(left..).zip(handles.drain(..)) {
            self.handles[at] = Some(handle);
        }
    }

    /// The caller's table is looked through for the whole batch first: its misses do not wait for each other.
    fn cancel_many(&mut self) -> Result<(), Wrong> {
        let (_, handles) = &mut self.batch;
        while handles.len() < BATCH {
            let at = self.rng.index(self.handles.len());
            if let Some(handle) = self.handles[at].take() {
                self.free.push(at);
                handles.push(handle);
            }
        }
        must(self.queue.cancel_many(handles) == BATCH)
    }

    fn insert(&mut self) {
        let Some(at) = self.free.pop() else { return };
        let deadline = self.now + self.delays.next().unwrap_or(1);
        self.handles[at] = Some(self.queue.insert(deadline, payload(deadline, at)));
    }

    /// The place of the next cancel is asked for an operation ahead: the misses of the caller's table are not what is
    /// measured.
    fn cancel(&mut self) -> Result<(), Wrong> {
        let mut at = self.next;
        self.next = self.rng.index(self.handles.len());
        black_box(self.handles[self.next].is_some());
        loop {
            if let Some(handle) = self.handles[at].take() {
                self.free.push(at);
                return must(self.queue.cancel(handle));
            }
            at = self.rng.index(self.handles.len());
        }
    }

    /// Ticks until something is due.
    fn expire(&mut self) -> Result<usize, Wrong> {
        for _ in 0..self.longest {
            let fired = self.advance(self.now + 1)?;
            if fired > 0 {
                return Ok(fired);
            }
        }
        Err(Wrong)
    }

    fn advance(&mut self, to: u64) -> Result<usize, Wrong> {
        self.now = to;
        self.queue.advance(to, &mut self.fired);
        for payload in &self.fired {
            must(payload >> PLACE_BITS <= to)?;
            let at = place(payload & PLACES);
            let handle = self.handles.get_mut(at).and_then(Option::take).ok_or(Wrong)?;
            self.queue.release(handle);
            self.free.push(at);
        }
        let fired = self.fired.len();
        self.fired.clear();
        Ok(fired)
    }

    /// Lets the rest fire: it has to be all of it.
    fn drain(&mut self, timers: usize) -> Result<(), Wrong> {
        let end = self.now + self.longest;
        let mut left = timers;
        while self.now < end {
            left = left.checked_sub(self.advance((self.now + 1_000).min(end))?).ok_or(Wrong)?;
        }
        must(left == 0)
    }
}
