//! The state of the engine as a fold of its records: [`State::apply`] is the only place where a timer changes phase.
//!
//! Live traffic and replay call the same `apply`, so recovery has no rule of its own about timers. `apply` evaluates
//! nothing: what comes next is a fact in the record. It says what the record *gives* ([`Effect`]); the owner grants it
//! when the record's position has been reached, at once in a replay.
//!
//! # Phases
//!
//! ```text
//! (none)   --Put-->                        Waiting
//! Waiting  --Deliver-->                    Leased
//! Waiting  --Skip (one-shot)-->            Ended
//! Waiting  --Cancel-->                     Ended
//! Waiting  --Dead-->                       Dead, or Waiting for the next occurrence: a delivery too many, or superseded
//! Leased   --Complete-->                   Ended, or Waiting for the next occurrence
//! Leased   --Fail with a retry-->          Waiting
//! Leased   --Dead-->                       Dead, or Waiting for the next occurrence
//! Leased   --Cancel-->                     Leased and doomed: whatever ends the occurrence ends the timer
//! Leased   --Epoch-->                      Waiting and suspect: due again, the delivery stays counted
//! Dead     --Reschedule-->                 Waiting, all counts at zero
//! Dead     --Cancel-->                     Ended
//! ```
//!
//! "Ready" and "blocked by overlap" are derived and never stored, so nothing can be stuck in them. A recurring timer has
//! its next due time in every phase but `Ended`: the record that uses up a slot of its grid also arms the next one.
//!
//! # Invariants (asserted by [`State::check`])
//!
//! 1. A slot is `Waiting`, `Leased` or `Dead` exactly when the slab holds a live entry for it.
//! 2. A key names exactly one live timer that is not doomed, and that timer names the key.
//! 3. `Dead` slots and the dead letters of one-shots are the same set.
//! 4. The counts in [`Totals`] balance: scheduled = live + ended, by how they ended.
//! 5. A recurring timer that is not doomed is due at its retry, if one is pending, else at its next occurrence.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;

use horolog_wheel::{Lookup, Slab, Tick, TimerId};

use crate::lsn::Lsn;
use crate::payload::{PayloadRef, Payloads};
use crate::pool::Pool;
use crate::record::{
    Cancel, ClockReading, Complete, Dead, DeadReason, Deliver, Epoch, Fail, Put, Record, Reschedule, Skip,
    SkipReason,
};
use crate::spec::{Grid, Misfire, Retry};
use crate::time::{DueTime, TickLen, Timeline};

/// Where a timer stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Phase {
    /// No timer has this slot.
    #[default]
    Vacant,
    /// It is due some time; past that time it is ready to be handed out.
    Waiting,
    /// An occurrence is in flight.
    Leased,
    /// It was given up and stays listed.
    Dead,
    /// It is over; its slot is kept until the record that ended it is durable.
    Ended,
}

/// What every timer has, 24 bytes a slot, beside its slab entry.
#[derive(Clone, Copy, Debug, Default)]
struct Facts {
    /// The record that gave it its present due time, or that ended it.
    lsn: Lsn,
    /// Index into the terms; [`NO_TERMS`] for a plain one-shot.
    terms: u32,
    deliveries: u32,
    failures: u32,
    phase: Phase,
    civil: bool,
    doomed: bool,
    suspect: bool,
}

const NO_TERMS: u32 = u32::MAX;

const _: () = assert!(size_of::<Facts>() == 24);

/// How far a slot may lie beyond the number of records: more than one batch can reserve and give back.
const SLOTS_AHEAD_MAX: u64 = 1 << 20;

/// What only some timers have.
#[derive(Debug)]
struct Terms {
    key: Box<[u8]>,
    misfire: Misfire,
    retry: Retry,
    recurrence: Option<Recurrence>,
}

/// Where a recurring timer stands on its grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recurrence {
    /// The grid.
    pub grid: Grid,
    /// The first occurrence that is still on the schedule.
    pub next_index: u64,
    /// When it is due.
    pub next_due: DueTime,
    /// The occurrence that was taken off the schedule and has not ended.
    pub live: Option<LiveOccurrence>,
}

/// An occurrence of a recurring timer between its first delivery and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveOccurrence {
    /// Its index on the grid.
    pub index: u64,
    /// The first occurrence it stands for.
    pub covers_from: u64,
}

