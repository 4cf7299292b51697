//! What every timer has beside its slab entry, 20 bytes a slot: in pages that are there only while a slot of theirs is in use.
//!
//! # Invariants (asserted by [`FactsTable::check`])
//!
//! 1. `used` of a page is the number of its slots that are not vacant. A slot of a page that is not there is vacant.
//! 2. `stored` is the number of pages that are there.
//! 3. Of the pages that are there, only `idle` has no slot in use: memory follows a burst down, and a lone timer that comes and
//!    goes costs no page each time.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use horolog_wheel::Tick;

use super::Phase;
use crate::lsn::Lsn;
use crate::time::{DueTime, Timeline};

/// The facts of a timer, to work with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The record that gave it its present due time, or that ended it.
    pub(crate) lsn: Lsn,
    /// Index into the terms; [`NO_TERMS`] for a plain one-shot.
    pub(super) terms: u32,
    pub(crate) deliveries: u32,
    pub(crate) failures: u32,
    pub(crate) phase: Phase,
    pub(crate) civil: bool,
    pub(crate) doomed: bool,
    pub(crate) suspect: bool,
}

pub(super) const NO_TERMS: u32 = u32::MAX;

impl Facts {
    /// Those of a slot without a timer.
    pub(crate) const VACANT: Self = Self {
        lsn: Lsn::ZERO,
        terms: NO_TERMS,
        deliveries: 0,
        failures: 0,
        phase: Phase::Vacant,
        civil: false,
        doomed: false,
        suspect: false,
    };

    /// Whether its present occurrence was ever delivered, or has failed.
    pub(crate) fn has_counts(&self) -> bool {
        (self.deliveries, self.failures) != (0, 0)
    }

    pub(super) fn due(&self, tick: Tick) -> DueTime {
        let timeline = if self.civil { Timeline::Civil } else { Timeline::Elapsed };
        DueTime { timeline, tick }
    }

    pub(super) fn set_due(&mut self, lsn: Lsn, due: DueTime) {
        (self.lsn, self.civil) = (lsn, due.timeline == Timeline::Civil);
    }
}

/// Facts as they are kept: the number of the record below, the phase and three marks above it in the first two words, then the
/// terms plus one, deliveries, failures. All zeros is a vacant slot.
type Packed = [u32; 5];

const PHASE_SHIFT: u32 = 58;
const CIVIL: u64 = 1 << 61;
const DOOMED: u64 = 1 << 62;
const SUSPECT: u64 = 1 << 63;

/// The number of a record and the marks share eight bytes.
const _: () = assert!(Lsn::MAX.0 == (1 << PHASE_SHIFT) - 1);

fn pack(facts: &Facts) -> Packed {
    let mark = |is_set: bool, mark: u64| if is_set { mark } else { 0 };
    let word = (facts.lsn.0 & Lsn::MAX.0)
        | u64::from(facts.phase.code()) << PHASE_SHIFT
        | mark(facts.civil, CIVIL)
        | mark(facts.doomed, DOOMED)
        | mark(facts.suspect, SUSPECT);
    let [low, high] = halves(word);
    [low, high, facts.terms.wrapping_add(1), facts.deliveries, facts.failures]
}

#[expect(clippy::cast_possible_truncation, reason = "each half is what is meant")]
fn halves(word: u64) -> [u32; 2] {
    [word as u32, (word >> 32) as u32]
}

fn unpack([low, high, terms, deliveries, failures]: Packed) -> Facts {
    let word = u64::from(high) << 32 | u64::from(low);
    Facts {
        lsn: Lsn(word & Lsn::MAX.0),
        terms: terms.wrapping_sub(1),
        deliveries,
        failures,
        phase: phase_of(word),
        civil: word & CIVIL != 0,
        doomed: word & DOOMED != 0,
        suspect: word & SUSPECT != 0,
    }
}

fn phase_of(word: u64) -> Phase {
    // Only codes of phases were ever put there.
    u8::try_from(word >> PHASE_SHIFT & 7).ok().and_then(Phase::from_code).unwrap_or_default()
}

const PAGE_SLOTS: usize = 1_024;

#[derive(Debug)]
struct Page {
    slots: Box<[Packed]>,
    used: u32,
}

impl Page {
    const BYTES: usize = PAGE_SLOTS * size_of::<Packed>();

