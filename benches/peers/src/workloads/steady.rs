//! A queue that holds its number of timers: insert, cancel, move.

use horolog_benches::Rng;
use horolog_benches::counted::{OfThisThread, Tally};

use crate::clock::{now, ns_since};
use crate::cycles::cycles_of;
use crate::data::Load;
use crate::field::{Drain, Field};
use crate::metric::{Figures, Metric, Wrong, must};
use crate::queue::TimerQueue;
use crate::stat::middle;

pub(super) const CANCEL_METRICS: &[Metric] = &[Metric::Fill, Metric::Bytes, Metric::Cancel, Metric::Insert];

const BATCH: usize = 64;

/// So many inserts, and as many cancels, are looked at one by one, so many times.
const SINGLES: usize = 1_000;
const SINGLE_ROUNDS: usize = 100;

/// A full queue and what goes on in it.
struct Steady<'a, Q: TimerQueue> {
    queue: &'a mut Q,
    field: Field<Q>,
    load: &'a Load,
    rng: Rng,
    /// Bytes that were allocated before the queue was.
    before: usize,
}

/// Fill from nothing, cancel, insert.
pub(super) fn cancel<Q: TimerQueue>(load: &Load) -> Result<Figures, Wrong> {
    on_new::<Q>(load, |steady| {
        let mut figures = vec![(Metric::Fill, steady.fill())];
        let taken = OfThisThread::taken().saturating_sub(steady.before);
        figures.push((Metric::Bytes, taken as f64 / load.timers as f64));
        figures.extend(steady.cancel_and_insert()?);
        Ok(figures)
    })
}

pub(super) fn cancel_many<Q: TimerQueue>(load: &Load) -> Result<Figures, Wrong> {
    on_new::<Q>(load, |steady| {
        steady.fill();
        Ok(vec![(Metric::CancelMany, steady.cancel_many()?)])
    })
}

pub(super) fn move_at_random<Q: TimerQueue>(load: &Load) -> Result<Figures, Wrong> {
    on_new::<Q>(load, |steady| {
        steady.fill();
        Ok(vec![(Metric::MoveRandom, steady.reschedule(|load, rng, _| load.spread.delay(rng)))])
    })
}

/// To up to twice the deadline that was.
pub(super) fn move_later<Q: TimerQueue>(load: &Load) -> Result<Figures, Wrong> {
    on_new::<Q>(load, |steady| {
        steady.fill();
        Ok(vec![(Metric::MoveLater, steady.reschedule(|_, rng, old| old + 1 + rng.below(old)))])
    })
}

/// Each insert and each cancel alone, by the cycle counter.
pub(super) fn singles<Q: TimerQueue>(load: &Load) -> Result<Figures, Wrong> {
    on_new::<Q>(load, |steady| {
        steady.fill();
        steady.singles()
    })
}

