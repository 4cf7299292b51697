//! The wheel against a sorted map, over random histories: any deadlines, jumps, budgets, cancels and moves,
//! two wheels over one slab, and every invariant after every step.

use std::collections::BTreeMap;
use std::vec::Vec;

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::*;
use crate::testing::{config, nasty_tick};

/// A time to come: an edge, or near now.
#[derive(Clone, Copy, Debug)]
enum When {
    At(Tick),
    In(u64),
    Ago(u64),
}

/// `pick` numbers are taken modulo what there is to pick from.
#[derive(Clone, Debug)]
enum Op {
    Insert { lane: Lane, when: When },
    Cancel { pick: usize },
    Reschedule { pick: usize, when: When },
    Advance { lane: Lane, to: When, budget: u32 },
    Wake { lane: Lane, budget: u32 },
}

fn lanes() -> impl Strategy<Value = Lane> {
    prop_oneof![3 => Just(Lane::First), 1 => Just(Lane::Second)]
}

fn whens() -> impl Strategy<Value = When> {
    prop_oneof![
        3 => nasty_tick().prop_map(When::At),
        3 => (0u64..600).prop_map(When::In),
        2 => (0u64..200_000).prop_map(When::In),
        2 => (0u32..64, 0u64..3).prop_map(|(bits, around)| When::In((1 << bits) + around - 1)),
        1 => (0u64..600).prop_map(When::Ago),
    ]
}

/// Mostly small steps: a jump over everything leaves nothing to go wrong afterwards.
fn steps() -> impl Strategy<Value = When> {
    prop_oneof![
        6 => (0u64..600).prop_map(When::In),
        2 => (0u64..200_000).prop_map(When::In),
        1 => (0u32..64).prop_map(|bits| When::In(1 << bits)),
        1 => nasty_tick().prop_map(When::At),
        1 => (0u64..600).prop_map(When::Ago),
    ]
}

fn budgets() -> impl Strategy<Value = u32> {
    prop_oneof![1 => Just(0u32), 4 => Just(1), 4 => 2u32..10, 3 => Just(u32::MAX)]
}

fn ops() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (lanes(), whens()).prop_map(|(lane, when)| Op::Insert { lane, when }),
        2 => any::<usize>().prop_map(|pick| Op::Cancel { pick }),
        2 => (any::<usize>(), whens()).prop_map(|(pick, when)| Op::Reschedule { pick, when }),
        3 => (lanes(), steps(), budgets()).prop_map(|(lane, to, budget)| Op::Advance { lane, to, budget }),
        2 => (lanes(), budgets()).prop_map(|(lane, budget)| Op::Wake { lane, budget }),
    ]
}

/// What should be armed in one wheel: id to (the tick it counts for, its deadline).
struct Side {
    wheel: Wheel,
    armed: BTreeMap<TimerId, (Tick, Tick)>,
    /// The tick of the last entry that came out: the next is not before.
    last: Tick,
}

impl Side {
    fn new(lane: Lane, now: Tick) -> Self {
        Self { wheel: Wheel::new(lane, now), armed: BTreeMap::new(), last: Tick::ZERO }
    }

    fn resolve(&self, when: When) -> Tick {
        let now = self.wheel.now();
        match when {
            When::At(tick) => tick,
            When::In(ticks) => now.saturating_add(ticks),
            When::Ago(ticks) => Tick(now.0.saturating_sub(ticks)),
        }
    }

    fn note(&mut self, id: TimerId, deadline: Tick) {
        self.armed.insert(id, (deadline.max(self.wheel.now()), deadline));
    }

