//! What has broken the timers of others, and is not in `tests.rs`; and what holds over long lives, for memory as for time.
//! Names are the specification.

use std::collections::{BTreeMap, BTreeSet};
use std::vec;
use std::vec::Vec;

use super::*;
use crate::geometry::SLOTS;
use crate::{Entry, Expired, Timers};

/// `SplitMix64`: small, seeded, and the same everywhere.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(len).unwrap()).unwrap()
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.index(of.len())]
    }
}

/// A wheel and its slab.
struct Pair {
    slab: Slab,
    wheel: Wheel,
}

impl Pair {
    fn at(now: u64) -> Self {
        Self { slab: Slab::new(), wheel: Wheel::new(Lane::First, Tick(now)) }
    }

    fn arm(&mut self, deadline: u64) -> TimerId {
        self.wheel.insert_new(&mut self.slab, Tick(deadline), 0).unwrap()
    }

    fn cancel(&mut self, id: TimerId) -> bool {
        self.wheel.cancel(&mut self.slab, id)
    }

    fn reschedule(&mut self, id: TimerId, deadline: u64) -> bool {
        self.wheel.reschedule(&mut self.slab, id, Tick(deadline))
    }

    fn step(&mut self, now: u64, budget: u32) -> (Vec<TimerId>, Progress) {
        let mut due = Vec::new();
        let progress = self.wheel.advance(&mut self.slab, Tick(now), budget, &mut due);
        (due, progress)
    }

    /// Everything due by `now`, as deadlines; the entries are gone.
    #[track_caller]
    fn advance(&mut self, now: u64) -> Vec<u64> {
        let (due, progress) = self.step(now, u32::MAX);
        assert_eq!(progress, Progress::Done);
        due.iter().map(|id| self.slab.remove(*id).unwrap().deadline.0).collect()
    }

    fn next_wake(&self) -> Option<u64> {
        self.wheel.next_wake().map(|tick| tick.0)
    }

    fn next_deadline(&self) -> Option<u64> {
        self.wheel.next_deadline_exact(&self.slab).map(|tick| tick.0)
    }

    #[track_caller]
    fn check(&self) {
        self.wheel.check(&self.slab).unwrap();
        self.slab.check().unwrap();
    }

    fn bytes(&self) -> usize {
        self.slab.bytes() + self.wheel.bytes()
    }
}

/// Where a slot of some level ends or a level stops seeing, and the uptimes at which known wheels failed.
fn boundaries() -> Vec<u64> {
    let slots = (1..8).map(|byte| 1 << (8 * byte));
    let turns = (0..7).map(|byte| 1 << (8 * byte + 9));
    let known = [30, 36, 40].map(|bits| 1 << bits);
    let mut all: Vec<u64> =
        slots.chain(turns).chain(known).chain([5 << 56, u64::MAX - (1 << 24) + 1, u64::MAX - 800]).collect();
    all.sort_unstable();
    all.dedup();
    all
}

// Far future

/// Slot 0, a tag that has come round to 0, and a tick whose low bits are 0.
#[test]
fn an_item_of_nothing_but_zero_bits_is_an_ordinary_item() {
    let mut pair = Pair::at(0);
    let id = pair.arm(1 << 24);
    assert_eq!(id.slot(), 0);
    for _ in 0..255 {
        assert!(pair.cancel(id) && pair.wheel.insert(&mut pair.slab, id, Tick(1 << 24)));
        pair.check();
    }
    assert_eq!(pair.slab.cell(0).unwrap().mark, Mark(0), "the test is to come by it");
    assert_eq!(pair.next_deadline(), Some(1 << 24));
    assert_eq!(pair.advance((1 << 24) - 1), []);
    assert_eq!(pair.advance(1 << 24), [1 << 24]);
    assert_eq!(pair.advance(u64::MAX), [], "and its 255 stale items are nothing");
    pair.check();
}

/// With timers armed at once on both sides of the boundary. `stride` is what time takes in one call.
#[track_caller]
fn crosses(boundary: u64, start: u64, has_waited: bool, stride: u64) {
    let mut pair = Pair::at(if has_waited { 0 } else { start });
    pair.arm(u64::MAX);
    assert_eq!(pair.advance(start), []);
    let around = [1, 2, 3, 8, 200, 255, 256, 257, 300, 511, 512, 513, 700];
    let near: BTreeSet<u64> =
        around.iter().flat_map(|by| [boundary - by, boundary + by]).chain([boundary]).collect();
    let mut near: BTreeSet<u64> = near.into_iter().filter(|tick| *tick > start).collect();
    near.iter().rev().for_each(|tick| _ = pair.arm(*tick));
    pair.check();
    let end = boundary + 750;
    while pair.wheel.now().0 < end {
        let now = pair.wheel.now().0.saturating_add(stride).min(end);
        let rest = near.split_off(&(now + 1));
        let due: Vec<u64> = core::mem::replace(&mut near, rest).into_iter().collect();
        assert_eq!(pair.advance(now), due, "{boundary} from {start} by {stride}, at {now}");
        let next = near.first().copied().unwrap_or(u64::MAX);
        assert_eq!(pair.next_deadline(), Some(next), "{boundary} from {start} by {stride}, at {now}");
        assert!(pair.next_wake() <= Some(next) && pair.next_wake() > Some(now), "{boundary} at {now}");
        if !due.is_empty() && stride > 7 {
            pair.check();
        }
    }
    assert_eq!(pair.wheel.len(), 1);
    assert_eq!(pair.advance(u64::MAX - 1), []);
    assert_eq!(pair.advance(u64::MAX), [u64::MAX]);
}

