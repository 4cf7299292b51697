//! Budgets and pauses change nothing about what comes out, and when.

use std::collections::BTreeMap;
use std::vec::Vec;

use super::*;
use crate::testing::{Rng, boundaries};

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
