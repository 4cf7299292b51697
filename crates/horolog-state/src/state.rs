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
//! 6. What the payloads are said to take is the sum of those of live timers.

mod apply;
mod check;
mod facts;
mod load;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;

use horolog_wheel::{Lookup, Slab, Tick, TimerId, Wheel};

use crate::lsn::Lsn;
use crate::payload::{Discarded, PayloadRef, Payloads};
use crate::pool::Pool;
use crate::record::{ClockReading, DeadReason};
use crate::spec::{Grid, Misfire, Retry};
use crate::time::{DueTime, TickLen};

pub(crate) use facts::Facts;
use facts::{FactsTable, NO_TERMS};

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

impl Phase {
    /// The number that stands for this phase in a snapshot.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Vacant => 0,
            Self::Waiting => 1,
            Self::Leased => 2,
            Self::Dead => 3,
            Self::Ended => 4,
        }
    }

    /// The phase of a number.
    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Vacant),
            1 => Some(Self::Waiting),
            2 => Some(Self::Leased),
            3 => Some(Self::Dead),
            4 => Some(Self::Ended),
            _ => None,
        }
    }
}

/// How far a slot may lie beyond the number of records: more than one batch can reserve and give back.
const SLOTS_AHEAD_MAX: u64 = 1 << 20;

/// What only some timers have.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) key: Box<[u8]>,
    pub(crate) misfire: Misfire,
    pub(crate) retry: Retry,
    pub(crate) recurrence: Option<Recurrence>,
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

/// What decides where a live timer is to wait: no terms, no payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its id.
    pub id: TimerId,
    /// Where it stands.
    pub phase: Phase,
    /// When it is due.
    pub due: DueTime,
    /// Deliveries of the present occurrence.
    pub deliveries: u32,
    /// It was in flight when the process before this one ended.
    pub suspect: bool,
    /// The record that gave it its due time.
    pub lsn: Lsn,
}

/// All timers, and what the engine must know about itself over a restart.
#[derive(Debug)]
pub struct State {
    slab: Slab,
    facts: FactsTable,
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
            facts: FactsTable::default(),
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
        self.slab.bytes() + self.facts.bytes() + self.terms.bytes() + self.payloads.bytes() + self.key_bytes
    }

    /// Bytes of all payloads.
    pub(crate) fn payload_bytes(&self) -> u64 {
        self.payloads.len_bytes()
    }

    /// Bytes of all keys, which memory has twice, and so many for each timer with terms.
    pub(crate) fn terms_bytes(&self, each: u64) -> u64 {
        self.terms.len() as u64 * each + self.key_bytes as u64 / 2
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
        let facts = self.facts.get(id.slot());
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

    /// Arms the timers that `due_tick_of` gives a tick for, in the wheel of a state in which nothing is armed in it yet. It is
    /// asked about every live timer that is armed nowhere, once, in slab order. Far sooner done than one by one.
    pub fn arm_all(
        &mut self,
        wheel: &mut Wheel,
        mut due_tick_of: impl FnMut(Standing) -> Option<Tick>,
    ) -> usize {
        let facts = &self.facts;
        wheel.load(&mut self.slab, |entry| {
            let facts = facts.get(entry.id.slot());
            due_tick_of(Standing {
                id: entry.id,
                phase: facts.phase,
                due: facts.due(entry.deadline),
                deliveries: facts.deliveries,
                suspect: facts.suspect,
                lsn: facts.lsn,
            })
        })
    }

    /// How many timers were given up and stay listed. O(dead letters).
    #[must_use]
    pub fn dead_len(&self) -> usize {
        self.dead.keys().filter(|slot| self.facts.get(**slot).phase == Phase::Dead).count()
    }

    /// The timer that a key names.
    #[must_use]
    pub fn by_key(&self, key: &[u8]) -> Option<TimerId> {
        self.keys.get(key).copied()
    }

    /// What was given up: dead one-shots, and the last dead occurrence of each recurring timer, in slab order from a slot
    /// on.
    pub fn dead_letters_from(&self, slot: u32) -> impl Iterator<Item = (TimerId, &DeadLetter)> {
        self.dead.range(slot..).filter_map(|(&slot, letter)| Some((self.slab.live_at(slot)?, letter)))
    }

    /// All of them.
    pub fn dead_letters(&self) -> impl Iterator<Item = (TimerId, &DeadLetter)> {
        self.dead_letters_from(0)
    }

    /// The payload of a live timer, to be taken out of the engine.
    #[must_use]
    pub fn share_payload(&self, id: TimerId) -> Option<crate::payload::Payload> {
        self.slab.get(id).map(|entry| self.payloads.share(PayloadRef(entry.word)))
    }

    /// Memory of timers that have ended since this was last asked. It is not freed on the way: that takes longer than a
    /// lock should be held.
    pub fn take_discarded(&mut self) -> Discarded {
        self.payloads.take_discarded()
    }

    /// What is known of an id, and the record on which that knowledge rests ([`Lsn::ZERO`]: one long durable).
    #[must_use]
    pub fn lookup(&self, id: TimerId) -> (Lookup, Lsn) {
        // Of a slot that is free, all is durable.
        (self.slab.lookup(id), self.facts.get(id.slot()).lsn)
    }

    /// Whether an entry's insertion into a wheel still stands: the timer lives, and the record that asked for it was the
    /// last one to give it a due time.
    #[must_use]
    pub fn arming_stands(&self, id: TimerId, lsn: Lsn) -> bool {
        self.view_facts(id).is_some_and(|facts| facts.lsn == lsn && !facts.doomed)
    }

    /// Makes the slot of an ended timer free for another one.
    pub fn free(&mut self, id: TimerId) {
        if self.slab.free(id) {
            self.facts.set(id.slot(), &Facts::VACANT);
        }
    }

    fn live(&self, id: TimerId) -> Result<Facts, Misfit> {
        self.view_facts(id).ok_or(Misfit::NoSuchTimer)
    }

    fn view_facts(&self, id: TimerId) -> Option<Facts> {
        self.slab.get(id)?;
        Some(self.facts.get(id.slot()))
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

    fn set_facts(&mut self, id: TimerId, facts: &Facts) {
        self.facts.set(id.slot(), facts);
    }
}

#[cfg(test)]
mod tests;
