//! Stale items: at most as many as current ones, and a constant.

use super::*;

/// Stale items that are let be, however few are current.
pub(crate) const SLACK: usize = 256;

/// Where the sweep is: it takes a slot's items one chunk after the other, and puts those that are current aside until the
/// slot is empty.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sweep {
    level: usize,
    ring: usize,
    is_on: bool,
    pub(super) kept: Stack,
    /// Items looked at since one was stale.
    in_vain: usize,
}

impl Sweep {
    pub(super) const NONE: Self = Self { level: 0, ring: 0, is_on: false, kept: Stack::EMPTY, in_vain: 0 };

    pub(super) fn is_at(&self, level: usize, ring: usize) -> bool {
        self.is_on && (self.level, self.ring) == (level, ring)
    }

    pub(super) fn keeps_at(&self, level: usize, ring: usize) -> bool {
        self.is_at(level, ring) && !self.kept.is_empty()
    }

    /// Ends the sweep of its slot and gives what it kept.
    pub(super) fn end(&mut self) -> Stack {
        self.is_on = false;
        core::mem::replace(&mut self.kept, Stack::EMPTY)
    }
}

impl Wheel {
    pub(super) fn is_over_bound(&self) -> bool {
        let bound = if self.len == 0 { 0 } else { 2 * self.len + SLACK };
        self.items > bound
    }

    /// Have all items been looked at and none was stale? Doubles of current items, with the same tag, are over the bound.
    pub(super) fn sweeps_in_vain(&self) -> bool {
        self.sweep.in_vain > self.items
    }

    /// After a cancel: drops some stale items if there are too many.
    #[inline]
    pub(super) fn keep_bound(&mut self, slab: &Slab) {
        if self.is_over_bound() {
            self.sweep_many(slab);
        }
    }

    /// Looks at 64 items, in as many slots as it takes.
    #[cold]
    fn sweep_many(&mut self, slab: &Slab) {
        // There may be a new stale item.
        self.sweep.in_vain = 0;
        let mut left = LARGE;
        while left > 0 && self.is_over_bound() {
            left -= self.sweep_some(slab, left).max(1);
        }
    }

    /// Looks at up to `max` items of a slot and drops the stale ones among them; says how many it looked at.
    pub(super) fn sweep_some(&mut self, slab: &Slab, max: usize) -> usize {
        if !self.sweep.is_on {
            self.find_slot_to_sweep();
        }
        let (level, place) = (self.sweep.level, self.sweep.ring);
        let Some(home) = self.levels[level].as_deref_mut() else { return 0 };
        let stack = &mut home.stacks[place];
        // Down into the next chunk if need be: a look at what was just put on top would get nowhere.
        while !stack.is_empty() && self.run.len() < max {
            self.pool.pop_run(stack, max - self.run.len(), &mut self.run);
        }
        let looked = self.run.len();
        for item in &self.run {
            slab.prefetch(item.slot());
        }
        for item in &self.run {
            let cell = slab.cell(item.slot());
            if cell.is_some_and(|cell| cell.is_armed_by(self.lane, item.mark())) {
                self.pool.push(&mut self.sweep.kept, *item);
                self.sweep.in_vain += 1;
            } else {
                self.items -= 1;
                self.sweep.in_vain = 0;
            }
        }
        self.run.clear();
        if stack.is_empty() && level == 0 && place == ring(self.now.0) {
            // Those that are handed out are of this slot too.
            core::mem::swap(stack, &mut self.due);
        }
        if stack.is_empty() {
            *stack = self.sweep.end();
            if stack.is_empty() {
                home.occupied.remove(place);
            }
        }
        looked
    }

    /// The next slot, level by level and round each ring, that holds items.
    fn find_slot_to_sweep(&mut self) {
        let (mut level, mut ring) = (self.sweep.level, self.sweep.ring + 1);
        for _ in 0..=LEVELS {
            if let Some(found) = self.levels[level].as_deref().and_then(|home| home.occupied.first_from(ring))
            {
                let in_vain = self.sweep.in_vain;
                self.sweep = Sweep { level, ring: found, is_on: true, kept: Stack::EMPTY, in_vain };
                return;
            }
            (level, ring) = ((level + 1) % LEVELS, 0);
        }
    }

    /// Nothing is armed: what items there are are stale.
    #[cold]
    pub(super) fn sweep_rest(&mut self, slab: &Slab, left: &mut usize) {
        while self.items > 0 && *left > 0 && !self.sweeps_in_vain() {
            *left -= self.sweep_some(slab, (*left).min(LARGE)).max(1);
        }
        if self.items == 0 {
            (self.look_at, self.look_above) = (None, None);
        }
    }
}
