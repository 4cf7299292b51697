//! Any operations on two wheels over one slab do what sorted maps do.
//!
//! Every answer is compared at once. The invariants are checked after every fourth operation and at the end: looking
//! through all slots of two wheels costs a hundred times what an operation does.
#![no_main]

use std::collections::BTreeMap;

use arbitrary::{Arbitrary, Unstructured};
use horolog_wheel::{Entry, Lane, Progress, Slab, Tick, TimerId, Wheel};
use libfuzzer_sys::fuzz_target;

/// More operations find nothing new and make every check slower.
const OPS_MAX: usize = 200;
const CHECK_EACH: usize = 4;

#[derive(Debug)]
struct Input {
    starts: [When; 2],
    drain_budget: u8,
    ops: Vec<Op>,
}

/// Derived, a list would have a coin tossed for each further item; here it ends where the input does.
impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let (starts, drain_budget) = (u.arbitrary()?, u.arbitrary()?);
        let mut ops = Vec::new();
        while !u.is_empty() && ops.len() < OPS_MAX {
            ops.push(u.arbitrary()?);
        }
        Ok(Self { starts, drain_budget, ops })
    }
}

/// A time, near the places at which wheels break.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum When {
    At(u64),
    /// From now.
    In(u16),
    /// From now, beside a power of two.
    InAbout(u8, i8),
    /// At the end of the slot that now is in, on some level.
    Boundary(u8, i8),
    Ago(u16),
}

/// What is picked is counted from the first that is armed, round and round.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Op {
    Insert {
        second: bool,
        when: When,
    },
    InsertMany {
        second: bool,
        when: When,
        count: u8,
    },
    InsertNew {
        second: bool,
        when: When,
    },
    InsertNewMany {
        second: bool,
        when: When,
        count: u8,
    },
    Cancel {
        pick: u16,
    },
    CancelMany {
        second: bool,
        pick: u16,
        count: u8,
    },
    Remove {
        pick: u16,
    },
    RemoveMany {
        second: bool,
        pick: u16,
        count: u8,
    },
    Reschedule {
        pick: u16,
        when: When,
    },
    Advance {
        second: bool,
        to: When,
        budget: Budget,
    },
    DrainDue {
        second: bool,
        to: When,
    },
    Wake {
        second: bool,
        budget: Budget,
    },
    /// All of a wheel, but for one in so many, is armed anew in one walk, in the same wheel.
    Load {
        second: bool,
        one_in: u8,
    },
    /// The same in another wheel at that time, as after a restart.
    Restart {
        second: bool,
        at: When,
        one_in: u8,
    },
    Stale {
        pick: u16,
    },
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Budget {
    Few(u8),
    All,
}

impl Budget {
    fn get(self) -> u32 {
        match self {
            Self::Few(budget) => budget.into(),
            Self::All => u32::MAX,
        }
    }
}

impl When {
    fn resolve(self, now: Tick) -> Tick {
        let about = |tick: u64, around: i8| Tick(tick.saturating_add_signed(around.into()));
        match self {
            Self::At(tick) => Tick(tick),
            Self::In(ticks) => now.saturating_add(ticks.into()),
            Self::InAbout(bits, around) => about(now.0.saturating_add(1 << (bits % 64)), around),
            Self::Boundary(level, around) => {
                let span = (1_u64 << (8 * (u32::from(level) % 8))) - 1;
                about(now.0 | span, around)
            }
            Self::Ago(ticks) => Tick(now.0.saturating_sub(ticks.into())),
        }
    }
}

/// A wheel, and what should be armed in it: id to the tick it counts for and its deadline.
struct Side {
    wheel: Wheel,
    lane: Lane,
    armed: BTreeMap<TimerId, (Tick, Tick)>,
    /// The tick of the last entry that came out: the next is not before.
    last: Tick,
    /// How often something was armed or moved: each time may have left an item to be come across.
    items_max: usize,
}

impl Side {
    fn new(lane: Lane, start: When) -> Self {
        let now = start.resolve(Tick::ZERO);
        Self { wheel: Wheel::new(lane, now), lane, armed: BTreeMap::new(), last: Tick::ZERO, items_max: 0 }
    }

    fn note(&mut self, id: TimerId, deadline: Tick) {
        self.items_max += 1;
        self.armed.insert(id, (deadline.max(self.wheel.now()), deadline));
    }

    fn advance(&mut self, slab: &mut Slab, to: Tick, budget: u32) -> Vec<TimerId> {
        let before = self.wheel.now();
        let mut due = Vec::new();
        let progress = self.wheel.advance(slab, to, budget, &mut due);
        let (now, target) = (self.wheel.now(), to.max(before));
        assert!(due.len() <= budget as usize, "{} came out with a budget of {budget}", due.len());
        assert!(before <= now && now <= target, "time went from {before} to {now}, target {target}");
        let first_left = self.came(slab, &due);
        match progress {
            Progress::Done => {
                assert_eq!(now, target);
                assert!(first_left.is_none_or(|first| first > now), "done, and left one due");
            }
            Progress::More => assert!(self.wheel.items() > 0, "more to do of nothing"),
        }
        due
    }

