//! What many threads may count on. The orders in which they can meet are tried in `models.rs`, by loom.
#![expect(clippy::unwrap_used, reason = "these are tests, though clippy does not see it behind `not(loom)`")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::{format, thread};

use proptest::prelude::*;

use super::*;
use crate::testing::{config, nasty_tick};

fn timers(shards: usize) -> SharedTimers {
    SharedOptions::new().shards(shards).build(Tick::ZERO)
}

fn words(expired: &[Expired]) -> Vec<u64> {
    expired.iter().map(|timer| timer.word).collect()
}

/// All that is due by `now`, in calls of that budget.
fn drain(timers: &SharedTimers, now: u64, budget: u32) -> Vec<Expired> {
    let mut expired = Vec::new();
    while timers.advance(Tick(now), budget, &mut expired) == Progress::More {}
    expired
}

#[test]
fn an_id_finds_its_timer_whatever_the_shard_and_the_number_of_shards() {
    for shards in [1, 2, 3, 8, 1_024, 5_000] {
        let timers = timers(shards);
        let ids: Vec<_> = (0..3_000)
            .map(|home| timers.insert_from(home, Tick(home as u64 + 1), home as u64).unwrap())
            .collect();
        assert_eq!(timers.len(), 3_000);
        for (word, id) in (0..).zip(&ids) {
            assert_eq!(timers.get(*id).map(|entry| (entry.id, entry.word)), Some((*id, word)));
        }
        let expired = drain(&timers, 1_000, 7);
        assert!(expired.iter().map(|timer| timer.id).eq(ids.iter().copied().take(1_000)));
        assert_eq!(timers.cancel(ids[5]), None, "it came out");
        assert_eq!(timers.cancel(ids[1_005]), Some(1_005));
        assert_eq!(timers.cancel(ids[1_005]), None);
    }
}

/// There are more shards than threads that have asked for a number, in all tests together.
#[test]
fn threads_have_shards_of_their_own() {
    let timers = timers(1_024);
    let shard = || timers.home(timers.insert(Tick(9), 7).unwrap());
    let of_many = || {
        let mut ids = Vec::new();
        assert_eq!(timers.insert_many(&[(Tick(9), 7)], &mut ids), []);
        timers.home(ids[0])
    };
    let here = shard();
    assert_eq!((shard(), of_many()), (here, here));
    let others = thread::scope(|scope| {
        let shards = [(); 2].map(|()| scope.spawn(|| (shard(), shard(), of_many())));
        shards.map(|shard| shard.join().unwrap())
    });
    assert!(others.iter().all(|(one, other, of_many)| one == other && one == of_many));
    assert!(here != others[0].0 && here != others[1].0 && others[0].0 != others[1].0, "{here}, {others:?}");
}

#[test]
fn the_limit_that_is_told_is_the_one_that_holds() {
    for (shards, most) in [(1, u32::MAX), (2, u32::MAX - 1), (1_024, u32::MAX - 1_023)] {
        let limit = |timers_max| {
            SharedOptions::new().shards(shards).timers_max(timers_max).build(Tick::ZERO).timers_max
        };
        assert_eq!((limit(u32::MAX), limit(most), limit(most - 1), limit(7)), (most, most, most - 1, 7));
    }
}

#[test]
fn what_comes_out_is_in_tick_order_over_all_shards() {
    let timers = timers(4);
    for number in 0..4_000 {
        timers.insert_from(number % 3, Tick(number as u64 * 7_919 % 100_003), 0).unwrap();
    }
    let expired = drain(&timers, 200_000, 1);
    assert_eq!(expired.len(), 4_000);
    assert!(expired.is_sorted_by_key(|timer| timer.deadline));
}