#[test]
fn beside_an_infinite_timer_near_ones_are_exact_on_both_sides_of_every_boundary() {
    for boundary in boundaries() {
        for before in [1, 2, 256, 511, 513, 800] {
            for has_waited in [false, true] {
                let start = boundary.saturating_sub(before.min(boundary));
                for stride in [7, 97, 256, 513, u64::MAX] {
                    crosses(boundary.max(800), start, has_waited, stride);
                }
            }
        }
        crosses(boundary.max(800), boundary.saturating_sub(600), false, 1);
    }
}

/// One timer at a time, as a loop around a sleep has it; armed at each tick of the way, not only at the edges.
#[test]
fn beside_an_infinite_timer_a_loop_of_short_sleeps_is_exact_across_every_boundary() {
    let mut rng = Rng(1);
    for boundary in boundaries() {
        let mut pair = Pair::at(boundary.saturating_sub(2_000));
        pair.arm(u64::MAX);
        let end = boundary.saturating_add(2_000).min(u64::MAX - 600);
        let mut sleeps = 0;
        while pair.wheel.now().0 < end {
            let deadline = pair.wheel.now().0 + 1 + rng.below(if sleeps % 30 == 0 { 599 } else { 9 });
            pair.arm(deadline);
            while let Some(wake) = pair.next_wake().filter(|wake| *wake < deadline) {
                assert!(wake > pair.wheel.now().0, "{boundary}: spins at {wake}");
                assert_eq!(pair.advance(wake), [], "{boundary}: early for {deadline}");
            }
            assert_eq!(pair.next_wake(), Some(deadline), "{boundary}: late");
            assert_eq!(pair.advance(deadline), [deadline], "{boundary}");
            sleeps += 1;
        }
        assert!(sleeps > 100);
        pair.check();
        assert_eq!(pair.advance(u64::MAX), [u64::MAX]);
    }
}

// Clock

#[test]
fn an_earlier_now_in_the_middle_of_a_tick_goes_on_with_that_tick_and_no_further() {
    let mut pair = Pair::at(0);
    [700, 700, 700, 701].iter().for_each(|tick| _ = pair.arm(*tick));
    let (mut due, mut progress) = pair.step(900, 6);
    assert_eq!(
        (due.len(), progress, pair.wheel.now()),
        (2, Progress::More, Tick(700)),
        "four moved, two due"
    );
    (due, progress) = pair.step(3, 0);
    assert_eq!((due.len(), progress, pair.next_wake()), (0, Progress::More, Some(700)));
    (due, progress) = pair.step(3, u32::MAX);
    assert_eq!((due.len(), progress, pair.wheel.now()), (1, Progress::Done, Tick(700)), "701 is not due");
    assert_eq!(pair.next_wake(), Some(701));
    pair.check();
}

#[test]
fn a_clock_that_swings_brings_what_its_highest_readings_bring_alone() {
    let mut rng = Rng(2);
    for seed in 0..20 {
        let base = rng.pick(&boundaries()).saturating_sub(20_000);
        let (mut swinging, mut steady) = (Pair::at(base), Pair::at(base));
        let mut highest = base;
        for _ in 0..400 {
            let reading =
                highest.saturating_add(rng.below(300)).saturating_sub(rng.below(3) * rng.below(90_000));
            let deadline = reading.saturating_add(rng.below(2_000));
            swinging.arm(deadline);
            steady.arm(deadline);
            highest = highest.max(reading);
            let (mut brought, mut expected) = (swinging.advance(reading), steady.advance(highest));
            assert_eq!(swinging.wheel.now(), Tick(highest), "seed {seed}");
            brought.sort_unstable();
            expected.sort_unstable();
            assert_eq!(brought, expected, "seed {seed}");
        }
        swinging.check();
    }
}

/// A service that stalled: its clock is ahead, the wheel still works off what is overdue.
#[test]
fn a_timer_of_the_callers_now_is_not_brought_while_the_wheel_catches_up() {
    let mut pair = Pair::at(0);
    (0..500).for_each(|tick| _ = pair.arm(tick * 40));
    let now = 30_000;
    assert_eq!(pair.step(now, 1).1, Progress::More);
    let fresh = [pair.arm(now + 1), pair.arm(now + 300)];
    let mut calls = 0;
    while pair.wheel.now() < Tick(now) {
        let (due, _) = pair.step(now, 7);
        assert!(fresh.iter().all(|id| !due.contains(id)), "a fresh timer expired at once");
        calls += 1;
        assert!(calls < 1_000, "for ever");
    }
    assert_eq!(pair.step(now + 1, 9), (vec![fresh[0]], Progress::Done));
    assert_eq!(pair.step(now + 299, 9), (vec![], Progress::Done));
    assert_eq!(pair.step(now + 300, 9), (vec![fresh[1]], Progress::Done));
}

// Big jumps

#[test]
fn a_jump_of_a_whole_turn_of_any_level_misses_nothing_and_brings_nothing_early() {
    for level in 0..LEVELS - 1 {
        let span = 1_u64 << shift(level);
        let turn = span * SLOTS as u64;
        let starts = [0, 1, span - 1, span, 5 * span + 7, 255 * span, 257 * span + 1, turn - 1];
        for (start, jump) in starts.into_iter().flat_map(|start| {
            [turn - span, turn - 1, turn, turn + 1, turn + span, 2 * turn].map(|jump| (start, jump))
        }) {
            let landing = start + jump;
            let near: BTreeSet<u64> = [1, span, turn - 1, jump / 2, jump - span, jump - 1, jump, jump + 1]
                .into_iter()
                .chain([jump + span, jump + turn - 1, jump + turn])
                .map(|ahead| start + ahead)
                .collect();
            let mut pair = Pair::at(start);
            near.iter().for_each(|tick| _ = pair.arm(*tick));
            let due: Vec<u64> = near.range(..=landing).copied().collect();
            assert_eq!(pair.advance(landing), due, "level {level} from {start} by {jump}");
            pair.check();
            for tick in near.range(landing + 1..) {
                assert_eq!(pair.next_deadline(), Some(*tick));
                assert_eq!(pair.advance(tick - 1), []);
                assert_eq!(pair.advance(*tick), [*tick], "level {level} from {start} by {jump}");
            }
        }
    }
}

