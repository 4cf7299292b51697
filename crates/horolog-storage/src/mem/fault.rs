//! Faults on order.

use std::io;

use crate::error::Op;

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The device answers with an error.
    Io,
    /// There is no room left.
    Full,
}

impl Fault {
    fn error(self) -> io::Error {
        match self {
            Self::Io => io::Error::other("simulated device error"),
            Self::Full => io::ErrorKind::StorageFull.into(),
        }
    }
}

/// Which operations will fail.
#[derive(Debug, Default)]
pub(super) struct Faults {
    planned: Vec<Planned>,
    halt_at: Option<u64>,
    changes: u64,
}

#[derive(Debug)]
struct Planned {
    op: Op,
    left: u64,
    fault: Fault,
}

impl Faults {
    pub(super) fn plan(&mut self, op: Op, after: u64, fault: Fault) {
        self.planned.push(Planned { op, left: after, fault });
    }

    pub(super) fn halt_after(&mut self, changes: u64) {
        self.halt_at = Some(self.changes.saturating_add(changes));
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// Lets an operation pass, or fails it.
    pub(super) fn pass(&mut self, op: Op) -> io::Result<()> {
        if is_change(op) && self.halted() {
            return Err(io::Error::other("the simulated machine is off"));
        }
        if let Some(fault) = self.due(op) {
            return Err(fault.error());
        }
        self.changes += u64::from(is_change(op));
        Ok(())
    }

    /// Whether the machine is off: then a failing operation leaves no trace.
    pub(super) fn halted(&self) -> bool {
        self.halt_at.is_some_and(|at| self.changes >= at)
    }

    /// Counts down every plan for `op`; the first that is over is used up.
    fn due(&mut self, op: Op) -> Option<Fault> {
        let now = self.planned.iter().position(|planned| planned.op == op && planned.left == 0);
        for planned in self.planned.iter_mut().filter(|planned| planned.op == op) {
            planned.left = planned.left.saturating_sub(1);
        }
        now.map(|index| self.planned.swap_remove(index).fault)
    }
}

fn is_change(op: Op) -> bool {
    matches!(op, Op::Write | Op::Sync | Op::Create | Op::Rename | Op::Remove | Op::SyncDir)
}
