//! Which faults took effect: not those that were ordered, but those that somebody met.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use horolog_storage::Op;

use crate::fault::Errno;

/// What a disk showed that a sound one would not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Effect {
    /// An operation was refused on order.
    Refused(Op, Errno),
    /// A write left a part of its bytes and was refused.
    ShortWrite,
    /// A write was reported, and the place holds other bytes than were written.
    LostWrite,
    /// The bytes of a write changed another place.
    StrayWrite,
    /// A read gave other bytes than are there: those of another place.
    WrongRead,
    /// A read gave other bytes than are there: those of before.
    StaleRead,
    /// A sector could not be read.
    Unreadable,
    /// There was no room for what was to be written.
    NoRoom,
    /// A sync failed, and the pages count as clean.
    MarkedClean,
    /// A sync had failed, and reads give since what the medium holds.
    Evicted,
    /// A sync failed, and reads give at once what the medium holds.
    Reverted,
    /// A sync told of a failure of the one before, which had been reported as done.
    ToldLate,
    /// The lock was somebody else's.
    Locked,
    /// After a crash, a sector is neither what it was nor what was written.
    Torn,
    /// After a crash, a sector that was written is noise or zeros.
    Spoilt,
    /// After a crash, something written later is there, and something written earlier is not.
    Reordered,
    /// After a crash, nothing is there of what was written and not synced.
    AllLost,
    /// After a crash, a file has grown, and not all that was written there is there.
    SizeOnly,
    /// After a crash, a change of names is lost.
    NameLost,
    /// After a crash, a renamed file has both names.
    BothNames,
}

/// How often each was met on a disk, on those it was made from, and on those that were made from it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Effects(Arc<Mutex<HashMap<Effect, u64>>>);

impl Effects {
    pub(crate) fn note(&self, effect: Effect) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(effect).or_default() += 1;
    }

    pub(crate) fn counts(&self) -> Vec<(Effect, u64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(effect, count)| (*effect, *count)).collect()
    }
}
