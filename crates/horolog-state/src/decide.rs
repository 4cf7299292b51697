//! From a command to the record that says what happened, or to a refusal. Pure: reads the state, changes nothing.
//!
//! `decide` is where specs and policies are evaluated; what it finds is written into the record as facts, so that a
//! replay needs neither the policy nor the clock. One command gives one record. What is due is decided in steps
//! ([`due`]): each step is a record, until the timer is delivered, ended, or due later.

use horolog_wheel::{Lookup, TimerId};

use crate::codec::RECORD_OVERHEAD_BYTES_MAX;
use crate::lsn::Lsn;
use crate::payload::PayloadView;
use crate::record::{
    Cancel, Complete, Dead, DeadReason, Deliver, Fail, FailCause, Put, Record, Reschedule, Skip, SkipReason,
    Terms,
};
use crate::spec::{Misfire, Retry, When, misfire_threshold_ticks, retry_due};
use crate::state::{Phase, Recurrence, State, TimerView};
use crate::time::{DueTime, Now, TickLen};

/// The most bytes of a handler's message that a record keeps.
pub const MESSAGE_BYTES_MAX: usize = 512;

/// The longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 1_024;

/// What the engine accepts at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Live timers, dead ones included.
    pub timers_max: usize,
    /// Bytes of one payload.
    pub payload_bytes_max: usize,
    /// Bytes of memory for all timers and payloads.
    pub memory_bytes_max: usize,
}

/// What to do when a key already names a timer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IfExists {
    /// Refuse, and name the timer that has the key.
    #[default]
    Error,
    /// Leave that timer as it is and answer with its id.
    Keep,
}

/// A timer as its user asks for it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// When it is due.
    pub when: When,
    /// The user's bytes.
    pub payload: PayloadView<'a>,
    /// The user's name for it.
    pub key: Option<&'a [u8]>,
    /// What to do when the key is taken.
    pub if_exists: IfExists,
    /// What happens when it is late.
    pub misfire: Misfire,
    /// How often it is tried.
    pub retry: Retry,
}

impl Request<'_> {
    /// A plain timer with an empty payload.
    #[must_use]
    pub fn new(when: When) -> Self {
        Self {
            when,
            payload: PayloadView::default(),
            key: None,
            if_exists: IfExists::default(),
            misfire: Misfire::default(),
            retry: Retry::default(),
        }
    }

    /// An upper bound for the bytes of its record that are encoded at once: all but a shared payload.
    #[must_use]
    pub fn inline_bytes_max(&self) -> usize {
        match self.payload {
            PayloadView::Bytes(_) => self.record_bytes_max(),
            PayloadView::Shared(payload) => self.record_bytes_max() - payload.len(),
        }
    }

    /// An upper bound for the bytes of its record.
    #[must_use]
    pub fn record_bytes_max(&self) -> usize {
        RECORD_OVERHEAD_BYTES_MAX + self.payload.len() + self.key.map_or(0, <[u8]>::len)
    }
}

/// Why a timer is not scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleRefusal {
    /// The payload is over the limit.
    #[error("the payload has {bytes} bytes and the limit is {payload_bytes_max}")]
    PayloadTooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        payload_bytes_max: usize,
    },
    /// A key has to have at least one byte.
    #[error("a key has to have at least one byte")]
    KeyEmpty,
    /// The key is over the limit.
    #[error("the key has {bytes} bytes and the limit is {key_bytes_max}")]
    KeyTooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        key_bytes_max: usize,
    },
    /// There are as many timers as there may be.
    #[error("there are {timers_max} timers, which is the limit")]
    TooManyTimers {
        /// The limit.
        timers_max: usize,
    },
    /// Timers and payloads take as much memory as they may.
    #[error("timers take {bytes} bytes of memory and the limit is {memory_bytes_max}")]
    MemoryFull {
        /// What they take.
        bytes: usize,
        /// The limit.
        memory_bytes_max: usize,
    },
    /// The key names a timer already.
    #[error("the key names timer {id} already")]
    KeyExists {
        /// That timer.
        id: TimerId,
        /// The record on which this answer rests.
        rests_on: Lsn,
    },
}

/// What scheduling comes to.
#[derive(Clone, Copy, Debug)]
pub enum ScheduleDecision<'a> {
    /// A new timer.
    Put(Put<'a>),
    /// The key names this timer, which is kept as it is.
    Kept {
        /// That timer.
        id: TimerId,
        /// The record on which this answer rests.
        rests_on: Lsn,
    },
}

