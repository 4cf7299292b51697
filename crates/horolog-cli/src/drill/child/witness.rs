//! Waits for tickets and writes down what they answered.

use crossbeam_channel::{Receiver, Sender};
use horolog::{Applied, CancelOutcome, Clock, Indeterminate, Ticket, TimerId};

use super::Life;
use crate::drill::ledger::{Entry, Oddity};
use crate::error::Trouble;

/// Acknowledgements in one write of the ledger at most.
const ENTRIES_MAX: usize = 512;

/// An answer that is on its way.
pub(super) enum Pending {
    Schedule {
        serial: u64,
        ticket: Ticket<TimerId>,
    },
    Cancel {
        serial: u64,
        ticket: Ticket<CancelOutcome>,
    },
    Complete {
        serial: u64,
        ticket: Ticket<()>,
    },
    /// Timers from `serial` on, in this order, and maybe the completion of another one.
    Batch {
        serial: u64,
        completes: Option<u64>,
        ticket: Ticket<Vec<Applied>>,
    },
}

/// Hands a pending answer to the witness. It is gone only when the life has failed.
pub(super) fn hand_over(out: &Sender<Pending>, pending: Pending) -> bool {
    out.send(pending).is_ok()
}

/// Until every other thread is done. Answers come nearly in the order of their records, so waiting for one by one costs
/// next to nothing.
pub(super) fn run(life: &Life<'_>, pending: &Receiver<Pending>) -> Result<(), Trouble> {
    let mut entries = Vec::with_capacity(ENTRIES_MAX);
    while let Ok(first) = pending.recv() {
        let boot_ns = life.clock.times().boottime_ns;
        for pending in std::iter::once(first).chain(pending.try_iter()) {
            witness(&pending, boot_ns, &mut entries);
            if entries.len() >= ENTRIES_MAX {
                break;
            }
        }
        life.note(&entries)?;
        entries.clear();
    }
    Ok(())
}

fn witness(pending: &Pending, boot_ns: u64, entries: &mut Vec<Entry>) {
    let seen = match pending {
        Pending::Schedule { serial, ticket } => ticket.wait().map(|id| {
            entries.push(Entry::Scheduled { serial: *serial, id: id.raw(), boot_ns });
        }),
        Pending::Cancel { serial, ticket } => ticket.wait().map(|outcome| {
            entries.push(Entry::CancelAnswered { serial: *serial, outcome });
        }),
        Pending::Complete { serial, ticket } => ticket.wait().map(|()| {
            entries.push(Entry::Completed { serial: *serial });
        }),
        Pending::Batch { serial, completes, ticket } => ticket.wait().map(|applied| {
            batch(*serial, *completes, &applied, boot_ns, entries);
        }),
    };
    if let Err(Indeterminate { .. }) = seen {
        let (Pending::Schedule { serial, .. }
        | Pending::Cancel { serial, .. }
        | Pending::Complete { serial, .. }
        | Pending::Batch { serial, .. }) = pending;
        entries.push(Entry::Odd { serial: *serial, what: Oddity::Indeterminate });
    }
}

/// What a batch did, as one note a timer.
pub(super) fn batch(
    first: u64,
    completes: Option<u64>,
    applied: &[Applied],
    boot_ns: u64,
    entries: &mut Vec<Entry>,
) {
    entries.extend(completes.map(|serial| Entry::Completed { serial }));
    let ids = applied.iter().filter_map(|applied| match applied {
        Applied::Scheduled(id) => Some(id.raw()),
        _ => None,
    });
    entries.extend((first..).zip(ids).map(|(serial, id)| Entry::Scheduled { serial, id, boot_ns }));
}
