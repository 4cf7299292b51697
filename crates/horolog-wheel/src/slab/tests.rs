//! What the slab promises about ids. Names are the specification; the histories at the end are random.

use std::collections::BTreeSet;
use std::vec::Vec;

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::*;
use crate::GENERATION_MAX;
use crate::testing::config;

fn id(slot: u32, generation: u32) -> TimerId {
    TimerId::new(slot, generation).unwrap()
}

/// Reserves and occupies.
#[track_caller]
fn begin(slab: &mut Slab) -> TimerId {
    let id = slab.reserve().unwrap();
    slab.occupy(id, Tick(1), id.raw()).unwrap();
    slab.check().unwrap();
    id
}

/// Ends and frees.
#[track_caller]
fn finish(slab: &mut Slab, id: TimerId) {
    assert!(slab.end(id) && slab.free(id));
    slab.check().unwrap();
}

#[track_caller]
fn occupied(ids: &[TimerId]) -> Slab {
    let mut slab = Slab::new();
    for id in ids {
        slab.occupy(*id, Tick(1), 0).unwrap();
        slab.check().unwrap();
    }
    slab
}

// Reserving

#[test]
fn a_new_slab_grows_by_one_slot_at_a_time() {
    let mut slab = Slab::new();
    assert_eq!([begin(&mut slab), begin(&mut slab), begin(&mut slab)], [id(0, 1), id(1, 1), id(2, 1)]);
    assert_eq!((slab.slots(), slab.len()), (3, 3));
}

#[test]
fn the_lowest_free_slot_is_used_first() {
    let mut slab = Slab::new();
    let ids = [begin(&mut slab), begin(&mut slab), begin(&mut slab)];
    finish(&mut slab, ids[2]);
    finish(&mut slab, ids[0]);
    assert_eq!([begin(&mut slab), begin(&mut slab), begin(&mut slab)], [id(0, 2), id(2, 2), id(3, 1)]);
}

#[test]
fn in_dense_pages_the_slot_freed_last_is_used_next() {
    let mut slab = Slab::new();
    let ids: Vec<_> = (0..2 * PAGE_SLOTS).map(|_| begin_quick(&mut slab)).collect();
    [7, 1_500, 3].iter().for_each(|slot| finish(&mut slab, ids[*slot]));
    let reused = [begin(&mut slab), begin(&mut slab), begin(&mut slab), begin(&mut slab)];
    assert_eq!(reused, [id(3, 2), id(1_500, 2), id(7, 2), id(2_048, 1)]);
}

#[test]
fn in_sparse_pages_the_page_at_hand_is_filled_whatever_was_freed_last() {
    let mut slab = Slab::new();
    let ids: Vec<_> = (0..2 * PAGE_SLOTS).map(|_| begin_quick(&mut slab)).collect();
    ids.iter().skip(100).step_by(2).for_each(|id| assert!(slab.end(*id) && slab.free(*id)));
    assert_eq!(begin(&mut slab), id(1_024, 2));
    finish(&mut slab, ids[1_501]);
    finish(&mut slab, ids[5]);
    assert_eq!([begin(&mut slab), begin(&mut slab)], [id(1_026, 2), id(1_028, 2)]);
}

/// Its page has not been told that it is free.
#[test]
fn a_slot_that_was_just_freed_can_be_named() {
    let mut slab = Slab::new();
    let ids: Vec<_> = (0..PAGE_SLOTS).map(|_| begin_quick(&mut slab)).collect();
    finish(&mut slab, ids[9]);
    finish(&mut slab, ids[8]);
    assert_eq!(
        slab.occupy(id(9, 1), Tick(1), 0),
        Err(OccupyError::StaleGeneration { generation: 1, last: 1 })
    );
    assert_eq!(slab.occupy(id(9, 5), Tick(1), 0), Ok(()));
    slab.check().unwrap();
    assert_eq!([begin(&mut slab), begin(&mut slab)], [id(8, 2), id(1_024, 1)], "and is not given again");
}

#[test]
fn a_reserved_id_is_not_live_and_unknown() {
    let mut slab = Slab::new();
    let reserved = slab.reserve().unwrap();
    assert_eq!((slab.get(reserved), slab.lookup(reserved)), (None, Lookup::Unknown));
    assert_eq!((slab.live_at(0), slab.len(), slab.last_generation(0)), (None, 0, 0));
    assert!(!slab.end(reserved) && !slab.free(reserved) && !slab.set_word(reserved, 1));
    slab.check().unwrap();
}