/// Decides a new timer. `id` is reserved for it.
///
/// # Errors
///
/// A refusal that names the limit.
pub fn schedule<'a>(
    state: &State,
    request: &Request<'a>,
    limits: &Limits,
    id: TimerId,
    tick_len: TickLen,
    now: &Now,
) -> Result<ScheduleDecision<'a>, ScheduleRefusal> {
    check_sizes(request, limits)?;
    if let Some(existing) = request.key.and_then(|key| state.by_key(key)) {
        let (_, rests_on) = state.lookup(existing);
        return match request.if_exists {
            IfExists::Error => Err(ScheduleRefusal::KeyExists { id: existing, rests_on }),
            IfExists::Keep => Ok(ScheduleDecision::Kept { id: existing, rests_on }),
        };
    }
    check_room(state, request, limits)?;
    let resolved = request.when.resolve(tick_len, now);
    let plain = request.key.is_none()
        && resolved.grid.is_none()
        && request.misfire == Misfire::default()
        && request.retry == Retry::default();
    let terms = Terms {
        key: request.key.unwrap_or_default(),
        misfire: request.misfire,
        retry: request.retry,
        grid: resolved.grid,
    };
    Ok(ScheduleDecision::Put(Put {
        id,
        due: resolved.due,
        terms: (!plain).then_some(terms),
        payload: request.payload,
    }))
}

fn check_sizes(request: &Request<'_>, limits: &Limits) -> Result<(), ScheduleRefusal> {
    let bytes = request.payload.len();
    let payload_bytes_max = limits.payload_bytes_max;
    if bytes > payload_bytes_max {
        return Err(ScheduleRefusal::PayloadTooLarge { bytes, payload_bytes_max });
    }
    match request.key.map(<[u8]>::len) {
        Some(0) => Err(ScheduleRefusal::KeyEmpty),
        Some(bytes) if bytes > KEY_BYTES_MAX => {
            Err(ScheduleRefusal::KeyTooLong { bytes, key_bytes_max: KEY_BYTES_MAX })
        }
        _ => Ok(()),
    }
}

fn check_room(state: &State, request: &Request<'_>, limits: &Limits) -> Result<(), ScheduleRefusal> {
    if state.len() >= limits.timers_max {
        return Err(ScheduleRefusal::TooManyTimers { timers_max: limits.timers_max });
    }
    let bytes = state.bytes();
    if bytes.saturating_add(request.payload.len()) > limits.memory_bytes_max {
        return Err(ScheduleRefusal::MemoryFull { bytes, memory_bytes_max: limits.memory_bytes_max });
    }
    Ok(())
}

/// What a cancel came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CancelOutcome {
    /// It will not be delivered, ever again.
    Cancelled,
    /// An occurrence is with a consumer: it can still complete, but it is not tried again and no other one follows.
    InFlight,
    /// It ended before.
    AlreadyDone,
    /// No such timer was ever here.
    NotFound,
}

/// What cancelling comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CancelDecision {
    /// The record to write, unless nothing changes.
    pub record: Option<Cancel>,
    /// The answer.
    pub outcome: CancelOutcome,
    /// The record on which an answer without a record of its own rests.
    pub rests_on: Lsn,
}

/// Decides a cancel.
#[must_use]
pub fn cancel(state: &State, id: TimerId) -> CancelDecision {
    let (lookup, rests_on) = state.lookup(id);
    let (outcome, writes) = match (lookup, state.view(id)) {
        (Lookup::Live, Some(timer)) if timer.phase == Phase::Leased => {
            (CancelOutcome::InFlight, !timer.doomed)
        }
        (Lookup::Live, Some(_)) => (CancelOutcome::Cancelled, true),
        (Lookup::Ended, _) => (CancelOutcome::AlreadyDone, false),
        _ => (CancelOutcome::NotFound, false),
    };
    CancelDecision { record: writes.then_some(Cancel { id }), outcome, rests_on }
}

/// Why a timer is not rescheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RescheduleRefusal {
    /// No such timer was ever here.
    #[error("no such timer was ever here")]
    NotFound,
    /// It ended before.
    #[error("the timer ended before")]
    AlreadyDone {
        /// The record on which this answer rests.
        rests_on: Lsn,
    },
    /// An occurrence is with a consumer.
    #[error("the timer is in flight")]
    InFlight,
    /// Nothing moves the grid of a recurring timer.
    #[error("the timer recurs, and nothing moves its grid: cancel it and schedule another")]
    Recurring,
}

