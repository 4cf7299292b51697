//! What an opening found.

use std::fmt;

use horolog_state::{Lsn, State};
use horolog_wal::{LogView, SnapshotRef};

/// What was found in a directory, what of it counts, and what was cut off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Openings before this one.
    pub epoch: u64,
    /// Segment files.
    pub segments: usize,
    /// Records that count, those that only a snapshot holds included.
    pub records: u64,
    /// The snapshot on which the replay began; records behind its `begin` were read.
    pub snapshot: Option<SnapshotRef>,
    /// Newer snapshots that could not be used: what stood in them was had from more of the log.
    pub snapshots_rotten: usize,
    /// The highest record that something on disk proves durable.
    pub durable: Lsn,
    /// The last record that was read.
    pub valid: Lsn,
    /// Bytes behind it that were never acknowledged: a write that a crash cut short.
    pub torn_bytes: u64,
    /// The process before this one shut down in order.
    pub clean: bool,
    /// Slots of META that do not count: damaged, or caught by a crash. An opening writes them anew.
    pub meta_bad_slots: u32,
    /// Live timers, dead ones included.
    pub timers: usize,
    /// Timers that were given up and stay listed.
    pub dead: usize,
    /// Occurrences that were in flight when the process before this one ended.
    pub in_flight: usize,
}

impl Report {
    pub(crate) fn new(log: &LogView<'_>, state: &State) -> Self {
        Self {
            epoch: state.epoch(),
            segments: log.segments.len(),
            records: state.applied().0,
            snapshot: None,
            snapshots_rotten: 0,
            durable: Lsn(log.durable.0),
            valid: Lsn(log.valid.0),
            torn_bytes: log.torn_bytes,
            clean: log.clean,
            meta_bad_slots: log.meta_bad_slots,
            timers: state.len(),
            dead: state.dead_len(),
            in_flight: usize::try_from(state.leased()).unwrap_or(usize::MAX),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.epoch == 0 {
            return f.write_str("a new directory");
        }
        write!(
            f,
            "{} timers ({} dead, {} in flight) from {} records in {} segments; durable to {}, read to {}; \
             {} torn bytes; {}",
            self.timers,
            self.dead,
            self.in_flight,
            self.records,
            self.segments,
            self.durable,
            self.valid,
            self.torn_bytes,
            if self.clean { "closed in order" } else { "not closed in order" },
        )?;
        if let Some(snapshot) = self.snapshot {
            write!(f, "; from snapshot {} at {} on", snapshot.id, snapshot.begin)?;
        }
        if self.snapshots_rotten > 0 {
            write!(f, "; {} newer snapshots cannot be used", self.snapshots_rotten)?;
        }
        if self.meta_bad_slots > 0 {
            write!(f, "; {} of 4 slots of META do not count", self.meta_bad_slots)?;
        }
        Ok(())
    }
}