#[test]
fn an_unreserved_id_is_given_again() {
    let mut slab = Slab::new();
    let reserved = slab.reserve().unwrap();
    assert_eq!(slab.reserve(), Some(id(1, 1)), "reserved means taken");
    assert!(slab.unreserve(reserved));
    assert!(!slab.unreserve(reserved), "once");
    assert_eq!(slab.reserve(), Some(reserved));
}

#[test]
fn only_the_very_id_that_was_reserved_is_unreserved() {
    let mut slab = Slab::new();
    let reserved = slab.reserve().unwrap();
    let wrong = [id(0, 2), id(1, 1), id(u32::MAX, 1)];
    assert!(wrong.iter().all(|id| !slab.unreserve(*id)));
    slab.occupy(reserved, Tick(1), 0).unwrap();
    assert!(!slab.unreserve(reserved), "it is live");
    finish(&mut slab, reserved);
    assert!(!slab.unreserve(reserved), "it was live");
}

#[test]
fn a_full_slab_reserves_nothing_until_a_slot_is_freed() {
    let mut slab = Slab::with_slots_max(2);
    let ids = [begin(&mut slab), begin(&mut slab)];
    assert_eq!(slab.reserve(), None);
    assert!(slab.end(ids[0]));
    assert_eq!(slab.reserve(), None, "ended is not free");
    assert!(slab.free(ids[0]));
    assert_eq!(slab.reserve(), Some(id(0, 2)));
    assert_eq!(Slab::with_slots_max(0).reserve(), None);
}

// The life of an entry

#[test]
fn a_live_entry_is_found_with_what_it_holds() {
    let mut slab = Slab::new();
    let it = slab.reserve().unwrap();
    slab.occupy(it, Tick(70), 7).unwrap();
    let entry = Entry { id: it, deadline: Tick(70), word: 7, armed: None };
    assert_eq!((slab.get(it), slab.lookup(it), slab.live_at(0)), (Some(entry), Lookup::Live, Some(it)));
    assert!(slab.set_word(it, 8) && slab.set_deadline(it, Tick(80)));
    assert_eq!(slab.get(it), Some(Entry { deadline: Tick(80), word: 8, ..entry }));
}

#[test]
fn an_ended_entry_is_not_found_and_its_slot_not_used() {
    let mut slab = Slab::new();
    let it = begin(&mut slab);
    assert!(slab.end(it) && !slab.end(it));
    assert_eq!((slab.get(it), slab.lookup(it), slab.live_at(0)), (None, Lookup::Ended, None));
    assert!(!slab.set_word(it, 1) && !slab.set_deadline(it, Tick(1)));
    assert_eq!(begin(&mut slab).slot(), 1);
    assert!(!slab.free(id(0, 2)), "another life of that slot");
    assert!(slab.free(it) && !slab.free(it));
    assert_eq!(slab.lookup(it), Lookup::Ended);
}

#[test]
fn earlier_lives_are_ended_and_later_ones_unknown() {
    let slab = occupied(&[id(4, 9)]);
    let lookups = [(4, 1), (4, 8), (4, 9), (4, 10), (3, 1), (5, 1), (u32::MAX, 1)];
    let known = lookups.map(|(slot, generation)| slab.lookup(id(slot, generation)));
    let expected = "[Ended, Ended, Live, Unknown, Unknown, Unknown, Unknown]";
    assert_eq!(std::format!("{known:?}"), expected);
}

#[test]
fn an_armed_entry_is_not_ended() {
    let mut slab = Slab::new();
    let it = begin(&mut slab);
    let mut wheel = crate::Wheel::new(Lane::Second, Tick(0));
    assert!(wheel.insert(&mut slab, it, Tick(9)));
    assert!(!slab.end(it) && !slab.set_deadline(it, Tick(1)));
    assert!(slab.set_word(it, 5));
    assert!(wheel.cancel(&mut slab, it) && slab.end(it));
}

#[test]
fn entries_are_listed_in_slab_order() {
    let slab = occupied(&[id(70_000, 1), id(3, 4), id(65_535, 2), id(65_536, 3)]);
    let listed: Vec<_> = slab.iter().map(|entry| entry.id).collect();
    assert_eq!(listed, [id(3, 4), id(65_535, 2), id(65_536, 3), id(70_000, 1)]);
}