// Next expiry

/// The ring of a level closes just behind the place that now is at.
#[test]
fn the_farthest_slot_of_a_ring_is_the_last_and_not_the_first() {
    for level in 0..LEVELS {
        let span = 1_u64 << shift(level);
        for current in [0_u64, 1, 63, 64, 253, 254, 255, 256, 257, 510, 511, 512, 1_023] {
            let Some(now) = current.checked_mul(span).map(|tick| tick + (span - 1)) else { continue };
            let Some(farthest) = (current + 511).checked_mul(span) else { continue };
            assert_eq!(level_of(Tick(farthest), Tick(now)), level);
            for near in [now + 1, now + span, (current + 2) * span, (current + 510) * span] {
                let mut pair = Pair::at(now);
                let (last, first) = (pair.arm(farthest), pair.arm(near));
                assert_eq!(pair.next_deadline(), Some(near), "level {level} at {now}");
                assert!(pair.next_wake() <= Some(near) && pair.next_wake() > Some(now));
                assert_eq!(pair.step(near - 1, 99).0, []);
                assert_eq!(pair.step(near, 99).0, [first], "level {level} at {now}");
                assert_eq!(pair.next_deadline(), Some(farthest));
                assert_eq!(pair.step(farthest - 1, 99).0, []);
                assert_eq!(pair.step(farthest, 99).0, [last], "level {level} at {now}");
            }
        }
    }
}

/// Inserts that come faster than deadlines do not put expiry off.
#[test]
fn arming_never_makes_the_wake_later() {
    let mut rng = Rng(3);
    let mut pair = Pair::at((1 << 24) - 3_000);
    for round in 0..300 {
        for _ in 0..rng.below(60) {
            let before = pair.next_wake();
            let bits = rng.below(40);
            let deadline = pair.wheel.now().0 + rng.below(1 << bits);
            pair.arm(deadline);
            assert!(before.is_none_or(|before| pair.next_wake() <= Some(before)), "round {round}");
            assert!(pair.next_wake() <= Some(deadline));
        }
        let now = pair.wheel.now().0 + rng.below(40);
        assert!(pair.advance(now).is_sorted());
    }
}

/// What a snapshot relies on: a wheel's future follows from its entries and its time alone.
#[test]
fn a_wheel_rebuilt_from_its_entries_in_the_middle_of_a_cascade_has_the_same_future() {
    let mut rng = Rng(4);
    for round in 0..40 {
        let base = rng.pick(&boundaries()).min(1 << 60) - 250;
        let mut old = Pair::at(base);
        for _ in 0..400 {
            let bits = 1 + rng.below(34);
            old.arm(base + rng.below(1 << bits));
            if rng.below(4) == 0 {
                old.arm(base + 600);
            }
        }
        let stop = base + 590 + rng.below(90_000);
        let mut progress = Progress::More;
        while progress == Progress::More && old.wheel.now().0 < base + 256 {
            progress = old.step(stop, 40).1;
        }
        progress = old.step(stop, 3).1;
        assert_eq!(progress, Progress::More, "round {round}: the test is to be in the middle");
        let now = old.wheel.now();
        let mut new = Pair::at(now.0);
        let mut names = BTreeMap::new();
        for Entry { id, deadline, armed, .. } in old.slab.iter() {
            if armed.is_some() {
                names.insert(new.arm(deadline.0), id);
            }
        }
        assert_eq!(new.wheel.len(), old.wheel.len());
        new.check();
        let tick_of = |pair: &Pair, id: TimerId| pair.slab.get(id).unwrap().deadline.max(now);
        let mut to = stop;
        while to < u64::MAX {
            assert_eq!(old.next_deadline(), new.next_deadline());
            let (old_due, new_due) = (old.step(to, u32::MAX).0, new.step(to, u32::MAX).0);
            assert!(old_due.is_sorted_by_key(|id| tick_of(&old, *id)));
            assert!(new_due.is_sorted_by_key(|id| tick_of(&new, *id)));
            let old_due: BTreeSet<TimerId> = old_due.into_iter().collect();
            assert_eq!(old_due, new_due.iter().map(|id| names[id]).collect(), "round {round} by {to}");
            to = to.saturating_add(1 + (to - base) / 3);
        }
        assert!(old.wheel.is_empty() && new.wheel.is_empty());
    }
}

// Cancel, reschedule, reuse

/// An owner that arms again at once what it is given, as for a timer that is many intervals behind.
#[test]
fn what_is_armed_again_for_the_present_tick_has_its_turn_after_the_others() {
    for (budget, again) in [(1, 1), (3, 3), (7, 20)] {
        let mut pair = Pair::at(0);
        let waiting: Vec<_> = (0..100).map(|_| pair.arm(5)).collect();
        let greedy: Vec<_> = (0..again).map(|_| pair.arm(5)).collect();
        let mut came = Vec::new();
        let mut calls = 0;
        while !waiting.iter().all(|id| came.contains(id)) {
            let (due, _) = pair.step(5, budget);
            for id in due.iter().filter(|id| greedy.contains(id)) {
                assert!(pair.wheel.insert(&mut pair.slab, *id, Tick(5)));
            }
            came.extend(due);
            calls += 1;
            assert!(calls <= 2 * (100 + again), "somebody never comes");
        }
        pair.check();
    }
}

