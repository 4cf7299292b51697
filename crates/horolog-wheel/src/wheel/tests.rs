//! What the wheel does at the edges that have broken others. Names are the specification.

use std::vec;
use std::vec::Vec;

use super::pair::Pair;
use super::*;
use crate::TimerId;

/// Arms at `deadline` when it is `now`, and demands that it fires at exactly that tick and no tick earlier.
#[track_caller]
fn fires_exactly(now: u64, deadline: u64) {
    let mut pair = Pair::checked_at(now);
    let id = pair.arm(deadline);
    if deadline > now {
        assert_eq!(pair.advance(deadline - 1), [], "early: {now} -> {deadline}");
    }
    assert_eq!(pair.advance(deadline), [id], "late: {now} -> {deadline}");
}

/// Every boundary a digit of a tick has, and its neighbours.
fn edges() -> Vec<u64> {
    let powers = (0..64).step_by(4).map(|bits| 1u64 << bits);
    let soak = [30, 36, 40].map(|bits| 1u64 << bits);
    let beside = powers.chain(soak).flat_map(|edge| [edge - 1, edge, edge + 1]);
    let mut edges: Vec<u64> =
        beside.chain([255, 257, 511, 512, u64::MAX - 256, u64::MAX - 1, u64::MAX]).collect();
    edges.sort_unstable();
    edges.dedup();
    edges
}

// Far future

#[test]
fn every_edge_fires_exactly_from_every_earlier_edge() {
    let edges = edges();
    for (at, now) in edges.iter().enumerate() {
        edges[at..].iter().for_each(|deadline| fires_exactly(*now, *deadline));
    }
}

#[test]
fn the_last_tick_is_an_ordinary_deadline() {
    let mut pair = Pair::checked_at(0);
    let id = pair.arm(u64::MAX);
    assert_eq!(pair.advance(u64::MAX - 1), []);
    assert_eq!(pair.next_wake(), Some(u64::MAX));
    assert_eq!(pair.advance(u64::MAX), [id]);
}

#[test]
fn the_last_tick_is_an_ordinary_now() {
    let mut pair = Pair::checked_at(u64::MAX);
    let ids = vec![pair.arm(u64::MAX), pair.arm(0)];
    assert_eq!(pair.next_wake(), Some(u64::MAX));
    assert_eq!(pair.advance(u64::MAX), ids);
    assert_eq!(pair.advance(u64::MAX), []);
    assert_eq!(pair.next_wake(), None);
}

#[test]
fn a_far_timer_does_not_hide_near_ones_however_long_the_wheel_lives() {
    let mut pair = Pair::checked_at(0);
    let far = pair.arm(u64::MAX);
    for now in edges().into_iter().filter(|now| *now < u64::MAX - 2) {
        assert_eq!(pair.advance(now), []);
        let near = pair.arm(now + 2);
        assert!(pair.next_wake() <= Some(now + 2));
        assert_eq!(pair.next_deadline(), Some(now + 2));
        assert_eq!(pair.advance(now + 1), []);
        assert_eq!(pair.advance(now + 2), [near]);
    }
    assert_eq!(pair.advance(u64::MAX), [far]);
}

#[test]
fn the_same_slot_of_the_top_level_is_never_two_times() {
    let top = 1u64 << 56;
    let mut pair = Pair::checked_at(5 * top + 7);
    let here = pair.arm(5 * top + 8);
    let later = pair.arm(5 * top + (top - 1));
    let behind = pair.arm(5 * top);
    let next = pair.arm(6 * top);
    assert_eq!(pair.next_deadline(), Some(5 * top));
    assert_eq!(pair.advance(5 * top + 7), [behind]);
    assert_eq!(pair.advance(6 * top), [here, later, next]);
}

// Clock

#[test]
fn time_never_goes_back() {
    let mut pair = Pair::checked_at(1_000);
    let id = pair.arm(1_001);
    assert_eq!(pair.advance(0), []);
    assert_eq!(pair.wheel.now(), Tick(1_000));
    assert_eq!(pair.advance(1_001), [id]);
    assert_eq!(pair.advance(500), []);
    assert_eq!(pair.wheel.now(), Tick(1_001));
}

