//! Blocking calls, one after another, as a service with few users makes them.

use std::time::Duration;

use crossbeam_channel::Sender;
use horolog::{
    ApplyBatchError, Batch, BatchFault, CancelError, Clock, DueAt, IfExists, RescheduleError, ScheduleError,
    ScheduleFault, Timer, TimerId, Unavailable,
};

use super::intake::wait_for_sync;
use super::witness::{self, Pending};
use super::{Life, key_of};
use crate::drill::ledger::{Entry, Oddity};
use crate::drill::plan::{Axis, Dice, Plan};
use crate::error::Trouble;

/// A key is asked for again only while its timer has this long to go: then it has not ended.
const KEPT_FOR_MS: u64 = 1_000;

/// When a timer would be due that must never come to be.
const NEVER: Duration = Duration::from_secs(3_600);

pub(super) fn run(life: &Life<'_>, out: &Sender<Pending>) -> Result<(), Trouble> {
    let mut dice = Dice::new(life.seed.rotate_left(32) ^ life.clock.times().boottime_ns);
    while !life.failed() {
        let room = if dice.one_in(4) { 2 + dice.below(3) } else { 1 };
        let Some((first, count)) = life.take_serials(room) else { break };
        if count > 1 { batch(life, first, count)? } else { single(life, first, &mut dice)? }
    }
    // Held until the end, so that the witness knows that more may come.
    let _ = out;
    life.scheduler_done()
}

/// All or none of the timers; the plan of these is to be completed, whatever their serial numbers say of cancels.
fn batch(life: &Life<'_>, first: u64, count: u64) -> Result<(), Trouble> {
    let announced = u32::try_from(count).unwrap_or(u32::MAX);
    life.note(&[Entry::Batching { serial: first, count: announced }])?;
    let timers = (first..first + count).map(|serial| life.timer(serial, &Plan::of(life.seed, serial)));
    let mut batch = timers.fold(Batch::new(), Batch::schedule);
    loop {
        match life.engine.apply(batch) {
            Ok(applied) => {
                let mut entries = Vec::new();
                witness::batch(first, None, &applied, life.clock.times().boottime_ns, &mut entries);
                return life.note(&entries);
            }
            Err(ApplyBatchError::NotApplied(refused)) => match refused.fault {
                BatchFault::Unavailable(Unavailable::Busy { .. }) => batch = *refused.batch,
                fault => return Err(Trouble::engine(fault)),
            },
            Err(error) => return Err(Trouble::engine(error)),
        }
        wait_for_sync(life)?;
    }
}

fn single(life: &Life<'_>, serial: u64, dice: &mut Dice) -> Result<(), Trouble> {
    let plan = Plan::of(life.seed, serial);
    life.note(&[Entry::Submitting { serial, count: 1 }])?;
    let Some(id) = schedule(life, serial, life.timer(serial, &plan))? else { return Ok(()) };
    life.note(&[Entry::Scheduled { serial, id: id.raw(), boot_ns: life.clock.times().boottime_ns }])?;
    if plan.keyed && plan.delay_ms > KEPT_FOR_MS {
        keep(life, serial, id)?;
    }
    match plan.cancelled {
        true => cancel(life, serial, id),
        false if dice.one_in(4) => reschedule(life, serial, id, &plan, dice.below(300)),
        false => Ok(()),
    }
}

/// `None` if the timer was refused for good.
fn schedule(life: &Life<'_>, serial: u64, mut timer: Timer) -> Result<Option<TimerId>, Trouble> {
    loop {
        match life.engine.schedule(timer) {
            Ok(id) => return Ok(Some(id)),
            Err(ScheduleError::NotScheduled(refused)) => match refused.fault {
                ScheduleFault::Unavailable(Unavailable::Busy { .. }) => timer = *refused.timer,
                ScheduleFault::Unavailable(unavailable) => return Err(Trouble::engine(unavailable)),
                _ => {
                    life.note(&[Entry::Odd { serial, what: Oddity::Refused }])?;
                    return Ok(None);
                }
            },
            Err(error) => return Err(Trouble::engine(error)),
        }
        wait_for_sync(life)?;
    }
}

/// The key has a timer, and that timer is the answer.
fn keep(life: &Life<'_>, serial: u64, id: TimerId) -> Result<(), Trouble> {
    let again = Timer::after(NEVER).key(key_of(serial)).if_exists(IfExists::Keep);
    match schedule(life, serial, again)? {
        Some(other) if other != id => {
            // This process may have stood still until the first one was over; then a second one is right.
            let wrong = life.engine.get(id).is_some();
            life.engine.cancel(other).map_err(Trouble::engine)?;
            if wrong { life.note(&[Entry::Odd { serial, what: Oddity::KeptAnother }]) } else { Ok(()) }
        }
        _ => Ok(()),
    }
}

fn cancel(life: &Life<'_>, serial: u64, id: TimerId) -> Result<(), Trouble> {
    life.note(&[Entry::Cancelling { serial }])?;
    loop {
        match life.engine.cancel(id) {
            Ok(outcome) => return life.note(&[Entry::CancelAnswered { serial, outcome }]),
            Err(CancelError::Unavailable(Unavailable::Busy { .. })) => wait_for_sync(life)?,
            Err(error) => return Err(Trouble::engine(error)),
        }
    }
}

/// Later, never earlier: so the deadline in the payload stays a true lower bound.
fn reschedule(life: &Life<'_>, serial: u64, id: TimerId, plan: &Plan, later_ms: u64) -> Result<(), Trouble> {
    let delay = Duration::from_millis(plan.delay_ms + later_ms);
    let deadline_ns = life.now_ns(plan.axis) + u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
    let due = match plan.axis {
        Axis::Wall => DueAt::At(std::time::UNIX_EPOCH + Duration::from_nanos(deadline_ns)),
        Axis::Boot => DueAt::After(delay),
    };
    life.note(&[Entry::Rescheduling { serial, deadline_ns }])?;
    match life.engine.reschedule(id, due) {
        Ok(()) => life.note(&[Entry::Rescheduled { serial, deadline_ns }]),
        // It came due before it could be moved, or there was no room: it keeps its time.
        Err(RescheduleError::Refused(_) | RescheduleError::Unavailable(Unavailable::Busy { .. })) => Ok(()),
        Err(error) => Err(Trouble::engine(error)),
    }
}