#[test]
fn what_is_cancelled_while_a_tick_is_handed_out_is_dropped_like_anything_else() {
    let mut pair = Pair::at(0);
    let ids: Vec<_> = (0..10_000).map(|_| pair.arm(5)).collect();
    let (due, _) = pair.step(5, 10);
    assert_eq!(due.len(), 10);
    for id in ids.iter().filter(|id| !due.contains(id)).take(9_900) {
        assert!(pair.wheel.cancel(&mut pair.slab, *id));
    }
    assert_eq!(pair.wheel.len(), 90);
    assert!(pair.wheel.items() <= 2 * 90 + SLACK + 64, "{} items", pair.wheel.items());
    pair.check();
    assert_eq!(pair.step(5, u32::MAX).0.len(), 90);
    assert_eq!((pair.wheel.items(), pair.wheel.next_wake()), (0, None));
}

/// Each time at which an entry that waits for `deadline` has just been brought to another slot.
fn stages(deadline: u64) -> Vec<u64> {
    let mut pair = Pair::at(3);
    pair.arm(deadline);
    let mut stages = vec![3];
    while let Some(wake) = pair.next_wake().filter(|wake| *wake < deadline) {
        assert_eq!(pair.advance(wake), []);
        stages.extend([wake, wake + 1]);
        assert!(stages.len() < 20, "more than one wake a level");
    }
    stages
}

const DEEP: u64 = 0x7171_7171_7171_7171;

#[test]
fn an_entry_can_be_cancelled_wherever_time_has_brought_it() {
    let stages = stages(DEEP);
    assert!(stages.len() > 2 * 7);
    for stage in stages {
        let mut pair = Pair::at(3);
        let (id, sibling) = (pair.arm(DEEP), pair.arm(DEEP));
        assert_eq!(pair.advance(stage), []);
        assert!(pair.cancel(id));
        pair.check();
        assert_eq!(pair.step(u64::MAX, 1_000).0, [sibling], "cancelled at {stage}");
    }
}

#[test]
fn an_entry_can_be_moved_both_ways_wherever_time_has_brought_it() {
    for stage in stages(DEEP) {
        for moved in [stage, stage + 1, stage + 255, stage + 256, stage + 513, DEEP - 1, DEEP + 1, u64::MAX] {
            let mut pair = Pair::at(3);
            let (id, sibling) = (pair.arm(DEEP), pair.arm(DEEP));
            assert_eq!(pair.advance(stage), []);
            assert!(pair.reschedule(id, moved));
            pair.check();
            let mut order = [(moved, id), (DEEP, sibling)];
            order.sort_unstable();
            for (tick, id) in order {
                assert_eq!(
                    pair.step((tick - 1).max(stage), 1_000).0,
                    if tick == stage { vec![id] } else { vec![] }
                );
                assert_eq!(pair.step(tick, 1_000).0, if tick == stage { vec![] } else { vec![id] });
            }
            assert!(pair.wheel.is_empty(), "moved at {stage} to {moved}");
        }
    }
}

#[test]
fn whichever_of_cancel_and_expiry_comes_first_counts_and_counts_once() {
    let mut timers = Timers::new(Tick(0));
    let ids: Vec<_> = (0..10).map(|word| timers.insert(Tick(5), word).unwrap()).collect();
    let mut expired = Vec::new();
    assert_eq!(timers.advance(Tick(5), 4, &mut expired), Progress::More);
    assert_eq!((timers.len(), expired.len()), (6, 4));
    for id in &ids {
        let has_expired = expired.iter().any(|timer| timer.id == *id);
        assert_eq!(timers.cancel(*id).is_some(), !has_expired);
        assert_eq!((timers.cancel(*id), timers.reschedule(*id, Tick(9))), (None, false));
    }
    assert_eq!((timers.len(), timers.next_wake()), (0, None));
    assert_eq!(timers.advance(Tick(u64::MAX), 99, &mut expired), Progress::Done);
    assert_eq!((timers.len(), expired.len()), (0, 4));
}

#[test]
fn a_timer_moved_ten_thousand_times_fires_once_and_at_its_last_deadline() {
    let mut rng = Rng(5);
    for start in [0, (1 << 24) - 1_000, (1 << 32) - 1_000, u64::MAX - (1 << 33)] {
        let mut timers = Timers::new(Tick(start));
        let id = timers.insert(Tick(u64::MAX), 7).unwrap();
        let (mut expired, mut last) = (Vec::new(), Tick(u64::MAX));
        for _ in 0..10_000 {
            let now = timers.now();
            // Past the next advance, and often at a tick where it has stood before.
            last = Tick(now.0.saturating_add(2 + (rng.below(4) << rng.pick(&[0, 3, 8, 16, 24, 31]))));
            assert!(timers.reschedule(id, last));
            let to = now.saturating_add(rng.below(2)).min(Tick(u64::MAX - 2));
            assert_eq!(timers.advance(to, u32::MAX, &mut expired), Progress::Done);
            assert_eq!(expired, []);
        }
        assert_eq!(timers.advance(Tick(last.0 - 1), u32::MAX, &mut expired), Progress::Done);
        assert_eq!((expired.len(), timers.get(id).map(|entry| entry.deadline)), (0, Some(last)));
        assert_eq!(timers.advance(Tick(u64::MAX), u32::MAX, &mut expired), Progress::Done);
        assert_eq!(expired, [Expired { id, deadline: last, word: 7 }]);
    }
}

// Load

#[test]
fn an_insert_into_a_full_slab_leaves_the_wheel_as_it_was() {
    let (mut slab, mut wheel) = (Slab::with_slots_max(2), Wheel::new(Lane::First, Tick(0)));
    let first = wheel.insert_new(&mut slab, Tick(900), 1).unwrap();
    assert!(wheel.insert_new(&mut slab, Tick(901), 2).is_some());
    assert_eq!(wheel.insert_new(&mut slab, Tick(4), 3), None);
    assert_eq!((wheel.len(), wheel.items(), slab.len()), (2, 2, 2));
    assert!(wheel.next_wake() >= Some(Tick(512)), "nobody wakes for what was refused");
    wheel.check(&slab).unwrap();
    assert_eq!(wheel.remove(&mut slab, first), Some(1));
    assert!(wheel.insert_new(&mut slab, Tick(4), 3).is_some());
}

