//! One record, one change of state: the transitions of the table in the module above.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use horolog_wheel::TimerId;

use super::{
    ApplyError, DeadLetter, Effect, Facts, LiveOccurrence, Misfit, NO_TERMS, Phase, Recurrence,
    SLOTS_AHEAD_MAX, State, Terms,
};
use crate::lsn::Lsn;
use crate::payload::PayloadRef;
use crate::record::{
    Cancel, Complete, Dead, Deliver, Epoch, Fail, Put, Record, Reschedule, Skip, SkipReason,
};
use crate::time::DueTime;

impl State {
    /// Puts a record's consequences into the state and says what it gives.
    ///
    /// An entry that the record takes out of a wheel ([`Record::disarms`]) must have been taken out before. What a record
    /// leaves without use is kept until [`State::take_discarded`].
    ///
    /// # Errors
    ///
    /// [`ApplyError`] if the record does not fit; the state is as before then.
    pub fn apply(&mut self, lsn: Lsn, record: &Record<'_>) -> Result<Effect, ApplyError> {
        let is_next = lsn == self.applied.next() && lsn <= Lsn::MAX;
        let outcome = if is_next { self.dispatch(lsn, record) } else { Err(Misfit::OutOfOrder) };
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
        // On top of a snapshot a record may meet a holder that came after it: see `snapshot`.
        if !key.is_empty() && self.holder_since(key).is_some_and(|since| since < lsn) {
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
        self.claim(key, put.id, lsn);
        self.key_bytes += 2 * key.len();
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
        let mut facts = Facts { terms, phase: Phase::Waiting, ..Facts::VACANT };
        facts.set_due(lsn, put.due);
        self.set_facts(put.id, &facts);
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
            self.set_facts(r.id, &facts);
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
                self.set_facts(r.id, &facts);
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
                self.set_facts(r.id, &facts);
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
        for id in self.in_flight() {
            self.take_back(id);
        }
        if r.generation_floor > 0 {
            self.slab.set_floor_base(r.generation_floor);
        }
        self.slab.raise_floors();
        Ok(Effect::NOTHING)
    }

    /// The timers with an occurrence in flight, in slab order. Of millions of timers there are a few, and mostly none.
    fn in_flight(&self) -> Vec<TimerId> {
        let count = usize::try_from(self.leased).unwrap_or(usize::MAX);
        let slots = self.facts.iter().filter(|(_, facts)| facts.phase == Phase::Leased);
        slots.take(count).filter_map(|(slot, _)| self.slab.live_at(slot)).collect()
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
        self.set_facts(id, &facts);
    }

    /// Ends a timer: its payload, key and terms are gone, its slot waits for the record to be durable.
    fn end(&mut self, lsn: Lsn, id: TimerId) -> Effect {
        if let Some(entry) = self.slab.get(id) {
            self.payloads.remove(PayloadRef(entry.word));
        }
        self.dead.remove(&id.slot());
        if let Some(terms) = self.terms.remove(self.facts.get(id.slot()).terms) {
            release(&mut self.keys, &terms.key, id);
            self.key_bytes -= 2 * terms.key.len();
        }
        self.set_facts(id, &Facts { lsn, phase: Phase::Ended, ..Facts::VACANT });
        let ended = self.slab.end(id);
        debug_assert!(ended, "{id:?} was ended while armed");
        Effect::FREE
    }

    fn rearm(&mut self, lsn: Lsn, id: TimerId, mut facts: Facts, due: DueTime) -> Effect {
        if facts.doomed {
            self.set_facts(id, &facts);
            return Effect::NOTHING;
        }
        facts.set_due(lsn, due);
        self.slab.set_deadline(id, due.tick);
        self.set_facts(id, &facts);
        Effect::arm(due)
    }

    /// The present occurrence of a recurring timer is over.
    fn forget_occurrence(&mut self, id: TimerId, mut facts: Facts, mut recurrence: Recurrence) -> Facts {
        recurrence.live = None;
        self.set_recurrence(&facts, recurrence);
        (facts.phase, facts.deliveries, facts.failures, facts.suspect) = (Phase::Waiting, 0, 0, false);
        self.set_facts(id, &facts);
        facts
    }
}

/// A key names a timer until that is cancelled or ends; by then it may name another one.
fn release(keys: &mut BTreeMap<Box<[u8]>, TimerId>, key: &[u8], id: TimerId) {
    if keys.get(key) == Some(&id) {
        keys.remove(key);
    }
}
