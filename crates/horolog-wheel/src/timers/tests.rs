//! The joined face. What the wheel and the slab promise is tested with them.

use std::vec::Vec;

use super::*;

#[test]
fn expired_timers_come_with_deadline_and_word() {
    let mut timers = Timers::new(Tick(100));
    let id = timers.insert(Tick(300), 7).unwrap();
    let mut expired = Vec::new();
    assert_eq!(timers.advance(Tick(400), 99, &mut expired), Progress::Done);
    assert_eq!(expired, [Expired { id, deadline: Tick(300), word: 7 }]);
    assert_eq!((timers.len(), timers.now(), timers.next_wake()), (0, Tick(400), None));
}

#[test]
fn cancel_gives_the_word_back_once() {
    let mut timers = Timers::new(Tick::ZERO);
    let id = timers.insert(Tick(300), 7).unwrap();
    assert_eq!(timers.cancel(id), Some(7));
    assert_eq!(timers.cancel(id), None);
    assert!(timers.is_empty() && !timers.reschedule(id, Tick(1)) && timers.get(id).is_none());
}

#[test]
fn an_expired_id_finds_nothing_though_its_slot_is_used_again() {
    let mut timers = Timers::new(Tick::ZERO);
    let old = timers.insert(Tick(1), 1).unwrap();
    let mut expired = Vec::new();
    assert_eq!(timers.advance(Tick(1), 99, &mut expired), Progress::Done);
    let new = timers.insert(Tick(2), 2).unwrap();
    assert_eq!(new.slot(), old.slot());
    assert_eq!(timers.cancel(old), None);
    assert_eq!(timers.get(new).map(|entry| entry.word), Some(2));
}

#[test]
fn timers_can_be_moved_both_ways() {
    let mut timers = Timers::new(Tick::ZERO);
    let id = timers.insert(Tick(500), 1).unwrap();
    assert!(timers.reschedule(id, Tick(1 << 40)) && timers.reschedule(id, Tick(9)));
    let mut expired = Vec::new();
    assert_eq!(timers.advance(Tick(8), 99, &mut expired), Progress::Done);
    assert_eq!(expired, []);
    assert_eq!(timers.advance(Tick(9), 99, &mut expired), Progress::Done);
    assert_eq!(expired.len(), 1);
}

#[test]
fn what_the_budget_leaves_comes_with_the_next_call() {
    let mut timers = Timers::new(Tick::ZERO);
    (0..5).for_each(|word| _ = timers.insert(Tick(3), word));
    let mut expired = Vec::new();
    assert_eq!(timers.advance(Tick(3), 2, &mut expired), Progress::More);
    assert_eq!((expired.len(), timers.len()), (2, 3));
    assert_eq!(timers.advance(Tick(3), 3, &mut expired), Progress::Done);
    assert_eq!((expired.len(), timers.len()), (5, 0));
}

/// A thousand are pending at a time; all others are cancelled long before they are due.
#[test]
fn timers_that_are_armed_and_cancelled_leave_no_residue() {
    let arms = if cfg!(debug_assertions) { 300_000 } else { 10_000_000 };
    let mut timers = Timers::new(Tick(0));
    let mut pending = std::collections::VecDeque::new();
    let mut most = 0;
    for arm in 0..arms {
        let hour_ahead = timers.now().saturating_add(3_600_000 + arm % 977);
        pending.push_back(timers.insert(hour_ahead, arm).expect("there is a free slot"));
        if pending.len() > 1_000 {
            let cancelled = pending.pop_front().and_then(|id| timers.cancel(id));
            assert!(cancelled.is_some());
        }
        if arm % 1_000 == 0 {
            assert_eq!(timers.advance(Tick(arm / 1_000), 256, &mut Vec::new()), Progress::Done);
            most = most.max(timers.bytes());
        }
    }
    assert!(most < 128 << 10, "{most} bytes for a thousand timers");
}

#[test]
fn many_are_cancelled_as_one_by_one() {
    let mut timers = Timers::new(Tick(0));
    let mut ids: Vec<_> =
        (0..100).map(|word| timers.insert(Tick(word * 77), word).expect("a slot")).collect();
    let gone = ids[40];
    assert_eq!(timers.cancel(gone), Some(40));
    ids.push(ids[3]);
    let mut words = Vec::new();
    timers.cancel_many(&ids, &mut words);
    let expected = (0..100).map(|word| (word != 40).then_some(word)).chain([None]);
    assert!(words.iter().copied().eq(expected), "{words:?}");
    assert!(timers.is_empty());
}

#[test]
fn many_are_inserted_as_one_by_one_and_what_finds_no_room_comes_back() {
    let new: Vec<_> = (0..100).map(|word| (Tick(word * 777 % 1_000), word)).collect();
    let (mut many, mut single) = (Timers::with_timers_max(Tick(9), 80), Timers::with_timers_max(Tick(9), 80));
    let mut ids = Vec::new();
    assert_eq!(many.insert_many(&new[..30], &mut ids), []);
    assert_eq!(many.insert_many(&new[30..], &mut ids), &new[80..]);
    assert!(ids.iter().copied().eq(new.iter().map_while(|(deadline, word)| single.insert(*deadline, *word))));
    assert_eq!(ids.len(), 80);
    let (mut came, mut expected) = (Vec::new(), Vec::new());
    assert_eq!(many.drain_due(Tick(1_000), &mut came), None);
    assert_eq!(single.advance(Tick(1_000), u32::MAX, &mut expected), Progress::Done);
    assert_eq!((came.len(), came), (80, expected));
}

