//! Time passes until every timer has fired.

use crate::clock::{now, ns_since};
use crate::data::Load;
use crate::field::{Drain, Field};
use crate::metric::{Figures, Metric, Wrong};
use crate::queue::TimerQueue;
use crate::stat::tail;

pub(super) const WORST_METRICS: &[Metric] = &[
    Metric::WorstPercentile,
    Metric::WorstMax,
    Metric::WorstWork,
    Metric::StallPercentile,
    Metric::StallMax,
];

/// Ticks that a queue whose ticks are slow passes one by one, and that the worst one is looked for in. An hour has fewer.
const TICKS_MOST: u64 = 4_000_000;

const JUMP: u64 = 1_000;

/// Does `work` on a full queue; what it leaves is expired by jumps.
fn on_full<Q: TimerQueue, R>(
    load: &Load,
    work: impl FnOnce(&mut Q, &mut Field<Q>, &mut Drain) -> R,
) -> Result<R, Wrong> {
    let mut field: Field<Q> = Field::new(load.delays(&mut load.rng(), load.timers));
    Q::with(|mut queue| {
        field.fill(&mut queue);
        let mut drain = Drain::new(load.timers);
        let done = work(&mut queue, &mut field, &mut drain);
        drain.run(&mut queue, &mut field, JUMP, u64::MAX);
        drain.check(&mut field)?;
        Ok(done)
    })
}

pub(super) fn by_ticks<Q: TimerQueue>(load: &Load) -> Result<Figures, Wrong> {
    on_full::<Q, _>(load, |queue, field, drain| {
        let most = if Q::SLOW_TICKS { TICKS_MOST } else { u64::MAX };
        let begin = now();
        let ticks = drain.run(queue, field, 1, most);
        let of_ticks = ns_since(begin);
        drain.run(queue, field, JUMP, u64::MAX);
        let all = ns_since(begin);
        vec![
            (Metric::ExpireTicks, all / load.timers as f64),
            (Metric::ExpireTick, of_ticks / ticks.max(1) as f64),
        ]
    })
}

pub(super) fn by_jumps<Q: TimerQueue>(load: &Load) -> Result<Figures, Wrong> {
    on_full::<Q, _>(load, |queue, field, drain| {
        let begin = now();
        drain.run(queue, field, JUMP, u64::MAX);
        vec![(Metric::ExpireJumps, ns_since(begin) / load.timers as f64)]
    })
}

pub(super) fn at_once<Q: TimerQueue>(load: &Load) -> Result<Figures, Wrong> {
    on_full::<Q, _>(load, |queue, field, drain| {
        let last = field.last();
        let begin = now();
        drain.advance(queue, field, last);
        vec![(Metric::ExpireOnce, ns_since(begin) / load.timers as f64)]
    })
}

/// The longest ticks, and beside them those of a loop that only waits as long as a mean tick takes: what that is late by,
/// the machine did.
///
/// The same ticks are then passed twice more on new queues. They do the same work, and a stall does not hit the same tick
/// three times: the longest of the least of each is the queue's own.
pub(super) fn worst_tick<Q: TimerQueue>(load: &Load) -> Result<Figures, Wrong> {
    let first = ticks::<Q>(load)?;
    let (stall_percentile, stall_max) = tail(stalls(&first));
    let mut least = first.clone();
    for _ in 0..2 {
        least.iter_mut().zip(ticks::<Q>(load)?).for_each(|(least, again)| *least = again.min(*least));
    }
    let (percentile, max) = tail(first);
    let work = tail(least).1;
    let values = [percentile, max, work, stall_percentile, stall_max];
    Ok(WORST_METRICS.iter().copied().zip(values.map(|ns| ns / 1e3)).collect())
}

/// What each tick takes.
fn ticks<Q: TimerQueue>(load: &Load) -> Result<Vec<u32>, Wrong> {
    on_full::<Q, _>(load, |queue, field, drain| {
        let count = field.last().min(TICKS_MOST);
        let mut ticks = room(count);
        let mut before = now();
        for to in 1..=count {
            drain.advance(queue, field, to);
            let after = now();
            ticks.push(u32::try_from((after - before).as_nanos()).unwrap_or(u32::MAX));
            before = after;
        }
        ticks
    })
}

/// An empty list with room for so many, its pages there.
fn room(count: u64) -> Vec<u32> {
    let mut room = vec![1; usize::try_from(count).unwrap_or(0)];
    room.clear();
    room
}

fn stalls(ticks: &[u32]) -> Vec<u32> {
    let total: u64 = ticks.iter().map(|ns| u64::from(*ns)).sum();
    let mean = u128::from(total.checked_div(ticks.len() as u64).unwrap_or(0));
    let mut stalls = room(ticks.len() as u64);
    let mut before = now();
    for _ in ticks {
        let mut after = now();
        while (after - before).as_nanos() < mean {
            after = now();
        }
        let late = (after - before).as_nanos().saturating_sub(mean);
        stalls.push(u32::try_from(late).unwrap_or(u32::MAX));
        before = after;
    }
    stalls
}