#[test]
fn a_deadline_that_has_come_is_due_at_the_next_advance_to_the_same_now() {
    let mut pair = Pair::checked_at(1_000);
    let past = pair.arm(3);
    let present = pair.arm(1_000);
    assert_eq!(pair.next_wake(), Some(1_000));
    assert_eq!(pair.next_deadline(), Some(3));
    assert_eq!(pair.advance(1_000), [past, present]);
}

#[test]
fn what_is_armed_again_in_the_tick_just_done_comes_in_the_next_call() {
    let mut pair = Pair::checked_at(0);
    let id = pair.arm(10);
    for _ in 0..3 {
        assert_eq!(pair.advance(10), [id]);
        assert!(pair.wheel.insert(&mut pair.slab, id, Tick(10)));
    }
}

// Big jumps

#[test]
fn a_jump_over_everything_brings_all_in_tick_order() {
    let mut pair = Pair::checked_at(3);
    let deadlines = [u64::MAX, 70_000, 4, 1 << 40, 256, 255, 1 << 30, 65_536, 300];
    let mut armed: Vec<_> = deadlines.iter().map(|deadline| (*deadline, pair.arm(*deadline))).collect();
    armed.sort_unstable();
    let due = pair.advance(u64::MAX);
    assert_eq!(due, armed.iter().map(|(_, id)| *id).collect::<Vec<_>>());
}

#[test]
fn a_jump_over_empty_time_costs_levels_not_ticks() {
    let mut pair = Pair::checked_at(0);
    let id = pair.arm(u64::MAX);
    assert_eq!(pair.step(u64::MAX - 1, 7), (vec![], Progress::Done), "seven moves, down to level 0");
    assert_eq!(pair.step(u64::MAX, 1), (vec![id], Progress::Done));
}

#[test]
fn a_jump_short_of_the_first_slot_touches_nothing() {
    let mut pair = Pair::checked_at(0);
    pair.arm(1_000);
    assert_eq!(pair.step(767, 0), (vec![], Progress::Done));
    assert_eq!(pair.wheel.now(), Tick(767));
}

// Next expiry

#[test]
fn an_empty_wheel_has_no_next_wake() {
    let mut pair = Pair::checked_at(77);
    assert_eq!((pair.next_wake(), pair.next_deadline()), (None, None));
    let id = pair.arm(99);
    assert!(pair.cancel(id));
    assert_eq!((pair.next_wake(), pair.next_deadline()), (None, None));
}

#[test]
fn a_later_timer_on_a_lower_level_does_not_hide_an_earlier_one_above() {
    let mut pair = Pair::checked_at(0);
    let earlier = pair.arm(300);
    assert_eq!(pair.advance(200), []);
    let later = pair.arm(255);
    pair.reschedule(later, 310);
    pair.arm(250);
    assert_eq!(pair.next_wake(), Some(250));
    assert_eq!(pair.next_deadline(), Some(250));
    assert_eq!(pair.advance(255).len(), 1);
    assert_eq!(pair.next_deadline(), Some(300));
    assert_eq!(pair.advance(300), [earlier]);
    assert_eq!(pair.next_deadline(), Some(310));
}

#[test]
fn waking_when_told_reaches_every_deadline_without_spinning() {
    for deadline in edges() {
        let mut pair = Pair::checked_at(0);
        let id = pair.arm(deadline);
        let mut wakes = 0;
        let due = loop {
            let wake = pair.next_wake().unwrap();
            wakes += 1;
            assert!(wake <= deadline && wakes <= 8, "wake {wakes} at {wake} for {deadline}");
            let due = pair.advance(wake);
            if !due.is_empty() {
                break due;
            }
        };
        assert_eq!((due, pair.wheel.now()), (vec![id], Tick(deadline)));
    }
}

