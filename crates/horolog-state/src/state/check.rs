//! The invariants of the module above, asserted.

use super::{Phase, State};

impl State {
    /// Asserts the invariants of the module.
    ///
    /// # Errors
    ///
    /// The number of the invariant that does not hold.
    pub fn check(&self) -> Result<(), &'static str> {
        self.payloads.check()?;
        self.facts.check()?;
        let is_live = |phase| matches!(phase, Phase::Waiting | Phase::Leased | Phase::Dead);
        let live = self.facts.iter().filter(|(_, facts)| is_live(facts.phase)).map(|(slot, _)| slot);
        if !live.eq(self.slab.iter().map(|entry| entry.id.slot())) {
            return Err("I1: phase and slab disagree about a slot");
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
        if self.timers().map(|timer| timer.payload.len() as u64).sum::<u64>() != self.payload_bytes() {
            return Err("I6: the bytes of the payloads do not add up");
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
