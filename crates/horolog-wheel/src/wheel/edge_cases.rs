//! What has broken the timers of others, and is not in `tests.rs`. Names are the specification.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::vec;
use std::vec::Vec;

use super::pair::Pair;
use super::*;
use crate::geometry::SLOTS;
use crate::testing::{Rng, boundaries};
use crate::{Entry, Expired, Timers};

// Far future

/// Slot 0, a tag that has come round to 0, and a tick whose low bits are 0.
#[test]
fn an_item_of_nothing_but_zero_bits_is_an_ordinary_item() {
    let mut pair = Pair::at(0);
    let id = pair.arm_new(1 << 24);
    assert_eq!(id.slot(), 0);
    for _ in 0..255 {
        assert!(pair.cancel(id) && pair.wheel.insert(&mut pair.slab, id, Tick(1 << 24)));
        pair.check();
    }
    assert_eq!(pair.slab.cell(0).unwrap().mark, Mark(0), "the test is to come by it");
    assert_eq!(pair.next_deadline(), Some(1 << 24));
    assert_eq!(pair.expire((1 << 24) - 1), []);
    assert_eq!(pair.expire(1 << 24), [1 << 24]);
    assert_eq!(pair.expire(u64::MAX), [], "and its 255 stale items are nothing");
    pair.check();
}

/// With timers armed at once on both sides of the boundary. `stride` is what time takes in one call.
#[track_caller]
fn crosses(boundary: u64, start: u64, has_waited: bool, stride: u64) {
    let mut pair = Pair::at(if has_waited { 0 } else { start });
    pair.arm_new(u64::MAX);
    assert_eq!(pair.expire(start), []);
    let around = [1, 2, 3, 8, 200, 255, 256, 257, 300, 511, 512, 513, 700];
    let near: BTreeSet<u64> =
        around.iter().flat_map(|by| [boundary - by, boundary + by]).chain([boundary]).collect();
    let mut near: BTreeSet<u64> = near.into_iter().filter(|tick| *tick > start).collect();
    near.iter().rev().for_each(|tick| _ = pair.arm_new(*tick));
    pair.check();
    let end = boundary + 750;
    while pair.wheel.now().0 < end {
        let now = pair.wheel.now().0.saturating_add(stride).min(end);
        let rest = near.split_off(&(now + 1));
        let due: Vec<u64> = core::mem::replace(&mut near, rest).into_iter().collect();
        assert_eq!(pair.expire(now), due, "{boundary} from {start} by {stride}, at {now}");
        let next = near.first().copied().unwrap_or(u64::MAX);
        assert_eq!(pair.next_deadline(), Some(next), "{boundary} from {start} by {stride}, at {now}");
        assert!(pair.next_wake() <= Some(next) && pair.next_wake() > Some(now), "{boundary} at {now}");
        if !due.is_empty() && stride > 7 {
            pair.check();
        }
    }
    assert_eq!(pair.wheel.len(), 1);
    assert_eq!(pair.expire(u64::MAX - 1), []);
    assert_eq!(pair.expire(u64::MAX), [u64::MAX]);
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
        pair.arm_new(u64::MAX);
        let end = boundary.saturating_add(2_000).min(u64::MAX - 600);
        let mut sleeps = 0;
        while pair.wheel.now().0 < end {
            let deadline = pair.wheel.now().0 + 1 + rng.below(if sleeps % 30 == 0 { 599 } else { 9 });
            pair.arm_new(deadline);
            while let Some(wake) = pair.next_wake().filter(|wake| *wake < deadline) {
                assert!(wake > pair.wheel.now().0, "{boundary}: spins at {wake}");
                assert_eq!(pair.expire(wake), [], "{boundary}: early for {deadline}");
            }
            assert_eq!(pair.next_wake(), Some(deadline), "{boundary}: late");
            assert_eq!(pair.expire(deadline), [deadline], "{boundary}");
            sleeps += 1;
        }
        assert!(sleeps > 100);
        pair.check();
        assert_eq!(pair.expire(u64::MAX), [u64::MAX]);
    }
}

// Clock

