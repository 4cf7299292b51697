//! What records give and have not given yet: each release waits for the position of its record.

use horolog_state::{Lsn, TimerId};

use super::queue::Queue;

/// How far a record has to have come before something rests on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// In the page cache: it survives the death of the process.
    Written,
    /// On the medium: it survives a power cut.
    Durable,
}

/// What is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    /// The timer goes into its wheel.
    Arm,
    /// The occurrence goes to a consumer.
    HandOut,
    /// The slot may be used again.
    Free,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Release {
    pub(crate) lsn: Lsn,
    pub(crate) id: TimerId,
    pub(crate) given: Given,
}

/// Two queues in LSN order, one a level.
#[derive(Debug, Default)]
pub(crate) struct Releases {
    on_written: Queue<Release>,
    on_durable: Queue<Release>,
}

impl Releases {
    pub(crate) fn push(&mut self, level: Level, release: Release) {
        match level {
            Level::Written => self.on_written.push_back(release),
            Level::Durable => self.on_durable.push_back(release),
        }
    }

    /// The next release whose record has come far enough.
    pub(crate) fn pop(&mut self, written: Lsn, durable: Lsn) -> Option<Release> {
        pop_up_to(&mut self.on_written, written).or_else(|| pop_up_to(&mut self.on_durable, durable))
    }

    /// Whether [`Releases::pop`] would give one.
    pub(crate) fn any(&self, written: Lsn, durable: Lsn) -> bool {
        self.on_written.front().is_some_and(|release| release.lsn <= written)
            || self.on_durable.front().is_some_and(|release| release.lsn <= durable)
    }
}

fn pop_up_to(queue: &mut Queue<Release>, position: Lsn) -> Option<Release> {
    if queue.front()?.lsn <= position { queue.pop_front() } else { None }
}
