//! Timeouts of an hour and more, of which hardly any lives so long: what do the cancelled ones leave behind?

use horolog_benches::counted::{OfThisThread, Tally};

use crate::data::{Load, far};
use crate::field::{Drain, Field};
use crate::metric::{Figures, Metric, Wrong, must};
use crate::queue::TimerQueue;

/// Of so many that are armed one is left; the others are cancelled.
const ARMS_A_TIMER: usize = 1_000;

/// So many are armed in a tick: a million a second.
const ARMS_A_TICK: usize = 1_000;

/// A thousandth of the timers is pending all the time: for each that is armed, another at random is cancelled.
pub(super) fn run<Q: TimerQueue>(load: &Load) -> Result<Figures, Wrong> {
    let mut rng = load.rng();
    let live = (load.timers / ARMS_A_TIMER).max(1);
    let mut field: Field<Q> = Field::new((0..live).map(|_| far(&mut rng)).collect());
    let before = OfThisThread::taken();
    Q::with(|mut queue| {
        field.fill(&mut queue);
        let (mut now, mut peak, mut fired) = (0, 0, Vec::new());
        for arm in live..load.timers {
            if arm.is_multiple_of(ARMS_A_TICK) {
                now += 1;
                queue.advance(now, &mut fired);
            }
            let at = rng.index(live);
            must(field.handles[at].take().is_some_and(|handle| queue.cancel(handle)))?;
            field.deadlines[at] = now + far(&mut rng);
            field.handles[at] = Some(queue.insert(field.deadlines[at], at as u64));
            peak = peak.max(OfThisThread::taken().saturating_sub(before));
        }
        must(fired.is_empty())?;
        let mut drain = Drain::at(now, live);
        drain.run(&mut queue, &mut field, 1_000, u64::MAX);
        drain.check(&mut field)?;
        Ok(vec![(Metric::Residue, peak as f64 / 1e3)])
    })
}
