//! Where blocked callers wait: one gate a generation of syncs, so that one call wakes those whose records became durable
//! and leaves those alone whose records go with the next sync.

use std::time::Duration;

use super::Positions;
use crate::machine::Level;
use crate::sync::Gate;

/// Callers that wait at one gate, and the last generation that may pass.
#[derive(Debug, Default)]
struct Waiting {
    callers: usize,
    done: u64,
}

#[derive(Debug)]
pub(super) struct Gates {
    /// A running sync and the next one: two generations wait at a time.
    durable: [Gate<Waiting>; 2],
    /// Those who wait for a write, and those who wait with a time limit.
    each: Gate<Waiting>,
}

impl Gates {
    pub(super) fn new() -> Self {
        Self {
            durable: [Gate::new(Waiting::default()), Gate::new(Waiting::default())],
            each: Gate::new(Waiting::default()),
        }
    }

    /// Positions have moved: their generation may pass. A failure lets everybody pass.
    pub(super) fn open(&self, positions: Positions) {
        let [even, odd] = &self.durable;
        let generation = positions.syncs_done;
        let opened = if generation.is_multiple_of(2) { even } else { odd };
        let closed = if generation.is_multiple_of(2) { odd } else { even };
        opened.update(|waiting| {
            let news = positions.failed || waiting.done < generation;
            waiting.done = waiting.done.max(generation);
            news && waiting.callers > 0
        });
        if positions.failed {
            closed.update(|waiting| waiting.callers > 0);
        }
        self.each.update(|waiting| waiting.callers > 0);
    }

    /// Waits for a generation of syncs, or, for [`Level::Written`], for `done`.
    pub(super) fn wait(&self, level: Level, generation: u64, done: impl Fn() -> bool) {
        if level == Level::Written {
            return self.wait_each(None, done);
        }
        let [even, odd] = &self.durable;
        let gate = if generation.is_multiple_of(2) { even } else { odd };
        gate.wait(
            None,
            |waiting| waiting.callers += 1,
            |waiting| done() || waiting.done >= generation,
            |waiting| waiting.callers -= 1,
        );
    }

    /// Waits for `done`, looked at whenever a position moves.
    pub(super) fn wait_each(&self, timeout: Option<Duration>, done: impl Fn() -> bool) {
        self.each.wait(timeout, |waiting| waiting.callers += 1, |_| done(), |waiting| waiting.callers -= 1);
    }
}