#[test]
fn the_last_tick_is_an_ordinary_deadline_and_an_ordinary_now() {
    assert_eq!(timers(4).advance(Tick(u64::MAX), 0, &mut Vec::new()), Progress::Done);
    let timers = timers(4);
    for shard in 0..3 {
        timers.insert_from(shard, Tick(u64::MAX), shard as u64).unwrap();
        timers.insert_from(shard, Tick(u64::MAX), 9).unwrap();
    }
    assert_eq!(words(&drain(&timers, u64::MAX - 1, 2)), []);
    let mut expired = Vec::new();
    assert_eq!(timers.advance(Tick(u64::MAX), 0, &mut expired), Progress::More);
    assert_eq!(timers.advance(Tick(u64::MAX), 5, &mut expired), Progress::More);
    assert_eq!(timers.advance(Tick(u64::MAX), 5, &mut expired), Progress::Done);
    assert_eq!((expired.len(), timers.len()), (6, 0));
}

#[test]
fn an_early_look_at_the_last_tick_leaves_what_is_due_there() {
    let timers = timers(2);
    timers.insert_from(1, Tick(u64::MAX), 1).unwrap();
    assert_eq!(words(&drain(&timers, u64::MAX - 1, 9)), []);
    assert!(timers.set_alarm().is_some());
    assert_eq!(words(&drain(&timers, u64::MAX, 9)), [1]);
    assert_eq!(timers.next_wake(), None);
}

#[test]
fn time_never_goes_back() {
    let timers = timers(2);
    assert_eq!(drain(&timers, 1_000, 9), []);
    timers.insert_from(1, Tick(900), 7).unwrap();
    assert_eq!((words(&drain(&timers, 5, 9)), timers.now()), (Vec::from([7]), Tick(1_000)));
}

#[test]
fn a_budget_is_over_all_shards_together() {
    let timers = timers(4);
    (0..20).for_each(|home| _ = timers.insert_from(home, Tick(3), 0));
    let mut expired = Vec::new();
    for calls in 1..7 {
        assert_eq!(timers.advance(Tick(3), 3, &mut expired), Progress::More);
        assert_eq!(expired.len(), 3 * calls);
    }
    assert_eq!(timers.advance(Tick(3), 3, &mut expired), Progress::Done);
    assert_eq!(expired.len(), 20);
}

#[test]
fn there_is_room_for_exactly_timers_max_whatever_the_shard() {
    for timers_max in [0, 1, 3, 4, 1_025, 4_097] {
        let timers = SharedOptions::new().shards(4).timers_max(timers_max).build(Tick::ZERO);
        let ids: Vec<_> =
            (0..timers_max).map(|word| timers.insert_from(2, Tick(8), word.into()).unwrap()).collect();
        let full = Full { deadline: Tick(9), word: 7, timers_max };
        assert_eq!(timers.insert_from(2, Tick(9), 7), Err(full));
        assert_eq!(timers.len(), timers_max as usize);
        if let Some(id) = ids.last() {
            assert!(timers.cancel(*id).is_some());
            assert!(timers.insert_from(0, Tick(9), 7).is_ok());
        }
        assert!(format!("{full}").ends_with(&format!("at most {timers_max} may be pending")));
    }
}

#[test]
fn many_are_cancelled_as_one_by_one() {
    let (one, other) = (timers(4), timers(4));
    let make = |timers: &SharedTimers| -> Vec<_> {
        (0..500).map(|word| timers.insert_from(word * 7 / 3, Tick(50), word as u64).unwrap()).collect()
    };
    let mut ids = make(&one);
    assert_eq!(ids, make(&other));
    ids.extend(ids.clone().iter().rev().step_by(3));
    ids.extend([TimerId::new(u32::MAX, 1), TimerId::new(3, crate::GENERATION_MAX)].into_iter().flatten());
    let mut words = Vec::new();
    one.cancel_many(&ids, &mut words);
    assert_eq!(words, ids.iter().map(|id| other.cancel(*id)).collect::<Vec<_>>());
    assert!(one.is_empty());
}

