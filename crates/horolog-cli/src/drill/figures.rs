//! How fast and how late: figures taken from the ledgers.

use std::time::Duration;

use serde::Serialize;

use super::ledger::Entry;
use super::plan::Axis;
use crate::spread::Spread;

/// What is measured while lives go by.
#[derive(Debug, Default)]
pub(super) struct Figures {
    opens: Vec<u64>,
    at_full_load: Vec<u64>,
    at_ease: Vec<u64>,
    missed: Vec<u64>,
    scheduled: u64,
    scheduling_ns: u64,
    torn_bytes: u64,
}

/// What is shown.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Summary {
    pub(super) scheduled_per_s: u64,
    pub(super) lateness_full_load: Spread,
    pub(super) lateness_at_ease: Spread,
    pub(super) lateness_missed: Spread,
    pub(super) open: Spread,
    pub(super) torn_bytes: u64,
}

impl Figures {
    /// Takes in the ledger of a life; a calm one says nothing about speed. `was_moved` tells of timers whose deadline is
    /// not the one in their payload.
    pub(super) fn life(&mut self, entries: &[Entry], calm: bool, was_moved: impl Fn(u64) -> bool) {
        let Some(&Entry::Opened { open_us, wall_ns, boot_ns, torn_bytes }) = entries.first() else { return };
        self.opens.push(u64::from(open_us) * 1_000);
        self.torn_bytes += torn_bytes;
        let mut last_ns = boot_ns;
        for entry in entries {
            match *entry {
                Entry::Scheduled { boot_ns, .. } if !calm => {
                    self.scheduled += 1;
                    last_ns = last_ns.max(boot_ns);
                }
                Entry::Received { serial, attempt: 1, axis, deadline_ns, now_ns, .. }
                    if !was_moved(serial) =>
                {
                    let opened_ns = if axis == Axis::Wall { wall_ns } else { boot_ns };
                    let late_ns = now_ns.saturating_sub(deadline_ns);
                    match (deadline_ns < opened_ns, calm) {
                        (true, _) => self.missed.push(late_ns),
                        (false, true) => self.at_ease.push(late_ns),
                        (false, false) => self.at_full_load.push(late_ns),
                    }
                }
                _ => {}
            }
        }
        self.scheduling_ns += last_ns - boot_ns;
    }

    pub(super) fn summary(&mut self) -> Summary {
        let seconds = Duration::from_nanos(self.scheduling_ns).as_millis().max(1);
        let scheduled_per_s = u128::from(self.scheduled) * 1_000 / seconds;
        Summary {
            scheduled_per_s: u64::try_from(scheduled_per_s).unwrap_or(u64::MAX),
            lateness_full_load: Spread::of(&mut self.at_full_load),
            lateness_at_ease: Spread::of(&mut self.at_ease),
            lateness_missed: Spread::of(&mut self.missed),
            open: Spread::of(&mut self.opens),
            torn_bytes: self.torn_bytes,
        }
    }
}
