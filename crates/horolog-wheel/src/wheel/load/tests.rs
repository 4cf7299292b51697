//! Many at a time against one by one: the same entries, the same ids, the same order.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::*;
use crate::testing::{config, nasty_tick};
use crate::{GENERATION_MAX, Lookup};

/// What becomes of a slot before the test.
#[derive(Clone, Copy, Debug)]
enum Past {
    Free,
    Reserved,
    Live,
    Ended,
    Armed(Lane),
    /// Live, with an item left in the wheel.
    Cancelled,
}

fn pasts() -> impl Strategy<Value = Past> {
    prop_oneof![
        1 => Just(Past::Free),
        1 => Just(Past::Reserved),
        6 => Just(Past::Live),
        1 => Just(Past::Ended),
        2 => Just(Past::Armed(Lane::First)),
        1 => Just(Past::Armed(Lane::Second)),
        1 => Just(Past::Cancelled),
    ]
}

/// The ticks at which a byte of a tick changes, and their neighbours.
fn edges() -> Vec<u64> {
    let bits = (8..64).step_by(8).chain([30, 36, 40]);
    let beside = bits.flat_map(|bits| [-1, 0, 1].map(|by| (1u64 << bits).wrapping_add_signed(by)));
    beside.chain([0, 1, 511, 512, u64::MAX - 1, u64::MAX]).collect()
}

/// A slab, and two wheels over it.
struct World {
    slab: Slab,
    wheel: Wheel,
    other: Wheel,
    ids: Vec<TimerId>,
}

impl World {
    fn at(now: Tick, slab: Slab) -> Self {
        let (wheel, other) = (Wheel::new(Lane::First, now), Wheel::new(Lane::Second, now));
        Self { slab, wheel, other, ids: Vec::new() }
    }

    /// The word of an entry is its number here.
    fn put(&mut self, past: Past, deadline: Tick) {
        let id = self.slab.reserve().unwrap();
        self.ids.push(id);
        if matches!(past, Past::Reserved) {
            return;
        }
        self.slab.occupy(id, deadline, self.ids.len() as u64).unwrap();
        match past {
            Past::Free => assert!(self.slab.end(id) && self.slab.free(id)),
            Past::Ended => assert!(self.slab.end(id)),
            Past::Armed(Lane::First) => assert!(self.wheel.insert(&mut self.slab, id, deadline)),
            Past::Armed(Lane::Second) => assert!(self.other.insert(&mut self.slab, id, deadline)),
            Past::Cancelled => {
                assert!(self.wheel.insert(&mut self.slab, id, deadline));
                assert!(self.wheel.cancel(&mut self.slab, id));
            }
            Past::Live | Past::Reserved => {}
        }
    }

    /// Moves the wheel's time on, part of the way if the budget says so. What comes out stays, live and unarmed.
    fn pass(&mut self, ticks: u64, budget: u32) {
        let to = self.wheel.now().saturating_add(ticks);
        let _progress = self.wheel.advance(&mut self.slab, to, budget, &mut Vec::new());
    }

    fn entries(&self) -> Vec<Entry> {
        self.slab.iter().collect()
    }

    fn check(&self) -> TestCaseResult {
        let checked = [self.slab.check(), self.wheel.check(&self.slab), self.other.check(&self.slab)];
        checked
            .into_iter()
            .collect::<Result<(), _>>()
            .map_err(|found| TestCaseError::fail(std::format!("{found}")))
    }

    /// All that is left to come, in order, with its deadline and the time at which it came.
    fn rest(&mut self) -> Vec<(Entry, Tick)> {
        let (mut due, mut rest) = (Vec::new(), Vec::new());
        while let Some(wake) = self.wheel.next_wake() {
            let _progress = self.wheel.advance(&mut self.slab, wake, 7, &mut due);
            let now = self.wheel.now();
            rest.extend(due.drain(..).map(|id| (self.slab.get(id).unwrap(), now)));
        }
        rest
    }
}