#[test]
fn many_are_inserted_as_one_by_one_and_what_finds_no_room_comes_back() {
    for timers_max in [0, 7, 1_000, 2_000] {
        let made = || SharedOptions::new().shards(4).timers_max(timers_max).build(Tick::ZERO);
        let (one, other) = (made(), made());
        let many: Vec<_> = (0..1_500).map(|word| (Tick(word * 7 % 1_000), word)).collect();
        let mut ids = Vec::new();
        let rest = one.insert_many_from(3, &many, &mut ids);
        let expected: Vec<_> =
            many.iter().map_while(|(deadline, word)| other.insert_from(3, *deadline, *word).ok()).collect();
        assert_eq!((&ids, rest), (&expected, &many[expected.len()..]));
        assert_eq!(words(&drain(&one, 500, 9)).len(), words(&drain(&other, 500, 9)).len());
        for (id, (deadline, word)) in ids.iter().zip(&many).filter(|(_, (deadline, _))| *deadline > Tick(500))
        {
            assert_eq!(one.get(*id).map(|entry| (entry.deadline, entry.word)), Some((*deadline, *word)));
        }
    }
}

#[test]
fn the_earliest_of_many_rings() {
    let (timers, rings) = timers_that_count();
    timers.insert_from(0, Tick(300), 0).unwrap();
    assert!(timers.set_alarm().is_some());
    assert!(timers.insert_many(&[(Tick(400), 0), (Tick(300), 0)], &mut Vec::new()).is_empty());
    assert!(timers.insert_many(&[], &mut Vec::new()).is_empty());
    assert_eq!(rings.load(Ordering::Relaxed), 0);
    assert!(timers.insert_many(&[(Tick(400), 0), (Tick(299), 0)], &mut Vec::new()).is_empty());
    assert_eq!(rings.load(Ordering::Relaxed), 1);
}

/// The first of many holds is rung for before the second begins.
#[test]
fn of_a_large_batch_the_first_hold_rings_at_once() {
    let full = alloc::sync::Arc::new(AtomicUsize::new(usize::MAX));
    let seen = alloc::sync::Arc::clone(&full);
    let timers = alloc::sync::Arc::new_cyclic(|timers: &alloc::sync::Weak<SharedTimers>| {
        let timers = timers.clone();
        let ring = move || seen.store(timers.upgrade().map_or(0, |timers| timers.len()), Ordering::Relaxed);
        SharedOptions::new().shards(1).ring(ring).build(Tick::ZERO)
    });
    assert_eq!(timers.set_alarm(), None);
    let many: Vec<_> = (0..10_000).map(|word| (Tick(7), word)).collect();
    assert!(timers.insert_many(&many, &mut Vec::new()).is_empty());
    assert_eq!(full.load(Ordering::Relaxed), ITEMS_A_HOLD);
}

#[test]
fn memory_is_counted_and_given_back() {
    let timers = timers(4);
    let empty = timers.bytes();
    let ids: Vec<_> = (0..200_000).map(|word| timers.insert_from(word, Tick(9_000), 0).unwrap()).collect();
    assert!(timers.bytes() > empty + 200_000 * 32);
    timers.cancel_many(&ids, &mut Vec::new());
    assert_eq!(drain(&timers, 1, 300_000), []);
    assert!(timers.bytes() < empty + 200_000, "{} bytes", timers.bytes());
}

// The alarm

/// Timers and how often they rang.
fn timers_that_count() -> (SharedTimers, alloc::sync::Arc<AtomicUsize>) {
    let rings = alloc::sync::Arc::new(AtomicUsize::new(0));
    let counted = alloc::sync::Arc::clone(&rings);
    let ring = move || _ = counted.fetch_add(1, Ordering::Relaxed);
    (SharedOptions::new().shards(2).ring(ring).build(Tick::ZERO), rings)
}

#[test]
fn an_alarm_says_until_when_to_sleep() {
    let (timers, _) = timers_that_count();
    assert_eq!(timers.set_alarm(), None);
    timers.insert_from(0, Tick(300), 0).unwrap();
    timers.insert_from(1, Tick(200), 0).unwrap();
    assert_eq!(timers.set_alarm(), Some(Tick(200)));
}

