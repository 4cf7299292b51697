//! What callers and consumers know: the model against which states and deliveries are held.
//!
//! It shares no rule with the engine but how a request's time is resolved. Each fact carries the record it came by, so that a
//! crash takes back exactly what it took from the log.

use std::collections::{BTreeMap, BTreeSet};

use horolog_state::{DueTime, Grid, Lsn, Now, Payload, Phase, State, TickLen, TimerId, TimerView};

use super::TICK_LEN;
use super::verdict::Invariant;
use crate::machine::Begun;

/// Whether a recurring timer has come while the run came to its end.
#[derive(Clone, Copy, Debug)]
enum Owed {
    /// It was not due.
    NotYet,
    Due,
    Came,
}

/// What is known of one timer.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    put: Lsn,
    payload: Payload,
    grid: Option<Grid>,
    /// It may end by itself: it is skipped when it is late.
    skips: bool,
    dues: Vec<(Lsn, DueTime)>,
    cancelled: Option<Lsn>,
    /// Cancelled while an occurrence was in flight, in this life of the engine.
    doomed: Option<(Lsn, u64)>,
    /// Completed occurrences; of a one-shot there is one.
    completed: Vec<(Lsn, u64)>,
    /// The last delivery received, by occurrence and number.
    received: Option<(u64, u32)>,
    /// Recurring, and it was due while the run came to its end.
    owed: Owed,
    /// It waits for a retry since this record, or was given up: its due time is the engine's affair.
    failed: Option<Lsn>,
}

impl Expected {
    pub(crate) fn new(put: Lsn, payload: Payload, due: DueTime, grid: Option<Grid>, skips: bool) -> Self {
        Self {
            put,
            payload,
            grid,
            skips,
            dues: vec![(put, due)],
            cancelled: None,
            doomed: None,
            completed: Vec::new(),
            received: None,
            owed: Owed::NotYet,
            failed: None,
        }
    }

    fn has_ended(&self) -> bool {
        self.cancelled.is_some() || (self.grid.is_none() && !self.completed.is_empty())
    }

    fn never_comes(&self) -> bool {
        let at_the_end = self.dues.last().is_some_and(|(_, due)| due.tick.0 == u64::MAX);
        at_the_end && self.failed.is_none()
    }
}

/// Why a fact does not hold.
type Wrong = (Invariant, String);

/// All timers that callers know of.
#[derive(Debug, Default)]
pub(crate) struct Model {
    timers: BTreeMap<TimerId, Expected>,
    /// All ids that were ever given out, those too that a crash has taken back.
    given: BTreeSet<TimerId>,
    /// The backlog of the last opening, each with its place in it.
    backlog: BTreeMap<TimerId, usize>,
    /// The place of the last of them that was delivered.
    backlog_at: usize,
}

impl Model {
    pub(crate) fn expect(&mut self, id: TimerId, expected: Expected) -> Result<(), Wrong> {
        self.timers.insert(id, expected);
        if self.given.insert(id) {
            Ok(())
        } else {
            Err((Invariant::I3, format!("the id {id} was given twice")))
        }
    }

    /// The timer of an index, and how many there are.
    pub(crate) fn id(&self, nth: u32) -> Option<TimerId> {
        let at = (nth as usize).checked_rem(self.timers.len())?;
        self.timers.keys().nth(at).copied()
    }

    pub(crate) fn cancelled(&mut self, id: TimerId, lsn: Lsn) -> Result<(), Wrong> {
        let Some(expected) = self.timers.get_mut(&id) else { return Ok(()) };
        if expected.has_ended() {
            return Err((Invariant::I3, format!("{id} was ended twice")));
        }
        expected.cancelled = Some(lsn);
        Ok(())
    }

    pub(crate) fn doomed(&mut self, id: TimerId, lsn: Lsn, epoch: u64) {
        self.note(id, |expected| {
            expected.doomed.get_or_insert((lsn, epoch));
        });
    }