/// The same world twice.
fn twice(make: impl Fn() -> World) -> (World, World) {
    (make(), make())
}

/// Nothing tells the two apart, now and later.
fn agree(many: &mut World, single: &mut World) -> TestCaseResult {
    many.check()?;
    single.check()?;
    prop_assert_eq!(many.entries(), single.entries());
    prop_assert_eq!(many.slab.slots(), single.slab.slots());
    prop_assert_eq!((many.wheel.len(), many.wheel.items()), (single.wheel.len(), single.wheel.items()));
    prop_assert_eq!(many.wheel.next_wake(), single.wheel.next_wake());
    prop_assert_eq!(many.rest(), single.rest());
    many.check()
}

/// Armed one by one: what `load` stands for.
fn load_one_by_one(world: &mut World, deadline_of: impl Fn(Entry) -> Option<Tick>) -> usize {
    let unarmed = world.entries().into_iter().filter(|entry| entry.armed.is_none());
    let wanted: Vec<_> = unarmed.filter_map(|entry| Some((entry.id, deadline_of(entry)?))).collect();
    wanted.iter().for_each(|(id, deadline)| assert!(world.wheel.insert(&mut world.slab, *id, *deadline)));
    wanted.len()
}

proptest! {
    #![proptest_config(config(100))]

    #[test]
    fn load_arms_what_a_loop_of_insert_arms(
        start in nasty_tick(),
        pasts in prop::collection::vec((pasts(), nasty_tick()), 0..60),
        (ticks, budget) in (0u64..200_000, prop_oneof![0u32..9, Just(u32::MAX)]),
        declined in 2u64..9,
        later in 0u64..600,
    ) {
        let (mut many, mut single) = twice(|| {
            let mut world = World::at(start, Slab::new());
            pasts.iter().for_each(|(past, deadline)| world.put(*past, *deadline));
            world.pass(ticks, budget);
            world
        });
        let before = many.entries();
        let deadline_of = |entry: Entry| {
            (!entry.word.is_multiple_of(declined)).then(|| entry.deadline.saturating_add(later))
        };
        let mut asked = Vec::new();
        let armed = many.wheel.load(&mut many.slab, |entry| {
            asked.push(entry);
            deadline_of(entry)
        });
        prop_assert_eq!(armed, load_one_by_one(&mut single, deadline_of));
        prop_assert!(asked.iter().eq(before.iter().filter(|entry| entry.armed.is_none())), "{:?}", asked);
        for entry in before.iter().filter(|entry| entry.armed.is_some()) {
            prop_assert_eq!(many.slab.get(entry.id), Some(*entry), "touched, and was armed");
        }
        agree(&mut many, &mut single)?;
    }

    #[test]
    fn insert_many_is_a_loop_of_insert(
        start in nasty_tick(),
        pasts in prop::collection::vec((pasts(), nasty_tick()), 1..40),
        ticks in 0u64..200_000,
        wanted in prop::collection::vec((any::<usize>(), nasty_tick()), 0..80),
    ) {
        let (mut many, mut single) = twice(|| {
            let mut world = World::at(start, Slab::new());
            pasts.iter().for_each(|(past, deadline)| world.put(*past, *deadline));
            world.pass(ticks, u32::MAX);
            world
        });
        // Ids of all kinds, some of them twice, and one of a slot that is not there.
        let mut ids = many.ids.clone();
        ids.extend(TimerId::new(1 << 20, 1));
        let wanted: Vec<_> = wanted.iter().map(|(pick, tick)| (ids[pick % ids.len()], *tick)).collect();
        let (mut inserted, mut expected) = (vec![true], vec![true]);
        many.wheel.insert_many(&mut many.slab, &wanted, &mut inserted);
        expected.extend(wanted.iter().map(|(id, tick)| single.wheel.insert(&mut single.slab, *id, *tick)));
        prop_assert_eq!(inserted, expected);
        agree(&mut many, &mut single)?;
    }

    /// With holes in the slab, slots that have used up their generations, and an end to the room.
    #[test]
    fn insert_new_many_is_a_loop_of_insert_new(
        start in nasty_tick(),
        pasts in prop::collection::vec((pasts(), nasty_tick()), 0..60),
        ticks in 0u64..200_000,
        spare_slots in 0u32..60,
        lives_left in prop_oneof![Just(1 << 20), 1u32..3],
        new in prop::collection::vec(nasty_tick(), 0..100),
    ) {
        let (mut many, mut single) = twice(|| {
            let mut slab = Slab::with_slots_max(u32::try_from(pasts.len()).unwrap() + spare_slots);
            slab.set_floor_base(GENERATION_MAX - lives_left);
            let mut world = World::at(start, slab);
            pasts.iter().for_each(|(past, deadline)| world.put(*past, *deadline));
            world.pass(ticks, u32::MAX);
            world
        });
        let new: Vec<_> = new.into_iter().zip(100..).collect();
        // What is in the list already stays there.
        let (mut ids, mut expected) = (many.ids.clone(), many.ids.clone());
        let refused = many.wheel.insert_new_many(&mut many.slab, &new, &mut ids);
        let one = |(tick, word): &(Tick, u64)| single.wheel.insert_new(&mut single.slab, *tick, *word);
        expected.extend(new.iter().map_while(one));
        prop_assert_eq!(&ids, &expected);
        let inserted = ids.len() - many.ids.len();
        prop_assert_eq!(refused, &new[inserted..]);
        agree(&mut many, &mut single)?;
        prop_assert_eq!(many.slab.reserve(), single.slab.reserve());
    }

    #[test]
    fn drain_due_is_advance_with_no_limit(
        start in nasty_tick(),
        pasts in prop::collection::vec((pasts(), nasty_tick()), 0..60),
        steps in prop::collection::vec(prop_oneof![0u64..600, 0u64..200_000, any::<u64>()], 1..8),
    ) {
        let (mut drained, mut advanced) = twice(|| {
            let mut world = World::at(start, Slab::new());
            pasts.iter().for_each(|(past, deadline)| world.put(*past, *deadline));
            world
        });
        for step in steps {
            // Some of these lie before the present.
            let now = Tick(start.0.wrapping_add(step));
            let (mut due, mut expected) = (Vec::new(), Vec::new());
            let wake = drained.wheel.drain_due(&mut drained.slab, now, &mut due);
            let progress = advanced.wheel.advance(&mut advanced.slab, now, u32::MAX, &mut expected);
            prop_assert_eq!(progress, Progress::Done);
            prop_assert_eq!(due, expected);
            prop_assert_eq!(wake, advanced.wheel.next_wake());
            prop_assert!(wake.is_none_or(|wake| wake > drained.wheel.now()), "asks to come again at once");
            prop_assert_eq!(drained.wheel.now(), advanced.wheel.now());
        }
        agree(&mut drained, &mut advanced)?;
    }
}