// Occupying what was not reserved

#[test]
fn replay_names_slots_in_any_order() {
    let mut slab = occupied(&[id(9, 5), id(2, 1), id(0, 7)]);
    assert_eq!((slab.len(), slab.slots()), (3, 10));
    let free: Vec<_> = (0..8).map(|_| begin(&mut slab).slot()).collect();
    assert_eq!(free, [1, 3, 4, 5, 6, 7, 8, 10], "the lowest first, then growth");
}

#[test]
fn a_slot_that_is_held_is_not_occupied() {
    let mut slab = occupied(&[id(3, 4)]);
    let live = Err(OccupyError::Live { holder: id(3, 4) });
    assert_eq!(slab.occupy(id(3, 4), Tick(2), 0), live);
    assert_eq!(slab.occupy(id(3, 5), Tick(2), 0), live);
    assert!(slab.end(id(3, 4)));
    assert_eq!(slab.occupy(id(3, 5), Tick(2), 0), live);
    assert!(slab.free(id(3, 4)));
    assert_eq!(slab.occupy(id(3, 5), Tick(2), 0), Ok(()));
}

#[test]
fn a_generation_that_was_live_is_not_live_again() {
    let mut slab = occupied(&[id(3, 4)]);
    finish(&mut slab, id(3, 4));
    for generation in 1..=4 {
        let stale = Err(OccupyError::StaleGeneration { generation, last: 4 });
        assert_eq!(slab.occupy(id(3, generation), Tick(2), 0), stale);
    }
    assert_eq!(slab.occupy(id(3, 9), Tick(2), 0), Ok(()));
}

#[test]
fn entries_from_before_a_raised_floor_can_be_replayed() {
    let mut slab = Slab::new();
    slab.set_floor_base(100);
    assert_eq!(slab.occupy(id(3, 4), Tick(2), 0), Ok(()));
    assert_eq!(slab.get(id(3, 4)).map(|entry| entry.id), Some(id(3, 4)));
}

#[test]
fn a_hostile_slot_is_refused_and_takes_no_memory() {
    let mut slab = Slab::with_slots_max(1_000);
    let before = slab.bytes();
    for slot in [1_000, 5_000_000, u32::MAX] {
        let refused = Err(OccupyError::SlotOutOfRange { slot, slots_max: 1_000 });
        assert_eq!(slab.occupy(id(slot, 1), Tick(1), 0), refused);
    }
    assert!(!slab.raise_floor(1, 7));
    assert_eq!((slab.bytes(), slab.slots()), (before, 0));
    assert_eq!(slab.occupy(id(999, 1), Tick(1), 0), Ok(()));
    let last = Slab::new().occupy(id(u32::MAX, 1), Tick(1), 0);
    assert_eq!(last, Err(OccupyError::SlotOutOfRange { slot: u32::MAX, slots_max: u32::MAX }));
}

#[test]
fn a_far_slot_within_the_limit_costs_one_page_and_little_for_each_before() {
    let mut slab = Slab::with_slots_max(6_000_000);
    slab.occupy(id(5_000_000, 1), Tick(1), 0).unwrap();
    let (page, before) = (PAGE_SLOTS * size_of::<Cell>(), 2 * 5_000 * size_of::<Page>());
    assert!((page..page + before).contains(&slab.bytes()), "{}", slab.bytes());
    assert_eq!((slab.slots(), slab.len()), (5_000_001, 1));
}

#[test]
fn cells_never_move() {
    let mut slab = Slab::new();
    begin(&mut slab);
    let address = |slab: &Slab| core::ptr::from_ref(slab.cell(0).unwrap()).addr();
    let before = address(&slab);
    slab.occupy(id(SEGMENT_SLOTS - 1, 1), Tick(1), 0).unwrap();
    slab.occupy(id(SEGMENT_SLOTS * 9, 1), Tick(1), 0).unwrap();
    assert_eq!(address(&slab), before);
}

#[test]
fn a_long_replay_in_one_slot_holds_no_memory() {
    let mut slab = occupied(&[id(0, 1)]);
    let before = slab.bytes();
    for generation in 2..5_000 {
        assert!(slab.end(id(0, generation - 1)) && slab.free(id(0, generation - 1)));
        slab.occupy(id(0, generation), Tick(1), 0).unwrap();
    }
    assert_eq!(slab.bytes(), before);
}