    fn drain_due(&mut self, slab: &mut Slab, to: Tick) -> Vec<TimerId> {
        let target = to.max(self.wheel.now());
        let mut due = Vec::new();
        let wake = self.wheel.drain_due(slab, to, &mut due);
        let first_left = self.came(slab, &due);
        assert_eq!((self.wheel.now(), wake), (target, self.wheel.next_wake()));
        assert!(wake.is_none_or(|wake| wake > target), "asks to come again at once");
        assert!(first_left.is_none_or(|first| first > target), "drained, and left one due");
        due
    }

    /// Compares what came out with what should have. Gives the first tick of what is left.
    fn came(&mut self, slab: &Slab, due: &[TimerId]) -> Option<Tick> {
        let now = self.wheel.now();
        for id in due {
            let (counts_for, deadline) = self.armed.remove(id).expect("came out and was not armed");
            assert!(counts_for <= now, "{id} due at {counts_for} is early at {now}");
            assert!(self.last <= counts_for, "{id} due at {counts_for} after one due at {}", self.last);
            let entry = slab.get(*id).expect("came out and is not live");
            assert_eq!((entry.deadline, entry.armed), (deadline, None));
            self.last = counts_for;
        }
        let first_left = self.armed.values().map(|(counts_for, _)| *counts_for).min();
        assert!(first_left.is_none_or(|first| first >= now), "{first_left:?} was passed over at {now}");
        first_left
    }

    /// All that is armed here is armed anew, but for what it gives: one in so many.
    fn load(&mut self, slab: &mut Slab, at: Option<Tick>, one_in: u64) -> Vec<TimerId> {
        let ids: Vec<TimerId> = self.armed.keys().copied().collect();
        let mut cancelled = Vec::new();
        self.wheel.cancel_many(slab, &ids, &mut cancelled);
        assert_eq!(cancelled, vec![true; ids.len()]);
        if let Some(now) = at {
            (self.wheel, self.last) = (Wheel::new(self.lane, now), Tick::ZERO);
        }
        let before = std::mem::take(&mut self.armed);
        let is_declined = |id: &TimerId| id.raw().is_multiple_of(one_in);
        let armed = self.wheel.load(slab, |entry| {
            let (_, deadline) = before.get(&entry.id).filter(|_| !is_declined(&entry.id))?;
            Some(*deadline)
        });
        let (left, kept): (Vec<TimerId>, Vec<TimerId>) = ids.into_iter().partition(is_declined);
        assert_eq!(armed, kept.len());
        kept.iter().for_each(|id| self.note(*id, before[id].1));
        left
    }

    fn check(&self, slab: &Slab) {
        self.wheel.check(slab).expect("every invariant of the wheel");
        assert_eq!(self.wheel.len(), self.armed.len());
        assert!(self.wheel.items() >= self.wheel.len());
        let exact = self.armed.values().map(|(_, deadline)| *deadline).min();
        assert_eq!(self.wheel.next_deadline_exact(slab), exact);
        let (wake, first) = (self.wheel.next_wake(), self.armed.values().map(|(tick, _)| *tick).min());
        assert_eq!(wake.is_some(), first.is_some());
        assert!(wake <= first, "wakes at {wake:?}, and {first:?} is due");
        assert!(wake.is_none_or(|wake| wake >= self.wheel.now()), "{wake:?} has passed");
    }
}

struct Pair {
    slab: Slab,
    sides: [Side; 2],
    /// Ids that were live once.
    ended: Vec<TimerId>,
}

impl Pair {
    fn apply(&mut self, op: Op) {
        match op {
            Op::Insert { second, when } => self.insert(second, when),
            Op::InsertMany { second, when, count } => self.insert_many(second, when, count % 40),
            Op::InsertNew { second, when } => self.insert_new(second, when),
            Op::InsertNewMany { second, when, count } => self.insert_new_many(second, when, count % 40),
            Op::Cancel { pick } => self.cancel(pick),
            Op::CancelMany { second, pick, count } => self.cancel_many(second, pick, count % 40),
            Op::Remove { pick } => self.remove(pick),
            Op::RemoveMany { second, pick, count } => self.remove_many(second, pick, count % 40),
            Op::Reschedule { pick, when } => self.reschedule(pick, when),
            Op::Advance { second, to, budget } => {
                let to = to.resolve(self.sides[usize::from(second)].wheel.now());
                self.advance(second, to, budget.get());
            }
            Op::DrainDue { second, to } => {
                let side = &mut self.sides[usize::from(second)];
                let due = side.drain_due(&mut self.slab, to.resolve(side.wheel.now()));
                self.retire(&due);
            }
            Op::Load { second, one_in } => self.load(second, None, one_in),
            Op::Restart { second, at, one_in } => self.load(second, Some(at), one_in),
            Op::Wake { second, budget } => {
                if let Some(wake) = self.sides[usize::from(second)].wheel.next_wake() {
                    self.advance(second, wake, budget.get());
                }
            }
            Op::Stale { pick } => self.stale(pick),
        }
    }

