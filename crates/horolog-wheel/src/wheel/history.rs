//! Long histories with thousands of timers: crumbs, large chunks, sweeps and pages given back happen in earnest here,
//! where `model.rs` has few timers and looks at everything after each step.

use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;

use super::*;
use crate::testing::Rng;

/// A wheel, and what should be armed in it: id to (the tick it counts for, its deadline), and the same by tick.
struct Side {
    wheel: Wheel,
    armed: BTreeMap<TimerId, (Tick, Tick)>,
    by_tick: BTreeSet<(Tick, TimerId)>,
}

impl Side {
    fn new(lane: Lane, now: Tick) -> Self {
        Self { wheel: Wheel::new(lane, now), armed: BTreeMap::new(), by_tick: BTreeSet::new() }
    }

    fn note(&mut self, id: TimerId, deadline: Tick) {
        let counts_for = deadline.max(self.wheel.now());
        self.forget(id);
        self.armed.insert(id, (counts_for, deadline));
        self.by_tick.insert((counts_for, id));
    }

    fn forget(&mut self, id: TimerId) {
        if let Some((counts_for, _)) = self.armed.remove(&id) {
            self.by_tick.remove(&(counts_for, id));
        }
    }

    /// A deadline of the kind that this history has: many at one tick, near, far, or past.
    fn deadline(&self, rng: &mut Rng) -> Tick {
        let now = self.wheel.now().0;
        let ahead = match rng.below(10) {
            0 => 0,
            1 => rng.below(512),
            2..=4 => rng.below(60_000),
            5 => rng.below(4_000_000),
            // The same tick for many: the next multiple of 100 000, or of 2^24.
            6..=7 => 100_000 - now % 100_000,
            8 => (1 << 24) - now % (1 << 24),
            _ => rng.next() >> rng.below(40),
        };
        Tick(now.saturating_add(ahead))
    }

    fn advance(&mut self, slab: &mut Slab, to: Tick, budget: u32) -> Vec<TimerId> {
        let mut due = Vec::new();
        let progress = self.wheel.advance(slab, to, budget, &mut due);
        let now = self.wheel.now();
        let mut last = Tick::ZERO;
        for id in &due {
            let (counts_for, deadline) = self.armed[id];
            assert!(
                last <= counts_for && counts_for <= now,
                "{id} due at {counts_for}, after {last}, at {now}"
            );
            assert_eq!(slab.get(*id).map(|entry| (entry.deadline, entry.armed)), Some((deadline, None)));
            last = counts_for;
            self.forget(*id);
        }
        let first_left = self.by_tick.first().map(|(tick, _)| *tick);
        match progress {
            Progress::Done => assert!(now == to && first_left.is_none_or(|first| first > now)),
            Progress::More => assert!(first_left.is_none_or(|first| first >= now)),
        }
        due
    }
}

struct History {
    rng: Rng,
    slab: Slab,
    sides: [Side; 2],
    ids: Vec<(usize, TimerId)>,
    most_slots: u32,
}

impl History {
    fn new(seed: u64) -> Self {
        let mut rng = Rng(seed);
        let starts = [0, 1 << 30, (1 << 36) - 300, (1 << 40) - 70_000, u64::MAX - 40_000_000];
        let start = |rng: &mut Rng| Tick(starts[usize::try_from(rng.below(5)).unwrap()]);
        let sides = [Side::new(Lane::First, start(&mut rng)), Side::new(Lane::Second, start(&mut rng))];
        Self { rng, slab: Slab::new(), sides, ids: Vec::new(), most_slots: 0 }
    }

    /// An armed entry, if the one that was picked still is.
    fn pick(&mut self) -> Option<(usize, TimerId)> {
        let len = u64::try_from(self.ids.len()).unwrap().max(1);
        let at = usize::try_from(self.rng.below(len)).unwrap();
        let (side, id) = *self.ids.get(at)?;
        if self.sides[side].armed.contains_key(&id) {
            return Some((side, id));
        }
        self.ids.swap_remove(at);
        None
    }