#[test]
fn what_was_loaded_at_any_edge_fires_at_every_edge_exactly() {
    for now in edges() {
        let mut world = World::at(Tick(now), Slab::new());
        edges().into_iter().for_each(|deadline| world.put(Past::Live, Tick(deadline)));
        assert_eq!(world.wheel.load(&mut world.slab, |entry| Some(entry.deadline)), edges().len());
        world.check().unwrap();
        let mut due = Vec::new();
        let mut expected: Vec<_> = edges().into_iter().map(|deadline| deadline.max(now)).collect();
        expected.sort_unstable();
        expected.dedup();
        for tick in expected {
            if tick > now {
                let wake = world.wheel.drain_due(&mut world.slab, Tick(tick - 1), &mut due);
                assert!(due.is_empty(), "early: from {now} to {tick}, {due:?}");
                assert_eq!(wake, Some(Tick(tick)));
            }
            world.wheel.drain_due(&mut world.slab, Tick(tick), &mut due);
            let mut came: Vec<_> = due.drain(..).map(|id| world.slab.get(id).unwrap().deadline.0).collect();
            let mut deadlines = edges();
            deadlines.retain(|deadline| (*deadline).max(now) == tick);
            came.sort_unstable();
            deadlines.sort_unstable();
            assert_eq!(came, deadlines, "from {now} at {tick}");
        }
        assert!(world.wheel.is_empty());
    }
}