// Memory

#[test]
fn pages_that_are_wholly_free_are_given_back_but_for_one() {
    let mut slab = Slab::new();
    let empty = slab.bytes();
    let ids: Vec<_> = (0..20 * PAGE_SLOTS).map(|_| slab.reserve().unwrap()).collect();
    ids.iter().for_each(|id| slab.occupy(*id, Tick(1), 0).unwrap());
    let full = slab.bytes();
    assert!(full >= 20 * PAGE_SLOTS * size_of::<Cell>());
    ids.iter().for_each(|id| assert!(slab.end(*id) && slab.free(*id)));
    slab.check().unwrap();
    assert!(slab.bytes() - empty < full / 10, "{} of {full}", slab.bytes());
    assert_eq!(slab.slots() as usize, 20 * PAGE_SLOTS);
}

#[test]
fn ids_of_a_page_that_was_given_back_are_ended_and_not_given_again() {
    let mut slab = Slab::new();
    let ids: Vec<_> = (0..3 * PAGE_SLOTS).map(|_| begin_quick(&mut slab)).collect();
    let last = ids[2 * PAGE_SLOTS];
    assert!(slab.end(last) && slab.free(last));
    slab.occupy(id(last.slot(), 9), Tick(1), 0).unwrap();
    assert!(slab.end(id(last.slot(), 9)) && slab.free(id(last.slot(), 9)));
    ids.iter().filter(|id| **id != last).for_each(|id| assert!(slab.end(*id) && slab.free(*id)));
    slab.check().unwrap();
    assert!(!slab.pages[2].is_stored() && !slab.pages[1].is_stored());
    assert_eq!(slab.lookup(ids[PAGE_SLOTS + 5]), Lookup::Ended);
    assert_eq!(slab.lookup(id(last.slot(), 9)), Lookup::Ended);
    assert_eq!(slab.last_generation(last.slot()), 9);
    let given: BTreeSet<_> = (0..3 * PAGE_SLOTS).map(|_| begin_quick(&mut slab)).collect();
    assert!(ids.iter().all(|id| !given.contains(id)));
    assert!(!given.contains(&id(last.slot(), 9)));
}

/// Begins and ends of entries, as a log has them.
type Log = Vec<(bool, TimerId)>;

fn replayed(log: &Log) -> Slab {
    let mut slab = Slab::new();
    for (at, (begins, id)) in log.iter().enumerate() {
        if *begins {
            assert_eq!(slab.occupy(*id, Tick(1), 0), Ok(()), "record {at}: {id}");
        } else {
            assert!(slab.end(*id) && slab.free(*id));
        }
    }
    slab.check().unwrap();
    slab
}

/// A slot is freed when its end is durable, two records later. A replay frees at once, and so sees pages wholly free that
/// never were.
#[test]
fn a_replay_takes_every_id_that_was_drawn_however_late_slots_were_freed() {
    let (mut live, mut log) = (Slab::new(), Log::new());
    let mut ended = std::collections::VecDeque::new();
    let mut burst: Vec<_> = (0..2_000).map(|_| begin_quick(&mut live)).collect();
    log.extend(burst.iter().map(|id| (true, *id)));
    let held_back = burst.pop().unwrap();
    assert!(live.end(held_back));
    ended.push_back(held_back);
    log.push((false, held_back));
    for id in burst {
        assert!(live.end(id) && live.free(id));
        log.push((false, id));
    }
    for _ in 0..100 {
        let id = begin_quick(&mut live);
        assert!(live.end(id));
        log.extend([(true, id), (false, id)]);
        ended.push_back(id);
        if ended.len() > 2 {
            assert!(ended.pop_front().is_some_and(|id| live.free(id)));
        }
    }
    replayed(&log);
}

#[test]
fn a_replay_takes_an_id_that_was_promised_while_its_page_was_in_use() {
    let (mut live, mut log) = (Slab::new(), Log::new());
    let first_page: Vec<_> = (0..PAGE_SLOTS).map(|_| begin_quick(&mut live)).collect();
    log.extend(first_page.iter().map(|id| (true, *id)));
    for _ in 0..5 {
        let id = begin_quick(&mut live);
        assert!(live.end(id) && live.free(id));
        log.extend([(true, id), (false, id)]);
    }
    let often = begin_quick(&mut live);
    let promised = live.reserve().unwrap();
    log.push((true, often));
    for id in first_page.into_iter().chain([often]) {
        assert!(live.end(id) && live.free(id));
        log.push((false, id));
    }
    assert!(promised.generation() < often.generation());
    live.occupy(promised, Tick(1), 0).unwrap();
    log.push((true, promised));
    assert_eq!(replayed(&log).len(), 1);
}

