//! After a restart: all timers are known, and the queue is new.

use std::time::Instant;

use crate::clock::now;
use crate::data::Load;
use crate::field::{Drain, Field};
use crate::metric::{Figures, Metric, Wrong};
use crate::queue::TimerQueue;

pub(super) fn run<Q: TimerQueue>(load: &Load) -> Result<Figures, Wrong> {
    let deadlines = load.delays(&mut load.rng(), load.timers);
    let timers: Vec<(u64, u64)> = deadlines.iter().copied().zip(0..).collect();
    let mut field: Field<Q> = Field::new(deadlines);
    Q::with(|mut queue| {
        let begin = now();
        let is_filled = queue.rebuild(&timers, &mut field.handles);
        let end = now();
        let mut drain = Drain::new(load.timers);
        drain.run(&mut queue, &mut field, load.spread.longest() / 60, u64::MAX);
        drain.check(&mut field)?;
        let each = |from: Instant| (end - from).as_secs_f64() * 1e9 / load.timers as f64;
        Ok(vec![(Metric::Rebuild, each(begin)), (Metric::RebuildArm, each(is_filled))])
    })
}