    pub(crate) fn moved(&mut self, id: TimerId, lsn: Lsn, due: DueTime) {
        self.backlog.remove(&id);
        self.note(id, |expected| {
            expected.dues.push((lsn, due));
            (expected.failed, expected.received) = (None, None);
        });
    }

    pub(crate) fn completed(&mut self, id: TimerId, lsn: Lsn, occurrence: u64) {
        self.note(id, |expected| expected.completed.push((lsn, occurrence)));
    }

    pub(crate) fn failed(&mut self, id: TimerId, lsn: Lsn) {
        self.note(id, |expected| expected.failed = Some(lsn));
    }

    fn note(&mut self, id: TimerId, change: impl FnOnce(&mut Expected)) {
        if let Some(expected) = self.timers.get_mut(&id) {
            change(expected);
        }
    }

    /// I3: never early, never a cancelled one, never a completed one again, and the backlog in order. `latest` is the present
    /// with the wall clock at its highest.
    pub(crate) fn received(&mut self, begun: &Begun, latest: &Now) -> Result<(), Wrong> {
        let token = begun.token;
        let wrong = |what: &str| Err((Invariant::I3, format!("{token:?} {what}")));
        let Some(expected) = self.timers.get_mut(&token.id) else { return wrong("is of no timer of ours") };
        if *begun.payload != *expected.payload {
            return wrong("has another payload");
        }
        if expected.completed.iter().any(|&(_, occurrence)| occurrence == token.occurrence) {
            return wrong("was completed and is delivered again");
        }
        if expected.cancelled.is_some() {
            return wrong("was cancelled and is delivered");
        }
        if expected.doomed.is_some_and(|(_, epoch)| epoch < token.epoch) {
            return wrong("was cancelled in flight in an earlier life and is delivered");
        }
        let due = match (expected.grid, expected.dues.last()) {
            (Some(grid), _) => grid.due(TICK_LEN, token.occurrence),
            (None, Some(&(_, due))) => due,
            (None, None) => return wrong("has no due time"),
        };
        if token.number == 1 && !latest.has_reached(due) {
            return wrong("is early");
        }
        let this = (token.occurrence, token.number);
        if expected.received.is_some_and(|last| last >= this) {
            return wrong("does not count its deliveries upwards");
        }
        expected.received = Some(this);
        expected.owed = Owed::Came;
        match self.backlog.remove(&token.id) {
            Some(place) if place < self.backlog_at => wrong("comes after later ones of the backlog"),
            Some(place) => {
                self.backlog_at = place;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The order in which an opening must hand out what came due while nothing ran: the longest late first, then by record.
    pub(crate) fn open(&mut self, state: &State, now: &Now) {
        let waiting = state.timers().filter(|timer| timer.phase == Phase::Waiting && !timer.suspect);
        // A recurring one may pass over what it missed and come later for another occurrence.
        let mut late: Vec<_> = waiting
            .filter(|timer| timer.recurrence.is_none())
            .filter(|timer| now.has_reached(timer.due))
            .map(|timer| (std::cmp::Reverse(now.ticks_since(timer.due)), timer.lsn, timer.id))
            .collect();
        late.sort_unstable();
        self.backlog = late.into_iter().enumerate().map(|(place, (_, _, id))| (id, place)).collect();
        self.backlog_at = 0;
    }

    /// The wall clock was set back: some of the backlog may be due later now.
    pub(crate) fn clock_set_back(&mut self) {
        self.backlog.clear();
    }

    /// A disk that lied, or damage, may have taken what says which ids were given out.
    pub(crate) fn forget_ids(&mut self) {
        self.given = self.timers.keys().copied().collect();
    }

    /// What was not read back never happened. `forgot` says that deliveries which consumers saw may be gone too.
    pub(crate) fn forget_after(&mut self, valid: Lsn, forgot: bool) {
        self.timers.retain(|_, expected| expected.put <= valid);
        for expected in self.timers.values_mut() {
            expected.cancelled = expected.cancelled.filter(|&lsn| lsn <= valid);
            expected.doomed = expected.doomed.filter(|&(lsn, _)| lsn <= valid);
            expected.completed.retain(|&(lsn, _)| lsn <= valid);
            expected.dues.retain(|&(lsn, _)| lsn <= valid);
            expected.failed = expected.failed.filter(|&lsn| lsn <= valid);
            if forgot {
                expected.received = None;
            }
        }
        // A delivery that is gone may have failed: its retry is, too.
        self.backlog.clear();
    }

    /// I1, I2: a state that was read holds what callers know, and nothing else.
    pub(crate) fn agrees(&self, state: &State) -> Result<(), Wrong> {
        for (id, expected) in &self.timers {
            self.agrees_on(*id, expected, state)?;
        }
        match state.timers().find(|timer| !self.timers.contains_key(&timer.id)) {
            Some(timer) => Err((Invariant::I2, format!("{} is there and was never scheduled", timer.id))),
            None => Ok(()),
        }
    }

    fn agrees_on(&self, id: TimerId, expected: &Expected, state: &State) -> Result<(), Wrong> {
        let Some(timer) = state.view(id) else {
            let may_end = expected.has_ended() || expected.doomed.is_some() || expected.skips;
            return if may_end { Ok(()) } else { Err((Invariant::I1, format!("{id} is lost"))) };
        };
        let wrong = |invariant, what: &str| Err((invariant, format!("{id} {what}: {timer:?}")));
        if expected.has_ended() && !timer.doomed {
            return wrong(Invariant::I1, "was ended and lives");
        }
        if timer.payload != &*expected.payload {
            return wrong(Invariant::I2, "has another payload");
        }
        let untouched = timer.phase == Phase::Waiting && timer.deliveries == 0 && expected.grid.is_none();
        if untouched && expected.dues.last().is_some_and(|&(_, due)| due != timer.due) {
            return wrong(Invariant::I2, "has another due time");
        }
        let tries = timer.retry;
        let tried =
            timer.failures + 1 >= tries.failures_max.get() || timer.deliveries >= tries.deliveries_max.get();
        if timer.phase == Phase::Dead && !tried {
            return wrong(Invariant::I3, "was given up too early");
        }
        Ok(())
    }

    /// The run comes to its end: what came before does not count.
    pub(crate) fn begin_to_end(&mut self) {
        self.timers.values_mut().for_each(|expected| expected.owed = Owed::NotYet);
    }

    /// While the run comes to its end: a recurring timer that is due has to come once, unless it may be skipped.
    pub(crate) fn owe(&mut self, state: &State, now: &Now) {
        let is_due = |timer: TimerView<'_>| timer.phase == Phase::Waiting && now.has_reached(timer.due);
        for (id, expected) in self.timers.iter_mut().filter(|(_, it)| it.grid.is_some() && !it.skips) {
            if !matches!(expected.owed, Owed::Came) && state.view(*id).is_some_and(is_due) {
                expected.owed = Owed::Due;
            }
        }
    }

    /// Timers that have to come and did not: one-shots, and recurring ones that are owed.
    pub(crate) fn left(&self, state: &State) -> Vec<TimerId> {
        let left = self.timers.iter().filter(|(id, expected)| {
            let over = expected.has_ended() || expected.doomed.is_some() || expected.never_comes();
            // `agrees` says whether one that is gone may be.
            let gone = state.view(**id).is_none_or(|timer| timer.doomed || timer.phase == Phase::Dead);
            !over && !gone && (expected.grid.is_none() || matches!(expected.owed, Owed::Due))
        });
        left.map(|(id, _)| *id).collect()
    }
}

/// How far ahead a time is, in nanoseconds.
pub(crate) fn ms(ms: u32) -> u64 {
    u64::from(ms) * 1_000_000
}

/// The present with the wall clock at its highest: a timer may have become ready before the clock was set back.
pub(crate) fn latest(civil_ns_max: u64, now: &Now) -> Now {
    Now::new(TickLen::MILLISECOND, civil_ns_max, now.elapsed_ns)
}