/// Timers that are even over their deadlines meet in the slots of the higher levels: those must not come down in a burst.
#[test]
fn tick_by_tick_no_call_has_more_to_do_than_its_share() {
    const SPREAD: u64 = 150_000;
    let mut rng = Rng(6);
    let mut pair = Pair::at((1 << 24) - 70_000);
    let base = pair.wheel.now().0;
    let mut due_at = BTreeMap::new();
    for number in 0..90_000 {
        // One of ten is at one of three ticks.
        let ahead = if number % 10 == 0 { 40_000 * (1 + number / 10 % 3) } else { 1 + rng.below(SPREAD) };
        pair.arm(base + ahead);
        *due_at.entry(base + ahead).or_insert(0_u64) += 1;
    }
    // The share of a level: its fullest slot over the ticks of a slot, and what is too little to be split.
    let shares = (1..=3).map(|level| {
        let mut slots = BTreeMap::new();
        due_at
            .iter()
            .for_each(|(tick, count)| *slots.entry(number(level, Tick(*tick))).or_insert(0) += count);
        slots.values().max().unwrap() / (1 << shift(level)) + u64::from(WORTH_AHEAD)
    });
    let share = shares.sum::<u64>();
    assert!(share < 400, "{share}: nothing beside the slots of thousands");
    for tick in base + 1..=base + SPREAD {
        let due = due_at.get(&tick).copied().unwrap_or(0);
        let (brought, progress) = pair.step(tick, u32::try_from(due + share).unwrap());
        assert_eq!((brought.len() as u64, progress), (due, Progress::Done), "at {tick}");
    }
    assert!(pair.wheel.is_empty());
}

/// Deadlines even over a minute or an hour of milliseconds: a call that lets a tick pass never comes across more than twice
/// what is due in it, and 256.
#[test]
fn a_tick_costs_twice_what_is_due_in_it_and_256_at_most() {
    let count = if cfg!(debug_assertions) { 60_000 } else { 1_000_000 };
    for spread in [60_000, 3_600_000] {
        let (mut rng, mut pair) = (Rng(8), Pair::at(0));
        let mut due_at = vec![0_u32; usize::try_from(spread + 1).unwrap()];
        for _ in 0..count {
            let deadline = 1 + rng.below(spread);
            pair.arm(deadline);
            due_at[usize::try_from(deadline).unwrap()] += 1;
        }
        for (tick, due) in (0..).zip(due_at).take(400_000) {
            let (brought, progress) = pair.step(tick, 2 * due + 256);
            assert_eq!((brought.len(), progress), (due as usize, Progress::Done), "{spread}: at {tick}");
        }
    }
}

/// Ticks of a microsecond or less, and many timers a day ahead: from level 4 on the entries are read to move their items.
#[test]
fn far_slots_are_emptied_ahead_of_their_time_too() {
    for level in 4..LEVELS - 1 {
        let span = 1_u64 << shift(level);
        let (mut rng, mut pair) = (Rng(7), Pair::at(3 * span + 5));
        for _ in 0..6_000 {
            pair.arm(5 * span + rng.below(span));
        }
        assert_eq!(pair.advance(4 * span - 1), []);
        let calls = 1 << 8;
        for call in 0..=calls {
            let (due, progress) = pair.step(4 * span + call * (span / calls), 6_000 / 256 * 3 + WORTH_AHEAD);
            assert_eq!((due, progress), (vec![], Progress::Done), "level {level}, call {call}");
            pair.check();
        }
        assert_eq!(pair.wheel.len(), 6_000);
        assert!(pair.advance(6 * span).is_sorted());
        assert!(pair.wheel.is_empty());
    }
}

/// One wheel is given all it takes in one call; the other any budgets, and pauses at any ticks on the way. Both live through
/// the same history; the second in the middle of its calls, too, as long as that is nothing due by then.
#[test]
fn any_budgets_and_pauses_bring_the_same_timers_in_the_same_order_of_ticks() {
    let seeds = if cfg!(debug_assertions) { 40 } else { 400 };
    for seed in 0..seeds {
        let mut rng = Rng(seed);
        let start = rng.pick(&boundaries()).saturating_sub(rng.below(3_000));
        let mut twins = Twins {
            whole: Timers::new(Tick(start)),
            pieces: Timers::new(Tick(start)),
            armed: BTreeMap::new(),
            words: 0,
        };
        let (budget_bits, mut mores) = (rng.below(8), 0);
        for _ in 0..60 {
            for _ in 0..rng.below(60) {
                twins.change(&mut rng, None);
            }
            let now = twins.whole.now();
            let bits = rng.below(20);
            let to = now.saturating_add(rng.below(1 << bits));
            let mut brought = Vec::new();
            loop {
                let left = to.saturating_since(twins.pieces.now());
                let pause = if rng.below(2) == 0 { to } else { Tick(to.0 - rng.below(left.max(1))) };
                let budget = u32::try_from(1 + rng.below(1 << budget_bits)).unwrap();
                let progress = twins.pieces.advance(pause, budget, &mut brought);
                mores += u32::from(progress == Progress::More);
                assert!(mores < 100_000, "for ever");
                if progress == Progress::Done && pause == to {
                    break;
                }
                if rng.below(4) == 0 {
                    twins.change(&mut rng, Some(to));
                }
            }
            let mut expected = Vec::new();
            assert_eq!(twins.whole.advance(to, u32::MAX, &mut expected), Progress::Done);
            let brought = twins.fired(&brought, 1);
            let expected = twins.fired(&expected, 0);
            assert_eq!(brought, expected, "seed {seed}, budgets to 2^{budget_bits}, from {now} to {to}");
            brought.iter().for_each(|(_, word)| _ = twins.armed.remove(word));
            assert!(twins.armed.values().all(|armed| armed.counts_for > to));
            assert_eq!((twins.whole.len(), twins.pieces.len()), (twins.armed.len(), twins.armed.len()));
        }
        assert!(mores > 0);
    }
}

