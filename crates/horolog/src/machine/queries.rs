//! What can be asked. Answers are of this moment and name the record that they include.

use horolog_state::{Now, TimerId};

use super::Machine;
use super::delivery::instant;
use crate::stats::{DeadInfo, Stats, TimerInfo};

/// Dead letters copied in one hold of the lock at most.
const DEAD_A_HOLD: usize = 64;

impl Machine {
    pub(crate) fn info(&self, id: TimerId, now: &Now) -> Option<TimerInfo> {
        let timer = self.state.view(id)?;
        Some(TimerInfo {
            id,
            phase: timer.phase,
            deadline: instant(timer.due, self.options.tick_len, now),
            deliveries: timer.deliveries,
            failures: timer.failures,
            cancelled: timer.doomed,
            next_slot: timer.recurrence.map(|r| instant(r.next_due, self.options.tick_len, now)),
            key: timer.key.to_vec(),
            payload: self.state.share_payload(id)?,
            as_of: self.state.applied().0,
        })
    }

    /// Some of what was given up, from a slot on: a hold of the lock copies [`DEAD_A_HOLD`] at most.
    pub(crate) fn dead_from(&self, slot: u32) -> Vec<DeadInfo> {
        let letters = self.state.dead_letters_from(slot).take(DEAD_A_HOLD);
        letters
            .filter_map(|(id, letter)| {
                let timer = self.state.view(id)?;
                Some(DeadInfo {
                    id,
                    occurrence: letter.occurrence,
                    reason: letter.reason,
                    deliveries: letter.deliveries,
                    message: letter.message.clone(),
                    key: timer.key.to_vec(),
                    payload: self.state.share_payload(id)?,
                })
            })
            .collect()
    }

    pub(crate) fn stats(&self) -> Stats {
        let stats = Stats {
            as_of: self.state.applied().0,
            written: self.written.0,
            durable: self.durable.0,
            epoch: self.state.epoch(),
            timers: self.state.len() as u64,
            ready: self.ready.len() as u64,
            backlog: self.ready.backlog_len() as u64,
            in_flight: self.state.leased(),
            memory_bytes: self.state.bytes() as u64,
            unsynced_bytes: self.buffers.bytes() as u64,
            clock_steps: self.timer.clock_steps,
            spare_failures: self.log.spare_failures,
            snapshots: self.snapshots.made,
            snapshot_failures: self.snapshots.failures,
            poisoned: self.failure.is_some(),
            ..Stats::default()
        };
        stats.with_totals(self.state.totals())
    }

    /// The timer thread is to look at the clock again.
    pub(crate) fn look_again(&mut self) {
        self.timer.look_again();
    }
}
