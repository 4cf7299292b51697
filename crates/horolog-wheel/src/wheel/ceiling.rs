//! Memory, while nearly everything is cancelled and after a burst.

use std::vec::Vec;

use super::pair::Pair;
use super::*;
use crate::Timers;
use crate::testing::{Rng, items_max};

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
        let id = pair.arm_new((now + HOUR).next_multiple_of(round));
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

/// Entries are never moved, so survivors keep their pages. Those who come later go where the survivors are, from the lowest
/// page on, and all other pages are given back as the survivors end.
#[test]
fn memory_of_a_burst_that_leaves_survivors_is_given_back_as_they_end() {
    const BURST: usize = 500_000;
    const SURVIVORS: usize = 1_000;
    let mut rng = Rng(9);
    let mut timers = Timers::new(Tick(1 << 30));
    let new = |timers: &mut Timers, rng: &mut Rng| {
        timers.insert(timers.now().saturating_add(1 + rng.below(3_600_000)), 0).unwrap()
    };
    let mut ids: Vec<_> = (0..BURST).map(|_| new(&mut timers, &mut rng)).collect();
    let full = timers.bytes();
    (1..ids.len()).rev().for_each(|at| ids.swap(at, rng.index(at + 1)));
    ids.drain(SURVIVORS..).for_each(|id| assert!(timers.cancel(id).is_some()));
    let kept = timers.bytes();
    assert!(kept <= full, "{kept} bytes of {full}");
    for _ in 0..8 * SURVIVORS {
        let at = rng.index(ids.len());
        assert!(timers.cancel(ids[at]).is_some());
        ids[at] = new(&mut timers, &mut rng);
    }
    assert_eq!(timers.len(), SURVIVORS);
    assert!(
        timers.bytes() < full / 25,
        "{} bytes for {SURVIVORS} timers, after {kept} of {full}",
        timers.bytes()
    );
}