/// Decides another due time for a waiting or dead one-shot.
///
/// # Errors
///
/// A refusal that says what the timer is instead.
pub fn reschedule(state: &State, id: TimerId, due: DueTime) -> Result<Reschedule, RescheduleRefusal> {
    let (lookup, rests_on) = state.lookup(id);
    match (lookup, state.view(id)) {
        (Lookup::Live, Some(timer)) if timer.recurrence.is_some() => Err(RescheduleRefusal::Recurring),
        (Lookup::Live, Some(timer)) if timer.phase == Phase::Leased => Err(RescheduleRefusal::InFlight),
        (Lookup::Live, Some(_)) => Ok(Reschedule { id, due }),
        (Lookup::Ended, _) => Err(RescheduleRefusal::AlreadyDone { rests_on }),
        _ => Err(RescheduleRefusal::NotFound),
    }
}

/// The delivery that an outcome speaks of: an outcome counts only if this very delivery is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    /// The timer.
    pub id: TimerId,
    /// The occurrence.
    pub occurrence: u64,
    /// Which delivery of it.
    pub number: u32,
    /// The opening under which it was handed out.
    pub epoch: u64,
}

/// The delivery is not in flight: it ended before, or another process has opened the directory since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("delivery {} of occurrence {} of timer {} is not in flight", token.number, token.occurrence, token.id)]
pub struct StaleToken {
    /// The delivery.
    pub token: Token,
}

/// Decides that an occurrence is done.
///
/// # Errors
///
/// [`StaleToken`] if this delivery is not in flight.
pub fn complete(state: &State, token: Token) -> Result<Complete, StaleToken> {
    in_flight(state, token)?;
    Ok(Complete { id: token.id, occurrence: token.occurrence, number: token.number })
}

/// Decides what becomes of an occurrence whose delivery failed: tried again after a wait, or given up.
///
/// # Errors
///
/// [`StaleToken`] if this delivery is not in flight.
pub fn fail<'a>(
    state: &State,
    token: Token,
    cause: FailCause,
    message: &'a str,
    tick_len: TickLen,
    now: &Now,
) -> Result<Record<'a>, StaleToken> {
    let timer = in_flight(state, token)?;
    let message = clip(message);
    let failures = timer.failures.saturating_add(1);
    let retry = retry_due(&timer.retry, failures, tick_len, now);
    let give_up = |reason| Record::Dead(Dead { id: token.id, occurrence: token.occurrence, reason, message });
    let again = |retry| {
        Record::Fail(Fail {
            id: token.id,
            occurrence: token.occurrence,
            number: token.number,
            cause,
            retry,
            message,
        })
    };
    Ok(if timer.doomed {
        again(None)
    } else if failures >= timer.retry.failures_max.get() {
        give_up(DeadReason::Failures)
    } else if timer.deliveries >= timer.retry.deliveries_max.get() {
        give_up(DeadReason::Deliveries)
    } else if timer.recurrence.is_some_and(|r| now.ticks_until(retry) >= now.ticks_until(r.next_due)) {
        give_up(DeadReason::Superseded)
    } else {
        again(Some(retry))
    })
}

fn in_flight(state: &State, token: Token) -> Result<TimerView<'_>, StaleToken> {
    let stale = StaleToken { token };
    let timer = state.view(token.id).ok_or(stale)?;
    let occurrence = timer.recurrence.map_or(Some(0), |r| r.live.map(|live| live.index));
    let same = timer.phase == Phase::Leased
        && occurrence == Some(token.occurrence)
        && timer.deliveries == token.number
        && state.epoch() == token.epoch;
    if same { Ok(timer) } else { Err(stale) }
}

/// At most [`MESSAGE_BYTES_MAX`] bytes, cut between characters.
fn clip(message: &str) -> &str {
    let mut end = message.len().min(MESSAGE_BYTES_MAX);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message.get(..end).unwrap_or_default()
}

/// The next step for a timer that may be due: a record, or nothing because it is not due (any more).
///
/// Called again after each record was applied, until it gives a [`Record::Deliver`], or `None`.
#[must_use]
pub fn due(state: &State, id: TimerId, tick_len: TickLen, now: &Now) -> Option<Record<'static>> {
    let timer = state.view(id)?;
    if timer.doomed {
        return None;
    }
    match timer.recurrence {
        None => due_once(state, &timer, tick_len, now),
        Some(recurrence) => due_recurring(state, &timer, recurrence, tick_len, now),
    }
}