struct Twins {
    whole: Timers,
    pieces: Timers,
    /// By word: the ids differ when slots are freed at other times.
    armed: BTreeMap<u64, Armed>,
    words: u64,
}

#[derive(Clone, Copy)]
struct Armed {
    counts_for: Tick,
    ids: [TimerId; 2],
}

impl Twins {
    /// Arms, cancels or moves a timer in both; one that is due after `after`, both before and then, if that is given.
    fn change(&mut self, rng: &mut Rng, after: Option<Tick>) {
        let now = after.unwrap_or(self.whole.now());
        let bits = rng.pick(&[0, 4, 9, 9, 12, 16, 17, 20, 25, 33, 63]);
        let mut deadline = match rng.below(4) {
            0 => now.saturating_add(1_000 - now.0 % 1_000),
            1 => Tick(now.0.saturating_sub(rng.below(3))),
            _ => now.saturating_add(rng.below(1 << bits)),
        };
        if let Some(after) = after {
            deadline = deadline.max(after.saturating_add(1));
            if deadline == after {
                return;
            }
        }
        let counts_for = deadline.max(now);
        let at = rng.below(self.words.max(1));
        let picked = self.armed.range(at..).next().map(|(word, armed)| (*word, *armed));
        let picked = picked.filter(|(_, armed)| after.is_none_or(|after| armed.counts_for > after));
        match (rng.below(5), picked) {
            (0, Some((word, armed))) => {
                assert_eq!(self.whole.cancel(armed.ids[0]), Some(word));
                assert_eq!(self.pieces.cancel(armed.ids[1]), Some(word));
                self.armed.remove(&word);
            }
            (1, Some((word, armed))) => {
                assert!(self.whole.reschedule(armed.ids[0], deadline));
                assert!(self.pieces.reschedule(armed.ids[1], deadline));
                self.armed.insert(word, Armed { counts_for, ..armed });
            }
            _ => {
                let ids = [&mut self.whole, &mut self.pieces]
                    .map(|timers| timers.insert(deadline, self.words).unwrap());
                self.armed.insert(self.words, Armed { counts_for, ids });
                self.words += 1;
            }
        }
    }

    /// What came out with the tick it counts for, checked to be in order of ticks, and put in order within a tick.
    fn fired(&self, expired: &[Expired], side: usize) -> Vec<(Tick, u64)> {
        let mut fired: Vec<_> = expired
            .iter()
            .map(|timer| {
                let armed = &self.armed[&timer.word];
                assert_eq!(armed.ids[side], timer.id);
                (armed.counts_for, timer.word)
            })
            .collect();
        assert!(fired.is_sorted_by_key(|(tick, _)| *tick), "out of order");
        fired.sort_unstable();
        fired
    }
}

// Memory

/// At most this many items while `live` are armed: as many stale as current ones, a constant, what comes while one sweep
/// goes through all of them, 64 at a call, and doubles.
fn items_max(live: usize) -> usize {
    2 * live + live / 16 + SLACK + 64
}

/// Ten million timers of an hour, in ticks of a millisecond, over an hour and a quarter. Ten thousand are live at a time:
/// one of a thousand lives to expire, the others are cancelled soon, some at once, some a second later. Deadlines are
/// multiples of `round`.
#[track_caller]
fn memory_stays_within_its_ceiling(round: u64) {
    const LIVE: usize = 10_000;
    const HOUR: u64 = 3_600_000;
    let arms = if cfg!(debug_assertions) { 1_000_000 } else { 10_000_000 };
    let mut rng = Rng(7);
    let mut pair = Pair::at((1 << 24) - HOUR / 2);
    let start = pair.wheel.now().0;
    let (mut soon, mut due) = (Vec::with_capacity(LIVE), Vec::new());
    let (mut most_items, mut most_bytes, mut cancelled, mut fired) = (0, 0, 0, 0);
    for arm in 0..arms {
        let now = start + arm * (HOUR / 4 * 5) / arms;
        assert_eq!(pair.wheel.advance(&mut pair.slab, Tick(now), u32::MAX, &mut due), Progress::Done);
        fired += due.len();
        due.drain(..).for_each(|id| assert!(pair.slab.remove(id).is_some()));
        let id = pair.arm((now + HOUR).next_multiple_of(round));
        if arm % 1_000 > 0 {
            soon.push(id);
        }
        while pair.wheel.len() > LIVE || (arm % 7 == 0 && soon.last() == Some(&id)) {
            let at = if arm % 7 == 0 { soon.len() - 1 } else { rng.index(soon.len()) };
            assert_eq!(pair.wheel.remove(&mut pair.slab, soon.swap_remove(at)), Some(0));
            cancelled += 1;
        }
        let (live, items) = (pair.wheel.len(), pair.wheel.items());
        assert!(items <= items_max(live), "{items} items for {live} timers after {arm}");
        most_items = most_items.max(items);
        if arm % 64 == 0 {
            most_bytes = most_bytes.max(pair.bytes());
        }
    }
    assert!(cancelled >= 98 * arms / 100 && fired > 0, "{cancelled} cancelled, {fired} fired");
    assert!(most_items > LIVE * 3 / 2, "{most_items} items: there were to be stale ones");
    std::println!("at most {most_items} items, {most_bytes} bytes");
    // Cells and a page or two that wait for the next; items; and lines, levels and segments that are not full.
    let ceiling = 25 * (LIVE + 2 * 1_024) + 9 * items_max(LIVE) + (80 << 10);
    assert!(most_bytes <= ceiling, "{most_bytes} bytes for {LIVE} timers");
    pair.check();
}

