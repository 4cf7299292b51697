//! Records put into a state: from the first one, or on top of a snapshot.

use alloc::vec::Vec;

use horolog_wheel::TimerId;

use crate::lsn::Lsn;
use crate::record::Record;
use crate::state::{ApplyError, Effect, State};

/// A part of the slab that was copied at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    /// The slot behind it.
    pub(super) end: u32,
    /// The last record that it has seen.
    pub(super) lsn: Lsn,
}

/// A state that records are put into. On top of a snapshot it is that of one moment only from [`Replay::end`] on.
#[derive(Debug, Default)]
pub struct Replay {
    state: State,
    pieces: Vec<Piece>,
    end: Lsn,
}

impl Replay {
    /// Before the first record.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// On top of the pieces of a snapshot, in the order of their slots.
    pub(super) fn on(state: State, pieces: Vec<Piece>, end: Lsn) -> Self {
        Self { state, pieces, end }
    }

    /// The last record that any part of the snapshot has seen: the log reaches it, or the snapshot does not count.
    /// [`Lsn::ZERO`] without one.
    #[must_use]
    pub fn end(&self) -> Lsn {
        self.end
    }

    /// The state so far.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Puts the next record into the state, or passes over it if the snapshot has seen it.
    ///
    /// # Errors
    ///
    /// [`ApplyError`], as [`State::apply`].
    pub fn apply(&mut self, lsn: Lsn, record: &Record<'_>) -> Result<Effect, ApplyError> {
        if lsn > self.end {
            return self.state.apply(lsn, record);
        }
        // Clocks and epochs are in the globals.
        let seen = record.timer().map_or(self.end, |id| self.seen(id.slot()));
        if lsn <= seen {
            return self.state.pass_over(lsn).map(|()| Effect::default());
        }
        self.state.apply_uncounted(lsn, record)
    }

    /// Counts a record of a kind that this version may pass over.
    ///
    /// # Errors
    ///
    /// [`ApplyError`] if its number is not the next one.
    pub fn pass_over(&mut self, lsn: Lsn) -> Result<(), ApplyError> {
        self.state.pass_over(lsn)
    }

    /// Grants what an effect gives of a slot: it may be used again.
    pub fn free(&mut self, id: TimerId) {
        self.state.free(id);
    }

    /// Drops what records left without use.
    pub fn drop_discarded(&mut self) {
        drop(self.state.take_discarded());
    }

    /// The state.
    #[must_use]
    pub fn into_state(self) -> State {
        self.state
    }

    /// The last record that the copy of a slot has seen. A slot that no section has was not there when the walk began.
    fn seen(&self, slot: u32) -> Lsn {
        let at = self.pieces.partition_point(|piece| piece.end <= slot);
        self.pieces.get(at).map_or(Lsn::ZERO, |piece| piece.lsn)
    }
}