#[test]
fn after_cancelling_the_earliest_the_wake_is_early_and_then_the_next() {
    let mut pair = Pair::checked_at(0);
    let earliest = pair.arm(10);
    let next = pair.arm(20);
    pair.cancel(earliest);
    assert_eq!((pair.next_wake(), pair.next_deadline()), (Some(10), Some(20)));
    assert_eq!(pair.advance(10), []);
    assert_eq!(pair.next_wake(), Some(20));
    assert_eq!(pair.advance(20), [next]);
}

#[test]
fn after_moving_the_earliest_later_the_wake_is_early_and_then_right() {
    let mut pair = Pair::checked_at(0);
    let id = pair.arm(10);
    assert!(pair.reschedule(id, 20));
    assert_eq!((pair.next_wake(), pair.next_deadline()), (Some(10), Some(20)));
    assert_eq!(pair.advance(19), []);
    assert_eq!(pair.next_wake(), Some(20));
    assert_eq!(pair.advance(20), [id]);
}

#[test]
fn moving_a_timer_later_and_earlier_again_makes_no_items() {
    let mut pair = Pair::checked_at(0);
    let id = pair.arm(10_000);
    pair.reschedule(id, 500);
    let items = pair.wheel.items;
    for _ in 0..10_000 {
        assert!(pair.reschedule(id, 90_000));
        assert!(pair.reschedule(id, 500));
    }
    assert_eq!(pair.wheel.items, items);
    assert_eq!(pair.advance(500), [id]);
}

#[test]
fn stale_items_are_bounded_whatever_makes_them() {
    let mut pair = Pair::checked_at(0);
    let id = pair.arm(1 << 40);
    // Each move is earlier than all before it, or too far away to know where the item is.
    for step in 0..20_000 {
        assert!(pair.reschedule(id, (1 << 40) - step));
        assert!(pair.reschedule(id, 1 << 40));
        assert!(pair.wheel.items <= 2 + SLACK + 64, "{} items after {step} moves", pair.wheel.items);
    }
    assert_eq!(pair.advance(1 << 40), [id]);
}

#[test]
fn moving_a_timer_earlier_moves_the_wake() {
    let mut pair = Pair::checked_at(0);
    let id = pair.arm(1 << 40);
    assert!(pair.reschedule(id, 20));
    assert_eq!(pair.next_wake(), Some(20));
    assert_eq!(pair.advance(20), [id]);
}

#[test]
fn during_an_unfinished_advance_the_next_wake_is_now() {
    let mut pair = Pair::checked_at(0);
    let ids = [pair.arm(10), pair.arm(10)];
    assert_eq!(pair.step(50, 1), (vec![ids[1]], Progress::More));
    assert_eq!(pair.next_wake(), Some(10));
    assert_eq!(pair.next_deadline(), Some(10));
}

// Budget

#[test]
fn a_budget_of_one_brings_one_due_entry_a_call() {
    let mut pair = Pair::checked_at(0);
    let ids = [pair.arm(5), pair.arm(5), pair.arm(6)];
    assert_eq!(pair.step(9, 1), (vec![ids[1]], Progress::More));
    assert_eq!(pair.wheel.now(), Tick(5));
    assert_eq!(pair.step(9, 1), (vec![ids[0]], Progress::More));
    assert_eq!(pair.step(9, 1), (vec![ids[2]], Progress::Done));
    assert_eq!(pair.wheel.now(), Tick(9));
}

#[test]
fn moved_entries_count_against_the_budget() {
    let mut pair = Pair::checked_at(0);
    let ids: Vec<_> = (0..10).map(|n| pair.arm(512 + n)).collect();
    assert_eq!(pair.step(512, 11), (vec![ids[0]], Progress::Done), "ten moved, one due");
    let mut pair = Pair::checked_at(0);
    (0..10).for_each(|n| _ = pair.arm(513 + n));
    assert_eq!(pair.step(522, 10), (vec![], Progress::More), "ten moved");
    assert_eq!(pair.wheel.now(), Tick(512));
    assert_eq!(pair.step(522, 9).1, Progress::More);
    assert_eq!(pair.step(522, 1).1, Progress::Done);
}

