//! The caller's side of a queue: handles, and what has to fire when.

use crate::metric::{Wrong, must};
use crate::queue::{TimerQueue, place};

/// The deadline of a timer that is not pending.
const GONE: u64 = u64::MAX;

/// Handles and deadlines of timers, by payload.
pub(crate) struct Field<Q: TimerQueue> {
    pub(crate) handles: Vec<Option<Q::Handle>>,
    pub(crate) deadlines: Vec<u64>,
}

impl<Q: TimerQueue> Field<Q> {
    /// Of timers that are not inserted yet. The table is written once, so that its pages are there.
    pub(crate) fn new(deadlines: Vec<u64>) -> Self {
        let mut handles = Vec::new();
        handles.resize_with(deadlines.len(), || None);
        Self { handles, deadlines }
    }

    pub(crate) fn fill(&mut self, queue: &mut Q) {
        for (payload, (handle, deadline)) in self.handles.iter_mut().zip(&self.deadlines).enumerate() {
            *handle = Some(queue.insert(*deadline, payload as u64));
        }
    }

    /// Takes handles out of the table, so that the table's misses are not measured.
    pub(crate) fn take(&mut self, places: &[usize]) -> Vec<Q::Handle> {
        places.iter().filter_map(|at| self.handles[*at].take()).collect()
    }

    pub(crate) fn put(&mut self, places: &[usize], handles: Vec<Q::Handle>) {
        for (at, handle) in places.iter().zip(handles) {
            self.handles[*at] = Some(handle);
        }
    }

    pub(crate) fn last(&self) -> u64 {
        self.deadlines.iter().copied().filter(|deadline| *deadline != GONE).max().unwrap_or(0)
    }
}

/// One call of `advance` that fired something.
struct Call {
    from: u64,
    to: u64,
    fired_until: usize,
}

/// Everything a queue has fired while time passed.
pub(crate) struct Drain {
    fired: Vec<u64>,
    calls: Vec<Call>,
    now: u64,
}

impl Drain {
    /// With room for all, so that nothing has to grow while it is measured.
    pub(crate) fn new(timers: usize) -> Self {
        Self::at(0, timers)
    }

    /// Of a queue in which it is `now` already, and nothing has fired.
    pub(crate) fn at(now: u64, timers: usize) -> Self {
        let mut fired = vec![0; timers];
        fired.clear();
        Self { fired, calls: Vec::with_capacity(timers), now }
    }

    /// Moves time to `to`, and gives back handles if the queue has to have them back.
    #[inline]
    pub(crate) fn advance<Q: TimerQueue>(&mut self, queue: &mut Q, field: &mut Field<Q>, to: u64) {
        let seen = self.fired.len();
        queue.advance(to, &mut self.fired);
        if self.fired.len() > seen {
            self.calls.push(Call { from: self.now, to, fired_until: self.fired.len() });
            if Q::RELEASES {
                for payload in &self.fired[seen..] {
                    if let Some(handle) = field.handles.get_mut(place(*payload)).and_then(Option::take) {
                        queue.release(handle);
                    }
                }
            }
        }
        self.now = to;
    }

    /// Advances by `step` until nothing is left, and at most `calls` times.
    pub(crate) fn run<Q: TimerQueue>(
        &mut self,
        queue: &mut Q,
        field: &mut Field<Q>,
        step: u64,
        calls: u64,
    ) -> u64 {
        let last = field.last();
        let calls = last.saturating_sub(self.now).div_ceil(step).min(calls);
        for _ in 0..calls {
            self.advance(queue, field, self.now + step);
        }
        calls
    }

    /// Has every timer fired once, by the first call that could, and no other?
    pub(crate) fn check<Q: TimerQueue>(self, field: &mut Field<Q>) -> Result<(), Wrong> {
        let pending = field.deadlines.iter().filter(|deadline| **deadline != GONE).count();
        must(self.fired.len() == pending)?;
        let mut from = 0;
        for call in &self.calls {
            for payload in &self.fired[from..call.fired_until] {
                let deadline = field.deadlines.get_mut(place(*payload)).ok_or(Wrong)?;
                must((call.from + 1..=call.to).contains(deadline))?;
                *deadline = GONE;
            }
            from = call.fired_until;
        }
        Ok(())
    }
}