    /// Advances, and compares what came out with what should have.
    fn advance(&mut self, slab: &mut Slab, to: Tick, budget: u32) -> Result<Vec<TimerId>, TestCaseError> {
        let before = self.wheel.now();
        let mut due = Vec::new();
        let progress = self.wheel.advance(slab, to, budget, &mut due);
        let (now, target) = (self.wheel.now(), to.max(before));
        prop_assert!(due.len() <= budget as usize, "more than the budget");
        prop_assert!(before <= now && now <= target, "time went from {before} to {now}, target {target}");
        for id in &due {
            let (counts_for, deadline) = self.armed.remove(id).expect("came out and was not armed");
            prop_assert!(counts_for <= now, "{id} due at {counts_for} is early at {now}");
            prop_assert!(self.last <= counts_for, "{id} due at {counts_for} after one due at {}", self.last);
            let entry = slab.get(*id).expect("came out and is not live");
            prop_assert_eq!((entry.deadline, entry.armed), (deadline, None));
            self.last = counts_for;
        }
        let first_left = self.armed.values().map(|(counts_for, _)| *counts_for).min().unwrap_or(Tick::MAX);
        prop_assert!(first_left >= now, "due at {first_left} and passed over at {now}");
        match progress {
            Progress::Done => {
                prop_assert_eq!(now, target);
                prop_assert!(
                    self.armed.values().all(|(counts_for, _)| *counts_for > now),
                    "done, and left one due"
                );
            }
            Progress::More => prop_assert!(self.wheel.items > 0, "more to do of nothing"),
        }
        Ok(due)
    }

    fn check(&self, slab: &Slab) -> TestCaseResult {
        self.wheel.check(slab).map_err(|violation| TestCaseError::fail(std::format!("{violation}")))?;
        prop_assert_eq!(self.wheel.len(), self.armed.len());
        let exact = self.armed.values().map(|(_, deadline)| *deadline).min();
        prop_assert_eq!(self.wheel.next_deadline_exact(slab), exact);
        let first = self.armed.values().map(|(counts_for, _)| *counts_for).min();
        let wake = self.wheel.next_wake();
        prop_assert_eq!(wake.is_some(), first.is_some());
        prop_assert!(wake <= first, "wake {wake:?} is later than {first:?}");
        prop_assert!(wake.is_none_or(|wake| wake >= self.wheel.now()), "wake {wake:?} has passed");
        Ok(())
    }

    /// Wakes when told until nothing is left: it ends, and within eight touches for each entry.
    fn drain(&mut self, slab: &mut Slab, budget: u32) -> TestCaseResult {
        let mut wakes = 8 * (self.wheel.items + self.armed.len());
        while let Some(wake) = self.wheel.next_wake() {
            prop_assert!(wakes > 0, "wakes for ever at {wake}");
            wakes -= 1;
            self.advance(slab, wake, budget)?;
            self.check(slab)?;
        }
        prop_assert!(self.armed.is_empty());
        Ok(())
    }
}

struct Pair {
    slab: Slab,
    first: Side,
    second: Side,
}

impl Pair {
    fn side(&mut self, lane: Lane) -> (&mut Side, &mut Slab) {
        match lane {
            Lane::First => (&mut self.first, &mut self.slab),
            Lane::Second => (&mut self.second, &mut self.slab),
        }
    }

    fn pick(&self, pick: usize) -> Option<(Lane, TimerId)> {
        let first = self.first.armed.keys().map(|id| (Lane::First, *id));
        let all: Vec<_> = first.chain(self.second.armed.keys().map(|id| (Lane::Second, *id))).collect();
        (!all.is_empty()).then(|| all[pick % all.len()])
    }

    fn apply(&mut self, op: &Op) -> TestCaseResult {
        match *op {
            Op::Insert { lane, when } => self.insert(lane, when),
            Op::Cancel { pick } => self.pick(pick).map_or(Ok(()), |(lane, id)| self.cancel(lane, id)),
            Op::Reschedule { pick, when } => {
                self.pick(pick).map_or(Ok(()), |(lane, id)| self.reschedule(lane, id, when))
            }
            Op::Advance { lane, to, budget } => {
                let to = self.side(lane).0.resolve(to);
                self.advance(lane, to, budget)
            }
            Op::Wake { lane, budget } => match self.side(lane).0.wheel.next_wake() {
                Some(wake) => self.advance(lane, wake, budget),
                None => Ok(()),
            },
        }
    }