    fn insert(&mut self) {
        let at = usize::from(self.rng.below(4) == 0);
        let side = &mut self.sides[at];
        let deadline = side.deadline(&mut self.rng);
        let id = side.wheel.insert_new(&mut self.slab, deadline, 7).unwrap();
        side.note(id, deadline);
        self.ids.push((at, id));
        self.most_slots = self.most_slots.max(id.slot());
    }

    fn cancel(&mut self) {
        let Some((at, id)) = self.pick() else { return };
        let side = &mut self.sides[at];
        if self.rng.below(2) == 0 {
            assert_eq!(side.wheel.remove(&mut self.slab, id), Some(7));
        } else {
            assert!(side.wheel.cancel(&mut self.slab, id));
            assert!(self.slab.remove(id).is_some());
        }
        side.forget(id);
        let bound = 2 * side.wheel.len() + side.wheel.len() / 8 + SLACK + 64;
        assert!(side.wheel.items() <= bound, "{} items for {}", side.wheel.items(), side.wheel.len());
    }

    fn reschedule(&mut self) {
        let Some((at, id)) = self.pick() else { return };
        let side = &mut self.sides[at];
        let deadline = side.deadline(&mut self.rng);
        assert!(side.wheel.reschedule(&mut self.slab, id, deadline));
        side.note(id, deadline);
    }

    fn advance(&mut self) {
        let at = usize::from(self.rng.below(4) == 0);
        let side = &mut self.sides[at];
        let ticks = match self.rng.below(100) {
            0 => self.rng.below(100_000),
            1..=4 => self.rng.below(1_000),
            _ => 1,
        };
        let budget = match self.rng.below(4) {
            0 => 1,
            1 => u32::try_from(self.rng.below(300)).unwrap(),
            _ => u32::MAX,
        };
        let to = side.wheel.now().saturating_add(ticks);
        for id in side.advance(&mut self.slab, to, budget) {
            assert!(self.slab.remove(id).is_some());
        }
    }

    fn check(&self) {
        self.slab.check().unwrap();
        for side in &self.sides {
            side.wheel.check(&self.slab).unwrap();
            let first = side.by_tick.first().map(|(tick, _)| *tick);
            let wake = side.wheel.next_wake();
            assert!(wake <= first && wake.is_some() == first.is_some(), "wake {wake:?}, first {first:?}");
            let exact = side.armed.values().map(|(_, deadline)| *deadline).min();
            assert_eq!(side.wheel.next_deadline_exact(&self.slab), exact);
        }
    }

    /// One stretch of the history: how likely what is, of ten.
    fn live(&mut self, steps: u32, inserts: u64, cancels: u64, moves: u64) {
        for step in 0..steps {
            match self.rng.below(10) {
                dice if dice < inserts => self.insert(),
                dice if dice < inserts + cancels => self.cancel(),
                dice if dice < inserts + cancels + moves => self.reschedule(),
                _ => self.advance(),
            }
            if step % 5_000 == 0 {
                self.check();
            }
        }
        self.check();
    }
}

/// `HOROLOG_SEEDS=n` and `HOROLOG_FIRST_SEED=n` explore further.
#[test]
fn long_histories_of_thousands_of_timers_agree_with_a_sorted_set() {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let first = number("HOROLOG_FIRST_SEED").unwrap_or(0);
    let steps = if cfg!(debug_assertions) { 5_000 } else { 60_000 };
    for seed in first..first + number("HOROLOG_SEEDS").unwrap_or(4) {
        std::println!("seed {seed}");
        let mut history = History::new(seed);
        history.live(2 * steps, 8, 0, 0);
        history.live(steps, 4, 4, 1);
        history.live(steps, 1, 1, 6);
        history.live(2 * steps, 0, 8, 0);
        history.live(steps, 5, 2, 1);
        for side in 0..2 {
            while let Some(wake) = history.sides[side].wheel.next_wake() {
                for id in history.sides[side].advance(&mut history.slab, wake, 1_000) {
                    assert!(history.slab.remove(id).is_some());
                }
            }
            assert!(history.sides[side].armed.is_empty());
        }
        history.check();
        assert!(history.most_slots > 2 * 1_024, "pages were to be given back");
        assert!(history.slab.bytes() < 100_000, "{} bytes for nothing", history.slab.bytes());
    }
}
