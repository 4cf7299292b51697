//! Long lives of thousands of timers, beside what the public documentation alone says of them.

use std::collections::{BTreeMap, BTreeSet};
use std::vec;
use std::vec::Vec;

use super::*;
use crate::testing::{Rng, boundaries, items_max};

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
