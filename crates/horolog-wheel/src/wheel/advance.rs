//! Time: what is due comes out, what is next moves closer.

use super::*;

/// Items of a slot from which on it is emptied ahead of its time.
pub(super) const WORTH_AHEAD: u32 = 64;

/// Items that have to be behind before crumbs are paid: fewer would touch more lines than items.
const CRUMB: u64 = 32;

/// Items of a slot that are worth waking up for ahead of its time, and how many of them at a time.
const WORTH_A_WAKE: u32 = 4_096;
const WAKE_CRUMB: u64 = 1_024;

/// Entries of a run from which on they are asked for together: with fewer the first is read before the asking is of use.
const WORTH_ASKING: usize = 2;

/// How many entries of the next tick are asked for a tick ahead; more gain nothing.
const ASKED_OF_NEXT: usize = 16;

impl Wheel {
    /// Moves time to `now` and appends to `due` what has become due, in ascending tick order, also over
    /// several calls; within a tick the order is not defined. An entry armed after its deadline counts for
    /// the tick at which it was armed. What comes out is live and unarmed.
    ///
    /// Time never goes back: an earlier `now` is taken as the wheel's own. At most `budget` items are come
    /// across, whether due, moved closer or stale; the work is O(levels) for each, and O(levels) for a jump over
    /// empty time of any length. With [`Progress::Done`] the wheel is at `now`; with [`Progress::More`] it
    /// stopped at [`Wheel::now`] and has lost nothing. With a budget of 0 nothing is touched, and time moves
    /// only if there was nothing to touch.
    pub fn advance(&mut self, slab: &mut Slab, now: Tick, budget: u32, due: &mut Vec<TimerId>) -> Progress {
        self.advance_with(slab, now, budget, |_, id| due.push(id))
    }

    /// As [`advance`](Self::advance), but hands each id to `due` while its entry is at hand. Only that entry may be changed.
    ///
    /// If `due` unwinds, the entry that it was given has come out, and everything else comes with the next calls.
    #[inline]
    pub fn advance_with(
        &mut self,
        slab: &mut Slab,
        now: Tick,
        budget: u32,
        mut due: impl FnMut(&mut Slab, TimerId),
    ) -> Progress {
        self.advance_within(slab, now, &mut (budget as usize), |slab, slot, generation| {
            if let Some(id) = TimerId::new(slot, generation) {
                due(slab, id);
            }
        })
    }

    /// As [`advance_with`](Self::advance_with); the budget says what is left of it. `due` gets slot and generation.
    #[inline]
    pub(crate) fn advance_within(
        &mut self,
        slab: &mut Slab,
        now: Tick,
        left: &mut usize,
        mut due: impl FnMut(&mut Slab, u32, u32),
    ) -> Progress {
        let target = now.max(self.now);
        if self.look_at.is_some_and(|at| at <= target) || (self.len == 0 && self.items > 0) {
            return self.advance_to(slab, target, left, &mut due);
        }
        self.now = target;
        Progress::Done
    }

    fn advance_to(
        &mut self,
        slab: &mut Slab,
        target: Tick,
        left: &mut usize,
        due: &mut impl FnMut(&mut Slab, u32, u32),
    ) -> Progress {
        if self.len == 0 {
            self.sweep_rest(slab, left);
        }
        while let Some(at) = self.look_at.filter(|at| *at <= target) {
            if *left == 0 {
                return Progress::More;
            }
            self.now = at.max(self.now);
            if !self.land(slab, left, due) {
                self.look_at = Some(self.now);
                return Progress::More;
            }
            if self.items == 0 {
                self.look_above = None;
            }
            self.look_at = self.next_look();
        }
        self.now = target;
        self.warm_next(slab);
        Progress::Done
    }

    /// Does all that is to be done at the present tick; false if the budget ran out first.
    fn land(&mut self, slab: &mut Slab, left: &mut usize, due: &mut impl FnMut(&mut Slab, u32, u32)) -> bool {
        let is_above = self.look_above.is_some_and(|at| at <= self.now);
        if is_above && !self.bring_all_down(slab, left) {
            return false;
        }
        while self.is_occupied(0, self.now.0) {
            if *left == 0 {
                return false;
            }
            self.hand_out(slab, left, due);
        }
        if is_above {
            if !self.empty_ahead(slab, left) {
                return false;
            }
            self.look_above = self.next_look_above();
        }
        while self.is_over_bound() && !self.sweeps_in_vain() {
            if *left == 0 {
                return false;
            }
            let max = (*left).min(LARGE);
            *left -= self.sweep_some(slab, max).max(1);
        }
        true
    }

    /// Empties the slots that have begun; false if the budget ran out first.
    fn bring_all_down(&mut self, slab: &mut Slab, left: &mut usize) -> bool {
        for level in (1..LEVELS).rev() {
            let current = number(level, self.now);
            while self.is_occupied(level, current) {
                if *left == 0 {
                    return false;
                }
                self.bring_down(slab, level, current, usize::MAX, left);
            }
        }
        true
    }