fn due_once(state: &State, timer: &TimerView<'_>, tick_len: TickLen, now: &Now) -> Option<Record<'static>> {
    if timer.phase != Phase::Waiting || !now.has_reached(timer.due) {
        return None;
    }
    if timer.deliveries >= timer.retry.deliveries_max.get() {
        return Some(exhausted(timer.id, 0));
    }
    let late = now.ticks_since(timer.due) > misfire_threshold_ticks(tick_len);
    if late && timer.misfire == Misfire::Skip && timer.deliveries == 0 {
        let reason = SkipReason::Misfire;
        return Some(Record::Skip(Skip { id: timer.id, from: 0, to: 0, reason, next_due: None }));
    }
    Some(deliver(state, timer, 0, 0, None))
}

fn due_recurring(
    state: &State,
    timer: &TimerView<'_>,
    recurrence: Recurrence,
    tick_len: TickLen,
    now: &Now,
) -> Option<Record<'static>> {
    let latest = latest_due(recurrence, tick_len, now);
    match recurrence.live {
        Some(_) if timer.phase == Phase::Leased => {
            latest.map(|latest| skip_through(timer, recurrence, SkipReason::Overlap, latest, tick_len))
        }
        Some(live) if latest.is_some() => Some(Record::Dead(Dead {
            id: timer.id,
            occurrence: live.index,
            reason: DeadReason::Superseded,
            message: "",
        })),
        Some(_) if !now.has_reached(timer.due) => None,
        Some(live) if timer.deliveries >= timer.retry.deliveries_max.get() => {
            Some(exhausted(timer.id, live.index))
        }
        Some(live) => Some(deliver(state, timer, live.index, live.covers_from, Some(recurrence.next_due))),
        None => latest.map(|latest| first_delivery(state, timer, recurrence, latest, tick_len, now)),
    }
}

/// One or more slots of the grid have come: the latest is delivered for all of them, or the late ones are skipped.
fn first_delivery(
    state: &State,
    timer: &TimerView<'_>,
    recurrence: Recurrence,
    latest: u64,
    tick_len: TickLen,
    now: &Now,
) -> Record<'static> {
    let from = recurrence.next_index;
    let late = now.ticks_since(recurrence.grid.due(tick_len, latest)) > misfire_threshold_ticks(tick_len);
    match timer.misfire {
        Misfire::Skip if late => skip_through(timer, recurrence, SkipReason::Misfire, latest, tick_len),
        Misfire::Skip if latest > from => {
            skip_through(timer, recurrence, SkipReason::Misfire, latest - 1, tick_len)
        }
        _ => {
            let next_due = recurrence.grid.due(tick_len, latest.saturating_add(1));
            deliver(state, timer, latest, from, Some(next_due))
        }
    }
}

/// Passes over the slots up to `to`.
fn skip_through(
    timer: &TimerView<'_>,
    recurrence: Recurrence,
    reason: SkipReason,
    to: u64,
    tick_len: TickLen,
) -> Record<'static> {
    let next_due = Some(recurrence.grid.due(tick_len, to.saturating_add(1)));
    Record::Skip(Skip { id: timer.id, from: recurrence.next_index, to, reason, next_due })
}

/// The latest slot that is still on the schedule and has come.
///
/// Asked of the grid and not of `next_due`: a slot beyond the end of time has the last tick as its due time, and never
/// comes. Nor does the slot with the last index, which none could follow.
fn latest_due(recurrence: Recurrence, tick_len: TickLen, now: &Now) -> Option<u64> {
    let latest = recurrence.grid.latest_due(tick_len, now.on(recurrence.grid.timeline))?.min(u64::MAX - 1);
    (latest >= recurrence.next_index).then_some(latest)
}

fn deliver(
    state: &State,
    timer: &TimerView<'_>,
    occurrence: u64,
    covers_from: u64,
    next_due: Option<DueTime>,
) -> Record<'static> {
    let again = timer.recurrence.is_none_or(|recurrence| recurrence.live.is_some());
    Record::Deliver(Deliver {
        id: timer.id,
        occurrence,
        covers_from,
        number: if again { timer.deliveries.saturating_add(1) } else { 1 },
        epoch: state.epoch(),
        next_due,
    })
}

fn exhausted(id: TimerId, occurrence: u64) -> Record<'static> {
    Record::Dead(Dead { id, occurrence, reason: DeadReason::Deliveries, message: "" })
}

#[cfg(test)]
mod tests;
