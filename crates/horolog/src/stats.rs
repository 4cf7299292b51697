//! What an engine says about itself.

use std::time::SystemTime;

use horolog_state::{DeadReason, Payload, Phase, TimerId, Totals};

/// Figures of an open engine, all from one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// The last record that these figures include. It may not be durable yet.
    pub as_of: u64,
    /// The last record written: it survives the death of the process.
    pub written: u64,
    /// The last record synced: it survives a power cut.
    pub durable: u64,
    /// The number of this opening.
    pub epoch: u64,
    /// Live timers, dead ones included.
    pub timers: u64,
    /// Timers whose time has come and whose consumer has not. Cancelled ones may still be counted for a while.
    pub ready: u64,
    /// Of those, timers that came due while nothing ran.
    pub backlog: u64,
    /// Occurrences in flight: handed out and not ended, or on their way.
    pub in_flight: u64,
    /// Bytes of memory for timers and payloads.
    pub memory_bytes: u64,
    /// Bytes of records that are not synced yet.
    pub unsynced_bytes: u64,
    /// Times the wall clock was set by more than half a second.
    pub clock_steps: u64,
    /// Spare segments that could not be prepared.
    pub spare_failures: u64,
    /// Snapshots made since the opening.
    pub snapshots: u64,
    /// Snapshots that could not be made. Those from before stay, and it is tried again.
    pub snapshot_failures: u64,
    /// Writing has stopped: a write or a sync failed.
    pub poisoned: bool,
    /// Timers scheduled, since the directory was created; so are the figures below.
    pub scheduled: u64,
    /// Timers cancelled.
    pub cancelled: u64,
    /// Deliveries, repeated ones included.
    pub deliveries: u64,
    /// Occurrences completed.
    pub completed: u64,
    /// Deliveries that failed and were to be tried again.
    pub failures: u64,
    /// Occurrences given up.
    pub dead: u64,
    /// Occurrences passed over because they were late and their policy said so.
    pub skipped_misfire: u64,
    /// Occurrences passed over because the one before was in flight.
    pub skipped_overlap: u64,
    /// Occurrences that a later one stood for.
    pub coalesced: u64,
}

impl Stats {
    pub(crate) fn with_totals(self, totals: Totals) -> Self {
        Self {
            scheduled: totals.scheduled,
            cancelled: totals.cancelled,
            deliveries: totals.deliveries,
            completed: totals.completed,
            failures: totals.failures,
            dead: totals.dead,
            skipped_misfire: totals.skipped_misfire,
            skipped_overlap: totals.skipped_overlap,
            coalesced: totals.coalesced,
            ..self
        }
    }
}

/// A live timer, as it was at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimerInfo {
    /// Its id.
    pub id: TimerId,
    /// Where it stands.
    pub phase: Phase,
    /// When it is due next, or was.
    pub deadline: SystemTime,
    /// Deliveries of the present occurrence.
    pub deliveries: u32,
    /// Failures of the present occurrence.
    pub failures: u32,
    /// It is cancelled, and ends with the occurrence in flight.
    pub cancelled: bool,
    /// When the next occurrence on its grid is due, if it recurs; `deadline` may be a retry's instead.
    pub next_slot: Option<SystemTime>,
    /// Its key; empty if it has none.
    pub key: Vec<u8>,
    /// Its payload.
    pub payload: Payload,
    /// The last record that this answer includes. It may not be durable yet.
    pub as_of: u64,
}

/// A timer, or an occurrence of a recurring one, that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadInfo {
    /// The timer. Rescheduling it gives a one-shot a new life; cancelling it forgets it.
    pub id: TimerId,
    /// The occurrence: 0 for a one-shot.
    pub occurrence: u64,
    /// Why.
    pub reason: DeadReason,
    /// How often it was delivered.
    pub deliveries: u32,
    /// The last words of its handler.
    pub message: String,
    /// The timer's key; empty if it has none.
    pub key: Vec<u8>,
    /// Its payload.
    pub payload: Payload,
}