#[test]
fn only_a_timer_earlier_than_the_alarm_rings_and_only_the_first() {
    let (timers, rings) = timers_that_count();
    let rang = || rings.swap(0, Ordering::Relaxed);
    timers.insert_from(0, Tick(300), 0).unwrap();
    assert!(timers.set_alarm().is_some());
    let later = timers.insert_from(1, Tick(300), 0).unwrap();
    assert_eq!(rang(), 0, "at the same time is not earlier");
    timers.insert_from(1, Tick(299), 0).unwrap();
    timers.insert_from(0, Tick(5), 0).unwrap();
    assert_eq!(rang(), 1, "one ring is enough");
    timers.insert_from(0, Tick(4), 0).unwrap();
    assert_eq!(rang(), 0, "an alarm that was rung is off");
    assert_eq!(words(&drain(&timers, 250, 9)).len(), 2);
    assert!(timers.set_alarm().is_some());
    assert!(timers.reschedule(later, Tick(299)));
    assert_eq!(rang(), 0);
    assert!(timers.reschedule(later, Tick(3)));
    assert_eq!(rang(), 1);
}

#[test]
fn an_owner_that_sleeps_for_ever_is_rung_for_any_timer() {
    let (timers, rings) = timers_that_count();
    assert_eq!(timers.set_alarm(), None);
    timers.insert_from(0, Tick(u64::MAX), 0).unwrap();
    assert_eq!(rings.load(Ordering::Relaxed), 1);
}

#[test]
fn what_finds_no_room_does_not_ring() {
    let rings = alloc::sync::Arc::new(AtomicUsize::new(0));
    let counted = alloc::sync::Arc::clone(&rings);
    let ring = move || _ = counted.fetch_add(1, Ordering::Relaxed);
    let timers = SharedOptions::new().timers_max(0).ring(ring).build(Tick::ZERO);
    assert_eq!(timers.set_alarm(), None);
    assert!(timers.insert(Tick(1), 0).is_err());
    assert_eq!(rings.load(Ordering::Relaxed), 0);
}

#[test]
fn draining_brings_all_that_is_due_and_sets_the_alarm() {
    let (timers, rings) = timers_that_count();
    for number in 0..1_000 {
        timers.insert_from(number, Tick(number as u64), number as u64).unwrap();
    }
    let mut expired = Vec::new();
    assert_eq!(timers.drain_due(Tick(499), &mut expired), Some(Tick(500)));
    assert!(words(&expired).into_iter().eq(0..500));
    timers.insert_from(1, Tick(500), 7).unwrap();
    assert_eq!(rings.load(Ordering::Relaxed), 0, "at the same time is not earlier");
    timers.insert_from(0, Tick(3), 7).unwrap();
    assert_eq!(rings.load(Ordering::Relaxed), 1);
    assert_eq!(timers.drain_due(Tick(2_000), &mut expired), None);
    assert_eq!((expired.len(), timers.len()), (1_002, 0));
}

// Against a model

#[derive(Clone, Debug)]
enum Step {
    Insert(usize, Tick),
    Cancel(usize),
    Reschedule(usize, Tick),
    Advance(Tick, u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let near = (0u64..2_000).prop_map(Tick);
    let tick = prop_oneof![3 => near, 1 => nasty_tick()];
    let step = prop_oneof![
        6 => (0usize..8, tick.clone()).prop_map(|(home, tick)| Step::Insert(home, tick)),
        2 => any::<usize>().prop_map(Step::Cancel),
        2 => (any::<usize>(), tick.clone()).prop_map(|(pick, tick)| Step::Reschedule(pick, tick)),
        3 => (tick, prop_oneof![Just(0), Just(1), 1u32..40, Just(u32::MAX)])
            .prop_map(|(now, budget)| Step::Advance(now, budget)),
    ];
    prop::collection::vec(step, 1..200)
}

/// Pending timers as a caller knows them, and the latest now.
#[derive(Default)]
struct Model {
    pending: BTreeMap<TimerId, Tick>,
    now: Tick,
}

impl Model {
    fn pick(&self, pick: usize) -> Option<TimerId> {
        self.pending.keys().nth(pick % self.pending.len().max(1)).copied()
    }