/// A timer or an occurrence that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The occurrence.
    pub occurrence: u64,
    /// Why.
    pub reason: DeadReason,
    /// How often it had been delivered.
    pub deliveries: u32,
    /// The last words of its handler.
    pub message: String,
}

/// How many of what there have been since the directory was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Timers scheduled.
    pub scheduled: u64,
    /// Timers cancelled.
    pub cancelled: u64,
    /// One-shots completed.
    pub finished: u64,
    /// One-shots skipped.
    pub expired: u64,
    /// Deliveries, repeated ones included.
    pub deliveries: u64,
    /// Occurrences completed.
    pub completed: u64,
    /// Deliveries that failed and were to be tried again.
    pub failures: u64,
    /// Occurrences given up.
    pub dead: u64,
    /// Occurrences passed over because they were late.
    pub skipped_misfire: u64,
    /// Occurrences passed over because the one before was in flight.
    pub skipped_overlap: u64,
    /// Occurrences that a later one stood for.
    pub coalesced: u64,
}

/// What a record gives. The owner grants it when the record's position has been reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "what a record gives has to be granted"]
pub struct Effect {
    /// The timer goes into a wheel, to be due then.
    pub arm: Option<DueTime>,
    /// The occurrence goes to a consumer.
    pub hand_out: bool,
    /// The slot may be used again.
    pub free: bool,
}

impl Effect {
    const NOTHING: Self = Self { arm: None, hand_out: false, free: false };
    const FREE: Self = Self { free: true, ..Self::NOTHING };

    const fn arm(due: DueTime) -> Self {
        Self { arm: Some(due), ..Self::NOTHING }
    }
}

/// A record does not fit the state that the records before it made.
///
/// Live traffic never meets it: `decide` has looked first. In a replay it means that the log was not written by this
/// engine's rules, and the directory is not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {lsn} ({kind}) does not fit what came before it: {why}")]
pub struct ApplyError {
    /// The record.
    pub lsn: Lsn,
    /// Its kind, as `docs/format.md` names it.
    pub kind: &'static str,
    /// The timer it names.
    pub id: Option<TimerId>,
    /// What is wrong.
    pub why: Misfit,
}

/// What is wrong with a record that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// Its number is not the next one.
    #[error("its number is not the next one")]
    OutOfOrder,
    /// Its id cannot be given to a new timer.
    #[error("its id is taken, used up or out of range")]
    IdTaken,
    /// Its key already names a timer.
    #[error("its key already names a timer")]
    KeyTaken,
    /// There is no such live timer.
    #[error("there is no such timer")]
    NoSuchTimer,
    /// The timer's phase does not allow it.
    #[error("the timer is {0:?}")]
    Phase(Phase),
    /// It names another occurrence or delivery than the one at hand.
    #[error("it names another occurrence or delivery than the one at hand")]
    Occurrence,
    /// It lacks, or has, a next due time, against the nature of its timer.
    #[error("its next due time does not fit its timer")]
    NextDue,
    /// Its epoch is not later than the last one, or its tick length differs.
    #[error("its epoch is not a later one, or its tick length differs")]
    Epoch,
}

/// A live timer, seen from outside.
#[derive(Clone, Copy, Debug)]
pub struct TimerView<'a> {
    /// Its id.
    pub id: TimerId,
    /// Where it stands.
    pub phase: Phase,
    /// When it is due, or, while an occurrence is in flight, when that one or the next was or is.
    pub due: DueTime,
    /// Deliveries of the present occurrence.
    pub deliveries: u32,
    /// Failures of the present occurrence.
    pub failures: u32,
    /// It was in flight when the process before this one ended.
    pub suspect: bool,
    /// It is cancelled and ends with the occurrence in flight.
    pub doomed: bool,
    /// The record that gave it its due time.
    pub lsn: Lsn,
    /// Its key; empty for none.
    pub key: &'a [u8],
    /// What happens when it is late.
    pub misfire: Misfire,
    /// How often it is tried.
    pub retry: Retry,
    /// Its grid, if it recurs.
    pub recurrence: Option<Recurrence>,
    /// The user's bytes.
    pub payload: &'a [u8],
}