#[test]
fn a_budget_of_zero_does_nothing_and_says_whether_there_is_something_to_do() {
    let mut pair = Pair::checked_at(0);
    assert_eq!(pair.step(5, 0), (vec![], Progress::Done));
    pair.arm(10);
    assert_eq!(pair.step(9, 0), (vec![], Progress::Done));
    assert_eq!(pair.step(10, 0), (vec![], Progress::More));
    assert_eq!(pair.wheel.now(), Tick(9));
}

/// The second level was looked forward to, and is empty since its only timer was cancelled.
#[test]
fn with_nothing_left_an_advance_is_done_though_its_budget_is_spent() {
    let mut pair = Pair::checked_at(0);
    let cancelled = pair.arm(512);
    assert!(pair.cancel(cancelled));
    let id = pair.arm(0);
    assert_eq!(pair.step(512, 1), (vec![id], Progress::Done));
}

#[test]
fn a_budget_just_enough_is_done() {
    let mut pair = Pair::checked_at(0);
    let id = pair.arm(10);
    assert_eq!(pair.step(10, 1), (vec![id], Progress::Done));
}

#[test]
fn in_the_middle_of_a_cascade_inserts_cancels_and_moves_are_ordinary() {
    let mut pair = Pair::checked_at(0);
    let ids: Vec<_> = (0..6).map(|n| pair.arm(768 + n)).collect();
    assert_eq!(pair.step(1_200, 2), (vec![], Progress::More), "the last two are moved");
    assert_eq!(pair.wheel.now(), Tick(768));
    assert!(pair.cancel(ids[4]), "moved already");
    assert!(pair.cancel(ids[1]), "not moved yet");
    assert!(pair.reschedule(ids[2], 900));
    assert!(pair.reschedule(ids[3], 768));
    let late = pair.arm(768);
    let between = pair.arm(772);
    assert_eq!(pair.next_deadline(), Some(768));
    let mut due = pair.advance(1_200);
    due[..3].sort_unstable();
    let mut now = [ids[0], late, ids[3]];
    now.sort_unstable();
    assert_eq!(due, [now[0], now[1], now[2], between, ids[5], ids[2]]);
}

#[test]
fn a_wheel_can_be_given_a_later_now_while_it_has_more_to_do() {
    let mut pair = Pair::checked_at(0);
    let ids = [pair.arm(10), pair.arm(10), pair.arm(700)];
    assert_eq!(pair.step(10, 1), (vec![ids[1]], Progress::More));
    assert_eq!(pair.advance(700), [ids[0], ids[2]]);
}

#[test]
fn many_timers_of_one_tick_come_out_in_pieces() {
    let mut pair = Pair::checked_at(0);
    let mut expected: Vec<_> = (0..1_000).map(|_| pair.arm(70_000)).collect();
    let mut due = Vec::new();
    let mut calls = 0;
    loop {
        let (piece, progress) = pair.step(70_000, 64);
        due.extend(piece);
        calls += 1;
        if progress == Progress::Done {
            break;
        }
    }
    due.sort_unstable();
    expected.sort_unstable();
    assert_eq!(due, expected);
    // A move each, since level 0 sees 512 ticks; and an expiry each. A call does not go on beyond a chunk.
    assert!((2_000u32.div_ceil(64)..=2_000 / 56 + 2).contains(&calls), "{calls}");
}

// Cancel, reschedule, reuse

#[test]
fn what_came_out_cannot_be_cancelled_or_moved() {
    let mut pair = Pair::checked_at(0);
    let id = pair.arm(1);
    assert_eq!(pair.advance(1), [id]);
    assert!(!pair.cancel(id));
    assert!(!pair.reschedule(id, 9));
    assert_eq!(pair.slab.get(id).unwrap().armed, None);
}