#[test]
fn memory_stays_within_its_ceiling_while_most_of_ten_million_timers_are_cancelled() {
    memory_stays_within_its_ceiling(1);
}

/// The same slots of the slab come to the same ticks again and again.
#[test]
fn memory_stays_within_its_ceiling_while_timers_of_a_few_common_ticks_are_cancelled() {
    memory_stays_within_its_ceiling(600_000);
}

#[test]
fn memory_of_a_burst_is_given_back_when_it_is_cancelled_or_has_fired() {
    const BURST: usize = 1_000_000;
    let mut rng = Rng(8);
    let mut timers = Timers::new(Tick(1 << 30));
    for ending in 0..3 {
        let mut ids = Vec::with_capacity(BURST);
        while ids.len() < BURST {
            let deadline = timers.now().saturating_add(1 + rng.below(3_600_000));
            ids.push(timers.insert(deadline, 0).unwrap());
        }
        let full = timers.bytes();
        assert!(full < BURST * 34, "{full} bytes");
        match ending {
            0 => ids.iter().for_each(|id| assert!(timers.cancel(*id).is_some())),
            1 => {
                let mut words = Vec::new();
                (1..ids.len()).rev().for_each(|at| ids.swap(at, rng.index(at + 1)));
                timers.cancel_many(&ids, &mut words);
                assert!(words.iter().all(Option::is_some) && words.len() == ids.len());
            }
            _ => {
                let mut expired = Vec::new();
                let last = timers.now().saturating_add(3_600_000);
                assert_eq!(timers.advance(last, u32::MAX, &mut expired), Progress::Done);
                assert_eq!(expired.len(), ids.len());
            }
        }
        assert_eq!((timers.len(), timers.next_wake()), (0, None));
        // A page, a segment, a line for each slot that had items, and where pages and segments were.
        assert!(timers.bytes() < full / 100, "{} bytes for nothing, of {full}", timers.bytes());
    }
}

// Long histories, from the public documentation alone

#[derive(Clone, Copy)]
struct Pending {
    /// The deadline, or the tick at which it was armed if that was later.
    counts_for: Tick,
    deadline: Tick,
    word: u64,
}