/// All timers, and what the engine must know about itself over a restart.
#[derive(Debug)]
pub struct State {
    slab: Slab,
    facts: alloc::vec::Vec<Facts>,
    terms: Pool<Terms>,
    payloads: Payloads,
    keys: BTreeMap<Box<[u8]>, TimerId>,
    /// Bytes of all keys: each is kept with its timer and in the index.
    key_bytes: usize,
    dead: BTreeMap<u32, DeadLetter>,
    applied: Lsn,
    epoch: u64,
    tick_len: Option<TickLen>,
    reading: ClockReading,
    leased: u64,
    totals: Totals,
}

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    /// Before the first record.
    #[must_use]
    pub fn new() -> Self {
        Self {
            slab: Slab::new(),
            facts: alloc::vec::Vec::new(),
            terms: Pool::new(),
            payloads: Payloads::new(),
            keys: BTreeMap::new(),
            key_bytes: 0,
            dead: BTreeMap::new(),
            applied: Lsn::ZERO,
            epoch: 0,
            tick_len: None,
            reading: ClockReading::default(),
            leased: 0,
            totals: Totals::default(),
        }
    }

    /// The last record applied.
    #[must_use]
    pub fn applied(&self) -> Lsn {
        self.applied
    }

    /// The present opening; 0 before the first.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Nanoseconds a tick; `None` before the first epoch.
    #[must_use]
    pub fn tick_len(&self) -> Option<TickLen> {
        self.tick_len
    }

    /// The clocks as they were last noted down.
    #[must_use]
    pub fn reading(&self) -> ClockReading {
        self.reading
    }

    /// Live timers, dead ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// No timer is live.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Occurrences in flight.
    #[must_use]
    pub fn leased(&self) -> u64 {
        self.leased
    }

    /// What there has been so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Bytes of memory that timers take, roughly: entries, payloads, keys.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.slab.bytes()
            + self.facts.capacity() * size_of::<Facts>()
            + self.terms.bytes()
            + self.payloads.bytes()
            + self.key_bytes
    }

    /// The slab, for the wheels that arm its entries and for ids to be reserved.
    pub fn slab_mut(&mut self) -> &mut Slab {
        &mut self.slab
    }

    /// The slab.
    #[must_use]
    pub fn slab(&self) -> &Slab {
        &self.slab
    }

    /// A live timer.
    #[must_use]
    pub fn view(&self, id: TimerId) -> Option<TimerView<'_>> {
        let entry = self.slab.get(id)?;
        let facts = self.facts.get(id.slot() as usize)?;
        let terms = self.terms.get(facts.terms);
        Some(TimerView {
            id,
            phase: facts.phase,
            due: facts.due(entry.deadline),
            deliveries: facts.deliveries,
            failures: facts.failures,
            suspect: facts.suspect,
            doomed: facts.doomed,
            lsn: facts.lsn,
            key: terms.map_or(&[], |terms| &terms.key),
            misfire: terms.map_or(Misfire::default(), |terms| terms.misfire),
            retry: terms.map_or(Retry::default(), |terms| terms.retry),
            recurrence: terms.and_then(|terms| terms.recurrence),
            payload: self.payloads.get(PayloadRef(entry.word)),
        })
    }

    /// The live timer of a slot.
    #[must_use]
    pub fn id_at(&self, slot: u32) -> Option<TimerId> {
        self.slab.live_at(slot)
    }

    /// Every live timer, in slab order.
    pub fn timers(&self) -> impl Iterator<Item = TimerView<'_>> {
        self.slab.iter().filter_map(|entry| self.view(entry.id))
    }

    /// The timer that a key names.
    #[must_use]
    pub fn by_key(&self, key: &[u8]) -> Option<TimerId> {
        self.keys.get(key).copied()
    }

    /// What was given up: dead one-shots, and the last dead occurrence of each recurring timer.
    pub fn dead_letters(&self) -> impl Iterator<Item = (TimerId, &DeadLetter)> {
        self.dead.iter().filter_map(|(&slot, letter)| Some((self.slab.live_at(slot)?, letter)))
    }

    /// The payload of a live timer, to be taken out of the engine.
    #[must_use]
    pub fn share_payload(&self, id: TimerId) -> Option<crate::payload::Payload> {
        self.slab.get(id).map(|entry| self.payloads.share(PayloadRef(entry.word)))
    }

    /// What is known of an id, and the record on which that knowledge rests ([`Lsn::ZERO`]: one long durable).
    #[must_use]
    pub fn lookup(&self, id: TimerId) -> (Lookup, Lsn) {
        let rests_on = match self.facts.get(id.slot() as usize) {
            Some(facts) if facts.phase != Phase::Vacant => facts.lsn,
            _ => Lsn::ZERO,
        };
        (self.slab.lookup(id), rests_on)
    }

    /// Whether an entry's insertion into a wheel still stands: the timer lives, and the record that asked for it was the
    /// last one to give it a due time.
    #[must_use]
    pub fn arming_stands(&self, id: TimerId, lsn: Lsn) -> bool {
        self.view_facts(id).is_some_and(|facts| facts.lsn == lsn && !facts.doomed)
    }

    /// Makes the slot of an ended timer free for another one.
    pub fn free(&mut self, id: TimerId) {
        if self.slab.free(id)
            && let Some(facts) = self.facts.get_mut(id.slot() as usize)
        {
            facts.phase = Phase::Vacant;
        }
    }

    /// Puts a record's consequences into the state and says what it gives.
    ///
    /// An entry that the record takes out of a wheel ([`Record::disarms`]) must have been taken out before.
    ///
    /// # Errors
    ///
    /// [`ApplyError`] if the record does not fit; the state is as before then.
    pub fn apply(&mut self, lsn: Lsn, record: &Record<'_>) -> Result<Effect, ApplyError> {
        let outcome =
            if lsn == self.applied.next() { self.dispatch(lsn, record) } else { Err(Misfit::OutOfOrder) };
        match outcome {
            Ok(effect) => {
                self.applied = lsn;
                Ok(effect)
            }
            Err(why) => Err(ApplyError { lsn, kind: record.kind().name(), id: record.timer(), why }),
        }
    }

    /// Counts a record of a kind that this version may pass over.
    ///
    /// # Errors
    ///
    /// [`ApplyError`] if its number is not the next one.
    pub fn pass_over(&mut self, lsn: Lsn) -> Result<(), ApplyError> {
        if lsn != self.applied.next() {
            return Err(ApplyError { lsn, kind: "unknown", id: None, why: Misfit::OutOfOrder });
        }
        self.applied = lsn;
        Ok(())
    }

    fn dispatch(&mut self, lsn: Lsn, record: &Record<'_>) -> Result<Effect, Misfit> {
        match record {
            Record::Put(r) => self.apply_put(lsn, r),
            Record::Reschedule(r) => self.apply_reschedule(lsn, r),
            Record::Cancel(r) => self.apply_cancel(lsn, r),
            Record::Deliver(r) => self.apply_deliver(lsn, r),
            Record::Skip(r) => self.apply_skip(lsn, r),
            Record::Complete(r) => self.apply_complete(lsn, r),
            Record::Fail(r) => self.apply_fail(lsn, r),
            Record::Dead(r) => self.apply_dead(lsn, r),
            Record::Clock(r) => {
                self.reading = r.reading;
                Ok(Effect::NOTHING)
            }
            Record::Epoch(r) => self.apply_epoch(r),
        }
    }

    fn apply_put(&mut self, lsn: Lsn, put: &Put<'_>) -> Result<Effect, Misfit> {
        let key = put.terms.map_or(&[][..], |terms| terms.key);
        if !key.is_empty() && self.keys.contains_key(key) {
            return Err(Misfit::KeyTaken);
        }
        // Slots are used densely, so no honest record names one far beyond the number of records: a hostile one must
        // not make us allocate for it.
        if u64::from(put.id.slot()) > lsn.0.saturating_add(SLOTS_AHEAD_MAX) {
            return Err(Misfit::IdTaken);
        }
        self.slab.occupy(put.id, put.due.tick, 0).map_err(|_| Misfit::IdTaken)?;
        let payload = self.payloads.insert(put.payload);
        self.slab.set_word(put.id, payload.0);
        if !key.is_empty() {
            self.keys.insert(key.into(), put.id);
            self.key_bytes += 2 * key.len();
        }
        let terms = put.terms.map_or(NO_TERMS, |terms| {
            self.terms.insert(Terms {
                key: key.into(),
                misfire: terms.misfire,
                retry: terms.retry,
                recurrence: terms.grid.map(|(grid, next_index)| Recurrence {
                    grid,
                    next_index,
                    next_due: put.due,
                    live: None,
                }),
            })
        });
        let mut facts = Facts { terms, phase: Phase::Waiting, ..Facts::default() };
        facts.set_due(lsn, put.due);
        self.set_facts(put.id, facts);
        self.totals.scheduled += 1;
        Ok(Effect::arm(put.due))
    }

    fn apply_reschedule(&mut self, lsn: Lsn, r: &Reschedule) -> Result<Effect, Misfit> {
        let mut facts = self.live(r.id)?;
        if self.recurrence(&facts).is_some() {
            return Err(Misfit::NextDue);
        }
        match facts.phase {
            Phase::Waiting => {}
            Phase::Dead => {
                self.dead.remove(&r.id.slot());
                (facts.phase, facts.deliveries, facts.failures) = (Phase::Waiting, 0, 0);
            }
            other => return Err(Misfit::Phase(other)),
        }
        facts.suspect = false;
        Ok(self.rearm(lsn, r.id, facts, r.due))
    }

    fn apply_cancel(&mut self, lsn: Lsn, r: &Cancel) -> Result<Effect, Misfit> {
        let mut facts = self.live(r.id)?;
        self.totals.cancelled += u64::from(!facts.doomed);
        if facts.phase == Phase::Leased {
            (facts.doomed, facts.lsn) = (true, lsn);
            if let Some(terms) = self.terms.get(facts.terms) {
                release(&mut self.keys, &terms.key, r.id);
            }
            self.set_facts(r.id, facts);
            return Ok(Effect::NOTHING);
        }
        self.dead.remove(&r.id.slot());
        Ok(self.end(lsn, r.id))
    }

    fn apply_deliver(&mut self, lsn: Lsn, r: &Deliver) -> Result<Effect, Misfit> {
        let mut facts = self.live(r.id)?;
        if facts.phase != Phase::Waiting {
            return Err(Misfit::Phase(facts.phase));
        }
        let arm = match self.recurrence(&facts) {
            None if r.occurrence != 0 || r.covers_from != 0 => return Err(Misfit::Occurrence),
            None if r.next_due.is_some() => return Err(Misfit::NextDue),
            None => None,
            Some(recurrence) => Some(self.deliver_recurring(&mut facts, recurrence, r)?),
        };
        if r.number != facts.deliveries.saturating_add(1) {
            return Err(Misfit::Occurrence);
        }
        (facts.phase, facts.deliveries, facts.suspect) = (Phase::Leased, r.number, false);
        self.leased += 1;
        self.totals.deliveries += 1;
        if r.number == 1 {
            self.totals.coalesced = self.totals.coalesced.saturating_add(r.occurrence - r.covers_from);
        }
        match arm {
            Some((recurrence, due)) => {
                self.set_recurrence(&facts, recurrence);
                Ok(Effect { hand_out: true, ..self.rearm(lsn, r.id, facts, due) })
            }
            None => {
                self.set_facts(r.id, facts);
                Ok(Effect { hand_out: true, ..Effect::NOTHING })
            }
        }
    }

    /// The first delivery of an occurrence takes it off the grid and arms the next; a repeated one arms the next again,
    /// since a pending retry had taken its place in the wheel.
    fn deliver_recurring(
        &self,
        facts: &mut Facts,
        mut recurrence: Recurrence,
        r: &Deliver,
    ) -> Result<(Recurrence, DueTime), Misfit> {
        if let Some(live) = recurrence.live {
            if (r.occurrence, r.covers_from) != (live.index, live.covers_from) {
                return Err(Misfit::Occurrence);
            }
            return if r.next_due == Some(recurrence.next_due) {
                Ok((recurrence, recurrence.next_due))
            } else {
                Err(Misfit::NextDue)
            };
        }
        if r.covers_from != recurrence.next_index || r.occurrence < r.covers_from {
            return Err(Misfit::Occurrence);
        }
        let next_due = r.next_due.ok_or(Misfit::NextDue)?;
        recurrence.live = Some(LiveOccurrence { index: r.occurrence, covers_from: r.covers_from });
        recurrence.next_index = r.occurrence.saturating_add(1);
        recurrence.next_due = next_due;
        (facts.deliveries, facts.failures) = (0, 0);
        Ok((recurrence, next_due))
    }

    fn apply_skip(&mut self, lsn: Lsn, r: &Skip) -> Result<Effect, Misfit> {
        let facts = self.live(r.id)?;
        if !matches!(facts.phase, Phase::Waiting | Phase::Leased) {
            return Err(Misfit::Phase(facts.phase));
        }
        let skipped = match r.reason {
            SkipReason::Misfire => &mut self.totals.skipped_misfire,
            SkipReason::Overlap => &mut self.totals.skipped_overlap,
        };
        let count = r.to.checked_sub(r.from).ok_or(Misfit::Occurrence)?.saturating_add(1);
        let terms = self.terms.get(facts.terms);
        let Some(mut recurrence) = terms.and_then(|terms| terms.recurrence) else {
            if facts.phase != Phase::Waiting {
                return Err(Misfit::Phase(facts.phase));
            }
            if (r.from, r.to, r.next_due) != (0, 0, None) {
                return Err(Misfit::NextDue);
            }
            *skipped += 1;
            self.totals.expired += 1;
            return Ok(self.end(lsn, r.id));
        };
        let retry_pending = facts.phase == Phase::Waiting && recurrence.live.is_some();
        if r.from != recurrence.next_index || retry_pending {
            return Err(Misfit::Occurrence);
        }
        let next_due = r.next_due.ok_or(Misfit::NextDue)?;
        *skipped = skipped.saturating_add(count);
        (recurrence.next_index, recurrence.next_due) = (r.to.saturating_add(1), next_due);
        self.set_recurrence(&facts, recurrence);
        Ok(self.rearm(lsn, r.id, facts, next_due))
    }

    fn apply_complete(&mut self, lsn: Lsn, r: &Complete) -> Result<Effect, Misfit> {
        let facts = self.leased_as(r.id, r.occurrence, r.number)?;
        self.leased -= 1;
        self.totals.completed += 1;
        match self.recurrence(&facts) {
            Some(recurrence) if !facts.doomed => {
                self.forget_occurrence(r.id, facts, recurrence);
                Ok(Effect::NOTHING)
            }
            _ => {
                self.totals.finished += u64::from(!facts.doomed);
                Ok(self.end(lsn, r.id))
            }
        }
    }

    fn apply_fail(&mut self, lsn: Lsn, r: &Fail<'_>) -> Result<Effect, Misfit> {
        let mut facts = self.leased_as(r.id, r.occurrence, r.number)?;
        if r.retry.is_none() != facts.doomed {
            return Err(Misfit::NextDue);
        }
        self.leased -= 1;
        self.totals.failures += 1;
        let Some(retry) = r.retry else { return Ok(self.end(lsn, r.id)) };
        facts.phase = Phase::Waiting;
        facts.failures = facts.failures.saturating_add(1);
        Ok(self.rearm(lsn, r.id, facts, retry))
    }

    fn apply_dead(&mut self, lsn: Lsn, r: &Dead<'_>) -> Result<Effect, Misfit> {
        let mut facts = self.live(r.id)?;
        let recurrence = self.recurrence(&facts);
        let occurrence = recurrence.map_or(Some(0), |recurrence| recurrence.live.map(|live| live.index));
        let in_flight = facts.phase == Phase::Leased;
        let tried = facts.phase == Phase::Waiting && facts.deliveries > 0;
        if !in_flight && !tried {
            return Err(Misfit::Phase(facts.phase));
        }
        if occurrence != Some(r.occurrence) {
            return Err(Misfit::Occurrence);
        }
        self.leased -= u64::from(in_flight);
        self.totals.dead += 1;
        let letter = DeadLetter {
            occurrence: r.occurrence,
            reason: r.reason,
            deliveries: facts.deliveries,
            message: r.message.into(),
        };
        match recurrence {
            _ if facts.doomed => Ok(self.end(lsn, r.id)),
            Some(recurrence) => {
                self.dead.insert(r.id.slot(), letter);
                facts.phase = Phase::Waiting;
                let facts = self.forget_occurrence(r.id, facts, recurrence);
                Ok(self.rearm(lsn, r.id, facts, recurrence.next_due))
            }
            None => {
                self.dead.insert(r.id.slot(), letter);
                (facts.phase, facts.lsn, facts.suspect) = (Phase::Dead, lsn, false);
                self.set_facts(r.id, facts);
                Ok(Effect::NOTHING)
            }
        }
    }

    /// Nothing is armed while an epoch begins: it is the first record after a replay.
    fn apply_epoch(&mut self, r: &Epoch) -> Result<Effect, Misfit> {
        if r.epoch <= self.epoch || self.tick_len.is_some_and(|len| len != r.tick_len) {
            return Err(Misfit::Epoch);
        }
        (self.epoch, self.tick_len, self.reading) = (r.epoch, Some(r.tick_len), r.reading);
        let leased: alloc::vec::Vec<TimerId> =
            self.timers().filter(|timer| timer.phase == Phase::Leased).map(|timer| timer.id).collect();
        for id in leased {
            self.take_back(id);
        }
        if r.generation_floor > 0 {
            self.slab.set_floor_base(r.generation_floor);
        }
        self.slab.raise_floors();
        Ok(Effect::NOTHING)
    }

    /// An occurrence whose process is gone: due again, unless its timer was cancelled in flight. The cancel is durable
    /// by now (an opening shows nothing before all it found is synced), so the slot is free at once.
    fn take_back(&mut self, id: TimerId) {
        let Ok(mut facts) = self.live(id) else { return };
        self.leased -= 1;
        if facts.doomed {
            let _ = self.end(facts.lsn, id);
            self.free(id);
            return;
        }
        (facts.phase, facts.suspect) = (Phase::Waiting, true);
        if let Some(recurrence) = self.recurrence(&facts)
            && let Some(live) = recurrence.live
            && let Some(tick_len) = self.tick_len
        {
            let due = recurrence.grid.due(tick_len, live.index);
            facts.set_due(facts.lsn, due);
            self.slab.set_deadline(id, due.tick);
        }
        self.set_facts(id, facts);
    }

    /// Ends a timer: its payload, key and terms are gone, its slot waits for the record to be durable.
    fn end(&mut self, lsn: Lsn, id: TimerId) -> Effect {
        if let Some(entry) = self.slab.get(id) {
            self.payloads.remove(PayloadRef(entry.word));
        }
        self.dead.remove(&id.slot());
        if let Some(facts) = self.facts.get_mut(id.slot() as usize) {
            if let Some(terms) = self.terms.remove(facts.terms) {
                release(&mut self.keys, &terms.key, id);
                self.key_bytes -= 2 * terms.key.len();
            }
            *facts = Facts { lsn, terms: NO_TERMS, phase: Phase::Ended, ..Facts::default() };
        }
        let ended = self.slab.end(id);
        debug_assert!(ended, "{id:?} was ended while armed");
        Effect::FREE
    }

    fn rearm(&mut self, lsn: Lsn, id: TimerId, mut facts: Facts, due: DueTime) -> Effect {
        if facts.doomed {
            self.set_facts(id, facts);
            return Effect::NOTHING;
        }
        facts.set_due(lsn, due);
        self.slab.set_deadline(id, due.tick);
        self.set_facts(id, facts);
        Effect::arm(due)
    }

    /// The present occurrence of a recurring timer is over.
    fn forget_occurrence(&mut self, id: TimerId, mut facts: Facts, mut recurrence: Recurrence) -> Facts {
        recurrence.live = None;
        self.set_recurrence(&facts, recurrence);
        (facts.phase, facts.deliveries, facts.failures, facts.suspect) = (Phase::Waiting, 0, 0, false);
        self.set_facts(id, facts);
        facts
    }

    fn live(&self, id: TimerId) -> Result<Facts, Misfit> {
        self.view_facts(id).ok_or(Misfit::NoSuchTimer)
    }

    fn view_facts(&self, id: TimerId) -> Option<Facts> {
        self.slab.get(id)?;
        self.facts.get(id.slot() as usize).copied()
    }

    /// The facts of a timer whose delivery `number` of `occurrence` is in flight.
    fn leased_as(&self, id: TimerId, occurrence: u64, number: u32) -> Result<Facts, Misfit> {
        let facts = self.live(id)?;
        if facts.phase != Phase::Leased {
            return Err(Misfit::Phase(facts.phase));
        }
        let live = self.recurrence(&facts).map_or(Some(0), |r| r.live.map(|live| live.index));
        if live == Some(occurrence) && facts.deliveries == number {
            Ok(facts)
        } else {
            Err(Misfit::Occurrence)
        }
    }

    fn recurrence(&self, facts: &Facts) -> Option<Recurrence> {
        self.terms.get(facts.terms).and_then(|terms| terms.recurrence)
    }

    fn set_recurrence(&mut self, facts: &Facts, recurrence: Recurrence) {
        if let Some(terms) = self.terms.get_mut(facts.terms) {
            terms.recurrence = Some(recurrence);
        }
    }

    fn set_facts(&mut self, id: TimerId, facts: Facts) {
        let slot = id.slot() as usize;
        if slot >= self.facts.len() {
            self.facts.resize(slot + 1, Facts { terms: NO_TERMS, ..Facts::default() });
        }
        if let Some(place) = self.facts.get_mut(slot) {
            *place = facts;
        }
    }

    /// Asserts the invariants of the module.
    ///
    /// # Errors
    ///
    /// The number of the invariant that does not hold.
    pub fn check(&self) -> Result<(), &'static str> {
        self.payloads.check()?;
        for (slot, facts) in self.facts.iter().enumerate() {
            let live = u32::try_from(slot).ok().and_then(|slot| self.slab.live_at(slot)).is_some();
            if live != matches!(facts.phase, Phase::Waiting | Phase::Leased | Phase::Dead) {
                return Err("I1: phase and slab disagree about a slot");
            }
        }
        for (key, &id) in &self.keys {
            if self.view(id).is_none_or(|timer| timer.key != &**key) {
                return Err("I2: a key names a timer that does not name it");
            }
        }
        let keyed = self.timers().filter(|timer| !timer.key.is_empty() && !timer.doomed).count();
        if keyed != self.keys.len() {
            return Err("I2: a timer's key is not found");
        }
        self.check_dead()?;
        self.check_totals()?;
        self.check_due()
    }

    fn check_dead(&self) -> Result<(), &'static str> {
        let dead = self.timers().filter(|timer| timer.phase == Phase::Dead);
        let letters = self
            .dead_letters()
            .filter(|(id, _)| self.view(*id).is_some_and(|timer| timer.recurrence.is_none()));
        if dead.map(|timer| timer.id).eq(letters.map(|(id, _)| id)) {
            Ok(())
        } else {
            Err("I3: dead timers and dead letters differ")
        }
    }

    fn check_totals(&self) -> Result<(), &'static str> {
        let doomed = self.timers().filter(|timer| timer.doomed).count() as u64;
        let ended = self.totals.cancelled - doomed + self.totals.finished + self.totals.expired;
        let leased = self.timers().filter(|timer| timer.phase == Phase::Leased).count() as u64;
        if self.totals.scheduled != ended + self.len() as u64 || leased != self.leased {
            return Err("I4: scheduled timers are not the live and the ended ones");
        }
        Ok(())
    }

    fn check_due(&self) -> Result<(), &'static str> {
        for timer in self.timers().filter(|timer| !timer.doomed) {
            if let Some(recurrence) = timer.recurrence {
                let waits_for_retry = recurrence.live.is_some() && timer.phase == Phase::Waiting;
                if !waits_for_retry && timer.due != recurrence.next_due {
                    return Err("I5: a recurring timer is not due at its next occurrence");
                }
            }
        }
        Ok(())
    }
}

/// A key names a timer until that is cancelled or ends; by then it may name another one.
fn release(keys: &mut BTreeMap<Box<[u8]>, TimerId>, key: &[u8], id: TimerId) {
    if keys.get(key) == Some(&id) {
        keys.remove(key);
    }
}

impl Facts {
    fn due(&self, tick: Tick) -> DueTime {
        let timeline = if self.civil { Timeline::Civil } else { Timeline::Elapsed };
        DueTime { timeline, tick }
    }

    fn set_due(&mut self, lsn: Lsn, due: DueTime) {
        (self.lsn, self.civil) = (lsn, due.timeline == Timeline::Civil);
    }
}

#[cfg(test)]
mod tests;