#[test]
fn an_entry_that_is_due_and_not_yet_out_can_be_cancelled() {
    let mut pair = Pair::checked_at(0);
    let ids = [pair.arm(5), pair.arm(5), pair.arm(5)];
    assert_eq!(pair.step(5, 1), (vec![ids[2]], Progress::More));
    assert!(pair.cancel(ids[1]));
    assert_eq!(pair.advance(5), [ids[0]]);
}

#[test]
fn an_entry_that_is_due_and_not_yet_out_can_be_moved_later() {
    let mut pair = Pair::checked_at(0);
    let ids = [pair.arm(5), pair.arm(5)];
    assert_eq!(pair.step(5, 1), (vec![ids[1]], Progress::More));
    assert!(pair.reschedule(ids[0], 6));
    assert_eq!(pair.advance(5), []);
    assert_eq!(pair.advance(6), [ids[0]]);
}

#[test]
fn siblings_of_a_slot_are_cancelled_from_any_end() {
    for first in 0..3 {
        for second in (0..3).filter(|second| *second != first) {
            let mut pair = Pair::checked_at(0);
            let ids: Vec<_> = (0..3).map(|_| pair.arm(300)).collect();
            assert!(pair.cancel(ids[first]) && pair.cancel(ids[second]));
            assert_eq!(pair.advance(300), [ids[3 - first - second]]);
        }
    }
}

#[test]
fn cancelling_twice_counts_once() {
    let mut pair = Pair::checked_at(0);
    let id = pair.arm(5);
    pair.arm(5);
    assert!(pair.cancel(id));
    assert!(!pair.cancel(id));
    assert_eq!(pair.wheel.len(), 1);
}

#[test]
fn an_entry_is_armed_once() {
    let mut pair = Pair::checked_at(0);
    let id = pair.arm(5);
    assert!(!pair.wheel.insert(&mut pair.slab, id, Tick(9)));
    assert_eq!(pair.advance(5), [id]);
    assert_eq!(pair.advance(9), []);
}

#[test]
fn a_stale_id_does_not_touch_the_stranger_in_its_slot() {
    let mut pair = Pair::checked_at(0);
    let old = pair.arm(5);
    pair.cancel(old);
    assert!(pair.slab.end(old) && pair.slab.free(old));
    let new = pair.arm(6);
    assert_eq!(new.slot(), old.slot());
    assert!(!pair.cancel(old));
    assert!(!pair.reschedule(old, 1));
    assert!(!pair.wheel.insert(&mut pair.slab, old, Tick(1)));
    assert_eq!(pair.advance(6), [new]);
}

#[test]
fn rescheduling_to_the_same_tick_changes_nothing() {
    let mut pair = Pair::checked_at(0);
    let id = pair.arm(300);
    assert!(pair.reschedule(id, 300));
    assert_eq!(pair.advance(400), [id]);
    assert!(pair.wheel.is_empty());
}

#[test]
fn entries_that_are_not_live_are_not_armed() {
    let mut pair = Pair::checked_at(0);
    let reserved = pair.slab.reserve().unwrap();
    assert!(!pair.wheel.insert(&mut pair.slab, reserved, Tick(1)));
    let ended = pair.entry();
    assert!(pair.slab.end(ended));
    assert!(!pair.wheel.insert(&mut pair.slab, ended, Tick(1)));
    assert!(!pair.wheel.insert(&mut pair.slab, TimerId::new(u32::MAX, 1).unwrap(), Tick(1)));
    assert!(pair.wheel.is_empty());
}

#[test]
fn cancelled_timers_leave_nothing_behind() {
    let mut pair = Pair::checked_at(0);
    let bytes = |pair: &Pair| pair.slab.bytes() + pair.wheel.bytes();
    let first = pair.arm(3_600_000);
    pair.cancel(first);
    assert!(pair.slab.end(first) && pair.slab.free(first));
    let before = bytes(&pair);
    for _ in 0..2_000 {
        let id = pair.arm(3_600_000);
        pair.cancel(id);
        assert!(pair.slab.end(id) && pair.slab.free(id));
    }
    assert_eq!((bytes(&pair), pair.slab.slots()), (before, 1));
    assert_eq!(pair.step(u64::MAX, 0), (vec![], Progress::Done), "nothing to sweep up");
}

