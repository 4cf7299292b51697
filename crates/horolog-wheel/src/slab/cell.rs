//! What the slab keeps for one slot: 32 bytes.

use super::{Entry, Lane};
use crate::geometry::Place;
use crate::{GENERATION_MAX, Tick, TimerId};

/// One slot of the slab. `generation` is the last one that was occupied, 0 if none ever was.
///
/// `place`, `prev` and `next` belong to the wheel an armed cell is in, and mean nothing otherwise. They are
/// here and not in the wheel because an entry is armed in one wheel at most, and because a wheel must find
/// its links from an id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) deadline: Tick,
    pub(crate) word: u64,
    pub(crate) generation: u32,
    pub(crate) prev: u32,
    pub(crate) next: u32,
    pub(crate) state: State,
    pub(crate) place: Place,
}

const _: () = assert!(size_of::<Cell>() == 32);

/// The life of a slot: free, reserved, live, armed and disarmed any number of times, ended, free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Free,
    /// Promised to a caller. The generation promised waits in the word that will hold the deadline.
    Reserved,
    Live,
    Armed(Lane),
    Ended,
}

impl Cell {
    /// A slot that was never occupied. Slots that are not stored yet read as this.
    pub(crate) const VACANT: Self = Self {
        deadline: Tick::ZERO,
        word: 0,
        generation: 0,
        prev: 0,
        next: 0,
        state: State::Free,
        place: Place::ORIGIN,
    };

    pub(crate) fn is_live(&self) -> bool {
        matches!(self.state, State::Live | State::Armed(_))
    }

    /// Does somebody hold this slot: is it live, or ended and not free yet?
    pub(super) fn is_held(&self) -> bool {
        self.is_live() || self.state == State::Ended
    }

    /// The generation after this cell's last, above `floor`; `None` if they are used up.
    pub(super) fn next_generation(&self, floor: u32) -> Option<u32> {
        let last = self.generation.max(floor);
        (last < GENERATION_MAX).then(|| last + 1)
    }

    pub(super) fn reserve(&mut self, generation: u32) {
        self.state = State::Reserved;
        self.deadline = Tick(u64::from(generation));
    }

    /// Is this cell promised to exactly this generation?
    pub(super) fn is_reserved_for(&self, generation: u32) -> bool {
        self.state == State::Reserved && self.deadline == Tick(u64::from(generation))
    }

    pub(super) fn armed(&self) -> Option<Lane> {
        if let State::Armed(lane) = self.state { Some(lane) } else { None }
    }

    /// The last id of this cell, which is in `slot`.
    pub(super) fn id(&self, slot: u32) -> Option<TimerId> {
        TimerId::new(slot, self.generation)
    }

    /// What a caller may see of this cell, which is in `slot`, if it is live.
    pub(super) fn entry(&self, slot: u32) -> Option<Entry> {
        let id = self.id(slot).filter(|_| self.is_live())?;
        Some(Entry { id, deadline: self.deadline, word: self.word, armed: self.armed() })
    }
}