    fn insert(&mut self, second: bool, when: When) {
        let side = &mut self.sides[usize::from(second)];
        let (id, deadline) = (self.slab.reserve().expect("room"), when.resolve(side.wheel.now()));
        self.slab.occupy(id, Tick::ZERO, id.raw()).expect("reserved");
        assert!(side.wheel.insert(&mut self.slab, id, deadline));
        assert!(!side.wheel.insert(&mut self.slab, id, deadline), "armed twice");
        side.note(id, deadline);
    }

    fn insert_many(&mut self, second: bool, when: When, count: u8) {
        let side = &mut self.sides[usize::from(second)];
        let deadline = when.resolve(side.wheel.now());
        let many: Vec<(TimerId, Tick)> = (0..count)
            .map(|_| {
                let id = self.slab.reserve().expect("room");
                self.slab.occupy(id, Tick::ZERO, id.raw()).expect("reserved");
                (id, deadline)
            })
            .collect();
        let mut inserted = Vec::new();
        side.wheel.insert_many(&mut self.slab, &many, &mut inserted);
        assert_eq!(inserted, vec![true; many.len()]);
        many.iter().for_each(|(id, deadline)| side.note(*id, *deadline));
    }

    fn insert_new(&mut self, second: bool, when: When) {
        let side = &mut self.sides[usize::from(second)];
        let deadline = when.resolve(side.wheel.now());
        let id = side.wheel.insert_new(&mut self.slab, deadline, 7).expect("room");
        self.name(second, id, deadline, 7);
    }

    fn insert_new_many(&mut self, second: bool, when: When, count: u8) {
        let side = &mut self.sides[usize::from(second)];
        let first = when.resolve(side.wheel.now());
        let new: Vec<(Tick, u64)> = (0..u64::from(count))
            .map(|number| (first.saturating_add(number * number * 77), number))
            .collect();
        let mut ids = Vec::new();
        assert!(side.wheel.insert_new_many(&mut self.slab, &new, &mut ids).is_empty());
        assert_eq!(ids.len(), new.len());
        for (id, (deadline, word)) in ids.into_iter().zip(new) {
            self.name(second, id, deadline, word);
        }
    }

    /// Of an entry that was made and armed in one step: from now on its word is its id.
    fn name(&mut self, second: bool, id: TimerId, deadline: Tick, word: u64) {
        let side = &mut self.sides[usize::from(second)];
        assert_eq!(self.slab.get(id), Some(Entry { id, deadline, word, armed: Some(side.lane) }));
        assert!(self.slab.set_word(id, id.raw()));
        assert!(!side.armed.contains_key(&id), "{id} was given twice");
        side.note(id, deadline);
    }

    fn pick(&self, pick: u16) -> Option<(usize, TimerId)> {
        let all = || (0..).zip(&self.sides).flat_map(|(at, side)| side.armed.keys().map(move |id| (at, *id)));
        let count = all().count();
        all().nth(usize::from(pick).checked_rem(count)?)
    }

    fn cancel(&mut self, pick: u16) {
        let Some((at, id)) = self.pick(pick) else { return };
        let [first, second] = &mut self.sides;
        let (side, other) = if at == 0 { (first, second) } else { (second, first) };
        assert!(!self.slab.end(id), "ended while armed");
        assert!(
            !other.wheel.cancel(&mut self.slab, id),
            "armed in {:?}, cancelled in {:?}",
            side.lane,
            other.lane
        );
        assert!(side.wheel.cancel(&mut self.slab, id));
        assert!(!side.wheel.cancel(&mut self.slab, id), "cancelled twice");
        side.armed.remove(&id);
        self.retire(&[id]);
    }

    /// Ids of a batch: neighbours from both wheels, the first of them twice, and one of the past.
    fn pick_many(&self, pick: u16, count: u8) -> Vec<TimerId> {
        let picks = (0..u16::from(count)).map(|further| pick.wrapping_add(further));
        let many = picks.chain([pick]).filter_map(|pick| self.pick(pick).map(|(_, id)| id));
        many.chain(self.ended.last().copied()).collect()
    }