    fn new() -> Self {
        Self { slots: vec![Packed::default(); PAGE_SLOTS].into_boxed_slice(), used: 0 }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct FactsTable {
    pages: Vec<Option<Page>>,
    /// Pages that are there.
    stored: usize,
    /// The one of them without a slot in use.
    idle: Option<usize>,
}

impl FactsTable {
    /// The facts of a slot.
    pub(crate) fn get(&self, slot: u32) -> Facts {
        let (page, at) = place_of(slot);
        let page = self.pages.get(page).and_then(Option::as_ref);
        page.and_then(|page| page.slots.get(at)).map_or(Facts::VACANT, |packed| unpack(*packed))
    }

    pub(crate) fn set(&mut self, slot: u32, facts: &Facts) {
        let (number, at) = place_of(slot);
        let is_used = facts.phase != Phase::Vacant;
        let Some(page) = self.page_for(number, is_used) else { return };
        let Some(place) = page.slots.get_mut(at) else { return };
        let was_used = *place != Packed::default();
        *place = if is_used { pack(facts) } else { Packed::default() };
        match (was_used, is_used) {
            (false, true) => page.used += 1,
            (true, false) => page.used -= 1,
            _ => {}
        }
        let used = page.used;
        match used {
            0 if self.idle != Some(number) => self.keep_idle(number),
            1 if self.idle == Some(number) => self.idle = None,
            _ => {}
        }
    }

    /// The page of a slot; it is made if there is none and it is to be used.
    fn page_for(&mut self, number: usize, is_used: bool) -> Option<&mut Page> {
        if is_used && number >= self.pages.len() {
            self.pages.resize_with(number + 1, || None);
        }
        let place = self.pages.get_mut(number)?;
        if is_used && place.is_none() {
            *place = Some(Page::new());
            self.stored += 1;
        }
        place.as_mut()
    }

    /// No slot of a page is in use any more: it is kept, and the one that was kept so far is not.
    fn keep_idle(&mut self, number: usize) {
        let before = self.idle.replace(number).and_then(|before| self.pages.get_mut(before));
        if let Some(place) = before {
            *place = None;
            self.stored -= 1;
        }
    }

    /// The slots that are not vacant, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, Facts)> {
        let pages = (0_u32..).step_by(PAGE_SLOTS).zip(&self.pages);
        let pages = pages.filter_map(|(first, page)| Some((first, page.as_ref()?)));
        let slots = pages.flat_map(|(first, page)| (first..).zip(page.slots.iter()));
        let used = slots.map(|(slot, packed)| (slot, unpack(*packed)));
        used.filter(|(_, facts)| facts.phase != Phase::Vacant)
    }

    /// Bytes taken from the allocator.
    pub(crate) fn bytes(&self) -> usize {
        self.stored * Page::BYTES + self.pages.capacity() * size_of::<Option<Page>>()
    }

    /// Asserts the invariants of the module.
    ///
    /// # Errors
    ///
    /// The number of the invariant that does not hold.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let used = |page: &Page| page.slots.iter().filter(|packed| **packed != Packed::default()).count();
        let stored = || self.pages.iter().flatten();
        if !stored().all(|page| page.used as usize == used(page)) {
            return Err("facts I1: a page counts its slots wrongly");
        }
        if stored().count() != self.stored {
            return Err("facts I2: pages are counted wrongly");
        }
        let is_idle = |page: &Option<Page>| page.as_ref().is_some_and(|page| page.used == 0);
        let idle = (0..).zip(&self.pages).filter(|(_, page)| is_idle(page)).map(|(number, _)| number);
        if idle.eq(self.idle) { Ok(()) } else { Err("facts I3: a page is kept for nothing") }
    }
}

fn place_of(slot: u32) -> (usize, usize) {
    (slot as usize / PAGE_SLOTS, slot as usize % PAGE_SLOTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_come_back_as_they_were_put() {
        let mut table = FactsTable::default();
        let phases = [Phase::Waiting, Phase::Leased, Phase::Dead, Phase::Ended];
        let marks = (0..8).map(|bits| [1, 2, 4].map(|mark| bits & mark != 0));
        for (slot, (phase, [civil, doomed, suspect])) in
            (0..).zip(phases.into_iter().flat_map(|phase| marks.clone().map(move |marks| (phase, marks))))
        {
            let numbers = [(Lsn(1), 0, 1, 2), (Lsn::MAX, NO_TERMS, u32::MAX, u32::MAX)];
            for (lsn, terms, deliveries, failures) in numbers {
                let facts = Facts { lsn, terms, deliveries, failures, phase, civil, doomed, suspect };
                table.set(slot * 700, &facts);
                assert_eq!(table.get(slot * 700), facts);
                assert_eq!(table.check(), Ok(()));
            }
        }
        assert_eq!(table.iter().count(), 32);
        assert_eq!(table.get(1), Facts::VACANT);
    }

    #[test]
    fn memory_follows_a_burst_down_and_one_page_stays() {
        let mut table = FactsTable::default();
        let facts = Facts { phase: Phase::Waiting, ..Facts::VACANT };
        (0..10_000).for_each(|slot| table.set(slot, &facts));
        assert_eq!(table.stored, 10);
        for slot in (0..10_000).rev() {
            table.set(slot, &Facts::VACANT);
            assert_eq!(table.check(), Ok(()));
        }
        assert_eq!((table.stored, table.iter().count()), (1, 0));
        for slot in [5_000, 5_000, 0] {
            table.set(slot, &facts);
            table.set(slot, &Facts::VACANT);
            assert_eq!((table.stored, table.check()), (1, Ok(())), "the page of slot {slot}");
        }
    }
}