#[test]
fn an_earlier_now_in_the_middle_of_a_tick_goes_on_with_that_tick_and_no_further() {
    let mut pair = Pair::at(0);
    [700, 700, 700, 701].iter().for_each(|tick| _ = pair.arm_new(*tick));
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
            swinging.arm_new(deadline);
            steady.arm_new(deadline);
            highest = highest.max(reading);
            let (mut brought, mut expected) = (swinging.expire(reading), steady.expire(highest));
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
    (0..500).for_each(|tick| _ = pair.arm_new(tick * 40));
    let now = 30_000;
    assert_eq!(pair.step(now, 1).1, Progress::More);
    let fresh = [pair.arm_new(now + 1), pair.arm_new(now + 300)];
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
            near.iter().for_each(|tick| _ = pair.arm_new(*tick));
            let due: Vec<u64> = near.range(..=landing).copied().collect();
            assert_eq!(pair.expire(landing), due, "level {level} from {start} by {jump}");
            pair.check();
            for tick in near.range(landing + 1..) {
                assert_eq!(pair.next_deadline(), Some(*tick));
                assert_eq!(pair.expire(tick - 1), []);
                assert_eq!(pair.expire(*tick), [*tick], "level {level} from {start} by {jump}");
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
                let (last, first) = (pair.arm_new(farthest), pair.arm_new(near));
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
            pair.arm_new(deadline);
            assert!(before.is_none_or(|before| pair.next_wake() <= Some(before)), "round {round}");
            assert!(pair.next_wake() <= Some(deadline));
        }
        let now = pair.wheel.now().0 + rng.below(40);
        assert!(pair.expire(now).is_sorted());
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
            old.arm_new(base + rng.below(1 << bits));
            if rng.below(4) == 0 {
                old.arm_new(base + 600);
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
                names.insert(new.arm_new(deadline.0), id);
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
        let waiting: Vec<_> = (0..100).map(|_| pair.arm_new(5)).collect();
        let greedy: Vec<_> = (0..again).map(|_| pair.arm_new(5)).collect();
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
    let ids: Vec<_> = (0..10_000).map(|_| pair.arm_new(5)).collect();
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
    pair.arm_new(deadline);
    let mut stages = vec![3];
    while let Some(wake) = pair.next_wake().filter(|wake| *wake < deadline) {
        assert_eq!(pair.expire(wake), []);
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
        let (id, sibling) = (pair.arm_new(DEEP), pair.arm_new(DEEP));
        assert_eq!(pair.expire(stage), []);
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
            let (id, sibling) = (pair.arm_new(DEEP), pair.arm_new(DEEP));
            assert_eq!(pair.expire(stage), []);
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

// Callbacks

/// Many share a tick, some are cancelled and armed between the calls, and the budgets end in the middle as well.
#[test]
fn a_callback_that_unwinds_loses_nothing_and_brings_nothing_twice() {
    let mut unwound = 0;
    for seed in 0..60 {
        let mut rng = Rng(seed);
        let mut pair = Pair::at(rng.pick(&boundaries()).saturating_sub(3_000));
        let (mut pending, mut latest) = (BTreeMap::new(), 0);
        for step in 0..40 {
            let now = pair.wheel.now().0;
            for _ in 0..rng.below(40) * u64::from(step < 30) {
                let deadline = now.saturating_add(rng.below(4) * 300);
                pending.insert(pair.arm_new(deadline), deadline);
            }
            if let Some((&id, _)) = pending.iter().nth(rng.index(30)) {
                assert!(pair.cancel(id) && pending.remove(&id).is_some());
            }
            let (budget, odds) = (u32::try_from(rng.below(90)).unwrap(), 1 + rng.below(30));
            let (mut came, until) = (Vec::new(), Tick(now.saturating_add(rng.below(500))));
            let advanced = catch_unwind(AssertUnwindSafe(|| {
                pair.wheel.advance_with(&mut pair.slab, until, budget, |_, id| {
                    came.push(id);
                    if rng.below(odds) == 0 {
                        resume_unwind(Box::new(()));
                    }
                })
            }));
            unwound += u32::from(advanced.is_err());
            pair.check();
            assert_eq!(pair.wheel.len(), pending.len() - came.len(), "seed {seed}");
            for id in came {
                let deadline = pending.remove(&id).expect("it is pending, and comes once").max(now);
                assert!((latest..=until.0).contains(&deadline), "seed {seed}: early, or out of order");
                latest = deadline;
            }
        }
        pair.advance(u64::MAX).iter().for_each(|id| assert!(pending.remove(id).is_some()));
        assert!(pending.is_empty(), "seed {seed}: lost");
    }
    assert!(unwound > 500, "{unwound}");
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
        pair.arm_new(base + ahead);
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
            pair.arm_new(deadline);
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
            pair.arm_new(5 * span + rng.below(span));
        }
        assert_eq!(pair.expire(4 * span - 1), []);
        let calls = 1 << 8;
        for call in 0..=calls {
            let (due, progress) = pair.step(4 * span + call * (span / calls), 6_000 / 256 * 3 + WORTH_AHEAD);
            assert_eq!((due, progress), (vec![], Progress::Done), "level {level}, call {call}");
            pair.check();
        }
        assert_eq!(pair.wheel.len(), 6_000);
        assert!(pair.expire(6 * span).is_sorted());
        assert!(pair.wheel.is_empty());
    }
}