    /// Moves what should have been moved by now of the slots that come next; false if the budget ran out first.
    fn empty_ahead(&mut self, slab: &mut Slab, left: &mut usize) -> bool {
        for level in 1..LEVELS {
            while let Some((next, behind)) = self.behind(level) {
                if *left == 0 {
                    return false;
                }
                self.bring_down(slab, level, next, behind, left);
            }
        }
        true
    }

    fn is_occupied(&self, level: usize, number: u64) -> bool {
        self.levels[level].as_deref().is_some_and(|level| level.occupied.contains(ring(number)))
    }

    /// Takes items of a slot into `run`.
    fn take_run(&mut self, level: usize, number: u64, max: usize) {
        let place = ring(number);
        let Some(home) = self.levels[level].as_deref_mut() else { return };
        let stack = &mut home.stacks[place];
        if stack.is_empty() && self.sweep.is_at(level, place) {
            *stack = self.sweep.end();
        }
        self.pool.pop_run(stack, max, &mut self.run);
        self.clear_if_empty(level, place);
    }

    /// Takes items of the present tick into `run`.
    fn take_due_run(&mut self, max: usize) {
        let place = ring(self.now.0);
        let Some(home) = self.levels[0].as_deref_mut() else { return };
        if self.due.is_empty() {
            self.due = core::mem::replace(&mut home.stacks[place], Stack::EMPTY);
        }
        if self.due.is_empty() && self.sweep.is_at(0, place) {
            self.due = self.sweep.end();
        }
        self.pool.pop_run(&mut self.due, max, &mut self.run);
        if self.due.is_empty() {
            self.clear_if_empty(0, place);
        }
    }

    /// Some items of a slot were taken: it may be empty now.
    fn clear_if_empty(&mut self, level: usize, place: usize) {
        let Some(home) = self.levels[level].as_deref_mut() else { return };
        if home.stacks[place].is_empty() && !self.sweep.keeps_at(level, place) {
            if self.sweep.is_at(level, place) {
                self.sweep.end();
            }
            home.occupied.remove(place);
        }
    }

    /// Moves up to `max` items of a slot closer.
    fn bring_down(&mut self, slab: &mut Slab, level: usize, from: u64, max: usize, left: &mut usize) {
        self.take_run(level, from, max.min(*left).min(LARGE));
        let run = core::mem::take(&mut self.run);
        *left -= run.len();
        let first = start(level, from).0;
        if level == 1 && slab.is_large() {
            // They are due soon, and few at a time: each would be waited for alone.
            run.iter().for_each(|item| slab.prefetch(item.slot()));
        }
        if shift(level) <= LOW_BITS {
            let span = (1 << shift(level)) - 1;
            for item in &run {
                let tick = Tick(first | item.mark().low() & span).max(self.now);
                self.file(*item, tick);
            }
        } else {
            run.iter().for_each(|item| slab.prefetch(item.slot()));
            for item in &run {
                self.file_again(slab, *item);
            }
        }
        self.run = run;
        self.run.clear();
    }

    /// Hands out some of what is due now.
    fn hand_out(&mut self, slab: &mut Slab, left: &mut usize, due: &mut impl FnMut(&mut Slab, u32, u32)) {
        self.take_due_run((*left).min(LARGE));
        *left -= self.run.len();
        if self.run.len() > WORTH_ASKING && slab.is_large() {
            self.run.iter().for_each(|item| slab.prefetch(item.slot()));
        }
        let run = core::mem::take(&mut self.run);
        let mut turn = Turn { wheel: self, rest: &run };
        while let [item, rest @ ..] = turn.rest {
            turn.rest = rest;
            if let Some(generation) = turn.wheel.take_due(slab, *item) {
                due(slab, item.slot(), generation);
            }
        }
        drop(turn);
        self.run = run;
        self.run.clear();
    }

    /// Puts items back to those that are due at the present tick.
    #[cold]
    fn put_back(&mut self, items: &[Item]) {
        items.iter().for_each(|item| self.pool.push(&mut self.due, *item));
        if let Some(home) = self.levels[0].as_deref_mut() {
            home.occupied.insert(ring(self.now.0));
        }
    }

    /// What becomes of an item whose tick has come: its entry is due, and of this generation; or it goes on, or it was stale.
    #[inline]
    fn take_due(&mut self, slab: &mut Slab, item: Item) -> Option<u32> {
        let cell = slab.cell_mut(item.slot()).filter(|cell| cell.is_armed_by(self.lane, item.mark()));
        match cell {
            Some(cell) if cell.deadline <= self.now => {
                cell.set_state(State::Live);
                self.items -= 1;
                self.len = self.len.saturating_sub(1);
                Some(cell.generation())
            }
            _ => {
                self.file_again(slab, item);
                None
            }
        }
    }