/// Works on a queue that is not filled yet; what is left in it has to fire.
fn on_new<Q: TimerQueue>(
    load: &Load,
    work: impl FnOnce(&mut Steady<'_, Q>) -> Result<Figures, Wrong>,
) -> Result<Figures, Wrong> {
    let mut rng = load.rng();
    let field: Field<Q> = Field::new(load.delays(&mut rng, load.timers));
    let before = OfThisThread::taken();
    Q::with(|mut queue| {
        let mut steady = Steady { queue: &mut queue, field, load, rng, before };
        let figures = work(&mut steady)?;
        let mut drain = Drain::new(load.timers);
        drain.run(steady.queue, &mut steady.field, load.spread.longest() / 60, u64::MAX);
        drain.check(&mut steady.field)?;
        Ok(figures)
    })
}

impl<Q: TimerQueue> Steady<'_, Q> {
    fn fill(&mut self) -> f64 {
        let begin = now();
        self.field.fill(self.queue);
        ns_since(begin) / self.load.timers as f64
    }

    /// Timers at random; where their handles are does not matter any more.
    fn pick(&mut self) -> (Vec<usize>, Vec<Q::Handle>) {
        let places = self.rng.sample(self.load.timers, self.load.part());
        let handles = self.field.take(&places);
        (places, handles)
    }

    /// Inserts timers with new deadlines in the places of cancelled ones.
    fn insert(&mut self, places: &[usize]) -> f64 {
        let delays = self.load.delays(&mut self.rng, places.len());
        let mut handles: Vec<Option<Q::Handle>> = places.iter().map(|_| None).collect();
        let begin = now();
        for ((handle, at), deadline) in handles.iter_mut().zip(places).zip(&delays) {
            *handle = Some(self.queue.insert(*deadline, *at as u64));
        }
        let ns = ns_since(begin) / places.len() as f64;
        self.field.put(places, handles.into_iter().flatten().collect());
        for (at, deadline) in places.iter().zip(delays) {
            self.field.deadlines[*at] = deadline;
        }
        ns
    }

    fn cancel_and_insert(&mut self) -> Result<Figures, Wrong> {
        let (places, handles) = self.pick();
        let count = handles.len();
        let begin = now();
        let cancelled: usize = handles.into_iter().map(|handle| usize::from(self.queue.cancel(handle))).sum();
        let cancel = ns_since(begin) / count as f64;
        must(cancelled == places.len())?;
        Ok(vec![(Metric::Cancel, cancel), (Metric::Insert, self.insert(&places))])
    }

    fn cancel_many(&mut self) -> Result<f64, Wrong> {
        let (places, mut handles) = self.pick();
        let mut batches = Vec::new();
        while !handles.is_empty() {
            batches.push(handles.split_off(handles.len().saturating_sub(BATCH)));
        }
        let begin = now();
        let cancelled: usize = batches.iter_mut().map(|batch| self.queue.cancel_many(batch)).sum();
        let ns = ns_since(begin) / places.len() as f64;
        must(cancelled == places.len())?;
        self.insert(&places);
        Ok(ns)
    }

    /// A thousand are inserted beside all others and then cancelled in the same order, again and again. Empty if there is
    /// no counter.
    fn singles(&mut self) -> Result<Figures, Wrong> {
        let (mut inserts, mut cancels, mut nothing) = (Vec::new(), Vec::new(), Vec::new());
        let mut handles = Vec::with_capacity(SINGLES);
        for _ in 0..SINGLE_ROUNDS {
            let deadlines = self.load.delays(&mut self.rng, SINGLES);
            for (deadline, payload) in deadlines.iter().zip(self.load.timers as u64..) {
                let (cycles, handle) = cycles_of(|| self.queue.insert(*deadline, payload));
                handles.push(handle);
                inserts.extend(cycles);
            }
            for handle in handles.drain(..) {
                let (cycles, was_pending) = cycles_of(|| self.queue.cancel(handle));
                must(was_pending)?;
                cancels.extend(cycles);
            }
            nothing.extend((0..SINGLES).filter_map(|_| cycles_of(|| ()).0));
        }
        let nothing = middle(nothing).unwrap_or(0.0);
        let figures = [(Metric::InsertCycles, middle(inserts)), (Metric::CancelCycles, middle(cancels))];
        Ok(figures.into_iter().filter_map(|(metric, cycles)| Some((metric, cycles? - nothing))).collect())
    }

    fn reschedule(&mut self, deadline: impl Fn(&Load, &mut Rng, u64) -> u64) -> f64 {
        let (places, handles) = self.pick();
        let load = self.load;
        let new = |at: &usize| deadline(load, &mut self.rng, self.field.deadlines[*at]);
        let deadlines: Vec<u64> = places.iter().map(new).collect();
        let mut slots: Vec<Option<Q::Handle>> = handles.into_iter().map(Some).collect();
        let begin = now();
        for (slot, deadline) in slots.iter_mut().zip(&deadlines) {
            *slot = slot.take().map(|handle| self.queue.reschedule(handle, *deadline));
        }
        let ns = ns_since(begin) / places.len() as f64;
        self.field.put(&places, slots.into_iter().flatten().collect());
        for (at, deadline) in places.iter().zip(deadlines) {
            self.field.deadlines[*at] = deadline;
        }
        ns
    }
}
