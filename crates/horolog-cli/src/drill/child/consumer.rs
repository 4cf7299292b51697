//! Receives what is due and says what came of it.

use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use horolog::{Batch, BatchFault, Due, OutcomeError, OutcomeFault, Unavailable};

use super::intake::wait_for_sync;
use super::witness::{Pending, hand_over};
use super::{Life, key_of};
use crate::drill::ledger::{Alien, Entry, Oddity};
use crate::drill::payload::{self, Claim};
use crate::drill::plan::{Plan, Treatment};
use crate::error::Trouble;

/// Deliveries noted in one write of the ledger at most.
const CHUNK: usize = 64;

/// How often the last life looks whether anything is left.
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(super) fn run(life: &Life<'_>, out: &Sender<Pending>) -> Result<(), Trouble> {
    let due = life.engine.due();
    while !life.failed() {
        match due.recv_timeout(LOOK_EVERY) {
            Ok(first) => take(life, first, &due, out)?,
            Err(RecvTimeoutError::Timeout) if life.last && nothing_left(life) => return Ok(()),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
    Ok(())
}

/// Dead timers stay listed and are not waited for.
fn nothing_left(life: &Life<'_>) -> bool {
    life.all_submitted() && life.engine.stats().timers == life.engine.dead().len() as u64
}

/// A delivery with what is known of it.
struct Taken {
    due: Due,
    serial: u64,
    treatment: Treatment,
    followed: bool,
}

/// Writes the receipt of some deliveries down before anything is done with them.
fn take(life: &Life<'_>, first: Due, more: &Receiver<Due>, out: &Sender<Pending>) -> Result<(), Trouble> {
    let mut entries = Vec::with_capacity(CHUNK);
    let dues = std::iter::once(first).chain(more.try_iter()).take(CHUNK);
    let taken: Vec<Taken> = dues.filter_map(|due| receive(life, due, &mut entries)).collect();
    life.note(&entries)?;
    for taken in taken {
        treat(life, taken, out)?;
    }
    Ok(())
}

/// `None` for what nobody scheduled: it is noted, and given back.
fn receive(life: &Life<'_>, due: Due, entries: &mut Vec<Entry>) -> Option<Taken> {
    let (id, len) = (due.id().raw(), due.payload().len() as u64);
    let Some(Claim { serial, deadline_ns, axis }) = payload::decode(life.seed, due.payload()) else {
        entries.push(Entry::Foreign { id, len, what: Alien::Payload });
        return None;
    };
    let now_ns = life.now_ns(axis);
    let plan = Plan::of(life.seed, serial);
    let key = if plan.keyed { key_of(serial) } else { String::new() };
    if due.key() != key.as_bytes() {
        entries.push(Entry::Foreign { id, len, what: Alien::Key });
    }
    let attempt = due.attempt();
    let treatment = if attempt == 1 { plan.first } else { Treatment::Complete };
    entries.push(Entry::Received { serial, attempt, treatment, axis, deadline_ns, now_ns });
    Some(Taken { due, serial, treatment, followed: plan.followed })
}

fn treat(life: &Life<'_>, taken: Taken, out: &Sender<Pending>) -> Result<(), Trouble> {
    let Taken { due, serial, treatment, followed } = taken;
    match treatment {
        Treatment::Complete if followed => follow(life, serial, due, out),
        Treatment::Complete => complete(life, serial, due, out),
        Treatment::Fail => fail(life, serial, due),
        Treatment::Drop => {
            drop(due);
            Ok(())
        }
    }
}

fn complete(life: &Life<'_>, serial: u64, mut due: Due, out: &Sender<Pending>) -> Result<(), Trouble> {
    loop {
        match due.complete() {
            Ok(ticket) => {
                hand_over(out, Pending::Complete { serial, ticket });
                return Ok(());
            }
            Err(refused) => match again(life, serial, refused)? {
                Some(back) => due = back,
                None => return Ok(()),
            },
        }
    }
}

fn fail(life: &Life<'_>, serial: u64, mut due: Due) -> Result<(), Trouble> {
    loop {
        match due.fail("the drill gives this one back") {
            Ok(_ticket) => return Ok(()),
            Err(refused) => match again(life, serial, refused)? {
                Some(back) => due = back,
                None => return Ok(()),
            },
        }
    }
}

/// Without room the outcome is said again later; an occurrence that is in flight and cannot be ended is not in order.
fn again(life: &Life<'_>, serial: u64, refused: OutcomeError) -> Result<Option<Due>, Trouble> {
    match refused.fault {
        OutcomeFault::Unavailable(Unavailable::Busy { .. }) => {
            wait_for_sync(life)?;
            Ok(Some(*refused.due))
        }
        OutcomeFault::Unavailable(unavailable) => Err(Trouble::engine(unavailable)),
        _ => {
            life.note(&[Entry::Odd { serial, what: Oddity::OutcomeRefused }])?;
            Ok(None)
        }
    }
}

/// Completes it and schedules another timer, both or neither.
fn follow(life: &Life<'_>, after: u64, due: Due, out: &Sender<Pending>) -> Result<(), Trouble> {
    let Some((serial, _)) = life.take_serials(1) else { return complete(life, after, due, out) };
    life.note(&[Entry::Following { serial, after }])?;
    let next = life.timer(serial, &Plan::of(life.seed, serial));
    let mut batch = Batch::new().complete(due).schedule(next);
    loop {
        match life.engine.submit_batch(batch) {
            Ok(ticket) => {
                hand_over(out, Pending::Batch { serial, completes: Some(after), ticket });
                return Ok(());
            }
            Err(refused) => match refused.fault {
                BatchFault::Unavailable(Unavailable::Busy { .. }) => batch = *refused.batch,
                fault => return Err(Trouble::engine(fault)),
            },
        }
        wait_for_sync(life)?;
    }
}
