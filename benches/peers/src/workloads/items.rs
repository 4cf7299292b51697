//! How much one tick has to do, in items come across and not in time: no stall of the machine is in it.

use crate::data::Load;
use crate::metric::{Figures, Metric, Wrong, must};
use crate::queue::{TimerQueue, place};

/// Ticks that the fullest one is looked for in. An hour has fewer.
const TICKS_MOST: u64 = 4_000_000;

/// Only of a queue that can be told how much to do at most.
///
/// A budget that is enough for a tick does not change what is done in it; so the least that is enough for all ticks is what
/// the worst one takes. It is found by bisection, each time on a new queue with the same timers.
pub(super) fn worst_tick<Q: TimerQueue>(load: &Load) -> Result<Figures, Wrong> {
    if !Q::HAS_BUDGET {
        return Ok(Vec::new());
    }
    let deadlines = load.delays(&mut load.rng(), load.timers);
    let due = due_by_tick(&deadlines);
    let most_due = due.iter().copied().max().unwrap_or(0);
    let most = least(most_due, |budget| are_enough::<Q>(&deadlines, &due, |_| budget))?;
    let beyond = least(0, |more| are_enough::<Q>(&deadlines, &due, |due| 2 * due + more))?;
    Ok(vec![
        (Metric::ItemsDue, most_due.into()),
        (Metric::ItemsMost, most.into()),
        (Metric::ItemsBeyond, beyond.into()),
    ])
}

/// How many timers are due in each tick from the first on.
fn due_by_tick(deadlines: &[u64]) -> Vec<u32> {
    let last = deadlines.iter().copied().max().unwrap_or(0).min(TICKS_MOST);
    let mut due = vec![0; place(last)];
    for deadline in deadlines {
        if let Some(due) = due.get_mut(place(deadline - 1)) {
            *due += 1;
        }
    }
    due
}

/// The least number from `from` on that is enough; what is more is enough as well.
pub(super) fn least(from: u32, is_enough: impl Fn(u32) -> Result<bool, Wrong>) -> Result<u32, Wrong> {
    let (mut too_few, mut step) = (from, 256);
    if is_enough(from)? {
        return Ok(from);
    }
    while !is_enough(too_few + step)? {
        too_few += step;
        step *= 2;
    }
    let mut enough = too_few + step;
    while enough - too_few > 1 {
        let middle = too_few + (enough - too_few) / 2;
        if is_enough(middle)? { enough = middle } else { too_few = middle }
    }
    Ok(enough)
}

/// Is each tick done in one call with the budget that it has for what is due in it?
fn are_enough<Q: TimerQueue>(
    deadlines: &[u64],
    due: &[u32],
    budget: impl Fn(u32) -> u32,
) -> Result<bool, Wrong> {
    Q::with(|mut queue| {
        for (deadline, payload) in deadlines.iter().zip(0..) {
            queue.insert(*deadline, payload);
        }
        let mut fired = Vec::new();
        for (tick, due) in (1..).zip(due) {
            if !queue.advance_within(tick, budget(*due), &mut fired) {
                return Ok(false);
            }
            must(fired.len() == *due as usize)?;
            fired.clear();
        }
        Ok(true)
    })
}
