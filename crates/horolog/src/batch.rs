//! Operations that happen together or not at all.

use horolog_state::TimerId;

use crate::due::Due;
use crate::timer::{Durability, Timer};

/// Operations to be carried out as one: after a crash either all of them count, or none.
///
/// All are decided before any is applied, so a timer, a key or an occurrence may be named once.
///
/// ```no_run
/// # fn done(engine: &horolog::Engine, due: horolog::Due, other: horolog::TimerId) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use horolog::{Batch, Timer};
///
/// let follow_up = Timer::after(Duration::from_secs(3600)).payload(b"second reminder");
/// engine.apply(Batch::new().complete(due).schedule(follow_up).cancel(other))?;
/// # Ok(()) }
/// ```
#[derive(Debug, Default)]
#[must_use = "a batch does nothing until it is applied"]
pub struct Batch {
    pub(crate) operations: Vec<BatchOperation>,
    pub(crate) durability: Durability,
}

#[derive(Debug)]
pub(crate) enum BatchOperation {
    Schedule(Timer),
    Cancel(TimerId),
    Complete(Due),
}

impl Batch {
    /// Without any operation.
    pub fn new() -> Self {
        Self::default()
    }

    /// Schedules a timer. The durability of the batch counts, not the timer's own.
    pub fn schedule(mut self, timer: Timer) -> Self {
        self.operations.push(BatchOperation::Schedule(timer));
        self
    }

    /// Cancels a timer.
    pub fn cancel(mut self, id: TimerId) -> Self {
        self.operations.push(BatchOperation::Cancel(id));
        self
    }

    /// Completes an occurrence.
    pub fn complete(mut self, due: Due) -> Self {
        self.operations.push(BatchOperation::Complete(due));
        self
    }

    /// How safe the batch is before it is answered. Default: [`Durability::Synced`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How many operations it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// The occurrences of a batch that was carried out are done: dropping them means nothing.
    pub(crate) fn settle(self) {
        for operation in self.operations {
            if let BatchOperation::Complete(due) = operation {
                due.settle();
            }
        }
    }
}