#[test]
fn pages_that_were_given_back_are_passed_over() {
    let make = || {
        let mut world = World::at(Tick(1 << 30), Slab::new());
        (0..5_000).for_each(|number| world.put(Past::Live, Tick((1 << 30) + number * 7_919)));
        // Pages 1 and 3, of which one is kept, and every third of the others.
        for id in world.ids.clone() {
            if id.slot() / 1_024 % 2 == 1 || id.slot().is_multiple_of(3) {
                assert!(world.slab.remove(id).is_some());
            }
        }
        world
    };
    let (mut many, mut single) = twice(make);
    let before = many.slab.len();
    assert_eq!(many.wheel.load(&mut many.slab, |entry| Some(entry.deadline)), before);
    assert_eq!(load_one_by_one(&mut single, |entry| Some(entry.deadline)), before);
    agree(&mut many, &mut single).unwrap();
    assert_eq!(many.wheel.load(&mut many.slab, |_| None), 0);
}

/// Batches are longer here than what is asked for ahead.
#[test]
fn ids_are_the_same_when_holes_lie_in_many_pages() {
    let (mut many, mut single) = twice(|| World::at(Tick(0), Slab::with_slots_max(9_000)));
    let mut random = 1_u64;
    for round in 0..40_u64 {
        let new: Vec<_> = (0..500).map(|n| (Tick(round * 100 + n * n), n)).collect();
        let mut ids = Vec::new();
        let refused = many.wheel.insert_new_many(&mut many.slab, &new, &mut ids);
        let one = |(tick, word): &(Tick, u64)| single.wheel.insert_new(&mut single.slab, *tick, *word);
        assert!(ids.iter().copied().eq(new.iter().map_while(one)), "in round {round}");
        assert_eq!(ids.len() + refused.len(), new.len());
        many.ids.extend(&ids);
        assert_eq!(many.wheel.len(), many.ids.len());
        for _ in 0..150 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let gone = many.ids.swap_remove((random >> 33) as usize % many.ids.len());
            assert_eq!(many.wheel.remove(&mut many.slab, gone), single.wheel.remove(&mut single.slab, gone));
            assert_eq!(many.slab.lookup(gone), Lookup::Ended);
        }
    }
    assert!(many.slab.slots() > 8_192, "more than one page");
    agree(&mut many, &mut single).unwrap();
}

/// The floor of a segment is raised to the end while a page of it is at hand: all its free slots are used up at once.
#[test]
fn a_slot_that_is_used_up_costs_no_timer() {
    let make = || {
        let mut world = World::at(Tick(0), Slab::new());
        (0..1_000).for_each(|number| world.put(Past::Live, Tick(number)));
        assert!(world.slab.raise_floor(0, GENERATION_MAX));
        world
    };
    let (mut many, mut single) = twice(make);
    let new: Vec<_> = (0..50).map(|n| (Tick(n * 1_000), n)).collect();
    let mut ids = Vec::new();
    assert_eq!(many.wheel.insert_new_many(&mut many.slab, &new, &mut ids), []);
    let one = |(tick, word): &(Tick, u64)| single.wheel.insert_new(&mut single.slab, *tick, *word);
    assert!(ids.iter().copied().eq(new.iter().map_while(one)));
    assert_eq!(ids.first().map(|id| id.slot()), Some(crate::SEGMENT_SLOTS), "the next segment");
    agree(&mut many, &mut single).unwrap();
}
