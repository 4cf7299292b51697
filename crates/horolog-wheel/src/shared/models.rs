//! Every order in which threads can meet here, tried by loom:
//!
//! `LOOM_MAX_PREEMPTIONS=2 RUSTFLAGS='--cfg loom' cargo test --release --target-dir target/loom -p horolog-wheel models`;
//! without the limit it takes longer than anybody waits.

use alloc::sync::Arc;

use super::*;
use crate::sync::Bell;
use crate::sync::models::{model, spawn};

/// Two shards; a ring is heard by the bell and counted.
fn timers_with_bell() -> (Arc<SharedTimers>, Arc<Bell>, Arc<AtomicU64>) {
    let (bell, rings) = (Arc::new(Bell::new()), Arc::new(AtomicU64::new(0)));
    let (rung, counted) = (Arc::clone(&bell), Arc::clone(&rings));
    let ring = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        rung.ring();
    };
    let timers = SharedOptions::new().shards(2).ring(ring).build(Tick::ZERO);
    (Arc::new(timers), bell, rings)
}

fn insert(timers: &SharedTimers, shard: usize, deadline: u64) -> TimerId {
    timers.insert_from(shard, Tick(deadline), deadline).expect("there is room")
}

fn fired(timers: &SharedTimers, now: u64) -> Vec<u64> {
    let mut expired = Vec::new();
    while timers.advance(Tick(now), 1, &mut expired) == Progress::More {}
    expired.iter().map(|timer| timer.word).collect()
}

/// F1: what two threads insert while the owner lets time pass comes out once.
#[test]
fn what_is_inserted_while_time_passes_comes_out_once() {
    model(|| {
        let (timers, _, _) = timers_with_bell();
        let [one, other] = [0, 1].map(|shard| {
            let timers = Arc::clone(&timers);
            spawn(move || insert(&timers, shard, 5 + shard as u64))
        });
        let mut all = fired(&timers, 6);
        drop((one.join(), other.join()));
        all.extend(fired(&timers, 6));
        all.sort_unstable();
        assert_eq!(all, [5, 6]);
    });
}

/// Two owners at a time: each timer comes to one of them, and to each in tick order.
#[test]
fn of_two_owners_each_gets_its_own_in_tick_order() {
    model(|| {
        let (timers, _, _) = timers_with_bell();
        [(0, 5), (1, 6), (0, 7)].map(|(shard, deadline)| insert(&timers, shard, deadline));
        let other = {
            let timers = Arc::clone(&timers);
            spawn(move || fired(&timers, 7))
        };
        let mine = fired(&timers, 7);
        let theirs = other.join().expect("it came to its end");
        assert!(mine.is_sorted() && theirs.is_sorted());
        let mut all = [mine, theirs].concat();
        all.sort_unstable();
        assert_eq!(all, [5, 6, 7]);
    });
}

/// F2: of two threads in one shard, the one that came first does not hide what the other did.
#[test]
fn of_two_inserts_into_a_shard_the_earlier_is_looked_at() {
    model(|| {
        let (timers, _, _) = timers_with_bell();
        let threads = [3, 5].map(|deadline| {
            let timers = Arc::clone(&timers);
            spawn(move || insert(&timers, 0, deadline))
        });
        for thread in threads {
            drop(thread.join());
        }
        assert_eq!((fired(&timers, 3), fired(&timers, 5)), ([3].into(), [5].into()));
    });
}

/// F1: of two cancels and the owner, one gets the word.
#[test]
fn of_two_cancels_and_a_firing_one_wins() {
    model(|| {
        let (timers, _, _) = timers_with_bell();
        let id = insert(&timers, 1, 5);
        let cancels = [0, 1].map(|_| {
            let timers = Arc::clone(&timers);
            spawn(move || usize::from(timers.cancel(id).is_some()))
        });
        let fired = fired(&timers, 5).len();
        let cancelled: usize = cancels.into_iter().map(|thread| thread.join().unwrap_or(0)).sum();
        assert_eq!(fired + cancelled, 1);
        assert!(timers.is_empty());
    });
}

