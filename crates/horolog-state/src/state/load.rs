//! Reading the state piece by piece, and making one from pieces: for snapshots.

use super::facts::NO_TERMS;
use super::{ApplyError, DeadLetter, Effect, Facts, Phase, State, Terms, Totals};
use crate::lsn::Lsn;
use crate::payload::PayloadRef;
use crate::record::{ClockReading, Record};
use crate::time::TickLen;
use horolog_wheel::{OccupyError, Tick, TimerId};

impl State {
    pub(crate) fn facts_at(&self, slot: u32) -> Facts {
        self.facts.get(slot)
    }

    pub(crate) fn terms_of(&self, facts: &Facts) -> Option<&Terms> {
        self.terms.get(facts.terms)
    }

    pub(crate) fn payload_of(&self, payload: PayloadRef) -> &[u8] {
        self.payloads.get(payload)
    }

    /// The next record is the one behind `lsn`: those before are in a snapshot.
    pub(crate) fn begin_behind(&mut self, lsn: Lsn) {
        self.applied = lsn;
    }

    /// Puts a timer where a snapshot found it. Of two that have one key, copied at different moments, the one with the later
    /// record has it.
    pub(crate) fn load(
        &mut self,
        id: TimerId,
        deadline: Tick,
        facts: Facts,
        terms: Option<Terms>,
        letter: Option<DeadLetter>,
        payload: &[u8],
    ) -> Result<(), OccupyError> {
        let payload = self.payloads.insert(payload.into());
        if let Err(refused) = self.slab.occupy(id, deadline, payload.0) {
            self.payloads.remove(payload);
            return Err(refused);
        }
        if let Some(letter) = letter {
            self.dead.insert(id.slot(), letter);
        }
        self.leased += u64::from(facts.phase == Phase::Leased);
        let terms = terms.map_or(NO_TERMS, |terms| {
            self.key_bytes += 2 * terms.key.len();
            if !facts.doomed {
                self.claim(&terms.key, id, facts.lsn);
            }
            self.terms.insert(terms)
        });
        self.set_facts(id, &Facts { terms, ..facts });
        Ok(())
    }

    /// The key names this timer, unless its holder has a later record.
    pub(super) fn claim(&mut self, key: &[u8], id: TimerId, lsn: Lsn) {
        if !key.is_empty() && self.holder_since(key).is_none_or(|since| since < lsn) {
            self.keys.insert(key.into(), id);
        }
    }

    /// The last record of the timer that a key names.
    pub(super) fn holder_since(&self, key: &[u8]) -> Option<Lsn> {
        self.keys.get(key).map(|id| self.facts.get(id.slot()).lsn)
    }

    pub(crate) fn set_globals(
        &mut self,
        epoch: u64,
        tick_len: Option<TickLen>,
        reading: ClockReading,
        totals: Totals,
    ) {
        (self.epoch, self.tick_len, self.reading, self.totals) = (epoch, tick_len, reading, totals);
    }

    /// [`State::apply`] of a record that the totals have seen.
    pub(crate) fn apply_uncounted(&mut self, lsn: Lsn, record: &Record<'_>) -> Result<Effect, ApplyError> {
        let totals = self.totals;
        let effect = self.apply(lsn, record);
        self.totals = totals;
        effect
    }
}