/// [`Timers`] beside what they should hold.
struct Life {
    rng: Rng,
    timers: Timers,
    pending: BTreeMap<TimerId, Pending>,
    by_tick: BTreeSet<(Tick, TimerId)>,
    /// Every id that was handed out, pending or not.
    ids: Vec<TimerId>,
    /// Ticks where many meet.
    hot: [Tick; 4],
    words: u64,
    calls: u64,
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut rng = Rng(seed);
        let back = rng.pick(&[20, 25]);
        let back = rng.below(1 << back);
        let now = Tick(rng.pick(&boundaries()).saturating_sub(back));
        let hot = [Tick(0); 4];
        let timers = Timers::new(now);
        let (pending, by_tick) = (BTreeMap::new(), BTreeSet::new());
        Self { rng, timers, pending, by_tick, ids: Vec::new(), hot, words: 0, calls: 0 }
    }

    fn deadline(&mut self) -> Tick {
        let (now, rng) = (self.timers.now(), &mut self.rng);
        let hot = rng.index(4);
        if self.hot[hot] <= now {
            self.hot[hot] = now.saturating_add(1 + rng.below(1 << [9, 14, 18, 25][hot]));
        }
        // The slot of a level that is `ahead` from the one that now is in, and somewhere in it.
        let mut in_slot = |level: u32, ahead: u64| {
            let from = (now.0 >> (8 * level)).saturating_add(ahead) << (8 * level);
            Tick(from.max(now.0) | rng.below(1 << (8 * level)))
        };
        match self.calls % 12 {
            0..=2 => self.hot[hot],
            3 => in_slot(1, 3),
            4 | 5 => in_slot(2, 2),
            6 => in_slot(3, 2),
            7 => in_slot(1, 400),
            8 => now.saturating_add(rng.below(600)),
            9 => Tick(now.0.saturating_sub(rng.below(4))),
            10 => now.saturating_add(rng.below(100_000)),
            _ => now.saturating_add(rng.next() >> rng.below(31)),
        }
    }

    fn note(&mut self, id: TimerId, deadline: Tick, word: u64) {
        let counts_for = deadline.max(self.timers.now());
        self.pending.insert(id, Pending { counts_for, deadline, word });
        self.by_tick.insert((counts_for, id));
    }

    fn forget(&mut self, id: TimerId) -> Option<Pending> {
        let known = self.pending.remove(&id)?;
        assert!(self.by_tick.remove(&(known.counts_for, id)));
        Some(known)
    }

    /// Mostly a pending one.
    fn any_id(&mut self) -> Option<TimerId> {
        for _ in 0..4 {
            if self.ids.is_empty() {
                return None;
            }
            let at = self.rng.index(self.ids.len());
            let id = self.ids[at];
            if self.pending.contains_key(&id) || self.rng.below(8) == 0 {
                return Some(id);
            }
            self.ids.swap_remove(at);
        }
        None
    }

    fn insert(&mut self) {
        let deadline = self.deadline();
        self.words += 1;
        let id = self.timers.insert(deadline, self.words).unwrap();
        self.note(id, deadline, self.words);
        self.ids.push(id);
    }

    fn cancel(&mut self) {
        let Some(id) = self.any_id() else { return };
        let known = self.forget(id);
        assert_eq!(self.timers.cancel(id), known.map(|pending| pending.word));
    }

    /// Some of them not pending, some named twice.
    fn cancel_many(&mut self) {
        let count = self.rng.below(90);
        let mut ids: Vec<_> = (0..count).filter_map(|_| self.any_id()).collect();
        ids.extend_from_within(..ids.len().min(2));
        let expected: Vec<_> = ids.iter().map(|id| self.forget(*id).map(|known| known.word)).collect();
        let mut words = vec![Some(1)];
        self.timers.cancel_many(&ids, &mut words);
        assert_eq!(words[1..], expected);
    }

    fn reschedule(&mut self) {
        let Some(id) = self.any_id() else { return };
        let deadline = self.deadline();
        let known = self.forget(id);
        assert_eq!(self.timers.reschedule(id, deadline), known.is_some());
        if let Some(known) = known {
            self.note(id, deadline, known.word);
        }
    }

    fn some_now(&mut self) -> Tick {
        let (now, rng) = (self.timers.now(), &mut self.rng);
        match rng.below(40) {
            0 => now.saturating_add(rng.below(1 << 18)),
            1 => rng.pick(&self.hot).min(now.saturating_add(1 << 20)),
            2..=4 => now.saturating_add(rng.below(3_000)),
            5 => Tick(now.0.saturating_sub(rng.below(3_000))),
            6..=12 => self.timers.next_wake().unwrap_or(now),
            13..=20 => now.saturating_add(rng.below(60)),
            _ => now.saturating_add(1),
        }
    }

    fn some_budget(&mut self) -> u32 {
        let bits = self.rng.below(12);
        match self.rng.below(6) {
            0 => 0,
            1 => 1,
            2 => u32::MAX,
            _ => u32::try_from(self.rng.below(1 << bits)).unwrap(),
        }
    }

    fn advance(&mut self, to: Tick, budget: u32) {
        let before = self.timers.now();
        let target = to.max(before);
        let mut expired = Vec::new();
        let progress = self.timers.advance(to, budget, &mut expired);
        let now = self.timers.now();
        assert!(before <= now && now <= target);
        assert!(expired.len() as u64 <= u64::from(budget));
        let mut last = before;
        for Expired { id, deadline, word } in expired {
            let known = self.forget(id).expect("expired, and was not pending");
            assert_eq!((known.deadline, known.word), (deadline, word));
            assert!(last <= known.counts_for && known.counts_for <= now, "{id}: {last}, {deadline}, {now}");
            assert_eq!((self.timers.get(id), self.timers.cancel(id)), (None, None));
            last = known.counts_for;
        }
        let left = self.by_tick.first().map(|(tick, _)| *tick);
        if progress == Progress::Done {
            assert_eq!(now, target);
            assert!(left.is_none_or(|left| left > now), "{left:?} is lost at {now}");
            assert!(self.timers.next_wake().is_none_or(|wake| wake > now), "a sleeper spins at {now}");
        } else {
            assert!(left.is_none_or(|left| left >= now), "{left:?} was passed over at {now}");
        }
    }

    /// After every call.
    fn look(&mut self) {
        let first = self.by_tick.first().map(|(tick, _)| *tick);
        let (wake, now) = (self.timers.next_wake(), self.timers.now());
        assert_eq!(wake.is_some(), first.is_some());
        assert!(
            wake <= first && wake.is_none_or(|wake| wake >= now),
            "wake {wake:?}, first {first:?}, now {now}"
        );
        assert_eq!(
            (self.timers.len(), self.timers.is_empty()),
            (self.pending.len(), self.pending.is_empty())
        );
        if let Some(id) = self.any_id() {
            self.look_at(id);
        }
    }

    fn look_at(&self, id: TimerId) {
        let known = self.pending.get(&id).map(|known| (id, known.deadline, known.word, Some(Lane::First)));
        let found = self.timers.get(id).map(|entry| (entry.id, entry.deadline, entry.word, entry.armed));
        assert_eq!(found, known);
    }

    /// One stretch: how likely what is, of a hundred.
    fn live(&mut self, calls: u64, inserts: u64, cancels: u64, moves: u64) {
        for _ in 0..calls {
            self.calls += 1 + self.rng.below(11);
            match self.rng.below(100) {
                dice if dice < inserts => self.insert(),
                dice if dice < inserts + cancels => self.cancel(),
                dice if dice < inserts + cancels + moves => self.reschedule(),
                dice if dice == 99 && cancels > 0 => self.cancel_many(),
                _ => {
                    let (to, budget) = (self.some_now(), self.some_budget());
                    self.advance(to, budget);
                }
            }
            self.look();
        }
        self.ids.iter().for_each(|id| self.look_at(*id));
    }
}

/// `HOROLOG_SEEDS=n` and `HOROLOG_FIRST_SEED=n` explore further.
#[test]
fn long_lives_of_thousands_of_timers_are_as_the_documentation_says() {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let first = number("HOROLOG_FIRST_SEED").unwrap_or(0);
    let calls = if cfg!(debug_assertions) { 15_000 } else { 100_000 };
    for seed in first..first + number("HOROLOG_SEEDS").unwrap_or(8) {
        std::println!("seed {seed}");
        let mut life = Life::new(seed);
        life.live(calls, 90, 0, 2);
        let many = life.pending.len();
        life.live(calls, 40, 45, 10);
        life.live(calls, 10, 5, 80);
        life.live(calls, 5, 70, 5);
        life.live(calls, 50, 20, 10);
        let is_at_the_end = life.timers.now() > Tick(u64::MAX - (1 << 20));
        assert!(many > 2_000 || is_at_the_end, "{many} pending: there were to be thousands");
        // Whoever sleeps from wake to wake meets every deadline.
        let wakes_max = 8 * items_max(life.pending.len());
        for _ in 0..wakes_max {
            let Some(wake) = life.timers.next_wake() else { break };
            let budget = 1 + u32::try_from(life.rng.below(900)).unwrap();
            life.advance(wake, budget);
            life.look();
        }
        assert!(life.pending.is_empty());
        assert!(life.timers.bytes() < 400_000, "{} bytes for nothing", life.timers.bytes());
    }
}