/// F3: an owner that sleeps hears of an earlier timer, however its falling asleep and two inserts meet.
#[test]
fn an_owner_falling_asleep_hears_of_an_earlier_timer() {
    model(|| {
        let (timers, bell, _) = timers_with_bell();
        insert(&timers, 0, 100);
        let threads = [(0, 50), (1, 10)].map(|(shard, deadline)| {
            let timers = Arc::clone(&timers);
            spawn(move || insert(&timers, shard, deadline))
        });
        while timers.set_alarm() != Some(Tick(10)) {
            bell.wait(None);
        }
        for thread in threads {
            drop(thread.join());
        }
    });
}

/// F3: and of a timer moved to an earlier tick.
#[test]
fn an_owner_falling_asleep_hears_of_a_timer_moved_closer() {
    model(|| {
        let (timers, bell, _) = timers_with_bell();
        let id = insert(&timers, 1, 100);
        let mover = Arc::clone(&timers);
        let thread = spawn(move || assert!(mover.reschedule(id, Tick(10))));
        while timers.set_alarm() != Some(Tick(10)) {
            bell.wait(None);
        }
        drop(thread.join());
    });
}

/// An owner that is asleep is left alone by later timers, and woken once by any number of earlier ones.
#[test]
fn only_an_earlier_timer_rings_and_only_the_first() {
    model(|| {
        let (timers, _, rings) = timers_with_bell();
        insert(&timers, 0, 100);
        assert_eq!(timers.set_alarm(), Some(Tick(100)));
        insert(&timers, 1, 100);
        insert(&timers, 1, 200);
        assert_eq!(rings.load(Ordering::Relaxed), 0);
        let threads = [0, 1].map(|shard| {
            let timers = Arc::clone(&timers);
            spawn(move || insert(&timers, shard, 50))
        });
        for thread in threads {
            drop(thread.join());
        }
        assert_eq!(rings.load(Ordering::Relaxed), 1);
        insert(&timers, 1, 10);
        assert_eq!(rings.load(Ordering::Relaxed), 1, "an alarm that was rung is off");
    });
}

/// An owner as a program has it, until so many came out: it lets time pass, sets the alarm, sleeps, and so on.
fn own(timers: &SharedTimers, bell: &Bell, now: u64, all: usize) -> Vec<u64> {
    let mut words = fired(timers, now);
    while words.len() < all {
        if timers.set_alarm().is_none_or(|at| at > Tick(now)) {
            bell.wait(None);
        }
        words.extend(fired(timers, now));
    }
    words
}

/// F3, over several sleeps.
#[test]
fn an_owner_that_sleeps_again_and_again_gets_what_two_threads_insert() {
    model(|| {
        let (timers, bell, _) = timers_with_bell();
        insert(&timers, 0, 100);
        let threads = [(0, 50), (1, 10)].map(|(shard, deadline)| {
            let timers = Arc::clone(&timers);
            spawn(move || insert(&timers, shard, deadline))
        });
        assert_eq!(own(&timers, &bell, 60, 2).len(), 2);
        for thread in threads {
            drop(thread.join());
        }
    });
}

/// F3, over several sleeps: the earliest is moved later and closer again, another is cancelled and replaced.
#[test]
fn an_owner_that_sleeps_again_and_again_gets_what_is_moved_and_replaced() {
    model(|| {
        let (timers, bell, _) = timers_with_bell();
        let (moved, cancelled) = (insert(&timers, 0, 40), insert(&timers, 1, 45));
        let one = Arc::clone(&timers);
        let one = spawn(move || assert!(one.reschedule(moved, Tick(300)) && one.reschedule(moved, Tick(20))));
        let other = Arc::clone(&timers);
        let other = spawn(move || (other.cancel(cancelled), insert(&other, 1, 10)));
        assert_eq!(own(&timers, &bell, 30, 2).len(), 2);
        drop((one.join(), other.join()));
    });
}

/// Of two threads that want the last place, one gets it, and the other its input back.
#[test]
fn the_last_place_is_given_once() {
    model(|| {
        let timers = Arc::new(SharedOptions::new().shards(2).timers_max(1).build(Tick::ZERO));
        let threads = [0, 1].map(|shard| {
            let timers = Arc::clone(&timers);
            spawn(move || timers.insert_from(shard, Tick(7), shard as u64).is_ok())
        });
        let got: usize = threads.into_iter().map(|thread| usize::from(thread.join().unwrap_or(false))).sum();
        assert_eq!((got, timers.len()), (1, 1));
    });
}
