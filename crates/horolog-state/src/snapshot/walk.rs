//! Copying the state, a section at a time.

use alloc::vec::Vec;

use horolog_wheel::GENERATION_MAX;

use super::{GLOBALS, SECTION_BYTES_MIN, SECTION_SLOTS_MAX, SLOTS, tag};
use crate::codec;
use crate::lsn::Lsn;
use crate::payload::PayloadRef;
use crate::state::{DeadLetter, Facts, Phase, State};

/// A walk over a state that goes on changing between its steps.
#[derive(Clone, Debug)]
pub struct SnapshotWalk {
    begin: Lsn,
    next_slot: u32,
    /// The slots there were when it began. Those that come later are in the records behind `begin`, so that a walk ends however
    /// many timers come meanwhile.
    slots: u32,
    /// Slots of a step at most: [`SECTION_SLOTS_MAX`] but in tests.
    slots_max: u32,
    end: Option<Lsn>,
}

impl SnapshotWalk {
    /// Begins a walk over a state as it is now.
    #[must_use]
    pub fn new(state: &State) -> Self {
        Self::with_slots_max(state, SECTION_SLOTS_MAX)
    }

    pub(super) fn with_slots_max(state: &State, slots_max: u32) -> Self {
        Self { begin: state.applied(), next_slot: 0, slots: state.slab().slots(), slots_max, end: None }
    }

    /// The last record applied when the walk began: a replay goes on behind it.
    #[must_use]
    pub fn begin(&self) -> Lsn {
        self.begin
    }

    /// The last record applied when the last section was copied, once it is.
    #[must_use]
    pub fn end(&self) -> Option<Lsn> {
        self.end
    }

    /// Appends the next section to `out`; false if the last one was copied before, and nothing is appended.
    ///
    /// A step copies [`SECTION_SLOTS_MAX`] slots at most, and stops when it has [`SECTION_BYTES_MIN`] bytes.
    pub fn step(&mut self, state: &State, out: &mut Vec<u8>) -> bool {
        if self.end.is_some() {
            return false;
        }
        if self.next_slot < self.slots {
            let end = self.slots.min(self.next_slot.saturating_add(self.slots_max));
            self.next_slot = state.append_slots(self.next_slot, end, out);
        } else {
            state.append_globals(self.slots, out);
            self.end = Some(state.applied());
        }
        true
    }
}

impl State {
    /// Appends a section of slots from `first` on, before `end`, and says which slot comes next.
    fn append_slots(&self, first: u32, end: u32, out: &mut Vec<u8>) -> u32 {
        let start = out.len();
        out.extend_from_slice(&[SLOTS, 0, 0, 0]);
        out.extend_from_slice(&first.to_le_bytes());
        let count_at = out.len();
        out.extend_from_slice(&0_u32.to_le_bytes());
        out.extend_from_slice(&self.applied().0.to_le_bytes());
        let mut slot = first;
        while slot < end && out.len() - start < SECTION_BYTES_MIN {
            self.append_slot(slot, out);
            slot += 1;
        }
        if let Some(count) = out.get_mut(count_at..count_at + 4) {
            count.copy_from_slice(&(slot - first).to_le_bytes());
        }
        slot
    }

    fn append_slot(&self, slot: u32, out: &mut Vec<u8>) {
        let live = self.slab().live_at(slot).and_then(|id| self.slab().get(id));
        // What has ended is over for good: a snapshot counts only when the records of its time are durable.
        let Some(entry) = live else {
            out.push(Phase::Vacant.code());
            let last = self.slab().last_generation(slot).min(GENERATION_MAX);
            out.extend_from_slice(&last.to_le_bytes());
            return;
        };
        let facts = self.facts_at(slot);
        let payload = self.payload_of(PayloadRef(entry.word));
        out.push(self.tag_of(slot, &facts));
        out.extend_from_slice(&entry.id.generation().to_le_bytes());
        out.extend_from_slice(&entry.deadline.0.to_le_bytes());
        out.extend_from_slice(&facts.lsn.0.to_le_bytes());
        out.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
        if facts.has_counts() {
            out.extend_from_slice(&facts.deliveries.to_le_bytes());
            out.extend_from_slice(&facts.failures.to_le_bytes());
        }
        if self.has_extras(slot, &facts) {
            codec::encode_extras(self.terms_of(&facts), self.letter_at(slot), out);
        }
        out.extend_from_slice(payload);
    }

    fn tag_of(&self, slot: u32, facts: &Facts) -> u8 {
        let bit = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        facts.phase.code()
            | bit(facts.civil, tag::CIVIL)
            | bit(facts.doomed, tag::DOOMED)
            | bit(facts.suspect, tag::SUSPECT)
            | bit(facts.has_counts(), tag::COUNTS)
            | bit(self.has_extras(slot, facts), tag::EXTRAS)
    }

    fn has_extras(&self, slot: u32, facts: &Facts) -> bool {
        self.terms_of(facts).is_some() || self.letter_at(slot).is_some()
    }

    fn letter_at(&self, slot: u32) -> Option<&DeadLetter> {
        self.dead_letters_from(slot).next().filter(|(id, _)| id.slot() == slot).map(|(_, letter)| letter)
    }

    fn append_globals(&self, slots: u32, out: &mut Vec<u8>) {
        let totals = self.totals();
        let reading = self.reading();
        out.extend_from_slice(&[GLOBALS, 0, 0, 0]);
        out.extend_from_slice(&slots.to_le_bytes());
        let numbers = [
            self.applied().0,
            self.epoch(),
            self.tick_len().map_or(0, |len| len.ns()),
            reading.wall_ns,
            reading.boottime_ns,
            reading.elapsed_ns,
            totals.scheduled,
            totals.cancelled,
            totals.finished,
            totals.expired,
            totals.deliveries,
            totals.completed,
            totals.failures,
            totals.dead,
            totals.skipped_misfire,
            totals.skipped_overlap,
            totals.coalesced,
        ];
        numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
        out.extend_from_slice(&reading.boot_id.to_le_bytes());
        self.append_floors(out);
    }

    fn append_floors(&self, out: &mut Vec<u8>) {
        let slab = self.slab();
        let floors: Vec<u32> = slab.floors().collect();
        let count = u32::try_from(floors.len()).unwrap_or(u32::MAX);
        for number in [slab.origin(), slab.floor_base(), count].into_iter().chain(floors) {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }
}