// Two wheels

#[test]
fn two_wheels_share_a_slab_and_not_an_entry() {
    let mut pair = Pair::checked_at(0);
    let mut other = Wheel::new(Lane::Second, Tick(1_000_000));
    let here = pair.arm(5);
    let there = pair.entry();
    assert!(other.insert(&mut pair.slab, there, Tick(1_000_005)));
    assert_eq!(pair.slab.get(there).unwrap().armed, Some(Lane::Second));
    assert!(!pair.cancel(there) && !pair.reschedule(there, 1));
    assert!(!other.cancel(&mut pair.slab, here) && !other.insert(&mut pair.slab, here, Tick(1)));
    assert_eq!(pair.advance(2_000_000), [here]);
    let mut due = Vec::new();
    assert_eq!(other.advance(&mut pair.slab, Tick(1_000_005), 9, &mut due), Progress::Done);
    assert_eq!(due, [there]);
    other.check(&pair.slab).unwrap();
}

// What the crate is not meant for

#[test]
fn a_wheel_given_another_slab_ends_and_does_not_panic() {
    let mut pair = Pair::checked_at(0);
    let ids: Vec<_> = (0..40).map(|n| pair.arm(n * 97)).collect();
    for mut stranger in [Slab::new(), Pair::checked_at(0).slab] {
        for _ in 0..20 {
            let id = stranger.reserve().unwrap();
            stranger.occupy(id, Tick(1), 0).unwrap();
            pair.wheel.insert(&mut stranger, id, Tick(900));
        }
        ids.iter().for_each(|id| _ = pair.wheel.cancel(&mut stranger, *id));
        assert!(pair.wheel.next_deadline_exact(&stranger) <= Some(Tick(900)));
        let mut due = Vec::new();
        assert_eq!(pair.wheel.advance(&mut stranger, Tick(5_000), 1_000, &mut due), Progress::Done);
    }
}

#[test]
fn check_finds_a_deadline_changed_behind_the_wheel() {
    let mut pair = Pair::checked_at(0);
    let id = pair.arm(70_000);
    assert!(!pair.slab.set_deadline(id, Tick(300)), "the slab refuses");
    pair.slab.cell_mut(id.slot()).unwrap().deadline = Tick(300);
    assert_eq!(pair.wheel.check(&pair.slab).unwrap_err().invariant, "W1");
}

#[test]
fn an_owner_that_sleeps_from_wake_to_wake_finds_little_left_when_many_are_due() {
    const MANY: u32 = 50_000;
    let (mut slab, mut wheel) = (Slab::new(), Wheel::new(Lane::First, Tick(17)));
    let deadline = Tick(40_000_000);
    for _ in 0..MANY {
        wheel.insert_new(&mut slab, deadline, 0).unwrap();
    }
    let (mut wakes, mut due) = (0, Vec::new());
    while let Some(wake) = wheel.next_wake().filter(|wake| *wake < deadline) {
        // What a wake is worth, and what comes with the tick on which it falls.
        let progress = wheel.advance(&mut slab, wake, 1_024 + MANY / 256 + 1, &mut due);
        assert_eq!(progress, Progress::Done, "too much to do at {wake}");
        wakes += 1;
    }
    assert_eq!(due, []);
    assert!(wakes < 4 * MANY / 1_024, "{wakes} wakes");
    assert_eq!(wheel.advance(&mut slab, deadline, MANY + 1_024, &mut due), Progress::Done);
    assert_eq!(due.len(), MANY as usize);
}