#[test]
fn raising_the_floors_gives_back_what_a_replay_left_free() {
    let mut slab = occupied(&[]);
    let ids: Vec<_> = (0..5 * 1_024).map(|slot| id(slot, 3)).collect();
    ids.iter().for_each(|id| slab.occupy(*id, Tick(1), 0).unwrap());
    ids.iter().for_each(|id| assert!(slab.end(*id) && slab.free(*id)));
    let before = slab.bytes();
    slab.raise_floors();
    slab.check().unwrap();
    assert!(slab.bytes() < before / 10);
    assert_eq!(slab.lookup(ids[7]), Lookup::Ended);
    assert_eq!(slab.reserve().map(|id| id.generation()), Some(5));
}

fn begin_quick(slab: &mut Slab) -> TimerId {
    let id = slab.reserve().unwrap();
    slab.occupy(id, Tick(1), 0).unwrap();
    id
}

// Retired slots

#[test]
fn a_slot_whose_generations_are_used_up_is_skipped_for_ever() {
    let mut slab = occupied(&[id(0, GENERATION_MAX), id(1, GENERATION_MAX - 1)]);
    finish(&mut slab, id(0, GENERATION_MAX));
    finish(&mut slab, id(1, GENERATION_MAX - 1));
    slab.check().unwrap();
    assert_eq!(begin(&mut slab), id(1, GENERATION_MAX));
    finish(&mut slab, id(1, GENERATION_MAX));
    assert_eq!((begin(&mut slab), begin(&mut slab)), (id(2, 1), id(3, 1)));
}

#[test]
fn slots_retired_by_a_raised_floor_while_free_are_skipped() {
    let mut slab = Slab::with_slots_max(3);
    let ids = [begin(&mut slab), begin(&mut slab)];
    ids.iter().for_each(|id| finish(&mut slab, *id));
    slab.set_floor_base(GENERATION_MAX - 1);
    assert_eq!(begin(&mut slab), id(0, GENERATION_MAX));
    slab.raise_floors();
    slab.check().unwrap();
    assert_eq!(slab.reserve(), None);
}

#[test]
fn a_slab_whose_floors_are_used_up_gives_no_id_and_does_not_search_for_ever() {
    let mut slab = Slab::new();
    slab.set_floor_base(u32::MAX);
    assert_eq!(slab.floor_base(), GENERATION_MAX);
    assert_eq!((slab.reserve(), slab.reserve(), slab.slots()), (None, None, 0));
    slab.raise_floors();
    assert_eq!(slab.floor_base(), GENERATION_MAX);
}

#[test]
fn a_segment_that_is_used_up_is_stepped_over() {
    let mut slab = Slab::new();
    assert!(slab.raise_floor(0, GENERATION_MAX));
    assert_eq!(slab.reserve(), Some(id(SEGMENT_SLOTS, 1)));
}

// Floors

#[test]
fn floors_rise_above_all_generations_seen() {
    let mut slab = occupied(&[id(0, 7), id(SEGMENT_SLOTS, 2)]);
    slab.raise_floors();
    assert_eq!((slab.floor(0), slab.floor(1), slab.floor(2), slab.floor_base()), (8, 3, 1, 1));
    slab.raise_floors();
    assert_eq!((slab.floor(0), slab.floor(1), slab.floor(2)), (9, 4, 2), "by one at least");
    assert_eq!(slab.reserve(), Some(id(1, 10)));
}

#[test]
fn a_segment_that_comes_later_has_the_floor_of_those_not_yet_present() {
    let mut slab = Slab::new();
    slab.set_floor_base(100);
    slab.raise_floors();
    slab.raise_floors();
    assert_eq!(begin(&mut slab), id(0, 103));
}

