//! Many entries at a time.
//!
//! # Asked for ahead
//!
//! From a million entries on, an insert waits for its cell to come from memory, new or not. In a batch the cells of the
//! next 64 are on their way while one is written. Nanoseconds an entry, one by one and in batches of 64 (asked for sixteen
//! ahead; with 64 a cancel takes 16 ns instead of 22 at ten million and 10 instead of 16 at a million, and the rest is as
//! here):
//!
//! | | 1 000 | 100 000 | 1 000 000 | 10 000 000 |
//! |---|---|---|---|---|
//! | `insert_new` after random removes | 14.8, 16.2 | 19.3, 21.8 | 43.9, 30.2 | 62.6, 44.8 |
//! | `insert` of random entries | 7.5, 8.7 | 11.9, 11.7 | 33.4, 24.6 | 58.7, 34.1 |
//! | `insert_new` into nothing, in one batch | 18.9, 19.7 | 20.1, 21.1 | 27.6, 28.7 | 34.1, 34.8 |
//!
//! (`cargo bench -p horolog-benches --bench wheel -- '^wheel/(insert|insert_in_64s|load)/'` has the first row through `Timers`:
//! 16.2 and 16.1, 19.2 and 22.6, 38.1 and 27.2; and `load`: 10.7, one by one 19.3.)
//!
//! Asking for the places in the wheel as well gained up to a sixth at a million and lost up to a third below, where those
//! few hundred lines are in the cache.
//!
//! # No counting sort
//!
//! [`Wheel::load`] reads the slab from its first cell to its last and puts each item where it belongs at once. The tops of all
//! stacks are a few hundred lines and stay in the cache, so a counting sort gains a tenth at a million and loses a quarter at ten:
//! `docs/decisions/0009-no-counting-sort.md` has the figures.

use super::*;
use crate::Entry;

#[cfg(test)]
mod tests;

impl Wheel {
    /// Makes entries of deadlines and payload words, and arms them, as [`insert_new`](Self::insert_new) does one by one.
    /// Appends their ids to `ids`, in order. What found no room in the slab is handed back: the rest of `timers`, which is
    /// empty if all went well.
    ///
    /// O(1) for each. From a million entries on it saves a quarter of the time and more, if new ones go where others were; with
    /// fewer it gains nothing over a loop, and may cost a seventh more.
    ///
    /// ```
    /// use horolog_wheel::{Lane, Slab, Tick, Wheel};
    ///
    /// let mut slab = Slab::with_slots_max(2);
    /// let mut wheel = Wheel::new(Lane::First, Tick(0));
    /// let timers = [(Tick(300), 7), (Tick(100), 8), (Tick(200), 9)];
    /// let mut ids = Vec::new();
    /// let refused = wheel.insert_new_many(&mut slab, &timers, &mut ids);
    /// assert_eq!(refused, [(Tick(200), 9)], "there are two slots");
    /// assert_eq!(slab.get(ids[1]).map(|entry| entry.word), Some(8));
    /// ```
    pub fn insert_new_many<'a>(
        &mut self,
        slab: &mut Slab,
        timers: &'a [(Tick, u64)],
        ids: &mut Vec<TimerId>,
    ) -> &'a [(Tick, u64)] {
        ids.reserve(timers.len());
        let (mut rest, mut slots) = (timers, [0; ASKED_AHEAD]);
        loop {
            // No more than are needed: each is used, or its generations are used up.
            let wanted = rest.len().min(ASKED_AHEAD);
            let taken = slab.take_slots(slots.get_mut(..wanted).unwrap_or_default());
            if taken == 0 {
                return rest;
            }
            for slot in slots.iter().take(taken) {
                let Some(((deadline, word), later)) = rest.split_first() else { return rest };
                if let Some(id) = self.insert_at(slab, *slot, *deadline, *word) {
                    ids.push(id);
                    rest = later;
                }
            }
        }
    }

    /// As [`insert_new`](Self::insert_new), in a slot that was taken before; `None` if its generations are used up.
    #[inline]
    fn insert_at(&mut self, slab: &mut Slab, slot: u32, deadline: Tick, word: u64) -> Option<TimerId> {
        let (tick, armed) = (deadline.max(self.now), State::armed(self.lane));
        let (generation, mark) = slab.begin_at(slot, deadline, word, |cell| cell.arm(armed, tick))?;
        self.len += 1;
        self.add(Item::new(slot, mark), tick);
        TimerId::new(slot, generation)
    }

    /// Calls [`insert`](Self::insert) for each id and deadline, and appends to `inserted` what it says.
    ///
    /// O(1) for each. From a million entries on it saves a quarter of the time and more, if they are not neighbours; with
    /// fewer it gains nothing over a loop.
    ///
    /// ```
    /// use horolog_wheel::{Lane, Slab, Tick, Wheel};
    ///
    /// let mut slab = Slab::new();
    /// let mut wheel = Wheel::new(Lane::First, Tick(0));
    /// let id = slab.reserve().expect("there is a free slot");
    /// slab.occupy(id, Tick::ZERO, 42)?;
    /// let mut inserted = Vec::new();
    /// wheel.insert_many(&mut slab, &[(id, Tick(100)), (id, Tick(200))], &mut inserted);
    /// assert_eq!(inserted, [true, false], "it was armed by then");
    /// # Ok::<(), horolog_wheel::OccupyError>(())
    /// ```
    pub fn insert_many(&mut self, slab: &mut Slab, deadlines: &[(TimerId, Tick)], inserted: &mut Vec<bool>) {
        inserted.reserve(deadlines.len());
        self.each_of_many(
            slab,
            deadlines,
            |(id, _)| id.slot(),
            |wheel, slab, (id, deadline)| {
                inserted.push(wheel.insert(slab, *id, *deadline));
            },
        );
    }

    /// Arms all live entries that are not armed and that `deadline_of` gives a deadline for; says how many those are.
    ///
    /// It is for the start, when a slab was filled again from a disk and nothing in it is armed yet: what a loop of
    /// [`insert`](Self::insert) over [`Slab::iter`] does, in half to four fifths of the time. Entries come in slab order, each
    /// once. Those that are armed already, here or elsewhere, are not asked about. The wheel need not be empty, and a
    /// deadline that has come already is due at the next advance.
    ///
    /// O(slots of the slab), free ones included; the slab is read from end to end.
    ///
    /// ```
    /// use horolog_wheel::{Lane, Slab, Tick, Wheel};
    ///
    /// let mut slab = Slab::new();
    /// for deadline in [300, 100, 200] {
    ///     let id = slab.reserve().expect("there is a free slot");
    ///     slab.occupy(id, Tick(deadline), 42)?;
    /// }
    /// let mut wheel = Wheel::new(Lane::First, Tick(0));
    /// let armed = wheel.load(&mut slab, |entry| (entry.deadline < Tick(300)).then_some(entry.deadline));
    /// assert_eq!(armed, 2);
    /// assert_eq!(wheel.next_deadline_exact(&slab), Some(Tick(100)));
    /// # Ok::<(), horolog_wheel::OccupyError>(())
    /// ```
    pub fn load(&mut self, slab: &mut Slab, mut deadline_of: impl FnMut(Entry) -> Option<Tick>) -> usize {
        let (before, armed) = (self.len, State::armed(self.lane));
        slab.unarmed_mut().for_each(|(entry, cell)| {
            let Some(deadline) = deadline_of(entry) else { return };
            let tick = deadline.max(self.now);
            cell.deadline = deadline;
            let item = Item::new(entry.id.slot(), cell.arm(armed, tick));
            self.len += 1;
            self.add(item, tick);
        });
        self.len - before
    }
}