#[test]
fn draining_from_wake_to_wake_brings_all_in_order_and_asks_for_a_later_tick_each_time() {
    let mut timers = Timers::new(Tick(300));
    let new: Vec<_> = (0..5_000).map(|word| (Tick(word * word % 900_000), word)).collect();
    assert_eq!(timers.insert_many(&new, &mut Vec::new()), []);
    let (mut now, mut expired, mut before) = (Tick(300), Vec::new(), 0);
    while let Some(wake) = timers.drain_due(now, &mut expired) {
        assert!(expired[before..].iter().all(|timer| timer.deadline <= now), "early");
        assert!(expired[before..].iter().all(|timer| timer.deadline == now || now == Tick(300)), "late");
        assert!(wake > now, "{wake} at {now}");
        (now, before) = (wake, expired.len());
    }
    assert_eq!(expired.len(), new.len());
    let mut words: Vec<_> = expired.iter().map(|timer| timer.word).collect();
    words.sort_unstable();
    assert!(words.into_iter().eq(0..5_000));
}

#[test]
fn the_next_deadline_is_exact_though_the_wake_is_early() {
    let mut timers = Timers::new(Tick(5));
    assert_eq!(timers.next_deadline_exact(), None);
    let first = timers.insert(Tick(900), 1).unwrap();
    timers.insert(Tick(1_000), 2).unwrap();
    assert_eq!((timers.next_deadline_exact(), timers.next_wake()), (Some(Tick(900)), Some(Tick(768))));
    assert!(timers.reschedule(first, Tick(1 << 40)));
    assert_eq!(timers.next_deadline_exact(), Some(Tick(1_000)), "the item left at 900 is not a timer");
    timers.insert(Tick(3), 3).unwrap();
    assert_eq!(timers.next_deadline_exact(), Some(Tick(3)), "inserted late");
}

#[test]
fn timers_are_listed_by_slot_and_those_that_ended_are_not() {
    let mut timers = Timers::new(Tick(0));
    let mut ids: Vec<_> = (0..3_000).map(|word| timers.insert(Tick(9_000 - word), word).unwrap()).collect();
    for place in (0..3_000).step_by(7) {
        assert!(timers.cancel(ids[place]).is_some());
    }
    // In a slot that another one had.
    ids[0] = timers.insert(Tick(1), 7).unwrap();
    let listed: Vec<_> = timers.iter().map(|entry| (entry.id, entry.deadline, entry.armed)).collect();
    assert!(listed.is_sorted_by_key(|(id, ..)| id.slot()));
    assert_eq!(listed.len(), timers.len());
    assert!(listed.contains(&(ids[0], Tick(1), Some(Lane::First))));
    assert!(
        listed.iter().all(|(id, deadline, _)| timers.get(*id).map(|entry| entry.deadline) == Some(*deadline))
    );
}

/// Live ones, some of them armed in either lane of wheels that are no more, beside slots that are free, reserved and ended.
#[test]
fn a_slab_that_was_filled_before_is_taken_over_with_its_ids() {
    let mut slab = Slab::new();
    let (mut first, mut second) = (Wheel::new(Lane::First, Tick(0)), Wheel::new(Lane::Second, Tick(0)));
    let ids: Vec<_> = (0..2_000).map(|_| slab.reserve().unwrap()).collect();
    for (id, deadline) in ids.iter().zip(1..).skip(1) {
        slab.occupy(*id, Tick(deadline), id.raw()).unwrap();
        match deadline % 5 {
            0 => assert!(slab.end(*id) && slab.free(*id)),
            1 => assert!(slab.end(*id)),
            2 => assert!(first.insert(&mut slab, *id, Tick(deadline))),
            3 => assert!(second.insert(&mut slab, *id, Tick(deadline))),
            _ => {}
        }
    }
    drop((first, second));
    let mut timers = Timers::from_slab(Tick(1_000), slab);
    timers.wheel.check(&timers.slab).unwrap();
    timers.slab.check().unwrap();
    assert_eq!(timers.len(), 1_200);
    let mut expired = Vec::new();
    assert_eq!(timers.drain_due(Tick(2_000), &mut expired), None);
    assert!(expired.is_sorted_by_key(|timer| timer.deadline.max(Tick(1_000))));
    assert!(expired.iter().all(|timer| timer.word == timer.id.raw()));
    let mut came: Vec<_> = expired.iter().map(|timer| timer.deadline.0).collect();
    came.sort_unstable();
    assert!(came.into_iter().eq((2..=2_000).filter(|deadline| deadline % 5 > 1)));
    let new = timers.insert(Tick(3_000), 7).unwrap();
    assert!(!ids.contains(&new), "no id is given twice");
}

#[test]
fn there_is_room_for_timers_max_however_many_slots_are_used_up() {
    let mut timers = Timers::with_timers_max(Tick::ZERO, 2);
    timers.slab.set_floor_base(crate::GENERATION_MAX - 1);
    for _ in 0..100 {
        let ids: Vec<_> = (0..2).map(|word| timers.insert(Tick(5), word).unwrap()).collect();
        assert_eq!(timers.insert(Tick(5), 7), None);
        assert_eq!(timers.insert_many(&[(Tick(5), 7)], &mut Vec::new()), [(Tick(5), 7)]);
        ids.iter().for_each(|id| assert!(timers.cancel(*id).is_some()));
        let mut many = Vec::new();
        assert_eq!(
            timers.insert_many(&[(Tick(5), 1), (Tick(6), 2), (Tick(7), 3)], &mut many),
            [(Tick(7), 3)]
        );
        many.iter().for_each(|id| assert!(timers.cancel(*id).is_some()));
    }
}