#[test]
fn ids_of_another_directory_are_unknown() {
    let mut slab = Slab::new();
    slab.set_floor_base(1_000);
    let it = begin(&mut slab);
    assert_eq!(it, id(0, 1_001));
    assert_eq!(slab.lookup(id(0, 1_000)), Lookup::Unknown);
    assert_eq!(slab.lookup(id(0, 1)), Lookup::Unknown);
    finish(&mut slab, it);
    slab.set_floor_base(2_000);
    assert_eq!(begin(&mut slab), id(0, 2_001));
    assert_eq!(slab.lookup(it), Lookup::Ended, "the first base is the one that counts");
}

#[test]
fn floors_of_a_snapshot_come_back() {
    let mut old = occupied(&[id(0, 7), id(SEGMENT_SLOTS, 2)]);
    old.raise_floors();
    let mut new = Slab::new();
    new.set_floor_base(old.floor_base());
    (0..2).for_each(|segment| assert!(new.raise_floor(segment, old.floor(segment))));
    assert_eq!((new.floor(0), new.floor(1), new.floor(2)), (8, 3, 1));
    assert!(new.raise_floor(0, 1));
    assert_eq!(new.floor(0), 8, "a floor never falls");
}

#[test]
fn check_finds_a_wrong_count_and_a_wrong_free_slot() {
    let mut slab = Slab::new();
    begin(&mut slab);
    slab.live = 2;
    assert_eq!(slab.check().unwrap_err().invariant, "S1");
    slab.live = 1;
    slab.pages[0].put_back(0);
    assert_eq!(slab.check().unwrap_err().invariant, "S4");
    assert_eq!(std::format!("{}", slab.check().unwrap_err()), "S4: a taken slot is among the free (slot 0)");
}

// Histories over crashes

/// A record of the log.
#[derive(Clone, Copy, Debug)]
enum Record {
    Put(TimerId),
    End(TimerId),
    Epoch,
}

/// A caller as the engine is one: slots are freed when the record that ended them is durable, and not before.
struct Caller {
    slab: Slab,
    log: Vec<Record>,
    /// How many records a crash leaves, at least.
    durable: usize,
    /// Ended ids with the position of their record, not freed yet.
    ended: Vec<(usize, TimerId)>,
    /// Every id ever handed out, over all crashes.
    handed_out: BTreeSet<TimerId>,
}

impl Caller {
    /// Opens the directory that holds `log`.
    fn open(log: Vec<Record>, handed_out: BTreeSet<TimerId>, base: u32) -> Self {
        let mut slab = Slab::with_slots_max(1 << 20);
        slab.set_floor_base(base);
        log.iter().for_each(|record| Self::replay(&mut slab, *record));
        let mut caller = Self { slab, log, durable: 0, ended: Vec::new(), handed_out };
        caller.log.push(Record::Epoch);
        caller.slab.raise_floors();
        caller.sync();
        caller
    }

    fn replay(slab: &mut Slab, record: Record) {
        match record {
            Record::Put(id) => slab.occupy(id, Tick(1), id.raw()).unwrap(),
            Record::End(id) => assert!(slab.end(id) && slab.free(id)),
            Record::Epoch => slab.raise_floors(),
        }
    }

    fn sync(&mut self) {
        self.durable = self.log.len();
        for (_, id) in self.ended.drain(..) {
            assert!(self.slab.free(id));
        }
    }

    fn put(&mut self) -> TestCaseResult {
        let id = self.slab.reserve().expect("room");
        prop_assert!(self.handed_out.insert(id), "{} was handed out before", id);
        self.slab.occupy(id, Tick(1), id.raw()).expect("reserved");
        self.log.push(Record::Put(id));
        Ok(())
    }

    fn refuse(&mut self) {
        let id = self.slab.reserve().expect("room");
        assert!(self.slab.unreserve(id));
    }

    fn end(&mut self, pick: usize) {
        let live: Vec<_> = self.slab.iter().map(|entry| entry.id).collect();
        let Some(id) = live.get(pick % live.len().max(1)) else { return };
        assert!(self.slab.end(*id));
        self.ended.push((self.log.len(), *id));
        self.log.push(Record::End(*id));
    }

    /// Loses some of what was not durable; some of it may have reached the disk.
    fn crash(mut self, kept: usize, base: u32) -> Self {
        let undurable = self.log.len() - self.durable;
        self.log.truncate(self.durable + kept % (undurable + 1));
        Self::open(self.log, self.handed_out, base)
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Put,
    Refuse,
    End(usize),
    Sync,
    Crash(usize),
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Put),
        1 => Just(Step::Refuse),
        4 => any::<usize>().prop_map(Step::End),
        2 => Just(Step::Sync),
        1 => any::<usize>().prop_map(Step::Crash),
    ]
}