    /// Files an item whose tick has passed, or is not known whole, by the deadline of its entry; drops it if it is stale.
    fn file_again(&mut self, slab: &mut Slab, item: Item) {
        let cell = slab.cell_mut(item.slot()).filter(|cell| cell.is_armed_by(self.lane, item.mark()));
        let Some(cell) = cell else {
            self.items -= 1;
            return;
        };
        let tick = cell.deadline.max(self.now);
        cell.mark = cell.mark.next(tick.0);
        let item = Item::new(item.slot(), cell.mark);
        self.file_and_look(item, tick);
    }

    /// How many items a slot has, those that a sweep has put aside included.
    pub(super) fn len_at(&self, level: usize, number: u64) -> u32 {
        let place = ring(number);
        let kept = if self.sweep.is_at(level, place) { self.sweep.kept.len() } else { 0 };
        self.levels[level].as_deref().map_or(0, |home| home.stacks[place].len()) + kept
    }

    /// How many items of the next slot of a level should have been moved by now and have not.
    fn behind(&mut self, level: usize) -> Option<(u64, usize)> {
        let next = number(level, self.now) + 1;
        let count = self.len_at(level, next);
        let home = self.levels[level].as_deref_mut()?;
        if home.next != next {
            if count < WORTH_AHEAD {
                return None;
            }
            (home.next, home.at_first) = (next, count);
        }
        let allowed = home.allowed(level, start(level, next).0 - self.now.0);
        let behind = u64::from(count).saturating_sub(allowed);
        (behind >= CRUMB).then_some((next, usize::try_from(behind).unwrap_or(usize::MAX)))
    }

    /// When an owner that sleeps has to look at slot `first`, the first occupied one of a level.
    pub(super) fn wake_for(&self, home: &Level, level: usize, first: u64) -> Tick {
        let len = self.len_at(level, first);
        let current = number(level, self.now);
        if level == 0 || first == current {
            start(level, first)
        } else if home.next == first {
            home.pay_at(level, start(level, first).0, len, WAKE_CRUMB).max(Tick(self.now.0 + 1))
        } else {
            start(level, first - u64::from(len >= WORTH_A_WAKE))
        }
    }

    /// The next tick at which something is to be done.
    fn next_look(&self) -> Option<Tick> {
        let lowest = self.levels[0].as_deref().zip(self.now.0.checked_add(1));
        let next = lowest.and_then(|(home, from)| home.next_occupied(self.now.0, from));
        next.map_or(self.look_above, |next| earlier(self.look_above, Tick(next)))
    }

    /// The next tick at which something is to be done on a level above the lowest.
    fn next_look_above(&self) -> Option<Tick> {
        let levels = self.levels.iter().enumerate().skip(1);
        let looks = levels.filter_map(|(level, home)| self.next_look_at(level, home.as_deref()?));
        looks.min()
    }

    fn next_look_at(&self, level: usize, home: &Level) -> Option<Tick> {
        let current = number(level, self.now);
        let next = home.next_occupied(current, current.checked_add(1)?)?;
        let at_start = start(level, next);
        let len = self.len_at(level, next);
        Some(if next > current + 1 {
            start(level, next - u64::from(len >= WORTH_AHEAD))
        } else if home.next == next {
            home.pay_at(level, at_start.0, len, CRUMB).max(Tick(self.now.0 + 1))
        } else {
            at_start
        })
    }

    /// Asks for the entries of the next tick.
    fn warm_next(&self, slab: &Slab) {
        if let Some(home) = self.levels[0].as_deref().filter(|_| slab.is_large()) {
            let stack = home.stacks[ring(self.now.0.wrapping_add(1))];
            if !stack.is_empty() {
                self.pool
                    .top(stack)
                    .iter()
                    .rev()
                    .take(ASKED_OF_NEXT)
                    .for_each(|item| slab.prefetch(item.slot()));
            }
        }
    }
}

/// What is left of a run that is handed out. If whoever is handed an entry unwinds, it goes back.
struct Turn<'a> {
    wheel: &'a mut Wheel,
    rest: &'a [Item],
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.rest.is_empty() {
            self.wheel.put_back(self.rest);
        }
    }
}

impl Level {
    /// How many items may be left of the next slot when it starts in `ticks`: as many as were there at first, less as
    /// time goes by.
    fn allowed(&self, level: usize, ticks: u64) -> u64 {
        let allowed = (u128::from(self.at_first) * u128::from(ticks)) >> shift(level);
        u64::try_from(allowed).unwrap_or(u64::MAX)
    }

    /// When the next slot, which starts at `start` and has `count` items left, is behind by `crumb`.
    fn pay_at(&self, level: usize, start: u64, count: u32, crumb: u64) -> Tick {
        let spare = u128::from(u64::from(count).saturating_sub(crumb));
        let ahead = (spare << shift(level)) / u128::from(self.at_first);
        Tick(start.saturating_sub(u64::try_from(ahead).unwrap_or(u64::MAX)))
    }
}