    fn insert(&mut self, lane: Lane, when: When) -> TestCaseResult {
        let (side, slab) = self.side(lane);
        let (id, deadline) = (slab.reserve().expect("room"), side.resolve(when));
        slab.occupy(id, Tick::ZERO, id.raw()).expect("reserved");
        prop_assert!(side.wheel.insert(slab, id, deadline));
        prop_assert!(!side.wheel.insert(slab, id, deadline), "armed twice");
        side.note(id, deadline);
        Ok(())
    }

    fn cancel(&mut self, lane: Lane, id: TimerId) -> TestCaseResult {
        let (side, slab) = self.side(lane);
        prop_assert!(!slab.end(id), "ended while armed");
        prop_assert!(side.wheel.cancel(slab, id));
        prop_assert!(!side.wheel.cancel(slab, id), "cancelled twice");
        side.armed.remove(&id);
        self.retire(&[id])
    }

    fn reschedule(&mut self, lane: Lane, id: TimerId, when: When) -> TestCaseResult {
        let (side, slab) = self.side(lane);
        let deadline = side.resolve(when);
        prop_assert!(side.wheel.reschedule(slab, id, deadline));
        side.note(id, deadline);
        Ok(())
    }

    fn advance(&mut self, lane: Lane, to: Tick, budget: u32) -> TestCaseResult {
        let (side, slab) = self.side(lane);
        let due = side.advance(slab, to, budget)?;
        self.retire(&due)
    }

    /// Ends and frees what left a wheel, so that slots are used again.
    fn retire(&mut self, ids: &[TimerId]) -> TestCaseResult {
        for id in ids {
            prop_assert_eq!(self.slab.get(*id).map(|entry| entry.word), Some(id.raw()));
            prop_assert!(self.slab.end(*id) && self.slab.free(*id));
        }
        Ok(())
    }

    fn check(&self) -> TestCaseResult {
        self.slab.check().map_err(|violation| TestCaseError::fail(std::format!("{violation}")))?;
        self.first.check(&self.slab)?;
        self.second.check(&self.slab)
    }
}

proptest! {
    #![proptest_config(config(160))]

    #[test]
    fn random_histories_agree_with_a_sorted_map(
        start in nasty_tick(),
        other_start in nasty_tick(),
        ops in prop::collection::vec(ops(), 1..80),
        budget in 1u32..40,
    ) {
        let (first, second) = (Side::new(Lane::First, start), Side::new(Lane::Second, other_start));
        let mut pair = Pair { slab: Slab::new(), first, second };
        for op in &ops {
            pair.apply(op)?;
            pair.check()?;
        }
        pair.first.drain(&mut pair.slab, budget)?;
        pair.second.drain(&mut pair.slab, budget)?;
    }

    /// The budget decides how many calls it takes, and nothing else.
    #[test]
    fn any_budgets_bring_the_same_entries_tick_by_tick(
        start in nasty_tick(),
        whens in prop::collection::vec(whens(), 1..60),
        to in nasty_tick(),
        budgets in prop::collection::vec(1u32..12, 1..8),
    ) {
        let (mut whole, mut pieces) = (Vec::new(), Vec::new());
        for (due, budgets) in [(&mut whole, &[u32::MAX][..]), (&mut pieces, &budgets[..])] {
            let (mut slab, mut side) = (Slab::new(), Side::new(Lane::First, start));
            for when in &whens {
                let (id, deadline) = (slab.reserve().expect("room"), side.resolve(*when));
                slab.occupy(id, deadline, 0).expect("reserved");
                side.wheel.insert(&mut slab, id, deadline);
            }
            let mut turns = budgets.iter().cycle();
            while side.wheel.advance(&mut slab, to, *turns.next().unwrap(), due) == Progress::More {
                side.wheel.check(&slab).unwrap();
            }
            let counts_for = |id: &TimerId| slab.get(*id).unwrap().deadline.max(start);
            prop_assert!(due.is_sorted_by_key(counts_for), "not in tick order");
            due.sort_by_key(|id| (counts_for(id), *id));
        }
        prop_assert_eq!(whole, pieces);
    }
}