#[test]
fn ids_lost_in_a_crash_are_not_given_again_in_a_segment_that_was_lost_whole() {
    let mut before = Caller::open(Vec::new(), BTreeSet::new(), 5);
    for _ in 0..=SEGMENT_SLOTS {
        before.put().unwrap();
        if before.log.len() == 100 {
            before.sync();
        }
    }
    assert!(before.handed_out.contains(&id(SEGMENT_SLOTS, 7)));
    let mut after = before.crash(0, 5);
    for _ in 0..=SEGMENT_SLOTS {
        after.put().unwrap();
    }
    assert!(after.handed_out.contains(&id(SEGMENT_SLOTS, 8)));
}

proptest! {
    #![proptest_config(config(120))]

    /// The proof of the module's text, by trial.
    #[test]
    fn no_id_is_handed_out_twice_over_any_crashes(
        base in 0u32..1_000,
        steps in prop::collection::vec(steps(), 1..150),
    ) {
        let mut caller = Caller::open(Vec::new(), BTreeSet::new(), base);
        for step in &steps {
            match *step {
                Step::Put => caller.put()?,
                Step::Refuse => caller.refuse(),
                Step::End(pick) => caller.end(pick),
                Step::Sync => caller.sync(),
                Step::Crash(kept) => caller = caller.crash(kept, base),
            }
            caller.slab.check().unwrap();
        }
        for id in &caller.handed_out {
            let live = caller.slab.get(*id).is_some();
            prop_assert_eq!(caller.slab.lookup(*id) == Lookup::Live, live);
        }
    }

    /// The free slots after a replay are those the same history leaves in a live slab.
    #[test]
    fn after_replay_in_any_order_the_free_slots_are_exactly_the_rest(
        lives in prop::collection::btree_map(0u32..200, (1u32..5, 0u8..3), 1..60),
        order in any::<u64>(),
    ) {
        let mut lives: Vec<_> = lives.into_iter().collect();
        lives.sort_by_key(|(slot, _)| (u64::from(*slot) + 1).wrapping_mul(order | 1));
        let mut slab = Slab::new();
        for (slot, (generation, fate)) in &lives {
            let id = id(*slot, *generation);
            slab.occupy(id, Tick(1), 0).unwrap();
            prop_assert!(*fate < 1 || slab.end(id));
            prop_assert!(*fate < 2 || slab.free(id));
            slab.check().unwrap();
        }
        slab.check().unwrap();
        let taken = lives.iter().filter(|(_, (_, fate))| *fate < 2).map(|(slot, _)| *slot);
        let taken: BTreeSet<u32> = taken.collect();
        let rest = (0..slab.slots()).filter(|slot| !taken.contains(slot));
        let expected: Vec<u32> = rest.chain([slab.slots(), slab.slots() + 1]).collect();
        let reserved: Vec<u32> = expected.iter().map(|_| begin(&mut slab).slot()).collect();
        prop_assert_eq!(reserved, expected);
    }

    /// Any calls with any ids: no panic, and the invariants hold.
    #[test]
    fn arbitrary_calls_do_no_harm(
        calls in prop::collection::vec((0u8..10, 0u32..40, prop_oneof![1u32..6, Just(GENERATION_MAX)]), 1..200),
        slots_max in 0u32..50,
    ) {
        let mut slab = Slab::with_slots_max(slots_max);
        let mut wheel = crate::Wheel::new(Lane::First, Tick(3));
        for (call, slot, generation) in calls {
            let id = id(slot, generation);
            match call {
                0 => _ = slab.reserve(),
                1 => _ = slab.unreserve(id),
                2 => _ = slab.occupy(id, Tick(5), 0),
                3 => _ = slab.end(id),
                4 => _ = slab.free(id),
                5..=6 => slab.raise_floors(),
                7 => _ = wheel.insert(&mut slab, id, Tick(u64::from(slot))),
                8 => _ = wheel.cancel(&mut slab, id),
                _ => slab.set_floor_base(generation / 2),
            }
            slab.check().unwrap();
            wheel.check(&slab).unwrap();
        }
    }
}
