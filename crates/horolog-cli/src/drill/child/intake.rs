//! Schedules and cancels at full speed: nothing here waits for the disk, only for room.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::Sender;
use horolog::{CancelError, Durability, ScheduleError, ScheduleFault, Ticket, Timer, TimerId, Unavailable};

use super::Life;
use super::witness::{Pending, hand_over};
use crate::drill::ledger::{Entry, Oddity};
use crate::drill::plan::{Dice, Plan};
use crate::error::Trouble;

/// Timers announced in one write of the ledger.
const CHUNK: u64 = 64;

/// The same in a calm life, and the pause after each.
const CALM_CHUNK: u64 = 8;
const CALM_PAUSE: Duration = Duration::from_millis(2);

/// Timers that may wait for their cancel; beyond it the oldest is cancelled.
const CONDEMNED_MAX: usize = 6_000;

/// Timers that are cancelled after each chunk, fewer than are condemned in it: so they wait long enough for some to come
/// due first.
const CANCELS_A_CHUNK: u64 = 40;

/// Timers of earlier lives that are cancelled after each chunk.
const CARRIED_A_CHUNK: usize = 4;

pub(super) fn run(life: &Life<'_>, carried: &[(u64, u64)], out: Sender<Pending>) -> Result<(), Trouble> {
    let mut intake = Intake {
        life,
        out,
        condemned: VecDeque::new(),
        carried: carried.iter().copied().collect(),
        dice: Dice::new(life.seed ^ life.next_serial.load(Ordering::Acquire)),
    };
    let chunk = if life.calm { CALM_CHUNK } else { CHUNK };
    while !life.failed()
        && let Some((first, count)) = life.take_serials(chunk)
    {
        intake.submit_chunk(first, count)?;
        intake.cancel_some()?;
        report_progress(first + count);
        if life.calm {
            pause(CALM_PAUSE);
        }
    }
    life.scheduler_done()?;
    while !life.failed() && intake.has_victims() {
        intake.cancel_some()?;
    }
    report_progress(u64::MAX);
    Ok(())
}

/// Tells the parent how far the work is. If the parent is gone, so is the reason to live, and the next life tells.
fn report_progress(next_serial: u64) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(&next_serial.to_le_bytes()).and_then(|()| stdout.flush());
}

struct Intake<'a> {
    life: &'a Life<'a>,
    out: Sender<Pending>,
    /// Timers of this life that are meant to be cancelled.
    condemned: VecDeque<(u64, TimerId)>,
    carried: VecDeque<(u64, u64)>,
    dice: Dice,
}

impl Intake<'_> {
    fn submit_chunk(&mut self, first: u64, count: u64) -> Result<(), Trouble> {
        let announced = u32::try_from(count).unwrap_or(u32::MAX);
        self.life.note(&[Entry::Submitting { serial: first, count: announced }])?;
        for serial in first..first + count {
            let plan = Plan::of(self.life.seed, serial);
            let Some(ticket) = self.submit(serial, self.life.timer(serial, &plan))? else { return Ok(()) };
            if plan.cancelled {
                self.condemned.push_back((serial, ticket.id()));
            }
            if !hand_over(&self.out, Pending::Schedule { serial, ticket }) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// `None` if the timer was refused for good.
    fn submit(&self, serial: u64, mut timer: Timer) -> Result<Option<Ticket<TimerId>>, Trouble> {
        loop {
            match self.life.engine.submit(timer) {
                Ok(ticket) => return Ok(Some(ticket)),
                Err(ScheduleError::NotScheduled(refused)) => match refused.fault {
                    ScheduleFault::Unavailable(Unavailable::Busy { .. }) => timer = *refused.timer,
                    ScheduleFault::Unavailable(unavailable) => return Err(Trouble::engine(unavailable)),
                    _ => {
                        self.life.note(&[Entry::Odd { serial, what: Oddity::Refused }])?;
                        return Ok(None);
                    }
                },
                Err(ScheduleError::Indeterminate(error)) => return Err(Trouble::engine(error)),
                Err(error) => return Err(Trouble::engine(error)),
            }
            self.wait_for_room()?;
        }
    }

    fn has_victims(&self) -> bool {
        !self.condemned.is_empty() || !self.carried.is_empty()
    }

    /// Room comes back with the next sync.
    fn wait_for_room(&self) -> Result<(), Trouble> {
        wait_for_sync(self.life)
    }

    /// Cancels what has waited long enough, in an order that is not that of scheduling, and some of earlier lives.
    fn cancel_some(&mut self) -> Result<(), Trouble> {
        let mut victims: Vec<(u64, TimerId)> = Vec::new();
        let excess = self.condemned.len().saturating_sub(CONDEMNED_MAX);
        let some = usize::try_from(self.dice.below(CANCELS_A_CHUNK)).unwrap_or(0).min(self.condemned.len());
        for _ in 0..excess.max(some) {
            let at = self.dice.below(self.condemned.len() as u64);
            victims.extend(usize::try_from(at).ok().and_then(|at| self.condemned.swap_remove_front(at)));
        }
        for (serial, raw) in self.carried.drain(..CARRIED_A_CHUNK.min(self.carried.len())) {
            victims.extend(TimerId::from_raw(raw).map(|id| (serial, id)));
        }
        let intents: Vec<Entry> = victims.iter().map(|&(serial, _)| Entry::Cancelling { serial }).collect();
        self.life.note(&intents)?;
        for (serial, id) in victims {
            let ticket = self.cancel(id)?;
            if !hand_over(&self.out, Pending::Cancel { serial, ticket }) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn cancel(&self, id: TimerId) -> Result<Ticket<horolog::CancelOutcome>, Trouble> {
        loop {
            match self.life.engine.submit_cancel(id, Durability::Synced) {
                Ok(ticket) => return Ok(ticket),
                Err(Unavailable::Busy { .. }) => self.wait_for_room()?,
                Err(unavailable) => return Err(Trouble::engine(unavailable)),
            }
        }
    }
}

/// Gives the disk a moment, after a call was refused for want of room.
pub(super) fn wait_for_sync(life: &Life<'_>) -> Result<(), Trouble> {
    pause(Duration::from_millis(1));
    if life.engine.stats().poisoned {
        return Err(Trouble::engine(CancelError::Unavailable(Unavailable::Closed)));
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "this paces the load: a calm life is calm by its pauses, and what was refused for want of room is not asked \
              again at once. Nothing relies on how long a pause is"
)]
fn pause(time: Duration) {
    // Nothing is ever sent but the end of the pause.
    let _ = crossbeam_channel::after(time).recv();
}
