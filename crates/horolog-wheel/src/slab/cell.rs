//! What the slab keeps for one slot: 24 bytes.

use super::{Entry, Lane};
use crate::item::Mark;
use crate::prefetch::prefetch;
use crate::{Tick, TimerId};

/// One slot of the slab.
///
/// `mark` belongs to the wheels: it is that of the last item made for this slot. It is here because it has to be found
/// from an id, and it stays when the entry is gone: the next item of this slot must differ.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) deadline: Tick,
    pub(crate) word: u64,
    /// The last generation that was occupied, 0 if none ever was, above three bits of state.
    life: u32,
    pub(crate) mark: Mark,
}

const _: () = assert!(size_of::<Cell>() == 24);

/// The life of a slot: free, reserved, live, armed and disarmed any number of times, ended, free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    Free = 0,
    /// Promised to a caller. The generation promised waits in the word that will hold the deadline.
    Reserved = 1,
    Live = 2,
    ArmedFirst = 3,
    ArmedSecond = 4,
    Ended = 5,
}

impl State {
    pub(crate) const fn armed(lane: Lane) -> Self {
        match lane {
            Lane::First => Self::ArmedFirst,
            Lane::Second => Self::ArmedSecond,
        }
    }
}

const STATE_BITS: u32 = 3;

impl Cell {
    /// A slot whose last generation was this, 0 if it was never occupied.
    pub(super) const fn unused(generation: u32) -> Self {
        Self {
            deadline: Tick::ZERO,
            word: 0,
            life: generation << STATE_BITS | State::Free as u32,
            // As if each life had had one item: when a page that was given back is stored again, tags go on.
            mark: Mark::with_tag(generation),
        }
    }

    #[inline]
    pub(crate) fn state(&self) -> State {
        match self.life & 7 {
            1 => State::Reserved,
            2 => State::Live,
            3 => State::ArmedFirst,
            4 => State::ArmedSecond,
            5 => State::Ended,
            _ => State::Free,
        }
    }

    #[inline]
    pub(crate) fn set_state(&mut self, state: State) {
        self.life = self.life & !7 | state as u32;
    }

    #[inline]
    pub(crate) fn generation(&self) -> u32 {
        self.life >> STATE_BITS
    }

    pub(super) fn occupy(&mut self, generation: u32, deadline: Tick, word: u64) {
        self.life = generation << STATE_BITS | State::Live as u32;
        (self.deadline, self.word) = (deadline, word);
    }

    /// Arms the entry, to be due at `tick`: its next item has this mark.
    #[inline]
    pub(crate) fn arm(&mut self, armed: State, tick: Tick) -> Mark {
        self.set_state(armed);
        self.mark = self.mark.next(tick.0);
        self.mark
    }

    /// Is this the entry of that generation, in that state? One comparison.
    #[inline]
    pub(crate) fn is(&self, generation: u32, state: State) -> bool {
        self.life == generation << STATE_BITS | state as u32
    }

    /// Is this entry armed in that lane, by the item with that mark?
    #[inline]
    pub(crate) fn is_armed_by(&self, lane: Lane, mark: Mark) -> bool {
        (self.mark == mark) & (self.life & 7 == State::armed(lane) as u32)
    }

    #[inline]
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.life & 7, 2..=4)
    }

    /// Does somebody hold this slot: is it live, or ended and not free yet?
    pub(super) fn is_held(&self) -> bool {
        matches!(self.life & 7, 2..=5)
    }

    pub(super) fn reserve(&mut self, generation: u32) {
        self.set_state(State::Reserved);
        self.deadline = Tick(u64::from(generation));
    }

    /// Is this cell promised to exactly this generation?
    pub(super) fn is_reserved_for(&self, generation: u32) -> bool {
        self.state() == State::Reserved && self.deadline == Tick(u64::from(generation))
    }

    /// Asks for this cell, soon to be read.
    #[inline]
    pub(super) fn prefetch(&self) {
        let first = (&raw const *self).cast::<u8>();
        // 24 bytes may begin in one line and end in the next.
        prefetch(first);
        prefetch(first.wrapping_add(size_of::<Self>() - 1));
    }

    pub(super) fn armed(&self) -> Option<Lane> {
        match self.state() {
            State::ArmedFirst => Some(Lane::First),
            State::ArmedSecond => Some(Lane::Second),
            _ => None,
        }
    }

    /// The last id of this cell, which is in `slot`.
    pub(super) fn id(&self, slot: u32) -> Option<TimerId> {
        TimerId::new(slot, self.generation())
    }

    /// What a caller may see of this cell, which is in `slot`, if it is live.
    pub(super) fn entry(&self, slot: u32) -> Option<Entry> {
        let id = self.id(slot).filter(|_| self.is_live())?;
        Some(Entry { id, deadline: self.deadline, word: self.word, armed: self.armed() })
    }
}