/// A sweep stands in the slot that becomes the next, has put most of its items aside, and ends in the same call.
#[test]
fn items_that_a_sweep_put_aside_are_emptied_ahead_with_the_others() {
    for seed in 170..180_u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut below = |bound: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % bound
        };
        let (mut slab, mut wheel) = (Slab::new(), Wheel::new(Lane::First, Tick(0)));
        let near = below(1_500);
        (0..near).for_each(|_| _ = wheel.insert_new(&mut slab, Tick(256), 0).unwrap());
        let count = 1_000 + below(4_000);
        let mut ids: Vec<_> =
            (0..count).map(|_| wheel.insert_new(&mut slab, Tick(512 + below(256)), 0).unwrap()).collect();
        let left = below(count);
        while ids.len() as u64 > left {
            let id = ids.swap_remove(usize::try_from(below(ids.len() as u64)).unwrap());
            wheel.remove(&mut slab, id).unwrap();
        }
        let mut due = Vec::new();
        for tick in 1..800 {
            let before = due.len();
            assert_eq!(wheel.advance(&mut slab, Tick(tick), u32::MAX, &mut due), Progress::Done);
            assert!(
                due[before..].iter().all(|id| slab.get(*id).unwrap().deadline == Tick(tick)),
                "seed {seed}"
            );
            if tick % 64 == 0 {
                wheel.check(&slab).unwrap();
            }
        }
        assert_eq!(due.len() as u64, near + left);
    }
}

/// One slot of the slab, armed for the same tick again and again: every 256th item has the same mark.
#[test]
fn doubles_of_a_current_item_do_not_keep_a_wheel_busy_for_ever() {
    let (mut slab, mut wheel) = (Slab::new(), Wheel::new(Lane::First, Tick(0)));
    let far = Tick(1_000_000);
    let others: Vec<_> =
        (0..100_000).map(|n| wheel.insert_new(&mut slab, Tick(500_000 + n), 0).unwrap()).collect();
    for _ in 0..80_000 {
        let id = wheel.insert_new(&mut slab, far, 1).unwrap();
        wheel.remove(&mut slab, id).unwrap();
    }
    let kept = wheel.insert_new(&mut slab, far, 1).unwrap();
    others.iter().for_each(|id| _ = wheel.remove(&mut slab, *id));
    assert!(wheel.items() > 2 + SLACK, "{} items: there were to be doubles", wheel.items());
    let near = wheel.insert_new(&mut slab, Tick(5), 2).unwrap();
    let (mut calls, mut due) = (0, Vec::new());
    while wheel.advance(&mut slab, Tick(10), 64, &mut due) == Progress::More {
        calls += 1;
        assert!(calls < 100, "busy for ever");
    }
    assert_eq!(due, [near]);
    while wheel.advance(&mut slab, far, 64, &mut due) == Progress::More {}
    assert_eq!(due, [near, kept]);
    wheel.check(&slab).unwrap();
}

#[test]
fn many_are_cancelled_as_one_by_one() {
    let mut pair = Pair::checked_at(0);
    let ids: Vec<_> = (0..100).map(|n| pair.arm(n * 700)).collect();
    assert!(pair.cancel(ids[40]));
    let mut cancelled = Vec::new();
    pair.wheel.cancel_many(&mut pair.slab, &[&ids[..], &ids[..1]].concat(), &mut cancelled);
    pair.check();
    assert!(cancelled.iter().copied().eq((0..101).map(|n| n != 40 && n != 100)), "{cancelled:?}");
    assert!(pair.wheel.is_empty() && pair.slab.get(ids[7]).is_some(), "live, and in no wheel");
}

#[test]
fn a_wheel_does_not_lose_count_over_an_entry_of_another_wheel() {
    let mut slab = Slab::new();
    let (mut one, mut other) = (Wheel::new(Lane::First, Tick(0)), Wheel::new(Lane::First, Tick(0)));
    let id = one.insert_new(&mut slab, Tick(5), 0).unwrap();
    other.cancel(&mut slab, id);
    assert_eq!(other.len(), 0);
    assert_eq!(one.advance(&mut slab, Tick(9), 9, &mut Vec::new()), Progress::Done);
}