    fn advance(&mut self, timers: &SharedTimers, now: Tick, budget: u32) -> Result<(), TestCaseError> {
        let mut expired = Vec::new();
        let progress = timers.advance(now, budget, &mut expired);
        self.now = self.now.max(now);
        prop_assert!(expired.len() <= budget as usize);
        for timer in &expired {
            prop_assert!(timer.deadline <= self.now, "early");
            prop_assert_eq!(self.pending.remove(&timer.id), Some(timer.deadline));
        }
        let left = self.pending.values().filter(|deadline| **deadline <= self.now).count();
        prop_assert!(left == 0 || progress == Progress::More, "{} are left", left);
        Ok(())
    }
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn any_history_is_that_of_a_sorted_map(steps in steps(), shards in 1usize..6) {
        let (timers, mut model) = (timers(shards), Model::default());
        for step in steps {
            match step {
                Step::Insert(home, deadline) => {
                    let id = timers.insert_from(home, deadline, 0).unwrap();
                    prop_assert_eq!(model.pending.insert(id, deadline), None);
                }
                Step::Cancel(pick) => if let Some(id) = model.pick(pick) {
                    prop_assert!(timers.cancel(id).is_some());
                    model.pending.remove(&id);
                },
                Step::Reschedule(pick, deadline) => if let Some(id) = model.pick(pick) {
                    prop_assert!(timers.reschedule(id, deadline));
                    model.pending.insert(id, deadline);
                },
                Step::Advance(now, budget) => model.advance(&timers, now, budget)?,
            }
            for shard in &timers.shards {
                let look_at = shard.with(|timers| timers.look_at()).map_or(NEVER_LOOK, |tick| tick.0);
                prop_assert_eq!(shard.look_at(), look_at, "F2");
            }
            let earliest = model.pending.values().min();
            prop_assert!(earliest.is_none_or(|earliest| timers.next_wake().is_some_and(|wake| wake <= *earliest.max(&timers.now()))));
            prop_assert_eq!(timers.len(), model.pending.len());
        }
        let all = drain(&timers, u64::MAX, 9);
        prop_assert_eq!(all.len(), model.pending.len());
    }
}

#[test]
fn the_last_timer_cancelled_under_an_alarm_costs_its_owner_one_wake_and_hides_nothing() {
    let (timers, rings) = timers_that_count();
    let last = timers.insert_from(0, Tick(300), 1).unwrap();
    assert_eq!(timers.set_alarm(), Some(Tick(300)));
    assert_eq!(timers.cancel(last), Some(1));
    timers.insert_from(1, Tick(700), 2).unwrap();
    assert_eq!(rings.load(Ordering::Relaxed), 0, "the owner wakes before that");
    assert_eq!(words(&drain(&timers, 300, 9)), [], "for nothing");
    let wake = timers.set_alarm().unwrap();
    assert!((Tick(301)..=Tick(700)).contains(&wake), "{wake}");
    let soon = timers.insert_from(1, Tick(301), 3).unwrap();
    assert_eq!((rings.load(Ordering::Relaxed), timers.cancel(soon)), (1, Some(3)));
    assert_eq!(words(&drain(&timers, 700, 9)), [2]);
    assert_eq!(timers.set_alarm(), None);
}

/// It would wait for itself otherwise.
#[test]
fn a_ring_holds_no_lock() {
    use std::sync::{Arc, OnceLock};
    let timers: Arc<OnceLock<SharedTimers>> = Arc::default();
    let (rung, ends) = (Arc::downgrade(&timers), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&ends);
    let ring = move || {
        let timers = rung.upgrade().unwrap();
        let timers = timers.get().unwrap();
        let id = timers.insert_from(0, Tick(u64::MAX), 7).unwrap();
        counted.fetch_add(usize::from(timers.cancel(id).is_some()), Ordering::Relaxed);
    };
    let timers = timers.get_or_init(|| SharedOptions::new().shards(1).ring(ring).build(Tick::ZERO));
    let many: Vec<_> = (5..600).rev().map(|tick| (Tick(tick), 0)).collect();
    let mut of_ring = 0;
    let mut rings = |act: &mut dyn FnMut()| {
        assert_eq!(timers.set_alarm().map(|_| ()), (!timers.is_empty()).then_some(()));
        act();
        of_ring += 1;
        assert_eq!(ends.load(Ordering::Relaxed), of_ring);
    };
    let mut id = None;
    rings(&mut || id = timers.insert(Tick(900), 0).ok());
    rings(&mut || assert!(timers.reschedule(id.unwrap(), Tick(700))));
    rings(&mut || assert!(timers.insert_many(&many, &mut Vec::new()).is_empty()));
}

#[test]
fn a_lock_is_held_for_256_items_at_most() {
    let timers = timers(1);
    (0..1_000).for_each(|word| _ = timers.insert(Tick(100), word).unwrap());
    let (mut left, mut expired) = (u32::MAX as usize, Vec::new());
    for come in [256, 512, 768] {
        let progress = timers.advance_shard(0, Tick(100), &mut left, &mut expired);
        assert_eq!((progress, expired.len()), (Progress::More, come));
    }
    assert_eq!(timers.advance_shard(0, Tick(100), &mut left, &mut expired), Progress::Done);
    assert_eq!((expired.len(), u32::MAX as usize - left), (1_000, 1_000), "and each is paid for once");
}

// Threads

const A_THREAD: usize = 20_000;

/// Inserts, and cancels two of three.
fn produce(timers: &SharedTimers, number: usize, ended: &[AtomicUsize]) {
    let mut mine = Vec::new();
    for place in number * A_THREAD..(number + 1) * A_THREAD {
        let deadline = timers.now().0 + place as u64 * 7_919 % 400;
        mine.push((timers.insert(Tick(deadline), place as u64).unwrap(), place));
        if place % 3 > 0 {
            let (id, place) = mine.swap_remove(place * 104_729 % mine.len());
            ended[place].fetch_add(usize::from(timers.cancel(id).is_some()), Ordering::Relaxed);
        }
    }
}

/// All timers are there before time passes: what is armed meanwhile counts for the tick that time has come to.
#[test]
fn of_several_owners_each_gets_its_own_in_tick_order_and_every_timer_one_owner() {
    let timers = timers(4);
    for number in 0..4 * A_THREAD {
        let deadline = Tick(number as u64 * 7_919 % 3_000);
        timers.insert_from(number, deadline, number as u64).unwrap();
    }
    let clock = AtomicUsize::new(0);
    let own = || {
        let mut expired = Vec::new();
        while !timers.is_empty() {
            let now = clock.fetch_add(1, Ordering::Relaxed) as u64;
            _ = timers.advance(Tick(now), 170, &mut expired);
            assert!(expired.last().is_none_or(|timer| timer.deadline <= timers.now()), "early");
        }
        expired
    };
    let all = thread::scope(|scope| {
        let owners = [(); 3].map(|()| scope.spawn(own));
        owners.map(|owner| owner.join().unwrap())
    });
    assert!(all.iter().all(|own| own.is_sorted_by_key(|timer| timer.deadline)));
    let mut words = words(&all.concat());
    words.sort_unstable();
    assert!(words.into_iter().eq(0..4 * A_THREAD as u64));
}

#[test]
fn with_real_threads_every_timer_ends_once() {
    let timers = timers(4);
    let ended: Vec<_> = (0..4 * A_THREAD).map(|_| AtomicUsize::new(0)).collect();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let owner = scope.spawn(|| {
            let (mut now, mut expired) = (0, Vec::new());
            while !is_over.load(Ordering::Acquire) || !timers.is_empty() {
                now += 1;
                while timers.advance(Tick(now), 64, &mut expired) == Progress::More {}
                for timer in expired.drain(..) {
                    assert!(timer.deadline <= Tick(now), "early");
                    ended[usize::try_from(timer.word).unwrap()].fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let producers: Vec<_> = (0..4)
            .map(|number| {
                scope.spawn({
                    let (timers, ended) = (&timers, &ended);
                    move || produce(timers, number, ended)
                })
            })
            .collect();
        for producer in producers {
            producer.join().unwrap();
        }
        is_over.store(true, Ordering::Release);
        owner.join().unwrap();
    });
    assert!(ended.iter().all(|ended| ended.load(Ordering::Relaxed) == 1));
}
