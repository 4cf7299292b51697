//! Why an id could not be made live.

use core::error::Error;
use core::fmt;

use crate::TimerId;

/// Why [`Slab::occupy`](crate::Slab::occupy) refused an id. The slab is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OccupyError {
    /// The slot is beyond what this slab may hold.
    SlotOutOfRange {
        /// The slot asked for.
        slot: u32,
        /// The first slot out of range.
        slots_max: u32,
    },
    /// The slot is held: by a live entry, or by an ended one that is not freed yet.
    Live {
        /// Who holds it.
        holder: TimerId,
    },
    /// The slot has had this generation or a later one.
    StaleGeneration {
        /// The generation asked for.
        generation: u32,
        /// The last generation of the slot.
        last: u32,
    },
}

impl fmt::Display for OccupyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SlotOutOfRange { slot, slots_max } => {
                write!(f, "slot {slot} is out of range: limit {slots_max}")
            }
            Self::Live { holder } => write!(f, "the slot is held by {holder}"),
            Self::StaleGeneration { generation, last } => {
                write!(f, "generation {generation} is stale: the slot has had {last}")
            }
        }
    }
}

impl Error for OccupyError {}