    fn cancel_many(&mut self, second: bool, pick: u16, count: u8) {
        let ids = self.pick_many(pick, count);
        let side = &mut self.sides[usize::from(second)];
        let mut cancelled = Vec::new();
        side.wheel.cancel_many(&mut self.slab, &ids, &mut cancelled);
        let expected: Vec<bool> = ids.iter().map(|id| side.armed.remove(id).is_some()).collect();
        assert_eq!(cancelled, expected);
        let gone: Vec<TimerId> =
            ids.into_iter().zip(expected).filter_map(|(id, gone)| gone.then_some(id)).collect();
        self.retire(&gone);
    }

    fn remove(&mut self, pick: u16) {
        let Some((at, id)) = self.pick(pick) else { return };
        let [first, second] = &mut self.sides;
        let (side, other) = if at == 0 { (first, second) } else { (second, first) };
        assert_eq!(other.wheel.remove(&mut self.slab, id), None, "armed in {:?}", side.lane);
        assert_eq!(side.wheel.remove(&mut self.slab, id), Some(id.raw()));
        assert_eq!(side.wheel.remove(&mut self.slab, id), None, "removed twice");
        side.armed.remove(&id);
        self.ended.push(id);
    }

    fn remove_many(&mut self, second: bool, pick: u16, count: u8) {
        let ids = self.pick_many(pick, count);
        let side = &mut self.sides[usize::from(second)];
        let mut words = Vec::new();
        side.wheel.remove_many(&mut self.slab, &ids, &mut words);
        let removed = ids.iter().map(|id| side.armed.remove(id).map(|_| id.raw()));
        let expected: Vec<Option<u64>> = removed.collect();
        assert_eq!(words, expected);
        self.ended.extend(ids.into_iter().zip(expected).filter_map(|(id, gone)| gone.map(|_| id)));
    }

    fn reschedule(&mut self, pick: u16, when: When) {
        let Some((at, id)) = self.pick(pick) else { return };
        let side = &mut self.sides[at];
        let deadline = when.resolve(side.wheel.now());
        assert!(side.wheel.reschedule(&mut self.slab, id, deadline));
        side.note(id, deadline);
    }

    fn advance(&mut self, second: bool, to: Tick, budget: u32) {
        let due = self.sides[usize::from(second)].advance(&mut self.slab, to, budget);
        self.retire(&due);
    }

    fn load(&mut self, second: bool, at: Option<When>, one_in: u8) {
        let side = &mut self.sides[usize::from(second)];
        let at = at.map(|at| at.resolve(side.wheel.now()));
        let left = side.load(&mut self.slab, at, u64::from(one_in).max(2));
        self.retire(&left);
    }

    /// Ends and frees what left a wheel, so that slots are used again.
    fn retire(&mut self, ids: &[TimerId]) {
        for id in ids {
            assert_eq!(self.slab.get(*id).map(|entry| entry.word), Some(id.raw()));
            assert!(self.slab.end(*id) && self.slab.free(*id));
        }
        self.ended.extend(ids);
    }

    /// An id of the past finds nothing, and moves nothing.
    fn stale(&mut self, pick: u16) {
        let Some(at) = usize::from(pick).checked_rem(self.ended.len()) else { return };
        let id = self.ended[at];
        assert_eq!(self.slab.get(id), None);
        for side in &mut self.sides {
            assert!(!side.wheel.insert(&mut self.slab, id, Tick::ZERO));
            assert!(!side.wheel.reschedule(&mut self.slab, id, Tick::ZERO));
            assert!(!side.wheel.cancel(&mut self.slab, id));
            assert_eq!(side.wheel.remove(&mut self.slab, id), None);
        }
        assert!(!self.slab.end(id) && !self.slab.free(id));
    }

    fn check(&self) {
        self.slab.check().expect("every invariant of the slab");
        self.sides.iter().for_each(|side| side.check(&self.slab));
    }

    /// Wakes when told until nothing is left: it ends, and within eight touches for each item and each that goes on.
    fn drain(&mut self, second: bool, budget: u32) {
        let at = usize::from(second);
        let mut wakes = 16 * self.sides[at].items_max;
        while let Some(wake) = self.sides[at].wheel.next_wake() {
            assert!(wakes > 0, "wakes for ever at {wake}");
            wakes -= 1;
            self.advance(second, wake, budget);
        }
        assert!(self.sides[at].armed.is_empty());
        self.check();
    }
}

fuzz_target!(|input: Input| {
    let [first, second] = input.starts;
    let sides = [Side::new(Lane::First, first), Side::new(Lane::Second, second)];
    let mut pair = Pair { slab: Slab::new(), sides, ended: Vec::new() };
    for (number, op) in (1..).zip(input.ops) {
        pair.apply(op);
        if number % CHECK_EACH == 0 {
            pair.check();
        }
    }
    pair.check();
    let budget = u32::from(input.drain_budget).max(1);
    pair.drain(false, budget);
    pair.drain(true, budget);
});
