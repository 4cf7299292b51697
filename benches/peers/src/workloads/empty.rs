//! Time in which nothing is due: one timer is two and a half hours away, or all of them are more than one.

use horolog_benches::compare::median;

use crate::clock::{now, ns_since};
use crate::data::{HOUR, Load, far};
use crate::field::{Drain, Field};
use crate::metric::{Figures, Metric, Wrong, must};
use crate::queue::TimerQueue;

const DEADLINE: u64 = 2 * HOUR + HOUR / 2;
const HOURS: usize = 101;
const TICKS: u64 = 1_000_000;
const RESIDENT_TICKS: u64 = 100_000;

pub(super) fn run<Q: TimerQueue>(_: &Load) -> Result<Figures, Wrong> {
    let hours: Result<Vec<f64>, Wrong> = (0..HOURS).map(|_| advance::<Q>(1, HOUR)).collect();
    let tick = advance::<Q>(TICKS, 1)? / TICKS as f64;
    Ok(vec![(Metric::EmptyHour, median(hours?)), (Metric::EmptyTick, tick)])
}

/// Ticks are passed while all timers are pending, none of them due within the hour.
pub(super) fn resident<Q: TimerQueue>(load: &Load) -> Result<Figures, Wrong> {
    let mut rng = load.rng();
    let mut field: Field<Q> = Field::new((0..load.timers).map(|_| far(&mut rng)).collect());
    Q::with(|mut queue| {
        field.fill(&mut queue);
        let mut drain = Drain::at(RESIDENT_TICKS, load.timers);
        let mut fired = Vec::new();
        let begin = now();
        for tick in 1..=RESIDENT_TICKS {
            queue.advance(tick, &mut fired);
        }
        let ns = ns_since(begin) / RESIDENT_TICKS as f64;
        must(fired.is_empty())?;
        drain.run(&mut queue, &mut field, 1_000, u64::MAX);
        drain.check(&mut field)?;
        Ok(vec![(Metric::EmptyTickFull, ns)])
    })
}

/// What so many calls of `advance` take, each by `step`.
fn advance<Q: TimerQueue>(calls: u64, step: u64) -> Result<f64, Wrong> {
    Q::with(|mut queue| {
        let handle = queue.insert(DEADLINE, 1);
        let mut fired = Vec::new();
        let begin = now();
        for call in 1..=calls {
            queue.advance(call * step, &mut fired);
        }
        let ns = ns_since(begin);
        must(fired.is_empty())?;
        queue.advance(DEADLINE, &mut fired);
        queue.release(handle);
        must(fired == [1])?;
        Ok(ns)
    })
}
